//! Indicators among real nodes: what may not leave, what is held back on arrival, what proves itself, and a campaign of
//! the size that the field has seen.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{fmt::Write as _, fs, path::PathBuf};

use hedgerow_tests::{Federation, Node, eventually, real_data};
use serde_json::{Value, json};

fn file(federation: &Federation, name: &str, text: &str) -> String {
    let path: PathBuf = federation.dir().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn import(node: &Node, file: &str) -> Value {
    node.json(&["indicator", "import", file])
}

fn listed(node: &Node) -> Vec<String> {
    let list = node.json(&["indicator", "export", "--format", "list", "--members"]);
    list["text"].as_str().unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn what_names_somebody_of_the_vault_does_not_leave_it_and_is_held_back_when_it_comes() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let [ours, theirs] = &federation.nodes[..] else { panic!("two nodes") };
    let record = json!({
        "day": "2025-01-02", "tactic": "T01", "person": "p-0017", "contacts": "Jane Roe; jane.roe@mail.example",
    });
    let record = file(&federation, "record.json", &record.to_string());
    ours.json(&["record", "add", "--file", &record]);
    let _serving = federation.serve();

    let draft = file(
        &federation,
        "own.csv",
        "type,value,comment\nemail,jane.roe@mail.example,\ndomain,evil.example,sent to Jane Roe\ndomain,evil2.example,\n",
    );
    assert_eq!(import(ours, &draft)["stored"], 3);
    let held = ours.run(&["indicator", "publish", "--tlp", "green", "--confirm", "--json"]);
    let report: Value = serde_json::from_str(&held.stdout).unwrap();
    assert_eq!((held.code, &report["published"]), (Some(4), &json!(1)));
    let reason = "it names somebody whose incidents are in this vault";
    assert!(report["refused"].as_array().unwrap().iter().all(|r| r["reason"] == reason), "{report}");

    // A partner, who does not know her, publishes her address.
    let list = file(&federation, "theirs.txt", "jane.roe@mail.example\nevil3.example\nevil4.example\n");
    import(theirs, &list);
    theirs.json(&["indicator", "publish", "--tlp", "green", "--confirm"]);
    eventually("what is left arrives", || listed(ours).len() == 3);
    assert_eq!(listed(ours), ["evil2.example", "evil3.example", "evil4.example"]);
    let quarantine = ours.json(&["indicator", "quarantine", "list"]);
    assert_eq!(quarantine.as_array().unwrap().len(), 1);
    assert_eq!(quarantine[0]["reason"], reason);
    let id = quarantine[0]["object"].as_str().unwrap();
    assert_eq!(ours.run(&["indicator", "quarantine", "release", "indicator--none"]).code, Some(2));
    ours.json(&["indicator", "quarantine", "drop", id]);
    assert_eq!(ours.json(&["indicator", "quarantine", "list"]), json!([]));
    assert_eq!(listed(ours).len(), 3);
    ours.json(&["indicator", "quarantine", "release", id]);
    assert_eq!(listed(ours).len(), 4);

    // A false alarm is undone here, and here alone.
    let allowed = ours.json(&["indicator", "allow", "add", "Evil3[.]example", "--note", "our own"]);
    assert_eq!((&allowed[0]["value"], &allowed[0]["note"]), (&json!("evil3.example"), &json!("our own")));
    assert_eq!(listed(ours).len(), 3);
    assert_eq!(listed(theirs).len(), 4);
    ours.json(&["indicator", "allow", "remove", "evil3.example"]);
    assert_eq!((listed(ours).len(), ours.json(&["indicator", "allow", "list"])), (4, json!([])));

    // One object proves itself to somebody who has the charter and nothing else.
    let proof = federation.dir().join("proof.json");
    let proof = proof.to_str().unwrap();
    let charter = federation.charter();
    ours.json(&["indicator", "prove", id, "--out", proof]);
    let check = |file: &str| {
        ours.run(&["indicator", "check", file, "--charter", charter.to_str().unwrap(), "--json"])
    };
    let proven = check(proof).json();
    assert_eq!((&proven["member"], &proven["tlp"]), (&json!("Group 1"), &json!("green")));
    let changed = fs::read_to_string(proof).unwrap().replace("jane.roe", "jane.doe");
    let changed = file(&federation, "changed.json", &changed);
    assert_eq!(check(&changed).code, Some(1));
    assert_eq!(ours.json(&["indicator", "two-stories"]), json!([]));
}

#[test]
fn a_draft_without_a_label_stays_and_each_goes_under_its_own() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let node = &federation.nodes[0];
    let event = |label: &str, host: &str| {
        json!({"Event": {"info": "x", "Tag": [{"name": label}],
            "Attribute": [{"type": "domain", "value": host, "to_ids": true}]}})
    };
    for (name, event) in [
        ("a.json", event("tlp:amber", "amber.evil.example")),
        ("b.json", event("tlp:white", "clear.evil.example")),
        ("c.json", event("tlp:red", "red.evil.example")),
        ("d.json", event("osint", "none.evil.example")),
    ] {
        import(node, &file(&federation, name, &event.to_string()));
    }
    let done = node.run(&["indicator", "publish", "--json"]);
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((done.code, &report["published"], &report["batches"]), (Some(4), &json!(2), &json!(2)));
    assert_eq!(report["refused"].as_array().unwrap().len(), 2);
    let out = node.json(&["indicator", "export", "--format", "list"]);
    assert_eq!((&out["text"], &out["held_back"]), (&json!("clear.evil.example\n"), &json!(1)));
}

#[test]
fn a_file_is_given_a_label_and_an_end_and_says_its_own_where_it_has_them() {
    let federation = Federation::new(1, &[]);
    let node = &federation.nodes[0];
    let table = "value;tlp;valid_until\nnone.evil.example;;\nown.evil.example;TLP:AMBER;2031-01-02\n\
                 past.evil.example;clear;2020-01-02\nlater.evil.example;clear;never\n";
    let table = file(&federation, "table.csv", table);
    let given = ["indicator", "import", &table, "--tlp", "green", "--expires", "2030-01-02"];
    let report = node.json(&given);
    assert_eq!(report["stored"], 3, "{report}");
    assert_eq!(report["rejected"], json!([{"line": 4, "reason": "it has expired"}]), "{report}");
    assert_eq!(node.json(&given)["duplicates"], 3, "read again, it says nothing new");
    node.json(&["indicator", "publish"]);
    let csv = node.json(&["indicator", "export", "--format", "csv", "--members"]);
    let mut rows: Vec<Vec<&str>> =
        csv["text"].as_str().unwrap().lines().skip(1).map(|line| line.split(',').collect()).collect();
    rows.sort();
    let said: Vec<_> = rows.iter().map(|row| (row[1], row[2], &row[5][..10])).collect();
    assert_eq!(
        said,
        [
            ("later.evil.example", "green", "2030-01-02"),
            ("none.evil.example", "green", "2030-01-02"),
            ("own.evil.example", "amber", "2031-01-02"),
        ]
    );
    // What is longer listed is longer looked for: a next version.
    eventually("a second passes", || {
        node.json(&["indicator", "import", &table, "--tlp", "green", "--expires", "2032-01-02"])["stored"]
            == 2
    });
    node.json(&["indicator", "publish"]);
    let csv = node.json(&["indicator", "export", "--format", "csv"]);
    assert_eq!(csv["text"].as_str().unwrap().matches("2032-01-02").count(), 2, "{csv}");
    let bad = node.run(&["indicator", "import", &table, "--expires", "2030-02-30"]);
    assert_eq!(bad.code, Some(2), "no such day");
}

#[test]
fn what_members_say_each_for_itself_is_counted_and_policy_asks_for_it_before_anybody_is_alarmed() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let [first, second] = &federation.nodes[..] else { panic!("two nodes") };
    let _serving = federation.serve();
    // The same bundle at both: its ids belong to the first who publishes them.
    let objects: Vec<Value> = ["a.evil.example", "b.evil.example"]
        .iter()
        .zip(1..)
        .map(|(host, n)| {
            json!({
                "type": "indicator", "spec_version": "2.1", "id": format!("indicator--7d3b2b3a-6a04-4e9b-9d0a-{n:012}"),
                "created": "2025-01-02T03:04:05.000Z", "modified": "2025-01-02T03:04:05.000Z",
                "valid_from": "2025-01-02T03:04:05.000Z", "pattern_type": "stix", "name": "Made-up Agent",
                "description": "in the first group's words", "pattern": format!("[domain-name:value = '{host}']"),
            })
        })
        .collect();
    let bundle =
        json!({ "type": "bundle", "id": "bundle--7d3b2b3a-6a04-4e9b-9d0a-0f2b35a2c001", "objects": objects });
    let bundle = file(&federation, "bundle.json", &bundle.to_string());
    import(first, &bundle);
    first.json(&["indicator", "publish", "--tlp", "green"]);
    eventually("it arrives", || listed(second).len() == 2);
    assert_eq!(import(second, &bundle)["duplicates"], 2);
    let mvt = |node: &Node, more: &[&str]| {
        let args = [&["indicator", "export", "--format", "mvt"], more].concat();
        let text = node.json(&args)["text"].as_str().unwrap().to_owned();
        ["a.evil.example", "b.evil.example"].map(|host| text.contains(host))
    };
    second.json(&["policy", "--corroborated", "2"]);
    assert_eq!(second.json(&["policy"]), json!({ "require_reason": false, "corroborated": 2 }));
    assert_eq!(mvt(second, &[]), [false, false]);
    assert_eq!(mvt(first, &[]), [true, true], "a policy is one node's");
    assert_eq!(listed(second).len(), 2, "a list alarms nobody by itself");
    // One by one, or whatever of a file others published.
    let id = objects[0]["id"].as_str().unwrap();
    assert_eq!(second.json(&["indicator", "corroborate", id])["stored"], 1);
    second.json(&["indicator", "publish"]);
    assert_eq!(mvt(second, &[]), [true, false]);
    assert_eq!(mvt(second, &["--corroborated", "1"]), [true, false], "an option does not loosen the policy");
    let twice =
        second.json(&["indicator", "corroborate", id, "indicator--7d3b2b3a-6a04-4e9b-9d0a-0f2b35a2c009"]);
    assert_eq!(
        (&twice["duplicates"], twice["rejected"].as_array().unwrap().len()),
        (&json!(1), 1),
        "{twice}"
    );
    let again = second.json(&["indicator", "import", &bundle, "--corroborate"]);
    assert_eq!((&again["stored"], &again["duplicates"]), (&json!(1), &json!(1)), "{again}");
    second.json(&["indicator", "publish", "--tlp", "green"]);
    assert_eq!(mvt(second, &[]), [true, true]);
    eventually("the first hears it", || {
        let two = first.json(&["indicator", "export", "--format", "stix", "--corroborated", "2"]);
        two["written"] == 4
    });
    // It says what to look for, in nobody else's words.
    let all = first.json(&["indicator", "export", "--format", "stix"]);
    assert_eq!(all["text"].as_str().unwrap().matches("in the first group's words").count(), 2);
}

#[test]
fn red_reaches_those_it_is_sealed_for_through_members_who_cannot_read_it() {
    let federation = Federation::new(3, &["--quorum", "2"]);
    let [from, to, other] = &federation.nodes[..] else { panic!("three nodes") };
    import(from, &file(&federation, "list.txt", "red.evil.example\n"));
    assert_eq!(from.run(&["indicator", "publish", "--tlp", "red"]).code, Some(4), "for whom?");
    let unknown = from.run(&["indicator", "publish", "--tlp", "red", "--to", "Nobody"]);
    assert_eq!(unknown.code, Some(2));
    {
        // The one it is for is away; the other holds it meanwhile.
        let _from = from.serve();
        let _other = other.serve();
        let published = from.json(&["indicator", "publish", "--tlp", "red", "--to", "Group 1"]);
        assert_eq!((&published["published"], &published["batches"]), (&json!(1), &json!(1)));
        eventually("the other has it", || other.json(&["status"])["batches"] == 1);
    }
    let _other = other.serve();
    let _to = to.serve();
    eventually("it arrives by the other", || to.json(&["status"])["indicators"] == 1);
    assert_eq!(other.json(&["status"])["indicators"], 0);
    let list = to.json(&["indicator", "list"]);
    assert_eq!((&list[0]["what"], &list[0]["tlp"]), (&json!("domain red.evil.example"), &json!("red")));
    let export = to.json(&["indicator", "export", "--format", "list", "--members"]);
    assert_eq!((&export["written"], &export["held_back"]), (&json!(0), &json!(1)), "it leaves in no file");
    let id = list[0]["id"].as_str().unwrap();
    assert_eq!(to.run(&["indicator", "prove", id]).code, Some(4));
    // Taken back for those who had it.
    let _from = from.serve();
    assert_eq!(from.json(&["indicator", "revoke", id])["published"], 1);
    eventually("the revocation arrives", || to.json(&["indicator", "list"])[0]["state"] == "revoked");
    eventually("the other hands it on", || other.json(&["status"])["batches"] == 2);
    assert_eq!(other.json(&["indicator", "list"]), json!([]));
}

#[test]
fn warning_lists_are_read_from_the_folder_that_the_operator_names() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let node = &federation.nodes[0];
    let folder = federation.dir().join("lists");
    fs::create_dir_all(folder.join("top")).unwrap();
    let list = json!({"name": "Top", "type": "hostname", "version": 1, "list": ["top.example"],
        "matching_attributes": ["domain", "hostname", "url"]});
    fs::write(folder.join("top/list.json"), list.to_string()).unwrap();
    fs::write(folder.join("words.json"), r#"{"name":"x","type":"sounds-like","list":["."]}"#).unwrap();
    assert_eq!(node.json(&["indicator", "warnings"])["folder"], Value::Null);
    assert_eq!(node.run(&["indicator", "warnings", "no-such-folder"]).code, Some(2));
    let set = node.json(&["indicator", "warnings", folder.to_str().unwrap()]);
    assert_eq!((&set["lists"], set["skipped"].as_array().unwrap().len()), (&json!(1), 1));
    import(node, &file(&federation, "list.txt", "top.example\nevil.top.example\n"));
    let done = node.run(&["indicator", "publish", "--tlp", "green", "--json"]);
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&report["published"], report["warnings"].as_array().unwrap().len()), (&json!(1), 1));
    node.json(&["indicator", "warnings", "--none"]);
    assert_eq!(node.json(&["indicator", "publish", "--tlp", "green"])["published"], 1);
    let Some(root) = real_data() else { return };
    let lists = root.join("indicators/MISP+misp-warninglists/lists");
    let set = node.json(&["indicator", "warnings", lists.to_str().unwrap()]);
    assert_eq!((&set["lists"], set["skipped"].as_array().unwrap().len()), (&json!(42), 0), "{set}");
}

/// Personas, posts, pages, videos and accounts of one influence operation, as numerous as the largest that was
/// documented; what they did is counts, not objects.
#[test]
fn a_campaign_as_large_as_the_field_has_seen_goes_in_spreads_and_is_exported() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let [first, second] = &federation.nodes[..] else { panic!("two nodes") };
    let mut table = String::from("type,value,campaign,phase,posts\n");
    let mut rows = 0;
    let mut add = |kind: &str, prefix: &str, n: u64, phase: &str, posts: u64| {
        for i in 0..n {
            // The posts of all of a kind add up to what was counted.
            let share = posts / n + u64::from(i < posts % n);
            writeln!(table, "{kind},{prefix}{i},Made-up operation,{phase},{share}").unwrap();
            rows += 1;
        }
    };
    add("persona", "twitter:persona_", 3841, "amplification", 10_400_000);
    add("page", "facebook:page.", 81, "amplification", 61_483);
    add("media", "https://video.example/watch/", 1107, "dump", 1107);
    add("persona", "instagram:account_", 33, "uptake", 116_205);
    let table = file(&federation, "campaign.csv", &table);
    let _serving = federation.serve();
    let report = import(first, &table);
    assert_eq!((&report["read"], &report["stored"]), (&json!(rows), &json!(rows)));
    // The campaign, and for each row: its place in the campaign, what it is, its count, and what ties the two.
    assert_eq!(report["context"]["stored"], json!(rows * 4 + 1));
    let again = import(first, &table);
    assert_eq!((&again["stored"], &again["duplicates"]), (&json!(0), &json!(rows)));
    let published = first.json(&["indicator", "publish", "--tlp", "green"]);
    assert_eq!(published["published"], json!(rows * 5 + 1));
    eventually("the second has it all", || second.json(&["status"])["batches"] == published["batches"]);
    assert_eq!(second.json(&["status"])["indicators"], json!(rows));
    let bundle = federation.dir().join("campaign.json");
    let done = second.json(&["indicator", "export", "--format", "strict", "--out", bundle.to_str().unwrap()]);
    assert_eq!(done["written"], json!(rows * 5 + 1));
    let bundle: Value = serde_json::from_slice(&fs::read(bundle).unwrap()).unwrap();
    let objects = bundle["objects"].as_array().unwrap();
    let seen = objects.iter().filter_map(|o| o["number_observed"].as_u64()).sum::<u64>();
    assert_eq!(seen, 10_400_000 + 61_483 + 1107 + 116_205);
    assert_eq!(objects.iter().filter(|o| o["type"] == "campaign").count(), 1);
    assert_eq!(import(first, &table)["stored"], 0, "read again after publishing, it adds nothing");
}
