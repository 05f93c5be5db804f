use super::*;
use crate::indicator::observable::ObservableKind;

fn sample() -> Value {
    json!({
        "type": "indicator",
        "id": "indicator--0b0e5d2c-1c9c-4f7d-8f3e-0a7a3c8a4f10",
        "created": "2025-01-02T03:04:05.678Z",
        "modified": "2025-01-02T03:04:05.678901Z",
        "pattern": "[domain-name:value='evil.example.org']",
        "pattern_type": "stix",
        "valid_from": "2025-01-02T03:04:05Z",
        "x_custom": {"kept": [1, "two"]}
    })
}

#[test]
fn an_object_is_read_and_its_unknown_properties_are_kept() {
    let object = StixObject::parse(sample()).unwrap();
    assert_eq!(object.to_value()["x_custom"], sample()["x_custom"]);
    assert_eq!(object.pattern().unwrap().key(), "domain evil.example.org");
    let again: StixObject = serde_json::from_slice(&serde_json::to_vec(&object).unwrap()).unwrap();
    assert_eq!(again.digest(), object.digest());
}

#[test]
fn faults_are_named() {
    let with = |key: &str, value: Value| {
        let mut v = sample();
        v[key] = value;
        StixObject::parse(v).unwrap_err()
    };
    assert_eq!(with("type", json!("grouping")), StixError::Type("grouping".into()));
    assert_eq!(with("id", json!("malware--0b0e5d2c-1c9c-4f7d-8f3e-0a7a3c8a4f10")), StixError::Id);
    assert_eq!(with("id", json!("indicator--0B0E5D2C-1C9C-4F7D-8F3E-0A7A3C8A4F10")), StixError::Id);
    assert_eq!(with("modified", json!("2024-01-01T00:00:00Z")), StixError::Backwards);
    assert_eq!(with("created", json!("yesterday")), StixError::Time);
    assert_eq!(with("x_custom", json!(1.5)), StixError::Float);
    assert_eq!(with("pattern_type", json!("yara")), StixError::PatternType("yara".into()));
    assert_eq!(with("x_custom", json!("x".repeat(40_000))), StixError::TooLarge);
    assert_eq!(StixObject::parse(json!([])), Err(StixError::NotObject));
}

#[test]
fn the_same_observable_makes_the_same_id_and_a_revocation_is_a_later_version() {
    let at = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
    let domain = Observable::new(ObservableKind::Domain, "Evil.example.org").unwrap();
    let a = StixObject::indicator(&domain, Some("x"), None, at);
    let b = StixObject::indicator(&domain, None, Some("y"), at.plus_seconds(9));
    assert_eq!(a.id(), b.id());
    let owner = |n| IdSpace::of(&crate::document::charter::samples::secret(n));
    let (one, two) = (a.clone().owned_by(&owner(1)), b.clone().owned_by(&owner(2)));
    assert!(one.id() != a.id() && one.id() != two.id(), "each member has its own");
    assert_eq!(one.clone().owned_by(&owner(1)), one);
    assert_eq!(StixObject::parse(a.to_value()), Ok(a.clone()));
    let gone = a.clone().revoked_at(at);
    assert!(gone.revoked() && gone.modified() > a.modified());
    assert_eq!(StixObject::parse(gone.to_value()), Ok(gone));
}

/// Worked out with the hmac and uuid modules of Python.
#[test]
fn an_id_of_ones_own_is_what_hmac_and_uuid_say() {
    let own = IdSpace::of(&NodeSecret::from_seed(&[7; 32]));
    let campaign = StixObject::campaign("Ghost", &own, Timestamp::from_unix_seconds(0).unwrap());
    assert_eq!(campaign.id(), "campaign--e44dec68-6ef2-5dca-844f-e6fc6b937906");
    assert_eq!(format!("{own:?}"), "IdSpace(..)");
}

#[test]
fn an_object_of_stix_2_0_is_lifted() {
    let mut old = sample();
    old["labels"] = json!(["malicious-activity"]);
    old.as_object_mut().unwrap().remove("pattern_type");
    let object = StixObject::parse(old).unwrap().to_value();
    assert_eq!(object["indicator_types"], json!(["malicious-activity"]));
    assert_eq!((&object["spec_version"], &object["pattern_type"]), (&json!("2.1"), &json!("stix")));
}

#[test]
fn a_label_replaces_the_one_before() {
    let object = StixObject::parse(sample()).unwrap().marked(Tlp::Amber).marked(Tlp::Green);
    assert_eq!(object.tlp(), Some(Tlp::Green));
    assert_eq!(object.to_value()["object_marking_refs"].as_array().unwrap().len(), 1);
}

#[test]
fn what_an_object_refers_to_is_found_in_its_parts_and_labels_are_not_among_it() {
    let object = StixObject::parse(json!({
        "type": "report", "spec_version": "2.1", "id": format!("report--{}", Uuid::from_u128(1)), "name": "R",
        "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z",
        "created_by_ref": "identity--a", "object_refs": ["indicator--b"],
        "object_marking_refs": [Tlp::Green.marking_id(), "marking-definition--c"],
        "granular_markings": [{"marking_ref": "marking-definition--d", "selectors": ["name"]}],
        "x_more": {"deep": [{"some_ref": "malware--e"}]},
    }));
    let object = object.unwrap();
    let mut refers: Vec<&str> = object.refers_to().collect();
    refers.sort_unstable();
    let all = ["identity--a", "indicator--b", "malware--e", "marking-definition--c", "marking-definition--d"];
    assert_eq!(refers, all);
}
