//! The keys of all pages, in files of their own beside the keyring, so that what is erased stays erased whatever the
//! store keeps (docs/storage.md).
//!
//! `keys.0` or `keys.1` holds every page's keys, sealed whole under an **epoch key**; `epoch` holds the number of the
//! epoch and its key, sealed under a sub-key of the master key. A change writes the other keys file under a fresh epoch
//! key, then replaces `epoch`, then destroys the keys file of the epoch before. Up to the replacement of `epoch` the old
//! state holds, from then on the new one; nothing else opens the old.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{
    super::{
        crypter::{Crypter, SecretKey, version},
        durable,
        error::StoreError,
        home::{EPOCH, KEYS},
    },
    PAGE_ROWS,
    seeds::Seeds,
};

/// Pages whose keys are made at once, so that an import of a million records writes the file a few times only.
pub(super) const AHEAD: usize = 256;
/// Largest file of keys, in bytes, written and read.
pub(in super::super) const FILE_BYTES: u64 = 1024 * 1024 * 1024;
/// Most pages: 61 million records. However many are erased, their keys fit in the file, so that no erasure fails for it
/// once it is committed.
const PAGES: usize = FILE_BYTES as usize / (PageKey::MOST_BYTES + 1);

/// The keys of one page.
#[derive(Clone)]
pub(super) struct PageKey {
    /// Under which its facets, entries and words are sealed; another one after each erasure.
    facet: SecretKey,
    /// The data keys of its records.
    pub(super) seeds: Seeds,
}

impl PageKey {
    /// Most bytes of an encoded one.
    const MOST_BYTES: usize = 32 + Seeds::MOST_BYTES;

    fn random() -> Result<Self, StoreError> {
        Ok(Self { facet: SecretKey::random()?, seeds: Seeds::random()? })
    }

    /// This page's keys without that of the record at `place`, and with another for what is said about the rest.
    pub(super) fn without(&self, place: u16) -> Result<Self, StoreError> {
        let mut seeds = self.seeds.clone();
        seeds.puncture(place);
        Ok(Self { facet: SecretKey::random()?, seeds })
    }

    /// What seals the page's facets, entries and words.
    pub(super) fn crypter(&self) -> Crypter {
        Crypter::new(&self.facet)
    }

    pub(super) fn encode(&self, to: &mut Zeroizing<Vec<u8>>) {
        to.extend_from_slice(self.facet.bytes());
        self.seeds.encode(to);
    }

    pub(super) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (facet, rest) = bytes.split_first_chunk::<32>()?;
        *bytes = rest;
        Some(Self { facet: SecretKey::new(*facet), seeds: Seeds::decode(bytes)? })
    }
}

/// All of them, as on disk.
pub(super) struct PageKeys {
    home: PathBuf,
    /// Seals the epoch file.
    master: Crypter,
    number: u64,
    key: SecretKey,
    pages: Vec<PageKey>,
}

impl PageKeys {
    /// Makes the first epoch, durably.
    pub(super) fn create(home: &Path, master: &SecretKey) -> Result<Self, StoreError> {
        let mut keys = Self {
            home: home.to_owned(),
            master: Crypter::new(&master.derive("epoch")),
            number: 0,
            key: SecretKey::random()?,
            pages: Vec::new(),
        };
        keys.grow(0)?;
        Ok(keys)
    }

    /// Reads the files; `None` if there are none.
    pub(super) fn open(home: &Path, master: &SecretKey) -> Result<Option<Self>, StoreError> {
        const WHAT: &str = "the keys of its records do not open";
        let master = Crypter::new(&master.derive("epoch"));
        let Some(sealed) = durable::read(&home.join(EPOCH), 4096, "reading the epoch")? else {
            return Ok(None);
        };
        let damaged = || StoreError::Damaged(WHAT);
        let plain = master.open(EPOCH.as_bytes(), &sealed, WHAT)?;
        let number = version(&sealed).ok_or_else(damaged)?;
        let key = SecretKey::new(*plain.first_chunk::<32>().ok_or_else(damaged)?);
        let mut keys = Self { home: home.to_owned(), master, number, key, pages: Vec::new() };
        let path = keys.path(number);
        let sealed = durable::read(&path, FILE_BYTES, "reading the keys of records")?.ok_or_else(damaged)?;
        let plain = Crypter::new(&keys.key).open(b"keys", &sealed, WHAT)?;
        let mut rest = plain.as_slice();
        while !rest.is_empty() {
            keys.pages.push(PageKey::decode(&mut rest).ok_or_else(damaged)?);
        }
        // What an unfinished change left, of this epoch or the one after it.
        durable::destroy(&keys.path(number.wrapping_add(1)), "clearing away old keys")?;
        Ok(Some(keys))
    }

    /// The number of the epoch.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn page(&self, page: u64) -> Option<&PageKey> {
        self.pages.get(usize::try_from(page).ok()?)
    }

    /// Makes keys for pages up to `page`, durably, and for some more.
    pub(super) fn grow(&mut self, page: u64) -> Result<(), StoreError> {
        let needed = usize::try_from(page).unwrap_or(usize::MAX).saturating_add(1);
        if self.pages.len() >= needed {
            return Ok(());
        }
        if needed > PAGES {
            return Err(StoreError::Full { what: "records", most: PAGES * PAGE_ROWS });
        }
        let before = self.pages.len();
        while self.pages.len() < needed.saturating_add(AHEAD).min(PAGES) {
            self.pages.push(PageKey::random()?);
        }
        self.turn().inspect_err(|_| self.pages.truncate(before))
    }

    /// Sets the keys of a page; nothing is written until [`PageKeys::turn`].
    pub(super) fn set(&mut self, page: u64, key: PageKey) -> Result<(), StoreError> {
        let place = usize::try_from(page).ok().and_then(|page| self.pages.get_mut(page));
        *place.ok_or(StoreError::Damaged("the keys of a page are missing"))? = key;
        Ok(())
    }

    /// Writes all keys under a new epoch key. What only the epoch before opened is then out of reach.
    pub(super) fn turn(&mut self) -> Result<(), StoreError> {
        let number = self.number.saturating_add(1);
        let key = SecretKey::random()?;
        let mut plain = Zeroizing::new(Vec::with_capacity(self.pages.len() * 128));
        self.pages.iter().for_each(|page| page.encode(&mut plain));
        let sealed = Crypter::new(&key).seal(b"keys", number, &plain)?;
        durable::replace(&self.path(number), &sealed, "writing the keys of records")?;
        let sealed = self.master.seal(EPOCH.as_bytes(), number, key.bytes())?;
        durable::replace(&self.home.join(EPOCH), &sealed, "writing the epoch")?;
        let old = self.path(self.number);
        (self.number, self.key) = (number, key);
        durable::destroy(&old, "destroying old keys")
    }

    /// Seals something for this epoch alone.
    pub(super) fn seal(&self, place: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        Crypter::new(&self.key).seal(place, self.number, plain)
    }

    /// Opens it while the epoch lasts; `None` once it is over.
    pub(super) fn open_sealed(
        &self,
        place: &[u8],
        sealed: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        if version(sealed).is_none_or(|number| number != self.number) {
            return Ok(None);
        }
        Crypter::new(&self.key).open(place, sealed, "an erasure under way does not open").map(Some)
    }

    fn path(&self, number: u64) -> PathBuf {
        let [even, odd] = KEYS;
        self.home.join(if number.is_multiple_of(2) { even } else { odd })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::super::key_files, *};

    fn key(keys: &PageKeys, page: u64, place: u16) -> Option<[u8; 32]> {
        keys.page(page)?.seeds.key(place).map(|k| *k.bytes())
    }

    /// Every state of the files that a stop could leave, one after the other.
    #[test]
    fn a_change_that_was_stopped_anywhere_leaves_the_old_keys_or_the_new() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path();
        let master = SecretKey::new([1; 32]);
        let mut keys = PageKeys::create(home, &master).unwrap();
        let kept = key(&keys, 3, 5);
        let before: Vec<_> = key_files(home).into_iter().map(|f| (fs::read(&f).ok(), f)).collect();
        let punctured = keys.page(3).unwrap().without(4).unwrap();
        keys.set(3, punctured).unwrap();
        keys.turn().unwrap();
        let after: Vec<_> = key_files(home).into_iter().map(|f| (fs::read(&f).ok(), f)).collect();
        let put = |files: &[(Option<Vec<u8>>, PathBuf)]| {
            for (bytes, file) in files {
                match bytes {
                    Some(bytes) => fs::write(file, bytes).unwrap(),
                    None => drop(fs::remove_file(file)),
                }
            }
        };
        let both: Vec<_> = before
            .iter()
            .zip(&after)
            .map(|((old, file), (new, _))| (new.clone().or(old.clone()), file.clone()))
            .collect();
        // The new keys are there and the epoch is still the old one.
        put(&both);
        fs::write(&before[0].1, before[0].0.as_ref().unwrap()).unwrap();
        let opened = PageKeys::open(home, &master).unwrap().unwrap();
        assert!(key(&opened, 3, 4).is_some() && key(&opened, 3, 5) == kept);
        // The epoch is the new one and the old keys are still there.
        put(&both);
        let opened = PageKeys::open(home, &master).unwrap().unwrap();
        assert!(key(&opened, 3, 4).is_none() && key(&opened, 3, 5) == kept);
        assert_eq!(key_files(home).iter().filter(|f| f.exists()).count(), 2, "old keys are cleared away");
        // Neither opens the other.
        put(&before);
        fs::write(&after[0].1, after[0].0.as_ref().unwrap()).unwrap();
        assert!(PageKeys::open(home, &master).is_err());
    }

    #[test]
    fn what_was_sealed_for_an_epoch_does_not_outlast_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = PageKeys::create(dir.path(), &SecretKey::new([1; 32])).unwrap();
        let sealed = keys.seal(b"x", b"secret").unwrap();
        assert_eq!(*keys.open_sealed(b"x", &sealed).unwrap().unwrap(), b"secret");
        keys.grow(AHEAD as u64 * 2).unwrap();
        assert!(keys.page(AHEAD as u64 * 2).is_some());
        assert!(keys.open_sealed(b"x", &sealed).unwrap().is_none());
    }

    #[test]
    fn no_more_pages_are_made_than_fit_in_the_file_however_many_records_are_erased() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = PageKeys::create(dir.path(), &SecretKey::new([1; 32])).unwrap();
        let number = keys.number();
        assert!(matches!(keys.grow(PAGES as u64), Err(StoreError::Full { .. })));
        assert_eq!((keys.number(), keys.page(AHEAD as u64 + 1).is_none()), (number, true));
        assert!((PAGES * PageKey::MOST_BYTES) as u64 + 1000 < FILE_BYTES);
    }
}
