//! Federated rounds through real processes: figures beside the exact ones, an aggregator killed in the middle.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use hedgerow_tests::{Federation, Node, binary, eventually, real_data};
use serde_json::{Value, json};

/// Incidents for five groups: the public coded incidents where they are there, our own otherwise.
fn incidents() -> String {
    match real_data() {
        Some(root) => fs::read_to_string(root.join("incidents/vcdb_5701_coded.csv")).unwrap(),
        None => made_up(),
    }
}

/// Rows in the same columns, made up.
fn made_up() -> String {
    let actions = ["Malware", "Hacking", "Social", "Physical", "Misuse", "Error", "Environmental", "Unknown"];
    let columns: Vec<String> = actions.iter().map(|a| format!("action.{a}")).collect();
    let mut text = format!("year,victim.state,{},victim.industry.name,pattern\n", columns.join(","));
    for row in 0..1500usize {
        let action = row * row % 7 % actions.len();
        let flags: Vec<&str> = (0..actions.len()).map(|a| if a == action { "1" } else { "0" }).collect();
        text.push_str(&format!(
            "{},S{},{},Made up {row},Other\n",
            2008 + row % 11,
            row % 40,
            flags.join(",")
        ));
    }
    text
}

/// Splits the incidents among the nodes and counts what each stored, by tactic and year.
fn split(federation: &Federation) -> BTreeMap<Vec<String>, i64> {
    let text = incidents();
    let (head, rows) = text.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    let mut exact = BTreeMap::new();
    for (i, node) in federation.nodes.iter().enumerate() {
        let part: Vec<&str> = rows.iter().skip(i).step_by(federation.nodes.len()).copied().collect();
        let file = federation.dir().join(format!("vcdb_5701_coded_{i}.csv"));
        fs::write(&file, format!("{head}\n{}\n", part.join("\n"))).unwrap();
        let report = node.json(&["import", "--assume-consent", "yes", file.to_str().unwrap()]);
        assert_eq!(report["read"], part.len());
        let list = node.json(&["record", "list", "--limit", "10000"]);
        let list = list.as_array().unwrap();
        assert_eq!(list.len() as u64, report["stored"].as_u64().unwrap());
        let mut of_person: BTreeMap<(String, Vec<String>), i64> = BTreeMap::new();
        for entry in list {
            let text = |field: &str| entry["record"][field].as_str().unwrap().to_owned();
            let cell = vec![text("tactic"), text("day")[..4].to_owned()];
            *of_person.entry((text("person"), cell)).or_default() += 1;
        }
        // Of one person at most two incidents count in a cell.
        for ((_, cell), n) in of_person {
            *exact.entry(cell).or_default() += n.min(2);
        }
    }
    exact
}

const ASK: [&str; 15] = [
    "ask",
    "--count",
    "incidents",
    "--by",
    "tactic,year",
    "--from",
    "2010-Q1",
    "--to",
    "2016-Q4",
    "--epsilon",
    "1",
    "--purpose",
    "research",
    "--cells-per-person",
    "1",
];

fn ask(node: &Node, out: &PathBuf) -> Command {
    let mut command = node.command();
    command.args(ASK).args(["--json", "--out"]).arg(out).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn beside_the_exact(release: &Value, exact: &BTreeMap<Vec<String>, i64>) {
    let cells = release["cells"].as_array().unwrap();
    let (mut inside, mut counted) = (0, 0);
    for cell in cells {
        let key: Vec<String> =
            cell["cell"].as_array().unwrap().iter().map(|c| c.as_str().unwrap().to_owned()).collect();
        let truth = exact.get(&key).copied().unwrap_or(0);
        let (low, high) = (cell["low"].as_i64().unwrap(), cell["high"].as_i64().unwrap());
        // Sensitivity 2, epsilon 1, five shares of a quarter each: the scale is 2, so 60 is 30 scales away.
        assert!((cell["value"].as_i64().unwrap() - truth).abs() < 60, "{cell} where {truth} is true");
        inside += usize::from((low..=high).contains(&truth));
        counted += truth;
    }
    assert!(counted > 100, "nothing was counted");
    assert!(inside * 100 >= cells.len() * 88, "{inside} of {} intervals hold", cells.len());
}

fn spent(node: &Node) -> (u64, usize) {
    let ledger = node.json(&["ledger"]);
    (ledger["total"]["spent_micros"].as_u64().unwrap(), ledger["charges"].as_array().unwrap().len())
}

#[test]
fn a_round_over_public_incidents_survives_an_aggregator_that_is_killed() {
    let federation = Federation::new(5, &[]);
    let exact = split(&federation);
    let mut serving = federation.serve();
    let asker = &federation.nodes[0];
    let out = federation.dir().join("round.json");
    let asking = ask(asker, &out).spawn().unwrap();
    // One of the others opens the round as an aggregator and is killed there. Shares leave on a tick of a quarter of
    // a second, so there is time to see it.
    let mut killed = None;
    for _ in 0..4000 {
        killed = (1..5).find(|i| {
            let status = federation.nodes[*i].json(&["status"]);
            status["network"]["aggregating"].as_u64() > Some(0)
        });
        if killed.is_some() {
            break;
        }
    }
    let killed = killed.unwrap();
    serving[killed].kill();
    let failed = asking.wait_with_output().unwrap();
    assert_eq!(failed.status.code(), Some(5), "{failed:?}");
    assert!(String::from_utf8_lossy(&failed.stderr).contains("ask again"), "{failed:?}");
    let after_the_kill: Vec<_> =
        (0..5).filter(|i| *i != killed).map(|i| spent(&federation.nodes[i])).collect();

    // It comes back, gives its word that it revealed nothing, and the round is held again for the same price.
    serving[killed] = federation.nodes[killed].serve();
    eventually("all are connected again", || {
        federation.nodes.iter().all(|n| {
            let status = n.json(&["status"]);
            status["network"]["peers"].as_array().unwrap().iter().all(|p| p["connected"] == true)
        })
    });
    let release = asker.json(&[&ASK[..], &["--out", out.to_str().unwrap()]].concat());
    assert_eq!((&release["verified"], &release["contributions"]), (&json!(true), &json!(5)));
    assert_eq!(release["mode"], "round");
    beside_the_exact(&release, &exact);
    for (i, node) in federation.nodes.iter().enumerate() {
        assert_eq!(spent(node), (1_000_000, 1), "node {i} paid once; after the kill {after_the_kill:?}");
    }

    // Whoever asks the same again gets the same release, for nothing, even with more records.
    let other = federation.dir().join("again.json");
    federation.nodes[3].json(&[
        "record",
        "add",
        "--day",
        "2012-05-05",
        "--tactic",
        "T01",
        "--person",
        "new",
        "--consent-statistics",
        "yes",
    ]);
    let again = federation.nodes[2].json(&[&ASK[..], &["--out", other.to_str().unwrap()]].concat());
    assert_eq!(again["id"], release["id"]);
    assert!(federation.nodes.iter().all(|n| spent(n) == (1_000_000, 1)));

    // Without a round each adds its own noise: a different question to the ledger, with far wider intervals.
    let local = asker.json(&[&ASK[..], &["--local", "--out", other.to_str().unwrap()]].concat());
    assert_eq!(local["mode"], "local");
    let width = |r: &Value| r["cells"][0]["high"].as_i64().unwrap() - r["cells"][0]["low"].as_i64().unwrap();
    assert!(width(&local) * 10 > width(&release) * 17, "{} and {}", width(&local), width(&release));

    let verified = Command::new(binary())
        .args(["verify", out.to_str().unwrap(), "--charter"])
        .arg(federation.charter())
        .output();
    assert!(verified.unwrap().status.success());
}
