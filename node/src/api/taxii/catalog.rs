//! The order in which objects were added, kept in step with the library.
//!
//! The library numbers what comes in as it comes. What is new there since the last request is given its time, before
//! the request is answered.

use std::sync::{Arc, Mutex, PoisonError};

use hedgerow_protocol::indicator::{StixObject, Tlp};
use uuid::Uuid;

use crate::{
    error::NodeError,
    node::{Node, now_micros},
    store::{Added, AddedRow},
};

/// Versions given their times in one commit.
const COMMIT: usize = 3000;

/// Types of objects by number. The numbers are on disk: append, never reorder.
const KINDS: [&str; 42] = [
    "marking-definition",
    "attack-pattern",
    "campaign",
    "course-of-action",
    "grouping",
    "identity",
    "incident",
    "indicator",
    "infrastructure",
    "intrusion-set",
    "location",
    "malware",
    "malware-analysis",
    "note",
    "observed-data",
    "opinion",
    "report",
    "threat-actor",
    "tool",
    "vulnerability",
    "relationship",
    "sighting",
    "extension-definition",
    "language-content",
    "artifact",
    "autonomous-system",
    "directory",
    "domain-name",
    "email-addr",
    "email-message",
    "file",
    "ipv4-addr",
    "ipv6-addr",
    "mac-addr",
    "mutex",
    "network-traffic",
    "process",
    "software",
    "url",
    "user-account",
    "windows-registry-key",
    "x509-certificate",
];
/// Labels by number, freest first. On disk, too.
const LABELS: [Tlp; 5] = [Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red];

/// The number of a type.
pub(super) fn kind(name: &str) -> Option<u8> {
    KINDS.iter().position(|k| *k == name).and_then(|n| u8::try_from(n).ok())
}

/// The number of a label: a stricter one has a greater.
pub(super) fn label(tlp: Tlp) -> u8 {
    LABELS.iter().position(|l| *l == tlp).and_then(|n| u8::try_from(n).ok()).unwrap_or(u8::MAX)
}

/// Type and UUID of a STIX id.
pub(super) fn object(id: &str) -> Option<(u8, u128)> {
    let (name, uuid) = id.split_once("--")?;
    Some((kind(name)?, Uuid::parse_str(uuid).ok()?.as_u128()))
}

/// The STIX id of a row.
pub(super) fn id(row: &AddedRow) -> String {
    let kind = KINDS.get(usize::from(row.kind)).copied().unwrap_or_default();
    format!("{kind}--{}", Uuid::from_u128(row.uuid))
}

/// A STIX timestamp in nanoseconds since 1970.
pub(super) fn nanoseconds(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// A STIX timestamp, as precise as it needs to be and never less than milliseconds.
pub(super) fn timestamp(nanoseconds: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    match nanoseconds {
        n if n % 1_000_000 == 0 => format!("{time:.3}"),
        n if n % 1000 == 0 => format!("{time:.6}"),
        _ => format!("{time:.9}"),
    }
}

pub(super) struct Catalog {
    pub(super) node: Arc<Node>,
    pub(super) added: Added,
    seen: Mutex<Seen>,
}

/// How far the library was read.
#[derive(Default)]
struct Seen {
    next: u64,
    /// How often something had been taken off the allow-list by then.
    removed: u64,
}

impl Catalog {
    pub(super) fn open(node: Arc<Node>) -> Result<Self, NodeError> {
        let added = Added::open(Arc::clone(&node.vault))?;
        let marks = LABELS.iter().filter_map(|tlp| {
            let (kind, uuid) = object(&tlp.marking_id())?;
            // Defined in October 2022, all of them.
            let modified = nanoseconds("2022-10-01T00:00:00Z")?;
            Some(AddedRow { at: 0, modified, uuid, kind, label: label(*tlp) })
        });
        added.add(marks, now_micros())?;
        Ok(Self { node, added, seen: Mutex::default() })
    }

    /// Gives what is new in the library its time.
    pub(super) fn catch_up(&self) -> Result<(), NodeError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // What was held back and is released comes in anew at its end; what was allowed here and is not any more lies
        // anywhere in it.
        let removed = self.node.library.allowed().removed();
        if removed != seen.removed {
            *seen = Seen { next: 0, removed };
        }
        let (mut fresh, mut next) = (Vec::new(), seen.next);
        for entry in self.node.library.published(seen.next) {
            let (number, entry) = entry?;
            fresh.extend(version(&entry.object));
            next = number.saturating_add(1);
            if fresh.len() == COMMIT {
                self.added.add(fresh.drain(..), now_micros())?;
                seen.next = next;
            }
        }
        self.added.add(fresh, now_micros())?;
        seen.next = next;
        Ok(())
    }

    /// The JSON of each row's version, in order; none if it is not here any more, or has been replaced: the next
    /// version comes under a time of its own.
    pub(super) fn read(&self, rows: &[AddedRow]) -> Result<Vec<Option<Vec<u8>>>, NodeError> {
        let ids: Vec<String> = rows.iter().map(id).collect();
        let held = self.node.library.live(ids.iter().map(String::as_str))?;
        let texts = rows.iter().zip(&ids).zip(held).map(|((row, id), held)| match Tlp::of_marking(id) {
            Some(tlp) => serde_json::to_vec(&tlp.marking_definition()).ok(),
            None => {
                let object = held?.object;
                let same =
                    version(&object).is_some_and(|v| (v.modified, v.label) == (row.modified, row.label));
                same.then(|| serde_json::to_vec(&object).ok()).flatten()
            }
        });
        Ok(texts.collect())
    }
}

fn version(held: &StixObject) -> Option<AddedRow> {
    let (kind, uuid) = object(held.id())?;
    // An observable has no versions.
    let modified = match held.is_observable() {
        true => 0,
        false => nanoseconds(held.get("modified")?.as_str()?)?,
    };
    Some(AddedRow { at: 0, modified, uuid, kind, label: label(held.tlp()?) })
}
