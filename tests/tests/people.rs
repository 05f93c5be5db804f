//! The people of a vault: users and roles, keys, the access log, locking, panic; through the real binary.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use hedgerow_tests::{Done, Federation, Node, binary, program, suite};
use serde_json::{Value, json};

/// A vault with one made-up record, and files with passphrases.
struct Group {
    dir: tempfile::TempDir,
    node: Node,
}

impl Group {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::at(dir.path(), "node");
        node.init("Alone", &[]);
        let group = Self { dir, node };
        group.node.json(&["record", "add", "--day", "2025-01-02", "--tactic", "T04", "--person", "p"]);
        group
    }

    fn passphrase(&self, text: &str) -> String {
        let file = self.dir.path().join(text.replace(' ', "-"));
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// Adds a user whose passphrase is her name twice.
    fn add(&self, name: &str, roles: &[&str]) {
        let file = self.passphrase(&format!("{name} {name}"));
        let mut args = vec!["user", "add", name, "--new-passphrase-file", &file];
        roles.iter().for_each(|role| args.extend(["--role", role]));
        self.node.json(&args);
    }

    fn by(&self, user: &str, args: &[&str]) -> Done {
        self.with(&self.passphrase(&format!("{user} {user}")), args)
    }

    fn with(&self, passphrase_file: &str, args: &[&str]) -> Done {
        run(self.node.home(), &[&["--passphrase-file", passphrase_file], args].concat())
    }
}

fn run(home: &Path, args: &[&str]) -> Done {
    let mut command = Command::new(binary());
    command.args(args).arg("--json").arg("--home").arg(home).stdin(Stdio::null()).current_dir(home);
    for name in ["HEDGEROW_HOME", "HEDGEROW_PASSPHRASE_FILE", "HEDGEROW_IDENTITY", "HEDGEROW_USER"] {
        command.env_remove(name);
    }
    Done::of(command.output().unwrap())
}

fn class(done: &Done) -> String {
    let error: Value = serde_json::from_str(done.stderr.lines().last().unwrap()).unwrap();
    error["error"]["class"].as_str().unwrap().to_owned()
}

#[test]
fn each_user_does_her_own_work_with_her_own_passphrase_and_is_refused_the_rest() {
    let group = Group::new();
    group.add("mina", &["caseworker"]);
    group.add("otto", &["operator"]);
    group.add("aude", &["auditor"]);
    assert_eq!(group.by("mina", &["record", "show", "0", "--reason", "she called"]).code, Some(0));
    for (user, args) in [
        ("otto", &["record", "show", "0"][..]),
        ("otto", &["record", "erase", "0", "--yes"]),
        ("otto", &["indicator", "list"]),
        ("mina", &["user", "remove", "otto"]),
        ("mina", &["log"]),
        ("mina", &["serve"]),
        ("aude", &["record", "list"]),
        ("aude", &["charter", "new", "--name", "Ours"]),
    ] {
        let done = group.by(user, args);
        assert_eq!((done.code, class(&done).as_str()), (Some(4), "refused"), "{user} {args:?} {done:?}");
        assert!(done.stderr.contains(user), "{done:?}");
    }
    assert_eq!(group.by("otto", &["status"]).json()["records"], 1);
    let log = group.by("aude", &["log"]).json();
    assert_eq!(log["broken"], Value::Null);
    let entries = log["entries"].as_array().unwrap();
    let shown = entries.iter().find(|e| e["access"]["user"] == "mina").unwrap();
    assert_eq!(shown["access"]["role"], "caseworker");
    assert_eq!(shown["access"]["action"], "record.show");
    assert_eq!(shown["access"]["what"], "record 0");
    assert_eq!(shown["access"]["reason"], "she called");
    let refused = entries.iter().filter(|e| e["access"]["allowed"] == false).count();
    assert_eq!(refused, 8, "{log}");
    let anchor = log["anchor"].as_str().unwrap().to_owned();
    group.by("mina", &["record", "list"]).json();
    assert_eq!(group.by("aude", &["log", "--limit", "1", "--anchor", &anchor]).json()["broken"], Value::Null);
    let (count, _) = anchor.split_once(':').unwrap();
    let other = format!("{count}:{}", "0".repeat(64));
    assert_eq!(group.by("aude", &["log", "--anchor", &other]).code, Some(1));
}

#[test]
fn users_come_and_go_and_change_their_passphrases_without_a_record_being_touched() {
    let group = Group::new();
    group.add("mina", &["caseworker"]);
    let list = group.node.json(&["user", "list"]);
    assert_eq!(list[0]["name"], "owner");
    assert_eq!(list[1], json!({ "name": "mina", "roles": ["caseworker"], "keys": ["passphrase"] }));
    let new = group.passphrase("another one of hers");
    group.by("mina", &["user", "passphrase", "--new-passphrase-file", &new]).json();
    let old = group.by("mina", &["status"]);
    assert_eq!((old.code, class(&old).as_str()), (Some(3), "vault"));
    group.with(&new, &["--user", "mina", "record", "show", "0"]).json();
    let named = group.with(&new, &["--user", "owner", "status"]);
    assert_eq!(named.code, Some(3), "only the named user's slot is tried");
    group.node.json(&["user", "roles", "mina", "--role", "analyst"]);
    assert_eq!(group.with(&new, &["record", "show", "0"]).code, Some(4));
    group.node.json(&["user", "remove", "mina"]);
    assert_eq!(group.with(&new, &["status"]).code, Some(3));
    for args in [
        &["user", "remove", "owner"][..],
        &["user", "roles", "owner", "--role", "auditor"],
        &["user", "remove", "nobody"],
        &["user", "roles", "nobody", "--role", "auditor"],
        &["user", "roles", "owner", "--role", "king"],
        &["user", "add", "a b", "--role", "auditor", "--new-passphrase-file", &new],
    ] {
        assert_eq!(group.node.run(args).code, Some(2), "{args:?}");
    }
    assert_eq!(group.node.json(&["record", "list"])[0]["number"], 0);
}

#[test]
fn a_keyring_that_was_changed_or_put_back_is_found() {
    let group = Group::new();
    let keyring = group.node.home().join("keyring.json");
    group.add("mina", &["caseworker"]);
    let old = fs::read_to_string(&keyring).unwrap();
    fs::write(&keyring, old.replace("\"caseworker\"\n", "\"operator\"\n")).unwrap();
    let changed = group.by("mina", &["status"]);
    assert_eq!(changed.code, Some(3));
    assert!(changed.stderr.contains("without a key"), "{changed:?}");
    fs::write(&keyring, &old).unwrap();
    group.node.json(&["user", "remove", "mina"]);
    fs::write(&keyring, &old).unwrap();
    let back = group.by("mina", &["status"]);
    assert_eq!(back.code, Some(3));
    assert!(back.stderr.contains("an old copy") && back.stderr.contains("key accept"), "{back:?}");
    assert_eq!(group.by("mina", &["key", "accept"]).code, Some(4), "an operator takes it, nobody else");
    group.node.json(&["key", "accept"]);
    group.by("mina", &["record", "show", "0"]).json();
    // Format 1, whose only user had all roles: an old one too, whoever makes it up.
    let slot: Value = serde_json::from_str::<Value>(&old).unwrap()["keyring"]["users"][1]["slots"].clone();
    fs::write(&keyring, json!({ "format": 1, "slots": slot }).to_string()).unwrap();
    assert!(group.by("mina", &["record", "show", "0"]).stderr.contains("an old copy"));
}

#[test]
fn a_policy_asks_for_reasons() {
    let group = Group::new();
    assert_eq!(group.node.json(&["policy"])["require_reason"], false);
    group.node.json(&["policy", "--require-reason", "yes"]);
    for args in [&["record", "show", "0"][..], &["record", "list"], &["record", "erase", "0", "--yes"]] {
        let done = group.node.run(args);
        assert_eq!(done.code, Some(4), "{done:?}");
        assert!(done.stderr.contains("--reason"));
    }
    group.node.json(&["record", "erase", "0", "--yes", "--reason", "she asked for it"]);
    let log = group.node.json(&["log", "--limit", "1"]);
    assert_eq!(log["entries"][0]["access"]["reason"], "she asked for it");
}

/// The identity is made by age-keygen, a program of others.
#[test]
fn an_age_identity_opens_the_vault_until_its_recipient_is_taken_away() {
    let Some(keygen) = suite("age identities", program("age-keygen"), "age-keygen is not installed") else {
        return;
    };
    let group = Group::new();
    let identity = group.dir.path().join("identity.txt");
    assert!(Command::new(&keygen).arg("-o").arg(&identity).stderr(Stdio::null()).status().unwrap().success());
    let told = Command::new(&keygen).arg("-y").arg(&identity).output().unwrap();
    let recipient = String::from_utf8(told.stdout).unwrap().trim().to_owned();
    group.add("mina", &["caseworker"]);
    group.node.json(&["key", "add-age", &recipient, "--for", "mina"]);
    assert_eq!(group.node.json(&["key", "list"])["users"][1]["keys"], json!(["passphrase", recipient]));
    let home = group.node.home();
    let with = |args: &[&str]| run(home, &[&["--identity", identity.to_str().unwrap()], args].concat());
    with(&["record", "show", "0"]).json();
    assert_eq!(with(&["user", "list"]).code, Some(4), "it opens as mina");
    group.node.json(&["key", "remove-age", &recipient]);
    assert_eq!(with(&["status"]).code, Some(3));
    assert_eq!(group.node.run(&["key", "remove-age", &recipient]).code, Some(2));
    assert_eq!(group.node.run(&["key", "add-age", "age1nothing"]).code, Some(2));
}

#[test]
fn three_of_five_shares_give_a_new_passphrase_and_two_do_not() {
    let group = Group::new();
    let made = group.node.json(&["key", "recovery", "--shares", "5", "--threshold", "3"]);
    let words: Vec<&str> = made["shares"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    assert_eq!(words.len(), 5);
    let new = group.passphrase("the old one is lost");
    let recover = |numbers: &[usize]| {
        let picked: Vec<&str> = numbers.iter().map(|n| words[*n]).collect();
        let file = group.dir.path().join("shares");
        fs::write(&file, picked.join("\n")).unwrap();
        run(
            group.node.home(),
            &["key", "recover", "--share-file", file.to_str().unwrap(), "--new-passphrase-file", &new],
        )
    };
    let few = recover(&[0, 4]);
    assert_eq!(few.code, Some(2));
    assert!(few.stderr.contains("3 shares are needed, 2 were given"), "{few:?}");
    assert_eq!(recover(&[1, 3, 4]).json()["user"], "owner");
    assert_eq!(group.node.run(&["status"]).code, Some(3), "the old passphrase opens nothing");
    group.with(&new, &["record", "show", "0"]).json();
    let log = group.with(&new, &["log"]).json();
    let by_shares = |e: &&Value| e["access"]["user"] == "recovery" && e["access"]["action"] == "key.change";
    assert_eq!(log["entries"].as_array().unwrap().iter().filter(by_shares).count(), 1, "{log}");
    group.with(&new, &["key", "recovery", "--shares", "2", "--threshold", "2"]).json();
    assert!(recover(&[0, 1, 2]).stderr.contains("another set"));
}

#[test]
fn a_serving_node_acts_for_who_unlocked_it_and_a_locked_one_for_who_shows_a_key() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let node = &federation.nodes[0];
    let home = node.home();
    let mina = federation.dir().join("mina");
    fs::write(&mina, "mina mina").unwrap();
    let mina = mina.to_str().unwrap();
    node.json(&[
        "record",
        "add",
        "--day",
        "2025-01-02",
        "--tactic",
        "T04",
        "--person",
        "p",
        "--consent-statistics",
        "yes",
    ]);
    let _serving = federation.serve();
    // Changing who may open the vault asks for a key each time; `node` has one in its passphrase file.
    let add = ["user", "add", "mina", "--role", "caseworker", "--new-passphrase-file", mina];
    assert_eq!(run(home, &add).code, Some(3));
    node.json(&add);
    assert_eq!(run(home, &["status"]).json()["acts_for"], "owner");
    run(home, &["record", "show", "0"]).json();
    run(home, &["lock"]).json();
    let locked = run(home, &["record", "show", "0"]);
    assert_eq!((locked.code, class(&locked).as_str()), (Some(3), "vault"));
    assert!(locked.stderr.contains("locked"), "{locked:?}");
    assert_eq!(run(home, &["status"]).json()["acts_for"], Value::Null);
    // A key serves for one command.
    run(home, &["--passphrase-file", mina, "record", "show", "0"]).json();
    assert_eq!(run(home, &["record", "show", "0"]).code, Some(3));
    // What the federation asks is answered meanwhile.
    let asked = federation.nodes[1].json(&["ask", "--epsilon", "1", "--purpose", "research"]);
    assert_eq!(asked["contributions"], 2, "{asked}");
    run(home, &["--passphrase-file", mina, "unlock"]).json();
    assert_eq!(run(home, &["status"]).json()["acts_for"], "mina");
    run(home, &["record", "show", "0"]).json();
    assert_eq!(run(home, &["ledger"]).code, Some(4), "it acts for mina");
    let wrong = federation.dir().join("wrong");
    fs::write(&wrong, "not hers at all").unwrap();
    assert_eq!(run(home, &["--passphrase-file", wrong.to_str().unwrap(), "unlock"]).code, Some(3));
    // A user who is removed is out at once.
    node.json(&["--user", "owner", "user", "remove", "mina"]);
    assert_eq!(run(home, &["record", "show", "0"]).code, Some(3));
    let log = node.json(&["--user", "owner", "log"]);
    let unlocked = |e: &&Value| e["access"]["action"] == "unlock" && e["access"]["user"] == "mina";
    assert_eq!(log["entries"].as_array().unwrap().iter().filter(unlocked).count(), 1, "{log}");
}

#[test]
fn panic_destroys_the_keys_without_a_passphrase_and_stops_the_node_within_a_second() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let node = &federation.nodes[0];
    let home = node.home();
    let _serving = node.serve();
    let copy: PathBuf = federation.dir().join("keyring before");
    fs::hard_link(home.join("keyring.json"), &copy).unwrap();
    assert_eq!(run(home, &["panic"]).code, Some(2), "nobody can be asked, so --yes is needed");
    assert!(home.join("keyring.json").exists());
    let started = Instant::now();
    let done = run(home, &["panic", "--yes"]).json();
    assert!(started.elapsed().as_secs() < 1, "{:?}", started.elapsed());
    assert_eq!(done["node_stopped"], true);
    assert!(done["destroyed"].as_array().unwrap().contains(&json!("keyring.json")), "{done}");
    assert!(!home.join("keyring.json").exists());
    assert!(!fs::read(&copy).unwrap().windows(7).any(|w| w == b"wrapped"), "it was not written over");
    let after = node.run(&["record", "show", "0"]);
    assert_eq!(after.code, Some(3), "{after:?}");
    // The other node, and a second panic where nothing is left.
    assert_eq!(run(home, &["panic", "--yes"]).code, Some(3));
    federation.nodes[1].json(&["status"]);
}

#[test]
fn a_serving_node_writes_no_core_and_its_own_user_may_not_read_its_memory() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let (dir, node) = (federation.dir(), &federation.nodes[0]);
    // As a user who is not root: what root may read proves nothing.
    let nobody = (fs::metadata("/proc/self").unwrap().uid() == 0).then_some(65534);
    let program = dir.join("hedgerow");
    fs::copy(binary(), &program).unwrap();
    if let Some(nobody) = nobody {
        let owned = Command::new("chown").arg("-R").arg(nobody.to_string()).arg(dir).status().unwrap();
        assert!(owned.success());
    }
    let by_nobody = |command: &mut Command| {
        if let Some(nobody) = nobody {
            command.uid(nobody).gid(nobody);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut serve = Command::new(program);
    serve.args(node.command().get_args()).args(["serve", "--json", "--until-stdin-closes"]).current_dir(dir);
    let mut serving = by_nobody(&mut serve);
    let mut ready = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.contains("\"ready\":true"), "{ready}");
    let mut other = by_nobody(&mut Command::new("cat"));
    let proc = |id: u32, file: &str| format!("/proc/{id}/{file}");
    let limits = fs::read_to_string(proc(serving.id(), "limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // The kernel gives the files of a process that may not be dumped to root (proc(5)).
    let owner = |id: u32| fs::metadata(proc(id, "mem")).unwrap().uid();
    assert!(owner(other.id()) != 0, "as for any other process");
    assert_eq!(owner(serving.id()), 0);
    for process in [&mut serving, &mut other] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

#[test]
fn only_an_operator_restores_a_backup_and_the_restored_log_says_so() {
    let group = Group::new();
    group.add("mina", &["caseworker"]);
    let key = age::x25519::Identity::generate();
    let (identity, file) = (group.dir.path().join("key"), group.dir.path().join("backup.age"));
    fs::write(&identity, age::secrecy::ExposeSecret::expose_secret(&key.to_string())).unwrap();
    let recipient = key.to_public().to_string();
    group.node.json(&["backup", "--single", "--recipient", &recipient, "--out", file.to_str().unwrap()]);
    let into = group.dir.path().join("restored");
    let [file, identity, to] = [&file, &identity, &into].map(|path| path.to_str().unwrap());
    let args = ["restore", file, "--identity", identity, "--into", to];
    let refused = group.by("mina", &args);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(!into.exists());
    group.node.json(&args);
    let log = Node::at(group.dir.path(), "restored").json(&["log"]);
    let last = log["entries"].as_array().unwrap().last().unwrap()["access"].clone();
    assert_eq!((&last["user"], &last["action"]), (&json!("owner"), &json!("maintain")), "{log}");
    assert!(last["what"].as_str().unwrap().starts_with("restored from a backup of "), "{last}");
    assert_eq!(log["broken"], Value::Null);
}
