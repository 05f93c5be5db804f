//! A feed written over the one that lies there.
//!
//! Whoever fetched that comes back for an event only if its time is later, takes an attribute only if its time is, and
//! drops one only if it is there as deleted. All three are seen to here, whatever made the difference: a new version, a
//! label, or the allow-list.

use std::collections::{BTreeMap, HashMap};

use hedgerow_protocol::time::Timestamp;
use serde_json::{Map, Value, json};

use super::{super::Exported, MANIFEST};

/// Makes the feed in `done` the next state of the one of which `before` has the files by name. Events of others in the
/// same folder stay in the manifest.
pub fn follow(done: &mut Exported, before: impl Fn(&str) -> Option<String>, now: Timestamp) {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    let Some(Value::Object(mut manifest)) = done.files.get(MANIFEST).map(String::as_str).and_then(parsed)
    else {
        return;
    };
    let listed = before(MANIFEST).as_deref().and_then(parsed);
    let listed: Map<String, Value> = listed.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    for (uuid, head) in listed {
        let name = format!("{uuid}.json");
        // The name is one of a file: nothing but an event of our own is looked for under it.
        if head.pointer("/Orgc/uuid").and_then(Value::as_str) != Some(&done.organisation) {
            manifest.entry(uuid).or_insert(head);
            continue;
        }
        if uuid::Uuid::try_parse(&uuid).is_err() {
            continue;
        }
        let Some(old) = before(&name).as_deref().and_then(parsed) else { continue };
        let new = match done.files.get(&name).map(String::as_str).and_then(parsed) {
            Some(new) => new,
            // Nothing of it is left.
            None => {
                let mut none = old.clone();
                event(&mut none, [("Attribute", json!([]))]);
                none
            }
        };
        let (next, at) = after(&old, new, now);
        let mut head = manifest.remove(&uuid).unwrap_or(head);
        set(&mut head, [("timestamp", json!(at.to_string()))]);
        manifest.insert(uuid, head);
        done.files.insert(name, next.to_string());
    }
    done.files.insert(MANIFEST.to_owned(), Value::Object(manifest).to_string());
}

/// The next state of one event, and its time.
fn after(old: &Value, mut new: Value, now: Timestamp) -> (Value, i64) {
    let was = time(old.pointer("/Event"));
    let is = time(new.pointer("/Event"));
    let later = if is > was { is } else { now.unix_seconds().max(was.saturating_add(1)) };
    let mut before: HashMap<String, Value> = attributes(old)
        .into_iter()
        .filter_map(|one| Some((one.get("uuid")?.as_str()?.to_owned(), one)))
        .collect();
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for mut one in attributes(&new) {
        let Some(uuid) = one.get("uuid").and_then(Value::as_str).map(str::to_owned) else { continue };
        if let Some(held) = before.remove(&uuid) {
            let mut undated = one.clone();
            set(&mut undated, [("timestamp", held.get("timestamp").cloned().unwrap_or_default())]);
            if undated == held {
                one = held;
            } else if time(Some(&one)) <= time(Some(&held)) {
                set(&mut one, [("timestamp", json!(later.to_string()))]);
            }
        }
        all.insert(uuid, one);
    }
    for (uuid, mut gone) in before {
        if gone.get("deleted") != Some(&Value::Bool(true)) {
            let at = json!(later.to_string());
            set(&mut gone, [("deleted", json!(true)), ("to_ids", json!(false)), ("timestamp", at)]);
        }
        all.insert(uuid, gone);
    }
    let all: Vec<Value> = all.into_values().collect();
    let mut at = |time: i64| {
        let time = json!(time.to_string());
        event(&mut new, [("timestamp", time.clone()), ("publish_timestamp", time)]);
        event(&mut new, [("Attribute", json!(all))]);
        new.clone()
    };
    // As it was, if nothing but its time would be another.
    let same = at(was);
    if same == *old { (same, was) } else { (at(later), later) }
}

fn attributes(event: &Value) -> Vec<Value> {
    event.pointer("/Event/Attribute").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn time(dated: Option<&Value>) -> i64 {
    dated.and_then(|d| d.get("timestamp")?.as_str()?.parse().ok()).unwrap_or_default()
}

fn event<const N: usize>(file: &mut Value, pairs: [(&str, Value); N]) {
    if let Some(event) = file.get_mut("Event") {
        set(event, pairs);
    }
}

fn set<const N: usize>(object: &mut Value, pairs: [(&str, Value); N]) {
    if let Some(map) = object.as_object_mut() {
        map.extend(pairs.map(|(key, value)| (key.to_owned(), value)));
    }
}
