//! Shares of Laplace noise: each node adds a little, the sum has the law of a trusted centre's noise
//! (docs/protocol.md §9; Balle, Bell, Gascon and Nissim 2020, arXiv 2002.00817).
//!
//! A share is the difference of two negative binomials NB(r, 1-p) with p = exp(-a), the generalised discrete
//! Laplace GDL(r, a). Sums add shapes: m nodes of shape r give GDL(m r, a), and GDL(1, a) is discrete Laplace.
//!
//! NB(r, 1-p) is the sum of the points of a Poisson process on k = 1, 2, ... with intensity r p^k / k (its
//! logarithmic-series form). The process is drawn by thinning: block i, from 2^i to 2^(i+1), has intensity at most
//! r 2^-i on each of its 2^i integers, so r in all, whatever i. There are about log2(1/a) blocks before p^k dies
//! out, and one further Poisson count serves all blocks after them. So the cost grows with the logarithm of the
//! scale, where accepting a geometric grows with the scale itself, and every step is exact.

use rand::Rng;

use super::chance::{Ratio, coin, exp_coin, poisson, two_over_e, uniform};

/// The law of one share: `a` and `r` exact. Built by [`super::Mechanism::laplace_shares`].
#[derive(Debug, Clone, Copy)]
pub(super) struct LaplaceShare {
    /// a = 1 / scale.
    rate: Ratio,
    /// r.
    shape: Ratio,
    /// Blocks before the last: the smallest i with a 2^i >= 1.
    blocks: u32,
}

/// Most blocks: a scale of 2^32 is far beyond any useful figure.
const MOST_BLOCKS: u32 = 32;
/// Largest shape of one share. One of shape 1 is a whole Laplace; nobody needs more than a few.
const MOST_SHAPE: u64 = 64;

impl LaplaceShare {
    /// None where the scale is over 2^32 or a fraction has a zero in it.
    pub(super) fn new(rate: Ratio, shape: Ratio) -> Option<Self> {
        if [rate.numerator, rate.denominator, shape.numerator, shape.denominator].contains(&0) {
            return None;
        }
        let whole = |i: u32| (u128::from(rate.numerator) << i) >= u128::from(rate.denominator);
        let blocks = (0..=MOST_BLOCKS).find(|i| whole(*i))?;
        // The mean of the Poisson count, r (blocks + 1), must be a fraction of u64, and drawing it takes time.
        shape.numerator.checked_mul(u64::from(MOST_BLOCKS) + 1)?;
        if shape.numerator / shape.denominator >= MOST_SHAPE {
            return None;
        }
        Some(Self { rate, shape, blocks })
    }

    /// One share.
    pub(super) fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> i64 {
        self.negative_binomial(rng).saturating_sub(self.negative_binomial(rng))
    }

    fn negative_binomial<R: Rng + ?Sized>(&self, rng: &mut R) -> i64 {
        let slots = u64::from(self.blocks) + 1;
        let mean = Ratio { numerator: self.shape.numerator * slots, ..self.shape };
        let points = poisson(mean, rng);
        (0..points).fold(0i64, |sum, _| sum.saturating_add(self.point(slots, rng).unwrap_or(0)))
    }

    /// One point of the dominating process, if it is kept: where it lies.
    fn point<R: Rng + ?Sized>(&self, slots: u64, rng: &mut R) -> Option<i64> {
        let slot = u32::try_from(uniform(u128::from(slots), rng)).ok()?;
        // In the last slot block `blocks + further` has the intensity r 2^-(further+1), so all of them r.
        let mut further = 0;
        if slot == self.blocks {
            while coin(1, 2, rng) {
                further += 1;
                // Reached once in 2^28; kept there with probability below exp(-2^28): never.
                if further == 28 {
                    return None;
                }
            }
        }
        let block = slot + further;
        let k = (1u128 << block) + uniform(1 << block, rng);
        // r p^k / k over what dominates it: first 2^i / k, then p^k.
        if !coin(1 << block, k, rng) {
            return None;
        }
        let (numerator, denominator) =
            (u128::from(self.rate.numerator) * k, u128::from(self.rate.denominator));
        let kept = if slot < self.blocks {
            exp_coin(numerator, denominator, rng)
        } else {
            // p^k 2^m with m = further + 1, as exp(-(a k - m)) (2/e)^m. There a k >= 2^further >= m.
            let m = u128::from(further) + 1;
            (0..m).all(|_| two_over_e(rng)) && exp_coin(numerator - m * denominator, denominator, rng)
        };
        if kept { i64::try_from(k).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn share(a: (u64, u64), r: (u64, u64)) -> LaplaceShare {
        let ratio = |(numerator, denominator)| Ratio { numerator, denominator };
        LaplaceShare::new(ratio(a), ratio(r)).unwrap()
    }

    /// Probabilities of NB(r, 1-p): (1-p)^r, then each the last times p (k+r) / (k+1).
    fn masses(a: f64, r: f64, n: usize) -> Vec<f64> {
        let p = (-a).exp();
        let mut mass = (1.0 - p).powf(r);
        (0..n)
            .map(|k| {
                let this = mass;
                mass *= p * (k as f64 + r) / (k as f64 + 1.0);
                this
            })
            .collect()
    }

    /// Cell by cell, within five standard errors: small and large scales, shapes below, at and above 1.
    #[test]
    fn a_negative_binomial_follows_its_law() {
        let mut rng = StdRng::seed_from_u64(5);
        for (a, r) in
            [((1, 1), (1, 4)), ((1, 2), (1, 1)), ((3, 1), (1, 50)), ((1, 20), (1, 5)), ((1, 3), (5, 2))]
        {
            let law = share(a, r);
            let n = 40_000;
            let drawn: Vec<i64> = (0..n).map(|_| law.negative_binomial(&mut rng)).collect();
            let expected = masses(a.0 as f64 / a.1 as f64, r.0 as f64 / r.1 as f64, 60);
            for (k, mass) in expected.iter().enumerate() {
                let seen = drawn.iter().filter(|d| **d == k as i64).count() as f64 / f64::from(n);
                let error = (mass * (1.0 - mass) / f64::from(n)).sqrt() + 2e-5;
                assert!(
                    (seen - mass).abs() < 5.0 * error,
                    "a {a:?} r {r:?} P({k}) = {seen}, expected {mass}"
                );
            }
        }
    }

    /// n shares of shape 1/n are one discrete Laplace.
    #[test]
    fn shares_sum_to_the_noise_of_a_trusted_centre() {
        let mut rng = StdRng::seed_from_u64(6);
        let law = share((1, 2), (1, 10));
        let n = 20_000;
        let sums: Vec<i64> = (0..n).map(|_| (0..10).map(|_| law.sample(&mut rng)).sum()).collect();
        let p = (-0.5f64).exp();
        for x in -8i64..=8 {
            let expected = (1.0 - p) / (1.0 + p) * p.powi(x.unsigned_abs() as i32);
            let seen = sums.iter().filter(|s| **s == x).count() as f64 / f64::from(n);
            let error = (expected * (1.0 - expected) / f64::from(n)).sqrt();
            assert!((seen - expected).abs() < 5.0 * error, "P({x}) = {seen}, expected {expected}");
        }
    }

    /// The variance of a share is 2 r p / (1-p)^2, also at a scale of 10,000.
    #[test]
    fn the_variance_is_right_at_large_scales() {
        let mut rng = StdRng::seed_from_u64(7);
        for (a, r, n) in [((1, 100), (1, 2), 20_000), ((1, 10_000), (1, 1), 20_000)] {
            let law = share(a, r);
            let p = (-(a.0 as f64) / a.1 as f64).exp();
            let expected = 2.0 * (r.0 as f64 / r.1 as f64) * p / (1.0 - p).powi(2);
            let seen = (0..n).map(|_| (law.sample(&mut rng) as f64).powi(2)).sum::<f64>() / f64::from(n);
            assert!((seen / expected - 1.0).abs() < 0.1, "{seen} where {expected} is expected");
        }
    }

    #[test]
    fn what_is_no_law_is_refused() {
        let ratio = |numerator, denominator| Ratio { numerator, denominator };
        for (a, r) in [
            (ratio(0, 1), ratio(1, 1)),
            (ratio(1, 0), ratio(1, 1)),
            (ratio(1, 1), ratio(0, 1)),
            (ratio(1, 1), ratio(1, 0)),
            (ratio(1, u64::MAX), ratio(1, 1)),
            (ratio(1, 1), ratio(u64::MAX, 1)),
        ] {
            assert!(LaplaceShare::new(a, r).is_none());
        }
    }
}
