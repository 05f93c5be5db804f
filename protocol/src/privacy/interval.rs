//! Intervals from the true distribution of the noise (docs/protocol.md §4).
//!
//! The sum of n independent discrete Laplace samples has the characteristic function
//! `phi(t) = ((1-p)^2 / (1 - 2 p cos t + p^2))^n` with `p = exp(-1/s)`; n shares of shape r have it with n r for n.
//! Its distribution is found by inverting it on a grid fine enough that what wraps around is below 1e-12, so the
//! interval is that of the noise itself and not of a normal approximation.

use serde::{Deserialize, Serialize};

use super::noise::Mechanism;

/// Level of every interval: 95%, in millionths.
pub const LEVEL_PPM: u32 = 950_000;

/// Largest grid, in points: 4 MiB and 20 passes over it for anyone who verifies a release. It holds one node's noise
/// up to a scale of about 8,000; sums of money have larger ones.
const MAX_POINTS: usize = 1 << 20;

/// A symmetric interval around a released value that covers the noise at the stated level.
///
/// It says nothing of what the contribution bound cut off, nor of who never reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Coverage in millionths.
    pub level_ppm: u32,
    /// Half the width: the true bounded count is within this of the value.
    pub half_width: u64,
}

/// Why no interval could be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// The noise is too wide to be of use, or there are no contributions.
    #[error("noise of scale {scale} from {nodes} nodes is too wide to describe; ask with a larger epsilon")]
    TooWide {
        /// Scale of one node's noise, rounded.
        scale: u64,
        /// Contributions summed.
        nodes: usize,
    },
}

impl Interval {
    /// The smallest symmetric interval that covers the sum of `nodes` samples of `mechanism` at [`LEVEL_PPM`].
    pub fn of_sum(mechanism: &Mechanism, nodes: usize) -> Result<Self, IntervalError> {
        if nodes == 0 || mechanism.scale() > WIDEST {
            return Err(IntervalError::TooWide { scale: mechanism.scale() as u64, nodes });
        }
        let half_width = match mechanism.sigma() {
            // A sum of discrete Gaussians of variance 2 and more differs from a rounded Gaussian by less than 1e-8.
            Some(sigma) => (Z95 * sigma * (nodes as f64).sqrt() - 0.5).ceil().max(0.0) as u64,
            None => {
                let step = coarser(mechanism, nodes);
                let tail = Tail::new(mechanism.scale() / step as f64, mechanism.shape(), nodes)?;
                match step {
                    1 => tail.quantile(),
                    // Of a lattice so much coarser the interval is known to one step.
                    step => (tail.quantile() + 1).saturating_mul(step),
                }
            }
        };
        Ok(Self { level_ppm: LEVEL_PPM, half_width })
    }

    /// Whether this is the interval of [`Self::of_sum`]; a half-width whose coverage lies within 1e-9 of the
    /// level counts too, because two machines may round the last bit of an exponential differently.
    pub fn holds_for(&self, mechanism: &Mechanism, nodes: usize) -> Result<bool, IntervalError> {
        let own = Self::of_sum(mechanism, nodes)?;
        if *self == own {
            return Ok(true);
        }
        let step = coarser(mechanism, nodes);
        let smaller = self.half_width.min(own.half_width);
        if self.level_ppm != LEVEL_PPM || self.half_width.abs_diff(own.half_width) != step {
            return Ok(false);
        }
        if let Some(sigma) = mechanism.sigma() {
            let exact = Z95 * sigma * (nodes as f64).sqrt() - 0.5;
            return Ok((exact - smaller as f64).abs() < 1e-6);
        }
        let tail = Tail::new(mechanism.scale() / step as f64, mechanism.shape(), nodes)?;
        let place = if step == 1 { smaller } else { (smaller / step).saturating_sub(1) };
        Ok((tail.within(place) - level()).abs() < 1e-9)
    }

    /// The half-width at [`LEVEL_PPM`] of a combination with real weights of values that each carry the sum of
    /// `nodes` samples: `squares` is the sum of the squares of the weights, `fourths` that of the fourth powers.
    ///
    /// By the Cornish-Fisher expansion to the fourth cumulant, which is exact for Gaussian noise and, where one
    /// Laplace sample is all there is, wide by 2%.
    pub fn of_combination(mechanism: &Mechanism, nodes: usize, squares: f64, fourths: f64) -> f64 {
        let nodes = nodes.max(1) as f64;
        let excess = match mechanism.sigma() {
            Some(_) => 0.0,
            // 3 for one Laplace sample, the less the more are summed. Scales below 1/2 have more.
            None => 3.0 / (nodes * mechanism.shape()) * (1.0 + 1.0 / (6.0 * mechanism.scale().powi(2))),
        };
        let kurtosis = if squares > 0.0 { excess * fourths / (squares * squares) } else { 0.0 };
        (Z95 + (Z95.powi(3) - 3.0 * Z95) / 24.0 * kurtosis) * (mechanism.variance() * nodes * squares).sqrt()
    }
}

/// The 97.5% point of the standard normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// Noise of a larger scale is not drawn in shares either.
const WIDEST: f64 = (1u64 << 32) as f64;

/// How many points hold the distribution of Laplace noise of `shape` in all: beyond 40 scales and 16 standard
/// deviations (sqrt(2 shape) scales) less than 1e-12 is left of the tail.
fn reach(scale: f64, shape: f64) -> f64 {
    (40.0 * scale + 16.0 * scale * (2.0 * shape).sqrt() + 64.0) * 2.0
}

/// Noise that would not fit the grid is described on a lattice so many times coarser; 1 for all other.
fn coarser(mechanism: &Mechanism, nodes: usize) -> u64 {
    let (scale, shape) = (mechanism.scale(), nodes as f64 * mechanism.shape());
    let most = MAX_POINTS as f64;
    if reach(scale, shape) <= most {
        return 1;
    }
    // The 64 of the reach aside, it is proportional to the scale.
    let per_scale = reach(1.0, shape) - 128.0;
    (scale * per_scale / (most - 128.0)).ceil().min(u64::MAX as f64) as u64
}

fn level() -> f64 {
    f64::from(LEVEL_PPM) / 1e6
}

/// The distribution of a sum of noises, by its characteristic function on a grid.
struct Tail {
    points: usize,
    /// phi at 2 pi j / points, for j from 1 to points/2.
    phi: Vec<f64>,
}

impl Tail {
    fn new(scale: f64, shape: f64, nodes: usize) -> Result<Self, IntervalError> {
        let shape = nodes as f64 * shape;
        let too_wide = IntervalError::TooWide { scale: scale.round() as u64, nodes };
        let reach = reach(scale, shape);
        if nodes == 0 || !reach.is_finite() || reach > MAX_POINTS as f64 {
            return Err(too_wide);
        }
        let points = (reach.ceil() as usize).next_power_of_two().min(MAX_POINTS);
        let p = (-1.0 / scale).exp();
        let phi = (1..=points / 2)
            .map(|j| {
                let t = std::f64::consts::TAU * j as f64 / points as f64;
                // 1 - 2 p cos t + p^2 = (1-p)^2 + 4 p sin^2(t/2), without cancellation for small t.
                let one_minus_p = -(-1.0 / scale).exp_m1();
                let square = one_minus_p * one_minus_p;
                let sine = (t / 2.0).sin();
                (square / (square + 4.0 * p * sine * sine)).powf(shape)
            })
            .collect();
        Ok(Self { points, phi })
    }

    /// The smallest w with P(|sum| <= w) at least [`LEVEL_PPM`].
    fn quantile(&self) -> u64 {
        let (mut low, mut high) = (0u64, self.points as u64 / 2 - 1);
        while low < high {
            let middle = low.midpoint(high);
            if self.within(middle) >= level() {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// P(|sum| <= w), by the Dirichlet kernel; w below half the grid.
    fn within(&self, w: u64) -> f64 {
        let odd = 2.0 * w as f64 + 1.0;
        let n = self.points as f64;
        let half = self.points / 2;
        let sum: f64 = self
            .phi
            .iter()
            .zip(1..=half)
            .map(|(phi, j)| {
                let angle = std::f64::consts::PI * j as f64 / n;
                // The point at pi stands once on the grid, all others twice (t and -t).
                let weight = if j == half { 1.0 } else { 2.0 };
                weight * phi * (odd * angle).sin() / angle.sin()
            })
            .sum();
        (odd + sum) / n
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;
    use crate::privacy::MicroEpsilon;

    fn laplace(l1: u64, micros: u64) -> Mechanism {
        Mechanism::discrete_laplace(l1, MicroEpsilon::from_micros(micros)).unwrap()
    }

    #[test]
    fn one_sample_has_the_interval_of_the_closed_form() {
        for (l1, micros) in [(1, 1_000_000), (4, 500_000), (3, 20_000), (1, 10_000_000)] {
            let mechanism = laplace(l1, micros);
            // P(|X| > w) = 2 p^(w+1) / (1 + p), in closed form.
            let p = (-1.0 / mechanism.scale()).exp();
            let expected = (0..).find(|w| 1.0 - 2.0 * p.powi(w + 1) / (1.0 + p) >= 0.95).unwrap() as u64;
            assert_eq!(Interval::of_sum(&mechanism, 1).unwrap().half_width, expected, "{mechanism:?}");
        }
    }

    #[test]
    fn a_sum_of_two_has_the_interval_of_the_convolution() {
        let mechanism = laplace(2, 700_000);
        let p = (-1.0 / mechanism.scale()).exp();
        let mass = |x: i64| (1.0 - p) / (1.0 + p) * p.powi(x.unsigned_abs() as i32);
        let sum = |x: i64| (-400..=400).map(|y| mass(y) * mass(x - y)).sum::<f64>();
        let mut within = sum(0);
        let mut w = 0u64;
        while within < 0.95 {
            w += 1;
            within += 2.0 * sum(w as i64);
        }
        assert_eq!(Interval::of_sum(&mechanism, 2).unwrap().half_width, w);
    }

    #[test]
    fn the_interval_covers_as_often_as_it_says() {
        let mechanism = laplace(2, 500_000);
        let (nodes, trials) = (5, 8_000);
        let half_width = Interval::of_sum(&mechanism, nodes).unwrap().half_width;
        let mut values = vec![0i64; trials];
        let mut rng = StdRng::seed_from_u64(11);
        for _ in 0..nodes {
            mechanism.add_to(&mut values, &mut rng).unwrap();
        }
        let covered = values.iter().filter(|v| v.unsigned_abs() <= half_width).count() as f64 / trials as f64;
        assert!((0.94..0.965).contains(&covered), "{covered}");
    }

    #[test]
    fn another_width_or_level_does_not_hold() {
        let mechanism = laplace(2, 500_000);
        let own = Interval::of_sum(&mechanism, 5).unwrap();
        assert_eq!(own.holds_for(&mechanism, 5), Ok(true));
        let narrower = Interval { half_width: own.half_width - 1, ..own };
        assert_eq!(narrower.holds_for(&mechanism, 5), Ok(false));
        let weaker = Interval { level_ppm: 900_000, ..own };
        assert_eq!(weaker.holds_for(&mechanism, 5), Ok(false));
    }

    #[test]
    fn noise_too_wide_to_describe_is_refused_at_once() {
        assert!(Interval::of_sum(&laplace(1, 1_000_000), 0).is_err());
        assert!(Interval::of_sum(&laplace(1 << 30, 1), 5).is_err());
    }

    /// At large scales the lattice is coarser: the interval is that of the continuous law, wide by less than 0.1%.
    #[test]
    fn noise_of_a_large_scale_has_an_interval_that_covers() {
        for l1 in [3000u64, 50_000, 10_000_000] {
            let mechanism = laplace(l1, 1_000_000);
            let own = Interval::of_sum(&mechanism, 1).unwrap();
            let exact = mechanism.scale() * 20f64.ln();
            let ratio = own.half_width as f64 / exact;
            assert!((1.0 - 1e-4..1.001).contains(&ratio), "{l1}: {ratio}");
            assert_eq!(own.holds_for(&mechanism, 1), Ok(true));
            let narrower = Interval { half_width: own.half_width - coarser(&mechanism, 1), ..own };
            assert_eq!(narrower.holds_for(&mechanism, 1), Ok(false));
        }
    }

    #[test]
    fn intervals_of_gaussian_noise_and_of_combinations_cover_as_often_as_they_say() {
        let sensitivity = crate::privacy::Sensitivity { cells: 9, change: 1, parts: 1 };
        let gaussian =
            Mechanism::discrete_gaussian(sensitivity, MicroEpsilon::from_micros(1_000_000), 1).unwrap();
        let mut rng = StdRng::seed_from_u64(12);
        let trials = 12_000;
        for (mechanism, nodes) in [(gaussian, 3), (laplace(2, 500_000), 1), (laplace(2, 500_000), 4)] {
            let mut sums = vec![0i64; trials * 2];
            (0..nodes).for_each(|_| mechanism.add_to(&mut sums, &mut rng).unwrap());
            let half = Interval::of_sum(&mechanism, nodes).unwrap().half_width;
            let covered = |n: usize| n as f64 / trials as f64;
            let whole = covered(sums.iter().take(trials).filter(|v| v.unsigned_abs() <= half).count());
            assert!((0.94..0.965).contains(&whole), "{mechanism:?}: {whole}");
            for (a, b) in [(1.0, 1.0), (0.3, -1.7), (1.0, 0.0)] {
                let half = Interval::of_combination(
                    &mechanism,
                    nodes,
                    a * a + b * b,
                    f64::powi(a, 4) + f64::powi(b, 4),
                );
                let (first, second) = sums.split_at(trials);
                let pairs = first.iter().zip(second);
                let within = pairs.filter(|(x, y)| (a * **x as f64 + b * **y as f64).abs() <= half).count();
                assert!(
                    (0.94..0.965).contains(&covered(within)),
                    "{mechanism:?} {a} {b}: {}",
                    covered(within)
                );
            }
        }
    }
}
