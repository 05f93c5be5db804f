//! A member's vector with its share of noise: what it hands to the aggregators, in shares (docs/protocol.md §9).

use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    agreed::Round,
    commitment::{Blinding, Packing},
    message::{Abort, Roster, Submission},
    secure_sum::SecureSum,
};
use crate::{
    document::{Flaw, NodeSecret, Signed},
    id::{Digest, Id, NodeId},
    privacy::Mechanism,
    statistic::Plan,
};

/// One member's vector with its share of noise in every cell.
///
/// A share of noise alone guarantees little, so this leaves the node in one way only: split among aggregators. It
/// is kept in the vault, so that a round which ended before anything was revealed can be held again with the same
/// vector, at no further cost.
pub struct NoisedShare(Kept);

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    plan: Id<Plan>,
    /// The round under which it was charged.
    paid: Id<Roster>,
    /// The round to which it went last.
    round: Id<Roster>,
    aggregators: Vec<NodeId>,
    mechanism: Mechanism,
    /// Whether Gaussian noise was added to Gaussian noise: then it is a sum of two, and must not be one of three.
    #[serde(default)]
    merged: bool,
    values: Vec<i64>,
}

impl Drop for NoisedShare {
    fn drop(&mut self) {
        self.0.values.zeroize();
    }
}

impl std::fmt::Debug for NoisedShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NoisedShare({} cells of plan {})", self.0.values.len(), self.0.plan.short())
    }
}

impl NoisedShare {
    pub(crate) fn new(plan: Id<Plan>, paid: Id<Roster>, round: &Round, values: Vec<i64>) -> Self {
        Self(Kept {
            plan,
            paid,
            round: round.id(),
            aggregators: round.aggregators().to_vec(),
            mechanism: round.parameters().mechanism,
            merged: false,
            values,
        })
    }

    /// The plan.
    pub const fn plan(&self) -> Id<Plan> {
        self.0.plan
    }

    /// The round to which it went last.
    pub const fn round(&self) -> Id<Roster> {
        self.0.round
    }

    /// The round under which it was charged.
    pub const fn paid(&self) -> Id<Roster> {
        self.0.paid
    }

    /// Whether every aggregator of the round to which it went says that nothing of it was or will be revealed.
    pub fn is_free(&self, aborts: &[Signed<Abort>]) -> bool {
        self.0.aggregators.iter().all(|aggregator| {
            aborts.iter().any(|a| a.document().round == self.0.round && a.sole_signer() == Ok(*aggregator))
        })
    }

    /// The same vector for another round, after [`Self::is_free`]. Where shares are larger there, noise is added
    /// to what is there already: whoever saw shares of both saw no more than the first. Smaller shares are
    /// refused: noise cannot be taken out. So is Gaussian noise a third time, of which [`crate::privacy::Loss::rho`]
    /// does not speak.
    pub fn again<R: CryptoRng + ?Sized>(&self, round: &Round, rng: &mut R) -> Result<Self, Flaw> {
        let mut next = Self(Kept {
            round: round.id(),
            aggregators: round.aggregators().to_vec(),
            mechanism: round.parameters().mechanism,
            ..self.0.clone()
        });
        if let Some(more) = self.0.mechanism.missing_to(&next.0.mechanism)? {
            if self.0.merged {
                return Err(Flaw::new("share", "noise was added to it before"));
            }
            next.0.merged = more.sigma().is_some();
            more.add_to(&mut next.0.values, rng)?;
        }
        Ok(next)
    }

    /// Its bytes for the vault, which encrypts them; they go nowhere else.
    pub fn to_vault(&self) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        serde_json::to_vec(&self.0).map(Zeroizing::new).map_err(|_| Flaw::new("share", "has no JSON form"))
    }

    /// Reads what [`Self::to_vault`] wrote.
    pub fn from_vault(bytes: &[u8]) -> Result<Self, Flaw> {
        serde_json::from_slice(bytes).map(Self).map_err(|_| Flaw::new("share", "does not read"))
    }

    /// Commits to the vector and splits it: the signed submission and one message for each aggregator.
    pub(super) fn submit<R: CryptoRng + ?Sized>(
        &self,
        round: &Round,
        secret: &NodeSecret,
        rng: &mut R,
    ) -> Result<(Signed<Submission>, Vec<Vec<u8>>), Flaw> {
        let (offset, largest) = (round.parameters().offset, round.parameters().largest());
        let vector: Zeroizing<Vec<u128>> = Zeroizing::new(
            self.0
                .values
                .iter()
                .map(|v| u128::from(v.saturating_add_unsigned(offset).max(0).unsigned_abs().min(largest)))
                .collect(),
        );
        let blinding = Blinding::random(rng);
        let packing = Packing::new(round.parameters().bits, round.seats().len());
        let commitment = packing.commit(&vector, &blinding)?;
        let mut shares = SecureSum::of(round)?.shard(&secret.node_id(), &vector)?;
        for (share, blinding) in shares.iter_mut().zip(blinding.split(round.aggregators().len(), rng)) {
            share.extend(blinding.to_bytes());
        }
        let submission = Submission {
            version: 1,
            round: round.id(),
            commitment,
            shares: shares.iter().map(|s| Digest::of(s)).collect(),
        };
        let signed = Signed::new(submission, secret).map_err(|e| Flaw::new("submission", e.to_string()))?;
        Ok((signed, shares))
    }
}

/// A message of [`NoisedShare::submit`] in its two parts: the share of the vector, and that of the blinding factor.
pub(super) fn parts(message: &[u8]) -> Result<(&[u8], Blinding), Flaw> {
    let flaw = || Flaw::new("submission", "a share does not read");
    let (share, blinding) =
        message.len().checked_sub(32).and_then(|at| message.split_at_checked(at)).ok_or_else(flaw)?;
    Ok((share, Blinding::from_bytes(blinding).ok_or_else(flaw)?))
}
