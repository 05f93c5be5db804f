//! Mechanisms, in OpenDP's terms, and their exact integer samplers (docs/protocol.md §4).
//!
//! | mechanism | input metric | output measure | privacy map |
//! | --- | --- | --- | --- |
//! | discrete Laplace of scale s on every cell | L1 distance of integer vectors | max divergence | d_in -> d_in / s |
//! | sum of shares of Laplace noise whose shapes add up to at least 1 | the same | the same | the same |
//!
//! What must hold: the vector is integer, and one person at one node changes it by at most `d_in` in L1 norm
//! (the plan's bounding sees to that). Proof: Ghosh, Roughgarden and Sundararajan 2009; Canonne, Kamath and
//! Steinke 2020 (arXiv 2004.00010), whose sampler is exact over the integers.

use num_bigint::BigInt;
use prio::dp::{Rational, distributions::DiscreteLaplace};
use rand::{CryptoRng, distr::Distribution as _};
use serde::{Deserialize, Serialize};

use super::{budget::MicroEpsilon, chance::Ratio, shares::LaplaceShare};
use crate::document::Flaw;

/// Largest magnitude of a released value: every JSON reader holds it exactly (RFC 8259 §6).
pub const MAX_VALUE: i64 = (1 << 53) - 1;

/// The noise that a node added to each cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Mechanism {
    /// Discrete Laplace: P(x) proportional to exp(-|x| * denominator / numerator).
    DiscreteLaplace {
        /// Scale, numerator; more than 0.
        scale_numerator: u64,
        /// Scale, denominator; more than 0.
        scale_denominator: u64,
    },
    /// A share of Laplace noise: generalised discrete Laplace of the shape, which becomes discrete Laplace of the
    /// scale when shares whose shapes add up to 1 are summed.
    LaplaceShares {
        /// Scale, numerator; more than 0.
        scale_numerator: u64,
        /// Scale, denominator; more than 0.
        scale_denominator: u64,
        /// Shape of one share, numerator; more than 0.
        shape_numerator: u64,
        /// Shape of one share, denominator; at least the numerator.
        shape_denominator: u64,
    },
}

impl Mechanism {
    /// Discrete Laplace that gives `epsilon` for L1 sensitivity `l1`: scale `l1 / epsilon`, kept exact.
    pub fn discrete_laplace(l1: u64, epsilon: MicroEpsilon) -> Result<Self, Flaw> {
        let numerator = l1.checked_mul(1_000_000).filter(|n| *n > 0);
        match (numerator, epsilon.micros()) {
            (Some(numerator), denominator @ 1..) => {
                let common = gcd(numerator, denominator);
                Ok(Self::DiscreteLaplace {
                    scale_numerator: numerator / common,
                    scale_denominator: denominator / common,
                })
            }
            _ => Err(Flaw::new("epsilon", "no noise has this epsilon and sensitivity")),
        }
    }

    /// Shares of the noise that [`Self::discrete_laplace`] draws whole, each of the shape
    /// `numerator / denominator`, which is at most 1.
    pub fn laplace_shares(
        l1: u64,
        epsilon: MicroEpsilon,
        (numerator, denominator): (u64, u64),
    ) -> Result<Self, Flaw> {
        let whole = Self::discrete_laplace(l1, epsilon)?;
        let (scale_numerator, scale_denominator) = whole.scale_ratio();
        if numerator == 0 || numerator > denominator {
            return Err(Flaw::new("noise", "a share of noise has a shape above 0, at most 1"));
        }
        let common = gcd(numerator, denominator);
        let shares = Self::LaplaceShares {
            scale_numerator,
            scale_denominator,
            shape_numerator: numerator / common,
            shape_denominator: denominator / common,
        };
        shares.share().map(|_| shares)
    }

    /// The noise that is missing where this was added and `larger` should have been: none if they are the same.
    pub(crate) fn missing_to(&self, larger: &Self) -> Result<Option<Self>, Flaw> {
        let (
            Self::LaplaceShares { shape_numerator: a, shape_denominator: b, .. },
            Self::LaplaceShares {
                scale_numerator,
                scale_denominator,
                shape_numerator: c,
                shape_denominator: d,
            },
        ) = (*self, *larger)
        else {
            return Err(Flaw::new("noise", "this noise is not drawn in shares"));
        };
        let overflow = || Flaw::new("noise", "these shares of noise cannot be compared");
        let product = |x: u64, y: u64| x.checked_mul(y).ok_or_else(overflow);
        let (own, wanted, denominator) = (product(a, d)?, product(c, b)?, product(b, d)?);
        if self.scale_ratio() != larger.scale_ratio() || wanted < own {
            return Err(Flaw::new(
                "noise",
                "there is more noise than the other asks for, or of another scale",
            ));
        }
        let common = gcd(wanted - own, denominator).max(1);
        Ok((wanted > own).then_some(Self::LaplaceShares {
            scale_numerator,
            scale_denominator,
            shape_numerator: (wanted - own) / common,
            shape_denominator: denominator / common,
        }))
    }

    const fn scale_ratio(&self) -> (u64, u64) {
        match self {
            Self::DiscreteLaplace { scale_numerator, scale_denominator }
            | Self::LaplaceShares { scale_numerator, scale_denominator, .. } => {
                (*scale_numerator, *scale_denominator)
            }
        }
    }

    /// The scale as a real number, to describe it; sampling never uses it.
    pub fn scale(&self) -> f64 {
        let (numerator, denominator) = self.scale_ratio();
        numerator as f64 / denominator as f64
    }

    /// The shape of what one node adds, to describe it: 1 for whole noise.
    pub fn shape(&self) -> f64 {
        match self {
            Self::DiscreteLaplace { .. } => 1.0,
            Self::LaplaceShares { shape_numerator, shape_denominator, .. } => {
                *shape_numerator as f64 / *shape_denominator as f64
            }
        }
    }

    fn share(&self) -> Result<LaplaceShare, Flaw> {
        let Self::LaplaceShares { scale_numerator, scale_denominator, shape_numerator, shape_denominator } =
            *self
        else {
            return Err(Flaw::new("noise", "this noise is not drawn in shares"));
        };
        let rate = Ratio { numerator: scale_denominator, denominator: scale_numerator };
        let shape = Ratio { numerator: shape_numerator, denominator: shape_denominator };
        LaplaceShare::new(rate, shape)
            .filter(|_| shape_numerator <= shape_denominator)
            .ok_or_else(|| Flaw::new("noise", "no share of noise has this scale and shape"))
    }

    /// `n` fresh samples, for whoever studies the noise alone.
    pub fn samples<R: CryptoRng + ?Sized>(&self, n: usize, rng: &mut R) -> Result<Vec<i64>, Flaw> {
        let mut values = vec![0; n];
        self.add_to(&mut values, rng)?;
        Ok(values)
    }

    /// Adds a fresh sample to every value. The result is held within [`MAX_VALUE`]: post-processing, free.
    pub(crate) fn add_to<R: CryptoRng + ?Sized>(&self, values: &mut [i64], rng: &mut R) -> Result<(), Flaw> {
        let Self::DiscreteLaplace { scale_numerator, scale_denominator } = self else {
            let share = self.share()?;
            for value in values {
                *value = value.saturating_add(share.sample(rng)).clamp(-MAX_VALUE, MAX_VALUE);
            }
            return Ok(());
        };
        let refused = |_| Flaw::new("mechanism", "the scale is not a positive rational");
        let scale = Rational::from_unsigned(*scale_numerator, *scale_denominator).map_err(refused)?;
        let laplace = DiscreteLaplace::new(scale).map_err(refused)?;
        for value in values {
            let noise: BigInt = laplace.sample(rng);
            let noisy = BigInt::from(*value) + noise;
            let bound = if noisy.sign() == num_bigint::Sign::Minus { -MAX_VALUE } else { MAX_VALUE };
            *value = i64::try_from(noisy).unwrap_or(bound).clamp(-MAX_VALUE, MAX_VALUE);
        }
        Ok(())
    }
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn samples(mechanism: Mechanism, n: usize, seed: u64) -> Vec<i64> {
        mechanism.samples(n, &mut StdRng::seed_from_u64(seed)).unwrap()
    }

    #[test]
    fn the_scale_is_the_exact_quotient() {
        assert_eq!(
            Mechanism::discrete_laplace(3, MicroEpsilon::from_micros(500_000)),
            Ok(Mechanism::DiscreteLaplace { scale_numerator: 6, scale_denominator: 1 })
        );
        assert_eq!(
            Mechanism::discrete_laplace(1, MicroEpsilon::from_micros(3)),
            Ok(Mechanism::DiscreteLaplace { scale_numerator: 1_000_000, scale_denominator: 3 })
        );
        assert!(Mechanism::discrete_laplace(0, MicroEpsilon::from_micros(3)).is_err());
        assert!(Mechanism::discrete_laplace(u64::MAX, MicroEpsilon::from_micros(3)).is_err());
        assert!(Mechanism::discrete_laplace(1, MicroEpsilon::from_micros(0)).is_err());
    }

    /// Every probability of the sample is within 5 standard errors of the discrete Laplace law, so a scale
    /// that is 0.8 of what it should be, or noise without sign, is seen (each was planted once and was).
    #[test]
    fn the_noise_follows_the_discrete_laplace_law() {
        let n = 40_000;
        let mechanism = Mechanism::discrete_laplace(2, MicroEpsilon::from_micros(1_000_000)).unwrap();
        let drawn = samples(mechanism, n, 7);
        let p = (-0.5f64).exp();
        for x in -6i64..=6 {
            let expected = (1.0 - p) / (1.0 + p) * p.powi(x.unsigned_abs() as i32);
            let seen = drawn.iter().filter(|v| **v == x).count() as f64 / n as f64;
            let error = (expected * (1.0 - expected) / n as f64).sqrt();
            assert!((seen - expected).abs() < 5.0 * error, "P({x}) = {seen}, expected {expected}");
        }
    }

    /// Empirical lower bound on epsilon from the likelihood ratio of neighbours 0 and 1: must not pass the
    /// epsilon claimed by more than sampling error, and must come near it (else the noise is wasted).
    #[test]
    fn the_likelihood_ratio_of_neighbours_stays_at_epsilon() {
        let n = 40_000;
        let mechanism = Mechanism::discrete_laplace(1, MicroEpsilon::from_micros(1_000_000)).unwrap();
        let count = |seed: u64, shift: i64, x: i64| {
            samples(mechanism, n, seed).iter().filter(|v| **v + shift == x).count() as f64
        };
        for x in [-1i64, 0] {
            let ratio: f64 = (count(1, 0, x) / count(2, 1, x)).ln();
            assert!((0.9..1.1).contains(&ratio), "at {x}: {ratio}");
        }
    }

    #[test]
    fn noise_comes_from_the_source_that_is_handed_in() {
        let mechanism = Mechanism::discrete_laplace(4, MicroEpsilon::from_micros(100_000)).unwrap();
        assert_eq!(samples(mechanism, 50, 1), samples(mechanism, 50, 1));
        assert_ne!(samples(mechanism, 50, 1), samples(mechanism, 50, 2));
    }

    #[test]
    fn a_value_at_the_bound_stays_within_it() {
        let mechanism = Mechanism::discrete_laplace(1 << 40, MicroEpsilon::from_micros(1)).unwrap();
        let mut values = vec![MAX_VALUE; 20];
        mechanism.add_to(&mut values, &mut StdRng::seed_from_u64(3)).unwrap();
        assert!(values.iter().all(|v| (-MAX_VALUE..=MAX_VALUE).contains(v)));
    }
}
