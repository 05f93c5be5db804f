//! STIX cyber-observable objects: ids that follow from what they say (STIX 2.1 §2.9, §6).

use serde_json::{Map, Value};
use uuid::Uuid;

/// The namespace of the ids of observables, theirs alone (STIX 2.1 §2.9).
const NAMESPACE: Uuid = Uuid::from_u128(0x00ab_edb4_aa42_466c_9c01_fed2_3315_a9b7);

/// Type, and the properties that its id is made of; none where ids are random.
const TABLE: [(&str, &[&str]); 13] = [
    ("autonomous-system", &["number"]),
    ("domain-name", &["value"]),
    ("email-addr", &["value"]),
    ("file", &["extensions", "hashes", "name", "parent_directory_ref"]),
    ("ipv4-addr", &["value"]),
    ("ipv6-addr", &["value"]),
    ("mutex", &["name"]),
    ("process", &[]),
    ("software", &["cpe", "name", "swid", "vendor", "version"]),
    ("url", &["value"]),
    ("user-account", &["account_login", "account_type", "user_id"]),
    ("windows-registry-key", &["key", "values"]),
    ("x509-certificate", &["hashes", "serial_number"]),
];

/// Of several hashes one counts, the first of these that is there (STIX 2.1 §2.9).
const HASHES: [&str; 4] = ["MD5", "SHA-1", "SHA-256", "SHA-512"];

/// Whether objects of this type are observables: they have no time of their own.
pub fn is_observable(kind: &str) -> bool {
    TABLE.iter().any(|row| row.0 == kind)
}

/// The id that an observable of `kind` with these properties has: UUIDv5 over the canonical JSON (RFC 8785) of those
/// that its id is made of. None if it has none of them.
pub fn id(kind: &str, map: &Map<String, Value>) -> Option<String> {
    let contributing = TABLE.iter().find(|row| row.0 == kind)?.1;
    let mut of: Map<String, Value> = Map::new();
    for key in contributing {
        let Some(value) = map.get(*key) else { continue };
        let value = if *key == "hashes" { one_hash(value)? } else { value.clone() };
        of.insert((*key).to_owned(), value);
    }
    if of.is_empty() {
        return None;
    }
    // Keys are ASCII and sorted, numbers are integers: this is their canonical form.
    let json = serde_json::to_vec(&of).ok()?;
    Some(format!("{kind}--{}", Uuid::new_v5(&NAMESPACE, &json)))
}

fn one_hash(value: &Value) -> Option<Value> {
    let all = value.as_object()?;
    let name = HASHES.into_iter().find(|name| all.contains_key(*name));
    let name = name.or_else(|| all.keys().next().map(String::as_str))?;
    let mut one = Map::new();
    one.insert(name.to_owned(), all.get(name)?.clone());
    Some(Value::Object(one))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id_of(kind: &str, value: Value) -> Option<String> {
        id(kind, value.as_object().unwrap())
    }

    #[test]
    fn ids_are_those_that_other_programs_make() {
        // As the Python library stix2 3.0.2 makes them.
        for (kind, value, expected) in [
            (
                "domain-name",
                json!({"value": "example.org"}),
                "domain-name--3500c14b-9bde-5393-b4e5-b260aea7e058",
            ),
            (
                "ipv4-addr",
                json!({"value": "198.51.100.3"}),
                "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4",
            ),
        ] {
            assert_eq!(id_of(kind, value).as_deref(), Some(expected));
        }
    }

    #[test]
    fn only_what_the_id_is_made_of_changes_it_and_of_hashes_the_first_counts() {
        let plain = id_of("domain-name", json!({"value": "example.org", "x_note": "more"}));
        assert_eq!(plain, id_of("domain-name", json!({"value": "example.org"})));
        let both = id_of("file", json!({"hashes": {"SHA-256": "b", "MD5": "a"}}));
        assert_eq!(both, id_of("file", json!({"hashes": {"MD5": "a"}})));
        assert_ne!(both, id_of("file", json!({"hashes": {"MD5": "a"}, "name": "n"})));
        assert_eq!(id_of("process", json!({"pid": 7})), None);
        assert_eq!(id_of("domain-name", json!({})), None);
    }
}
