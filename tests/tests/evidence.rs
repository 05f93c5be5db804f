//! Files kept with a record, through the real binary: what a caseworker does with evidence.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{fs, path::Path};

use hedgerow_tests::{Federation, Node};
use serde_json::json;

fn with_a_record(dir: &Path) -> Node {
    let node = Node::at(dir, "node");
    node.init("Alone", &[]);
    add_record(&node);
    node
}

fn add_record(node: &Node) {
    node.json(&["record", "add", "--day", "2025-01-02", "--tactic", "T04", "--person", "p"]);
}

#[test]
fn a_file_is_kept_listed_annotated_and_written_out_as_it_came_in_running_or_not() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let node = &federation.nodes[0];
    add_record(node);
    let file = federation.dir().join("phone backup.bin");
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(&file, &bytes).unwrap();
    let path = file.to_str().unwrap();
    let kept = node.json(&["attachment", "add", "0", path, "--note", "from her phone"]);
    assert_eq!((&kept["number"], &kept["name"]), (&json!(0), &json!("phone backup.bin")));
    assert_eq!(kept["bytes"], 3_000_000);
    let serving = node.serve();
    node.json(&["attachment", "add", "0", path]);
    node.json(&["attachment", "note", "0", "0", "shown to the lab"]);
    let listed = node.json(&["attachment", "list", "0"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["custody"][0]["note"], "from her phone");
    assert_eq!(listed[0]["custody"][1]["note"], "shown to the lab");
    let out = federation.dir().join("out.bin");
    let to = ["--out", out.to_str().unwrap()];
    let written = node.json(&[&["attachment", "export", "0", "0"][..], &to].concat());
    assert_eq!(written["attachment"]["sha256"], kept["sha256"]);
    assert_eq!(fs::read(&out).unwrap(), bytes);
    let again = node.run(&[&["attachment", "export", "0", "0"][..], &to].concat());
    assert_eq!(again.code, Some(2), "never written over: {again:?}");
    drop(serving);
    fs::remove_file(&file).unwrap();
    // In the test's own folder, under its own name.
    node.json(&["attachment", "export", "0", "1"]);
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[test]
fn evidence_of_an_erased_record_goes_with_it_and_what_is_not_there_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let node = with_a_record(dir.path());
    let file = dir.path().join("a.txt");
    fs::write(&file, "text").unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(node.run(&["attachment", "add", "7", path]).code, Some(2), "no such record");
    assert_eq!(node.run(&["attachment", "add", "0", "missing"]).code, Some(2), "no such file");
    assert_eq!(node.run(&["attachment", "add", "0", "."]).code, Some(2), "a folder");
    node.json(&["attachment", "add", "0", path]);
    node.json(&["attachment", "add", "0", path]);
    assert_eq!(node.run(&["attachment", "remove", "0", "0"]).code, Some(2), "nobody could be asked");
    node.json(&["attachment", "remove", "0", "0", "--yes"]);
    let out = ["attachment", "export", "0", "0", "--out", "gone.txt"];
    assert_eq!(node.run(&out).code, Some(2));
    assert!(!dir.path().join("gone.txt").exists());
    let kept = || fs::read_dir(node.home().join("attachments")).unwrap().count();
    assert_eq!(kept(), 1);
    node.json(&["record", "erase", "0", "--yes"]);
    assert_eq!((kept(), node.run(&["attachment", "list", "0"]).code), (0, Some(2)));
}

#[test]
fn evidence_that_was_changed_on_disk_is_told_and_nothing_of_it_is_written_out() {
    let dir = tempfile::tempdir().unwrap();
    let node = with_a_record(dir.path());
    let file = dir.path().join("a.bin");
    fs::write(&file, vec![7; 600_000]).unwrap();
    node.json(&["attachment", "add", "0", file.to_str().unwrap()]);
    let kept = fs::read_dir(node.home().join("attachments")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&kept).unwrap();
    // In its last chunk: what comes before is authentic, and still is no evidence.
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    fs::write(&kept, bytes).unwrap();
    let out = dir.path().join("out.bin");
    let done = node.run(&["attachment", "export", "0", "0", "--out", out.to_str().unwrap()]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("attachment"), "{done:?}");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("out.bin")), "{left:?}");
}
