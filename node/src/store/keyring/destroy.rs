//! Destroying a vault's keys at once, locked or not (docs/threat-model.md, Panic).
//!
//! Everything on the keyring's side goes: the keyring first, then what else holds keys. Each file is written over, synced
//! and removed. Without them the store is noise, also to who knows a passphrase.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use rand::{TryRng as _, rngs::SysRng};

use crate::store::{error::StoreError, home};

/// Longest file that is written over whole; of a longer one so much, since what it is sealed under is gone before.
const MOST: u64 = 16 * 1024 * 1024;
const BLOCK: u64 = 4096;

/// What was destroyed and what could not be.
#[derive(Debug, Default)]
pub struct Destroyed {
    /// Names of the files that are gone.
    pub files: Vec<String>,
    /// Names of those that are still there, with what the system said.
    pub left: Vec<(String, StoreError)>,
}

/// Destroys the keys of the vault in `home`. Goes on after a failure: as much as can be is destroyed.
pub fn destroy(home: &Path) -> Result<Destroyed, StoreError> {
    let mut found: Vec<(usize, PathBuf)> = Vec::new();
    for entry in fs::read_dir(home).map_err(StoreError::io("reading the vault's folder"))?.flatten() {
        let name = entry.file_name();
        let rank = stems().position(|stem| name.to_string_lossy().starts_with(stem));
        found.extend(rank.map(|rank| (rank, entry.path())));
    }
    found.sort();
    let mut destroyed = Destroyed::default();
    for (_, path) in found {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        match one(&path) {
            Ok(()) => destroyed.files.push(name),
            Err(source) => {
                destroyed.left.push((name, StoreError::io("destroying a key file")(source)));
            }
        }
    }
    File::open(home).and_then(|folder| folder.sync_all()).map_err(StoreError::io("destroying keys"))?;
    Ok(destroyed)
}

/// What names of keys begin with, in the order in which they go: also those of copies, and half-written ones.
fn stems() -> impl Iterator<Item = &'static str> {
    let keys = home::PARTS.iter().filter(|part| part.key);
    keys.map(|part| part.name.split_once('.').map_or(part.name, |(stem, _)| stem))
}

/// Written over and synced as far as that goes, and removed in any case. Where it is a link, as to a keyring on a stick,
/// what it names goes too.
fn one(path: &Path) -> std::io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let over = written_over(&target);
    let removed = fs::remove_file(&target);
    // A new one that was being written beside it.
    let beside = target.with_extension("new");
    if beside.exists() {
        let _ = written_over(&beside);
        let _ = fs::remove_file(&beside);
    }
    if let Some(folder) = target.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    if target != path {
        fs::remove_file(path)?;
    }
    removed?;
    over
}

fn written_over(path: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let mut left = file.metadata()?.len().clamp(1, MOST).next_multiple_of(BLOCK);
    let mut noise = [0; BLOCK as usize];
    while left > 0 {
        SysRng.try_fill_bytes(&mut noise).map_err(std::io::Error::other)?;
        file.write_all(&noise)?;
        left -= BLOCK;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_on_the_keyrings_side_is_written_over_and_gone_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let stick = elsewhere.path().join("on-a-stick.json");
        fs::write(&stick, vec![7; 5000]).unwrap();
        let kept = elsewhere.path().join("another name of it");
        fs::hard_link(&stick, &kept).unwrap();
        std::os::unix::fs::symlink(&stick, dir.path().join("keyring.json")).unwrap();
        let keys = crate::store::key_files(dir.path());
        let others = ["keyring.new", "head", "member.json"].map(|name| dir.path().join(name));
        for file in keys.iter().chain(&others) {
            fs::write(file, b"bytes").unwrap();
        }
        let destroyed = destroy(dir.path()).unwrap();
        assert_eq!(destroyed.files, ["keyring.json", "keyring.new", "epoch", "keys.0", "keys.1"]);
        assert!(destroyed.left.is_empty() && !stick.exists());
        let noise = fs::read(&kept).unwrap();
        assert_eq!(noise.len(), 8192);
        assert!(noise.iter().filter(|byte| **byte == 7).count() < 200, "it was not written over");
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["head", "member.json"]);
    }

    #[test]
    fn what_cannot_be_destroyed_is_named_and_the_rest_goes() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("keyring.json")).unwrap();
        fs::write(dir.path().join("keys"), b"bytes").unwrap();
        let destroyed = destroy(dir.path()).unwrap();
        assert_eq!(destroyed.files, ["keys"]);
        assert_eq!(destroyed.left[0].0, "keyring.json");
    }
}
