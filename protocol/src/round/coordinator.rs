//! What the member does who asks: it leads a round from the query to the release (docs/protocol.md §9).
//!
//! Sans-IO: [`Coordinator::start`] and [`Coordinator::advance`] say whom to ask what, [`Coordinator::heard`] takes
//! the replies. A stage ends when nobody is waited for or time is up; the driver decides which, and asks again
//! whoever did not reply. The coordinator sees no vector and can hurt nobody's privacy; at worst there is no
//! release.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    agreed::{Round, Seated},
    commitment::Blinding,
    exchange::{Ask, Told},
    message::{Abort, Consent, Drawn, Included, Receipt, Roster, Seat, Submission, draw},
    parameters::{Parameters, Terms},
    proof::Proof,
    secure_sum::{SecureSum, Total},
    stage::{Failed, Outcome, Send, Stage},
};
use crate::{
    document::{Charter, Document, Envelope, Flaw, NodeSecret, Signed},
    id::{Digest, NodeId},
    release::Release,
    statistic::{Ground, Plan, Query, Refusal},
    time::Timestamp,
    wire::{Announcement, Spreading},
};

/// One round, as the member leads it who asks.
pub struct Coordinator {
    charter: Signed<Charter>,
    query: Signed<Query>,
    terms: Terms,
    stage: Stage,
    waiting: BTreeSet<NodeId>,
    without: BTreeSet<NodeId>,
    before: Option<Round>,
    aborts: BTreeMap<NodeId, Signed<Abort>>,
    consents: BTreeMap<NodeId, Signed<Consent>>,
    refusals: BTreeMap<NodeId, Signed<Refusal>>,
    known: Option<(NodeId, Announcement)>,
    seated: Option<Seated>,
    nonces: BTreeMap<NodeId, Digest>,
    round: Option<Round>,
    contributing: bool,
    opened: BTreeMap<usize, ()>,
    submissions: BTreeMap<NodeId, Signed<Submission>>,
    receipts: BTreeMap<usize, Signed<Receipt>>,
    prepared: BTreeMap<usize, ()>,
    sets: BTreeMap<usize, Signed<Included>>,
    revealed: BTreeMap<usize, (Blinding, Vec<u8>)>,
    release: Option<Signed<Release>>,
    failed: Option<Failed>,
}

impl Coordinator {
    /// To lead a round on `query`, which asks for one under `charter`. `before` is an earlier attempt on the same
    /// plan. Members of `without` are not asked: they did not keep to a round before, or to the truth.
    pub fn new(
        charter: Signed<Charter>,
        query: Signed<Query>,
        before: Option<Drawn>,
        without: BTreeSet<NodeId>,
    ) -> Result<Self, Flaw> {
        let plan = Plan::new(query.document(), &charter).map_err(|e| Flaw::new("query", e.to_string()))?;
        let terms = Terms::new(plan, &charter)?;
        let asker = query.sole_signer()?;
        // One that does not hold any more (another charter) is of no use, and no harm.
        let before = before.and_then(|before| {
            Round::new(before.roster.open().ok()?, before.nonces, terms.clone(), asker).ok()
        });
        Ok(Self {
            charter,
            query,
            terms,
            stage: Stage::Done,
            waiting: BTreeSet::new(),
            without,
            before,
            aborts: BTreeMap::new(),
            consents: BTreeMap::new(),
            refusals: BTreeMap::new(),
            known: None,
            seated: None,
            nonces: BTreeMap::new(),
            round: None,
            contributing: false,
            opened: BTreeMap::new(),
            submissions: BTreeMap::new(),
            receipts: BTreeMap::new(),
            prepared: BTreeMap::new(),
            sets: BTreeMap::new(),
            revealed: BTreeMap::new(),
            release: None,
            failed: None,
        })
    }

    /// The first asks.
    pub fn start(&mut self) -> Vec<Send> {
        let Some(round) = &self.before else { return self.convene() };
        let ask = Ask::Abort { roster: round.roster().envelope().clone() };
        let to = round.aggregators().to_vec();
        self.ask(Stage::Freeing, to, &ask)
    }

    /// Where the round is.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Who has not replied in this stage.
    pub const fn waiting(&self) -> &BTreeSet<NodeId> {
        &self.waiting
    }

    /// The round, once vectors are asked for: what to remember before that, in case it comes to nothing. Of a round
    /// that ended earlier there is nothing to be freed.
    pub fn attempt(&self) -> Option<Drawn> {
        self.round.as_ref().filter(|_| self.contributing).map(Round::drawn)
    }

    /// Whether another round on the plan costs nobody more, in [`Stage::Done`] without a release: nobody was asked for a
    /// vector, or every aggregator gave its word that it reveals nothing.
    pub fn is_free(&self) -> bool {
        let given_up = |round: &Round| round.aggregators().iter().all(|a| self.aborts.contains_key(a));
        !self.contributing || self.round.as_ref().is_none_or(given_up)
    }

    /// Takes a reply of `from`. One that does not hold, or is none to what was asked, counts as no answer.
    pub fn heard(&mut self, from: NodeId, told: Told, beside: Vec<u8>) {
        if self.waiting.remove(&from) {
            // Dropped here if it does not hold: the stage then lacks it.
            let _ = self.take(from, told, beside);
        }
    }

    /// Nothing more is to be expected of `from` in this stage.
    pub fn lost(&mut self, from: &NodeId) {
        self.waiting.remove(from);
    }

    fn take(&mut self, from: NodeId, told: Told, beside: Vec<u8>) -> Option<()> {
        let place = self.round.as_ref().and_then(|r| r.aggregator(&from));
        let round = self.round.as_ref().map(|r| r.id());
        match (self.stage, told) {
            (Stage::Freeing, Told::Aborted { envelope }) => {
                let abort: Signed<Abort> = signed(envelope, from)?;
                let of = self.before.as_ref().map(|round| round.id());
                (Some(abort.document().round) == of).then(|| self.aborts.insert(from, abort))?;
            }
            (Stage::Convening, Told::Consent { envelope }) => {
                let consent: Signed<Consent> = signed(envelope, from)?;
                (consent.document().query == self.query.id()).then(|| self.consents.insert(from, consent))?;
            }
            (Stage::Convening | Stage::Contributing, Told::Refusal { envelope }) => {
                let refusal: Signed<Refusal> = signed(envelope, from)?;
                let grounds = &self.charter.document().refusal_grounds;
                let known = match &refusal.document().ground {
                    Ground::Charter(code) => grounds.iter().any(|g| g.code == *code),
                    _ => true,
                };
                (refusal.document().query == self.query.id() && known)
                    .then(|| self.refusals.insert(from, refusal))?;
            }
            (Stage::Convening, Told::Known { release }) if release.kind == Spreading::Release => {
                self.known = Some((from, release));
            }
            (Stage::Drawing, Told::Drawn { nonce }) => {
                let seat = *self.seated.as_ref()?.seat(&from)?;
                (seat.draw == draw(&nonce)).then(|| self.nonces.insert(from, nonce))?;
            }
            (Stage::Opening, Told::Opened) => {
                self.opened.insert(place?, ());
            }
            (Stage::Contributing, Told::Submitted { envelope }) => {
                let submission: Signed<Submission> = signed(envelope, from)?;
                self.round.as_ref()?.place(&submission).ok()?;
                self.submissions.insert(from, submission);
            }
            (Stage::Closing, Told::Receipt { envelope }) => {
                let receipt: Signed<Receipt> = signed(envelope, from)?;
                (Some(receipt.document().round) == round).then(|| self.receipts.insert(place?, receipt));
            }
            (Stage::Preparing, Told::Prepared) => {
                self.prepared.insert(place?, ());
            }
            (Stage::Including, Told::Included { envelope }) => {
                let set: Signed<Included> = signed(envelope, from)?;
                (Some(set.document().round) == round).then(|| self.sets.insert(place?, set));
            }
            (Stage::Revealing, Told::Revealed) => {
                let (blinding, total) = beside.split_at_checked(32)?;
                self.revealed.insert(place?, (Blinding::from_bytes(blinding)?, total.to_vec()));
            }
            (Stage::Countersigning, Told::Countersigned { signature }) => {
                place?;
                self.release.as_mut()?.add_signature(from, signature).ok()?;
            }
            (Stage::Aborting, Told::Aborted { envelope }) => {
                let abort: Signed<Abort> = signed(envelope, from)?;
                (Some(abort.document().round) == round).then(|| self.aborts.insert(from, abort))?;
            }
            _ => return None,
        }
        Some(())
    }

    /// Ends the stage with what was heard, and says what to ask next. Nothing is left to ask in [`Stage::Done`],
    /// where [`Self::outcome`] tells what came of it.
    pub fn advance(&mut self, at: Timestamp, secret: &NodeSecret) -> Vec<Send> {
        let next = match self.stage {
            Stage::Freeing => Ok(self.convene()),
            Stage::Convening => self.seat(at, secret),
            Stage::Drawing => self.open(),
            Stage::Opening => self.contribute(),
            Stage::Contributing => self.close(),
            Stage::Closing => self.prepare(),
            Stage::Preparing => self.include(),
            Stage::Including => self.reveal(),
            Stage::Revealing => self.release(at, secret),
            Stage::Countersigning | Stage::Aborting | Stage::Done => {
                self.stage = Stage::Done;
                Ok(Vec::new())
            }
        };
        next.unwrap_or_else(|failed| self.give_up(failed))
    }

    /// What came of the round, in [`Stage::Done`].
    pub fn outcome(self) -> Result<Outcome, Failed> {
        if let Some((from, announcement)) = self.known {
            return Ok(Outcome::Known(from, announcement));
        }
        match (self.failed, self.release) {
            (Some(failed), _) => Err(failed),
            (None, Some(release)) => Ok(Outcome::Release(Box::new(release))),
            (None, None) => Err(Flaw::new("round", "it was not led to its end").into()),
        }
    }

    fn convene(&mut self) -> Vec<Send> {
        let members = self.charter.document().members.iter().map(|m| m.id);
        let members = members.filter(|id| !self.without.contains(id)).collect();
        let ask = Ask::Convene { query: self.query.envelope().clone() };
        self.ask(Stage::Convening, members, &ask)
    }

    fn seat(&mut self, at: Timestamp, secret: &NodeSecret) -> Result<Vec<Send>, Failed> {
        if self.known.is_some() {
            self.stage = Stage::Done;
            return Ok(Vec::new());
        }
        let need = self.terms.fewest();
        if self.consents.len() < need {
            let grounds: BTreeSet<Ground> =
                self.refusals.values().map(|r| r.document().ground.clone()).collect();
            let consents = self.consents.len();
            return Err(Failed::TooFew { consents, need, grounds: grounds.into_iter().collect() });
        }
        // The round before can be held again at no cost if all its aggregators gave it up.
        let freed =
            self.before.as_ref().filter(|b| b.aggregators().iter().all(|a| self.aborts.contains_key(a)));
        let at_least = freed.map(|before| before.parameters().mechanism);
        let parameters = Parameters::new(&self.terms, self.consents.len(), at_least.as_ref())?;
        let roster = Roster {
            version: 1,
            charter: self.charter.id(),
            query: self.query.id(),
            plan: self.terms.id(),
            seats: self
                .consents
                .iter()
                .map(|(member, c)| Seat { member: *member, draw: c.document().draw })
                .collect(),
            parameters,
            made_at: at,
        };
        let roster = Signed::new(roster, secret).map_err(|e| Flaw::new("roster", e.to_string()))?;
        let seated = Seated::new(roster, self.terms.clone(), self.query.sole_signer()?)?;
        let ask = Ask::Draw { roster: seated.roster().envelope().clone() };
        let to = seated.seats().iter().map(|s| s.member).collect();
        self.seated = Some(seated);
        Ok(self.ask(Stage::Drawing, to, &ask))
    }

    fn open(&mut self) -> Result<Vec<Send>, Failed> {
        let seated = self.seated.clone().ok_or_else(|| Flaw::new("round", "there is no roster"))?;
        let drew = |seat: &Seat| self.nonces.get(&seat.member).copied().ok_or(seat.member);
        let missing: Vec<NodeId> = seated.seats().iter().filter_map(|seat| drew(seat).err()).collect();
        if !missing.is_empty() {
            return Err(Failed::Undrawn { missing });
        }
        let nonces = seated.seats().iter().filter_map(|seat| drew(seat).ok()).collect();
        let round = seated.draw(nonces)?;
        let ask = Ask::Open { query: self.query.envelope().clone(), drawn: round.drawn() };
        let to = round.aggregators().to_vec();
        self.round = Some(round);
        Ok(self.ask(Stage::Opening, to, &ask))
    }

    fn contribute(&mut self) -> Result<Vec<Send>, Failed> {
        let round = self.need_round()?;
        self.all_of(&self.opened)?;
        let ask = Ask::Contribute {
            round: round.id(),
            nonces: round.drawn().nonces,
            aborts: self.aborts.values().map(|a| a.envelope().clone()).collect(),
        };
        let to = round.seats().iter().map(|s| s.member).collect();
        self.contributing = true;
        // From here on, aborts are those of this round.
        self.aborts.clear();
        Ok(self.ask(Stage::Contributing, to, &ask))
    }

    fn close(&mut self) -> Result<Vec<Send>, Failed> {
        let round = self.need_round()?;
        let (got, need) = (self.submissions.len(), round.quorum());
        if got < need {
            let missing = |m: &NodeId| !self.submissions.contains_key(m);
            let missing = round.seats().iter().map(|s| s.member).filter(missing).collect();
            return Err(Failed::TooFewVectors { got, need, missing });
        }
        let submissions = self.submissions.values().map(Signed::id).collect();
        let ask = Ask::Close { round: round.id(), submissions };
        Ok(self.ask(Stage::Closing, round.aggregators().to_vec(), &ask))
    }

    fn prepare(&mut self) -> Result<Vec<Send>, Failed> {
        let round = self.need_round()?;
        self.all_of(&self.receipts)?;
        let receipts = self.receipts.values().map(|r| r.envelope().clone()).collect();
        let ask = Ask::Prepare { round: round.id(), receipts };
        Ok(self.ask(Stage::Preparing, round.aggregators().to_vec(), &ask))
    }

    fn include(&mut self) -> Result<Vec<Send>, Failed> {
        let round = self.need_round()?;
        self.all_of(&self.prepared)?;
        let ask = Ask::Include { round: round.id() };
        Ok(self.ask(Stage::Including, round.aggregators().to_vec(), &ask))
    }

    fn reveal(&mut self) -> Result<Vec<Send>, Failed> {
        let round = self.need_round()?;
        self.all_of(&self.sets)?;
        let mut sets = std::mem::take(&mut self.sets).into_values();
        let mut set = sets.next().ok_or_else(|| Flaw::new("included", "no aggregator signed a set"))?;
        if !sets.all(|other| set.merge(&other)) {
            return Err(Flaw::new("included", "the aggregators signed different sets").into());
        }
        let (got, need) = (set.document().submissions.len(), round.quorum());
        if got < need {
            let named = &set.document().submissions;
            let held = |m: &NodeId| self.submissions.get(m).is_some_and(|s| named.contains(&s.id()));
            let missing = round.seats().iter().map(|s| s.member).filter(|m| !held(m)).collect();
            return Err(Failed::TooFewVectors { got, need, missing });
        }
        let ask = Ask::Reveal { included: set.envelope().clone() };
        self.sets.insert(0, set);
        Ok(self.ask(Stage::Revealing, round.aggregators().to_vec(), &ask))
    }

    fn release(&mut self, at: Timestamp, secret: &NodeSecret) -> Result<Vec<Send>, Failed> {
        let round = self.need_round()?;
        self.all_of(&self.revealed)?;
        let set = self.sets.get(&0).ok_or_else(|| Flaw::new("included", "no set was signed"))?;
        let sum = SecureSum::of(&round)?;
        let totals: Vec<Total> =
            self.revealed.values().map(|(_, t)| sum.read_total(t)).collect::<Result<_, _>>()?;
        let named = &set.document().submissions;
        let totals = sum.unshard(totals, named.len())?;
        let blinding = Blinding::sum(self.revealed.values().map(|(b, _)| b));
        // In the order of the set, which is that of the seats.
        let of = |id| self.submissions.values().find(|s| s.id() == id).map(|s| s.envelope().clone());
        let counted = |m: &NodeId| self.submissions.get(m).is_some_and(|s| named.contains(&s.id()));
        let not_counted = round.seats().iter().filter(|s| !counted(&s.member));
        let proof = Proof {
            drawn: round.drawn(),
            included: set.envelope().clone(),
            submissions: named.iter().filter_map(|id| of(*id)).collect(),
            consents: not_counted
                .filter_map(|s| self.consents.get(&s.member))
                .map(|c| c.envelope().clone())
                .collect(),
            blinding: Digest::from_bytes(blinding.to_bytes()),
        };
        let offset = u128::from(round.parameters().offset) * named.len() as u128;
        let values: Option<Vec<i64>> = totals
            .iter()
            .map(|t| i64::try_from(i128::try_from(*t).ok()? - i128::try_from(offset).ok()?).ok())
            .collect();
        // What is out of range was no sum of verified vectors.
        let values = values.ok_or(Failed::FalseTotal)?;
        let proven = proof.open(self.terms.clone(), self.query.sole_signer()?)?;
        if !proven.opens(&values)? {
            return Err(Failed::FalseTotal);
        }
        let refusals = self.refusals.values().cloned().collect();
        let release = Release::of_round(&self.charter, &self.query, (proof, &proven), values, refusals, at)
            .map_err(|e| Flaw::new("release", e.to_string()))?;
        let release = Signed::new(release, secret).map_err(|e| Flaw::new("release", e.to_string()))?;
        let json = release.envelope().to_json().map_err(|e| Flaw::new("release", e.to_string()))?;
        self.release = Some(release);
        let mut sends = self.ask(
            Stage::Countersigning,
            round.aggregators().to_vec(),
            &Ask::Countersign { round: round.id() },
        );
        sends.iter_mut().for_each(|send| send.beside.clone_from(&json));
        Ok(sends)
    }

    /// Gives the round up; where sums may have been revealed, that cannot be taken back and nobody is asked.
    fn give_up(&mut self, failed: Failed) -> Vec<Send> {
        let late = self.stage >= Stage::Revealing;
        self.failed = Some(failed);
        match self.round.clone().filter(|_| !late) {
            Some(round) => {
                let ask = Ask::Abort { roster: round.roster().envelope().clone() };
                self.ask(Stage::Aborting, round.aggregators().to_vec(), &ask)
            }
            None => {
                self.stage = Stage::Done;
                Vec::new()
            }
        }
    }

    fn ask(&mut self, stage: Stage, to: Vec<NodeId>, ask: &Ask) -> Vec<Send> {
        self.stage = stage;
        self.waiting = to.iter().copied().collect();
        to.into_iter().map(|to| Send { to, ask: ask.clone(), beside: Vec::new() }).collect()
    }

    fn need_round(&self) -> Result<Round, Failed> {
        self.round.clone().ok_or_else(|| Flaw::new("round", "there is no roster").into())
    }

    /// Every aggregator did its part of this stage.
    fn all_of<T>(&self, done: &BTreeMap<usize, T>) -> Result<(), Failed> {
        let Some(round) = &self.round else { return Ok(()) };
        let missing: Vec<NodeId> = round
            .aggregators()
            .iter()
            .enumerate()
            .filter(|(place, _)| !done.contains_key(place))
            .map(|(_, id)| *id)
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(Failed::Aggregators { stage: self.stage, missing }) }
    }
}

/// A document of `from` alone.
fn signed<D: Document>(envelope: Envelope, from: NodeId) -> Option<Signed<D>> {
    envelope.open::<D>().ok().filter(|s| s.sole_signer() == Ok(from))
}
