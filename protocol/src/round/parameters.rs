//! The public parameters of a round: how wide one share of noise is, and the range that every value must lie in
//! (docs/protocol.md §9).

use serde::{Deserialize, Serialize};

use crate::{
    document::{Charter, Flaw, Signed, charter::RoundPolicy},
    id::Id,
    privacy::{AgainstMembers, Guarantee, Loss, Mechanism, MicroEpsilon},
    statistic::{Mode, Plan},
};

/// Natural logarithm of the chance, for one federation, that any share of noise is cut at the edge of its range:
/// below exp(-40) = 4.3e-18.
const EDGE: f64 = 40.0;
/// Steps in which a share is made larger than it need be to keep to the charter's cap against aggregators.
const SHAPE_STEPS: u64 = 256;
/// Most bits of one value.
const MOST_BITS: u32 = 48;
/// Most bits of one vector: a leader's share is 16 bytes for each, and has to fit a message.
const MOST_VECTOR_BITS: usize = 200_000;

/// What charter and plan say of every round on that plan.
#[derive(Debug, Clone)]
pub struct Terms {
    plan: Plan,
    id: Id<Plan>,
    policy: RoundPolicy,
    aggregators: u32,
    nodes_per_person: u32,
    contributions: u32,
}

impl Terms {
    /// The terms of `plan`, which asks for a round under `charter`.
    pub fn new(plan: Plan, charter: &Signed<Charter>) -> Result<Self, Flaw> {
        let document = charter.document();
        let policy = document.privacy.round.filter(|_| plan.mode() == Mode::Round);
        let policy = policy.ok_or_else(|| Flaw::new("mode", "the plan or the charter is not for rounds"))?;
        if plan.charter() != charter.id() {
            return Err(Flaw::new("plan", "it is for another charter"));
        }
        Ok(Self {
            id: plan.id(),
            plan,
            policy,
            aggregators: document.aggregators,
            nodes_per_person: document.privacy.nodes_per_person,
            contributions: document.privacy.contributions,
        })
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan's id.
    pub const fn id(&self) -> Id<Plan> {
        self.id
    }

    /// The charter's policy.
    pub const fn policy(&self) -> &RoundPolicy {
        &self.policy
    }

    /// k: how many aggregators a round has.
    pub const fn aggregators(&self) -> u32 {
        self.aggregators
    }

    /// Fewest members on a roster: the charter's contributions, 3, and 2 more than are tolerated.
    pub fn fewest(&self) -> usize {
        self.contributions.max(3).max(self.policy.tolerated.saturating_add(2)) as usize
    }

    /// Fewest of `seats` members whose vectors make a release: n - t, and the charter's contributions.
    pub fn quorum(&self, seats: usize) -> usize {
        seats.saturating_sub(self.policy.tolerated as usize).max(self.contributions as usize).max(2)
    }

    /// Against every aggregator together, who see each vector with its own share of noise alone.
    fn against_aggregators(&self, shape: f64) -> Result<MicroEpsilon, Flaw> {
        self.loss()?.epsilon(shape)
    }

    fn loss(&self) -> Result<Loss, Flaw> {
        Ok(Loss::new(&self.plan.mechanism()?, self.plan.cells_per_person(), self.plan.per_cell()))
    }

    /// What a release of `included` vectors guarantees, each with one share of `mechanism`.
    pub fn guarantee(&self, mechanism: &Mechanism, included: usize) -> Result<Guarantee, Flaw> {
        let shape = mechanism.shape();
        let (s, t) = (included as f64, f64::from(self.policy.tolerated));
        let loss = self.loss()?;
        let epsilon_at_those_nodes = loss.of_group(self.nodes_per_person).epsilon(s * shape)?;
        // (epsilon, (1 + e^epsilon) edge) where no share is cut but with probability `edge` (docs/privacy.md).
        let edge = (1.0 + (epsilon_at_those_nodes.micros() as f64 / 1e6).exp()) * (-EDGE).exp();
        if edge > 1e-9 {
            return Err(Flaw::new("epsilon", "so large an epsilon leaves no useful delta"));
        }
        Ok(Guarantee {
            epsilon: loss.epsilon(s * shape)?,
            delta_e12: (edge * 1e12).ceil().max(1.0) as u64,
            nodes_per_person: self.nodes_per_person,
            epsilon_at_those_nodes,
            members: Some(AgainstMembers {
                colluding: self.policy.tolerated,
                epsilon_colluding: loss.epsilon((s - t) * shape)?,
                epsilon_aggregators: self.against_aggregators(shape)?,
            }),
        })
    }
}

/// How one member's vector is made: one share of noise, and a public offset that keeps it from going below 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The share of noise that each member adds to each cell.
    pub mechanism: Mechanism,
    /// Added to every value, and taken off the sum once for each member.
    pub offset: u64,
    /// Every value lies below 2^bits.
    pub bits: u32,
}

impl Parameters {
    /// For a roster of `seats`: a shape of 1/(n-t), or more where the charter's cap against aggregators or
    /// `at_least` asks for it.
    pub fn new(terms: &Terms, seats: usize, at_least: Option<&Mechanism>) -> Result<Self, Flaw> {
        let holding = holding(terms, seats)?;
        let shape_needed = at_least.map_or(0.0, Mechanism::shape);
        let enough = |(numerator, denominator): (u64, u64)| {
            let shape = numerator as f64 / denominator as f64;
            shape >= shape_needed && self::capped(terms, shape, 0)
        };
        let smallest = (1, holding);
        let shape = if enough(smallest) {
            smallest
        } else {
            let steps: Vec<u64> = (1..=SHAPE_STEPS).filter(|i| i * holding >= SHAPE_STEPS).collect();
            let at = steps.partition_point(|i| !enough((*i, SHAPE_STEPS)));
            let numerator = steps.get(at).ok_or_else(|| {
                Flaw::new("epsilon", "no share of noise keeps to the charter's cap against aggregators")
            })?;
            (*numerator, SHAPE_STEPS)
        };
        let plan = terms.plan();
        let mechanism = Mechanism::laplace_shares(plan.l1_sensitivity(), plan.epsilon(), shape)?;
        let offset = least_offset(terms, seats, &mechanism).ceil() as u64 + 1;
        let parameters = Self { mechanism, offset, bits: bits(terms, offset)? };
        parameters.check(terms, seats)?;
        Ok(parameters)
    }

    /// Whether these keep to the terms for a roster of `seats`. Real numbers are compared with a margin, so that
    /// two machines which round differently agree.
    pub fn check(&self, terms: &Terms, seats: usize) -> Result<(), Flaw> {
        let flaw = |what: &str| Flaw::new("parameters", what);
        let Mechanism::LaplaceShares { shape_numerator, shape_denominator, .. } = self.mechanism else {
            return Err(flaw("a round draws its noise in shares"));
        };
        let plan = terms.plan();
        let shape = (shape_numerator, shape_denominator);
        if Mechanism::laplace_shares(plan.l1_sensitivity(), plan.epsilon(), shape) != Ok(self.mechanism) {
            return Err(flaw("the noise is not that of the plan"));
        }
        let holding = holding(terms, seats)?;
        if u128::from(shape_numerator) * u128::from(holding) < u128::from(shape_denominator) {
            return Err(flaw("the shares of those who must report do not add up to whole noise"));
        }
        if !capped(terms, self.mechanism.shape(), 1) {
            return Err(flaw("a share is smaller than the charter's cap against aggregators allows"));
        }
        let least = least_offset(terms, seats, &self.mechanism);
        if (self.offset as f64) < least || (self.offset as f64) > least + 4.0 {
            return Err(flaw("the offset is not that of the noise"));
        }
        if self.bits != bits(terms, self.offset)? {
            return Err(flaw("the range is not that of the noise"));
        }
        if plan.cells().saturating_mul(self.bits as usize) > MOST_VECTOR_BITS {
            return Err(flaw("cells times bits are too many for one message; ask for fewer cells"));
        }
        Ok(())
    }

    /// Largest value of a member's vector: 2^bits - 1.
    pub const fn largest(&self) -> u64 {
        (1 << self.bits) - 1
    }
}

/// n - t: the members whose shares must come to whole noise.
fn holding(terms: &Terms, seats: usize) -> Result<u64, Flaw> {
    match seats.checked_sub(terms.policy.tolerated as usize) {
        Some(holding @ 2..) if seats >= terms.fewest() => Ok(holding as u64),
        _ => Err(Flaw::new("roster", format!("{seats} members are too few; {} are needed", terms.fewest()))),
    }
}

fn capped(terms: &Terms, shape: f64, margin: u64) -> bool {
    let cap = terms.policy.epsilon_aggregators.micros();
    terms.against_aggregators(shape).is_ok_and(|e| e.micros() <= cap + margin)
}

/// A share passes B with a chance below 2 exp(-B / scale), since its shape is at most 1. So that none of n L
/// shares does, but with a chance of exp(-EDGE): B = scale (ln(2 n L) + EDGE).
fn least_offset(terms: &Terms, seats: usize, mechanism: &Mechanism) -> f64 {
    mechanism.scale() * ((2.0 * seats as f64 * terms.plan.cells() as f64).ln() + EDGE)
}

/// The bits that hold every count with its offset, and noise up to the offset.
fn bits(terms: &Terms, offset: u64) -> Result<u32, Flaw> {
    let largest = offset.checked_mul(2).and_then(|o| o.checked_add(u64::from(terms.policy.most_in_cell)));
    match largest.map(|l| u64::BITS - l.leading_zeros()) {
        Some(bits) if bits <= MOST_BITS => Ok(bits),
        _ => Err(Flaw::new("epsilon", "so little epsilon needs more noise than a round can carry")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::round::samples;

    #[test]
    fn shares_of_those_who_must_report_add_up() {
        let terms = samples::terms(5, "1");
        let parameters = Parameters::new(&terms, 5, None).unwrap();
        assert!((parameters.mechanism.shape() - 0.25).abs() < 1e-12, "1 of 5 may be missing");
        let Guarantee { epsilon, members: Some(members), delta_e12, .. } =
            terms.guarantee(&parameters.mechanism, 5).unwrap()
        else {
            panic!("a round states what holds against members")
        };
        assert_eq!((epsilon.micros(), delta_e12), (1_000_000, 1));
        assert_eq!(members.epsilon_colluding.micros(), 1_000_000);
        assert!(members.epsilon_aggregators.micros() > 2_000_000);
        let fewer = terms.guarantee(&parameters.mechanism, 4).unwrap().members.unwrap();
        assert!(fewer.epsilon_colluding > members.epsilon_colluding, "one was missing and one more told");
    }

    #[test]
    fn a_tighter_cap_makes_larger_shares() {
        let loose = Parameters::new(&samples::terms(5, "1"), 5, None).unwrap();
        let mut terms = samples::terms(5, "1");
        terms.policy.epsilon_aggregators = "2".parse().unwrap();
        let tight = Parameters::new(&terms, 5, None).unwrap();
        assert!(tight.mechanism.shape() > loose.mechanism.shape());
        assert!(loose.check(&terms, 5).is_err(), "a share below the cap");
        let local = terms.guarantee(&tight.mechanism, 5).unwrap().members.unwrap().epsilon_aggregators;
        assert!(local.micros() <= 2_000_000 && local.micros() > 1_900_000, "{local}");
    }

    #[test]
    fn other_noise_or_range_is_refused() {
        let terms = samples::terms(5, "1");
        let own = Parameters::new(&terms, 5, None).unwrap();
        assert_eq!(own.check(&terms, 5), Ok(()));
        assert!(own.check(&terms, 4).is_err(), "with 4 on the roster a share is a third");
        assert!(own.check(&samples::terms(5, "0.5"), 5).is_err());
        assert!(Parameters { offset: own.offset / 2, ..own }.check(&terms, 5).is_err());
        assert!(Parameters { offset: own.offset * 2, ..own }.check(&terms, 5).is_err());
        assert!(Parameters { bits: own.bits - 1, ..own }.check(&terms, 5).is_err());
        let whole = Mechanism::discrete_laplace(terms.plan().l1_sensitivity(), terms.plan().epsilon());
        assert!(Parameters { mechanism: whole.unwrap(), ..own }.check(&terms, 5).is_err());
        assert!(Parameters::new(&terms, 2, None).is_err(), "two learn each other's count from the sum");
    }
}
