//! Plain lists: one value a line, `#` begins a comment, blank lines count for nothing.

use hedgerow_protocol::{
    indicator::{Observable, ObservableKind, StixObject},
    time::Timestamp,
};

use super::Row;

/// Every value. A list of names most of which have no dot, and none of which has a slash, an @ or a colon, is a
/// list of processes: that is how they are published.
pub(super) fn read(text: &str, at: Timestamp) -> Vec<Row> {
    let values: Vec<(u64, &str)> = (1u64..)
        .zip(text.lines())
        .map(|(line, text)| (line, text.trim()))
        .filter(|(_, text)| !text.is_empty() && !text.starts_with('#'))
        .collect();
    let bare = |v: &str| !v.contains('.') && Observable::guess(v).is_err();
    let other = |v: &str| v.contains(['/', '@', ':', '\\']) || v.contains(char::is_whitespace);
    let processes = !values.iter().any(|(_, v)| other(v))
        && values.iter().filter(|(_, v)| bare(v)).count() * 2 > values.len();
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
            Row::new(line, false, result)
        })
        .collect()
}
