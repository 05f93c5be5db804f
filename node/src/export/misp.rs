//! MISP (core format, draft-dulaunoy-misp-core-format): an event, and a feed that any MISP can fetch.
//!
//! An event stands in the federation's name and names no member. What was taken back is in it as deleted, so that it
//! goes away where the event was fetched before. A value that MISP has no type for, or a pattern of several, is an
//! attribute of type `stix2-pattern`.

use std::collections::BTreeMap;

use hedgerow_protocol::{
    indicator::{Instant, ObservableKind as K, Pattern, StixObject, Tlp},
    time::Timestamp,
};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::{Exported, Publisher, uuid};
use crate::store::Entry;

/// The file of a feed that names its events.
pub const MANIFEST: &str = "manifest.json";

mod follow;

pub use follow::follow;

/// Everything as one event.
pub(super) fn event(entries: &[&Entry], publisher: &Publisher, now: Timestamp, out: &mut Exported) {
    let indicators: Vec<&Entry> = indicators(entries).collect();
    let made = Event::of(&publisher.name, "all", &indicators, publisher, now);
    out.written = made.attributes.len();
    out.text = json!({ "Event": made.whole() }).to_string() + "\n";
}

/// An event for each label and month, so that older ones stay as they are; `manifest.json` and `hashes.csv` list them.
pub(super) fn feed(entries: &[&Entry], publisher: &Publisher, now: Timestamp, out: &mut Exported) {
    let mut groups: BTreeMap<(Tlp, String), Vec<&Entry>> = BTreeMap::new();
    for entry in indicators(entries) {
        let month = entry.object.created().to_string().chars().take(7).collect();
        groups.entry((entry.object.tlp().unwrap_or(Tlp::Amber), month)).or_default().push(entry);
    }
    let mut manifest = serde_json::Map::new();
    let mut hashes = String::new();
    for ((tlp, month), indicators) in groups {
        let title = format!("{}, indicators of {month}", publisher.name);
        let made = Event::of(&title, &format!("{tlp} {month}"), &indicators, publisher, now);
        for (value, _) in made.attributes.values() {
            hashes.push_str(&format!("{},{}\n", hex::encode(Md5::digest(value.as_bytes())), made.uuid));
        }
        out.written += made.attributes.len();
        manifest.insert(made.uuid.clone(), made.head());
        out.files.insert(format!("{}.json", made.uuid), json!({ "Event": made.whole() }).to_string());
    }
    out.files.insert(MANIFEST.to_owned(), Value::Object(manifest).to_string());
    out.organisation = organisation(publisher);
    out.files.insert("hashes.csv".to_owned(), hashes);
}

/// What ids of its events follow from.
fn own(publisher: &Publisher) -> String {
    publisher.charter.map_or_else(|| publisher.name.clone(), |id| id.to_string())
}

/// The UUID of the organisation in whose name an event stands.
fn organisation(publisher: &Publisher) -> String {
    uuid("misp organisation", &own(publisher)).to_string()
}

fn indicators<'e>(entries: &[&'e Entry]) -> impl Iterator<Item = &'e Entry> {
    entries.iter().copied().filter(|e| e.object.pattern().is_some())
}

/// One event.
struct Event {
    uuid: String,
    info: String,
    orgc: Value,
    tag: Value,
    date: String,
    timestamp: String,
    /// Value and form of each attribute, by UUID: MISP takes each once.
    attributes: BTreeMap<String, (String, Value)>,
}

impl Event {
    fn of(info: &str, what: &str, indicators: &[&Entry], publisher: &Publisher, now: Timestamp) -> Self {
        let own = own(publisher);
        let at = Instant::of(now);
        // What came here late is new to whoever fetched before, however old it is.
        let latest =
            indicators.iter().map(|e| changed(&e.object, at).max(Instant::of(e.at))).max().unwrap_or(at);
        let first = indicators.iter().map(|e| e.object.created()).min().unwrap_or(at);
        let label = indicators.iter().filter_map(|e| e.object.tlp()).max().unwrap_or(Tlp::Clear);
        let attributes = indicators.iter().flat_map(|e| attributes(&e.object, at)).collect();
        Self {
            uuid: uuid("misp event", &format!("{own} {what}")).to_string(),
            info: info.to_owned(),
            orgc: json!({ "name": publisher.name, "uuid": organisation(publisher) }),
            tag: tag(label),
            date: first.to_string().chars().take(10).collect(),
            timestamp: seconds(latest),
            attributes,
        }
    }

    /// Its entry in a manifest.
    fn head(&self) -> Value {
        json!({
            "Orgc": self.orgc, "Tag": [self.tag], "info": self.info, "date": self.date,
            "analysis": 2, "threat_level_id": 2, "timestamp": self.timestamp,
        })
    }

    fn whole(&self) -> Value {
        let mut event = self.head();
        let attributes: Vec<&Value> = self.attributes.values().map(|(_, attribute)| attribute).collect();
        for (key, value) in [
            ("uuid", json!(self.uuid)),
            ("published", json!(true)),
            ("publish_timestamp", json!(self.timestamp)),
            ("Attribute", json!(attributes)),
        ] {
            if let Some(map) = event.as_object_mut() {
                map.insert(key.to_owned(), value);
            }
        }
        event
    }
}

/// One attribute a value; of an indicator for one value it has the indicator's own UUID.
fn attributes(object: &StixObject, now: Instant) -> Vec<(String, (String, Value))> {
    let own = object.id().split_once("--").map_or_else(String::new, |(_, uuid)| uuid.to_owned());
    let tlp = object.tlp().unwrap_or(Tlp::Amber);
    let gone = object.revoked();
    // Expired: still told, no more to be looked for.
    let to_ids = !gone && object.valid_until().is_none_or(|until| until > now);
    let words: Vec<&str> = object.words().collect();
    let make = |uuid: String, (category, kind): (&str, &str), value: &str| {
        let attribute = json!({
            "uuid": uuid, "type": kind, "category": category, "value": value, "to_ids": to_ids,
            "timestamp": seconds(changed(object, now)), "comment": words.join(": "), "deleted": gone,
            "disable_correlation": false, "Tag": [tag(tlp)],
        });
        (uuid, (value.to_owned(), attribute))
    };
    let pattern = object.get("pattern").and_then(Value::as_str).unwrap_or_default();
    match object.pattern() {
        Some(Pattern::One(o)) => match misp_type(o.kind()) {
            Some(kind) => vec![make(own, kind, o.value())],
            None => vec![make(own, PATTERN, &o.to_pattern())],
        },
        Some(Pattern::Any(all)) if all.iter().all(|o| misp_type(o.kind()).is_some()) => all
            .iter()
            .filter_map(|o| {
                let uuid = uuid("misp attribute", &format!("{own} {o}")).to_string();
                Some(make(uuid, misp_type(o.kind())?, o.value()))
            })
            .collect(),
        _ => vec![make(own, PATTERN, pattern)],
    }
}

const PATTERN: (&str, &str) = ("Artifacts dropped", "stix2-pattern");

/// MISP's category and type for a kind.
const fn misp_type(kind: K) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        K::Domain => ("Network activity", "domain"),
        K::Url => ("Network activity", "url"),
        K::Ipv4 | K::Ipv6 => ("Network activity", "ip-dst"),
        K::Email => ("Payload delivery", "email-src"),
        K::Md5 => ("Payload delivery", "md5"),
        K::Sha1 => ("Payload delivery", "sha1"),
        K::Sha256 => ("Payload delivery", "sha256"),
        K::Sha512 => ("Payload delivery", "sha512"),
        K::FileName => ("Payload delivery", "filename"),
        K::AppId => ("Payload delivery", "mobile-application-id"),
        _ => return None,
    })
}

fn tag(tlp: Tlp) -> Value {
    json!({ "name": format!("tlp:{tlp}"), "colour": match tlp {
        Tlp::Clear => "#ffffff",
        Tlp::Green => "#33ff00",
        Tlp::Amber | Tlp::AmberStrict => "#ffc000",
        Tlp::Red => "#ff2b2b",
    } })
}

/// When what is said of it changed last. Who has fetched an event fetches it again only if its time is later, so the time
/// at which something expired is one.
fn changed(object: &StixObject, now: Instant) -> Instant {
    let expired = object.valid_until().filter(|until| *until <= now);
    expired.map_or(object.modified(), |until| until.max(object.modified()))
}

fn seconds(at: Instant) -> String {
    at.timestamp().map_or_else(|| "0".to_owned(), |t| t.unix_seconds().to_string())
}
