//! When each object was added to what TAXII serves (docs/storage.md).
//!
//! TAXII pages by the time at which an object was added, so every version of an object gets one of its own, later than
//! all before, and keeps it: it is on disk before anyone is told. Rows lie in order of that time, some thousands to a
//! sealed value, and are all in memory, 48 bytes each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};

use super::{
    error::StoreError,
    vault::{Kind, Vault},
};

const ROW_BYTES: usize = 34;
/// Rows of one sealed value.
const ROWS: usize = 3000;
const FORMAT: u8 = 1;

/// One version of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedRow {
    /// When it was added, in microseconds since 1970: no two rows have the same.
    pub at: i64,
    /// The version's `modified`, in nanoseconds since 1970; 0 for what has no versions, such as an observable.
    pub modified: i64,
    /// The UUID of its id.
    pub uuid: u128,
    /// Its type, as a number of the caller's.
    pub kind: u8,
    /// Its label, as a number of the caller's.
    pub label: u8,
}

impl AddedRow {
    /// What its version is called: when it was modified, or added here where it has no versions (TAXII 2.1 §3.3).
    pub const fn version(&self) -> i64 {
        if self.modified == 0 { self.at.saturating_mul(1000) } else { self.modified }
    }

    /// What tells one object from another.
    pub const fn object(&self) -> (u8, u128) {
        (self.kind, self.uuid)
    }

    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.at.to_be_bytes());
        to.extend_from_slice(&self.modified.to_be_bytes());
        to.extend_from_slice(&self.uuid.to_be_bytes());
        to.extend_from_slice(&[self.kind, self.label]);
    }

    fn read(row: &[u8; ROW_BYTES]) -> Option<Self> {
        let (at, rest) = row.split_first_chunk()?;
        let (modified, rest) = rest.split_first_chunk()?;
        let (uuid, rest) = rest.split_first_chunk()?;
        let [kind, label] = *rest.first_chunk()?;
        Some(Self {
            at: i64::from_be_bytes(*at),
            modified: i64::from_be_bytes(*modified),
            uuid: u128::from_be_bytes(*uuid),
            kind,
            label,
        })
    }
}

/// All rows, in order.
#[derive(Default)]
pub struct Rows {
    list: Vec<AddedRow>,
    /// Where the latest row of each object stands; earlier ones are passed over.
    latest: HashMap<(u8, u128), u32>,
}

impl Rows {
    fn push(&mut self, row: AddedRow) {
        self.latest.insert(row.object(), u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        self.list.push(row);
    }

    /// The latest row of each object that was added after `after`, in order.
    pub fn after(&self, after: i64) -> impl Iterator<Item = &AddedRow> {
        let start = self.list.partition_point(|row| row.at <= after);
        let rows = self.list.get(start..).unwrap_or_default();
        rows.iter().zip(start..).filter_map(|(row, place)| {
            (self.latest.get(&row.object()).copied() == u32::try_from(place).ok()).then_some(row)
        })
    }

    /// The latest row of an object.
    pub fn of(&self, object: (u8, u128)) -> Option<&AddedRow> {
        self.list.get(usize::try_from(*self.latest.get(&object)?).ok()?)
    }
}

/// The table.
pub struct Added {
    vault: Arc<Vault>,
    rows: RwLock<Rows>,
    /// Times are given out by one at a time, until their rows can be read.
    adding: Mutex<()>,
}

impl Added {
    /// Reads every row.
    pub fn open(vault: Arc<Vault>) -> Result<Self, StoreError> {
        let mut rows = Rows::default();
        for pair in vault.scan_from(Kind::Added, 0) {
            let (_, value) = pair?;
            let damaged = || StoreError::Damaged("a list of when objects were added does not read");
            let packed = value.strip_prefix(&[FORMAT]).ok_or_else(damaged)?;
            let (list, rest) = packed.as_chunks::<ROW_BYTES>();
            for row in list {
                let row = AddedRow::read(row).ok_or_else(damaged)?;
                if rows.list.last().is_some_and(|last| last.at >= row.at) {
                    return Err(damaged());
                }
                rows.push(row);
            }
            if !rest.is_empty() {
                return Err(damaged());
            }
        }
        Ok(Self { vault, rows: RwLock::new(rows), adding: Mutex::new(()) })
    }

    /// Adds versions that are not the latest here yet, in order, each at `now` (microseconds) or just after the one before. They
    /// are durable before they can be read.
    pub fn add(&self, versions: impl IntoIterator<Item = AddedRow>, now: i64) -> Result<usize, StoreError> {
        let _one = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh: Vec<AddedRow> = Vec::new();
        {
            let rows = self.read();
            let mut at = rows.list.last().map_or(now, |last| now.max(last.at.saturating_add(1)));
            let mut ours = HashMap::new();
            for version in versions {
                let known = ours.get(&version.object()).or(rows.of(version.object()).map(|r| &r.modified));
                // Not only later ones: a revocation is final, whenever it was made.
                if known.is_some_and(|known| *known == version.modified) {
                    continue;
                }
                ours.insert(version.object(), version.modified);
                fresh.push(AddedRow { at, ..version });
                at = at.saturating_add(1);
            }
        }
        if fresh.is_empty() {
            return Ok(0);
        }
        let mut txn = self.vault.begin();
        for chunk in fresh.chunks(ROWS) {
            let mut value = Vec::with_capacity(1 + chunk.len() * ROW_BYTES);
            value.push(FORMAT);
            chunk.iter().for_each(|row| row.write(&mut value));
            txn.append(Kind::Added, &value)?;
        }
        txn.commit()?;
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let count = fresh.len();
        fresh.into_iter().for_each(|row| rows.push(row));
        Ok(count)
    }

    /// The rows as they are now.
    pub fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{KdfParams, Passphrase};

    fn version(uuid: u128, modified: i64) -> AddedRow {
        AddedRow { at: 0, modified, uuid, kind: 1, label: 1 }
    }

    #[test]
    fn every_version_has_a_time_of_its_own_that_rises_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = || Passphrase::new("a passphrase for tests".into());
        let vault = Arc::new(Vault::create(dir.path(), &passphrase(), KdfParams::default()).unwrap());
        let added = Added::open(Arc::clone(&vault)).unwrap();
        assert_eq!(added.add((0..7000).map(|n| version(n, 5)), 1_000_000).unwrap(), 7000);
        // The same again adds nothing; another version of one has a new time, also when the clock went back.
        assert_eq!(added.add([version(3, 5), version(4, 5), version(5, 4), version(5, 4)], 10).unwrap(), 1);
        let times =
            |added: &Added| -> Vec<(i64, u128)> { added.read().after(0).map(|r| (r.at, r.uuid)).collect() };
        let before = times(&added);
        assert_eq!((before.len(), before.last()), (7000, Some(&(1_007_000, 5))));
        assert!(before.windows(2).all(|w| w[0].0 < w[1].0));
        drop((added, vault));
        let vault = Arc::new(Vault::open(dir.path(), &passphrase()).unwrap());
        let added = Added::open(vault).unwrap();
        assert_eq!(times(&added), before);
        assert_eq!(added.read().after(1_006_998).map(|r| r.uuid).collect::<Vec<_>>(), [6999, 5]);
    }
}
