//! STIX 2.0 and 2.1 bundles.

use hedgerow_protocol::indicator::StixObject;
use serde_json::Value;

use super::{ReadError, Row};

/// Every object of a bundle. Definitions of TLP and the like are not rows: labels are kept on the objects.
pub(super) fn read(bundle: Value) -> Result<Vec<Row>, ReadError> {
    let Value::Object(mut bundle) = bundle else { return Err(ReadError::Bundle("it is not an object")) };
    if bundle.get("type").and_then(Value::as_str) != Some("bundle") {
        return Err(ReadError::Bundle("its type is not bundle"));
    }
    let objects = match bundle.remove("objects") {
        Some(Value::Array(objects)) => objects,
        _ => return Err(ReadError::Bundle("it has no list of objects")),
    };
    let rows = objects.into_iter().zip(1u64..).filter_map(|(object, line)| {
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
        if kind == "marking-definition" && object.get("definition_type").is_none_or(|t| t != "statement") {
            return None;
        }
        let context = kind != "indicator";
        let object = StixObject::parse(object).and_then(|o| o.may_travel().map(|()| o));
        Some(Row::new(line, context, object.map_err(|e| e.to_string())))
    });
    Ok(rows.collect())
}
