//! What a full disk does to everything that writes: a clear error, nothing lost that was acknowledged, nothing half left
//! behind, and all goes on once there is room.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use age::secrecy::ExposeSecret as _;
use hedgerow_tests::{Done, Federation, Node, suite};
use serde_json::{Value, json};

/// A small file system of its own; gone when dropped.
struct Small(PathBuf);

impl Small {
    /// None where this machine mounts nothing for us.
    fn new(dir: &Path) -> Option<Self> {
        let at = dir.join("small");
        fs::create_dir(&at).ok()?;
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(&at).output();
        let mounted = mounted.is_ok_and(|output| output.status.success()).then(|| Self(at));
        suite("full disks", mounted, "no small file system can be mounted here (root is needed)")
    }

    /// Moves something there, and leaves a link in its place.
    fn take(&self, path: &Path) {
        let to = self.0.join(path.file_name().unwrap());
        assert!(Command::new("cp").arg("-a").arg(path).arg(&to).status().unwrap().success());
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        symlink(to, path).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Leaves room for so many bytes, and fills the rest to the last block.
    fn leave(&self, bytes: u64) {
        let mut ballast = OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        while ballast.write_all(&[1; 4096]).is_ok() {}
        let length = ballast.metadata().unwrap().len();
        ballast.set_len(length.saturating_sub(bytes)).unwrap();
    }

    fn clear(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != "ballast").collect();
        names.sort();
        names
    }

    /// Runs `work` with more and more room until it succeeds; each failure must tell of the disk, and pass `after`.
    /// Gives what it printed, and how often it failed.
    fn until_it_fits(&self, mut work: impl FnMut() -> Done, mut after: impl FnMut()) -> (Value, usize) {
        for failures in 0..40 {
            self.leave([0, 4096, 8192][failures.min(2)] << failures.saturating_sub(2));
            let done = work();
            if done.code == Some(0) {
                self.clear();
                return (done.json(), failures);
            }
            full(&done);
            after();
        }
        panic!("it never fits");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn full(done: &Done) {
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("disk is full"), "{done:?}");
}

fn recipient() -> String {
    age::x25519::Identity::generate().to_public().to_string()
}

#[test]
fn a_full_disk_is_told_by_everything_that_writes_and_all_that_was_there_stays() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::at(dir.path(), "home");
    node.init("Alone", &[]);
    let Some(small) = Small::new(dir.path()) else { return };
    let (dir, at) = (dir.path(), small.0.clone());
    small.take(node.home());
    node.json(&["simulate", "200", "--seed", "1"]);
    let file = dir.join("evidence.bin");
    fs::write(&file, vec![3; 2_000_000]).unwrap();
    let kept = node.json(&["attachment", "add", "0", file.to_str().unwrap()]);
    let list = dir.join("list.txt");
    let many: String = (0..20_000).map(|n| format!("host{n}.phish.example\n")).collect();
    fs::write(&list, many).unwrap();
    let before = node.json(&["record", "list", "--limit", "10000"]);
    small.leave(0);
    let out = at.join("backup.age");
    let (file, list, out) = (file.to_str().unwrap(), list.to_str().unwrap(), out.to_str().unwrap());
    for args in [
        &["attachment", "add", "0", file][..],
        &["attachment", "export", "0", "0", "--out", at.join("out.bin").to_str().unwrap()],
        &["simulate", "200000", "--seed", "2"],
        &["indicator", "import", list],
        &["backup", "--single", "--recipient", &recipient(), "--out", out],
    ] {
        full(&node.run(args));
    }
    small.clear();
    // Whole batches may have gone in where the store had room of its own; nothing is lost, and nothing is half.
    let after = node.json(&["record", "list", "--limit", "10000"]);
    assert_eq!(before.as_array().unwrap()[..], after.as_array().unwrap()[..200]);
    assert_eq!(node.json(&["attachment", "list", "0"]), json!([kept]));
    assert_eq!(small.names(), ["home"], "nothing half is left");
    assert_eq!(fs::read_dir(at.join("home/attachments")).unwrap().count(), 1);
    node.json(&["attachment", "add", "0", file]);
    node.json(&["attachment", "export", "0", "1", "--out", at.join("out.bin").to_str().unwrap()]);
}

#[test]
fn a_keyring_that_finds_no_room_is_the_one_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::at(dir.path(), "home");
    node.init("Alone", &[]);
    let Some(small) = Small::new(dir.path()) else { return };
    // The keyring alone: what fails is its own writing, and no other.
    small.take(&node.home().join("keyring.json"));
    let before = node.json(&["key", "list"]);
    let recipient = recipient();
    let add = || node.run(&["key", "add-age", &recipient, "--json"]);
    let (_, failures) = small.until_it_fits(add, || {
        assert_eq!(node.json(&["key", "list"]), before);
        assert_eq!(small.names(), ["keyring.json"], "nothing half is left");
    });
    assert!(failures > 0);
    assert_eq!(node.json(&["key", "list"])["users"][0]["keys"].as_array().unwrap().len(), 2);
    // The same with all of the vault on it: also the log of what is done, and the generation of the keyring.
    let whole = Node::at(dir.path(), "whole");
    whole.init("Alone", &[]);
    small.take(whole.home());
    let copy = Node::at(dir.path(), "copy");
    let add = || whole.run(&["key", "add-age", &recipient, "--json"]);
    let (_, failures) = small.until_it_fits(add, || {
        // Where there is room it opens, with the one key.
        let _ = fs::remove_dir_all(copy.home());
        let from = small.0.join("whole");
        assert!(Command::new("cp").arg("-a").arg(from).arg(copy.home()).status().unwrap().success());
        assert_eq!(copy.json(&["key", "list"])["users"], before["users"]);
    });
    assert!(failures > 0);
    assert_eq!(whole.json(&["key", "list"])["users"][0]["keys"].as_array().unwrap().len(), 2);
    assert_eq!(whole.json(&["log"])["broken"], Value::Null);
}

#[test]
fn a_charge_that_finds_no_room_lets_no_answer_out_and_is_made_once_there_is_some() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let Some(small) = Small::new(federation.dir()) else { return };
    let [asker, node] = &federation.nodes[..] else { panic!("two nodes") };
    small.take(node.home());
    let _asking = asker.serve();
    let mut serving = node.serve();
    let out = federation.dir().join("release.json");
    // Each another question, which costs a hundredth; whether it was answered. One member alone makes no release.
    let ask = |n: u64| {
        let _ = fs::remove_file(&out);
        let quarter = format!("{}-Q{}", 2000 + n / 4 % 25, n % 4 + 1);
        let args =
            ["ask", "--local", "--purpose", "research", "--epsilon", "0.01", "--from", &quarter, "--to"];
        let done = asker.run(&[&args[..], &[&quarter, "--out", out.to_str().unwrap()]].concat());
        assert!(done.code == Some(0) || done.stderr.contains("1 of at least 2 members"), "{done:?}");
        assert_eq!(out.exists(), done.code == Some(0));
        done.code == Some(0)
    };
    hedgerow_tests::eventually("the two are connected", || {
        asker.json(&["status"])["network"]["peers"][0]["connected"] == true
    });
    small.leave(0);
    // A few still find room in the block that the store is writing. Then it answers nothing, also not from memory,
    // whatever is asked; one that is late on a busy machine is no proof of that, three in a row are.
    let mut told = Vec::new();
    while !told.ends_with(&[false; 3]) {
        assert!(told.len() < 100, "it answers with a full disk");
        told.push(ask(told.len() as u64));
    }
    let (asked, answered) = (told.len() as u64, told.iter().filter(|t| **t).count() as u64);
    small.clear();
    serving.kill();
    let spent = || node.json(&["ledger"])["total"]["spent_micros"].as_u64().unwrap();
    let before = spent();
    assert!(before >= answered * 10_000, "what was answered is charged");
    assert!(before < (asked - 2) * 10_000, "what found no room is not");
    serving = node.serve();
    hedgerow_tests::eventually("it answers", || ask(asked));
    serving.kill();
    assert_eq!(spent(), before + 10_000);
}

#[test]
fn a_restore_and_a_rebuild_that_find_no_room_leave_nothing_and_then_go_through() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::at(dir.path(), "home");
    node.init("Alone", &[]);
    let Some(small) = Small::new(dir.path()) else { return };
    node.json(&["simulate", "300", "--seed", "1"]);
    let evidence = dir.path().join("evidence.bin");
    fs::write(&evidence, vec![9; 700_000]).unwrap();
    node.json(&["attachment", "add", "77", evidence.to_str().unwrap()]);
    let key = age::x25519::Identity::generate();
    let (identity, backup) = (dir.path().join("key"), dir.path().join("backup.age"));
    File::create(&identity).unwrap().write_all(key.to_string().expose_secret().as_bytes()).unwrap();
    let recipient = key.to_public().to_string();
    node.json(&["backup", "--single", "--recipient", &recipient, "--out", backup.to_str().unwrap()]);
    let into = small.0.join("restored");
    let restore = || {
        let [backup, identity, into] = [&backup, &identity, &into].map(|path| path.to_str().unwrap());
        node.run(&["restore", backup, "--identity", identity, "--into", into, "--json"])
    };
    let (restored, failures) = small.until_it_fits(restore, || assert!(small.names().is_empty()));
    assert!(failures > 3 && restored["backup"]["attachments"] == 1, "{restored}");
    fs::remove_dir_all(&into).unwrap();

    small.take(node.home());
    let records = node.json(&["record", "list", "--limit", "1000"]);
    for n in 0..40 {
        node.json(&["record", "erase", &n.to_string(), "--yes"]);
    }
    let rebuild = || node.run(&["rebuild", "--json"]);
    let (rebuilt, failures) = small.until_it_fits(rebuild, || {
        let copy = Node::at(dir.path(), "copy");
        let _ = fs::remove_dir_all(copy.home());
        let from = small.0.join("home");
        assert!(Command::new("cp").arg("-a").arg(from).arg(copy.home()).status().unwrap().success());
        let left = copy.json(&["record", "list", "--limit", "1000"]);
        assert_eq!(left.as_array().unwrap()[..], records.as_array().unwrap()[40..]);
        assert!(!copy.home().join("next").exists());
    });
    assert!(failures > 3 && rebuilt["rebuilt"]["bytes_after"].as_u64() > Some(0), "{rebuilt}");
    let left = node.json(&["record", "list", "--limit", "1000"]);
    assert_eq!(left.as_array().unwrap()[..], records.as_array().unwrap()[40..]);
    assert_eq!(node.json(&["check"])["attachments"], 1);
}
