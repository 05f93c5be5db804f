//! What a release guarantees, and against whom (docs/protocol.md §4, §6).
//!
//! Here floating point is used, since a loss of privacy is a real number: every bound is rounded up to the next
//! millionth, and who verifies a release allows one millionth for another machine's rounding.

use serde::{Deserialize, Serialize};

use super::{budget::MicroEpsilon, noise::Mechanism};
use crate::document::Flaw;

/// What a release guarantees to a person whose records are at members' nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guarantee {
    /// Pure epsilon for all that one node holds of her, against everyone outside the federation.
    #[serde(rename = "epsilon_micros")]
    pub epsilon: MicroEpsilon,
    /// Delta, in units of 1e-12; 0 for pure epsilon.
    pub delta_e12: u64,
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

/// The privacy loss of one vector to which noise of some law was added.
#[derive(Debug, Clone, Copy)]
pub struct Loss {
    /// a: the rate at which the noise of one cell falls off, 1 / scale.
    rate: f64,
    /// C: cells that one person touches.
    cells: f64,
    /// m: most that she changes one of them by.
    change: u64,
    /// epsilon when the noise is whole: a C m.
    whole: f64,
}

/// Terms of a hypergeometric series before it is given up: at a scale of 10,000 some 200,000 are needed.
const MOST_TERMS: u32 = 4_000_000;

impl Loss {
    /// Of `mechanism`'s scale, for a person who changes at most `cells` cells by at most `change` each.
    pub fn new(mechanism: &Mechanism, cells: u32, change: u32) -> Self {
        let rate = 1.0 / mechanism.scale();
        let (cells, change) = (f64::from(cells), u64::from(change));
        Self { rate, cells, change, whole: rate * cells * change as f64 }
    }

    /// The same for all that `nodes` nodes hold of her: in each cell the changes add up.
    pub const fn of_group(self, nodes: u32) -> Self {
        let change = self.change.saturating_mul(nodes as u64);
        Self { change, whole: self.whole * nodes as f64, ..self }
    }

    /// Pure epsilon under noise GDL(`shape`, a) in every cell, rounded up.
    ///
    /// From shape 1 on it is a C m. Below, the noise is peaked at 0 and a cell loses up to ln P(0) / P(m):
    /// `a m + ln[2F1(b,b;1;p^2) / 2F1(b,b+m;1+m;p^2) * m! Gamma(b) / Gamma(b+m)]` (docs/protocol.md §9).
    pub fn epsilon(&self, shape: f64) -> Result<MicroEpsilon, Flaw> {
        let weak = || Flaw::new("noise", "so little noise guarantees nothing");
        if !(shape > 0.0 && self.rate > 0.0) {
            return Err(weak());
        }
        let epsilon = if shape >= 1.0 {
            self.whole
        } else {
            let x = (-2.0 * self.rate).exp();
            let m = self.change as f64;
            let above = series(shape, shape, 1.0, x).ok_or_else(weak)?;
            let below = series(shape, shape + m, 1.0 + m, x).ok_or_else(weak)?;
            // m! Gamma(b) / Gamma(b+m), factor by factor.
            let gammas: f64 = (0..self.change).map(|j| ((j as f64 + 1.0) / (shape + j as f64)).ln()).sum();
            // The sum with its remainder over the sum without: never below the truth.
            self.cells * (self.rate * m + above.high.ln() - below.low.ln() + gammas)
        };
        let micros = (epsilon * 1e6 - 1e-6).ceil();
        if micros.is_finite() && micros <= MicroEpsilon::MAX.micros() as f64 {
            Ok(MicroEpsilon::from_micros(micros.max(1.0) as u64))
        } else {
            Err(weak())
        }
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

    fn loss(l1_cells: u32, change: u32, micros: u64) -> Loss {
        let l1 = u64::from(l1_cells) * u64::from(change);
        let mechanism = Mechanism::discrete_laplace(l1, MicroEpsilon::from_micros(micros)).unwrap();
        Loss::new(&mechanism, l1_cells, change)
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
        for (change, micros) in [(1u32, 1_000_000u64), (2, 1_000_000), (4, 2_000_000), (2, 500_000)] {
            for b in [0.9, 0.5, 0.2, 0.02] {
                let loss = loss(1, change, micros);
                let law = masses(loss.rate, b, 200);
                let at = |z: i64| law[z.unsigned_abs() as usize];
                let most = (-150..150).map(|z| (at(z) / at(z + i64::from(change))).ln()).fold(0.0, f64::max);
                let bound = loss.epsilon(b).unwrap().micros() as f64 / 1e6;
                assert!(bound >= most - 1e-9 && bound < most + 2e-6, "m {change} b {b}: {bound}, {most}");
            }
        }
    }

    #[test]
    fn cells_add_up_and_a_group_loses_more() {
        let one = loss(1, 1, 500_000).epsilon(0.5).unwrap().micros();
        let three = Loss { cells: 3.0, ..loss(1, 1, 500_000) }.epsilon(0.5).unwrap().micros();
        assert!(three.abs_diff(3 * one) <= 3, "{three} {one}");
        let group = loss(1, 1, 500_000).of_group(2).epsilon(0.5).unwrap().micros();
        assert!(group > one && group < 2 * one, "the peak at 0 is paid for once");
    }

    #[test]
    fn no_noise_guarantees_nothing() {
        assert!(loss(1, 1, 500_000).epsilon(0.0).is_err());
        assert!(loss(1, 1, 500_000).epsilon(f64::NAN).is_err());
    }
}
