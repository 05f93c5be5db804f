//! From format 1 to the one of today (docs/storage.md).
//!
//! Format 1 kept each record as one value under the vault's key, its import mark as another, and 256 facets as a third.
//! A new store is made beside the old one, record by record; all other values are taken over as they are. When the new
//! one is complete it takes the old one's place ([`staging`]). Stopped anywhere before, the old vault is what it was.

use std::{path::Path, sync::Arc};

use zeroize::Zeroizing;

use super::{
    error::StoreError,
    keyring::Unlock,
    records::{NewRecord, RecordNumber, Records, SourceKey},
    staging,
    vault::{Kind, Vault},
};

/// Records, or other values, in one commit.
const BATCH: usize = 1000;

/// A record of an older vault.
pub struct OldRecord {
    /// Its number.
    pub number: RecordNumber,
    /// What it was imported from.
    pub source: Option<SourceKey>,
    /// Its body.
    pub body: Zeroizing<Vec<u8>>,
}

/// An upgrade under way.
pub struct Upgrade {
    old: Vault,
    new: Arc<Vault>,
    records: Records,
}

impl Upgrade {
    /// Opens a vault of an older format; `None` if it is of the newest.
    pub fn begin<'a>(home: &Path, unlock: impl Into<Unlock<'a>>) -> Result<Option<Self>, StoreError> {
        let Some((old, new)) = Vault::open_to_upgrade(home, &unlock.into())? else { return Ok(None) };
        let new = Arc::new(new);
        let records = Records::open(Arc::clone(&new))?;
        Ok(Some(Self { old, new, records }))
    }

    /// The keys of this vault.
    pub fn vault(&self) -> &Vault {
        &self.new
    }

    /// Copies everything, each record as `remake` makes it anew, telling `progress` how many are done. Returns how many
    /// records there are, once the new vault is in place.
    pub fn run<E: From<StoreError>>(
        self,
        remake: impl Fn(&Vault, OldRecord) -> Result<NewRecord, E>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, E> {
        self.copy_other()?;
        let mut next = 0u64;
        let mut copied = 0u64;
        let mut batch = Vec::with_capacity(BATCH);
        for pair in self.old.scan_from(Kind::Record, 0) {
            let (number, framed) = pair?;
            // Numbers of erased records stay theirs.
            for _ in next..number {
                self.add(&mut batch, None)?;
            }
            next = number.saturating_add(1);
            copied += 1;
            let new = remake(&self.new, unframed(RecordNumber(number), &framed)?)?;
            self.add(&mut batch, Some(new))?;
            if batch.is_empty() {
                progress(copied);
            }
        }
        // The last records may have been erased; their facets tell.
        for _ in next..self.old_rows()? {
            self.add(&mut batch, None)?;
        }
        self.records.insert_as_numbered(batch)?;
        self.records.check()?;
        self.new.check()?;
        let home = self.old.home().to_owned();
        let Self { old, new, records } = self;
        // Nobody else comes in until it is in place.
        let _lock = old.lock();
        drop((old, records, new));
        staging::complete(&home, &mut |_| ())?;
        progress(copied);
        Ok(copied)
    }

    fn add(&self, batch: &mut Vec<Option<NewRecord>>, new: Option<NewRecord>) -> Result<(), StoreError> {
        batch.push(new);
        if batch.len() == BATCH {
            self.records.insert_as_numbered(std::mem::take(batch))?;
        }
        Ok(())
    }

    /// How many numbers were given out.
    fn old_rows(&self) -> Result<u64, StoreError> {
        const ROW: usize = 40;
        let mut rows = 0;
        for segment in self.old.scan_from(Kind::Segment, 0) {
            rows += (segment?.1.len() / ROW) as u64;
        }
        Ok(rows)
    }

    /// What is not of records keeps its place, its key and so its seal.
    fn copy_other(&self) -> Result<(), StoreError> {
        let replaced = [Kind::Record, Kind::Source, Kind::Segment, Kind::Format].map(|kind| kind as u8);
        let mut txn = self.new.begin();
        let mut waiting = 0;
        for pair in self.old.raw() {
            let (place, sealed) = pair?;
            if place.first().is_some_and(|kind| replaced.contains(kind)) {
                continue;
            }
            // A commit is as large as one of documents may be.
            waiting += sealed.len();
            txn.put_sealed(place, sealed);
            if waiting > 4 * 1024 * 1024 {
                txn.commit()?;
                txn = self.new.begin();
                waiting = 0;
            }
        }
        txn.commit()
    }
}

/// A body of format 1: 1 and 32 bytes of source, or 0; then the body.
fn unframed(number: RecordNumber, value: &[u8]) -> Result<OldRecord, StoreError> {
    let (source, body) = match value.split_first() {
        Some((0, body)) => (None, body),
        Some((1, rest)) => match rest.split_first_chunk::<32>() {
            Some((source, body)) => (Some(*source), body),
            None => return Err(StoreError::Damaged("a record of the old format does not read")),
        },
        _ => return Err(StoreError::Damaged("a record of the old format does not read")),
    };
    Ok(OldRecord { number, source, body: Zeroizing::new(body.to_vec()) })
}
