//! Indicators: drafts in, published, taken back, listed (docs/indicators.md).

use hedgerow_protocol::{
    indicator::{Instant, Item, Linted, SignedBatch, StixObject, Tlp, lint},
    time::Timestamp,
    wire::{Announcement, Spreading},
};
use serde::{Deserialize, Serialize};

use super::intake::{Imported, Rejected};
use crate::{
    error::NodeError,
    node::Node,
    reader::indicator::Row,
    store::{Entry, Taken, Taking},
};

/// Drafts stored in one durable commit.
const COMMIT: usize = 1000;

/// What publishing did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Objects published.
    pub published: usize,
    /// Signed batches in which they went.
    pub batches: usize,
    /// Whether a connected member was told at once; others learn of it when they next catch up.
    pub announced: bool,
    /// Not published: what stands against it.
    pub refused: Vec<Found>,
    /// Not published unless confirmed: what to look at.
    pub warnings: Vec<Found>,
}

/// One finding of the lint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// The object's id.
    pub object: String,
    /// Its pattern, so that a person can tell.
    pub pattern: String,
    /// What was found.
    pub reason: String,
}

impl Node {
    /// Stores objects read from a file as drafts. Indicators are counted as rows; context objects (malware,
    /// relationships and the like) are stored beside them and counted in the second report.
    pub fn import_indicators(
        &self,
        rows: Vec<Row>,
        now: Timestamp,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Imported, Imported), NodeError> {
        let (mut indicators, mut context) = (Imported::default(), Imported::default());
        for chunk in rows.chunks(COMMIT) {
            let mut objects: Vec<StixObject> = Vec::new();
            let mut which: Vec<bool> = Vec::new();
            for row in chunk {
                let report = if row.context { &mut context } else { &mut indicators };
                report.read += 1;
                match &row.result {
                    Ok(object) => {
                        objects.push(object.clone().owned_by(&self.id()));
                        which.push(row.context);
                    }
                    Err(reason) => report.rejected.push(Rejected { line: row.line, reason: reason.clone() }),
                }
            }
            let stored = self.library.add_drafts(objects, self.id(), now)?;
            for (is_context, stored) in which.into_iter().zip(stored) {
                let report = if is_context { &mut context } else { &mut indicators };
                if stored { report.stored += 1 } else { report.duplicates += 1 }
            }
            progress(indicators.read + context.read);
        }
        Ok((indicators, context))
    }

    /// Publishes every draft under `tlp`: lint, sign, keep. Returns what to announce.
    pub fn publish(
        &self,
        tlp: Tlp,
        confirmed: bool,
        now: Timestamp,
    ) -> Result<(Published, Vec<Announcement>), NodeError> {
        let charter = self.federation()?.charter.document();
        if tlp > charter.tlp {
            return Err(NodeError::refused(format!(
                "the charter lets members publish up to TLP {}",
                charter.tlp
            )));
        }
        let drafts = self.library.drafts()?;
        let words = |id: &str| {
            let draft = drafts.iter().find(|d| d.object.id() == id);
            draft.and_then(|d| d.object.pattern()).map_or_else(String::new, |p| p.key())
        };
        let objects = drafts.iter().map(|d| d.object.clone()).collect();
        let (linted, found) = lint(objects, tlp, confirmed);
        let told = |list: Vec<hedgerow_protocol::indicator::Finding>| {
            list.into_iter()
                .map(|f| Found { pattern: words(&f.object), object: f.object, reason: f.reason.to_owned() })
                .collect()
        };
        let mut report = Published {
            refused: told(found.refused),
            warnings: if confirmed { Vec::new() } else { told(found.warnings) },
            ..Published::default()
        };
        let announcements = self.send_out(linted, now, &mut report)?;
        Ok((report, announcements))
    }

    /// Takes back an object of one's own: a draft is forgotten, what was published is revoked for everyone.
    pub fn revoke(&self, id: &str, now: Timestamp) -> Result<(Published, Vec<Announcement>), NodeError> {
        let draft = self.library.draft(id)?;
        if draft.is_some() {
            self.library.forget([id])?;
        }
        // What is taken back is what was published, under its label, not what a draft would have made of it.
        let entry = match self.library.entry(id)? {
            Some(entry) => entry,
            None if draft.is_some() => return Ok((Published::default(), Vec::new())),
            None => return Err(NodeError::input(format!("there is no object {id} here"))),
        };
        if entry.owner != Some(self.id()) {
            return Err(NodeError::refused("only the member who published it can revoke it"));
        }
        if entry.object.revoked() {
            return Err(NodeError::input("it is revoked already"));
        }
        let tlp = entry.object.tlp().unwrap_or(Tlp::Green);
        let (linted, found) = lint(vec![entry.object.revoked_at(now)], tlp, true);
        if let Some(finding) = found.refused.first() {
            return Err(NodeError::refused(finding.reason));
        }
        let mut report = Published::default();
        let announcements = self.send_out(linted, now, &mut report)?;
        Ok((report, announcements))
    }

    /// Every entry of the library, by id.
    pub fn indicators(&self) -> Result<Vec<Entry>, NodeError> {
        Ok(self.library.entries()?)
    }

    /// Signs, takes into one's own library, keeps for others.
    fn send_out(
        &self,
        linted: Linted,
        now: Timestamp,
        report: &mut Published,
    ) -> Result<Vec<Announcement>, NodeError> {
        let charter = self.federation()?.charter.id();
        let mut announcements = Vec::new();
        let signed = SignedBatch::sign(linted, charter, now, self.secret()).map_err(NodeError::input)?;
        for (batch, json) in signed {
            report.published += batch.items().len();
            report.batches += 1;
            // Document, objects and the end of their drafts in one commit: if this stops in between, the rest are
            // drafts still.
            let taking = Taking { now, own: true, hold: &|_| false };
            let taken = self.library.take(&self.documents, &batch, &json, &taking)?;
            report.published -= taken.rejected.len();
            report.refused.extend(taken.rejected.into_iter().map(|(object, why)| Found {
                object,
                pattern: String::new(),
                reason: why.to_string(),
            }));
            announcements.push(Announcement {
                kind: Spreading::Batch,
                id: batch.id(),
                bytes: json.len() as u64,
            });
        }
        Ok(announcements)
    }

    /// Takes in a batch that another member signed.
    pub(crate) fn take_batch(
        &self,
        batch: &SignedBatch,
        json: &[u8],
        now: Timestamp,
    ) -> Result<Taken, NodeError> {
        let charter = &self.federation()?.charter;
        if charter.document().member(&batch.signer()).is_none() {
            return Err(NodeError::invalid("a batch is signed by no member"));
        }
        if batch.charter() != charter.id() {
            return Err(NodeError::invalid("a batch is of another federation"));
        }
        if batch.tlp() > charter.document().tlp {
            return Err(NodeError::invalid("a batch is under a stricter label than the charter allows"));
        }
        let latest = now.plus_seconds(hedgerow_protocol::limits::CLOCK_SKEW_SECONDS);
        let future = |item: &Item| item.object.modified() > Instant::of(latest);
        if batch.published_at() > latest || batch.items().iter().any(future) {
            // Not kept: it is asked for again, and then its time may have come.
            return Err(ahead());
        }
        let taking = Taking { now, own: batch.signer() == self.id(), hold: &|_| false };
        Ok(self.library.take(&self.documents, batch, json, &taking)?)
    }
}

/// Two clocks differ: no fault of the document, and over when they agree.
fn ahead() -> NodeError {
    NodeError::new(crate::error::Class::Network, "a batch is dated ahead of this node's clock")
}
