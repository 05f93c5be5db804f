//! What a node is to its rounds: what they ask of it, and what comes of what is asked of them (docs/protocol.md §9).

use super::{
    agreed::Seated,
    exchange::{Ask, Declined, Told},
    message::Roster,
    parameters::Terms,
    share::NoisedShare,
};
use crate::{
    document::{Charter, Envelope, NodeSecret, Signed},
    id::{Id, NodeId},
    privacy::{AuthoriseError, Charge, Permit},
    statistic::{Exact, Ground, Plan, Query, Refusal},
    time::Timestamp,
};

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
    pub(super) const fn told(told: Told) -> Self {
        Self { deliver: Vec::new(), told, beside: Vec::new() }
    }
}

/// Why an ask came to nothing.
pub(super) enum Stop<E> {
    Declined(Declined),
    Refused(Id<Query>, Ground),
    Host(E),
}

impl<E> From<Declined> for Stop<E> {
    fn from(why: Declined) -> Self {
        Self::Declined(why)
    }
}

impl<E> Stop<E> {
    /// What is told of it; only the node's own fault is an error.
    pub(super) fn told(self, secret: &NodeSecret, at: Timestamp) -> Result<Step, E> {
        let declined = |why| Step::told(Told::Declined { why });
        match self {
            Self::Host(error) => Err(error),
            Self::Declined(why) => Ok(declined(why)),
            Self::Refused(query, ground) => {
                let refusal = Signed::new(Refusal { version: 1, query, ground, made_at: at }, secret);
                Ok(refusal.map_or_else(
                    |_| declined(Declined::NotAcceptable),
                    |refusal| Step::told(Told::Refusal { envelope: refusal.envelope().clone() }),
                ))
            }
        }
    }
}

/// A query that `from` signed and that this node would answer now, with its plan.
pub(super) fn admitted<H: Host>(
    from: NodeId,
    query: Envelope,
    at: Timestamp,
    host: &H,
) -> Result<(Signed<Query>, Terms), Stop<H::Error>> {
    let query: Signed<Query> = query.open().map_err(|_| Declined::NotAcceptable)?;
    if query.sole_signer() != Ok(from) {
        return Err(Declined::NotAcceptable.into());
    }
    let terms = terms(&query, at, host)?;
    Ok((query, terms))
}

/// The terms of a query that this node would answer now.
pub(super) fn terms<H: Host>(
    query: &Signed<Query>,
    at: Timestamp,
    host: &H,
) -> Result<Terms, Stop<H::Error>> {
    let plan = host.admit(query, at).map_err(|ground| Stop::Refused(query.id(), ground))?;
    Terms::new(plan, host.charter()).map_err(|_| Stop::Refused(query.id(), Ground::NotPlannable))
}

/// The roster that `from` drew up for its own query, which was admitted, of members of the charter alone.
pub(super) fn seated<H: Host>(
    from: NodeId,
    (query, terms): (&Signed<Query>, Terms),
    roster: Signed<Roster>,
    host: &H,
) -> Result<Seated, Declined> {
    let charter = host.charter().document();
    let r = roster.document();
    if r.query != query.id() || r.seats.iter().any(|s| charter.member(&s.member).is_none()) {
        return Err(Declined::NotAcceptable);
    }
    // Last, since it computes what guarantees come to.
    Seated::new(roster, terms, from).map_err(|_| Declined::NotAcceptable)
}
