//! What a node's main work costs, each figure beside the same work done bare (docs/benchmarks.md).
//!
//! Whole pieces of work that write to disk and take seconds, so each is done a few times and the median is
//! printed, with the ratio to what it is compared with. `cargo bench -p hedgerow-tests`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench: a failure here is a failed bench"
)]

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use hedgerow_node::{
    api::{self, Command, Outcome},
    flow::membership::{self, Terms},
    node::{Node, now},
    simulate::simulate,
    store::{Documents, KdfParams, Library, Passphrase, Taking, Vault},
};
use hedgerow_protocol::{
    document::NodeSecret,
    indicator::{Checks, Observable, SignedBatch, StixObject, Terms as People, Tlp, lint::lint, objection},
    privacy::MicroEpsilon,
    statistic::{Axis, Measure, Mode, Period, Query},
    time::Quarter,
    vocabulary::Dimension,
};
use rand::{SeedableRng as _, rngs::StdRng};

fn main() {
    // `cargo test --benches` would run this too; it is no test.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    println!("{:<58} {:>12} {:>12} {:>8}", "", "here", "bare", "ratio");
    // Named pieces alone: `cargo bench -p hedgerow-tests --bench node -- indicators`.
    let named: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|n| n == name);
    if wanted("imports") {
        imports(100_000);
    }
    if wanted("statistics") {
        statistics(100_000);
        statistics(1_000_000);
    }
    if wanted("indicators") {
        indicators(100_000);
    }
    if wanted("memory") {
        memory(100_000);
        memory(1_000_000);
    }
    if wanted("library") {
        library_memory(1_000_000);
    }
}

fn line(what: &str, here: &str, bare: &str, ratio: f64) {
    println!("{what:<58} {here:>12} {bare:>12} {ratio:>8.2}");
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn passphrase() -> Passphrase {
    Passphrase::new("a passphrase for benches".into())
}

fn node_with(home: &Path, records: u64) -> Arc<Node> {
    let node =
        Node::init(home, &passphrase(), KdfParams::default(), "Bench".into(), String::new(), vec![]).unwrap();
    let mut terms = Terms::new("Bench".into());
    terms.epsilon_total = "1000".parse().unwrap();
    let charter = membership::draw_up(&node, vec![], terms, now()).unwrap();
    membership::join(&node, &charter).unwrap();
    drop(node);
    let node = Arc::new(Node::open(home, &passphrase()).unwrap());
    simulated(&node, records);
    node
}

fn simulated(node: &Arc<Node>, records: u64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let command = Command::Simulate { count: records, seed: Some(1) };
    let done = runtime.block_on(api::run(node, None, command, &mut |_, _| ())).unwrap();
    assert!(matches!(done, Outcome::Imported(imported) if imported.stored == records));
}

/// Records checked, sealed and durable, a thousand to a commit; bare: sled with the same bytes, unsealed and
/// unchecked, flushed and synced as often.
fn imports(records: u64) {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let bodies: Vec<Vec<u8>> = simulate(StdRng::seed_from_u64(1), now().day())
        .take(usize::try_from(records).unwrap())
        .map(|form| serde_json::to_vec(&form).unwrap())
        .collect();
    for _ in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let node = node_with(dir.path(), 0);
        ours.push(timed(|| simulated(&node, records)));
        let dir = tempfile::tempdir().unwrap();
        let store = sled::open(dir.path()).unwrap();
        bare.push(timed(|| {
            for (n, batch) in bodies.chunks(1000).enumerate() {
                for (i, body) in batch.iter().enumerate() {
                    store.insert(((n * 1000 + i) as u64).to_be_bytes(), body.as_slice()).unwrap();
                }
                store.flush().unwrap();
                fs::File::open(dir.path().join("db")).unwrap().sync_all().unwrap();
            }
        }));
    }
    let (ours, bare) = (median(ours), median(bare));
    let rate = |seconds: f64| format!("{:.0}/s", records as f64 / seconds);
    line(&format!("{records} records, made up, sealed, durable"), &rate(ours), &rate(bare), bare / ours);
}

/// A whole answer: charged, counted with each person bounded, noised, signed, stored. Bare: a hash map over
/// the same columns, without bounds, in the clear.
fn statistics(records: u64) {
    let dir = tempfile::tempdir().unwrap();
    let node = node_with(dir.path(), records);
    let rows: Vec<(u8, i32, u64)> = {
        let forms = simulate(StdRng::seed_from_u64(1), now().day());
        forms
            .take(usize::try_from(records).unwrap())
            .map(|form| {
                let tactic = form.tactic.trim_start_matches('T').parse().unwrap_or(0);
                let (year, month) = form.day.split_at(4);
                let month: i32 = month.get(1..3).and_then(|m| m.parse().ok()).unwrap_or(1);
                let person = form.person.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0);
                (tactic, year.parse::<i32>().unwrap_or(0) * 4 + (month - 1) / 3, person)
            })
            .collect()
    };
    for measure in [Measure::Incidents, Measure::People] {
        // The least that this charter lets a question cost.
        let mut micros = 1_000_000;
        let ours = (0..5).map(|_| {
            micros += 1;
            let query = Query {
                version: 1,
                mode: Mode::Local,
                charter: node.charter().unwrap().id(),
                measure,
                indicators: vec![],
                conditions: vec![],
                period: Some(period()),
                group_by: vec![Axis::Coded(Dimension::Tactic), Axis::Quarter],
                cells_per_person: None,
                purpose: "research".into(),
                need: "bench".into(),
                epsilon: MicroEpsilon::from_micros(micros),
                asked_at: now(),
                expires_at: now().plus_seconds(3600),
            };
            let (query, _) = node.question(query).unwrap();
            let envelope = query.envelope().clone();
            timed(|| drop(node.answer(envelope, node.id(), now()).unwrap()))
        });
        let ours = median(ours.collect());
        let bare = (0..5).map(|_| {
            timed(|| {
                let mut cells: HashMap<(u8, i32), u64> = HashMap::new();
                let mut seen = std::collections::HashSet::new();
                for (tactic, quarter, person) in &rows {
                    if measure == Measure::Incidents || seen.insert((*tactic, *quarter, *person)) {
                        *cells.entry((*tactic, *quarter)).or_default() += 1;
                    }
                }
                assert!(std::hint::black_box(cells).len() > 1);
            })
        });
        let bare = median(bare.collect());
        let what = format!("{measure:?} by tactic and quarter over {records}").to_lowercase();
        let ms = |seconds: f64| format!("{:.1} ms", seconds * 1e3);
        line(&what, &ms(ours), &ms(bare), ours / bare);
    }
}

fn period() -> Period {
    let to = now().day().quarter();
    let from: Quarter = to.plus(-15);
    Period { from, to }
}

/// Batches as they come in: read, verified, every object checked and stored, the document kept, durable. Bare: one
/// Ed25519 signature an object, verified only. Besides: the same work with one signature, document and commit an object.
fn indicators(count: usize) {
    let secret = NodeSecret::from_seed(&[7; 32]);
    let published = |count: usize, each: usize| -> Vec<Vec<u8>> {
        let drafts: Vec<StixObject> = (0..count)
            .map(|n| {
                let name = Observable::guess(&format!("host-{n}.phish.example")).unwrap();
                StixObject::indicator(&name, None, None, now())
            })
            .collect();
        drafts
            .chunks(each)
            .flat_map(|some| {
                let linted = lint(some.to_vec(), Tlp::Green, false).0;
                SignedBatch::sign(linted, charter_id(), now(), &secret).unwrap()
            })
            .map(|(_, json)| json)
            .collect()
    };
    // Held against the lint as a node does, with as many people in its vault.
    let mut people = People::default();
    (0..10_000).for_each(|n| {
        for known in [format!("person-{n}"), format!("Given{n} Family{n}"), format!("p{n}@mail.example")] {
            people.add(&People::keys(&known));
        }
    });
    let checks = Checks { people: &people, ..Checks::default() };
    let take = |batches: &[Vec<u8>], count: usize| {
        let dir = tempfile::tempdir().unwrap();
        let vault = Arc::new(Vault::create(dir.path(), &passphrase(), KdfParams::default()).unwrap());
        let (library, documents) =
            (Library::open(Arc::clone(&vault)).unwrap(), Documents::open(Arc::clone(&vault)).unwrap());
        timed(|| {
            let mut stored = 0;
            for json in batches {
                let batch = SignedBatch::open(json).unwrap();
                let hold = |object: &StixObject| objection(object, &checks).is_some();
                let taking = Taking { now: now(), own: false, hold: &hold };
                stored += library.take(&documents, &batch, json, &taking).unwrap().stored;
            }
            assert_eq!(stored, count);
        })
    };
    let batches = published(count, count);
    let few = (count / 50).max(1);
    let singles = published(few, 1);
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let signatures: Vec<_> = (0..2000u64)
        .map(|n| {
            use ed25519_dalek::Signer as _;
            (n, key.sign(&n.to_be_bytes()))
        })
        .collect();
    let verify = || {
        timed(|| {
            for (n, signature) in &signatures {
                key.verifying_key().verify_strict(&n.to_be_bytes(), signature).unwrap();
            }
        })
    };
    // One after the other, so that what else the machine does falls on all alike.
    let (mut ours, mut single, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 {
        ours.push(take(&batches, count));
        single.push(take(&singles, few));
        bare.push(verify());
    }
    let rate = |n: usize, seconds: f64| n as f64 / seconds;
    let ours = rate(count, median(ours));
    let per_second = |rate: f64| format!("{rate:.0}/s");
    let bare = rate(signatures.len(), median(bare));
    let what = format!("{count} indicators verified, linted and stored, {} batches", batches.len());
    line(&what, &per_second(ours), &per_second(bare), ours / bare);
    let single = rate(few, median(single));
    line(
        "  beside one signature, document and commit each",
        &per_second(ours),
        &per_second(single),
        ours / single,
    );
}

fn charter_id() -> hedgerow_protocol::id::Id<hedgerow_protocol::document::Charter> {
    hedgerow_protocol::id::Id::of(b"bench")
}

/// Peak resident memory of the real binary: opened, serving, one question answered. Bare: its facets alone.
fn memory(records: usize) {
    let federation = hedgerow_tests::Federation::new(1, &[]);
    let node = &federation.nodes[0];
    node.json(&["simulate", &records.to_string(), "--seed", "1"]);
    let serving = node.serve();
    let ask = ["ask", "--count", "people", "--by", "tactic", "--epsilon", "0.5", "--purpose", "research"];
    node.json(&ask);
    let status = fs::read_to_string(format!("/proc/{}/status", serving.id())).unwrap_or_default();
    let peak = |text: &str| text.lines().find_map(|l| l.strip_prefix("VmHWM:")).map(str::to_owned);
    let kib: f64 =
        peak(&status).and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN);
    let bare = (records * 40) as f64 / 1024.0;
    let mib = |kib: f64| format!("{:.1} MiB", kib / 1024.0);
    let what = format!("peak memory of a serving node, {records} records");
    line(&what, &mib(kib), &mib(bare), kib / bare);
}

/// Memory of the real binary that serves a vault with many published indicators: at its peak, which Argon2id makes, and
/// once it is ready. Bare: the hash of an id and of a pattern, and a number, for each.
fn library_memory(count: usize) {
    let federation = hedgerow_tests::Federation::new(1, &[]);
    let node = &federation.nodes[0];
    {
        let passphrase = Passphrase::new("a passphrase for tests".into());
        let vault = Arc::new(Vault::open(node.home(), &passphrase).unwrap());
        let (library, documents) =
            (Library::open(Arc::clone(&vault)).unwrap(), Documents::open(Arc::clone(&vault)).unwrap());
        let secret = NodeSecret::from_seed(&[7; 32]);
        let numbers: Vec<usize> = (0..count).collect();
        for some in numbers.chunks(20_000) {
            let drafts = some.iter().map(|n| {
                let name = Observable::guess(&format!("host-{n}.phish.example")).unwrap();
                StixObject::indicator(&name, None, None, now())
            });
            let linted = lint(drafts.collect(), Tlp::Green, false).0;
            for (batch, json) in SignedBatch::sign(linted, charter_id(), now(), &secret).unwrap() {
                let taking = Taking { now: now(), own: false, hold: &|_| false };
                library.take(&documents, &batch, &json, &taking).unwrap();
            }
        }
    }
    let since = std::time::Instant::now();
    let serving = node.serve();
    let ready = since.elapsed();
    assert_eq!(node.json(&["status"])["indicators"], count);
    let status = fs::read_to_string(format!("/proc/{}/status", serving.id())).unwrap_or_default();
    let kib = |name: &str| -> f64 {
        let line = status.lines().find_map(|l| l.strip_prefix(name));
        line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN)
    };
    let bare = (count * 28) as f64 / 1024.0;
    let mib = |kib: f64| format!("{:.1} MiB", kib / 1024.0);
    let (peak, now) = (kib("VmHWM:"), kib("VmRSS:"));
    let what = format!("peak memory of a serving node, {count} indicators");
    line(&what, &mib(peak), &mib(bare), peak / bare);
    line(
        &format!("  once ready, {:.1} s after its start", ready.as_secs_f64()),
        &mib(now),
        &mib(bare),
        now / bare,
    );
}
