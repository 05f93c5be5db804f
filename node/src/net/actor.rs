//! The one task that owns the swarm: it takes commands, judges what members send and keeps the links up.
//!
//! Nothing in it waits for a member or for the node: replies are awaited beside the loop, events are handed over
//! with `try_send`, and what cannot be handed over is declined or dropped and counted.

mod incoming;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use hedgerow_protocol::{
    document::NodeSecret,
    id::NodeId,
    wire::{self, Reply},
};
use libp2p::{
    PeerId, Swarm,
    core::transport::ListenerId,
    gossipsub::{self, IdentTopic, PublishError},
    identity::Keypair,
    request_response::{OutboundRequestId, ResponseChannel},
    swarm::{self, DialError, ListenError, SwarmEvent, dial_opts::DialOpts},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{debug, info, warn};

use super::{
    Command, Inbound, NetConfig, NetError, Peer, PeerState, RequestError, Shared,
    admission::{Admission, peer_id},
    behaviour::{Behaviour, BehaviourEvent, connection_limits},
    counters::bump,
    exchange::{Answered, Asked, Frame},
    gossip::{GRAYLIST, Heard},
    limits::{ASKED_PER_PEER, Buckets, Conduct, Deadlines, Fault, IDLE, Rates, Redial},
    members::{Members, after_failed_dial},
    transport::{self, refused},
};

/// How often dials that are due are made.
const TICK: Duration = Duration::from_millis(250);
/// Ticks between two looks at scores, blocks and overdue requests.
const TICKS_PER_ROUND: u64 = 4;
/// How long a listener may take to say its address.
const LISTEN_DEADLINE: Duration = Duration::from_secs(5);
/// How long connections may take to close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// How long past its deadline a request is kept when nothing at all was heard of it.
const GRACE: Duration = Duration::from_secs(5);
/// How long a member has to be away before its sequence numbers may begin anew.
const FORGET_REPLAY: Duration = Duration::from_secs(3600);
/// Streams of one connection whose protocol is being agreed on.
const NEGOTIATING_STREAMS: usize = 32;

/// One of our requests under way.
struct Pending {
    peer: PeerId,
    due: Instant,
    done: oneshot::Sender<Result<(Reply, Vec<u8>), RequestError>>,
}

/// A request of a member, and this node's answer to it if there is one.
struct Answer {
    peer: PeerId,
    channel: ResponseChannel<Answered>,
    frame: Option<Frame>,
}

pub(super) struct Actor {
    swarm: Swarm<Behaviour>,
    topic: IdentTopic,
    admission: Arc<Admission>,
    shared: Arc<Shared>,
    members: Members,
    /// This node's own announcements: what others would ignore is not sent.
    own: Buckets,
    orders: mpsc::Receiver<Command>,
    inbound: mpsc::Sender<Inbound>,
    /// At most [`ASKED_PER_PEER`] for each member.
    asked: HashMap<OutboundRequestId, Pending>,
    /// At most [`UNANSWERED_PER_PEER`] for each member.
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    deadlines: Deadlines,
    rates: Rates,
    conduct: Conduct,
    redial: Redial,
    ticks: u64,
}

impl Actor {
    /// Sets everything up and listens; the caller runs it.
    pub(super) async fn start(
        secret: &NodeSecret,
        config: NetConfig,
        orders: mpsc::Receiver<Command>,
        inbound: mpsc::Sender<Inbound>,
        shared: Arc<Shared>,
    ) -> Result<Self, NetError> {
        let keypair =
            Keypair::ed25519_from_bytes(secret.seed()).map_err(|error| NetError::Setup(error.to_string()))?;
        let own = keypair.public().to_peer_id();
        let topic = IdentTopic::new(wire::topic(&config.charter));
        let admission = Arc::new(Admission::new(own, shared.tally.clone()));
        let transport = transport::build(&keypair, admission.clone())?;
        let behaviour = Behaviour::new(&keypair, &topic, &config.deadlines, &config.rates, 0)?;
        let settings = swarm::Config::with_tokio_executor()
            .with_idle_connection_timeout(IDLE)
            .with_max_negotiating_inbound_streams(NEGOTIATING_STREAMS)
            .with_smart_dial();
        let mut actor = Self {
            swarm: Swarm::new(transport, behaviour, own, settings),
            topic,
            admission,
            members: Members::new(own, shared.clone()),
            shared,
            own: Buckets::new(&config.rates),
            orders,
            inbound,
            asked: HashMap::new(),
            answers: FuturesUnordered::new(),
            deadlines: config.deadlines,
            rates: config.rates,
            conduct: config.conduct,
            redial: config.redial,
            ticks: 0,
        };
        actor.replace_members(config.members);
        for address in &config.listen {
            actor.listen(address).await?;
        }
        Ok(actor)
    }

    async fn listen(&mut self, text: &str) -> Result<(), NetError> {
        let failed = |why: String| NetError::Listen { address: text.to_owned(), why };
        let address = transport::address(text, None)
            .map_err(|why| NetError::Address { address: text.to_owned(), why })?;
        transport::check_port_is_free(&address).map_err(|error| failed(error.to_string()))?;
        let listener = self.swarm.listen_on(address).map_err(|error| failed(error.to_string()))?;
        match timeout(LISTEN_DEADLINE, self.listening(listener)).await {
            Ok(listening) => listening.map_err(failed),
            Err(_) => Err(failed("this machine has no such address".to_owned())),
        }
    }

    async fn listening(&mut self, listener: ListenerId) -> Result<(), String> {
        loop {
            match self.swarm.select_next_some().await {
                SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == listener => {
                    let why = reason.err().map(|error| error.to_string());
                    return Err(why.unwrap_or_else(|| "the port was closed".to_owned()));
                }
                event => {
                    let ours = matches!(
                        &event,
                        SwarmEvent::NewListenAddr { listener_id, .. } if *listener_id == listener
                    );
                    self.on_swarm(event);
                    if ours {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Runs until it is told to stop or no handle is left.
    pub(super) async fn run(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let done = loop {
            // Polled in random order, so a flood on the swarm starves neither commands nor ticks.
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event),
                Some(answer) = self.answers.next() => self.on_answer(answer),
                _ = tick.tick() => self.on_tick(Instant::now()),
                order = self.orders.recv() => match order {
                    Some(Command::Request { to, frame, deadline, done }) => {
                        self.on_request(to, frame, deadline, done);
                    }
                    Some(Command::Announce { bytes, done }) => {
                        let _ = done.send(self.on_announce(bytes));
                    }
                    Some(Command::Blame { who }) => {
                        if let Some(peer) = peer_id(&who) {
                            bump(&self.shared.tally.malformed);
                            self.charge(peer, Fault::Malformed, 1);
                        }
                    }
                    Some(Command::Members { members, done }) => {
                        self.replace_members(members);
                        let _ = done.send(());
                    }
                    Some(Command::Shutdown { done }) => break Some(done),
                    None => break None,
                },
            }
        };
        self.close().await;
        drop(self);
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    /// Ends every connection in good order, so that members learn of it at once.
    async fn close(&mut self) {
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let ended = async {
            while self.swarm.connected_peers().next().is_some() {
                let _ = self.swarm.select_next_some().await;
            }
        };
        // A member that does not close its side is left to its own timeout.
        let _ = timeout(CLOSE_DEADLINE, ended).await;
    }

    fn replace_members(&mut self, peers: Vec<Peer>) {
        let gone = self.members.replace(peers, &self.rates, &self.redial, Instant::now());
        let stay = self.members.ids();
        let behaviour = self.swarm.behaviour_mut();
        *behaviour.limits.limits_mut() = connection_limits(stay.len());
        behaviour.gossip.retain(&stay);
        // The door before the room: who is no longer a member must not come back in between.
        self.admission.replace(stay);
        for peer in gone {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        info!(members = self.members.len(), "members set");
    }

    fn on_tick(&mut self, now: Instant) {
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(TICKS_PER_ROUND) {
            self.on_round(now);
        }
        let mut due = Vec::new();
        for (peer, member) in self.members.iter() {
            if member.dial_is_due(&self.redial, now) {
                due.push((peer, member.addresses.clone()));
            }
        }
        for (peer, addresses) in due {
            // The peer id pins the dial: whoever else answers is refused in the handshake.
            if let Err(error) = self.swarm.dial(DialOpts::peer_id(peer).addresses(addresses).build()) {
                self.on_failed_dial(peer, &error);
            }
        }
    }

    fn on_round(&mut self, now: Instant) {
        let mut low = Vec::new();
        let mut states = Vec::new();
        for (peer, member) in self.members.iter() {
            if let Some((until, fault)) = member.standing.blocked(now) {
                let remaining = until.saturating_duration_since(now);
                states.push((member.id, PeerState::Blocked { fault, remaining }));
            } else if member.standing.release(now) {
                member.dial_soon(now);
                states.push((member.id, PeerState::Trying));
            } else if member.connected.is_some() {
                low.push(peer);
            }
        }
        for (id, state) in states {
            self.members.status(&id, |status| status.state = state);
        }
        let gossip = self.swarm.behaviour_mut().gossip.gossip();
        let mesh: HashSet<PeerId> = gossip.all_mesh_peers().copied().collect();
        let places: Vec<_> = self.members.iter().map(|(peer, m)| (m.id, mesh.contains(&peer))).collect();
        for (id, neighbour) in places {
            self.members.status(&id, |status| status.neighbour = neighbour);
        }
        low.retain(|peer| {
            let score = self.swarm.behaviour_mut().gossip.gossip().peer_score(peer);
            score.is_some_and(|score| score < GRAYLIST)
        });
        for peer in low {
            bump(&self.shared.tally.gossip);
            self.charge(peer, Fault::Gossip, 1);
        }
        let overdue: Vec<OutboundRequestId> =
            self.asked.iter().filter(|(_, pending)| pending.due <= now).map(|(id, _)| *id).collect();
        for id in overdue {
            bump(&self.shared.tally.late);
            self.on_reply(id, Err(RequestError::Late));
        }
    }

    fn on_request(
        &mut self,
        to: NodeId,
        frame: Frame,
        deadline: Duration,
        done: oneshot::Sender<Result<(Reply, Vec<u8>), RequestError>>,
    ) {
        let now = Instant::now();
        let checked = match peer_id(&to).and_then(|peer| Some((peer, self.members.get(&peer)?))) {
            None => Err(RequestError::NotMember(to)),
            Some((_, member)) if member.standing.blocked(now).is_some() => Err(RequestError::Blocked),
            Some((_, member)) if member.connected.is_none() => Err(RequestError::NotConnected),
            Some((_, member)) if member.asked >= ASKED_PER_PEER => Err(RequestError::TooMany),
            Some((peer, member)) => {
                member.asked = member.asked.saturating_add(1);
                Ok(peer)
            }
        };
        match checked {
            Ok(peer) => {
                let out = Asked::Out { frame, deadline };
                let id = self.swarm.behaviour_mut().exchange.send_request(&peer, out);
                let due = now.checked_add(deadline.saturating_add(GRACE)).unwrap_or(now);
                self.asked.insert(id, Pending { peer, due, done });
            }
            Err(error) => drop(done.send(Err(error))),
        }
    }

    fn on_announce(&mut self, bytes: Vec<u8>) -> Result<(), NetError> {
        if !self.own.announcement() {
            return Err(NetError::TooFast);
        }
        match self.swarm.behaviour_mut().gossip.gossip().publish(self.topic.hash(), bytes) {
            // A duplicate was sent within the last minute already.
            Ok(_) | Err(PublishError::Duplicate) => Ok(()),
            Err(PublishError::NoPeersSubscribedToTopic) => Err(NetError::Alone),
            Err(PublishError::AllQueuesFull(_)) => Err(NetError::Behind),
            Err(error) => Err(NetError::Setup(error.to_string())),
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Exchange(event)) => self.on_exchange(event),
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(Heard::Over { peer, frames })) => {
                self.shared.tally.rate.fetch_add(u64::from(frames), std::sync::atomic::Ordering::Relaxed);
                self.charge(peer, Fault::Rate, frames);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(Heard::Gossip(gossipsub::Event::Message {
                propagation_source: via,
                message_id,
                message,
            }))) => {
                let verdict = self.judge(via, &message);
                let gossip = self.swarm.behaviour_mut().gossip.gossip();
                gossip.report_message_validation_result(&message_id, &via, verdict);
            }
            SwarmEvent::ConnectionEstablished { peer_id, num_established, .. }
                if num_established.get() == 1 =>
            {
                self.on_connected(peer_id);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, cause, .. } => {
                let why = cause.map_or_else(|| "the connection was closed".to_owned(), |c| c.to_string());
                self.on_disconnected(peer_id, why);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                self.on_failed_dial(peer, &error);
            }
            SwarmEvent::IncomingConnectionError { error, .. } => match error {
                ListenError::Denied { .. } => bump(&self.shared.tally.crowded),
                // Refusals were counted at the door, by their reason.
                ListenError::Transport(error) if refused(&error).is_some() => {}
                _ => bump(&self.shared.tally.handshake),
            },
            SwarmEvent::NewListenAddr { address, .. } => {
                let mut listening = self.shared.listening.write().unwrap_or_else(PoisonError::into_inner);
                listening.push(address.to_string());
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let mut listening = self.shared.listening.write().unwrap_or_else(PoisonError::into_inner);
                listening.retain(|known| *known != address.to_string());
            }
            SwarmEvent::ListenerClosed { reason: Err(error), .. } => {
                warn!(%error, "a listener closed; restart the node to listen again");
            }
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId) {
        let Some(member) = self.members.get(&peer) else {
            // Removed while its handshake was under way.
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        };
        member.connected = Some(Instant::now());
        member.late = 0;
        // A member that was restored from a backup, or whose clock was set back, begins again with lower
        // numbers; it must not stay unheard until they catch up. After a short absence they are kept, or whoever
        // stored its old announcements could have it charged for them.
        if member.left.is_none_or(|left| left.elapsed() >= FORGET_REPLAY) {
            member.replay = super::gossip::Replay::default();
        }
        let id = member.id;
        self.members.status(&id, |status| status.state = PeerState::Connected);
        debug!(member = id.short(), "connected");
        self.tell(Inbound::Connected(id));
    }

    fn on_disconnected(&mut self, peer: PeerId, why: String) {
        let now = Instant::now();
        let Some(member) = self.members.get(&peer) else { return };
        member.disconnected(&self.redial, now);
        let (id, blocked) = (member.id, member.standing.blocked(now).is_some());
        if !blocked {
            self.members.status(&id, |status| status.state = PeerState::Unreachable { why });
        }
        debug!(member = id.short(), "disconnected");
        self.tell(Inbound::Disconnected(id));
    }

    fn on_failed_dial(&mut self, peer: PeerId, error: &DialError) {
        if matches!(error, DialError::Denied { .. }) {
            bump(&self.shared.tally.crowded);
        }
        let now = Instant::now();
        let Some(member) = self.members.get(&peer) else { return };
        // The other side may have come in meanwhile; then the dial no longer matters.
        if member.connected.is_some() || matches!(error, DialError::DialPeerConditionFalse(_)) {
            return;
        }
        member.unreached(&self.redial, now);
        let (id, blocked) = (member.id, member.standing.blocked(now).is_some());
        if !blocked {
            self.members.status(&id, |status| status.state = after_failed_dial(error));
        }
        debug!(member = id.short(), "not reached");
    }

    /// Hands over an event that may be lost, since the board holds the same.
    fn tell(&self, event: Inbound) {
        if self.inbound.try_send(event).is_err() {
            debug!("the node is behind: a change of connection was not handed over");
        }
    }
}
