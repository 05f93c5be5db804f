//! The whole way from question to noised vector, and what one person can change on it.

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    document::{Signed, charter::samples::*},
    facet::{Facet, FacetTable, samples::facet},
    privacy::{Accountant, Charge, Permit},
    time::Timestamp,
    vocabulary::{Dimension, Field},
};

fn now() -> Timestamp {
    "2026-02-01T12:00:00Z".parse().unwrap()
}

fn query(measure: Measure, group_by: &[Axis], conditions: &[(Dimension, &[&str])]) -> Query {
    Query {
        version: 1,
        mode: Mode::Local,
        charter: signed_charter(5).id(),
        measure,
        indicators: vec![],
        conditions: conditions
            .iter()
            .map(|(dimension, codes)| Condition {
                dimension: *dimension,
                any_of: codes.iter().map(|c| (*c).to_owned()).collect(),
            })
            .collect(),
        period: Some(Period { from: "2025-Q1".parse().unwrap(), to: "2025-Q4".parse().unwrap() }),
        group_by: group_by.to_vec(),
        cells_per_person: None,
        purpose: "research".into(),
        need: "a test".into(),
        epsilon: "1".parse().unwrap(),
        asked_at: now(),
        expires_at: now().plus_seconds(600),
    }
}

fn planned(q: &Query) -> Plan {
    Plan::new(q, &signed_charter(5)).unwrap()
}

fn count(plan: &Plan, facets: &[Facet]) -> Vec<i64> {
    Exact::count(plan, &facets.iter().collect(), &SampleKey::new([9; 32]))
        .unwrap()
        .values_for_tests()
        .to_vec()
}

const TACTIC: Axis = Axis::Coded(Dimension::Tactic);
const ORIGIN: Axis = Axis::Coded(Dimension::Origin);
const DAYS: Axis = Axis::Field(Field::DaysToAnswer);
const UP_TO_30: Bounded = Bounded { field: Field::DaysToAnswer, at_most: 30 };
const MEASURES: [Measure; 4] =
    [Measure::Incidents, Measure::People, Measure::Sum(UP_TO_30), Measure::Mean(UP_TO_30)];

/// The sample charter with a budget for each year.
fn by_year_charter() -> Signed<crate::document::Charter> {
    let mut charter = charter(5);
    charter.version = 3;
    charter.privacy.unit = crate::privacy::Unit::PersonYear;
    let mut signed = Signed::new(charter, &secret(1)).unwrap();
    (2..=3).for_each(|n| signed.cosign(&secret(n)));
    signed
}

fn days(person: u64, day: &str, days: Option<u32>) -> Facet {
    let mut f = facet(person, day, "T01", "IR");
    f.numbers.days_to_answer = days;
    f
}

fn of_numbers(measure: Measure, group_by: &[Axis]) -> Plan {
    planned(&Query { version: 3, ..query(measure, group_by, &[]) })
}

#[test]
fn cells_are_in_row_major_order_and_counts_fall_into_them() {
    let q = query(Measure::People, &[Axis::Quarter, ORIGIN], &[(Dimension::Origin, &["IR", "CN"])]);
    let plan = planned(&q);
    assert_eq!(plan.cells(), 8);
    assert_eq!(plan.cell(0), ["CN", "2025-Q1"]);
    assert_eq!(plan.cell(5), ["IR", "2025-Q2"]);
    let facets = [
        facet(1, "2025-05-05", "T01", "IR"),
        facet(1, "2025-06-05", "T02", "IR"),
        facet(2, "2025-12-31", "T01", "CN"),
        facet(3, "2026-01-01", "T01", "CN"),
        facet(4, "2025-05-05", "T01", "RU"),
    ];
    assert_eq!(count(&plan, &facets), [0, 0, 0, 1, 0, 1, 0, 0]);
}

#[test]
fn without_axes_there_is_one_total() {
    let plan = planned(&query(Measure::Incidents, &[], &[]));
    assert_eq!((plan.cells(), plan.sensitivity().l1()), (1, 3));
    let mine: Vec<_> = (1..=9).map(|d| facet(1, &format!("2025-01-0{d}"), "T01", "IR")).collect();
    assert_eq!(count(&plan, &mine), [3], "cut at the bound for one cell");
}

#[test]
fn who_gave_no_consent_is_in_no_cell() {
    let plan = planned(&query(Measure::People, &[TACTIC], &[]));
    let mut withheld = facet(1, "2025-02-02", "T01", "IR");
    withheld.consent = false;
    assert_eq!(count(&plan, &[withheld]).iter().sum::<i64>(), 0);
}

#[test]
fn one_person_counts_in_no_more_cells_than_the_bound_and_always_in_the_same() {
    let plan = planned(&query(Measure::People, &[TACTIC], &[]));
    let hers: Vec<_> = ["T01", "T02", "T03", "T04"].iter().map(|t| facet(7, "2025-02-02", t, "IR")).collect();
    let first = count(&plan, &hers);
    assert_eq!(first.iter().sum::<i64>(), 2);
    let mut reversed = hers.clone();
    reversed.reverse();
    assert_eq!(count(&plan, &reversed), first);
}

#[test]
fn two_spellings_of_one_question_are_one_plan_and_another_period_is_another() {
    let a = query(Measure::People, &[TACTIC, Axis::Quarter], &[(Dimension::Origin, &["IR", "CN", "IR"])]);
    let mut b = query(Measure::People, &[Axis::Quarter, TACTIC], &[(Dimension::Origin, &["CN", "IR"])]);
    b.need = "another sentence".into();
    b.asked_at = b.asked_at.plus_seconds(3600);
    b.expires_at = b.asked_at.plus_seconds(600);
    assert_eq!(planned(&a).id(), planned(&b).id());
    b.asked_at = "2026-04-01T00:00:00Z".parse().unwrap();
    assert_ne!(planned(&a).id(), planned(&b).id(), "next release period");
}

#[test]
fn what_cannot_be_planned_says_why() {
    let plan = |q: Query| Plan::new(&q, &signed_charter(5)).unwrap_err();
    assert!(matches!(
        plan(query(Measure::People, &[], &[(Dimension::Origin, &["ZZ"])])),
        PlanError::UnknownCode { dimension: Dimension::Origin, .. }
    ));
    assert!(matches!(plan(query(Measure::People, &[TACTIC, TACTIC], &[])), PlanError::Repeated(_)));
    assert!(matches!(
        plan(query(Measure::People, &[ORIGIN, TACTIC], &[])),
        PlanError::TooDetailed { cells: 5000, most: 1024 }
    ));
    let mut open = query(Measure::People, &[Axis::Year], &[]);
    open.period = None;
    assert_eq!(plan(open), PlanError::NoPeriod);
    let mut ages = query(Measure::People, &[Axis::Quarter], &[]);
    ages.period = Some(Period { from: "1970-Q1".parse().unwrap(), to: "9999-Q4".parse().unwrap() });
    assert!(matches!(plan(ages), PlanError::TooDetailed { .. }));
    let mut loose = query(Measure::People, &[TACTIC], &[]);
    loose.cells_per_person = Some(3);
    assert_eq!(plan(loose), PlanError::LooserBound(2));
    let mut other = query(Measure::People, &[], &[]);
    other.charter = signed_charter(4).id();
    assert!(matches!(plan(other), PlanError::OtherCharter(_)));
}

#[test]
fn a_sum_cuts_each_number_and_each_person() {
    let plan = of_numbers(Measure::Sum(UP_TO_30), &[]);
    assert_eq!((plan.cells(), plan.sensitivity().l1()), (1, 90), "3 incidents of at most 30");
    let facets = [
        days(1, "2025-01-01", Some(10)),
        days(1, "2025-01-02", Some(200)),
        days(2, "2025-01-03", None),
        days(3, "2025-01-04", Some(7)),
    ];
    assert_eq!(count(&plan, &facets), [47]);
    // Four incidents of one person count as three of their mean.
    let hers: Vec<_> = [1, 2, 3, 30].iter().map(|d| days(1, "2025-02-02", Some(*d))).collect();
    assert_eq!(count(&plan, &hers), [27]);
}

#[test]
fn a_mean_is_a_sum_and_what_it_lacks() {
    let plan = of_numbers(Measure::Mean(UP_TO_30), &[Axis::Quarter]);
    assert_eq!((plan.groups(), plan.cells(), plan.sensitivity().l1()), (4, 8, 180));
    let facets = [
        days(1, "2025-01-01", Some(10)),
        days(2, "2025-01-01", Some(20)),
        days(3, "2025-05-01", Some(0)),
        days(4, "2025-05-01", None),
    ];
    let values = count(&plan, &facets);
    assert_eq!(values, [30, 0, 0, 0, 30, 30, 0, 0]);
    assert_eq!(plan.cell(5), plan.cell(1), "both parts are of one group");
}

#[test]
fn a_histogram_has_public_bins_and_one_for_the_unknown() {
    let plan = of_numbers(Measure::Incidents, &[DAYS]);
    assert_eq!(
        plan.axes()[0].values,
        ["0", "1", "2-3", "4-7", "8-14", "15-30", "31-90", "91-180", "181-365", "unknown"]
    );
    let facets =
        [days(1, "2025-01-01", Some(3)), days(2, "2025-01-01", Some(365)), days(3, "2025-01-01", None)];
    assert_eq!(count(&plan, &facets), [0, 0, 1, 0, 0, 0, 0, 0, 1, 1]);
}

#[test]
fn a_question_of_numbers_is_of_version_3_and_keeps_to_the_bound() {
    use crate::document::Document as _;
    let mut q = query(Measure::Sum(UP_TO_30), &[], &[]);
    assert!(q.check().is_err(), "version 1");
    q.version = 3;
    assert_eq!(q.check(), Ok(()));
    q.measure = Measure::Sum(Bounded { field: Field::DaysToAnswer, at_most: 366 });
    assert!(q.check().is_err());
    assert_eq!(serde_json::to_string(&Measure::People).unwrap(), r#""people""#, "as in version 1");
    let mean = serde_json::to_string(&Measure::Mean(UP_TO_30)).unwrap();
    assert_eq!(mean, r#"{"mean":{"field":"days_to_answer","at_most":30}}"#);
}

#[test]
fn where_years_are_counted_apart_so_are_a_persons_bounds() {
    let charter = by_year_charter();
    let mut q = query(Measure::People, &[TACTIC], &[]);
    q.charter = charter.id();
    q.period = Some(Period { from: "2024-Q1".parse().unwrap(), to: "2025-Q4".parse().unwrap() });
    let plan = Plan::new(&q, &charter).unwrap();
    let hers: Vec<_> = ["2024-02-02", "2025-02-02", "2025-03-03"].map(|d| facet(1, d, "T01", "IR")).into();
    assert_eq!(count(&plan, &hers).iter().sum::<i64>(), 2, "once a year");
    assert_eq!(plan.years(), Some((2024, 2025)));
}

fn permit(plan: &Plan) -> Permit {
    let charge = Charge {
        plan: plan.id(),
        round: None,
        purpose: "research".into(),
        epsilon: plan.epsilon(),
        asker: secret(1).node_id(),
        years: plan.years(),
        at: now(),
    };
    Accountant::replay(charter(5).caps(), [], |_| true).authorise(&charge, |_| Ok::<_, ()>(())).unwrap()
}

#[test]
fn a_permit_serves_its_own_plan_alone() {
    let by_tactic = planned(&query(Measure::People, &[TACTIC], &[]));
    let total = planned(&query(Measure::People, &[], &[]));
    let exact = || Exact::count(&by_tactic, &FacetTable::default(), &SampleKey::new([9; 32])).unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    assert!(exact().noise(permit(&total), &mut rng).is_err());
    let noised = exact().noise(permit(&by_tactic), &mut rng).unwrap();
    let contribution = Signed::new(noised.into_contribution(now()), &secret(2)).unwrap();
    assert_eq!(contribution.document().plan, by_tactic.id());
    assert!(contribution.document().values.iter().any(|v| *v != 0), "no noise was added");
}

#[test]
fn an_exact_vector_does_not_show_its_values() {
    let plan = planned(&query(Measure::Incidents, &[], &[]));
    let exact = Exact::count(
        &plan,
        &[facet(1, "2025-01-01", "T01", "IR")].iter().collect(),
        &SampleKey::new([9; 32]),
    );
    let shown = format!("{:?}", exact.unwrap());
    assert!(shown.starts_with("Exact(1 cells of plan "), "{shown}");
}

fn any_facet() -> impl Strategy<Value = Facet> {
    (0u64..6, 2024u16..2026, 1u8..13, 0usize..4, 0usize..3, prop::option::of(0u32..366), any::<bool>())
        .prop_map(|(person, year, month, tactic, origin, days, consent)| {
            let mut f = facet(
                person,
                &format!("{year}-{month:02}-15"),
                ["T01", "T02", "T04", "T99"][tactic],
                ["IR", "CN", "XX"][origin],
            );
            f.consent = consent || person == 0;
            f.numbers.days_to_answer = days;
            f
        })
}

proptest! {
    /// The sensitivity that the noise is scaled to is real: taking away all that a node holds of one person
    /// never changes the vector by more, in L1 norm. (With the bound on cells left out, this fails.)
    #[test]
    fn removing_one_unit_changes_the_vector_by_at_most_the_sensitivity(
        facets in prop::collection::vec(any_facet(), 0..80),
        measure in prop::sample::select(MEASURES.to_vec()),
        by_year in any::<bool>(),
        axes in prop::sample::subsequence(vec![TACTIC, Axis::Quarter, ORIGIN, DAYS], 0..=2),
    ) {
        let charter = if by_year { by_year_charter() } else { signed_charter(5) };
        let conditions: &[(Dimension, &[&str])] = &[(Dimension::Origin, &["IR", "CN", "XX"])];
        let mut q = query(measure, &axes, conditions);
        q.charter = charter.id();
        q.period = Some(Period { from: "2024-Q1".parse().unwrap(), to: "2025-Q4".parse().unwrap() });
        q.version = q.version_needed();
        let plan = Plan::new(&q, &charter).unwrap();
        let hers = |f: &Facet| f.person.value() == 0 && (!by_year || f.day.year() == 2025);
        let without: Vec<_> = facets.iter().filter(|f| !hers(f)).cloned().collect();
        let changes: Vec<u64> =
            count(&plan, &facets).iter().zip(count(&plan, &without)).map(|(a, b)| a.abs_diff(b)).collect();
        let (l1, most) = (changes.iter().sum::<u64>(), plan.sensitivity());
        let l2_squared: u128 = changes.iter().map(|c| u128::from(*c).pow(2)).sum();
        prop_assert!(l1 <= most.l1(), "{} > {}", l1, most.l1());
        prop_assert!(l2_squared <= most.l2_squared(), "{} > {}", l2_squared, most.l2_squared());
    }
}
