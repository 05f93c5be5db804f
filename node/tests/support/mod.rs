//! The child process that writes, what it tells, and small helpers.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{self, ChildStdout, Command, Stdio},
    sync::Arc,
};

use hedgerow_node::store::{
    KdfParams, NewRecord, Passphrase, ROW_BYTES, RecordNumber, Records, Stored, Vault,
};
use zeroize::Zeroizing;

/// Names the vault's folder to the child.
pub(crate) const CHILD: &str = "HEDGEROW_STORE_CHILD";
/// A child that meets no limit stops by itself after so many records.
const MOST: u64 = 20_000;

pub(crate) fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery".into())
}

pub(crate) fn create(home: &Path) {
    drop(Vault::create(home, &passphrase(), KdfParams::FLOOR).unwrap());
}

pub(crate) fn open(home: &Path) -> Records {
    Records::open(Arc::new(Vault::open(home, &passphrase()).unwrap())).unwrap()
}

/// The record of `seed`; all of it follows from `seed`, so that a wrong part shows.
pub(crate) fn new(seed: u64) -> NewRecord {
    let mut source = [0; 32];
    source[..8].copy_from_slice(&seed.to_be_bytes());
    let mut row = [1; ROW_BYTES];
    row[1..9].copy_from_slice(&seed.to_be_bytes());
    NewRecord { source: Some(source), body: Zeroizing::new(body(seed)), row, words: vec![seed as u32] }
}

fn body(seed: u64) -> Vec<u8> {
    format!("{seed:020}").repeat(5 + (seed % 40) as usize).into_bytes()
}

/// The seed whose body this is; `None` if any byte of it is wrong.
pub(crate) fn seed_of(bytes: &[u8]) -> Option<u64> {
    let seed = std::str::from_utf8(bytes.get(..20)?).ok()?.parse().ok()?;
    (body(seed) == bytes).then_some(seed)
}

/// What limits the child.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    None,
    /// No file may grow beyond so many bytes, as on a full disk (`RLIMIT_FSIZE`).
    FileBytes(u64),
}

/// What the child said: only what it said in whole lines counts.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) stored: Vec<u64>,
    pub(crate) erased: Vec<u64>,
    /// Asked for; answered if it is in `erased` too.
    pub(crate) erasing: Vec<u64>,
    pub(crate) error: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) wrong: Option<bool>,
}

pub(crate) struct Child {
    process: process::Child,
    output: BufReader<ChildStdout>,
    heard: Vec<u8>,
}

impl Child {
    pub(crate) fn start(home: &Path, limit: Limit) -> Self {
        let exe = std::env::current_exe().unwrap();
        let mut command = match limit {
            Limit::None => Command::new(exe),
            Limit::FileBytes(bytes) => {
                // Ignored, the signal becomes an error of the write. POSIX counts in blocks of 512 bytes.
                let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(script).arg(exe);
                shell
            }
        };
        command.args(["--exact", "child", "--test-threads=1"]);
        let mut process =
            command.env(CHILD, home).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output, heard: Vec::new() }
    }

    pub(crate) fn await_acknowledgement(&mut self) {
        while !self.heard.windows(7).any(|w| w == b"stored ") || !self.heard.ends_with(b"\n") {
            let read = self.output.read_until(b'\n', &mut self.heard).unwrap();
            assert!(read > 0, "the child ended: {}", String::from_utf8_lossy(&self.heard));
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn wait(&mut self) {
        self.output.read_to_end(&mut self.heard).unwrap();
        self.process.wait().unwrap();
    }

    /// Adds what this child said to `told`.
    pub(crate) fn tell(mut self, told: &mut Told) {
        self.output.read_to_end(&mut self.heard).unwrap();
        let text = String::from_utf8(self.heard).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            match line.split_once(' ') {
                Some(("stored", seed)) => told.stored.push(seed.parse().unwrap()),
                Some(("erasing", seed)) => told.erasing.push(seed.parse().unwrap()),
                Some(("erased", seed)) => {
                    let seed = seed.parse().unwrap();
                    told.stored.retain(|stored| *stored != seed);
                    told.erased.push(seed);
                }
                Some(("error", what)) => told.error = Some(what.to_owned()),
                Some(("after", what)) => told.after = Some(what.to_owned()),
                Some(("wrong", what)) => told.wrong = Some(what == "true"),
                // The lines of the test harness.
                _ => {}
            }
        }
    }
}

/// The child: inserts, now and then erases, and says so only after the call returned.
pub(crate) fn insert_until_stopped(home: &Path) {
    let say = |text: String| {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap();
    };
    let name =
        |error: &dyn std::fmt::Debug| format!("{error:?}").split(['(', ' ']).next().unwrap().to_owned();
    let records = match Vault::open(home, &passphrase()).and_then(|vault| Records::open(vault.into())) {
        Ok(records) => records,
        Err(error) => return say(format!("\nerror {}\n", name(&error))),
    };
    // Seeds of a round of its own, so that nothing stored earlier is met as a duplicate.
    let first = u64::from(process::id()) * 1_000_000;
    let mut mine: Vec<(u64, RecordNumber)> = Vec::new();
    say("\n".to_owned());
    for step in 0..MOST {
        let seeds: Vec<u64> = (0..1 + step % 4).map(|n| first + step * 4 + n).collect();
        let stored = records.insert(seeds.iter().map(|seed| new(*seed)).collect()).map(|outcomes| {
            for (seed, outcome) in seeds.iter().zip(outcomes) {
                let Stored::New(number) = outcome else { panic!("a new record taken for a known one") };
                mine.push((*seed, number));
            }
            say(seeds.iter().map(|seed| format!("stored {seed}\n")).collect());
        });
        let done = stored.and_then(|()| {
            if step % 7 != 6 {
                return Ok(());
            }
            let (seed, number) = mine.remove(mine.len() / 2);
            say(format!("erasing {seed}\n"));
            records.erase(number).map(|_| say(format!("erased {seed}\n")))
        });
        // Either may be what meets a full disk.
        if let Err(error) = done {
            let again = records.insert(vec![new(first + MOST * 4)]);
            let wrong = mine.iter().any(|(seed, number)| match records.body(*number) {
                Ok(body) => body.and_then(|b| seed_of(&b)) != Some(*seed),
                Err(_) => false,
            });
            let after = again.err().map_or("Stored".to_owned(), |error| name(&error));
            return say(format!("error {}\nafter {after}\nwrong {wrong}\n", name(&error)));
        }
    }
}

/// Opens the vault and compares it with what the child was told: every acknowledged record is there with its own
/// body, every acknowledged erasure is one, and bodies, facets and import marks agree.
pub(crate) fn reopened(home: &Path, told: &Told) -> Records {
    let records = open(home);
    records.check().unwrap();
    let bodies = records.list(RecordNumber(0), usize::MAX).unwrap();
    let there: BTreeSet<u64> =
        bodies.iter().map(|(_, body)| seed_of(body).expect("a body that was never written")).collect();
    assert_eq!((there.len(), bodies.len()), (records.count(), records.count()), "a record is there twice");
    for seed in &told.stored {
        // Killed between asking to erase it and the answer: either is right.
        let unsure = told.erasing.contains(seed);
        assert!(there.contains(seed) || unsure, "acknowledged record {seed} is lost");
    }
    for seed in &told.erased {
        assert!(!there.contains(seed), "erased record {seed} is back");
    }
    let kept: Vec<u64> = told.stored.iter().copied().filter(|seed| there.contains(seed)).collect();
    let again = records.insert(kept.iter().map(|seed| new(*seed)).collect()).unwrap();
    for (seed, outcome) in kept.iter().zip(again) {
        let Stored::Duplicate(number) = outcome else { panic!("the import mark of record {seed} is lost") };
        let body = records.body(number).unwrap().unwrap();
        assert_eq!(seed_of(&body), Some(*seed), "an import mark leads to another record");
    }
    records
}

/// Every file under `dir`.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Copies the folder `from` to `to`.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in files(from) {
        let to = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
}
