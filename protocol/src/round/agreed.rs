//! A roster that holds: what every party of a round derives from it (docs/protocol.md §9).

use sha2::{Digest as _, Sha256};

use super::{
    message::{Drawn, Included, Roster, Seat, Submission, draw},
    parameters::{Parameters, Terms},
};
use crate::{
    document::{Flaw, Signed},
    id::{Digest, Id, NodeId},
};

/// A roster that was checked against its charter and plan, before its aggregators are drawn.
#[derive(Debug, Clone)]
pub struct Seated {
    roster: Signed<Roster>,
    terms: Terms,
}

impl Seated {
    /// Checks a roster: signed by `coordinator`, for this plan, each seat once, parameters as the terms ask.
    /// Whether those seated are members is for whoever knows the charter.
    pub fn new(roster: Signed<Roster>, terms: Terms, coordinator: NodeId) -> Result<Self, Flaw> {
        let r = roster.document();
        let flaw = |what: &str| Flaw::new("roster", what);
        if roster.sole_signer()? != coordinator {
            return Err(flaw("signed by another than the member who asks"));
        }
        if r.plan != terms.id() || r.charter != terms.plan().charter() {
            return Err(flaw("for another plan or charter"));
        }
        if !r.seats.is_sorted_by(|a, b| a.member < b.member) {
            return Err(flaw("each member once, by rising key"));
        }
        r.parameters.check(&terms, r.seats.len())?;
        Ok(Self { roster, terms })
    }

    /// The round's id.
    pub fn id(&self) -> Id<Roster> {
        self.roster.id()
    }

    /// The roster.
    pub const fn roster(&self) -> &Signed<Roster> {
        &self.roster
    }

    /// What charter and plan say.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How each vector is made.
    pub fn parameters(&self) -> &Parameters {
        &self.roster.document().parameters
    }

    /// The seats, by rising key.
    pub fn seats(&self) -> &[Seat] {
        &self.roster.document().seats
    }

    /// The seat of `member`.
    pub fn seat(&self, member: &NodeId) -> Option<&Seat> {
        let seats = self.seats();
        seats.binary_search_by(|s| s.member.cmp(member)).ok().and_then(|at| seats.get(at))
    }

    /// Draws the aggregators: those with the smallest hashes under a seed of the roster and of what its seats drew,
    /// in their order. Every seat bound itself to its random bytes before the roster was fixed, so nobody, whoever
    /// asks included, can choose: at most, end the round and draw up another.
    pub fn draw(self, nonces: Vec<Digest>) -> Result<Round, Flaw> {
        let seats = self.seats();
        if nonces.len() != seats.len() || !seats.iter().zip(&nonces).all(|(s, n)| s.draw == draw(n)) {
            return Err(Flaw::new("roster", "what was drawn is not what its seats are bound to"));
        }
        let mut seed = Sha256::new_with_prefix(b"hedgerow aggregators 2");
        seed.update(self.id().digest().as_bytes());
        nonces.iter().for_each(|nonce| seed.update(nonce.as_bytes()));
        let seed: [u8; 32] = seed.finalize().into();
        let rank = |member: &NodeId| Digest::of(&[&seed[..], member.as_bytes()].concat());
        let mut ranked: Vec<(Digest, NodeId)> = seats.iter().map(|s| (rank(&s.member), s.member)).collect();
        ranked.sort_unstable();
        let k = self.terms.aggregators() as usize;
        let aggregators = ranked.into_iter().take(k).map(|(_, member)| member).collect();
        Ok(Round { seated: self, nonces, aggregators })
    }
}

/// A round: its roster was checked and its aggregators drawn. Every party works from this, none from a roster alone.
#[derive(Debug, Clone)]
pub struct Round {
    seated: Seated,
    nonces: Vec<Digest>,
    aggregators: Vec<NodeId>,
}

impl std::ops::Deref for Round {
    type Target = Seated;

    fn deref(&self) -> &Seated {
        &self.seated
    }
}

impl Round {
    /// [`Seated::new`] and [`Seated::draw`] in one.
    pub fn new(
        roster: Signed<Roster>,
        nonces: Vec<Digest>,
        terms: Terms,
        coordinator: NodeId,
    ) -> Result<Self, Flaw> {
        Seated::new(roster, terms, coordinator)?.draw(nonces)
    }

    /// The roster with what was drawn, as it travels.
    pub fn drawn(&self) -> Drawn {
        Drawn { roster: self.roster.envelope().clone(), nonces: self.nonces.clone() }
    }

    /// The aggregators, in the order of their shares.
    pub fn aggregators(&self) -> &[NodeId] {
        &self.aggregators
    }

    /// The place of `member` among the aggregators.
    pub fn aggregator(&self, member: &NodeId) -> Option<usize> {
        self.aggregators.iter().position(|a| a == member)
    }

    /// Fewest vectors that may be summed.
    pub fn quorum(&self) -> usize {
        self.terms.quorum(self.seats().len())
    }

    /// Whether `submission` is of a member on the roster, for this round. Its seat's place.
    pub fn place(&self, submission: &Signed<Submission>) -> Result<usize, Flaw> {
        let signer = submission.sole_signer()?;
        let s = submission.document();
        if s.round != self.id() || s.shares.len() != self.aggregators.len() {
            return Err(Flaw::new("submission", "for another round"));
        }
        self.seats()
            .binary_search_by(|seat| seat.member.cmp(&signer))
            .map_err(|_| Flaw::new("submission", "of a member who is not on the roster"))
    }

    /// Whether `included` is signed by every aggregator of this round and by nobody else.
    pub fn holds(&self, included: &Signed<Included>) -> Result<(), Flaw> {
        let flaw = |what: &str| Flaw::new("included", what);
        if included.document().round != self.id() {
            return Err(flaw("for another round"));
        }
        if included.document().submissions.len() < self.quorum() {
            return Err(flaw("fewer vectors than a release needs"));
        }
        if included.signers().len() != self.aggregators.len()
            || !self.aggregators.iter().all(|a| included.signers().contains(a))
        {
            return Err(flaw("not signed by every aggregator, and by nobody else"));
        }
        Ok(())
    }
}
