//! The vault: sealed values by kind and place, written in durable atomic commits (docs/storage.md).

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use hedgerow_protocol::{facet::PersonKey, statistic::SampleKey};
use zeroize::Zeroizing;

use super::{
    crypter::{self, Crypter, SecretKey},
    engine::{Engine, VALUE_BYTES, Writes},
    error::StoreError,
    head::Head,
    keyring::{self, KdfParams, Passphrase},
};

/// Marks the folder of a vault that is being made.
const UNFINISHED: &str = "unfinished";

/// Version of what is written on disk.
const FORMAT: u16 = 1;

/// What a value is. The number is on disk: append, never reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The format marker.
    Format = 1,
    /// Settings and keys by name.
    Setting = 2,
    /// Incident records, by number.
    Record = 3,
    /// What an imported record came from -> its number.
    Source = 4,
    /// Facets, 256 to a segment, by number.
    Segment = 5,
    /// Ledger charges, by number.
    Charge = 6,
    /// Plan -> the answer given to it.
    Answer = 7,
    /// Signed documents that spread, by number.
    Document = 8,
    /// Their bytes, by number.
    Part = 9,
    /// STIX id -> indicator library entry.
    Object = 11,
    /// Indicator pattern -> STIX id.
    Pattern = 12,
    /// How many commits the store holds.
    Commits = 13,
    /// Plan -> the vector that was handed in for it last.
    Share = 14,
    /// Round -> what this node did about it as an aggregator.
    Mark = 15,
    /// Plan -> the last round on it that this node led.
    Attempt = 16,
    /// Plan -> the release of a round on it.
    Released = 17,
    /// STIX id -> a draft that waits to be published.
    Draft = 18,
    /// Record and number -> what is known of an attachment, and what opens its file.
    Attachment = 32,
    /// What is known of published objects, packed, by number.
    Shelf = 40,
    /// STIX id -> the version of a quarantined object that was dropped.
    Verdict = 41,
    /// Observable -> an entry of the local allow-list.
    Allowed = 42,
    /// Proofs that a member told two stories, by number.
    Evidence = 43,
    /// When versions of objects were added to what TAXII serves, by number.
    Added = 60,
    /// Source and STIX id -> an object that came from outside the federation.
    Foreign = 61,
}

impl Kind {
    const fn what(self) -> &'static str {
        match self {
            Self::Commits => "its count of commits does not open",
            Self::Format => "its format marker does not open",
            Self::Setting => "a setting does not open",
            Self::Record => "a record does not open",
            Self::Source => "an import mark does not open",
            Self::Segment => "a segment of facets does not open",
            Self::Charge => "a ledger entry does not open",
            Self::Answer => "a stored answer does not open",
            Self::Share => "a vector handed in to a round does not open",
            Self::Mark | Self::Attempt | Self::Released => "a note of a round does not open",
            Self::Attachment => "what is known of an attachment does not open",
            Self::Document | Self::Part => "a signed document does not open",
            Self::Object | Self::Pattern | Self::Draft | Self::Shelf | Self::Verdict | Self::Foreign => {
                "an indicator does not open"
            }
            Self::Allowed => "the allow-list does not open",
            Self::Evidence => "a proof of two stories does not open",
            Self::Added => "a list of when objects were added does not open",
        }
    }
}

/// An open vault. `Sync`: readers run side by side, writers one after the other.
pub struct Vault {
    home: PathBuf,
    engine: Engine,
    crypter: Crypter,
    lookup: SecretKey,
    master: SecretKey,
    head: Head,
    writer: Mutex<Writer>,
}

/// What the one writer at a time knows.
#[derive(Default)]
struct Writer {
    /// Commits that the store holds.
    commits: u64,
    /// The next number of each numbered kind, once known.
    next: HashMap<Kind, u64>,
}

impl Vault {
    /// An error once a write has failed. What a promise rests on (an answer, a charge, the mark of a round) is read
    /// only while this holds, since what failed to reach the disk may still be in memory.
    pub fn ensure_durable(&self) -> Result<(), StoreError> {
        self.engine.ensure_durable()
    }

    #[cfg(test)]
    pub(super) fn halt_for_tests(&self) {
        self.engine.halt();
    }

    /// Makes a vault in the folder `home`, which is made if need be. The keyring comes last: until it is there
    /// there is no vault, and what an attempt left that was stopped is cleared away.
    pub fn create(home: &Path, passphrase: &Passphrase, kdf: KdfParams) -> Result<Self, StoreError> {
        let store = home.join("vault");
        let parts = [home.join("keyring.json"), home.join("head"), store.clone()];
        let unfinished = home.join(UNFINISHED);
        // Without the mark of an attempt that was stopped, whatever is here is somebody's vault: perhaps one that is
        // just being restored, or whose keyring is kept elsewhere.
        if !unfinished.exists() && parts.iter().any(|part| part.exists()) {
            return Err(StoreError::Exists(home.display().to_string()));
        }
        keyring::check_length(passphrase)?;
        let io = StoreError::io("making the vault's folder");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(&io)?;
        fs::write(&unfinished, b"").map_err(&io)?;
        for part in parts.iter().filter(|part| part.exists()) {
            if part.is_dir() { fs::remove_dir_all(part) } else { fs::remove_file(part) }.map_err(&io)?;
        }
        fs::DirBuilder::new().mode(0o700).create(&store).map_err(&io)?;
        let master = SecretKey::random()?;
        let head = Head::create(&home.join("head"), &master.derive("head"))?;
        let vault = Self::over(home, Engine::open(&store)?, master, head);
        let mut txn = vault.begin();
        txn.put(Kind::Format, b"", &FORMAT.to_be_bytes())?;
        txn.commit()?;
        keyring::create(&home.join("keyring.json"), &vault.master, passphrase, kdf)?;
        fs::remove_file(unfinished).map_err(&io)?;
        Ok(vault)
    }

    /// Opens the vault in the folder `home`.
    pub fn open(home: &Path, passphrase: &Passphrase) -> Result<Self, StoreError> {
        let path = home.join("keyring.json");
        if !path.exists() {
            return Err(StoreError::NoVault(home.display().to_string()));
        }
        let master = keyring::open(&path, passphrase)?;
        if !home.join("vault").join("db").exists() {
            return Err(StoreError::Damaged("its store is missing"));
        }
        let engine = Engine::open(&home.join("vault"))?;
        let (head, acknowledged) = Head::open(&home.join("head"), &master.derive("head"))?;
        let vault = Self::over(home, engine, master, head);
        let found =
            vault.get(Kind::Format, b"")?.and_then(|v| v.first_chunk().map(|b| u16::from_be_bytes(*b)));
        match found {
            Some(FORMAT) => {}
            Some(found) => return Err(StoreError::Newer { found, known: FORMAT }),
            // A store that lost everything opens as an empty one; its marker gives it away.
            None => return Err(StoreError::Damaged("its format marker is missing")),
        }
        let held =
            vault.get(Kind::Commits, b"")?.and_then(|v| v.first_chunk().map(|b| u64::from_be_bytes(*b)));
        let held = held.ok_or(StoreError::Damaged("its count of commits is missing"))?;
        if held < acknowledged {
            return Err(StoreError::Damaged("writes that were acknowledged are missing"));
        }
        vault.writer.lock().unwrap_or_else(PoisonError::into_inner).commits = held;
        Ok(vault)
    }

    fn over(home: &Path, engine: Engine, master: SecretKey, head: Head) -> Self {
        Self {
            home: home.to_owned(),
            engine,
            crypter: Crypter::new(&master.derive("value")),
            lookup: master.derive("lookup"),
            master,
            head,
            writer: Mutex::new(Writer::default()),
        }
    }

    /// The folder that holds it.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The key by which the statistics choose which of a person's cells count.
    pub fn sample_key(&self) -> SampleKey {
        SampleKey::new(*self.master.derive("sample").bytes())
    }

    /// The person of a facet, from her pseudonym: a keyed hash that only this vault can make.
    pub fn person_key(&self, pseudonym: &str) -> PersonKey {
        let mac = self.master.derive("person").mac(&[pseudonym.trim().as_bytes()]);
        PersonKey::new(mac.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    /// The value of `kind` under the logical id `id`.
    pub fn get(&self, kind: Kind, id: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.read(kind, &self.hashed(kind, id))
    }

    /// The value of `kind` at number `n`.
    pub fn get_at(&self, kind: Kind, n: u64) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.read(kind, &numbered(kind, n))
    }

    /// Every value of a numbered `kind` from number `from` on, in order.
    pub fn scan_from(
        &self,
        kind: Kind,
        from: u64,
    ) -> impl Iterator<Item = Result<(u64, Zeroizing<Vec<u8>>), StoreError>> + '_ {
        self.engine.scan(&[kind as u8], &numbered(kind, from)).map(move |pair| {
            let (key, value) = pair?;
            let n = key.last_chunk().map(|b| u64::from_be_bytes(*b));
            let n = n.ok_or(StoreError::Damaged(kind.what()))?;
            Ok((n, self.crypter.open(&key, &value, kind.what())?))
        })
    }

    /// Every value of a `kind` kept by logical id, in no order that means anything.
    pub fn scan(&self, kind: Kind) -> impl Iterator<Item = Result<Zeroizing<Vec<u8>>, StoreError>> + '_ {
        self.engine.scan(&[kind as u8], &[kind as u8]).map(move |pair| {
            let (key, value) = pair?;
            self.crypter.open(&key, &value, kind.what())
        })
    }

    /// Begins a commit. Other writers wait until it is committed or dropped.
    pub fn begin(&self) -> Txn<'_> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Txn { vault: self, writer, advanced: HashMap::new(), writes: Writes::default() }
    }

    fn read(&self, kind: Kind, place: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let value = self.engine.get(place)?;
        value.map(|v| self.crypter.open(place, &v, kind.what())).transpose()
    }

    /// The place of a logical id: its keyed hash, so that the id is not on disk.
    fn hashed(&self, kind: Kind, id: &[u8]) -> Vec<u8> {
        let mac = self.lookup.mac(&[&[kind as u8], id]);
        std::iter::once(kind as u8).chain(mac.into_iter().take(16)).collect()
    }

    #[cfg(test)]
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.home.display())
    }
}

fn numbered(kind: Kind, n: u64) -> Vec<u8> {
    std::iter::once(kind as u8).chain(n.to_be_bytes()).collect()
}

/// Writes that are sealed one by one and reach the disk together, or not at all.
#[must_use = "nothing is written until commit"]
pub struct Txn<'v> {
    vault: &'v Vault,
    writer: MutexGuard<'v, Writer>,
    /// Numbers given out in this commit; kept only if it succeeds.
    advanced: HashMap<Kind, u64>,
    writes: Writes,
}

impl Txn<'_> {
    /// Puts `value` under the logical id `id`, as the next version of what is there.
    pub fn put(&mut self, kind: Kind, id: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.write(&self.vault.hashed(kind, id), value)
    }

    /// Puts `value` at number `n`.
    pub fn put_at(&mut self, kind: Kind, n: u64, value: &[u8]) -> Result<(), StoreError> {
        self.write(&numbered(kind, n), value)
    }

    /// Puts `value` at the next number of `kind`, and says which.
    pub fn append(&mut self, kind: Kind, value: &[u8]) -> Result<u64, StoreError> {
        let n = match self.advanced.get(&kind).or_else(|| self.writer.next.get(&kind)) {
            Some(n) => *n,
            None => match self.vault.engine.last_key(&[kind as u8])? {
                Some(key) => key.last_chunk().map_or(0, |b| u64::from_be_bytes(*b).saturating_add(1)),
                None => 0,
            },
        };
        self.put_at(kind, n, value)?;
        self.advanced.insert(kind, n.saturating_add(1));
        Ok(n)
    }

    /// Deletes what is under the logical id `id`.
    pub fn delete(&mut self, kind: Kind, id: &[u8]) {
        self.writes.delete(&self.vault.hashed(kind, id));
    }

    /// Deletes what is at number `n`.
    pub fn delete_at(&mut self, kind: Kind, n: u64) {
        self.writes.delete(&numbered(kind, n));
    }

    /// Writes everything; returns once it would survive a power cut.
    pub fn commit(mut self) -> Result<(), StoreError> {
        let number = self.writer.commits.saturating_add(1);
        self.put(Kind::Commits, b"", &number.to_be_bytes())?;
        self.vault.engine.commit(std::mem::take(&mut self.writes))?;
        self.writer.commits = number;
        self.writer.next.extend(self.advanced.drain());
        // The store may be ahead of the head, never behind: a crash between the two is no loss.
        // If it cannot be counted the caller is told that it failed although it is on disk: what callers hold
        // in memory is then behind, and a later write would go over it. So nothing more is written.
        self.vault.head.write(number).inspect_err(|_| self.vault.engine.halt())
    }

    fn write(&mut self, place: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if value.len() > VALUE_BYTES {
            return Err(StoreError::TooLarge { bytes: value.len(), most: VALUE_BYTES });
        }
        let before = self.vault.engine.get(place)?.and_then(|v| crypter::version(&v)).unwrap_or(0);
        let sealed = self.vault.crypter.seal(place, before.saturating_add(1), value)?;
        self.writes.put(place, sealed);
        Ok(())
    }
}
