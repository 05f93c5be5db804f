//! Exact chances: coins of rational bias and of bias exp(-x), uniform integers, Poisson counts.
//!
//! Everything is decided by comparing uniform integers with integers: no floating point, so a sample has exactly
//! the law that it is said to have (Mironov 2012 shows what happens otherwise). The coin of bias exp(-x) is that
//! of Canonne, Kamath and Steinke 2020 (arXiv 2004.00010), algorithm 1.
//!
//! Not constant-time: how long a sample takes depends on it. What is drawn here leaves a node only on a schedule
//! (docs/protocol.md §4).

use rand::Rng;

/// A fraction in `[0, infinity)` of two integers below 2^64, the second not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ratio {
    pub(super) numerator: u64,
    pub(super) denominator: u64,
}

/// A uniform integer in `[0, below)`; 0 if `below` is.
pub(super) fn uniform<R: Rng + ?Sized>(below: u128, rng: &mut R) -> u128 {
    if below <= 1 {
        return 0;
    }
    let bits = 128 - (below - 1).leading_zeros();
    loop {
        let high = if bits > 64 { u128::from(rng.next_u64()) << 64 } else { 0 };
        let drawn = (high | u128::from(rng.next_u64())) & (u128::MAX >> (128 - bits));
        if drawn < below {
            return drawn;
        }
    }
}

/// True with probability `numerator / denominator`, at most 1.
pub(super) fn coin<R: Rng + ?Sized>(numerator: u128, denominator: u128, rng: &mut R) -> bool {
    numerator >= denominator || uniform(denominator, rng) < numerator
}

/// True with probability `exp(-numerator / denominator)`.
pub(super) fn exp_coin<R: Rng + ?Sized>(numerator: u128, denominator: u128, rng: &mut R) -> bool {
    let denominator = denominator.max(1);
    // exp(-x) is exp(-1) once for each whole part of x; a false one ends it, after 1.6 on average.
    for _ in 0..numerator / denominator {
        if !small_exp_coin(1, 1, 1, rng) {
            return false;
        }
    }
    small_exp_coin(numerator % denominator, denominator, 1, rng)
}

/// True with probability 2/e: the same alternating series as that of exp(-1), without its first two terms.
pub(super) fn two_over_e<R: Rng + ?Sized>(rng: &mut R) -> bool {
    small_exp_coin(1, 1, 3, rng)
}

/// With x = numerator / denominator at most 1: counts on from `first` for as long as a coin of bias x / k is
/// true, and is true if it stops at an odd k. From 1 that has probability exp(-x).
fn small_exp_coin<R: Rng + ?Sized>(numerator: u128, denominator: u128, first: u128, rng: &mut R) -> bool {
    let mut k = first;
    while coin(numerator, denominator.saturating_mul(k), rng) {
        k += 1;
    }
    k % 2 == 1
}

/// A Poisson count of mean `mean`.
///
/// Cut into pieces of mean g at most 1/2, each by rejection: the number n of true coins of bias g/1, g/2, ... is
/// n with probability g^n/n! (1 - g/(n+1)), and is kept with probability (1-g) / (1 - g/(n+1)), which leaves
/// g^n/n! up to a constant.
pub(super) fn poisson<R: Rng + ?Sized>(mean: Ratio, rng: &mut R) -> u64 {
    let pieces = mean.numerator.saturating_mul(2).div_ceil(mean.denominator.max(1));
    let (g, one) = (u128::from(mean.numerator), u128::from(mean.denominator) * u128::from(pieces.max(1)));
    let mut total = 0u64;
    for _ in 0..pieces {
        total = total.saturating_add(loop {
            let mut n = 0u64;
            while coin(g, one.saturating_mul(u128::from(n) + 1), rng) {
                n += 1;
            }
            // (1-g)(n+1) / (n+1-g), times the denominator of g.
            let next = one.saturating_mul(u128::from(n) + 1);
            if coin((one - g).saturating_mul(u128::from(n) + 1), next - g, rng) {
                break n;
            }
        });
    }
    total
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn share(n: u32, mut coin: impl FnMut() -> bool) -> f64 {
        (0..n).filter(|_| coin()).count() as f64 / f64::from(n)
    }

    #[test]
    fn coins_have_their_bias() {
        let mut rng = StdRng::seed_from_u64(1);
        let n = 60_000;
        for (numerator, denominator) in [(0, 5), (1, 7), (3, 10), (1 << 70, 1 << 71), (5, 5), (9, 5)] {
            let expected = (numerator as f64 / denominator as f64).min(1.0);
            let seen = share(n, || coin(numerator, denominator, &mut rng));
            assert!((seen - expected).abs() < 0.011, "{numerator}/{denominator}: {seen}");
        }
        for (numerator, denominator) in [(0, 1), (1, 10), (1, 1), (7, 3), (1 << 66, 1 << 67)] {
            let expected = (-(numerator as f64) / denominator as f64).exp();
            let seen = share(n, || exp_coin(numerator, denominator, &mut rng));
            assert!((seen - expected).abs() < 0.011, "exp(-{numerator}/{denominator}): {seen}");
        }
        let seen = share(n, || two_over_e(&mut rng));
        assert!((seen - 2.0 / std::f64::consts::E).abs() < 0.011, "{seen}");
    }

    #[test]
    fn poisson_counts_follow_their_law() {
        let mut rng = StdRng::seed_from_u64(2);
        for (numerator, denominator) in [(1, 50), (1, 2), (11, 3), (20, 1)] {
            let mean = numerator as f64 / denominator as f64;
            let n = 40_000;
            let drawn: Vec<u64> =
                (0..n).map(|_| poisson(Ratio { numerator, denominator }, &mut rng)).collect();
            let mut expected = (-mean).exp();
            for k in 0..60u64 {
                let seen = drawn.iter().filter(|d| **d == k).count() as f64 / f64::from(n);
                let error = (expected * (1.0 - expected) / f64::from(n)).sqrt() + 1e-5;
                assert!((seen - expected).abs() < 5.0 * error, "P({k}) at {mean}: {seen}, {expected}");
                expected *= mean / (k + 1) as f64;
            }
        }
    }

    #[test]
    fn a_uniform_integer_stays_below_its_bound() {
        let mut rng = StdRng::seed_from_u64(3);
        for below in [1u128, 2, 3, 64, 65, 1 << 64, (1 << 64) + 1, u128::MAX] {
            assert!((0..200).all(|_| uniform(below, &mut rng) < below));
        }
        assert_eq!(uniform(0, &mut rng), 0);
    }
}
