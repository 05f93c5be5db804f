//! Mechanisms, in OpenDP's terms, and their exact integer samplers (docs/protocol.md §4).
//!
//! | mechanism | input metric | output measure | privacy map |
//! | --- | --- | --- | --- |
//! | discrete Laplace of scale s on every cell | L1 distance of integer vectors | max divergence | d_in -> d_in / s |
//! | sum of shares of Laplace noise whose shapes add up to at least 1 | the same | the same | the same |
//! | discrete Gaussian of standard deviation sigma on every cell | L2 distance | zCDP | d_in -> d_in^2 / (2 sigma^2) |
//! | sum of n of these, each of variance at least 2 | L2 distance | zCDP | [`super::Loss::rho`] |
//!
//! What must hold: the vector is integer, and one person at one node changes it by at most `d_in` in the norm named
//! (the plan's bounding sees to that). Proof: Ghosh, Roughgarden and Sundararajan 2009; Canonne, Kamath and
//! Steinke 2020 (arXiv 2004.00010), whose samplers are exact over the integers.

use num_bigint::BigInt;
use prio::dp::{
    Rational,
    distributions::{DiscreteGaussian, DiscreteLaplace},
};
use rand::{CryptoRng, distr::Distribution as _};
use serde::{Deserialize, Serialize};

use super::{chance::Ratio, epsilon::MicroEpsilon, guarantee::Sensitivity, shares::LaplaceShare};
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
    /// Discrete Gaussian: P(x) proportional to exp(-x^2 / (2 sigma^2)). A share of such noise is one, too.
    DiscreteGaussian {
        /// Standard deviation, in sixteenths; at least [`LEAST_SIGMA`].
        sigma_sixteenths: u64,
    },
}

/// Least standard deviation of Gaussian noise, in sixteenths: 23/16, of variance 2.07. From 2 on a sum of discrete
/// Gaussians is all but one itself.
const LEAST_SIGMA: u64 = 23;
/// Largest standard deviation of Gaussian noise, in sixteenths: 2^32.
const MOST_SIGMA: u64 = 1 << 36;

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

    /// Discrete Gaussian noise of which `samples` together give rho = epsilon^2 / 2: the smallest sigma on the
    /// grid of sixteenths with samples sigma^2 >= D^2 / epsilon^2, D the L2 sensitivity. Integers all the way, so
    /// that every node comes to the same.
    pub fn discrete_gaussian(
        sensitivity: Sensitivity,
        epsilon: MicroEpsilon,
        samples: u64,
    ) -> Result<Self, Flaw> {
        let flaw = || Flaw::new("epsilon", "no Gaussian noise has this epsilon and sensitivity");
        let square = u128::from(epsilon.micros()) * u128::from(epsilon.micros()) * u128::from(samples);
        // (16 sigma)^2 >= 256 D^2 10^12 / (samples micros^2)
        let wanted = sensitivity.l2_squared().checked_mul(256_000_000_000_000).ok_or_else(flaw)?;
        if square == 0 {
            return Err(flaw());
        }
        let wanted = wanted.div_ceil(square);
        let root = wanted.isqrt();
        let root = root + u128::from(root * root < wanted);
        let sigma_sixteenths = u64::try_from(root).map_err(|_| flaw())?.max(LEAST_SIGMA);
        Self::gaussian(sigma_sixteenths).ok_or_else(flaw)
    }

    /// Discrete Gaussian noise of that standard deviation, in sixteenths, if it is within the bounds.
    pub(crate) fn gaussian(sigma_sixteenths: u64) -> Option<Self> {
        (LEAST_SIGMA..=MOST_SIGMA)
            .contains(&sigma_sixteenths)
            .then_some(Self::DiscreteGaussian { sigma_sixteenths })
    }

    /// Standard deviation of Gaussian noise in sixteenths; none of other noise.
    pub(crate) const fn sigma_sixteenths(&self) -> Option<u64> {
        match self {
            Self::DiscreteGaussian { sigma_sixteenths } => Some(*sigma_sixteenths),
            Self::DiscreteLaplace { .. } | Self::LaplaceShares { .. } => None,
        }
    }

    /// Standard deviation of Gaussian noise, to describe it; none of other noise.
    pub fn sigma(&self) -> Option<f64> {
        self.sigma_sixteenths().map(|s| s as f64 / 16.0)
    }

    /// Gaussian noise of more than `self`, so much more that the difference can be drawn; at least `wanted`.
    pub(crate) fn gaussian_above(&self, wanted: u64) -> Option<Self> {
        let own = self.sigma_sixteenths()?;
        if wanted <= own {
            return Some(*self);
        }
        let least = u128::from(own) * u128::from(own) + u128::from(LEAST_SIGMA) * u128::from(LEAST_SIGMA);
        Self::gaussian(u64::try_from(least.isqrt() + 1).ok()?.max(wanted))
    }

    /// The Gaussian noise that is missing to `larger`. Drawn on the same grid, so it may be a little more.
    fn gaussian_missing(own: u64, larger: u64) -> Result<Option<Self>, Flaw> {
        let square = |s: u64| u128::from(s) * u128::from(s);
        match square(larger).checked_sub(square(own)) {
            Some(0) => Ok(None),
            Some(missing) => {
                let root = missing.isqrt();
                let root = u64::try_from(root + u128::from(root * root < missing)).unwrap_or(u64::MAX);
                let enough = Self::gaussian(root);
                enough.map(Some).ok_or_else(|| Flaw::new("noise", "too little is missing to draw it"))
            }
            None => Err(Flaw::new("noise", "there is more noise than the other asks for")),
        }
    }

    /// The noise that is missing where this was added and `larger` should have been: none if they are the same.
    pub(crate) fn missing_to(&self, larger: &Self) -> Result<Option<Self>, Flaw> {
        if let (Some(own), Some(larger)) = (self.sigma_sixteenths(), larger.sigma_sixteenths()) {
            return Self::gaussian_missing(own, larger);
        }
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
            Self::DiscreteGaussian { sigma_sixteenths } => (*sigma_sixteenths, 16),
        }
    }

    /// The scale (of Gaussian noise its standard deviation) as a real number, to describe it; sampling never uses
    /// it.
    pub fn scale(&self) -> f64 {
        let (numerator, denominator) = self.scale_ratio();
        numerator as f64 / denominator as f64
    }

    /// The shape of what one node adds, to describe it: 1 for whole noise.
    pub fn shape(&self) -> f64 {
        match self {
            Self::DiscreteLaplace { .. } | Self::DiscreteGaussian { .. } => 1.0,
            Self::LaplaceShares { shape_numerator, shape_denominator, .. } => {
                *shape_numerator as f64 / *shape_denominator as f64
            }
        }
    }

    /// Variance of one sample.
    pub fn variance(&self) -> f64 {
        if self.sigma_sixteenths().is_some() {
            return self.scale() * self.scale();
        }
        // 2 p / (1-p)^2 = 1 / (2 sinh^2(a/2)) with a = 1 / scale.
        let sinh = (0.5 / self.scale()).sinh();
        self.shape() / (2.0 * sinh * sinh)
    }

    /// A bound that one sample passes, on either side, with a chance below `2 exp(-log_odds)`. Shapes are at most 1.
    pub(crate) fn bound(&self, log_odds: f64) -> f64 {
        if self.sigma_sixteenths().is_some() {
            // Discrete Gaussians are subgaussian with their sigma (Canonne, Kamath and Steinke 2020, Lemma 8).
            return self.scale() * (2.0 * log_odds).sqrt();
        }
        self.scale() * log_odds
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
        let refused = |_| Flaw::new("mechanism", "the scale is not a positive rational");
        let (numerator, denominator) = self.scale_ratio();
        let scale = Rational::from_unsigned(numerator, denominator).map_err(refused)?;
        match self {
            Self::LaplaceShares { .. } => {
                let share = self.share()?;
                values.iter_mut().for_each(|value| *value = held(*value, share.sample(rng)));
            }
            Self::DiscreteLaplace { .. } => {
                let laplace = DiscreteLaplace::new(scale).map_err(refused)?;
                values.iter_mut().for_each(|value| *value = held(*value, whole(&laplace.sample(rng))));
            }
            Self::DiscreteGaussian { sigma_sixteenths } => {
                if Self::gaussian(*sigma_sixteenths).is_none() {
                    return Err(Flaw::new("mechanism", "so little Gaussian noise is not drawn"));
                }
                let gaussian = DiscreteGaussian::new(scale).map_err(refused)?;
                values.iter_mut().for_each(|value| *value = held(*value, whole(&gaussian.sample(rng))));
            }
        }
        Ok(())
    }
}

/// `value + noise`, held within [`MAX_VALUE`].
fn held(value: i64, noise: i64) -> i64 {
    value.saturating_add(noise).clamp(-MAX_VALUE, MAX_VALUE)
}

/// A sample as a machine word; one that is too large for it is as large as there is.
fn whole(noise: &BigInt) -> i64 {
    let most = if noise.sign() == num_bigint::Sign::Minus { i64::MIN } else { i64::MAX };
    i64::try_from(noise).unwrap_or(most)
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
