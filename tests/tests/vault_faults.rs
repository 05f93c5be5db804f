//! What a node promises of its disk when it is killed, when the power goes and when bits flip: through the real binary, on
//! all that it keeps. What a full disk does is in `vault_full.rs`. `HEDGEROW_LONG=1` makes each proof as long as CONTRIBUTING.md says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hedgerow_tests::{Federation, Node, suite};
use serde_json::{Value, json};

fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("HEDGEROW_LONG").is_some_and(|v| v == "1") { long } else { short }
}

fn random(below: u64) -> u64 {
    RandomState::new().hash_one(()) % below
}

/// What the node acknowledged: only what a command said after it succeeded.
#[derive(Default)]
struct Told {
    /// Number and narrative.
    records: Vec<(u64, String)>,
    erased: Vec<u64>,
    /// Record, number, hash.
    attachments: Vec<(u64, u64, String)>,
    /// Questions, answered or not: each is another one, so that each is paid for.
    asked: u64,
    /// Charged by those that were answered, in millionths.
    spent: u64,
}

/// Writes with everything that writes until a command fails or `stop` says so.
fn write_on(node: &Node, file: &Path, seed: u64, stop: &AtomicBool, told: &Mutex<Told>) {
    let on = |work: &mut dyn FnMut(u64) -> Option<()>| {
        for n in 0.. {
            if stop.load(Ordering::Relaxed) || work(n).is_none() {
                return;
            }
        }
    };
    let done = |args: &[&str]| -> Option<Value> {
        let done = node.run(&[args, &["--json"]].concat());
        (done.code == Some(0)).then(|| serde_json::from_str(&done.stdout).unwrap())
    };
    std::thread::scope(|threads| {
        threads.spawn(|| {
            on(&mut |n| {
                let narrative = format!("{seed} {n}");
                let args = ["record", "add", "--day", "2025-01-02", "--tactic", "T04", "--person", "p"];
                let number = done(&[&args[..], &["--narrative", &narrative]].concat())?["number"].as_u64()?;
                if n % 5 == 4 {
                    done(&["record", "erase", &number.to_string(), "--yes"])?;
                    told.lock().unwrap().erased.push(number);
                } else {
                    told.lock().unwrap().records.push((number, narrative));
                }
                Some(())
            });
        });
        threads.spawn(|| {
            on(&mut |_| {
                let kept = done(&["attachment", "add", "0", file.to_str()?])?;
                let entry = (0, kept["number"].as_u64()?, kept["sha256"].as_str()?.to_owned());
                told.lock().unwrap().attachments.push(entry);
                Some(())
            });
        });
        threads.spawn(|| {
            on(&mut |_| {
                let n = {
                    let mut told = told.lock().unwrap();
                    told.asked += 1;
                    told.asked
                };
                let quarter = format!("{}-Q{}", 2000 + n / 4 % 25, n % 4 + 1);
                let tactic = format!("tactic=T{:02}", 1 + n / 100 % 19);
                let out = file.with_file_name(format!("release-{n}.json"));
                let args =
                    ["ask", "--local", "--purpose", "research", "--epsilon", "0.01", "--from", &quarter];
                let more = ["--to", &quarter, "--where", &tactic, "--out", out.to_str()?];
                done(&[&args[..], &more].concat())?;
                told.lock().unwrap().spent += 10_000;
                Some(())
            });
        });
    });
}

/// Opens the vault and compares it with all that was acknowledged.
fn compare(node: &Node, told: &Told) {
    // A node lists so many at once; a long proof stores more.
    const LISTED: usize = 10_000;
    let (mut listed, mut from) = (Vec::new(), 0);
    loop {
        let some =
            node.json(&["record", "list", "--from", &from.to_string(), "--limit", &LISTED.to_string()]);
        let some = some.as_array().unwrap();
        listed.extend_from_slice(some);
        match some.last() {
            Some(last) if some.len() == LISTED => from = last["number"].as_u64().unwrap() + 1,
            _ => break,
        }
    }
    let there: std::collections::BTreeMap<u64, &str> = listed
        .iter()
        .map(|r| (r["number"].as_u64().unwrap(), r["record"]["narrative"].as_str().unwrap_or_default()))
        .collect();
    for (number, narrative) in &told.records {
        assert_eq!(there.get(number), Some(&narrative.as_str()), "acknowledged record {number}");
    }
    for number in &told.erased {
        assert!(!there.contains_key(number), "erased record {number} is back");
    }
    let attached = node.json(&["attachment", "list", "0"]);
    for (_, number, sha256) in &told.attachments {
        let one = attached.as_array().unwrap().iter().find(|a| a["number"] == json!(number));
        assert_eq!(one.unwrap_or_else(|| panic!("attachment {number}"))["sha256"], json!(sha256));
    }
    if let Some((_, number, _)) = told.attachments.last() {
        let out = node.home().with_extension(format!("out{number}"));
        let _ = fs::remove_file(&out);
        node.json(&["attachment", "export", "0", &number.to_string(), "--out", out.to_str().unwrap()]);
    }
    let spent = node.json(&["ledger"])["total"]["spent_micros"].as_u64().unwrap();
    assert!(spent >= told.spent, "charges are lost: {spent} of {}", told.spent);
}

/// Has `cut` stop the node again and again while everything is written, and compares after each.
fn survives(federation: &Federation, times: usize, mut cut: impl FnMut(&mut hedgerow_tests::Serving)) {
    let node = &federation.nodes[0];
    let file = federation.dir().join("evidence.bin");
    fs::write(&file, vec![3; 300_000]).unwrap();
    node.json(&["record", "add", "--day", "2025-01-02", "--tactic", "T04", "--person", "q"]);
    let _other = federation.nodes[1].serve();
    let told = Mutex::new(Told::default());
    for round in 0..times {
        let mut serving = node.serve();
        let stop = AtomicBool::new(false);
        std::thread::scope(|threads| {
            let seed = round as u64 * 1000;
            let (file, stop, told) = (&file, &stop, &told);
            threads.spawn(move || write_on(node, file, seed, stop, told));
            std::thread::sleep(Duration::from_millis(1000 + random(1500)));
            stop.store(true, Ordering::Relaxed);
            cut(&mut serving);
        });
        compare(node, &told.lock().unwrap());
        if round % 10 == 9 {
            // What so many writes leave behind would fill the disk.
            node.json(&["rebuild"]);
            compare(node, &told.lock().unwrap());
        }
    }
    let told = told.into_inner().unwrap();
    assert!(
        told.records.len() > times && !told.attachments.is_empty(),
        "too little was written to prove anything"
    );
    assert!(told.spent > 0, "no question was answered");
}

#[test]
fn a_node_killed_while_it_writes_everything_has_lost_nothing_acknowledged_and_opens() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    survives(&federation, rounds(4, 200), hedgerow_tests::Serving::kill);
}

/// A file system in a file, on a loop device; gone when dropped.
struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// None where this machine mounts nothing for us.
    fn new(dir: &Path) -> Option<Self> {
        let disk = Self { image: dir.join("image"), at: dir.join("disk") };
        fs::create_dir(&disk.at).ok()?;
        fs::File::create(&disk.image).and_then(|f| f.set_len(4 << 30)).ok()?;
        let made = Command::new("mkfs.ext4").arg("-q").arg(&disk.image).status().ok()?;
        (made.success() && disk.mount()).then_some(disk)
    }

    fn mount(&self) -> bool {
        let mounted = Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.at).output();
        mounted.is_ok_and(|output| output.status.success())
    }

    /// The power goes: from now on nothing reaches the disk, and what had not, is lost.
    fn cut(&self) -> bool {
        // EXT4_IOC_SHUTDOWN without flushing the journal: what xfstests cuts the power with.
        let script = "import fcntl, os, struct, sys\n\
                      fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
        let cut = Command::new("python3").args(["-c", script]).arg(&self.at).output();
        cut.is_ok_and(|output| output.status.success())
    }

    fn unmount(&self) -> bool {
        Command::new("umount").arg(&self.at).output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(&self.at).output();
    }
}

fn copied(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// A disk whose power can be cut, with the home of `node` on it.
fn cuttable(dir: &Path, node: &Node) -> Option<Disk> {
    let disk = Disk::new(dir).filter(|disk| {
        // Whether the power can be cut at all, and whether a cut loses what was not synced.
        fs::write(disk.at.join("unsynced"), b"x").is_ok()
            && disk.cut()
            && disk.unmount()
            && disk.mount()
            && !disk.at.join("unsynced").exists()
    });
    let missing = "no ext4 image can be mounted and cut off here (root, mkfs.ext4 and python3 are needed)";
    let disk = suite("power cuts", disk, missing)?;
    copied(node.home(), &disk.at.join("home"));
    fs::remove_dir_all(node.home()).unwrap();
    symlink(disk.at.join("home"), node.home()).unwrap();
    assert!(Command::new("sync").arg("-f").arg(&disk.at).status().unwrap().success());
    Some(disk)
}

impl Disk {
    /// The power comes back, once what the dead process held open is gone.
    fn restart(&self) {
        hedgerow_tests::eventually("the disk is free", || self.unmount());
        assert!(self.mount());
    }
}

#[test]
fn when_the_power_goes_nothing_acknowledged_is_lost_and_the_vault_opens() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let Some(disk) = cuttable(federation.dir(), &federation.nodes[0]) else { return };
    survives(&federation, rounds(3, 100), |serving| {
        assert!(disk.cut());
        serving.kill();
        disk.restart();
    });
}

#[test]
fn when_the_power_goes_during_a_rebuild_the_vault_is_whole_as_it_was_before_or_after() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::at(dir.path(), "node");
    node.init("Alone", &[]);
    node.json(&["simulate", "3000", "--seed", "1"]);
    for n in 0..20 {
        node.json(&["record", "erase", &(n * 3).to_string(), "--yes"]);
    }
    let Some(disk) = cuttable(dir.path(), &node) else { return };
    let list = || node.json(&["record", "list", "--limit", "10000"]);
    let before = list();
    let (mut cut_off, mut through) = (0, 0);
    // How long a rebuild of so much takes: it is cut off at as many places, one after the other.
    let whole = std::time::Instant::now();
    node.json(&["rebuild"]);
    let whole = whole.elapsed();
    let times = rounds(4, 100) as u32;
    for time in 0..times {
        let mut rebuild = node.command();
        let rebuild = rebuild.args(["rebuild", "--json"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut rebuild = rebuild.spawn().unwrap();
        std::thread::sleep(whole * time / times + whole / times * random(100) as u32 / 100);
        assert!(disk.cut());
        match rebuild.wait().unwrap().success() {
            true => through += 1,
            false => cut_off += 1,
        }
        disk.restart();
        assert!(list() == before, "records are lost or changed");
        assert!(!node.home().join("next").exists(), "nothing half is left");
        node.json(&["check"]);
    }
    println!("{cut_off} rebuilds cut off, {through} were through");
    assert!(cut_off > 0);
}

/// Every file of a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_bit_flipped_in_any_file_is_found_or_harmless_and_never_gives_other_data() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::at(dir.path(), "node");
    node.init("Alone", &[]);
    node.json(&["simulate", "60", "--seed", "1"]);
    let file = dir.path().join("evidence.bin");
    fs::write(&file, vec![5; 300_000]).unwrap();
    node.json(&["attachment", "add", "3", file.to_str().unwrap(), "--note", "from her phone"]);
    let copy = Node::at(dir.path(), "copy");
    let out = dir.path().join("out.bin");
    let read = |node: &Node| -> Option<(Value, Value, Vec<u8>)> {
        let _ = fs::remove_file(&out);
        let json = |args: &[&str]| {
            let done = node.run(&[args, &["--json"]].concat());
            assert!(matches!(done.code, Some(0 | 3)), "{args:?}: {done:?}");
            (done.code == Some(0)).then(|| serde_json::from_str::<Value>(&done.stdout).unwrap())
        };
        let records = json(&["record", "list", "--limit", "1000"])?;
        let export = json(&["attachment", "export", "3", "0", "--out", out.to_str().unwrap()])?;
        Some((records, export["attachment"].clone(), fs::read(&out).unwrap()))
    };
    let whole = read(&node).unwrap();
    let (mut found, mut harmless) = (0, 0);
    let all: Vec<PathBuf> =
        files(node.home()).into_iter().filter(|f| fs::metadata(f).unwrap().len() > 0).collect();
    for round in 0..rounds(10, 1000) {
        let _ = fs::remove_dir_all(copy.home());
        copied(node.home(), copy.home());
        let file = copy.home().join(all[round % all.len()].strip_prefix(node.home()).unwrap());
        let mut bytes = fs::read(&file).unwrap();
        let bit = random(bytes.len() as u64 * 8) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, bytes).unwrap();
        match read(&copy) {
            None => found += 1,
            Some(other) => {
                harmless += 1;
                assert!(other == whole, "bit {bit} of {} gives other data", file.display());
            }
        }
    }
    println!("{found} found, {harmless} harmless");
    assert!(found > 0, "{harmless} harmless and none found");
}
