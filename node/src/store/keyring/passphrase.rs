//! Slots that a passphrase opens: Argon2id (RFC 9106) stretches it, XChaCha20-Poly1305 wraps the master key.

use argon2::{Algorithm, Argon2, Params, Version};
use rand::{TryRng as _, rngs::SysRng};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use hedgerow_protocol::codec::base64_bytes;

use crate::store::{
    crypter::{Crypter, SecretKey},
    error::StoreError,
};

/// Shortest passphrase, in characters.
const SHORTEST: usize = 8;

/// A passphrase. Zeroized on drop, never shown; it has an encoding for the node's own socket only.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a passphrase as typed; a trailing line end (from a file) is not part of it.
    pub fn new(text: String) -> Self {
        let text = Zeroizing::new(text);
        Self(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()))
    }

    /// Whether it is long enough to make a slot of.
    pub(in crate::store) fn check_length(&self) -> Result<(), StoreError> {
        if self.0.chars().count() < SHORTEST { Err(StoreError::ShortPassphrase(SHORTEST)) } else { Ok(()) }
    }
}

impl Serialize for Passphrase {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Passphrase {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
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

/// A slot on disk. Kind, parameters and salt are bound to the wrap, so that it cannot be weakened and still open.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PassphraseSlot {
    argon2id: KdfParams,
    #[serde(with = "base64_bytes")]
    salt: Vec<u8>,
    #[serde(with = "base64_bytes")]
    wrapped: Vec<u8>,
}

impl PassphraseSlot {
    pub(super) fn wrap(
        master: &SecretKey,
        passphrase: &Passphrase,
        kdf: KdfParams,
    ) -> Result<Self, StoreError> {
        passphrase.check_length()?;
        let mut salt = vec![0; 16];
        SysRng.try_fill_bytes(&mut salt).map_err(|_| StoreError::Random)?;
        let mut slot = Self { argon2id: kdf, salt, wrapped: vec![] };
        slot.wrapped = Crypter::new(&slot.stretch(passphrase)?).seal(&slot.bound(), 1, master.bytes())?;
        Ok(slot)
    }

    pub(super) fn unwrap(&self, passphrase: &Passphrase) -> Result<SecretKey, StoreError> {
        let opened = Crypter::new(&self.stretch(passphrase)?)
            .open(&self.bound(), &self.wrapped, "a key slot")
            .map_err(|_| StoreError::WrongPassphrase)?;
        let bytes: [u8; 32] = opened.as_slice().try_into().map_err(|_| StoreError::WrongPassphrase)?;
        Ok(SecretKey::new(bytes))
    }

    /// Refuses work that is too little or too much, before any is done.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.argon2id.checked().map(|_| ())
    }

    fn stretch(&self, passphrase: &Passphrase) -> Result<SecretKey, StoreError> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.argon2id.checked()?);
        let mut key = Zeroizing::new([0; 32]);
        argon2
            .hash_password_into(passphrase.0.as_bytes(), &self.salt, key.as_mut())
            .map_err(|_| StoreError::UnsafeKdf)?;
        Ok(SecretKey::new(*key))
    }

    /// What the wrap is bound to. It is the same in formats 1 and 2 of the keyring.
    fn bound(&self) -> Vec<u8> {
        let mut bound = b"hedgerow/slot/1/passphrase/".to_vec();
        for number in [self.argon2id.m_kib, self.argon2id.t, self.argon2id.p] {
            bound.extend_from_slice(&number.to_be_bytes());
        }
        bound.extend_from_slice(&self.salt);
        bound
    }
}
