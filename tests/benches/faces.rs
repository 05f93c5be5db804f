//! What other programs wait for: export, TAXII, looking through logs, each beside another program that does it.
//!
//! `cargo bench -p hedgerow-tests --bench faces`, or one of `-- export`, `-- taxii`, `-- match`. The other side is
//! medallion 3.0.0 (tests/interop/setup) and ripgrep, where they are installed. Both sides are timed in turn, and the
//! median is printed: other work on the machine slows both.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "a bench: a failure here is a failed bench"
)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hedgerow_node::{
    export::{Audience, Format, Publisher, export},
    flow::membership::{self, Terms},
    matcher::{Matcher, scan},
    node::{Node, now},
    reader::indicator::Row,
    store::{KdfParams, Passphrase},
};
use hedgerow_protocol::indicator::{Observable, StixObject, Tlp};
use hedgerow_tests::{Federation, program};
use serde_json::{Value, json};

const INDICATORS: usize = 100_000;
const SERVED: usize = 5000;
const LOG_BYTES: usize = 2 * 1024 * 1024 * 1024;
const ROUNDS: usize = 5;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    // `cargo test --benches` would run this too; it is no test.
    if !args.iter().any(|a| a == "--bench") {
        return;
    }
    let only = ["export", "taxii", "match"].into_iter().find(|name| args.iter().any(|a| a == name));
    let wanted = |name| only.is_none_or(|o| o == name);
    println!("{:<58} {:>12} {:>12} {:>8}", "", "here", "other", "ratio");
    if wanted("export") {
        exports();
    }
    if wanted("taxii") {
        taxii();
    }
    if wanted("match") {
        matching();
    }
}

fn line(what: &str, here: &str, other: &str, ratio: f64) {
    println!("{what:<58} {here:>12} {other:>12} {ratio:>8.2}");
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Names as attackers make them: common words, a number, a common ending.
struct Names(u64);

impl Names {
    fn next(&mut self) -> u64 {
        // xorshift64: the same names in every run.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn word(&mut self) -> &'static str {
        const WORDS: [&str; 20] = [
            "login", "secure", "mail", "account", "news", "update", "cdn", "api", "img", "static", "verify",
            "support", "web", "portal", "cloud", "drive", "share", "info", "online", "service",
        ];
        WORDS[(self.next() % 20) as usize]
    }

    fn domain(&mut self) -> String {
        // None that the lint knows to be nobody's.
        const ENDINGS: [&str; 5] = ["example", "a.example", "b.example", "c.example", "d.example"];
        let (a, b, n) = (self.word(), self.word(), self.next() % 1_000_000);
        format!("{a}-{b}{n}.{}", ENDINGS[(self.next() % 5) as usize])
    }
}

fn drafts(count: usize) -> Vec<Row> {
    let mut names = Names(88_172_645_463_325_252);
    (0..count)
        .map(|n| {
            // The number keeps them apart.
            let name = Observable::guess(&format!("n{n}.{}", names.domain())).unwrap();
            Row::new(n as u64 + 1, false, Ok(StixObject::indicator(&name, None, None, now())))
        })
        .collect()
}

/// From the vault to the text of a bundle. Other: the same objects, in memory, through serde_json alone.
fn exports() {
    let dir = tempfile::tempdir().unwrap();
    let passphrase = || Passphrase::new("a passphrase for benches".into());
    let node =
        Node::init(dir.path(), &passphrase(), KdfParams::default(), "Bench".into(), String::new(), vec![])
            .unwrap();
    let charter = membership::draw_up(&node, vec![], Terms::new("Bench".into()), now()).unwrap();
    membership::join(&node, &charter).unwrap();
    drop(node);
    let node = Node::open(dir.path(), &passphrase()).unwrap();
    node.import_indicators(drafts(INDICATORS), now(), &mut |_| ()).unwrap();
    node.publish(Some(Tlp::Green), true, now()).unwrap();
    let publisher = Publisher { name: "Bench".into(), charter: None };
    for (name, format) in
        [("stix", Format::Stix), ("strict", Format::Strict), ("mvt", Format::Mvt), ("misp", Format::Misp)]
    {
        let (mut ours, mut bare, mut bytes) = (Vec::new(), Vec::new(), 0);
        for _ in 0..3 {
            ours.push(timed(|| {
                let done =
                    export(&node.indicators().unwrap(), format, Audience::Anyone, &publisher, &[], now());
                bytes = done.text.len();
                assert_eq!(done.written, INDICATORS);
            }));
            let values: Vec<Value> = node.indicators().unwrap().iter().map(|e| e.object.to_value()).collect();
            bare.push(timed(|| drop(serde_json::to_vec(&json!({ "objects": values })).unwrap())));
        }
        let (ours, bare) = (median(ours), median(bare));
        let rate = |seconds: f64| format!("{:.0} MB/s", bytes as f64 / seconds / 1e6);
        line(
            &format!("{INDICATORS} indicators from the vault as {name}"),
            &rate(ours),
            &rate(bare),
            bare / ours,
        );
    }
}

/// A GET or POST over a connection of its own; both servers are asked in this way.
fn http(method: &str, url: &str, user: &str, body: &str) -> Value {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let media = "application/taxii+json;version=2.1";
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: {media}\r\nContent-Type: {media}\r\nConnection: close\r\n\
         Authorization: Basic {}\r\nContent-Length: {}\r\n\r\n{body}",
        STANDARD.encode(user),
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let split = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    serde_json::from_slice(&answer[split + 4..])
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&answer)))
}

/// Reads a collection to its end.
fn walk(objects: &str, user: &str) -> usize {
    let (mut count, mut next) = (0, String::new());
    loop {
        let page = http("GET", &format!("{objects}?limit=100{next}"), user, "");
        count += page["objects"].as_array().map_or(0, Vec::len);
        match page["next"].as_str() {
            Some(name) if page["more"] == true => next = format!("&next={name}"),
            _ => return count,
        }
    }
}

struct Medallion {
    child: Child,
    objects: String,
}

impl Drop for Medallion {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// OASIS's own server with the same objects, kept in memory; its users are checked by a quick hash.
fn medallion(dir: &Path, objects: &[Value]) -> Option<Medallion> {
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let binary = target.join("interop/bin/medallion");
    if !binary.exists() {
        return None;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let id = "91a7b528-80eb-42ed-a74d-c6fbd5a26116";
    let media = "application/taxii+json;version=2.1";
    let (data, config) = (dir.join("data.json"), dir.join("medallion.json"));
    let root = json!({
        "information": { "title": "Bench", "versions": [media], "max_content_length": 104_857_600 },
        "status": [],
        "collections": [{
            "id": id, "title": "Bench", "can_read": true, "can_write": true,
            "media_types": ["application/stix+json;version=2.1"], "manifest": [], "objects": [],
        }],
    });
    let discovery = json!({ "title": "Bench", "api_roots": [format!("http://127.0.0.1:{port}/api1/")] });
    fs::write(&data, json!({ "/discovery": discovery, "api1": root }).to_string()).unwrap();
    let settings = json!({
        "backend": {
            "module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": data,
        },
        "users": { "admin": "Password0" },
        "taxii": { "max_page_size": 1000 },
    });
    fs::write(&config, settings.to_string()).unwrap();
    let child = Command::new(binary)
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running =
        Medallion { child, objects: format!("http://127.0.0.1:{port}/api1/collections/{id}/objects/") };
    hedgerow_tests::eventually("medallion answers", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    for some in objects.chunks(500) {
        http("POST", &running.objects, "admin:Password0", &json!({ "objects": some }).to_string());
    }
    Some(running)
}

/// The real binary and the real medallion, each asked for all objects in pages of 100.
fn taxii() {
    let federation = Federation::new(1, &[]);
    let node = &federation.nodes[0];
    let list = federation.dir().join("list.txt");
    let mut names = Names(88_172_645_463_325_252);
    let lines: Vec<String> = (0..SERVED).map(|n| format!("n{n}.{}\n", names.domain())).collect();
    fs::write(&list, lines.concat()).unwrap();
    node.json(&["indicator", "import", list.to_str().unwrap()]);
    node.json(&["indicator", "publish", "--tlp", "clear", "--confirm"]);
    let token = node.json(&["taxii", "token", "add", "bench", "--tlp", "clear"]);
    let user = format!("bench:{}", token["token"].as_str().unwrap());
    let (_serving, ready) = node.serve_with(&["--taxii", "127.0.0.1:0"]);
    let base = ready["taxii"].as_str().unwrap().trim_end_matches("taxii2/").to_owned();
    let collections = http("GET", &format!("{base}api/collections/"), &user, "");
    let library =
        collections["collections"].as_array().unwrap().iter().find(|c| c["alias"] == "library").unwrap();
    let objects = format!("{base}api/collections/{}/objects/", library["id"].as_str().unwrap());
    let page = http("GET", &format!("{objects}?limit=1000&match[type]=indicator"), &user, "");
    assert_eq!(page["objects"].as_array().unwrap().len(), 1000);
    let bundle = node.json(&["indicator", "export", "--format", "stix"]);
    let bundle: Value = serde_json::from_str(bundle["text"].as_str().unwrap()).unwrap();
    let all: Vec<Value> =
        bundle["objects"].as_array().unwrap().iter().filter(|o| o["type"] == "indicator").cloned().collect();
    assert_eq!(all.len(), SERVED);
    let other = medallion(federation.dir(), &all);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        ours.push(timed(|| assert!(walk(&objects, &user) >= SERVED)));
        // Minutes a walk: once is enough to see.
        if let (Some(other), true) = (&other, round == ROUNDS / 2) {
            theirs.push(timed(|| assert_eq!(walk(&other.objects, "admin:Password0"), SERVED)));
        }
    }
    let rate = |seconds: f64| format!("{:.0}/s", SERVED as f64 / seconds);
    let ours = median(ours);
    if theirs.is_empty() {
        line(&format!("{SERVED} objects over TAXII, pages of 100"), &rate(ours), "not there", f64::NAN);
    } else {
        let theirs = median(theirs);
        line(
            &format!("{SERVED} objects over TAXII, pages of 100; medallion"),
            &rate(ours),
            &rate(theirs),
            theirs / ours,
        );
    }
}

/// A log that does not fit a block, with few of the names in it, and the file of names.
fn log(dir: &Path) -> (PathBuf, PathBuf, Vec<Observable>) {
    let mut names = Names(88_172_645_463_325_252);
    let known: Vec<String> = (0..INDICATORS).map(|_| names.domain()).collect();
    let (log, list) = (dir.join("log"), dir.join("names"));
    fs::write(&list, known.iter().map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    let mut file = std::io::BufWriter::new(fs::File::create(&log).unwrap());
    let (mut written, mut lines) = (0, 0_u64);
    while written < LOG_BYTES {
        lines += 1;
        let host = if lines.is_multiple_of(10_000) {
            known[(names.next() % INDICATORS as u64) as usize].clone()
        } else {
            names.domain()
        };
        let text = format!(
            "2026-01-02T03:04:{:02}.{:03}Z 192.168.{}.{} TCP_MISS/200 {} GET https://{}.{host}/{}/{}?id={:x} - \
             HIER_DIRECT/203.0.113.{} text/html\n",
            lines % 60,
            names.next() % 1000,
            names.next() % 256,
            names.next() % 256,
            names.next() % 100_000,
            names.word(),
            names.word(),
            names.word(),
            names.next(),
            names.next() % 256,
        );
        file.write_all(text.as_bytes()).unwrap();
        written += text.len();
    }
    file.flush().unwrap();
    let mut observables: Vec<Observable> = known.iter().map(|n| Observable::guess(n).unwrap()).collect();
    observables.sort();
    observables.dedup();
    (log, list, observables)
}

/// One thread through a log of half a gigabyte; any case, defanged text, boundaries and line numbers included. Other:
/// `rg -F -f` on one thread, which does without these (with `-i` it takes minutes for some megabytes).
fn matching() {
    let dir = tempfile::tempdir().unwrap();
    let (log, list, observables) = log(dir.path());
    let size = fs::metadata(&log).unwrap().len() as f64;
    let all: Vec<&Observable> = observables.iter().collect();
    let mut built = Vec::new();
    let mut matcher = None;
    for _ in 0..3 {
        built.push(timed(|| matcher = Some(Matcher::new(&all).unwrap())));
    }
    let matcher = matcher.unwrap();
    let (mut ours, mut theirs, mut cpu, mut found) = (Vec::new(), Vec::new(), Vec::new(), 0_u64);
    for _ in 0..ROUNDS {
        let before = used();
        ours.push(timed(|| {
            found = 0;
            scan(&matcher, &log, &mut |_| found += 1, &mut |_| ()).unwrap();
        }));
        cpu.push((used() - before).as_secs_f64());
        if let Some(rg) = program("rg") {
            theirs.push(timed(|| {
                let args = ["-F", "-c", "-j", "1", "--no-config", "-f"];
                let output = Command::new(rg).args(args).arg(&list).arg(&log).output().unwrap();
                assert!(output.status.success());
            }));
        }
    }
    assert!(found > 100, "{found}");
    let rate = |seconds: f64| format!("{:.0} MB/s", size / seconds / 1e6);
    let what = format!("{} names in a log of {:.0} MB; rg", observables.len(), size / 1e6);
    let ours = median(ours);
    if theirs.is_empty() {
        line(&what, &rate(ours), "not there", f64::NAN);
    } else {
        let theirs = median(theirs);
        line(&what, &rate(ours), &rate(theirs), theirs / ours);
    }
    println!("  {} of processor time; the automaton is built in {:.2} s", rate(median(cpu)), median(built));
}

/// Processor time of this process.
fn used() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
