//! Every public set in through its reader, out through every writer, and in again: the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use hedgerow_protocol::{
    document::NodeSecret,
    id::Digest,
    indicator::{ObservableKind as K, StixObject, Tlp},
};

use super::*;
use crate::reader::indicator::{Format as In, read};

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// Folders of the sets that hold indicators; the others are warning lists, schemas and taxonomies.
const SETS: [&str; 4] = [
    "AmnestyTech+investigations",
    "AssoEchap+stalkerware-indicators",
    "citizenlab+malware-indicators",
    "mvt-project+mvt-indicators",
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
    found.sort();
}

/// Every object of every file, as published, each id once; with how many rows there were and how many were none.
fn published(root: &Path) -> (Vec<Entry>, BTreeMap<String, (usize, usize)>) {
    let (mut held, mut counts) = (BTreeMap::new(), BTreeMap::new());
    let mut paths = Vec::new();
    SETS.iter().for_each(|set| files(&root.join(set), &mut paths));
    // The YAML of two sets is what their STIX and CSV are generated from; nobody exchanges it.
    paths.retain(|path| path.extension().is_none_or(|kind| kind != "yaml"));
    let owner = NodeSecret::from_seed(&[1; 32]).node_id();
    for path in paths {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let rows = match read(&fs::read(&path).unwrap(), None, now()) {
            Ok(rows) => rows,
            Err(why) => {
                counts.insert(format!("{name}: {why}"), (0, 0));
                continue;
            }
        };
        let bad = rows.iter().filter(|row| row.result.is_err()).count();
        counts.insert(name, (rows.len(), bad));
        for object in rows.into_iter().filter_map(|row| row.result.ok()) {
            // Under one label or the other, and with an end or without, by what it says.
            let says = object.digest().as_bytes().first().copied().unwrap_or_default();
            let object = object.marked(if says % 2 == 0 { Tlp::Clear } else { Tlp::Green });
            let object = if says % 3 == 0 { object.valid_until_at(now().plus_seconds(9)) } else { object };
            let entry = Entry { owner: Some(owner), batch: Some(Digest::of(b"b")), at: now(), object };
            held.insert(entry.object.id().to_owned(), entry);
        }
    }
    (held.into_values().collect(), counts)
}

fn out(entries: &[Entry], format: Format) -> Exported {
    let publisher = Publisher { name: "A federation".into(), charter: None };
    export(entries, format, Audience::Anyone, &publisher, &[], now())
}

/// What the rows of a file look for; none of them may be rejected.
fn again(text: &str, format: Option<In>) -> BTreeSet<String> {
    let rows = read(text.as_bytes(), format, now()).unwrap();
    let keys = rows.into_iter().filter_map(|row| {
        let object = row.result.unwrap_or_else(|why| panic!("line {}: {why}", row.line));
        Some(object.pattern()?.key())
    });
    keys.collect()
}

/// The same with their labels, and until when.
fn again_with(text: &str, format: In, until: bool) -> BTreeSet<String> {
    let rows = read(text.as_bytes(), Some(format), now()).unwrap();
    rows.into_iter()
        .map(|row| row.result.unwrap())
        .map(|o| said(&o.pattern().unwrap().key(), &o, until))
        .collect()
}

fn said(key: &str, object: &StixObject, until: bool) -> String {
    let end = object.valid_until().filter(|_| until).map_or_else(String::new, |until| until.to_string());
    format!("{key} {} {end}", object.tlp().unwrap())
}

/// Live objects for one value or any of several, with what they look for.
fn usable_of(entries: &[Entry]) -> impl Iterator<Item = (&StixObject, &Observable)> {
    let at = Instant::of(now());
    let objects = entries.iter().filter(move |entry| live(entry, at)).map(|entry| &entry.object);
    objects.flat_map(|object| {
        let pattern = object.pattern().filter(|p| matches!(p, Pattern::One(_) | Pattern::Any(_)));
        pattern.into_iter().flat_map(move |p| p.observables().iter().map(move |o| (object, o)))
    })
}

/// What can be looked for as it is, value by value.
fn values(entries: &[Entry]) -> BTreeSet<&Observable> {
    usable_of(entries).map(|(_, o)| o).collect()
}

fn of(values: &BTreeSet<&Observable>, which: impl Fn(&Observable) -> bool) -> BTreeSet<String> {
    values.iter().filter(|o| which(o)).map(ToString::to_string).collect()
}

fn texts<'e>(objects: impl Iterator<Item = &'e StixObject>) -> BTreeSet<String> {
    objects.map(|object| String::from_utf8(object.to_canonical()).unwrap()).collect()
}

fn objects(text: &str) -> Vec<StixObject> {
    let rows = read(text.as_bytes(), Some(In::Stix), now()).unwrap();
    rows.into_iter().map(|row| row.result.unwrap()).collect()
}

#[test]
fn the_public_sets_go_out_through_every_writer_and_come_in_again_the_same() {
    let Some(root) = env::var_os("HEDGEROW_REAL_DATA") else {
        println!("skipped: HEDGEROW_REAL_DATA is not set, only our own small files were written");
        return;
    };
    let (all, counts) = published(&Path::new(&root).join("indicators"));
    let (rows, bad) = counts.values().fold((0, 0), |(rows, bad), (r, b)| (rows + r, bad + b));
    assert_eq!((counts.len(), rows, bad, all.len()), (26, 12_209, 75, 9288), "{counts:#?}");
    let values = values(&all);

    // As signed: every object, letter for letter.
    let stix = out(&all, Format::Stix);
    assert_eq!((stix.written, stix.left_out.len()), (all.len(), 0));
    assert_eq!(texts(objects(&stix.text).iter()), texts(all.iter().map(|e| &e.object)));
    let strict = out(&all, Format::Strict);
    let left: usize = strict.left_out.iter().map(|l| l.count).sum();
    assert_eq!(strict.written + left, all.len());
    let kept = objects(&strict.text);
    assert_eq!(kept.len(), strict.written);
    assert!(texts(kept.iter()).is_subset(&texts(all.iter().map(|e| &e.object))));

    let mvt = out(&all, Format::Mvt);
    let left: BTreeSet<String> = of(&values, |o| stix::beyond_mvt(o).is_some());
    let told = again(&mvt.text, Some(In::Stix));
    assert_eq!(&told | &left, of(&values, |_| true));
    assert!(told.is_disjoint(&left));

    // Attributes of MISP; what it has no type for is a pattern within one.
    let event = out(&all, Format::Misp);
    assert_eq!(event.left_out.len(), 0);
    let read_back: BTreeSet<String> = again(&event.text, Some(In::Misp));
    assert_eq!(read_back, of(&values, |_| true));
    let feed = out(&all, Format::MispFeed);
    let events = feed.files.iter().filter(|(name, _)| *name != "manifest.json" && *name != "hashes.csv");
    let read_back: BTreeSet<String> =
        events.flat_map(|(_, text)| again_with(text, In::Misp, false)).collect();
    let with_labels =
        |until| usable_of(&all).map(|(object, o)| said(&o.to_string(), object, until)).collect();
    assert_eq!(read_back, with_labels(false));
    assert_eq!(again_with(&out(&all, Format::Csv).text, In::Csv, true), with_labels(true));
    // A list says no kinds; where they show, they are the same.
    let list = out(&all, Format::List);
    let shows = |o: &Observable| Observable::guess(o.value()).as_ref() == Ok(o);
    let lines: BTreeSet<String> = list.text.lines().map(str::to_owned).collect();
    assert_eq!(lines, values.iter().map(|o| o.value().to_owned()).collect());
    let guessed = lines.iter().filter_map(|line| Observable::guess(line).ok());
    let guessed: BTreeSet<String> = guessed.map(|o| o.to_string()).collect();
    assert!(of(&values, shows).is_subset(&guessed));

    let domains = of(&values, |o| o.kind() == K::Domain);
    assert_eq!(again(&out(&all, Format::Hosts).text, Some(In::List)), domains);
    let zone = out(&all, Format::Rpz).text;
    let rules: BTreeSet<&str> = zone.lines().filter_map(|line| line.strip_suffix(" CNAME .")).collect();
    let named: BTreeSet<String> = rules
        .iter()
        .filter(|rule| !rule.starts_with("*.") && !rule.ends_with(".rpz-ip"))
        .map(|name| format!("domain {name}"))
        .collect();
    assert_eq!(named, domains);
    let addresses = rules.iter().filter(|rule| rule.ends_with(".rpz-ip")).count();
    assert_eq!(addresses, of(&values, |o| matches!(o.kind(), K::Ipv4 | K::Ipv6)).len());

    // And nothing that was written differs from what is written again.
    for (name, format) in FORMATS {
        assert_eq!(out(&all, format), out(&all, format), "{name}");
    }
}
