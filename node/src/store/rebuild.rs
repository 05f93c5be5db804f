//! The store made anew: what it still holds is copied into a fresh one, which takes its place (docs/storage.md).
//!
//! sled never gives room back, and the file of records is only ever added to. The copy is made beside the store, opened
//! as the next opening will open it, counted and compared; then it takes the old one's place ([`super::staging`]). The
//! keys of records stay where they are: a second copy of them would outlive an erasure.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

pub use super::staging::Step;
use super::{
    engine::SEGMENT_BYTES,
    error::StoreError,
    home::{HEAD, RECORDS, STORE},
    records::Records,
    staging,
    vault::{Kind, Vault},
};

/// Bytes copied in one commit.
pub(super) const COMMIT_BYTES: usize = 4 * 1024 * 1024;
/// What names places in the file of records, and so is not copied as it is.
const PLACED: [Kind; 2] = [Kind::Facets, Kind::Entries];

/// What a rebuild did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebuilt {
    /// Values in the store.
    pub values: u64,
    /// Bytes on disk before, of the store and of the file of records.
    pub bytes_before: u64,
    /// Bytes on disk now.
    pub bytes_after: u64,
}

/// How many percent of the room of the store and of the file of records hold nothing that is still needed, about.
pub fn reclaimable(records: &Records) -> Result<u8, StoreError> {
    let vault = records.vault();
    let held = size(vault.home())?;
    let mut values = 0u64;
    for pair in vault.still()?.pairs() {
        let (place, value) = pair?;
        values = values.saturating_add((place.len() + value.len()) as u64);
    }
    // A fresh store begins with a whole segment, however little is in it.
    let store = values.max(1).next_multiple_of(SEGMENT_BYTES as u64);
    let free = held.saturating_sub(store).saturating_sub(records.needed()?);
    Ok(u8::try_from(free.saturating_mul(100) / held.max(1)).unwrap_or(100))
}

/// Makes the store under `records` anew, which nobody else may hold. `step` hears how far it is.
pub fn rebuild(records: Records, step: &mut dyn FnMut(Step)) -> Result<Rebuilt, StoreError> {
    let old = Arc::clone(records.vault());
    let home = old.home().to_owned();
    let bytes_before = size(&home)?;
    let copied = copy(&old, records, step).inspect_err(|_| {
        // What is left of it goes at the next opening, if not now.
        let _ = staging::finish(&home, &mut |_| ());
    });
    let values = copied?;
    // From here to the end nobody else comes in, though neither store is open.
    let _closed = Arc::into_inner(old).ok_or(StoreError::InUse)?.close();
    staging::complete(&home, step)?;
    Ok(Rebuilt { values, bytes_before, bytes_after: size(&home)? })
}

/// Makes the copy, and compares. Gives how many values it holds.
fn copy(old: &Arc<Vault>, records: Records, step: &mut dyn FnMut(Step)) -> Result<u64, StoreError> {
    // These two; whoever else holds it could write.
    if Arc::strong_count(old) > 2 {
        return Err(StoreError::InUse);
    }
    let new = old.beside(&staging::begin(old.home())?)?;
    new.lay_out(old.raw().map(|pair| Ok(pair?.0)))?;
    let (mut copied, mut waiting) = (0u64, 0usize);
    let mut txn = new.begin();
    for pair in old.raw() {
        let (place, sealed) = pair?;
        if PLACED.iter().any(|kind| place.first() == Some(&(*kind as u8))) {
            continue;
        }
        waiting += place.len() + sealed.len();
        txn.put_sealed(place, sealed);
        if waiting >= COMMIT_BYTES {
            txn.commit()?;
            txn = new.begin();
            copied = copied.saturating_add(waiting as u64);
            waiting = 0;
            step(Step::Copied(copied));
        }
    }
    txn.commit()?;
    copied = copied.saturating_add(waiting as u64);
    records.copy_to(&new, &mut |bytes| step(Step::Copied(copied.saturating_add(bytes))))?;
    let (new, _) = new.close().open()?;
    let new = Arc::new(new);
    let values = new.check()?;
    if !new.holds_as(old, &PLACED) {
        return Err(StoreError::Damaged("a copy of its store is not what was copied"));
    }
    records.moved_to(new)?;
    Ok(values)
}

/// Room that the store, its count and its file of records take on disk.
fn size(home: &Path) -> Result<u64, StoreError> {
    let io = StoreError::io("measuring the store");
    let mut paths: Vec<PathBuf> = [STORE, HEAD, RECORDS].map(|name| home.join(name)).into();
    let mut bytes = 0;
    while let Some(path) = paths.pop() {
        let about = match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.map_err(&io)?,
        };
        if about.is_dir() {
            for entry in fs::read_dir(&path).map_err(&io)? {
                paths.push(entry.map_err(&io)?.path());
            }
        } else {
            bytes += about.blocks() * 512;
        }
    }
    Ok(bytes)
}
