//! The folder of warning lists, read anew when its files change.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use hedgerow_protocol::indicator::{WarningError, WarningLists};
use serde::{Deserialize, Serialize};

use crate::error::NodeError;

/// Largest warning list, in bytes, and most files of a folder.
const LIST_BYTES: u64 = 64 * 1024 * 1024;
const FILES: usize = 2000;

/// How often it is looked whether files changed, for what comes in.
const AGAIN: Duration = Duration::from_secs(60);

/// What a folder of warning lists came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListsRead {
    /// The folder, if one is set.
    pub folder: Option<PathBuf>,
    /// Lists read.
    pub lists: usize,
    /// Their entries.
    pub entries: usize,
    /// Files that were not read, and why.
    pub skipped: Vec<(String, String)>,
}

/// A file as it was seen: what changes when somebody writes it, puts another in its place, or forbids to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The lists of one folder as they are in use.
pub(super) struct InUse {
    folder: PathBuf,
    lists: Arc<WarningLists>,
    /// The files that they were read from, and which of them held no list.
    files: Vec<Seen>,
    skipped: Vec<(String, String)>,
    /// Files that could not take their place.
    refused: Option<Vec<Seen>>,
    looked: Instant,
}

impl InUse {
    /// Reads a folder.
    pub(super) fn read(folder: PathBuf) -> Result<Self, NodeError> {
        let files = files(&folder)?;
        let (lists, ListsRead { skipped, .. }) = read(&folder, &files)?;
        Ok(Self { folder, lists: Arc::new(lists), files, skipped, refused: None, looked: Instant::now() })
    }

    /// Whether they are those of this folder.
    pub(super) fn are_of(&self, folder: &Path) -> bool {
        self.folder == folder
    }

    /// The lists as the files are now: looked at if `at_once`, or if that was a while ago. Files that cannot be read leave
    /// those in use that were read before.
    pub(super) fn now(&mut self, at_once: bool) -> Arc<WarningLists> {
        if at_once || self.looked.elapsed() >= AGAIN {
            self.looked = Instant::now();
            if let Err(error) = self.follow() {
                tracing::warn!(%error, "the warning lists changed and cannot be read; those read before stay in use");
            }
        }
        Arc::clone(&self.lists)
    }

    fn follow(&mut self) -> Result<(), NodeError> {
        let files = files(&self.folder)?;
        if files == self.files {
            self.refused = None;
            return Ok(());
        }
        let still = || NodeError::input("its files are as they were when they could not be read");
        if self.refused.as_ref() == Some(&files) {
            return Err(still());
        }
        match self.taking_place(&files) {
            Ok((lists, skipped)) => {
                let folder = std::mem::take(&mut self.folder);
                *self = Self {
                    folder,
                    lists: Arc::new(lists),
                    files,
                    skipped,
                    refused: None,
                    looked: self.looked,
                };
                Ok(())
            }
            Err(error) => {
                self.refused = Some(files);
                Err(error)
            }
        }
    }

    /// What the files hold now; an error if one of them was a list before and is none any more, as while it is written.
    fn taking_place(&self, files: &[Seen]) -> Result<(WarningLists, Vec<(String, String)>), NodeError> {
        let (lists, ListsRead { skipped, .. }) = read(&self.folder, files)?;
        let was_list = |name: &str| {
            self.files.iter().any(|file| short(&self.folder, &file.path) == name)
                && !self.skipped.iter().any(|(skipped, _)| skipped == name)
        };
        match skipped.iter().find(|(name, _)| was_list(name)) {
            Some((name, why)) => Err(NodeError::input(format!("{name}: {why}"))),
            None => Ok((lists, skipped)),
        }
    }
}

/// Reads a folder, and says what it came to.
pub(super) fn report(folder: &Path) -> Result<ListsRead, NodeError> {
    Ok(read(folder, &files(folder)?)?.1)
}

fn short(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// Every `*.json` of a folder, and every `list.json` one folder down, as MISP's repository has them.
fn files(folder: &Path) -> Result<Vec<Seen>, NodeError> {
    let unreadable = |e: std::io::Error| {
        NodeError::input(format!("the warning lists in {} cannot be read: {e}", folder.display()))
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            paths.push(path.join("list.json"));
        } else if path.extension().is_some_and(|e| e == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let seen = paths.into_iter().filter_map(|path| {
        let of = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        Some(Seen {
            path,
            inode: of.ino(),
            bytes: of.len(),
            modified: (of.mtime(), of.mtime_nsec()),
            changed: (of.ctime(), of.ctime_nsec()),
        })
    });
    Ok(seen.take(FILES).collect())
}

fn read(folder: &Path, files: &[Seen]) -> Result<(WarningLists, ListsRead), NodeError> {
    let mut lists = WarningLists::default();
    let mut read = ListsRead { folder: Some(folder.to_owned()), ..ListsRead::default() };
    for file in files {
        let short = short(folder, &file.path);
        let bytes = (file.bytes <= LIST_BYTES).then(|| fs::read(&file.path).ok()).flatten();
        match bytes.map(|bytes| lists.add(&bytes)) {
            Some(Ok(())) => {}
            Some(Err(WarningError::TooMany)) => return Err(NodeError::input(WarningError::TooMany)),
            Some(Err(why)) => read.skipped.push((short, why.to_string())),
            None => read.skipped.push((short, "it cannot be read, or is larger than 64 MiB".into())),
        }
    }
    (read.lists, read.entries) = lists.size();
    if read.lists == 0 {
        return Err(NodeError::input(format!("there is no warning list in {}", folder.display())));
    }
    Ok((lists, read))
}

#[cfg(test)]
mod tests {
    use hedgerow_protocol::indicator::Observable;

    use super::*;

    fn list(of: &str) -> String {
        format!(r#"{{"name":"Top","type":"hostname","matching_attributes":[],"list":["{of}"]}}"#)
    }

    fn hit(lists: &WarningLists, value: &str) -> bool {
        lists.hit(&Observable::guess(value).unwrap()).is_some()
    }

    #[test]
    fn lists_follow_their_files_at_once_or_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.json");
        fs::write(&file, list("one.example")).unwrap();
        let mut lists = InUse::read(dir.path().to_owned()).unwrap();
        let before = lists.now(true);
        assert!(Arc::ptr_eq(&before, &lists.now(true)), "not read again while nothing changes");
        fs::write(&file, list("other.example")).unwrap();
        assert!(hit(&lists.now(false), "one.example"), "what comes in waits");
        assert!(hit(&lists.now(true), "other.example") && !hit(&lists.now(true), "one.example"));
        fs::write(dir.path().join("b.json"), list("more.example")).unwrap();
        lists.looked = Instant::now().checked_sub(AGAIN).unwrap();
        assert!(hit(&lists.now(false), "more.example"), "a while ago");
        fs::remove_file(&file).unwrap();
        assert!(!hit(&lists.now(true), "other.example"), "taken away");
        // Put in its place as cron does, of the same length.
        fs::write(dir.path().join("new"), list("kore.example")).unwrap();
        fs::rename(dir.path().join("new"), dir.path().join("b.json")).unwrap();
        assert!(hit(&lists.now(true), "kore.example"));
    }

    #[test]
    fn lists_stay_in_use_while_their_files_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("lists");
        fs::create_dir(&folder).unwrap();
        let file = folder.join("a.json");
        fs::write(&file, list("one.example")).unwrap();
        fs::write(folder.join("b.json"), list("two.example")).unwrap();
        fs::write(folder.join("no-list.json"), "{}").unwrap();
        let mut lists = InUse::read(folder.clone()).unwrap();
        for broken in [r#"{"name":"Top","#, ""] {
            fs::write(&file, broken).unwrap();
            assert!(lists.follow().is_err(), "said");
            assert!(lists.follow().is_err(), "and again");
            assert!(hit(&lists.now(true), "one.example"));
        }
        fs::write(&file, list("three.example")).unwrap();
        assert!(hit(&lists.now(true), "three.example"), "read again");
        fs::rename(&folder, dir.path().join("away")).unwrap();
        assert!(lists.follow().is_err() && hit(&lists.now(true), "three.example"));
        fs::create_dir(&folder).unwrap();
        assert!(lists.follow().is_err() && hit(&lists.now(true), "two.example"), "an empty folder");
        fs::write(&file, list("four.example")).unwrap();
        assert!(hit(&lists.now(true), "four.example") && !hit(&lists.now(true), "two.example"));
    }
}
