//! How documents reach everyone: announced, fetched, checked, kept; and asked after, since gossip may miss
//! (docs/protocol.md §8).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::DefaultDirectRateLimiter;
use hedgerow_protocol::{
    id::{Digest, NodeId},
    limits,
    reconcile::{self, Compared, Session, compare},
    release::verify,
    statistic::Mode,
    time::Timestamp,
    wire::{Announcement, Declined, Reply, Request, Spreading},
};
use tokio::sync::Semaphore;

use super::{indicator::incoming::is_as_signed, refused::Refused};
use crate::{
    error::{Class, NodeError},
    net::{Dropped, Network, limits::Rate},
    node::{Node, now},
    store::Taken,
};

/// Announced documents that wait to be fetched from one member; further ones are left to the next catch-up.
const WAITING: usize = 16;
/// Batches of keys that nobody is known to vouch for, from one member, before it is charged.
const OF_NOBODY: Rate = Rate::new(10, Duration::from_secs(10));
/// How long one document may take. A member that hands out its pages slowly keeps only its own lane waiting.
const FETCH_DEADLINE: Duration = Duration::from_secs(60);
/// Inventory pages read in one catch-up; a longer one goes on at the next.
const INVENTORY_PAGES: usize = 64;
/// How long one catch-up may take; the next goes on where it was, since what was fetched is here.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(600);

impl Node {
    /// A page of a document, or that it is not here.
    pub(crate) fn page(&self, id: &Digest, offset: u64) -> Result<Reply, NodeError> {
        let page = self.documents.page(id, offset, limits::PAGE_BYTES)?;
        Ok(page.map_or(Reply::Declined { why: Declined::NotHere }, |bytes| Reply::Page { bytes }))
    }

    /// A list of the epochs of which something is held.
    pub(crate) fn epochs(&self) -> Reply {
        let mut epochs = self.documents.epochs();
        // A hundred years and more: the oldest are left to their digest of long ago.
        let over = epochs.len().saturating_sub(limits::EPOCHS);
        Reply::Epochs { epochs: epochs.split_off(over) }
    }

    /// The answer to a message of a reconciliation.
    pub(crate) fn reconcile(&self, epoch: u32, message: &[u8]) -> (Reply, Vec<u8>) {
        match reconcile::answer(self.documents.epoch(epoch), message) {
            Ok(answer) => (Reply::Reconcile, answer),
            Err(_) => (Reply::Declined { why: Declined::NotAcceptable }, Vec::new()),
        }
    }

    /// What some documents are.
    pub(crate) fn describe(&self, ids: &[Digest]) -> Reply {
        match ids.len() <= limits::DESCRIBED {
            true => Reply::Inventory { entries: self.documents.describe(ids) },
            false => Reply::Declined { why: Declined::NotAcceptable },
        }
    }

    /// A page of the inventory.
    pub(crate) fn inventory(&self, after: u64) -> Reply {
        Reply::Inventory { entries: self.documents.inventory(after, limits::INVENTORY_IDS) }
    }

    /// Checks a fetched document and keeps it, or says what is wrong with it. Gives how many of its objects were not taken.
    pub(crate) fn accept(&self, kind: Spreading, json: &[u8], now: Timestamp) -> Result<usize, NodeError> {
        match kind {
            Spreading::Voucher => self.take_voucher(json, now).map(|()| 0),
            Spreading::Enrolled => self.take_enrolled(json, now).map(|()| 0),
            Spreading::Batch => {
                let taken = self.take_batch(json, now)?;
                for (object, why) in &taken.rejected {
                    tracing::warn!(object, %why, "an object of a batch was not taken");
                }
                let Taken { stored, updated, quarantined, rejected, .. } = taken;
                tracing::info!(stored, updated, quarantined, "a batch was taken in");
                Ok(rejected.len())
            }
            Spreading::Release => {
                let charter = self.federation()?.charter.id();
                let report = verify(json, Some(charter));
                if let Some(check) = report.checks().iter().find(|c| !c.holds) {
                    return Err(NodeError::invalid(format!(
                        "a release fails {}: {}",
                        check.name, check.detail
                    )));
                }
                let signed = report.into_verified();
                let asker = signed.as_ref().and_then(|r| r.signers().first().copied());
                let (Some(release), Some(asker)) = (signed, asker) else {
                    return Err(NodeError::invalid("a release does not verify"));
                };
                is_as_signed(&release, json)?;
                if release.document().mode == Mode::Round {
                    // Whoever asks the same again in this period gets this one. Noted first: were the node to stop
                    // between the two, the document would be fetched again.
                    let plan = release.document().plan.id();
                    let held = self.rounds.released(&plan)?.is_some_and(|id| self.documents.contains(&id));
                    if !held {
                        self.rounds.put_released(&plan, Digest::of(json))?;
                    }
                }
                self.documents.insert(Spreading::Release, asker, json)?;
                tracing::info!("a release was taken in");
                Ok(0)
            }
        }
    }
}

/// Whether a document of its kind may be as long as is announced.
const fn sound(announcement: &Announcement) -> bool {
    let most = match announcement.kind {
        Spreading::Batch => limits::BATCH_DOCUMENT_BYTES,
        Spreading::Release => limits::DOCUMENT_BYTES,
        Spreading::Voucher | Spreading::Enrolled => VOUCHER_BYTES,
    };
    announcement.bytes > 0 && announcement.bytes <= most as u64
}

/// Whether what was wrong stays so: invalid, or over its signer's share. What could not be had is asked for again.
fn stays(error: &NodeError) -> bool {
    matches!(error.class, Class::Invalid | Class::Refused)
}

/// What is being fetched from one member: one document at a time, and how far its inventory was read.
struct Lane {
    turn: tokio::sync::Mutex<()>,
    waiting: Semaphore,
    catching_up: Semaphore,
    read: Mutex<Read>,
    of_nobody: DefaultDirectRateLimiter,
}

/// How far an inventory was read: so many entries, the last of them this one.
#[derive(Clone, Copy, Default)]
struct Read {
    entries: u64,
    last: Option<Digest>,
}

impl Lane {
    fn read(&self) -> std::sync::MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is being fetched, a lane for each member.
pub(crate) struct Spread {
    node: Arc<Node>,
    network: Network,
    lanes: Mutex<HashMap<NodeId, Arc<Lane>>>,
    /// Documents that did not hold, or whose signer has filled its share: not fetched again from whoever offers them.
    refused: Mutex<Refused>,
}

/// Longest voucher or enrolment, in its envelope.
const VOUCHER_BYTES: usize = 2048;

impl Spread {
    pub(crate) fn new(node: Arc<Node>, network: Network) -> Self {
        Self { node, network, lanes: Mutex::new(HashMap::new()), refused: Mutex::default() }
    }

    /// Fetches an announced document from `via`, who forwarded it, or else from `from`, who signed it.
    pub(crate) async fn announced(&self, from: NodeId, via: NodeId, announcement: Announcement) {
        if !sound(&announcement) {
            // Its author's word, whoever forwarded it.
            self.network.count(Dropped::Document, 1);
            self.network.blame(from).await;
            return;
        }
        for peer in if from == via { vec![from] } else { vec![from, via] } {
            match self.fetch_as(peer, &announcement, peer == from).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(peer = peer.short(), %error, "a document could not be fetched"),
            }
        }
    }

    /// Finds out what `peer` holds and is missing here, and fetches it. Returns at once if that is under way.
    pub(crate) async fn catch_up(&self, peer: NodeId) {
        let lane = self.lane(peer);
        let Ok(_alone) = lane.catching_up.try_acquire() else { return };
        let caught_up = async {
            match self.network.request(peer, Request::Epochs).await {
                Ok(Reply::Epochs { epochs }) if epochs.len() <= limits::EPOCHS => {
                    match compare(&self.node.documents.epochs(), &epochs) {
                        Compared::Bulk => self.read_inventory(&lane, peer).await,
                        Compared::Epochs(differ) => self.reconcile(peer, &differ).await,
                    }
                }
                // A member with an older program knows lists alone.
                _ => self.read_inventory(&lane, peer).await,
            }
        };
        if tokio::time::timeout(CATCH_UP_DEADLINE, caught_up).await.is_err() {
            tracing::debug!(peer = peer.short(), "a catch-up goes on at the next");
        }
    }

    /// Fetches what is missing here of some epochs.
    async fn reconcile(&self, peer: NodeId, epochs: &[u32]) {
        let mut batches = Vec::new();
        'epochs: for epoch in epochs {
            let needed = match self.needed(peer, *epoch).await {
                Ok(needed) => needed,
                Err(error) => {
                    tracing::debug!(peer = peer.short(), %error, "an epoch could not be compared");
                    if error.class == Class::Invalid {
                        self.broke_off(peer).await;
                    }
                    break;
                }
            };
            for some in needed.chunks(limits::DESCRIBED) {
                let Some(entries) = self.describe(peer, some).await else { break 'epochs };
                // Batches may be of pseudonyms whose vouchers lie in an older epoch.
                let (later, now): (Vec<_>, Vec<_>) =
                    entries.into_iter().partition(|entry| entry.kind == Spreading::Batch);
                batches.extend(later.into_iter().take(limits::NEEDED.saturating_sub(batches.len())));
                if !self.fetch_all(peer, now).await {
                    break 'epochs;
                }
            }
        }
        // What was found before it broke off comes in all the same.
        self.fetch_all(peer, batches).await;
    }

    /// Ids of an epoch that `peer` holds and this node lacks, but for those that were refused.
    async fn needed(&self, peer: NodeId, epoch: u32) -> Result<Vec<Digest>, NodeError> {
        let (mut session, first) =
            Session::begin(self.node.documents.epoch(epoch)).map_err(NodeError::invalid)?;
        let mut next = Some(first);
        while let Some(message) = next {
            let asked = self.network.exchange(peer, Request::Reconcile { epoch }, message).await;
            let answer = match asked.map_err(|e| NodeError::new(Class::Network, e.to_string()))? {
                (Reply::Reconcile, answer) => answer,
                (Reply::Declined { .. }, _) => {
                    return Err(NodeError::new(Class::Network, "the member is busy"));
                }
                _ => return Err(NodeError::invalid("another reply than to a reconciliation")),
            };
            // It goes over all that is held of an epoch: not for the threads that serve the network.
            let heard = tokio::task::spawn_blocking(move || {
                let next = session.hear(&answer);
                (session, next)
            });
            let heard = heard.await.map_err(|e| NodeError::new(Class::Network, e))?;
            session = heard.0;
            next = heard.1.map_err(NodeError::invalid)?;
        }
        let refused = self.refused();
        Ok(session.into_needed().into_iter().filter(|id| !refused.contains(id)).collect())
    }

    /// Charges a member that did not keep to the protocol of catching up.
    async fn broke_off(&self, peer: NodeId) {
        self.network.count(Dropped::Reconciliation, 1);
        self.network.blame(peer).await;
    }

    /// What documents are that `peer` said it holds. None if it is better asked another time.
    async fn describe(&self, peer: NodeId, ids: &[Digest]) -> Option<Vec<Announcement>> {
        let entries = match self.network.request(peer, Request::Describe { ids: ids.to_vec() }).await {
            Ok(Reply::Inventory { entries }) => entries,
            _ => return None,
        };
        // What is held is never dropped: whoever names what it cannot describe made it up.
        if entries.len() != ids.len() || !entries.iter().all(|entry| ids.contains(&entry.id)) {
            self.broke_off(peer).await;
            return None;
        }
        Some(entries)
    }

    /// Fetches documents from a member. False if it is better asked another time.
    async fn fetch_all(&self, peer: NodeId, entries: Vec<Announcement>) -> bool {
        for entry in entries {
            if let Err(error) = self.fetch(peer, &entry).await {
                tracing::debug!(peer = peer.short(), %error, "a document could not be fetched");
                if !stays(&error) {
                    return false;
                }
            }
        }
        true
    }

    /// Reads what `peer` holds beyond what was read of its list before, and fetches what is missing here.
    async fn read_inventory(&self, lane: &Lane, peer: NodeId) {
        for _ in 0..INVENTORY_PAGES {
            let mut read = *lane.read();
            // The last entry read is asked for again: if it is not there, the list is another (a vault restored from
            // a backup), and is read from its beginning.
            let after = read.entries.saturating_sub(1);
            let mut entries = match self.network.request(peer, Request::Inventory { after }).await {
                Ok(Reply::Inventory { entries }) if entries.len() <= limits::INVENTORY_IDS => {
                    entries.into_iter()
                }
                _ => return,
            };
            let full = entries.len() == limits::INVENTORY_IDS;
            if read.last.is_some() && entries.next().map(|e| e.id) != read.last {
                *lane.read() = Read::default();
                continue;
            }
            for entry in entries {
                if let Err(error) = self.fetch(peer, &entry).await {
                    tracing::debug!(peer = peer.short(), %error, "a document could not be fetched");
                    if !stays(&error) {
                        *lane.read() = read;
                        return;
                    }
                }
                read = Read { entries: read.entries + 1, last: Some(entry.id) };
            }
            *lane.read() = read;
            if !full {
                return;
            }
        }
    }

    /// Lanes are of members, whose number a charter bounds.
    fn lane(&self, peer: NodeId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(peer).or_insert_with(|| {
            Arc::new(Lane {
                turn: tokio::sync::Mutex::new(()),
                waiting: Semaphore::new(WAITING),
                catching_up: Semaphore::new(1),
                read: Mutex::default(),
                of_nobody: OF_NOBODY.bucket(),
            })
        });
        Arc::clone(lane)
    }

    /// Fetches a document that `peer` itself said it holds.
    pub(crate) async fn fetch(&self, peer: NodeId, announcement: &Announcement) -> Result<(), NodeError> {
        self.fetch_as(peer, announcement, true).await
    }

    /// `vouched`: whether the announcement is `peer`'s own word. Who hands on what another announced wrongly is not to
    /// blame for it.
    async fn fetch_as(
        &self,
        peer: NodeId,
        announcement: &Announcement,
        vouched: bool,
    ) -> Result<(), NodeError> {
        let late = |_| NodeError::new(Class::Network, "a document took too long");
        let lane = self.lane(peer);
        let Ok(_place) = lane.waiting.try_acquire() else {
            return Err(NodeError::new(Class::Network, "too much else waits for this member"));
        };
        let _turn = lane.turn.lock().await;
        let fetched = self.fetch_now(peer, announcement, vouched);
        tokio::time::timeout(FETCH_DEADLINE, fetched).await.map_err(late)?
    }

    async fn fetch_now(
        &self,
        peer: NodeId,
        announcement: &Announcement,
        vouched: bool,
    ) -> Result<(), NodeError> {
        let network = |e: &dyn std::fmt::Display| NodeError::new(Class::Network, e.to_string());
        let Announcement { kind, id, bytes } = announcement.clone();
        if !sound(announcement) {
            return Err(self
                .blamed(Some(peer).filter(|_| vouched), "a document is announced longer than its kind may be")
                .await);
        }
        let known = || self.node.documents.contains(&id) || self.refused().contains(&id);
        if known() {
            return Ok(());
        }
        let mut json: Vec<u8> = Vec::new();
        while (json.len() as u64) < bytes {
            let request = Request::Fetch { id, offset: json.len() as u64 };
            match self.network.request(peer, request).await {
                Ok(Reply::Page { bytes: page })
                    if !page.is_empty()
                        && page.len() <= limits::PAGE_BYTES
                        && json.len() as u64 + page.len() as u64 <= bytes =>
                {
                    json.extend(page);
                }
                Ok(Reply::Declined { why: Declined::Busy }) => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    return Err(network(&"the member is busy"));
                }
                // It is not here (any more); whoever has it will be asked.
                Ok(Reply::Declined { .. }) => return Err(network(&"the member does not have it")),
                Ok(_) => {
                    return Err(self
                        .blamed(Some(peer).filter(|_| vouched), "a document's pages are not as announced")
                        .await);
                }
                Err(error) => return Err(network(&error)),
            }
        }
        if Digest::of(&json) != id {
            // Whoever hands it out made it so: an honest member keeps only what has its hash.
            return Err(self
                .blamed(Some(peer).filter(|_| vouched), "a document is not the one announced")
                .await);
        }
        let node = Arc::clone(&self.node);
        let accepted = tokio::task::spawn_blocking(move || {
            // Asked before: its last voucher may come while it is looked at.
            let may_be = kind == Spreading::Batch && json.len() <= limits::CARRIED_BYTES;
            let of_nobody = may_be.then(|| node.of_nobody_known(&json)).flatten();
            let accepted = node.accept(kind, &json, now());
            let refused = accepted.as_ref().is_err_and(|error| error.class == Class::Refused);
            (accepted, of_nobody.filter(|_| refused))
        });
        let (accepted, of_nobody) = accepted.await.map_err(|e| network(&e))?;
        match &accepted {
            Ok(_) if kind == Spreading::Voucher => self.vouched(),
            Ok(objects) => self.network.count(Dropped::Object, *objects as u64),
            Err(error) => {
                tracing::warn!(%error, "a document was refused");
                match error.class {
                    // It has its hash: an honest member keeps only what verifies.
                    Class::Invalid => {
                        self.network.count(Dropped::Document, 1);
                        self.network.blame(peer).await;
                    }
                    Class::Refused if of_nobody.is_some() => self.of_nobody_known(peer).await,
                    Class::Refused => self.network.count(Dropped::Share, 1),
                    _ => {}
                }
            }
        }
        if accepted.as_ref().is_err_and(stays) {
            self.refused().add(id, of_nobody);
            // Its last voucher may have come in between.
            self.vouched();
        }
        accepted.map(|_| ())
    }

    /// Counts a batch of a key that nobody vouches for as far as is known here. Its vouchers may be on their way, so a member
    /// may hand out some; who goes on is charged.
    pub(crate) async fn of_nobody_known(&self, from: NodeId) {
        self.network.count(Dropped::Document, 1);
        if self.lane(from).of_nobody.check().is_err() {
            self.network.blame(from).await;
        }
    }

    /// A pseudonym may be known now that was not before: what it signed may come in.
    pub(crate) fn vouched(&self) {
        self.refused().retry(|signer| self.node.is_known(signer).unwrap_or(false));
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what was handed out, charges whose word it was, and says what is wrong with it.
    async fn blamed(&self, who: Option<NodeId>, what: &'static str) -> NodeError {
        self.network.count(Dropped::Document, 1);
        if let Some(who) = who {
            self.network.blame(who).await;
        }
        NodeError::invalid(what)
    }
}
