//! What the member does who asks: it leads a round from the query to the release (docs/protocol.md §9).
//!
//! Sans-IO: [`Coordinator::start`] and [`Coordinator::advance`] say whom to ask what, [`Coordinator::heard`] takes
//! the replies. A stage ends when nobody is waited for or time is up; the driver decides which, and asks again
//! whoever did not reply. The coordinator sees no vector and can hurt nobody's privacy; at worst there is no
//! release.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    agreed::Round,
    commitment::Blinding,
    exchange::{Ask, Told},
    message::{Abort, Consent, Included, Receipt, Roster, Seat, Submission},
    parameters::{Parameters, Terms},
    proof::Proof,
    secure_sum::{SecureSum, Total},
};
use crate::{
    document::{Charter, Document, Envelope, Flaw, NodeSecret, Signed},
    id::{Digest, NodeId},
    release::Release,
    statistic::{Ground, Plan, Query, Refusal},
    time::Timestamp,
    wire::{Announcement, Spreading},
};

/// Where a round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Asking the aggregators of an earlier round on this plan to give it up, so that it need not cost again.
    Freeing,
    /// Asking every member whether it takes part.
    Convening,
    /// Telling the aggregators of the roster.
    Opening,
    /// Asking for vectors.
    Contributing,
    /// Closing the round to further vectors.
    Closing,
    /// Verifying range proofs, one part an aggregator.
    Preparing,
    /// Agreeing on the set that is summed.
    Including,
    /// Revealing the sums.
    Revealing,
    /// Asking for countersignatures.
    Countersigning,
    /// Giving the round up.
    Aborting,
    /// Nothing is left to ask.
    Done,
}

/// Something to ask of one party.
#[derive(Debug, Clone)]
pub struct Send {
    /// Whom.
    pub to: NodeId,
    /// What.
    pub ask: Ask,
}

/// Why there is no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// Too few members take part.
    #[error("{consents} of at least {need} members take part; ask again later, or without a round (--local)")]
    TooFew {
        /// Members who consented.
        consents: usize,
        /// Members needed.
        need: usize,
        /// The grounds on which others refused.
        grounds: Vec<Ground>,
    },
    /// An aggregator did not do its part.
    #[error("{} of the round's aggregators did not answer or declined ({stage:?}); ask again: a round of which \
             nothing was revealed costs nothing more", .missing.len())]
    Aggregators {
        /// The stage.
        stage: Stage,
        /// Who.
        missing: Vec<NodeId>,
    },
    /// Too few vectors came, or held.
    #[error("{got} of at least {need} members handed in a vector that holds; ask again")]
    TooFewVectors {
        /// Vectors.
        got: usize,
        /// Needed.
        need: usize,
    },
    /// The sum does not open the commitments.
    #[error("the sum is false: a member or an aggregator of this round does not keep to the protocol")]
    FalseTotal,
    /// Something does not hold together.
    #[error(transparent)]
    Flaw(#[from] Flaw),
}

/// What came of a round.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A release, countersigned by the aggregators that answered.
    Release(Box<Signed<Release>>),
    /// The question was answered before in this period, and this member holds the release.
    Known(NodeId, Announcement),
}

/// One round, as the member leads it who asks.
pub struct Coordinator {
    charter: Signed<Charter>,
    query: Signed<Query>,
    terms: Terms,
    stage: Stage,
    waiting: BTreeSet<NodeId>,
    before: Option<(Envelope, Round)>,
    aborts: BTreeMap<NodeId, Signed<Abort>>,
    consents: BTreeMap<NodeId, Signed<Consent>>,
    refusals: BTreeMap<NodeId, Signed<Refusal>>,
    known: Option<(NodeId, Announcement)>,
    round: Option<Round>,
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
    /// plan, by its query and roster.
    pub fn new(
        charter: Signed<Charter>,
        query: Signed<Query>,
        before: Option<(Envelope, Envelope)>,
    ) -> Result<Self, Flaw> {
        let plan = Plan::new(query.document(), &charter).map_err(|e| Flaw::new("query", e.to_string()))?;
        let terms = Terms::new(plan, &charter)?;
        let asker = query.sole_signer()?;
        // One that does not hold any more (another charter) is of no use, and no harm.
        let before = before.and_then(|(query, roster)| {
            Some((query, Round::new(roster.open().ok()?, terms.clone(), asker).ok()?))
        });
        Ok(Self {
            charter,
            query,
            terms,
            stage: Stage::Done,
            waiting: BTreeSet::new(),
            before,
            aborts: BTreeMap::new(),
            consents: BTreeMap::new(),
            refusals: BTreeMap::new(),
            known: None,
            round: None,
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
        let Some((query, round)) = &self.before else { return self.convene() };
        let ask = Ask::Abort { query: query.clone(), roster: round.roster().envelope().clone() };
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

    /// The roster once it is drawn up: what to remember, with the query, in case the round comes to nothing.
    pub const fn round(&self) -> Option<&Round> {
        self.round.as_ref()
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
        let round = self.round.as_ref().map(Round::id);
        match (self.stage, told) {
            (Stage::Freeing, Told::Aborted { envelope }) => {
                let abort: Signed<Abort> = signed(envelope, from)?;
                let of = self.before.as_ref().map(|(_, round)| round.id());
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
        let members: Vec<NodeId> = self.charter.document().members.iter().map(|m| m.id).collect();
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
            self.before.as_ref().filter(|(_, b)| b.aggregators().iter().all(|a| self.aborts.contains_key(a)));
        let at_least = freed.map(|(_, before)| before.parameters().mechanism);
        let parameters = Parameters::new(&self.terms, self.consents.len(), at_least.as_ref())?;
        let roster = Roster {
            version: 1,
            charter: self.charter.id(),
            query: self.query.id(),
            plan: self.terms.id(),
            seats: self
                .consents
                .iter()
                .map(|(member, c)| Seat { member: *member, consent: c.id() })
                .collect(),
            parameters,
            made_at: at,
        };
        let roster = Signed::new(roster, secret).map_err(|e| Flaw::new("roster", e.to_string()))?;
        let round = Round::new(roster, self.terms.clone(), self.query.sole_signer()?)?;
        let query = self.query.envelope().clone();
        let ask = Ask::Open { query, roster: round.roster().envelope().clone() };
        let to = round.aggregators().to_vec();
        self.round = Some(round);
        Ok(self.ask(Stage::Opening, to, &ask))
    }

    fn contribute(&mut self) -> Result<Vec<Send>, Failed> {
        let round = self.need_round()?;
        self.all_of(&self.opened)?;
        let ask = Ask::Contribute {
            query: self.query.envelope().clone(),
            roster: round.roster().envelope().clone(),
            aborts: self.aborts.values().map(|a| a.envelope().clone()).collect(),
        };
        let to = round.seats().iter().map(|s| s.member).collect();
        // From here on, aborts are those of this round.
        self.aborts.clear();
        Ok(self.ask(Stage::Contributing, to, &ask))
    }

    fn close(&mut self) -> Result<Vec<Send>, Failed> {
        let round = self.need_round()?;
        let (got, need) = (self.submissions.len(), round.quorum());
        if got < need {
            return Err(Failed::TooFewVectors { got, need });
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
            return Err(Failed::TooFewVectors { got, need });
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
        let proof = Proof {
            roster: round.roster().envelope().clone(),
            included: set.envelope().clone(),
            submissions: named.iter().filter_map(|id| of(*id)).collect(),
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
        let ask = Ask::Countersign { release: release.envelope().clone() };
        self.release = Some(release);
        Ok(self.ask(Stage::Countersigning, round.aggregators().to_vec(), &ask))
    }

    /// Gives the round up; where sums may have been revealed, that cannot be taken back and nobody is asked.
    fn give_up(&mut self, failed: Failed) -> Vec<Send> {
        let late = self.stage >= Stage::Revealing;
        self.failed = Some(failed);
        match self.round.clone().filter(|_| !late) {
            Some(round) => {
                let query = self.query.envelope().clone();
                let ask = Ask::Abort { query, roster: round.roster().envelope().clone() };
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
        to.into_iter().map(|to| Send { to, ask: ask.clone() }).collect()
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
