//! Where a round that is led is, and what may come of it (docs/protocol.md §9).

use super::exchange::Ask;
use crate::{
    document::{Flaw, Signed},
    id::NodeId,
    release::Release,
    statistic::Ground,
    wire::Announcement,
};

/// Where a round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Asking the aggregators of an earlier round on this plan to give it up, so that it need not cost again.
    Freeing,
    /// Asking every member whether it takes part.
    Convening,
    /// Asking those on the roster what they drew.
    Drawing,
    /// Telling the aggregators that they are.
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
    /// Beside it.
    pub beside: Vec<u8>,
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
    /// Some of those on the roster did not tell what they drew, so no aggregators were drawn.
    #[error("{} of those who said they would take part fell silent; nothing was spent, ask again", .missing.len())]
    Undrawn {
        /// Who.
        missing: Vec<NodeId>,
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
        /// Those on the roster of whom there is none.
        missing: Vec<NodeId>,
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
