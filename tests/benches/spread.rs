//! How long after `publish` an indicator is at every one of twenty nodes: real processes on loopback, connected each
//! with each. First in peace, then while one more member floods them all.
//!
//! `cargo build --release && cargo bench -p hedgerow-tests --bench spread -- [NODES]`

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "a bench: a failure here is a failed bench"
)]

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hedgerow_node::{
    api::{Command, Given, Outcome, Status, library::LibraryCommand, socket},
    flow::indicator::To,
    net::{Inbound, NetConfig, Network, Peer},
    node::now,
};
use hedgerow_protocol::{
    document::{Charter, Envelope, Member, NodeSecret, Signed},
    id::Digest,
    indicator::{Observable, SignedBatch, StixObject, Tlp, lint},
    limits,
    wire::{Announcement, Declined, Reply, Request, Spreading},
};
use hedgerow_tests::{Federation, eventually, free_addresses};
use tokio::sync::mpsc;

/// Publications of each run: one every half second, each by the next node.
const PUBLICATIONS: usize = 60;
const PAUSE: Duration = Duration::from_millis(500);
/// Batches that the hostile member has ready, of one indicator each.
const TINY: usize = 20_000;

fn main() {
    // `cargo test --benches` would run this too; it is no test.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let nodes = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(20);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let secret = NodeSecret::from_seed(&[66; 32]);
    let addresses = free_addresses();
    let member = Member {
        id: secret.node_id(),
        name: "Hostile".into(),
        contact: String::new(),
        addresses: addresses.clone(),
        vouching: None,
    };
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join("hostile.json");
    fs::write(&card, Signed::new(member, &secret).unwrap().envelope().to_json().unwrap()).unwrap();
    let federation = Federation::new(nodes, &["--member", card.to_str().unwrap()]);
    let _serving: Vec<_> = federation.nodes.iter().map(|n| n.serve()).collect();
    eventually("every node connected", || {
        federation.nodes.iter().all(|n| {
            let peers = status(n.home()).network.map(|net| net.peers).unwrap_or_default();
            peers.iter().filter(|p| p.connected).count() + 1 == nodes
        })
    });
    // Gossip needs some heartbeats until each knows its neighbours.
    thread::sleep(Duration::from_secs(5));

    println!(
        "{:<44} {:>9} {:>9} {:>9}",
        format!("publish, until all {nodes} have it"),
        "median",
        "9 of 10",
        "worst"
    );
    let quiet = publications(&federation, "quiet");
    let charter: Signed<Charter> =
        Envelope::from_json(fs::read(federation.charter()).unwrap().trim_ascii()).unwrap().open().unwrap();
    let attack = runtime.block_on(Attack::begin(secret, addresses, charter));
    // Until it is connected and all of it runs.
    thread::sleep(Duration::from_secs(5));
    let flooded = publications(&federation, "while a member floods");
    let (requests, announced, fetched) = attack.end();
    println!("{:<44} {:>9.2}", "ratio of the medians", flooded / quiet);
    println!(
        "it sent {requests} requests and {announced} announcements; {fetched} of its batches were fetched"
    );
    let mut dropped: HashMap<String, u64> = HashMap::new();
    for node in &federation.nodes {
        for (what, count) in status(node.home()).network.map(|net| net.dropped).unwrap_or_default() {
            *dropped.entry(what).or_default() += count;
        }
    }
    let mut dropped: Vec<_> = dropped.into_iter().filter(|(_, count)| *count > 0).collect();
    dropped.sort();
    println!("dropped at all nodes together: {dropped:?}");
}

fn status(home: &Path) -> Status {
    let Outcome::Status(status) = call(home, &Command::Status) else { panic!("no status") };
    *status
}

fn call(home: &Path, command: &Command) -> Outcome {
    socket::call(home, command, &mut |_, _| ()).unwrap().unwrap()
}

/// Whether a node can prove who published it: then it is verified and stored.
fn holds(home: &Path, id: &str) -> bool {
    let prove = Command::Library { action: LibraryCommand::Prove { id: id.into() } };
    matches!(socket::call(home, &prove, &mut |_, _| ()), Some(Ok(_)))
}

/// A draft of its own for a node; gives its STIX id.
fn draft(federation: &Federation, node: &Path, value: &str) -> String {
    let file = federation.dir().join("indicator.txt");
    fs::write(&file, format!("{value}\n")).unwrap();
    call(node, &Command::IndicatorImport { path: file, format: None, given: Given::default() });
    let Outcome::Indicators(listed) = call(node, &Command::IndicatorList) else { panic!("no list") };
    listed.into_iter().find(|i| i.what.ends_with(value)).unwrap().id
}

/// Publishes with one node after another and prints how long each took to be everywhere; gives the median in seconds.
fn publications(federation: &Federation, name: &str) -> f64 {
    let mut times = Vec::new();
    for n in 0..PUBLICATIONS {
        let node = &federation.nodes[n % federation.nodes.len()];
        let value = format!("{}-{n}.spread.example", name.replace(' ', "-"));
        let id = draft(federation, node.home(), &value);
        let since = Instant::now();
        call(
            node.home(),
            &Command::IndicatorPublish { tlp: Some(Tlp::Green), to: To::All, confirmed: false },
        );
        for other in &federation.nodes {
            while !holds(other.home(), &id) {
                assert!(since.elapsed() < Duration::from_secs(60), "{value} did not arrive");
                thread::sleep(Duration::from_millis(2));
            }
        }
        times.push(since.elapsed().as_secs_f64());
        thread::sleep(PAUSE);
    }
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times[(times.len() - 1) * part / 10];
    let ms = |seconds: f64| format!("{:.0} ms", seconds * 1e3);
    println!("{name:<44} {:>9} {:>9} {:>9}", ms(at(5)), ms(at(9)), ms(at(10)));
    at(5)
}

/// One member with nothing but its key and a network, that sends whatever it can.
struct Attack {
    stop: Arc<AtomicBool>,
    counts: Arc<[AtomicU64; 3]>,
}

const REQUESTS: usize = 0;
const ANNOUNCED: usize = 1;
const FETCHED: usize = 2;

impl Attack {
    async fn begin(secret: NodeSecret, addresses: Vec<String>, charter: Signed<Charter>) -> Self {
        let honest: Vec<_> =
            charter.document().members.iter().filter(|m| m.id != secret.node_id()).cloned().collect();
        let peers = honest.iter().map(|m| Peer { id: m.id, addresses: m.addresses.clone() }).collect();
        let (events, mut inbound) = mpsc::channel(256);
        let net = Network::start(&secret, NetConfig::new(addresses, peers, charter.id().digest()), events);
        let net = Arc::new(net.await.unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let counts: Arc<[AtomicU64; 3]> = Arc::default();

        let mut batches = HashMap::new();
        let mut announcements = Vec::new();
        for n in 0..TINY {
            let value = Observable::guess(&format!("t{n}.flood.example")).unwrap();
            let object = StixObject::indicator(&value, None, None, now());
            let json =
                SignedBatch::sign(lint(vec![object], Tlp::Green, true).0, charter.id(), now(), &secret)
                    .unwrap()
                    .remove(0)
                    .1;
            let id = Digest::of(&json);
            announcements.push(Announcement { kind: Spreading::Batch, id, bytes: json.len() as u64 });
            batches.insert(id, json);
        }
        let served = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Some(event) = inbound.recv().await {
                let Inbound::Request { request, reply, .. } = event else { continue };
                let answer = match request {
                    Request::Fetch { id, offset } if batches.contains_key(&id) => {
                        served[FETCHED].fetch_add(1, Ordering::Relaxed);
                        let page = batches[&id].iter().skip(offset as usize).take(limits::PAGE_BYTES);
                        Reply::Page { bytes: page.copied().collect() }
                    }
                    _ => Reply::Declined { why: Declined::NotHere },
                };
                let _ = reply.reply(&answer, Vec::new());
            }
        });
        // Announcements as fast as its own network lets them go.
        let (said, stopped, to_all) = (Arc::clone(&counts), Arc::clone(&stop), Arc::clone(&net));
        tokio::spawn(async move {
            for announcement in announcements.iter().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                if to_all.announce(announcement.clone()).await.is_ok() {
                    said[ANNOUNCED].fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        // Requests to each, one after another as fast as they are answered.
        for member in honest {
            let (sent, stopped, to_one) = (Arc::clone(&counts), Arc::clone(&stop), Arc::clone(&net));
            tokio::spawn(async move {
                for n in 0u64.. {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    let request = match n % 3 {
                        0 => Request::Epochs,
                        1 => Request::Inventory { after: 0 },
                        _ => Request::Fetch { id: Digest::of(&n.to_be_bytes()), offset: 0 },
                    };
                    match to_one.exchange(member.id, request, Vec::new()).await {
                        Ok(_) => drop(sent[REQUESTS].fetch_add(1, Ordering::Relaxed)),
                        // Shut out, or not connected yet.
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                }
            });
        }
        Self { stop, counts }
    }

    fn end(self) -> (u64, u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let count = |which: usize| self.counts[which].load(Ordering::Relaxed);
        (count(REQUESTS), count(ANNOUNCED), count(FETCHED))
    }
}
