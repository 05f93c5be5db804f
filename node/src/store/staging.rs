//! A store that is made beside the one in use and takes its place whole (docs/storage.md).
//!
//! What is being made lies in the folder `next`. Once all of it is durable a mark is written there; from then on every
//! opening moves its parts over before anything else, as often as it takes. Until then the old parts are the vault, and
//! `next` is cleared away. So a stop at any point leaves one or the other, whole. Parts that are not in `next` stay what
//! they are. Whoever calls holds the lock of the vault's folder.

use std::{
    fs::{self, File},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use super::{durable, error::StoreError, home};

const FOLDER: &str = "next";
const COMPLETE: &str = "complete";

/// How far the making is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many bytes are copied.
    Copied(u64),
    /// The new store is whole, compared and durable.
    Compared,
    /// The mark says that it is the vault's.
    Marked,
    /// The next part may take its place: the folder that stood there is gone.
    Cleared,
    /// It has taken it.
    InPlace,
    /// All is done but for what is left of the folder.
    Unmarked,
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

/// Makes every part in the folder durable, says so, and puts them in place. Neither store may be open.
pub(super) fn complete(home: &Path, step: &mut dyn FnMut(Step)) -> Result<(), StoreError> {
    let io = StoreError::io("completing the new store");
    let folder = home.join(FOLDER);
    durable::sync_all(&folder).and_then(|()| durable::sync_folder(&folder)).map_err(&io)?;
    step(Step::Compared);
    let mark = folder.join(COMPLETE);
    File::create(&mark).and_then(|f| f.sync_all()).and_then(|()| durable::sync_folder(&mark)).map_err(&io)?;
    step(Step::Marked);
    finish(home, step)
}

/// Puts the parts of a complete new store in place, if there is one, and clears away one that is not.
pub(super) fn finish(home: &Path, step: &mut dyn FnMut(Step)) -> Result<(), StoreError> {
    let io = StoreError::io("putting the new store in place");
    let folder = home.join(FOLDER);
    if !folder.exists() {
        return Ok(());
    }
    let mark = folder.join(COMPLETE);
    if mark.exists() {
        for (old, new) in home::store_parts(home).into_iter().zip(home::store_parts(&folder)) {
            // A part is gone from the folder once it was moved, so that each step can be done again.
            if !new.exists() {
                continue;
            }
            if old.is_dir() {
                fs::remove_dir_all(&old).map_err(&io)?;
            }
            step(Step::Cleared);
            fs::rename(&new, &old).map_err(&io)?;
            step(Step::InPlace);
        }
        durable::sync_folder(&folder).and_then(|()| durable::sync_folder(&mark)).map_err(&io)?;
        fs::remove_file(&mark).and_then(|()| durable::sync_folder(&mark)).map_err(&io)?;
        step(Step::Unmarked);
    }
    fs::remove_dir_all(&folder).map_err(&io)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(home: &Path, text: &str) {
        for part in home::store_parts(home) {
            if part.ends_with(home::STORE) {
                fs::create_dir_all(&part).unwrap();
                fs::write(part.join("db"), text).unwrap();
            } else {
                fs::write(part, text).unwrap();
            }
        }
    }

    #[test]
    fn a_new_store_takes_the_place_of_the_old_whole_wherever_it_was_stopped() {
        for stop in 0..=home::store_parts(Path::new("")).len() {
            let dir = tempfile::tempdir().unwrap();
            fill(dir.path(), "old");
            // Without the mark nothing is moved, and it is cleared away.
            let folder = begin(dir.path()).unwrap();
            fill(&folder, "half");
            finish(dir.path(), &mut |_| ()).unwrap();
            assert_eq!(fs::read(dir.path().join("head")).unwrap(), b"old");
            assert!(!folder.exists());
            let folder = begin(dir.path()).unwrap();
            fill(&folder, "new");
            fs::write(folder.join(COMPLETE), b"").unwrap();
            for (old, new) in home::store_parts(dir.path()).iter().zip(home::store_parts(&folder)).take(stop)
            {
                if old.is_dir() {
                    fs::remove_dir_all(old).unwrap();
                }
                fs::rename(new, old).unwrap();
            }
            finish(dir.path(), &mut |_| ()).unwrap();
            for part in home::store_parts(dir.path()) {
                let file = if part.is_dir() { part.join("db") } else { part };
                assert_eq!(fs::read(file).unwrap(), b"new");
            }
            assert!(!folder.exists());
            finish(dir.path(), &mut |_| ()).unwrap();
        }
    }

    #[test]
    fn what_is_not_made_anew_stays() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), "old");
        fs::write(begin(dir.path()).unwrap().join(home::RECORDS), b"new").unwrap();
        complete(dir.path(), &mut |_| ()).unwrap();
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        assert_eq!((read(home::RECORDS), read(home::EPOCH)), (b"new".to_vec(), b"old".to_vec()));
    }
}
