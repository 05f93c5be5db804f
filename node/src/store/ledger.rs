//! The ledger: what was spent, and the answers it paid for (docs/protocol.md §4, docs/storage.md).

use std::sync::{Arc, Mutex, PoisonError};

use hedgerow_protocol::{
    document::Envelope,
    id::Id,
    privacy::{Accountant, AuthoriseError, Caps, Charge, Permit},
    statistic::Plan,
};

use super::{
    error::StoreError,
    rounds::Rounds,
    vault::{Kind, Vault},
};

/// The ledger of one node under one charter.
pub struct Ledger {
    vault: Arc<Vault>,
    accountant: Mutex<Accountant>,
}

impl Ledger {
    /// Reads every charge and rebuilds the filter.
    pub fn open(vault: Arc<Vault>, caps: Caps) -> Result<Self, StoreError> {
        let charges = read(&vault)?;
        let mut answered = std::collections::BTreeSet::new();
        let rounds = Rounds::new(Arc::clone(&vault));
        for charge in &charges {
            let stored = match charge.round {
                None => vault.get(Kind::Answer, charge.plan.digest().as_bytes())?.is_some(),
                Some(round) => rounds.kept(&charge.plan)?.is_some_and(|kept| kept.paid() == round),
            };
            if stored {
                answered.insert((charge.plan, charge.round));
            }
        }
        let stored = |charge: &Charge| answered.contains(&(charge.plan, charge.round));
        let accountant = Mutex::new(Accountant::replay(caps, &charges, stored));
        Ok(Self { vault, accountant })
    }

    /// Charges, durably, and gives the permit.
    pub fn authorise(&self, charge: &Charge) -> Result<Permit, AuthoriseError<StoreError>> {
        let mut accountant = self.accountant.lock().unwrap_or_else(PoisonError::into_inner);
        accountant.authorise(charge, |charge| {
            let mut txn = self.vault.begin();
            let json = serde_json::to_vec(charge).map_err(|_| StoreError::Damaged("a charge"))?;
            txn.append(Kind::Charge, &json)?;
            txn.commit()
        })
    }

    /// The answer given to `plan` before, in its signed envelope.
    pub fn answer(&self, plan: &Id<Plan>) -> Result<Option<Envelope>, StoreError> {
        self.vault.ensure_durable()?;
        let Some(bytes) = self.vault.get(Kind::Answer, plan.digest().as_bytes())? else { return Ok(None) };
        Envelope::from_json(&bytes)
            .map(Some)
            .map_err(|_| StoreError::Damaged("a stored answer does not open"))
    }

    /// Keeps the answer to `plan`, durably, before it leaves.
    pub fn put_answer(&self, plan: &Id<Plan>, answer: &Envelope) -> Result<(), StoreError> {
        let json = answer.to_json().map_err(|_| StoreError::Damaged("an answer has no JSON form"))?;
        let mut txn = self.vault.begin();
        txn.put(Kind::Answer, plan.digest().as_bytes(), &json)?;
        txn.commit()
    }

    /// Reads the accountant.
    pub fn look<T>(&self, read: impl FnOnce(&Accountant) -> T) -> T {
        read(&self.accountant.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every charge, oldest first.
    pub fn charges(&self) -> Result<Vec<Charge>, StoreError> {
        read(&self.vault)
    }
}

fn read(vault: &Vault) -> Result<Vec<Charge>, StoreError> {
    vault
        .scan_from(Kind::Charge, 0)
        .zip(0u64..)
        .map(|(pair, expected)| {
            let (n, json) = pair?;
            // A hole would be a charge forgotten.
            if n != expected {
                return Err(StoreError::Damaged("a ledger entry is missing"));
            }
            serde_json::from_slice(&json).map_err(|_| StoreError::Damaged("a ledger entry does not read"))
        })
        .collect()
}
