//! The local allow-list: what is no attack here, whoever says it is (docs/indicators.md).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use hedgerow_protocol::{
    indicator::{Observable, ObservableKind, Pattern, StixObject},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{
    error::StoreError,
    vault::{Kind, Vault},
};

/// Most entries: a list that a person keeps.
const MOST: usize = 100_000;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// Kind of the observable, as in tables.
    pub kind: String,
    /// Its value in the normal spelling.
    pub value: String,
    /// Why.
    pub note: String,
    /// Since when.
    pub at: Timestamp,
}

/// The list. An object all of whose alternatives are on it is not listed, exported or matched.
pub struct AllowList {
    vault: Arc<Vault>,
    held: RwLock<BTreeMap<String, Allowed>>,
    /// How often something was taken off.
    removed: AtomicU64,
}

impl AllowList {
    pub(super) fn open(vault: Arc<Vault>) -> Result<Self, StoreError> {
        let mut held = BTreeMap::new();
        for json in vault.scan(Kind::Allowed) {
            let entry: Allowed =
                serde_json::from_slice(&json?).map_err(|_| StoreError::Damaged("the allow-list"))?;
            held.insert(format!("{} {}", entry.kind, entry.value), entry);
        }
        Ok(Self { vault, held: RwLock::new(held), removed: AtomicU64::new(0) })
    }

    /// Puts an observable on the list.
    pub fn add(&self, observable: &Observable, note: &str, at: Timestamp) -> Result<Allowed, StoreError> {
        let entry = Allowed {
            kind: observable.kind().name().to_owned(),
            value: observable.value().to_owned(),
            note: note.chars().take(512).collect(),
            at,
        };
        let key = observable.to_string();
        let json = serde_json::to_vec(&entry).map_err(|_| StoreError::Damaged("the allow-list"))?;
        let mut txn = self.vault.begin();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MOST {
            return Err(StoreError::TooLarge { bytes: held.len(), most: MOST });
        }
        txn.put(Kind::Allowed, key.as_bytes(), &json)?;
        txn.commit()?;
        held.insert(key, entry.clone());
        Ok(entry)
    }

    /// Takes an observable off the list; false if it was not on it.
    pub fn remove(&self, observable: &Observable) -> Result<bool, StoreError> {
        let key = observable.to_string();
        let mut txn = self.vault.begin();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if !held.contains_key(&key) {
            return Ok(false);
        }
        txn.delete(Kind::Allowed, key.as_bytes());
        txn.commit()?;
        held.remove(&key);
        self.removed.fetch_add(1, Ordering::Release);
        Ok(true)
    }

    /// How often something was taken off since it was opened: objects that were covered by it may be back.
    pub fn removed(&self) -> u64 {
        self.removed.load(Ordering::Acquire)
    }

    /// Every entry, by kind and value.
    pub fn entries(&self) -> Vec<Allowed> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether a value is on the list, or on a host that is.
    pub fn has(&self, observable: &Observable) -> bool {
        on(&self.held.read().unwrap_or_else(PoisonError::into_inner), observable)
    }

    /// The domains on the list.
    pub fn domains(&self) -> Vec<String> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let domain = ObservableKind::Domain.name();
        held.values().filter(|entry| entry.kind == domain).map(|entry| entry.value.clone()).collect()
    }

    /// Whether `object` looks for nothing but what is on the list. A name on it covers the pages on that host.
    pub fn covers(&self, object: &StixObject) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if held.is_empty() {
            return false;
        }
        let on = |o: &Observable| on(&held, o);
        match object.pattern() {
            // Of several that have to come together, one that is harmless makes the whole so.
            Some(Pattern::All(all)) => all.iter().any(on),
            Some(Pattern::One(_) | Pattern::Any(_)) => {
                object.pattern().is_some_and(|p| p.observables().iter().all(on))
            }
            _ => false,
        }
    }
}

fn on(held: &BTreeMap<String, Allowed>, observable: &Observable) -> bool {
    let host = || observable.host().filter(|_| observable.kind() == ObservableKind::Url);
    held.contains_key(&observable.to_string())
        || host().is_some_and(|host| held.contains_key(&format!("domain {host}")))
}
