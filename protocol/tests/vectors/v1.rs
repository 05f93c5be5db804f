//! Version 1: mode `local`, and indicators.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hedgerow_protocol::{
    document::{
        Charter, Member, Signed,
        charter::{Ground as CharterGround, PrivacyPolicy, Purpose, ReleasePeriod},
    },
    facet::Facet,
    indicator::{Batch, Observable, StixObject, Tlp, lint},
    privacy::{Accountant, Accounting, Charge, Unit},
    release::Release,
    statistic::{Axis, Contribution, Exact, Ground, Measure, Period, Plan, Query, Refusal, SampleKey},
    vocabulary::Dimension,
};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use crate::tools::*;

pub(crate) fn member(n: u8) -> Member {
    Member {
        id: secret(n).node_id(),
        name: format!("Group {n}"),
        contact: String::new(),
        addresses: vec![format!("/ip4/192.0.2.{n}/udp/4817/quic-v1")],
        vouching: None,
    }
}

pub(crate) fn charter() -> Signed<Charter> {
    let mut members: Vec<Member> = (1..=5).map(member).collect();
    members.sort_by_key(|m| m.id);
    let document = Charter {
        version: 1,
        name: "Vectors".into(),
        made_at: at("2026-01-01T00:00:00Z"),
        parent: None,
        members,
        quorum: 3,
        vocabulary: 1,
        privacy: PrivacyPolicy {
            epsilon_total: "8".parse().unwrap(),
            epsilon_per_query: "2".parse().unwrap(),
            release_period: ReleasePeriod::Quarter,
            cells: 1024,
            cells_per_person: 2,
            incidents_per_cell: 2,
            nodes_per_person: 2,
            contributions: 3,
            accounting: Accounting::Pure,
            unit: Unit::Person,
            epsilon_per_asker: None,
            round: None,
        },
        purposes: vec![Purpose {
            code: "research".into(),
            label: "Research".into(),
            epsilon: "4".parse().unwrap(),
        }],
        refusal_grounds: vec![CharterGround { code: "rights-violation".into(), label: "Rights".into() }],
        aggregators: 2,
        tlp: Tlp::Amber,
        pseudonyms: None,
    };
    let mut signed = Signed::new(document, &secret(1)).unwrap();
    signed.cosign(&secret(2));
    signed.cosign(&secret(3));
    signed
}

pub(crate) fn query() -> Query {
    Query {
        version: 1,
        mode: hedgerow_protocol::statistic::Mode::Local,
        charter: charter().id(),
        measure: Measure::People,
        indicators: vec![],
        conditions: vec![],
        period: Some(Period { from: "2025-Q1".parse().unwrap(), to: "2025-Q4".parse().unwrap() }),
        group_by: vec![Axis::Coded(Dimension::Confidence), Axis::Quarter],
        cells_per_person: None,
        purpose: "research".into(),
        need: "A test vector".into(),
        epsilon: "1".parse().unwrap(),
        asked_at: at("2026-02-01T12:00:00Z"),
        expires_at: at("2026-02-01T12:10:00Z"),
    }
}

fn signed_query() -> Signed<Query> {
    Signed::new(query(), &secret(1)).unwrap()
}

fn contribution(n: u8) -> Signed<Contribution> {
    let plan = Plan::new(&query(), &charter()).unwrap();
    let charge = Charge {
        plan: plan.id(),
        round: None,
        purpose: "research".into(),
        epsilon: plan.epsilon(),
        asker: secret(1).node_id(),
        years: plan.years(),
        at: at("2026-02-01T12:00:01Z"),
    };
    let mut accountant = Accountant::replay(charter().document().caps(), [], |_| true);
    let permit = accountant.authorise(&charge, |_| Ok::<_, ()>(())).unwrap();
    let facets: Vec<Facet> = (0..u64::from(n) * 3).map(facet).collect();
    let exact = Exact::count(&plan, &facets.iter().collect(), &SampleKey::new([n; 32])).unwrap();
    let noised = exact.noise(permit, &mut StdRng::seed_from_u64(u64::from(n))).unwrap();
    // The vector's values are fixed here: a library that draws other noise from the same seed must not change
    // them, so they are replaced by values that any program can make.
    let mut made = noised.into_contribution(at("2026-02-01T12:00:01Z"));
    made.values = (0..made.values.len()).map(|cell| i64::from(n) * 10 - cell as i64 * 3).collect();
    Signed::new(made, &secret(n)).unwrap()
}

fn refusal(ground: Ground) -> Signed<Refusal> {
    let refusal =
        Refusal { version: 1, query: signed_query().id(), ground, made_at: at("2026-02-01T12:00:01Z") };
    Signed::new(refusal, &secret(4)).unwrap()
}

fn release() -> Release {
    let contributions = (1..=3).map(contribution).collect();
    let refusals = vec![refusal(Ground::Charter("rights-violation".into()))];
    Release::assemble(&charter(), &signed_query(), contributions, refusals, at("2026-02-01T12:00:05Z"))
        .unwrap()
}

fn batch() -> Batch {
    let now = at("2026-02-01T12:00:00Z");
    let drafts = ["evil.example.org", "192.0.78.1", "https://phish.example.net/login"]
        .iter()
        .map(|v| StixObject::indicator(&Observable::guess(v).unwrap(), Some("Made up"), None, now))
        .collect();
    let (linted, found) = lint(drafts, Tlp::Green, false);
    assert!(found.refused.is_empty() && found.warnings.is_empty(), "{found:?}");
    let objects = linted.into_objects();
    Batch { version: 1, charter: charter().id(), published_at: now, tlp: Tlp::Green, objects }
}

fn bad_release(change: impl FnOnce(&mut Release)) -> String {
    let mut release = release();
    change(&mut release);
    text(&Signed::new(release, &secret(1)).unwrap())
}

pub(crate) fn vectors() -> BTreeMap<&'static str, Value> {
    let mut all = BTreeMap::new();
    let mut add = |name: &'static str, kind: &str, fails_at: Option<&str>, what: &str, text: String| {
        all.insert(name, json!({ "what": what, "kind": kind, "fails_at": fails_at, "text": text }));
    };
    let member = Signed::new(member(1), &secret(1)).unwrap();
    let query_signed = signed_query();
    let charter = charter();
    let batch_signed = Signed::new(batch(), &secret(2)).unwrap();
    let release_signed = Signed::new(release(), &secret(1)).unwrap();

    add("member", "member", None, "A member card signed by its own key.", text(&member));
    add("charter", "charter", None, "A charter of five, signed by three.", text(&charter));
    add("query", "query", None, "People by confidence and quarter.", text(&query_signed));
    add("contribution", "contribution", None, "One member's noised vector.", text(&contribution(1)));
    add(
        "refusal",
        "refusal",
        None,
        "A refusal on a ground of the charter.",
        text(&refusal(Ground::Charter("rights-violation".into()))),
    );
    add(
        "refusal_over_budget",
        "refusal",
        None,
        "A refusal on a ground of the protocol.",
        text(&refusal(Ground::OverBudget)),
    );
    add("batch", "batch", None, "Three indicators under TLP:GREEN.", text(&batch_signed));
    add("release", "release", None, "Three contributed, one refused, one was silent.", text(&release_signed));

    add(
        "bad_member_payload_altered",
        "member",
        Some("signature"),
        "One letter of the payload is another.",
        tampered(&member, |v| {
            let payload = STANDARD.decode(v["payload"].as_str().unwrap()).unwrap();
            let other = String::from_utf8(payload).unwrap().replace("Group 1", "Group 2");
            v["payload"] = json!(STANDARD.encode(other));
        }),
    );
    add(
        "bad_member_kind_swapped",
        "member",
        Some("kind"),
        "The payload type is that of a charter.",
        tampered(&member, |v| v["payloadType"] = json!("application/vnd.hedgerow.charter+json")),
    );
    add(
        "bad_member_unsigned",
        "member",
        Some("count"),
        "No signature.",
        tampered(&member, |v| v["signatures"] = json!([])),
    );
    add(
        "bad_member_signed_twice",
        "member",
        Some("repeated"),
        "The same signature twice.",
        tampered(&member, |v| {
            let one = v["signatures"][0].clone();
            v["signatures"].as_array_mut().unwrap().push(one);
        }),
    );
    add(
        "bad_member_other_signer",
        "member",
        Some("signature"),
        "The key id is another member's.",
        tampered(&member, |v| v["signatures"][0]["keyid"] = json!(secret(2).node_id())),
    );
    add(
        "bad_member_envelope_field",
        "member",
        Some("envelope"),
        "The envelope has an unknown field.",
        tampered(&member, |v| v["more"] = json!(1)),
    );
    add(
        "bad_member_capital_key_id",
        "member",
        Some("envelope"),
        "A key id in capital digits.",
        tampered(&member, |v| {
            let id = v["signatures"][0]["keyid"].as_str().unwrap().to_uppercase();
            v["signatures"][0]["keyid"] = json!(id);
        }),
    );
    add(
        "bad_member_small_order_key",
        "member",
        Some("envelope"),
        "The key id is a point of small order.",
        tampered(&member, |v| v["signatures"][0]["keyid"] = json!(format!("01{}", "00".repeat(31)))),
    );
    add(
        "bad_member_unpadded_base64",
        "member",
        Some("envelope"),
        "The signature's base64 has no padding.",
        tampered(&member, |v| {
            let sig = v["signatures"][0]["sig"].as_str().unwrap().trim_end_matches('=').to_owned();
            v["signatures"][0]["sig"] = json!(sig);
        }),
    );
    add(
        "bad_member_trailing_bytes",
        "member",
        Some("envelope"),
        "Something stands after the envelope.",
        text(&member) + "{}",
    );
    add(
        "bad_member_torn",
        "member",
        Some("envelope"),
        "The second half is missing.",
        text(&member).chars().take(200).collect(),
    );
    add(
        "bad_member_unknown_field",
        "member",
        Some("payload"),
        "The payload has an unknown field.",
        changed(member.document(), &[1], |v| v["more"] = json!(1)),
    );
    add(
        "bad_member_repeated_field",
        "member",
        Some("payload"),
        "The payload has a field twice.",
        signed_anyhow(
            "member",
            serde_json::to_string(member.document()).unwrap().replacen('{', "{\"name\":\"x\",", 1).as_bytes(),
            &[1],
        )
        .to_string(),
    );
    add(
        "bad_member_control_character",
        "member",
        Some("flaw"),
        "A name with a terminal escape.",
        changed(member.document(), &[1], |v| v["name"] = json!("\u{1b}[2J")),
    );

    let c = charter.document();
    add(
        "bad_charter_member_twice",
        "charter",
        Some("flaw"),
        "A member stands twice.",
        changed(c, &[1, 2, 3], |v| {
            let m = v["members"][0].clone();
            v["members"][1] = m;
        }),
    );
    add(
        "bad_charter_members_out_of_order",
        "charter",
        Some("flaw"),
        "Members are not by rising id.",
        changed(c, &[1, 2, 3], |v| v["members"].as_array_mut().unwrap().reverse()),
    );
    add(
        "bad_charter_quorum_too_large",
        "charter",
        Some("flaw"),
        "A quorum of six where five are members.",
        changed(c, &[1, 2, 3], |v| v["quorum"] = json!(6)),
    );
    add(
        "bad_charter_epsilon_zero",
        "charter",
        Some("flaw"),
        "A total epsilon of nothing.",
        changed(c, &[1, 2, 3], |v| v["privacy"]["epsilon_total_micros"] = json!(0)),
    );
    add(
        "bad_charter_epsilon_fraction",
        "charter",
        Some("payload"),
        "An epsilon with a fraction.",
        changed(c, &[1, 2, 3], |v| v["privacy"]["epsilon_total_micros"] = json!(0.5)),
    );
    add(
        "bad_charter_tlp_red",
        "charter",
        Some("flaw"),
        "RED to all members.",
        changed(c, &[1, 2, 3], |v| v["tlp"] = json!("red")),
    );

    add(
        "bad_query_float_epsilon",
        "query",
        Some("payload"),
        "An epsilon with a fraction.",
        changed(&query(), &[1], |v| v["epsilon_micros"] = json!(1.5)),
    );
    add(
        "bad_query_condition_without_codes",
        "query",
        Some("flaw"),
        "A condition that nothing meets.",
        changed(&query(), &[1], |v| v["conditions"] = json!([{"dimension": "role", "any_of": []}])),
    );
    add(
        "bad_query_unknown_dimension",
        "query",
        Some("payload"),
        "A dimension that is none.",
        changed(&query(), &[1], |v| v["conditions"] = json!([{"dimension": "name", "any_of": ["x"]}])),
    );
    add(
        "bad_query_time_in_another_zone",
        "query",
        Some("payload"),
        "A time that is not in UTC.",
        changed(&query(), &[1], |v| v["asked_at"] = json!("2026-02-01T12:00:00+01:00")),
    );
    add(
        "bad_query_open_for_a_month",
        "query",
        Some("flaw"),
        "It expires too late.",
        changed(&query(), &[1], |v| v["expires_at"] = json!("2026-03-01T12:00:00Z")),
    );

    let first = contribution(1);
    add(
        "bad_contribution_empty",
        "contribution",
        Some("flaw"),
        "No values.",
        changed(first.document(), &[1], |v| v["values"] = json!([])),
    );
    add(
        "bad_contribution_value_too_large",
        "contribution",
        Some("flaw"),
        "A value that JSON readers round.",
        changed(first.document(), &[1], |v| v["values"][0] = json!(1i64 << 53)),
    );
    add(
        "bad_contribution_value_with_fraction",
        "contribution",
        Some("payload"),
        "A value with a fraction.",
        changed(first.document(), &[1], |v| v["values"][0] = json!(0.5)),
    );

    let b = batch();
    add(
        "bad_batch_empty",
        "batch",
        Some("flaw"),
        "No objects.",
        changed(&b, &[2], |v| v["objects"] = json!([])),
    );
    add(
        "bad_batch_id_twice",
        "batch",
        Some("flaw"),
        "An object stands twice.",
        changed(&b, &[2], |v| {
            let o = v["objects"][0].clone();
            v["objects"].as_array_mut().unwrap().push(o);
        }),
    );
    add(
        "bad_batch_red",
        "batch",
        Some("flaw"),
        "RED in a batch for all.",
        changed(&b, &[2], |v| v["tlp"] = json!("red")),
    );
    add(
        "bad_batch_label_differs",
        "batch",
        Some("flaw"),
        "An object under another label than the batch.",
        changed(&b, &[2], |v| v["tlp"] = json!("amber")),
    );
    add(
        "bad_batch_from_the_future",
        "batch",
        Some("flaw"),
        "An object modified after the batch was published.",
        changed(&b, &[2], |v| v["objects"][0]["modified"] = json!("2027-01-01T00:00:00.000Z")),
    );
    add(
        "bad_batch_sighting",
        "batch",
        Some("payload"),
        "A sighting, which does not travel.",
        changed(&b, &[2], |v| v["objects"][0]["type"] = json!("sighting")),
    );
    add(
        "bad_batch_float",
        "batch",
        Some("payload"),
        "An object with a fraction.",
        changed(&b, &[2], |v| v["objects"][0]["x_weight"] = json!(0.5)),
    );
    add(
        "bad_batch_domain_without_top_level",
        "batch",
        Some("payload"),
        "A pattern whose domain is none.",
        changed(&b, &[2], |v| v["objects"][0]["pattern"] = json!("[domain-name:value = 'nodot']")),
    );

    add(
        "bad_release_total",
        "release",
        Some("total"),
        "One value is one more than the sum.",
        bad_release(|r| r.values[0] += 1),
    );
    add(
        "bad_release_interval",
        "release",
        Some("interval"),
        "The interval is narrower than the noise.",
        bad_release(|r| r.interval.half_width -= 2),
    );
    add(
        "bad_release_guarantee",
        "release",
        Some("guarantee"),
        "A smaller epsilon than was spent.",
        bad_release(|r| r.guarantee.epsilon = "0.5".parse().unwrap()),
    );
    add(
        "bad_release_contribution_twice",
        "release",
        Some("contributions"),
        "One member's contribution twice.",
        bad_release(|r| r.contributions[1] = r.contributions[0].clone()),
    );
    add(
        "bad_release_too_few",
        "release",
        Some("contributions"),
        "Fewer contributions than the charter asks for.",
        bad_release(|r| r.contributions.truncate(2)),
    );
    add(
        "bad_release_stranger",
        "release",
        Some("contributions"),
        "A contribution of someone who is no member.",
        bad_release(|r| {
            let own = contribution(3).document().clone();
            r.contributions[2] = Signed::new(own, &secret(9)).unwrap().envelope().clone();
        }),
    );
    add(
        "bad_release_hidden_refusal",
        "release",
        Some("accounted"),
        "The refusal is left out.",
        bad_release(|r| r.refusals.clear()),
    );
    add(
        "bad_release_silent_twice",
        "release",
        Some("accounted"),
        "A member contributed and was silent.",
        bad_release(|r| r.silent = vec![secret(1).node_id()]),
    );
    add(
        "bad_release_unknown_ground",
        "release",
        Some("accounted"),
        "A ground that the charter does not have.",
        bad_release(|r| r.refusals = vec![refusal(Ground::Charter("made-up".into())).envelope().clone()]),
    );
    add(
        "bad_release_quorum",
        "release",
        Some("charter"),
        "Its charter has one signature where three must be.",
        bad_release(|r| r.charter = Signed::new(c.clone(), &secret(1)).unwrap().envelope().clone()),
    );
    add(
        "bad_release_other_question",
        "release",
        Some("plan"),
        "Another query than the one planned.",
        bad_release(|r| {
            let mut other = query();
            other.epsilon = "0.5".parse().unwrap();
            r.query = Signed::new(other, &secret(1)).unwrap().envelope().clone();
        }),
    );
    add(
        "bad_release_other_signer",
        "release",
        Some("query"),
        "Signed by another than the asker.",
        text(&Signed::new(release(), &secret(2)).unwrap()),
    );
    add(
        "bad_release_made_before_asked",
        "release",
        Some("times"),
        "Made a day before it was asked.",
        bad_release(|r| r.made_at = r.made_at.plus_seconds(-86_400)),
    );
    add(
        "bad_release_signature",
        "release",
        Some("signature"),
        "Its signature is over another release.",
        tampered(&release_signed, |v| {
            let other: Value = serde_json::from_str(&bad_release(|r| r.values[0] += 1)).unwrap();
            v["signatures"] = other["signatures"].clone();
        }),
    );
    add(
        "bad_release_torn",
        "release",
        Some("format"),
        "The second half is missing.",
        text(&release_signed).chars().take(5000).collect(),
    );
    all
}
