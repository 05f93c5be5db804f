//! What a node does in rounds as a member: it consents, draws, and hands in its vector (docs/protocol.md §9).

use std::collections::BTreeMap;

use rand::CryptoRng;

use super::{
    agreed::{Round, Seated},
    exchange::{Ask, Declined, Told},
    host::{Delivery, Host, Step, Stop, admitted, seated, terms},
    message::{Abort, Consent, Roster, draw},
    share::NoisedShare,
};
use crate::{
    document::{Envelope, Signed},
    id::{Digest, Id, NodeId},
    privacy::{AuthoriseError, Charge},
    statistic::{Ground, Plan, Query},
    time::Timestamp,
};

/// Consents that were given to one member and not used yet. When there are more, the oldest of them serve no longer;
/// those given to others are not touched.
const CONSENTS_TO_ONE: usize = 16;
/// Rounds in which this node's vector is kept in memory, to be handed in again. The oldest is let go.
const SUBMITTED: usize = 8;
/// Rosters of one member on one plan for which this node draws in [`DRAWS_SECONDS`]: whoever asks can end a round once
/// it knows the aggregators and draw up another, so many times and no more. Then it is declined as `Busy`; others who
/// ask the same are not.
const DRAWS: u32 = 12;
/// A day.
const DRAWS_SECONDS: i64 = 24 * 60 * 60;
/// Plans of one member of which draws are counted. A further one is declined as `Busy`, since a count that were let go
/// could be begun anew.
const DRAWN_PLANS_OF_ONE: usize = 128;

/// Rosters of one member that are remembered between what was drawn for them and the vector; of all members. When there
/// are more, the oldest of them serves no longer.
const ROSTERS_OF_ONE: usize = 2;
const ROSTERS: usize = 64;

/// A consent that was given and not used yet.
struct Given {
    query: Signed<Query>,
    to: NodeId,
    nonce: Digest,
    /// The roster for which the nonce was told, the only one that it serves, and its number.
    seated: Option<(u64, Seated)>,
}

impl Given {
    fn expires(&self) -> Timestamp {
        self.query.document().expires_at
    }
}

struct Submitted {
    from: NodeId,
    at: Timestamp,
    deliveries: Vec<Delivery>,
    envelope: Envelope,
}

/// One node as a member, in all its rounds.
#[derive(Default)]
pub(super) struct Member {
    /// By their draw.
    consents: BTreeMap<Digest, Given>,
    /// By who asked and what.
    draws: BTreeMap<NodeId, BTreeMap<Id<Plan>, (Timestamp, u32)>>,
    /// Rosters drawn for so far.
    rosters: u64,
    submitted: BTreeMap<Id<Roster>, Submitted>,
}

impl Member {
    /// Consents to one round on `query`, or refuses.
    pub(super) fn consent<H: Host, R: CryptoRng + ?Sized>(
        &mut self,
        from: NodeId,
        query: Envelope,
        at: Timestamp,
        host: &H,
        rng: &mut R,
    ) -> Result<Step, Stop<H::Error>> {
        let (query, _) = admitted(from, query, at, host)?;
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let nonce = Digest::from_bytes(nonce);
        let consent = Consent { version: 1, query: query.id(), draw: draw(&nonce), made_at: at };
        let consent = Signed::new(consent, host.secret()).map_err(|_| Declined::NotAcceptable)?;
        let of_one = || self.consents.iter().filter(|(_, given)| given.to == from);
        if of_one().count() >= CONSENTS_TO_ONE {
            let oldest = of_one().min_by_key(|(_, given)| given.expires()).map(|(draw, _)| *draw);
            oldest.map(|draw| self.consents.remove(&draw));
        }
        let given = Given { query, to: from, nonce, seated: None };
        self.consents.insert(consent.document().draw, given);
        Ok(Step::told(Told::Consent { envelope: consent.envelope().clone() }))
    }

    /// Tells what it drew for one roster, which its consent then serves and no other.
    pub(super) fn draw<H: Host>(
        &mut self,
        from: NodeId,
        roster: Envelope,
        at: Timestamp,
        host: &H,
    ) -> Result<Step, Stop<H::Error>> {
        let roster: Signed<Roster> = roster.open().map_err(|_| Declined::NotAcceptable)?;
        let own = host.secret().node_id();
        let seat = roster.document().seats.iter().find(|s| s.member == own).ok_or(Declined::NotAcceptable)?;
        let given = self.consents.get_mut(&seat.draw).filter(|g| g.to == from).ok_or(Declined::Unknown)?;
        match &given.seated {
            Some((_, seated)) if seated.id() == roster.id() => {
                return Ok(Step::told(Told::Drawn { nonce: given.nonce }));
            }
            Some(_) => return Err(Declined::Contradiction.into()),
            None => {}
        }
        let terms = terms(&given.query, at, host)?;
        let plan = terms.id();
        let seated = seated(from, (&given.query, terms), roster, host)?;
        let of_one = self.draws.entry(from).or_default();
        if of_one.len() >= DRAWN_PLANS_OF_ONE && !of_one.contains_key(&plan) {
            return Err(Declined::Busy.into());
        }
        let (_, count) = of_one.entry(plan).or_insert((at, 0));
        if *count >= DRAWS {
            return Err(Declined::Busy.into());
        }
        *count += 1;
        let nonce = given.nonce;
        self.rosters += 1;
        given.seated = Some((self.rosters, seated));
        self.bound(from);
        Ok(Step::told(Told::Drawn { nonce }))
    }

    /// Lets go of what is too much.
    fn bound(&mut self, from: NodeId) {
        for (of, most) in [(Some(from), ROSTERS_OF_ONE), (None, ROSTERS)] {
            let held = || {
                let of = |given: &Given| given.seated.is_some() && of.is_none_or(|of| given.to == of);
                self.consents.iter().filter(move |(_, given)| of(given))
            };
            if held().count() > most {
                let number = |given: &Given| given.seated.as_ref().map(|(number, _)| *number);
                let oldest = held().min_by_key(|(_, given)| number(given)).map(|(draw, _)| *draw);
                oldest.map(|draw| self.consents.remove(&draw));
            }
        }
    }

    /// Begins to hand in the vector: the consent is used up. What is left to do needs the records and no more of this.
    pub(super) fn begin<H: Host>(
        &mut self,
        from: NodeId,
        (round, nonces, aborts): (Id<Roster>, Vec<Digest>, Vec<Envelope>),
        at: Timestamp,
        host: &H,
    ) -> Result<Begun, Stop<H::Error>> {
        if let Some(before) = self.submitted.get(&round).filter(|s| s.from == from) {
            return Ok(Begun::Done(before.step()));
        }
        let of_it =
            |given: &Given| given.to == from && given.seated.as_ref().is_some_and(|(_, s)| s.id() == round);
        let (own, given) = self.consents.iter().find(|(_, given)| of_it(given)).ok_or(Declined::Unknown)?;
        // Time has passed, and budget may have gone elsewhere.
        terms(&given.query, at, host)?;
        let (_, seated) = given.seated.clone().ok_or(Declined::Unknown)?;
        let round = seated.draw(nonces).map_err(|_| Declined::NotAcceptable)?;
        let own = *own;
        let Some(Given { query, .. }) = self.consents.remove(&own) else {
            return Err(Declined::Unknown.into());
        };
        Ok(Begun::Count(Box::new(Count { from, query, round, aborts, at })))
    }

    /// Takes what was counted, so that it can be handed in again.
    pub(super) fn finish(&mut self, counted: Counted) -> Step {
        let (round, submitted) = match counted.0 {
            Ok(submitted) => submitted,
            Err(step) => return step,
        };
        while self.submitted.len() >= SUBMITTED {
            let oldest = self.submitted.iter().min_by_key(|(_, s)| s.at).map(|(id, _)| *id);
            oldest.map(|id| self.submitted.remove(&id));
        }
        let step = submitted.step();
        self.submitted.insert(round, submitted);
        step
    }

    /// Forgets what is too old to serve.
    pub(super) fn let_go(&mut self, at: Timestamp, seconds: i64) {
        let age = |since: Timestamp| at.unix_seconds().saturating_sub(since.unix_seconds());
        self.consents.retain(|_, given| given.expires() >= at);
        self.draws.retain(|_, plans| {
            plans.retain(|_, (since, _)| age(*since) <= DRAWS_SECONDS);
            !plans.is_empty()
        });
        self.submitted.retain(|_, s| age(s.at) <= seconds);
    }
}

/// What an ask comes to at once.
#[derive(Debug)]
pub enum Begun {
    /// All of it.
    Done(Step),
    /// The records are to be counted first.
    Count(Box<Count>),
}

/// A vector to be counted, noised and split. It needs nothing of [`Party`](super::Party), so that how long it takes holds
/// nobody up who could tell the time by it.
#[derive(Debug)]
pub struct Count {
    from: NodeId,
    query: Signed<Query>,
    round: Round,
    aborts: Vec<Envelope>,
    at: Timestamp,
}

/// A vector that was counted, noised, kept on disk and split; or why there is none.
pub struct Counted(Result<(Id<Roster>, Submitted), Step>);

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counted(..)")
    }
}

impl Count {
    /// Counts, charges, noises, keeps and splits. One at a time: two that use one vector again would sum it twice.
    pub fn run<H: Host, R: CryptoRng + ?Sized>(self, host: &mut H, rng: &mut R) -> Result<Counted, H::Error> {
        match self.submit(host, rng) {
            Ok(submitted) => Ok(Counted(Ok((self.round.id(), submitted)))),
            Err(stop) => stop.told(host.secret(), self.at).map(|step| Counted(Err(step))),
        }
    }

    fn submit<H: Host, R: CryptoRng + ?Sized>(
        &self,
        host: &mut H,
        rng: &mut R,
    ) -> Result<Submitted, Stop<H::Error>> {
        let share = self.share(host, rng)?;
        host.keep(&share).map_err(Stop::Host)?;
        let (submission, messages) =
            share.submit(&self.round, host.secret(), rng).map_err(|_| Declined::NotAcceptable)?;
        let envelope = submission.envelope();
        let mut deliveries = Vec::with_capacity(messages.len());
        for (to, beside) in self.round.aggregators().iter().zip(messages) {
            let ask = Ask::Deliver { submission: envelope.clone() };
            deliveries.push(Delivery { to: *to, ask, beside });
        }
        Ok(Submitted { from: self.from, at: self.at, deliveries, envelope: envelope.clone() })
    }

    /// The vector for a round: the one of an earlier round of which nothing was or will be revealed, or a new one,
    /// newly paid for.
    fn share<H: Host, R: CryptoRng + ?Sized>(
        &self,
        host: &mut H,
        rng: &mut R,
    ) -> Result<NoisedShare, Stop<H::Error>> {
        let Self { from, query, round, aborts, at } = self;
        let plan = round.terms().plan();
        if let Some(kept) = host.kept(&plan.id()).map_err(Stop::Host)? {
            if kept.round() == round.id() {
                // It was made, the node stopped, and nobody here knows how much of it left.
                return Err(Declined::Unknown.into());
            }
            let aborts: Vec<Signed<Abort>> = aborts
                .iter()
                .take(round.aggregators().len())
                .filter_map(|envelope| envelope.clone().open().ok())
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
            asker: *from,
            years: plan.years(),
            at: *at,
        };
        let permit = host.authorise(&charge).map_err(|error| match error {
            AuthoriseError::OverBudget(_) => Stop::Refused(query.id(), Ground::OverBudget),
            AuthoriseError::NotWritten(error) => Stop::Host(error),
            AuthoriseError::AlreadyCharged => Declined::Unknown.into(),
        })?;
        let exact = host.count(plan).map_err(Stop::Host)?;
        exact.noise_share(permit, round, rng).map_err(|_| Declined::NotAcceptable.into())
    }
}

impl Submitted {
    fn step(&self) -> Step {
        let told = Told::Submitted { envelope: self.envelope.clone() };
        Step { deliver: self.deliveries.clone(), told, beside: Vec::new() }
    }
}
