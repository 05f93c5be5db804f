//! Catching up: what finding a hundred differences among a million documents costs in bytes, rounds and time.
//!
//! `cargo bench -p hedgerow-tests --bench reconcile -- [DOCUMENTS]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench"
)]

use std::time::{Duration, Instant};

use hedgerow_protocol::{
    id::Digest,
    limits,
    reconcile::{Compared, EpochSum, Session, Set, answer, compare},
    time::Timestamp,
    wire::{Announcement, Message as _, Reply, Request, Spreading},
};

const DIFFERENCES: u64 = 100;
/// Over which the documents are spread, in seconds: two years.
const SPAN: u64 = 2 * 365 * 86_400;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_735_689_600 + i64::try_from(seconds).unwrap()).unwrap()
}

fn document(n: u64, of: u64) -> (Timestamp, Digest) {
    (at(n * (SPAN / of)), Digest::of(&n.to_be_bytes()))
}

struct Cost {
    up: usize,
    down: usize,
    rounds: usize,
    needed: usize,
    time: Duration,
}

/// One member catches up with another; everything that would be on the wire is made and counted.
fn catch_up(ours: &mut Set, theirs: &mut Set) -> Cost {
    let started = Instant::now();
    let mut cost = Cost { up: 0, down: 0, rounds: 1, needed: 0, time: Duration::ZERO };
    let sums: Vec<EpochSum> = theirs.sums();
    cost.up += Request::Epochs.to_bytes().unwrap().len();
    cost.down += Reply::Epochs { epochs: sums.clone() }.to_bytes().unwrap().len();
    let Compared::Epochs(epochs) = compare(&ours.sums(), &sums) else { panic!("little is missing") };
    for epoch in epochs {
        let (mut session, first) = Session::begin(ours.epoch(epoch)).unwrap();
        let mut next = Some(first);
        while let Some(message) = next {
            let told = answer(theirs.epoch(epoch), &message).unwrap();
            cost.up += Request::Reconcile { epoch }.to_bytes().unwrap().len() + message.len();
            cost.down += Reply::Reconcile.to_bytes().unwrap().len() + told.len();
            cost.rounds += 1;
            next = session.hear(&told).unwrap();
        }
        let needed = session.into_needed();
        cost.needed += needed.len();
        for some in needed.chunks(limits::DESCRIBED) {
            cost.up += Request::Describe { ids: some.to_vec() }.to_bytes().unwrap().len();
            let entries = some
                .iter()
                .map(|id| Announcement { kind: Spreading::Batch, id: *id, bytes: 70_000 })
                .collect();
            cost.down += Reply::Inventory { entries }.to_bytes().unwrap().len();
            cost.rounds += 1;
        }
    }
    cost.time = started.elapsed();
    cost
}

fn main() {
    // `cargo test --benches` would run this too; it is no test.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let of: u64 = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(1_000_000);
    println!("{of} documents over two years; {DIFFERENCES} of them at one side only\n");
    println!("{:<44} {:>9} {:>9} {:>7} {:>9}", "which", "up B", "down B", "rounds", "time");
    // Recent: what a partition of some days leaves. Anywhere: the worst there is.
    let recent = |n: u64| n >= of - 2000 && n.is_multiple_of(20);
    let anywhere = |n: u64| n % (of / DIFFERENCES) == 7;
    for (name, lacks) in
        [("in the last days", &recent as &dyn Fn(u64) -> bool), ("anywhere in two years", &anywhere)]
    {
        let mut all = Set::default();
        all.extend((0..of).map(|n| document(n, of)));
        let mut ours = Set::default();
        ours.extend((0..of).filter(|n| !lacks(*n)).map(|n| document(n, of)));
        for (what, settled) in [("first time", false), ("digests at hand", true)] {
            if settled {
                ours.sums();
                all.sums();
            }
            let cost = catch_up(&mut ours, &mut all);
            assert_eq!(cost.needed as u64, DIFFERENCES);
            println!(
                "{:<44} {:>9} {:>9} {:>7} {:>6} ms",
                format!("{name}, {what}"),
                cost.up,
                cost.down,
                cost.rounds,
                cost.time.as_millis()
            );
        }
    }
}
