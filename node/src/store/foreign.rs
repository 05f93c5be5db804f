//! Objects from outside the federation, each under the name of its source (docs/storage.md).
//!
//! They are looked for at home, and go nowhere until somebody adopts them: they are in no export, no batch and no
//! TAXII answer.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use hedgerow_protocol::{indicator::StixObject, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    error::StoreError,
    vault::{Kind, Vault},
};

/// Most objects held; further ones are refused until some are adopted or dropped.
const MOST: usize = 500_000;
/// Not counted yet.
const UNKNOWN: usize = usize::MAX;

/// One object held apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignObject {
    /// Where it came from: the URL that was pulled, or the client who posted it.
    pub source: String,
    /// When this version came.
    pub at: Timestamp,
    /// The object.
    pub object: StixObject,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignStored {
    /// New, or a later version of what was here.
    Stored,
    /// Here already.
    Duplicate,
    /// There is no more room.
    Full,
}

/// The table.
pub struct Foreign {
    vault: Arc<Vault>,
    count: AtomicUsize,
}

impl Foreign {
    /// Over `vault`.
    pub const fn new(vault: Arc<Vault>) -> Self {
        Self { vault, count: AtomicUsize::new(UNKNOWN) }
    }

    /// Takes in objects of one source, in one durable commit; says of each, in order, what became of it.
    pub fn add(
        &self,
        source: &str,
        objects: Vec<StixObject>,
        at: Timestamp,
    ) -> Result<Vec<ForeignStored>, StoreError> {
        let mut txn = self.vault.begin();
        let mut count = self.count()?;
        let mut outcomes = Vec::with_capacity(objects.len());
        let mut ids = std::collections::HashSet::new();
        for object in objects {
            let key = key(source, object.id());
            let held = self.vault.get(Kind::Foreign, &key)?.map(|json| read(&json)).transpose()?;
            let fresh = held.as_ref().is_none_or(|held| held.object.modified() < object.modified());
            outcomes.push(if !fresh || !ids.insert(object.id().to_owned()) {
                ForeignStored::Duplicate
            } else if held.is_none() && count >= MOST {
                ForeignStored::Full
            } else {
                count += usize::from(held.is_none());
                let entry = ForeignObject { source: source.to_owned(), at, object };
                let json = serde_json::to_vec(&entry);
                let json = json.map_err(|_| StoreError::Damaged("a foreign object has no JSON form"))?;
                txn.put(Kind::Foreign, &key, &json)?;
                ForeignStored::Stored
            });
        }
        txn.commit()?;
        self.count.store(count, Ordering::Release);
        Ok(outcomes)
    }

    /// Every one of them, by source and id.
    pub fn list(&self) -> Result<Vec<ForeignObject>, StoreError> {
        let mut all = self
            .vault
            .scan(Kind::Foreign)
            .map(|json| read(&json?))
            .collect::<Result<Vec<ForeignObject>, _>>()?;
        all.sort_by(|a, b| (&a.source, a.object.id()).cmp(&(&b.source, b.object.id())));
        Ok(all)
    }

    /// Drops some.
    pub fn forget<'a>(&self, gone: impl IntoIterator<Item = &'a ForeignObject>) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        for one in gone {
            txn.delete(Kind::Foreign, &key(&one.source, one.object.id()));
        }
        txn.commit()?;
        self.count.store(UNKNOWN, Ordering::Release);
        Ok(())
    }

    /// How many are held.
    pub fn count(&self) -> Result<usize, StoreError> {
        match self.count.load(Ordering::Acquire) {
            UNKNOWN => {
                let counted = self.vault.scan(Kind::Foreign).try_fold(0, |n, json| json.map(|_| n + 1))?;
                self.count.store(counted, Ordering::Release);
                Ok(counted)
            }
            known => Ok(known),
        }
    }
}

fn key(source: &str, id: &str) -> Vec<u8> {
    [source.as_bytes(), b"\0", id.as_bytes()].concat()
}

fn read(json: &[u8]) -> Result<ForeignObject, StoreError> {
    serde_json::from_slice(json).map_err(|_| StoreError::Damaged("a foreign object does not read"))
}
