//! The ledger: what was spent, and the answers it paid for (docs/protocol.md §4, docs/storage.md).

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use hedgerow_protocol::{
    document::Envelope,
    id::Id,
    privacy::{Accountant, AuthoriseError, Caps, Charge, Permit},
    round::Roster,
    statistic::Plan,
};

use super::{
    error::StoreError,
    rounds::Rounds,
    settings::forget_restored,
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
        let accountant = Mutex::new(replayed(&vault, caps, &charges)?);
        Ok(Self { vault, accountant })
    }

    /// Charges what a restored ledger does not know of, whatever the caps say, with the answers that some of it paid for;
    /// and once more each charge that no stored answer shows as used, since what it paid for may have left after the
    /// backup. From then on the ledger counts as known. One commit; gives how many were charged once more.
    pub fn make_up(&self, lost: Vec<Charge>, answers: Vec<(Id<Plan>, Envelope)>) -> Result<u64, StoreError> {
        let mut accountant = self.accountant.lock().unwrap_or_else(PoisonError::into_inner);
        let mut charges = read(&self.vault)?;
        let answered = answered(&self.vault, &charges)?;
        let unsure = charges.iter().filter(|c| !answered.contains(&(c.plan, c.round))).cloned();
        let mut added: Vec<Charge> = unsure.collect();
        let again = added.len() as u64;
        added.extend(lost);
        let mut txn = self.vault.begin();
        for charge in &added {
            let json = serde_json::to_vec(charge).map_err(|_| StoreError::Damaged("a charge"))?;
            txn.append(Kind::Charge, &json)?;
        }
        for (plan, answer) in &answers {
            let json = answer.to_json().map_err(|_| StoreError::Damaged("an answer has no JSON form"))?;
            txn.put(Kind::Answer, plan.digest().as_bytes(), &json)?;
        }
        forget_restored(&mut txn);
        txn.commit()?;
        charges.extend(added);
        *accountant = replayed(&self.vault, accountant.caps().clone(), &charges)?;
        Ok(again)
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

/// The filter over `charges`.
fn replayed(vault: &Arc<Vault>, caps: Caps, charges: &[Charge]) -> Result<Accountant, StoreError> {
    let answered = answered(vault, charges)?;
    Ok(Accountant::replay(caps, charges, |charge| answered.contains(&(charge.plan, charge.round))))
}

/// A plan, and its round if it was paid for in one.
type PaidFor = (Id<Plan>, Option<Id<Roster>>);

/// The charges whose answers are stored.
fn answered(vault: &Arc<Vault>, charges: &[Charge]) -> Result<BTreeSet<PaidFor>, StoreError> {
    let rounds = Rounds::new(Arc::clone(vault));
    let mut answered = BTreeSet::new();
    for charge in charges {
        let stored = match charge.round {
            None => vault.get(Kind::Answer, charge.plan.digest().as_bytes())?.is_some(),
            Some(round) => rounds.kept(&charge.plan)?.is_some_and(|kept| kept.paid() == round),
        };
        if stored {
            answered.insert((charge.plan, charge.round));
        }
    }
    Ok(answered)
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
