//! A node in rounds: the protocol's state machine over this node's vault and network (docs/protocol.md §9).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hedgerow_protocol::{
    document::{Charter, NodeSecret, Signed},
    id::{Digest, Id, NodeId},
    limits::BESIDE_BYTES,
    privacy::{Account, AuthoriseError, Charge, Permit},
    round::{Ask, Begun, Declined, Delivery, Host, Mark, NoisedShare, Party, Roster, Step, Told},
    statistic::{Exact, Ground, Plan, Query},
    time::Timestamp,
    wire::{self, Announcement, Blob, Reply, Request, Spreading},
};
use tokio::time::Instant;

use super::blobs::Blobs;
use crate::{
    error::NodeError,
    net::{Network, RequestError},
    node::{Federation, Node, now, random},
};

/// How long a member tries to hand its share to an aggregator before it replies without.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(25);
/// How long a party that is not connected is waited for.
pub(super) const ABSENT: Duration = Duration::from_secs(4);
/// Pause before what could not be sent is sent again.
const AGAIN: Duration = Duration::from_millis(400);
/// Shares leave on the ticks of this clock, counted from the ask's arrival, so that how long the count and the
/// noise took does not tell what they were.
const TICK: Duration = Duration::from_millis(250);

/// Everything a node does in rounds.
pub(super) struct Rounds {
    node: Arc<Node>,
    network: Network,
    party: Mutex<Party>,
    /// Held while records are counted, one count at a time. Other asks do not wait for it: how long they take says
    /// nothing of records.
    counting: Mutex<()>,
    blobs: Mutex<Blobs>,
}

impl Rounds {
    pub(super) fn new(node: Arc<Node>, network: Network) -> Self {
        Self { node, network, party: Mutex::default(), counting: Mutex::default(), blobs: Mutex::default() }
    }

    /// Rounds that are open here.
    pub(super) fn aggregating(&self) -> usize {
        self.party().aggregating()
    }

    /// Takes the part of a blob.
    pub(super) fn put(&self, from: NodeId, blob: Blob, offset: u64, part: &[u8]) -> Reply {
        let held = self.blobs().put(from, blob, offset, part, std::time::Instant::now());
        held.map_or(Reply::Declined { why: wire::Declined::Busy }, |held| Reply::Put { held })
    }

    /// Hands out the part of a blob.
    pub(super) fn rest(&self, from: NodeId, blob: Blob, offset: u64) -> (Reply, Vec<u8>) {
        match self.blobs().part(from, blob, offset, std::time::Instant::now()) {
            Some(part) => (Reply::Rest, part),
            None => (Reply::Declined { why: wire::Declined::NotHere }, Vec::new()),
        }
    }

    /// Answers what a member asks, with what is too long to be beside the reply kept for it to fetch.
    pub(super) async fn respond(
        self: &Arc<Self>,
        from: NodeId,
        ask: Ask,
        blob: Option<Blob>,
        beside: Vec<u8>,
    ) -> (Reply, Vec<u8>) {
        let declined = |why| (Reply::Declined { why }, Vec::new());
        let beside = match blob {
            None => beside,
            Some(blob) => match self.blobs().take(from, blob) {
                Some(bytes) => bytes,
                None => return declined(wire::Declined::NotHere),
            },
        };
        let Some((told, beside)) = self.handle(from, ask, beside).await else {
            return declined(wire::Declined::Busy);
        };
        let told = Box::new(told);
        if beside.len() <= BESIDE_BYTES {
            return (Reply::Round { told, blob: None }, beside);
        }
        match self.blobs().stage(from, beside, std::time::Instant::now()) {
            Some(blob) => (Reply::Round { told, blob: Some(blob) }, Vec::new()),
            None => declined(wire::Declined::Busy),
        }
    }

    /// What this node says to `ask`, after it delivered what the ask had it deliver. None if its disk failed.
    async fn handle(self: &Arc<Self>, from: NodeId, ask: Ask, beside: Vec<u8>) -> Option<(Told, Vec<u8>)> {
        let arrived = Instant::now();
        let of_records = matches!(ask, Ask::Contribute { .. });
        let Step { deliver, told, beside } = self.step(from, ask, beside).await?;
        if of_records {
            let ticks = arrived.elapsed().as_millis() / TICK.as_millis() + 1;
            let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
            tokio::time::sleep_until(arrived + TICK.saturating_mul(ticks)).await;
        }
        let until = Instant::now() + DELIVERY_DEADLINE;
        let deliveries = deliver.into_iter().map(|delivery| self.deliver(delivery, until));
        futures::future::join_all(deliveries).await;
        Some((told, beside))
    }

    async fn step(self: &Arc<Self>, from: NodeId, ask: Ask, beside: Vec<u8>) -> Option<Step> {
        let rounds = Arc::clone(self);
        // It counts, draws noise and verifies proofs: not for the threads that serve the network.
        let step = tokio::task::spawn_blocking(move || rounds.step_now(from, ask, beside));
        match step.await {
            Ok(Ok(step)) => Some(step),
            Ok(Err(error)) => {
                tracing::error!(%error, "this node could not take part in a round");
                None
            }
            Err(error) => {
                tracing::error!(%error, "a round's task ended");
                None
            }
        }
    }

    fn step_now(&self, from: NodeId, ask: Ask, beside: Vec<u8>) -> Result<Step, NodeError> {
        let federation = self.node.federation()?;
        if let Ask::Convene { query } = &ask
            && let Some(release) = self.known(query, federation)?
        {
            return Ok(Step { deliver: Vec::new(), told: Told::Known { release }, beside: Vec::new() });
        }
        self.node.ensure_ledger_known()?;
        let mut desk = Desk { node: &self.node, federation };
        let _counting = matches!(ask, Ask::Contribute { .. })
            .then(|| self.counting.lock().unwrap_or_else(PoisonError::into_inner));
        let begun = self.party().begin(from, ask, beside, now(), &mut desk, &mut random())?;
        match begun {
            Begun::Done(step) => Ok(step),
            Begun::Count(count) => {
                let counted = count.run(&mut desk, &mut random())?;
                Ok(self.party().finish(counted))
            }
        }
    }

    fn party(&self) -> std::sync::MutexGuard<'_, Party> {
        self.party.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The release that answers `query` already, if this node has it.
    fn known(
        &self,
        query: &hedgerow_protocol::document::Envelope,
        federation: &Federation,
    ) -> Result<Option<Announcement>, NodeError> {
        let Ok(query) = query.clone().open::<Query>() else { return Ok(None) };
        let Ok(plan) = Plan::new(query.document(), &federation.charter) else { return Ok(None) };
        let Some(id) = self.node.rounds.released(&plan.id())? else { return Ok(None) };
        let held = self.node.documents.read(&id)?;
        Ok(held.map(|json| Announcement { kind: Spreading::Release, id, bytes: json.len() as u64 }))
    }

    /// Hands a share to an aggregator, again and again until it is taken, refused or too late.
    async fn deliver(self: &Arc<Self>, delivery: Delivery, until: Instant) {
        let Delivery { to, ask, beside } = delivery;
        let absent = Instant::now() + ABSENT;
        loop {
            match self.ask(to, ask.clone(), &beside).await {
                Ok((Told::Kept, _)) => return,
                Err(error @ (RequestError::NotConnected | RequestError::Blocked))
                    if Instant::now() > absent =>
                {
                    tracing::warn!(aggregator = to.short(), %error, "an aggregator could not be reached");
                    return;
                }
                Ok((Told::Declined { why: Declined::Busy }, _)) | Err(_) if Instant::now() < until => {
                    tokio::time::sleep(AGAIN).await;
                }
                Ok((other, _)) => {
                    tracing::warn!(
                        aggregator = to.short(),
                        ?other,
                        "an aggregator did not take this node's share"
                    );
                    return;
                }
                Err(error) => {
                    tracing::warn!(aggregator = to.short(), %error, "an aggregator could not be reached");
                    return;
                }
            }
        }
    }

    /// Asks one party, who may be this node itself.
    pub(super) async fn ask(
        self: &Arc<Self>,
        to: NodeId,
        ask: Ask,
        beside: &[u8],
    ) -> Result<(Told, Vec<u8>), RequestError> {
        if to == self.node.id() {
            let handled = Box::pin(self.handle(to, ask, beside.to_vec())).await;
            return Ok(handled.unwrap_or((Told::Declined { why: Declined::Busy }, Vec::new())));
        }
        let (blob, beside) = if beside.len() > BESIDE_BYTES {
            (Some(self.upload(to, beside).await?), Vec::new())
        } else {
            (None, beside.to_vec())
        };
        match self.network.exchange(to, Request::Round { ask: Box::new(ask), blob }, beside).await? {
            (Reply::Round { told, blob: None }, beside) => Ok((*told, beside)),
            (Reply::Round { told, blob: Some(blob) }, _) => Ok((*told, self.download(to, blob).await?)),
            _ => Err(RequestError::Unanswered),
        }
    }

    /// Puts `bytes` at `to`, in parts, going on where an earlier try was broken off.
    async fn upload(&self, to: NodeId, bytes: &[u8]) -> Result<Blob, RequestError> {
        let blob = Blob { id: Digest::of(bytes), bytes: bytes.len() as u64 };
        let mut offset = 0;
        let mut part = Vec::new();
        loop {
            let request = Request::Put { blob, offset };
            let (Reply::Put { held }, _) = self.network.exchange(to, request, part).await? else {
                return Err(RequestError::Unanswered);
            };
            if held >= blob.bytes {
                return Ok(blob);
            }
            offset = held;
            let skip = usize::try_from(offset).unwrap_or(usize::MAX);
            part = bytes.iter().skip(skip).take(BESIDE_BYTES).copied().collect();
        }
    }

    async fn download(&self, from: NodeId, blob: Blob) -> Result<Vec<u8>, RequestError> {
        if blob.bytes > hedgerow_protocol::limits::BLOB_BYTES as u64 {
            return Err(RequestError::Unanswered);
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < blob.bytes {
            let request = Request::Rest { blob, offset: bytes.len() as u64 };
            match self.network.exchange(from, request, Vec::new()).await? {
                (Reply::Rest, part) if !part.is_empty() => bytes.extend(part),
                _ => return Err(RequestError::Unanswered),
            }
        }
        if Digest::of(&bytes) == blob.id { Ok(bytes) } else { Err(RequestError::Unanswered) }
    }

    fn blobs(&self) -> std::sync::MutexGuard<'_, Blobs> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This node's key, charter, records, ledger and disk, as a party of a round needs them.
struct Desk<'a> {
    node: &'a Node,
    federation: &'a Federation,
}

impl Host for Desk<'_> {
    type Error = NodeError;

    fn secret(&self) -> &NodeSecret {
        self.node.secret()
    }

    fn charter(&self) -> &Signed<Charter> {
        &self.federation.charter
    }

    fn admit(&self, query: &Signed<Query>, at: Timestamp) -> Result<Plan, Ground> {
        let plan = self.node.admit(query, at)?;
        let q = query.document();
        // A plan that was paid for before may cost nothing: whether it does is seen when the vector is asked for.
        let before = matches!(self.node.rounds.kept(&plan.id()), Ok(Some(_)));
        let asker = query.sole_signer().map_err(|_| Ground::NotPlannable)?;
        let account = Account { purpose: &q.purpose, asker, years: plan.years() };
        if !before && self.federation.ledger.look(|a| a.affordable(account, q.epsilon)).is_err() {
            return Err(Ground::OverBudget);
        }
        Ok(plan)
    }

    fn authorise(&mut self, charge: &Charge) -> Result<Permit, AuthoriseError<NodeError>> {
        self.federation.ledger.authorise(charge).map_err(|error| match error {
            AuthoriseError::OverBudget(over) => AuthoriseError::OverBudget(over),
            AuthoriseError::AlreadyCharged => AuthoriseError::AlreadyCharged,
            AuthoriseError::NotWritten(error) => AuthoriseError::NotWritten(error.into()),
        })
    }

    fn count(&mut self, plan: &Plan) -> Result<Exact, NodeError> {
        self.node.exact(plan)
    }

    fn kept(&mut self, plan: &Id<Plan>) -> Result<Option<NoisedShare>, NodeError> {
        Ok(self.node.rounds.kept(plan)?)
    }

    fn keep(&mut self, share: &NoisedShare) -> Result<(), NodeError> {
        Ok(self.node.rounds.keep(share)?)
    }

    fn mark(&mut self, round: &Id<Roster>) -> Result<Option<Mark>, NodeError> {
        Ok(self.node.rounds.mark(round)?)
    }

    fn set_mark(&mut self, round: &Id<Roster>, mark: Mark) -> Result<(), NodeError> {
        Ok(self.node.rounds.set_mark(round, mark)?)
    }
}
