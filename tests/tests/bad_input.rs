//! Bad input gets a clear error and loses nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    fs,
    net::UdpSocket,
    process::{Command, Stdio},
};

use hedgerow_tests::{Federation, Node, binary, free_addresses};
use serde_json::{Value, json};

fn node(dir: &tempfile::TempDir) -> Node {
    let node = Node::at(dir.path(), "node");
    node.init("Alone", &[]);
    node
}

#[test]
fn a_wrong_passphrase_opens_nothing_and_spoils_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    node.json(&["simulate", "10", "--seed", "1"]);
    let wrong = dir.path().join("wrong");
    fs::write(&wrong, "not the passphrase").unwrap();
    let output = Command::new(binary())
        .args(["status", "--json", "--home"])
        .arg(node.home())
        .arg("--passphrase-file")
        .arg(&wrong)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["class"], "vault");
    assert!(error["error"]["message"].as_str().unwrap().contains("passphrase"));
    assert_eq!(node.json(&["status"])["records"], 10);
}

#[test]
fn a_second_init_never_replaces_a_vault() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    let id = node.json(&["status"])["id"].clone();
    assert_eq!(node.run(&["init", "--name", "Other"]).code, Some(3));
    assert_eq!(node.json(&["status"])["id"], id);
}

#[test]
fn broken_rows_are_named_and_the_good_ones_go_in() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    let file = dir.path().join("records.jsonl");
    let good = json!({"day": "2025-01-02", "tactic": "T01", "person": "p", "consent_statistics": "yes"});
    let lines = [
        good.to_string(),
        "{\"day\": \"2025-01-02\", \"tactic\": ".to_owned(),
        json!({"day": "2025-02-30", "tactic": "T01", "person": "p"}).to_string(),
        json!({"day": "2025-01-02", "tactic": "T77", "person": "p"}).to_string(),
        json!({"day": "2025-01-02", "tactic": "T01", "person": "p", "secret_field": 1}).to_string(),
        json!({"day": "2025-01-02", "tactic": "T01", "person": "p", "origin": "IR"}).to_string(),
        json!({"day": "2025-01-03", "tactic": "T02", "person": "q"}).to_string(),
    ];
    fs::write(&file, lines.join("\n")).unwrap();
    let dry = node.json(&["import", "--dry-run", file.to_str().unwrap()]);
    assert_eq!((&dry["read"], &dry["stored"]), (&json!(7), &json!(2)));
    assert_eq!(node.json(&["status"])["records"], 0, "a dry run stores nothing");
    let report = node.json(&["import", file.to_str().unwrap()]);
    assert_eq!(
        (&report["read"], &report["stored"], &report["duplicates"]),
        (&json!(7), &json!(2), &json!(0))
    );
    let rejected: Vec<u64> =
        report["rejected"].as_array().unwrap().iter().map(|r| r["line"].as_u64().unwrap()).collect();
    assert_eq!(rejected, [2, 3, 4, 5, 6]);
    for row in report["rejected"].as_array().unwrap() {
        assert!(row["reason"].as_str().unwrap().len() > 10, "{row}");
    }
}

#[test]
fn a_file_in_another_encoding_says_how_to_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    let file = dir.path().join("records.csv");
    let mapping = dir.path().join("mapping.json");
    fs::write(&file, b"date,what,who\n2025-01-02,T01,Zo\xeb\n2025-01-03,T02,Ann\n").unwrap();
    let output = node.run(&["import", "--json", file.to_str().unwrap()]);
    assert_eq!(output.code, Some(2), "a mapping is proposed: {output:?}");
    let proposed = output.stderr.split("Proposed:").nth(1);
    assert!(proposed.is_some(), "{output:?}");
    fs::write(
        &mapping,
        json!({"name": "mine", "fields": {
            "day": {"columns": ["date"]}, "tactic": {"columns": ["what"]}, "person": {"columns": ["who"]}
        }})
        .to_string(),
    )
    .unwrap();
    let args = ["import", file.to_str().unwrap(), "--mapping", mapping.to_str().unwrap()];
    let report = node.json(&args);
    assert_eq!((&report["stored"], &report["rejected"][0]["line"]), (&json!(1), &json!(2)));
    assert!(report["rejected"][0]["reason"].as_str().unwrap().contains("encoding"), "{report}");
    let report = node.json(&[&args[..], &["--encoding", "windows-1252"]].concat());
    assert_eq!((&report["stored"], &report["duplicates"]), (&json!(1), &json!(1)));
}

#[test]
fn a_flipped_or_cut_vault_says_that_it_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    node.json(&["simulate", "50", "--seed", "1"]);
    let db = node.home().join("vault/db");
    let whole = fs::read(&db).unwrap();
    // The file is longer than what stands in it.
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(&db, &whole[..used / 2]).unwrap();
    let output = node.run(&["status"]);
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.stderr.contains("restore"), "{output:?}");
    fs::write(&db, &whole).unwrap();
    assert_eq!(node.json(&["status"])["records"], 50);
    let keyring = node.home().join("keyring.json");
    let text = fs::read(&keyring).unwrap();
    fs::write(&keyring, &text[..text.len() / 2]).unwrap();
    let output = node.run(&["status"]);
    assert_eq!(output.code, Some(3));
    assert!(output.stderr.contains("keyring"), "{output:?}");
}

#[test]
fn a_full_disk_stores_nothing_of_a_batch_and_keeps_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    node.json(&["simulate", "100", "--seed", "1"]);
    let size = fs::metadata(node.home().join("vault/db")).unwrap().len();
    // The file may not grow: the limit is what it has, in blocks of 512 bytes.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", size / 512 + 8);
    let output = Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(binary())
        .args(["simulate", "200000", "--seed", "2", "--home"])
        .arg(node.home())
        .arg("--passphrase-file")
        .arg(dir.path().join("node.passphrase"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let records = node.json(&["status"])["records"].as_u64().unwrap();
    assert!(records >= 100, "{records}");
    assert_eq!(records % 100, 0, "a batch went in whole or not at all");
    let after = node.json(&["simulate", "1", "--seed", "3"]);
    assert_eq!(after["stored"], 1);
}

#[test]
fn a_port_in_use_is_told_with_the_address() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/udp/{}/quic-v1", taken.local_addr().unwrap().port());
    let dir = tempfile::tempdir().unwrap();
    let node = Node::at(dir.path(), "node");
    node.init("Alone", std::slice::from_ref(&address));
    let charter = dir.path().join("charter.json");
    node.json(&["charter", "new", "--name", "One", "--out", charter.to_str().unwrap()]);
    node.json(&["join", charter.to_str().unwrap()]);
    let output = node.run(&["serve"]);
    assert_eq!(output.code, Some(5), "{output:?}");
    assert!(output.stderr.contains(&address), "{output:?}");
}

#[test]
fn a_charter_counts_only_with_its_quorum_and_for_its_members() {
    let dir = tempfile::tempdir().unwrap();
    let nodes: Vec<Node> = ["a", "b", "c"].iter().map(|n| Node::at(dir.path(), n)).collect();
    nodes.iter().for_each(|n| n.init("Group", &free_addresses()));
    let charter = dir.path().join("charter.json");
    let path = charter.to_str().unwrap();
    let card = nodes[1].home().join("member.json");
    let card = card.to_str().unwrap();
    nodes[0].json(&["charter", "new", "--name", "Two", "--quorum", "2", "--member", card, "--out", path]);
    assert_eq!(nodes[0].run(&["join", path]).code, Some(4), "one of two signatures");
    assert_eq!(nodes[2].run(&["charter", "sign", path]).code, Some(4), "not a member");
    nodes[1].json(&["charter", "sign", path]);
    nodes[0].json(&["join", path]);
    let whole = fs::read_to_string(&charter).unwrap();
    let mut altered: Value = serde_json::from_str(&whole).unwrap();
    let payload = altered["payload"].as_str().unwrap().replacen("ey", "eX", 1);
    altered["payload"] = json!(payload);
    fs::write(&charter, altered.to_string()).unwrap();
    assert_eq!(nodes[1].run(&["join", path]).code, Some(1), "an altered charter does not verify");
    assert_eq!(
        nodes[0].run(&["ask", "--epsilon", "1", "--purpose", "research"]).code,
        Some(5),
        "no node runs"
    );
}

#[test]
fn a_question_that_cannot_be_answered_costs_nothing() {
    let federation = Federation::new(3, &[]);
    let _serving = federation.serve();
    let node = &federation.nodes[0];
    let ask = |more: &[&str]| node.run(&[&["ask", "--purpose", "research"], more].concat());
    let unknown = ask(&["--epsilon", "1", "--where", "origin=ZZ"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("ZZ"));
    let dear = ask(&["--epsilon", "7"]);
    assert_eq!(dear.code, Some(4), "{dear:?}");
    let wide = ask(&["--epsilon", "1", "--by", "origin,region"]);
    assert_eq!(wide.code, Some(2), "{wide:?}");
    let purpose = node.run(&["ask", "--epsilon", "1", "--purpose", "curiosity"]);
    assert_eq!(purpose.code, Some(4), "{purpose:?}");
    for node in &federation.nodes {
        assert_eq!(node.json(&["ledger"])["total"]["spent_micros"], 0);
    }
}

#[test]
fn indicators_that_would_harm_people_are_held_back_and_told() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let node = &federation.nodes[0];
    let list = federation.dir().join("list.txt");
    fs::write(&list, "google.com\n10.0.0.1\nsomeone@mail.example\nevil.phish.example\nnot a value\n")
        .unwrap();
    let report = node.json(&["indicator", "import", list.to_str().unwrap()]);
    assert_eq!(
        (&report["read"], &report["stored"], &report["rejected"][0]["line"]),
        (&json!(5), &json!(4), &json!(5))
    );
    let output = node.run(&["indicator", "publish", "--tlp", "green", "--json"]);
    assert_eq!(output.code, Some(4), "{output:?}");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["published"], 1);
    assert_eq!(report["refused"].as_array().unwrap().len(), 2);
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1);
    let red = node.run(&["indicator", "publish", "--tlp", "red"]);
    assert_eq!(red.code, Some(4), "{red:?}");
}

#[test]
fn the_passphrase_and_the_narrative_are_in_no_file_of_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    node.json(&[
        "record",
        "add",
        "--day",
        "2025-01-02",
        "--tactic",
        "T04",
        "--person",
        "pseudonym-of-someone",
        "--narrative",
        "what nobody may read",
        "--consent-statistics",
        "yes",
    ]);
    let shown = node.json(&["record", "show", "0"]);
    assert_eq!(shown["record"]["narrative"], "what nobody may read");
    let mut folders = vec![node.home().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            for secret in ["what nobody may read", "pseudonym-of-someone", "a passphrase for tests"] {
                assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{}", path.display());
            }
        }
    }
    node.json(&["record", "erase", "0", "--yes"]);
    assert_eq!(node.run(&["record", "show", "0"]).code, Some(2));
}
