//! Five groups with real vaults and real processes: a question with a checkable answer, indicators that arrive.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{collections::BTreeMap, fs, process::Command};

use hedgerow_tests::{Federation, Node, binary, eventually, real_data};
use serde_json::{Value, json};

/// Records that the test makes, so that it can count them itself: (person, tactic, role, origin, quarter).
fn records(node: usize, n: usize) -> Vec<Value> {
    (0..n)
        .map(|i| {
            let person = i / 2;
            json!({
                "day": format!("2025-{:02}-15", (i * 7 + node) % 12 + 1),
                "tactic": (["T01", "T04", "T09"][(i / 3) % 3]),
                "person": format!("p{person}"),
                "role": if person % 2 == 0 { "journalist" } else { "lawyer" },
                "origin": if person % 3 == 0 { "IR" } else { "XX" },
                "confidence": if person % 3 == 0 { "likely" } else { "none" },
                "basis": if person % 3 == 0 { "helpline" } else { "none" },
                "consent_statistics": if i % 10 == 9 { "no" } else { "yes" },
            })
        })
        .collect()
}

fn within(release: &Value, exact: &BTreeMap<Vec<String>, i64>) {
    let cells = release["cells"].as_array().unwrap();
    let half = cells[0]["high"].as_i64().unwrap() - cells[0]["value"].as_i64().unwrap();
    let mut inside = 0;
    for cell in cells {
        let key: Vec<String> =
            cell["cell"].as_array().unwrap().iter().map(|c| c.as_str().unwrap().to_owned()).collect();
        let truth = exact.get(&key).copied().unwrap_or(0);
        let value = cell["value"].as_i64().unwrap();
        // Far outside the interval is no noise: the tails fall off exponentially, so four half-widths are never
        // seen in the life of this test.
        assert!((value - truth).abs() <= 4 * half + 4, "{key:?}: {value} where {truth} is true, ±{half}");
        inside += usize::from((value - truth).abs() <= half);
    }
    // 95% intervals: of a dozen or more cells at least two thirds hold.
    assert!(inside * 3 >= cells.len() * 2, "{inside} of {} intervals hold", cells.len());
}

#[test]
fn five_groups_answer_a_question_and_share_indicators() {
    let federation = Federation::new(
        5,
        &["--epsilon-total", "12", "--epsilon-per-query", "3", "--epsilon-per-asker", "12"],
    );
    let mut exact: BTreeMap<Vec<String>, i64> = BTreeMap::new();
    for (i, node) in federation.nodes.iter().enumerate() {
        let made = records(i, 200);
        let file = federation.dir().join(format!("records{i}.jsonl"));
        let lines: Vec<String> = made.iter().map(Value::to_string).collect();
        fs::write(&file, lines.join("\n")).unwrap();
        let report = node.json(&["import", file.to_str().unwrap()]);
        assert_eq!(report, json!({"read": 200, "stored": 200, "duplicates": 0, "rejected": []}));
        let again = node.json(&["import", file.to_str().unwrap()]);
        assert_eq!(again, json!({"read": 200, "stored": 0, "duplicates": 200, "rejected": []}));
        for record in made.iter().filter(|r| r["consent_statistics"] == "yes") {
            // Two incidents a person here, so the bounds of two cells and two incidents cut nothing.
            let tactic = record["tactic"].as_str().unwrap().to_owned();
            *exact.entry(vec![tactic]).or_default() += 1;
        }
    }
    let serving = federation.serve();
    let asker = &federation.nodes[1];
    let file = federation.dir().join("release.json");
    let out = file.to_str().unwrap();
    let ask = [
        "ask",
        "--count",
        "incidents",
        "--by",
        "tactic",
        "--epsilon",
        "3",
        "--purpose",
        "research",
        "--out",
        out,
    ];
    let release = asker.json(&ask);
    assert_eq!((&release["verified"], &release["contributions"]), (&json!(true), &json!(5)));
    assert_eq!(release["epsilon"], "3");
    within(&release, &exact);

    // The same question is free and has the same figures, whoever asks, even though a record was added.
    federation.nodes[0].json(&[
        "record",
        "add",
        "--day",
        "2025-05-05",
        "--tactic",
        "T01",
        "--person",
        "new",
        "--consent-statistics",
        "yes",
    ]);
    let other = federation.dir().join("again.json");
    let mut again = ask;
    again[10] = other.to_str().unwrap();
    let repeated = federation.nodes[3].json(&again);
    assert_eq!(repeated["cells"], release["cells"]);
    for node in &federation.nodes {
        let ledger = node.json(&["ledger"]);
        assert_eq!(ledger["total"]["spent_micros"], 3_000_000, "one charge at each node");
        assert_eq!(ledger["charges"].as_array().unwrap().len(), 1);
    }

    // Anyone can check it from the file; a changed figure is caught.
    let charter = federation.charter();
    let verify = |file: &str| {
        let output = Command::new(binary())
            .args(["verify", "--json", file, "--charter"])
            .arg(&charter)
            .output()
            .unwrap();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let (code, report) = verify(out);
    assert_eq!((code, &report["verified"]), (Some(0), &json!(true)), "{report}");
    let forged = federation.dir().join("forged.json");
    let mut text: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let payload = text["payload"].as_str().unwrap().to_owned();
    text["payload"] = json!(payload.replacen('A', "B", 1));
    fs::write(&forged, text.to_string()).unwrap();
    let (code, report) = verify(forged.to_str().unwrap());
    assert_eq!((code, &report["verified"]), (Some(1), &json!(false)), "{report}");

    // Over budget: 3 of at most 6 for research are spent; a third question of 3 is refused with its ground.
    let second = asker.run(&[
        "ask",
        "--count",
        "people",
        "--by",
        "role",
        "--epsilon",
        "3",
        "--purpose",
        "research",
        "--out",
        out,
    ]);
    assert_eq!(second.code, Some(0), "{second:?}");
    let third =
        asker.run(&["ask", "--count", "people", "--by", "harm", "--epsilon", "1", "--purpose", "research"]);
    assert_eq!(third.code, Some(4), "{third:?}");
    assert!(third.stderr.contains("over-budget"), "{third:?}");
    let advocacy = asker.run(&["ask", "--epsilon", "1", "--purpose", "advocacy", "--out", out]);
    assert_eq!(advocacy.code, Some(0), "the ledger is still usable: {advocacy:?}");

    // Release documents reach every node.
    eventually("releases everywhere", || {
        federation.nodes.iter().all(|n| n.json(&["status"])["releases"].as_u64() >= Some(3))
    });

    // Indicators: published by one, held by all, revoked for all.
    let list = federation.dir().join("list.txt");
    let values: String = (0..700).map(|i| format!("host{i}.phish.example\n")).collect();
    fs::write(&list, values).unwrap();
    let publisher = &federation.nodes[2];
    let report = publisher.json(&["indicator", "import", list.to_str().unwrap()]);
    assert_eq!((&report["read"], &report["stored"]), (&json!(700), &json!(700)));
    let report = publisher.json(&["indicator", "publish", "--tlp", "green"]);
    assert_eq!((&report["published"], &report["announced"]), (&json!(700), &json!(true)));
    eventually("indicators everywhere", || {
        federation.nodes.iter().all(|n| n.json(&["status"])["indicators"] == 700)
    });
    let reader = &federation.nodes[4];
    let id = reader.json(&["indicator", "list"])[0]["id"].as_str().unwrap().to_owned();
    let foreign = reader.run(&["indicator", "revoke", &id]);
    assert_eq!(foreign.code, Some(4), "only its publisher revokes: {foreign:?}");
    publisher.json(&["indicator", "revoke", &id]);
    eventually("the revocation everywhere", || {
        let exported = reader.json(&["indicator", "export", "--format", "list"]);
        exported["written"] == 699
    });

    // A node that was away catches up by itself.
    drop(serving);
    let held = federation.nodes[0].json(&["status"]);
    assert_eq!((&held["releases"], &held["indicators"]), (&json!(3), &json!(700)), "kept after the kill");
}

#[test]
fn a_node_that_was_away_learns_what_it_missed() {
    let federation = Federation::new(3, &[]);
    let [first, second, third] = &federation.nodes[..] else { panic!("three nodes") };
    let _first = first.serve();
    let _second = second.serve();
    let list = federation.dir().join("list.txt");
    fs::write(&list, "away.phish.example\n").unwrap();
    first.json(&["indicator", "import", list.to_str().unwrap()]);
    first.json(&["indicator", "publish", "--tlp", "green"]);
    eventually("the second has it", || second.json(&["status"])["indicators"] == 1);
    let _third = third.serve();
    eventually("the third has it", || third.json(&["status"])["indicators"] == 1);
}

#[test]
fn after_a_partition_in_which_both_sides_published_and_took_back_all_hold_the_same() {
    let federation = Federation::new(4, &[]);
    let nodes = &federation.nodes;
    let publish = |node: &Node, names: std::ops::Range<u32>| {
        let list = federation.dir().join(format!("{}.txt", names.start));
        fs::write(&list, names.map(|n| format!("host{n}.phish.example\n")).collect::<String>()).unwrap();
        node.json(&["indicator", "import", list.to_str().unwrap()]);
        node.json(&["indicator", "publish", "--tlp", "green"]);
    };
    let revoke = |node: &Node, what: &str| {
        let list = node.json(&["indicator", "list"]);
        let one = list.as_array().unwrap().iter().find(|one| one["what"] == what).unwrap();
        node.json(&["indicator", "revoke", one["id"].as_str().unwrap()]);
    };
    // What was published as it was signed, revocations included: byte for byte the same where the library is.
    let library = |node: &Node| node.json(&["indicator", "export", "--format", "stix"])["text"].clone();
    {
        let _all = federation.serve();
        publish(&nodes[0], 0..3);
        publish(&nodes[2], 3..6);
        eventually("all have it", || nodes.iter().all(|n| n.json(&["status"])["indicators"] == 6));
    }
    // Two of them meet, then the two others.
    for (side, names, gone) in [(&nodes[..2], 10..40, "host1"), (&nodes[2..], 50..90, "host4")] {
        let _side: Vec<_> = side.iter().map(Node::serve).collect();
        publish(&side[0], names.clone());
        publish(&side[1], names.end..names.end + 5);
        revoke(&side[0], &format!("domain {gone}.phish.example"));
        eventually("the side has it", || library(&side[0]) == library(&side[1]));
    }
    assert_ne!(library(&nodes[0]), library(&nodes[2]));
    let _all = federation.serve();
    eventually("all hold the same", || nodes.iter().all(|node| library(node) == library(&nodes[0])));
    let list = nodes[3].json(&["indicator", "export", "--format", "list"]);
    let text = list["text"].as_str().unwrap();
    assert_eq!(list["written"], 6 - 2 + 35 + 45, "{text}");
    assert!(!text.contains("host1.phish") && !text.contains("host4.phish"));
}

#[test]
fn the_demo_runs_to_its_end_and_its_releases_verify() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("demo");
    let output = Command::new(binary())
        .args(["demo", "--exit", "--json", "--records", "500", "--dir"])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["nodes"], &report["records"]), (&json!(5), &json!(500)));
    assert_eq!(report["indicators"]["published"], 50);
    assert!(report["indicators"]["seen_by_all_ms"].is_u64() && report["seconds"].is_f64());
    let releases = report["releases"].as_array().unwrap();
    // Two of incidents, and one of what was seen of the indicators.
    assert_eq!(releases.len(), 3);
    for release in releases {
        assert_eq!((&release["verified"], &release["epsilon"]), (&json!(true), &json!("1")));
        let file = release["file"].as_str().unwrap();
        assert!(Command::new(binary()).args(["verify", file]).output().unwrap().status.success());
    }
    // Nothing is left running: every vault can be opened again at once.
    let again = Command::new(binary())
        .args(["status", "--json", "--home"])
        .arg(folder.join("node1"))
        .arg("--passphrase-file")
        .arg(folder.join("passphrase"))
        .output()
        .unwrap();
    let status: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(status["network"], Value::Null);
    // A folder that no demo made is never cleared.
    let precious = dir.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "keep").unwrap();
    let refused = Command::new(binary()).args(["demo", "--exit", "--dir"]).arg(&precious).output().unwrap();
    assert!(!refused.status.success() && precious.join("file").exists());
}

#[test]
fn the_public_incidents_go_through_a_federation_as_they_are() {
    let Some(root) = real_data() else { return };
    let dir = tempfile::tempdir().unwrap();
    let input = root.join("incidents/vcdb_5701_coded.csv");
    let indicators = root.join("indicators/AmnestyTech+investigations/2021-07-18_nso/pegasus.stix2");
    let output = Command::new(binary())
        .args(["demo", "--exit", "--json", "--dir"])
        .arg(dir.path().join("demo"))
        .arg("--input")
        .arg(&input)
        .arg("--indicators")
        .arg(&indicators)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["records"], 5701);
    assert!(report["indicators"]["published"].as_u64().unwrap() > 1400, "{report}");
}
