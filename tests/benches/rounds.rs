//! What rounds cost and how accurate they are, each figure beside what it is compared with (docs/benchmarks.md).
//!
//! Whole rounds of the real state machines in the simulator, on one thread. `cargo bench -p hedgerow-tests --bench
//! rounds`; `-- --large` adds the round of 1,000 nodes, `-- --plot FILE` draws how cost grows.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench: a failure here is a failed bench"
)]

use std::time::Instant;

use hedgerow_protocol::{
    document::{
        Charter, Member, NodeSecret, Signed,
        charter::{PrivacyPolicy, Purpose, ReleasePeriod, RoundPolicy},
    },
    indicator::Tlp,
    privacy::{Accounting, Mechanism, Unit},
    round::{
        Outcome, Parameters, Terms,
        commitment::{Blinding, Packing},
        simulate::{Fate, Weather, World},
    },
    statistic::{Axis, Measure, Mode, Period, Plan, Query},
    time::Timestamp,
    vocabulary::Dimension,
};
use prio::{
    codec::Encode as _,
    vdaf::{
        Aggregator as _, Client as _, Collector as _, VerifyTransition,
        prio3::{Prio3SumVec, optimal_chunk_length},
    },
};
use rand::{SeedableRng as _, rngs::StdRng};

#[path = "support/plot.rs"]
mod plot;

fn main() {
    // `cargo test --benches` would run this too; it is no test.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    // `-- cost` for one part of it: accuracy, samplers or cost.
    let parts = ["accuracy", "samplers", "cost"];
    let named = parts.iter().any(|part| std::env::args().any(|a| a == *part));
    let wanted = |part: &str| !named || std::env::args().any(|a| a == part);
    if wanted("accuracy") {
        accuracy();
    }
    if wanted("samplers") {
        samplers();
    }
    if !wanted("cost") {
        return;
    }
    println!("\n{:<40} {:>10} {:>10} {:>7}", "", "here", "bare prio", "ratio");
    let costs = [(50, 50), (5, 50), (10, 50), (20, 50), (50, 5), (50, 13), (50, 100), (50, 200)];
    let costs = costs.map(|(nodes, quarters)| cost(nodes, quarters));
    let plot = std::env::args().skip_while(|a| a != "--plot").nth(1);
    if let Some(file) = plot {
        // Benches run in their package's folder; the plot is named from the workspace's.
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        std::fs::write(file, plot::growth(&costs)).unwrap();
    }
    if std::env::args().any(|a| a == "--large") {
        large();
    }
}

/// Seconds that this thread, which does all the work, was on a processor: what others do beside it does not count.
fn processor() -> f64 {
    let times = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    times.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn at() -> Timestamp {
    "2026-02-01T12:00:00Z".parse().unwrap()
}

fn secret(n: u32) -> NodeSecret {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&n.to_be_bytes());
    NodeSecret::from_seed(&seed)
}

fn charter(nodes: u32, tolerated: u32) -> Signed<Charter> {
    let mut members: Vec<Member> = (0..nodes)
        .map(|n| Member {
            id: secret(n).node_id(),
            name: format!("Group {n}"),
            contact: String::new(),
            addresses: vec![format!("/ip4/192.0.2.1/udp/{}/quic-v1", 10_000 + n)],
            vouching: None,
        })
        .collect();
    members.sort_by_key(|m| m.id);
    let charter = Charter {
        version: 2,
        name: "Bench".into(),
        made_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        parent: None,
        members,
        quorum: nodes / 2 + 1,
        vocabulary: 1,
        privacy: PrivacyPolicy {
            epsilon_total: "100".parse().unwrap(),
            epsilon_per_query: "2".parse().unwrap(),
            release_period: ReleasePeriod::Quarter,
            cells: 4096,
            cells_per_person: 1,
            incidents_per_cell: 1,
            nodes_per_person: 1,
            contributions: nodes / 2 + 1,
            accounting: Accounting::Pure,
            unit: Unit::Person,
            epsilon_per_asker: None,
            round: Some(RoundPolicy {
                tolerated,
                epsilon_aggregators: "20".parse().unwrap(),
                most_in_cell: 30_000,
            }),
        },
        purposes: vec![Purpose {
            code: "research".into(),
            label: "Research".into(),
            epsilon: "100".parse().unwrap(),
        }],
        refusal_grounds: vec![],
        aggregators: 2,
        tlp: Tlp::Amber,
        pseudonyms: None,
    };
    let mut signed = Signed::new(charter, &secret(0)).unwrap();
    (1..=nodes / 2).for_each(|n| signed.cosign(&secret(n)));
    signed
}

/// People by tactic (20 codes) and so many quarters.
fn query(charter: &Signed<Charter>, quarters: i32) -> Query {
    let last: hedgerow_protocol::time::Quarter = "2025-Q4".parse().unwrap();
    Query {
        version: 2,
        mode: Mode::Round,
        charter: charter.id(),
        measure: Measure::People,
        indicators: vec![],
        conditions: vec![],
        period: Some(Period { from: last.plus(1 - quarters), to: last }),
        group_by: vec![Axis::Coded(Dimension::Tactic), Axis::Quarter],
        cells_per_person: None,
        purpose: "research".into(),
        need: "a bench".into(),
        epsilon: "1".parse().unwrap(),
        asked_at: at(),
        expires_at: at().plus_seconds(3600),
    }
}

fn rmse(samples: impl Iterator<Item = i64>) -> f64 {
    let (n, sum) = samples.fold((0u64, 0f64), |(n, sum), x| (n + 1, sum + (x * x) as f64));
    (sum / n as f64).sqrt()
}

fn accuracy() {
    println!("root-mean-square error of one cell, epsilon 1, one in five tolerated, 200,000 sums each");
    println!(
        "{:>5} {:>9} {:>9} {:>9} {:>16} {:>16}",
        "nodes", "centre", "round", "each own", "round / centre", "own / round"
    );
    let mut rng = StdRng::seed_from_u64(1);
    let cells = 200_000;
    for nodes in [5u32, 50, 500] {
        let charter = charter(nodes, nodes / 5);
        let terms = Terms::new(Plan::new(&query(&charter, 50), &charter).unwrap(), &charter).unwrap();
        let share = Parameters::new(&terms, nodes as usize, None).unwrap().mechanism;
        let whole = terms.plan().mechanism().unwrap();
        let mut sum_of = |mechanism: &Mechanism, nodes: u32, cells: usize| {
            let mut sums = vec![0i64; cells];
            for _ in 0..nodes {
                let drawn = mechanism.samples(cells, &mut rng).unwrap();
                sums.iter_mut().zip(drawn).for_each(|(s, x)| *s += x);
            }
            rmse(sums.into_iter())
        };
        let (centre, round) = (sum_of(&whole, 1, cells), sum_of(&share, nodes, cells));
        let own = sum_of(&whole, nodes, 20_000);
        let (most, least) = (
            1.02 * f64::from(nodes).sqrt() / f64::from(nodes - nodes / 5).sqrt(),
            f64::from(nodes).sqrt() / 1.2,
        );
        println!(
            "{nodes:>5} {centre:>9.3} {round:>9.3} {own:>9.3} {:>7.3} (<= {most:.3}) {:>7.2} (>= {least:.2})",
            round / centre,
            own / round
        );
    }
}

/// How long one node takes to draw its noise for 4,096 cells.
fn samplers() {
    println!("\n4,096 samples of one node's noise");
    let mut rng = StdRng::seed_from_u64(3);
    for (l1, shape) in
        [(1, (1, 40)), (100, (1, 40)), (10_000, (1, 40)), (1_000_000, (1, 40)), (1_000_000, (1, 1))]
    {
        let one = "1".parse().unwrap();
        let mechanism = Mechanism::laplace_shares(l1, one, shape).unwrap();
        timed(&format!("Laplace shares, scale {l1}, shape {}/{}", shape.0, shape.1), &mechanism, &mut rng);
    }
    for sixteenths in [23u64, 160, 16_000, 16_000_000] {
        let mechanism = Mechanism::DiscreteGaussian { sigma_sixteenths: sixteenths };
        timed(&format!("Gaussian, sigma {}", sixteenths as f64 / 16.0), &mechanism, &mut rng);
    }
}

fn timed(what: &str, mechanism: &Mechanism, rng: &mut StdRng) {
    let mut seconds: Vec<f64> = (0..5)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(mechanism.samples(4096, rng).unwrap().len(), 4096);
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_unstable_by(f64::total_cmp);
    println!("{what:<46} {:>8.1} ms", seconds[2] * 1e3);
}

/// The part of a round that its commitments are: one a node, and the check of their sum by the asker and by both
/// aggregators.
fn commitments(nodes: u32, cells: usize, bits: u32) -> f64 {
    let packing = Packing::new(bits, nodes as usize);
    let mut rng = StdRng::seed_from_u64(4);
    let values: Vec<u128> = (0..cells).map(|i| (i as u128 * 37) % (1 << bits)).collect();
    let sum: Vec<u128> = values.iter().map(|v| v * u128::from(nodes)).collect();
    let start = processor();
    let blindings: Vec<Blinding> = (0..nodes).map(|_| Blinding::random(&mut rng)).collect();
    let committed: Vec<_> = blindings.iter().map(|b| packing.commit(&values, b).unwrap()).collect();
    let blinding = Blinding::sum(&blindings);
    (0..3).for_each(|_| assert!(packing.opens(&committed, &sum, &blinding).unwrap()));
    processor() - start
}

fn world(nodes: u32, seed: u64) -> (World, Signed<Charter>) {
    let charter = charter(nodes, nodes / 5);
    let all = (0..nodes).map(|n| (secret(n), Vec::new())).collect();
    let weather = Weather { delay: (1, 1), stage: 10_000_000, retry: 1_000_000, ..Weather::default() };
    (World::new(charter.clone(), all, weather, at(), seed), charter)
}

/// A whole round: consents, roster, counts of nothing, noise, commitments, shares, proofs, release, its verification
/// by every aggregator. Bare: sharding, verifying and adding up the same vectors with prio alone.
fn cost(nodes: u32, quarters: i32) -> plot::Cost {
    let cells = 20 * quarters as usize;
    let (mut times, mut bare_times, mut sent) = (Vec::new(), Vec::new(), Bytes::default());
    let mut bits = 0;
    // Side by side, so that a busy moment of the machine falls on both. The first pair warms up and does not count.
    for seed in 0..6 {
        let (mut world, charter) = world(nodes, seed);
        let query = Signed::new(query(&charter, quarters), &secret(0)).unwrap();
        let terms = Terms::new(Plan::new(query.document(), &charter).unwrap(), &charter).unwrap();
        let parameters = Parameters::new(&terms, nodes as usize, None).unwrap();
        let start = processor();
        let (outcome, _) = world.round(query, None, &mut |_| Fate::Pass);
        let seconds = processor() - start;
        assert!(matches!(outcome.unwrap(), Outcome::Release(_)));
        let start = processor();
        sent = bare(nodes as usize, cells, &parameters);
        let bare_seconds = processor() - start;
        sent.round = world.bytes();
        bits = parameters.bits;
        if seed > 0 {
            times.push(seconds);
            bare_times.push(bare_seconds);
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (seconds, bare) = (median(&mut times), median(&mut bare_times));
    let Bytes { round: bytes, input, verifiers } = sent;
    let committed = commitments(nodes, cells, bits);
    let what = format!("{nodes} nodes, {cells} cells, {bits} bits");
    println!("{what:<30} {:<9} {:>8.2} s {:>8.2} s {:>7.2}", "time", seconds, bare, seconds / bare);
    let mib = |b: u64| b as f64 / 1_048_576.0;
    println!(
        "{:<30} {:<9} {:>6.1} MiB {:>6.1} MiB {:>7.2}",
        "",
        "bytes",
        mib(bytes),
        mib(input),
        bytes as f64 / input as f64
    );
    let all = input + verifiers;
    println!(
        "{:<30} {:<9} {:>10} {:>6.1} MiB {:>7.2}   with the shares of verifiers that prio's parties exchange",
        "",
        "",
        "",
        mib(all),
        bytes as f64 / all as f64
    );
    println!(
        "{:<30} {:<9} {:>8.2} s {:>10} {:>6.0}%   of the round",
        "",
        "commits",
        committed,
        "",
        100.0 * committed / seconds
    );
    plot::Cost { nodes, cells, seconds, bare, mib: mib(bytes) }
}

/// What is sent: in the round, and of that what prio alone needs, input shares and shares of verifiers.
#[derive(Default)]
struct Bytes {
    round: u64,
    input: u64,
    verifiers: u64,
}

fn bare(nodes: usize, cells: usize, parameters: &Parameters) -> Bytes {
    let largest = (1u128 << parameters.bits) - 1;
    let chunk = optimal_chunk_length(cells * parameters.bits as usize);
    let prio = Prio3SumVec::new_sum_vec(2, largest, cells, chunk).unwrap();
    let mut sent = Bytes::default();
    let mut totals = [prio.aggregate_init(&()), prio.aggregate_init(&())];
    for node in 0..nodes {
        let nonce = [node as u8; 16];
        let (public, shares) = prio.shard(b"bench", &vec![5; cells], &nonce).unwrap();
        for share in &shares {
            sent.input += (public.get_encoded().unwrap().len() + share.get_encoded().unwrap().len()) as u64;
        }
        let mut states = Vec::new();
        let mut parts = Vec::new();
        for (place, share) in shares.iter().enumerate() {
            let (state, part) =
                prio.verify_init(&[7; 32], b"bench", place, &(), &nonce, &public, share).unwrap();
            sent.verifiers += part.get_encoded().unwrap().len() as u64;
            states.push(state);
            parts.push(part);
        }
        for (state, total) in states.into_iter().zip(&mut totals) {
            let message = prio.verifier_shares_to_message(b"bench", &(), parts.clone()).unwrap();
            let VerifyTransition::Finish(share) = prio.verify_next(b"bench", state, message).unwrap() else {
                unreachable!()
            };
            prio::vdaf::Aggregatable::accumulate(total, &share).unwrap();
        }
    }
    let sums = prio.unshard(&(), totals, nodes).unwrap();
    assert_eq!(sums[0], 5 * nodes as u128);
    sent
}

fn large() {
    let (mut world, charter) = world(1000, 1);
    let query = Signed::new(query(&charter, 12), &secret(0)).unwrap();
    let start = Instant::now();
    let (outcome, _) = world.round(query, None, &mut |_| Fate::Pass);
    let Outcome::Release(release) = outcome.unwrap() else { unreachable!() };
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(release.document().counted(), 1000);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!(
        "1,000 nodes, {} cells: {seconds:.1} s on one thread, {:.0} MiB sent, {peak}",
        release.document().plan.cells(),
        world.bytes() as f64 / 1_048_576.0
    );
}
