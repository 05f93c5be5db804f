//! What is spoken on a connection once its member is known: connection limits, exchange, gossip.
//!
//! Nothing else. No identify: gossip and exchange negotiate their protocols by name on each stream, members'
//! addresses come from the charter, and what identify would tell (addresses, software, version) helps only
//! whoever watches. No DHT, rendezvous, mDNS or relay: they exist to find peers, and here all peers are known.
//! No ping: QUIC keeps its connections alive itself, and a TCP link that dies silently is found by the
//! requests that stay without reply.

use libp2p::{
    connection_limits::{self, ConnectionLimits},
    gossipsub::IdentTopic,
    identity::Keypair,
    swarm::NetworkBehaviour,
};

use super::{
    NetError,
    exchange::{self, Exchange},
    gossip::{self, Metered},
    limits::{CONNECTIONS_PER_PEER, Deadlines, PENDING_INCOMING, PENDING_OUTGOING, Rates},
};

/// The protocols of a connection. Limits come first: what they deny, the others never see.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) exchange: Exchange,
    pub(super) gossip: Metered,
}

impl Behaviour {
    pub(super) fn new(
        keypair: &Keypair,
        topic: &IdentTopic,
        deadlines: &Deadlines,
        rates: &Rates,
        members: usize,
    ) -> Result<Self, NetError> {
        Ok(Self {
            limits: connection_limits::Behaviour::new(connection_limits(members)),
            exchange: exchange::behaviour(deadlines),
            gossip: Metered::new(gossip::behaviour(keypair, topic)?, rates.frames),
        })
    }
}

/// The limits for that many members.
pub(super) fn connection_limits(members: usize) -> ConnectionLimits {
    let members = u32::try_from(members).unwrap_or(u32::MAX);
    ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_INCOMING))
        .with_max_pending_outgoing(Some(PENDING_OUTGOING))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER))
        .with_max_established(Some(members.saturating_mul(CONNECTIONS_PER_PEER)))
}
