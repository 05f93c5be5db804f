//! Plain lists: one value a line, `#` begins a comment, blank lines count for nothing.

use hedgerow_protocol::{
    indicator::{Observable, ObservableKind, StixObject},
    time::Timestamp,
};

use super::Row;

/// Every value. What cannot be told by its form is taken for a process name where the whole list is of that
/// kind: no value of it has a dot, a slash or an @.
pub(super) fn read(text: &str, at: Timestamp) -> Vec<Row> {
    let values: Vec<(u64, &str)> = (1u64..)
        .zip(text.lines())
        .map(|(line, text)| (line, text.trim()))
        .filter(|(_, text)| !text.is_empty() && !text.starts_with('#'))
        .collect();
    let processes =
        values.iter().all(|(_, v)| v.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-'))
            && !values.iter().any(|(_, v)| Observable::guess(v).is_ok());
    values
        .into_iter()
        .map(|(line, value)| {
            let observable = if processes {
                Observable::new(ObservableKind::Process, value)
            } else {
                Observable::guess(value)
            };
            let result =
                observable.map(|o| StixObject::indicator(&o, None, None, at)).map_err(|e| e.to_string());
            Row { line, context: false, result }
        })
        .collect()
}
