//! What one node does in rounds, as a member and as an aggregator (docs/protocol.md §9).
//!
//! Sans-IO: an ask goes in, a reply comes out, with what is to be delivered to aggregators before it. Everything
//! that must be on disk before a reply leaves is written through [`Host`].

use std::collections::BTreeMap;

use rand::CryptoRng;

use super::{
    aggregator::Aggregation,
    exchange::{Ask, Declined, Told},
    host::{Delivery, Host, Mark, Step, Stop, admitted, seated},
    member::{Begun, Counted, Member},
    message::{Abort, Drawn, Included, Roster, Submission, Verifiers},
};
use crate::{
    document::{Envelope, Signed},
    id::{Id, NodeId},
    release::verify,
    time::Timestamp,
};

/// Rounds that this node aggregates at once; as many that are over are remembered. When there are more, they are
/// declined as `Busy`.
const AGGREGATED: usize = 8;
/// Of these, rounds of one member. When it opens more, they are declined as `Busy`.
const AGGREGATED_FOR_ONE: usize = 2;
/// Bytes of shares that it holds for them together.
const AGGREGATED_BYTES: usize = 512 * 1024 * 1024;
/// Rounds of one member that are first marked on disk in [`MARKS_SECONDS`], since marks are for ever. Then it is
/// declined as `Busy`.
const MARKS: u32 = 60;
/// An hour.
const MARKS_SECONDS: i64 = 60 * 60;
/// How long a round may stay open at an aggregator, in seconds. Then it is over, and can only be aborted.
pub const ROUND_SECONDS: i64 = 900;

/// One node in all its rounds. What is here is forgotten when the node stops; what matters after is on disk.
#[derive(Default)]
pub struct Party {
    member: Member,
    aggregated: BTreeMap<Id<Roster>, (Timestamp, Aggregation)>,
    marks: BTreeMap<NodeId, (Timestamp, u32)>,
}

impl Party {
    /// Handles what `from`, a member of the charter, asks: [`Self::begin`], the count, [`Self::finish`].
    pub fn handle<H: Host, R: CryptoRng + ?Sized>(
        &mut self,
        from: NodeId,
        ask: Ask,
        beside: Vec<u8>,
        at: Timestamp,
        host: &mut H,
        rng: &mut R,
    ) -> Result<Step, H::Error> {
        match self.begin(from, ask, beside, at, host, rng)? {
            Begun::Done(step) => Ok(step),
            Begun::Count(count) => Ok(self.finish(count.run(host, rng)?)),
        }
    }

    /// Handles what does not need the records, and says what is to be counted otherwise.
    pub fn begin<H: Host, R: CryptoRng + ?Sized>(
        &mut self,
        from: NodeId,
        ask: Ask,
        beside: Vec<u8>,
        at: Timestamp,
        host: &mut H,
        rng: &mut R,
    ) -> Result<Begun, H::Error> {
        self.let_go(at);
        if host.charter().document().member(&from).is_none() {
            return Ok(Begun::Done(Step::told(Told::Declined { why: Declined::NotAcceptable })));
        }
        let begun = match ask {
            Ask::Contribute { round, nonces, aborts } => {
                self.member.begin(from, (round, nonces, aborts), at, host)
            }
            ask => self.step(from, ask, beside, at, host, rng).map(Begun::Done),
        };
        begun.or_else(|stop| stop.told(host.secret(), at).map(Begun::Done))
    }

    /// What comes of an ask whose count is done.
    pub fn finish(&mut self, counted: Counted) -> Step {
        self.member.finish(counted)
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
            Ask::Convene { query } => self.member.consent(from, query, at, host, rng),
            Ask::Draw { roster } => self.member.draw(from, roster, at, host),
            Ask::Open { query, drawn } => self.open(from, query, drawn, at, host),
            // It is begun apart.
            Ask::Contribute { .. } => Err(Declined::OutOfTurn.into()),
            Ask::Deliver { submission } => {
                let submission: Signed<Submission> =
                    submission.open().map_err(|_| Declined::NotAcceptable)?;
                let held: usize = self.aggregated.values().map(|(_, a)| a.bytes()).sum();
                if held.saturating_add(beside.len()) > AGGREGATED_BYTES {
                    return Err(Declined::Busy.into());
                }
                self.aggregation(&submission.document().round)?.deliver(from, &submission, beside)?;
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
                let verifiers: Signed<Verifiers> = verifiers.open().map_err(|_| Declined::NotAcceptable)?;
                self.aggregation(&verifiers.document().round)?.verify(from, &verifiers, beside)?;
                Ok(Step::told(Told::Kept))
            }
            Ask::Include { round } => {
                let set = self.led_by(from, &round)?.include(host.secret())?;
                Ok(Step::told(Told::Included { envelope: set.envelope().clone() }))
            }
            Ask::Reveal { included } => self.reveal(from, included, host),
            Ask::Countersign { round } => self.countersign(from, &round, &beside, host),
            Ask::Abort { roster } => self.abort(from, roster, at, host),
        }
    }

    fn open<H: Host>(
        &mut self,
        from: NodeId,
        query: Envelope,
        drawn: Drawn,
        at: Timestamp,
        host: &mut H,
    ) -> Result<Step, Stop<H::Error>> {
        let (query, terms) = admitted(from, query, at, host)?;
        let roster = drawn.roster.open().map_err(|_| Declined::NotAcceptable)?;
        let seated = seated(from, (&query, terms), roster, host)?;
        let round = seated.draw(drawn.nonces).map_err(|_| Declined::NotAcceptable)?;
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
        self.may_mark(from, at)?;
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

    fn reveal<H: Host>(
        &mut self,
        from: NodeId,
        included: Envelope,
        host: &mut H,
    ) -> Result<Step, Stop<H::Error>> {
        let included: Signed<Included> = included.open().map_err(|_| Declined::NotAcceptable)?;
        let round = included.document().round;
        let aggregation = self.led_by(from, &round)?;
        aggregation.may_reveal(&included)?;
        let bytes = aggregation.reveal()?;
        // On disk before it leaves: from here on this round cannot be given up.
        host.set_mark(&round, Mark::Revealed).map_err(Stop::Host)?;
        Ok(Step { deliver: Vec::new(), told: Told::Revealed, beside: bytes })
    }

    /// Signs a release that verifies and is of the set that this node signed.
    fn countersign<H: Host>(
        &mut self,
        from: NodeId,
        round: &Id<Roster>,
        release: &[u8],
        host: &H,
    ) -> Result<Step, Stop<H::Error>> {
        let set = self.led_by(from, round)?.set().map(Signed::id).ok_or(Declined::OutOfTurn)?;
        let verified = verify(release, Some(host.charter().id())).into_verified();
        let release = verified.ok_or(Declined::NotAcceptable)?;
        let proof = release.document().round.as_ref();
        let of_it = |p: &super::Proof| p.drawn.roster.id::<Roster>() == *round && p.included.id() == set;
        if !proof.is_some_and(of_it) {
            return Err(Declined::Contradiction.into());
        }
        Ok(Step::told(Told::Countersigned { signature: release.signature(host.secret()) }))
    }

    /// Gives a round up whose roster `from` drew up, for good.
    fn abort<H: Host>(
        &mut self,
        from: NodeId,
        roster: Envelope,
        at: Timestamp,
        host: &mut H,
    ) -> Result<Step, Stop<H::Error>> {
        let roster: Signed<Roster> = roster.open().map_err(|_| Declined::NotAcceptable)?;
        if roster.sole_signer() != Ok(from) {
            return Err(Declined::NotAcceptable.into());
        }
        let id = roster.id();
        match host.mark(&id).map_err(Stop::Host)? {
            Some(Mark::Revealed) => return Err(Declined::OutOfTurn.into()),
            Some(Mark::Aborted) => {}
            Some(Mark::Opened) => host.set_mark(&id, Mark::Aborted).map_err(Stop::Host)?,
            None => {
                self.may_mark(from, at)?;
                host.set_mark(&id, Mark::Aborted).map_err(Stop::Host)?;
            }
        }
        self.aggregated.remove(&id);
        let abort = Signed::new(Abort { version: 1, round: id }, host.secret());
        let abort = abort.map_err(|_| Declined::NotAcceptable)?;
        Ok(Step::told(Told::Aborted { envelope: abort.envelope().clone() }))
    }

    /// Counts one more mark for `from`, if it may have one.
    fn may_mark(&mut self, from: NodeId, at: Timestamp) -> Result<(), Declined> {
        let (_, count) = self.marks.entry(from).or_insert((at, 0));
        if *count >= MARKS {
            return Err(Declined::Busy);
        }
        *count += 1;
        Ok(())
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
        self.member.let_go(at, ROUND_SECONDS);
        let age = |since: Timestamp| at.unix_seconds().saturating_sub(since.unix_seconds());
        self.aggregated.retain(|_, (since, _)| age(*since) <= ROUND_SECONDS);
        self.marks.retain(|_, (since, _)| age(*since) <= MARKS_SECONDS);
    }
}
