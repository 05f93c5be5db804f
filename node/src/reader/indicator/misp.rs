//! MISP: one event, the answer to a search, or a feed of many (MISP core format, draft-dulaunoy-misp-core-format).
//!
//! Every attribute is a row. Only what its author marked for detection (`to_ids`) is taken: the rest is context, such as
//! links to reports, and would be a false alarm.

use std::{fs, path::Path};

use hedgerow_protocol::{
    indicator::{Pattern, StixObject, Tlp},
    time::Timestamp,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{FILE_BYTES, ReadError, Row, csv::typed};

/// Events of one feed that are read.
const EVENTS: usize = 10_000;

/// Whether JSON is MISP's.
pub(super) fn knows(value: &Value) -> bool {
    value.get("Event").is_some() || value.get("response").is_some()
}

/// Every attribute of every event in `value`.
pub(super) fn read(value: &Value, at: Timestamp) -> Result<Vec<Row>, ReadError> {
    let mut rows = Vec::new();
    let list = match value.get("response") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one) => vec![one],
        None => vec![value],
    };
    for one in list {
        let event = one.get("Event").ok_or(ReadError::Misp("an event is missing"))?;
        read_event(event, at, &mut rows);
    }
    Ok(rows)
}

/// A feed's folder: its manifest names the events.
pub(super) fn read_feed(folder: &Path, at: Timestamp) -> Result<Vec<Row>, ReadError> {
    let json = |name: &str| -> Result<Value, ReadError> {
        let path = folder.join(name);
        let small = fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= FILE_BYTES);
        let bytes = small.then(|| fs::read(&path).ok()).flatten();
        let bytes = bytes.ok_or(ReadError::Misp("the manifest or an event that it names cannot be read"))?;
        serde_json::from_slice(&bytes).map_err(|_| ReadError::Misp("a file of the feed is not JSON"))
    };
    let manifest = json("manifest.json")?;
    let names = manifest.as_object().ok_or(ReadError::Misp("the manifest is not an object"))?;
    if names.len() > EVENTS {
        return Err(ReadError::Misp("the feed has more than 10,000 events"));
    }
    let mut rows = Vec::new();
    for name in names.keys() {
        // The name becomes a path: nothing but a UUID is one.
        let uuid =
            Uuid::try_parse(name).map_err(|_| ReadError::Misp("the manifest names what is no event"))?;
        let event = json(&format!("{uuid}.json"))?;
        rows.extend(read(&event, at)?);
    }
    for (line, row) in (1..).zip(&mut rows) {
        row.line = line;
    }
    Ok(rows)
}

fn read_event(event: &Value, at: Timestamp, rows: &mut Vec<Row>) {
    let info = event.get("info").and_then(Value::as_str).map(str::trim).filter(|i| !i.is_empty());
    let info: Option<String> = info.map(|i| i.chars().take(256).collect());
    let label = tlp(event);
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let within = list(event, "Object").into_iter().flat_map(|o| list(&o, "Attribute"));
    for attribute in list(event, "Attribute").into_iter().chain(within) {
        let line = rows.len() as u64 + 1;
        let result = read_attribute(&attribute, info.as_deref(), label, at);
        rows.push(Row::new(line, false, result));
    }
}

fn read_attribute(
    attribute: &Value,
    info: Option<&str>,
    event_label: Option<Tlp>,
    at: Timestamp,
) -> Result<StixObject, String> {
    let text =
        |key: &str| attribute.get(key).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty());
    let flag = |key: &str| attribute.get(key).is_some_and(|v| v == &Value::Bool(true) || v == "1" || v == 1);
    if flag("deleted") {
        return Err("the attribute was deleted".into());
    }
    let kind = text("type").ok_or("the attribute has no type")?;
    let value = text("value").ok_or("the attribute has no value")?;
    let pattern = (kind == "stix2-pattern").then(|| Pattern::parse(value)).transpose();
    let found = match pattern.map_err(|e| e.to_string())? {
        Some(Pattern::One(observable)) => Ok(observable),
        Some(_) => Err(value),
        None => Ok(typed(kind, value)?),
    };
    if !flag("to_ids") {
        return Err("the attribute is context, not marked for detection (to_ids)".into());
    }
    let seconds = match attribute.get("timestamp") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_i64(),
        None => None,
    };
    // A time from the future would make this the last word on it for ever.
    let time = seconds.and_then(|s| Timestamp::from_unix_seconds(s).ok()).filter(|t| *t <= at).unwrap_or(at);
    let object = match found {
        Ok(observable) => StixObject::indicator(&observable, info, text("comment"), time),
        Err(pattern) => of_pattern(pattern, text("uuid"), text("comment").or(info), time)?,
    };
    Ok(match tlp(attribute).max(event_label) {
        Some(label) => object.marked(label),
        None => object,
    })
}

/// An indicator whose pattern is more than one value. Its id is that of the attribute, so that it is known again.
fn of_pattern(
    pattern: &str,
    uuid: Option<&str>,
    name: Option<&str>,
    at: Timestamp,
) -> Result<StixObject, String> {
    let uuid = uuid.and_then(|uuid| Uuid::try_parse(uuid).ok()).ok_or("the attribute has no UUID")?;
    let object = json!({
        "type": "indicator", "id": format!("indicator--{uuid}"), "created": at, "modified": at, "valid_from": at,
        "indicator_types": ["malicious-activity"], "pattern_type": "stix", "pattern": pattern,
        "name": name.unwrap_or("a pattern"),
    });
    StixObject::parse(object).map_err(|e| e.to_string())
}

/// The strictest TLP tag.
fn tlp(tagged: &Value) -> Option<Tlp> {
    let tags = tagged.get("Tag").and_then(Value::as_array)?;
    let label = |tag: &Value| {
        let name = tag.get("name")?.as_str()?.to_lowercase();
        match name.strip_prefix("tlp:")? {
            "white" => Some(Tlp::Clear),
            other => other.parse().ok(),
        }
    };
    tags.iter().filter_map(label).max()
}
