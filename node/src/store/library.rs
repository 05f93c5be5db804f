//! The indicator library: drafts, what was published, what others published (docs/storage.md).

use std::{collections::BTreeSet, sync::Arc};

use hedgerow_protocol::{
    document::Signed,
    id::{Digest, NodeId},
    indicator::{Batch, Decision, Held, Instant, Rejected, StixObject, decide},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{
    error::StoreError,
    vault::{Kind, Txn, Vault},
};

/// The setting that says that drafts are kept apart.
const APART: &[u8] = b"drafts-apart";

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

/// The library table: what was signed by its owner, and drafts apart from it, so that what others sign never touches a
/// draft, and a draft of the next version never hides what is published.
pub struct Library {
    vault: Arc<Vault>,
}

impl Library {
    /// Over `vault`. Drafts of a vault from before they were kept apart are moved, once.
    pub fn open(vault: Arc<Vault>) -> Result<Self, StoreError> {
        let library = Self { vault };
        if library.vault.get(Kind::Setting, APART)?.is_none() {
            let mut txn = library.vault.begin();
            for json in library.vault.scan(Kind::Object) {
                let entry = read(&json?)?;
                if entry.is_draft() {
                    txn.delete(Kind::Object, entry.object.id().as_bytes());
                    write(&mut txn, &entry)?;
                }
            }
            txn.put(Kind::Setting, APART, b"1")?;
            txn.commit()?;
        }
        Ok(library)
    }

    /// What is published under a STIX id.
    pub fn entry(&self, id: &str) -> Result<Option<Entry>, StoreError> {
        self.vault.get(Kind::Object, id.as_bytes())?.map(|json| read(&json)).transpose()
    }

    /// The draft under a STIX id: new, or the next version of what is published under it.
    pub fn draft(&self, id: &str) -> Result<Option<Entry>, StoreError> {
        self.vault.get(Kind::Draft, id.as_bytes())?.map(|json| read(&json)).transpose()
    }

    /// Every draft, by id.
    pub fn drafts(&self) -> Result<Vec<Entry>, StoreError> {
        let mut all =
            self.vault.scan(Kind::Draft).map(|json| read(&json?)).collect::<Result<Vec<Entry>, _>>()?;
        all.sort_by(|a, b| a.object.id().cmp(b.object.id()));
        Ok(all)
    }

    /// Every entry, drafts too, by id.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut all = self.drafts()?;
        for json in self.vault.scan(Kind::Object) {
            all.push(read(&json?)?);
        }
        all.sort_by(|a, b| a.object.id().cmp(b.object.id()));
        Ok(all)
    }

    /// How many indicators are published here, and how many are drafts. Holds one at a time.
    pub fn count(&self) -> Result<(usize, usize), StoreError> {
        let of = |kind| {
            self.vault.scan(kind).try_fold(0, |n, json| {
                Ok::<_, StoreError>(n + usize::from(read(&json?)?.object.kind() == "indicator"))
            })
        };
        Ok((of(Kind::Object)?, of(Kind::Draft)?))
    }

    /// Takes in objects as drafts. One whose id or pattern is here already, in this or a later version, is a
    /// duplicate; a later version of one's own published object becomes a draft of its next version. An indicator of
    /// another member that is revoked or has expired does not stand in the way of one's own.
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
        let (mut ids, mut patterns) = (BTreeSet::new(), BTreeSet::new());
        let mut outcomes = Vec::with_capacity(objects.len());
        for object in objects {
            let pattern = object.pattern().map(|p| p.key());
            let later = |held: &Entry| object.modified() > held.object.modified();
            let (held, draft) = (self.entry(object.id())?, self.draft(object.id())?);
            let fresh = match (&held, &draft, &pattern) {
                (Some(held), draft, _) => {
                    held.owner == Some(own)
                        && !held.object.revoked()
                        && later(held)
                        && draft.as_ref().is_none_or(later)
                }
                (None, Some(draft), _) => later(draft),
                (None, None, Some(key)) => !patterns.contains(key) && !self.is_known(key, at)?,
                (None, None, None) => true,
            };
            let fresh = fresh && ids.insert(object.id().to_owned());
            if fresh {
                patterns.extend(pattern);
                write(&mut txn, &Entry { owner: held.and_then(|h| h.owner), batch: None, at, object })?;
            }
            outcomes.push(fresh);
        }
        txn.commit()?;
        Ok(outcomes)
    }

    /// Whether a draft or a live indicator with this pattern is here.
    fn is_known(&self, pattern: &str, at: Timestamp) -> Result<bool, StoreError> {
        let Some(id) = self.vault.get(Kind::Pattern, pattern.as_bytes())? else { return Ok(false) };
        let id = std::str::from_utf8(&id).map_err(|_| StoreError::Damaged("a pattern's id does not read"))?;
        if self.draft(id)?.is_some() {
            return Ok(true);
        }
        Ok(self.entry(id)?.is_some_and(|held| {
            let live = held.object.valid_until().is_none_or(|until| until > Instant::of(at));
            live && !held.object.revoked() && held.object.pattern().is_some_and(|p| p.key() == pattern)
        }))
    }

    /// Takes in a verified batch, object by object, under the rules of [`decide`]. Drafts of what its owner, this
    /// node, has now published are done with.
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
            let known = held.as_ref().map(|e| Held { owner: e.owner, object: &e.object });
            match decide(known.as_ref(), object, signer, now) {
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

    /// Forgets drafts: they were published, or are not wanted.
    pub fn forget<'a>(&self, drafts: impl IntoIterator<Item = &'a str>) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        for id in drafts {
            txn.delete(Kind::Draft, id.as_bytes());
        }
        txn.commit()
    }
}

fn write(txn: &mut Txn<'_>, entry: &Entry) -> Result<(), StoreError> {
    let json = serde_json::to_vec(entry).map_err(|_| StoreError::Damaged("an indicator has no JSON form"))?;
    if let Some(pattern) = entry.object.pattern() {
        txn.put(Kind::Pattern, pattern.key().as_bytes(), entry.object.id().as_bytes())?;
    }
    let kind = if entry.is_draft() { Kind::Draft } else { Kind::Object };
    txn.put(kind, entry.object.id().as_bytes(), &json)
}

fn read(json: &[u8]) -> Result<Entry, StoreError> {
    serde_json::from_slice(json).map_err(|_| StoreError::Damaged("an indicator does not read"))
}
