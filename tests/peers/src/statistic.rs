//! One statistic over all rows, each side in a process of its own, so that the first is cold and memory is its own.
//!
//! People by tactic and quarter, each in no more cells than the charter allows: what a node answers, up to the noise.
//! SQLCipher is asked for three things over its covering index: rows by tactic and quarter; people, each as often as she
//! comes; and people within the same bound.

use std::{fs, path::Path, process::Command, time::Instant};

use hedgerow_node::{
    facet_row,
    flow::membership::{self, Terms},
    node::{Node, now},
    store::{KdfParams, Records, Vault},
};
use hedgerow_protocol::{
    document::{Charter, Signed},
    facet::FacetTable,
    statistic::{Axis, Exact, Measure, Mode, Period, Plan, Query, SampleKey},
    vocabulary::Dimension,
};

use crate::sides::{QUARTERS, ours, passphrase, theirs};

/// How often the warm one is done; the median counts.
const TIMES: usize = 9;

/// In how many cells one person counts, by the charter of the bench.
const CELLS: u32 = 2;

/// What SQLCipher is asked.
pub const ASKED: [(&str, &str); 3] = [
    ("its rows", "SELECT tactic, quarter, count(*) FROM record WHERE consent = 1 GROUP BY tactic, quarter"),
    (
        "its people, without bounds",
        "SELECT tactic, quarter, count(DISTINCT person) FROM record WHERE consent = 1 GROUP BY tactic, quarter",
    ),
    (
        "its people, within bounds",
        "SELECT tactic, quarter, count(*) FROM (
             SELECT tactic, quarter, row_number() OVER (PARTITION BY person) AS cell
             FROM (SELECT DISTINCT person, tactic, quarter FROM record WHERE consent = 1))
         WHERE cell <= 2 GROUP BY tactic, quarter",
    ),
];

/// What one process measured, in seconds and KiB.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Opened, Argon2id aside.
    pub opened: f64,
    /// The first after opening.
    pub first: f64,
    /// The median of those after it.
    pub warm: f64,
    /// Most memory of the process.
    pub peak: f64,
}

/// Measures one side in a process of its own, with nothing of its files in the system's cache, if that can be asked for.
pub fn apart(side: &str, path: &Path) -> Measured {
    let _ = Command::new("sync").status();
    let _ = fs::write("/proc/sys/vm/drop_caches", "3");
    let output =
        Command::new(std::env::current_exe().unwrap()).args(["--apart", side]).arg(path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<f64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
    Measured { opened: numbers[0], first: numbers[1], warm: numbers[2], peak: numbers[3] }
}

/// What that process does.
pub fn child(side: &str, path: &Path) {
    let (opened, first, mut warm) = if side == "here" { here(path) } else { there(side, path) };
    warm.sort_by(f64::total_cmp);
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let peak = peak.split_whitespace().nth(1).unwrap();
    println!("{opened} {first} {} {peak}", warm[warm.len() / 2]);
}

fn seconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed().as_secs_f64(), done)
}

fn here(home: &Path) -> (f64, f64, Vec<f64>) {
    let dir = tempfile::tempdir().unwrap();
    let (charter, key) = (charter(dir.path()), SampleKey::new([7; 32]));
    let plan = Plan::new(&query(&charter), &charter).unwrap();
    assert_eq!(plan.cells_per_person(), CELLS);
    // Argon2id aside: opening a vault of the same parameters that is empty costs that and little else.
    let empty = dir.path().join("empty");
    drop(Vault::create(&empty, &passphrase(), KdfParams::FLOOR).unwrap());
    let (stretching, _) = seconds(|| drop(Vault::open(&empty, &passphrase()).unwrap()));
    let (opened, records) = seconds(|| ours(home));
    let (first, (table, counted)) = seconds(|| {
        let table = table(&records);
        let counted = Exact::count(&plan, &table, &key).unwrap();
        (table, counted)
    });
    drop(counted);
    let warm = (0..TIMES).map(|_| seconds(|| Exact::count(&plan, &table, &key).unwrap()).0).collect();
    ((opened - stretching).max(0.0), first, warm)
}

/// As a node makes it.
fn table(records: &Records) -> FacetTable {
    let rows = records.rows();
    FacetTable::build(rows.numbers(), |n| rows.get(n).map(facet_row::decode).transpose()).unwrap()
}

fn charter(dir: &Path) -> Signed<Charter> {
    let home = dir.join("node");
    let (name, contact) = ("Bench".to_owned(), String::new());
    let node = Node::init(&home, &passphrase(), KdfParams::FLOOR, name.clone(), contact, vec![]).unwrap();
    let mut terms = Terms::new(name);
    terms.cells_per_person = CELLS;
    membership::draw_up(&node, vec![], terms, now()).unwrap()
}

fn query(charter: &Signed<Charter>) -> Query {
    let from: hedgerow_protocol::time::Quarter = "2021-Q1".parse().unwrap();
    let at = now();
    Query {
        version: 1,
        mode: Mode::Local,
        charter: charter.id(),
        measure: Measure::People,
        indicators: vec![],
        conditions: vec![],
        period: Some(Period { from, to: from.plus(i32::from(QUARTERS) - 1) }),
        group_by: vec![Axis::Coded(Dimension::Tactic), Axis::Quarter],
        cells_per_person: None,
        purpose: "research".into(),
        need: "bench".into(),
        epsilon: "1".parse().unwrap(),
        asked_at: at,
        expires_at: at.plus_seconds(3600),
    }
}

fn there(asked: &str, file: &Path) -> (f64, f64, Vec<f64>) {
    let (_, sql) = ASKED.iter().find(|(name, _)| *name == asked).unwrap();
    let (opened, db) = seconds(|| theirs(file));
    let ask = || {
        let mut statement = db.prepare(sql).unwrap();
        statement.query_map([], |row| row.get::<_, i64>(2)).unwrap().map(Result::unwrap).sum::<i64>()
    };
    let (first, counted) = seconds(&ask);
    assert!(counted > 0);
    // What takes seconds is done less often.
    let times = if first > 1.0 { 3 } else { TIMES };
    (opened, first, (0..times).map(|_| seconds(&ask).0).collect())
}

/// For people.
pub fn ms(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1e3)
}
