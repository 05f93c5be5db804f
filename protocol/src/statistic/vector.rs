//! The vector of a plan: exact, then noised. The types see to it that only the noised one leaves
//! (docs/protocol.md §3, §4).

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::CryptoRng;
use sha2::Sha256;
use siphasher::sip::SipHasher24;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{answer::Contribution, count::count, plan::Plan, query::Measure};
use crate::{
    document::Flaw,
    facet::FacetTable,
    id::Id,
    privacy::{Mechanism, MicroEpsilon, Permit},
    round::{NoisedShare, Round},
    time::Timestamp,
};

/// The key by which a node chooses which of a person's cells count when there are too many. Secret, so that
/// nobody can foresee the choice; fixed, so that the same question on the same data makes the same one.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SampleKey([u8; 32]);

impl SampleKey {
    /// Takes 32 secret bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The ranks of one plan.
    pub(super) fn ranks(&self, plan: &Id<Plan>) -> Ranks {
        // HMAC takes keys of any length, so this cannot fail; ranks under no key would only be foreseen.
        let tag: [u8; 32] = Hmac::<Sha256>::new_from_slice(&self.0).map_or([0; 32], |mut mac| {
            mac.update(plan.digest().as_bytes());
            mac.finalize().into_bytes().into()
        });
        let mut key = [0; 16];
        key.iter_mut().zip(tag).for_each(|(to, from)| *to = from);
        Ranks(SipHasher24::new_with_key(&key))
    }
}

/// Ranks by which one plan's cells of a person are chosen: SipHash-2-4, whose key is the first half of the HMAC-SHA256 of
/// the plan's id under a [`SampleKey`]. There are as many as cells that people touch, so each must cost little.
pub(super) struct Ranks(SipHasher24);

impl Ranks {
    /// That of one person's cell.
    pub(super) fn of(&self, person: u64, group: u32) -> u64 {
        let (person, group) = (person.to_be_bytes(), group.to_be_bytes());
        let mut bytes = [0; 12];
        bytes.iter_mut().zip(person.into_iter().chain(group)).for_each(|(to, from)| *to = from);
        self.0.hash(&bytes)
    }
}

impl fmt::Debug for SampleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SampleKey(..)")
    }
}

/// The bounded counts of one plan at one node, without noise.
///
/// Has no accessor, no encoding, no copy: the one thing to do with it is [`Exact::noise`].
pub struct Exact {
    plan: Id<Plan>,
    mechanism: Mechanism,
    epsilon: MicroEpsilon,
    values: Vec<i64>,
}

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exact({} cells of plan {})", self.values.len(), self.plan.short())
    }
}

impl Exact {
    /// Counts the facets of `table` into the cells of `plan`. Whatever they are, adding or removing all of one person
    /// changes the result by at most [`Plan::sensitivity`] says.
    pub fn count(plan: &Plan, table: &FacetTable, key: &SampleKey) -> Result<Self, Flaw> {
        if plan.measure() == Measure::Groups {
            return Err(Flaw::new("plan", "it counts sightings, not records"));
        }
        Self::of(plan, count(plan, table, key))
    }

    /// The counts of `plan` as they are: for what else counts within its bounds.
    pub(super) fn of(plan: &Plan, values: Vec<i64>) -> Result<Self, Flaw> {
        Ok(Self { plan: plan.id(), mechanism: plan.mechanism()?, epsilon: plan.epsilon(), values })
    }

    /// Adds the noise that `permit` paid for. Both are used up.
    pub fn noise<R: CryptoRng + ?Sized>(mut self, permit: Permit, rng: &mut R) -> Result<Noised, Flaw> {
        // Both come from the same plan in a sound node; the check keeps a mixed-up one from undercharging.
        if permit.plan() != self.plan || permit.epsilon() != self.epsilon {
            return Err(Flaw::new("permit", "paid for another plan"));
        }
        self.mechanism.add_to(&mut self.values, rng)?;
        Ok(Noised { plan: self.plan, mechanism: self.mechanism, values: std::mem::take(&mut self.values) })
    }

    /// Adds this node's share of the noise of `round`, which `permit` paid for. All three must be of one plan.
    ///
    /// What a cell counts above the charter's bound is cut off before: a map that brings no two vectors further
    /// apart, so it costs nothing.
    pub fn noise_share<R: CryptoRng + ?Sized>(
        mut self,
        permit: Permit,
        round: &Round,
        rng: &mut R,
    ) -> Result<NoisedShare, Flaw> {
        let terms = round.terms();
        let Some(paid) =
            permit.paid().filter(|_| permit.plan() == self.plan && permit.epsilon() == self.epsilon)
        else {
            return Err(Flaw::new("permit", "paid for another plan"));
        };
        if terms.id() != self.plan {
            return Err(Flaw::new("round", "for another plan"));
        }
        let most = i64::try_from(terms.most_in_cell()).unwrap_or(i64::MAX);
        self.values.iter_mut().for_each(|value| *value = (*value).min(most));
        round.parameters().mechanism.add_to(&mut self.values, rng)?;
        Ok(NoisedShare::new(self.plan, paid, round, std::mem::take(&mut self.values)))
    }

    #[cfg(test)]
    pub(crate) fn values_for_tests(&self) -> &[i64] {
        &self.values
    }
}

/// A vector with its noise: what may leave the node.
#[derive(Debug)]
#[must_use = "it was paid for"]
pub struct Noised {
    plan: Id<Plan>,
    mechanism: Mechanism,
    values: Vec<i64>,
}

impl Noised {
    /// The document in which it leaves, still to be signed.
    pub fn into_contribution(self, made_at: Timestamp) -> Contribution {
        Contribution { version: 1, plan: self.plan, mechanism: self.mechanism, values: self.values, made_at }
    }
}
