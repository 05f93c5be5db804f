//! What can be read off a release beyond its cells: margins, means, quantiles, and counts that are not negative
//! (docs/protocol.md §5). Post-processing: it needs the release alone, costs nothing and changes nothing in it.

use serde::Serialize;

use super::Release;
use crate::{
    privacy::{Interval, IntervalError, Mechanism},
    statistic::{Axis, AxisValues, Measure, Plan},
    vocabulary::{Bin, Field},
};

/// Points at which the confidence set of a mean is looked for.
const POINTS: u32 = 1000;

/// A figure with the range that covers its noise at 95%.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The sum of all groups that share one value of an axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Margin {
    /// The axis.
    pub axis: Axis,
    /// Its value.
    pub value: String,
    /// Sum of the raw values, as noisy as all of them.
    pub sum: i64,
    /// Half the width of its interval.
    pub half_width: u64,
}

/// A way to read a release.
#[derive(Debug, Clone, Copy)]
pub struct Estimates<'a> {
    plan: &'a Plan,
    values: &'a [i64],
    mechanism: &'a Mechanism,
    counted: usize,
}

impl Release {
    /// What can be read off it.
    pub fn estimates(&self) -> Estimates<'_> {
        Estimates {
            plan: &self.plan,
            values: &self.values,
            mechanism: &self.mechanism,
            counted: self.counted(),
        }
    }
}

impl<'a> Estimates<'a> {
    #[cfg(test)]
    pub(super) fn new(plan: &'a Plan, values: &'a [i64], mechanism: &'a Mechanism, counted: usize) -> Self {
        Self { plan, values, mechanism, counted }
    }

    /// The figures nearest to the raw ones, by least squares, that are not negative and sum to the raw total (or
    /// to 0, if that is negative). Their margins agree with one another, being sums of them. One a cell.
    ///
    /// Of sightings, whose sum means nothing: each between none and all members that were counted.
    pub fn consistent(&self) -> Vec<f64> {
        if self.plan.measure() == Measure::Groups {
            let most = self.counted as f64;
            return self.values.iter().map(|v| (*v as f64).clamp(0.0, most)).collect();
        }
        nearest_on_simplex(self.values)
    }

    /// The sums over all values of all other axes, axis by axis; none where there are not at least two axes, or
    /// where a mean or sightings were asked for: a group may have seen several indicators.
    pub fn margins(&self) -> Result<Vec<Margin>, IntervalError> {
        let axes = self.plan.axes();
        let mut margins = Vec::new();
        if axes.len() < 2 || !self.adds_up() {
            return Ok(margins);
        }
        for (place, axis) in axes.iter().enumerate() {
            let after: usize = axes.iter().skip(place + 1).map(|a| a.values.len()).product();
            let len = axis.values.len().max(1);
            let interval = self.of_cells(self.values.len() / len)?;
            for (at, value) in axis.values.iter().enumerate() {
                let here = |(cell, _): &(usize, &i64)| cell / after.max(1) % len == at;
                let sum =
                    self.values.iter().enumerate().filter(here).fold(0i64, |s, (_, v)| s.saturating_add(*v));
                margins.push(Margin {
                    axis: axis.axis,
                    value: value.clone(),
                    sum,
                    half_width: interval.half_width,
                });
            }
        }
        Ok(margins)
    }

    /// Whether sums of cells mean something.
    fn adds_up(&self) -> bool {
        self.plan.measure().parts() == 1 && self.plan.measure() != Measure::Groups
    }

    /// The sum of all cells, with its interval; of a mean and of sightings there is none.
    pub fn total(&self) -> Result<Option<(i64, u64)>, IntervalError> {
        if !self.adds_up() {
            return Ok(None);
        }
        let sum = self.values.iter().fold(0i64, |s, v| s.saturating_add(*v));
        Ok(Some((sum, self.of_cells(self.values.len())?.half_width)))
    }

    /// The interval of a sum of `n` cells, whose noises are independent.
    fn of_cells(&self, n: usize) -> Result<Interval, IntervalError> {
        Interval::of_sum(self.mechanism, self.counted.saturating_mul(n))
    }

    /// The mean of each group, where one was asked for; none for a group of which the noise leaves nothing.
    ///
    /// A mean is A / (A + B) of its bound, with A the numbers and B what they lack. The range is Fieller's: all t
    /// for which a (1-t) - b t is within its noise of 0.
    pub fn means(&self) -> Option<Vec<Option<Range>>> {
        let Measure::Mean(bounded) = self.plan.measure() else { return None };
        let (numbers, lacks) = self.values.split_at_checked(self.plan.groups())?;
        let most = f64::from(bounded.at_most);
        let noise: Vec<(f64, f64)> = (0..=POINTS)
            .map(|i| {
                let t = f64::from(i) / f64::from(POINTS);
                (t, self.half_width(&[1.0 - t, t]))
            })
            .collect();
        let mean = |(a, b): (&i64, &i64)| {
            let (a, b) = (*a as f64, *b as f64);
            // As long as a mean of all there is to one side is within the noise, nothing is known.
            let within = |(t, half): &&(f64, f64)| (a * (1.0 - t) - b * t).abs() <= *half;
            let low = noise.iter().find(within)?.0;
            let high = noise.iter().rev().find(within)?.0;
            let step = 1.0 / f64::from(POINTS);
            let value = if a + b > 0.0 { (a / (a + b)).clamp(low, high) } else { f64::midpoint(low, high) };
            Some(Range {
                value: value * most,
                low: (low - step).max(0.0) * most,
                high: (high + step).min(1.0) * most,
            })
        };
        Some(numbers.iter().zip(lacks).map(mean).collect())
    }

    /// The `q`-quantile of the number on the last axis, one for each group of the other axes; none where the last
    /// axis is no number, where not incidents were counted, or for a group of which nothing is known.
    ///
    /// The range ends at bins: from either side, a bin is left out for as long as the share of incidents up to it
    /// is on the wrong side of q by more than the noise.
    pub fn quantile(&self, q: f64) -> Option<Vec<Option<Range>>> {
        let field = self.number()?;
        if self.plan.measure() != Measure::Incidents || !(q > 0.0 && q < 1.0) {
            return None;
        }
        let bins: Vec<Bin> = field.bins().collect();
        let halves: Vec<f64> = (1..bins.len())
            .map(|below| {
                let weights: Vec<f64> =
                    (0..bins.len()).map(|i| if i < below { 1.0 - q } else { -q }).collect();
                self.half_width(&weights)
            })
            .collect();
        // Behind the bins comes the unknown.
        let groups = self.values.chunks(bins.len() + 1);
        Some(groups.map(|group| quantile(q, group.get(..bins.len())?, &bins, &halves)).collect())
    }

    /// The number on the last axis.
    pub fn number(&self) -> Option<Field> {
        match self.plan.axes().last().map(|a: &AxisValues| a.axis)? {
            Axis::Field(field) => Some(field),
            Axis::Indicator | Axis::Coded(_) | Axis::Quarter | Axis::Year => None,
        }
    }

    fn half_width(&self, weights: &[f64]) -> f64 {
        let sum = |power: i32| weights.iter().map(|w| w.powi(power)).sum::<f64>();
        Interval::of_combination(self.mechanism, self.counted, sum(2), sum(4))
    }
}

fn quantile(q: f64, counts: &[i64], bins: &[Bin], halves: &[f64]) -> Option<Range> {
    let total: f64 = counts.iter().map(|c| *c as f64).sum();
    // Above 0 by more than the noise: the quantile lies in the bins up to here.
    let mut below = 0.0;
    let excess: Vec<f64> = (counts.iter().zip(halves))
        .map(|(count, half)| {
            below += *count as f64;
            (below - q * total) / half.max(f64::MIN_POSITIVE)
        })
        .collect();
    let low = excess.iter().take_while(|e| **e < -1.0).count();
    let high = bins.len() - 1 - excess.iter().rev().take_while(|e| **e > 1.0).count();
    if low > high || (low == 0 && high + 1 == bins.len()) {
        return None;
    }
    let counts = nearest_on_simplex(counts);
    let wanted = q * counts.iter().sum::<f64>();
    let (mut before, mut value) = (0.0, None);
    for (bin, count) in bins.iter().zip(&counts) {
        if value.is_none() && before + count >= wanted && *count > 0.0 {
            let (first, last) = (f64::from(bin.low), f64::from(bin.high));
            value = Some(first + (last - first) * (wanted - before) / count);
        }
        before += count;
    }
    let (low, high) = (f64::from(bins.get(low)?.low), f64::from(bins.get(high)?.high));
    Some(Range { value: value?.clamp(low, high), low, high })
}

/// The point nearest to `values` with no coordinate below 0 and the same sum, or with sum 0 if that is negative
/// (Duchi et al. 2008): all are lowered by one amount, and those that would be negative are 0.
fn nearest_on_simplex(values: &[i64]) -> Vec<f64> {
    let total = values.iter().map(|v| *v as f64).sum::<f64>().max(0.0);
    let mut falling: Vec<f64> = values.iter().map(|v| *v as f64).collect();
    falling.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut lowered = falling.first().map_or(0.0, |most| most - total);
    let mut sum = 0.0;
    for (n, value) in falling.iter().enumerate() {
        sum += value;
        let by = (sum - total) / (n + 1) as f64;
        if *value > by {
            lowered = by;
        }
    }
    values.iter().map(|v| (*v as f64 - lowered).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;
    use crate::{
        document::charter::samples::signed_charter,
        statistic::{Bounded, Mode, Period, Query},
        vocabulary::Dimension,
    };

    fn plan(measure: Measure, group_by: &[Axis]) -> Plan {
        let asked_at = "2026-02-01T12:00:00Z".parse().unwrap();
        let query = Query {
            version: 3,
            mode: Mode::Local,
            charter: signed_charter(5).id(),
            measure,
            indicators: vec![],
            conditions: vec![],
            period: Some(Period { from: "2025-Q1".parse().unwrap(), to: "2025-Q4".parse().unwrap() }),
            group_by: group_by.to_vec(),
            cells_per_person: Some(1),
            purpose: "research".into(),
            need: String::new(),
            epsilon: "1".parse().unwrap(),
            asked_at,
            expires_at: crate::time::Timestamp::plus_seconds(asked_at, 600),
        };
        Plan::new(&query, &signed_charter(5)).unwrap()
    }

    /// `exact` with the noise of five nodes.
    fn noised(plan: &Plan, exact: &[i64], rng: &mut StdRng) -> Vec<i64> {
        let mut values = exact.to_vec();
        (0..5).for_each(|_| plan.mechanism().unwrap().add_to(&mut values, rng).unwrap());
        values
    }

    #[test]
    fn consistent_figures_are_not_negative_and_keep_the_total() {
        for values in [&[5, -3, 10, 0][..], &[-4, -1], &[7], &[0, 0], &[-5, 4, 4]] {
            let own = nearest_on_simplex(values);
            assert!(own.iter().all(|v| *v >= 0.0), "{own:?}");
            let total = values.iter().sum::<i64>().max(0) as f64;
            assert!((own.iter().sum::<f64>() - total).abs() < 1e-9, "{values:?}: {own:?}");
        }
        assert_eq!(nearest_on_simplex(&[3, 4, 5]), [3.0, 4.0, 5.0], "what is consistent stays as it is");
        assert_eq!(nearest_on_simplex(&[10, -2]), [8.0, 0.0]);
    }

    #[test]
    fn margins_are_sums_along_the_other_axes() {
        let plan = plan(Measure::Incidents, &[Axis::Coded(Dimension::Confidence), Axis::Quarter]);
        let values: Vec<i64> = (0..plan.cells() as i64).collect();
        let mechanism = plan.mechanism().unwrap();
        let estimates = Estimates::new(&plan, &values, &mechanism, 5);
        let margins = estimates.margins().unwrap();
        let of = |text: &str| margins.iter().find(|m| m.value == text).unwrap();
        let first = &plan.axes()[0].values[0];
        assert_eq!(of(first).sum, (1 + 2 + 3));
        let quarters = plan.axes()[0].values.len() as i64;
        assert_eq!(of("2025-Q2").sum, (0..quarters).map(|n| 4 * n + 1).sum::<i64>());
        let (total, half) = estimates.total().unwrap().unwrap();
        assert_eq!(total, values.iter().sum::<i64>());
        assert!(half > of("2025-Q2").half_width && half > of(first).half_width);
    }

    /// Over thousands of simulated releases every interval holds as often as it says; the true figures, which only
    /// this test knows, are within.
    #[test]
    fn intervals_of_cells_margins_means_and_quantiles_cover() {
        let mut rng = StdRng::seed_from_u64(21);
        let releases = 3000;
        let bounded = Bounded { field: Field::DaysToAnswer, at_most: 30 };
        let share = |n: usize| n as f64 / f64::from(releases);

        let by_quarter = plan(Measure::Sum(bounded), &[Axis::Quarter, Axis::Coded(Dimension::Confidence)]);
        let mechanism = by_quarter.mechanism().unwrap();
        let half = Interval::of_sum(&mechanism, 5).unwrap().half_width;
        let zeros = vec![0; by_quarter.cells()];
        let own = Estimates::new(&by_quarter, &zeros, &mechanism, 5).margins().unwrap();
        // That of the first code: its quarters come first.
        let of_margin = own.iter().find(|m| m.axis != Axis::Quarter).unwrap().half_width;
        let (mut cells, mut margins) = (0, 0);
        for _ in 0..releases {
            let values = noised(&by_quarter, &vec![100; by_quarter.cells()], &mut rng);
            cells += usize::from(values[3].abs_diff(100) <= half);
            let first: i64 = values.iter().take(by_quarter.cells() / 4).sum();
            margins += usize::from(first.abs_diff(100 * by_quarter.cells() as i64 / 4) <= of_margin);
        }
        assert!((0.94..0.965).contains(&share(cells)), "cells {}", share(cells));
        assert!((0.94..0.965).contains(&share(margins)), "margins {}", share(margins));

        let mean = plan(Measure::Mean(bounded), &[]);
        let mechanism = mean.mechanism().unwrap();
        let mut means = 0;
        for _ in 0..releases {
            // 400 incidents of 12 days on average.
            let values = noised(&mean, &[4800, 7200], &mut rng);
            let own = Estimates::new(&mean, &values, &mechanism, 5).means().unwrap()[0].unwrap();
            assert!(own.low <= own.value && own.value <= own.high && own.high - own.low < 6.0, "{own:?}");
            means += usize::from(own.low <= 12.0 && 12.0 <= own.high);
        }
        assert!((0.94..0.965).contains(&share(means)), "means {}", share(means));

        let histogram = plan(Measure::Incidents, &[Axis::Field(Field::DaysToAnswer)]);
        let mechanism = histogram.mechanism().unwrap();
        // 4-7 holds the median: 45 below, 40 in it, 35 above.
        let exact = [10, 15, 20, 40, 15, 10, 5, 5, 0, 30];
        let mut medians = 0;
        for _ in 0..releases {
            let values = noised(&histogram, &exact, &mut rng);
            let own = Estimates::new(&histogram, &values, &mechanism, 5).quantile(0.5).unwrap()[0];
            // The range ends at bins, so it covers more often than it must.
            medians += usize::from(own.is_none_or(|own| own.low <= 4.0 && own.high >= 7.0));
        }
        assert!(share(medians) >= 0.95, "medians {}", share(medians));
    }

    #[test]
    fn where_the_noise_leaves_nothing_no_figure_is_given() {
        let bounded = Bounded { field: Field::DaysToAnswer, at_most: 30 };
        let mean = plan(Measure::Mean(bounded), &[]);
        let mechanism = mean.mechanism().unwrap();
        let own = Estimates::new(&mean, &[0, 0], &mechanism, 5).means().unwrap()[0].unwrap();
        assert_eq!((own.low, own.high), (0.0, 30.0), "anything is possible");
        let histogram = plan(Measure::Incidents, &[Axis::Field(Field::DaysToAnswer)]);
        let mechanism = histogram.mechanism().unwrap();
        let estimates = Estimates::new(&histogram, &[0; 10], &mechanism, 5);
        assert_eq!(estimates.quantile(0.5), Some(vec![None]));
        assert_eq!(estimates.quantile(1.0), None);
        assert_eq!(estimates.means(), None);
    }

    #[test]
    fn a_quantile_of_exact_counts_is_where_it_is() {
        let bins: Vec<Bin> = Field::DaysToAnswer.bins().collect();
        let counts = [10, 15, 20, 40, 15, 10, 5, 5, 0];
        let own = quantile(0.5, &counts, &bins, &[0.01; 8]).unwrap();
        assert_eq!((own.low, own.high), (4.0, 7.0));
        assert!((own.value - (4.0 + 3.0 * 15.0 / 40.0)).abs() < 1e-9, "{own:?}");
        let ninth = quantile(0.9, &counts, &bins, &[0.01; 8]).unwrap();
        assert_eq!((ninth.low, ninth.high), (15.0, 30.0));
    }
}
