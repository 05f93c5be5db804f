//! The vault: sealed values by kind and place, written in durable atomic commits (docs/storage.md).

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hedgerow_protocol::{facet::PersonKey, statistic::SampleKey};
use zeroize::Zeroizing;

use super::{
    crypter::{self, Crypter, SecretKey},
    durable,
    engine::{Engine, Writes},
    error::StoreError,
    head::Head,
    home::{self, HEAD, HomeLock, KEYRING, STORE},
    keyring::{self, KdfParams, Passphrase, Unlock, User},
    root::Root,
    staging,
    tally::{Counter, Sum},
};

mod kind;
mod txn;

pub use kind::Kind;
use txn::Standing;
pub use txn::Txn;

/// Marks the folder of a vault that is being made.
const UNFINISHED: &str = "unfinished";

/// Version of what is written on disk.
pub(super) const FORMAT: u16 = 3;

/// An open vault. `Sync`: readers run side by side, writers one after the other.
pub struct Vault {
    home: PathBuf,
    engine: Engine,
    crypter: Crypter,
    counter: Counter,
    lookup: SecretKey,
    person: SecretKey,
    source: SecretKey,
    master: SecretKey,
    opener: User,
    head: Head,
    writer: Mutex<Writer>,
    /// Last, so that it goes when all else is closed.
    lock: Arc<HomeLock>,
}

/// A vault that is closed, while nobody else may open it.
pub(super) struct Closed {
    home: PathBuf,
    master: SecretKey,
    opener: User,
    lock: Arc<HomeLock>,
}

impl Closed {
    /// Opens it again, and says of which format it is.
    pub(super) fn open(self) -> Result<(Vault, u16), StoreError> {
        Vault::open_any(&self.home, self.master, self.opener, self.lock)
    }
}

/// What the one writer at a time knows.
#[derive(Default)]
struct Writer {
    /// What the store holds.
    root: Root,
    /// The next number of each numbered kind, once known.
    next: HashMap<Kind, u64>,
}

impl Vault {
    /// An error once a write has failed. What a promise rests on (an answer, a charge, the mark of a round) is read
    /// only while this holds, since what failed to reach the disk may still be in memory.
    pub fn ensure_durable(&self) -> Result<(), StoreError> {
        self.engine.ensure_durable()
    }

    /// Refuses further writes until the vault is opened again.
    pub(super) fn halt(&self) {
        self.engine.halt();
    }

    /// Makes a vault in the folder `home`, which is made if need be. The keyring comes last: until it is there
    /// there is no vault, and what an attempt left that was stopped is cleared away.
    pub fn create(home: &Path, passphrase: &Passphrase, kdf: KdfParams) -> Result<Self, StoreError> {
        let (parts, path) = (home::store_parts(home), home.join(KEYRING));
        let unfinished = home.join(UNFINISHED);
        let io = StoreError::io("making the vault's folder");
        let there = |path: &Path| fs::symlink_metadata(path).is_ok();
        // With a keyring, or a link to one that is elsewhere now, this is somebody's vault. Without the mark of an
        // attempt that was stopped so is whatever else is here: perhaps one that is just being restored.
        let free = || match there(&path) || (!there(&unfinished) && parts.iter().any(|part| there(part))) {
            true => Err(StoreError::Exists(home.display().to_string())),
            false => Ok(()),
        };
        free()?;
        passphrase.check_length()?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(&io)?;
        let lock = HomeLock::take(home)?;
        // Again, now that nobody else makes one here.
        free()?;
        fs::write(&unfinished, b"").map_err(&io)?;
        for part in parts.iter().filter(|part| there(part)) {
            if part.is_dir() { fs::remove_dir_all(part) } else { fs::remove_file(part) }.map_err(&io)?;
        }
        let vault = Self::make(home, SecretKey::random()?, lock, 0)?;
        keyring::create(&path, &vault.master, passphrase, kdf)?;
        fs::remove_file(&unfinished).and_then(|()| durable::sync_folder(&unfinished)).map_err(&io)?;
        Ok(vault)
    }

    /// Makes an empty store under `master` in the folder `home`, which holds none. Its commits are counted from
    /// `commits` on.
    fn make(home: &Path, master: SecretKey, lock: Arc<HomeLock>, commits: u64) -> Result<Self, StoreError> {
        let store = home.join(STORE);
        let io = StoreError::io("making the vault's folder");
        fs::DirBuilder::new().mode(0o700).create(&store).map_err(&io)?;
        let head = Head::create(&home.join(HEAD), &master.derive("head"))?;
        let vault = Self::over(home, Engine::open(&store)?, master, User::first(), head, lock);
        vault.writer().root.commits = commits;
        let mut txn = vault.begin();
        txn.put(Kind::Format, b"", &FORMAT.to_be_bytes())?;
        txn.commit()?;
        Ok(vault)
    }

    /// Opens the vault in the folder `home` with what one of its users offers, and sees that nothing acknowledged is
    /// missing.
    pub fn open<'a>(home: &Path, unlock: impl Into<Unlock<'a>>) -> Result<Self, StoreError> {
        match Self::open_as_found(home, &unlock.into())? {
            (vault, FORMAT) => Ok(vault),
            (_, found) => Err(StoreError::Older { found, known: FORMAT }),
        }
    }

    /// Opens the vault in the folder `home` whatever its format, and says which it has.
    pub(super) fn open_as_found(home: &Path, unlock: &Unlock<'_>) -> Result<(Self, u16), StoreError> {
        let path = home.join(KEYRING);
        if !path.exists() {
            return Err(StoreError::NoVault(home.display().to_string()));
        }
        let keyring::Opened { master, user, .. } = keyring::open(&path, unlock)?;
        let lock = HomeLock::take(home)?;
        staging::finish(home, &mut |_| ())?;
        Closed { home: home.to_owned(), master, opener: user, lock }.open()
    }

    /// An empty vault in the folder `next`, under the same keys, with commits that go on from those of this one.
    pub(super) fn beside(&self, next: &Path) -> Result<Self, StoreError> {
        Self::make(next, self.master.clone(), HomeLock::take(next)?, self.writer().root.commits)
    }

    /// Makes room for values at `places`, by rising place, each of which must be put then.
    pub(super) fn lay_out(
        &self,
        places: impl Iterator<Item = Result<Vec<u8>, StoreError>>,
    ) -> Result<(), StoreError> {
        self.engine.lay_out(places)
    }

    /// Closes it, but lets nobody else in.
    pub(super) fn close(self) -> Closed {
        let Self { home, master, opener, lock, .. } = self;
        Closed { home, master, opener, lock }
    }

    fn open_any(
        home: &Path,
        master: SecretKey,
        user: User,
        lock: Arc<HomeLock>,
    ) -> Result<(Self, u16), StoreError> {
        let store = home.join(STORE);
        if !store.join("db").exists() {
            return Err(StoreError::Damaged("its store is missing"));
        }
        let engine = Engine::open(&store)?;
        let (head, acknowledged) = Head::open(&home.join(HEAD), &master.derive("head"))?;
        let vault = Self::over(home, engine, master, user, head, lock);
        let found =
            vault.get(Kind::Format, b"")?.and_then(|v| v.first_chunk().map(|b| u16::from_be_bytes(*b)));
        let found = match found {
            Some(found) if found <= FORMAT => found,
            Some(found) => return Err(StoreError::Newer { found, known: FORMAT }),
            // A store that lost everything opens as an empty one; its marker gives it away.
            None => return Err(StoreError::Damaged("its format marker is missing")),
        };
        let root = vault.get(Kind::Commits, b"")?;
        let root = Root::decode(&root.ok_or(StoreError::Damaged("its count of commits is missing"))?)?;
        if root.commits < acknowledged {
            return Err(StoreError::Damaged("writes that were acknowledged are missing"));
        }
        vault.writer().root = root;
        // Format 1 did not count.
        if found > 1 {
            vault.check_kinds(|kind| !Kind::BULKY.iter().any(|bulky| *bulky as u8 == kind))?;
        }
        Ok((vault, found))
    }

    fn over(
        home: &Path,
        engine: Engine,
        master: SecretKey,
        opener: User,
        head: Head,
        lock: Arc<HomeLock>,
    ) -> Self {
        Self {
            home: home.to_owned(),
            engine,
            crypter: Crypter::new(&master.derive("value")),
            counter: Counter::new(master.derive("tally")),
            lookup: master.derive("lookup"),
            person: master.derive("person"),
            source: master.derive("source"),
            master,
            opener,
            head,
            writer: Mutex::new(Writer::default()),
            lock,
        }
    }

    /// The folder that holds it.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Whose slot opened it.
    pub const fn opener(&self) -> &User {
        &self.opener
    }

    /// The key by which the statistics choose which of a person's cells count.
    pub fn sample_key(&self) -> SampleKey {
        SampleKey::new(*self.master.derive("sample").bytes())
    }

    /// The person of a facet, from her pseudonym: a keyed hash that only this vault can make.
    pub fn person_key(&self, pseudonym: &str) -> PersonKey {
        let mac = self.person.mac(&[pseudonym.trim().as_bytes()]);
        PersonKey::new(mac.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    /// The key by which words are hashed.
    pub fn word_key(&self) -> WordKey {
        let key = self.master.derive("word");
        WordKey(key.bytes().first_chunk().copied().unwrap_or_default())
    }

    /// The key by which what records were imported from is hashed.
    pub(super) const fn source_key(&self) -> &SecretKey {
        &self.source
    }

    /// From which the tables on top derive their keys.
    pub(super) const fn master(&self) -> &SecretKey {
        &self.master
    }

    /// The value of `kind` under the logical id `id`.
    pub fn get(&self, kind: Kind, id: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.read(&self.crypter, kind, &self.hashed(kind, id))
    }

    /// The value of `kind` at number `n`.
    pub fn get_at(&self, kind: Kind, n: u64) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.get_under(&self.crypter, kind, n)
    }

    /// The value of `kind` at number `n`, sealed under another key than the vault's.
    pub(super) fn get_under(
        &self,
        crypter: &Crypter,
        kind: Kind,
        n: u64,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.read(crypter, kind, &numbered(kind, n))
    }

    /// Every value of a numbered `kind` from number `from` on, in order.
    pub fn scan_from(
        &self,
        kind: Kind,
        from: u64,
    ) -> impl Iterator<Item = Result<(u64, Zeroizing<Vec<u8>>), StoreError>> + '_ {
        self.scan_sealed(kind, from).map(move |pair| {
            let sealed = pair?;
            Ok((sealed.number, self.opened(&self.crypter, &sealed)?))
        })
    }

    /// The same, still sealed.
    pub(super) fn scan_sealed(
        &self,
        kind: Kind,
        from: u64,
    ) -> impl Iterator<Item = Result<Sealed, StoreError>> + '_ {
        self.engine.scan(&[kind as u8], &numbered(kind, from)).map(move |pair| {
            let (place, value) = pair?;
            let number = place.last_chunk().map(|b| u64::from_be_bytes(*b));
            Ok(Sealed { kind, number: number.ok_or(StoreError::Damaged(kind.what()))?, place, value })
        })
    }

    /// Opens what a scan found.
    pub(super) fn opened(
        &self,
        crypter: &Crypter,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        crypter.open(&sealed.place, &sealed.value, sealed.kind.what())
    }

    /// Counts it.
    pub(super) fn count(&self, sum: &mut Sum, sealed: &Sealed) {
        sum.add(self.counter.mac(&sealed.place, &sealed.value));
    }

    /// What the store must hold of a kind.
    pub(super) fn expected(&self, kind: Kind) -> Sum {
        self.writer().root.tally.of(kind as u8)
    }

    /// Whether the store must hold the same as `other` of every kind but those.
    pub(super) fn holds_as(&self, other: &Self, but: &[Kind]) -> bool {
        let (own, others) = (self.writer().root.tally.clone(), other.writer().root.tally.clone());
        let mut kinds = (0..=u8::MAX).filter(|kind| !but.iter().any(|but| *but as u8 == *kind));
        kinds.all(|kind| own.of(kind) == others.of(kind))
    }

    /// Every value of a `kind` kept by logical id, in no order that means anything.
    pub fn scan(&self, kind: Kind) -> impl Iterator<Item = Result<Zeroizing<Vec<u8>>, StoreError>> + '_ {
        self.engine.scan(&[kind as u8], &[kind as u8]).map(move |pair| {
            let (key, value) = pair?;
            self.crypter.open(&key, &value, kind.what())
        })
    }

    /// Counts every value there is: one that is missing, moved, or older than it should be is named by its kind.
    /// Gives how many there are.
    pub fn check(&self) -> Result<u64, StoreError> {
        self.check_kinds(|_| true)
    }

    fn check_kinds(&self, which: impl Fn(u8) -> bool) -> Result<u64, StoreError> {
        // No writer meanwhile: the root and the store are of one moment.
        let writer = self.writer();
        let mut counted = 0u64;
        for kind in 0..=u8::MAX {
            if kind == Kind::Commits as u8 || !which(kind) {
                continue;
            }
            let mut sum = Sum::default();
            for pair in self.engine.scan(&[kind], &[kind]) {
                let (place, value) = pair?;
                sum.add(self.counter.mac(&place, &value));
                counted = counted.saturating_add(1);
            }
            if sum != writer.root.tally.of(kind) {
                return Err(StoreError::Tampered { kind });
            }
        }
        Ok(counted)
    }

    /// The number of the epoch whose keys the store needs, and how long its file of records is.
    pub(super) fn records_need(&self) -> (u64, u64) {
        let root = &self.writer().root;
        (root.epoch, root.log)
    }

    /// Begins a commit. Other writers wait until it is committed or dropped.
    pub fn begin(&self) -> Txn<'_> {
        let writer = self.writer();
        let root = writer.root.clone();
        Txn {
            vault: self,
            writer,
            root,
            advanced: HashMap::new(),
            pending: HashMap::new(),
            writes: Writes::default(),
        }
    }

    /// Every value as it is, with its place, but for the count of commits.
    pub(super) fn raw(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + '_ {
        let commits = self.hashed(Kind::Commits, b"");
        self.engine
            .scan(&[], &[])
            .filter(move |pair| pair.as_ref().map_or(true, |(place, _)| *place != commits))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store at one moment: nobody writes while this is held.
    pub(super) fn still(&self) -> Result<Still<'_>, StoreError> {
        let writer = self.writer();
        self.ensure_durable()?;
        Ok(Still { engine: &self.engine, writer })
    }

    /// Seals what a backup says of itself, and opens it.
    pub(super) fn backup_seal(&self) -> Crypter {
        Crypter::new(&self.master.derive("backup"))
    }

    fn read(
        &self,
        crypter: &Crypter,
        kind: Kind,
        place: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let value = self.engine.get(place)?;
        value.map(|v| crypter.open(place, &v, kind.what())).transpose()
    }

    /// What stands at `place` on disk.
    fn standing(&self, place: &[u8]) -> Result<Standing, StoreError> {
        let value = self.engine.get(place)?.filter(|value| !value.is_empty());
        Ok(value.map(|v| (crypter::version(&v).unwrap_or(0), self.counter.mac(place, &v))))
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

/// Hashes words: SipHash-2-4 (Aumasson and Bernstein, INDOCRYPT 2012) under a key of the vault, cut to 32 bits. What it
/// gives is stored under seal only.
#[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct WordKey([u8; 16]);

impl WordKey {
    /// The hash of a word.
    pub fn hash(&self, word: &str) -> super::records::WordHash {
        use std::hash::Hasher as _;
        let mut hasher = siphasher::sip::SipHasher24::new_with_key(&self.0);
        hasher.write(word.as_bytes());
        // Half of it.
        hasher.finish() as u32
    }
}

impl std::fmt::Debug for WordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WordKey(..)")
    }
}

/// A value as a scan finds it.
pub(super) struct Sealed {
    kind: Kind,
    /// Its number.
    pub(super) number: u64,
    place: Vec<u8>,
    value: Vec<u8>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.home.display())
    }
}

/// See [`Vault::still`].
pub(super) struct Still<'v> {
    engine: &'v Engine,
    writer: MutexGuard<'v, Writer>,
}

impl Still<'_> {
    /// How many commits the store holds.
    pub(super) fn commits(&self) -> u64 {
        self.writer.root.commits
    }

    /// Every place with what is there, as it is on disk, in order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
        self.engine.scan(&[], &[])
    }
}

pub(super) fn numbered(kind: Kind, n: u64) -> Vec<u8> {
    std::iter::once(kind as u8).chain(n.to_be_bytes()).collect()
}
