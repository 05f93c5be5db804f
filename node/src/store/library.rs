//! The indicator library: drafts, what was published, what others published (docs/storage.md).
//!
//! A published object lies in the parts of the document that brought it and nowhere else; `shelf` knows where. Drafts
//! are values of their own, so that what others sign never touches one, and a draft of the next version never hides
//! what is published.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};

use hedgerow_protocol::{
    id::{Digest, NodeId},
    indicator::{Decision, Item, Rejected, SignedBatch, StixObject, decide},
    time::Timestamp,
    wire::Spreading,
};
use serde::{Deserialize, Serialize};

use super::{
    allow::AllowList,
    documents::{Documents, Room},
    error::StoreError,
    shelf::{self, DROPPED, INDICATOR, Index, Lot, QUARANTINED, Row, SEEN, id_key},
    vault::{Kind, Vault},
};

mod drafts;
mod packed;
mod published;

use drafts::Drafts;
use packed::{pack, put_rows};
use published::Parts;
pub use published::Published;

/// The setting that says that published objects are packed, and drafts apart from them.
const PACKED: &[u8] = b"indicators-packed";
/// Old entries packed in one commit.
const UPGRADE: usize = 1000;
/// Proofs of two stories kept of one member. One is enough to know; the documents of the first few are handed on.
const MOST_EVIDENCE: usize = 8;

/// One object held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Who first signed it; none for a draft that nobody has seen.
    pub owner: Option<NodeId>,
    /// The document that carried this version; none while it is not published.
    pub batch: Option<Digest>,
    /// When this version came here.
    pub at: Timestamp,
    /// The object.
    pub object: StixObject,
}

impl Entry {
    /// Whether this version is still to be published.
    pub const fn is_draft(&self) -> bool {
        self.batch.is_none()
    }
}

/// What became of the objects of one batch or one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// New here.
    pub stored: usize,
    /// Later versions of what was here.
    pub updated: usize,
    /// Of these two, held back until a person has looked at them.
    pub quarantined: usize,
    /// Here already.
    pub duplicates: usize,
    /// Not taken, by object id.
    pub rejected: Vec<(String, Rejected)>,
}

/// That a member signed two contents as one version of an object. Both documents are held, and prove it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The object's id.
    pub object: String,
    /// Who signed both.
    pub signer: NodeId,
    /// SHA-256 of the content that is held, and the document that carries it.
    pub held: (Digest, Digest),
    /// The same of the other.
    pub given: (Digest, Digest),
    /// When the second came here.
    pub at: Timestamp,
}

/// What a person decided about a quarantined object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is used like any other.
    Release,
    /// It is not used; a later version is looked at anew.
    Drop,
}

/// One version of a quarantined object that nobody wants.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dropped {
    id: String,
    digest: Digest,
}

/// How a batch is taken in.
pub struct Taking<'a> {
    /// The clock.
    pub now: Timestamp,
    /// Whether it is this node's own: its drafts of these objects are then done with.
    pub own: bool,
    /// Whether an object is to be held back until a person has looked at it.
    pub hold: &'a dyn Fn(&StixObject) -> bool,
}

/// The library table.
pub struct Library {
    vault: Arc<Vault>,
    index: RwLock<Index>,
    drafts: Mutex<Drafts>,
    evidence: Mutex<Vec<Evidence>>,
    allowed: AllowList,
}

impl Library {
    /// Over `vault`. What a vault from before objects were packed holds is packed, once.
    pub fn open(vault: Arc<Vault>) -> Result<Self, StoreError> {
        if vault.get(Kind::Setting, PACKED)?.is_none() {
            pack(&vault)?;
        }
        let mut index = Index::default();
        for value in vault.scan_from(Kind::Shelf, 0) {
            let (lot, rows) = shelf::decode(&value?.1)?;
            index.add(lot, rows);
        }
        for json in vault.scan(Kind::Verdict) {
            drop_row(&mut index, &from_json(&json?)?);
        }
        let mut drafts = Drafts::default();
        for json in vault.scan(Kind::Draft) {
            drafts.add(&read(&json?)?.object);
        }
        let mut evidence = Vec::new();
        for json in vault.scan_from(Kind::Evidence, 0) {
            evidence.push(from_json(&json?.1)?);
        }
        Ok(Self {
            allowed: AllowList::open(Arc::clone(&vault))?,
            vault,
            index: RwLock::new(index),
            drafts: Mutex::new(drafts),
            evidence: Mutex::new(evidence),
        })
    }

    /// The local allow-list.
    pub const fn allowed(&self) -> &AllowList {
        &self.allowed
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is published under a STIX id, held back or not.
    pub fn entry(&self, id: &str) -> Result<Option<Entry>, StoreError> {
        let found = {
            let index = self.index();
            index.row(&id_key(id)).and_then(|row| Some((*row, *index.lot(row)?)))
        };
        found.map(|(row, lot)| Parts::over(&self.vault).entry(&row, &lot)).transpose()
    }

    /// What is published with a pattern and in use here: one that was not taken back, if there is one; else the latest.
    pub fn with_pattern(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let key_of = shelf::pattern_key(key);
        let found = {
            let index = self.index();
            let in_use = |row: &&Row| row.live() && !row.has(shelf::REVOKED);
            // The latest may be held back or revoked while another member's stands: then all are gone over.
            let among = |wanted: &dyn Fn(&&Row) -> bool| {
                let latest = index.with_pattern(key_of).filter(wanted);
                latest.or_else(|| index.rows.iter().rev().filter(|row| row.pattern == key_of).find(wanted))
            };
            let known = index.with_any(key_of);
            let row = known.then(|| among(&in_use).or_else(|| among(&|row| row.live()))).flatten();
            row.and_then(|row| Some((*row, *index.lot(row)?)))
        };
        let entry = found.map(|(row, lot)| Parts::over(&self.vault).entry(&row, &lot)).transpose()?;
        // Of a pattern the index knows a hash.
        Ok(entry.filter(|e| e.object.pattern().is_some_and(|p| p.key() == key)))
    }

    /// Who published a STIX id, if anybody did.
    pub fn owner(&self, id: &str) -> Option<NodeId> {
        self.index().held(&id_key(id)).map(|held| held.owner)
    }

    /// What is published under each of many STIX ids, in order; none for what is not, is held back, was dropped or is
    /// allowed here.
    /// Neighbours are read together, so ids in the order of [`Self::published`] are quick.
    pub fn live<'i>(&self, ids: impl IntoIterator<Item = &'i str>) -> Result<Vec<Option<Entry>>, StoreError> {
        let mut parts = Parts::over(&self.vault);
        let find = |id| {
            let index = self.index();
            let row = index.row(&id_key(id)).filter(|row| row.live())?;
            Some((*row, *index.lot(row)?))
        };
        ids.into_iter()
            .map(|id| {
                let entry = find(id).map(|(row, lot)| parts.entry(&row, &lot)).transpose()?;
                Ok(entry.filter(|e| !self.allowed.covers(&e.object)))
            })
            .collect()
    }

    /// Every entry, drafts too, by id; without what is held back, was dropped, or is allowed here.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut all = self.drafts()?;
        for entry in self.published(0) {
            all.push(entry?.1);
        }
        all.sort_by(|a, b| a.object.id().cmp(b.object.id()));
        Ok(all)
    }

    /// What is published, without what is held back, was dropped, or is allowed here, in the order in which it came here, with a number that only
    /// rises and stays the same when the vault is opened again; from number `from` on. Holds a few at a time.
    pub fn published(&self, from: u64) -> Published<'_> {
        self.walk(from, Row::live)
    }

    /// What waits for a person to look at it, in the order in which it came.
    pub fn quarantined(&self) -> Published<'_> {
        self.walk(0, |row| row.has(QUARANTINED) && !row.has(shelf::SUPERSEDED | DROPPED))
    }

    fn walk(&self, from: u64, wanted: fn(&Row) -> bool) -> Published<'_> {
        let next = usize::try_from(from).unwrap_or(usize::MAX);
        Published { library: self, parts: Parts::over(&self.vault), next, wanted, read: VecDeque::new() }
    }

    /// How many indicators are published here, and how many are drafts.
    pub fn count(&self) -> (usize, usize) {
        let published = self.index().rows.iter().filter(|row| row.live() && row.has(INDICATOR)).count();
        (published, self.drafts.lock().unwrap_or_else(PoisonError::into_inner).indicators())
    }

    /// Takes in a verified batch, object by object, under the rules of [`decide`], and keeps the document that carries
    /// it, in one commit. Also what adds nothing here is kept, within its signer's share: what members hold must not
    /// depend on the order in which it came to them, or they would look for what they lack for ever.
    pub fn take(
        &self,
        documents: &Documents,
        batch: &SignedBatch,
        document: &[u8],
        taking: &Taking<'_>,
    ) -> Result<Taken, StoreError> {
        let mut txn = self.vault.begin();
        let signer = batch.signer();
        let mut taken = Taken::default();
        let (mut fresh, mut told): (Vec<(&Item, u8)>, Vec<Evidence>) = (Vec::new(), Vec::new());
        let mut reserve = false;
        {
            let index = self.index();
            for item in batch.items() {
                let Item { object, digest, .. } = item;
                let id = id_key(object.id());
                let held = index.held(&id);
                match decide(held.as_ref(), object, *digest, signer, taking.now) {
                    Decision::Store => taken.stored += 1,
                    Decision::Update => taken.updated += 1,
                    Decision::Duplicate => {
                        taken.duplicates += 1;
                        continue;
                    }
                    Decision::Reject(why) => {
                        if let Rejected::Equivocation { held, given } = &why
                            && let Some(before) = index.row(&id).and_then(|row| index.lot(row))
                        {
                            told.push(Evidence {
                                object: object.id().to_owned(),
                                signer,
                                held: (*held, before.batch),
                                given: (*given, batch.id()),
                                at: taking.now,
                            });
                        }
                        taken.rejected.push((object.id().to_owned(), why));
                        continue;
                    }
                }
                reserve |= held.is_some() && object.revoked();
                // What takes something back that was once in use here is never held back.
                let seen = index.row(&id).is_some_and(|row| row.live() || row.has(SEEN));
                let passes = taking.own || (object.revoked() && seen);
                let held_back = !passes && (taking.hold)(object);
                taken.quarantined += usize::from(held_back);
                let held = match held_back {
                    true if seen => QUARANTINED | SEEN,
                    true => QUARANTINED,
                    false => 0,
                };
                fresh.push((item, held));
            }
        }
        self.new_evidence(&mut told);
        let room = if reserve || !told.is_empty() { Room::Reserve } else { Room::Share };
        let staged = documents.stage(&mut txn, Spreading::Batch, signer, document, room)?;
        let Some(staged) = staged else {
            return Ok(Taken { duplicates: batch.items().len(), ..Taken::default() });
        };
        let lot = Lot { owner: signer, batch: batch.id(), at: taking.now, first_part: staged.first_part() };
        let lots = put_rows(&mut txn, lot, &fresh)?;
        for evidence in &told {
            txn.append(Kind::Evidence, &to_json(evidence)?)?;
        }
        let mut published = Vec::new();
        if taking.own {
            for (item, _) in &fresh {
                let id = item.object.id();
                match self.draft(id)? {
                    // A later version that came in while this one was on its way: it is the next to go out, under the same key.
                    Some(draft) if draft.object.modified() > item.object.modified() => {
                        let next = Entry { owner: Some(signer), ..draft };
                        txn.put(Kind::Draft, id.as_bytes(), &to_json(&next)?)?;
                    }
                    _ => {
                        txn.delete(Kind::Draft, id.as_bytes());
                        published.push(id_key(id));
                    }
                }
            }
        }
        // Held from before the commit, so that rows are in memory in the order in which they are on disk.
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        txn.commit()?;
        staged.keep();
        for (lot, rows) in lots {
            index.add(lot, rows);
        }
        drop(index);
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner).extend(told);
        let mut drafts = self.drafts.lock().unwrap_or_else(PoisonError::into_inner);
        published.iter().for_each(|id| drafts.remove(id));
        drop(drafts);
        Ok(taken)
    }

    /// Leaves of `told` what is new and within the bound.
    fn new_evidence(&self, told: &mut Vec<Evidence>) {
        let known = self.evidence.lock().unwrap_or_else(PoisonError::into_inner);
        let mut of: usize = told.first().map_or(0, |t| known.iter().filter(|e| e.signer == t.signer).count());
        told.retain(|t| {
            let new = of < MOST_EVIDENCE && !known.iter().any(|e| e.object == t.object && e.given == t.given);
            of += usize::from(new);
            new
        });
    }

    /// Every proof that a member told two stories, oldest first.
    pub fn evidence(&self) -> Vec<Evidence> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Decides about a quarantined object; false if none waits under this id.
    pub fn rule(&self, id: &str, verdict: Verdict) -> Result<bool, StoreError> {
        let mut txn = self.vault.begin();
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let waiting = index.row(&id_key(id)).filter(|row| row.has(QUARANTINED | DROPPED));
        let Some((mut row, lot)) = waiting.and_then(|row| Some((*row, *index.lot(row)?))) else {
            return Ok(false);
        };
        match verdict {
            // It comes in now: whoever reads on from a number they know has not passed it.
            Verdict::Release => {
                row.flags &= !(QUARANTINED | DROPPED | SEEN);
                txn.append(Kind::Shelf, &shelf::encode(&lot, &[row]))?;
                txn.delete(Kind::Verdict, id.as_bytes());
                txn.commit()?;
                index.add(lot, vec![row]);
            }
            Verdict::Drop => {
                let dropped = Dropped { id: id.to_owned(), digest: row.digest };
                txn.put(Kind::Verdict, id.as_bytes(), &to_json(&dropped)?)?;
                txn.commit()?;
                drop_row(&mut index, &dropped);
            }
        }
        Ok(true)
    }
}

fn drop_row(index: &mut Index, dropped: &Dropped) {
    if let Some(row) = index.row_mut(&id_key(&dropped.id))
        && row.digest == dropped.digest
        && row.has(QUARANTINED)
    {
        row.flags |= DROPPED;
    }
}

const UNREADABLE: StoreError = StoreError::Damaged("an indicator does not read");

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|_| StoreError::Damaged("an indicator has no JSON form"))
}

fn from_json<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json).map_err(|_| UNREADABLE)
}

fn read(json: &[u8]) -> Result<Entry, StoreError> {
    from_json(json)
}
