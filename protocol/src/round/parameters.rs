//! The public parameters of a round: how wide one share of noise is, and the range that every value must lie in
//! (docs/protocol.md §9).

use serde::{Deserialize, Serialize};

use crate::{
    document::{Charter, Flaw, Signed, charter::RoundPolicy},
    id::Id,
    privacy::{Accounting, AgainstMembers, Guarantee, Mechanism, MicroEpsilon},
    statistic::{Measure, Mode, Plan},
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

/// Most bits of all vectors: their leader's shares fit what an aggregator holds for one round, and its part of their
/// proofs what travels in one piece.
const MOST_ROUND_BITS: usize = super::aggregator::MOST_HELD_BYTES / 16;

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

    /// Fewest members on a roster: the charter's contributions, 3, and 2t + 1, so that two shares of noise are left
    /// where as many drop out as may and t collude.
    pub fn fewest(&self) -> usize {
        let t = self.policy.tolerated;
        self.contributions.max(3).max(t.saturating_mul(2).saturating_add(1)) as usize
    }

    /// Fewest of `seats` members whose vectors make a release: n - t + 1, and the charter's contributions. The member
    /// who asks sees who drops out and knows its own share of noise, so it is always one of the t: whole noise is left
    /// without it.
    pub fn quorum(&self, seats: usize) -> usize {
        let drop_out = (self.policy.tolerated as usize).saturating_sub(1);
        seats.saturating_sub(drop_out).max(self.contributions as usize).max(2)
    }

    /// Against every aggregator together, who see each vector with its own share of noise alone.
    fn against_aggregators(&self, mechanism: &Mechanism) -> Result<MicroEpsilon, Flaw> {
        self.plan.loss().epsilon(mechanism, 1.0)
    }

    /// The shares of noise of every law that the charter allows, for a roster of `seats`.
    pub(crate) fn mechanisms(&self, seats: usize) -> Result<Vec<Mechanism>, Flaw> {
        let holding = holding(self, seats)?;
        let gaussian = self.plan.accounting().delta_e12().and_then(|_| gaussian(self, holding, None).ok());
        Ok(laplace(self, holding, None).ok().into_iter().chain(gaussian).collect())
    }

    /// Most that one member counts in one cell: 1 where groups are counted; where numbers are summed, that many of the largest.
    pub fn most_in_cell(&self) -> u64 {
        if self.plan.measure() == Measure::Groups {
            return 1;
        }
        u64::from(self.policy.most_in_cell) * u64::from(self.plan.measure().per_incident())
    }

    /// What a release of `included` vectors guarantees, each with one share of `mechanism`.
    pub fn guarantee(&self, mechanism: &Mechanism, included: usize) -> Result<Guarantee, Flaw> {
        let (s, t) = (included as f64, f64::from(self.policy.tolerated));
        let loss = self.plan.loss();
        let epsilon_at_those_nodes = loss.of_group(self.nodes_per_person).epsilon(mechanism, s)?;
        let epsilon_colluding = loss.epsilon(mechanism, s - t)?;
        let epsilon_aggregators = self.against_aggregators(mechanism)?;
        // (epsilon, (1 + e^epsilon) edge) where no share is cut but with probability `edge` (docs/privacy.md), for the
        // largest epsilon that is stated.
        let largest = epsilon_at_those_nodes.max(epsilon_colluding).max(epsilon_aggregators);
        let edge = (1.0 + (largest.micros() as f64 / 1e6).exp()) * (-EDGE).exp();
        if edge > 1e-9 {
            return Err(Flaw::new("epsilon", "so large an epsilon leaves no useful delta"));
        }
        Ok(Guarantee {
            epsilon: loss.epsilon(mechanism, s)?,
            delta_e12: mechanism
                .sigma()
                .and(self.plan.accounting().delta_e12())
                .unwrap_or_default()
                .saturating_add((edge * 1e12).ceil().max(1.0) as u64),
            rho_e12: loss.rho_e12(mechanism, s),
            unit: self.plan.unit(),
            nodes_per_person: self.nodes_per_person,
            epsilon_at_those_nodes,
            members: Some(AgainstMembers {
                colluding: self.policy.tolerated,
                epsilon_colluding,
                epsilon_aggregators,
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
    /// For a roster of `seats`: of the laws of noise that the charter allows, the one whose shares have the least
    /// variance. With `at_least`, noise of the same law and at least as much of it.
    pub fn new(terms: &Terms, seats: usize, at_least: Option<&Mechanism>) -> Result<Self, Flaw> {
        let holding = holding(terms, seats)?;
        let was_gaussian = at_least.map(|before| before.sigma().is_some());
        let gaussian = match terms.plan.accounting() {
            Accounting::Zcdp { .. } if was_gaussian != Some(false) => {
                Some(gaussian(terms, holding, at_least))
            }
            _ => None,
        };
        let laplace = (was_gaussian != Some(true)).then(|| laplace(terms, holding, at_least));
        let mechanism = match (laplace, gaussian) {
            (Some(Ok(laplace)), Some(Ok(gaussian))) => {
                if laplace.variance() <= gaussian.variance() {
                    laplace
                } else {
                    gaussian
                }
            }
            (Some(Ok(one)), _) | (_, Some(Ok(one))) => one,
            (Some(Err(flaw)), _) | (None, Some(Err(flaw))) => return Err(flaw),
            (None, None) => {
                return Err(Flaw::new("noise", "the noise before is not of a law of this charter"));
            }
        };
        let offset = least_offset(terms, seats, &mechanism).ceil() as u64 + 1;
        let parameters = Self { mechanism, offset, bits: bits(terms, offset)? };
        parameters.check(terms, seats)?;
        Ok(parameters)
    }

    /// Whether these keep to the terms for a roster of `seats`. Real numbers are compared with a margin, so that
    /// two machines which round differently agree.
    pub fn check(&self, terms: &Terms, seats: usize) -> Result<(), Flaw> {
        let flaw = |what: &str| Flaw::new("parameters", what);
        let plan = terms.plan();
        let holding = holding(terms, seats)?;
        match self.mechanism {
            Mechanism::LaplaceShares { shape_numerator, shape_denominator, .. } => {
                let shape = (shape_numerator, shape_denominator);
                let own = Mechanism::laplace_shares(plan.sensitivity().l1(), plan.epsilon(), shape);
                if own != Ok(self.mechanism) {
                    return Err(flaw("the noise is not that of the plan"));
                }
                if u128::from(shape_numerator) * u128::from(holding) < u128::from(shape_denominator) {
                    return Err(flaw("the shares of those who must report do not add up to whole noise"));
                }
            }
            Mechanism::DiscreteGaussian { sigma_sixteenths } => {
                if plan.accounting() == Accounting::Pure || Mechanism::gaussian(sigma_sixteenths).is_none() {
                    return Err(flaw("this charter has no such noise"));
                }
                let price = plan.accounting().price(plan.epsilon()) as f64 * 1e-12;
                let rho = plan.loss().rho(&self.mechanism, holding as f64);
                if !rho.is_some_and(|rho| rho <= price * (1.0 + 1e-9)) {
                    return Err(flaw("the shares of those who must report do not add up to whole noise"));
                }
            }
            Mechanism::DiscreteLaplace { .. } => return Err(flaw("a round draws its noise in shares")),
        }
        if !capped(terms, &self.mechanism, 1) {
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
        if seats.saturating_mul(plan.cells()).saturating_mul(self.bits as usize) > MOST_ROUND_BITS {
            return Err(flaw("members times cells are too many for one aggregator; ask for fewer cells"));
        }
        // What a release of the fewest says must be sayable before anyone pays.
        terms.guarantee(&self.mechanism, terms.quorum(seats)).map(drop)
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

/// Shares of Laplace noise: of shape 1/(n-t), or of more where the charter's cap against aggregators or `at_least`
/// asks for it.
fn laplace(terms: &Terms, holding: u64, at_least: Option<&Mechanism>) -> Result<Mechanism, Flaw> {
    let plan = terms.plan();
    let least = at_least.map_or(0.0, Mechanism::shape);
    let of = |shape| Mechanism::laplace_shares(plan.sensitivity().l1(), plan.epsilon(), shape);
    let enough = |shape| of(shape).is_ok_and(|m| m.shape() >= least && capped(terms, &m, 0));
    if enough((1, holding)) {
        return of((1, holding));
    }
    let steps: Vec<u64> = (1..=SHAPE_STEPS).filter(|i| i * holding >= SHAPE_STEPS).collect();
    let at = steps.partition_point(|i| !enough((*i, SHAPE_STEPS)));
    match steps.get(at) {
        Some(numerator) => of((*numerator, SHAPE_STEPS)),
        None => Err(Flaw::new("epsilon", "no share of noise keeps to the charter's cap against aggregators")),
    }
}

/// Shares of Gaussian noise: each a (n-t)th of the variance, or more for the same reasons.
fn gaussian(terms: &Terms, holding: u64, at_least: Option<&Mechanism>) -> Result<Mechanism, Flaw> {
    let flaw = || Flaw::new("epsilon", "no share of noise keeps to the charter's cap against aggregators");
    let first = terms.plan().gaussian(holding)?;
    let (mut low, mut high) = (first.sigma_sixteenths().unwrap_or_default(), 1u64 << 36);
    let enough = |s: u64| Mechanism::gaussian(s).is_some_and(|m| capped(terms, &m, 0));
    if !enough(high) {
        return Err(flaw());
    }
    while low < high {
        let middle = low.midpoint(high);
        if enough(middle) { high = middle } else { low = middle + 1 }
    }
    match at_least {
        Some(before) => before.gaussian_above(low),
        None => Mechanism::gaussian(low),
    }
    .ok_or_else(flaw)
}

fn capped(terms: &Terms, mechanism: &Mechanism, margin: u64) -> bool {
    let cap = terms.policy.epsilon_aggregators.micros();
    terms.against_aggregators(mechanism).is_ok_and(|e| e.micros() <= cap + margin)
}

/// B, which none of n L shares passes but with a chance of exp(-EDGE): each does with one below exp(-EDGE) / (n L).
fn least_offset(terms: &Terms, seats: usize, mechanism: &Mechanism) -> f64 {
    mechanism.bound((2.0 * seats as f64 * terms.plan.cells() as f64).ln() + EDGE)
}

/// The bits that hold every count with its offset, and noise up to the offset.
fn bits(terms: &Terms, offset: u64) -> Result<u32, Flaw> {
    let largest = offset.checked_mul(2).and_then(|o| o.checked_add(terms.most_in_cell()));
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
    fn whole_noise_is_left_without_the_asker_where_as_many_drop_out_as_may() {
        for (members, t) in [(3u8, 1u64), (5, 1), (6, 2), (9, 3)] {
            let terms = samples::terms(members, "1");
            let n = u64::from(members);
            let parameters = Parameters::new(&terms, usize::from(members), None).unwrap();
            assert!((parameters.mechanism.shape() - 1.0 / (n - t) as f64).abs() < 1e-12);
            let fewest = terms.quorum(usize::from(members));
            assert_eq!(fewest as u64, n - t + 1);
            let at = |included| terms.guarantee(&parameters.mechanism, included).unwrap();
            // Its own share taken off by hand.
            let without_asker =
                terms.plan.loss().epsilon(&parameters.mechanism, fewest as f64 - 1.0).unwrap();
            assert_eq!((at(fewest).epsilon.micros(), without_asker.micros()), (1_000_000, 1_000_000));
            let all = at(usize::from(members));
            let members = all.members.unwrap();
            assert_eq!((all.epsilon.micros(), all.delta_e12), (1_000_000, 1));
            assert_eq!((u64::from(members.colluding), members.epsilon_colluding.micros()), (t, 1_000_000));
            assert!(members.epsilon_aggregators.micros() > 1_500_000);
            if t > 1 {
                let fewer = at(fewest).members.unwrap();
                assert!(
                    fewer.epsilon_colluding > members.epsilon_colluding,
                    "as many dropped out as collude"
                );
            }
        }
    }

    #[test]
    fn a_round_whose_guarantee_cannot_be_stated_is_refused_before_anyone_pays() {
        let mut terms = samples::terms(5, "2");
        terms.nodes_per_person = 5;
        assert!(Parameters::new(&terms, 5, None).is_ok());
        terms.nodes_per_person = 12;
        let flaw = Parameters::new(&terms, 5, None).unwrap_err();
        assert!(flaw.to_string().contains("delta"), "{flaw}");
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
        let whole = Mechanism::discrete_laplace(terms.plan().sensitivity().l1(), terms.plan().epsilon());
        assert!(Parameters { mechanism: whole.unwrap(), ..own }.check(&terms, 5).is_err());
        assert!(Parameters::new(&terms, 2, None).is_err(), "two learn each other's count from the sum");
    }

    fn zcdp_terms(cells_per_person: u32, cap: &str) -> Terms {
        let mut charter = crate::document::charter::samples::charter(5);
        charter.version = 3;
        charter.privacy.accounting = Accounting::Zcdp { delta_e12: 1000 };
        charter.privacy.cells_per_person = cells_per_person;
        charter.privacy.round =
            Some(RoundPolicy { tolerated: 1, epsilon_aggregators: cap.parse().unwrap(), most_in_cell: 1000 });
        let charter = Signed::new(charter, &crate::document::charter::samples::secret(1)).unwrap();
        let mut query = samples::query(5, "1");
        query.charter = charter.id();
        Terms::new(Plan::new(&query, &charter).unwrap(), &charter).unwrap()
    }

    #[test]
    fn where_one_person_touches_many_cells_the_planner_takes_gaussian_noise() {
        let terms = zcdp_terms(20, "100");
        let own = Parameters::new(&terms, 5, None).unwrap();
        let Mechanism::DiscreteGaussian { sigma_sixteenths } = own.mechanism else {
            panic!("{:?}", own.mechanism)
        };
        // sigma^2 = D^2 / (epsilon^2 (n-t)) = 20 / 4.
        assert!((35..=37).contains(&sigma_sixteenths), "{sigma_sixteenths}");
        let laplace = super::laplace(&terms, 4, None).unwrap();
        assert!(laplace.variance() > 30.0 * own.mechanism.variance());
        let less = Mechanism::DiscreteGaussian { sigma_sixteenths: sigma_sixteenths - 1 };
        assert!(Parameters { mechanism: less, ..own }.check(&terms, 5).is_err());
        assert!(own.check(&samples::terms(5, "1"), 5).is_err(), "the charter counts in pure epsilon");
        let guarantee = terms.guarantee(&own.mechanism, 5).unwrap();
        // The charter's, and what the edge leaves at the epsilon against all aggregators.
        assert_eq!(guarantee.delta_e12, 1006);
        let rho = guarantee.rho_e12.unwrap();
        assert!(rho < 500_000_000_000 && rho > 300_000_000_000, "{rho}: 5 shares where 4 are enough");
        let members = guarantee.members.unwrap();
        assert!(members.epsilon_colluding > guarantee.epsilon);
        assert!(members.epsilon_aggregators > members.epsilon_colluding);
        assert!(guarantee.epsilon_at_those_nodes >= guarantee.epsilon);
    }

    #[test]
    fn where_every_aggregator_may_collude_laplace_shares_hold_longer() {
        // At one cell a person and a cap of 3 a Gaussian share would need far more variance.
        let terms = zcdp_terms(1, "3");
        let own = Parameters::new(&terms, 5, None).unwrap();
        assert!(own.mechanism.sigma().is_none(), "{:?}", own.mechanism);
    }

    #[test]
    fn gaussian_noise_of_an_earlier_round_is_added_to_and_never_taken_out() {
        let terms = zcdp_terms(20, "100");
        let own = Parameters::new(&terms, 5, None).unwrap();
        let fewer = Parameters::new(&terms, 4, Some(&own.mechanism)).unwrap();
        assert!(fewer.mechanism.variance() >= own.mechanism.variance() + 2.0);
        let more = own.mechanism.missing_to(&fewer.mechanism).unwrap().unwrap();
        assert!(more.variance() + own.mechanism.variance() >= fewer.mechanism.variance());
        assert!(fewer.mechanism.missing_to(&own.mechanism).is_err());
        assert_eq!(own.mechanism.missing_to(&own.mechanism), Ok(None));
        assert_eq!(Parameters::new(&terms, 5, Some(&own.mechanism)).unwrap(), own);
    }
}
