//! CSV (RFC 4180) and plain lists.

use std::fmt::Write as _;

use hedgerow_protocol::time::Timestamp;

use super::{Exported, usable};
use crate::store::Entry;

pub(super) fn csv(entries: &[&Entry], now: Timestamp, out: &mut Exported) {
    let mut text = String::from("kind,value,tlp,valid_from,id,valid_until\n");
    for (entry, observables) in usable(entries, now, out) {
        for o in observables {
            let tlp = entry.object.tlp().map_or_else(String::new, |t| t.to_string());
            let from = entry.object.created();
            let until = entry.object.valid_until().map_or_else(String::new, |until| until.to_string());
            let (kind, value, id) = (o.kind().name(), cell(o.value()), entry.object.id());
            let _ = writeln!(text, "{kind},{value},{tlp},{from},{id},{until}");
            out.written += 1;
        }
    }
    out.text = text;
}

pub(super) fn list(entries: &[&Entry], now: Timestamp, out: &mut Exported) {
    let mut values: Vec<&str> =
        usable(entries, now, out).into_iter().flat_map(|(_, all)| all.iter().map(|o| o.value())).collect();
    values.sort_unstable();
    values.dedup();
    out.written = values.len();
    out.text = values.iter().flat_map(|v| [v, "\n"]).collect();
}

/// A cell. A value that a spreadsheet would take for a formula is led by a quote mark.
fn cell(value: &str) -> String {
    let value = if value.starts_with(['=', '+', '-', '@']) { format!("'{value}") } else { value.to_owned() };
    if value.contains([',', '"', '\n', '\r']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula_and_stays_one_cell() {
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
