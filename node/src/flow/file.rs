//! Files that a command writes for its user.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::{
    error::NodeError,
    store::{StoreError, no_room, sync_folder},
};

/// Fills a new file, for its owner alone, under another name, and gives it its own once it is whole and durable. What is
/// at `path` already is not written over; where `fill` fails nothing is left.
pub(crate) fn new_file<T>(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<T, NodeError>,
) -> Result<T, NodeError> {
    let io = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            NodeError::input(format!("{} is there already; choose another file", path.display()))
        }
        _ if no_room(&e) => StoreError::DiskFull.into(),
        _ => NodeError::input(format!("{} cannot be written: {e}", path.display())),
    };
    // Before much is written for nothing; it is asked again when the file gets its name.
    if path.exists() {
        return Err(io(std::io::ErrorKind::AlreadyExists.into()));
    }
    let name = path.file_name().ok_or_else(|| NodeError::input("no file is named"))?;
    let mut hidden = std::ffi::OsString::from(format!(".{}-", std::process::id()));
    hidden.push(name);
    let temporary = path.with_file_name(hidden);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(io)?;
    let whole = fill(&mut file).and_then(|done| {
        file.sync_all().and_then(|()| rename_new(&temporary, path)).map_err(io)?;
        Ok(done)
    });
    let done = whole.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    sync_folder(path).map_err(io)?;
    Ok(done)
}

/// Renames, but never over another file.
fn rename_new(from: &Path, to: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it, such as some network drives.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            if to.exists() { Err(std::io::ErrorKind::AlreadyExists.into()) } else { fs::rename(from, to) }
        }
        other => Ok(other?),
    }
}
