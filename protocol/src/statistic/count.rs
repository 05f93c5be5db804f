//! Counting: columns into the cells of a plan, each person within her bounds (docs/protocol.md §3).

use std::ops::Range;

use super::{
    plan::{AxisValues, Plan},
    query::Measure,
    vector::{Ranks, SampleKey},
};
use crate::{
    facet::{
        HelpSet,
        table::{FacetTable, NOT_KNOWN, Part, on_threads},
    },
    privacy::Unit,
    statistic::Axis,
    vocabulary::{Dimension, Field},
};

/// From here on a group is none: what excludes a row adds this to it, and no plan has so many cells. A row can be
/// excluded by each axis and condition once, so that the sum stays below 2^32.
const EXCLUDED: u32 = 1 << 24;

/// The counts of `plan` over `table`, by cell. Adding or removing all of one person changes them by at most
/// [`Plan::sensitivity`].
pub(super) fn count(plan: &Plan, table: &FacetTable, key: &SampleKey) -> Vec<i64> {
    let cells = Cells::of(plan);
    let ranks = key.ranks(&plan.id());
    let parts: Vec<&Part> = table.parts().iter().collect();
    let rows = parts.iter().map(|part| part.len()).sum();
    let counted = on_threads(rows, parts, |part| cells.count(plan, part, &ranks));
    let mut values = vec![0i64; plan.cells()];
    for part in counted {
        values.iter_mut().zip(part).for_each(|(value, more)| *value = value.saturating_add(more));
    }
    values
}

/// A plan made quick to apply: what each column adds to the number of a row's group, or that it excludes the row.
struct Cells {
    steps: Vec<Step>,
    /// What each answer and each institution asked adds, for axes on which a row can have several places.
    several: Vec<Vec<(u64, u32)>>,
}

enum Step {
    /// By the code in a column of [`Dimension::SINGLE`].
    Code { column: usize, adds: Box<[u32; 256]> },
    /// Of `len` quarters, or years, from `first` on; each adds `stride`.
    Time { first: u16, len: u16, stride: u32, per: u16 },
    /// By the bin of a number.
    Number { field: Field, stride: u32 },
    /// Rows with none of these bits are excluded; `none`: but not those without any bit.
    Help { any_of: u64, none: bool },
}

impl Cells {
    fn of(plan: &Plan) -> Self {
        let mut cells = Self { steps: Vec::new(), several: Vec::new() };
        if let Some(period) = plan.period() {
            let (first, last) = (period.from.ordinal(), period.to.ordinal());
            cells.time(first, last.saturating_sub(first).saturating_add(1), 0, 1);
        }
        for condition in plan.conditions() {
            let wanted = condition.any_of.iter().filter_map(|code| condition.dimension.code(code));
            let wanted: Vec<(u16, u32)> = wanted.map(|code| (code.index(), 0)).collect();
            match column(condition.dimension) {
                Some(column) => cells.code(column, &wanted),
                None => {
                    let bits = wanted.iter().map(|(index, _)| bits(condition.dimension, *index));
                    let any_of = bits.clone().fold(0, |all, bits| all | bits);
                    cells.steps.push(Step::Help { any_of, none: bits.into_iter().any(|bits| bits == 0) });
                }
            }
        }
        let mut stride = plan.groups() as u32;
        for AxisValues { axis, values } in plan.axes() {
            stride /= (values.len() as u32).max(1);
            match axis {
                // No record has a place on it.
                Axis::Indicator => {}
                Axis::Coded(dimension) => {
                    let places = (0u32..)
                        .zip(values)
                        .filter_map(|(place, value)| Some((dimension.code(value)?.index(), place * stride)));
                    let places: Vec<(u16, u32)> = places.collect();
                    match column(*dimension) {
                        Some(column) => cells.code(column, &places),
                        None => cells.several.push(
                            places.into_iter().map(|(index, adds)| (bits(*dimension, index), adds)).collect(),
                        ),
                    }
                }
                Axis::Quarter | Axis::Year => {
                    let per = if *axis == Axis::Year { 4 } else { 1 };
                    let first = plan.period().map_or(0, |p| p.from.ordinal()) / i32::from(per);
                    cells.time(first, values.len() as i32, stride, per);
                }
                Axis::Field(field) => cells.steps.push(Step::Number { field: *field, stride }),
            }
        }
        cells
    }

    fn code(&mut self, column: usize, places: &[(u16, u32)]) {
        let mut adds = Box::new([EXCLUDED; 256]);
        for (index, add) in places {
            if let Some(place) = adds.get_mut(usize::from(*index)) {
                *place = *add;
            }
        }
        self.steps.push(Step::Code { column, adds });
    }

    fn time(&mut self, first: i32, len: i32, stride: u32, per: u16) {
        // Quarters of the years 1970 to 9999.
        let short = |n: i32| u16::try_from(n).unwrap_or_default();
        self.steps.push(Step::Time { first: short(first), len: short(len), stride, per });
    }

    /// The group of each row of a part, as far as columns with one value say; `EXCLUDED` or more for none.
    fn groups(&self, part: &Part) -> Vec<u32> {
        let mut groups = vec![0u32; part.len()];
        for step in &self.steps {
            match step {
                Step::Code { column, adds } => {
                    let codes = part.columns.codes.get(*column).map_or(&[][..], Vec::as_slice);
                    add(&mut groups, codes, |code| adds.get(usize::from(code)).copied().unwrap_or(EXCLUDED));
                }
                Step::Time { first, len, stride, per } => add(&mut groups, &part.quarters, |quarter| {
                    let place = (quarter / per).wrapping_sub(*first);
                    if place < *len { u32::from(place) * stride } else { EXCLUDED }
                }),
                Step::Number { field, stride } => add(&mut groups, part.columns.numbers(*field), |number| {
                    field.place((number != NOT_KNOWN).then_some(number)) as u32 * stride
                }),
                Step::Help { any_of, none } => add(&mut groups, &part.columns.help, |help| {
                    if help & any_of != 0 || (*none && help == 0) { 0 } else { EXCLUDED }
                }),
            }
        }
        groups
    }

    fn count(&self, plan: &Plan, part: &Part, ranks: &Ranks) -> Vec<i64> {
        let mut values = vec![0i64; plan.cells()];
        let groups = self.groups(part);
        let bounded = plan.measure().bounded();
        let numbers = bounded.map(|bounded| (part.columns.numbers(bounded.field), bounded.at_most));
        let mut person = Person { plan, ranks, touched: Vec::new(), chosen: Vec::new() };
        let mut start = 0;
        for run in &part.runs {
            let rows = start..run.end as usize;
            start = rows.end;
            let mut at = rows.start;
            while at < rows.end {
                let (hers, unit) = match plan.unit() {
                    Unit::Person => (at..rows.end, run.person),
                    Unit::PersonYear => year(part, run.person, at..rows.end),
                };
                at = hers.end;
                for row in hers {
                    let Some(group) = groups.get(row).filter(|group| **group < EXCLUDED) else { continue };
                    let amount = match numbers {
                        None => 1,
                        // Of an incident without the number nothing is known: it counts nowhere.
                        Some((numbers, at_most)) => match numbers.get(row) {
                            Some(number) if *number != NOT_KNOWN => (*number).min(at_most),
                            _ => continue,
                        },
                    };
                    let help = part.columns.help.get(row).copied().unwrap_or_default();
                    spread(&self.several, help, *group, &mut |group| {
                        person.touched.push(Touched { group, amount });
                    });
                }
                person.count(unit, &mut values);
            }
        }
        values
    }
}

/// The first of `rows`, hers of one year, and the key under which they are bounded: keys are hashes, and two that meet
/// are as good as never seen.
fn year(part: &Part, person: u64, rows: Range<usize>) -> (Range<usize>, u64) {
    let year = |quarter: &u16| *quarter / 4;
    let quarters = part.quarters.get(rows.clone()).unwrap_or_default();
    let this = quarters.first().map_or(0, year);
    let same = quarters.iter().take_while(|quarter| year(quarter) == this).count().max(1);
    let mixed = person.wrapping_add(u64::from(this).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    (rows.start..rows.start + same, mixed)
}

fn add<T: Copy>(groups: &mut [u32], column: &[T], adds: impl Fn(T) -> u32) {
    groups.iter_mut().zip(column).for_each(|(group, value)| *group = group.saturating_add(adds(*value)));
}

/// Calls `each` with every group of a row: one for each place that it has on the axes left.
fn spread(axes: &[Vec<(u64, u32)>], help: u64, group: u32, each: &mut impl FnMut(u32)) {
    let Some((axis, rest)) = axes.split_first() else { return each(group) };
    for (bits, adds) in axis {
        // Whoever asked nobody has her place where no bit is asked for.
        if if *bits == 0 { help == 0 } else { help & bits != 0 } {
            spread(rest, help, group + adds, each);
        }
    }
}

/// The column of a dimension of which an incident has one code.
fn column(dimension: Dimension) -> Option<usize> {
    Dimension::SINGLE.iter().position(|d| *d == dimension)
}

/// The bits of a [`HelpSet`] by which a row has a code of help or of answers; 0 for that of who asked nobody.
fn bits(dimension: Dimension, index: u16) -> u64 {
    if dimension == Dimension::Answer { HelpSet::answer(index) } else { HelpSet::institution(index) }
}

/// One incident in one group. The order is that in which a person's groups are told apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Touched {
    pub(super) group: u32,
    /// The number asked for, within its bound; 1 where incidents or people are counted.
    pub(super) amount: u32,
}

/// What bounds one person after another.
struct Person<'p> {
    plan: &'p Plan,
    ranks: &'p Ranks,
    touched: Vec<Touched>,
    chosen: Vec<(u64, u32)>,
}

impl Person<'_> {
    /// Her share of the vector: at most `cells_per_person` groups, chosen by rank, each with at most
    /// `incidents_per_cell` incidents. What she touched is used up.
    fn count(&mut self, person: u64, values: &mut [i64]) {
        let Self { plan, ranks, touched, chosen } = self;
        let mut keep = |same: &[Touched]| {
            let Some(first) = same.first() else { return };
            in_group(plan, same, |part, more| {
                if let Some(value) = values.get_mut(part * plan.groups() + first.group as usize) {
                    *value = value.saturating_add(more);
                }
            });
        };
        let most = plan.cells_per_person() as usize;
        touched.sort_unstable();
        let groups = touched.chunk_by(|a, b| a.group == b.group);
        // Nearly everyone is below the bound: no rank is computed for them.
        if touched.len() <= most || groups.clone().nth(most).is_none() {
            groups.for_each(keep);
        } else {
            let rank = |same: &[Touched]| same.first().map(|t| (ranks.of(person, t.group), t.group));
            chosen.clear();
            chosen.extend(groups.clone().filter_map(rank));
            chosen.sort_unstable();
            chosen.truncate(most);
            let is_chosen = |same: &&[Touched]| {
                same.first().is_some_and(|t| chosen.iter().any(|(_, group)| *group == t.group))
            };
            groups.filter(is_chosen).for_each(&mut keep);
        }
        touched.clear();
    }
}

/// What one person's incidents in one group come to, by part.
fn in_group(plan: &Plan, same: &[Touched], mut add: impl FnMut(usize, i64)) {
    let (n, most) = (same.len() as u64, u64::from(plan.incidents_per_cell()));
    let counted = n.min(most);
    // Where she has more than count, their mean counts as often as is allowed: that needs no choice among them.
    let sum: u64 = same.iter().map(|t| u64::from(t.amount)).sum();
    let kept = if n > most { sum.saturating_mul(most) / n } else { sum };
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    match plan.measure() {
        Measure::People | Measure::Groups => add(0, 1),
        Measure::Incidents => add(0, signed(counted)),
        Measure::Sum(_) => add(0, signed(kept)),
        Measure::Mean(bounded) => {
            add(0, signed(kept));
            add(1, signed((counted * u64::from(bounded.at_most)).saturating_sub(kept)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        document::{Signed, charter::samples::*},
        facet::{Facet, PersonKey, samples},
        record::Numbers,
        statistic::{Bounded, Condition, Mode, Period, Query},
    };

    /// The same by what the words of docs/protocol.md say, row by row, with maps and text.
    fn plainly(plan: &Plan, facets: &[Facet], key: &SampleKey) -> Vec<i64> {
        let mut hers: BTreeMap<(u64, Option<i16>), BTreeMap<usize, Vec<u32>>> = BTreeMap::new();
        for facet in facets.iter().filter(|facet| facet.consent) {
            let quarter = facet.day.quarter();
            if plan.period().is_some_and(|p| quarter < p.from || quarter > p.to) {
                continue;
            }
            let codes = |d: Dimension| -> Vec<String> {
                facet.codes(d).map(|c| d.entry(c).unwrap().code.to_owned()).collect()
            };
            if !plan
                .conditions()
                .iter()
                .all(|c| codes(c.dimension).iter().any(|code| c.any_of.contains(code)))
            {
                continue;
            }
            let amount = match plan.measure().bounded() {
                None => 1,
                Some(of) => match of.field.of(&facet.numbers) {
                    Some(number) => number.min(of.at_most),
                    None => continue,
                },
            };
            let mut groups = vec![0];
            for AxisValues { axis, values } in plan.axes() {
                let found = match axis {
                    Axis::Coded(dimension) => codes(*dimension),
                    Axis::Quarter => vec![quarter.to_string()],
                    Axis::Year => vec![facet.day.year().to_string()],
                    Axis::Field(field) => {
                        let number = field.of(&facet.numbers);
                        let bin = |n| field.bins().find(|bin| (bin.low..=bin.high).contains(&n)).unwrap();
                        vec![number.map_or("unknown".to_owned(), |n| bin(n).to_string())]
                    }
                    Axis::Indicator => vec![],
                };
                let places = values.iter().enumerate().filter(|(_, value)| found.contains(value));
                let places: Vec<usize> = places.map(|(place, _)| place).collect();
                let next = groups.iter().flat_map(|g| places.iter().map(move |p| g * values.len() + p));
                groups = next.collect();
            }
            let year = (plan.unit() == Unit::PersonYear).then(|| facet.day.year());
            for group in groups {
                let person = hers.entry((facet.person.value(), year)).or_default();
                person.entry(group).or_default().push(amount);
            }
        }
        let mut values = vec![0; plan.cells()];
        for ((person, year), groups) in hers {
            let year = year.map_or(0, |year| (year as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let ranks = key.ranks(&plan.id());
            let rank = |group: &usize| ranks.of(person.wrapping_add(year), *group as u32);
            let kept: BTreeSet<(u64, usize)> = groups.keys().map(|group| (rank(group), *group)).collect();
            for (_, group) in kept.into_iter().take(plan.cells_per_person() as usize) {
                let amounts = &groups[&group];
                let (n, most) = (amounts.len() as u64, u64::from(plan.incidents_per_cell()));
                let sum = amounts.iter().map(|n| u64::from(*n)).sum::<u64>();
                let sum = if n > most { sum * most / n } else { sum } as i64;
                match plan.measure() {
                    Measure::Incidents => values[group] += n.min(most) as i64,
                    Measure::People | Measure::Groups => values[group] += 1,
                    Measure::Sum(_) => values[group] += sum,
                    Measure::Mean(of) => {
                        values[group] += sum;
                        values[plan.groups() + group] += (n.min(most) * u64::from(of.at_most)) as i64 - sum;
                    }
                }
            }
        }
        values
    }

    /// The sample charter, with a bound that people reach; by year if `by_year`.
    fn bounding(by_year: bool) -> Signed<crate::document::Charter> {
        let mut charter = charter(5);
        if by_year {
            charter.version = 3;
            charter.privacy.unit = Unit::PersonYear;
        }
        let mut signed = Signed::new(charter, &secret(1)).unwrap();
        (2..=3).for_each(|n| signed.cosign(&secret(n)));
        signed
    }

    fn code(dimension: Dimension) -> impl Strategy<Value = crate::vocabulary::Code> {
        // Few of them, so that people and cells meet.
        (0..dimension.codes().len().min(4) as u16).prop_map(move |place| dimension.at(place).unwrap())
    }

    prop_compose! {
        fn facet()(
            person in prop_oneof![0u64..6, (0u64..6).prop_map(|n| u64::MAX - n)],
            consent in prop::bool::weighted(0.9),
            (year, month) in (2023i16..2027, 1i8..=12),
            (tactic, origin, harm) in (code(Dimension::Tactic), code(Dimension::Origin), code(Dimension::Harm)),
            help in prop::collection::vec(0u16..49, 0..4),
            (days_to_answer, money_lost) in (prop::option::of(0u32..=365), prop::option::of(0u32..=100_000)),
        ) -> Facet {
            let mut facet = samples::facet(person, "2025-01-01", "T01", "IR");
            facet.person = PersonKey::new(person);
            facet.day = crate::time::Day::new(year, month, 15).unwrap();
            facet.numbers = Numbers { days_to_answer, money_lost, ..Numbers::default() };
            (facet.consent, facet.tactic, facet.origin, facet.harm) = (consent, tactic, origin, harm);
            for answer in help {
                facet.help = facet.help.with(Dimension::Answer.at(answer).unwrap()).unwrap_or(facet.help);
            }
            facet
        }
    }

    fn question() -> impl Strategy<Value = Query> {
        let of = Bounded { field: Field::DaysToAnswer, at_most: 30 };
        let measures = vec![Measure::Incidents, Measure::People, Measure::Sum(of), Measure::Mean(of)];
        let axes = vec![
            Axis::Coded(Dimension::Tactic),
            Axis::Coded(Dimension::Help),
            Axis::Coded(Dimension::Answer),
            Axis::Quarter,
            Axis::Year,
            Axis::Field(Field::MoneyLost),
        ];
        let conditions = vec![
            (Dimension::Origin, vec![0u16, 2]),
            (Dimension::Tactic, vec![1, 3]),
            (Dimension::Help, vec![2, 7]),
            (Dimension::Help, vec![3]),
            (Dimension::Answer, vec![8, 15, 30]),
        ];
        let period = Period { from: "2024-Q2".parse().unwrap(), to: "2025-Q3".parse().unwrap() };
        (
            prop::sample::select(measures),
            prop::sample::subsequence(axes, 0..=2),
            prop::sample::subsequence(conditions, 0..=2),
            any::<bool>(),
            prop::option::of(1u32..=2),
        )
            .prop_map(move |(measure, group_by, conditions, all, cells_per_person)| {
                let timed = group_by.contains(&Axis::Quarter) || group_by.contains(&Axis::Year);
                let of = |(dimension, codes): (Dimension, Vec<u16>)| Condition {
                    dimension,
                    any_of: codes
                        .iter()
                        .map(|c| dimension.codes()[usize::from(*c)].code.to_owned())
                        .collect(),
                };
                let mut query = crate::round::samples::query(5, "1");
                query.mode = Mode::Local;
                query.measure = measure;
                query.period = (timed || !all).then_some(period);
                query.conditions = conditions.into_iter().map(of).collect();
                query.group_by = group_by;
                query.cells_per_person = cells_per_person;
                query
            })
    }

    proptest! {
        #[test]
        fn columns_count_what_a_plain_reading_counts(
            query in question(),
            facets in prop::collection::vec(facet(), 0..120),
            by_year in any::<bool>(),
        ) {
            let charter = bounding(by_year);
            let Ok(plan) = Plan::new(&Query { charter: charter.id(), ..query }, &charter) else {
                // The same dimension twice, or too many cells.
                return Ok(());
            };
            let key = SampleKey::new([9; 32]);
            let table = facets.iter().collect();
            prop_assert_eq!(count(&plan, &table, &key), plainly(&plan, &facets, &key));
        }
    }

    #[test]
    fn many_rows_are_counted_by_several_threads_as_by_one() {
        let charter = bounding(false);
        let mut query = crate::round::samples::query(5, "1");
        query.charter = charter.id();
        query.mode = Mode::Local;
        query.measure = Measure::Incidents;
        query.group_by = vec![Axis::Coded(Dimension::Tactic)];
        let plan = Plan::new(&query, &charter).unwrap();
        let key = SampleKey::new([9; 32]);
        let tactics = ["T01", "T02", "T03", "T04"];
        let facets: Vec<Facet> = (0..60_000u64)
            .map(|n| {
                let person = (n / 7).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                samples::facet(person, "2025-02-02", tactics[n as usize % 4], "IR")
            })
            .collect();
        assert_eq!(count(&plan, &facets.iter().collect(), &key), plainly(&plan, &facets, &key));
    }

    #[test]
    fn one_facet_that_does_not_read_is_an_error_of_all() {
        let good = samples::facet(1, "2025-02-02", "T01", "IR");
        for rows in [10, 100_000] {
            let read = |row| if row == rows - 2 { Err("damaged") } else { Ok(Some(good.clone())) };
            assert_eq!(FacetTable::build(rows, read).unwrap_err(), "damaged");
        }
    }
}
