//! What two nodes say to each other: a closed set of messages, JSON in bounded frames (docs/protocol.md §8).
//!
//! Every variant carries signed envelopes, ids or nothing. There is no variant that a record, a facet or an
//! un-noised vector could go into, and none of those types has an encoding.

use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, CodecError, base64_bytes},
    document::Envelope,
    id::{Digest, NodeId},
    limits,
    pseudonym::{Element, Evaluation},
    reconcile::EpochSum,
    round::{Ask, Told},
};

/// The libp2p protocol name of request and response.
pub const EXCHANGE_PROTOCOL: &str = "/hedgerow/exchange/3";
/// The one before, without reconciliation. Still spoken with who knows no other.
pub const EXCHANGE_PROTOCOL_2: &str = "/hedgerow/exchange/2";
/// The first, without rounds: its frames have no bytes beside the JSON.
pub const EXCHANGE_PROTOCOL_1: &str = "/hedgerow/exchange/1";

/// The gossip topic of the federation whose charter is `charter`.
pub fn topic(charter: &Digest) -> String {
    format!("/hedgerow/{charter}/announce/1")
}

/// The kinds of document that spread by announcement, inventory and fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spreading {
    /// A signed batch of indicators.
    Batch,
    /// A signed release.
    Release,
    /// A voucher for a pseudonym, in federations that have them.
    Voucher,
    /// That a member has every token that it needs for one.
    Enrolled,
}

/// Gossiped: a document exists and can be fetched from whoever told. At most [`limits::GOSSIP_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// What kind of document.
    pub kind: Spreading,
    /// SHA-256 of its envelope's JSON, which is what is fetched.
    pub id: Digest,
    /// Length of that JSON in bytes, at most [`limits::DOCUMENT_BYTES`].
    pub bytes: u64,
}

impl Announcement {
    /// That of a document, as its envelope's JSON.
    pub fn of(kind: Spreading, json: &[u8]) -> Self {
        Self { kind, id: Digest::of(json), bytes: json.len() as u64 }
    }
}

/// Bytes that belong to an ask or a reply of a round and are too many to travel beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// SHA-256 of the bytes.
    pub id: Digest,
    /// How many, at most [`limits::BLOB_BYTES`].
    pub bytes: u64,
}

/// Asked of one peer. At most [`limits::REQUEST_BYTES`], one of a round [`limits::ROUND_BYTES`]; bytes beside it are
/// at most [`limits::BESIDE_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// A signed query; the reply is [`Reply::Answer`].
    Query {
        /// The query's envelope.
        envelope: Envelope,
    },
    /// The page of a document's JSON that starts at byte `offset`; the reply is [`Reply::Page`].
    Fetch {
        /// As in the [`Announcement`].
        id: Digest,
        /// Bytes to skip.
        offset: u64,
    },
    /// Which epochs of documents the peer holds, in short; the reply is [`Reply::Epochs`].
    Epochs,
    /// A message of a reconciliation of one epoch, beside this; the reply is [`Reply::Reconcile`].
    Reconcile {
        /// The epoch.
        epoch: u32,
    },
    /// What some documents are; the reply is [`Reply::Inventory`] of those that are held.
    Describe {
        /// Up to [`limits::DESCRIBED`].
        ids: Vec<Digest>,
    },
    /// What the peer holds, in the order it came to hold it, after the first `after` entries: for who lacks most of it.
    Inventory {
        /// Entries already known.
        after: u64,
    },
    /// Part of a blob, beside this, from byte `offset` on; the reply is [`Reply::Put`]. Without any bytes it asks
    /// from where to go on.
    Put {
        /// The blob.
        blob: Blob,
        /// Bytes that came before.
        offset: u64,
    },
    /// The part of a blob of a reply that starts at byte `offset`; the reply is [`Reply::Rest`].
    Rest {
        /// The blob.
        blob: Blob,
        /// Bytes to skip.
        offset: u64,
    },
    /// A token for a pseudonym that does not show; the reply is [`Reply::Evaluated`]. Only where the charter has pseudonyms.
    Evaluate {
        /// The blinded element.
        blinded: Element,
    },
    /// What somebody wants carried, beside this, at most [`limits::CARRIED_BYTES`]; the reply is [`Reply::Carried`]. Whoever
    /// gets it may have it carried on. Only where the charter has pseudonyms.
    Carry {
        /// The member for whom it is sealed; none for a batch under a pseudonym, which is for all.
        to: Option<NodeId>,
    },
    /// An ask of a round; the reply is [`Reply::Round`].
    Round {
        /// What is asked.
        ask: Box<Ask>,
        /// What belongs to it, if that was put before; else it is beside this.
        blob: Option<Blob>,
    },
}

impl Request {
    /// Most bytes of its JSON.
    pub const fn limit(&self) -> usize {
        match self {
            Self::Round { .. } => limits::ROUND_BYTES,
            _ => limits::REQUEST_BYTES,
        }
    }
}

/// Replied to one request. At most [`limits::REPLY_BYTES`]; bytes beside it are at most [`limits::BESIDE_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// A signed contribution or a signed refusal.
    Answer {
        /// Its envelope.
        envelope: Envelope,
    },
    /// Part of a document's JSON.
    Page {
        /// At most [`limits::PAGE_BYTES`]; empty only past the end.
        #[serde(with = "base64_bytes")]
        bytes: Vec<u8>,
    },
    /// Every epoch of which something is held, at most [`limits::EPOCHS`].
    Epochs {
        /// Each once, by rising number.
        epochs: Vec<EpochSum>,
    },
    /// The next message of a reconciliation is beside this.
    Reconcile,
    /// Up to [`limits::INVENTORY_IDS`] entries, or those described; fewer means that these are the last.
    Inventory {
        /// The documents held.
        entries: Vec<Announcement>,
    },
    /// So many bytes of the blob are here.
    Put {
        /// From where to go on.
        held: u64,
    },
    /// The part of the blob is beside this; empty only past its end.
    Rest,
    /// What becomes of a blinded element under the member's key.
    Evaluated {
        /// It, and the proof.
        evaluation: Evaluation,
    },
    /// It will be carried.
    Carried,
    /// The reply to an ask of a round.
    Round {
        /// What is replied.
        told: Box<Told>,
        /// What belongs to it, if it is fetched by [`Request::Rest`]; else it is beside this.
        blob: Option<Blob>,
    },
    /// The request is well-formed and not answered.
    Declined {
        /// Why, as a closed code.
        why: Declined,
    },
}

/// Why a well-formed request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Declined {
    /// No such document here.
    NotHere,
    /// Too many requests from this peer, or too much else to do; ask again later.
    Busy,
    /// The request cannot be served as it stands: its envelope does not verify, or it is not for this node.
    NotAcceptable,
}

/// A message of the wire with its bound: the only things that the network takes.
pub trait Message: Serialize + serde::de::DeserializeOwned + sealed::Sealed {
    /// Most bytes of its JSON.
    const MAX_BYTES: usize;

    /// Its JSON, within the bound.
    fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self, Self::MAX_BYTES)
    }

    /// Reads it from its JSON.
    fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, Self::MAX_BYTES)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Announcement {}
    impl Sealed for super::Request {}
    impl Sealed for super::Reply {}
}

impl Message for Announcement {
    const MAX_BYTES: usize = limits::GOSSIP_BYTES;
}
impl Message for Request {
    const MAX_BYTES: usize = limits::ROUND_BYTES;

    fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let request: Self = codec::decode(bytes, Self::MAX_BYTES)?;
        if bytes.len() > request.limit() {
            return Err(CodecError::TooLong { actual: bytes.len(), limit: request.limit() });
        }
        Ok(request)
    }
}
impl Message for Reply {
    const MAX_BYTES: usize = limits::REPLY_BYTES;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_back_and_an_unknown_field_is_refused() {
        let fetch = Request::Fetch { id: Digest::of(b"x"), offset: 7 };
        let bytes = fetch.to_bytes().unwrap();
        assert_eq!(Request::from_bytes(&bytes), Ok(fetch));
        let text = String::from_utf8(bytes).unwrap().replace("\"offset\":7", "\"offset\":7,\"more\":1");
        assert!(Request::from_bytes(text.as_bytes()).is_err());
    }

    #[test]
    fn a_reply_at_its_bound_fits_and_one_past_it_does_not() {
        assert!(Reply::Page { bytes: vec![0; limits::PAGE_BYTES] }.to_bytes().is_ok());
        assert!(Reply::Page { bytes: vec![0; limits::REPLY_BYTES] }.to_bytes().is_err());
    }
}
