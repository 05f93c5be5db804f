//! A certified lower bound on the epsilon of what is really drawn: what an adversary who sees only outputs can prove.
//! It must stay below the epsilon that is claimed, and pass it where the noise is at fault.
//!
//! An event of probability p on one input and q on a neighbouring one proves epsilon >= ln((p - delta) / q). From
//! counts over many trials, p is bounded below and q above by Clopper and Pearson's limits, at a level shared out over
//! all events and both directions (Bonferroni). So the bound is wrong with a chance of at most `WRONG`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use hedgerow_protocol::privacy::{Accounting, Loss, Mechanism, MicroEpsilon, Sensitivity};
use rand::{SeedableRng as _, rngs::StdRng};
use statrs::distribution::{Beta, ContinuousCDF as _};

const TRIALS: usize = 400_000;
/// The chance that a sound mechanism fails any one of these tests.
const WRONG: f64 = 1e-6;
/// Most that one person changes the statistic by.
const CHANGE: i64 = 2;
/// Events are looked at as far from either input.
const REACH: i64 = 30;

/// Clopper and Pearson's limits for `hits` of `trials`, each wrong with a chance of `alpha`.
fn limits(hits: usize, trials: usize, alpha: f64) -> (f64, f64) {
    let (k, n) = (hits as f64, trials as f64);
    let low = if hits == 0 { 0.0 } else { Beta::new(k, n - k + 1.0).unwrap().inverse_cdf(alpha) };
    let high = if hits == trials { 1.0 } else { Beta::new(k + 1.0, n - k).unwrap().inverse_cdf(1.0 - alpha) };
    (low, high)
}

/// How often the events come about: at most x, and exactly x, for every x near enough to matter.
fn hits(outputs: &[i64]) -> Vec<usize> {
    let points = -REACH..=REACH + CHANGE;
    let mut sorted = outputs.to_vec();
    sorted.sort_unstable();
    let at_most = |x: i64| sorted.partition_point(|o| *o <= x);
    points.clone().map(at_most).chain(points.map(|x| at_most(x) - at_most(x - 1))).collect()
}

/// The largest epsilon that the outputs prove, given the delta that is claimed.
fn proven(one: &[i64], other: &[i64], delta: f64) -> f64 {
    let (one, other) = (hits(one), hits(other));
    // Two inputs, each event and its complement, two limits.
    let alpha = WRONG / (one.len() * 8) as f64;
    let mut best = 0.0f64;
    for (a, b) in one.into_iter().zip(other) {
        for (p, q) in [(a, b), (b, a), (TRIALS - a, TRIALS - b), (TRIALS - b, TRIALS - a)] {
            // The limits only make the ratio smaller.
            if (p as f64) <= q as f64 * best.exp() {
                continue;
            }
            let (p, q) = (limits(p, TRIALS, alpha).0, limits(q, TRIALS, alpha).1);
            if p > delta {
                best = best.max(((p - delta) / q).ln());
            }
        }
    }
    best
}

/// A statistic of 0 and of [`CHANGE`] with sums of `samples` draws. Both with the same draws: every limit holds for
/// itself, so that they depend on one another does no harm.
fn outputs(mechanism: &Mechanism, samples: usize, seed: u64) -> (Vec<i64>, Vec<i64>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut outputs = vec![0; TRIALS];
    for _ in 0..samples {
        let noise = mechanism.samples(TRIALS, &mut rng).unwrap();
        outputs.iter_mut().zip(noise).for_each(|(o, x)| *o += x);
    }
    let moved = outputs.iter().map(|o| o + CHANGE).collect();
    (outputs, moved)
}

fn epsilon(text: &str) -> MicroEpsilon {
    text.parse().unwrap()
}

const SENSITIVITY: Sensitivity = Sensitivity { cells: 1, change: CHANGE as u64, parts: 1 };

fn claimed(mechanism: &Mechanism, samples: usize, accounting: Accounting) -> f64 {
    let loss = Loss::new(SENSITIVITY, accounting);
    loss.epsilon(mechanism, samples as f64).unwrap().micros() as f64 / 1e6
}

/// What is proven stays below what is claimed, and is worth at least `part` of it.
fn holds(mechanism: &Mechanism, samples: usize, part: f64) {
    let claimed = claimed(mechanism, samples, Accounting::Pure);
    let (one, other) = outputs(mechanism, samples, 1);
    let proven = proven(&one, &other, 0.0);
    assert!(proven <= claimed, "{mechanism:?}: {proven} is proven where {claimed} is claimed");
    assert!(proven >= part * claimed, "{mechanism:?}: only {proven} of {claimed} is proven");
}

#[test]
fn whole_laplace_noise_keeps_its_epsilon() {
    holds(&Mechanism::discrete_laplace(SENSITIVITY.l1(), epsilon("1")).unwrap(), 1, 0.9);
}

#[test]
fn shares_of_laplace_noise_keep_the_epsilon_of_their_sum() {
    let share = |shape| Mechanism::laplace_shares(SENSITIVITY.l1(), epsilon("1"), shape).unwrap();
    holds(&share((1, 5)), 5, 0.9);
    // One dropped out: the claim is larger, and holds.
    holds(&share((1, 5)), 4, 0.9);
}

#[test]
fn one_share_alone_keeps_its_local_epsilon() {
    let share = Mechanism::laplace_shares(SENSITIVITY.l1(), epsilon("1"), (1, 5)).unwrap();
    assert!(claimed(&share, 1, Accounting::Pure) > 2.5);
    holds(&share, 1, 0.9);
}

#[test]
fn gaussian_noise_keeps_its_epsilon_at_delta() {
    let accounting = Accounting::Zcdp { delta_e12: 1_000_000 };
    for samples in [1, 2] {
        let mechanism = Mechanism::discrete_gaussian(SENSITIVITY, epsilon("1"), samples as u64).unwrap();
        let claimed = claimed(&mechanism, samples, accounting);
        let (one, other) = outputs(&mechanism, samples, 2);
        let proven = proven(&one, &other, 1e-6);
        assert!(proven <= claimed && proven > 0.3 * claimed, "{samples}: {proven} of {claimed}");
    }
}

#[test]
fn noise_of_four_fifths_of_its_scale_is_caught() {
    let claimed_by = [(1, 1), (1, 5)].map(|shape| {
        let right = Mechanism::laplace_shares(SENSITIVITY.l1(), epsilon("1"), shape).unwrap();
        // The scale of epsilon 1.25 is 0.8 of that of 1.
        (right, Mechanism::laplace_shares(SENSITIVITY.l1(), epsilon("1.25"), shape).unwrap(), shape.1)
    });
    for (right, wrong, samples) in claimed_by {
        let samples = usize::try_from(samples).unwrap();
        let claimed = claimed(&right, samples, Accounting::Pure);
        let (one, other) = outputs(&wrong, samples, 3);
        let proven = proven(&one, &other, 0.0);
        assert!(proven > claimed, "{wrong:?}: only {proven} is proven where {claimed} is claimed");
    }
}

#[test]
fn the_absolute_value_of_noise_is_caught() {
    let mechanism = Mechanism::laplace_shares(SENSITIVITY.l1(), epsilon("1"), (1, 1)).unwrap();
    let (one, other) = outputs(&mechanism, 1, 4);
    let folded = |outputs: &[i64], count: i64| -> Vec<i64> {
        outputs.iter().map(|o| count + (o - count).abs()).collect()
    };
    let proven = proven(&folded(&one, 0), &folded(&other, CHANGE), 0.0);
    assert!(proven > 5.0, "{proven}: below 2 only the first can be");
}

#[test]
fn a_seed_that_is_used_again_is_caught() {
    // Two cells, of which the person is in the first. Their difference has fresh noise twice, or none at all.
    let mechanism = Mechanism::laplace_shares(SENSITIVITY.l1(), epsilon("1"), (1, 1)).unwrap();
    let difference = |count: i64, seeds: (u64, u64)| -> Vec<i64> {
        let draw = |seed| mechanism.samples(TRIALS, &mut StdRng::seed_from_u64(seed)).unwrap();
        draw(seeds.0).iter().zip(draw(seeds.1)).map(|(a, b)| count + a - b).collect()
    };
    let sound = proven(&difference(0, (5, 6)), &difference(CHANGE, (7, 8)), 0.0);
    assert!(sound <= 1.0, "{sound}: the sound mechanism is not to be blamed");
    let reused = proven(&difference(0, (5, 5)), &difference(CHANGE, (7, 7)), 0.0);
    assert!(reused > 5.0, "{reused}");
}
