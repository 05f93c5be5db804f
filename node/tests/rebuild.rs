//! A store that is made anew is whole wherever it is killed. A child process, which is this test binary with
//! `HEDGEROW_REBUILD_CHILD` set, does the rebuild and waits to be killed at the step it is told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use hedgerow_node::store::{
    Documents, KdfParams, NewRecord, Passphrase, ROW_BYTES, RecordNumber, Records, Settings, StoreError,
    Vault,
    rebuild::{self, Step},
};
use hedgerow_protocol::{document::NodeSecret, id::Digest, wire::Spreading};
use zeroize::Zeroizing;

const HOME: &str = "HEDGEROW_REBUILD_CHILD";
const STOP_AT: &str = "HEDGEROW_REBUILD_STOP";
/// Each step and how often it comes: a store, the count of its commits and the file of records are moved one by one.
const STEPS: [(&str, usize); 6] =
    [("copied", 2), ("compared", 1), ("marked", 1), ("cleared", 3), ("in_place", 3), ("unmarked", 1)];

fn name(step: Step) -> &'static str {
    match step {
        Step::Copied(_) => "copied",
        Step::Compared => "compared",
        Step::Marked => "marked",
        Step::Cleared => "cleared",
        Step::InPlace => "in_place",
        Step::Unmarked => "unmarked",
    }
}

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery".into())
}

fn open(home: &Path) -> Result<Arc<Vault>, StoreError> {
    Vault::open(home, &passphrase()).map(Arc::new)
}

fn document(n: u32) -> Vec<u8> {
    let mut text = format!("document {n} ").repeat(20_000).into_bytes();
    text.truncate(150_000 + n as usize);
    text
}

const BODY: usize = 700;

/// The `n`th record as it was the first time, or as it is once it was replaced.
fn record(n: u64, replaced: bool) -> NewRecord {
    let mut body = format!("record {n} {replaced} ").repeat(100).into_bytes();
    body.truncate(BODY);
    let mut row = [replaced.into(); ROW_BYTES];
    row[0] = 1;
    row[1..9].copy_from_slice(&n.to_le_bytes());
    let words = (0..12).map(|word| ((n * 12 + word) % 5_000) as u32).collect();
    NewRecord { source: None, body: Zeroizing::new(body), row, words }
}

/// What becomes of the `n`th: every fourth is erased, every fourth replaced.
fn kept(n: u64) -> Option<NewRecord> {
    match n % 4 {
        0 => None,
        1 => Some(record(n, true)),
        _ => Some(record(n, false)),
    }
}

/// Records in batches and alone, of which half are erased or replaced then.
fn fill(records: &Records, count: u64) {
    for first in (0..count).step_by(1000) {
        let batch = (first..count.min(first + 1000)).map(|n| record(n, false)).collect();
        records.insert(batch).unwrap();
    }
    for n in count..count + 20 {
        records.insert(vec![record(n, false)]).unwrap();
    }
    for n in 0..count + 20 {
        match kept(n) {
            None => assert!(records.erase(RecordNumber(n)).unwrap()),
            Some(new) if n % 4 == 1 => assert!(records.replace(RecordNumber(n), &new).unwrap()),
            Some(_) => {}
        }
    }
}

const RECORDS: u64 = 1_030;

/// A vault with documents, records, and with room that nothing needs any more.
fn made(home: &Path) {
    let vault = Arc::new(Vault::create(home, &passphrase(), KdfParams::FLOOR).unwrap());
    let documents = Documents::open(Arc::clone(&vault)).unwrap();
    let signer = NodeSecret::from_seed(&[1; 32]).node_id();
    for n in 0..60 {
        documents.insert(Spreading::Release, signer, &document(n)).unwrap();
    }
    fill(&Records::open(vault).unwrap(), RECORDS);
}

/// Everything is there, and more can be written.
fn whole(home: &Path, written: &mut u32) {
    let vault = open(home).unwrap();
    let documents = Documents::open(Arc::clone(&vault)).unwrap();
    for n in (0..60).chain(1000..*written) {
        let held = documents.read(&Digest::of(&document(n))).unwrap();
        assert!(held.is_some_and(|held| held == document(n)), "document {n}");
    }
    let signer = NodeSecret::from_seed(&[1; 32]).node_id();
    assert!(documents.insert(Spreading::Release, signer, &document(*written)).unwrap());
    let records = Records::open(Arc::clone(&vault)).unwrap();
    records.check().unwrap();
    let more = u64::from(*written - 1000);
    for n in 0..RECORDS + 20 + more {
        let new = if n < RECORDS + 20 { kept(n) } else { Some(record(n, false)) };
        assert_eq!(
            records.body(RecordNumber(n)).unwrap(),
            new.as_ref().map(|r| r.body.clone()),
            "record {n}"
        );
    }
    let rows: Vec<_> = records.rows().iter().copied().collect();
    assert_eq!(rows[..2], [kept(1).unwrap().row, kept(2).unwrap().row]);
    records.insert(vec![record(RECORDS + 20 + more, false)]).unwrap();
    *written += 1;
    assert!(Settings::new(Arc::clone(&vault)).charter().unwrap().is_none());
    vault.check().unwrap();
    assert!(!home.join("next").exists(), "something is left behind");
}

/// Not a test by itself: the child's side of those below.
#[test]
fn child() {
    let (Some(home), Ok(stop)) = (std::env::var_os(HOME), std::env::var(STOP_AT)) else { return };
    let records = Records::open(open(Path::new(&home)).unwrap()).unwrap();
    let mut reached = Vec::new();
    let done = rebuild::rebuild(records, &mut |step| {
        reached.push(name(step));
        if format!("{} {}", name(step), reached.iter().filter(|n| **n == name(step)).count()) == stop {
            let mut out = std::io::stdout().lock();
            out.write_all(b"\nreached\n").and_then(|()| out.flush()).unwrap();
            loop {
                std::thread::park();
            }
        }
    });
    done.unwrap();
}

#[test]
fn a_rebuild_killed_at_any_step_leaves_a_whole_vault_that_opens_and_clears_up() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    made(&home);
    let mut written = 1000;
    for stop in STEPS.iter().flat_map(|(step, times)| (1..=*times).map(move |n| format!("{step} {n}"))) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--test-threads=1", "--nocapture"])
            .env(HOME, &home)
            .env(STOP_AT, &stop)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "reached"), "{stop} was not reached");
        // Nobody else comes in meanwhile, at whatever step.
        assert!(matches!(open(&home), Err(StoreError::InUse)), "{stop}");
        child.kill().unwrap();
        child.wait().unwrap();
        whole(&home, &mut written);
    }
}

/// Bytes on disk of store and records, keys included.
fn disk(home: &Path) -> u64 {
    let kept = |path: &Path| !path.ends_with("keyring.json");
    fs::read_dir(home)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| kept(&entry.path()))
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => disk(&entry.path()),
            false => entry.metadata().unwrap().blocks() * 512,
        })
        .sum()
}

/// `HEDGEROW_LONG=1 cargo test -p hedgerow-node --test rebuild -- room_of --nocapture` prints it for many.
#[test]
fn a_rebuild_gives_back_the_room_of_erased_and_replaced_records() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let long = std::env::var_os("HEDGEROW_LONG").is_some_and(|v| v == "1");
    let count = if long { 100_000 } else { 1_000 };
    let records = Records::open(Arc::new(Vault::create(&home, &passphrase(), KdfParams::FLOOR).unwrap()));
    let records = records.unwrap();
    fill(&records, count);
    let payload = records.count() as u64 * (BODY + ROW_BYTES) as u64;
    let (log, before) = (fs::metadata(home.join("records")).unwrap().len(), disk(&home));
    assert!(rebuild::reclaimable(&records).unwrap() > 50);
    let done = rebuild::rebuild(records, &mut |_| {}).unwrap();
    let after = disk(&home);
    let ratio = |bytes: u64| bytes as f64 / payload as f64;
    println!(
        "payload {payload}, on disk {before} before ({:.2}), {after} after ({:.2}), of it records {}, store {}",
        ratio(before),
        ratio(after),
        fs::metadata(home.join("records")).unwrap().len(),
        disk(&home.join("vault")),
    );
    assert!(done.bytes_after < done.bytes_before && done.bytes_after < before, "{done:?}");
    // A store has 8 MiB at least, however little is in it.
    assert!(!long || ratio(after) < 1.3, "{}", ratio(after));
    // The file by itself: what it holds is needed.
    let needed = fs::metadata(home.join("records")).unwrap().len();
    assert!(needed < log / 2 && ratio(needed) < 1.3, "{log} bytes before, {needed} after");
    let records = Records::open(open(&home).unwrap()).unwrap();
    assert!(rebuild::reclaimable(&records).unwrap() < 10);
    for n in (0..count).step_by(97) {
        assert_eq!(records.body(RecordNumber(n)).unwrap(), kept(n).map(|r| r.body), "record {n}");
    }
}

#[test]
fn a_rebuilt_store_holds_the_same_and_takes_less_room() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    made(&home);
    let held = open(&home).unwrap();
    let records = Records::open(Arc::clone(&held)).unwrap();
    assert!(
        matches!(rebuild::rebuild(records, &mut |_| {}), Err(StoreError::InUse)),
        "somebody else holds it"
    );
    drop(held);
    let records = Records::open(open(&home).unwrap()).unwrap();
    let free = rebuild::reclaimable(&records).unwrap();
    assert!(free > 20, "{free} percent are free of a log that was only added to");
    let done = rebuild::rebuild(records, &mut |_| {}).unwrap();
    assert!(done.bytes_after < done.bytes_before, "{done:?}");
    assert!(done.values > 60 * 3);
    whole(&home, &mut 1000);
    // A copy that is damaged before it is whole never takes the store's place.
    fs::create_dir_all(home.join("next/vault")).unwrap();
    fs::write(home.join("next/vault/db"), b"half").unwrap();
    whole(&home, &mut 1001);
}
