//! The folder of a vault: what is in it, and who is at work there (docs/storage.md).
//!
//! The one list of its files. What is backed up, made anew, destroyed in a panic, or in the way of a new vault follows
//! from it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FlockOperation, flock};

use super::error::StoreError;

pub(super) const KEYRING: &str = "keyring.json";
pub(super) const STORE: &str = "vault";
pub(super) const HEAD: &str = "head";
pub(super) const RECORDS: &str = "records";
pub(super) const EPOCH: &str = "epoch";
pub(super) const KEYS: [&str; 2] = ["keys.0", "keys.1"];
pub(super) const ATTACHMENTS: &str = "attachments";
const CARD: &str = "member.json";

/// How a file changes, and so how it is copied while others write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Small, written anew where it changes: it is read in the moment that is copied.
    Small,
    /// Only ever added to, and read no further than the store says: it is copied after that moment.
    Growing,
    /// A folder; what is in it is copied in a way of its own.
    Folder,
}

/// A file or folder of the vault.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// Whether nothing can be read without it: what a panic destroys.
    pub(super) key: bool,
    /// Whether it is of the store: what takes the place of a store takes that of all these.
    pub(super) store: bool,
}

/// All of them, keys first. `node.sock` is not the vault's.
pub(super) const PARTS: [Part; 9] = [
    Part { name: KEYRING, form: Form::Small, key: true, store: false },
    Part { name: EPOCH, form: Form::Small, key: true, store: true },
    Part { name: KEYS[0], form: Form::Small, key: true, store: true },
    Part { name: KEYS[1], form: Form::Small, key: true, store: true },
    Part { name: STORE, form: Form::Folder, key: false, store: true },
    Part { name: HEAD, form: Form::Small, key: false, store: true },
    Part { name: RECORDS, form: Form::Growing, key: false, store: true },
    Part { name: ATTACHMENTS, form: Form::Folder, key: false, store: false },
    Part { name: CARD, form: Form::Small, key: false, store: false },
];

/// The names of all files of one form.
pub(super) fn names(form: Form) -> impl Iterator<Item = &'static str> {
    PARTS.iter().filter(move |part| part.form == form).map(|part| part.name)
}

/// What makes up the store in `home`.
pub(super) fn store_parts(home: &Path) -> Vec<PathBuf> {
    PARTS.iter().filter(|part| part.store).map(|part| home.join(part.name)).collect()
}

/// The files that open records, beside the keyring: all that need be destroyed so that no record can be read again.
pub fn key_files(home: &Path) -> [PathBuf; 3] {
    let [even, odd] = KEYS;
    [EPOCH, even, odd].map(|name| home.join(name))
}

/// Whoever holds it is the only process at work in a vault's folder.
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
