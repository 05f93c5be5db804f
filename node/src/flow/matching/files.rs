//! The files that were named, and those beneath folders that were.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Here, PLACES, Place, Tally, Unread};
use crate::matcher::{Matcher, scan};

/// Most files of one call, and how deep a folder is gone into.
const FILES: usize = 1_000_000;
const DEPTH: usize = 32;

pub(super) fn through(
    matcher: &Matcher,
    paths: &[PathBuf],
    tally: &mut Tally<'_>,
    told: &mut dyn FnMut(u64, u64),
) {
    let mut files = Vec::new();
    for path in paths {
        collect(path, DEPTH, true, &mut files, &mut tally.report.unread);
    }
    let total = files.iter().map(|(_, bytes)| *bytes).sum();
    let mut done = 0;
    for (path, bytes) in files {
        let mut here = Here::over(tally.sought);
        let result = scan(matcher, &path, &mut |sighted| here.add(sighted), &mut |read| {
            told(done + read.min(bytes), total)
        });
        // What was found before a file broke off is told.
        tally.add(here, || Place::File(path.clone()));
        let result = result.map_err(|error| error.to_string());
        tally.looked_through(result, |reason| Unread { path, reason, record: None });
        tally.report.files += 1;
        done += bytes;
    }
}

/// Files beneath `path`, in order of name. Links are followed only where they were named themselves: a folder of logs
/// may hold one to anywhere.
fn collect(
    path: &Path,
    depth: usize,
    named: bool,
    files: &mut Vec<(PathBuf, u64)>,
    unread: &mut Vec<Unread>,
) {
    let mut fail = |reason: String| {
        if unread.len() < PLACES {
            unread.push(Unread { path: path.to_owned(), reason, record: None });
        }
    };
    let found = if named { fs::metadata(path) } else { fs::symlink_metadata(path) };
    match found {
        Err(error) => fail(format!("it cannot be read: {error}")),
        Ok(meta) if meta.is_file() && files.len() < FILES => files.push((path.to_owned(), meta.len())),
        Ok(meta) if meta.is_file() => fail(format!("more than {FILES} files are not looked at")),
        Ok(meta) if meta.is_dir() && depth > 0 => match fs::read_dir(path) {
            Err(error) => fail(format!("it cannot be read: {error}")),
            Ok(list) => {
                let mut inside: Vec<PathBuf> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
                inside.sort();
                inside.iter().for_each(|path| collect(path, depth - 1, false, files, unread));
            }
        },
        Ok(meta) if meta.is_dir() => fail(format!("folders are gone into {DEPTH} deep")),
        // Sockets, devices, links that nobody named.
        Ok(_) => {}
    }
}
