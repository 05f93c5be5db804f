//! The running node: the network's events meet the vault (docs/operating.md).

use std::{sync::Arc, time::Duration};

use hedgerow_protocol::{
    codec::CodecError,
    document::{Envelope, Signed},
    id::NodeId,
    release::Release,
    statistic::{Mode, Plan, Query},
    wire::{Announcement, Declined, Reply, Request, Spreading},
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use super::{
    carry::{self, Carrier},
    lead::lead,
    round::Rounds,
    spread::Spread,
    statistic::AnswerError,
};
use crate::{
    error::{Class, NodeError},
    net::{Inbound, NetConfig, Network, Peer, Responder},
    node::{Node, now},
};

/// Events of the network that wait to be served. When it is full, requests are answered `Busy` and
/// announcements ignored, by the network itself.
const EVENTS: usize = 256;
/// Requests served at once; more wait in the queue above. Each ends soon: it reads or counts, and waits for nobody.
const REQUESTS: usize = 64;
/// Asks of rounds served at once; one more is answered `Busy`.
const ASKS: usize = 256;
/// Announcements and catch-ups under way at once; further announcements are left to the next catch-up, so that
/// members who are slow to hand out documents cannot keep requests from being served.
const FETCHES: usize = 512;
/// Answers leave on the ticks of this clock, counted from the query's arrival, so that how long a count took
/// does not tell how much there was to count.
const ANSWER_TICK: Duration = Duration::from_millis(250);
/// How often what each connected member holds is compared with what is here: gossip is quick, this is certain.
const CATCH_UP: Duration = Duration::from_secs(20);

/// A node with its network.
pub struct Service {
    node: Arc<Node>,
    network: Network,
    spread: Arc<Spread>,
    rounds: Arc<Rounds>,
    _events: JoinSet<()>,
}

impl Service {
    /// Starts the network of a node that has joined a charter; returns once it listens.
    pub async fn start(node: Arc<Node>, listen: Vec<String>) -> Result<Self, NodeError> {
        let charter = &node.federation()?.charter;
        let members = charter
            .document()
            .members
            .iter()
            .map(|m| Peer { id: m.id, addresses: m.addresses.clone() })
            .collect();
        let config = NetConfig::new(listen, members, charter.id().digest());
        let (sender, receiver) = mpsc::channel(EVENTS);
        let network = Network::start(node.secret(), config, sender).await?;
        let spread = Arc::new(Spread::new(Arc::clone(&node), network.clone()));
        let mut events = JoinSet::new();
        let rounds = Arc::new(Rounds::new(Arc::clone(&node), network.clone()));
        let carrier = Arc::new(Carrier::new(Arc::clone(&node), network.clone(), Arc::clone(&spread)));
        if node.pseudonym().is_ok() {
            events.spawn(Arc::clone(&carrier).run());
        }
        events.spawn(serve(Arc::clone(&node), Arc::clone(&spread), Arc::clone(&rounds), carrier, receiver));
        events.spawn(catch_up(network.clone(), Arc::clone(&spread)));
        Ok(Self { node, network, spread, rounds, _events: events })
    }

    /// The node.
    pub const fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The network.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Asks the federation, in a round or each member for itself, as the query says. `told` hears how far it is.
    pub async fn ask(
        &self,
        query: Query,
        told: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Signed<Release>, NodeError> {
        let (query, plan) = self.node.question(query)?;
        let release = match plan.mode() {
            Mode::Local => self.ask_each(query, plan, told).await?,
            Mode::Round => lead(&self.node, &self.rounds, &self.spread, (query, plan), told).await?,
        };
        // It is paid for: whoever asked gets it even if it could not be kept or told.
        if let Err(error) = self.publish_release(&release).await {
            tracing::error!(%error, "the release could not be kept for the other members");
        }
        Ok(release)
    }

    /// Asks every member and puts the release together. `told` hears how many have answered.
    async fn ask_each(
        &self,
        query: Signed<Query>,
        plan: Plan,
        told: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Signed<Release>, NodeError> {
        let members: Vec<NodeId> =
            self.node.federation()?.charter.document().members.iter().map(|m| m.id).collect();
        let count = members.len() as u64;
        let mut asking = JoinSet::new();
        for member in members {
            let (node, network, envelope) =
                (Arc::clone(&self.node), self.network.clone(), query.envelope().clone());
            asking.spawn(async move {
                let answer = if member == node.id() {
                    tokio::task::spawn_blocking(move || node.answer(envelope, member, now()))
                        .await
                        .ok()
                        .and_then(Result::ok)
                } else {
                    ask_member(&network, member, envelope).await
                };
                (member, answer)
            });
        }
        let mut answers = Vec::new();
        while let Some(answer) = asking.join_next().await {
            answers.extend(answer.ok());
            told(answers.len() as u64, count);
        }
        let node = Arc::clone(&self.node);
        tokio::task::spawn_blocking(move || node.release(&query, &plan, answers, now()))
            .await
            .map_err(|e| NodeError::new(Class::Network, e))?
    }

    /// Rounds that this node aggregates just now.
    pub fn aggregating(&self) -> usize {
        self.rounds.aggregating()
    }

    /// Tells the members of documents; true if one heard it now.
    pub async fn announce(&self, announcements: Vec<Announcement>) -> bool {
        let mut told = false;
        for announcement in announcements {
            told |= self.network.announce(announcement).await.is_ok();
        }
        told
    }

    /// Closes the network; what is served ends when the service is dropped.
    pub async fn stop(&self) {
        self.network.clone().shutdown().await;
    }

    async fn publish_release(&self, release: &Signed<Release>) -> Result<(), NodeError> {
        let json = release.envelope().to_json().map_err(NodeError::input)?;
        let announcement = Announcement::of(Spreading::Release, &json);
        self.node.accept(Spreading::Release, &json, now())?;
        self.announce(vec![announcement]).await;
        Ok(())
    }
}

/// One member's answer, asked twice if it was busy or the connection was just being made.
async fn ask_member(network: &Network, member: NodeId, envelope: Envelope) -> Option<Envelope> {
    for pause in [Duration::from_millis(700), Duration::ZERO] {
        match network.request(member, Request::Query { envelope: envelope.clone() }).await {
            Ok(Reply::Answer { envelope }) => return Some(envelope),
            Ok(other) => tracing::info!(member = member.short(), ?other, "no answer"),
            Err(error) => tracing::info!(member = member.short(), %error, "no answer"),
        }
        tokio::time::sleep(pause).await;
    }
    None
}

async fn serve(
    node: Arc<Node>,
    spread: Arc<Spread>,
    rounds: Arc<Rounds>,
    carrier: Arc<Carrier>,
    mut events: mpsc::Receiver<Inbound>,
) {
    let (mut requests, mut asks, mut fetches) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let mut carried = JoinSet::new();
    while let Some(event) = events.recv().await {
        while requests.len() >= REQUESTS {
            requests.join_next().await;
        }
        while requests.try_join_next().is_some() {}
        while asks.try_join_next().is_some() {}
        while carried.try_join_next().is_some() {}
        while fetches.try_join_next().is_some() {}
        match event {
            Inbound::Request { from, request, beside, reply } => match request {
                // An ask of a round may wait for other members: it does not take a place of those that end soon.
                Request::Round { ask, blob } => {
                    if asks.len() >= ASKS {
                        // Dropped without a reply, the other side gets `Busy`.
                        continue;
                    }
                    let rounds = Arc::clone(&rounds);
                    asks.spawn(async move {
                        let (told, beside) = rounds.respond(from, *ask, blob, beside).await;
                        replied(reply.reply(&told, beside));
                    });
                }
                Request::Carry { to } => {
                    if carried.len() >= carry::WAITING {
                        // Dropped without a reply, the other side gets `Busy`.
                        continue;
                    }
                    let carrier = Arc::clone(&carrier);
                    carried.spawn(async move {
                        let (answer, taken) = carrier.take(from, to, beside).await;
                        replied(reply.reply(&answer, Vec::new()));
                        if let Some(taken) = taken {
                            carrier.carry(taken).await;
                        }
                    });
                }
                Request::Put { blob, offset } => {
                    replied(reply.reply(&rounds.put(from, blob, offset, &beside), Vec::new()))
                }
                Request::Rest { blob, offset } => {
                    let (rest, beside) = rounds.rest(from, blob, offset);
                    replied(reply.reply(&rest, beside));
                }
                request => drop(requests.spawn(respond(Arc::clone(&node), from, request, beside, reply))),
            },
            Inbound::Announced { .. } | Inbound::Connected(_) if fetches.len() >= FETCHES => {}
            Inbound::Announced { from, via, announcement } => {
                let spread = Arc::clone(&spread);
                fetches.spawn(async move { spread.announced(from, via, announcement).await });
            }
            Inbound::Connected(peer) => {
                let spread = Arc::clone(&spread);
                fetches.spawn(async move { spread.catch_up(peer).await });
            }
            Inbound::Disconnected(_) => {}
        }
    }
}

async fn catch_up(network: Network, spread: Arc<Spread>) {
    let mut ticks = tokio::time::interval(CATCH_UP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // One task a member at most: a catch-up that is under way makes the next one return at once.
    let mut tasks = JoinSet::new();
    loop {
        ticks.tick().await;
        while tasks.try_join_next().is_some() {}
        let connected = network.peers().into_iter().filter(|p| p.state == crate::net::PeerState::Connected);
        for peer in connected {
            let spread = Arc::clone(&spread);
            tasks.spawn(async move { spread.catch_up(peer.id).await });
        }
    }
}

async fn respond(node: Arc<Node>, from: NodeId, request: Request, beside: Vec<u8>, responder: Responder) {
    let arrived = Instant::now();
    let is_query = matches!(request, Request::Query { .. });
    let served = tokio::task::spawn_blocking(move || {
        let reply = match request {
            Request::Query { envelope } => match node.answer(envelope, from, now()) {
                Ok(envelope) => Reply::Answer { envelope },
                Err(AnswerError::NotAcceptable) => Reply::Declined { why: Declined::NotAcceptable },
                Err(AnswerError::Node(error)) => {
                    tracing::error!(%error, "a query could not be answered");
                    Reply::Declined { why: Declined::Busy }
                }
            },
            Request::Fetch { id, offset } => {
                node.page(&id, offset).unwrap_or(Reply::Declined { why: Declined::Busy })
            }
            Request::Epochs => node.epochs(),
            Request::Reconcile { epoch } => return node.reconcile(epoch, &beside),
            Request::Describe { ids } => node.describe(&ids),
            Request::Inventory { after } => node.inventory(after),
            Request::Evaluate { blinded } => {
                node.evaluate(from, &blinded).unwrap_or(Reply::Declined { why: Declined::Busy })
            }
            // Served elsewhere.
            Request::Carry { .. } | Request::Put { .. } | Request::Rest { .. } | Request::Round { .. } => {
                Reply::Declined { why: Declined::NotAcceptable }
            }
        };
        (reply, Vec::new())
    });
    let (reply, beside) = served.await.unwrap_or((Reply::Declined { why: Declined::Busy }, Vec::new()));
    if is_query {
        let ticks = arrived.elapsed().as_millis() / ANSWER_TICK.as_millis() + 1;
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        tokio::time::sleep_until(arrived + ANSWER_TICK.saturating_mul(ticks)).await;
    }
    replied(responder.reply(&reply, beside));
}

fn replied(sent: Result<(), CodecError>) {
    if let Err(error) = sent {
        tracing::error!(%error, "a reply is over its bound");
    }
}
