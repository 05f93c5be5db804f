//! `demo`: a whole federation of five real nodes on this machine.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command as Process, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use hedgerow_node::{
    api::{
        Command, Given, ImportOptions, IndicatorsImported, Outcome, Question, Status,
        library::LibraryCommand, socket,
    },
    flow::{
        indicator::{Published, To},
        intake::Imported,
        membership::{self, Terms},
    },
    node::{Node, now},
    store::{KdfParams, Passphrase},
};
use hedgerow_protocol::{
    document::{Member, Signed, charter::recent_quarters},
    indicator::Tlp,
    release::{self, Release},
    statistic::{Axis, Condition, Measure, Period},
    vocabulary::Dimension,
};
use serde_json::{Value, json};

use super::{Context, ask, write};
use crate::{
    args::Demo,
    bars,
    output::{self, plain},
    session,
};

/// The nodes. No organisation of such a name is meant.
const NAMES: [&str; 5] = ["Hawthorn Desk", "Blackthorn Clinic", "Hazel Watch", "Dogwood Legal", "Elder Line"];
/// In the folder of a demo, so that another demo may make it anew and nothing else is ever deleted.
const MARK: &str = ".made-by-hedgerow-demo";
/// Passphrase of the demo's vaults: they hold nothing of anyone.
const PASSPHRASE: &str = "this is only a demonstration";
/// How long a node may take to run, or an indicator to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// Origins of the second question: all 250 would be a wall of figures.
const ORIGINS: [&str; 6] = ["BY", "CN", "ET", "IR", "RU", "SA"];

pub(crate) fn run(context: &Context, demo: &Demo) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let talk = Talk { quiet: context.json };
    let dir = std::path::absolute(&demo.dir)?;
    let passphrase_file = prepare(&dir)?;
    talk.say("A federation of five nodes on this machine.");
    let records = found(&dir, demo, &talk)?;
    let mut nodes = start(&dir, &passphrase_file, &talk)?;
    let arrival = publish(&dir, demo, &talk)?;
    let releases = questions(&dir, demo, &talk, context.json)?;
    talk.say(&format!("Done in {:.0} s.", started.elapsed().as_secs_f64()));
    let all_hold = releases.iter().all(|r| r.get("verified") == Some(&json!(true)));
    if context.json {
        output::json(&json!({
            "nodes": NAMES.len(),
            "records": records,
            "indicators": { "published": arrival.published, "seen_by_all_ms": arrival.milliseconds },
            "releases": releases,
            "seconds": started.elapsed().as_secs_f64(),
        }))?;
    }
    if !demo.exit {
        go_on(&dir, &passphrase_file);
        session::runtime()?.block_on(tokio::signal::ctrl_c())?;
    }
    for node in &mut nodes {
        node.stop();
    }
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Speaks to people; to programs only the last JSON speaks.
struct Talk {
    quiet: bool,
}

impl Talk {
    fn say(&self, text: &str) {
        if !self.quiet {
            println!("{text}");
        }
    }
}

/// A serving node. Its standard input is a pipe that closes with this process, however it ends: then it stops.
struct Serving {
    child: Child,
}

impl Serving {
    fn start(home: &Path, passphrase_file: &Path) -> anyhow::Result<Self> {
        let log = fs::File::create(home.join("serve.log"))?;
        let child = Process::new(std::env::current_exe()?)
            .args(["serve", "--until-stdin-closes", "--lock-after", "0"])
            .arg("--home")
            .arg(home)
            .arg("--passphrase-file")
            .arg(passphrase_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("a node cannot be started")?;
        Ok(Self { child })
    }

    /// Closes its standard input and waits; kills it if it does not go.
    fn stop(&mut self) {
        drop(self.child.stdin.take());
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop();
    }
}

fn home(dir: &Path, n: usize) -> PathBuf {
    dir.join(format!("node{}", n + 1))
}

/// An empty folder with the passphrase file.
fn prepare(dir: &Path) -> anyhow::Result<PathBuf> {
    if dir.exists() {
        let empty = fs::read_dir(dir)?.next().is_none();
        ensure!(
            empty || dir.join(MARK).exists(),
            "{} was not made by a demo; choose another folder with --dir",
            dir.display()
        );
        ensure!(
            (0..NAMES.len()).all(|n| ask_status(&home(dir, n)).is_none()),
            "a demo is running in {}; stop it, or choose another folder with --dir",
            dir.display()
        );
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    write(&dir.join(MARK), b"")?;
    let file = dir.join("passphrase");
    write(&file, PASSPHRASE.as_bytes())?;
    Ok(file)
}

/// Makes the five vaults, fills them, draws up the charter and has all five join it.
fn found(dir: &Path, demo: &Demo, talk: &Talk) -> anyhow::Result<u64> {
    let passphrase = Passphrase::new(PASSPHRASE.to_owned());
    let made: Vec<anyhow::Result<Node>> = std::thread::scope(|threads| {
        let passphrase = &passphrase;
        let making: Vec<_> = NAMES
            .iter()
            .enumerate()
            .map(|(n, name)| {
                threads.spawn(move || {
                    let addresses = free_addresses()?;
                    let name = (*name).to_owned();
                    let kdf = KdfParams::default();
                    Ok(Node::init(&home(dir, n), passphrase, kdf, name, String::new(), addresses)?)
                })
            })
            .collect();
        making.into_iter().map(|m| m.join().unwrap_or_else(|_| bail!("a vault could not be made"))).collect()
    });
    let nodes = made.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    talk.say("Five vaults, each with its own key.");
    let mut total = 0;
    let runtime = session::runtime()?;
    let mut drawn: Option<Signed<hedgerow_protocol::document::Charter>> = None;
    let cards: Vec<Signed<Member>> = nodes.iter().map(|n| n.member().clone()).collect();
    let nodes: Vec<_> = nodes.into_iter().map(std::sync::Arc::new).collect();
    for (n, node) in nodes.iter().enumerate() {
        let command = fill(demo, n)?;
        let outcome = runtime.block_on(hedgerow_node::api::run(node, None, command, &mut |_, _| ()))?;
        let Outcome::Imported(Imported { read, stored, rejected, .. }) = outcome else {
            bail!("the records were not imported")
        };
        talk.say(&format!(
            "  {:<18} {stored:>6} records{}",
            NAMES.get(n).copied().unwrap_or_default(),
            if rejected.is_empty() {
                String::new()
            } else {
                format!(" ({} of {read} rejected)", rejected.len())
            }
        ));
        total += stored;
        let signed = match drawn.take() {
            None => membership::draw_up(node, cards.clone(), Terms::new("Hedgerow demo".into()), now())?,
            Some(charter) => membership::sign(node, charter, &[])?,
        };
        drawn = Some(signed);
    }
    if demo.input.is_none() {
        talk.say("These records are made up. None of this happened to anyone.");
    }
    let charter = drawn.context("there are no nodes")?;
    for node in &nodes {
        membership::join(node, &charter)?;
    }
    write(&dir.join("charter.json"), &membership::write(&charter)?)?;
    talk.say(&format!("Charter {} signed by all five.", charter.id().short()));
    Ok(total)
}

/// What fills node `n`: its share of the input, or records made up from a seed of its own.
fn fill(demo: &Demo, n: usize) -> anyhow::Result<Command> {
    let of = NAMES.len() as u64;
    let n = n as u64;
    Ok(match &demo.input {
        Some(file) => Command::Import {
            path: std::path::absolute(file)?,
            options: ImportOptions { share: Some((n, of)), ..ImportOptions::default() },
        },
        None => {
            let share = demo.records / of + u64::from(n < demo.records % of);
            Command::Simulate { count: share, seed: Some(n + 1) }
        }
    })
}

/// Addresses on loopback that nothing takes before the node listens there.
///
/// A free port of 127.0.0.1 may be gone by then, to any outgoing connection of this machine, so each node has a
/// loopback address of its own where the system has all of 127.0.0.0/8.
fn free_addresses() -> anyhow::Result<Vec<String>> {
    let [_, a, b, c, ..] = RandomState::new().hash_one(()).to_be_bytes();
    let own = Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254));
    let host = if UdpSocket::bind((own, 0)).is_ok() { own } else { Ipv4Addr::LOCALHOST };
    let udp = UdpSocket::bind((host, 0))?.local_addr()?.port();
    let tcp = TcpListener::bind((host, 0))?.local_addr()?.port();
    Ok(vec![format!("/ip4/{host}/udp/{udp}/quic-v1"), format!("/ip4/{host}/tcp/{tcp}")])
}

/// Starts the five and waits until each is connected to all others.
fn start(dir: &Path, passphrase_file: &Path, talk: &Talk) -> anyhow::Result<Vec<Serving>> {
    let mut nodes = (0..NAMES.len())
        .map(|n| Serving::start(&home(dir, n), passphrase_file))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let since = Instant::now();
    for n in 0..NAMES.len() {
        loop {
            let status = ask_status(&home(dir, n));
            let missing = missing(status);
            if missing.is_empty() {
                break;
            }
            // Whoever ended is the cause, not whoever waits for it.
            let ended = nodes.iter_mut().position(|s| !matches!(s.child.try_wait(), Ok(None)));
            if ended.is_some() || since.elapsed() > PATIENCE {
                let who = ended.unwrap_or(n);
                let log = fs::read_to_string(home(dir, who).join("serve.log")).unwrap_or_default();
                let name = NAMES.get(who).copied().unwrap_or_default();
                bail!("{name} does not run: {} {missing}", log.trim());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    talk.say("Five processes run, each connected to the other four over QUIC or TCP.");
    Ok(nodes)
}

/// What a node still waits for, empty if nothing.
fn missing(status: Option<Status>) -> String {
    let Some(status) = status else { return "it does not answer yet.".into() };
    let Some(network) = status.network else { return "it is not on the network.".into() };
    let waits = network.peers.iter().filter(|p| !p.connected);
    waits.map(|p| format!("{} is {}.", p.name, p.state)).collect::<Vec<_>>().join(" ")
}

fn ask_status(home: &Path) -> Option<Status> {
    match socket::call(home, &Command::Status, &mut |_, _| ()) {
        Some(Ok(Outcome::Status(status))) => Some(*status),
        _ => None,
    }
}

fn call(home: &Path, command: &Command) -> anyhow::Result<Outcome> {
    let outcome = socket::call(home, command, &mut |_, _| ());
    Ok(outcome.context("a node of the demo stopped; its serve.log says why")??)
}

/// When the indicators were everywhere.
struct Arrival {
    published: usize,
    milliseconds: u128,
}

/// The first node publishes; the others have it when their libraries say so.
fn publish(dir: &Path, demo: &Demo, talk: &Talk) -> anyhow::Result<Arrival> {
    let file = match &demo.indicators {
        Some(file) => std::path::absolute(file)?,
        None => {
            let file = dir.join("indicators.csv");
            write(&file, made_up_indicators().as_bytes())?;
            file
        }
    };
    let first = home(dir, 0);
    let Outcome::IndicatorsImported(IndicatorsImported { read, stored, rejected, .. }) =
        call(&first, &Command::IndicatorImport { path: file, format: None, given: Given::default() })?
    else {
        bail!("the indicators were not imported")
    };
    talk.say(&format!(
        "{} imports {read} indicators: {stored} drafts, {} rejected.",
        NAMES[0],
        rejected.len()
    ));
    let since = Instant::now();
    let Outcome::Published(Published { refused, warnings, .. }) =
        call(&first, &Command::IndicatorPublish { tlp: Some(Tlp::Green), to: To::All, confirmed: false })?
    else {
        bail!("the indicators were not published")
    };
    let held = refused.len() + warnings.len();
    if held > 0 {
        talk.say(&format!(
            "  {held} are held back by the lint, such as: {}",
            refused.iter().chain(&warnings).next().map_or("", |f| f.reason.as_str())
        ));
    }
    let published = ask_status(&first).map_or(0, |s| s.indicators);
    ensure!(published > 0, "no indicator could be published");
    for n in 1..NAMES.len() {
        while ask_status(&home(dir, n)).is_none_or(|s| s.indicators < published) {
            ensure!(since.elapsed() < PATIENCE, "the indicators did not reach every node");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let milliseconds = since.elapsed().as_millis();
    talk.say(&format!(
        "{published} signed indicators are at all five nodes {milliseconds} ms after publishing."
    ));
    Ok(Arrival { published, milliseconds })
}

/// Made up: names that can never be registered (RFC 2606) and nobody's.
fn made_up_indicators() -> String {
    let words = ["login", "secure", "account", "verify", "mail", "news", "support", "cloud"];
    let mut text = String::from("type,value,comment\n");
    for (n, word) in words.iter().cycle().take(40).enumerate() {
        text.push_str(&format!("domain,{word}-{n}.phish.example,made up\n"));
    }
    for n in 0..10 {
        text.push_str(&format!("sha256,{:064x},made up\n", n + 1));
    }
    text.push_str("domain,google.com,made up: lint refuses it\n");
    text
}

/// Three questions; each release is shown and checked from its file alone.
fn questions(dir: &Path, demo: &Demo, talk: &Talk, quiet: bool) -> anyhow::Result<Vec<Value>> {
    let (from, to) = recent_quarters(now(), 4);
    let names = seen(dir, talk)?;
    let sighted: Vec<String> = names.keys().cloned().collect();
    let asked = [
        (
            "How many incidents, by tactic?",
            NAMES[1],
            home(dir, 1),
            Question {
                measure: Measure::Incidents,
                indicators: vec![],
                conditions: vec![],
                period: None,
                group_by: vec![Axis::Coded(Dimension::Tactic)],
                cells_per_person: None,
                purpose: "research".into(),
                need: "Which tactics are used most".into(),
                epsilon: demo.epsilon,
                local: false,
            },
            "by-tactic.json",
        ),
        (
            "How many people, by suspected origin and quarter?",
            NAMES[2],
            home(dir, 2),
            Question {
                measure: Measure::People,
                indicators: vec![],
                conditions: vec![Condition {
                    dimension: Dimension::Origin,
                    any_of: ORIGINS.map(str::to_owned).to_vec(),
                }],
                period: Some(Period { from, to }),
                group_by: vec![Axis::Coded(Dimension::Origin), Axis::Quarter],
                cells_per_person: None,
                purpose: "research".into(),
                need: "Whether attacks from one state rise".into(),
                epsilon: demo.epsilon,
                local: false,
            },
            "by-origin-and-quarter.json",
        ),
        (
            "How many groups saw this indicator?",
            NAMES[3],
            home(dir, 3),
            Question {
                measure: Measure::Groups,
                indicators: sighted,
                conditions: vec![],
                period: None,
                group_by: vec![],
                cells_per_person: None,
                purpose: "research".into(),
                need: "Whom to warn first".into(),
                epsilon: demo.epsilon,
                local: false,
            },
            "sightings.json",
        ),
    ];
    let mut releases = Vec::new();
    for (title, asker, home, question, file) in asked {
        talk.say(&format!("\n{asker} asks: {title}\n"));
        let Outcome::Release(envelope) = call(&home, &Command::Ask { question })? else {
            bail!("the question was not answered")
        };
        let path = dir.join(file);
        let mut bytes = envelope.to_json()?;
        bytes.push(b'\n');
        write(&path, &bytes)?;
        let report = release::verify(&fs::read(&path)?, None);
        let verified = report.holds();
        let release: Signed<Release> = envelope.open()?;
        if !quiet {
            ask::shown(&release, None, &names)?;
            let held = report.checks().iter().filter(|c| c.holds).count();
            println!("Verified offline: {held} of {} checks hold.", report.checks().len());
        }
        releases.push(json!({
            "file": path,
            "verified": verified,
            "epsilon": release.document().guarantee.epsilon.to_string(),
        }));
    }
    Ok(releases)
}

/// Four of the five groups note that they saw one of the indicators. Gives its id with what it looks for.
fn seen(dir: &Path, talk: &Talk) -> anyhow::Result<bars::Names> {
    let Outcome::Indicators(list) = call(&home(dir, 0), &Command::IndicatorList)? else {
        bail!("the indicators were not listed")
    };
    let one = list.iter().find(|one| one.kind == "indicator" && one.state == "published");
    let one = one.context("no indicator is published")?;
    for n in 0..4 {
        let action = LibraryCommand::Sight { what: one.id.clone(), day: None, record: None };
        call(&home(dir, n), &Command::Library { action })?;
    }
    talk.say(&format!("Four groups note, each for itself, that they saw {}.", plain(&one.what)));
    Ok([(one.id.clone(), one.what.clone())].into())
}

fn go_on(dir: &Path, passphrase_file: &Path) {
    // A program reads one JSON document from standard output; this is for whoever watches.
    eprintln!("\nThe five nodes go on running until Ctrl-C. In another terminal:");
    eprintln!(
        "  export HEDGEROW_HOME={} HEDGEROW_PASSPHRASE_FILE={}",
        home(dir, 0).display(),
        passphrase_file.display()
    );
    eprintln!("  hedgerow status");
    eprintln!("  hedgerow ask --count people --by role --epsilon 0.5 --purpose research");
    eprintln!("  hedgerow indicator list");
    eprintln!("  hedgerow ledger");
    eprintln!("  hedgerow verify {}", dir.join("by-tactic.json").display());
}
