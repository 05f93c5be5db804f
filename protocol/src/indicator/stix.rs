//! STIX 2.1 objects as we carry them: validated where it matters, untouched elsewhere (STIX 2.1 §3).

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{cyber, merkle, observable::Observable, pattern::Pattern, pattern::PatternError, tlp::Tlp};
use crate::{document::NodeSecret, id::Digest, time::Timestamp};

mod instant;
mod says;
#[cfg(test)]
mod tests;

pub use instant::Instant;

/// Our namespace for the ids of indicators that came without one: UUIDv5 over the pattern's key. The same
/// domain in two lists is then one indicator. Not the namespace of STIX observables, which is theirs alone.
const NAMESPACE: Uuid = Uuid::from_u128(0x6b2f_0f6c_5d0e_5c52_9d6c_4a57_8f6b_21e4);

/// Where the ids come from of what a node makes itself: the same thing has the same id each time, and nobody without
/// the node's key can tell which.
pub struct IdSpace(Zeroizing<[u8; 16]>);

impl IdSpace {
    /// That of the node with this key: the first 16 bytes of HMAC-SHA256 (RFC 2104) as a name space of UUIDv5.
    pub fn of(secret: &NodeSecret) -> Self {
        let mut space = Zeroizing::new([0; 16]);
        space.iter_mut().zip(secret.derive("hedgerow ids 1", &[]).iter()).for_each(|(to, from)| *to = *from);
        Self(space)
    }

    fn id(&self, name: &str) -> Uuid {
        Uuid::new_v5(&Uuid::from_bytes(*self.0), name.as_bytes())
    }
}

impl std::fmt::Debug for IdSpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdSpace(..)")
    }
}

fn shared_id(pattern: &Pattern) -> String {
    format!("indicator--{}", Uuid::new_v5(&NAMESPACE, pattern.key().as_bytes()))
}

/// Types with a time of their own: domain and relationship objects, and markings.
const TYPES: [&str; 15] = [
    "indicator",
    "malware",
    "campaign",
    "infrastructure",
    "threat-actor",
    "intrusion-set",
    "tool",
    "identity",
    "relationship",
    "report",
    "note",
    "attack-pattern",
    "observed-data",
    "location",
    "marking-definition",
];

/// The largest integer that every program reads alike (RFC 7493 §2.2).
const INTEGER: i64 = (1 << 53) - 1;

/// Largest object, in bytes of its JSON.
const OBJECT_BYTES: usize = 32 * 1024;

/// Why an object is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StixError {
    /// Not a JSON object.
    #[error("this is not a STIX object")]
    NotObject,
    /// A type that does not travel.
    #[error("objects of this type are not shared: {0}")]
    Type(String),
    /// An id that is not `<type>--<uuid>`.
    #[error("the id is not <type>--<uuid> of its own type")]
    Id,
    /// A property that must be there.
    #[error("{0} is missing or not text")]
    Missing(&'static str),
    /// A timestamp that is not RFC 3339 in UTC.
    #[error("a time is not RFC 3339 in UTC")]
    Time,
    /// `modified` before `created`.
    #[error("modified is before created")]
    Backwards,
    /// A pattern that is not of type `stix`.
    #[error("the pattern is of type {0}, only stix patterns are read")]
    PatternType(String),
    /// A pattern that does not read.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A number with a fraction, or beyond 2^53: two programs may sign it differently.
    #[error("a number is not an integer below 2^53")]
    Float,
    /// A property whose name is not ASCII: two programs may sort it differently.
    #[error("the name of a property is not ASCII")]
    Key,
    /// An observable whose id is not the one that follows from what it says.
    #[error("the id is not the one that this observable has")]
    ObservableId,
    /// Not the canonical spelling of its JSON.
    #[error("it is not in canonical form: sorted, without white space, each key once, of STIX 2.1")]
    NotCanonical,
    /// A sighting: who saw what is private.
    #[error("sightings are shared as private counts only")]
    Sighting,
    /// Too large.
    #[error("the object is larger than {OBJECT_BYTES} bytes")]
    TooLarge,
}

/// The kill chain of influence operations, for `kill_chain_phases`.
const KILL_CHAIN: &str = "hedgerow-influence-operation";

/// A phase of an influence operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Material is taken.
    Theft,
    /// It is put out.
    Dump,
    /// Personas and bots spread it.
    Amplification,
    /// Others, the press among them, take it up.
    Uptake,
}

impl Phase {
    const ALL: [(Self, &str); 4] = [
        (Self::Theft, "theft"),
        (Self::Dump, "dump"),
        (Self::Amplification, "amplification"),
        (Self::Uptake, "uptake"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// The phase of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|row| row.1 == name).map(|row| row.0)
    }
}

/// A STIX object, checked. Its unknown properties are kept as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StixObject {
    map: Map<String, Value>,
    created: Instant,
    modified: Instant,
    pattern: Option<Pattern>,
}

/// Whether `id` has the form of the STIX id of an indicator.
pub fn is_indicator_id(id: &str) -> bool {
    uuid_of("indicator", id).is_some()
}

/// The UUID in a STIX id of this kind. One spelling: an id in capitals would be another id to a careless reader.
fn uuid_of(kind: &str, id: &str) -> Option<Uuid> {
    let uuid = id.strip_prefix(kind)?.strip_prefix("--")?;
    let spelled = uuid.len() == 36 && !uuid.bytes().any(|b| b.is_ascii_uppercase());
    spelled.then(|| Uuid::try_parse(uuid).ok())?
}

impl StixObject {
    /// Checks a JSON value. Objects of STIX 2.0 are lifted to 2.1.
    pub fn parse(value: Value) -> Result<Self, StixError> {
        let object = Self::lifted(value)?;
        plain(&object.map, true)?;
        if object.to_canonical().len() > OBJECT_BYTES {
            return Err(StixError::TooLarge);
        }
        Ok(object)
    }

    /// Reads an object that was checked when it was stored, or that a batch of version 1 carries: the rules of the
    /// canonical form came after it.
    pub fn stored(bytes: &[u8]) -> Result<Self, StixError> {
        Self::lifted(serde_json::from_slice(bytes).map_err(|_| StixError::NotObject)?)
    }

    /// Whether it has a canonical form that all programs agree on: what is signed has to.
    pub fn has_canonical_form(&self) -> Result<(), StixError> {
        plain(&self.map, true)
    }

    /// Reads an object from bytes that must be its canonical form (RFC 8785) already, and of a type that travels.
    pub fn canonical(bytes: &[u8]) -> Result<Self, StixError> {
        if bytes.len() > OBJECT_BYTES {
            return Err(StixError::TooLarge);
        }
        let value = serde_json::from_slice(bytes).map_err(|_| StixError::NotObject)?;
        let object = Self::lifted(value)?;
        plain(&object.map, true)?;
        if object.to_canonical() != bytes {
            return Err(StixError::NotCanonical);
        }
        Ok(object)
    }

    fn lifted(value: Value) -> Result<Self, StixError> {
        let Value::Object(mut map) = value else { return Err(StixError::NotObject) };
        plain(&map, false)?;
        let kind = text(&map, "type")?;
        // Who saw what is private: there is no such object to draft, hold or publish.
        if kind == "sighting" {
            return Err(StixError::Sighting);
        }
        let observable = cyber::is_observable(kind);
        if !observable && !TYPES.contains(&kind) {
            return Err(StixError::Type(kind.chars().take(40).collect()));
        }
        let uuid = uuid_of(kind, text(&map, "id")?).ok_or(StixError::Id)?;
        let (created, modified) = if observable {
            // An id of version 5 says what the observable is; anyone may say the same again.
            if uuid.get_version_num() == 5 && cyber::id(kind, &map).as_deref() != Some(text(&map, "id")?) {
                return Err(StixError::ObservableId);
            }
            (Instant::EPOCH, Instant::EPOCH)
        } else {
            let created: Instant = text(&map, "created")?.parse()?;
            // Markings have no versions.
            let marking = kind == "marking-definition";
            (created, if marking { created } else { text(&map, "modified")?.parse()? })
        };
        if modified < created {
            return Err(StixError::Backwards);
        }
        let indicating = kind == "indicator";
        if map.get("spec_version").and_then(Value::as_str) != Some("2.1") {
            map.insert("spec_version".into(), json!("2.1"));
        }
        let pattern = if indicating { Some(indicator(&mut map)?) } else { None };
        Ok(Self { map, created, modified, pattern })
    }

    /// The observable itself as an object, where STIX has one for its kind.
    pub fn observable(observable: &Observable) -> Option<Self> {
        let (kind, properties) = observable.object()?;
        let mut map: Map<String, Value> = properties.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let id = cyber::id(kind, &map)?;
        map.insert("type".into(), json!(kind));
        map.insert("spec_version".into(), json!("2.1"));
        map.insert("id".into(), json!(id));
        Some(Self { map, created: Instant::EPOCH, modified: Instant::EPOCH, pattern: None })
    }

    /// A campaign of this name, with an id of one's own that depends on the name alone.
    pub fn campaign(name: &str, own: &IdSpace, at: Timestamp) -> Self {
        let mut map = Map::new();
        map.insert("name".into(), json!(name));
        Self::dated("campaign", own.id(&format!("campaign {}", name.to_lowercase())), map, at)
    }

    /// That `source` is to `target` what `kind` says, such as `indicates`.
    pub fn relationship(kind: &str, source: &str, target: &str, own: &IdSpace, at: Timestamp) -> Self {
        let mut map = Map::new();
        map.insert("relationship_type".into(), json!(kind));
        map.insert("source_ref".into(), json!(source));
        map.insert("target_ref".into(), json!(target));
        Self::dated("relationship", own.id(&format!("{kind} {source} {target}")), map, at)
    }

    /// That the observables with these ids were seen `count` times, such as an account with so many posts.
    pub fn observed(refs: &[&str], count: u64, own: &IdSpace, at: Timestamp) -> Self {
        let mut map = Map::new();
        let seen = json!(Instant::of(at).to_string());
        map.insert("first_observed".into(), seen.clone());
        map.insert("last_observed".into(), seen);
        map.insert("number_observed".into(), json!(count));
        map.insert("object_refs".into(), json!(refs));
        Self::dated("observed-data", own.id(&format!("observed {}", refs.join(" "))), map, at)
    }

    /// An object of that id and time.
    fn dated(kind: &str, id: Uuid, mut map: Map<String, Value>, at: Timestamp) -> Self {
        let at = Instant::of(at);
        let time = json!(at.to_string());
        map.insert("type".into(), json!(kind));
        map.insert("spec_version".into(), json!("2.1"));
        map.insert("id".into(), json!(format!("{kind}--{id}")));
        map.insert("created".into(), time.clone());
        map.insert("modified".into(), time);
        Self { map, created: at, modified: at, pattern: None }
    }

    /// This indicator in a phase of an influence operation: theft, dump, amplification or uptake.
    pub fn in_phase(mut self, phase: Phase) -> Self {
        let phase = json!([{ "kill_chain_name": KILL_CHAIN, "phase_name": phase.name() }]);
        self.map.insert("kill_chain_phases".into(), phase);
        self
    }

    /// Gives an indicator made by [`Self::indicator`] an id of one's own; any other object stays as it is.
    ///
    /// An id belongs to whoever signs it first. If all members gave one observable the same id, or one that others can
    /// work out, one of them could sign it before the others, revoked, and nobody could publish it any more.
    pub fn owned_by(mut self, own: &IdSpace) -> Self {
        let shared = self.pattern().map(shared_id);
        if shared.as_deref() == Some(self.id()) {
            let own = own.id(self.id());
            self.map.insert("id".into(), json!(format!("indicator--{own}")));
        }
        self
    }

    /// An indicator for `observable`, with an id that depends on it alone.
    pub fn indicator(
        observable: &Observable,
        name: Option<&str>,
        description: Option<&str>,
        at: Timestamp,
    ) -> Self {
        let pattern = Pattern::One(observable.clone());
        let id = shared_id(&pattern);
        let at = Instant::of(at);
        let mut map = Map::new();
        for (key, value) in [
            ("type", json!("indicator")),
            ("spec_version", json!("2.1")),
            ("id", json!(id)),
            ("created", json!(at.to_string())),
            ("modified", json!(at.to_string())),
            ("indicator_types", json!(["malicious-activity"])),
            ("pattern", json!(observable.to_pattern())),
            ("pattern_type", json!("stix")),
            ("valid_from", json!(at.to_string())),
        ] {
            map.insert(key.into(), value);
        }
        for (key, value) in [("name", name), ("description", description)] {
            if let Some(value) = value.map(str::trim).filter(|v| !v.is_empty()) {
                map.insert(key.into(), json!(value));
            }
        }
        Self { map, created: at, modified: at, pattern: Some(pattern) }
    }

    /// What this indicator looks for, said by somebody else under an id of their own: its pattern, name, label and expiry,
    /// and none of its words. None of what is no indicator.
    pub fn said_too(&self, own: &IdSpace, at: Timestamp) -> Option<Self> {
        const KEPT: [&str; 6] =
            ["indicator_types", "name", "pattern", "pattern_type", "pattern_version", "valid_until"];
        let pattern = self.pattern.clone()?;
        let kept = self.map.iter().filter(|(key, _)| KEPT.contains(&key.as_str()));
        let mut map: Map<String, Value> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        map.insert("valid_from".into(), json!(Instant::of(at).to_string()));
        let dated = Self::dated("indicator", own.id(&shared_id(&pattern)), map, at);
        let said = Self { pattern: Some(pattern), ..dated };
        Some(match self.tlp() {
            Some(tlp) => said.marked(tlp),
            None => said,
        })
    }

    /// A property of it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    /// Its type.
    pub fn kind(&self) -> &str {
        text(&self.map, "type").unwrap_or_default()
    }

    /// Its id.
    pub fn id(&self) -> &str {
        text(&self.map, "id").unwrap_or_default()
    }

    /// When it was made.
    pub const fn created(&self) -> Instant {
        self.created
    }

    /// When this version of it was made.
    pub const fn modified(&self) -> Instant {
        self.modified
    }

    /// Whether it was taken back.
    pub fn revoked(&self) -> bool {
        self.map.get("revoked") == Some(&Value::Bool(true))
    }

    /// Whether it still says what it says: it was not taken back, and has not expired.
    pub fn in_force(&self, at: Instant) -> bool {
        !self.revoked() && self.valid_until().is_none_or(|until| until > at)
    }

    /// After this an indicator is not to be used any more.
    pub fn valid_until(&self) -> Option<Instant> {
        text(&self.map, "valid_until").ok()?.parse().ok()
    }

    /// This indicator, not to be used any more from `until` on; as it is if that is not after it begins to be valid.
    pub fn valid_until_at(mut self, until: Timestamp) -> Self {
        let until = Instant::of(until);
        let from = text(&self.map, "valid_from").ok().and_then(|from| from.parse::<Instant>().ok());
        if self.pattern.is_some() && from.is_some_and(|from| from < until) {
            self.map.insert("valid_until".into(), json!(until.to_string()));
        }
        self
    }

    /// What an indicator looks for.
    pub const fn pattern(&self) -> Option<&Pattern> {
        self.pattern.as_ref()
    }

    /// What it looks for, or else its name; nothing if it has neither.
    pub fn what(&self) -> String {
        let name = || self.words().next().map(str::to_owned);
        self.pattern().map(Pattern::key).or_else(name).unwrap_or_default()
    }

    /// Whether it says what `other` says: all but its times and its labels is the same.
    pub fn says_the_same(&self, other: &Self) -> bool {
        const ASIDE: [&str; 8] = [
            "created",
            "modified",
            "valid_from",
            "first_observed",
            "last_observed",
            "object_marking_refs",
            "created_by_ref",
            "spec_version",
        ];
        let rest = |o: &Self| o.map.iter().filter(|(k, _)| !ASIDE.contains(&k.as_str())).count();
        let same = |(k, v): (&String, &Value)| ASIDE.contains(&k.as_str()) || other.map.get(k) == Some(v);
        rest(self) == rest(other) && self.map.iter().all(same)
    }

    /// The next version of `before`, which it takes the place of: a version never changes when its object was made.
    pub fn after(mut self, before: &Self) -> Self {
        if let Some(created) = before.map.get("created") {
            self.map.insert("created".into(), created.clone());
            self.created = before.created;
        }
        self
    }

    /// The observable that it is, if it is one of a kind that is understood.
    pub fn as_observable(&self) -> Option<Observable> {
        Observable::of_object(self.kind(), &self.map)
    }

    /// Its TLP label, the strictest if it has several; a label of a part of it (STIX 2.1 §7.2.3) is one of the whole.
    pub fn tlp(&self) -> Option<Tlp> {
        let parts = self.map.get("granular_markings").and_then(Value::as_array).into_iter().flatten();
        let parts = parts.filter_map(|part| part.get("marking_ref")?.as_str());
        self.references("object_marking_refs").chain(parts).filter_map(Tlp::of_marking).max()
    }

    /// This object under `tlp`, in place of any TLP label it had; other markings stay.
    pub fn marked(mut self, tlp: Tlp) -> Self {
        let mut refs: Vec<Value> = match self.map.remove("object_marking_refs") {
            Some(Value::Array(refs)) => refs,
            _ => vec![],
        };
        refs.retain(|r| r.as_str().is_some_and(|r| Tlp::of_marking(r).is_none()));
        refs.push(json!(tlp.marking_id()));
        self.map.insert("object_marking_refs".into(), Value::Array(refs));
        self
    }

    /// The version of this object that takes it back, made at `at` or just after this one.
    pub fn revoked_at(mut self, at: Timestamp) -> Self {
        self.modified = Instant::of(at).max(self.modified.next());
        self.map.insert("modified".into(), json!(self.modified.to_string()));
        self.map.insert("revoked".into(), Value::Bool(true));
        self
    }

    /// Whether it is an observable, whose id says all that it is.
    pub fn is_observable(&self) -> bool {
        cyber::is_observable(self.kind())
    }

    /// Of several objects with one id, each under the strictest label that one of them has.
    pub fn under_strictest(objects: Vec<Self>) -> Vec<Self> {
        let mut labels: HashMap<String, Option<Tlp>> = HashMap::with_capacity(objects.len());
        for object in &objects {
            let label = labels.entry(object.id().to_owned()).or_default();
            *label = (*label).max(object.tlp());
        }
        let strictest = |object: Self| match labels.get(object.id()).copied().flatten() {
            Some(tlp) if object.tlp() != Some(tlp) => object.marked(tlp),
            _ => object,
        };
        objects.into_iter().map(strictest).collect()
    }

    /// Its canonical JSON (RFC 8785): what is signed, stored and told apart by.
    pub fn to_canonical(&self) -> Vec<u8> {
        // Keys are sorted and ASCII, numbers are integers, and serde_json escapes as the RFC does.
        serde_json::to_vec(&self.map).unwrap_or_default()
    }

    /// Its leaf in a tree: SHA-256 over a zero byte and its canonical JSON. Two versions with one time are the same
    /// only if these are.
    pub fn digest(&self) -> Digest {
        merkle::leaf(&self.to_canonical())
    }

    /// Its JSON.
    pub fn to_value(&self) -> Value {
        Value::Object(self.map.clone())
    }
}

impl Serialize for StixObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.map.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StixObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Self::lifted(Value::deserialize(deserializer)?).map_err(de::Error::custom)?;
        if object.to_canonical().len() > OBJECT_BYTES {
            return Err(de::Error::custom(StixError::TooLarge));
        }
        Ok(object)
    }
}

/// What an indicator must have beyond the common properties.
fn indicator(map: &mut Map<String, Value>) -> Result<Pattern, StixError> {
    let kind = map.entry("pattern_type").or_insert_with(|| json!("stix"));
    match kind.as_str() {
        Some("stix") => {}
        other => return Err(StixError::PatternType(other.unwrap_or("?").chars().take(20).collect())),
    }
    if map.get("indicator_types").is_none() {
        // STIX 2.0 has its types in labels; 2.1 recommends at least one.
        let types = map.remove("labels").filter(Value::is_array).unwrap_or_else(|| json!(["unknown"]));
        map.insert("indicator_types".into(), types);
    }
    text(map, "valid_from")?.parse::<Instant>()?;
    if map.contains_key("valid_until") {
        text(map, "valid_until")?.parse::<Instant>()?;
    }
    Ok(Pattern::parse(text(map, "pattern")?)?)
}

fn text<'m>(map: &'m Map<String, Value>, key: &'static str) -> Result<&'m str, StixError> {
    map.get(key).and_then(Value::as_str).ok_or(StixError::Missing(key))
}

/// Whether two programs would write it alike: no fractions; and, if `canonical`, integers that all can hold and keys
/// that all sort alike.
fn plain(map: &Map<String, Value>, canonical: bool) -> Result<(), StixError> {
    let value = |v: &Value| member(v, canonical);
    if canonical && map.keys().any(|key| !key.is_ascii()) {
        return Err(StixError::Key);
    }
    map.values().try_for_each(value)
}

fn member(value: &Value, canonical: bool) -> Result<(), StixError> {
    match value {
        Value::Number(n) if n.is_f64() => Err(StixError::Float),
        Value::Number(n) if canonical && n.as_i64().is_none_or(|n| n.abs() > INTEGER) => {
            Err(StixError::Float)
        }
        Value::Array(list) => list.iter().try_for_each(|v| member(v, canonical)),
        Value::Object(map) => plain(map, canonical),
        _ => Ok(()),
    }
}
