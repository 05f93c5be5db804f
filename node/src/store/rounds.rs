//! What must be known of rounds after a restart: the vector that was handed in, what an aggregator did, the round
//! that was led last, and its release (docs/storage.md).

use std::sync::Arc;

use hedgerow_protocol::{
    id::{Digest, Id},
    round::{Drawn, Mark, NoisedShare, Roster},
    statistic::Plan,
};
use zeroize::Zeroizing;

use super::{
    error::StoreError,
    vault::{Kind, Vault},
};

/// Bytes of a round led that lie in one value: a roster of a thousand members is longer than a value may be.
const PART_BYTES: usize = 64 * 1024;

/// The table of rounds.
pub struct Rounds {
    vault: Arc<Vault>,
}

impl Rounds {
    /// Over `vault`.
    pub const fn new(vault: Arc<Vault>) -> Self {
        Self { vault }
    }

    /// The vector that was handed in for `plan` last.
    pub fn kept(&self, plan: &Id<Plan>) -> Result<Option<NoisedShare>, StoreError> {
        let Some(bytes) = self.get(Kind::Share, plan.digest())? else { return Ok(None) };
        let share = NoisedShare::from_vault(&bytes);
        share.map(Some).map_err(|_| StoreError::Damaged("a vector handed in to a round does not read"))
    }

    /// Keeps a vector, durably, before it leaves.
    pub fn keep(&self, share: &NoisedShare) -> Result<(), StoreError> {
        let bytes = share.to_vault().map_err(|_| StoreError::Damaged("a vector has no form to keep"))?;
        self.put(Kind::Share, share.plan().digest(), &bytes)
    }

    /// What this node did about a round as an aggregator.
    pub fn mark(&self, round: &Id<Roster>) -> Result<Option<Mark>, StoreError> {
        let Some(bytes) = self.get(Kind::Mark, round.digest())? else { return Ok(None) };
        match bytes.as_slice() {
            [0] => Ok(Some(Mark::Opened)),
            [1] => Ok(Some(Mark::Revealed)),
            [2] => Ok(Some(Mark::Aborted)),
            _ => Err(StoreError::Damaged("the mark of a round does not read")),
        }
    }

    /// Marks a round, durably.
    pub fn set_mark(&self, round: &Id<Roster>, mark: Mark) -> Result<(), StoreError> {
        let byte = match mark {
            Mark::Opened => 0,
            Mark::Revealed => 1,
            Mark::Aborted => 2,
        };
        self.put(Kind::Mark, round.digest(), &[byte])
    }

    /// The last round on `plan` that this node led and asked vectors for, so that it can be held again at no cost if
    /// nothing of it was revealed. One that an older version of this program wrote is of no use: it costs anew.
    pub fn attempt(&self, plan: &Id<Plan>) -> Result<Option<Drawn>, StoreError> {
        self.vault.ensure_durable()?;
        let mut json = Zeroizing::new(Vec::new());
        for n in 0..=u8::MAX {
            let Some(part) = self.vault.get(Kind::Attempt, &part_of(plan, n))? else { break };
            let Some((last, bytes)) = part.split_first() else { break };
            json.extend_from_slice(bytes);
            if *last == 1 {
                return Ok(serde_json::from_slice(&json).ok());
            }
        }
        Ok(None)
    }

    /// Keeps a round that this node leads, before anyone is asked for a vector.
    pub fn put_attempt(&self, plan: &Id<Plan>, drawn: &Drawn) -> Result<(), StoreError> {
        let json =
            serde_json::to_vec(drawn).map_err(|_| StoreError::Damaged("a round has no form to keep"))?;
        let parts = json.chunks(PART_BYTES);
        let last = parts.len().saturating_sub(1);
        let mut txn = self.vault.begin();
        for ((at, part), n) in parts.enumerate().zip(0u8..) {
            let value = [&[u8::from(at == last)], part].concat();
            txn.put(Kind::Attempt, &part_of(plan, n), &value)?;
        }
        txn.commit()
    }

    /// The release of a round on `plan`: the hash of its envelope, by which [`super::Documents`] has it.
    pub fn released(&self, plan: &Id<Plan>) -> Result<Option<Digest>, StoreError> {
        let Some(bytes) = self.get(Kind::Released, plan.digest())? else { return Ok(None) };
        let bytes = <[u8; 32]>::try_from(bytes.as_slice())
            .map_err(|_| StoreError::Damaged("the note of a release does not read"))?;
        Ok(Some(Digest::from_bytes(bytes)))
    }

    /// Notes the release of a round.
    pub fn put_released(&self, plan: &Id<Plan>, release: Digest) -> Result<(), StoreError> {
        self.put(Kind::Released, plan.digest(), release.as_bytes())
    }

    fn get(&self, kind: Kind, key: Digest) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.vault.ensure_durable()?;
        self.vault.get(kind, key.as_bytes())
    }

    fn put(&self, kind: Kind, key: Digest, value: &[u8]) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        txn.put(kind, key.as_bytes(), value)?;
        txn.commit()
    }
}

fn part_of(plan: &Id<Plan>, n: u8) -> Vec<u8> {
    [plan.digest().as_bytes().as_slice(), &[n]].concat()
}
