//! Announcements: gossipsub in strict mode, each frame metered before it is looked at
//! (docs/protocol.md §8; libp2p specs: pubsub/gossipsub v1.1).
//!
//! Gossip is best effort; the inventory is what brings a member up to date. So no honest member is ever
//! scored for silence or slowness: the scores for deliveries that did not come are off (P3, P3b), as are
//! those for many members behind one address (a VPN, or Tor) and for slow links. What remains is what an honest
//! member does not do: invalid messages (P4) and breaking the rules of the mesh (P7).

use std::{
    collections::{HashMap, HashSet},
    task::{Context, Poll},
    time::Duration,
};

use governor::DefaultDirectRateLimiter;
use hedgerow_protocol::{id::Digest, limits};
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    gossipsub::{
        self, ConfigBuilder, IdentTopic, IdentityTransform, MaxCountSubscriptionFilter, MessageAuthenticity,
        MessageId, PeerScoreParams, PeerScoreThresholds, TopicScoreParams, WhitelistSubscriptionFilter,
    },
    identity::Keypair,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
    },
};

use super::{NetError, limits::Rate};

/// Longest gossip frame that is read. Twice the bound of a message, so that a message over its bound is seen,
/// counted and charged to its sender; a frame over this is not read, and its stream is closed.
const FRAME_BYTES: usize = 2 * limits::GOSSIP_BYTES;
/// Ids in one control message. The identifiers of a frame must fit the frame: 128 times 34 bytes.
const CONTROL_IDS: usize = 128;
/// Frames that wait for one member before more are dropped: a slow link loses announcements, not memory.
const QUEUE: usize = 128;
/// Score below which a member's gossip is no longer read: the third or fourth invalid message within a minute.
pub(super) const GRAYLIST: f64 = -100.0;

pub(super) type Gossip =
    gossipsub::Behaviour<IdentityTransform, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// Gossip on the one topic of a federation, which is joined.
pub(super) fn behaviour(keypair: &Keypair, topic: &IdentTopic) -> Result<Gossip, NetError> {
    let config = ConfigBuilder::default()
        .max_transmit_size(FRAME_BYTES)
        .message_id_fn(message_id)
        .validate_messages()
        // Six neighbours reach 50 members in three steps; with fewer members all are neighbours.
        .mesh_n(6)
        .mesh_n_low(4)
        .mesh_n_high(12)
        .mesh_outbound_min(2)
        .flood_publish(true)
        .heartbeat_initial_delay(Duration::from_secs(1))
        .max_publish_messages(64)
        .max_control_messages_sent(CONTROL_IDS)
        .connection_handler_queue_len(QUEUE)
        // Announcements are short, so saying that one is not wanted costs as much as sending it.
        .idontwant_message_size_threshold(FRAME_BYTES)
        .build()
        .map_err(|error| NetError::Setup(error.to_string()))?;
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter([topic.hash()].into()),
        max_subscribed_topics: 1,
        max_subscriptions_per_request: 4,
    };
    let author = MessageAuthenticity::Signed(keypair.clone());
    let mut gossip = Gossip::new_with_subscription_filter(author, config, filter)
        .map_err(|error| NetError::Setup(error.to_owned()))?;
    gossip.with_peer_score(scores(topic), thresholds()).map_err(NetError::Setup)?;
    gossip.subscribe(topic).map_err(|error| NetError::Setup(error.to_string()))?;
    Ok(gossip)
}

/// The hash of author and content.
///
/// Content, so that one announcement is one message however often it is made. Author, because a message with
/// a known id is dropped unseen: were it content alone, a member over its rate could sign another's
/// announcement as its own, have it ignored, and so silence the other.
fn message_id(message: &gossipsub::Message) -> MessageId {
    let mut bytes = message.source.map(PeerId::to_bytes).unwrap_or_default();
    bytes.extend_from_slice(Digest::of(&message.data).as_bytes());
    MessageId::new(Digest::of(&bytes).as_bytes())
}

fn scores(topic: &IdentTopic) -> PeerScoreParams {
    let minute = gossipsub::score_parameter_decay(Duration::from_secs(60));
    let topic_scores = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -10.0,
        invalid_message_deliveries_decay: minute,
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: HashMap::from([(topic.hash(), topic_scores)]),
        app_specific_weight: 0.0,
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_weight: -1.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: minute,
        slow_peer_weight: 0.0,
        ..PeerScoreParams::default()
    }
}

fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -20.0,
        publish_threshold: -50.0,
        graylist_threshold: GRAYLIST,
        opportunistic_graft_threshold: 0.0,
        ..PeerScoreThresholds::default()
    }
}

/// What a metered gossip reports.
#[derive(Debug)]
pub(super) enum Heard {
    Gossip(gossipsub::Event),
    /// That many frames of a member were over its rate and dropped unread.
    Over {
        peer: PeerId,
        frames: u32,
    },
}

/// Gossip behind a token bucket for each member, which is asked before a frame's content is acted on.
///
/// Gossipsub bounds what it keeps but not how often it is made to work: every frame can hold control messages,
/// each a walk through its caches. The frame is the unit that the sender pays for.
pub(super) struct Metered {
    inner: Gossip,
    rate: Rate,
    buckets: HashMap<PeerId, DefaultDirectRateLimiter>,
    over: HashMap<PeerId, u32>,
}

impl Metered {
    pub(super) fn new(inner: Gossip, rate: Rate) -> Self {
        Self { inner, rate, buckets: HashMap::new(), over: HashMap::new() }
    }

    pub(super) fn gossip(&mut self) -> &mut Gossip {
        &mut self.inner
    }

    /// Forgets all members but these. A bucket outlives its connection, or reconnecting would fill it.
    pub(super) fn retain(&mut self, members: &HashSet<PeerId>) {
        self.buckets.retain(|peer, _| members.contains(peer));
    }
}

impl NetworkBehaviour for Metered {
    type ConnectionHandler = <Gossip as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = Heard;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, address, role, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let bucket = self.buckets.entry(peer).or_insert_with(|| self.rate.bucket());
        if bucket.check().is_ok() {
            self.inner.on_connection_handler_event(peer, connection, event);
        } else {
            // Summed until the swarm asks, so a flood does not become a queue. The swarm polls after this.
            let frames = self.over.entry(peer).or_default();
            *frames = frames.saturating_add(1);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Heard, THandlerInEvent<Self>>> {
        let next = self.over.keys().next().copied();
        if let Some((peer, frames)) = next.and_then(|peer| self.over.remove_entry(&peer)) {
            return Poll::Ready(ToSwarm::GenerateEvent(Heard::Over { peer, frames }));
        }
        self.inner.poll(cx).map(|event| event.map_out(Heard::Gossip))
    }
}

/// Which of an author's messages were heard: a sliding window over its sequence numbers (as RFC 4303 §3.4.3).
///
/// Gossipsub forgets a message after a minute, and its signature is good for ever: without this, a member could
/// keep another's old announcements and spend the other's rate with them.
#[derive(Debug, Default)]
pub(super) struct Replay {
    highest: Option<u64>,
    /// Bit `n` is set when `highest - n` was heard.
    heard: u128,
}

impl Replay {
    /// Whether `number` is new; it is then heard. Numbers 128 or more behind the highest are not new.
    pub(super) fn is_new(&mut self, number: u64) -> bool {
        let Some(highest) = self.highest else {
            (self.highest, self.heard) = (Some(number), 1);
            return true;
        };
        if let Some(ahead) = number.checked_sub(highest).filter(|ahead| *ahead > 0) {
            let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.heard = self.heard.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = Some(number);
            return true;
        }
        let behind = u32::try_from(highest.saturating_sub(number)).unwrap_or(u32::MAX);
        match 1u128.checked_shl(behind) {
            Some(bit) if self.heard & bit == 0 => {
                self.heard |= bit;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once_and_only_within_the_window() {
        let mut replay = Replay::default();
        assert!(replay.is_new(1000));
        assert!(!replay.is_new(1000));
        assert!(replay.is_new(999) && !replay.is_new(999), "out of order is not a replay");
        assert!(replay.is_new(1126));
        assert!(!replay.is_new(1000) && !replay.is_new(999));
        assert!(!replay.is_new(998), "behind the window");
        assert!(replay.is_new(u64::MAX) && !replay.is_new(1126));
    }

    #[test]
    fn the_same_words_of_two_authors_are_two_messages() {
        let message = |source| gossipsub::Message {
            source: Some(source),
            data: b"same".to_vec(),
            sequence_number: Some(1),
            topic: IdentTopic::new("t").hash(),
        };
        let (one, two) = (PeerId::random(), PeerId::random());
        assert_eq!(message_id(&message(one)), message_id(&message(one)));
        assert_ne!(message_id(&message(one)), message_id(&message(two)));
    }

    #[test]
    fn the_configuration_is_one_that_gossipsub_takes() {
        assert!(behaviour(&Keypair::generate_ed25519(), &IdentTopic::new("t")).is_ok());
    }
}
