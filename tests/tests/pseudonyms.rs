//! Publishing under a pseudonym among real nodes: it reaches everybody, is taken back, counts as one group, and names nobody.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;

use hedgerow_tests::{Federation, Node, Serving, eventually};
use serde_json::{Value, json};

const SOON: [&str; 3] = ["--pseudonyms", "--pseudonym-delay", "1"];

/// Puts drafts into a node.
fn import(federation: &Federation, node: &Node, name: &str, text: &str) -> Value {
    let path = federation.dir().join(name);
    fs::write(&path, text).unwrap();
    node.json(&["indicator", "import", path.to_str().unwrap()])
}

fn publish(node: &Node) -> Value {
    node.json(&["indicator", "publish", "--tlp", "green", "--pseudonym"])
}

/// A federation in which every pseudonym has every member's voucher.
fn ready(n: usize) -> (Federation, Vec<Serving>) {
    let federation = Federation::new(n, &SOON);
    let serving = federation.serve();
    eventually("everyone vouches for everyone", || {
        federation.nodes.iter().all(|node| node.json(&["status"])["pseudonym"]["vouchers"] == n)
    });
    (federation, serving)
}

/// What is published here, by what it is for.
fn entry(node: &Node, what: &str) -> Option<Value> {
    let list = node.json(&["indicator", "list"]);
    let published = |one: &&Value| one["what"] == what && one["state"] == "published";
    list.as_array().unwrap().iter().find(published).cloned()
}

#[test]
fn what_is_published_under_a_pseudonym_reaches_everybody_and_names_nobody() {
    let (federation, serving) = ready(4);
    let nodes = &federation.nodes;
    import(&federation, &nodes[0], "list.txt", "evil.example\n");
    let report = publish(&nodes[0]);
    assert_eq!((&report["published"], &report["carried"]), (&json!(1), &json!(1)), "{report}");
    let what = "domain evil.example";
    eventually("all have it", || nodes.iter().all(|node| entry(node, what).is_some()));
    let seen = entry(&nodes[1], what).unwrap();
    let from = seen["from"].as_str().unwrap().to_owned();
    assert!(from.starts_with("pseudonym ") && !from.contains("this node"), "{from}");
    assert_eq!(entry(&nodes[0], what).unwrap()["from"], format!("{from} (this node's)"));
    // What proves it to outsiders does not name the group either.
    let id = seen["id"].as_str().unwrap();
    let proof = nodes[2].run(&["indicator", "prove", id]).stdout;
    let own = nodes[0].json(&["status"])["id"].as_str().unwrap().to_owned();
    let mut parts: Value = serde_json::from_str(&proof).unwrap();
    let vouchers = parts["vouchers"].take();
    assert_eq!(vouchers.as_array().unwrap().len(), 4, "as many as the charter asks for");
    assert!(!parts.to_string().contains(&own), "{parts}");
    let file = federation.dir().join("proof.json");
    fs::write(&file, &proof).unwrap();
    let (file, charter) = (file.display().to_string(), federation.charter().display().to_string());
    let shown = nodes[3].json(&["indicator", "check", &file, "--charter", &charter]);
    assert_eq!(shown["member"], "one of the members, under a pseudonym");
    let mut short: Value = serde_json::from_str(&proof).unwrap();
    short["vouchers"].as_array_mut().unwrap().pop();
    fs::write(&file, short.to_string()).unwrap();
    assert_eq!(nodes[3].run(&["indicator", "check", &file, "--charter", &charter]).code, Some(1));
    eventually("nothing waits any more", || nodes[0].json(&["status"])["pseudonym"]["outgoing"] == 0);

    // The same group by name and by pseudonym is one group; a second that is named makes two.
    let twice = |node: &Node| {
        let args = ["indicator", "export", "--format", "list", "--corroborated", "2"];
        node.json(&args)["text"].as_str().unwrap().to_owned()
    };
    import(&federation, &nodes[1], "again.txt", "evil.example\n");
    nodes[1].json(&["indicator", "publish", "--tlp", "green"]);
    eventually("the second is here", || nodes[3].json(&["status"])["batches"] == 2);
    assert_eq!(twice(&nodes[3]), "");
    import(&federation, &nodes[2], "third.txt", "evil.example\n");
    nodes[2].json(&["indicator", "publish", "--tlp", "green"]);
    eventually("the third is here", || nodes[3].json(&["status"])["batches"] == 3);
    assert_eq!(twice(&nodes[3]), "evil.example\n");

    // Nobody else takes it back; its own group does, under the pseudonym again.
    assert_eq!(nodes[1].run(&["indicator", "revoke", id]).code, Some(4));
    assert_eq!(nodes[0].json(&["indicator", "revoke", id])["carried"], 1);
    let state = |node: &Node| {
        let list = node.json(&["indicator", "list"]);
        list.as_array().unwrap().iter().find(|one| one["id"] == *id).unwrap()["state"].clone()
    };
    eventually("it is revoked everywhere", || nodes.iter().all(|node| state(node) == "revoked"));
    drop(serving);
}

#[test]
fn what_would_show_whose_a_pseudonym_is_does_not_go_out() {
    let (federation, _serving) = ready(3);
    let node = &federation.nodes[0];
    import(&federation, node, "named.csv", "type,value,campaign\ndomain,one.example,Reed\n");
    assert_eq!(node.json(&["indicator", "publish", "--tlp", "green"])["published"], 3);
    // The campaign went out under the group's name: what refers to it would tie both together.
    import(&federation, node, "hidden.csv", "type,value,campaign\ndomain,two.example,Reed\n");
    let done = node.run(&["indicator", "publish", "--tlp", "green", "--pseudonym", "--json"]);
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((done.code, &report["published"]), (Some(4), &json!(1)), "{report}");
    let reason = report["refused"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("goes out under this group's name"), "{reason}");
    // And the other way about: what is left goes out under the name only if nothing of it is the pseudonym's.
    eventually("it came back", || entry(node, "domain two.example").is_some());
    let done = node.run(&["indicator", "publish", "--tlp", "green", "--json"]);
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((done.code, &report["published"]), (Some(4), &json!(0)), "{report}");
    assert!(report["refused"][0]["reason"].as_str().unwrap().contains("this node's pseudonym"), "{report}");
    let red = node.run(&["indicator", "publish", "--tlp", "red", "--pseudonym"]);
    assert_eq!(red.code, Some(2), "{}", red.stderr);
}

#[test]
fn what_waits_to_go_out_survives_a_restart_and_goes_out_when_members_are_there() {
    let (federation, serving) = ready(3);
    let node = &federation.nodes[0];
    drop(serving);
    import(&federation, node, "list.txt", "late.example\n");
    assert_eq!(publish(node)["carried"], 1, "without a network it waits");
    // It is a draft until it comes back, and goes out in no other way meanwhile.
    let status = node.json(&["status"]);
    assert_eq!((&status["pseudonym"]["outgoing"], &status["drafts"]), (&json!(1), &json!(1)));
    assert_eq!(import(&federation, node, "again.txt", "late.example\n")["stored"], 0);
    assert_eq!(node.json(&["indicator", "publish", "--tlp", "green"])["published"], 0);
    // What is thought better of before it went does not go.
    import(&federation, node, "wrong.txt", "wrong.example\n");
    assert_eq!(publish(node)["carried"], 1);
    let list = node.json(&["indicator", "list"]);
    let wrong = list.as_array().unwrap().iter().find(|one| one["what"] == "domain wrong.example").unwrap();
    let wrong = wrong["id"].as_str().unwrap();
    node.json(&["indicator", "revoke", wrong]);
    assert_eq!(node.json(&["status"])["pseudonym"]["outgoing"], 1);
    // It might have gone already: read again, it does not go out under the name.
    import(&federation, node, "wrong.txt", "wrong.example\n");
    assert_eq!(node.run(&["indicator", "publish", "--tlp", "green"]).code, Some(4));
    assert_eq!(publish(node)["carried"], 1);
    node.json(&["indicator", "revoke", wrong]);
    {
        // One other member would know whose it is: nothing goes out yet.
        let _two = (node.serve(), federation.nodes[1].serve());
        std::thread::sleep(std::time::Duration::from_secs(4));
        assert_eq!(federation.nodes[1].json(&["status"])["batches"], 0);
    }
    let _serving = federation.serve();
    eventually("all have it", || {
        federation.nodes.iter().all(|node| entry(node, "domain late.example").is_some())
    });
    let batches = |node: &Node| node.json(&["status"])["batches"].clone();
    assert!(federation.nodes.iter().all(|node| batches(node) == 1), "and nothing else");
}

#[test]
fn nothing_goes_out_under_a_pseudonym_that_is_not_vouched_for_or_that_the_charter_does_not_know() {
    let federation = Federation::new(3, &["--pseudonyms"]);
    let node = &federation.nodes[0];
    import(&federation, node, "list.txt", "evil.example\n");
    let done = node.run(&["indicator", "publish", "--tlp", "green", "--pseudonym"]);
    assert_eq!(done.code, Some(4));
    assert!(done.stderr.contains("0 members have vouched"), "{}", done.stderr);
    assert_eq!(node.json(&["status"])["drafts"], 1, "the draft is there still");

    let federation = Federation::new(3, &[]);
    let done = federation.nodes[0].run(&["indicator", "publish", "--tlp", "green", "--pseudonym"]);
    assert_eq!(done.code, Some(4));
    assert!(done.stderr.contains("no pseudonyms"), "{}", done.stderr);
    assert_eq!(federation.nodes[0].json(&["status"])["pseudonym"], Value::Null);
    // A charter without them names no key for tokens, so that older programs read it.
    let charter = fs::read(federation.charter()).unwrap();
    let charter: Value = serde_json::from_slice(&charter).unwrap();
    use base64::Engine as _;
    let payload = charter["payload"].as_str().unwrap();
    let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
    assert!(!String::from_utf8(payload).unwrap().contains("vouching"));
}
