//! Indicators looked for at home: in a node's own incidents and in files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{collections::BTreeSet, fs};

use hedgerow_tests::{Federation, eventually};
use serde_json::{Value, json};

#[test]
fn what_another_member_published_is_found_in_incidents_and_logs_with_where_and_whose_and_no_text() {
    let federation = Federation::new(2, &[]);
    let [publisher, node] = &federation.nodes[..] else { panic!() };
    let list = federation.dir().join("list.txt");
    fs::write(&list, "evil.example\nold.example\n192.0.114.7\n").unwrap();
    publisher.json(&["indicator", "import", list.to_str().unwrap()]);
    publisher.json(&["indicator", "publish", "--tlp", "amber"]);
    let ids: Vec<Value> = publisher.json(&["indicator", "list"]).as_array().unwrap().clone();
    let old = ids.iter().find(|i| i["what"] == "domain old.example").unwrap();
    publisher.json(&["indicator", "revoke", old["id"].as_str().unwrap()]);
    let record = json!({
        "day": "2025-01-02", "tactic": "T01", "person": "p", "consent_statistics": "no",
        "narrative": "She got a message\nwith a link to hxxps://www.evil[.]example/login and clicked.",
    });
    let file = federation.dir().join("record.json");
    fs::write(&file, record.to_string()).unwrap();
    node.json(&["record", "add", "--file", file.to_str().unwrap()]);
    let logs = federation.dir().join("logs");
    fs::create_dir_all(logs.join("deep")).unwrap();
    fs::write(logs.join("a.log"), "192.0.114.7 - GET\nnothing\nold.example\nnotevil.example\n").unwrap();
    fs::write(logs.join("deep/b.log"), "10.0.0.1 - GET http://evil.example\n").unwrap();
    let missing = federation.dir().join("missing.log");

    let serving = federation.serve();
    eventually("the batches arrived", || node.json(&["status"])["indicators"] == 3);
    let incidents = node.json(&["match"]);
    let found = incidents["found"].as_array().unwrap();
    assert_eq!(
        (found.len(), &incidents["records"], &incidents["looked_for"]),
        (1, &json!(1), &json!(2)),
        "{incidents}"
    );
    assert_eq!(found[0]["place"], json!({"record": {"number": 0, "field": "narrative"}}));
    assert_eq!(
        (&found[0]["value"], &found[0]["lines"], &found[0]["tlp"]),
        (&json!("evil.example"), &json!([2]), &json!("amber"))
    );
    assert_eq!(found[0]["defanged"], true);
    let owner = publisher.json(&["status"])["id"].clone();
    assert_eq!(found[0]["from"], json!({"member": owner}));
    assert!(!incidents.to_string().contains("clicked"), "the text stays where it is");

    let args = ["match", logs.to_str().unwrap(), missing.to_str().unwrap()];
    let files = node.json(&args);
    assert_eq!((&files["files"], &files["lines"], &files["records"]), (&json!(2), &json!(5), &json!(0)));
    let seen: BTreeSet<(String, String)> = files["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["place"]["file"].as_str().unwrap().to_owned(), f["value"].as_str().unwrap().to_owned()))
        .collect();
    let at = |name: &str| logs.join(name).display().to_string();
    let expected = [(at("a.log"), "192.0.114.7".to_owned()), (at("deep/b.log"), "evil.example".to_owned())];
    assert_eq!(seen, expected.into_iter().collect());
    assert_eq!(files["unread"].as_array().unwrap().len(), 1);
    // Without a node that runs it is the same.
    drop(serving);
    assert_eq!(node.json(&args)["found"], files["found"]);
}
