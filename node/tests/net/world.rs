//! Honest nodes for the tests, and a hostile one that speaks libp2p directly.

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use hedgerow_node::net::{Inbound, NetConfig, Network, Peer, PeerState};
use hedgerow_protocol::{
    document::NodeSecret,
    id::{Digest, NodeId},
    wire::{self, Announcement, Reply, Request, Spreading},
};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder,
    gossipsub::{self, IdentTopic},
    identity::Keypair,
    noise,
    request_response::{self, ProtocolSupport},
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use tokio::sync::mpsc;

pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";

const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) fn charter() -> Digest {
    Digest::of(b"the charter of the tests")
}

pub(crate) fn secret(n: u8) -> NodeSecret {
    NodeSecret::from_seed(&[n; 32])
}

pub(crate) fn id(n: u8) -> NodeId {
    secret(n).node_id()
}

pub(crate) fn announcement(n: u64) -> Announcement {
    Announcement { kind: Spreading::Batch, id: Digest::of(&n.to_be_bytes()), bytes: n }
}

pub(crate) const READ: Request = Request::Inventory { after: 0 };

/// Waits until `done`, and fails with `what` when it is not within a generous time.
pub(crate) async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let waited = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waited).await.is_ok(), "never happened: {what}");
}

pub(crate) struct Node {
    pub(crate) n: u8,
    pub(crate) net: Network,
    pub(crate) inbound: mpsc::Receiver<Inbound>,
}

impl Node {
    /// A node that listens on `listen`, with members whose addresses are not known yet.
    pub(crate) async fn start(n: u8, listen: &str, members: &[u8]) -> Self {
        Self::start_with(n, listen, members, |_| {}).await
    }

    pub(crate) async fn start_with(
        n: u8,
        listen: &str,
        members: &[u8],
        change: impl FnOnce(&mut NetConfig),
    ) -> Self {
        let members = members.iter().map(|m| Peer { id: id(*m), addresses: Vec::new() }).collect();
        let mut config = NetConfig::new(vec![listen.to_owned()], members, charter());
        change(&mut config);
        let (events, inbound) = mpsc::channel(64);
        let net = Network::start(&secret(n), config, events).await.unwrap();
        Self { n, net, inbound }
    }

    pub(crate) fn address(&self) -> String {
        self.net.listening().first().unwrap().clone()
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer { id: id(self.n), addresses: vec![self.address()] }
    }

    pub(crate) fn state(&self, n: u8) -> PeerState {
        self.net.peers().into_iter().find(|peer| peer.id == id(n)).unwrap().state
    }

    pub(crate) async fn connected(&self, n: u8) {
        eventually("connected", || self.state(n) == PeerState::Connected).await;
    }

    /// Whether that member is a neighbour in the mesh.
    pub(crate) fn is_neighbour(&self, n: u8) -> bool {
        self.net.peers().iter().any(|peer| peer.id == id(n) && peer.neighbour)
    }

    /// Answers every request with an empty inventory from now on, in a task of its own, and passes on the
    /// announcements.
    pub(crate) fn answering(&mut self) -> mpsc::UnboundedReceiver<(NodeId, NodeId, Announcement)> {
        let (_, empty) = mpsc::channel(1);
        let mut inbound = std::mem::replace(&mut self.inbound, empty);
        let (heard, hearing) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(event) = inbound.recv().await {
                match event {
                    Inbound::Request { reply, .. } => reply.reply(&empty_inventory(), Vec::new()).unwrap(),
                    Inbound::Announced { from, via, announcement } => {
                        let _ = heard.send((from, via, announcement));
                    }
                    Inbound::Connected(_) | Inbound::Disconnected(_) => {}
                }
            }
        });
        hearing
    }
}

pub(crate) fn empty_inventory() -> Reply {
    Reply::Inventory { entries: Vec::new() }
}

/// Tells every node where the others are, and waits until all are connected.
pub(crate) async fn introduce(nodes: &[&Node]) {
    let list: Vec<Peer> = nodes.iter().map(|node| node.peer()).collect();
    for node in nodes {
        node.net.replace_members(list.clone()).await.unwrap();
    }
    for node in nodes {
        for other in nodes.iter().filter(|other| other.n != node.n) {
            node.connected(other.n).await;
        }
    }
}

/// Announces until somebody was there to be told: a link is up a moment before its gossip is.
pub(crate) async fn announce(node: &Node, announcement: &Announcement) {
    let told = async {
        while node.net.announce(announcement.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
}

/// The next announcement.
pub(crate) async fn hear(
    hearing: &mut mpsc::UnboundedReceiver<(NodeId, NodeId, Announcement)>,
) -> (NodeId, NodeId, Announcement) {
    tokio::time::timeout(PATIENCE, hearing.recv()).await.expect("nothing was heard").unwrap()
}

/// A libp2p node without any of our bounds: it writes whatever bytes it likes.
#[derive(NetworkBehaviour)]
pub(crate) struct Raw {
    pub(crate) exchange: request_response::Behaviour<RawCodec>,
    pub(crate) gossip: gossipsub::Behaviour,
}

pub(crate) struct Hostile {
    pub(crate) swarm: Swarm<Raw>,
}

impl Hostile {
    pub(crate) fn new(n: u8) -> Self {
        Self::signing_as(n, Some(n))
    }

    /// Connects with the key of `n`, and signs its gossip with the key of `author` or not at all.
    pub(crate) fn signing_as(n: u8, author: Option<u8>) -> Self {
        let keypair = Keypair::ed25519_from_bytes(secret(n).seed()).unwrap();
        let swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_quic()
            .with_behaviour(|_| {
                let (author, validation) = match author {
                    Some(author) => {
                        let author = Keypair::ed25519_from_bytes(secret(author).seed()).unwrap();
                        (gossipsub::MessageAuthenticity::Signed(author), gossipsub::ValidationMode::Strict)
                    }
                    None => (gossipsub::MessageAuthenticity::Anonymous, gossipsub::ValidationMode::Anonymous),
                };
                let config = gossipsub::ConfigBuilder::default()
                    .max_transmit_size(1024 * 1024)
                    .validation_mode(validation)
                    .message_id_fn(|m| gossipsub::MessageId::new(Digest::of(&m.data).as_bytes()))
                    .build()
                    .unwrap();
                let mut gossip = gossipsub::Behaviour::new(author, config).unwrap();
                gossip.subscribe(&topic()).unwrap();
                let protocol = StreamProtocol::new(wire::EXCHANGE_PROTOCOL);
                let exchange = request_response::Behaviour::with_codec(
                    RawCodec,
                    [(protocol, ProtocolSupport::Full)],
                    request_response::Config::default().with_request_timeout(Duration::from_secs(60)),
                );
                Raw { exchange, gossip }
            })
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        Self { swarm }
    }

    pub(crate) async fn listen(&mut self, address: &str) -> String {
        self.swarm.listen_on(address.parse().unwrap()).unwrap();
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = self.swarm.select_next_some().await {
                return address.to_string();
            }
        }
    }

    /// Dials a node by its key.
    pub(crate) fn dial(&mut self, node: &Node) -> PeerId {
        let address: Multiaddr = node.address().parse().unwrap();
        let keypair = Keypair::ed25519_from_bytes(secret(node.n).seed()).unwrap();
        let peer = keypair.public().to_peer_id();
        self.swarm.add_peer_address(peer, address.clone());
        self.swarm.dial(address.with_p2p(peer).unwrap()).unwrap();
        peer
    }

    /// Runs until `done` says so of an event.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut done: impl FnMut(SwarmEvent<RawEvent>) -> Option<T>,
    ) -> T {
        let run = async {
            loop {
                if let Some(found) = done(self.swarm.select_next_some().await) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, run).await.unwrap_or_else(|_| panic!("never happened: {what}"))
    }

    /// Runs while waiting for something elsewhere.
    pub(crate) async fn while_waiting<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        loop {
            tokio::select! {
                done = &mut other => return done,
                _ = self.swarm.select_next_some() => {}
            }
        }
    }

    /// Runs until the node's gossip is joined.
    pub(crate) async fn join(&mut self, node: &Node) -> PeerId {
        let peer = self.dial(node);
        self.until("subscribed", |event| {
            matches!(event, SwarmEvent::Behaviour(RawEvent::Gossip(gossipsub::Event::Subscribed { .. })))
                .then_some(())
        })
        .await;
        peer
    }

    pub(crate) fn publish(&mut self, data: Vec<u8>) {
        self.swarm.behaviour_mut().gossip.publish(topic(), data).unwrap();
    }
}

pub(crate) fn topic() -> IdentTopic {
    IdentTopic::new(wire::topic(&charter()))
}

/// A frame as an honest node writes it.
pub(crate) fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    // Nothing is beside it.
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(bytes);
    frame
}

/// The start of a frame; after it a hostile sender goes silent and keeps the stream.
pub(crate) const STALL: &[u8] = &[0, 0, 0, 99, 0, 0, 0, 0, b'{'];

/// Writes bytes as they are, and reads whatever comes.
#[derive(Clone, Default)]
pub(crate) struct RawCodec;

impl request_response::Codec for RawCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await?;
        if bytes == STALL {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }
}
