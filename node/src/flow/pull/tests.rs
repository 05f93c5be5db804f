//! What a partner's server says, page by page and event by event, and what of it is here when it breaks off.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use serde_json::json;

use super::*;
use crate::store::{KdfParams, Passphrase};

/// What a server answers to a path: media type, further headers, body; nothing closes the connection.
type Answer = Option<(&'static str, String, String)>;

/// A server on loopback, and what it was asked for.
fn server(answer: impl Fn(&str) -> Answer + Send + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut line) = (String::new(), String::new());
            reader.read_line(&mut first).unwrap();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let answered = answer(&path);
            heard.lock().unwrap().push(path);
            let Some((kind, headers, body)) = answered else { continue };
            let status = if kind == "404" { "404 Not Found" } else { "200 OK" };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
        }
    });
    (url, asked)
}

fn node(dir: &Path) -> Node {
    let passphrase = Passphrase::new("a passphrase for tests".into());
    Node::init(dir, &passphrase, KdfParams::FLOOR, "A".into(), String::new(), vec![]).unwrap()
}

fn from(url: &str) -> PullFrom {
    PullFrom {
        url: url.to_owned(),
        token_file: None,
        collection: None,
        proxy: None,
        landing: Landing::Foreign,
        again: false,
    }
}

/// Another second each time: what a list says has no time but that.
fn now() -> Timestamp {
    static SECOND: AtomicI64 = AtomicI64::new(0);
    let start: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    start.plus_seconds(SECOND.fetch_add(1, Ordering::Relaxed))
}

fn pull(node: &Node, from: &PullFrom) -> Result<Pulled, NodeError> {
    node.pull(from, now(), &mut |_| ())
}

fn counts(report: &Pulled) -> [u64; 5] {
    [report.read, report.stored, report.duplicates, report.rejected, report.withdrawn]
}

/// What is held, by value.
fn held(node: &Node) -> Vec<String> {
    let what = |one: &crate::store::ForeignObject| one.object.pattern().unwrap().key();
    let mut all = node.list_foreign(what).unwrap();
    all.sort();
    all
}

fn keys(values: &[&str]) -> Vec<String> {
    values.iter().map(|v| format!("domain {v}")).collect()
}

const TAXII: &str = "application/taxii+json;version=2.1";

/// Objects of a server with their times: three of one time lie on two pages.
fn collection(breaks_off: &Arc<Mutex<bool>>) -> impl Fn(&str) -> Answer + Send + use<> {
    let added = ["1", "2", "2", "2", "3"];
    let object = |n: usize| {
        json!({
            "type": "indicator", "spec_version": "2.1", "pattern_type": "stix",
            "id": format!("indicator--00000000-0000-4000-8000-{n:012}"),
            "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
            "valid_from": "2026-01-01T00:00:00Z", "indicator_types": ["unknown"],
            "pattern": format!("[domain-name:value = 'n{n}.example']"),
        })
    };
    let breaks_off = Arc::clone(breaks_off);
    move |path| {
        if !path.contains("/objects/") {
            let body = json!({ "id": "c", "title": "C", "can_read": true, "can_write": false });
            return Some((TAXII, String::new(), body.to_string()));
        }
        let query = Url::parse(&format!("http://h{path}")).unwrap();
        let asked = |key: &str| query.query_pairs().find(|(k, _)| k == key).map(|(_, v)| v.into_owned());
        let start: usize = asked("next").map_or(0, |next| next.parse().unwrap());
        // Breaks off after the second page.
        if start >= 4 && *breaks_off.lock().unwrap() {
            return None;
        }
        let after = asked("added_after").unwrap_or_default();
        let all: Vec<usize> = (0..added.len()).filter(|n| added[*n] > after.as_str()).collect();
        let page: Vec<usize> = all.iter().copied().skip(start).take(2).collect();
        let more = start + 2 < all.len();
        let mut body =
            json!({ "more": more, "objects": page.iter().map(|n| object(*n)).collect::<Vec<_>>() });
        if more {
            body["next"] = json!((start + 2).to_string());
        }
        let time = |n: Option<&usize>| added[*n.unwrap()];
        let headers = match page.is_empty() {
            true => String::new(),
            false => format!(
                "X-TAXII-Date-Added-First: {}\r\nX-TAXII-Date-Added-Last: {}\r\n",
                time(page.first()),
                time(page.last())
            ),
        };
        Some((TAXII, headers, body.to_string()))
    }
}

#[test]
fn a_pull_that_breaks_off_loses_nothing_that_has_the_time_of_the_last_object_it_saw() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let breaks_off = Arc::new(Mutex::new(true));
    let (url, asked) = server(collection(&breaks_off));
    let from = from(&format!("{url}/c/"));
    // Two pages come, objects 0 to 3; the third does not.
    assert!(pull(&node, &from).is_err());
    assert_eq!(held(&node).len(), 4);
    *breaks_off.lock().unwrap() = false;
    let report = pull(&node, &from).unwrap();
    assert_eq!(held(&node), keys(&["n0.example", "n1.example", "n2.example", "n3.example", "n4.example"]));
    // Time 1 was seen to its end when the page of time 2 came; time 2 was not.
    assert!(asked.lock().unwrap().iter().all(|path| !path.contains("added_after=2")), "{asked:?}");
    assert_eq!(counts(&report)[..2], [5, 1], "{report:?}");
    assert_eq!(counts(&pull(&node, &from).unwrap()), [0; 5], "to the end");
}

/// A feed of events: of each its time, and its attributes with whether they are deleted.
type Events = Vec<(&'static str, i64, Vec<(&'static str, bool)>)>;

fn feed(events: &Arc<Mutex<Events>>) -> impl Fn(&str) -> Answer + Send + use<> {
    let events = Arc::clone(events);
    move |path| {
        let events = events.lock().unwrap();
        let body = if path == "/manifest.json" {
            let heads = events
                .iter()
                .map(|(uuid, at, _)| ((*uuid).to_owned(), json!({ "info": "An event", "timestamp": at })));
            json!(heads.collect::<serde_json::Map<_, _>>())
        } else {
            let (_, at, attributes) = events.iter().find(|(uuid, ..)| path.contains(uuid))?;
            let attributes = attributes.iter().map(|(value, deleted)| {
                json!({ "type": "domain", "value": value, "to_ids": true, "deleted": deleted, "timestamp": at })
            });
            let uuid = path.trim_matches(['/']).trim_end_matches(".json");
            json!({ "Event": { "uuid": uuid, "info": "An event", "Attribute": attributes.collect::<Vec<_>>() } })
        };
        Some(("application/json", String::new(), body.to_string()))
    }
}

#[test]
fn of_a_feed_only_what_changed_is_read_and_what_no_event_says_any_more_is_gone() {
    const ONE: &str = "11111111-1111-4111-8111-111111111111";
    const TWO: &str = "22222222-2222-4222-8222-222222222222";
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let live = |values: &[&'static str]| values.iter().map(|v| (*v, false)).collect::<Vec<_>>();
    let first = vec![
        (ONE, 1_700_000_000, live(&["a.example", "b.example", "c.example"])),
        (TWO, 1_700_000_000, live(&["c.example", "d.example"])),
    ];
    let events = Arc::new(Mutex::new(first));
    let (url, asked) = server(feed(&events));
    let from = from(&format!("{url}/manifest.json"));
    assert_eq!(counts(&pull(&node, &from).unwrap()), [5, 4, 1, 0, 0]);
    asked.lock().unwrap().clear();
    let report = pull(&node, &from).unwrap();
    assert_eq!((counts(&report), report.unchanged), ([0; 5], 2));
    assert_eq!(asked.lock().unwrap().len(), 1, "the manifest alone");
    // One attribute deleted, one left out, one said by another event, too.
    events.lock().unwrap()[0] = (ONE, 1_700_000_009, vec![("a.example", true), ("e.example", false)]);
    let report = pull(&node, &from).unwrap();
    assert_eq!((counts(&report), report.unchanged), ([2, 1, 0, 1, 2], 1), "{report:?}");
    assert_eq!(held(&node), keys(&["c.example", "d.example", "e.example"]));
    events.lock().unwrap().remove(1);
    events.lock().unwrap().push(("33333333-3333-4333-8333-333333333333", 1, live(&["f.example"])));
    assert_eq!(counts(&pull(&node, &from).unwrap()), [1, 1, 0, 0, 0]);
    assert_eq!(held(&node).len(), 4, "an event that is not named any more says what it said");
}

#[test]
fn an_event_that_is_missing_or_another_takes_nothing_back_stops_no_other_and_is_asked_for_again() {
    const ONE: &str = "11111111-1111-4111-8111-111111111111";
    const TWO: &str = "22222222-2222-4222-8222-222222222222";
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let events: Arc<Mutex<Events>> = Arc::new(Mutex::new(vec![
        (ONE, 1, vec![("a.example", false)]),
        (TWO, 1, vec![("b.example", false)]),
    ]));
    let answers = feed(&events);
    let wrong: Arc<Mutex<Option<&str>>> = Arc::default();
    let broken = Arc::clone(&wrong);
    let (url, _) = server(move |path| match *broken.lock().unwrap() {
        Some("404") if path.contains(ONE) => Some(("404", String::new(), String::new())),
        Some(body) if path.contains(ONE) => Some(("application/json", String::new(), body.to_owned())),
        _ => answers(path),
    });
    let from = from(&format!("{url}/manifest.json"));
    assert_eq!(counts(&pull(&node, &from).unwrap()), [2, 2, 0, 0, 0]);
    let other = format!(r#"{{"Event":{{"uuid":"{TWO}","info":"x","Attribute":[]}}}}"#);
    for (n, body) in (2..).zip(["", "<p>We are mending this server.</p>", "{}", "404", &*other.leak()]) {
        *wrong.lock().unwrap() = Some(body);
        *events.lock().unwrap() = vec![(ONE, n, vec![]), (TWO, n, vec![("b.example", false)])];
        let report = pull(&node, &from).unwrap();
        assert_eq!((counts(&report), report.unchanged), ([2, 0, 1, 1, 0], 0), "{body}: {report:?}");
        assert_eq!(held(&node), keys(&["a.example", "b.example"]));
    }
    // Asked for again, though its time is the same.
    *wrong.lock().unwrap() = None;
    assert_eq!(counts(&pull(&node, &from).unwrap()), [0, 0, 0, 0, 1]);
}

#[test]
fn a_label_is_known_by_a_definition_of_long_ago_and_made_stricter_by_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let own = |n: u8| format!("marking-definition--00000000-0000-4000-8000-00000000000{n}");
    let times = |id: &str, more: Value| {
        let mut object = json!({
            "type": "indicator", "spec_version": "2.1", "id": id, "created": "2026-01-01T00:00:00Z",
            "modified": "2026-01-01T00:00:00Z", "valid_from": "2026-01-01T00:00:00Z", "pattern_type": "stix",
        });
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    let indicator = move |n: u8, label: &str| {
        let id = format!("indicator--00000000-0000-4000-8000-00000000000{n}");
        let pattern = format!("[domain-name:value = 'n{n}.example']");
        times(&id, json!({ "pattern": pattern, "object_marking_refs": [label] }))
    };
    let define = |n: u8, more: Value| {
        let mut object = json!({
            "type": "marking-definition", "spec_version": "2.1", "id": own(n), "created": "2026-01-01T00:00:00Z",
        });
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    let definitions = json!([
        define(1, json!({ "definition_type": "tlp", "definition": { "tlp": "green" } })),
        define(2, json!({ "definition_type": "statement", "definition": { "statement": "made up" } })),
    ]);
    // The first pages of it were read long ago: only the filter still brings the definitions.
    let label = Arc::new(Mutex::new(own(1)));
    let (said, unknown, statement) = (Arc::clone(&label), own(9), own(2));
    let (url, _) = server(move |path| {
        if !path.contains("/objects/") {
            return Some((TAXII, String::new(), json!({ "id": "c", "can_read": true }).to_string()));
        }
        let objects = match path.contains("marking-definition") {
            true => definitions.clone(),
            false => {
                json!(
                    [indicator(1, &said.lock().unwrap()), indicator(2, &statement), indicator(3, &unknown),]
                )
            }
        };
        Some((TAXII, String::new(), json!({ "more": false, "objects": objects }).to_string()))
    });
    let from = from(&format!("{url}/c/"));
    pull(&node, &from).unwrap();
    let labels = || node.list_foreign(|one| one.object.tlp().map(|tlp| tlp.to_string())).unwrap();
    let [green, red] = ["green", "red"].map(|label| Some(label.to_owned()));
    assert_eq!(labels(), [green, None, red.clone()]);
    // No time of it has changed.
    *label.lock().unwrap() = hedgerow_protocol::indicator::Tlp::Red.marking_id();
    pull(&node, &from).unwrap();
    assert_eq!(labels(), [red.clone(), None, red]);
}

#[test]
fn what_a_file_lists_no_more_is_gone_but_not_for_a_file_that_does_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let text = Arc::new(Mutex::new("a.example\nb.example\n".to_owned()));
    let said = Arc::clone(&text);
    let (url, _) = server(move |_| Some(("text/plain", String::new(), said.lock().unwrap().clone())));
    let from = from(&format!("{url}/list.txt"));
    assert_eq!(counts(&pull(&node, &from).unwrap()), [2, 2, 0, 0, 0]);
    "b.example\nc.example\n".clone_into(&mut text.lock().unwrap());
    assert_eq!(counts(&pull(&node, &from).unwrap()), [2, 1, 1, 0, 1]);
    let from = from.clone();
    for nothing in ["", "<p>We are mending this server. Come back soon.</p>\n", "z.example\n"] {
        nothing.clone_into(&mut text.lock().unwrap());
        let _ = pull(&node, &from);
        assert_eq!(held(&node)[..2], keys(&["b.example", "c.example"]), "{nothing:?}");
    }
    // Replaced in whole: it is for a person to say that this is the list now.
    let report = pull(&node, &from).unwrap();
    assert_eq!((counts(&report), report.kept), ([1, 0, 1, 0, 0], 2));
    let report = pull(&node, &PullFrom { again: true, ..from }).unwrap();
    assert_eq!((counts(&report), report.kept), ([1, 0, 1, 0, 2], 0));
}

#[test]
fn a_sighting_from_outside_is_rejected_and_the_rest_stays_readable() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let sighting = json!({
        "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": [{
            "type": "sighting", "spec_version": "2.1", "id": "sighting--00000000-0000-4000-8000-000000000002",
            "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
            "sighting_of_ref": "indicator--00000000-0000-4000-8000-000000000003",
        }],
    });
    let (url, _) = server(move |path| match path {
        "/bundle.json" => Some(("application/json", String::new(), sighting.to_string())),
        _ if path.contains("/objects/") => {
            let body = json!({ "more": false, "objects": sighting["objects"] });
            Some((TAXII, String::new(), body.to_string()))
        }
        _ => Some((TAXII, String::new(), json!({ "id": "c", "can_read": true }).to_string())),
    });
    for path in ["bundle.json", "c/"] {
        for landing in [Landing::Foreign, Landing::Drafts] {
            let report = pull(&node, &PullFrom { landing, ..from(&format!("{url}/{path}")) }).unwrap();
            assert_eq!(counts(&report), [1, 0, 0, 1, 0], "{path}");
            assert!(report.reasons[0].reason.contains("private counts"), "{report:?}");
        }
    }
    assert!(held(&node).is_empty() && node.library.drafts().unwrap().is_empty());
}
