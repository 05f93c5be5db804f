//! The indicator library: drafts, what was published, what others published (docs/storage.md).

use std::{collections::BTreeMap, sync::Arc};

use hedgerow_protocol::{
    document::Signed,
    id::{Digest, NodeId},
    indicator::{Batch, Decision, Held, Rejected, StixObject, decide},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{
    error::StoreError,
    vault::{Kind, Txn, Vault},
};

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
    /// Here already.
    pub duplicates: usize,
    /// Not taken, by object id.
    pub rejected: Vec<(String, Rejected)>,
}

/// The library table.
pub struct Library {
    vault: Arc<Vault>,
}

impl Library {
    /// Over `vault`.
    pub const fn new(vault: Arc<Vault>) -> Self {
        Self { vault }
    }

    /// The entry under a STIX id.
    pub fn entry(&self, id: &str) -> Result<Option<Entry>, StoreError> {
        self.vault.get(Kind::Object, id.as_bytes())?.map(|json| read(&json)).transpose()
    }

    /// Every entry, by id.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut all = self
            .vault
            .scan(Kind::Object)
            .map(|json| read(&json?))
            .collect::<Result<Vec<Entry>, StoreError>>()?;
        all.sort_by(|a, b| a.object.id().cmp(b.object.id()));
        Ok(all)
    }

    /// Takes in objects as drafts. One whose id or pattern is here already, in this or a later version, is a
    /// duplicate; a later version of one's own published object becomes a draft of its next version.
    ///
    /// Says of each object, in order, whether it was stored.
    pub fn add_drafts(
        &self,
        objects: Vec<StixObject>,
        own: NodeId,
        at: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        let mut txn = self.vault.begin();
        // What this transaction stores is not yet readable; the same object twice in one file is a duplicate.
        let mut ids: BTreeMap<String, ()> = BTreeMap::new();
        let mut patterns: BTreeMap<String, ()> = BTreeMap::new();
        let mut outcomes = Vec::with_capacity(objects.len());
        for object in objects {
            let pattern = object.pattern().map(|p| p.key());
            let fresh = match self.entry(object.id())? {
                Some(held) => {
                    (held.owner.is_none() || held.owner == Some(own))
                        && !held.object.revoked()
                        && object.modified() > held.object.modified()
                }
                None => match &pattern {
                    Some(key) => {
                        !patterns.contains_key(key)
                            && self.vault.get(Kind::Pattern, key.as_bytes())?.is_none()
                    }
                    None => true,
                },
            };
            let fresh = fresh && ids.insert(object.id().to_owned(), ()).is_none();
            if fresh {
                if let Some(key) = pattern {
                    patterns.insert(key, ());
                }
                let owner = self.entry(object.id())?.and_then(|held| held.owner);
                write(&mut txn, &Entry { owner, batch: None, at, object })?;
            }
            outcomes.push(fresh);
        }
        txn.commit()?;
        Ok(outcomes)
    }

    /// Takes in a verified batch, object by object, under the rules of [`decide`].
    pub fn take(
        &self,
        batch: &Signed<Batch>,
        signer: NodeId,
        document: Digest,
        now: Timestamp,
    ) -> Result<Taken, StoreError> {
        let mut txn = self.vault.begin();
        let mut taken = Taken::default();
        for object in &batch.document().objects {
            let held = self.entry(object.id())?;
            // A draft of the next version hides nothing: what its owner signed is judged by owner.
            let known = held.as_ref().map(|e| Held { owner: e.owner, object: &e.object });
            let decision = match &held {
                Some(entry) if entry.is_draft() && entry.object.digest() == object.digest() => {
                    Decision::Update
                }
                _ => decide(known.as_ref(), object, signer, now),
            };
            match decision {
                Decision::Store => taken.stored += 1,
                Decision::Update => taken.updated += 1,
                Decision::Duplicate => {
                    taken.duplicates += 1;
                    continue;
                }
                Decision::Reject(why) => {
                    taken.rejected.push((object.id().to_owned(), why));
                    continue;
                }
            }
            let entry = Entry { owner: Some(signer), batch: Some(document), at: now, object: object.clone() };
            write(&mut txn, &entry)?;
        }
        txn.commit()?;
        Ok(taken)
    }

    /// Replaces an entry: a revocation that is still to be published.
    pub fn put(&self, entry: &Entry) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        write(&mut txn, entry)?;
        txn.commit()
    }

    /// Forgets a draft that was never published.
    pub fn forget(&self, entry: &Entry) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        txn.delete(Kind::Object, entry.object.id().as_bytes());
        if let Some(pattern) = entry.object.pattern() {
            txn.delete(Kind::Pattern, pattern.key().as_bytes());
        }
        txn.commit()
    }
}

fn write(txn: &mut Txn<'_>, entry: &Entry) -> Result<(), StoreError> {
    let json = serde_json::to_vec(entry).map_err(|_| StoreError::Damaged("an indicator has no JSON form"))?;
    if let Some(pattern) = entry.object.pattern() {
        txn.put(Kind::Pattern, pattern.key().as_bytes(), entry.object.id().as_bytes())?;
    }
    txn.put(Kind::Object, entry.object.id().as_bytes(), &json)
}

fn read(json: &[u8]) -> Result<Entry, StoreError> {
    serde_json::from_slice(json).map_err(|_| StoreError::Damaged("an indicator does not read"))
}
