//! A certified lower bound on the epsilon of what really leaves a node: what an adversary who sees only outputs can
//! prove. It must stay below the epsilon that is claimed, and pass it where the noise is at fault.
//!
//! An event of probability p on one input and q on a neighbouring one proves epsilon >= ln((p - delta) / q). From
//! counts over many trials, p is bounded below and q above by Clopper and Pearson's limits, at a level shared out over
//! all events and both directions (Bonferroni). So the bound is wrong with a chance of at most `WRONG`.
//!
//! Outputs come from the path that answers take: facets, plan, count, charge, and [`Exact::noise`] or
//! [`Exact::noise_share`]. Every cell of a vector is one trial: it holds nobody, or one person with all that counts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "support/path.rs"]
mod path;

use hedgerow_protocol::privacy::Accounting;
use path::{CHANGE, Noise, Path};
use statrs::distribution::{Beta, ContinuousCDF as _};

const TRIALS: usize = 400_000;
/// The chance that a sound mechanism fails any one of these tests.
const WRONG: f64 = 1e-6;
/// Events are looked at as far from either input.
const REACH: i64 = 30;
/// A claim of zCDP holds at every delta. The conversion is far above the truth where delta is small; here it is nearest
/// to what so many trials can prove.
const DELTA_E12: u64 = 20_000_000_000;

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

/// What one person's records make of the outputs: without them, and with them.
struct Neighbours {
    without: Vec<i64>,
    with: Vec<i64>,
}

impl Neighbours {
    fn map(&self, change: impl Fn(&[i64], i64) -> Vec<i64>) -> Self {
        Self { without: change(&self.without, 0), with: change(&self.with, CHANGE) }
    }

    /// The largest epsilon that the outputs prove, given the delta that is claimed.
    fn prove(&self, delta: f64) -> f64 {
        let trials = self.without.len();
        assert_eq!(trials, self.with.len());
        let (one, other) = (hits(&self.without), hits(&self.with));
        // Two inputs, each event and its complement, two limits.
        let alpha = WRONG / (one.len() * 8) as f64;
        let mut best = 0.0f64;
        for (a, b) in one.into_iter().zip(other) {
            for (p, q) in [(a, b), (b, a), (trials - a, trials - b), (trials - b, trials - a)] {
                // The limits only make the ratio smaller.
                if (p as f64) <= q as f64 * best.exp() {
                    continue;
                }
                let (p, q) = (limits(p, trials, alpha).0, limits(q, trials, alpha).1);
                if p > delta {
                    best = best.max(((p - delta) / q).ln());
                }
            }
        }
        best
    }
}

/// What is released where the node that may hold the person does not, or does, and the others of the sum hold nobody.
/// Every draw follows from its seed, so both inputs get the same: every limit holds for itself, so that they depend on
/// one another does no harm.
fn outputs<const N: usize>(path: &Path, noise: Noise, person: [bool; N]) -> [Vec<i64>; N] {
    let mut released = person.map(|person| path.outputs(noise, person, TRIALS, 1));
    for other in 1..noise.summed() {
        let other = path.outputs(noise, false, TRIALS, 1 + other);
        for outputs in &mut released {
            outputs.iter_mut().zip(&other).for_each(|(sum, x)| *sum += x);
        }
    }
    released
}

/// One law of noise under test: how it is drawn, under which accounting, and how much of the claim `TRIALS` prove.
fn audit(noise: Noise, accounting: Accounting, part: f64) {
    let stated = match accounting {
        Accounting::Pure => Accounting::Pure,
        Accounting::Zcdp { .. } => Accounting::Zcdp { delta_e12: DELTA_E12 },
    };
    let delta = stated.delta_e12().unwrap_or_default() as f64 * 1e-12;
    let path = Path::new("1", accounting);
    let claimed = path.claims(noise, stated);

    let [without, with] = outputs(&path, noise, [false, true]);
    let sound = Neighbours { without, with };
    let proven = sound.prove(delta);
    assert!(proven <= claimed, "{proven} is proven where {claimed} is claimed");
    assert!(proven >= part * claimed, "only {proven} of {claimed} is proven: so weak a test says nothing");

    // Nodes that draw what epsilon 1.25 asks for: 0.8 of the scale.
    let [without] = outputs(&Path::new("1.25", accounting), noise, [false]);
    let with = without.iter().map(|o| o + CHANGE).collect();
    let narrow = Neighbours { without, with }.prove(delta);
    assert!(narrow > claimed, "four fifths of the scale: only {narrow} where {claimed} is claimed");

    // Noise without its sign.
    let folded = sound.map(|outputs, count| outputs.iter().map(|o| count + (o - count).abs()).collect());
    let folded = folded.prove(delta);
    assert!(folded > claimed, "the absolute value: only {folded} where {claimed} is claimed");

    // Two answers, of which only the second counts her; their difference has fresh noise twice, or none at all.
    let (first, second) = sound.without.split_at(TRIALS / 2);
    let less = |a: &[i64], b: &[i64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<i64>>();
    let fresh = Neighbours { without: less(second, first), with: less(&sound.with[TRIALS / 2..], first) };
    let proven = fresh.prove(delta);
    assert!(proven <= claimed, "{proven}: two answers with fresh noise are not to be blamed");
    let reused =
        Neighbours { without: less(first, first), with: less(&sound.with[..TRIALS / 2], first) }.prove(delta);
    assert!(reused > claimed + 3.0, "a seed used again: only {reused} where {claimed} is claimed");
}

const ZCDP: Accounting = Accounting::Zcdp { delta_e12: 1_000_000 };

#[test]
fn whole_laplace_noise_keeps_its_epsilon_and_each_planted_fault_is_caught() {
    audit(Noise::Whole, Accounting::Pure, 0.9);
}

#[test]
fn whole_gaussian_noise_keeps_its_epsilon_at_delta_and_each_planted_fault_is_caught() {
    audit(Noise::Whole, ZCDP, 0.7);
}

#[test]
fn shares_of_laplace_noise_keep_the_epsilon_of_their_sum_and_each_planted_fault_is_caught() {
    audit(Noise::Shares { seats: 5, summed: 4 }, Accounting::Pure, 0.9);
}

#[test]
fn one_share_of_laplace_noise_keeps_its_larger_epsilon_and_each_planted_fault_is_caught() {
    audit(Noise::Shares { seats: 5, summed: 1 }, Accounting::Pure, 0.9);
}

#[test]
fn shares_of_gaussian_noise_keep_the_epsilon_of_their_sum_and_each_planted_fault_is_caught() {
    audit(Noise::Shares { seats: 3, summed: 2 }, ZCDP, 0.7);
}
