//! The vault's records beside SQLCipher, in one run and by turns (docs/benchmarks.md).
//!
//!     cargo run --release --manifest-path tests/peers/Cargo.toml [ROWS]
//!
//! SQLCipher: WAL, synchronous FULL, 64 MiB of cache, a table with the coded columns, a body of 700 bytes and a unique
//! source, and a covering index by tactic, quarter, consent and person. Here: the same through `Records`, with twelve
//! words to be found by, which SQLCipher does not get.

mod engines;
mod sides;
mod statistic;

use std::{
    fs,
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use hedgerow_node::store::{NewRecord, ROW_BYTES, rebuild};
use sides::{BATCH, BODY, Made, create, insert, made, ours, record, theirs};
use statistic::ms;

/// Commits of one record each; the mean counts.
const SINGLE: u64 = 1000;

fn timed<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    *total += start.elapsed();
    done
}

fn line(what: &str, ours: &str, theirs: &str, ratio: Option<f64>) {
    let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    println!("{what:<62} {ours:>12} {theirs:>12} {ratio:>8}");
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
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, side, path] = args.as_slice()
        && flag == "--apart"
    {
        return statistic::child(side, Path::new(path));
    }
    let rows: u64 = args.first().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::Builder::new().tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let (home, file) = (dir.path().join("home"), dir.path().join("sqlcipher.db"));
    create(&home);
    line(&format!("{rows} rows"), "here", "SQLCipher", None);
    written(rows, &home, &file);
    statistics(&home, &file);
    searched(rows, &home);
    disk(rows, &home, &file);
    stores(rows, dir.path());
}

/// Rows put in, a thousand to a commit and one by one. The ratio is how often ours fits into theirs.
fn written(rows: u64, home: &Path, file: &Path) {
    let records = ours(home);
    let mut db = theirs(file);
    let (mut here, mut there) = (Duration::ZERO, Duration::ZERO);
    for batch in 0..rows / BATCH {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        let new: Vec<NewRecord> = numbers.clone().map(|n| record(made(n, rows))).collect();
        timed(&mut here, || records.insert(new).unwrap());
        let new: Vec<Made> = numbers.map(|n| made(n, rows)).collect();
        timed(&mut there, || insert(&mut db, new));
    }
    let rate = |d: Duration| format!("{:.0}/s", rows as f64 / d.as_secs_f64());
    let ratio = |here: Duration, there: Duration| Some(there.as_secs_f64() / here.as_secs_f64());
    line("durable, 1,000 to a commit", &rate(here), &rate(there), ratio(here, there));
    (here, there) = (Duration::ZERO, Duration::ZERO);
    for n in rows..rows + SINGLE {
        let new = record(made(n, rows));
        timed(&mut here, || records.insert(vec![new]).unwrap());
        let new = made(n, rows);
        timed(&mut there, || insert(&mut db, vec![new]));
    }
    let each = |d: Duration| format!("{:.2} ms", d.as_secs_f64() * 1e3 / SINGLE as f64);
    line("durable, one to a commit", &each(here), &each(there), ratio(here, there));
}

fn statistics(home: &Path, file: &Path) {
    let here = statistic::apart("here", home);
    line("opened, Argon2id aside, all facets read", &ms(here.opened), "", None);
    let mut peak = 0f64;
    for (asked, _) in statistic::ASKED {
        let there = statistic::apart(asked, file);
        peak = peak.max(there.peak);
        let beside = |what: &str, here: f64, there: f64| {
            line(
                &format!("people within bounds, {what}; {asked}"),
                &ms(here),
                &ms(there),
                Some(there / here),
            );
        };
        beside("cold, with opening", here.opened + here.first, there.opened + there.first);
        beside("first after opening", here.first, there.first);
        beside("warm", here.warm, there.warm);
    }
    let mib = |kib: f64| format!("{:.0} MiB", kib / 1024.0);
    line(
        "most memory of the process that opened and counted",
        &mib(here.peak),
        &mib(peak),
        Some(peak / here.peak),
    );
}

fn searched(rows: u64, home: &Path) {
    let records = ours(home);
    let mut found = Duration::ZERO;
    let word = made(rows / 2, rows).words.into_iter().max().unwrap_or(0);
    let mut hits = 0;
    timed(&mut found, || {
        let each = |_, _| {
            hits += 1;
            ControlFlow::Continue(())
        };
        records.find(&[word], |_| true, each).unwrap();
    });
    line(&format!("a rare word, {hits} found"), &ms(found.as_secs_f64()), "", None);
}

fn disk(rows: u64, home: &Path, file: &Path) {
    let payload = (rows + SINGLE) as f64 * (BODY + ROW_BYTES) as f64;
    let share = |bytes: u64| format!("{:.2}", bytes as f64 / payload);
    let beside = |what: &str| {
        let (here, there) = (size(home), size(file));
        line(what, &share(here), &share(there), Some(there as f64 / here as f64));
    };
    beside("disk, of bodies and coded columns");
    rebuild::rebuild(ours(home), &mut |_| ()).unwrap();
    beside("disk after a rebuild");
}

fn stores(rows: u64, dir: &Path) {
    println!();
    line("the store alone, the same values", "sled", "redb", None);
    let [sled, redb] = engines::measure(dir, rows / BATCH, SINGLE);
    let beside = |what: &str, here: f64, there: f64| line(what, &ms(here), &ms(there), Some(there / here));
    beside(
        "facets and entries of a thousand records, durable",
        sled.pieces / (rows / BATCH) as f64,
        redb.pieces / (rows / BATCH) as f64,
    );
    beside("those of one record, with body, words and root, durable", sled.lone, redb.lone);
    line("  a file alone: as many bytes appended and synced", &ms(engines::floor(dir, SINGLE)), "", None);
    beside("opened and all read", sled.read, redb.read);
    let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / (1024.0 * 1024.0));
    line("disk", &mib(sled.bytes), &mib(redb.bytes), Some(redb.bytes as f64 / sled.bytes as f64));
}
