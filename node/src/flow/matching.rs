//! Matching at home: what this node knows, looked for in its own incidents and in its operator's files.
//!
//! Nothing of it leaves the node. What is told is the indicator and where it was seen, never the text around it.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use hedgerow_protocol::{
    id::NodeId,
    indicator::{Instant, Observable, Pattern, StixObject, Tlp},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::NodeError,
    matcher::{Matcher, Sighted, scan},
    node::Node,
    store::RecordNumber,
};

/// Most places told of; further ones are counted.
const PLACES: usize = 10_000;
/// Most lines told of one place.
const LINES: usize = 20;
/// Most files of one call, and how deep a folder is gone into.
const FILES: usize = 1_000_000;
const DEPTH: usize = 32;
/// Records read at once.
const RECORDS: usize = 200;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matches {
    /// Values that were looked for.
    pub looked_for: usize,
    /// Values too short to be looked for.
    pub skipped: usize,
    /// Incidents looked at.
    pub records: u64,
    /// Files looked at.
    pub files: u64,
    /// Bytes of them, unpacked.
    pub bytes: u64,
    /// Lines of them.
    pub lines: u64,
    /// What was found where, in the order in which it was looked at.
    pub found: Vec<Found>,
    /// Places beyond those told of.
    pub more: u64,
    /// Files that were not looked at, or not to their end.
    pub unread: Vec<Unread>,
    /// How many new sightings were noted of it, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembered: Option<usize>,
}

/// One indicator in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// The kind of value.
    pub kind: String,
    /// The value, as the indicator has it.
    pub value: String,
    /// STIX id of the indicator.
    pub indicator: String,
    /// The member who published it, or where it came from.
    pub from: Origin,
    /// Its label.
    pub tlp: Option<Tlp>,
    /// How many lines it stands in.
    pub count: u64,
    /// The first of these lines.
    pub lines: Vec<u64>,
    /// Whether it stands there defanged in one of them.
    pub defanged: bool,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// A field of an incident.
    Record {
        /// The incident's number.
        number: u64,
        /// The field.
        field: String,
    },
}

/// Whose an indicator is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Origin {
    /// A member published it.
    Member(NodeId),
    /// It is a draft of this node.
    Draft,
    /// It came from outside the federation and was not adopted.
    Foreign(String),
}

/// A file that was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unread {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// An indicator that is looked for.
struct Sought {
    object: StixObject,
    from: Origin,
}

impl Node {
    /// Looks for every live indicator that this node knows: in the words of its incidents if `records`, and in files,
    /// or all files beneath folders. `told` hears of bytes done and of how many.
    pub fn find_matches(
        &self,
        paths: &[PathBuf],
        records: bool,
        now: Timestamp,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<Matches, NodeError> {
        let sought = self.sought(now)?;
        let values: Vec<(usize, &Observable)> = sought
            .iter()
            .enumerate()
            .flat_map(|(n, s)| {
                let pattern = s.object.pattern();
                pattern.map(Pattern::observables).unwrap_or_default().iter().map(move |o| (n, o))
            })
            .collect();
        let observables: Vec<&Observable> = values.iter().map(|(_, o)| *o).collect();
        let matcher = Matcher::new(&observables).map_err(NodeError::refused)?;
        let mut report = Matches {
            looked_for: values.len() - matcher.skipped().len(),
            skipped: matcher.skipped().len(),
            ..Matches::default()
        };
        let mut tally = Tally { values: &values, sought: &sought, report: &mut report };
        if records {
            self.through_records(&matcher, &mut tally)?;
        }
        through_files(&matcher, paths, &mut tally, told);
        Ok(report)
    }

    fn through_records(&self, matcher: &Matcher, tally: &mut Tally<'_>) -> Result<(), NodeError> {
        let mut from = RecordNumber(0);
        loop {
            let some = self.list_records(from, RECORDS)?;
            let Some((last, _)) = some.last() else { return Ok(()) };
            from = RecordNumber(last.0.saturating_add(1));
            for (number, form) in some {
                tally.report.records += 1;
                for (field, text) in [
                    ("reference", &form.reference),
                    ("contacts", &form.contacts),
                    ("narrative", &form.narrative),
                    ("notes", &form.notes),
                    ("preferences", &form.preferences),
                ] {
                    let mut here = Here::default();
                    matcher.look(text.as_bytes(), 1, &mut |sighted| here.add(sighted));
                    tally.add(here, || Place::Record { number: number.0, field: field.to_owned() });
                }
            }
        }
    }

    /// Every live indicator for one value or any of several: published, drafts, and from outside.
    fn sought(&self, now: Timestamp) -> Result<Vec<Sought>, NodeError> {
        let at = Instant::of(now);
        let usable = |object: &StixObject| {
            !object.revoked()
                && !self.library.allowed().covers(object)
                && object.valid_until().is_none_or(|until| until > at)
                && matches!(object.pattern(), Some(Pattern::One(_) | Pattern::Any(_)))
        };
        let own = self.indicators()?.into_iter().map(|entry| Sought {
            from: match (entry.is_draft(), entry.owner) {
                (false, Some(owner)) => Origin::Member(owner),
                _ => Origin::Draft,
            },
            object: entry.object,
        });
        let foreign = self.foreign.list()?.into_iter();
        let foreign = foreign.map(|f| Sought { object: f.object, from: Origin::Foreign(f.source) });
        Ok(own.chain(foreign).filter(|s| usable(&s.object)).collect())
    }
}

/// What was seen in one place, by value.
#[derive(Default)]
struct Here {
    order: Vec<usize>,
    seen: HashMap<usize, Seen>,
}

#[derive(Default)]
struct Seen {
    count: u64,
    lines: Vec<u64>,
    defanged: bool,
}

impl Here {
    fn add(&mut self, sighted: Sighted) {
        let seen = self.seen.entry(sighted.which).or_insert_with(|| {
            self.order.push(sighted.which);
            Seen::default()
        });
        seen.count += 1;
        seen.defanged |= sighted.defanged;
        if seen.lines.len() < LINES {
            seen.lines.push(sighted.line);
        }
    }
}

struct Tally<'t> {
    values: &'t [(usize, &'t Observable)],
    sought: &'t [Sought],
    report: &'t mut Matches,
}

impl Tally<'_> {
    fn add(&mut self, mut here: Here, place: impl Fn() -> Place) {
        for which in here.order {
            let Some((seen, (n, o))) = here.seen.remove(&which).zip(self.values.get(which)) else { continue };
            let Some(sought) = self.sought.get(*n) else { continue };
            if self.report.found.len() == PLACES {
                self.report.more += 1;
                continue;
            }
            self.report.found.push(Found {
                place: place(),
                kind: o.kind().name().to_owned(),
                value: o.value().to_owned(),
                indicator: sought.object.id().to_owned(),
                from: sought.from.clone(),
                tlp: sought.object.tlp(),
                count: seen.count,
                lines: seen.lines,
                defanged: seen.defanged,
            });
        }
    }
}

fn through_files(
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
        let mut here = Here::default();
        let result = scan(matcher, &path, &mut |sighted| here.add(sighted), &mut |read| {
            told(done + read.min(bytes), total)
        });
        // What was found before a file broke off is told.
        tally.add(here, || Place::File(path.clone()));
        tally.report.files += 1;
        match result {
            Ok(totals) => {
                tally.report.bytes += totals.bytes;
                tally.report.lines += totals.lines;
            }
            Err(error) => tally.report.unread.push(Unread { path, reason: error.to_string() }),
        }
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
            unread.push(Unread { path: path.to_owned(), reason });
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
