//! The JSON of TinyCheck and SpyGuard: `{"iocs": [{"type", "value", "tag", "tlp"}, …]}`.

use hedgerow_protocol::{
    indicator::{StixObject, Tlp},
    time::Timestamp,
};
use serde_json::Value;

use super::{Row, csv::typed};

/// Whether JSON is of this form.
pub(super) fn knows(value: &Value) -> bool {
    value.get("iocs").is_some_and(Value::is_array)
}

/// Every entry.
pub(super) fn read(value: &Value, at: Timestamp) -> Vec<Row> {
    let list = value.get("iocs").and_then(Value::as_array).into_iter().flatten();
    list.zip(1u64..).map(|(entry, line)| Row::new(line, false, read_entry(entry, at))).collect()
}

fn read_entry(entry: &Value, at: Timestamp) -> Result<StixObject, String> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty());
    let observable =
        typed(text("type").ok_or("the type is empty")?, text("value").ok_or("the value is empty")?)?;
    let object = StixObject::indicator(&observable, text("tag"), None, at);
    Ok(match text("tlp") {
        Some(label) => object.marked(Tlp::said(label)),
        None => object,
    })
}
