//! Versions 2 and 3: rounds, numbers, other ways to count.
//!
//! Secret shares are drawn from the operating system, so a round is never the same twice. The release of one is kept
//! in `release.json` and `release_zcdp.json`; every other vector is made from the first. If they are not there, they
//! are made anew.

use std::{collections::BTreeMap, fs};

use hedgerow_protocol::{
    document::{Charter, Envelope, Signed, charter::RoundPolicy},
    id::{Digest, Id},
    privacy::{Accounting, Mechanism, Unit},
    release::Release,
    round::{
        Abort, Consent, Included, Outcome, Receipt, Roster, Submission, Verifiers, draw,
        simulate::{Fate, Weather, World},
    },
    statistic::{Axis, Bounded, Measure, Mode, Query},
    vocabulary::{Dimension, Field},
};
use serde_json::{Value, json};

use crate::{folder, tools::*, v1};

fn signed(mut charter: Charter) -> Signed<Charter> {
    charter.version = charter.privacy.version_needed();
    let mut signed = Signed::new(charter, &secret(1)).unwrap();
    signed.cosign(&secret(2));
    signed.cosign(&secret(3));
    signed
}

fn charter() -> Signed<Charter> {
    let mut charter = v1::charter().document().clone();
    charter.privacy.round =
        Some(RoundPolicy { tolerated: 1, epsilon_aggregators: "6".parse().unwrap(), most_in_cell: 1000 });
    signed(charter)
}

/// In zCDP, by year, with a cap on one member's questions.
fn other_charter() -> Signed<Charter> {
    let mut charter = charter().document().clone();
    charter.privacy.accounting = Accounting::Zcdp { delta_e12: 1000 };
    charter.privacy.unit = Unit::PersonYear;
    charter.privacy.epsilon_per_asker = Some("4".parse().unwrap());
    signed(charter)
}

fn query() -> Query {
    let group_by = vec![Axis::Coded(Dimension::Confidence)];
    let mut query = Query { mode: Mode::Round, charter: charter().id(), group_by, ..v1::query() };
    query.version = query.version_needed();
    query
}

fn numbers(measure: Measure, group_by: Vec<Axis>) -> Query {
    let mut query = Query { measure, group_by, ..query() };
    query.version = query.version_needed();
    query
}

fn sightings() -> Query {
    let indicators = [1, 2].map(|n| format!("indicator--00000000-0000-4000-8000-{n:012}")).to_vec();
    let mut query = Query { measure: Measure::Groups, indicators, group_by: vec![Axis::Quarter], ..query() };
    query.version = query.version_needed();
    query
}

/// A mean under the charter in zCDP: Gaussian shares.
fn mean_under_zcdp() -> Query {
    let mean = Measure::Mean(Bounded { field: Field::DaysToAnswer, at_most: 60 });
    let epsilon = "0.5".parse().unwrap();
    Query { charter: other_charter().id(), epsilon, ..numbers(mean, vec![Axis::Quarter]) }
}

/// The release that is kept under this name, or a new one that answers `query`.
fn release(name: &str, charter: Signed<Charter>, query: Query) -> Signed<Release> {
    if let Ok(bytes) = fs::read(folder("v2").join(format!("{name}.json"))) {
        let vector: Value = serde_json::from_slice(&bytes).unwrap();
        return Envelope::from_json(vector["text"].as_str().unwrap().as_bytes()).unwrap().open().unwrap();
    }
    let facets = |n: u8| {
        (0..u64::from(n) * 9).map(|p| {
            let mut facet = facet(p);
            facet.numbers.days_to_answer = Some((p % 50) as u32);
            facet
        })
    };
    let nodes = (1..=5).map(|n| (secret(n), facets(n).collect())).collect();
    let mut world = World::new(charter, nodes, Weather::default(), query.asked_at, 7);
    match world.round(Signed::new(query, &secret(1)).unwrap(), None, &mut |_| Fate::Pass).0.unwrap() {
        Outcome::Release(release) => *release,
        Outcome::Known(..) => panic!("nothing was asked before"),
    }
}

fn bad_release(release: &Signed<Release>, change: impl FnOnce(&mut Release)) -> String {
    let mut release = release.document().clone();
    change(&mut release);
    text(&Signed::new(release, &secret(1)).unwrap())
}

pub(crate) fn vectors() -> BTreeMap<&'static str, Value> {
    let mut all = BTreeMap::new();
    let mut add = |name: &'static str, kind: &str, fails_at: Option<&str>, what: &str, text: String| {
        all.insert(name, json!({ "what": what, "kind": kind, "fails_at": fails_at, "text": text }));
    };
    let whole = release("release", charter(), query());
    let counted = release("release_zcdp", other_charter(), mean_under_zcdp());
    let proof = whole.document().round.clone().unwrap();
    let roster: Signed<Roster> = proof.drawn.roster.clone().open().unwrap();
    let included: Signed<Included> = proof.included.clone().open().unwrap();
    let submissions: Vec<Signed<Submission>> =
        proof.submissions.iter().map(|s| s.clone().open().unwrap()).collect();
    let round = roster.id();
    let consent = Consent {
        version: 1,
        query: Signed::new(query(), &secret(1)).unwrap().id(),
        draw: draw(&Digest::of(b"a nonce")),
        made_at: query().asked_at,
    };
    let receipt = Receipt {
        version: 1,
        round,
        submissions: included.document().submissions.clone(),
        key: Digest::of(b"a key"),
    };
    let verifiers = Verifiers { version: 1, round, verifiers: Digest::of(b"a part of the proofs") };
    let abort = Abort { version: 1, round };
    let mean = Measure::Mean(Bounded { field: Field::DaysToAnswer, at_most: 60 });
    let histogram = numbers(Measure::Incidents, vec![Axis::Field(Field::MoneyLost)]);

    let by = |n: u8| secret(n);
    add("charter", "charter", None, "A charter with rounds: version 2.", text(&charter()));
    add(
        "charter_3",
        "charter",
        None,
        "In zCDP, by year, with a cap by asker: version 3.",
        text(&other_charter()),
    );
    add("query", "query", None, "A question for a round.", text(&Signed::new(query(), &by(1)).unwrap()));
    add(
        "query_mean",
        "query",
        None,
        "A mean: version 3.",
        text(&Signed::new(numbers(mean, vec![]), &by(1)).unwrap()),
    );
    add(
        "query_histogram",
        "query",
        None,
        "Incidents by money lost.",
        text(&Signed::new(histogram, &by(1)).unwrap()),
    );
    let sightings = sightings();
    add(
        "query_sightings",
        "query",
        None,
        "How many groups saw two indicators: version 4.",
        text(&Signed::new(sightings.clone(), &by(1)).unwrap()),
    );
    add(
        "bad_query_sightings_of_a_value",
        "query",
        Some("flaw"),
        "A value that could be a person's, in the place of an id.",
        changed(&sightings, &[1], |v| v["indicators"][0] = json!("someone@example.org")),
    );
    add(
        "bad_query_sightings_of_nothing",
        "query",
        Some("flaw"),
        "Groups without indicators.",
        changed(&sightings, &[1], |v| v["indicators"] = json!([])),
    );
    add(
        "bad_query_people_by_sightings",
        "query",
        Some("flaw"),
        "Indicators beside another measure.",
        changed(&sightings, &[1], |v| (v["measure"], v["version"]) = (json!("people"), json!(2))),
    );
    add(
        "consent",
        "consent",
        None,
        "A member takes part.",
        text(&Signed::new(consent.clone(), &by(2)).unwrap()),
    );
    add("roster", "roster", None, "Five seats. Its id is the round's.", text(&roster));
    add("submission", "submission", None, "A commitment and two shares.", text(&submissions[0]));
    add(
        "receipt",
        "receipt",
        None,
        "What an aggregator holds.",
        text(&Signed::new(receipt.clone(), &by(2)).unwrap()),
    );
    add(
        "verifiers",
        "verifiers",
        None,
        "A part of the proofs, by its hash.",
        text(&Signed::new(verifiers, &by(2)).unwrap()),
    );
    add("included", "included", None, "The set that is summed, by both aggregators.", text(&included));
    add(
        "abort",
        "abort",
        None,
        "An aggregator gives its word.",
        text(&Signed::new(abort.clone(), &by(2)).unwrap()),
    );
    add("release", "release", None, "Five took part; the total opens their commitments.", text(&whole));

    add("release_zcdp", "release", None, "A mean with Gaussian shares, counted by year.", text(&counted));

    let c = charter().document().clone();
    add(
        "bad_charter_version_1_with_rounds",
        "charter",
        Some("flaw"),
        "Rounds in version 1.",
        changed(&c, &[1, 2, 3], |v| v["version"] = json!(1)),
    );
    add(
        "bad_charter_tolerates_too_many",
        "charter",
        Some("flaw"),
        "Three of five may collude.",
        changed(&c, &[1, 2, 3], |v| v["privacy"]["round"]["tolerated"] = json!(3)),
    );
    add(
        "bad_charter_tolerates_none",
        "charter",
        Some("flaw"),
        "Not even the member who asks, who knows its own share of noise.",
        changed(&c, &[1, 2, 3], |v| v["privacy"]["round"]["tolerated"] = json!(0)),
    );
    add(
        "bad_charter_cap_below_a_query",
        "charter",
        Some("flaw"),
        "Aggregators may learn less than anyone.",
        changed(&c, &[1, 2, 3], |v| v["privacy"]["round"]["epsilon_aggregators_micros"] = json!(1)),
    );
    let other = other_charter().document().clone();
    add(
        "bad_charter_delta_too_large",
        "charter",
        Some("flaw"),
        "A delta of 1e-3.",
        changed(&other, &[1, 2, 3], |v| {
            v["privacy"]["accounting"]["zcdp"]["delta_e12"] = json!(1_000_000_000)
        }),
    );
    add(
        "bad_charter_unknown_accounting",
        "charter",
        Some("payload"),
        "A way to count that is none.",
        changed(&other, &[1, 2, 3], |v| v["privacy"]["accounting"] = json!("renyi")),
    );
    add(
        "bad_query_round_in_version_1",
        "query",
        Some("flaw"),
        "A round in version 1.",
        changed(&query(), &[1], |v| v["version"] = json!(1)),
    );
    let q = numbers(mean, vec![]);
    add(
        "bad_query_number_above_its_bound",
        "query",
        Some("flaw"),
        "366 days of 365.",
        changed(&q, &[1], |v| v["measure"]["mean"]["at_most"] = json!(366)),
    );
    add(
        "bad_query_unknown_number",
        "query",
        Some("payload"),
        "A number that is none.",
        changed(&q, &[1], |v| v["measure"]["mean"]["field"] = json!("age")),
    );
    add(
        "bad_consent_short_draw",
        "consent",
        Some("payload"),
        "A draw of 31 bytes.",
        changed(&consent, &[2], |v| v["draw"] = json!("00".repeat(31))),
    );
    add(
        "bad_roster_version",
        "roster",
        Some("flaw"),
        "A version that is none.",
        changed(roster.document(), &[1], |v| v["version"] = json!(2)),
    );
    add(
        "bad_roster_unknown_noise",
        "roster",
        Some("payload"),
        "Noise that is none.",
        changed(roster.document(), &[1], |v| v["parameters"]["mechanism"]["kind"] = json!("none")),
    );
    add(
        "bad_submission_unknown_field",
        "submission",
        Some("payload"),
        "The vector itself.",
        changed(submissions[0].document(), &[1], |v| v["values"] = json!([1, 2])),
    );
    add(
        "bad_receipt_no_key",
        "receipt",
        Some("payload"),
        "No part of the verification key.",
        changed(&receipt, &[2], |v| drop(v.as_object_mut().unwrap().remove("key"))),
    );
    add(
        "bad_abort_trailing",
        "abort",
        Some("envelope"),
        "Something stands after it.",
        text(&Signed::new(abort, &by(2)).unwrap()) + " {}",
    );

    let mut bad = |name: &'static str, fails_at: &str, what: &str, change: &mut dyn FnMut(&mut Release)| {
        add(name, "release", Some(fails_at), what, bad_release(&whole, change));
    };
    fn of(r: &mut Release) -> &mut hedgerow_protocol::round::Proof {
        r.round.as_mut().unwrap()
    }
    bad("bad_release_total", "total", "One value is one more: it opens no commitment.", &mut |r| {
        r.values[0] += 1
    });
    bad("bad_release_values_swapped", "total", "Two values have changed places.", &mut |r| {
        r.values[0] += 1;
        r.values[1] -= 1;
    });
    bad("bad_release_blinding", "total", "Another blinding factor.", &mut |r| {
        of(r).blinding = Digest::from_bytes([1; 32])
    });
    bad("bad_release_blinding_no_scalar", "total", "A blinding factor that is no scalar.", &mut |r| {
        of(r).blinding = Digest::from_bytes([0xff; 32])
    });
    bad(
        "bad_release_epsilon_aggregators",
        "guarantee",
        "Less against aggregators than there is.",
        &mut |r| {
            r.guarantee.members.as_mut().unwrap().epsilon_aggregators = "1".parse().unwrap();
        },
    );
    bad("bad_release_epsilon_colluding", "guarantee", "Less against members than there is.", &mut |r| {
        r.guarantee.members.as_mut().unwrap().epsilon_colluding = "0.5".parse().unwrap();
    });
    bad("bad_release_draws", "contributions", "Two draws have changed places.", &mut |r| {
        of(r).drawn.nonces.swap(0, 1)
    });
    bad("bad_release_consents", "contributions", "A consent of a seat that was counted.", &mut |r| {
        let consent = Signed::new(consent.clone(), &secret(2)).unwrap();
        of(r).consents.push(consent.envelope().clone())
    });
    bad("bad_release_delta", "guarantee", "No delta.", &mut |r| r.guarantee.delta_e12 = 0);
    bad("bad_release_mechanism", "guarantee", "Other noise than the roster's.", &mut |r| {
        r.mechanism = Mechanism::DiscreteGaussian { sigma_sixteenths: 64 };
    });
    bad("bad_release_interval", "interval", "Narrower than the noise.", &mut |r| r.interval.half_width -= 2);
    bad("bad_release_seat_silent", "accounted", "Who took part is said to be silent.", &mut |r| {
        r.silent = vec![secret(2).node_id()]
    });
    bad(
        "bad_release_submission_left_out",
        "contributions",
        "A submission of the set is left out.",
        &mut |r| drop(of(r).submissions.pop()),
    );
    bad("bad_release_submissions_out_of_order", "contributions", "Not in the order of seats.", &mut |r| {
        of(r).submissions.reverse()
    });
    bad(
        "bad_release_submission_other",
        "contributions",
        "A commitment that the set does not name.",
        &mut |r| {
            let first = &submissions[0];
            let mut other = first.document().clone();
            other.commitment = submissions[1].document().commitment;
            let n = (1..=5).find(|n| Ok(secret(*n).node_id()) == first.sole_signer()).unwrap();
            of(r).submissions[0] = Signed::new(other, &secret(n)).unwrap().envelope().clone();
        },
    );
    bad(
        "bad_release_set_of_one_aggregator",
        "contributions",
        "One aggregator did not sign the set.",
        &mut |r| {
            let n = (1..=5).find(|n| included.signers()[0] == secret(*n).node_id()).unwrap();
            of(r).included = Signed::new(included.document().clone(), &secret(n)).unwrap().envelope().clone();
        },
    );
    bad(
        "bad_release_set_of_strangers",
        "contributions",
        "The set is signed by others than the aggregators.",
        &mut |r| {
            let mut others = (1..=5).map(secret).filter(|s| !included.signers().contains(&s.node_id()));
            let mut set = Signed::new(included.document().clone(), &others.next().unwrap()).unwrap();
            set.cosign(&others.next().unwrap());
            of(r).included = set.envelope().clone();
        },
    );
    bad("bad_release_set_of_another_round", "contributions", "The set is of another round.", &mut |r| {
        let mut set = included.document().clone();
        set.round = Id::of(b"another round");
        let mut by =
            included.signers().iter().map(|s| (1..=5).map(secret).find(|n| n.node_id() == *s).unwrap());
        let mut set = Signed::new(set, &by.next().unwrap()).unwrap();
        set.cosign(&by.next().unwrap());
        of(r).included = set.envelope().clone();
    });
    bad(
        "bad_release_roster_of_another",
        "contributions",
        "The roster is not of the member who asks.",
        &mut |r| {
            of(r).drawn.roster =
                Signed::new(roster.document().clone(), &secret(2)).unwrap().envelope().clone();
        },
    );
    bad(
        "bad_release_roster_with_less_noise",
        "contributions",
        "Shares that do not add up to whole noise.",
        &mut |r| {
            let mut other = roster.document().clone();
            if let Mechanism::LaplaceShares { shape_denominator, .. } = &mut other.parameters.mechanism {
                *shape_denominator *= 2;
            }
            of(r).drawn.roster = Signed::new(other, &secret(1)).unwrap().envelope().clone();
        },
    );
    let r = whole.document();
    let without = changed(r, &[1], |v| drop(v.as_object_mut().unwrap().remove("round")));
    add("bad_release_without_round", "release", Some("format"), "The round is left out.", without);
    let local = changed(r, &[1], |v| v["mode"] = json!("local"));
    add("bad_release_mode", "release", Some("format"), "A round that says it is local.", local);
    let mut stranger = whole.clone();
    stranger.cosign(&secret(9));
    add(
        "bad_release_stranger_countersigned",
        "release",
        Some("contributions"),
        "Signed by someone who was no aggregator.",
        text(&stranger),
    );
    all
}
