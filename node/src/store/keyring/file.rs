//! Reading and replacing the small files on the keyring's side of a vault.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use crate::store::error::StoreError;

/// Largest keyring file, in bytes.
pub(super) const FILE_BYTES: u64 = 64 * 1024;

/// The keyring's bytes; none if it is longer than a keyring may be.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let io = StoreError::io("reading the keyring");
    let mut bytes = Vec::new();
    File::open(path).map_err(&io)?.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(&io)?;
    Ok(Some(bytes).filter(|b| b.len() as u64 <= FILE_BYTES))
}

/// Writes `bytes` to `path` so that after a power cut either the old file or the new one is there.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let io = StoreError::io("writing the keyring");
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(&io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(&io)?;
    fs::rename(&temporary, path).map_err(&io)?;
    if let Some(folder) = path.parent() {
        File::open(folder).and_then(|f| f.sync_all()).map_err(&io)?;
    }
    Ok(())
}
