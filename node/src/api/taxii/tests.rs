use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hedgerow_protocol::{
    indicator::{Observable, StixObject, Tlp},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::{answer::Answer, answer::Ask, answer::MEDIA, *};
use crate::{
    flow::membership::{self, Terms},
    node::now,
    reader::indicator::Row,
    store::{KdfParams, Landing, Passphrase},
};

struct World {
    _dir: tempfile::TempDir,
    node: Arc<Node>,
    server: Server,
    token: String,
}

fn indicator(value: &str, at: Timestamp) -> StixObject {
    StixObject::indicator(&Observable::guess(value).unwrap(), None, None, at)
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = || Passphrase::new("a passphrase for tests".into());
        let node =
            Node::init(dir.path(), &passphrase(), KdfParams::default(), "A".into(), String::new(), vec![])
                .unwrap();
        let charter = membership::draw_up(&node, vec![], Terms::new("Test".into()), now()).unwrap();
        membership::join(&node, &charter).unwrap();
        drop(node);
        let node = Arc::new(Node::open(dir.path(), &passphrase()).unwrap());
        let token = node.add_client("reader", Tlp::Green, None, now()).unwrap().to_string();
        Self { _dir: dir, server: Self::server(&node), node, token }
    }

    fn server(node: &Arc<Node>) -> Server {
        let key = node.clients.paging_key(&[7; 32]).unwrap();
        Server::new("http://127.0.0.1:1".into(), Catalog::open(Arc::clone(node)).unwrap(), key)
    }

    fn publish(&self, names: std::ops::Range<usize>, tlp: Tlp) {
        let rows = names.map(|n| {
            let host = format!("host-{n}.evil-{tlp}.example").replace('+', "-");
            Row::new(1, false, Ok(indicator(&host, now())))
        });
        self.node.import_indicators(rows.collect(), now(), &mut |_| ()).unwrap();
        let (report, _) = self.node.publish(Some(tlp), true, now()).unwrap();
        assert!(report.refused.is_empty(), "{report:?}");
    }

    fn collection(&self, alias: &str) -> String {
        let list = json_of(&self.ask("GET", "/api/collections/", ""));
        let of = list["collections"].as_array().unwrap().iter().find(|c| c["alias"] == alias).unwrap();
        format!("/api/collections/{}/", of["id"].as_str().unwrap())
    }

    fn asking(&self, method: &str, path: &str, query: &str) -> Ask {
        Ask {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            accept: Some(MEDIA.into()),
            content_type: Some(MEDIA.into()),
            authorization: Some(format!("Bearer {}", self.token)),
            body: Vec::new(),
        }
    }

    fn ask(&self, method: &str, path: &str, query: &str) -> Answer {
        self.server.answer(&self.asking(method, path, query))
    }

    fn objects(&self, query: &str) -> Answer {
        self.ask("GET", &format!("{}objects/", self.collection("library")), query)
    }

    /// Ids of the indicators of a whole walk.
    fn walk(&self, limit: usize, mut between: impl FnMut(usize)) -> Vec<String> {
        let (mut ids, mut next, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = json_of(&self.objects(&format!("match[type]=indicator&limit={limit}{next}")));
            ids.extend(ids_of(&page));
            between(pages);
            pages += 1;
            if page["more"] == false {
                return ids;
            }
            next = format!("&next={}", page["next"].as_str().unwrap());
        }
    }
}

fn json_of(answer: &Answer) -> Value {
    assert!(answer.status < 300, "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

fn ids_of(page: &Value) -> Vec<String> {
    let list = page["objects"].as_array().cloned().unwrap_or_default();
    list.iter().map(|o| o["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_walk_skips_nothing_and_doubles_nothing_while_objects_are_added() {
    let world = World::new();
    world.publish(0..50, Tlp::Green);
    let ids = world.walk(7, |page| {
        if page < 5 {
            world.publish(100 + page * 10..110 + page * 10, Tlp::Green);
        }
    });
    let unique: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), unique.len()), (100, 100));
    // A new start of the server changes no time and no order.
    let again = World { server: World::server(&world.node), ..world };
    assert_eq!(again.walk(13, |_| ()), ids);
}

#[test]
fn a_page_belongs_to_who_asked_for_it_and_to_what_was_asked() {
    let mut world = World::new();
    world.publish(0..5, Tlp::Green);
    let next = json_of(&world.objects("limit=2"))["next"].as_str().unwrap().to_owned();
    assert_eq!(world.objects(&format!("limit=3&next={next}")).status, 200, "the size of a page may change");
    assert_eq!(world.objects(&format!("match[type]=indicator&next={next}")).status, 400);
    let manifest = format!("{}manifest/", world.collection("library"));
    assert_eq!(world.ask("GET", &manifest, &format!("next={next}")).status, 400);
    assert_eq!(world.objects("next=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").status, 400);
    world.token = world.node.add_client("other", Tlp::Green, None, now()).unwrap().to_string();
    assert_eq!(world.objects(&format!("next={next}")).status, 400);
}

#[test]
fn labels_decide_what_a_token_reads() {
    let mut world = World::new();
    world.publish(0..1, Tlp::Clear);
    world.publish(1..3, Tlp::Green);
    world.publish(3..6, Tlp::Amber);
    for (tlp, expected) in [(Tlp::Clear, 1), (Tlp::Green, 3), (Tlp::Amber, 6), (Tlp::AmberStrict, 6)] {
        world.token = world
            .node
            .add_client(&format!("t {tlp}").replace('+', " "), tlp, None, now())
            .unwrap()
            .to_string();
        let ids = world.walk(100, |_| ());
        assert_eq!(ids.len(), expected, "{tlp}");
        // Nor can what is held back be asked for by its id.
        let all = world.node.indicators().unwrap();
        let path = world.collection("library");
        for entry in all {
            let one = world.ask("GET", &format!("{path}objects/{}/", entry.object.id()), "");
            let may = entry.object.tlp().unwrap() <= tlp;
            assert_eq!(one.status, if may { 200 } else { 404 });
            let versions = world.ask("GET", &format!("{path}objects/{}/versions/", entry.object.id()), "");
            assert_eq!(versions.status, if may { 200 } else { 404 });
        }
    }
    assert!(world.node.add_client("red", Tlp::Red, None, now()).is_err());
}

#[test]
fn what_is_allowed_here_or_held_back_is_in_no_answer_and_comes_back() {
    let world = World::new();
    world.publish(0..2, Tlp::Green);
    let path = world.collection("library");
    let answers = |id: &str| {
        let listed =
            |what: &str| json_of(&world.ask("GET", &format!("{path}{what}/"), ""))["objects"].to_string();
        let of = |what: &str| world.ask("GET", &format!("{path}objects/{id}/{what}"), "").status;
        (listed("manifest").contains(id), listed("objects").contains(id), of(""), of("versions/"))
    };
    let id = &world.walk(9, |_| ())[0];
    let there = (true, true, 200, 200);
    assert_eq!(answers(id), there);
    let entry = world.node.library.entry(id).unwrap().unwrap();
    let value = entry.object.pattern().unwrap().observables()[0].value().to_owned();
    world.node.allow(&value, "our own", now()).unwrap();
    assert_eq!(answers(id), (false, false, 404, 404));
    world.node.disallow(&value).unwrap();
    assert_eq!(answers(id), there);
    // What came while it was allowed gets its time when it is so no more.
    world.node.allow("host-2.evil-green.example", "", now()).unwrap();
    world.publish(2..3, Tlp::Green);
    let before = world.walk(9, |_| ()).len();
    world.node.disallow("host-2.evil-green.example").unwrap();
    assert_eq!(world.walk(9, |_| ()).len(), before + 1);
}

#[test]
fn discovery_names_the_url_that_the_operator_gave() {
    let world = World::new();
    let key = world.node.clients.paging_key(&[7; 32]).unwrap();
    let catalog = Catalog::open(Arc::clone(&world.node)).unwrap();
    let server = Server::new("https://taxii.example/shared".into(), catalog, key);
    let answer = json_of(&server.answer(&world.asking("GET", "/taxii2/", "")));
    assert_eq!(answer["api_roots"], json!(["https://taxii.example/shared/api/"]), "{answer}");
}

#[test]
fn observables_are_served_with_the_time_of_their_coming_as_their_version() {
    let world = World::new();
    let domain = serde_json::json!({
        "type": "domain-name", "spec_version": "2.1", "value": "example.org",
        "id": "domain-name--3500c14b-9bde-5393-b4e5-b260aea7e058",
    });
    let rows = vec![Row::new(1, true, Ok(StixObject::parse(domain).unwrap()))];
    world.node.import_indicators(rows, now(), &mut |_| ()).unwrap();
    world.node.publish(Some(Tlp::Green), true, now()).unwrap();
    let page = json_of(&world.objects("match[type]=domain-name"));
    assert_eq!(ids_of(&page), ["domain-name--3500c14b-9bde-5393-b4e5-b260aea7e058"]);
    let manifest = format!("{}manifest/", world.collection("library"));
    let manifest = json_of(&world.ask("GET", &manifest, "match[type]=domain-name"));
    let one = &manifest["objects"][0];
    assert_eq!(one["version"], one["date_added"]);
    let version = one["version"].as_str().unwrap();
    let of_version = json_of(&world.objects(&format!("match[type]=domain-name&match[version]={version}")));
    assert_eq!(ids_of(&of_version).len(), 1);
}

#[test]
fn a_revocation_that_is_dated_before_what_it_takes_back_is_told() {
    let world = World::new();
    world.publish(0..1, Tlp::Green);
    let ids = world.walk(9, |_| ());
    let first = json_of(&world.ask("GET", &format!("{}manifest/", world.collection("library")), ""));
    let seen =
        first["objects"].as_array().unwrap().last().unwrap()["date_added"].as_str().unwrap().to_owned();
    // As another program of its owner may date it: the library takes it, since a revocation is final.
    let held = world.node.library.entry(&ids[0]).unwrap().unwrap();
    let mut earlier = held.object.to_value();
    for key in ["created", "modified", "valid_from"] {
        earlier[key] = "2020-01-01T00:00:00.000Z".into();
    }
    earlier["revoked"] = true.into();
    let earlier = StixObject::parse(earlier).unwrap();
    let linted = hedgerow_protocol::indicator::lint(vec![earlier], Tlp::Green, true).0;
    let charter = world.node.charter().unwrap().id();
    let signed = hedgerow_protocol::indicator::SignedBatch::sign(linted, charter, now(), world.node.secret());
    for (_, json) in signed.unwrap() {
        world.node.take_batch(&json, now()).unwrap();
    }
    let page = json_of(&world.objects(&format!("added_after={seen}")));
    assert_eq!(page["objects"][0]["revoked"], true, "{page}");
}

#[test]
fn filters_choose_by_time_id_type_and_version() {
    let world = World::new();
    world.publish(0..5, Tlp::Green);
    let all = world.objects("match[type]=indicator");
    let ids = ids_of(&json_of(&all));
    let manifest = json_of(&world.ask("GET", &format!("{}manifest/", world.collection("library")), ""));
    let entries = manifest["objects"].as_array().unwrap();
    assert_eq!(entries.len(), 7, "with the definitions of CLEAR and GREEN");
    let added: Vec<&str> = entries.iter().map(|e| e["date_added"].as_str().unwrap()).collect();
    assert!(added.windows(2).all(|w| w[0] < w[1]), "{added:?}");
    let header = |name: &str| all.headers.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    assert_eq!(header("x-taxii-date-added-last"), added[6]);

    let count = |query: &str| ids_of(&json_of(&world.objects(query))).len();
    assert_eq!(count(&format!("added_after={}", added[3])), 3, "strictly after");
    assert_eq!(count(&format!("match[id]={},{}", ids[0], ids[4])), 2);
    assert_eq!(count(&format!("match%5Bid%5D={}&match[type]=malware", ids[0])), 0);
    assert_eq!(count("match[type]=indicator,marking-definition"), 7);
    for (query, expected) in [("last", 5), ("first", 5), ("all", 5), ("2001-01-01T00:00:00.000Z", 0)] {
        assert_eq!(count(&format!("match[type]=indicator&match[version]={query}")), expected, "{query}");
    }
    let version = entries[6]["version"].as_str().unwrap();
    assert!(count(&format!("match[version]={version}")) >= 1);
    assert_eq!((count("match[spec_version]=2.1"), count("match[spec_version]=2.0")), (7, 0));

    // A revocation is a new version, added last.
    world.node.revoke(&ids[1], now()).unwrap();
    let page = json_of(&world.objects("match[type]=indicator"));
    let last = page["objects"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["id"], &last["revoked"], ids_of(&page).len()), (&json!(ids[1]), &json!(true), 5));
}

#[test]
fn what_is_wrong_gets_the_status_of_the_standard_and_an_error_body() {
    let world = World::new();
    world.publish(0..1, Tlp::Green);
    let (library, inbox) = (world.collection("library"), world.collection("inbox"));
    type Change = fn(&mut Ask);
    let objects = format!("{library}objects/");
    let one = format!("{library}objects/indicator--0b0e5d2c-1c9c-4f7d-8f3e-0a7a3c8a4f10/");
    let post = format!("{inbox}objects/");
    let none: Change = |_| ();
    let cases: [(&str, &str, &str, &str, Change, u16); 17] = [
        ("no token", "GET", "/taxii2/", "", |a| a.authorization = None, 401),
        ("a wrong token", "GET", "/taxii2/", "", |a| a.authorization = Some("Bearer hgt_x".into()), 401),
        ("another type", "GET", "/api/", "", |a| a.accept = Some("text/html".into()), 406),
        (
            "another version",
            "GET",
            "/api/",
            "",
            |a| a.accept = Some("application/taxii+json;version=2.0".into()),
            406,
        ),
        ("no such root", "GET", "/other/", "", none, 404),
        ("no such collection", "GET", "/api/collections/x/", "", none, 404),
        ("no such object", "GET", &one, "", none, 404),
        ("no such status", "GET", "/api/status/x/", "", none, 404),
        ("another method", "PUT", &objects, "", none, 403),
        ("deleting", "DELETE", &one, "", none, 403),
        ("another method on a document", "POST", "/api/", "", none, 405),
        ("reading the inbox", "GET", &post, "", none, 403),
        ("posting without leave", "POST", &post, "", none, 403),
        ("a limit of nothing", "GET", &objects, "limit=0", none, 400),
        ("a time that is none", "GET", &objects, "added_after=yesterday", none, 400),
        ("a version that is none", "GET", &objects, "match[version]=newest", none, 400),
        ("a next that is none", "GET", &objects, "next=%00", none, 400),
    ];
    for (name, method, path, query, change, status) in cases {
        let mut ask = world.asking(method, path, query);
        change(&mut ask);
        let answer = world.server.answer(&ask);
        assert_eq!(answer.status, status, "{name}");
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(
            body["title"].is_string() && body["http_status"].as_str() == Some(&format!("{status}")),
            "{name}"
        );
    }
    for accept in [None, Some("*/*"), Some("application/taxii+json"), Some("text/html, application/*;q=0.5")]
    {
        let mut ask = world.asking("GET", "/taxii2/", "");
        ask.accept = accept.map(str::to_owned);
        ask.authorization = Some(format!("Basic {}", STANDARD.encode(format!("anyone:{}", world.token))));
        assert_eq!(world.server.answer(&ask).status, 200, "{accept:?}");
    }
    // A token that was taken back is refused at once.
    world.node.revoke_client("reader").unwrap();
    assert_eq!(world.ask("GET", "/taxii2/", "").status, 401);
}

#[test]
fn what_is_posted_waits_where_its_token_says_and_may_be_posted_again() {
    let mut world = World::new();
    let posted = indicator("posted.example", now()).to_value();
    let body = json!({ "objects": [
        posted, { "type": "indicator", "id": "indicator--x" }, Tlp::Green.marking_definition(),
    ]});
    for (landing, drafts, foreign) in [(Landing::Foreign, 0, 1), (Landing::Drafts, 1, 1)] {
        let name = format!("writer {drafts}");
        world.token = world.node.add_client(&name, Tlp::Clear, Some(landing), now()).unwrap().to_string();
        let path = format!("{}objects/", world.collection("inbox"));
        for _ in 0..2 {
            let mut ask = world.asking("POST", &path, "");
            ask.body = body.to_string().into_bytes();
            let answer = world.server.answer(&ask);
            assert_eq!(answer.status, 202);
            let status = json_of(&answer);
            let counts = ["total_count", "success_count", "failure_count", "pending_count"]
                .map(|k| status[k].as_u64().unwrap());
            assert_eq!((counts, &status["status"]), ([3, 2, 1, 0], &json!("complete")));
            let again = world.ask("GET", &format!("/api/status/{}/", status["id"].as_str().unwrap()), "");
            assert_eq!(json_of(&again), status);
        }
        assert_eq!(world.node.library.drafts().unwrap().len(), drafts);
        assert_eq!(world.node.list_foreign(Clone::clone).unwrap().len(), foreign);
        // It is nobody else's to read.
        assert!(!ids_of(&json_of(&world.objects(""))).iter().any(|id| id.starts_with("indicator")));
        for (content_type, text, status) in [
            ("application/json", "{\"objects\":[]}", 415),
            (MEDIA, "{", 400),
            (MEDIA, "{\"objects\":{}}", 422),
            (MEDIA, &format!("{{\"objects\":[{}0]}}", "0,".repeat(5000)), 413),
        ] {
            let mut ask = world.asking("POST", &path, "");
            (ask.content_type, ask.body) = (Some(content_type.into()), text.as_bytes().to_vec());
            assert_eq!(world.server.answer(&ask).status, status);
        }
    }
    let source = world.node.list_foreign(Clone::clone).unwrap()[0].source.clone();
    assert_eq!(source, "writer 0");
    let moved = world.node.drop_foreign(&crate::api::ForeignChoice::Source(source)).unwrap();
    assert_eq!((moved.moved, world.node.list_foreign(Clone::clone).unwrap().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_is_not_read_and_a_wild_one_ends_nothing() {
    let world = World::new();
    assert!(
        Taxii::bind(&world.node, "0.0.0.0:0".parse().unwrap(), None).is_err(),
        "in the clear, to the outside"
    );
    assert!(Taxii::bind(&world.node, "0.0.0.0:0".parse().unwrap(), Some("http://x.example".into())).is_err());
    let taxii = Taxii::bind(&world.node, "127.0.0.1:0".parse().unwrap(), None).unwrap();
    let address = taxii.listener.local_addr().unwrap();
    let token = world.token.clone();
    let inbox =
        world.node.add_client("inbox", Tlp::Green, Some(Landing::Foreign), now()).unwrap().to_string();
    let talk = move |request: String| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        String::from_utf8_lossy(&head[9..]).into_owned()
    };
    let asks = tokio::task::spawn_blocking(move || {
        let head = format!("Host: x\r\nAuthorization: Token {token}\r\nAccept: {MEDIA}\r\n");
        assert_eq!(talk("nonsense\r\n\r\n".into()), "400");
        // Who may not post is told so before a body is read.
        let post = |by: &str| {
            let head = head.replace(&token, by);
            talk(format!("POST /api/ HTTP/1.1\r\n{head}Content-Length: 99999999\r\n\r\n"))
        };
        assert_eq!((post("nobody"), post(&token), post(&inbox)), ("401".into(), "403".into(), "413".into()));
        assert_eq!(talk(format!("GET /api/ HTTP/1.1\r\n{head}{}\r\n", "X: y\r\n".repeat(500))), "431");
        assert_eq!(talk(format!("GET /api/ HTTP/1.1\r\n{head}\r\n")), "200");
    });
    tokio::select! {
        () = taxii.serve() => {}
        done = asks => done.unwrap(),
    }
}
