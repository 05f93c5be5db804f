//! The network: requests between two members and announcements to all (docs/protocol.md §8, docs/network.md).
//!
//! This module is the only one that names libp2p. It speaks nothing but [`Request`], [`Reply`] and
//! [`Announcement`], with members of the charter and nobody else, and knows nothing of what is stored.
//!
//! One task owns the swarm; handles and events go through bounded channels, and where each is made stands what
//! happens when it is full.

mod actor;
mod admission;
mod behaviour;
mod counters;
mod exchange;
mod gossip;
pub mod limits;
mod members;
mod transport;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use hedgerow_protocol::{
    codec::CodecError,
    document::NodeSecret,
    id::{Digest, NodeId},
    wire::{Announcement, Message, Reply, Request},
};
use tokio::sync::{mpsc, oneshot};

use counters::Tally;
pub use counters::{Counters, Dropped};
use exchange::Frame;
use limits::{Conduct, Deadlines, Fault, Rates, Redial};

/// Commands under way to the task. When it is full the caller waits: callers are this node's own.
const COMMANDS: usize = 64;

/// A member and where it is said to be reached.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The member.
    pub id: NodeId,
    /// Multiaddrs, as in the charter. One that is not usable is skipped and shown in [`PeerStatus::skipped`]:
    /// a member must not be able to stop every other node with a bad address.
    pub addresses: Vec<String>,
}

/// What the network is started with.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// Multiaddrs to listen on: `/ip4/0.0.0.0/udp/4001/quic-v1`, `/ip4/0.0.0.0/tcp/4001`. May be empty.
    pub listen: Vec<String>,
    /// The members; this node itself may be among them and is left out.
    pub members: Vec<Peer>,
    /// Names the federation's gossip topic.
    pub charter: Digest,
    /// How long replies may take.
    pub deadlines: Deadlines,
    /// What a member may send.
    pub rates: Rates,
    /// When a member is blocked.
    pub conduct: Conduct,
    /// When a member is dialled again.
    pub redial: Redial,
}

impl NetConfig {
    /// A configuration with the default deadlines, rates, conduct and pauses.
    pub fn new(listen: Vec<String>, members: Vec<Peer>, charter: Digest) -> Self {
        Self {
            listen,
            members,
            charter,
            deadlines: Deadlines::default(),
            rates: Rates::default(),
            conduct: Conduct::default(),
            redial: Redial::default(),
        }
    }
}

/// Why the network does not start, or does not take an announcement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// Not an address to listen on.
    #[error("{address:?} is not an address to listen on: {why}")]
    Address {
        /// As configured.
        address: String,
        /// The form that is understood.
        why: &'static str,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {why}. Stop the program that uses this port (another node?), or choose \
         another port or an address of this machine"
    )]
    Listen {
        /// As configured.
        address: String,
        /// What the system said.
        why: String,
    },
    /// A part of the network refused its settings or key.
    #[error("the network could not be set up: {0}")]
    Setup(String),
    /// The announcement is over its bound.
    #[error("the announcement is {0}")]
    TooLong(#[from] CodecError),
    /// More announcements than other members take from one author.
    #[error("too many announcements at once: other members would ignore this one; announce it later")]
    TooFast,
    /// No member is connected.
    #[error("no member is connected to hear the announcement; members learn of it when they next catch up")]
    Alone,
    /// Every connected member is behind with earlier announcements.
    #[error("no member could take the announcement; members learn of it when they next catch up")]
    Behind,
    /// The network was shut down.
    #[error("the network is shut down")]
    Closed,
}

/// Why a request has no reply. None of these says that the request was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request is over its bound.
    #[error("the request is {0}")]
    TooLong(#[from] CodecError),
    /// Not in the charter, or this node itself.
    #[error("{0} is not another member of the charter")]
    NotMember(NodeId),
    /// Blocked for its conduct.
    #[error("this member is blocked for its conduct; see the peers' status")]
    Blocked,
    /// Not connected now. The status of the peer says why.
    #[error("this member is not connected now; see the peers' status")]
    NotConnected,
    /// Too many of our own requests to this member are under way.
    #[error("{limit} requests to this member are under way; wait for their replies", limit = limits::ASKED_PER_PEER)]
    TooMany,
    /// No reply before the deadline.
    #[error("no reply came in time")]
    Late,
    /// The connection ended before the reply.
    #[error("the connection ended before the reply")]
    Lost,
    /// The stream ended without a reply: the other side was full or did not take the request.
    #[error("the member ended the exchange without a reply")]
    Unanswered,
    /// The other side does not speak this protocol.
    #[error("the member does not speak this protocol; it may run another version")]
    Unsupported,
    /// A reply that breaks the rules; it was counted and charged.
    #[error("the reply was refused: {0}")]
    Broken(Fault),
    /// The network was shut down.
    #[error("the network is shut down")]
    Closed,
}

/// What the network tells the node. Delivered by `try_send` on the channel given to [`Network::start`]: when
/// that is full a request is answered `Busy`, an announcement is ignored and not forwarded, both are counted as
/// `queue_full`, and `Connected` and `Disconnected` are dropped, since [`Network::peers`] holds the truth.
#[derive(Debug)]
pub enum Inbound {
    /// A member asks.
    Request {
        /// Who asks, proven by the connection.
        from: NodeId,
        /// What.
        request: Request,
        /// Beside it.
        beside: Vec<u8>,
        /// Where the reply goes.
        reply: Responder,
    },
    /// A member announces. It has been forwarded to others already.
    Announced {
        /// Who signed it.
        from: NodeId,
        /// Who sent it here, which may be another.
        via: NodeId,
        /// What.
        announcement: Announcement,
    },
    /// A member is connected.
    Connected(NodeId),
    /// A member is no longer connected.
    Disconnected(NodeId),
}

/// Takes the reply to one request. Dropped without one, the other side gets `Busy`; likewise at the deadline.
#[derive(Debug)]
pub struct Responder(oneshot::Sender<Frame>);

impl Responder {
    /// Replies. An error means that the reply is over its bound and the other side gets `Busy`; that the
    /// other side is gone is no error.
    pub fn reply(self, reply: &Reply, beside: Vec<u8>) -> Result<(), CodecError> {
        let _ = self.0.send(Frame::reply(reply, beside)?);
        Ok(())
    }
}

/// How it stands with one member: blocked is not unknown is not unreachable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerState {
    /// Connected.
    Connected,
    /// Not connected yet; the first dial is under way or waits its turn.
    Trying,
    /// No usable address is known; this node waits to be called.
    NoAddress,
    /// The last dial failed, or the last connection ended. Dialled again with a pause.
    Unreachable {
        /// What happened. May hold an address of the member: for the operator, not for logs.
        why: String,
    },
    /// Another key answered at the member's address.
    WrongKey,
    /// Disconnected for its conduct, neither dialled nor let in.
    Blocked {
        /// The fault that was one too many.
        fault: Fault,
        /// Time until it is dialled again, when last updated.
        remaining: Duration,
    },
}

/// One member, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// The member.
    pub id: NodeId,
    /// Connected, and if not, why not.
    pub state: PeerState,
    /// Whether announcements pass straight between the two, as of the last second. In a large federation not
    /// every member is a neighbour of every other; one that is not learns of announcements a little later.
    pub neighbour: bool,
    /// Addresses that are not usable, with the reason.
    pub skipped: Vec<String>,
    /// Requests of this node that it answered.
    pub answered: u64,
    /// Its requests that reached this node's work.
    pub asked: u64,
    /// Announcements that it signed and that were taken.
    pub announced: u64,
    /// Faults that were charged to it.
    pub faults: u64,
}

/// A handle on the running network.
#[derive(Debug, Clone)]
pub struct Network {
    commands: mpsc::Sender<Command>,
    deadlines: Deadlines,
    shared: Arc<Shared>,
}

/// What handles read without asking the task.
#[derive(Debug, Default)]
struct Shared {
    tally: Arc<Tally>,
    listening: RwLock<Vec<String>>,
    peers: RwLock<BTreeMap<NodeId, PeerStatus>>,
}

/// What a handle asks of the task.
#[derive(Debug)]
enum Command {
    Request {
        to: NodeId,
        frame: Frame,
        deadline: Duration,
        done: oneshot::Sender<Result<(Reply, Vec<u8>), RequestError>>,
    },
    Announce {
        bytes: Vec<u8>,
        done: oneshot::Sender<Result<(), NetError>>,
    },
    Blame {
        who: NodeId,
    },
    Members {
        members: Vec<Peer>,
        done: oneshot::Sender<()>,
    },
    Shutdown {
        done: oneshot::Sender<()>,
    },
}

impl Network {
    /// Starts the network; returns once every address is listened on. Call it inside a tokio runtime. It
    /// ends with [`Network::shutdown`] or when every handle is dropped.
    pub async fn start(
        secret: &NodeSecret,
        config: NetConfig,
        inbound: mpsc::Sender<Inbound>,
    ) -> Result<Self, NetError> {
        let (commands, orders) = mpsc::channel(COMMANDS);
        let shared = Arc::new(Shared::default());
        let deadlines = config.deadlines.clone();
        let actor = actor::Actor::start(secret, config, orders, inbound, shared.clone()).await?;
        tokio::spawn(actor.run());
        Ok(Self { commands, deadlines, shared })
    }

    /// Asks one member, and waits for its reply until the deadline of this kind of request.
    pub async fn request(&self, to: NodeId, request: Request) -> Result<Reply, RequestError> {
        self.exchange(to, request, Vec::new()).await.map(|(reply, _)| reply)
    }

    /// The same with bytes beside the request and the reply.
    pub async fn exchange(
        &self,
        to: NodeId,
        request: Request,
        beside: Vec<u8>,
    ) -> Result<(Reply, Vec<u8>), RequestError> {
        let deadline = self.deadlines.of(&request);
        let frame = Frame::request(&request, beside)?;
        let (done, reply) = oneshot::channel();
        let command = Command::Request { to, frame, deadline, done };
        self.commands.send(command).await.map_err(|_| RequestError::Closed)?;
        reply.await.map_err(|_| RequestError::Closed)?
    }

    /// Tells all members. Best effort: Ok means that it left, not that it arrived. Said again within a
    /// minute, it is not sent again.
    pub async fn announce(&self, announcement: Announcement) -> Result<(), NetError> {
        let bytes = announcement.to_bytes()?;
        let (done, sent) = oneshot::channel();
        self.commands.send(Command::Announce { bytes, done }).await.map_err(|_| NetError::Closed)?;
        sent.await.map_err(|_| NetError::Closed)?
    }

    /// Charges a member with something malformed that was found beyond the network: a document it handed out that
    /// does not verify.
    pub async fn blame(&self, who: NodeId) {
        // Closed means that there is nobody left to charge.
        let _ = self.commands.send(Command::Blame { who }).await;
    }

    /// Counts what was dropped of that which documents bring.
    pub fn count(&self, what: Dropped, times: u64) {
        self.shared.tally.count(what, times);
    }

    /// From now on these are the members: others are disconnected and refused as strangers.
    pub async fn replace_members(&self, members: Vec<Peer>) -> Result<(), NetError> {
        let (done, replaced) = oneshot::channel();
        self.commands.send(Command::Members { members, done }).await.map_err(|_| NetError::Closed)?;
        replaced.await.map_err(|_| NetError::Closed)
    }

    /// The addresses listened on, with the ports that the system chose where the configuration said 0.
    pub fn listening(&self) -> Vec<String> {
        self.shared.listening.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every other member, in the order of their ids.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.shared.peers.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// What was dropped so far, and why.
    pub fn counters(&self) -> Counters {
        self.shared.tally.snapshot()
    }

    /// Closes every connection and port; returns when that is done. Other handles then get `Closed`.
    pub async fn shutdown(self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Shutdown { done }).await.is_ok() {
            let _ = closed.await;
        }
    }
}
