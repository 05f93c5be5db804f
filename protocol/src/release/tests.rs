//! A release holds, and each way of falsifying it is caught by the check that is named for it.

use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::*;
use crate::{
    document::{NodeSecret, charter::samples::*},
    facet::samples::facet,
    privacy::{Accountant, Charge},
    statistic::{Axis, Exact, Ground, Measure, Period, SampleKey},
    vocabulary::Dimension,
};

fn now() -> Timestamp {
    "2026-02-01T12:00:00Z".parse().unwrap()
}

fn question() -> Signed<Query> {
    let query = Query {
        version: 1,
        mode: Mode::Local,
        charter: signed_charter(5).id(),
        measure: Measure::People,
        indicators: vec![],
        conditions: vec![],
        period: Some(Period { from: "2025-Q1".parse().unwrap(), to: "2025-Q4".parse().unwrap() }),
        group_by: vec![Axis::Coded(Dimension::Tactic)],
        cells_per_person: None,
        purpose: "research".into(),
        need: "a test".into(),
        epsilon: "1".parse().unwrap(),
        asked_at: now(),
        expires_at: now().plus_seconds(600),
    };
    Signed::new(query, &secret(1)).unwrap()
}

fn contribution(member: &NodeSecret, seed: u64) -> Signed<Contribution> {
    let query = question();
    let plan = Plan::new(query.document(), &signed_charter(5)).unwrap();
    let charge = Charge {
        plan: plan.id(),
        round: None,
        purpose: "research".into(),
        epsilon: plan.epsilon(),
        years: None,
        asker: secret(1).node_id(),
        at: now(),
    };
    let permit =
        Accountant::replay(charter(5).caps(), [], |_| true).authorise(&charge, |_| Ok::<_, ()>(())).unwrap();
    let facets = [facet(1, "2025-01-01", "T01", "IR"), facet(2, "2025-01-01", "T01", "IR")];
    let exact = Exact::count(&plan, &facets.iter().collect(), &SampleKey::new([0; 32])).unwrap();
    let noised = exact.noise(permit, &mut StdRng::seed_from_u64(seed)).unwrap();
    Signed::new(noised.into_contribution(now()), member).unwrap()
}

fn refusal(member: &NodeSecret, ground: Ground) -> Signed<Refusal> {
    let refusal = Refusal { version: 1, query: question().id(), ground, made_at: now() };
    Signed::new(refusal, member).unwrap()
}

/// Members 1 to 3 contribute, 4 refuses, 5 is silent.
fn release() -> Release {
    let contributions = (1..=3).map(|n| contribution(&secret(n), u64::from(n))).collect();
    let refusals = vec![refusal(&secret(4), Ground::Charter("political-offence".into()))];
    Release::assemble(&signed_charter(5), &question(), contributions, refusals, now()).unwrap()
}

fn json_of(release: Release, signer: &NodeSecret) -> Vec<u8> {
    Signed::new(release, signer).unwrap().envelope().to_json().unwrap()
}

/// The first check that does not hold.
fn fault(json: &[u8]) -> Option<&'static str> {
    verify(json, None).checks().iter().find(|c| !c.holds).map(|c| c.name)
}

fn fault_after(change: impl FnOnce(&mut Release)) -> Option<&'static str> {
    let mut release = release();
    change(&mut release);
    fault(&json_of(release, &secret(1)))
}

#[test]
fn a_true_release_holds_in_every_check() {
    let json = json_of(release(), &secret(1));
    let report = verify(&json, Some(signed_charter(5).id()));
    assert!(report.holds(), "{:#?}", report.checks());
    assert!(report.checks().iter().map(|c| c.name).eq(CHECK_NAMES));
    assert_eq!(release().silent, [secret(5).node_id()]);
}

#[test]
fn each_falsehood_is_caught_by_the_check_named_for_it() {
    assert_eq!(fault_after(|_| ()), None);
    assert_eq!(fault_after(|r| r.values[0] += 1), Some("total"));
    assert_eq!(fault_after(|r| r.interval.half_width -= 1), Some("interval"));
    assert_eq!(fault_after(|r| r.guarantee.epsilon = "0.5".parse().unwrap()), Some("guarantee"));
    assert_eq!(fault_after(|r| r.guarantee.delta_e12 = 7), Some("guarantee"));
    assert_eq!(
        fault_after(|r| r.mechanism = Mechanism::discrete_laplace(9, "1".parse().unwrap()).unwrap()),
        Some("guarantee")
    );
    assert_eq!(fault_after(|r| r.contributions.truncate(1)), Some("contributions"));
    assert_eq!(fault_after(|r| r.contributions[1] = r.contributions[0].clone()), Some("contributions"));
    assert_eq!(fault_after(|r| r.contributions.reverse()), Some("contributions"));
    assert_eq!(
        fault_after(|r| r.contributions[2] = contribution(&secret(9), 9).envelope().clone()),
        Some("contributions"),
        "a stranger's"
    );
    assert_eq!(fault_after(|r| r.silent.clear()), Some("accounted"));
    assert_eq!(fault_after(|r| r.refusals.clear()), Some("accounted"));
    assert_eq!(
        fault_after(|r| {
            r.refusals = vec![refusal(&secret(4), Ground::Charter("made-up".into())).envelope().clone()];
        }),
        Some("accounted")
    );
    assert_eq!(fault_after(|r| r.made_at = r.made_at.plus_seconds(-86_400)), Some("times"));
    assert_eq!(fault_after(|r| r.query = r.charter.clone()), Some("query"));
    assert_eq!(
        fault_after(|r| r.charter = Signed::new(charter(5), &secret(1)).unwrap().envelope().clone()),
        Some("charter")
    );
    assert_eq!(fault_after(|r| r.charter = signed_charter(4).envelope().clone()), Some("plan"));
}

#[test]
fn a_release_signed_by_another_than_the_asker_is_not_hers() {
    assert_eq!(fault(&json_of(release(), &secret(2))), Some("query"));
}

#[test]
fn a_charter_other_than_the_trusted_one_is_named() {
    let report = verify(&json_of(release(), &secret(1)), Some(signed_charter(4).id()));
    assert_eq!(report.checks().iter().find(|c| !c.holds).map(|c| c.name), Some("charter"));
    assert!(report.into_verified().is_none());
}

#[test]
fn a_changed_byte_or_a_torn_file_is_caught_and_every_check_is_still_named() {
    let json = json_of(release(), &secret(1));
    assert_eq!(fault(&json[..json.len() / 2]), Some("format"));
    assert_eq!(fault(b""), Some("format"));
    let mut value: Value = serde_json::from_slice(&json).unwrap();
    let other = json_of(release(), &secret(2));
    let other: Value = serde_json::from_slice(&other).unwrap();
    value["signatures"][0]["sig"] = other["signatures"][0]["sig"].clone();
    let forged = serde_json::to_vec(&value).unwrap();
    assert_eq!(fault(&forged), Some("signature"));
    assert_eq!(verify(&forged, None).checks().len(), CHECK_NAMES.len());
    value["extra"] = json!(1);
    assert_eq!(fault(&serde_json::to_vec(&value).unwrap()), Some("format"));
}

#[test]
fn too_few_contributions_make_no_release() {
    let one = vec![contribution(&secret(1), 1)];
    let error = Release::assemble(&signed_charter(5), &question(), one, vec![], now()).unwrap_err();
    assert_eq!(error, ReleaseError::TooFew { got: 1, need: 2 });
}
