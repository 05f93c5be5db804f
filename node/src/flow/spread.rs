//! How documents reach everyone: announced, fetched, checked, kept; and asked after, since gossip may miss
//! (docs/protocol.md §8).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hedgerow_protocol::{
    id::{Digest, NodeId},
    limits,
    release::verify,
    statistic::Mode,
    time::Timestamp,
    wire::{Announcement, Declined, Reply, Request, Spreading},
};
use tokio::sync::Semaphore;

use super::indicator::is_as_signed;
use crate::{
    error::{Class, NodeError},
    net::Network,
    node::{Node, now},
    store::Taken,
};

/// Announced documents that wait to be fetched from one member; further ones are left to the next catch-up.
const WAITING: usize = 16;
/// How long one document may take. A member that hands out its pages slowly keeps only its own lane waiting.
const FETCH_DEADLINE: Duration = Duration::from_secs(60);
/// Inventory pages read in one catch-up; a longer one goes on at the next.
const INVENTORY_PAGES: usize = 64;

impl Node {
    /// A page of a document, or that it is not here.
    pub(crate) fn page(&self, id: &Digest, offset: u64) -> Result<Reply, NodeError> {
        let page = self.documents.page(id, offset, limits::PAGE_BYTES)?;
        Ok(page.map_or(Reply::Declined { why: Declined::NotHere }, |bytes| Reply::Page { bytes }))
    }

    /// A page of the inventory.
    pub(crate) fn inventory(&self, after: u64) -> Reply {
        Reply::Inventory { entries: self.documents.inventory(after, limits::INVENTORY_IDS) }
    }

    /// Checks a fetched document and keeps it, or says what is wrong with it.
    pub(crate) fn accept(&self, kind: Spreading, json: &[u8], now: Timestamp) -> Result<(), NodeError> {
        match kind {
            Spreading::Batch => {
                let taken = self.take_batch(json, now)?;
                for (object, why) in &taken.rejected {
                    tracing::warn!(object, %why, "an object of a batch was not taken");
                }
                let Taken { stored, updated, quarantined, .. } = taken;
                tracing::info!(stored, updated, quarantined, "a batch was taken in");
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
            }
        }
        Ok(())
    }
}

/// What is being fetched from one member: one document at a time, and how far its inventory was read.
struct Lane {
    turn: tokio::sync::Mutex<()>,
    waiting: Semaphore,
    catching_up: Semaphore,
    read: Mutex<Read>,
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
    /// Documents that did not hold: not fetched again from whoever offers them.
    refused: Mutex<std::collections::HashSet<Digest>>,
}

/// Most refused documents remembered; beyond it the memory is cleared and they may be fetched once more.
const REFUSED: usize = 10_000;

impl Spread {
    pub(crate) fn new(node: Arc<Node>, network: Network) -> Self {
        Self {
            node,
            network,
            lanes: Mutex::new(HashMap::new()),
            refused: Mutex::new(std::collections::HashSet::new()),
        }
    }

    /// Fetches an announced document from `via`, who forwarded it, or else from `from`, who signed it.
    pub(crate) async fn announced(&self, from: NodeId, via: NodeId, announcement: Announcement) {
        for peer in if from == via { vec![from] } else { vec![from, via] } {
            match self.fetch(peer, &announcement).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(peer = peer.short(), %error, "a document could not be fetched"),
            }
        }
    }

    /// Reads what `peer` holds beyond what was read before, and fetches what is missing here. Returns at once if
    /// that is under way.
    pub(crate) async fn catch_up(&self, peer: NodeId) {
        let lane = self.lane(peer);
        let Ok(_alone) = lane.catching_up.try_acquire() else { return };
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
                    // What was invalid or over its signer's share stays so; what could not be had is asked for again
                    // next time.
                    if !matches!(error.class, Class::Invalid | Class::Refused) {
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
            })
        });
        Arc::clone(lane)
    }

    pub(crate) async fn fetch(&self, peer: NodeId, announcement: &Announcement) -> Result<(), NodeError> {
        let late = |_| NodeError::new(Class::Network, "a document took too long");
        let lane = self.lane(peer);
        let Ok(_place) = lane.waiting.try_acquire() else {
            return Err(NodeError::new(Class::Network, "too much else waits for this member"));
        };
        let _turn = lane.turn.lock().await;
        tokio::time::timeout(FETCH_DEADLINE, self.fetch_now(peer, announcement)).await.map_err(late)?
    }

    async fn fetch_now(&self, peer: NodeId, announcement: &Announcement) -> Result<(), NodeError> {
        let network = |e: &dyn std::fmt::Display| NodeError::new(Class::Network, e.to_string());
        let Announcement { kind, id, bytes } = announcement.clone();
        let limit = match kind {
            Spreading::Batch => limits::BATCH_DOCUMENT_BYTES as u64,
            Spreading::Release => limits::DOCUMENT_BYTES as u64,
        };
        if bytes == 0 || bytes > limit {
            return Err(NodeError::invalid("a document is announced longer than its kind may be"));
        }
        let known = || {
            self.node.documents.contains(&id)
                || self.refused.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
        };
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
                Ok(_) => return Err(NodeError::invalid("a document's pages are not as announced")),
                Err(error) => return Err(network(&error)),
            }
        }
        if Digest::of(&json) != id {
            // Whoever hands it out made it so: an honest member keeps only what has its hash and verifies.
            self.network.blame(peer).await;
            return Err(NodeError::invalid("a document is not the one announced"));
        }
        let node = Arc::clone(&self.node);
        let accepted = tokio::task::spawn_blocking(move || node.accept(kind, &json, now())).await;
        let accepted = accepted.map_err(|e| network(&e))?;
        if let Err(error) = &accepted {
            tracing::warn!(%error, "a document was refused");
            if error.class == Class::Invalid {
                self.network.blame(peer).await;
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                if refused.len() >= REFUSED {
                    refused.clear();
                }
                refused.insert(id);
            }
        }
        accepted
    }
}
