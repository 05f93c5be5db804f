//! STIX 2.1 bundles, one object a line: as signed, strict, and for the Mobile Verification Toolkit.

use std::collections::{BTreeMap, BTreeSet};

use hedgerow_protocol::{
    id::Digest,
    indicator::{Instant, Observable, ObservableKind as K, Pattern, StixObject, Tlp},
    time::Timestamp,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Exported, live, uuid};
use crate::store::Entry;

/// Everything, as it was signed.
pub(super) fn signed(entries: &[&Entry], out: &mut Exported) {
    out.written = entries.len();
    out.text = bundle(entries.iter().map(|e| &e.object));
}

/// What the OASIS validator (stix2-validator 3.2.0) passes. Objects are never changed to pass: they are signed.
pub(super) fn strict(entries: &[&Entry], out: &mut Exported) {
    let mut kept = Vec::with_capacity(entries.len());
    for object in entries.iter().map(|e| &e.object) {
        match beyond_strict(object) {
            Some(reason) => out.leave_out(reason, object.id()),
            None => kept.push(object),
        }
    }
    out.written = kept.len();
    out.text = bundle(kept.into_iter());
}

/// Why the validator would refuse an object.
fn beyond_strict(object: &StixObject) -> Option<&'static str> {
    let text = |key| object.get(key).and_then(Value::as_str).is_some_and(|t| !t.is_empty());
    let listed = |key| object.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let complete = match object.kind() {
        "indicator" => true,
        "malware" => object.get("is_family").is_some_and(Value::is_boolean),
        "relationship" => ["relationship_type", "source_ref", "target_ref"].into_iter().all(text),
        "note" => text("content") && listed("object_refs"),
        "observed-data" => text("first_observed") && text("last_observed") && listed("object_refs"),
        "marking-definition" => text("definition_type"),
        "report" => text("name") && text("published") && listed("object_refs"),
        _ => object.is_observable() || text("name"),
    };
    if !complete {
        return Some("a property that STIX 2.1 requires is missing");
    }
    let lists = ["labels", "indicator_types", "malware_types", "external_references", "kill_chain_phases"];
    if lists.into_iter().any(|key| object.get(key).is_some() && !listed(key)) {
        return Some("a list is empty");
    }
    let from = object.get("valid_from").and_then(Value::as_str).and_then(|t| t.parse::<Instant>().ok());
    if object.valid_until().zip(from).is_some_and(|(until, from)| until <= from) {
        return Some("valid_until is not after valid_from");
    }
    match object.pattern() {
        Some(Pattern::Opaque(_) | Pattern::Tree(_)) => Some("the pattern is beyond what this node can check"),
        Some(pattern) if pattern.observables().iter().any(|o| !standard(o.kind())) => {
            Some("app:id and configuration-profile:id are no properties of STIX 2.1; format mvt has them")
        }
        _ => None,
    }
}

/// A property name of STIX 2.1 has three characters or more.
const fn standard(kind: K) -> bool {
    !matches!(kind, K::AppId | K::ConfigurationProfile)
}

/// For MVT (checked with 2026.10.26), which takes all it reads for something to look for: the revoked and the expired
/// are not in it, nor is what it would stop at or read as another value. Its reader wants one comparison a pattern, in
/// the normal spelling, so these are objects made for it, not the signed ones.
pub(super) fn mvt(entries: &[&Entry], now: Timestamp, out: &mut Exported) {
    let at = Instant::of(now);
    let live: Vec<&StixObject> = entries.iter().filter(|e| live(e, at)).map(|e| &e.object).collect();
    let families: BTreeMap<&str, &StixObject> =
        live.iter().filter(|o| o.kind() == "malware").map(|o| (o.id(), *o)).collect();
    let mut family_of: BTreeMap<&str, &str> = BTreeMap::new();
    for object in live.iter().filter(|o| o.kind() == "relationship") {
        let end = |key: &str| object.get(key).and_then(Value::as_str);
        if let (Some(source), Some(target)) = (end("source_ref"), end("target_ref"))
            && families.contains_key(target)
        {
            family_of.entry(source).or_insert(target);
        }
    }
    let (mut objects, mut named, mut domains) = (Vec::new(), BTreeSet::new(), false);
    for object in &live {
        let Some(pattern) = object.pattern() else { continue };
        let (Pattern::One(_) | Pattern::Any(_)) = pattern else {
            out.leave_out("the pattern is more than one value or any of several", object.id());
            continue;
        };
        let several = pattern.observables().len() > 1;
        for o in pattern.observables() {
            if let Some(reason) = beyond_mvt(o) {
                out.leave_out(reason, object.id());
                continue;
            }
            domains |= matches!(o.kind(), K::Domain | K::Ipv4);
            let id = if several {
                derived("indicator", object.id(), &o.to_string())
            } else {
                object.id().to_owned()
            };
            if let Some(family) = family_of.get(object.id()) {
                named.insert(*family);
                objects.push(indicates(&id, family, at));
            }
            objects.push(for_mvt(&id, o, object.created()));
            out.written += 1;
        }
    }
    if !domains && let Ok(none) = Observable::new(K::Domain, "no-domain-is-in-this-file.invalid") {
        // MVT stops at the first URL it checks if it knows no domain; this name can never be anybody's.
        objects.push(for_mvt(&derived("indicator", "no domain", ""), &none, at));
    }
    let families = named.into_iter().filter_map(|id| families.get(id)).map(|o| o.to_value());
    out.text = bundle_of(families.chain(objects));
}

/// Why MVT would stop at a value, pass over it, or look for another one.
pub(super) fn beyond_mvt(o: &Observable) -> Option<&'static str> {
    let social = matches!(o.kind(), K::Persona | K::Page | K::Channel | K::Hashtag | K::Media);
    if social || matches!(o.kind(), K::Ipv6 | K::Sha512) {
        return Some("MVT does not look for values of this kind");
    }
    let value = o.value();
    if value.contains('=') {
        return Some("MVT stops at a value with = in it");
    }
    if value.contains(['\'', '\\']) || value.starts_with(['[', ']']) || value.ends_with(['[', ']']) {
        return Some("MVT would read another value: a quote mark, backslash or bracket is in it");
    }
    None
}

fn for_mvt(id: &str, o: &Observable, created: Instant) -> Value {
    let created = created.to_string();
    json!({
        "type": "indicator", "spec_version": "2.1", "id": id, "created": created, "modified": created,
        "indicator_types": ["malicious-activity"], "pattern": o.to_pattern(), "pattern_type": "stix",
        "valid_from": created,
    })
}

fn indicates(indicator: &str, family: &str, at: Instant) -> Value {
    let at = at.to_string();
    json!({
        "type": "relationship", "spec_version": "2.1", "id": derived("relationship", indicator, family),
        "created": at, "modified": at, "relationship_type": "indicates", "source_ref": indicator,
        "target_ref": family,
    })
}

/// An id that follows from what it stands for.
fn derived(kind: &str, a: &str, b: &str) -> String {
    format!("{kind}--{}", uuid("mvt", &format!("{a} {b}")))
}

/// A bundle of `objects` after the definitions of their labels.
fn bundle<'o>(objects: impl Iterator<Item = &'o StixObject> + Clone) -> String {
    let labels: BTreeSet<Tlp> = objects.clone().filter_map(StixObject::tlp).collect();
    let mut lines = Lines::default();
    labels.into_iter().for_each(|label| lines.push(&label.marking_definition()));
    objects.for_each(|object| lines.push(object));
    lines.end()
}

fn bundle_of(objects: impl Iterator<Item = Value>) -> String {
    let mut lines = Lines::default();
    objects.for_each(|object| lines.push(&object));
    lines.end()
}

/// A bundle's objects, one a line. The bundle's id follows from them, so that the same library gives the same bytes.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
}

impl Lines {
    fn push(&mut self, object: &impl Serialize) {
        if !self.text.is_empty() {
            self.text.extend_from_slice(b",\n");
        }
        // Writing JSON into memory fails for no object that was read from JSON.
        let _ = serde_json::to_writer(&mut self.text, object);
    }

    fn end(self) -> String {
        let id = uuid("bundle", &Digest::of(&self.text).to_string());
        let objects = String::from_utf8(self.text).unwrap_or_default();
        // STIX has no empty list.
        let list = if objects.is_empty() { String::new() } else { format!(",\"objects\":[\n{objects}\n]") };
        format!("{{\"type\":\"bundle\",\"id\":\"bundle--{id}\"{list}}}\n")
    }
}
