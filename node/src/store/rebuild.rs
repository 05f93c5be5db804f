//! The store made anew: what it still holds is copied into a fresh one, which takes its place (docs/storage.md).
//!
//! sled never gives room back. The copy is made beside the store, read again and compared; once it is durable a mark says
//! that it is the vault's. From the mark on, every opening first finishes what was begun; before it, the old store is
//! the vault and a copy is cleared away. So a stop at any point leaves one or the other, whole.

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
    sync::Arc,
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    engine::{Engine, Writes},
    error::StoreError,
    vault::Vault,
};

const STORE: &str = "vault";
const NEXT: &str = "vault.next";
const OLD: &str = "vault.old";
const MARK: &str = "rebuilt";
/// Bytes copied in one commit.
const COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// Whoever holds it is the only process at work in a node's folder.
#[derive(Debug)]
pub(super) struct HomeLock(#[expect(dead_code, reason = "held, never read")] File);

impl HomeLock {
    pub(super) fn take(home: &Path) -> Result<Arc<Self>, StoreError> {
        let folder = File::open(home).map_err(StoreError::io("opening the vault's folder"))?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse),
            // A file system without locks has none for its store either.
            _ => Ok(Arc::new(Self(folder))),
        }
    }
}

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many bytes are copied.
    Copied(u64),
    /// The copy is whole, compared and durable.
    Compared,
    /// The mark says that the copy is the vault's.
    Marked,
    /// The old store was set aside.
    SetAside,
    /// The new one is in place.
    InPlace,
    /// All is done but for the old one's removal.
    Unmarked,
}

/// What a rebuild did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebuilt {
    /// Values in the store.
    pub values: u64,
    /// Bytes on disk before.
    pub bytes_before: u64,
    /// Bytes on disk now.
    pub bytes_after: u64,
}

/// How many percent of the store's room hold nothing that is still needed, about.
pub fn reclaimable(vault: &Vault) -> Result<u8, StoreError> {
    let held = size(&vault.home().join(STORE))?;
    let mut needed = 0u64;
    for pair in vault.still()?.pairs() {
        let (place, value) = pair?;
        needed = needed.saturating_add((place.len() + value.len()) as u64);
    }
    let free = held.saturating_sub(needed);
    Ok(u8::try_from(free.saturating_mul(100) / held.max(1)).unwrap_or(100))
}

/// Makes the store of `vault`, which nobody else may hold, anew. `step` hears how far it is.
pub fn rebuild(vault: Arc<Vault>, step: &mut dyn FnMut(Step)) -> Result<Rebuilt, StoreError> {
    let vault = Arc::try_unwrap(vault).map_err(|_| StoreError::InUse)?;
    let home = vault.home().to_owned();
    let io = StoreError::io("making the store anew");
    let bytes_before = size(&home.join(STORE))?;
    let next = home.join(NEXT);
    DirBuilder::new().mode(0o700).create(&next).map_err(&io)?;
    let copied = copy(&vault, &next, step);
    let values = copied.inspect_err(|_| drop(fs::remove_dir_all(&next)))?;
    step(Step::Compared);
    // From here to the end nobody else comes in, though neither store is open.
    let _lock = vault.lock();
    drop(vault);
    File::create(home.join(MARK)).and_then(|mark| mark.sync_all()).map_err(&io)?;
    sync(&home)?;
    step(Step::Marked);
    finish(&home, step)?;
    Ok(Rebuilt { values, bytes_before, bytes_after: size(&home.join(STORE))? })
}

fn copy(vault: &Vault, next: &Path, step: &mut dyn FnMut(Step)) -> Result<u64, StoreError> {
    let (mut values, mut copied, mut waiting) = (0u64, 0u64, 0usize);
    let mut before = Sha256::new();
    {
        let still = vault.still()?;
        let engine = Engine::open(next)?;
        let mut writes = Writes::default();
        for pair in still.pairs() {
            let (place, value) = pair?;
            hash(&mut before, &place, &value);
            waiting += place.len() + value.len();
            writes.put(&place, value);
            values += 1;
            if waiting >= COMMIT_BYTES {
                copied = copied.saturating_add(waiting as u64);
                waiting = 0;
                engine.commit(std::mem::take(&mut writes))?;
                step(Step::Copied(copied));
            }
        }
        engine.commit(writes)?;
    }
    // Read as the next opening will.
    let engine = Engine::open(next)?;
    let mut after = Sha256::new();
    for pair in engine.scan(&[], &[]) {
        let (place, value) = pair?;
        hash(&mut after, &place, &value);
    }
    drop(engine);
    if before.finalize() != after.finalize() {
        return Err(StoreError::Damaged("a copy of its store is not what was copied"));
    }
    for entry in fs::read_dir(next).map_err(StoreError::io("making the store anew"))? {
        let path = entry.map_err(StoreError::io("making the store anew"))?.path();
        sync(&path)?;
    }
    sync(next)?;
    Ok(values)
}

/// Finishes a rebuild that was stopped after its mark, and clears away what one that was stopped before left behind.
/// Whoever calls holds the folder's lock.
pub(super) fn finish(home: &Path, step: &mut dyn FnMut(Step)) -> Result<(), StoreError> {
    let io = StoreError::io("putting the new store in place");
    let [store, next, old, mark] = [STORE, NEXT, OLD, MARK].map(|name| home.join(name));
    if mark.exists() {
        if next.exists() {
            if store.exists() {
                fs::rename(&store, &old).map_err(&io)?;
                sync(home)?;
            }
            step(Step::SetAside);
            fs::rename(&next, &store).map_err(&io)?;
        }
        sync(home)?;
        step(Step::InPlace);
        fs::remove_file(&mark).map_err(&io)?;
        sync(home)?;
        step(Step::Unmarked);
    }
    for left in [next, old] {
        if left.exists() {
            fs::remove_dir_all(left).map_err(&io)?;
        }
    }
    Ok(())
}

fn hash(hash: &mut Sha256, place: &[u8], value: &[u8]) {
    for part in [place, value] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
}

fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|f| f.sync_all()).map_err(StoreError::io("making the new store durable"))
}

/// Room that a folder's files take on disk.
fn size(folder: &Path) -> Result<u64, StoreError> {
    let io = StoreError::io("measuring the store");
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(&io)? {
        let about = entry.and_then(|entry| entry.metadata()).map_err(&io)?;
        if about.is_file() {
            bytes += about.blocks() * 512;
        }
    }
    Ok(bytes)
}
