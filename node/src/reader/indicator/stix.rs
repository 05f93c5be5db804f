//! STIX 2.0 and 2.1 bundles.

use hedgerow_protocol::indicator::StixObject;
use serde_json::Value;

use super::{ReadError, Row};

/// Every object of a bundle. Marking definitions are not rows: labels are kept on the objects.
pub(super) fn read(text: &str) -> Result<Vec<Row>, ReadError> {
    let bundle: Value = serde_json::from_str(text).map_err(|_| ReadError::Bundle("it is not JSON"))?;
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
        if kind == "marking-definition" {
            return None;
        }
        let context = kind != "indicator";
        Some(Row { line, context, result: StixObject::parse(object).map_err(|e| e.to_string()) })
    });
    Ok(rows.collect())
}
