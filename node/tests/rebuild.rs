//! A store that is made anew is whole wherever it is killed. A child process, which is this test binary with
//! `HEDGEROW_REBUILD_CHILD` set, does the rebuild and waits to be killed at the step it is told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use hedgerow_node::store::{
    Documents, KdfParams, Passphrase, Settings, StoreError, Vault,
    rebuild::{self, Step},
};
use hedgerow_protocol::{document::NodeSecret, id::Digest, wire::Spreading};

const HOME: &str = "HEDGEROW_REBUILD_CHILD";
const STOP_AT: &str = "HEDGEROW_REBUILD_STOP";
const STEPS: [&str; 6] = ["copied", "compared", "marked", "set_aside", "in_place", "unmarked"];

fn name(step: Step) -> &'static str {
    match step {
        Step::Copied(_) => "copied",
        Step::Compared => "compared",
        Step::Marked => "marked",
        Step::SetAside => "set_aside",
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

/// A vault with documents, and with room that nothing needs any more: a setting written many times.
fn made(home: &Path) {
    let vault = Arc::new(Vault::create(home, &passphrase(), KdfParams::FLOOR).unwrap());
    let documents = Documents::open(Arc::clone(&vault)).unwrap();
    let signer = NodeSecret::from_seed(&[1; 32]).node_id();
    for n in 0..60 {
        documents.insert(Spreading::Release, signer, &document(n)).unwrap();
    }
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
    *written += 1;
    assert!(Settings::new(vault).charter().unwrap().is_none());
    for left in ["vault.next", "vault.old", "rebuilt"] {
        assert!(!home.join(left).exists(), "{left} is left behind");
    }
}

/// Not a test by itself: the child's side of those below.
#[test]
fn child() {
    let (Some(home), Ok(stop)) = (std::env::var_os(HOME), std::env::var(STOP_AT)) else { return };
    let vault = open(Path::new(&home)).unwrap();
    let done = rebuild::rebuild(vault, &mut |step| {
        if name(step) == stop {
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
    for stop in STEPS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--test-threads=1", "--nocapture"])
            .env(HOME, &home)
            .env(STOP_AT, stop)
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

#[test]
fn a_rebuilt_store_holds_the_same_and_takes_less_room() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    made(&home);
    let vault = open(&home).unwrap();
    let held = Arc::clone(&vault);
    assert!(matches!(rebuild::rebuild(held, &mut |_| {}), Err(StoreError::InUse)), "somebody else holds it");
    let free = rebuild::reclaimable(&vault).unwrap();
    assert!(free > 20, "{free} percent are free of a log that was only added to");
    let done = rebuild::rebuild(vault, &mut |_| {}).unwrap();
    assert!(done.bytes_after < done.bytes_before, "{done:?}");
    assert!(done.values > 60 * 3);
    whole(&home, &mut 1000);
    // A copy that is damaged before it is whole never takes the store's place.
    fs::create_dir(home.join("vault.next")).unwrap();
    fs::write(home.join("vault.next/db"), b"half").unwrap();
    whole(&home, &mut 1001);
}
