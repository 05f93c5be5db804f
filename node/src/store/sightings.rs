//! What this group saw of indicators, on which day and in which record (docs/indicators.md). It never leaves the node but
//! as a private count of groups.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use hedgerow_protocol::time::{Day, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    error::StoreError,
    records::RecordNumber,
    vault::{Kind, Vault},
};

/// Most sightings. A group that saw one thing a thousand times counts as if it had seen it once: further ones are refused.
const MOST: usize = 200_000;
/// Sightings in one durable commit.
const BATCH: usize = 1000;
const DAMAGED: StoreError = StoreError::Damaged("a sighting does not read");

/// One sighting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sighted {
    /// What was seen: kind and value of an observable, or the key of a pattern of several.
    pub what: String,
    /// The day.
    pub day: Day,
    /// In which record; none where it was seen elsewhere, such as in logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
}

impl Sighted {
    /// What makes it one and no other.
    fn key(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(self).map_err(|_| DAMAGED)
    }
}

/// A sighting, and when it was noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// The sighting.
    #[serde(flatten)]
    pub sighted: Sighted,
    /// When it was noted here.
    pub at: Timestamp,
}

/// The table of sightings.
pub struct Sightings {
    vault: Arc<Vault>,
    held: RwLock<BTreeMap<Sighted, Timestamp>>,
}

impl Sightings {
    /// Over `vault`.
    pub fn open(vault: Arc<Vault>) -> Result<Self, StoreError> {
        let mut held = BTreeMap::new();
        for json in vault.scan(Kind::Sighting) {
            let (sighted, at): (Sighted, Timestamp) = serde_json::from_slice(&json?).map_err(|_| DAMAGED)?;
            held.insert(sighted, at);
        }
        Ok(Self { vault, held: RwLock::new(held) })
    }

    fn held(&self) -> RwLockReadGuard<'_, BTreeMap<Sighted, Timestamp>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes sightings; says how many are new.
    pub fn add(&self, sightings: Vec<Sighted>, at: Timestamp) -> Result<usize, StoreError> {
        let mut new: Vec<Sighted> = {
            let held = self.held();
            sightings.into_iter().filter(|one| !held.contains_key(one)).collect()
        };
        new.sort_unstable();
        new.dedup();
        let count = new.len();
        for some in new.chunks(BATCH) {
            // Before the table is locked: the writer of a vault comes first everywhere.
            let mut txn = self.vault.begin();
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            if held.len().saturating_add(some.len()) > MOST {
                return Err(StoreError::TooLarge { bytes: held.len(), most: MOST });
            }
            for one in some {
                let json = serde_json::to_vec(&(one, at)).map_err(|_| DAMAGED)?;
                txn.put(Kind::Sighting, &one.key()?, &json)?;
            }
            txn.commit()?;
            held.extend(some.iter().map(|one| (one.clone(), at)));
        }
        Ok(count)
    }

    /// Forgets what `gone` says; says how many that were.
    pub fn forget(&self, gone: impl Fn(&Sighted) -> bool) -> Result<usize, StoreError> {
        let list: Vec<Sighted> = self.held().keys().filter(|one| gone(one)).cloned().collect();
        for some in list.chunks(BATCH) {
            let mut txn = self.vault.begin();
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            for one in some {
                txn.delete(Kind::Sighting, &one.key()?);
            }
            txn.commit()?;
            some.iter().for_each(|one| {
                held.remove(one);
            });
        }
        Ok(list.len())
    }

    /// The days on which `what` was seen, each with its record.
    pub fn of(&self, what: &str) -> Vec<(Day, Option<RecordNumber>)> {
        let held = self.held();
        let from = Sighted { what: what.to_owned(), day: Day::FIRST, record: None };
        let from = held.range((Bound::Included(from), Bound::Unbounded));
        from.take_while(|(one, _)| one.what == what)
            .map(|(one, _)| (one.day, one.record.map(RecordNumber)))
            .collect()
    }

    /// Every sighting, by what was seen and by day.
    pub fn list(&self) -> Vec<Noted> {
        self.held().iter().map(|(sighted, at)| Noted { sighted: sighted.clone(), at: *at }).collect()
    }
}
