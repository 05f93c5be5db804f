use super::*;
use crate::{indicator::people::Terms, time::Timestamp};

fn draft(value: &str, description: Option<&str>) -> StixObject {
    let at = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
    StixObject::indicator(&Observable::guess(value).unwrap(), None, description, at)
}

fn verdict(value: &str, description: Option<&str>, tlp: Tlp) -> &'static str {
    let (linted, found) = lint(vec![draft(value, description)], tlp, false);
    match (found.refused.len(), found.warnings.len(), linted.into_objects().len()) {
        (1, 0, 0) => "refused",
        (0, 1, 0) => "warned",
        (0, 0, 1) => "passed",
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_would_harm_people_is_refused_and_a_true_host_beneath_passes() {
    for value in [
        "google.com",
        "www.facebook.com",
        "https://google.com/",
        "10.1.2.3",
        "127.0.0.1",
        "192.0.2.1",
        "100.64.0.1",
        "fe80::1",
        "2001:db8::1",
        "printer.local",
        "http://192.168.1.1/a",
        // Of IPv6 with one of IPv4 within.
        "::ffff:10.0.0.1",
        "::ffff:0:10.0.0.1",
        "::10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::c0a8:101",
        "2002:c0a8:101::1",
        "http://[::ffff:192.168.1.1]/a",
        "64:ff9b:1::808:808",
        "::",
        "::1",
        "fc00::1",
        "fec0::1",
        "feff::1",
        "100::1",
        "ff02::1",
        "3fff:fff::1",
    ] {
        assert_eq!(verdict(value, None, Tlp::Green), "refused", "{value}");
    }
    for value in [
        "evil.duckdns.org",
        "https://google.com/amp/s/evil.example",
        "198.18.0.1",
        "evil.example",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "2a00::1",
        "100:0:0:1::1",
        "4000::1",
    ] {
        assert_eq!(verdict(value, None, Tlp::Green), "passed", "{value}");
    }
}

#[test]
fn what_may_be_a_person_is_asked_about() {
    assert_eq!(verdict("someone@mail.example", None, Tlp::Green), "warned");
    assert_eq!(verdict("duckdns.org", None, Tlp::Green), "warned");
    assert_eq!(verdict("evil.example", Some("sent to jane@mail.example"), Tlp::Green), "warned");
    assert_eq!(verdict("evil.example", Some("call +1 416 555 0100"), Tlp::Green), "warned");
    assert_eq!(verdict("evil.example", Some("seen 2021-07-18 in a message"), Tlp::Green), "passed");
    let (linted, _) = lint(vec![draft("someone@mail.example", None)], Tlp::Green, true);
    assert_eq!(linted.into_objects().len(), 1);
}

#[test]
fn what_names_somebody_in_the_vault_is_refused_whoever_confirms_it() {
    let mut people = Terms::default();
    people.add(&Terms::keys("jane@mail.example"));
    people.add(&Terms::keys("Jane Roe"));
    let mut lists = WarningLists::default();
    lists
        .add(br#"{"name":"Top","type":"hostname","matching_attributes":[],"list":["top.example"]}"#)
        .unwrap();
    let checks = Checks { lists: &lists, people: &people, sealed: false };
    for (value, description, refused, warned) in [
        ("jane@mail.example", None, 1, 0),
        ("evil.example", Some("sent to Jane Roe"), 1, 0),
        ("https://evil.example/?to=jane@mail.example", None, 1, 0),
        ("top.example", None, 0, 1),
        ("evil.top.example", None, 0, 0),
    ] {
        let object = draft(value, description);
        let (_, found) = lint_against(vec![object.clone()], Tlp::Green, true, &checks);
        assert_eq!((found.refused.len(), found.warnings.len()), (refused, warned), "{value}");
        assert_eq!(objection(&object, &checks).is_some(), refused + warned > 0, "{value}");
        // Revoked, it says the same.
        let revoked = object.revoked_at(Timestamp::from_unix_seconds(1_700_000_009).unwrap());
        assert_eq!(objection(&revoked, &checks).is_some(), refused + warned > 0, "{value}");
    }
    // In a pattern that is not one of values, and in whatever a program put beside what STIX has.
    for (key, value) in [
        ("pattern", serde_json::json!("[email-addr:value LIKE '%jane@mail.example%']")),
        ("pattern", serde_json::json!("[file:name = 'a'] FOLLOWEDBY [x-case:who MATCHES 'Jane Roe']")),
        ("x_case", serde_json::json!({ "notes": [{ "by": "us", "text": "for Jane Roe" }] })),
    ] {
        let mut object = draft("evil.example", None).to_value();
        object[key] = value;
        let object = StixObject::parse(object).unwrap();
        assert!(objection(&object, &checks).is_some(), "{key}");
    }
    // The words of the format are nobody's name.
    people.add(&Terms::keys("malicious-activity"));
    people.add(&Terms::keys("indicator"));
    let checks = Checks { lists: &lists, people: &people, sealed: false };
    assert_eq!(objection(&draft("evil.example", None), &checks), None);
    // A partner was asked about the address and confirmed it.
    assert_eq!(objection(&draft("someone@mail.example", None), &checks), None);
    assert!(objection(&draft("10.0.0.1", None), &checks).is_some());
}

#[test]
fn a_word_that_may_be_somebodys_name_is_asked_about_before_it_leaves() {
    let mut people = Terms::default();
    people.add(&Terms::keys_of_contact("Maria"));
    let checks = Checks { people: &people, ..Checks::default() };
    let object = draft("evil.example", Some("sent to Maria"));
    for (confirmed, passed) in [(false, 0), (true, 1)] {
        let (linted, found) = lint_against(vec![object.clone()], Tlp::Green, confirmed, &checks);
        assert_eq!((linted.into_objects().len(), found.refused.len(), found.warnings.len()), (passed, 0, 1));
    }
    // What others publish is not held for it.
    assert_eq!(objection(&object, &checks), None);
}

#[test]
fn what_a_pattern_looks_for_is_known_in_its_normal_spelling_too() {
    let mut people = Terms::default();
    people.add(&Terms::keys("jane@mail.example"));
    let checks = Checks { people: &people, ..Checks::default() };
    let mut object = draft("evil.example", None).to_value();
    for pattern in
        ["[email-addr:value = 'jane[at]mail[.example']", "[email-addr:value = 'jane@mail.example']"]
    {
        object["pattern"] = serde_json::json!(pattern);
        assert!(objection(&StixObject::parse(object.clone()).unwrap(), &checks).is_some(), "{pattern}");
    }
}

#[test]
fn labels_are_made_stricter_never_freer() {
    assert_eq!(verdict("evil.example", None, Tlp::Red), "refused");
    let amber = vec![draft("evil.example", None).marked(Tlp::Amber)];
    assert_eq!(lint(amber.clone(), Tlp::Green, true).1.refused.len(), 1);
    assert_eq!(lint(amber, Tlp::Amber, true).1.refused.len(), 0);
}

#[test]
fn a_revocation_is_never_stopped_for_what_it_takes_back() {
    let at = Timestamp::from_unix_seconds(1_700_000_009).unwrap();
    let (linted, found) = lint(vec![draft("google.com", None).revoked_at(at)], Tlp::Green, false);
    assert_eq!((linted.into_objects().len(), found), (1, Lint::default()));
}
