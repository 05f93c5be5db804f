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

#[test]
fn attachments_and_windows_logs_are_looked_through_and_what_is_not_looked_for_is_named() {
    let federation = Federation::new(1, &[]);
    let node = &federation.nodes[0];
    let dir = federation.dir();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let list = write(
        "list.txt",
        "http://evil.example:80/x?fbclid=abc\nb\u{fc}cher.example\ndyn.example\n".as_bytes(),
    );
    node.json(&["indicator", "import", &list]);
    let at = "2026-01-02T03:04:05.000Z";
    let of = |n: u8, pattern: &str| {
        json!({
            "type": "indicator", "spec_version": "2.1", "id": format!("indicator--0c1d54a9-5b0e-4a61-a2f3-7be29d4ec0d{n}"),
            "created": at, "modified": at, "valid_from": at, "pattern_type": "stix", "pattern": pattern,
        })
    };
    let objects = [
        of(1, "[domain-name:value = 'evil.example' AND process:name = 'agentd']"),
        of(2, "[domain-name:value = 'evil.example'] FOLLOWEDBY [process:name = 'agentd']"),
    ];
    let bundle =
        json!({ "type": "bundle", "id": "bundle--0c1d54a9-5b0e-4a61-a2f3-7be29d4ec0d7", "objects": objects });
    node.json(&["indicator", "import", &write("bundle.json", bundle.to_string().as_bytes())]);
    node.json(&["indicator", "allow", "add", "our.dyn.example"]);
    let record = json!({
        "day": "2025-01-02", "tactic": "T01", "person": "p", "consent_statistics": "no",
        "narrative": "agentd was there", "notes": "and www.evil.example, our.dyn.example",
    });
    node.json(&["record", "add", "--file", &write("record.json", record.to_string().as_bytes())]);
    let chat = write("chat.txt", "hello\nB\u{fc}cher.example is new\n".as_bytes());
    node.json(&["attachment", "add", "0", &chat]);
    let picture = [[0, 1, 2, 3].repeat(300_000), b"evil.example".to_vec()].concat();
    node.json(&["attachment", "add", "0", &write("picture.jpg", &picture)]);

    // Gzipped, and broken off.
    node.json(&["attachment", "add", "0", &write("log.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b])]);

    let incidents = node.json(&["match", "--remember"]);
    let places: Vec<(Value, Value)> = incidents["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["place"].clone(), f["value"].clone()))
        .collect();
    let expected = [
        (json!({"record": {"number": 0, "field": "all"}}), json!("domain evil.example AND process agentd")),
        (
            json!({"attachment": {"record": 0, "number": 0, "name": "chat.txt"}}),
            json!("xn--bcher-kva.example"),
        ),
    ];
    assert_eq!(places, expected, "{incidents}");
    assert_eq!(
        (
            &incidents["attachments"],
            &incidents["not_text"],
            &incidents["looked_for"],
            &incidents["remembered"]
        ),
        (&json!(2), &json!(1), &json!(5), &json!(2))
    );
    assert_eq!(incidents["skipped"], 0);
    let unread = &incidents["unread"];
    assert_eq!((unread.as_array().unwrap().len(), &unread[0]["path"]), (1, &json!("log.gz")));
    assert_eq!(unread[0]["record"], 0);
    assert_eq!(incidents["left_out"].as_array().unwrap().len(), 1, "{incidents}");
    assert_eq!(
        incidents["left_out"][0]["objects"],
        json!(["indicator--0c1d54a9-5b0e-4a61-a2f3-7be29d4ec0d2"])
    );

    let utf16: Vec<u8> = "\u{feff}one\r\nGET http://EVIL.example:80/x?fbclid=zzz#top\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let files = node.json(&["match", &write("proxy.log", &utf16)]);
    let found = &files["found"];
    assert_eq!(found.as_array().unwrap().len(), 1, "{files}");
    assert_eq!((&found[0]["value"], &found[0]["lines"]), (&json!("http://evil.example/x"), &json!([2])));
}
