//! Whatever a hostile member does with indicators, it is dropped, counted and scored, nothing grows, and what an honest
//! member publishes meanwhile arrives.
//!
//! `HEDGEROW_LONG=1 cargo test -p hedgerow-tests --test hostile -- tiny_batches --nocapture` lets it sign a million
//! batches.

use std::{
    collections::HashMap,
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hedgerow_node::net::{Inbound, RequestError};
use hedgerow_protocol::{
    document::{NodeSecret, Signed},
    id::{Digest, NodeId},
    indicator::{BatchHead, Observable, SignedBatch, StixObject, Tlp, lint, merkle},
    limits,
    pseudonym::VouchingKey,
    reconcile::EpochSum,
    time::Timestamp,
    wire::{Announcement, Declined, Reply, Request, Spreading},
};
use hedgerow_tests::{Node, eventually};
use rand::SeedableRng as _;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::world::World;

pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_unix_seconds(since.as_secs() as i64).unwrap()
}

pub(crate) fn indicator(value: &str) -> StixObject {
    StixObject::indicator(&Observable::guess(value).unwrap(), None, None, now())
}

/// What a hostile member hands out: documents under ids, true or not, and a way to reconcile.
#[derive(Default)]
pub(crate) struct Wares {
    documents: HashMap<Digest, Vec<u8>>,
    /// How often a document was asked for from its beginning.
    fetched: AtomicUsize,
    /// What it says of each.
    pub(crate) listed: Vec<Announcement>,
    /// With what it evaluates elements.
    pub(crate) vouching: Option<VouchingKey>,
    /// Its epochs, and what it answers to every message about one; without, it has none, as an older program.
    epochs: Option<(Vec<EpochSum>, Vec<u8>)>,
}

impl Wares {
    pub(crate) fn add(&mut self, json: Vec<u8>) -> Announcement {
        self.add_as(Spreading::Batch, json)
    }

    pub(crate) fn add_as(&mut self, kind: Spreading, json: Vec<u8>) -> Announcement {
        let announcement = Announcement::of(kind, &json);
        self.documents.insert(announcement.id, json);
        self.listed.push(announcement.clone());
        announcement
    }

    pub(crate) fn answer(&self, request: &Request) -> (Reply, Vec<u8>) {
        let declined = Reply::Declined { why: Declined::NotHere };
        let reply = match request {
            Request::Epochs => match &self.epochs {
                Some((epochs, _)) => Reply::Epochs { epochs: epochs.clone() },
                None => declined,
            },
            Request::Evaluate { blinded } => match &self.vouching {
                Some(key) => {
                    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
                    Reply::Evaluated { evaluation: key.evaluate(blinded, &mut rng).unwrap() }
                }
                None => declined,
            },
            Request::Reconcile { .. } => {
                return (Reply::Reconcile, self.epochs.clone().map(|(_, bytes)| bytes).unwrap_or_default());
            }
            Request::Inventory { after } => {
                let some = self.listed.iter().skip(*after as usize).take(limits::INVENTORY_IDS);
                Reply::Inventory { entries: some.cloned().collect() }
            }
            Request::Describe { ids } => {
                let known = self.listed.iter().filter(|entry| ids.contains(&entry.id));
                Reply::Inventory { entries: known.cloned().collect() }
            }
            Request::Fetch { id, offset } => match self.documents.get(id) {
                Some(json) => {
                    self.fetched.fetch_add(usize::from(*offset == 0), Ordering::Relaxed);
                    let page = json.iter().skip(*offset as usize).take(limits::PAGE_BYTES);
                    Reply::Page { bytes: page.copied().collect() }
                }
                None => declined,
            },
            _ => declined,
        };
        (reply, Vec::new())
    }
}

impl World {
    /// Answers the others out of `wares`. They ask by themselves every 20 seconds; it need not wait for that.
    pub(crate) fn hand_out(&mut self, wares: Wares) -> (Arc<Wares>, JoinHandle<()>) {
        let wares = Arc::new(wares);
        let (ours, mut inbound) = (Arc::clone(&wares), self.inbound.take().unwrap());
        let task = tokio::spawn(async move {
            while let Some(event) = inbound.recv().await {
                if let Inbound::Request { request, reply, .. } = event {
                    let (answer, beside) = ours.answer(&request);
                    let _ = reply.reply(&answer, beside);
                }
            }
        });
        (wares, task)
    }

    pub(crate) async fn announce(&self, announcements: &[Announcement]) {
        for announcement in announcements {
            self.net.announce(announcement.clone()).await.unwrap();
        }
    }

    pub(crate) fn batch(&self, objects: Vec<StixObject>, secret: &NodeSecret) -> Vec<u8> {
        let linted = lint(objects, Tlp::Green, true).0;
        SignedBatch::sign(linted, self.charter.id(), now(), secret).unwrap().remove(0).1
    }

    /// How often something was dropped at the first node, by name.
    pub(crate) fn dropped(&self, name: &str) -> u64 {
        self.status()["network"]["dropped"][name].as_u64().unwrap_or(0)
    }

    pub(crate) fn status(&self) -> Value {
        self.federation.nodes[0].json(&["status"])
    }

    pub(crate) fn is_blocked(&self) -> bool {
        let status = self.status();
        let peers = status["network"]["peers"].as_array().unwrap();
        let hostile = peers.iter().find(|p| p["id"] == self.secret.node_id().to_string()).unwrap();
        hostile["state"].as_str().unwrap().starts_with("blocked")
    }

    /// What the second node publishes reaches the first, whatever the hostile one does.
    pub(crate) fn honest_arrives(&self, name: &str) {
        let [first, second, _] = &self.federation.nodes[..] else { panic!("three nodes") };
        let file = self.federation.dir().join("honest.txt");
        fs::write(&file, format!("{name}.honest.example\n")).unwrap();
        second.json(&["indicator", "import", file.to_str().unwrap()]);
        assert_eq!(second.json(&["indicator", "publish", "--tlp", "green"])["published"], 1);
        eventually("the honest indicator arrives", || knows(first, &format!("domain {name}.honest.example")));
    }
}

fn knows(node: &Node, what: &str) -> bool {
    node.json(&["indicator", "list", "--limit", "100000"])
        .as_array()
        .unwrap()
        .iter()
        .any(|i| i["what"] == what)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_comparisons_is_declined_and_shuts_its_sender_out() {
    let mut world = World::new().await;
    let _answering = world.hand_out(Wares::default());
    let to = *world.honest().iter().find(|id| id.to_string() == world.status()["id"]).unwrap();
    let mut declined = 0;
    // Each is a pass over what is held: the burst is 200.
    for _ in 0..2000 {
        match world.request(to, Request::Epochs, Vec::new()).await {
            Ok(Reply::Epochs { .. }) => {}
            Ok(_) => declined += 1,
            Err(RequestError::TooMany) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(_) => break,
        }
    }
    assert!(declined > 0);
    eventually("the sender is shut out", || world.is_blocked());
    assert!(world.dropped("rate") > 0);
    world.honest_arrives("flood");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_batch_offered_over_and_over_is_fetched_and_kept_once() {
    let mut world = World::new().await;
    let mut wares = Wares::default();
    let json = world.batch(vec![indicator("twice.example")], &world.secret);
    let one = wares.add(json);
    wares.listed = vec![one.clone(); limits::INVENTORY_IDS * 4];
    let (wares, answering) = world.hand_out(wares);
    for _ in 0..40 {
        // Its own network sends a repetition once; the list repeats it all the same.
        let _ = world.net.announce(one.clone()).await;
    }
    eventually("it is kept", || world.status()["batches"] == 1);
    world.honest_arrives("duplicates");
    assert_eq!(world.status()["batches"], 2);
    // Once by each of the three at most: two may have had it from the third.
    let fetched = wares.fetched.load(Ordering::Relaxed);
    assert!((1..=3).contains(&fetched), "fetched {fetched} times");
    answering.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_longer_than_its_kind_may_be_is_not_fetched_and_its_author_pays() {
    let mut world = World::new().await;
    let _answering = world.hand_out(Wares::default());
    for n in 0..12u64 {
        let long = Announcement {
            kind: Spreading::Batch,
            id: Digest::of(&n.to_be_bytes()),
            bytes: limits::BATCH_DOCUMENT_BYTES as u64 + 1,
        };
        let _ = world.net.announce(long).await;
    }
    eventually("its author is shut out", || world.is_blocked());
    assert!(world.dropped("document") >= 10, "{}", world.status());
    assert_eq!(world.status()["batches"], 0);
    world.honest_arrives("oversize");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_do_not_verify_or_are_no_members_are_refused_and_shut_their_bringer_out() {
    let mut world = World::new().await;
    let mut wares = Wares::default();
    let mut announced = Vec::new();
    for n in 0..12 {
        let stranger = NodeSecret::from_seed(&[200; 32]);
        let signer = if n % 2 == 0 { &world.secret } else { &stranger };
        let json = world.batch(vec![indicator(&format!("forged-{n}.example"))], signer);
        // Of its own, the object is not the one that was signed.
        let json = String::from_utf8(json).unwrap().replace("forged-", "forges-");
        announced.push(wares.add(json.into_bytes()));
    }
    let _answering = world.hand_out(wares);
    world.announce(&announced).await;
    eventually("its bringer is shut out", || world.is_blocked());
    assert!(world.dropped("document") >= 10, "{}", world.status());
    assert_eq!(world.status()["batches"], 0);
    world.honest_arrives("signatures");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_under_a_label_that_must_not_be_among_all_members_is_refused() {
    let mut world = World::new().await;
    let mut wares = Wares::default();
    // RED and not sealed: no program of ours signs that.
    let object = indicator("red.example").marked(Tlp::Red).to_canonical();
    let head = BatchHead {
        version: 2,
        charter: world.charter.id(),
        published_at: now(),
        tlp: Tlp::Red,
        size: 1,
        root: merkle::root(&[merkle::leaf(&object)]),
    };
    let head = Signed::new(head, &world.secret).unwrap().envelope().to_json().unwrap();
    let (head, object) = (String::from_utf8(head).unwrap(), String::from_utf8(object).unwrap());
    let announced = wares.add(format!("{{\"head\":{head},\"objects\":[{object}]}}").into_bytes());
    let _answering = world.hand_out(wares);
    world.announce(&[announced]).await;
    eventually("it is refused", || world.dropped("document") == 1);
    assert_eq!((world.status()["batches"].clone(), world.dropped("malformed")), (0.into(), 1));
    assert!(!knows(&world.federation.nodes[0], "domain red.example"));
    world.honest_arrives("label");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_member_is_neither_changed_nor_taken_back() {
    let mut world = World::new().await;
    world.honest_arrives("foreign");
    let listed = world.federation.nodes[0].json(&["indicator", "list"]);
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    let mut wares = Wares::default();
    let mut stolen = indicator("stolen.example").to_value();
    stolen["id"] = id.clone().into();
    let stolen = StixObject::parse(stolen).unwrap();
    let changed = wares.add(world.batch(vec![stolen.clone()], &world.secret));
    let revoked = wares.add(world.batch(vec![stolen.revoked_at(now())], &world.secret));
    let _answering = world.hand_out(wares);
    world.announce(&[changed, revoked]).await;
    eventually("both are counted", || world.dropped("object") == 2);
    let listed = world.federation.nodes[0].json(&["indicator", "list"]);
    let held = listed.as_array().unwrap().iter().find(|i| i["id"] == id).unwrap();
    assert_eq!(
        (&held["what"], &held["state"]),
        (&"domain foreign.honest.example".into(), &"published".into())
    );
    // Two groups may import one report: that is no fault, and nobody is shut out for it.
    assert!(!world.is_blocked());
    world.honest_arrives("after");
}

/// A hostile member's epochs: one, of which it says that it differs.
fn differs(count: u64) -> Vec<EpochSum> {
    vec![EpochSum { epoch: 70, count, digest: Digest::of(b"another") }]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconciliation_without_end_is_given_up_counted_and_charged() {
    let mut world = World::new().await;
    // To every message: all of it differs.
    let everything = [&[0x61, 0, 0, 1][..], &[9; 16]].concat();
    let wares = Wares { epochs: Some((differs(5), everything)), ..Wares::default() };
    let (_, answering) = world.hand_out(wares);
    world.honest_arrives("before");
    eventually("it is given up", || world.dropped("reconciliation") >= 1);
    assert!(world.dropped("malformed") >= 1, "and charged");
    world.honest_arrives("endless");
    answering.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_nobody_has_are_counted_and_charged_to_who_named_them() {
    let mut world = World::new().await;
    // A list of two ids up to the end of the epoch.
    let made_up = [&[0x61, 0, 0, 2, 2][..], &[1; 32], &[2; 32]].concat();
    let wares = Wares { epochs: Some((differs(2), made_up)), ..Wares::default() };
    let _answering = world.hand_out(wares);
    eventually("they are counted", || world.dropped("reconciliation") >= 1);
    assert!(world.dropped("malformed") >= 1, "and charged");
    assert_eq!(world.status()["batches"], 0);
    world.honest_arrives("ids");
}

/// Resident memory of a process, in KiB.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tiny_batches_fill_their_signers_share_and_nothing_else() {
    let long = env::var_os("HEDGEROW_LONG").is_some();
    let count = if long { 1_000_000 } else { 600 };
    let mut world = World::new().await;
    let mut wares = Wares::default();
    for n in 0..count {
        let json = world.batch(vec![indicator(&format!("t{n}.example"))], &world.secret);
        wares.add(json);
    }
    let first: NodeId = world.status()["id"].as_str().unwrap().parse().unwrap();
    let process = world._serving[0].id();
    let before = resident(process);
    let _answering = world.hand_out(wares);
    // While they come in by the list of who has no epochs, what is honest arrives.
    world.honest_arrives("tiny");
    let kept = if long { 50_000 } else { count };
    let patience = std::time::Instant::now();
    while world.status()["batches"].as_u64().unwrap() < kept + 1 {
        assert!(patience.elapsed() < Duration::from_secs(if long { 3 * 3600 } else { 120 }), "{first}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let grown = resident(process).saturating_sub(before) / 1024;
    println!("{kept} batches kept of {count}; {grown} MiB more memory");
    assert!(grown < if long { 400 } else { 64 }, "{grown} MiB for {kept} batches");
    world.honest_arrives("afterwards");
    if long {
        assert!(world.dropped("share") > 0 && world.status()["batches"].as_u64().unwrap() < 60_000);
    }
}
