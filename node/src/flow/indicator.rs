//! Indicators: drafts in, published, taken back, listed (docs/indicators.md).

mod corroborate;
pub(super) mod incoming;
mod publish;
mod under;

pub use under::To;

use std::{collections::BTreeSet, sync::PoisonError};

use hedgerow_protocol::{
    id::{Digest, NodeId},
    indicator::{
        Checks, IdSpace, ObjectProof, Observable, ObservableKind, Pattern, SignedBatch, StixObject, Tlp,
        lint_against, objection,
    },
    time::Timestamp,
    wire::Announcement,
};
use serde::{Deserialize, Serialize};

use self::under::Key;
use super::intake::{Imported, Rejected};
use crate::{
    error::NodeError,
    node::Node,
    reader::indicator::Row,
    store::{Allowed, Entry, Evidence, Verdict},
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
    /// Batches of them that go out under the pseudonym by way of other members, and are in the library when they come back.
    #[serde(default)]
    pub carried: usize,
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

impl Found {
    fn of(object: &StixObject, reason: impl Into<String>) -> Self {
        Self { object: object.id().to_owned(), pattern: object.what(), reason: reason.into() }
    }
}

/// An object that waits for a person to look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quarantined {
    /// The object's id.
    pub object: String,
    /// What it looks for, or its name.
    pub what: String,
    /// Why it is held back.
    pub reason: String,
    /// Who published it.
    pub owner: Option<NodeId>,
    /// Its label.
    pub tlp: Option<Tlp>,
    /// When it came.
    pub at: Timestamp,
}

/// That a member told two stories, with both, each as the proof of one object or as the whole batch that has none.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwoStories {
    /// What is known of it.
    pub evidence: Evidence,
    /// Both, the one held first.
    pub proofs: Vec<serde_json::Value>,
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
        let (own, own_keys) = (IdSpace::of(self.secret()), self.own_keys());
        for chunk in rows.chunks(COMMIT) {
            let mut objects: Vec<StixObject> = Vec::new();
            let mut from: Vec<&Row> = Vec::new();
            for row in chunk {
                let report = if row.context { &mut context } else { &mut indicators };
                report.read += 1;
                match &row.result {
                    Ok(object) => {
                        objects.push(object.clone().owned_by(&own));
                        from.push(row);
                    }
                    Err(reason) => report.rejected.push(Rejected { line: row.line, reason: reason.clone() }),
                }
            }
            let around: Vec<Vec<StixObject>> =
                objects.iter().zip(&from).map(|(o, row)| around(o, row, &own, now)).collect();
            let stored = self.library.add_drafts(objects, &own_keys, now)?;
            let mut more = Vec::new();
            for ((row, around), stored) in from.iter().zip(around).zip(stored) {
                let report = if row.context { &mut context } else { &mut indicators };
                if stored {
                    report.stored += 1;
                    more.extend(around);
                } else {
                    report.duplicates += 1;
                }
            }
            context.read += more.len() as u64;
            for stored in self.library.add_drafts(more, &own_keys, now)? {
                if stored { context.stored += 1 } else { context.duplicates += 1 }
            }
            progress(indicators.read + context.read);
        }
        Ok((indicators, context))
    }

    /// Takes back an object of one's own: a draft is forgotten, what was published is revoked for everyone.
    pub fn revoke(&self, id: &str, now: Timestamp) -> Result<(Published, Vec<Announcement>), NodeError> {
        let _alone = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        self.may_publish()?;
        let draft = self.library.draft(id)?;
        if draft.is_some() {
            // Whatever is on its way out with it waits for being published again.
            self.pseudonyms.withdraw(id)?;
            self.library.forget([id])?;
        }
        // What is taken back is what was published, under its label, not what a draft would have made of it.
        let entry = match self.library.entry(id)? {
            Some(entry) => entry,
            None if draft.is_some() => return Ok((Published::default(), Vec::new())),
            None => return Err(NodeError::input(format!("there is no object {id} here"))),
        };
        let key = match entry.owner {
            Some(owner) if owner == self.id() => Key::Name,
            Some(owner) if self.own_keys().contains(&owner) => Key::Pseudonym,
            _ => return Err(NodeError::refused("only the member who published it can revoke it")),
        };
        if entry.object.revoked() {
            return Err(NodeError::input("it is revoked already"));
        }
        let tlp = entry.object.tlp().unwrap_or(Tlp::Green);
        // What was sealed is taken back before all that any version of it was sealed for, and nobody else.
        let to = if tlp == Tlp::Red { self.sealed_for(id)? } else { Vec::new() };
        let checks = Checks { sealed: true, ..Checks::default() };
        let (linted, found) = lint_against(vec![entry.object.revoked_at(now)], tlp, true, &checks);
        if let Some(finding) = found.refused.first() {
            return Err(NodeError::refused(&finding.reason));
        }
        let mut report = Published::default();
        let announcements = self.send_out(linted, key, &to, now, &mut report)?;
        Ok((report, announcements))
    }

    /// What came from others and tripped the lint, with the reason as it stands today.
    pub fn quarantine(&self) -> Result<Vec<Quarantined>, NodeError> {
        let held = self.lint_incoming()?;
        let mut list = Vec::new();
        for entry in self.library.quarantined() {
            let Entry { owner, at, object, .. } = entry?.1;
            let reason = objection(&object, &held.checks(true));
            list.push(Quarantined {
                object: object.id().to_owned(),
                what: object.what(),
                reason: reason.unwrap_or_else(|| "nothing stands against it any more".into()),
                owner,
                tlp: object.tlp(),
                at,
            });
        }
        Ok(list)
    }

    /// Releases or drops quarantined objects, one by one or all. Says how many, and which ids wait for nothing.
    pub fn rule(
        &self,
        ids: &[String],
        all: bool,
        verdict: Verdict,
    ) -> Result<(usize, Vec<String>), NodeError> {
        let mut ids = ids.to_vec();
        if all {
            for entry in self.library.quarantined() {
                ids.push(entry?.1.object.id().to_owned());
            }
        }
        let mut unknown = Vec::new();
        for id in &ids {
            if !self.library.rule(id, verdict)? {
                unknown.push(id.clone());
            }
        }
        Ok((ids.len() - unknown.len(), unknown))
    }

    /// The local allow-list: what is put on it is no attack here.
    pub fn allow(&self, value: &str, note: &str, now: Timestamp) -> Result<Allowed, NodeError> {
        Ok(self.library.allowed().add(&observable(value)?, note, now)?)
    }

    /// Every entry of the allow-list.
    pub fn allowed(&self) -> Vec<Allowed> {
        self.library.allowed().entries()
    }

    /// Takes a value off the allow-list; false if it was not on it.
    pub fn disallow(&self, value: &str) -> Result<bool, NodeError> {
        Ok(self.library.allowed().remove(&observable(value)?)?)
    }

    /// The proof of one published object, for anyone.
    pub fn prove(&self, id: &str) -> Result<ObjectProof, NodeError> {
        let entry = self.library.entry(id)?;
        let entry = entry.ok_or_else(|| NodeError::input(format!("{id} is not published here")))?;
        if !entry.object.tlp().is_some_and(Tlp::may_leave_federation) {
            return Err(NodeError::refused("its TLP label keeps it among members"));
        }
        let document = entry.batch.unwrap_or_else(|| Digest::of(b""));
        let proof = self.proof_in(&document, &entry.object.digest())?.ok_or_else(|| {
            NodeError::input("it was published in a batch of version 1, which proves only the whole of it")
        })?;
        match entry.owner {
            Some(owner) => Ok(proof.vouched(self.vouchers_for(&owner)?)),
            None => Ok(proof),
        }
    }

    /// Every proof that a member told two stories.
    pub fn two_stories(&self) -> Result<Vec<TwoStories>, NodeError> {
        let mut list = Vec::new();
        for evidence in self.library.evidence() {
            let mut proofs = Vec::new();
            for (content, document) in [evidence.held, evidence.given] {
                let whole = || -> Result<serde_json::Value, NodeError> {
                    let json = self.documents.read(&document)?.unwrap_or_default();
                    serde_json::from_slice(&json).map_err(NodeError::invalid)
                };
                proofs.push(match self.proof_in(&document, &content)? {
                    Some(proof) => serde_json::to_value(proof).map_err(NodeError::invalid)?,
                    None => whole()?,
                });
            }
            list.push(TwoStories { evidence, proofs });
        }
        Ok(list)
    }

    /// The proof of the object with this digest in a batch that is held.
    fn proof_in(&self, document: &Digest, content: &Digest) -> Result<Option<ObjectProof>, NodeError> {
        let Some(json) = self.documents.read(document)? else { return Ok(None) };
        // Neither a sealed batch nor one of version 1 proves a single object.
        let Ok(batch) = SignedBatch::open(&json) else { return Ok(None) };
        let place = batch.items().iter().position(|item| item.digest == *content);
        Ok(place.and_then(|place| batch.proof(place)))
    }

    /// Every entry of the library, by id.
    pub fn indicators(&self) -> Result<Vec<Entry>, NodeError> {
        Ok(self.library.entries()?)
    }

    /// Whom this node has ever sealed an object of its own for.
    fn sealed_for(&self, id: &str) -> Result<Vec<NodeId>, NodeError> {
        let mut to = BTreeSet::new();
        self.each_signed_by(self.id(), &mut |batch, sealed_for| {
            if batch.items().iter().any(|item| item.object.id() == id) {
                to.extend(sealed_for);
            }
        })?;
        Ok(to.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;

/// What a row says beside its indicator: the campaign that it belongs to, and how often it was seen.
fn around(indicator: &StixObject, row: &Row, own: &IdSpace, now: Timestamp) -> Vec<StixObject> {
    let mut objects: Vec<StixObject> = Vec::new();
    if let Some(name) = &row.campaign {
        let campaign = StixObject::campaign(name, own, now);
        objects.push(StixObject::relationship("indicates", indicator.id(), campaign.id(), own, now));
        objects.push(campaign);
    }
    let observable = match indicator.pattern() {
        Some(Pattern::One(one)) => StixObject::observable(one),
        _ => None,
    };
    if let (Some(count), Some(observable)) = (row.seen, observable) {
        let seen = StixObject::observed(&[observable.id()], count.min(999_999_999), own, now);
        objects.push(StixObject::relationship("based-on", indicator.id(), seen.id(), own, now));
        objects.extend([observable, seen]);
    }
    // What is said of it goes under its label.
    let labelled = |o: StixObject| indicator.tlp().map_or_else(|| o.clone(), |tlp| o.clone().marked(tlp));
    objects.into_iter().map(labelled).collect()
}

/// A value with its kind before it, such as `domain evil.example`, or by itself.
pub(super) fn observable(text: &str) -> Result<Observable, NodeError> {
    let typed =
        text.trim().split_once(' ').and_then(|(kind, value)| Some((ObservableKind::named(kind)?, value)));
    let read = match typed {
        Some((kind, value)) => Observable::new(kind, value),
        None => Observable::guess(text),
    };
    read.map_err(NodeError::input)
}
