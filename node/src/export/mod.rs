//! Indicators out, for tools that others run: STIX 2.1, CSV, plain list (docs/indicators.md).

use std::{fmt::Write as _, str::FromStr};

use hedgerow_protocol::{
    id::Digest,
    indicator::{Instant, Pattern, Tlp},
    time::Timestamp,
};
use serde_json::{Value, json};

use crate::store::Entry;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A STIX 2.1 bundle, revocations and context included.
    Stix,
    /// `kind,value,tlp,valid_from,id`, one row an observable.
    Csv,
    /// One value a line.
    List,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, &'static str> {
        match s {
            "stix" => Ok(Self::Stix),
            "csv" => Ok(Self::Csv),
            "list" => Ok(Self::List),
            _ => Err("indicators are exported as stix, csv or list"),
        }
    }
}

/// Who will read what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Anyone: CLEAR and GREEN.
    Anyone,
    /// Members of the federation: AMBER too.
    Members,
}

/// A file, and what was left out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// Its text.
    pub text: String,
    /// Objects or observables written.
    pub written: usize,
    /// Objects held back by their label.
    pub held_back: usize,
}

/// Writes the published objects among `entries`. Drafts stay: nobody has looked at them yet.
pub fn export(entries: &[Entry], format: Format, audience: Audience, now: Timestamp) -> Exported {
    let published: Vec<&Entry> = entries.iter().filter(|e| !e.is_draft()).collect();
    let allowed = |entry: &&Entry| {
        // An object without a label was published under none, which lint does not let happen.
        entry.object.tlp().is_some_and(|tlp| match audience {
            Audience::Anyone => tlp.may_leave_federation(),
            Audience::Members => tlp.may_go_to_members(),
        })
    };
    let (allowed, held_back): (Vec<&Entry>, Vec<&Entry>) = published.into_iter().partition(allowed);
    let (text, written) = match format {
        Format::Stix => (bundle(&allowed), allowed.len()),
        Format::Csv => csv(&allowed, now),
        Format::List => list(&allowed, now),
    };
    Exported { text, written, held_back: held_back.len() }
}

/// A bundle with the marking definitions that its objects name. Its id follows from what is in it, so that the
/// same library gives the same bytes.
fn bundle(entries: &[&Entry]) -> String {
    let mut labels: Vec<Tlp> = entries.iter().filter_map(|e| e.object.tlp()).collect();
    labels.sort_unstable();
    labels.dedup();
    let objects: Vec<Value> = labels
        .into_iter()
        .map(Tlp::marking_definition)
        .chain(entries.iter().map(|e| e.object.to_value()))
        .collect();
    let digest = Digest::of(&serde_json::to_vec(&objects).unwrap_or_default());
    let id = uuid_of(&digest);
    let bundle = json!({ "type": "bundle", "id": format!("bundle--{id}"), "objects": objects });
    serde_json::to_string_pretty(&bundle).unwrap_or_default() + "\n"
}

/// A UUID of version 8 (RFC 9562 §5.8) from a hash.
fn uuid_of(digest: &Digest) -> String {
    let hex = digest.to_string();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!("{}-{}-8{}-a{}-{}", part(0..8), part(8..12), part(12..15), part(15..18), part(18..30))
}

/// What can be matched as it is: not revoked, not expired, one observable or any of several.
fn usable<'e>(
    entries: &'e [&Entry],
    now: Timestamp,
) -> impl Iterator<Item = (&'e Entry, &'e [hedgerow_protocol::indicator::Observable])> {
    let now = Instant::of(now);
    entries.iter().filter_map(move |entry| {
        let object = &entry.object;
        let live = !object.revoked() && object.valid_until().is_none_or(|until| until > now);
        match object.pattern() {
            Some(pattern @ (Pattern::One(_) | Pattern::Any(_))) if live => {
                Some((*entry, pattern.observables()))
            }
            _ => None,
        }
    })
}

fn csv(entries: &[&Entry], now: Timestamp) -> (String, usize) {
    let mut text = String::from("kind,value,tlp,valid_from,id\n");
    let mut written = 0;
    for (entry, observables) in usable(entries, now) {
        for o in observables {
            let tlp = entry.object.tlp().map_or_else(String::new, |t| t.to_string());
            let from = entry.object.created();
            let _ =
                writeln!(text, "{},{},{tlp},{from},{}", o.kind().name(), cell(o.value()), entry.object.id());
            written += 1;
        }
    }
    (text, written)
}

fn list(entries: &[&Entry], now: Timestamp) -> (String, usize) {
    let mut values: Vec<&str> =
        usable(entries, now).flat_map(|(_, all)| all.iter().map(|o| o.value())).collect();
    values.sort_unstable();
    values.dedup();
    (values.iter().map(|v| format!("{v}\n")).collect(), values.len())
}

/// A cell of CSV (RFC 4180). A value that a spreadsheet would take for a formula is led by a quote mark.
fn cell(value: &str) -> String {
    let value = if value.starts_with(['=', '+', '-', '@']) { format!("'{value}") } else { value.to_owned() };
    if value.contains([',', '"', '\n', '\r']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
}

#[cfg(test)]
mod tests {
    use hedgerow_protocol::{
        document::NodeSecret,
        indicator::{Observable, StixObject},
    };

    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn entry(value: &str, tlp: Tlp, published: bool) -> Entry {
        let object = StixObject::indicator(&Observable::guess(value).unwrap(), None, None, now()).marked(tlp);
        let owner = NodeSecret::from_seed(&[1; 32]).node_id();
        Entry { owner: Some(owner), batch: published.then(|| Digest::of(b"b")), at: now(), object }
    }

    #[test]
    fn labels_decide_who_reads_what_and_drafts_stay() {
        let all = [
            entry("clear.example", Tlp::Clear, true),
            entry("green.example", Tlp::Green, true),
            entry("amber.example", Tlp::Amber, true),
            entry("draft.example", Tlp::Clear, false),
        ];
        let open = export(&all, Format::List, Audience::Anyone, now());
        assert_eq!((open.text.as_str(), open.held_back), ("clear.example\ngreen.example\n", 1));
        let members = export(&all, Format::List, Audience::Members, now());
        assert_eq!(members.written, 3);
    }

    #[test]
    fn what_was_taken_back_is_in_the_bundle_and_in_no_list() {
        let mut gone = entry("gone.example", Tlp::Clear, true);
        gone.object = gone.object.revoked_at(now());
        let all = [gone];
        assert_eq!(export(&all, Format::Csv, Audience::Anyone, now()).written, 0);
        let bundle = export(&all, Format::Stix, Audience::Anyone, now());
        let value: Value = serde_json::from_str(&bundle.text).unwrap();
        assert_eq!(value["objects"][1]["revoked"], json!(true));
        assert_eq!(value["objects"][0]["id"], json!(Tlp::Clear.marking_id()));
        assert_eq!(bundle, export(&all, Format::Stix, Audience::Anyone, now()), "same library, same bytes");
    }

    #[test]
    fn a_cell_is_no_formula_and_stays_one_cell() {
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
