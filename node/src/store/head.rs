//! The head: how many commits the store must hold, kept outside it (docs/storage.md).
//!
//! sled takes a damaged end of its log for a write that was under way and opens without it; so would anyone who
//! puts an older copy of the store back. Each commit carries its number inside, and after it is durable the
//! number is written here. A store that opens with a lower number than this has lost acknowledged writes.
//!
//! The number is written at once, and synced by the first commit that comes a second or more after the last sync, and
//! when the vault is closed: it must not be ahead of the store, and may be behind it. What was not synced can be lost by a
//! power cut; to go unnoticed, the store would have to lose the end of its log in the same moment, after an fsync that was
//! said to have succeeded.
//!
//! Two slots in turn, each within one sector, so that a write cut short spoils one and leaves the other.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    crypter::{Crypter, SecretKey},
    error::StoreError,
};

const SLOT_BYTES: u64 = 512;
/// Format, version, nonce, eight bytes of number, tag.
const SEALED_BYTES: usize = 1 + 8 + 24 + 8 + 16;
const DAMAGED: &str = "the file that counts its commits does not open";

/// How long the number may stay unsynced while there are commits.
const UNSYNCED: Duration = Duration::from_secs(1);

pub(super) struct Head {
    file: File,
    crypter: Crypter,
    synced: Mutex<Option<Instant>>,
}

impl Head {
    pub(super) fn create(path: &Path, key: &SecretKey) -> Result<Self, StoreError> {
        let head = Self::over(path, key, true)?;
        head.write(0)?;
        Ok(head)
    }

    pub(super) fn open(path: &Path, key: &SecretKey) -> Result<(Self, u64), StoreError> {
        let head = Self::over(path, key, false)?;
        let number = head.read()?;
        Ok((head, number))
    }

    /// Records that commit `number` is in the store.
    pub(super) fn write(&self, number: u64) -> Result<(), StoreError> {
        let io = StoreError::io("counting a commit");
        let slot = number % 2;
        let sealed = self.crypter.seal(&place(slot), number, &number.to_be_bytes())?;
        self.file.write_all_at(&sealed, slot * SLOT_BYTES).map_err(&io)?;
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if synced.is_none_or(|at| at.elapsed() >= UNSYNCED) {
            self.file.sync_data().map_err(&io)?;
            *synced = Some(Instant::now());
        }
        Ok(())
    }

    fn over(path: &Path, key: &SecretKey, create: bool) -> Result<Self, StoreError> {
        let io = StoreError::io("opening the file that counts commits");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create).truncate(create).mode(0o600);
        let file = match options.open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Damaged("the file that counts its commits is missing"));
            }
            other => other.map_err(&io)?,
        };
        if create {
            // Both slots are allocated once, so that a full disk cannot stop a later count halfway.
            file.write_all_at(&[0; SLOT_BYTES as usize * 2], 0)
                .and_then(|()| file.sync_all())
                .map_err(&io)?;
        }
        Ok(Self { file, crypter: Crypter::new(key), synced: Mutex::new(None) })
    }

    fn read(&self) -> Result<u64, StoreError> {
        let newest = (0..2).filter_map(|slot| {
            let mut sealed = [0; SEALED_BYTES];
            self.file.read_exact_at(&mut sealed, slot * SLOT_BYTES).ok()?;
            let plain = self.crypter.open(&place(slot), &sealed, DAMAGED).ok()?;
            plain.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
        });
        newest.max().ok_or(StoreError::Damaged(DAMAGED))
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        let _ = self.file.sync_data();
    }
}

fn place(slot: u64) -> Vec<u8> {
    [b"head/".as_slice(), &slot.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_count_is_read_and_one_spoilt_slot_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        let key = SecretKey::new([1; 32]);
        let head = Head::create(&path, &key).unwrap();
        for n in 1..=5 {
            head.write(n).unwrap();
        }
        assert_eq!(Head::open(&path, &key).unwrap().1, 5);
        head.file.write_all_at(&[9; 8], SLOT_BYTES).unwrap();
        assert_eq!(Head::open(&path, &key).unwrap().1, 4);
        head.file.write_all_at(&[9; 8], 0).unwrap();
        assert!(matches!(Head::open(&path, &key), Err(StoreError::Damaged(_))));
    }
}
