//! The release: an answer of the federation with everything needed to check it (docs/protocol.md §5).
//!
//! In mode `local` each node noised its own vector for the full guarantee, and the release is their sum. It
//! carries the contributions as signed, so nobody need trust the member who added them up. In mode `round` shares
//! of noise were summed secretly; the release carries the commitments that the total opens.

mod estimate;
mod expected;
mod verify;

use serde::{Deserialize, Serialize};

pub use estimate::{Estimates, Margin, Range};
pub use expected::Expected;
pub use verify::{Check, NAMES as CHECK_NAMES, Report, verify};

use crate::{
    document::{Charter, Document, Envelope, Flaw, Sealed, Signed},
    id::NodeId,
    limits,
    privacy::{Guarantee, Interval, IntervalError, Mechanism},
    round::{Proof, Proven},
    statistic::{Contribution, Mode, Plan, PlanError, Query, Refusal},
    time::Timestamp,
};

impl Guarantee {
    /// The guarantee of one release of `plan` in mode `local`: that of one node's noise.
    pub fn local(plan: &Plan, charter: &Charter) -> Result<Self, Flaw> {
        let g = charter.privacy.nodes_per_person;
        let (mechanism, loss) = (plan.mechanism()?, plan.loss());
        Ok(Self {
            epsilon: loss.epsilon(&mechanism, 1.0)?,
            delta_e12: mechanism.sigma().and(plan.accounting().delta_e12()).unwrap_or_default(),
            rho_e12: loss.rho_e12(&mechanism, 1.0),
            unit: plan.unit(),
            nodes_per_person: g,
            epsilon_at_those_nodes: loss.of_group(g).epsilon(&mechanism, 1.0)?,
            members: None,
        })
    }
}

/// An answer of the federation, signed by the member who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Format: 1, or 2 of a round.
    pub version: u16,
    /// How the noise came to be.
    pub mode: Mode,
    /// The charter as signed by its quorum.
    pub charter: Envelope,
    /// The query as signed by the asker.
    pub query: Envelope,
    /// Public cells and bounds.
    pub plan: Plan,
    /// The noise in each contribution.
    pub mechanism: Mechanism,
    /// Sum of the contributions, one value a cell, raw: it may be negative.
    pub values: Vec<i64>,
    /// Interval of every value.
    pub interval: Interval,
    /// The guarantee.
    pub guarantee: Guarantee,
    /// The contributions as signed, by rising key; none in a round.
    pub contributions: Vec<Envelope>,
    /// The round that the values come from; none in mode `local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<Proof>,
    /// The refusals as signed, by rising key.
    pub refusals: Vec<Envelope>,
    /// Members who did neither, by rising key.
    pub silent: Vec<NodeId>,
    /// When it was put together.
    pub made_at: Timestamp,
}

impl Sealed for Release {}
impl Document for Release {
    const KIND: &'static str = "release";
    // base64 in its envelope, it stays within limits::DOCUMENT_BYTES.
    const MAX_BYTES: usize = limits::DOCUMENT_BYTES / 4 * 3 - 64 * 1024;

    fn check(&self) -> Result<(), Flaw> {
        let of_round = self.mode == Mode::Round;
        if self.version != if of_round { 2 } else { 1 } || self.round.is_some() != of_round {
            return Err(Flaw::new("version", "this program reads releases of version 1, and 2 of a round"));
        }
        if of_round && !self.contributions.is_empty() {
            return Err(Flaw::new("contributions", "a round has none"));
        }
        let members = [self.counted(), self.refusals.len(), self.silent.len()];
        if members.iter().sum::<usize>() > limits::MEMBERS {
            return Err(Flaw::new("contributions", format!("of at most {} members", limits::MEMBERS)));
        }
        if self.values.is_empty() || self.values.len() > limits::CELLS {
            return Err(Flaw::new("values", format!("between 1 and {}", limits::CELLS)));
        }
        Ok(())
    }
}

/// Why answers do not make a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// The query has no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Too few contributions.
    #[error("{got} of at least {need} members contributed; ask again when more are there")]
    TooFew {
        /// Contributions.
        got: usize,
        /// Needed by the charter.
        need: u32,
    },
    /// The noise has no interval.
    #[error(transparent)]
    Interval(#[from] IntervalError),
    /// An answer that does not fit; the asker drops such answers before.
    #[error(transparent)]
    Flaw(#[from] Flaw),
}

impl Release {
    /// Sums `contributions` into a release. Each must have passed [`fits`] for this plan.
    pub fn assemble(
        charter: &Signed<Charter>,
        query: &Signed<Query>,
        mut contributions: Vec<Signed<Contribution>>,
        refusals: Vec<Signed<Refusal>>,
        made_at: Timestamp,
    ) -> Result<Self, ReleaseError> {
        let plan = Plan::new(query.document(), charter)?;
        let mechanism = plan.mechanism()?;
        let need = charter.document().privacy.contributions;
        if contributions.len() < need as usize {
            return Err(ReleaseError::TooFew { got: contributions.len(), need });
        }
        contributions.sort_by_key(|c| c.signers().first().copied());
        contributions.iter().try_for_each(|c| fits(c, &plan, charter.document()))?;
        let answered: Vec<NodeId> = contributions.iter().flat_map(|c| c.signers()).copied().collect();
        Ok(Self {
            version: 1,
            mode: Mode::Local,
            charter: charter.envelope().clone(),
            query: query.envelope().clone(),
            mechanism,
            values: sum(&contributions, plan.cells()),
            interval: Interval::of_sum(&mechanism, contributions.len())?,
            guarantee: Guarantee::local(&plan, charter.document())?,
            plan,
            contributions: contributions.iter().map(|c| c.envelope().clone()).collect(),
            round: None,
            silent: silent(charter.document(), &answered, &refusals),
            refusals: in_order(refusals),
            made_at,
        })
    }

    /// The release of a round whose total opens its commitments.
    pub(crate) fn of_round(
        charter: &Signed<Charter>,
        query: &Signed<Query>,
        (proof, proven): (Proof, &Proven),
        values: Vec<i64>,
        refusals: Vec<Signed<Refusal>>,
        made_at: Timestamp,
    ) -> Result<Self, ReleaseError> {
        let (round, included) = (&proven.round, proven.included());
        let mechanism = round.parameters().mechanism;
        let seated: Vec<NodeId> = round.seats().iter().map(|s| s.member).collect();
        // Who consented and then refused (its budget went elsewhere meanwhile) is on the roster, and both is said.
        let refusals: Vec<_> = refusals
            .into_iter()
            .filter(|r| !r.signers().iter().any(|s| proven.counted.contains(s)))
            .collect();
        Ok(Self {
            version: 2,
            mode: Mode::Round,
            charter: charter.envelope().clone(),
            query: query.envelope().clone(),
            plan: round.terms().plan().clone(),
            mechanism,
            values,
            interval: Interval::of_sum(&mechanism, included)?,
            guarantee: round.terms().guarantee(&mechanism, included)?,
            contributions: Vec::new(),
            round: Some(proof),
            silent: silent(charter.document(), &seated, &refusals),
            refusals: in_order(refusals),
            made_at,
        })
    }

    /// How many members' counts are in the values.
    pub fn counted(&self) -> usize {
        self.round.as_ref().map_or(self.contributions.len(), |r| r.submissions.len())
    }

    /// How many members consented to the round and are not in the values.
    pub fn not_counted(&self) -> usize {
        self.round.as_ref().map_or(0, |r| r.consents.len())
    }
}

/// Members who neither answered nor refused, by rising key.
fn silent(charter: &Charter, answered: &[NodeId], refusals: &[Signed<Refusal>]) -> Vec<NodeId> {
    let heard = |id: &NodeId| answered.contains(id) || refusals.iter().any(|r| r.signers().contains(id));
    charter.members.iter().map(|m| m.id).filter(|id| !heard(id)).collect()
}

/// Refusals by rising key.
fn in_order(mut refusals: Vec<Signed<Refusal>>) -> Vec<Envelope> {
    refusals.sort_by_key(|r| r.signers().first().copied());
    refusals.iter().map(|r| r.envelope().clone()).collect()
}

/// Whether a contribution is of one member of `charter`, for `plan`, with its cells and its noise.
pub fn fits(contribution: &Signed<Contribution>, plan: &Plan, charter: &Charter) -> Result<(), Flaw> {
    let signer = contribution.sole_signer()?;
    if charter.member(&signer).is_none() {
        return Err(Flaw::new("contributions", format!("{} is not a member", signer.short())));
    }
    let c = contribution.document();
    if c.plan != plan.id() || c.values.len() != plan.cells() {
        return Err(Flaw::new("contributions", format!("that of {} is for another plan", signer.short())));
    }
    if c.mechanism != plan.mechanism()? {
        return Err(Flaw::new("contributions", format!("that of {} has other noise", signer.short())));
    }
    Ok(())
}

/// The sum, cell by cell. Cannot overflow: at most 1,024 values below 2^53 each.
fn sum(contributions: &[Signed<Contribution>], cells: usize) -> Vec<i64> {
    let mut total = vec![0i64; cells];
    for contribution in contributions {
        for (sum, value) in total.iter_mut().zip(&contribution.document().values) {
            *sum = sum.saturating_add(*value);
        }
    }
    total
}

#[cfg(test)]
mod tests;
