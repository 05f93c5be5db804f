//! Sightings: how many groups saw an indicator, without telling which (docs/protocol.md §3).
//!
//! What a member saw stays with it. Here it is counted like anything else: one bounded vector, at most 1 a cell.

use super::{
    plan::{Axis, Plan},
    query::Measure,
    vector::{Exact, SampleKey},
};
use crate::{document::Flaw, time::Day};

/// One indicator of a plan, seen on one day. Has no encoding: it stays in its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Its place among [`Plan::indicators`].
    pub indicator: usize,
    /// The day.
    pub day: Day,
}

impl Exact {
    /// Counts what this member saw: 1 in every cell of `plan` in which it saw something. Whatever it saw, all of it
    /// together changes the result by at most [`Plan::sensitivity`] says; so does one person, of whose records it may
    /// have come.
    pub fn sightings(
        plan: &Plan,
        seen: impl IntoIterator<Item = Sighting>,
        key: &SampleKey,
    ) -> Result<Self, Flaw> {
        if plan.measure() != Measure::Groups {
            return Err(Flaw::new("plan", "it does not count sightings"));
        }
        let mut cells: Vec<usize> = seen.into_iter().filter_map(|one| cell(plan, &one)).collect();
        cells.sort_unstable();
        cells.dedup();
        if cells.len() > plan.cells_counted() {
            // The member stands in for the person: it is all that it saw that is bounded.
            let ranks = key.ranks(&plan.id());
            cells.sort_by_cached_key(|cell| ranks.of(0, u32::try_from(*cell).unwrap_or(u32::MAX)));
            cells.truncate(plan.cells_counted());
        }
        let mut values = vec![0; plan.cells()];
        for cell in cells {
            if let Some(value) = values.get_mut(cell) {
                *value = 1;
            }
        }
        Self::of(plan, values)
    }
}

/// The cell in which a sighting counts, if it does.
fn cell(plan: &Plan, sighting: &Sighting) -> Option<usize> {
    let quarter = sighting.day.quarter();
    if plan.period().is_some_and(|period| quarter < period.from || quarter > period.to) {
        return None;
    }
    plan.axes().iter().try_fold(0, |base: usize, axis| {
        let from = plan.period().map(|period| period.from);
        let place = match axis.axis {
            Axis::Indicator => Some(sighting.indicator),
            Axis::Quarter => usize::try_from(quarter.ordinal() - from?.ordinal()).ok(),
            Axis::Year => usize::try_from(i32::from(sighting.day.year()) - i32::from(from?.year())).ok(),
            // A plan of sightings has no other axis.
            Axis::Coded(_) | Axis::Field(_) => None,
        }?;
        let len = axis.values.len();
        (place < len).then(|| base.saturating_mul(len).saturating_add(place))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        document::{Document as _, charter::samples::signed_charter},
        statistic::{Period, PlanError, Query},
        vocabulary::Dimension,
    };

    fn id(n: usize) -> String {
        format!("indicator--00000000-0000-4000-8000-{n:012x}")
    }

    fn query(indicators: usize, group_by: &[Axis]) -> Query {
        let mut query = crate::round::samples::query(5, "1");
        query.measure = Measure::Groups;
        query.indicators = (0..indicators).map(id).collect();
        query.period = Some(Period { from: "2025-Q1".parse().unwrap(), to: "2025-Q4".parse().unwrap() });
        query.group_by = group_by.to_vec();
        query.charter = signed_charter(5).id();
        query.mode = Default::default();
        query.version = query.version_needed();
        query
    }

    fn plan(query: &Query) -> Plan {
        query.check().unwrap();
        Plan::new(query, &signed_charter(5)).unwrap()
    }

    fn seen(indicator: usize, day: &str) -> Sighting {
        Sighting { indicator, day: day.parse().unwrap() }
    }

    fn count(plan: &Plan, seen: &[Sighting]) -> Vec<i64> {
        let exact = Exact::sightings(plan, seen.iter().copied(), &SampleKey::new([9; 32])).unwrap();
        exact.values_for_tests().to_vec()
    }

    #[test]
    fn a_member_counts_once_in_each_cell_in_which_it_saw_something() {
        let of_all = plan(&query(3, &[]));
        let sightings =
            [seen(0, "2025-01-02"), seen(0, "2025-07-02"), seen(2, "2025-12-31"), seen(1, "2026-01-01")];
        assert_eq!(count(&of_all, &sightings), [1, 0, 1], "the last is of no quarter that was asked for");
        let by_quarter = plan(&query(2, &[Axis::Quarter]));
        assert_eq!(count(&by_quarter, &sightings).iter().sum::<i64>(), 2);
        assert_eq!(by_quarter.cell(2), [id(0).as_str(), "2025-Q3"]);
        assert_eq!(count(&by_quarter, &sightings)[2], 1);
        assert_eq!(count(&by_quarter, &[seen(2, "2025-01-02")]).iter().sum::<i64>(), 0, "no such indicator");
    }

    #[test]
    fn one_question_has_one_spelling_and_sightings_are_asked_by_nothing_else() {
        let mut backwards = query(3, &[]);
        backwards.indicators.reverse();
        assert_eq!(plan(&backwards).id(), plan(&query(3, &[])).id());
        assert_eq!(plan(&backwards).indicators(), [id(0), id(1), id(2)]);
        let refused = |q: &Query| Plan::new(q, &signed_charter(5)).unwrap_err();
        assert_eq!(refused(&query(3, &[Axis::Coded(Dimension::Tactic)])), PlanError::Sightings);
        assert_eq!(refused(&query(3, &[Axis::Indicator])), PlanError::Sightings);
        let people = Query { measure: Measure::People, ..query(3, &[Axis::Indicator]) };
        assert_eq!(refused(&people), PlanError::Sightings);

        let flawed = |q: &Query| q.check().unwrap_err();
        flawed(&Query { indicators: vec![], ..query(1, &[]) });
        flawed(&Query { indicators: vec!["someone@example.org".into()], ..query(1, &[]) });
        flawed(&Query { indicators: vec![id(0).to_uppercase()], ..query(1, &[]) });
        flawed(&query(crate::limits::SIGHTED + 1, &[]));
        flawed(&Query { version: 1, measure: Measure::People, ..query(1, &[]) });
        flawed(&Query { version: 3, ..query(1, &[]) });
    }

    #[test]
    fn records_and_sightings_are_not_counted_for_each_other() {
        let key = SampleKey::new([9; 32]);
        let none = crate::facet::FacetTable::default();
        Exact::count(&plan(&query(3, &[])), &none, &key).unwrap_err();
        let mut people = crate::round::samples::query(5, "1");
        people.charter = signed_charter(5).id();
        people.mode = Default::default();
        people.version = 1;
        Exact::sightings(&plan(&people), [], &key).unwrap_err();
    }

    #[test]
    fn the_longest_question_fits_its_bound() {
        let mut longest = query(crate::limits::SIGHTED, &[Axis::Quarter]);
        longest.need = "x".repeat(crate::limits::TEXT_BYTES);
        longest.check().unwrap();
        assert!(serde_json::to_vec(&longest).unwrap().len() <= Query::MAX_BYTES);
    }

    fn sightings() -> impl Strategy<Value = Vec<Sighting>> {
        let one = (0..12usize, 1..=12u8, 1..=28u8)
            .prop_map(|(indicator, month, day)| seen(indicator, &format!("2025-{month:02}-{day:02}")));
        proptest::collection::vec(one, 0..40)
    }

    proptest! {
        #[test]
        fn all_that_a_member_saw_changes_the_vector_by_no_more_than_the_sensitivity(
            a in sightings(), b in sightings(), indicators in 1..12usize, asked in 1..=2u32, by_quarter: bool,
        ) {
            let mut query = query(indicators, if by_quarter { &[Axis::Quarter] } else { &[] });
            query.cells_per_person = Some(asked);
            let plan = plan(&query);
            let (a, b) = (count(&plan, &a), count(&plan, &b));
            let apart: i64 = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).sum();
            prop_assert!(apart as u64 <= plan.sensitivity().l1());
            prop_assert!(a.iter().all(|v| (0..=1).contains(v)));
            // And no more noise than that is asked for: two members that saw nothing alike are that far apart.
            let cells = plan.cells() as u64;
            prop_assert_eq!(plan.sensitivity().l1(), cells.min(2 * u64::from(asked)));
        }
    }
}
