//! A store that is made beside the one in use and takes its place whole (docs/storage.md).
//!
//! What is being made lies in the folder `next`. Once all of it is durable, a marker is written there; from then on
//! every opening moves the parts over before anything else, as often as it takes. Until then the old parts are the
//! vault, and `next` is cleared away by whoever begins again. So a stop at any point leaves one or the other.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::{durable, error::StoreError, records};

const FOLDER: &str = "next";
const COMPLETE: &str = "complete";

/// The parts of a store: all that belongs together but the keyring.
pub(super) fn parts(home: &Path) -> Vec<PathBuf> {
    let [epoch, even, odd] = records::key_files(home);
    vec![home.join("vault"), home.join("head"), records::log_path(home), even, odd, epoch]
}

/// A fresh folder for the parts to be made in.
pub(super) fn begin(home: &Path) -> Result<PathBuf, StoreError> {
    let io = StoreError::io("making a folder for the new store");
    let folder = home.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(&io)?;
    }
    fs::DirBuilder::new().mode(0o700).create(&folder).map_err(&io)?;
    Ok(folder)
}

/// Says that every part in the folder is durable, and puts them in place. Neither store may be open.
pub(super) fn complete(home: &Path) -> Result<(), StoreError> {
    let io = StoreError::io("completing the new store");
    let folder = home.join(FOLDER);
    let marker = folder.join(COMPLETE);
    File::open(&folder).and_then(|f| f.sync_all()).map_err(&io)?;
    File::create(&marker).and_then(|f| f.sync_all()).map_err(&io)?;
    durable::sync_folder(&marker).and_then(|()| durable::sync_folder(&folder)).map_err(&io)?;
    finish(home)
}

/// Puts the parts of a complete new store in place, if there is one.
pub(super) fn finish(home: &Path) -> Result<(), StoreError> {
    let io = StoreError::io("putting the new store in place");
    let folder = home.join(FOLDER);
    let marker = folder.join(COMPLETE);
    let Ok(held) = OpenOptions::new().write(true).open(&marker) else { return Ok(()) };
    // Whoever else opens the vault now is told that it is in use.
    flock(&held, FlockOperation::NonBlockingLockExclusive).map_err(|_| StoreError::InUse)?;
    for (old, new) in parts(home).into_iter().zip(parts(&folder)) {
        // A part is gone from the folder once it was moved, so that each step can be done again.
        if !new.exists() {
            continue;
        }
        if old.is_dir() {
            fs::remove_dir_all(&old).map_err(&io)?;
        }
        fs::rename(&new, &old).map_err(&io)?;
    }
    durable::sync_folder(&folder).and_then(|()| durable::sync_folder(&marker)).map_err(&io)?;
    fs::remove_file(&marker).map_err(&io)?;
    fs::remove_dir_all(&folder).map_err(&io)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(home: &Path, text: &str) {
        for part in parts(home) {
            if part.ends_with("vault") {
                fs::create_dir_all(&part).unwrap();
                fs::write(part.join("db"), text).unwrap();
            } else {
                fs::write(part, text).unwrap();
            }
        }
    }

    #[test]
    fn a_new_store_takes_the_place_of_the_old_whole_wherever_it_was_stopped() {
        for stop in 0..=parts(Path::new("")).len() {
            let dir = tempfile::tempdir().unwrap();
            fill(dir.path(), "old");
            // Without the marker nothing is moved, and a new beginning clears it away.
            fill(&begin(dir.path()).unwrap(), "half");
            finish(dir.path()).unwrap();
            assert_eq!(fs::read(dir.path().join("head")).unwrap(), b"old");
            let folder = begin(dir.path()).unwrap();
            fill(&folder, "new");
            fs::write(folder.join(COMPLETE), b"").unwrap();
            for (old, new) in parts(dir.path()).iter().zip(parts(&folder)).take(stop) {
                if old.is_dir() {
                    fs::remove_dir_all(old).unwrap();
                }
                fs::rename(new, old).unwrap();
            }
            finish(dir.path()).unwrap();
            for part in parts(dir.path()) {
                let file = if part.is_dir() { part.join("db") } else { part };
                assert_eq!(fs::read(file).unwrap(), b"new");
            }
            assert!(!folder.exists());
            finish(dir.path()).unwrap();
        }
    }
}
