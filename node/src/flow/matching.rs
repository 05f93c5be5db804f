//! Matching at home: what this node knows, looked for in its own incidents and in its operator's files.
//!
//! Nothing of it leaves the node. What is told is the indicator and where it was seen, never the text around it.

mod files;
mod sought;
mod tally;

use std::{collections::HashSet, path::PathBuf};

use hedgerow_protocol::{
    id::NodeId,
    indicator::{Instant, Observable, StixObject, Tlp},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::NodeError,
    export::LeftOut,
    form::RecordForm,
    matcher::{Matcher, Pour},
    node::Node,
    store::{Attachment, RecordNumber},
};
use sought::Sought;
use tally::{Here, Tally};

/// Most places told of; further ones are counted.
const PLACES: usize = 10_000;
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
    /// Live indicators that were not looked for, or not in all they say, by reason.
    pub left_out: Vec<LeftOut>,
    /// Incidents looked at.
    pub records: u64,
    /// Attachments of them looked at.
    pub attachments: u64,
    /// Attachments that are no text, and were not looked at.
    pub not_text: u64,
    /// Files looked at.
    pub files: u64,
    /// Bytes of files and attachments, unpacked.
    pub bytes: u64,
    /// Lines of them.
    pub lines: u64,
    /// What was found where, in the order in which it was looked at.
    pub found: Vec<Found>,
    /// Places beyond those told of.
    pub more: u64,
    /// Files and attachments that were not looked at, or not to their end.
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
    /// The kind of value; `values` of several that have to come together, `pattern` of others.
    pub kind: String,
    /// The value, as the indicator has it; the values, or the pattern.
    pub value: String,
    /// STIX id of the indicator.
    pub indicator: String,
    /// The member who published it, or where it came from.
    pub from: Origin,
    /// Its label.
    pub tlp: Option<Tlp>,
    /// How many lines it stands in.
    pub count: u64,
    /// The first of these lines; none of an incident as a whole.
    pub lines: Vec<u64>,
    /// Whether it stands there defanged in one of them.
    pub defanged: bool,
}

/// Kinds of what is told of more than one value.
const VALUES: &str = "values";
const PATTERN: &str = "pattern";

impl Found {
    /// What was seen, as sightings have it: kind and value, or the key of a pattern.
    pub fn what(&self) -> String {
        if self.kind == VALUES { self.value.clone() } else { format!("{} {}", self.kind, self.value) }
    }
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
        /// The field; `all` of what was found in all of them together.
        field: String,
    },
    /// An attachment of an incident.
    Attachment {
        /// The incident's number.
        record: u64,
        /// The attachment's number within it.
        number: u32,
        /// Its name.
        name: String,
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

/// What was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unread {
    /// The file or folder; of an attachment its name.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
    /// Of an attachment, the incident that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
}

impl Node {
    /// Looks for every live indicator that this node knows: in the words of its incidents and in their attachments if
    /// `records`, and in files, or all files beneath folders. `told` hears of bytes done and of how many.
    pub fn find_matches(
        &self,
        paths: &[PathBuf],
        records: bool,
        now: Timestamp,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<Matches, NodeError> {
        let allowed = self.library.allowed();
        let sought = Sought::of(self.matched(now)?, &|o| allowed.has(o));
        let (sought, matcher, mut report) = ready(sought, &allowed.domains())?;
        let mut tally = Tally { sought: &sought, report: &mut report };
        if records {
            self.through_records(&matcher, &mut tally, told)?;
        }
        files::through(&matcher, paths, &mut tally, told);
        Ok(report)
    }

    fn through_records(
        &self,
        matcher: &Matcher,
        tally: &mut Tally<'_>,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<(), NodeError> {
        let mut from = RecordNumber(0);
        loop {
            let some = self.list_records(from, RECORDS)?;
            let Some((last, _)) = some.last() else { return Ok(()) };
            from = RecordNumber(last.0.saturating_add(1));
            for (number, form) in some {
                tally.report.records += 1;
                through_record(matcher, tally, number, &form);
                for attachment in self.attachments.list(number)? {
                    self.through_attachment(matcher, tally, number, attachment, told);
                }
            }
        }
    }

    fn through_attachment(
        &self,
        matcher: &Matcher,
        tally: &mut Tally<'_>,
        record: RecordNumber,
        attachment: Attachment,
        told: &mut dyn FnMut(u64, u64),
    ) {
        let Attachment { number, name, bytes, .. } = attachment;
        let place = || Place::Attachment { record: record.0, number, name: name.clone() };
        let mut here = Here::over(tally.sought);
        let totals = {
            let mut pour = Pour::new(matcher, |sighted| here.add(sighted));
            let read = self.attachments.read(record, number, &mut pour, &mut |done, _| told(done, bytes));
            if pour.is_binary() {
                tally.report.not_text += 1;
                return;
            }
            read.map_err(|error| error.to_string())
                .and_then(|_| pour.end().map_err(|error| error.to_string()))
        };
        // What was found before it broke off is told.
        tally.add(here, place);
        tally.looked_through(totals, |reason| Unread { path: name.into(), reason, record: Some(record.0) });
        tally.report.attachments += 1;
    }

    /// Every live indicator: published, drafts, and from outside.
    fn matched(&self, now: Timestamp) -> Result<Vec<(StixObject, Origin)>, NodeError> {
        let at = Instant::of(now);
        let usable = |object: &StixObject| object.in_force(at) && !self.library.allowed().covers(object);
        let own = self.indicators()?.into_iter().map(|entry| {
            let from = match (entry.is_draft(), entry.owner) {
                (false, Some(owner)) => Origin::Member(owner),
                _ => Origin::Draft,
            };
            (entry.object, from)
        });
        let foreign = self.foreign.each().filter(|f| f.as_ref().map_or(true, |f| usable(&f.object)));
        let foreign = foreign
            .map(|f| f.map(|f| (f.object, Origin::Foreign(f.source))))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(own.filter(|(object, _)| usable(object)).chain(foreign).collect())
    }
}

/// What looks for it all, and what is said of it before anything is looked at.
fn ready(mut sought: Sought, allowed: &[String]) -> Result<(Sought, Matcher, Matches), NodeError> {
    let matcher = {
        let observables: Vec<&Observable> = sought.observables().collect();
        Matcher::new(&observables).map_err(NodeError::refused)?.sparing(&observables, allowed)
    };
    let skipped: HashSet<usize> = matcher.skipped().iter().copied().collect();
    let left_out = sought.settle(&skipped);
    let looked_for = sought.looked_for(&skipped);
    Ok((sought, matcher, Matches { looked_for, skipped: skipped.len(), left_out, ..Matches::default() }))
}

/// What is looked for by itself is told of each field, what has to come together of all of them.
fn through_record(matcher: &Matcher, tally: &mut Tally<'_>, number: RecordNumber, form: &RecordForm) {
    let place = |field: &str| Place::Record { number: number.0, field: field.to_owned() };
    let mut whole = Here::over(tally.sought);
    for (field, text) in [
        ("reference", &form.reference),
        ("contacts", &form.contacts),
        ("narrative", &form.narrative),
        ("notes", &form.notes),
        ("preferences", &form.preferences),
    ] {
        let mut here = Here::over(tally.sought);
        matcher.look(text.as_bytes(), 1, &mut |sighted| {
            if tally.sought.is_by_itself(sighted.which) {
                here.add(sighted)
            } else {
                whole.add_whole(sighted)
            }
        });
        tally.add(here, || place(field));
    }
    tally.add(whole, || place("all"));
}

#[cfg(test)]
mod tests;
