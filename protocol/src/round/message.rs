//! The signed documents of a round, in the order in which they are made (docs/protocol.md §9).

use serde::{Deserialize, Serialize};

use super::parameters::Parameters;
use crate::{
    document::{Charter, Document, Envelope, Flaw, Sealed},
    id::{Digest, Id, NodeId},
    limits,
    statistic::{Plan, Query},
    time::Timestamp,
};

/// A member will take part in one round on this query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Format: 1.
    pub version: u16,
    /// The query.
    pub query: Id<Query>,
    /// [`draw`] of 32 random bytes, which the member tells once the roster is fixed: nobody who draws up a roster
    /// knows which aggregators it will have.
    pub draw: Digest,
    /// When.
    pub made_at: Timestamp,
}

/// What a member binds itself to before it tells its 32 random bytes, the `nonce`.
pub fn draw(nonce: &Digest) -> Digest {
    Digest::of(&[&b"hedgerow draw 1"[..], nonce.as_bytes()].concat())
}

/// A member on a roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The member.
    pub member: NodeId,
    /// The draw of its consent, which serves for this roster and no other.
    pub draw: Digest,
}

/// Who takes part in a round, and how. Signed by the member who asks. Its id is the round's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// Format: 1.
    pub version: u16,
    /// The charter.
    pub charter: Id<Charter>,
    /// The query.
    pub query: Id<Query>,
    /// Its plan.
    pub plan: Id<Plan>,
    /// Who takes part, by rising key.
    #[serde(with = "seats")]
    pub seats: Vec<Seat>,
    /// How each vector is made.
    pub parameters: Parameters,
    /// When the roster was drawn up.
    pub made_at: Timestamp,
}

/// A roster and what its seats drew: its aggregators follow from both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// The roster as signed.
    pub roster: Envelope,
    /// The random bytes of each seat, in the order of seats.
    #[serde(with = "nonces")]
    pub nonces: Vec<Digest>,
}

/// Entries of equal length as one text, base64 of their bytes: every member is sent those of all.
macro_rules! packed {
    ($name:ident, $entry:ty, $bytes:literal, $put:expr, $take:expr) => {
        pub(super) mod $name {
            use serde::{Deserializer, Serializer, de::Error as _};

            use super::*;
            use crate::codec::base64_bytes;

            pub(in super::super) fn serialize<S: Serializer>(
                all: &[$entry],
                to: S,
            ) -> Result<S::Ok, S::Error> {
                let put: fn(&$entry) -> [u8; $bytes] = $put;
                base64_bytes::serialize(&all.iter().flat_map(put).collect::<Vec<u8>>(), to)
            }

            pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<Vec<$entry>, D::Error> {
                let take: fn(&[u8; $bytes]) -> Option<$entry> = $take;
                let bytes: Vec<u8> = base64_bytes::deserialize(from)?;
                let (all, rest) = bytes.as_chunks::<$bytes>();
                if !rest.is_empty() || all.len() > limits::SEATS {
                    return Err(D::Error::custom("entries are cut short, or too many"));
                }
                let all: Option<Vec<$entry>> = all.iter().map(take).collect();
                all.ok_or_else(|| D::Error::custom("an entry is none"))
            }
        }
    };
}

packed!(nonces, Digest, 32, |nonce| *nonce.as_bytes(), |bytes| Some(Digest::from_bytes(*bytes)));
packed!(
    seats,
    Seat,
    64,
    |seat| {
        let mut bytes = [0; 64];
        let both = seat.member.as_bytes().iter().chain(seat.draw.as_bytes());
        bytes.iter_mut().zip(both).for_each(|(to, from)| *to = *from);
        bytes
    },
    |bytes| {
        let (member, draw) = bytes.split_first_chunk::<32>()?;
        let member = NodeId::from_bytes(*member).ok()?;
        Some(Seat { member, draw: Digest::from_bytes(*draw.first_chunk()?) })
    }
);

/// A member's vector as it was handed to the aggregators: committed to, and in shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Format: 1.
    pub version: u16,
    /// The round.
    pub round: Id<Roster>,
    /// Pedersen commitment to the vector: a compressed point of ristretto255.
    pub commitment: Digest,
    /// SHA-256 of the share for each aggregator, in their order.
    pub shares: Vec<Digest>,
}

/// What an aggregator received before it closed the round to further submissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Format: 1.
    pub version: u16,
    /// The round.
    pub round: Id<Roster>,
    /// The submissions, in the order of the roster's seats.
    pub submissions: Vec<Id<Submission>>,
    /// This aggregator's part of the key with which range proofs are verified: 32 random bytes, made once no
    /// member could change its proof any more.
    pub key: Digest,
}

/// An aggregator's part in verifying the range proofs, which travels beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verifiers {
    /// Format: 1.
    pub version: u16,
    /// The round.
    pub round: Id<Roster>,
    /// SHA-256 of what travels beside it.
    pub verifiers: Digest,
}

/// The one set of vectors that is summed in a round. Holds once every aggregator has signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Included {
    /// Format: 1.
    pub version: u16,
    /// The round.
    pub round: Id<Roster>,
    /// The submissions whose proofs hold, in the order of the roster's seats.
    pub submissions: Vec<Id<Submission>>,
}

/// An aggregator has revealed nothing of this round and never will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abort {
    /// Format: 1.
    pub version: u16,
    /// The round.
    pub round: Id<Roster>,
}

/// The documents of a round share what is checked of each: its version and the length of its list.
macro_rules! documents {
    ($($document:ty, $kind:literal, $bytes:expr, |$it:ident| $list:expr;)+) => {$(
        impl Sealed for $document {}
        impl Document for $document {
            const KIND: &'static str = $kind;
            const MAX_BYTES: usize = $bytes;

            fn check(&self) -> Result<(), Flaw> {
                if self.version != 1 {
                    return Err(Flaw::new("version", concat!("this program reads a ", $kind, " of version 1")));
                }
                let $it = self;
                if $list.len() > limits::SEATS {
                    return Err(Flaw::new("round", format!("at most {} entries", limits::SEATS)));
                }
                Ok(())
            }
        }
    )+};
}

const NONE: [u8; 0] = [];

documents! {
    Consent, "consent", 1024, |_it| NONE;
    Roster, "roster", 192 * 1024, |it| it.seats;
    Submission, "submission", 2048, |it| it.shares;
    Receipt, "receipt", 80 * 1024, |it| it.submissions;
    Verifiers, "verifiers", 1024, |_it| NONE;
    Included, "included", 80 * 1024, |it| it.submissions;
    Abort, "abort", 1024, |_it| NONE;
}
