//! The embedded store; the only file that names sled (docs/storage.md).
//!
//! **Durability.** sled 0.34's `flush` ends in `sync_file_range`, which survives a killed process but not a
//! power cut. A commit here is: one atomic batch, `flush`, then `fsync` of sled's file; only then does it
//! return. sled's own background flushing is off, so nothing is acknowledged on its say.
//!
//! **Damage.** sled panics on some corrupted files. Every call is guarded, and a panic becomes an error that
//! tells to restore.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use super::error::StoreError;

/// Memory that sled may use for its page cache, in bytes.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// Bytes of one segment of sled's log, its largest setting but one.
///
/// sled moves any log message over a quarter of a segment to a file of its own under `blobs/`, which it never
/// syncs. A message may be a leaf, and a leaf holds up to about 17 values before it splits, so
/// 17 * [`VALUE_BYTES`] stays below a quarter of this.
pub(super) const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// How long a store that was dropped is waited for, and how often.
const CLOSING: Duration = Duration::from_millis(25);
const CLOSING_TRIES: usize = 80;

/// Most bytes of one value.
pub(super) const VALUE_BYTES: usize = 112 * 1024;

/// Keys and sealed values, nothing more.
pub(super) struct Engine {
    db: sled::Db,
    file: File,
    halted: AtomicBool,
    syncs: AtomicU64,
}

/// Writes that happen together or not at all.
#[derive(Default)]
pub(super) struct Writes(sled::Batch);

impl Writes {
    pub(super) fn put(&mut self, key: &[u8], value: Vec<u8>) {
        self.0.insert(key, value);
    }

    pub(super) fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
}

impl Engine {
    /// Opens the store in `dir`, making it if need be, and makes its files and folder durable once.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        clear_unfinished(dir)?;
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(None);
        // sled gives lock errors as Io with this text and no kind of its own.
        let locked = |e: &sled::Error| matches!(e, sled::Error::Io(io) if io.to_string().contains("could not acquire lock"));
        let mut tries = 0;
        let db = loop {
            match guard(|| config.open())? {
                // The folder's lock keeps other processes away, so this is a store that this one has dropped and whose
                // threads have not yet let go.
                Err(error) if locked(&error) && tries < CLOSING_TRIES => tries += 1,
                Err(error) if locked(&error) => return Err(StoreError::InUse),
                opened => break opened.map_err(failure)?,
            }
            std::thread::sleep(CLOSING);
        };
        let file = File::options()
            .read(true)
            .write(true)
            .open(dir.join("db"))
            .map_err(StoreError::io("opening the vault's file"))?;
        let engine = Self { db, file, halted: AtomicBool::new(false), syncs: AtomicU64::new(0) };
        engine.sync_everything(dir)?;
        Ok(engine)
    }

    /// The value at `key`.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(guard(|| self.db.get(key))?.map_err(failure)?.map(|v| v.to_vec()))
    }

    /// The last key that begins with `prefix`.
    pub(super) fn last_key(&self, prefix: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let last = guard(|| self.db.scan_prefix(prefix).next_back())?.transpose().map_err(failure)?;
        Ok(last.map(|(key, _)| key.to_vec()))
    }

    /// Keys and values from `from` on that begin with `prefix`, in order.
    pub(super) fn scan(
        &self,
        prefix: &[u8],
        from: &[u8],
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
        let prefix = prefix.to_vec();
        let mut pairs = self.db.range(from.to_vec()..);
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let next = match guard(|| pairs.next()) {
                Ok(next) => next?.map_err(failure),
                Err(panicked) => Err(panicked),
            };
            match next {
                Ok((key, _)) if !key.starts_with(&prefix) => {
                    ended = true;
                    None
                }
                Ok((key, value)) => Some(Ok((key.to_vec(), value.to_vec()))),
                Err(error) => {
                    ended = true;
                    Some(Err(error))
                }
            }
        })
    }

    /// An error once a write has failed: what is read may then be in memory alone.
    pub(super) fn ensure_durable(&self) -> Result<(), StoreError> {
        if self.halted.load(Ordering::Acquire) { Err(StoreError::Halted) } else { Ok(()) }
    }

    /// Applies `writes` atomically and returns once they survive a power cut. After a failure nothing more is
    /// written until the store is opened again: what reached the disk is then read from it.
    pub(super) fn commit(&self, writes: Writes) -> Result<(), StoreError> {
        self.ensure_durable()?;
        let written = guard(|| {
            self.db.apply_batch(writes.0)?;
            self.db.flush()
        })
        .and_then(|flushed| flushed.map(|_| ()).map_err(failure))
        .and_then(|()| self.sync());
        if written.is_err() {
            self.halted.store(true, Ordering::Release);
        }
        written
    }

    /// Puts an empty value, which no sealed one is, at every place that has none, one after the other as they come. sled
    /// rewrites a leaf as it grows and where it splits, so that what is put once is written some four times; into a leaf
    /// that has its keys already each value goes once. A batch would not do: sled takes it in no order, and leaves
    /// filled in no order hold more keys than it takes changes before it rewrites them.
    pub(super) fn lay_out(
        &self,
        places: impl Iterator<Item = Result<Vec<u8>, StoreError>>,
    ) -> Result<(), StoreError> {
        for place in places {
            let place = place?;
            guard(|| {
                self.db.contains_key(&place).and_then(|there| match there {
                    true => Ok(None),
                    false => self.db.insert(&place, &[]),
                })
            })?
            .map_err(failure)?;
        }
        self.commit(Writes::default())
    }

    /// Refuses further writes until the store is opened again.
    pub(super) fn halt(&self) {
        self.halted.store(true, Ordering::Release);
    }

    /// How many times the file was synced; tests see by it that no commit returns without.
    #[cfg(test)]
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Acquire)
    }

    fn sync(&self) -> Result<(), StoreError> {
        // The length of the file is synced where it changed; when it was last written need not be.
        self.file.sync_data().map_err(StoreError::io("making the vault durable"))?;
        self.syncs.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Files that sled made at opening, and the folders that name them.
    fn sync_everything(&self, dir: &Path) -> Result<(), StoreError> {
        guard(|| self.db.flush())?.map_err(failure)?;
        let io = StoreError::io("making the vault durable");
        for entry in std::fs::read_dir(dir).map_err(&io)? {
            let path = entry.map_err(&io)?.path();
            if path.is_file() {
                File::open(path).and_then(|f| f.sync_all()).map_err(&io)?;
            }
        }
        for folder in [Some(dir), dir.parent()].into_iter().flatten() {
            File::open(folder).and_then(|f| f.sync_all()).map_err(&io)?;
        }
        self.sync()
    }
}

/// Removes snapshots that a stop or a full disk left half written. A snapshot only makes opening quicker, but one that is
/// half written sled takes for one that is damaged, and never opens again.
fn clear_unfinished(dir: &Path) -> Result<(), StoreError> {
    let io = StoreError::io("clearing the vault's folder");
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry.map_err(&io)?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            std::fs::remove_file(path).map_err(&io)?;
        }
    }
    Ok(())
}

/// Runs a call into sled; a panic in it is damage.
fn guard<T>(call: impl FnOnce() -> T) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| StoreError::Damaged("its store cannot be read"))
}

fn failure(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(io) => StoreError::io("reading or writing the vault")(io),
        sled::Error::Corruption { .. } => StoreError::Damaged("its store is corrupted"),
        _ => StoreError::Damaged("its store does not answer as it should"),
    }
}
