//! What one node does in rounds, as a member and as an aggregator (docs/protocol.md §9).
//!
//! Sans-IO: an ask goes in, a reply comes out, with what is to be delivered to aggregators before it. Everything
//! that must be on disk before a reply leaves is written through [`Host`].

use std::collections::BTreeMap;

use rand::CryptoRng;

use super::{
    aggregator::Aggregation,
    agreed::Round,
    exchange::{Ask, Declined, Told},
    message::{Abort, Consent, Roster},
    parameters::Terms,
    share::NoisedShare,
};
use crate::{
    document::{Charter, Envelope, NodeSecret, Signed},
    id::{Digest, Id, NodeId},
    privacy::{AuthoriseError, Charge, Permit},
    release::verify,
    statistic::{Exact, Ground, Plan, Query, Refusal},
    time::Timestamp,
};

/// Consents that were given to one member and not used yet. When there are more, the oldest of them serve no longer;
/// those given to others are not touched.
const CONSENTS_TO_ONE: usize = 16;
/// Rounds in which this node's vector is kept in memory, to be handed in again. The oldest is let go.
const SUBMITTED: usize = 8;
/// Rounds that this node aggregates at once; as many that are over are remembered. When there are more, they are
/// declined as `Busy`.
const AGGREGATED: usize = 8;
/// Of these, rounds of one member. When it opens more, they are declined as `Busy`.
const AGGREGATED_FOR_ONE: usize = 2;
/// Bytes of shares that it holds for them together.
const AGGREGATED_BYTES: usize = 512 * 1024 * 1024;
/// How long a round may stay open at an aggregator, in seconds. Then it is over, and can only be aborted.
pub const ROUND_SECONDS: i64 = 900;

/// What an aggregator has done about a round, on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It takes part. After a restart nothing else is known of the round, so it may only be given up.
    Opened,
    /// It revealed its sum, or was about to.
    Revealed,
    /// It gave its word that it will not.
    Aborted,
}

/// The node around a party: its key and charter, its records, ledger and disk.
pub trait Host {
    /// Why the disk or the records failed.
    type Error;

    /// The node's key.
    fn secret(&self) -> &NodeSecret;
    /// The charter in force.
    fn charter(&self) -> &Signed<Charter>;
    /// The plan of a query that may be answered now, or the ground on which it is refused. Asks query, charter,
    /// clock, ledger and the operator's policy, never records.
    fn admit(&self, query: &Signed<Query>, at: Timestamp) -> Result<Plan, Ground>;
    /// Charges, durably; see [`crate::privacy::Accountant::authorise`].
    fn authorise(&mut self, charge: &Charge) -> Result<Permit, AuthoriseError<Self::Error>>;
    /// Counts the records into the plan's cells.
    fn count(&mut self, plan: &Plan) -> Result<Exact, Self::Error>;
    /// The vector that was handed in for this plan last.
    fn kept(&mut self, plan: &Id<Plan>) -> Result<Option<NoisedShare>, Self::Error>;
    /// Keeps a vector, durably, in place of an earlier one for the plan.
    fn keep(&mut self, share: &NoisedShare) -> Result<(), Self::Error>;
    /// What this node did about a round as an aggregator.
    fn mark(&mut self, round: &Id<Roster>) -> Result<Option<Mark>, Self::Error>;
    /// Marks it, durably.
    fn set_mark(&mut self, round: &Id<Roster>, mark: Mark) -> Result<(), Self::Error>;
}

/// A share for an aggregator: it is to be asked [`Ask::Deliver`] with these bytes beside it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The aggregator.
    pub to: NodeId,
    /// The ask.
    pub ask: Ask,
    /// Beside it.
    pub beside: Vec<u8>,
}

/// What comes of an ask.
#[derive(Debug)]
pub struct Step {
    /// To be delivered first: the reply leaves when each was taken or could not be had.
    pub deliver: Vec<Delivery>,
    /// The reply.
    pub told: Told,
    /// Beside the reply.
    pub beside: Vec<u8>,
}

impl Step {
    const fn told(told: Told) -> Self {
        Self { deliver: Vec::new(), told, beside: Vec::new() }
    }
}

/// Why an ask came to nothing.
enum Stop<E> {
    Declined(Declined),
    Refused(Id<Query>, Ground),
    Host(E),
}

impl<E> From<Declined> for Stop<E> {
    fn from(why: Declined) -> Self {
        Self::Declined(why)
    }
}

struct Given {
    query: Id<Query>,
    to: NodeId,
    expires: Timestamp,
}

struct Submitted {
    at: Timestamp,
    deliveries: Vec<Delivery>,
    envelope: Envelope,
}

/// One node in all its rounds. What is here is forgotten when the node stops; what matters after is on disk.
#[derive(Default)]
pub struct Party {
    consents: BTreeMap<Id<Consent>, Given>,
    submitted: BTreeMap<Id<Roster>, Submitted>,
    aggregated: BTreeMap<Id<Roster>, (Timestamp, Aggregation)>,
}

impl Party {
    /// Handles what `from`, a member of the charter, asks.
    pub fn handle<H: Host, R: CryptoRng + ?Sized>(
        &mut self,
        from: NodeId,
        ask: Ask,
        beside: Vec<u8>,
        at: Timestamp,
        host: &mut H,
        rng: &mut R,
    ) -> Result<Step, H::Error> {
        self.let_go(at);
        let stop = match self.step(from, ask, beside, at, host, rng) {
            Ok(step) => return Ok(step),
            Err(stop) => stop,
        };
        match stop {
            Stop::Host(error) => Err(error),
            Stop::Declined(why) => Ok(Step::told(Told::Declined { why })),
            Stop::Refused(query, ground) => {
                let refusal = Refusal { version: 1, query, ground, made_at: at };
                Ok(Step::told(match Signed::new(refusal, host.secret()) {
                    Ok(refusal) => Told::Refusal { envelope: refusal.envelope().clone() },
                    Err(_) => Told::Declined { why: Declined::NotAcceptable },
                }))
            }
        }
    }

    /// How many rounds are under way of which this node is an aggregator.
    pub fn aggregating(&self) -> usize {
        self.aggregated.values().filter(|(_, a)| !a.is_over()).count()
    }

    fn step<H: Host, R: CryptoRng + ?Sized>(
        &mut self,
        from: NodeId,
        ask: Ask,
        beside: Vec<u8>,
        at: Timestamp,
        host: &mut H,
        rng: &mut R,
    ) -> Result<Step, Stop<H::Error>> {
        match ask {
            Ask::Convene { query } => self.consent(from, query, at, host, rng),
            Ask::Open { query, roster } => self.open(from, query, roster, at, host),
            Ask::Contribute { query, roster, aborts } => {
                self.contribute(from, (query, roster, aborts), at, host, rng)
            }
            Ask::Deliver { submission } => {
                let round =
                    submission.clone().open::<super::Submission>().map_err(|_| Declined::NotAcceptable)?;
                let held: usize = self.aggregated.values().map(|(_, a)| a.bytes()).sum();
                if held.saturating_add(beside.len()) > AGGREGATED_BYTES {
                    return Err(Declined::Busy.into());
                }
                self.aggregation(&round.document().round)?.deliver(from, submission, beside)?;
                Ok(Step::told(Told::Kept))
            }
            Ask::Close { round, submissions } => {
                let aggregation = self.led_by(from, &round)?;
                let receipt = aggregation.close(&submissions, host.secret(), rng)?;
                Ok(Step::told(Told::Receipt { envelope: receipt.envelope().clone() }))
            }
            Ask::Prepare { round, receipts } => {
                let aggregation = self.led_by(from, &round)?;
                let (verifiers, parts) = aggregation.prepare(receipts, host.secret())?;
                let own = host.secret().node_id();
                let others = aggregation.round().aggregators().iter().filter(|a| **a != own);
                let ask = Ask::Verify { verifiers: verifiers.envelope().clone() };
                let deliver = others.map(|to| Delivery { to: *to, ask: ask.clone(), beside: parts.clone() });
                Ok(Step { deliver: deliver.collect(), told: Told::Prepared, beside: Vec::new() })
            }
            Ask::Verify { verifiers } => {
                let round =
                    verifiers.clone().open::<super::Verifiers>().map_err(|_| Declined::NotAcceptable)?;
                self.aggregation(&round.document().round)?.verify(from, verifiers, beside)?;
                Ok(Step::told(Told::Kept))
            }
            Ask::Include { round } => {
                let set = self.led_by(from, &round)?.include(host.secret())?;
                Ok(Step::told(Told::Included { envelope: set.envelope().clone() }))
            }
            Ask::Reveal { included } => self.reveal(from, included, host),
            Ask::Countersign { release } => self.countersign(from, release, host),
            Ask::Abort { query, roster } => self.abort(from, query, roster, host),
        }
    }

    fn consent<H: Host, R: CryptoRng + ?Sized>(
        &mut self,
        from: NodeId,
        query: Envelope,
        at: Timestamp,
        host: &H,
        rng: &mut R,
    ) -> Result<Step, Stop<H::Error>> {
        let query = signed_by(query, from)?;
        let refused = |ground| Stop::Refused(query.id(), ground);
        let plan = host.admit(&query, at).map_err(refused)?;
        Terms::new(plan, host.charter()).map_err(|_| refused(Ground::NotPlannable))?;
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let consent =
            Consent { version: 1, query: query.id(), nonce: Digest::from_bytes(nonce), made_at: at };
        let consent = Signed::new(consent, host.secret()).map_err(|_| Declined::NotAcceptable)?;
        let of_one = || self.consents.iter().filter(|(_, given)| given.to == from);
        if of_one().count() >= CONSENTS_TO_ONE {
            let oldest = of_one().min_by_key(|(_, given)| given.expires).map(|(id, _)| *id);
            oldest.map(|id| self.consents.remove(&id));
        }
        let given = Given { query: query.id(), to: from, expires: query.document().expires_at };
        self.consents.insert(consent.id(), given);
        Ok(Step::told(Told::Consent { envelope: consent.envelope().clone() }))
    }

    fn open<H: Host>(
        &mut self,
        from: NodeId,
        query: Envelope,
        roster: Envelope,
        at: Timestamp,
        host: &mut H,
    ) -> Result<Step, Stop<H::Error>> {
        let (query, round) = agreed(from, query, roster, host)?;
        host.admit(&query, at).map_err(|ground| Stop::Refused(query.id(), ground))?;
        let own = host.secret().node_id();
        let place = round.aggregator(&own).ok_or(Declined::NotAcceptable)?;
        let id = round.id();
        if self.aggregated.contains_key(&id) {
            return Ok(Step::told(Told::Opened));
        }
        if host.mark(&id).map_err(Stop::Host)?.is_some() {
            return Err(Declined::Unknown.into());
        }
        let under_way = || self.aggregated.values().filter(|(_, a)| !a.is_over());
        let of_one = under_way().filter(|(_, a)| a.round().roster().sole_signer() == Ok(from));
        if under_way().count() >= AGGREGATED || of_one.count() >= AGGREGATED_FOR_ONE {
            return Err(Declined::Busy.into());
        }
        let aggregation = Aggregation::new(round, place)?;
        host.set_mark(&id, Mark::Opened).map_err(Stop::Host)?;
        while self.aggregated.len() >= 2 * AGGREGATED {
            let over = self.aggregated.iter().filter(|(_, (_, a))| a.is_over());
            let oldest = over.min_by_key(|(_, (since, _))| *since).map(|(id, _)| *id);
            // Fewer than half are under way, so there is one that is over.
            let Some(oldest) = oldest else { break };
            self.aggregated.remove(&oldest);
        }
        self.aggregated.insert(id, (at, aggregation));
        Ok(Step::told(Told::Opened))
    }

    fn contribute<H: Host, R: CryptoRng + ?Sized>(
        &mut self,
        from: NodeId,
        (query, roster, aborts): (Envelope, Envelope, Vec<Envelope>),
        at: Timestamp,
        host: &mut H,
        rng: &mut R,
    ) -> Result<Step, Stop<H::Error>> {
        if let Some(before) = self.submitted.get(&roster.id()) {
            return Ok(before.step());
        }
        let (query, round) = agreed(from, query, roster, host)?;
        host.admit(&query, at).map_err(|ground| Stop::Refused(query.id(), ground))?;
        let own = host.secret().node_id();
        let seat = round.seat(&own).ok_or(Declined::NotAcceptable)?;
        match self.consents.get(&seat.consent) {
            Some(given) if given.query == query.id() && given.to == from => {}
            _ => return Err(Declined::Unknown.into()),
        }
        self.consents.remove(&seat.consent);
        let share = self.share(from, &query, &round, aborts, at, host, rng)?;
        host.keep(&share).map_err(Stop::Host)?;
        let (submission, messages) =
            share.submit(&round, host.secret(), rng).map_err(|_| Declined::NotAcceptable)?;
        let envelope = submission.envelope();
        let mut deliveries = Vec::with_capacity(messages.len());
        for (to, beside) in round.aggregators().iter().zip(messages) {
            let ask = Ask::Deliver { submission: envelope.clone() };
            deliveries.push(Delivery { to: *to, ask, beside });
        }
        while self.submitted.len() >= SUBMITTED {
            let oldest = self.submitted.iter().min_by_key(|(_, s)| s.at).map(|(id, _)| *id);
            oldest.map(|id| self.submitted.remove(&id));
        }
        let submitted = Submitted { at, deliveries, envelope: envelope.clone() };
        let step = submitted.step();
        self.submitted.insert(round.id(), submitted);
        Ok(step)
    }

    /// The vector for a round: the one of an earlier round of which nothing was or will be revealed, or a new one,
    /// newly paid for.
    #[expect(clippy::too_many_arguments, reason = "all that a charge names")]
    fn share<H: Host, R: CryptoRng + ?Sized>(
        &self,
        from: NodeId,
        query: &Signed<Query>,
        round: &Round,
        aborts: Vec<Envelope>,
        at: Timestamp,
        host: &mut H,
        rng: &mut R,
    ) -> Result<NoisedShare, Stop<H::Error>> {
        let plan = round.terms().plan();
        if let Some(kept) = host.kept(&plan.id()).map_err(Stop::Host)? {
            if kept.round() == round.id() {
                // It was made, the node stopped, and nobody here knows how much of it left.
                return Err(Declined::Unknown.into());
            }
            let aborts: Vec<Signed<Abort>> = aborts
                .into_iter()
                .take(round.aggregators().len())
                .filter_map(|envelope| envelope.open().ok())
                .collect();
            if kept.is_free(&aborts)
                && let Ok(again) = kept.again(round, rng)
            {
                return Ok(again);
            }
        }
        let charge = Charge {
            plan: plan.id(),
            round: Some(round.id()),
            purpose: query.document().purpose.clone(),
            epsilon: plan.epsilon(),
            asker: from,
            years: plan.years(),
            at,
        };
        let permit = host.authorise(&charge).map_err(|error| match error {
            AuthoriseError::OverBudget(_) => Stop::Refused(query.id(), Ground::OverBudget),
            AuthoriseError::NotWritten(error) => Stop::Host(error),
            AuthoriseError::AlreadyCharged => Declined::Unknown.into(),
        })?;
        let exact = host.count(plan).map_err(Stop::Host)?;
        exact.noise_share(permit, round, rng).map_err(|_| Declined::NotAcceptable.into())
    }

    fn reveal<H: Host>(
        &mut self,
        from: NodeId,
        included: Envelope,
        host: &mut H,
    ) -> Result<Step, Stop<H::Error>> {
        let opened: Signed<super::Included> = included.clone().open().map_err(|_| Declined::NotAcceptable)?;
        let round = opened.document().round;
        let aggregation = self.led_by(from, &round)?;
        aggregation.may_reveal(included)?;
        let bytes = aggregation.reveal()?;
        // On disk before it leaves: from here on this round cannot be given up.
        host.set_mark(&round, Mark::Revealed).map_err(Stop::Host)?;
        Ok(Step { deliver: Vec::new(), told: Told::Revealed, beside: bytes })
    }

    /// Signs a release that verifies and is of the set that this node signed.
    fn countersign<H: Host>(
        &mut self,
        from: NodeId,
        release: Envelope,
        host: &H,
    ) -> Result<Step, Stop<H::Error>> {
        let json = release.to_json().map_err(|_| Declined::NotAcceptable)?;
        let verified = verify(&json, Some(host.charter().id())).into_verified();
        let release = verified.ok_or(Declined::NotAcceptable)?;
        let included = release.document().round.as_ref().map(|r| r.included.id::<super::Included>());
        let round = release.document().round.as_ref().map(|r| r.roster.id::<Roster>());
        let set = round.and_then(|r| self.led_by(from, &r).ok()).and_then(|a| a.set()).map(Signed::id);
        if set.is_none() || set != included {
            return Err(Declined::Contradiction.into());
        }
        Ok(Step::told(Told::Countersigned { signature: release.signature(host.secret()) }))
    }

    fn abort<H: Host>(
        &mut self,
        from: NodeId,
        query: Envelope,
        roster: Envelope,
        host: &mut H,
    ) -> Result<Step, Stop<H::Error>> {
        let (_, round) = agreed(from, query, roster, host)?;
        let id = round.id();
        round.aggregator(&host.secret().node_id()).ok_or(Declined::NotAcceptable)?;
        match host.mark(&id).map_err(Stop::Host)? {
            Some(Mark::Revealed) => return Err(Declined::OutOfTurn.into()),
            Some(Mark::Aborted) => {}
            Some(Mark::Opened) | None => host.set_mark(&id, Mark::Aborted).map_err(Stop::Host)?,
        }
        self.aggregated.remove(&id);
        let abort = Signed::new(Abort { version: 1, round: id }, host.secret());
        let abort = abort.map_err(|_| Declined::NotAcceptable)?;
        Ok(Step::told(Told::Aborted { envelope: abort.envelope().clone() }))
    }

    fn aggregation(&mut self, round: &Id<Roster>) -> Result<&mut Aggregation, Declined> {
        self.aggregated.get_mut(round).map(|(_, a)| a).ok_or(Declined::Unknown)
    }

    /// The aggregation of a round that `from` coordinates.
    fn led_by(&mut self, from: NodeId, round: &Id<Roster>) -> Result<&mut Aggregation, Declined> {
        let aggregation = self.aggregation(round)?;
        if aggregation.round().roster().sole_signer() == Ok(from) {
            Ok(aggregation)
        } else {
            Err(Declined::NotAcceptable)
        }
    }

    /// Forgets what is too old to serve.
    fn let_go(&mut self, at: Timestamp) {
        self.consents.retain(|_, given| given.expires >= at);
        let young = |since: Timestamp| at.unix_seconds() - since.unix_seconds() <= ROUND_SECONDS;
        self.submitted.retain(|_, s| young(s.at));
        self.aggregated.retain(|_, (since, _)| young(*since));
    }
}

impl Submitted {
    fn step(&self) -> Step {
        let told = Told::Submitted { envelope: self.envelope.clone() };
        Step { deliver: self.deliveries.clone(), told, beside: Vec::new() }
    }
}

fn signed_by(query: Envelope, from: NodeId) -> Result<Signed<Query>, Declined> {
    let query: Signed<Query> = query.open().map_err(|_| Declined::NotAcceptable)?;
    if query.sole_signer() == Ok(from) { Ok(query) } else { Err(Declined::NotAcceptable) }
}

/// The round of a roster that `from` drew up for its own query, of members of the charter alone.
fn agreed<H: Host>(
    from: NodeId,
    query: Envelope,
    roster: Envelope,
    host: &H,
) -> Result<(Signed<Query>, Round), Declined> {
    let query = signed_by(query, from)?;
    let roster: Signed<Roster> = roster.open().map_err(|_| Declined::NotAcceptable)?;
    let charter = host.charter();
    let stranger = |member: &NodeId| charter.document().member(member).is_none();
    if roster.document().query != query.id()
        || roster.document().seats.iter().any(|s| stranger(&s.member))
        || stranger(&from)
    {
        return Err(Declined::NotAcceptable);
    }
    let plan = Plan::new(query.document(), charter).map_err(|_| Declined::NotAcceptable)?;
    let terms = Terms::new(plan, charter).map_err(|_| Declined::NotAcceptable)?;
    let round = Round::new(roster, terms, from).map_err(|_| Declined::NotAcceptable)?;
    Ok((query, round))
}
