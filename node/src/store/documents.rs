//! Signed documents that spread: batches and releases, as the bytes they came in (docs/storage.md).
//!
//! A document may be megabytes and a value of the store may not, so its bytes lie in parts. The list of what is
//! held is in memory; its order, the order of arrival, is what inventories are asked by.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
};

use hedgerow_protocol::{
    id::{Digest, NodeId},
    reconcile::{EpochSum, Set, Snapshot, dated},
    time::Timestamp,
    wire::{Announcement, Spreading},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    error::StoreError,
    vault::{Kind, Txn, Vault},
};

/// Bytes of one part.
pub(super) const PART_BYTES: usize = 64 * 1024;
/// Most documents kept of one member, and most bytes. Who publishes without end fills its own share and no more.
const MOST_OF_ONE: usize = 50_000;
const MOST_BYTES_OF_ONE: u64 = 2 * 1024 * 1024 * 1024;

/// One document's entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredDocument {
    /// What it is, how long, under which id.
    pub announcement: Announcement,
    /// The member who signed it; none in vaults from before that was kept.
    #[serde(default)]
    from: Option<NodeId>,
    /// The date that its signer gave it; none in vaults from before that was kept, until they are opened.
    #[serde(default)]
    dated: Option<Timestamp>,
    first_part: u64,
    parts: u64,
}

#[derive(Default)]
struct Held {
    list: Vec<StoredDocument>,
    place: HashMap<Digest, usize>,
    /// What each member's documents come to.
    by: HashMap<NodeId, Share>,
    /// The same as others see it who look for what they lack.
    set: Set,
}

/// Documents of one member, and their bytes.
#[derive(Default, Clone, Copy)]
struct Share {
    documents: usize,
    bytes: u64,
}

impl Held {
    fn push(&mut self, entry: StoredDocument) {
        self.set.insert(entry.dated.unwrap_or(Timestamp::EPOCH), entry.announcement.id);
        self.list(entry);
    }

    fn list(&mut self, entry: StoredDocument) {
        if let Some(from) = entry.from {
            let share = self.by.entry(from).or_default();
            share.documents += 1;
            share.bytes = share.bytes.saturating_add(entry.announcement.bytes);
        }
        self.place.insert(entry.announcement.id, self.list.len());
        self.list.push(entry);
    }
}

/// How much of one member's is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Its share.
    Share,
    /// A tenth more, for what takes something back or proves a fault: a full share stops neither.
    Reserve,
}

impl Room {
    const fn most(self) -> (usize, u64) {
        match self {
            Self::Share => (MOST_OF_ONE, MOST_BYTES_OF_ONE),
            Self::Reserve => (MOST_OF_ONE / 10 * 11, MOST_BYTES_OF_ONE / 10 * 11),
        }
    }
}

/// A document that is in a transaction. Nobody reads the list until it is kept or dropped, so that the list and the
/// numbers on disk stay in one order.
pub(super) struct Staged<'d> {
    held: RwLockWriteGuard<'d, Held>,
    entry: StoredDocument,
}

impl Staged<'_> {
    /// The number of its first part.
    pub(super) const fn first_part(&self) -> u64 {
        self.entry.first_part
    }

    /// Lists it, once the transaction is on disk.
    pub(super) fn keep(mut self) {
        self.held.push(self.entry);
    }
}

/// Puts bytes as parts into `txn`: the number of the first, and how many.
pub(super) fn put_parts(txn: &mut Txn<'_>, bytes: &[u8]) -> Result<(u64, u64), StoreError> {
    let mut first = None;
    let mut parts = 0;
    for part in bytes.chunks(PART_BYTES) {
        let n = txn.append(Kind::Part, part)?;
        first.get_or_insert(n);
        parts += 1;
    }
    Ok((first.unwrap_or(0), parts))
}

/// Gives the documents of an older vault their dates, once.
fn date(vault: &Vault, list: &mut [StoredDocument]) -> Result<(), StoreError> {
    /// Entries of one commit.
    const COMMIT: usize = 1000;
    let mut undated: Vec<(u64, &mut StoredDocument)> =
        (0u64..).zip(list).filter(|(_, entry)| entry.dated.is_none()).collect();
    for some in undated.chunks_mut(COMMIT) {
        let mut txn = vault.begin();
        for (n, entry) in some {
            let json = whole(vault, entry)?;
            entry.dated = Some(dated(&json).unwrap_or(Timestamp::EPOCH));
            let value = serde_json::to_vec(entry).map_err(|_| StoreError::Damaged("a document's entry"))?;
            txn.put_at(Kind::Document, *n, &value)?;
        }
        txn.commit()?;
    }
    Ok(())
}

fn part(vault: &Vault, n: u64) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    vault.get_at(Kind::Part, n)?.ok_or(StoreError::Damaged("part of a signed document is missing"))
}

/// The whole JSON of a document.
fn whole(vault: &Vault, entry: &StoredDocument) -> Result<Vec<u8>, StoreError> {
    let mut json = Vec::with_capacity(usize::try_from(entry.announcement.bytes).unwrap_or(0));
    for n in entry.first_part..entry.first_part.saturating_add(entry.parts) {
        json.extend_from_slice(&part(vault, n)?);
    }
    Ok(json)
}

/// The document table.
pub struct Documents {
    vault: Arc<Vault>,
    held: RwLock<Held>,
}

impl Documents {
    /// Reads the list of what is held.
    pub fn open(vault: Arc<Vault>) -> Result<Self, StoreError> {
        let mut held = Held::default();
        for pair in vault.scan_from(Kind::Document, 0) {
            let (n, json) = pair?;
            let entry: StoredDocument =
                serde_json::from_slice(&json).map_err(|_| StoreError::Damaged("a document's entry"))?;
            if n != held.list.len() as u64 {
                return Err(StoreError::Damaged("a signed document is missing"));
            }
            held.list(entry);
        }
        date(&vault, &mut held.list)?;
        let dates = held.list.iter().map(|e| (e.dated.unwrap_or(Timestamp::EPOCH), e.announcement.id));
        held.set.extend(dates);
        Ok(Self { vault, held: RwLock::new(held) })
    }

    /// Keeps a document that `from` signed; false if it is held already. A member that has filled its share is
    /// refused, so that it takes nothing from the others'.
    pub fn insert(&self, kind: Spreading, from: NodeId, json: &[u8]) -> Result<bool, StoreError> {
        let mut txn = self.vault.begin();
        let Some(staged) = self.stage(&mut txn, kind, from, json, Room::Share)? else { return Ok(false) };
        txn.commit()?;
        staged.keep();
        Ok(true)
    }

    /// Puts a document into `txn`, whose commit has to be followed by [`Staged::keep`]; none if it is held already.
    pub(super) fn stage(
        &self,
        txn: &mut Txn<'_>,
        kind: Spreading,
        from: NodeId,
        json: &[u8],
        room: Room,
    ) -> Result<Option<Staged<'_>>, StoreError> {
        let held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let announcement = Announcement::of(kind, json);
        if held.place.contains_key(&announcement.id) {
            return Ok(None);
        }
        let share = held.by.get(&from).copied().unwrap_or_default();
        let (documents, bytes) = room.most();
        if share.documents >= documents || share.bytes >= bytes {
            return Err(StoreError::Share);
        }
        let (first_part, parts) = put_parts(txn, json)?;
        let dated = Some(dated(json).unwrap_or(Timestamp::EPOCH));
        let entry = StoredDocument { announcement, from: Some(from), dated, first_part, parts };
        let value = serde_json::to_vec(&entry).map_err(|_| StoreError::Damaged("a document's entry"))?;
        txn.append(Kind::Document, &value)?;
        Ok(Some(Staged { held, entry }))
    }

    /// Whether a document is held.
    pub fn contains(&self, id: &Digest) -> bool {
        self.held.read().unwrap_or_else(PoisonError::into_inner).place.contains_key(id)
    }

    /// The whole JSON of a document.
    pub fn read(&self, id: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.entry(id).map(|entry| whole(&self.vault, &entry)).transpose()
    }

    /// Up to `most` bytes of a document's JSON from byte `offset` on; empty past its end, none if not held.
    pub fn page(&self, id: &Digest, offset: u64, most: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(entry) = self.entry(id) else { return Ok(None) };
        let mut page = Vec::new();
        let mut part = offset / PART_BYTES as u64;
        let mut skip = usize::try_from(offset % PART_BYTES as u64).unwrap_or(0);
        while page.len() < most && part < entry.parts {
            let bytes = self::part(&self.vault, entry.first_part.saturating_add(part))?;
            let wanted = bytes.iter().skip(skip).take(most - page.len());
            page.extend(wanted);
            part += 1;
            skip = 0;
        }
        Ok(Some(page))
    }

    /// Up to `limit` entries after the first `after`.
    pub fn inventory(&self, after: u64, limit: usize) -> Vec<Announcement> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        held.list.iter().skip(skip).take(limit).map(|e| e.announcement.clone()).collect()
    }

    /// What is held, an epoch each.
    pub fn epochs(&self) -> Vec<EpochSum> {
        self.held.write().unwrap_or_else(PoisonError::into_inner).set.sums()
    }

    /// One epoch of it.
    pub fn epoch(&self, number: u32) -> Snapshot {
        self.held.read().unwrap_or_else(PoisonError::into_inner).set.epoch(number)
    }

    /// What those of `ids` are that are held.
    pub fn describe(&self, ids: &[Digest]) -> Vec<Announcement> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let entry = |id| held.place.get(id).and_then(|place| held.list.get(*place));
        ids.iter().filter_map(|id| Some(entry(id)?.announcement.clone())).collect()
    }

    /// Those of a kind that one member signed, as they came.
    pub fn of(&self, kind: Spreading, from: NodeId) -> Vec<Digest> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let theirs = held.list.iter().filter(|e| e.announcement.kind == kind && e.from == Some(from));
        theirs.map(|e| e.announcement.id).collect()
    }

    /// How many are held, by kind.
    pub fn count(&self, kind: Spreading) -> usize {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.list.iter().filter(|e| e.announcement.kind == kind).count()
    }

    fn entry(&self, id: &Digest) -> Option<StoredDocument> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.place.get(id).and_then(|place| held.list.get(*place)).cloned()
    }
}
