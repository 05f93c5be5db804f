//! What the parties of a round say to each other: a closed set of asks and replies, each a JSON head with bytes
//! beside it (docs/protocol.md §9, §8).
//!
//! The asks of one round follow one another in the order of [`Ask`]'s variants. All may be repeated: whoever has
//! answered one gives the same answer again.

use serde::{Deserialize, Serialize};

use super::message::{Drawn, Roster, Submission, nonces};
use crate::{
    codec::base64_bytes,
    document::Envelope,
    id::{Digest, Id},
};

/// Asked of one party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// To every member: will you take part? The reply is [`Told::Consent`] or [`Told::Refusal`].
    Convene {
        /// The query.
        query: Envelope,
    },
    /// To those on the roster: tell what you drew. The reply is [`Told::Drawn`].
    Draw {
        /// The roster.
        roster: Envelope,
    },
    /// To the aggregators: the round begins. The reply is [`Told::Opened`].
    Open {
        /// The query.
        query: Envelope,
        /// The roster, drawn.
        drawn: Drawn,
    },
    /// To those on the roster: hand in your vector. The reply, once it is handed in, is [`Told::Submitted`].
    Contribute {
        /// The round, whose roster they know.
        round: Id<Roster>,
        /// What its seats drew, in their order.
        #[serde(with = "nonces")]
        nonces: Vec<Digest>,
        /// Where a round on this plan was held before: every aggregator's word that nothing was revealed.
        aborts: Vec<Envelope>,
    },
    /// From a member to an aggregator, with its share beside it. The reply is [`Told::Kept`].
    Deliver {
        /// The submission.
        submission: Envelope,
    },
    /// To the aggregators: take no more. The reply is [`Told::Receipt`].
    Close {
        /// The round.
        round: Id<Roster>,
        /// The submissions that the coordinator knows of.
        submissions: Vec<Id<Submission>>,
    },
    /// To the aggregators: verify your part of the proofs. The reply, once the others have it, is [`Told::Prepared`].
    Prepare {
        /// The round.
        round: Id<Roster>,
        /// Every aggregator's receipt.
        receipts: Vec<Envelope>,
    },
    /// From one aggregator to another, with its part of the proofs beside it. The reply is [`Told::Kept`].
    Verify {
        /// Its signed hash.
        verifiers: Envelope,
    },
    /// To the aggregators: which proofs hold? The reply is [`Told::Included`].
    Include {
        /// The round.
        round: Id<Roster>,
    },
    /// To the aggregators: reveal your sum. The reply is [`Told::Revealed`].
    Reveal {
        /// The included set, signed by every aggregator.
        included: Envelope,
    },
    /// To the aggregators: sign the release, whose envelope's JSON is beside this. The reply is
    /// [`Told::Countersigned`].
    Countersign {
        /// The round.
        round: Id<Roster>,
    },
    /// To the aggregators, in place of what would come next: give the round up. The reply is [`Told::Aborted`].
    Abort {
        /// The roster.
        roster: Envelope,
    },
}

/// Replied to an ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case", deny_unknown_fields)]
pub enum Told {
    /// A signed consent.
    Consent {
        /// Its envelope.
        envelope: Envelope,
    },
    /// A signed refusal.
    Refusal {
        /// Its envelope.
        envelope: Envelope,
    },
    /// The question was answered before in this release period: here is the release.
    Known {
        /// SHA-256 of the release's envelope, by which it is fetched.
        release: crate::wire::Announcement,
    },
    /// 32 random bytes, to which the member's consent was bound.
    Drawn {
        /// They.
        nonce: Digest,
    },
    /// The round is open here.
    Opened,
    /// The signed submission, after every aggregator was sent its share.
    Submitted {
        /// Its envelope.
        envelope: Envelope,
    },
    /// The share is here.
    Kept,
    /// The signed receipt.
    Receipt {
        /// Its envelope.
        envelope: Envelope,
    },
    /// This aggregator's part of the proofs was sent to the others.
    Prepared,
    /// The included set with this aggregator's signature.
    Included {
        /// Its envelope.
        envelope: Envelope,
    },
    /// Beside it: 32 bytes of the sum of blinding factors, then this aggregator's share of the sum.
    Revealed,
    /// This aggregator's signature on the release.
    Countersigned {
        /// Its 64 bytes.
        #[serde(with = "base64_bytes")]
        signature: Vec<u8>,
    },
    /// Signed: nothing was revealed, nor will be.
    Aborted {
        /// Its envelope.
        envelope: Envelope,
    },
    /// Well-formed and not answered.
    Declined {
        /// Why.
        why: Declined,
    },
}

/// Why an ask is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Declined {
    /// Too many rounds are open; ask again later.
    Busy,
    /// It does not verify, or is not for this node, or not from whom it should be.
    NotAcceptable,
    /// No such round is open here. It may have been, before this node was restarted.
    Unknown,
    /// The round is past this, or not yet there, or was given up.
    OutOfTurn,
    /// What was said before contradicts this: two reports of one member, two sets of one round.
    Contradiction,
}
