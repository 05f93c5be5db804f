//! What groups saw stays with them; how many saw it is asked like any other figure.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;

use hedgerow_tests::{Federation, Node, eventually};
use serde_json::{Value, json};

/// So large an epsilon that the noise of a few cells is 0 but once in a million years of this test.
const EXACT: [&str; 6] =
    ["--epsilon-total", "800", "--epsilon-per-query", "60", "--epsilon-per-asker", "800"];

/// Three groups; the first has published four domains, and all have them.
fn federation(terms: &[&str]) -> Federation {
    let federation = Federation::new(3, terms);
    let file = federation.dir().join("indicators.txt");
    fs::write(&file, "a.phish.example\nb.phish.example\nc.phish.example\nd.phish.example\n").unwrap();
    let first = &federation.nodes[0];
    assert_eq!(first.json(&["indicator", "import", file.to_str().unwrap()])["stored"], 4);
    first.json(&["indicator", "publish", "--tlp", "amber"]);
    federation
}

fn arrived(federation: &Federation) {
    eventually("every indicator everywhere", || {
        federation.nodes.iter().all(|n| n.json(&["status"])["indicators"] == 4)
    });
}

fn record(node: &Node, federation: &Federation, narrative: &str, consent: &str) -> String {
    let record = json!({
        "day": "2025-02-15",
        "tactic": "T01",
        "person": format!("p-{narrative}"),
        "narrative": narrative,
        "consent_statistics": consent,
    });
    let file = federation.dir().join("record.jsonl");
    fs::write(&file, record.to_string()).unwrap();
    assert_eq!(node.json(&["import", file.to_str().unwrap()])["stored"], 1);
    let listed = node.json(&["record", "list"]);
    listed.as_array().unwrap().last().unwrap()["number"].to_string()
}

fn counts(node: &Node, federation: &Federation, more: &[&str]) -> Vec<i64> {
    let out = federation.dir().join("release.json");
    let purpose = ["ask", "--purpose", "research", "--local", "--out", out.to_str().unwrap()];
    let release = node.json(&[&purpose[..], &["--epsilon", "60"], more].concat());
    assert_eq!(release["verified"], true, "{release}");
    assert_eq!(release["post_processed"]["margins"], json!([]), "sums of sightings mean nothing");
    release["cells"].as_array().unwrap().iter().map(|c| c["value"].as_i64().unwrap()).collect()
}

/// The cells stand by STIX id.
fn by_value(node: &Node, values: &[&str], counts: &[i64]) -> Vec<i64> {
    let listed = node.json(&["indicator", "list"]);
    let id = |value: &str| {
        let of = |one: &&Value| one["what"] == format!("domain {value}");
        listed.as_array().unwrap().iter().find(of).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let mut ids: Vec<String> = values.iter().map(|v| id(v)).collect();
    let asked = ids.clone();
    ids.sort();
    asked.iter().map(|id| counts[ids.iter().position(|i| i == id).unwrap()]).collect()
}

#[test]
fn a_group_counts_where_it_saw_an_indicator_and_its_people_let_it_count() {
    let federation = federation(&EXACT);
    let _serving = federation.serve();
    arrived(&federation);
    let [first, second, third] = &federation.nodes[..] else { panic!("three nodes") };

    // Twice at the first: it still is one group.
    record(first, &federation, "a link to a.phish.example came by mail", "yes");
    assert_eq!(first.json(&["match", "--remember"])["remembered"], 1);
    assert_eq!(first.json(&["match", "--remember"])["remembered"], 0, "it was noted before");
    assert_eq!(first.json(&["indicator", "sighting", "add", "a.phish.example"]), json!({"sightings": 1}));
    let consenting = record(second, &federation, "a.phish.example again", "yes");
    record(second, &federation, "b.phish.example, and she does not want to be counted", "no");
    assert_eq!(second.json(&["match", "--remember"])["remembered"], 2);
    let log = federation.dir().join("dns.log");
    fs::write(&log, "query a.phish.example\nquery elsewhere.example\n").unwrap();
    assert_eq!(third.json(&["match", log.to_str().unwrap(), "--remember"])["remembered"], 1);
    third.json(&["indicator", "sighting", "add", "domain b[.]phish[.]example", "--on", "2025-05-01"]);

    let values = ["a.phish.example", "b.phish.example"];
    let counted = counts(first, &federation, &["--sightings", "a.phish.example,b.phish.example"]);
    assert_eq!(by_value(first, &values, &counted), [3, 1]);

    // What was in a record goes with it.
    assert_eq!(second.json(&["indicator", "sighting", "list"]).as_array().unwrap().len(), 2);
    second.json(&["record", "erase", &consenting, "--yes"]);
    assert_eq!(second.json(&["indicator", "sighting", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(counts(third, &federation, &["--sightings", "a.phish.example"]), [2]);

    let quarters =
        ["--sightings", "b.phish.example", "--by", "quarter", "--from", "2025-Q1", "--to", "2025-Q3"];
    assert_eq!(counts(first, &federation, &quarters), [0, 1, 0]);
    assert_eq!(third.json(&["indicator", "sighting", "remove", "b.phish.example"]), json!({"sightings": 1}));
    let quarters = ["--sightings", "b.phish.example", "--by", "year", "--from", "2025-Q1", "--to", "2025-Q4"];
    assert_eq!(counts(first, &federation, &quarters), [0]);
}

#[test]
fn sightings_are_counted_in_a_round_and_only_of_what_members_published() {
    let federation = federation(&[]);
    let _serving = federation.serve();
    arrived(&federation);
    let node = &federation.nodes[0];
    for node in &federation.nodes {
        node.json(&["indicator", "sighting", "add", "c.phish.example"]);
    }
    let out = federation.dir().join("round.json");
    let ask = ["ask", "--sightings", "c.phish.example", "--epsilon", "1", "--purpose", "research"];
    let release = node.json(&[&ask[..], &["--out", out.to_str().unwrap()]].concat());
    assert_eq!((&release["verified"], &release["mode"]), (&json!(true), &json!("round")));
    let verified = federation.nodes[1].json(&["verify", out.to_str().unwrap()]);
    assert_eq!(verified["verified"], true);

    let forecast = node.json(&[
        "ask",
        "--sightings",
        "a.phish.example",
        "--epsilon",
        "1",
        "--purpose",
        "research",
        "--dry-run",
    ]);
    assert_eq!((&forecast["groups"], &forecast["cells_per_person"]), (&json!(1), &json!(1)));

    // A value that nobody published could be anyone's.
    let refused =
        node.run(&["ask", "--sightings", "someone@example.org", "--epsilon", "1", "--purpose", "research"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("no member has published"), "{}", refused.stderr);
    let future = node.run(&["indicator", "sighting", "add", "a.phish.example", "--on", "9999-01-01"]);
    assert_eq!(future.code, Some(2), "{}", future.stderr);
    let nowhere = node.run(&["indicator", "sighting", "add", "a.phish.example", "--record", "77"]);
    assert_eq!(nowhere.code, Some(2), "{}", nowhere.stderr);
}
