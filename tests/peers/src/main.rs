//! The vault's records beside SQLCipher, in one run and by turns (docs/benchmarks.md).
//!
//!     cargo run --release --manifest-path tests/peers/Cargo.toml [ROWS]
//!
//! SQLCipher: WAL, synchronous FULL, 64 MiB of cache, a table with the coded columns, a body of 700 bytes and a unique
//! source, and a covering index by tactic, quarter, consent and person. Here: the same through `Records`, with twelve
//! words to be found by, which SQLCipher does not get.

use std::{
    fs,
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use hedgerow_node::store::{KdfParams, NewRecord, Passphrase, ROW_BYTES, Records, Vault};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rusqlite::{Connection, params};
use zeroize::Zeroizing;

const BODY: usize = 700;
const BATCH: u64 = 1000;
const SINGLE: u64 = 500;

/// What both sides are given.
struct Made {
    body: Vec<u8>,
    source: [u8; 32],
    person: u64,
    tactic: u8,
    quarter: u16,
    words: Vec<u32>,
}

fn made(n: u64) -> Made {
    let mut rng = StdRng::seed_from_u64(n);
    let mut body = vec![0; BODY];
    rng.fill_bytes(&mut body);
    let mut source = [0; 32];
    rng.fill_bytes(&mut source);
    // Some 2,000 common words, and one of its own.
    let own = rng.next_u32();
    let words = (0..11).map(|_| rng.next_u32() % 2000).chain([own]);
    let mut words: Vec<u32> = words.collect();
    words.sort_unstable();
    words.dedup();
    Made {
        body,
        source,
        person: rng.next_u64() % 700_000,
        tactic: (rng.next_u32() % 20) as u8,
        quarter: (rng.next_u32() % 16) as u16,
        words,
    }
}

fn record(made: Made) -> NewRecord {
    let mut row = [0; ROW_BYTES];
    row[0] = 1;
    row[1] = 1;
    row[6..14].copy_from_slice(&made.person.to_le_bytes());
    row[22] = made.tactic;
    row[2..4].copy_from_slice(&made.quarter.to_le_bytes());
    NewRecord { source: Some(made.source), body: Zeroizing::new(made.body), row, words: made.words }
}

fn passphrase() -> Passphrase {
    Passphrase::new("a passphrase for benches".into())
}

fn ours(home: &Path) -> Records {
    Records::open(Arc::new(Vault::open(home, &passphrase()).unwrap())).unwrap()
}

fn theirs(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    // A raw key: no key stretching on either side of what is measured.
    db.execute_batch(
        "PRAGMA key = \"x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'\";
         PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;
         CREATE TABLE IF NOT EXISTS record (id INTEGER PRIMARY KEY, source BLOB UNIQUE, person INTEGER, tactic INTEGER,
             quarter INTEGER, consent INTEGER, body BLOB);
         CREATE INDEX IF NOT EXISTS counted ON record (tactic, quarter, consent, person);",
    )
    .unwrap();
    db
}

fn insert(db: &mut Connection, rows: Vec<Made>) {
    let txn = db.transaction().unwrap();
    {
        let mut statement = txn
            .prepare(
                "INSERT OR IGNORE INTO record (source, person, tactic, quarter, consent, body)
                 VALUES (?1, ?2, ?3, ?4, 1, ?5)",
            )
            .unwrap();
        for m in rows {
            let fields = params![m.source.as_slice(), m.person as i64, m.tactic, m.quarter, m.body];
            statement.execute(fields).unwrap();
        }
    }
    txn.commit().unwrap();
}

fn timed<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    *total += start.elapsed();
    done
}

fn line(what: &str, ours: String, theirs: String, ratio: f64) {
    println!("{what:<56} {ours:>14} {theirs:>14} {ratio:>8.2}");
}

fn ms(d: Duration) -> String {
    format!("{:.2} ms", d.as_secs_f64() * 1e3)
}

fn size(path: &Path) -> u64 {
    let meta = fs::metadata(path).unwrap();
    if meta.is_dir() {
        fs::read_dir(path).unwrap().map(|e| size(&e.unwrap().path())).sum()
    } else {
        meta.len()
    }
}

fn main() {
    let rows: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::Builder::new().tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let (home, file) = (dir.path().join("home"), dir.path().join("sqlcipher.db"));
    drop(Vault::create(&home, &passphrase(), KdfParams::FLOOR).unwrap());
    println!("{:<56} {:>14} {:>14} {:>8}", format!("{rows} rows"), "here", "SQLCipher", "ratio");

    let (mut here, mut there) = (Duration::ZERO, Duration::ZERO);
    {
        let records = ours(&home);
        let mut db = theirs(&file);
        for batch in 0..rows / BATCH {
            let numbers = batch * BATCH..(batch + 1) * BATCH;
            let new: Vec<NewRecord> = numbers.clone().map(|n| record(made(n))).collect();
            timed(&mut here, || records.insert(new).unwrap());
            let new: Vec<Made> = numbers.map(made).collect();
            timed(&mut there, || insert(&mut db, new));
        }
        let rate = |d: Duration| format!("{:.0}/s", rows as f64 / d.as_secs_f64());
        line("durable, 1,000 to a commit", rate(here), rate(there), there.as_secs_f64() / here.as_secs_f64());
        (here, there) = (Duration::ZERO, Duration::ZERO);
        for n in rows..rows + SINGLE {
            let new = record(made(n));
            timed(&mut here, || records.insert(vec![new]).unwrap());
            let new = made(n);
            timed(&mut there, || insert(&mut db, vec![new]));
        }
        let each = |d: Duration| ms(d / SINGLE as u32);
        line("durable, one to a commit", each(here), each(there), there.as_secs_f64() / here.as_secs_f64());
    }
    (here, there) = (Duration::ZERO, Duration::ZERO);
    // Argon2id aside: opening a vault of the same parameters that is empty costs that and nothing else.
    let empty = dir.path().join("empty");
    drop(Vault::create(&empty, &passphrase(), KdfParams::FLOOR).unwrap());
    let mut stretching = Duration::ZERO;
    timed(&mut stretching, || drop(Vault::open(&empty, &passphrase()).unwrap()));
    let records = timed(&mut here, || ours(&home));
    let db = timed(&mut there, || theirs(&file));
    here = here.saturating_sub(stretching);
    line(
        "opened, Argon2id aside, all facets read",
        ms(here),
        ms(there),
        there.as_secs_f64() / here.as_secs_f64(),
    );

    let group = "SELECT tactic, quarter, count(*) FROM record WHERE consent = 1 GROUP BY tactic, quarter";
    for what in ["cold", "warm"] {
        (here, there) = (Duration::ZERO, Duration::ZERO);
        let counted: u64 = timed(&mut here, || {
            records.with_rows(|rows| {
                let mut cells = [[0u64; 16]; 20];
                rows.for_each(|row| {
                    let quarter = usize::from(u16::from_le_bytes([row[2], row[3]]));
                    cells[usize::from(row[22])][quarter] += 1;
                });
                cells.iter().flatten().sum()
            })
        });
        let theirs: i64 = timed(&mut there, || {
            let mut statement = db.prepare(group).unwrap();
            statement.query_map([], |row| row.get::<_, i64>(2)).unwrap().map(Result::unwrap).sum()
        });
        assert_eq!(counted, theirs as u64);
        let ratio = there.as_secs_f64() / here.as_secs_f64();
        line(&format!("rows grouped by tactic and quarter, {what}"), ms(here), ms(there), ratio);
    }
    let mut found = Duration::ZERO;
    let word = made(rows / 2).words.into_iter().max().unwrap_or(0);
    let mut hits = 0;
    timed(&mut found, || {
        let each = |_, _| {
            hits += 1;
            ControlFlow::Continue(())
        };
        records.find(&[word], |_| true, each).unwrap();
    });
    line(&format!("a rare word, {hits} found"), ms(found), "-".into(), f64::NAN);
    let payload = (rows + SINGLE) as f64 * (BODY + ROW_BYTES) as f64;
    let share = |bytes: u64| format!("{:.2}", bytes as f64 / payload);
    let (here, there) = (size(&home), size(&file));
    line("disk, of bodies and coded columns", share(here), share(there), here as f64 / there as f64);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find(|l| l.starts_with("VmHWM")) {
        println!("peak memory of both together: {}", peak.trim_start_matches("VmHWM:").trim());
    }
}
