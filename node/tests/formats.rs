//! What is read from any file of indicators, written in any format and read again is the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::{collections::BTreeSet, env, fs, path::Path};

use hedgerow_node::{
    export::{Audience, Exported, Format, Publisher, export},
    reader::indicator::{self, Row},
    store::Entry,
};
use hedgerow_protocol::{
    document::NodeSecret,
    id::Digest,
    indicator::{ObservableKind as K, Pattern, StixObject, Tlp},
    time::Timestamp,
};

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// Every file beneath `dir` that a reader takes.
fn rows_of(dir: &Path, rows: &mut Vec<Row>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rows_of(&path, rows);
        } else if let Ok(read) = indicator::read(&fs::read(&path).unwrap(), None, now()) {
            rows.extend(read);
        }
    }
}

fn own_rows() -> Vec<Row> {
    let csv = "type,value,comment\ndomain,evil.example,\"a, b\"\nurl,hxxps://evil[.]example/a,\nip-dst,192.0.2.7,\n\
               process,agentd,\nmd5,900150983cd24fb0d6963f7d28e17f72,\nemail,a@evil.example,\npackage,org.example,\n";
    indicator::read(csv.as_bytes(), None, now()).unwrap()
}

/// The published library of all that was read, each id once.
fn library(rows: Vec<Row>) -> Vec<Entry> {
    let mut ids = BTreeSet::new();
    rows.into_iter()
        .filter_map(|row| row.result.ok())
        .filter(|object| ids.insert(object.id().to_owned()))
        .map(|object| Entry {
            owner: Some(NodeSecret::from_seed(&[1; 32]).node_id()),
            batch: Some(Digest::of(b"batch")),
            at: now(),
            object: object.marked(Tlp::Green),
        })
        .collect()
}

fn keys(objects: impl Iterator<Item = StixObject>) -> BTreeSet<String> {
    objects.map(|o| o.pattern().map_or_else(|| o.id().to_owned(), Pattern::key)).collect()
}

/// Kind and value of all that can be looked for as it is.
fn values(entries: &[Entry], of: impl Fn(K) -> bool) -> BTreeSet<String> {
    let now = hedgerow_protocol::indicator::Instant::of(now());
    let live = entries.iter().map(|e| &e.object).filter(|o| {
        !o.revoked()
            && o.valid_until().is_none_or(|until| until > now)
            && matches!(o.pattern(), Some(Pattern::One(_) | Pattern::Any(_)))
    });
    live.flat_map(|o| o.pattern().unwrap().observables().iter().filter(|o| of(o.kind())))
        .map(ToString::to_string)
        .collect()
}

fn again(text: &str, format: indicator::Format) -> BTreeSet<String> {
    let rows = indicator::read(text.as_bytes(), Some(format), now()).unwrap();
    keys(rows.into_iter().map(|row| row.result.expect("what was written is read")))
}

fn there_and_back(rows: Vec<Row>) {
    let entries = library(rows);
    let publisher = Publisher { name: "Round trip".into(), charter: None };
    let out = |format| -> Exported { export(&entries, format, Audience::Anyone, &publisher, &[], now()) };
    let all = keys(entries.iter().map(|e| e.object.clone()));

    assert_eq!(again(&out(Format::Stix).text, indicator::Format::Stix), all, "stix");

    let strict = out(Format::Strict);
    let left: BTreeSet<&String> = strict.left_out.iter().flat_map(|l| &l.objects).collect();
    assert_eq!(strict.written + left.len(), entries.len(), "strict: written or named");
    let kept = entries.iter().map(|e| &e.object).filter(|o| !left.contains(&o.id().to_owned()));
    assert_eq!(again(&strict.text, indicator::Format::Stix), keys(kept.cloned()), "strict");

    assert_eq!(again(&out(Format::Csv).text, indicator::Format::Csv), values(&entries, |_| true), "csv");

    let guessed = |kind| {
        !matches!(
            kind,
            K::Process
                | K::FileName
                | K::FilePath
                | K::AppId
                | K::ConfigurationProfile
                | K::AndroidProperty
                | K::AppCertSha1
                | K::AppCertSha256
        )
    };
    let list = out(Format::List).text;
    let known = values(&entries, guessed);
    let lines: BTreeSet<&str> = list.lines().collect();
    assert!(known.iter().all(|k| lines.contains(k.split_once(' ').unwrap().1)), "list");

    // What was taken back or has expired is told as such, and not read as something to look for.
    let event = out(Format::Misp);
    let rows = indicator::read(event.text.as_bytes(), Some(indicator::Format::Misp), now()).unwrap();
    assert_eq!(rows.len(), event.written, "misp: every attribute is a row");
    let looked_for = |objects: &mut dyn Iterator<Item = &StixObject>| -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for pattern in objects.filter_map(StixObject::pattern) {
            match pattern {
                Pattern::One(_) | Pattern::Any(_) => {
                    all.extend(pattern.observables().iter().map(ToString::to_string))
                }
                other => drop(all.insert(other.key())),
            }
        }
        all
    };
    let at = hedgerow_protocol::indicator::Instant::of(now());
    let mut live = entries
        .iter()
        .map(|e| &e.object)
        .filter(|o| !o.revoked() && o.valid_until().is_none_or(|until| until > at));
    assert_eq!(
        looked_for(&mut rows.iter().filter_map(|r| r.result.as_ref().ok())),
        looked_for(&mut live),
        "misp"
    );

    let mvt = out(Format::Mvt);
    let rows = indicator::read(mvt.text.as_bytes(), None, now()).unwrap();
    let read: BTreeSet<String> = rows
        .iter()
        .filter(|r| !r.context)
        .flat_map(|r| r.result.as_ref().unwrap().pattern().unwrap().observables())
        .map(ToString::to_string)
        .collect();
    assert!(read.is_subset(&values(&entries, |_| true)), "mvt");
    println!("{} objects there and back; mvt has {} values, {} left out", entries.len(), read.len(), {
        mvt.left_out.iter().map(|l| l.count).sum::<usize>()
    });
}

#[test]
fn what_is_written_in_any_format_is_read_again() {
    there_and_back(own_rows());
}

#[test]
fn the_public_indicators_go_out_in_every_format_and_come_in_again() {
    let Some(root) = env::var_os("HEDGEROW_REAL_DATA") else {
        println!("skipped: HEDGEROW_REAL_DATA is not set, only our own small file was read");
        return;
    };
    let mut rows = Vec::new();
    rows_of(&Path::new(&root).join("indicators"), &mut rows);
    assert!(rows.len() > 5000, "{}", rows.len());
    there_and_back(rows);
}
