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

use super::{FILE_BYTES, MOST_LINES, ReadError, Row, csv::typed};

/// Most events of one feed, and most bytes of one in a folder.
const EVENTS: usize = 15_000;
const FEED_BYTES: u64 = 4 * FILE_BYTES;

/// Whether JSON is MISP's.
pub(super) fn knows(value: &Value) -> bool {
    value.get("Event").is_some() || value.get("response").is_some() || value.get(0).is_some_and(knows)
}

/// Every attribute of every event in `value`: one, a list of them, or the answer to a search.
pub(super) fn read(value: &Value, at: Timestamp) -> Result<Vec<Row>, ReadError> {
    let mut rows = Vec::new();
    let list = match value.get("response").unwrap_or(value) {
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    };
    for one in list {
        let event = one.get("Event").ok_or(ReadError::Misp("an event is missing"))?;
        read_attributes(event, at, &mut rows);
    }
    Ok(rows)
}

/// An event that a feed's manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its id. The name of its file is made of it: nothing but a UUID is one.
    pub(crate) uuid: Uuid,
    /// When it changed last, as the feed writes it.
    pub(crate) timestamp: String,
}

/// The file of an event of a feed: that event, and nothing else that a server may answer with.
pub(crate) fn read_event(bytes: &[u8], uuid: &Uuid, at: Timestamp) -> Result<Vec<Row>, ReadError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| ReadError::Misp("the event is not JSON"))?;
    let named = value.pointer("/Event/uuid").and_then(Value::as_str);
    if named.and_then(|named| Uuid::try_parse(named).ok()).as_ref() != Some(uuid) {
        return Err(ReadError::Misp("it is not the event that its name says"));
    }
    read(&value, at)
}

/// The events of a manifest; none if it is none.
pub(crate) fn manifest(value: &Value) -> Option<Result<Vec<Event>, ReadError>> {
    let list = value.as_object()?;
    if list.len() > EVENTS {
        return Some(Err(ReadError::Misp("the feed has more than 15,000 events")));
    }
    let event = |(uuid, head): (&String, &Value)| {
        head.get("info")?;
        let timestamp = match head.get("timestamp")? {
            Value::String(text) => text.chars().take(20).collect(),
            number => number.as_i64()?.to_string(),
        };
        Some(Event { uuid: Uuid::try_parse(uuid).ok()?, timestamp })
    };
    list.iter().map(event).collect::<Option<_>>().map(Ok)
}

/// A feed's folder: its manifest names the events.
pub(super) fn read_feed(folder: &Path, at: Timestamp) -> Result<Vec<Row>, ReadError> {
    let mut left = FEED_BYTES;
    let mut json = |name: &str| -> Result<Value, ReadError> {
        let path = folder.join(name);
        let size = fs::metadata(&path).ok().filter(|m| m.is_file() && m.len() <= FILE_BYTES).map(|m| m.len());
        let bytes = size.and_then(|_| fs::read(&path).ok());
        let bytes = bytes.ok_or(ReadError::Misp("the manifest or an event that it names cannot be read"))?;
        left = left.checked_sub(bytes.len() as u64).ok_or(ReadError::Misp("the feed has more than 1 GiB"))?;
        serde_json::from_slice(&bytes).map_err(|_| ReadError::Misp("a file of the feed is not JSON"))
    };
    let listed = json("manifest.json")?;
    let events = manifest(&listed).ok_or(ReadError::Misp("the manifest is none of a feed"))??;
    let mut rows = Vec::new();
    for Event { uuid, .. } in events {
        let event = json(&format!("{uuid}.json"))?;
        rows.extend(read(&event, at)?);
        if rows.len() > MOST_LINES {
            return Err(ReadError::TooLong);
        }
    }
    for (line, row) in (1..).zip(&mut rows) {
        row.line = line;
    }
    Ok(rows)
}

fn read_attributes(event: &Value, at: Timestamp, rows: &mut Vec<Row>) {
    let info = event.get("info").and_then(Value::as_str).map(str::trim).filter(|i| !i.is_empty());
    let info: Option<String> = info.map(|i| i.chars().take(256).collect());
    let label = tlp(event);
    let within = list(event, "Object").flat_map(|object| list(object, "Attribute"));
    for attribute in list(event, "Attribute").chain(within) {
        let line = rows.len() as u64 + 1;
        let result = read_attribute(attribute, info.as_deref(), label, at);
        rows.push(Row::new(line, false, result));
    }
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
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
    let label = |tag: &Value| {
        let name = tag.get("name")?.as_str()?.to_lowercase();
        Some(Tlp::said(name.strip_prefix("tlp:")?))
    };
    list(tagged, "Tag").filter_map(label).max()
}
