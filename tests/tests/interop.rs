//! Other people's programs read what a node writes, and a node reads what they write (docs/indicators.md).
//!
//! They are pinned in tests/interop/requirements.txt and installed by tests/interop/setup, once.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use hedgerow_tests::{Federation, Node, suite};
use serde_json::{Value, json};

/// The folder of tests/interop in this checkout.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("interop")
}

/// The programs of the Python environment with the very versions that are pinned, if it is there.
fn python() -> Option<PathBuf> {
    let target = env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let installed = fs::read_to_string(target.join("interop/installed")).ok();
    let pinned = fs::read_to_string(scripts().join("requirements.txt")).unwrap();
    let there = (installed == Some(pinned)).then(|| target.join("interop/bin"));
    suite("programs of others", there, "tests/interop/setup has not installed them")
}

/// Runs check.py to its end and reads its JSON.
fn check(bin: &Path, args: &[&str]) -> Value {
    let output =
        Command::new(bin.join("python")).arg(scripts().join("check.py")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// One published indicator of every kind, some odd ones, malware with a relationship, and one that was taken back.
const CSV: &str = "\
type,value,comment
domain,evil.example,first seen in a message
url,https://evil.example/login,
ip-dst,203.0.114.7,
ipv6,2a00:1::7,
email,phisher@evil.example,
md5,900150983cd24fb0d6963f7d28e17f72,
sha1,a9993e364706816aba3e25717850c26c9cd0d89d,
sha256,ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad,
file-name,invoice.apk,
file-path,/private/var/tmp/agent,
process,agentd,
app-id,org.example.agent,
configuration-profile,org.example.profile,
domain,gone.example,
process,it's,
persona,x:@some_one,
hashtag,#madeup,
url,https://evil.example/?a=b,
sha512,ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f,
page,facebook:the.made.up.page,
channel,youtube:UCmadeup,
media,https://video.example/made-up.mp4,
app-cert-sha1,31a6ececd97cf39bc4126b8745cd94a7c30bf81d,
app-cert-sha256,aa7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad,
android-property,ro.made.up,
";

const BUNDLE: &str = r#"{"type":"bundle","id":"bundle--7d3b2b3a-6a04-4e9b-9d0a-0f2b35a2c001","objects":[
{"type":"malware","spec_version":"2.1","id":"malware--7d3b2b3a-6a04-4e9b-9d0a-0f2b35a2c002","name":"Made-up Agent",
 "is_family":true,"created":"2025-01-02T03:04:05.000Z","modified":"2025-01-02T03:04:05.000Z"},
{"type":"indicator","spec_version":"2.1","id":"indicator--7d3b2b3a-6a04-4e9b-9d0a-0f2b35a2c003",
 "created":"2025-01-02T03:04:05.000Z","modified":"2025-01-02T03:04:05.000Z","indicator_types":["malicious-activity"],
 "pattern":"[domain-name:value='c2.example' OR domain-name:value='c3.example']","pattern_type":"stix",
 "valid_from":"2025-01-02T03:04:05Z"},
{"type":"indicator","spec_version":"2.1","id":"indicator--7d3b2b3a-6a04-4e9b-9d0a-0f2b35a2c005",
 "created":"2025-01-02T03:04:05.000Z","modified":"2025-01-02T03:04:05.000Z","indicator_types":["malicious-activity"],
 "pattern":"[domain-name:value='past.example']","pattern_type":"stix","valid_from":"2025-01-02T03:04:05Z",
 "valid_until":"2025-02-02T03:04:05Z"},
{"type":"relationship","spec_version":"2.1","id":"relationship--7d3b2b3a-6a04-4e9b-9d0a-0f2b35a2c004",
 "created":"2025-01-02T03:04:05.000Z","modified":"2025-01-02T03:04:05.000Z","relationship_type":"indicates",
 "source_ref":"indicator--7d3b2b3a-6a04-4e9b-9d0a-0f2b35a2c003",
 "target_ref":"malware--7d3b2b3a-6a04-4e9b-9d0a-0f2b35a2c002"}]}"#;

/// A federation of one whose library holds the above.
fn library() -> Federation {
    let federation = Federation::new(1, &[]);
    let node = &federation.nodes[0];
    for (name, text) in [("own.csv", CSV), ("own.stix2", BUNDLE)] {
        let file = federation.dir().join(name);
        fs::write(&file, text).unwrap();
        let report = node.json(&["indicator", "import", file.to_str().unwrap()]);
        assert_eq!(report["rejected"], json!([]), "{report}");
    }
    node.json(&["indicator", "publish", "--tlp", "green", "--confirm"]);
    let list = node.json(&["indicator", "list"]);
    let gone = list.as_array().unwrap().iter().find(|i| i["what"] == "domain gone.example").unwrap();
    node.json(&["indicator", "revoke", gone["id"].as_str().unwrap()]);
    federation
}

/// Exports and gives the file and the report.
fn export(node: &Node, dir: &Path, format: &str) -> (PathBuf, Value) {
    let file = dir.join(format!("out-{format}.json"));
    let report = node.json(&["indicator", "export", "--format", format, "--out", file.to_str().unwrap()]);
    assert_eq!(report["held_back"], 0, "{report}");
    (file, report)
}

#[test]
fn the_oasis_validator_passes_a_strict_export() {
    let Some(bin) = python() else { return };
    let federation = library();
    let (file, report) = export(&federation.nodes[0], federation.dir(), "strict");
    assert_eq!(report["written"], 27, "{report}");
    assert_eq!(report["left_out"][0]["count"], 2, "{report}");
    let verdict = check(&bin, &["validate", file.to_str().unwrap()]);
    assert_eq!(verdict, json!({"valid": true, "errors": []}));
    // It can fail: as signed, with what is left out above.
    let (file, _) = export(&federation.nodes[0], federation.dir(), "stix");
    assert_eq!(check(&bin, &["validate", file.to_str().unwrap()])["valid"], false);
}

#[test]
fn the_oasis_validator_passes_a_strict_export_of_the_public_sets() {
    let Some(bin) = python() else { return };
    let sets = env::var_os("HEDGEROW_REAL_DATA").map(|root| PathBuf::from(root).join("indicators"));
    let Some(sets) = suite("the public sets, validated", sets, "HEDGEROW_REAL_DATA is not set") else {
        return;
    };
    let federation = Federation::new(1, &[]);
    let node = &federation.nodes[0];
    let mut folders = vec![sets];
    let mut stored = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "stix2" || kind == "csv") {
                // Lists of other things have no column that is known.
                let report = node.run(&["--json", "indicator", "import", path.to_str().unwrap()]);
                let report = serde_json::from_str::<Value>(&report.stdout).unwrap_or_default();
                stored += report["stored"].as_u64().unwrap_or_default();
            }
        }
    }
    node.json(&["indicator", "publish", "--tlp", "green", "--confirm"]);
    let (file, report) = export(node, federation.dir(), "strict");
    let written = report["written"].as_u64().unwrap();
    assert!(stored > 3500 && written > 6500, "{stored} stored, {written} written");
    assert_eq!(check(&bin, &["validate", file.to_str().unwrap()]), json!({"valid": true, "errors": []}));
}

#[test]
fn mvt_finds_what_is_live_and_not_what_was_taken_back_or_has_expired() {
    let Some(bin) = python() else { return };
    let federation = library();
    let (file, report) = export(&federation.nodes[0], federation.dir(), "mvt");
    let left: Vec<&Value> = report["left_out"].as_array().unwrap().iter().map(|l| &l["count"]).collect();
    assert_eq!(left.len(), 3, "kinds that it does not know, a quote mark, an equals sign: {report}");
    let found = |urls: &[&str], file: &Path| {
        let phone = federation.dir().join("phone");
        fs::create_dir_all(&phone).unwrap();
        let visits: Vec<Value> = urls
            .iter()
            .map(|url| json!({"url": url, "id": 1, "visit_id": 1, "isodate": "2025-03-04 05:06:07.000000"}))
            .collect();
        fs::write(phone.join("safari_history.json"), json!(visits).to_string()).unwrap();
        let output = Command::new(bin.join("mvt-ios"))
            .args(["--disable-update-check", "--disable-indicator-update-check", "check-iocs", "-i"])
            .arg(file)
            .arg(&phone)
            .env("MVT_DATA_FOLDER", federation.dir().join("mvt"))
            .env("COLUMNS", "400")
            .output()
            .unwrap();
        // Its exit code is 0 whatever it finds.
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("Loaded 1 results"), "{text}");
        (text.contains("CRITICAL ALERT"), text)
    };
    let (alert, text) = found(&["https://www.c3.example/x"], &file);
    assert!(alert && text.contains("Made-up Agent"), "the name of the family: {text}");
    for (url, expected) in [
        ("https://evil.example/login", true),
        ("https://gone.example/", false),
        ("https://past.example/", false),
        ("https://other.example/", false),
    ] {
        let (alert, text) = found(&[url], &file);
        assert_eq!(alert, expected, "{url}: {text}");
    }
    // A library without any domain does not make it stop.
    let other = Federation::new(1, &[]);
    let list = other.dir().join("processes.txt");
    fs::write(&list, "agentd\n").unwrap();
    other.nodes[0].json(&["indicator", "import", list.to_str().unwrap()]);
    other.nodes[0].json(&["indicator", "publish", "--tlp", "green"]);
    let (file, _) = export(&other.nodes[0], other.dir(), "mvt");
    assert!(!found(&["https://other.example/"], &file).0);
}

#[test]
fn pymisp_reads_the_event_and_the_feed() {
    let Some(bin) = python() else { return };
    let federation = library();
    let node = &federation.nodes[0];
    let (file, report) = export(node, federation.dir(), "misp");
    let event = check(&bin, &["misp", file.to_str().unwrap()]);
    let attributes = event["attributes"].as_array().unwrap();
    assert_eq!(
        (attributes.len() as u64, &event["tags"]),
        (report["written"].as_u64().unwrap(), &json!(["tlp:green"]))
    );
    let of = |value: &str| attributes.iter().find(|a| a["value"] == value).unwrap();
    assert_eq!(
        of("evil.example"),
        &json!({"type": "domain", "value": "evil.example", "to_ids": true, "deleted": false})
    );
    assert_eq!(
        (&of("gone.example")["deleted"], &of("past.example")["to_ids"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(of("[process:name = 'agentd']")["type"], "stix2-pattern");

    let (folder, report) = export(node, federation.dir(), "misp-feed");
    let feed = check(&bin, &["feed", folder.to_str().unwrap()]);
    assert_eq!((&feed["events"], &feed["hashes"]), (&json!(2), &json!(true)));
    let values: BTreeSet<&str> =
        feed["values"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    assert_eq!(values.len() as u64, report["written"].as_u64().unwrap());
}

#[test]
fn a_taxii_client_reads_a_library_while_it_grows_and_loses_and_doubles_nothing() {
    const OBJECTS: usize = 10_000;
    let Some(bin) = python() else { return };
    let federation = Federation::new(1, &[]);
    let node = &federation.nodes[0];
    let token = node.json(&["taxii", "token", "add", "a client", "--tlp", "green"]);
    let (_serving, ready) = node.serve_with(&["--taxii", "127.0.0.1:0"]);
    let url = ready["taxii"].as_str().unwrap();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for n in 0..10 {
                let file = federation.dir().join(format!("list{n}.txt"));
                let lines: Vec<String> =
                    (0..OBJECTS / 10).map(|i| format!("host-{n}-{i}.evil.example\n")).collect();
                fs::write(&file, lines.concat()).unwrap();
                node.json(&["indicator", "import", file.to_str().unwrap()]);
                node.json(&["indicator", "publish", "--tlp", "green"]);
            }
        });
        let walked =
            check(&bin, &["walk", url, token["token"].as_str().unwrap(), "100", &OBJECTS.to_string()]);
        assert_eq!(
            (&walked["objects"], &walked["different"]),
            (&json!(OBJECTS), &json!(OBJECTS)),
            "{walked}"
        );
    });
}

#[test]
fn a_taxii_client_posts_objects_and_they_wait_to_be_adopted() {
    let Some(bin) = python() else { return };
    let federation = Federation::new(1, &[]);
    let node = &federation.nodes[0];
    let add = ["taxii", "token", "add", "partner", "--tlp", "clear", "--write", "foreign"];
    let token = node.json(&add)["token"].as_str().unwrap().to_owned();
    let (_serving, ready) = node.serve_with(&["--taxii", "127.0.0.1:0"]);
    let file = federation.dir().join("own.stix2");
    fs::write(&file, BUNDLE).unwrap();
    let posted = check(&bin, &["post", ready["taxii"].as_str().unwrap(), &token, file.to_str().unwrap()]);
    let done = json!({"status": "complete", "success": 4, "failure": 0});
    assert_eq!(posted, json!([done, done]), "posting again is a success");
    let foreign = node.json(&["indicator", "foreign", "list"]);
    assert_eq!((foreign.as_array().unwrap().len(), &foreign[0]["source"]), (4, &json!("partner")));
    let moved = node.json(&["indicator", "foreign", "adopt", "--source", "partner"]);
    assert_eq!(moved, json!({"moved": 4, "drafts": 4, "refused": 0}));
    assert_eq!(node.json(&["taxii", "token", "list"])[0]["write"], "foreign");
    node.json(&["taxii", "token", "revoke", "partner"]);
    assert_eq!(node.json(&["taxii", "token", "list"]), json!([]));
}

#[test]
fn what_a_partner_serves_is_pulled_once_and_held_apart_with_its_source() {
    // The partner is another federation's node, read over TAXII as any other server would be, and a feed of files.
    let partner = library();
    let token = partner.nodes[0].json(&["taxii", "token", "add", "us", "--tlp", "green"]);
    let (_serving, ready) = partner.nodes[0].serve_with(&["--taxii", "127.0.0.1:0"]);
    let own = Federation::new(1, &[]);
    let node = &own.nodes[0];
    let token_file = own.dir().join("token");
    fs::write(&token_file, token["token"].as_str().unwrap()).unwrap();
    let url = ready["taxii"].as_str().unwrap();
    let pull = ["indicator", "pull", url, "--token-file", token_file.to_str().unwrap()];
    let all = partner.nodes[0].json(&["indicator", "list"]).as_array().unwrap().len();
    let report = node.json(&pull);
    let counts =
        |r: &Value| ["read", "stored", "duplicates", "rejected"].map(|k| r[k].as_u64().unwrap() as usize);
    assert_eq!((counts(&report), &report["kind"]), ([all, all, 0, 0], &json!("taxii")), "{report}");
    let foreign = node.json(&["indicator", "foreign", "list"]);
    assert!(foreign.as_array().unwrap().iter().all(|f| f["source"] == report["sources"][0]), "{foreign}");
    // From where the last pull ended, and from the beginning.
    assert_eq!(counts(&node.json(&pull)), [0, 0, 0, 0]);
    assert_eq!(counts(&node.json(&[&pull[..], &["--again"]].concat())), [all, 0, all, 0]);
    // It is looked for at home, and goes nowhere.
    let log = own.dir().join("log");
    fs::write(&log, "GET http://c2.example/\n").unwrap();
    let found = node.json(&["match", log.to_str().unwrap()]);
    assert_eq!(found["found"][0]["from"]["foreign"], report["sources"][0], "{found}");
    assert_eq!(node.json(&["indicator", "export", "--format", "list"])["written"], 0);
    // A token that is wrong, and a server that is not there.
    fs::write(&token_file, "hgt_wrong").unwrap();
    assert_eq!(node.run(&pull).code, Some(5));
    assert_eq!(node.run(&["indicator", "pull", "http://127.0.0.1:9/"]).code, Some(5));
    assert_eq!(node.run(&["indicator", "pull", "http://partner.example/"]).code, Some(2), "in the clear");

    // Its MISP feed, as files behind a plain web server; values that MISP has no type for come as patterns.
    let (folder, exported) = export(&partner.nodes[0], partner.dir(), "misp-feed");
    let address = served(folder);
    let feed =
        node.json(&["indicator", "pull", &format!("http://{address}/manifest.json"), "--as", "drafts"]);
    assert_eq!(feed["kind"], "misp", "{feed}");
    assert_eq!(feed["read"], exported["written"], "{feed}");
    let drafts = node.json(&["indicator", "list"]);
    let known: BTreeSet<&str> =
        drafts.as_array().unwrap().iter().map(|d| d["what"].as_str().unwrap()).collect();
    for value in ["domain evil.example", "sha1 a9993e364706816aba3e25717850c26c9cd0d89d", "process agentd"] {
        assert!(known.contains(value), "{value} in {known:?}");
    }
}

/// Serves the files of a folder over HTTP on loopback, for as long as the test runs.
fn served(folder: PathBuf) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            reader.read_line(&mut first).unwrap();
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            let name = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            let body = fs::read(folder.join(name)).unwrap_or_default();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    address
}
