//! What an object says, and to what it refers.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{StixObject, Tlp};

impl StixObject {
    /// Name and description, for people.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        ["name", "description"].into_iter().filter_map(|key| self.map.get(key)?.as_str())
    }

    /// Every text in it that says something, with the key that it stands under: all but ids, times and the words of closed
    /// and open vocabularies. A number that is long enough to mean somebody is one.
    pub fn said(&self) -> Vec<(&str, Cow<'_, str>)> {
        const STRUCTURE: [&str; 24] = [
            "type",
            "spec_version",
            "id",
            "created",
            "modified",
            "created_by_ref",
            "object_marking_refs",
            "granular_markings",
            "lang",
            "valid_from",
            "valid_until",
            "first_seen",
            "last_seen",
            "pattern_type",
            "indicator_types",
            "malware_types",
            "threat_actor_types",
            "infrastructure_types",
            "report_types",
            "tool_types",
            "kill_chain_phases",
            "relationship_type",
            "identity_class",
            "object_refs",
        ];
        let mut found = Vec::new();
        let said = self.map.iter().filter(|(key, _)| !STRUCTURE.contains(&key.as_str()));
        said.for_each(|(key, value)| texts(key, value, &mut found));
        found
    }

    /// Every id that it or a part of it refers to, but for those of TLP labels.
    pub fn refers_to(&self) -> impl Iterator<Item = &str> {
        let mut found = Vec::new();
        referred(&self.map, &mut found);
        found.into_iter().filter(|id| Tlp::of_marking(id).is_none())
    }

    /// The ids in a list property, such as `object_refs`.
    pub fn references(&self, key: &str) -> impl Iterator<Item = &str> {
        self.map.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// The texts under every key that names ids, at any depth.
fn referred<'v>(map: &'v Map<String, Value>, found: &mut Vec<&'v str>) {
    for (key, value) in map {
        match value {
            _ if key.ends_with("_ref") || key.ends_with("_refs") => strings(value, found),
            Value::Object(map) => referred(map, found),
            Value::Array(list) => {
                list.iter().filter_map(Value::as_object).for_each(|map| referred(map, found))
            }
            _ => {}
        }
    }
}

/// Every text in a value, at any depth, with its key.
fn texts<'v>(key: &'v str, value: &'v Value, found: &mut Vec<(&'v str, Cow<'v, str>)>) {
    /// The least of seven digits.
    const LONG: u64 = 1_000_000;
    match value {
        Value::String(text) => found.push((key, Cow::Borrowed(text))),
        Value::Number(number) if number.as_u64().is_some_and(|number| number >= LONG) => {
            found.push((key, Cow::Owned(number.to_string())));
        }
        Value::Array(list) => list.iter().for_each(|value| texts(key, value, found)),
        Value::Object(map) => map.iter().for_each(|(key, value)| texts(key, value, found)),
        _ => {}
    }
}

/// Every string in a value, at any depth.
fn strings<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(list) => list.iter().for_each(|value| strings(value, found)),
        Value::Object(map) => map.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}
