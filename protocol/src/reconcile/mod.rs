//! What two members lack of each other's documents, at a cost that grows with the difference (docs/protocol.md §8).
//!
//! Documents lie in **epochs** by the date that their signer gave them, so that what is long settled is compared by one
//! digest an epoch. Where those differ, range-based set reconciliation (Meyer 2023, arXiv 2212.13567; negentropy) finds
//! the ids. No clock, no socket: messages in, messages out.

mod set;
#[cfg(test)]
mod tests;

use negentropy::{Id as Known, Negentropy};
use serde::{Deserialize, Serialize};

pub use self::set::{EpochSum, Set, Snapshot, dated, epoch_of};
use crate::{id::Digest, limits};

/// Why a reconciliation is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// More bytes than [`limits::RECONCILE_BYTES`].
    #[error("a message of a reconciliation is longer than {} bytes", limits::RECONCILE_BYTES)]
    TooLong,
    /// Not a message of the protocol.
    #[error("a message of a reconciliation does not read")]
    Malformed,
    /// More rounds than any honest difference takes.
    #[error("a reconciliation did not end within {} rounds", limits::RECONCILE_ROUNDS)]
    Endless,
}

/// What to do about another member's list of epochs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compared {
    /// So much is missing that the whole list of the other side is the shorter way.
    Bulk,
    /// These epochs differ; the latest first, since what is new is needed most.
    Epochs(Vec<u32>),
}

/// Compares what is here with what another member says it holds. An epoch that it has nothing of needs no asking.
pub fn compare(ours: &[EpochSum], theirs: &[EpochSum]) -> Compared {
    let mut differ = Vec::new();
    let (mut lacking, mut all) = (0u64, 0u64);
    for their in theirs.iter().take(limits::EPOCHS) {
        let our = ours.iter().find(|our| our.epoch == their.epoch);
        all = all.saturating_add(their.count);
        lacking = lacking.saturating_add(their.count.saturating_sub(our.map_or(0, |our| our.count)));
        if our.is_none_or(|our| our.digest != their.digest) {
            differ.push(their.epoch);
        }
    }
    if lacking > limits::DESCRIBED as u64 && lacking >= all / 2 {
        return Compared::Bulk;
    }
    differ.sort_unstable_by_key(|epoch| std::cmp::Reverse(*epoch));
    differ.dedup();
    Compared::Epochs(differ)
}

/// The answer to a message about an epoch. Work is one pass over the epoch at most, whatever the message says.
pub fn answer(epoch: Snapshot, message: &[u8]) -> Result<Vec<u8>, ReconcileError> {
    if message.len() > limits::RECONCILE_BYTES {
        return Err(ReconcileError::TooLong);
    }
    let mut other = negotiator(epoch)?;
    other.reconcile(message).map_err(|_| ReconcileError::Malformed)
}

fn negotiator(epoch: Snapshot) -> Result<Negentropy<'static, Snapshot>, ReconcileError> {
    Negentropy::owned(epoch, limits::RECONCILE_BYTES as u64).map_err(|_| ReconcileError::Malformed)
}

/// One epoch being reconciled by the member who asks.
pub struct Session {
    own: Negentropy<'static, Snapshot>,
    rounds: usize,
    needed: Vec<Digest>,
}

impl Session {
    /// Begins: the session, and its first message.
    pub fn begin(epoch: Snapshot) -> Result<(Self, Vec<u8>), ReconcileError> {
        let mut own = negotiator(epoch)?;
        let first = own.initiate().map_err(|_| ReconcileError::Malformed)?;
        Ok((Self { own, rounds: 0, needed: Vec::new() }, first))
    }

    /// Takes an answer; the next message, or none when all is known, or as much of it as one session takes.
    pub fn hear(&mut self, answer: &[u8]) -> Result<Option<Vec<u8>>, ReconcileError> {
        if answer.len() > limits::RECONCILE_BYTES {
            return Err(ReconcileError::TooLong);
        }
        self.rounds += 1;
        let (mut held, mut needed) = (Vec::new(), Vec::new());
        let next = self.own.reconcile_with_ids(answer, &mut held, &mut needed);
        let next = next.map_err(|_| ReconcileError::Malformed)?;
        let room = limits::NEEDED.saturating_sub(self.needed.len());
        self.needed.extend(needed.iter().take(room).map(|id: &Known| Digest::from_bytes(**id)));
        if self.needed.len() >= limits::NEEDED {
            return Ok(None);
        }
        if next.is_some() && self.rounds >= limits::RECONCILE_ROUNDS {
            return Err(ReconcileError::Endless);
        }
        Ok(next)
    }

    /// How many answers were heard.
    pub const fn rounds(&self) -> usize {
        self.rounds
    }

    /// What the other side has and this one lacks, each once.
    pub fn into_needed(mut self) -> Vec<Digest> {
        self.needed.sort_unstable();
        self.needed.dedup();
        self.needed
    }
}
