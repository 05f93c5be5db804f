//! Small files that are replaced whole: temporary file, fsync, rename, fsync of the folder (docs/storage.md).

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use super::error::StoreError;

/// Replaces the file at `path`, or leaves it as it is. Returns once the new one would survive a power cut.
pub(super) fn replace(path: &Path, bytes: &[u8], what: &'static str) -> Result<(), StoreError> {
    let io = StoreError::io(what);
    // What a link names is replaced, and not the link: a keyring on a stick stays there.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary).map_err(&io)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    // A half one would take room where there is none.
    written.inspect_err(|_| drop(fs::remove_file(&temporary))).map_err(&io)?;
    // Held open over the rename, so that what it held can be written over once it is no longer needed.
    let before = OpenOptions::new().write(true).open(path).ok();
    fs::rename(&temporary, path).map_err(&io)?;
    sync_folder(path).map_err(&io)?;
    if let Some(before) = before {
        // Where the file system writes in place this leaves nothing to be found; where not, nothing is lost by it.
        let _ = blank(before);
    }
    Ok(())
}

/// Writes over a file and removes it.
pub(super) fn destroy(path: &Path, what: &'static str) -> Result<(), StoreError> {
    let io = StoreError::io(what);
    let file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(&io)?,
    };
    let _ = blank(file);
    fs::remove_file(path).and_then(|()| sync_folder(path)).map_err(&io)
}

/// A whole file of at most `most` bytes; `None` if there is none.
pub(super) fn read(path: &Path, most: u64, what: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(StoreError::io(what))?,
    };
    let mut bytes = Vec::new();
    let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(StoreError::io(what))?;
    if read as u64 > most { Err(StoreError::Damaged(what)) } else { Ok(Some(bytes)) }
}

/// Makes durable which files the folder of `path` names.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes everything in a folder durable, and what the folder names.
pub(super) fn sync_all(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { sync_all(&path)? } else { File::open(path)?.sync_all()? }
    }
    File::open(folder)?.sync_all()
}

fn blank(mut file: File) -> std::io::Result<()> {
    let length = file.metadata()?.len();
    file.rewind()?;
    std::io::copy(&mut std::io::repeat(0).take(length), &mut file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_what_it_held_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        replace(&path, b"first", "x").unwrap();
        let link = dir.path().join("link");
        fs::hard_link(&path, &link).unwrap();
        replace(&path, b"second", "x").unwrap();
        assert_eq!(read(&path, 6, "x").unwrap().unwrap(), b"second");
        assert_eq!(fs::read(link).unwrap(), [0; 5]);
        assert!(read(&path, 5, "x").is_err());
        destroy(&path, "x").unwrap();
        destroy(&path, "x").unwrap();
        assert_eq!(read(&path, 5, "x").unwrap(), None);
    }
}
