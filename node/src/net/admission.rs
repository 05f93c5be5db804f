//! Who may connect: members of the charter, and nobody else (docs/protocol.md §2).
//!
//! The check runs inside the transport, on the key that the handshake has just proven and before the
//! connection reaches anything that speaks a protocol. The peer id of an Ed25519 key is the key itself in an
//! identity multihash (libp2p specs, peer-ids), so membership needs no table of names.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use hedgerow_protocol::id::NodeId;
use libp2p::{
    PeerId,
    core::ConnectedPoint,
    identity::{PublicKey, ed25519},
    multiaddr::Protocol,
};

use super::counters::{Tally, bump};

/// The peer id of a node. None cannot happen for a [`NodeId`], which is a checked Ed25519 key.
pub(super) fn peer_id(node: &NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(node.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// Why a connection ended with its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("this key is not in the charter")]
    Stranger,
    #[error("this member is blocked for its conduct")]
    Blocked,
    #[error("another key answered than the member's")]
    WrongKey,
    #[error("the other side holds our own key")]
    OwnKey,
}

/// The members, as every handshake sees them.
pub(super) struct Admission {
    own: PeerId,
    book: RwLock<Book>,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Book {
    members: HashSet<PeerId>,
    blocked: HashMap<PeerId, Instant>,
}

impl Admission {
    pub(super) fn new(own: PeerId, tally: Arc<Tally>) -> Self {
        Self { own, book: RwLock::default(), tally }
    }

    /// From now on these, and nobody else.
    pub(super) fn replace(&self, members: HashSet<PeerId>) {
        let mut book = self.book.write().unwrap_or_else(PoisonError::into_inner);
        book.blocked.retain(|peer, _| members.contains(peer));
        book.members = members;
    }

    /// Refuses a member until `until`.
    pub(super) fn block(&self, peer: PeerId, until: Instant) {
        let mut book = self.book.write().unwrap_or_else(PoisonError::into_inner);
        book.blocked.insert(peer, until);
    }

    /// Decides on a connection whose handshake has just proven `peer`, and counts a refusal.
    pub(super) fn check(&self, peer: &PeerId, point: &ConnectedPoint) -> Result<(), Refused> {
        let verdict = self.verdict(peer, point, Instant::now());
        match verdict {
            Ok(()) => {}
            Err(Refused::Stranger) => bump(&self.tally.stranger),
            Err(Refused::Blocked) => bump(&self.tally.blocked),
            Err(Refused::WrongKey) => bump(&self.tally.wrong_key),
            Err(Refused::OwnKey) => bump(&self.tally.own_key),
        }
        verdict
    }

    fn verdict(&self, peer: &PeerId, point: &ConnectedPoint, now: Instant) -> Result<(), Refused> {
        if *peer == self.own {
            return Err(Refused::OwnKey);
        }
        // Every dial names its member at the end of the address; one that does not has nobody to reach.
        if let ConnectedPoint::Dialer { address, .. } = point
            && address.iter().last() != Some(Protocol::P2p(*peer))
        {
            return Err(Refused::WrongKey);
        }
        let book = self.book.read().unwrap_or_else(PoisonError::into_inner);
        if !book.members.contains(peer) {
            return Err(Refused::Stranger);
        }
        match book.blocked.get(peer) {
            Some(until) if *until > now => Err(Refused::Blocked),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hedgerow_protocol::document::NodeSecret;
    use libp2p::core::{Endpoint, transport::PortUse};

    use super::*;

    fn node(n: u8) -> NodeId {
        NodeSecret::from_seed(&[n; 32]).node_id()
    }

    fn peer(n: u8) -> PeerId {
        peer_id(&node(n)).unwrap()
    }

    fn listener() -> ConnectedPoint {
        let any = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        ConnectedPoint::Listener { local_addr: any, send_back_addr: "/ip4/127.0.0.1/tcp/2".parse().unwrap() }
    }

    fn dialer(address: &str) -> ConnectedPoint {
        ConnectedPoint::Dialer {
            address: address.parse().unwrap(),
            role_override: Endpoint::Dialer,
            port_use: PortUse::New,
        }
    }

    fn admission() -> (Admission, Arc<Tally>) {
        let tally = Arc::new(Tally::default());
        let admission = Admission::new(peer(1), tally.clone());
        admission.replace([peer(2), peer(3)].into());
        (admission, tally)
    }

    #[test]
    fn a_peer_id_holds_the_key_of_its_node() {
        let (id, key) = (peer(7), node(7));
        // Multicodec 0x00, identity: the digest is the key in protobuf, not a hash of it.
        assert_eq!(id.as_ref().code(), 0);
        assert!(id.as_ref().digest().ends_with(key.as_bytes()));
    }

    #[test]
    fn a_member_enters_and_a_stranger_is_counted() {
        let (admission, tally) = admission();
        assert_eq!(admission.check(&peer(2), &listener()), Ok(()));
        assert_eq!(admission.check(&peer(4), &listener()), Err(Refused::Stranger));
        assert_eq!(admission.check(&peer(1), &listener()), Err(Refused::OwnKey));
        let counters = tally.snapshot();
        assert_eq!((counters.stranger, counters.own_key), (1, 1));
    }

    #[test]
    fn a_dial_is_pinned_to_its_member_even_when_another_member_answers() {
        let (admission, tally) = admission();
        let to_two = dialer(&format!("/ip4/127.0.0.1/tcp/1/p2p/{}", peer(2)));
        assert_eq!(admission.check(&peer(2), &to_two), Ok(()));
        assert_eq!(admission.check(&peer(3), &to_two), Err(Refused::WrongKey));
        assert_eq!(admission.check(&peer(2), &dialer("/ip4/127.0.0.1/tcp/1")), Err(Refused::WrongKey));
        assert_eq!(tally.snapshot().wrong_key, 2);
    }

    #[test]
    fn a_blocked_member_waits_and_a_removed_one_is_a_stranger() {
        let (admission, _) = admission();
        admission.block(peer(2), Instant::now() + Duration::from_secs(60));
        admission.block(peer(3), Instant::now());
        assert_eq!(admission.check(&peer(2), &listener()), Err(Refused::Blocked));
        assert_eq!(admission.check(&peer(3), &listener()), Ok(()));
        admission.replace([peer(3)].into());
        assert_eq!(admission.check(&peer(2), &listener()), Err(Refused::Stranger));
    }
}
