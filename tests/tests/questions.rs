//! Every measure through real processes, forecasts before it, and ledgers that count in zCDP and by year.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;

use hedgerow_tests::{Federation, Node};
use serde_json::{Value, json};

/// 120 incidents a node of as many people: the nth took n mod 31 days to be answered, every tenth never was.
fn fill(federation: &Federation) {
    for (i, node) in federation.nodes.iter().enumerate() {
        let lines: Vec<String> = (0..120)
            .map(|n| {
                let mut record = json!({
                    "day": format!("{}-03-{:02}", 2024 + n % 2, 1 + n % 28),
                    "tactic": if n % 3 == 0 { "T01" } else { "T04" },
                    "person": format!("p{i}-{n}"),
                    "consent_statistics": "yes",
                });
                if n % 10 != 9 {
                    record["days_to_answer"] = json!(n % 31);
                }
                record.to_string()
            })
            .collect();
        let file = federation.dir().join(format!("records{i}.jsonl"));
        fs::write(&file, lines.join("\n")).unwrap();
        assert_eq!(node.json(&["import", file.to_str().unwrap()])["stored"], 120);
    }
}

/// The answers that any of `nodes` copies of [`fill`] gives, exactly.
fn days(nodes: i64) -> Vec<i64> {
    (0..nodes).flat_map(|_| (0..120).filter(|n| n % 10 != 9).map(|n| n % 31)).collect()
}

fn ask(node: &Node, federation: &Federation, more: &[&str]) -> Value {
    let out = federation.dir().join("release.json");
    let purpose = ["ask", "--purpose", "research", "--out", out.to_str().unwrap()];
    let release = node.json(&[&purpose, more].concat());
    assert_eq!(release["verified"], true, "{release}");
    release
}

fn first(values: &Value) -> (f64, f64, f64) {
    let range = &values[0];
    let of = |name: &str| range[name].as_f64().unwrap();
    (of("low"), of("value"), of("high"))
}

#[test]
fn sums_means_histograms_and_quantiles_are_near_the_exact_ones() {
    let federation = Federation::new(3, &["--epsilon-per-asker", "8"]);
    fill(&federation);
    let _serving = federation.serve();
    let node = &federation.nodes[0];
    let exact = days(3);
    let total: i64 = exact.iter().sum();

    // One person here has one incident, so the bounds cut nothing; 30 is above every number.
    let sum =
        ask(node, &federation, &["--sum", "days_to_answer:30", "--epsilon", "1", "--cells-per-person", "1"]);
    let cell = &sum["cells"][0];
    let half = (cell["high"].as_i64().unwrap() - cell["low"].as_i64().unwrap()) / 2;
    assert!(
        (cell["value"].as_i64().unwrap() - total).abs() < 5 * half,
        "{cell} where {total} is true, ±{half}"
    );

    let mean = ask(node, &federation, &["--mean", "days_to_answer:30", "--epsilon", "1"]);
    let (low, value, high) = first(&mean["post_processed"]["means"]);
    let truth = total as f64 / exact.len() as f64;
    assert!(low <= value && value <= high && high - low < 15.0, "{low} {value} {high}");
    assert!((value - truth).abs() < 2.0 * (high - low), "{value} where {truth} is true");

    let median = ask(node, &federation, &["--quantile", "days_to_answer", "--epsilon", "1"]);
    let (low, value, high) = first(&median["post_processed"]["quantiles"]);
    assert!(low <= value && value <= high, "{low} {value} {high}");
    assert!(value > 4.0 && value < 60.0, "the median of 0 to 30 is about 14, not {value}");
    // A histogram by the same bins is the same question.
    let histogram =
        ask(node, &federation, &["--count", "incidents", "--by", "days_to_answer", "--epsilon", "1"]);
    assert_eq!((&histogram["id"], &histogram["cells"]), (&median["id"], &median["cells"]));

    let two = ask(
        node,
        &federation,
        &["--by", "tactic,year", "--from", "2024-Q1", "--to", "2025-Q4", "--epsilon", "1"],
    );
    let consistent: f64 =
        two["post_processed"]["consistent"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).sum();
    let raw: i64 = two["cells"].as_array().unwrap().iter().map(|c| c["value"].as_i64().unwrap()).sum();
    assert!((consistent - raw.max(0) as f64).abs() < 1e-6);
    let margins = two["post_processed"]["margins"].as_array().unwrap();
    let years = margins.iter().filter(|m| m["axis"] == "year");
    assert_eq!(years.map(|m| m["sum"].as_i64().unwrap()).sum::<i64>(), raw);
}

#[test]
fn a_forecast_spends_nothing_and_a_target_finds_its_epsilon() {
    let federation = Federation::new(3, &[]);
    let _serving = federation.serve();
    let node = &federation.nodes[0];
    let question = ["--count", "people", "--by", "tactic"];
    let plan = |more: &[&str]| {
        node.json(&[&["ask", "--purpose", "research", "--dry-run"], &question[..], more].concat())
    };
    let one = plan(&["--epsilon", "1"]);
    assert_eq!(
        (&one["epsilon_micros"], &one["free"], &one["mode"]),
        (&json!(1_000_000), &json!(false), &json!("round"))
    );
    let half = one["half_width"].as_u64().unwrap();
    let local = plan(&["--epsilon", "1", "--local"]);
    assert!(local["half_width"].as_u64().unwrap() > half, "{local}");
    let target = plan(&["--target-error", &half.to_string()]);
    assert!(
        target["epsilon_micros"].as_u64().unwrap() <= 1_000_000
            && target["half_width"].as_u64().unwrap() <= half
    );
    let never = node.run(&["ask", "--purpose", "research", "--dry-run", "--target-error", "0"]);
    assert_eq!(never.code, Some(2), "{never:?}");
    assert!(never.stderr.contains("even epsilon"), "{never:?}");
    assert!(federation.nodes.iter().all(|n| n.json(&["ledger"])["total"]["spent_micros"] == 0));

    let release = ask(node, &federation, &[&question[..], &["--target-error", &half.to_string()]].concat());
    let cell = &release["cells"][0];
    assert!(cell["high"].as_i64().unwrap() - cell["low"].as_i64().unwrap() <= 2 * half as i64);
    let spent = node.json(&["ledger"])["total"]["spent_micros"].clone();
    assert_eq!(spent, target["epsilon_micros"]);
    assert_eq!(plan(&["--target-error", &half.to_string()])["free"], true, "it was answered in this period");
}

#[test]
fn a_charter_that_counts_in_zcdp_and_by_year_says_so_and_keeps_its_caps() {
    let federation = Federation::new(3, &["--zcdp", "1e-9", "--by-year", "--epsilon-aggregators", "40"]);
    fill(&federation);
    let _serving = federation.serve();
    let node = &federation.nodes[0];
    let of = |year: &str| [format!("{year}-Q1"), format!("{year}-Q4")];
    let question = |year: &str, epsilon: &str| {
        let [from, to] = of(year);
        let words =
            ["--count", "people", "--by", "tactic", "--from", &from, "--to", &to, "--epsilon", epsilon];
        words.map(str::to_owned).to_vec()
    };
    let words = question("2024", "0.5");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let forecast = node.json(&[&["ask", "--purpose", "research", "--dry-run"], &words[..]].concat());
    assert!(forecast["passed_over_deviation"].as_f64().unwrap() >= forecast["deviation"].as_f64().unwrap());
    assert_eq!(forecast["guarantee"]["unit"], "person_year");
    let release = ask(node, &federation, &words);
    assert_eq!(release["contributions"], 3);
    let ledger = node.json(&["ledger"]);
    assert_eq!((&ledger["unit"], &ledger["years"][0]["year"]), (&json!("person_year"), &json!(2024)));
    assert_eq!(ledger["years"].as_array().unwrap().len(), 1);
    // What one year has no more, another still has.
    let mut asked = 0;
    let refused = loop {
        let epsilon = format!("0.5{asked}1");
        let words = question("2024", &epsilon);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let out = federation.dir().join("more.json");
        let answer = node
            .run(&[&["ask", "--purpose", "research", "--out", out.to_str().unwrap()], &words[..]].concat());
        if answer.code != Some(0) {
            break answer;
        }
        asked += 1;
        assert!(asked < 9, "the budget has no end");
    };
    assert_eq!(refused.code, Some(4), "{refused:?}");
    let words = question("2025", "0.5");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ask(node, &federation, &words);
    let total = &node.json(&["ledger"])["total"];
    assert!(total["spent_micros"].as_u64().unwrap() <= total["cap_micros"].as_u64().unwrap(), "{total}");
}

/// What is left of a command's words when figures, keys, ids, times, ports and folders are taken out of them.
fn without_figures(text: &str, dir: &str) -> String {
    let text = text.replace(dir, "DIR");
    let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && !"-:".contains(c));
    words
        .map(|word| {
            let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let hex = bare.len() >= 8 && bare.bytes().all(|b| b.is_ascii_hexdigit());
            let time = bare.len() >= 19 && bare.as_bytes().get(4) == Some(&b'-') && bare.contains('T');
            if hex || time { word.replacen(bare, "X", 1) } else { word.to_owned() }
        })
        .collect()
}

/// The same of its JSON. What is a figure is a figure in both, in as many cells.
fn shape(value: &Value, key: &str, dir: &str) -> Value {
    const FIGURES: [&str; 6] = ["value", "low", "high", "sum", "consistent", "post_processed"];
    match value {
        Value::Number(_) if FIGURES.contains(&key) => json!("FIGURE"),
        Value::String(text) => json!(without_figures(text, dir)),
        Value::Array(list) => list.iter().map(|v| shape(v, key, dir)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, v)| (key.clone(), shape(v, key, dir)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// Everything that the member who asks is told, command by command, by a federation in which one node holds `more` of
/// one person.
fn told(more: usize) -> Vec<Value> {
    let federation = Federation::new(3, &[]);
    fill(&federation);
    let lines: Vec<String> = (0..more)
        .map(|n| {
            let day = format!("2025-0{}-11", 1 + n % 9);
            let tactic = format!("T0{}", 1 + n % 9);
            let record = json!({
                "day": day, "tactic": tactic, "person": "one more", "consent_statistics": "yes",
                "days_to_answer": 365, "narrative": format!("what happened, part {n}"),
            });
            record.to_string()
        })
        .collect();
    if more > 0 {
        let file = federation.dir().join("more.jsonl");
        fs::write(&file, lines.join("\n")).unwrap();
        assert_eq!(federation.nodes[1].json(&["import", file.to_str().unwrap()])["stored"], more);
    }
    let _serving = federation.serve();
    let dir = federation.dir().to_str().unwrap().to_owned();
    let out = federation.dir().join("release.json");
    let out = out.to_str().unwrap();
    let by_tactic = ["ask", "--purpose", "research", "--count", "people", "--by", "tactic", "--out", out];
    let mean = ["ask", "--purpose", "research", "--mean", "days_to_answer:30", "--out", out];
    let commands: [Vec<&str>; 10] = [
        [&by_tactic[..], &["--epsilon", "0.5", "--dry-run"]].concat(),
        [&by_tactic[..], &["--epsilon", "0.5"]].concat(),
        // Again: it was answered in this period.
        [&by_tactic[..], &["--epsilon", "0.5"]].concat(),
        [&by_tactic[..], &["--epsilon", "0.5", "--local"]].concat(),
        [&by_tactic[..], &["--epsilon", "0.5", "--local"]].concat(),
        [&mean[..], &["--epsilon", "0.5"]].concat(),
        [&by_tactic[..], &["--epsilon", "1000"]].concat(),
        [&by_tactic[..], &["--epsilon", "0.5", "--where", "origin=nowhere"]].concat(),
        vec!["ask", "--purpose", "gossip", "--count", "people", "--epsilon", "0.5", "--out", out],
        vec!["ledger"],
    ];
    let run = |node: &Node, command: &[&str]| {
        let done = node.run(&[command, &["--json"]].concat());
        let json: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| json!(done.stdout));
        json!({
            "command": without_figures(&command.join(" "), &dir),
            "code": done.code,
            "stdout": shape(&json, "", &dir),
            "stderr": without_figures(&done.stderr, &dir),
        })
    };
    let asked = commands.iter().map(|command| run(&federation.nodes[0], command)).collect::<Vec<_>>();
    // What was charged is told by every node alike.
    let ledgers = federation.nodes[1..].iter().map(|node| run(node, &["ledger"]));
    asked.into_iter().chain(ledgers).collect()
}

#[test]
fn nothing_but_the_figures_of_a_release_depends_on_records() {
    let (without, with) = std::thread::scope(|threads| {
        let with = threads.spawn(|| told(40));
        (told(0), with.join().unwrap())
    });
    for (without, with) in without.iter().zip(&with) {
        assert_eq!(without, with);
    }
    let codes: Vec<_> = with.iter().map(|told| told["code"].as_i64().unwrap()).collect();
    assert_eq!(codes[..6], [0; 6]);
    assert!(codes[6..9].iter().all(|code| *code != 0), "{codes:?}");
}
