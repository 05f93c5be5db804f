//! The keyring: a small file beside the store in which slots wrap the master key (docs/storage.md).
//!
//! A slot stretches a passphrase with Argon2id (RFC 9106) and wraps the master key with XChaCha20-Poly1305;
//! kind, parameters and salt are bound, so that a slot cannot be weakened and still open. The file is replaced
//! by writing a new one, fsync, rename, fsync of the folder.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use argon2::{Algorithm, Argon2, Params, Version};
use rand::{TryRng as _, rngs::SysRng};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    crypter::{Crypter, SecretKey},
    error::StoreError,
};
use hedgerow_protocol::codec::base64_bytes;

/// Shortest passphrase, in characters.
const SHORTEST: usize = 8;
/// Largest keyring file, in bytes.
const FILE_BYTES: u64 = 64 * 1024;
const FORMAT: u16 = 1;

/// A passphrase. Zeroized on drop, never shown.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a passphrase as typed; a trailing line end (from a file) is not part of it.
    pub fn new(text: String) -> Self {
        let text = Zeroizing::new(text);
        Self(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Argon2id's work: memory, passes, lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KdfParams {
    /// Memory in KiB.
    pub m_kib: u32,
    /// Passes.
    pub t: u32,
    /// Lanes.
    pub p: u32,
}

impl Default for KdfParams {
    /// 64 MiB, three passes, one lane.
    fn default() -> Self {
        Self { m_kib: 64 * 1024, t: 3, p: 1 }
    }
}

impl KdfParams {
    /// The least that is accepted: 19 MiB, two passes, one lane. For tests and demonstrations.
    pub const FLOOR: Self = Self { m_kib: 19 * 1024, t: 2, p: 1 };
    /// The most: a keyring from elsewhere must not use up the machine.
    const CEILING: Self = Self { m_kib: 1024 * 1024, t: 16, p: 4 };

    fn checked(self) -> Result<Params, StoreError> {
        let within = |value, least, most| (least..=most).contains(&value);
        let (floor, ceiling) = (Self::FLOOR, Self::CEILING);
        if !within(self.m_kib, floor.m_kib, ceiling.m_kib)
            || !within(self.t, floor.t, ceiling.t)
            || !within(self.p, floor.p, ceiling.p)
        {
            return Err(StoreError::UnsafeKdf);
        }
        Params::new(self.m_kib, self.t, self.p, Some(32)).map_err(|_| StoreError::UnsafeKdf)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keyring {
    format: u16,
    slots: Vec<Slot>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slot {
    kind: SlotKind,
    argon2id: KdfParams,
    #[serde(with = "base64_bytes")]
    salt: Vec<u8>,
    #[serde(with = "base64_bytes")]
    wrapped: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SlotKind {
    Passphrase,
}

impl Slot {
    fn wrap(master: &SecretKey, passphrase: &Passphrase, kdf: KdfParams) -> Result<Self, StoreError> {
        let mut salt = vec![0; 16];
        SysRng.try_fill_bytes(&mut salt).map_err(|_| StoreError::Random)?;
        let mut slot = Self { kind: SlotKind::Passphrase, argon2id: kdf, salt, wrapped: vec![] };
        slot.wrapped = Crypter::new(&slot.stretch(passphrase)?).seal(&slot.bound(), 1, master.bytes())?;
        Ok(slot)
    }

    fn unwrap(&self, passphrase: &Passphrase) -> Result<SecretKey, StoreError> {
        let opened = Crypter::new(&self.stretch(passphrase)?)
            .open(&self.bound(), &self.wrapped, "a key slot")
            .map_err(|_| StoreError::WrongPassphrase)?;
        let bytes: [u8; 32] = opened.as_slice().try_into().map_err(|_| StoreError::WrongPassphrase)?;
        Ok(SecretKey::new(bytes))
    }

    fn stretch(&self, passphrase: &Passphrase) -> Result<SecretKey, StoreError> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.argon2id.checked()?);
        let mut key = Zeroizing::new([0; 32]);
        argon2
            .hash_password_into(passphrase.0.as_bytes(), &self.salt, key.as_mut())
            .map_err(|_| StoreError::UnsafeKdf)?;
        Ok(SecretKey::new(*key))
    }

    /// What the wrap is bound to.
    fn bound(&self) -> Vec<u8> {
        let mut bound = b"hedgerow/slot/1/passphrase/".to_vec();
        for number in [self.argon2id.m_kib, self.argon2id.t, self.argon2id.p] {
            bound.extend_from_slice(&number.to_be_bytes());
        }
        bound.extend_from_slice(&self.salt);
        bound
    }
}

/// Makes the keyring file at `path` with one slot. It is the last step of making a vault.
pub(super) fn create(
    path: &Path,
    master: &SecretKey,
    passphrase: &Passphrase,
    kdf: KdfParams,
) -> Result<(), StoreError> {
    check_length(passphrase)?;
    let keyring = Keyring { format: FORMAT, slots: vec![Slot::wrap(master, passphrase, kdf)?] };
    let json = serde_json::to_vec_pretty(&keyring)
        .map_err(|_| StoreError::Damaged("a keyring could not be written"))?;
    replace(path, &json)
}

/// Whether `passphrase` is long enough to make a slot of.
pub(super) fn check_length(passphrase: &Passphrase) -> Result<(), StoreError> {
    if passphrase.0.chars().count() < SHORTEST { Err(StoreError::ShortPassphrase(SHORTEST)) } else { Ok(()) }
}

/// Opens the keyring file at `path`: the master key, if any slot opens.
pub(super) fn open(path: &Path, passphrase: &Passphrase) -> Result<SecretKey, StoreError> {
    let damaged = |fault| StoreError::Keyring { path: path.display().to_string(), fault };
    let size = fs::metadata(path).map_err(StoreError::io("reading the keyring"))?.len();
    if size > FILE_BYTES {
        return Err(damaged("too long"));
    }
    let json = fs::read(path).map_err(StoreError::io("reading the keyring"))?;
    let keyring: Keyring = serde_json::from_slice(&json).map_err(|_| damaged("not a keyring's JSON"))?;
    if keyring.format != FORMAT {
        return Err(StoreError::Newer { found: keyring.format, known: FORMAT });
    }
    if keyring.slots.is_empty() || keyring.slots.len() > 32 {
        return Err(damaged("between 1 and 32 slots"));
    }
    let mut last = StoreError::WrongPassphrase;
    for slot in &keyring.slots {
        match slot.unwrap(passphrase) {
            Ok(master) => return Ok(master),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Writes `bytes` to `path` so that after a power cut either the old file or the new one is there.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let io = StoreError::io("writing the keyring");
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(&io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(&io)?;
    fs::rename(&temporary, path).map_err(&io)?;
    if let Some(folder) = path.parent() {
        File::open(folder).and_then(|f| f.sync_all()).map_err(&io)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned())
    }

    fn keyring() -> (tempfile::TempDir, std::path::PathBuf, SecretKey) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyring.json");
        let master = SecretKey::random().unwrap();
        create(&path, &master, &passphrase("correct horse"), KdfParams::FLOOR).unwrap();
        (dir, path, master)
    }

    #[test]
    fn the_passphrase_opens_it_with_or_without_a_line_end_and_another_does_not() {
        let (_dir, path, master) = keyring();
        assert_eq!(open(&path, &passphrase("correct horse\n")).unwrap().bytes(), master.bytes());
        assert!(matches!(open(&path, &passphrase("correct hors")), Err(StoreError::WrongPassphrase)));
        assert!(matches!(
            create(&path, &master, &passphrase("short"), KdfParams::FLOOR),
            Err(StoreError::ShortPassphrase(_))
        ));
    }

    #[test]
    fn weakened_or_ruinous_parameters_are_refused_before_any_work() {
        let (_dir, path, _) = keyring();
        let text = fs::read_to_string(&path).unwrap();
        for (from, to) in [
            ("\"m_kib\": 19456", "\"m_kib\": 8"),
            ("\"m_kib\": 19456", "\"m_kib\": 4294967295"),
            ("\"t\": 2", "\"t\": 1"),
            ("\"t\": 2", "\"t\": 4000000000"),
            ("\"p\": 1", "\"p\": 255"),
        ] {
            assert!(text.contains(from));
            fs::write(&path, text.replace(from, to)).unwrap();
            assert!(matches!(open(&path, &passphrase("correct horse")), Err(StoreError::UnsafeKdf)), "{to}");
        }
        // Within bounds but not as wrapped.
        fs::write(&path, text.replace("\"t\": 2", "\"t\": 3")).unwrap();
        assert!(matches!(open(&path, &passphrase("correct horse")), Err(StoreError::WrongPassphrase)));
    }

    #[test]
    fn a_torn_or_flipped_keyring_is_an_error_and_never_another_key() {
        let (_dir, path, master) = keyring();
        let whole = fs::read(&path).unwrap();
        for length in (0..whole.len() - 1).step_by(23) {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(open(&path, &passphrase("correct horse")).is_err(), "cut at {length}");
        }
        for bit in (0..whole.len() * 8).step_by(97) {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            if let Ok(key) = open(&path, &passphrase("correct horse")) {
                assert_eq!(key.bytes(), master.bytes(), "bit {bit}");
            }
        }
    }

    #[test]
    fn only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, path, _) = keyring();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
