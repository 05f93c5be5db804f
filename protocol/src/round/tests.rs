//! Whole rounds in the simulator: their figures are right, and whatever a party does, no more is learnt and no
//! ledger undercharges.

mod hostile;
mod laws;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    simulate::{Fate, Flight, Says, Weather, World},
    *,
};
use crate::{
    document::{Envelope, Signed, charter::samples::*},
    facet::{Facet, samples::facet},
    id::{Id, NodeId},
    privacy::MicroEpsilon,
    release::{Release, verify},
    statistic::{Exact, Plan, Query, SampleKey},
};

/// Of six, two may collude, or one drop out and one collude.
const MEMBERS: u8 = 6;

fn records(n: u8) -> Vec<Facet> {
    (0..u64::from(n) * 40)
        .map(|p| facet(p, if p % 3 == 0 { "2025-02-01" } else { "2025-05-01" }, "T01", "IR"))
        .collect()
}

fn world(weather: Weather, seed: u64) -> World {
    let nodes = (1..=MEMBERS).map(|n| (secret(n), records(n))).collect();
    World::new(signed_charter_with_rounds(MEMBERS), nodes, weather, samples::at(), seed)
}

fn question(epsilon: &str) -> Signed<Query> {
    Signed::new(samples::query(MEMBERS, epsilon), &secret(1)).unwrap()
}

fn exact_sum(plan: &Plan, members: impl IntoIterator<Item = u8>) -> Vec<i64> {
    let mut sum = vec![0; plan.cells()];
    for n in members {
        let exact = Exact::count(plan, &records(n).into_iter().collect(), &SampleKey::new([0; 32])).unwrap();
        sum.iter_mut().zip(exact.values_for_tests()).for_each(|(s, v)| *s += v);
    }
    sum
}

fn released(outcome: Result<Outcome, Failed>) -> Signed<Release> {
    match outcome.unwrap() {
        Outcome::Release(release) => *release,
        Outcome::Known(..) => panic!("no release was made before"),
    }
}

fn sound(release: &Signed<Release>) {
    let json = release.envelope().to_json().unwrap();
    let report = verify(&json, Some(signed_charter_with_rounds(MEMBERS).id()));
    assert!(report.holds(), "{:#?}", report.checks());
}

/// The round of a roster for [`question`] at epsilon 1.
fn opened(drawn: &Drawn) -> Round {
    let (roster, nonces) = (drawn.roster.clone().open().unwrap(), drawn.nonces.clone());
    Round::new(roster, nonces, samples::terms(MEMBERS, "1"), secret(1).node_id()).unwrap()
}

/// Who is to sign a release: the asker, and the aggregators.
fn signers(release: &Signed<Release>) -> BTreeSet<NodeId> {
    let round = opened(&release.document().round.as_ref().unwrap().drawn);
    round.aggregators().iter().copied().chain([secret(1).node_id()]).collect()
}

fn pass(_: &mut Flight) -> Fate {
    Fate::Pass
}

fn spent(world: &World) -> Vec<u64> {
    world.nodes().values().map(|n| n.charges().iter().map(|c| c.epsilon.micros()).sum()).collect()
}

/// Vectors that left each node, by their commitments: what its ledger has to answer for.
#[derive(Default)]
struct Watch(BTreeMap<NodeId, BTreeSet<Id<Submission>>>);

impl Watch {
    fn see(&mut self, flight: &Flight) {
        if let Says::Ask(Ask::Deliver { submission }) = &flight.message {
            self.0.entry(flight.from).or_default().insert(submission.id());
        }
    }
}

#[test]
fn a_round_gives_the_sum_with_the_noise_of_a_trusted_centre_and_everyone_pays_once() {
    let mut world = world(Weather::default(), 1);
    let (outcome, _) = world.round(question("1"), None, &mut pass);
    let release = released(outcome);
    sound(&release);
    let r = release.document();
    assert_eq!(r.counted(), 6);
    assert_eq!(release.signers().len(), signers(&release).len(), "the asker and both aggregators");
    let exact = exact_sum(&r.plan, 1..=MEMBERS);
    let half = i64::try_from(r.interval.half_width).unwrap();
    // Sensitivity 2 at epsilon 1: a scale of 2, so an interval of about 6; twenty cells, none ten times as far off.
    assert!((4..9).contains(&half), "{half}");
    let errors: Vec<i64> = r.values.iter().zip(&exact).map(|(v, e)| (v - e).abs()).collect();
    assert!(errors.iter().all(|e| *e <= half * 5), "{errors:?}");
    assert!(errors.iter().filter(|e| **e <= half).count() * 10 >= errors.len() * 8, "{errors:?}");
    assert!(errors.iter().any(|e| *e > 0), "no noise");
    assert_eq!(spent(&world), [1_000_000; 6]);
}

#[test]
fn a_bad_network_slows_a_round_and_changes_nothing_else() {
    let storm = Weather { delay: (5, 900), loss_ppm: 150_000, twice_ppm: 150_000, ..Weather::default() };
    for seed in 0..6 {
        let mut world = world(storm, seed);
        let release = released(world.round(question("1"), None, &mut pass).0);
        sound(&release);
        assert_eq!(spent(&world), [1_000_000; 6]);
    }
}

/// The aggregator at `place` of the round that `flight` opens.
fn aggregators(flight: &Flight) -> Option<Vec<NodeId>> {
    let Says::Ask(Ask::Open { drawn, .. }) = &flight.message else { return None };
    Some(opened(drawn).aggregators().to_vec())
}

fn other_than_asker(aggregators: &[NodeId]) -> NodeId {
    *aggregators.iter().find(|a| **a != secret(1).node_id()).unwrap()
}

/// Runs a round in which `tamper` also knows the aggregators.
fn tampered(
    world: &mut World,
    before: Option<Drawn>,
    tamper: &mut dyn FnMut(&mut Flight, &[NodeId]) -> Fate,
) -> (Result<Outcome, Failed>, Option<Drawn>) {
    let mut known = Vec::new();
    world.round(question("1"), before, &mut |flight| {
        known = aggregators(flight).unwrap_or_else(|| std::mem::take(&mut known));
        tamper(flight, &known)
    })
}

#[test]
fn an_aggregator_that_stops_before_the_reveal_costs_nothing_more_when_it_is_back() {
    let mut world = world(Weather::default(), 2);
    let mut watch = Watch::default();
    // It stops when it is asked to verify proofs, and is back when the round was given up.
    let (outcome, attempt) = tampered(&mut world, None, &mut |flight, aggregators| {
        watch.see(flight);
        match &flight.message {
            Says::Ask(Ask::Prepare { .. }) if flight.to == other_than_asker(aggregators) => {
                Fate::Crash(flight.to, 130_000)
            }
            _ => Fate::Pass,
        }
    });
    let failed = outcome.unwrap_err();
    assert!(matches!(failed, Failed::Aggregators { stage: Stage::Preparing, .. }), "{failed}");
    // A second try ends before vectors are asked for: what the first one left is still there to be freed.
    let (outcome, again) = tampered(&mut world, attempt.clone(), &mut |flight, _| match &flight.message {
        Says::Ask(Ask::Open { .. }) => Fate::Lose,
        _ => Fate::Pass,
    });
    let failed = outcome.unwrap_err();
    assert!(matches!(failed, Failed::Aggregators { stage: Stage::Opening, .. }), "{failed}");
    assert_eq!(again, None);
    let (outcome, _) = tampered(&mut world, attempt, &mut |flight, _| {
        watch.see(flight);
        Fate::Pass
    });
    sound(&released(outcome));
    assert_eq!(spent(&world), [1_000_000; 6], "held again, nobody paid twice");
    assert!(watch.0.values().all(|sent| sent.len() == 2));
}

#[test]
fn an_aggregator_that_stays_away_costs_anew() {
    let mut world = world(Weather::default(), 3);
    let (outcome, attempt) = tampered(&mut world, None, &mut |flight, aggregators| match &flight.message {
        Says::Ask(Ask::Close { .. }) if flight.to == aggregators[0] => {
            Fate::Crash(aggregators[0], 100_000_000)
        }
        _ => Fate::Pass,
    });
    assert!(matches!(outcome.unwrap_err(), Failed::Aggregators { stage: Stage::Closing, .. }));
    let (outcome, _) = tampered(&mut world, attempt, &mut |_, _| Fate::Pass);
    let release = released(outcome);
    sound(&release);
    assert_eq!(release.document().counted(), 5);
    let mut all = spent(&world);
    all.sort_unstable();
    assert_eq!(all, [1_000_000, 2_000_000, 2_000_000, 2_000_000, 2_000_000, 2_000_000]);
}

#[test]
fn an_aggregator_that_stops_after_the_reveal_leaves_a_release_without_its_signature() {
    let mut world = world(Weather::default(), 4);
    let (outcome, _) = tampered(&mut world, None, &mut |flight, aggregators| match &flight.message {
        Says::Ask(Ask::Countersign { .. }) if flight.to == other_than_asker(aggregators) => {
            Fate::Crash(flight.to, 1_000_000)
        }
        _ => Fate::Pass,
    });
    let release = released(outcome);
    sound(&release);
    assert_eq!(release.signers().len(), signers(&release).len() - 1);
}

#[test]
fn an_aggregator_that_stops_between_the_reveals_ends_the_round_for_good() {
    let mut world = world(Weather::default(), 5);
    let (outcome, attempt) = tampered(&mut world, None, &mut |flight, aggregators| match &flight.message {
        Says::Ask(Ask::Reveal { .. }) if flight.to == aggregators[0] => Fate::Crash(aggregators[0], 70_000),
        _ => Fate::Pass,
    });
    assert!(matches!(outcome.unwrap_err(), Failed::Aggregators { stage: Stage::Revealing, .. }));
    let (outcome, _) = tampered(&mut world, attempt, &mut |_, _| Fate::Pass);
    sound(&released(outcome));
    assert_eq!(spent(&world), [2_000_000; 6], "one aggregator had revealed: nobody may reuse a vector");
}

#[test]
fn who_took_part_and_was_not_counted_is_named_by_its_own_consent() {
    let mut world = world(Weather::default(), 21);
    let quiet = secret(2).node_id();
    let (outcome, _) = tampered(&mut world, None, &mut |flight, _| match &flight.message {
        Says::Ask(Ask::Contribute { .. }) if flight.to == quiet => Fate::Lose,
        _ => Fate::Pass,
    });
    let release = released(outcome);
    sound(&release);
    let detail = |r: &Release| {
        let report = verify(&Signed::new(r.clone(), &secret(1)).unwrap().envelope().to_json().unwrap(), None);
        let accounted = report.checks().iter().find(|c| c.name == "accounted").unwrap();
        (report.holds(), accounted.detail.clone())
    };
    let r = release.document().clone();
    assert_eq!(
        detail(&r),
        (true, "5 contributed, 1 consented and were not counted, 0 refused, 0 were silent".into())
    );
    let proof = |change: &dyn Fn(&mut Proof)| {
        let mut r = r.clone();
        change(r.round.as_mut().unwrap());
        detail(&r).0
    };
    assert!(!proof(&|p| p.consents.clear()));
    assert!(!proof(&|p| {
        let own: Signed<Consent> = p.consents[0].clone().open().unwrap();
        p.consents[0] = Signed::new(own.document().clone(), &secret(3)).unwrap().envelope().clone();
    }));
    assert!(!proof(&|p| {
        let mut own = p.consents[0].clone().open::<Consent>().unwrap().document().clone();
        own.draw = crate::id::Digest::of(b"another");
        p.consents[0] = Signed::new(own, &secret(2)).unwrap().envelope().clone();
    }));
    assert!(!proof(&|p| p.consents.push(p.consents[0].clone())));
}

#[test]
fn a_member_that_stops_after_the_charge_is_charged_and_never_asked_to_pay_for_it_again() {
    let mut world = world(Weather::default(), 14);
    let mut late = None;
    let (outcome, _) = tampered(&mut world, None, &mut |flight, aggregators| {
        let from = flight.from;
        let bystander = from != secret(1).node_id() && !aggregators.contains(&from);
        if matches!(flight.message, Says::Ask(Ask::Deliver { .. })) && bystander && late.is_none() {
            late = Some(from);
            return Fate::Crash(from, 30_000);
        }
        Fate::Pass
    });
    let late = late.unwrap();
    let release = released(outcome);
    sound(&release);
    assert_eq!(release.document().counted(), 5);
    assert_eq!(world.nodes()[&late].charges().len(), 1, "charged, though nothing of it was summed");
}

/// Two federations that differ in one person's records: all that is said is the same to the byte, but for what is
/// drawn afresh to hide the vectors, which has the same size and goes at the same time.
#[test]
fn nothing_but_the_release_depends_on_records() {
    let run = |with_her: bool| {
        let mut world = world(Weather::default(), 16);
        if with_her {
            let mut more = records(2);
            more.extend(
                (0..9).map(|i| facet(9999, "2025-02-01", if i % 2 == 0 { "T02" } else { "T05" }, "CN")),
            );
            world.node(&secret(2).node_id()).unwrap().records(more);
        }
        let mut said = Vec::new();
        let (outcome, _) = world.round(question("1"), None, &mut |flight| {
            let head = flight.head();
            let hides_nothing = matches!(
                &flight.message,
                Says::Ask(Ask::Convene { .. } | Ask::Draw { .. } | Ask::Open { .. } | Ask::Contribute { .. })
                    | Says::Told(Told::Consent { .. } | Told::Drawn { .. } | Told::Opened | Told::Kept)
            );
            let last = matches!(
                &flight.message,
                Says::Ask(Ask::Countersign { .. }) | Says::Told(Told::Countersigned { .. })
            );
            let (length, beside) = if last { (0, 0) } else { (head.len(), flight.beside.len()) };
            said.push((flight.at, flight.from, flight.to, hides_nothing.then_some(head), length, beside));
            Fate::Pass
        });
        let release = released(outcome);
        (said, release.document().interval, release.document().guarantee, spent(&world))
    };
    assert_eq!(run(false), run(true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whoever crashes, whenever, for however long, in whatever weather: every release verifies, every round has
    /// one set, and no node hands out a vector that its ledger did not pay for.
    #[test]
    fn crashes_at_any_step_never_undercharge(
        seed: u64, crashes in prop::collection::vec((0u64..200, 1u8..=6, 10u64..200_000), 0..4), storm: bool
    ) {
        let weather = if storm {
            Weather { delay: (5, 2_000), loss_ppm: 100_000, twice_ppm: 100_000, ..Weather::default() }
        } else {
            Weather::default()
        };
        let mut world = world(weather, seed);
        let mut attempt = None;
        let (mut sets, mut sent) = (BTreeMap::<Id<Roster>, BTreeSet<Id<Included>>>::new(), 0u64);
        let mut handed: BTreeMap<NodeId, BTreeSet<Id<Roster>>> = BTreeMap::new();
        let mut aborted: BTreeMap<Id<Roster>, BTreeSet<NodeId>> = BTreeMap::new();
        for _ in 0..3 {
            let (outcome, next) = world.round(question("1"), attempt.clone(), &mut |flight| {
                sent += 1;
                match &flight.message {
                    Says::Told(Told::Included { envelope }) => {
                        let set: Signed<Included> = envelope.clone().open().unwrap();
                        sets.entry(set.document().round).or_default().insert(set.id());
                    }
                    Says::Ask(Ask::Deliver { submission }) => {
                        let s: Signed<Submission> = submission.clone().open().unwrap();
                        handed.entry(flight.from).or_default().insert(s.document().round);
                    }
                    Says::Told(Told::Aborted { envelope }) => {
                        let abort: Signed<Abort> = envelope.clone().open().unwrap();
                        aborted.entry(abort.document().round).or_default().insert(flight.from);
                    }
                    _ => {}
                }
                match crashes.iter().find(|(at, ..)| *at + 1 == sent) {
                    Some((_, who, back)) if secret(*who).node_id() != secret(1).node_id() => {
                        Fate::Crash(secret(*who).node_id(), *back)
                    }
                    _ => Fate::Pass,
                }
            });
            if let Ok(Outcome::Release(release)) = outcome {
                sound(&release);
            }
            attempt = next.or(attempt);
        }
        prop_assert!(sets.values().all(|s| s.len() == 1), "two sets in one round");
        for (node, rounds) in handed {
            // A vector of a round that both aggregators gave up may go out once more.
            let free = rounds.iter().filter(|r| aborted.get(r).is_some_and(|a| a.len() == 2)).count();
            let paid = world.nodes()[&node].charges().len();
            prop_assert!(paid + free >= rounds.len(), "{paid} charges, {free} given up, {} rounds", rounds.len());
        }
    }
}

#[test]
fn a_release_of_a_round_that_was_changed_is_refused_by_the_check_named_for_it() {
    let mut world = world(Weather::default(), 17);
    let release = released(world.round(question("1"), None, &mut pass).0);
    let fails = |change: &dyn Fn(&mut Release), check: &str| {
        let mut document = release.document().clone();
        change(&mut document);
        let json = Signed::new(document, &secret(1)).unwrap().envelope().to_json().unwrap();
        let report = verify(&json, None);
        let first = report.checks().iter().find(|c| !c.holds).map(|c| c.name);
        assert_eq!(first, Some(check), "{:#?}", report.checks());
    };
    fails(&|r| r.values[3] += 1, "total");
    fails(&|r| r.values[0] = -1_000_000_000, "total");
    fails(&|r| r.interval.half_width -= 1, "interval");
    fails(&|r| r.guarantee.epsilon = MicroEpsilon::from_micros(900_000), "guarantee");
    fails(&|r| r.guarantee.members.as_mut().unwrap().colluding = 1, "guarantee");
    fails(
        &|r| r.guarantee.members.as_mut().unwrap().epsilon_aggregators = MicroEpsilon::from_micros(1_000_000),
        "guarantee",
    );
    for other in [900_000, 1_100_000] {
        let other = MicroEpsilon::from_micros(other);
        fails(&|r| r.guarantee.members.as_mut().unwrap().epsilon_colluding = other, "guarantee");
        fails(&|r| r.guarantee.epsilon_at_those_nodes = other, "guarantee");
    }
    fails(&|r| r.guarantee.delta_e12 = 0, "guarantee");
    fails(&|r| r.round.as_mut().unwrap().drawn.nonces.swap(0, 1), "contributions");
    fails(&|r| r.round.as_mut().unwrap().submissions.truncate(5), "contributions");
    fails(&|r| r.round.as_mut().unwrap().submissions.swap(0, 1), "contributions");
    fails(&|r| r.round.as_mut().unwrap().blinding = crate::id::Digest::of(b"x"), "total");
    fails(&|r| r.silent.push(secret(1).node_id()), "accounted");
    // A stranger's countersignature.
    let mut signed = Signed::new(release.document().clone(), &secret(1)).unwrap();
    signed.cosign(&secret(77));
    let report = verify(&signed.envelope().to_json().unwrap(), None);
    assert!(!report.holds());
}
