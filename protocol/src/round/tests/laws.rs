//! Rounds under a charter that counts in zCDP and by year: Gaussian shares, numbers, vectors used again.

use super::*;
use crate::{
    document::{Charter, charter::RoundPolicy},
    privacy::{Accounting, Mechanism, Unit},
    statistic::{Axis, Bounded, Exact, Measure},
    vocabulary::Field,
};

const UP_TO_30: Bounded = Bounded { field: Field::DaysToAnswer, at_most: 30 };

fn zcdp() -> Signed<Charter> {
    let mut charter = charter(MEMBERS);
    charter.version = 3;
    charter.privacy.accounting = Accounting::Zcdp { delta_e12: 1000 };
    charter.privacy.unit = Unit::PersonYear;
    charter.privacy.cells_per_person = 20;
    charter.privacy.epsilon_total = "40".parse().unwrap();
    charter.purposes[0].epsilon = "40".parse().unwrap();
    charter.privacy.round =
        Some(RoundPolicy { tolerated: 2, epsilon_aggregators: "100".parse().unwrap(), most_in_cell: 1000 });
    let mut signed = Signed::new(charter, &secret(1)).unwrap();
    (2..=4).for_each(|n| signed.cosign(&secret(n)));
    signed
}

fn numbered(n: u8) -> Vec<Facet> {
    let mut facets = records(n);
    for (at, facet) in facets.iter_mut().enumerate() {
        facet.numbers.days_to_answer = (at % 4 != 0).then_some(u32::try_from(at % 25).unwrap());
    }
    facets
}

fn zcdp_world(seed: u64) -> World {
    let nodes = (1..=MEMBERS).map(|n| (secret(n), numbered(n))).collect();
    World::new(zcdp(), nodes, Weather::default(), samples::at(), seed)
}

fn asked(measure: Measure, group_by: Vec<Axis>) -> Signed<Query> {
    let mut query = samples::query(MEMBERS, "1");
    query.charter = zcdp().id();
    query.measure = measure;
    query.group_by = group_by;
    query.version = query.version_needed();
    Signed::new(query, &secret(1)).unwrap()
}

fn checked(release: &Signed<Release>) {
    let report = verify(&release.envelope().to_json().unwrap(), Some(zcdp().id()));
    assert!(report.holds(), "{:#?}", report.checks());
}

fn near_the_exact(release: &Release) {
    let mut exact = vec![0; release.plan.cells()];
    for n in 1..=MEMBERS {
        let own = Exact::count(&release.plan, &numbered(n).into_iter().collect(), &SampleKey::new([0; 32]))
            .unwrap();
        exact.iter_mut().zip(own.values_for_tests()).for_each(|(s, v)| *s += v);
    }
    let half = release.interval.half_width;
    for (value, exact) in release.values.iter().zip(&exact) {
        assert!(value.abs_diff(*exact) <= half * 5, "{value} where {exact} is true, ±{half}");
    }
}

#[test]
fn a_round_with_gaussian_shares_gives_the_sum_and_states_rho_and_delta() {
    let mut world = zcdp_world(31);
    let tactics = vec![Axis::Coded(crate::vocabulary::Dimension::Tactic), Axis::Quarter];
    let release = released(world.round(asked(Measure::People, tactics), None, &mut pass).0);
    checked(&release);
    let r = release.document();
    assert!(matches!(r.mechanism, Mechanism::DiscreteGaussian { .. }), "{:?}", r.mechanism);
    assert_eq!((r.guarantee.unit, r.guarantee.delta_e12), (Unit::PersonYear, 1006));
    // Six shares where four are enough: better than rho = 1/2.
    let rho = r.guarantee.rho_e12.unwrap();
    assert!((300_000_000_000..500_000_000_000).contains(&rho), "{rho}");
    near_the_exact(r);
    // What is stated is checked: a smaller rho, another unit or epsilon does not hold.
    for change in [
        |r: &mut Release| r.guarantee.rho_e12 = r.guarantee.rho_e12.map(|rho| rho / 2),
        |r: &mut Release| r.guarantee.rho_e12 = None,
        |r: &mut Release| r.guarantee.unit = Unit::Person,
        |r: &mut Release| r.guarantee.delta_e12 -= 1,
        |r: &mut Release| r.mechanism = Mechanism::DiscreteGaussian { sigma_sixteenths: 23 },
    ] {
        let mut forged = r.clone();
        change(&mut forged);
        let forged = Signed::new(forged, &secret(1)).unwrap();
        let report = verify(&forged.envelope().to_json().unwrap(), None);
        assert!(report.checks().iter().any(|c| c.name == "guarantee" && !c.holds), "{:#?}", report.checks());
    }
}

#[test]
fn sums_means_and_histograms_go_through_a_round() {
    let mut world = zcdp_world(32);
    for (measure, axes) in [
        (Measure::Sum(UP_TO_30), vec![]),
        (Measure::Mean(UP_TO_30), vec![Axis::Quarter]),
        (Measure::Incidents, vec![Axis::Field(Field::DaysToAnswer)]),
    ] {
        let release = released(world.round(asked(measure, axes), None, &mut pass).0);
        checked(&release);
        near_the_exact(release.document());
    }
}

/// An aggregator stops, gives its word that it revealed nothing, and one member less takes part in the round that
/// follows: shares are larger there, and what is missing is added to the vectors that were charged before.
#[test]
fn a_vector_with_gaussian_noise_is_used_again_with_more_of_it() {
    let mut world = zcdp_world(33);
    let question = asked(Measure::People, vec![Axis::Coded(crate::vocabulary::Dimension::Tactic)]);
    let mut known = Vec::new();
    let (mut first, mut stopped) = (None, false);
    let (outcome, attempt) = world.round(question.clone(), None, &mut |flight| {
        if let Says::Ask(Ask::Open { drawn, .. }) = &flight.message {
            let roster: Signed<Roster> = drawn.roster.clone().open().unwrap();
            first = Some(roster.document().parameters.mechanism);
            let terms = Terms::new(Plan::new(question.document(), &zcdp()).unwrap(), &zcdp()).unwrap();
            let round = Round::new(roster, drawn.nonces.clone(), terms, secret(1).node_id()).unwrap();
            known = round.aggregators().to_vec();
        }
        match &flight.message {
            Says::Ask(Ask::Prepare { .. })
                if flight.to == other_than_asker(&known) && !std::mem::replace(&mut stopped, true) =>
            {
                Fate::Crash(flight.to, 130_000)
            }
            _ => Fate::Pass,
        }
    });
    assert!(outcome.is_err());
    // Someone who is no aggregator of the first round stays away from the second.
    let away = (2..=MEMBERS).map(|n| secret(n).node_id()).find(|id| !known.contains(id)).unwrap();
    let (outcome, _) = world.round(question, attempt, &mut |flight| {
        if flight.to == away && matches!(flight.message, Says::Ask(_)) { Fate::Lose } else { Fate::Pass }
    });
    let release = released(outcome);
    checked(&release);
    let r = release.document();
    assert_eq!(r.counted(), 5);
    let (before, after) = (first.unwrap().variance(), r.mechanism.variance());
    assert!(after >= before + 2.0, "{before} then {after}");
    assert_eq!(spent(&world), [1_000_000; 6], "held again, nobody paid twice");
}
