//! STIX 2.0 and 2.1 bundles.

use std::collections::HashMap;

use hedgerow_protocol::indicator::{StixError, StixObject, Tlp};
use serde_json::Value;

use super::{ReadError, Row};

/// Definitions of a source's own that are kept; who needs more has none.
const OWN: usize = 1000;

/// What a source defines under ids of its own: labels, and markings that are none, such as statements. What refers to
/// anything else is under a label that nobody knows here, which is the strictest there is.
#[derive(Default)]
pub(crate) struct OwnLabels(HashMap<String, Option<Tlp>>);

impl OwnLabels {
    /// Takes note of the definitions among `objects`.
    pub(crate) fn learn(&mut self, objects: &[Value]) {
        let room = OWN.saturating_sub(self.0.len());
        self.0.extend(objects.iter().filter_map(defined).take(room));
    }

    /// An object of the source, under the labels that all know. None of what defines a label: it stays on what it marks.
    pub(crate) fn read(&self, mut object: Value) -> Option<Result<StixObject, StixError>> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        if text("type") == Some("marking-definition") && text("definition_type") != Some("statement") {
            return None;
        }
        let unknown = self.put(&mut object);
        let object = StixObject::parse(object);
        Some(object.map(|object| if unknown { object.marked(Tlp::Red) } else { object }))
    }

    /// Puts the ids that all know in the place of the source's own. Whether it refers to what is not defined.
    fn put(&self, object: &mut Value) -> bool {
        let mut unknown = false;
        let mut replace = |reference: &mut Value| {
            let Some(id) = reference.as_str() else { return };
            match self.0.get(id) {
                Some(Some(label)) => *reference = Value::String(label.marking_id()),
                Some(None) => {}
                None => unknown |= Tlp::of_marking(id).is_none(),
            }
        };
        if let Some(refs) = object.get_mut("object_marking_refs").and_then(Value::as_array_mut) {
            refs.iter_mut().for_each(&mut replace);
        }
        let parts = object.get_mut("granular_markings").and_then(Value::as_array_mut);
        parts.into_iter().flatten().filter_map(|part| part.get_mut("marking_ref")).for_each(&mut replace);
        unknown
    }
}

/// Every object of a bundle. Definitions of TLP and the like are not rows: labels are kept on the objects, under the ids
/// that all know.
pub(super) fn read(bundle: Value) -> Result<Vec<Row>, ReadError> {
    let Value::Object(mut bundle) = bundle else { return Err(ReadError::Bundle("it is not an object")) };
    if bundle.get("type").and_then(Value::as_str) != Some("bundle") {
        return Err(ReadError::Bundle("its type is not bundle"));
    }
    let objects = match bundle.remove("objects") {
        Some(Value::Array(objects)) => objects,
        _ => return Err(ReadError::Bundle("it has no list of objects")),
    };
    let mut labels = OwnLabels::default();
    labels.learn(&objects);
    let rows = objects.into_iter().zip(1u64..).filter_map(|(object, line)| {
        let context = object.get("type").is_none_or(|kind| kind != "indicator");
        let object = labels.read(object)?;
        Some(Row::new(line, context, object.map_err(|e| e.to_string())))
    });
    Ok(rows.collect())
}

/// What a definition stands for, by its id: a label, or none if it is a statement. A marking of another kind may restrict
/// in its own way, and counts as a label that nobody knows.
fn defined(object: &Value) -> Option<(String, Option<Tlp>)> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_lowercase);
    if text(object.get("type"))? != "marking-definition" {
        return None;
    }
    let id = object.get("id")?.as_str()?.to_owned();
    let kind = text(object.get("definition_type"));
    let defined = object.pointer("/definition/tlp").filter(|_| kind.as_deref() == Some("tlp"));
    let extended = object.get("extensions").and_then(Value::as_object);
    let extended = extended.and_then(|all| all.values().find_map(|one| one.get("tlp_2_0")));
    let named = text(object.get("name")).and_then(|name| Some(name.strip_prefix("tlp:")?.to_owned()));
    let word = text(defined).or_else(|| text(extended)).or(named);
    let label = match word {
        Some(word) => Some(Tlp::said(&word)),
        None => (kind.as_deref() != Some("statement")).then_some(Tlp::Red),
    };
    Some((id, label))
}
