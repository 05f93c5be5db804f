//! From older formats to the one of today, step by step (docs/storage.md).
//!
//! Format 1 kept each record as one value under the vault's key, its import mark as another, and 256 facets as a third.
//! A new store of format 2 is made beside the old one, record by record; all other values are taken over as they are.
//! When the new one is complete it takes the old one's place ([`staging`]). Stopped anywhere before, the old vault is
//! what it was. Format 2 kept keys of attachments under the vault's key: each is sealed anew, in place, under one that
//! its record's key leads to. Stopped halfway it is of format 2 still, and goes on from there.

use std::{path::Path, sync::Arc};

use zeroize::Zeroizing;

use super::{
    attachments::Attachments,
    error::StoreError,
    keyring::Unlock,
    records::{NewRecord, RecordNumber, Records, SourceKey},
    staging,
    vault::{FORMAT, Kind, Vault},
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
    vault: Vault,
    found: u16,
}

impl Upgrade {
    /// Opens a vault of an older format; `None` if it is of the newest.
    pub fn begin<'a>(home: &Path, unlock: impl Into<Unlock<'a>>) -> Result<Option<Self>, StoreError> {
        match Vault::open_as_found(home, &unlock.into())? {
            (_, FORMAT) => Ok(None),
            (vault, found) => Ok(Some(Self { vault, found })),
        }
    }

    /// The vault, as it is found.
    pub const fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Copies everything, each record as `remake` makes it anew, telling `progress` how many are done. Returns how many
    /// records there are, once the vault is of the newest format.
    pub fn run<E: From<StoreError>>(
        self,
        remake: impl Fn(&Vault, OldRecord) -> Result<NewRecord, E>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, E> {
        let vault = if self.found == 1 { records_apart(self.vault, remake, progress)? } else { self.vault };
        let vault = Arc::new(vault);
        let records = Arc::new(Records::open(Arc::clone(&vault))?);
        Attachments::upgrade(Arc::clone(&records), progress)?;
        let mut txn = vault.begin();
        txn.put(Kind::Format, b"", &FORMAT.to_be_bytes())?;
        txn.commit()?;
        Ok(records.count() as u64)
    }
}

/// From format 1 to 2.
fn records_apart<E: From<StoreError>>(
    old: Vault,
    remake: impl Fn(&Vault, OldRecord) -> Result<NewRecord, E>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vault, E> {
    let new = Arc::new(old.beside(&staging::begin(old.home())?)?);
    let copying = Copying { records: Records::open(Arc::clone(&new))?, old, new };
    copying.run(remake, progress)?;
    let Copying { old, new, records } = copying;
    drop((records, new));
    let home = old.home().to_owned();
    // Nobody else comes in until it is in place.
    let closed = old.close();
    staging::complete(&home, &mut |_| ())?;
    Ok(closed.open()?.0)
}

/// A store of format 1, and one of format 2 that is to take its place.
struct Copying {
    old: Vault,
    new: Arc<Vault>,
    records: Records,
}

impl Copying {
    fn run<E: From<StoreError>>(
        &self,
        remake: impl Fn(&Vault, OldRecord) -> Result<NewRecord, E>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), E> {
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
        progress(copied);
        Ok(())
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
        txn.put(Kind::Format, b"", &2u16.to_be_bytes())?;
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
