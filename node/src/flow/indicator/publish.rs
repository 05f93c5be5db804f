//! Publishing: drafts are held against the lint, signed, kept, told (docs/indicators.md).

use std::{
    collections::{BTreeMap, HashMap},
    sync::PoisonError,
};

use hedgerow_protocol::{
    document::Charter,
    id::NodeId,
    indicator::{Finding, Instant, Linted, SignedBatch, StixObject, Tlp, lint_against, sealed::seal},
    limits,
    time::Timestamp,
    wire::{Announcement, Spreading},
};

use super::{Found, Published, To, under::Key};
use crate::{
    error::NodeError,
    node::{Node, random},
    store::{Entry, OUTGOING, Taking},
};

/// Longest draft that is signed, in bytes of its canonical form: of 32 KiB, the rest is for marks and for taking it back.
const MOST_DRAFT: usize = 31 * 1024;

impl Node {
    /// Publishes every draft under `tlp`, or each under the label that it came with: lint, sign, keep. Returns what to
    /// announce.
    pub fn publish(
        &self,
        tlp: Option<Tlp>,
        confirmed: bool,
        now: Timestamp,
    ) -> Result<(Published, Vec<Announcement>), NodeError> {
        self.publish_to(tlp, &To::All, confirmed, now)
    }

    /// The same, as `to` says.
    pub fn publish_to(
        &self,
        tlp: Option<Tlp>,
        to: &To,
        confirmed: bool,
        now: Timestamp,
    ) -> Result<(Published, Vec<Announcement>), NodeError> {
        let _alone = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        self.may_publish()?;
        let charter = self.federation()?.charter.document();
        let named: &[String] = if let To::Named(names) = to { names } else { &[] };
        let named = named.iter().map(|name| member(charter, name)).collect::<Result<Vec<_>, _>>()?;
        let sealed = !named.is_empty();
        let under_pseudonym = matches!(to, To::AllWithoutName);
        if under_pseudonym {
            self.may_publish_without_name(tlp)?;
        }
        if sealed && tlp.is_some_and(|tlp| tlp != Tlp::Red) {
            return Err(NodeError::input("only TLP red is sealed for named members"));
        }
        let most = charter.tlp;
        if tlp.is_some_and(|tlp| tlp > most && tlp != Tlp::Red) {
            return Err(NodeError::refused(format!("the charter lets members publish up to TLP {most}")));
        }
        let mut report = Published::default();
        let mut announcements = Vec::new();
        let held = self.lint_held()?;
        let mut under: BTreeMap<(Tlp, Key), Vec<StixObject>> = BTreeMap::new();
        // What is on its way out is a draft until it comes back.
        let drafts =
            self.library.drafts()?.into_iter().filter(|d| !self.pseudonyms.is_outgoing(d.object.id()));
        let drafts: Vec<(Key, Entry)> = drafts
            .map(|draft| {
                // The next version of something goes out under the key of the first: nobody else may change it.
                let key = match draft.owner {
                    Some(owner) if owner != self.id() => Key::Pseudonym,
                    Some(_) => Key::Name,
                    None if under_pseudonym || self.pseudonyms.withdrawn(draft.object.id()).is_some() => {
                        Key::Pseudonym
                    }
                    None => Key::Name,
                };
                (key, draft)
            })
            .collect();
        let ties = self.ties(drafts.iter().map(|(key, draft)| (*key, &draft.object)))?;
        let own_keys = self.own_keys();
        for (key, draft) in drafts {
            let taken = self.library.owner(draft.object.id()).is_some_and(|owner| !own_keys.contains(&owner));
            let reason = unsignable(&draft, now)
                .or_else(|| elsewhere(key, under_pseudonym))
                .map(str::to_owned)
                .or_else(|| taken.then(|| "its id belongs to another member".to_owned()))
                .or_else(|| ties.shown(self, &draft.object, key));
            if let Some(reason) = reason {
                report.refused.push(Found::of(&draft.object, reason));
                continue;
            }
            match tlp.or_else(|| draft.object.tlp()) {
                Some(label) if self.pseudonyms.withdrawn(draft.object.id()).is_some_and(|b| b != label) => {
                    report.refused.push(Found::of(
                        &draft.object,
                        "it may be out already, under another label: publish it under that",
                    ))
                }
                Some(Tlp::Red) if key == Key::Pseudonym => report.refused.push(Found::of(
                    &draft.object,
                    "what is RED is sealed for members by name, under one's own",
                )),
                Some(label) if label <= most || label == Tlp::Red => {
                    under.entry((label, key)).or_default().push(draft.object)
                }
                Some(label) => report.refused.push(Found::of(
                    &draft.object,
                    format!("it is under TLP {label}, and the charter lets members publish up to {most}"),
                )),
                None => {
                    report.refused.push(Found::of(&draft.object, "it has no TLP label; --tlp gives it one"))
                }
            }
        }
        for ((label, key), objects) in under {
            let patterns: HashMap<String, String> =
                objects.iter().map(|o| (o.id().to_owned(), o.what())).collect();
            let told = |list: Vec<Finding>| {
                list.into_iter().map(|Finding { object, reason }| {
                    let pattern = patterns.get(&object).cloned().unwrap_or_default();
                    Found { object, pattern, reason }
                })
            };
            let (linted, found) = lint_against(objects, label, confirmed, &held.checks(sealed));
            report.refused.extend(told(found.refused));
            if !confirmed {
                report.warnings.extend(told(found.warnings));
            }
            announcements.extend(self.send_out(linted, key, &named, now, &mut report)?);
        }
        Ok((report, announcements))
    }

    /// What went out since a backup, and under which key, is not known after it.
    pub(super) fn may_publish(&self) -> Result<(), NodeError> {
        if self.pseudonym().is_ok() { self.ensure_ledger_known() } else { Ok(()) }
    }

    /// Whether anything may be published under the pseudonym just now.
    fn may_publish_without_name(&self, tlp: Option<Tlp>) -> Result<(), NodeError> {
        let own = self.pseudonym()?;
        if tlp == Some(Tlp::Red) {
            return Err(NodeError::input("what is RED is sealed for members by name, under one's own"));
        }
        if self.pseudonyms.outgoing().len() >= OUTGOING {
            return Err(NodeError::refused(
                "too much waits to go out under the pseudonym; `hedgerow status` shows when it has gone",
            ));
        }
        if !self.is_known(&own.id)? {
            let vouchers = self.pseudonyms.known(|known| known.vouchers(&own.id));
            return Err(NodeError::refused(format!(
                "{vouchers} members have vouched for this node's pseudonym and {} must; they do so by themselves within about {} \
                 minutes, once every member's node has met every other's: `hedgerow status` says who is missing",
                own.policy.vouchers,
                own.policy.delay_seconds / 60 + 1
            )));
        }
        Ok(())
    }

    /// Signs, takes into one's own library, keeps for others.
    pub(super) fn send_out(
        &self,
        linted: Linted,
        key: Key,
        to: &[NodeId],
        now: Timestamp,
        report: &mut Published,
    ) -> Result<Vec<Announcement>, NodeError> {
        if key == Key::Pseudonym {
            return self.post(linted, now, report).map(|()| Vec::new());
        }
        let charter = self.federation()?.charter.id();
        let mut announcements = Vec::new();
        let signed = if linted.tlp() == Tlp::Red {
            let made = seal(linted, charter, now, self.secret(), to, &mut random());
            made.map(|list| list.into_iter().map(|(opened, json)| (opened.batch, json)).collect())
        } else {
            SignedBatch::sign(linted, charter, now, self.secret())
        };
        for (batch, json) in signed.map_err(NodeError::input)? {
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
            announcements.push(Announcement::of(Spreading::Batch, &json));
        }
        Ok(announcements)
    }

    /// Signs under the pseudonym, and keeps it until others have carried it out and it comes back.
    fn post(&self, linted: Linted, now: Timestamp, report: &mut Published) -> Result<(), NodeError> {
        let (own, charter) = (self.pseudonym()?, self.federation()?.charter.id());
        let batches = SignedBatch::sign_within(limits::CARRIED_BYTES, linted, charter, now, &own.secret)
            .map_err(NodeError::input)?;
        for (batch, json) in batches {
            // Its objects are drafts until it comes back and they are taken in: what is lost on the way is not lost here.
            self.pseudonyms.post(&batch, &json)?;
            report.published += batch.items().len();
            report.batches += 1;
            report.carried += 1;
        }
        Ok(())
    }
}

/// Why a draft under `key` does not go out now: with both keys at one moment, both would be seen as one's.
fn elsewhere(key: Key, under_pseudonym: bool) -> Option<&'static str> {
    match (key, under_pseudonym) {
        (Key::Pseudonym, false) => {
            Some("it goes out under the pseudonym alone: `publish --pseudonym` does that")
        }
        (Key::Name, true) => {
            Some("it was published under this group's name, and goes out without --pseudonym")
        }
        _ => None,
    }
}

/// Why a draft cannot be signed, whatever its label: one such must not keep the others from going out.
fn unsignable(draft: &Entry, now: Timestamp) -> Option<&'static str> {
    if draft.object.modified() > Instant::of(now.plus_seconds(limits::CLOCK_SKEW_SECONDS)) {
        return Some("it is dated ahead of this node's clock");
    }
    if draft.object.to_canonical().len() > MOST_DRAFT {
        return Some("it is too long to be marked, and to be taken back one day");
    }
    // Its words would go out unseen by the lint, which lets revocations pass.
    draft.object.revoked().then_some("it is revoked: what this node published, it takes back by its id")
}

/// The member of that name or id.
fn member(charter: &Charter, name: &str) -> Result<NodeId, NodeError> {
    let mut found = charter.members.iter().filter(|m| m.name == name || m.id.to_string() == name);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.id),
        (None, _) => Err(NodeError::input(format!("no member of the charter is called {name:?}"))),
        (Some(_), Some(_)) => {
            Err(NodeError::input(format!("several members are called {name:?}; give an id")))
        }
    }
}
