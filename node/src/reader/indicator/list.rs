//! Plain lists: one value a line, `#` begins a comment, blank lines count for nothing. Blocklists say the same in other
//! words: a hosts file (`0.0.0.0 NAME`), and the filters of a browser (`||NAME^`).

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
        .filter(|(_, text)| !text.trim_start().starts_with(['#', '!']))
        .map(|(line, text)| (line, bare(text)))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    let word = |v: &str| !v.contains('.') && Observable::guess(v).is_err();
    let other = |v: &str| v.contains(['/', '@', ':', '\\']) || v.contains(char::is_whitespace);
    let processes = !values.iter().any(|(_, v)| other(v))
        && values.iter().filter(|(_, v)| word(v)).count() * 2 > values.len();
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

/// The value of a line, without what a blocklist has around it and without a comment after it.
fn bare(line: &str) -> &str {
    let comment =
        line.match_indices('#').find(|(at, _)| line.get(..*at).is_some_and(|b| b.ends_with([' ', '\t'])));
    let line = comment.map_or(line, |(at, _)| line.get(..at).unwrap_or_default()).trim();
    if let Some((address, name)) = line.split_once([' ', '\t'])
        && ["0.0.0.0", "127.0.0.1", "::", "::1"].contains(&address)
    {
        return name.trim();
    }
    let filter = line.strip_prefix("||").and_then(|rest| rest.strip_suffix('^'));
    filter.or_else(|| line.strip_prefix("*.")).unwrap_or(line)
}
