//! What a release guarantees, and against whom (docs/protocol.md §4, §6).
//!
//! Here floating point is used, since a loss of privacy is a real number: every bound is rounded up to the next
//! millionth, and who verifies a release allows one millionth for another machine's rounding.

use serde::{Deserialize, Serialize};

use super::{
    accounting::{Accounting, Unit, epsilon_of_rho},
    epsilon::MicroEpsilon,
    noise::Mechanism,
};
use crate::document::Flaw;

/// What a release guarantees to a person whose records are at members' nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guarantee {
    /// Epsilon for all that one node holds of her, against everyone outside the federation: pure, or at delta.
    #[serde(rename = "epsilon_micros")]
    pub epsilon: MicroEpsilon,
    /// Delta, in units of 1e-12; 0 for pure epsilon.
    pub delta_e12: u64,
    /// rho of zCDP, in units of 1e-12, where the noise is Gaussian.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rho_e12: Option<u64>,
    /// Whose records are covered as one.
    #[serde(default, skip_serializing_if = "Unit::is_person")]
    pub unit: Unit,
    /// g of the charter: at how many nodes she is assumed to be known.
    pub nodes_per_person: u32,
    /// Epsilon for all that g nodes hold of her together.
    #[serde(rename = "epsilon_at_those_nodes_micros")]
    pub epsilon_at_those_nodes: MicroEpsilon,
    /// Against members, where noise was drawn in shares; none where each node drew all of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<AgainstMembers>,
}

/// What is left of a guarantee when members are not as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgainstMembers {
    /// t of the charter: members who may tell one another their shares of noise.
    pub colluding: u32,
    /// Epsilon against t of them together.
    #[serde(rename = "epsilon_colluding_micros")]
    pub epsilon_colluding: MicroEpsilon,
    /// Epsilon if every aggregator colludes: they see each node's vector with its own share of noise alone.
    #[serde(rename = "epsilon_aggregators_micros")]
    pub epsilon_aggregators: MicroEpsilon,
}

/// By how much one person's records change a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensitivity {
    /// C: groups that she touches.
    pub cells: u32,
    /// Most that she changes one of them by, in L1 norm.
    pub change: u64,
    /// Cells of one group, over which the change is spread: 2 where a number and what it lacks are summed.
    pub parts: u32,
}

impl Sensitivity {
    /// L1 norm of the change.
    pub fn l1(&self) -> u64 {
        u64::from(self.cells).saturating_mul(self.change)
    }

    /// Square of the L2 norm of the change, or of a bound on it.
    pub fn l2_squared(&self) -> u128 {
        let change = u128::from(self.change);
        u128::from(self.cells).saturating_mul(change.saturating_mul(change))
    }

    /// The same for all that `nodes` nodes hold of her: at most, in each cell the changes add up.
    const fn of_group(self, nodes: u32) -> Self {
        Self { change: self.change.saturating_mul(nodes as u64), ..self }
    }
}

/// The privacy loss of one vector to which noise was added.
#[derive(Debug, Clone, Copy)]
pub struct Loss {
    sensitivity: Sensitivity,
    /// Nodes whose records of one person change together.
    nodes: u32,
    accounting: Accounting,
}

/// Terms of a hypergeometric series before it is given up: at a scale of 10,000 some 200,000 are needed.
const MOST_TERMS: u32 = 4_000_000;
/// Factors of a ratio of gamma functions that are multiplied one by one; the others are bounded by an integral.
const FACTORS: u64 = 100_000;

impl Loss {
    /// Of a vector of that sensitivity; Gaussian noise needs the delta of `accounting`.
    pub const fn new(sensitivity: Sensitivity, accounting: Accounting) -> Self {
        Self { sensitivity, nodes: 1, accounting }
    }

    /// The same for all that `nodes` nodes hold of her.
    pub const fn of_group(self, nodes: u32) -> Self {
        Self { nodes, ..self }
    }

    /// Epsilon under the sum of `samples` samples of `mechanism` in every cell, rounded up: pure, or of Gaussian
    /// noise at the accounting's delta.
    pub fn epsilon(&self, mechanism: &Mechanism, samples: f64) -> Result<MicroEpsilon, Flaw> {
        let weak = || Flaw::new("noise", "so little noise guarantees nothing");
        let epsilon = match (mechanism.sigma(), self.accounting.delta_e12()) {
            (None, _) => {
                self.laplace(1.0 / mechanism.scale(), samples * mechanism.shape()).ok_or_else(weak)?
            }
            (Some(_), Some(delta)) => {
                epsilon_of_rho(self.rho(mechanism, samples).ok_or_else(weak)?, delta as f64 * 1e-12)
            }
            (Some(_), None) => return Err(Flaw::new("noise", "Gaussian noise needs a charter with a delta")),
        };
        let micros = (epsilon * 1e6 - 1e-6).ceil();
        if micros.is_finite() && micros <= MicroEpsilon::MAX.micros() as f64 {
            Ok(MicroEpsilon::from_micros(micros.max(1.0) as u64))
        } else {
            Err(weak())
        }
    }

    /// Pure epsilon under noise GDL(`shape`, `rate`) in every cell.
    ///
    /// From shape 1 on it is `rate` times the L1 norm. Below, the noise is peaked at 0 and a cell that changes by m
    /// loses up to f(m) = ln P(0) / P(m):
    /// `a m + ln[2F1(b,b;1;p^2) / 2F1(b,b+m;1+m;p^2) * m! Gamma(b) / Gamma(b+m)]` (docs/protocol.md §9). P is
    /// completely monotone on either side of 0, so f is concave, and a change spread over two cells loses at most
    /// 2 f(m/2). What g nodes hold of her may lie in other cells at each, and f is concave: below shape 1 a group loses
    /// up to g times as much as one.
    fn laplace(&self, rate: f64, shape: f64) -> Option<f64> {
        if !(shape > 0.0 && rate > 0.0) {
            return None;
        }
        let Sensitivity { cells, change, parts } = self.sensitivity;
        if shape >= 1.0 {
            return Some(rate * self.sensitivity.of_group(self.nodes).l1() as f64);
        }
        let parts = parts.max(1);
        let change = change.div_ceil(u64::from(parts));
        let x = (-2.0 * rate).exp();
        let m = change as f64;
        let above = series(shape, shape, 1.0, x)?;
        let below = series(shape, shape + m, 1.0 + m, x)?;
        // m! Gamma(b) / Gamma(b+m), factor by factor; ln(1 + y) <= y for the rest.
        let near = change.min(FACTORS);
        let gammas: f64 = (0..near).map(|j| ((j as f64 + 1.0) / (shape + j as f64)).ln()).sum();
        let far = if change > near {
            (1.0 - shape) * ((shape + m - 1.0) / (shape + near as f64 - 1.0)).ln()
        } else {
            0.0
        };
        // The sum with its remainder over the sum without: never below the truth.
        let one = rate * m + above.high.ln() - below.low.ln() + gammas + far;
        Some(f64::from(self.nodes) * f64::from(cells) * f64::from(parts) * one)
    }

    /// [`Self::rho`] in units of 1e-12, rounded up.
    pub fn rho_e12(&self, mechanism: &Mechanism, samples: f64) -> Option<u64> {
        self.rho(mechanism, samples).map(|rho| (rho * 1e12).ceil() as u64)
    }

    /// rho of zCDP under the sum of `samples` samples of discrete Gaussian noise, of which each may itself be a sum
    /// of two.
    ///
    /// A sum of discrete Gaussians is not one, but nearly: merging two of variance at least 2 changes no
    /// probability by more than a factor exp(5 e^(-2 pi^2)). With tau for all merges, in both directions, rho is
    /// half the square of the smaller of sqrt(D^2 / s^2 + tau d / 2) and D / s + tau sqrt(d), where D is the L2
    /// sensitivity, s^2 the variance and d the number of cells that change (Kairouz, Liu and Steinke 2021,
    /// arXiv 2102.06387, Theorem 12 and Proposition 13).
    pub fn rho(&self, mechanism: &Mechanism, samples: f64) -> Option<f64> {
        let sigma = mechanism.sigma()?;
        let variance = sigma * sigma * samples;
        if !(samples > 0.0 && sigma * sigma >= 2.0) {
            return None;
        }
        let tau = 10.0 * 2.0 * samples.max(1.0) * (-2.0 * std::f64::consts::PI.powi(2)).exp();
        // At worst for a group in L2 norm its nodes fill the same cells; for tau, others each.
        let cells = f64::from(self.sensitivity.cells) * f64::from(self.nodes);
        let d = cells * f64::from(self.sensitivity.parts.max(1));
        let ratio = self.sensitivity.of_group(self.nodes).l2_squared() as f64 / variance;
        let least = (ratio + tau * d / 2.0).sqrt().min(ratio.sqrt() + tau * d.sqrt());
        Some(least * least / 2.0)
    }
}

/// A value between two bounds.
struct Bounds {
    low: f64,
    high: f64,
}

/// 2F1(a, b; c; x) for 0 < a < 1, b <= c + a, 0 < x < 1: all terms are positive and their ratio tends to x from
/// below or falls to it, so what is left out is below a geometric series.
fn series(a: f64, b: f64, c: f64, x: f64) -> Option<Bounds> {
    let (mut term, mut sum) = (1.0f64, 0.0f64);
    for n in 0..MOST_TERMS {
        sum += term;
        let n = f64::from(n);
        let ratio = (a + n) * (b + n) / ((c + n) * (1.0 + n)) * x;
        term *= ratio;
        // (a+n)(b+n) < (c+n)(1+n) as a < 1 and b <= c: every later ratio is below x too.
        let rest = term / (1.0 - x);
        if rest < sum * 1e-13 {
            return Some(Bounds { low: sum, high: sum + rest });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Laplace noise that gives an epsilon of `micros` millionths when it is whole.
    struct Noised {
        loss: Loss,
        mechanism: Mechanism,
    }

    impl Noised {
        fn epsilon(&self, shape: f64) -> Result<MicroEpsilon, Flaw> {
            self.loss.epsilon(&self.mechanism, shape)
        }

        fn rate(&self) -> f64 {
            1.0 / self.mechanism.scale()
        }

        fn of_group(self, nodes: u32) -> Self {
            Self { loss: self.loss.of_group(nodes), ..self }
        }
    }

    fn loss(cells: u32, change: u64, micros: u64) -> Noised {
        let sensitivity = Sensitivity { cells, change, parts: 1 };
        let mechanism =
            Mechanism::discrete_laplace(sensitivity.l1(), MicroEpsilon::from_micros(micros)).unwrap();
        Noised { loss: Loss::new(sensitivity, Accounting::Pure), mechanism }
    }

    /// Masses of GDL(b, a) by convolving the two negative binomials, without the formula under test.
    fn masses(a: f64, b: f64, reach: usize) -> Vec<f64> {
        let p = (-a).exp();
        let mut mass = (1.0 - p).powf(b);
        let one: Vec<f64> = (0..4000)
            .map(|k| {
                let this = mass;
                mass *= p * (k as f64 + b) / (k as f64 + 1.0);
                this
            })
            .collect();
        (0..=reach).map(|z| one.iter().zip(one.iter().skip(z)).map(|(x, y)| x * y).sum()).collect()
    }

    #[test]
    fn whole_noise_gives_the_epsilon_asked_for() {
        for shape in [1.0, 1.25, 5.0] {
            assert_eq!(loss(2, 3, 500_000).epsilon(shape).unwrap().micros(), 500_000);
        }
        assert_eq!(loss(2, 3, 500_000).of_group(3).epsilon(1.0).unwrap().micros(), 1_500_000);
    }

    /// The figures that the design states for epsilon 1.
    #[test]
    fn one_share_alone_gives_the_known_local_epsilon() {
        let micros = |n: f64| loss(1, 1, 1_000_000).epsilon(1.0 / n).unwrap().micros();
        assert!((4_905_000..4_915_000).contains(&micros(50.0)), "{}", micros(50.0));
        assert!((3_295_000..3_305_000).contains(&micros(10.0)), "{}", micros(10.0));
    }

    /// Over every outcome and both directions, the loss never passes the bound, and reaches it.
    #[test]
    fn the_bound_is_the_largest_ratio_of_the_masses() {
        for (change, micros) in [(1u64, 1_000_000u64), (2, 1_000_000), (4, 2_000_000), (2, 500_000)] {
            for b in [0.9, 0.5, 0.2, 0.02] {
                let loss = loss(1, change, micros);
                let law = masses(loss.rate(), b, 200);
                let at = |z: i64| law[z.unsigned_abs() as usize];
                let most = (-150..150).map(|z| (at(z) / at(z + change as i64)).ln()).fold(0.0, f64::max);
                let bound = loss.epsilon(b).unwrap().micros() as f64 / 1e6;
                assert!(bound >= most - 1e-9 && bound < most + 2e-6, "m {change} b {b}: {bound}, {most}");
            }
        }
    }

    #[test]
    fn cells_add_up_and_a_group_loses_more() {
        let one = loss(1, 1, 500_000).epsilon(0.5).unwrap().micros();
        let mut three = loss(1, 1, 500_000);
        three.loss.sensitivity.cells = 3;
        let three = three.epsilon(0.5).unwrap().micros();
        assert!(three.abs_diff(3 * one) <= 3, "{three} {one}");
        let group = loss(1, 1, 500_000).of_group(2).epsilon(0.5).unwrap().micros();
        assert!(
            group.abs_diff(2 * one) <= 2,
            "two nodes may fill two cells, and the peak at 0 is paid for in both"
        );
    }

    #[test]
    fn no_noise_guarantees_nothing() {
        assert!(loss(1, 1, 500_000).epsilon(0.0).is_err());
        assert!(loss(1, 1, 500_000).epsilon(f64::NAN).is_err());
    }

    /// A change of m spread over two cells in whatever way loses no more than is charged for, with the exact masses.
    #[test]
    fn a_change_spread_over_two_cells_loses_at_most_what_is_charged() {
        for (change, b) in [(2u64, 0.5), (5, 0.2), (6, 0.05), (7, 0.9)] {
            let mut loss = loss(1, change, 1_000_000);
            loss.loss.sensitivity.parts = 2;
            let law = masses(loss.rate(), b, 200);
            let f = |m: u64| (law[0] / law[m as usize]).ln();
            let most = (0..=change).map(|v| f(v) + f(change - v)).fold(0.0, f64::max);
            let bound = loss.epsilon(b).unwrap().micros() as f64 / 1e6;
            assert!(bound >= most - 1e-9, "m {change} b {b}: {bound}, {most}");
        }
    }

    #[test]
    fn factors_that_are_bounded_by_an_integral_cost_a_little_more_and_never_less() {
        // Just below and just above the switch: the loss must not fall, and hardly rise.
        let f = |m: u64| loss(1, m, 1_000_000).epsilon(0.3).unwrap().micros();
        let (below, above) = (f(FACTORS), f(FACTORS + 2));
        assert!(above.abs_diff(below) < 20, "{below} {above}");
    }

    #[test]
    fn gaussian_noise_gives_the_rho_of_its_variance() {
        let epsilon: MicroEpsilon = "1".parse().unwrap();
        let sensitivity = Sensitivity { cells: 16, change: 1, parts: 1 };
        let zcdp = Accounting::Zcdp { delta_e12: 1000 };
        let loss = Loss::new(sensitivity, zcdp);
        let whole = Mechanism::discrete_gaussian(sensitivity, epsilon, 1).unwrap();
        assert!((whole.sigma().unwrap() - 4.0).abs() < 1.0 / 16.0, "sigma = D / epsilon");
        let rho = loss.rho(&whole, 1.0).unwrap();
        assert!(rho <= 0.5 + 1e-6 && rho > 0.48, "{rho}");
        // n shares come to the same, but for the correction and the rounding of sigma.
        let share = Mechanism::discrete_gaussian(sensitivity, epsilon, 5).unwrap();
        let rho = loss.rho(&share, 5.0).unwrap();
        assert!(rho <= 0.5 + 1e-5 && rho > 0.45, "{rho}");
        assert!(loss.epsilon(&share, 5.0).unwrap() < loss.epsilon(&share, 1.0).unwrap());
        assert!(Loss::new(sensitivity, Accounting::Pure).epsilon(&whole, 1.0).is_err(), "without a delta");
    }
}
