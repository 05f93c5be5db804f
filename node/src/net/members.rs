//! What the network task keeps for each member, and the board on which handles read it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError},
    time::Instant,
};

use hedgerow_protocol::{id::NodeId, limits};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, swarm::DialError};

use super::{
    Peer, PeerState, PeerStatus, Shared,
    admission::{Refused, peer_id},
    gossip::Replay,
    limits::{Buckets, Rates, Redial, Standing},
    transport,
};

/// One member.
pub(super) struct Member {
    pub(super) id: NodeId,
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) buckets: Buckets,
    pub(super) standing: Standing,
    pub(super) replay: Replay,
    /// Since when it is connected.
    pub(super) connected: Option<Instant>,
    /// Since when it is not, if it was before.
    pub(super) left: Option<Instant>,
    /// Our requests under way to it.
    pub(super) asked: usize,
    /// Its requests that wait for our answer.
    pub(super) unanswered: usize,
    /// Replies of it in a row that came too late.
    pub(super) late: u32,
    failures: u32,
    next_dial: Option<Instant>,
}

impl Member {
    /// Whether it is to be dialled now. Until the outcome is known, the longest pause holds.
    pub(super) fn dial_is_due(&mut self, redial: &Redial, now: Instant) -> bool {
        let due = self.next_dial.is_some_and(|at| at <= now)
            && self.connected.is_none()
            && self.standing.blocked(now).is_none()
            && !self.addresses.is_empty();
        if due {
            self.next_dial = now.checked_add(redial.cap.saturating_mul(2));
        }
        due
    }

    /// A dial failed.
    pub(super) fn unreached(&mut self, redial: &Redial, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.dial_after_pause(redial, now);
    }

    /// The last connection ended. One that ended early counts as a failure: a member that lets us in and shuts
    /// the door again, because it has blocked or never heard of us, is not to be dialled four times a second.
    pub(super) fn disconnected(&mut self, redial: &Redial, now: Instant) {
        let since = self.connected.take().unwrap_or(now);
        self.left = Some(now);
        if now.saturating_duration_since(since) >= redial.settled {
            self.failures = 0;
        } else {
            self.failures = self.failures.saturating_add(1);
        }
        self.dial_after_pause(redial, now);
    }

    /// Dial without a pause.
    pub(super) fn dial_soon(&mut self, now: Instant) {
        self.next_dial = Some(now);
    }

    fn dial_after_pause(&mut self, redial: &Redial, now: Instant) {
        let pause = redial.pause(self.failures.saturating_sub(1), rand::random_range(0.0..1.0));
        self.next_dial = now.checked_add(pause);
    }
}

/// All members by peer id, and the board.
pub(super) struct Members {
    own: PeerId,
    by_peer: HashMap<PeerId, Member>,
    shared: Arc<Shared>,
}

impl Members {
    pub(super) fn new(own: PeerId, shared: Arc<Shared>) -> Self {
        Self { own, by_peer: HashMap::new(), shared }
    }

    pub(super) fn len(&self) -> usize {
        self.by_peer.len()
    }

    pub(super) fn get(&mut self, peer: &PeerId) -> Option<&mut Member> {
        self.by_peer.get_mut(peer)
    }

    pub(super) fn iter(&mut self) -> impl Iterator<Item = (PeerId, &mut Member)> {
        self.by_peer.iter_mut().map(|(peer, member)| (*peer, member))
    }

    pub(super) fn ids(&self) -> HashSet<PeerId> {
        self.by_peer.keys().copied().collect()
    }

    /// Takes over a new list; those who are no longer on it. Who stays keeps standing, rate and connection.
    pub(super) fn replace(
        &mut self,
        peers: Vec<Peer>,
        rates: &Rates,
        redial: &Redial,
        now: Instant,
    ) -> Vec<PeerId> {
        let mut listed = HashSet::new();
        for peer in peers {
            let Some(id) = peer_id(&peer.id).filter(|id| *id != self.own) else { continue };
            listed.insert(id);
            let (mut addresses, mut skipped) = (Vec::new(), Vec::new());
            for text in peer.addresses.iter().take(limits::ADDRESSES) {
                match transport::address(text, Some(id)) {
                    Ok(address) => addresses.push(address),
                    Err(why) => skipped.push(format!("{text}: {why}")),
                }
            }
            let member = self.by_peer.entry(id).or_insert_with(|| Member {
                id: peer.id,
                addresses: Vec::new(),
                buckets: Buckets::new(rates),
                standing: Standing::new(now),
                replay: Replay::default(),
                left: None,
                connected: None,
                asked: 0,
                unanswered: 0,
                late: 0,
                failures: 0,
                // Spread over the first pause, so that two nodes started together do not dial in step.
                next_dial: now.checked_add(redial.first.mul_f64(rand::random_range(0.0..1.0))),
            });
            member.addresses = addresses;
            let mut board = self.shared.peers.write().unwrap_or_else(PoisonError::into_inner);
            let status = board.entry(peer.id).or_insert_with(|| PeerStatus {
                id: peer.id,
                state: PeerState::Trying,
                neighbour: false,
                skipped: Vec::new(),
                answered: 0,
                asked: 0,
                announced: 0,
                faults: 0,
            });
            status.skipped = skipped;
            if member.connected.is_none() && member.standing.blocked(now).is_none() {
                let reachable = !member.addresses.is_empty();
                status.state = if reachable { PeerState::Trying } else { PeerState::NoAddress };
            }
        }
        let gone: Vec<PeerId> = self.by_peer.keys().filter(|peer| !listed.contains(peer)).copied().collect();
        let mut board = self.shared.peers.write().unwrap_or_else(PoisonError::into_inner);
        for peer in &gone {
            if let Some(member) = self.by_peer.remove(peer) {
                board.remove(&member.id);
            }
        }
        gone
    }

    /// Changes what the board says of a member.
    pub(super) fn status(&self, id: &NodeId, change: impl FnOnce(&mut PeerStatus)) {
        let mut board = self.shared.peers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = board.get_mut(id) {
            change(status);
        }
    }
}

/// What the board says after a dial that failed.
pub(super) fn after_failed_dial(error: &DialError) -> PeerState {
    let unreachable = |why: &str| PeerState::Unreachable { why: why.to_owned() };
    match error {
        DialError::WrongPeerId { .. } => PeerState::WrongKey,
        DialError::LocalPeerId { .. } => unreachable("this node's own key answered"),
        DialError::NoAddresses => PeerState::NoAddress,
        DialError::Denied { .. } => unreachable("too many connections"),
        DialError::DialPeerConditionFalse(_) | DialError::Aborted => unreachable("the dial was given up"),
        DialError::Transport(failed) => {
            let mut whys = Vec::new();
            for (address, error) in failed {
                match transport::refused(error) {
                    Some(Refused::WrongKey) => return PeerState::WrongKey,
                    Some(refused) => whys.push(refused.to_string()),
                    None => whys.push(format!("{}: {error}", without_peer(address))),
                }
            }
            unreachable(&whys.join("; "))
        }
    }
}

fn without_peer(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hedgerow_protocol::document::NodeSecret;

    use super::*;

    fn peer(n: u8, addresses: &[&str]) -> Peer {
        let id = NodeSecret::from_seed(&[n; 32]).node_id();
        Peer { id, addresses: addresses.iter().map(|text| (*text).to_owned()).collect() }
    }

    fn members() -> (Members, Arc<Shared>) {
        let shared = Arc::new(Shared::default());
        (Members::new(peer_id(&peer(1, &[]).id).unwrap(), shared.clone()), shared)
    }

    fn replace(members: &mut Members, peers: Vec<Peer>) -> usize {
        members.replace(peers, &Rates::default(), &Redial::default(), Instant::now()).len()
    }

    #[test]
    fn this_node_is_no_peer_and_a_bad_address_stops_nothing() {
        let (mut members, shared) = members();
        let list = vec![
            peer(1, &["/ip4/192.0.2.1/tcp/1"]),
            peer(2, &["nonsense", "/ip4/192.0.2.2/tcp/1"]),
            peer(3, &["nonsense"]),
        ];
        assert_eq!(replace(&mut members, list), 0);
        assert_eq!(members.len(), 2);
        let board = shared.peers.read().unwrap();
        let two = &board[&peer(2, &[]).id];
        assert_eq!((two.state.clone(), two.skipped.len()), (PeerState::Trying, 1));
        assert_eq!(board[&peer(3, &[]).id].state, PeerState::NoAddress);
    }

    #[test]
    fn who_leaves_the_list_leaves_the_board() {
        let (mut members, shared) = members();
        replace(&mut members, vec![peer(2, &[]), peer(3, &[])]);
        assert_eq!(replace(&mut members, vec![peer(3, &[])]), 1);
        assert_eq!(shared.peers.read().unwrap().len(), 1);
    }

    #[test]
    fn a_door_that_shuts_at_once_is_tried_ever_more_rarely() {
        let (mut members, _) = members();
        replace(&mut members, vec![peer(2, &["/ip4/192.0.2.2/tcp/1"])]);
        let redial = Redial::default();
        let mut now = Instant::now();
        let (_, member) = members.iter().next().unwrap();
        for _ in 0..12 {
            member.connected = Some(now);
            member.disconnected(&redial, now);
        }
        now += Duration::from_secs(20);
        assert!(!member.dial_is_due(&redial, now));
        now += redial.cap * 2;
        assert!(member.dial_is_due(&redial, now));
        assert!(!member.dial_is_due(&redial, now), "one dial at a time");
        member.connected = Some(now);
        now += redial.settled;
        member.disconnected(&redial, now);
        assert!(member.dial_is_due(&redial, now + redial.first * 2), "a settled connection starts afresh");
    }
}
