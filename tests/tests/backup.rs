//! Backups through the real binary: written while the node serves, opened by age, restored and proven, and never a way
//! to spend what was spent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use age::secrecy::ExposeSecret as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hedgerow_tests::{Done, Federation, Node, program, suite};
use serde_json::{Value, json};

/// An age key: its file and its recipient.
fn key(dir: &Path, name: &str) -> (PathBuf, String) {
    let identity = age::x25519::Identity::generate();
    let file = dir.join(name);
    fs::write(&file, format!("# made by a test\n{}\n", identity.to_string().expose_secret())).unwrap();
    (file, identity.to_public().to_string())
}

fn backup(node: &Node, recipients: &[&str], out: &Path) -> Value {
    let mut args = vec!["backup", "--out", out.to_str().unwrap()];
    recipients.iter().for_each(|r| args.extend(["--recipient", r]));
    node.json(&args)
}

fn restore(node: &Node, file: &Path, identity: &Path, into: &Path) -> Done {
    let [file, identity, into] = [file, identity, into].map(|path| path.to_str().unwrap());
    node.run(&["restore", "--json", file, "--identity", identity, "--into", into])
}

fn with_something(dir: &Path) -> Node {
    let node = Node::at(dir, "node");
    node.init("Alone", &[]);
    node.json(&["simulate", "300", "--seed", "1"]);
    let evidence = dir.join("evidence.bin");
    fs::write(&evidence, vec![9; 700_000]).unwrap();
    node.json(&["attachment", "add", "7", evidence.to_str().unwrap(), "--note", "from her phone"]);
    node
}

#[test]
fn a_backup_is_opened_by_each_of_its_keys_restored_whole_and_by_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let node = with_something(dir.path());
    let ((one, first), (two, second)) = (key(dir.path(), "one"), key(dir.path(), "two"));
    let (other, _) = key(dir.path(), "other");
    let file = dir.path().join("backup.age");
    let alone = node.run(&["backup", "--recipient", &first, "--recipient", &first]);
    assert_eq!(alone.code, Some(4), "one key twice is one key: {alone:?}");
    let wrong = node.run(&["backup", "--recipient", &first, "--recipient", "age1nonsense"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let made = backup(&node, &[&first, &second], &file);
    assert_eq!(made["backup"]["attachments"], 1);
    let again =
        node.run(&["backup", "--recipient", &first, "--recipient", &second, "--out", file.to_str().unwrap()]);
    assert_eq!(again.code, Some(2), "never written over");
    for (nth, identity) in [&one, &two].into_iter().enumerate() {
        let into = dir.path().join(format!("restored{nth}"));
        let restored = restore(&node, &file, identity, &into).json();
        assert_eq!(restored["backup"], made["backup"]);
        let copy = Node::at(dir.path(), &format!("restored{nth}"));
        assert_eq!(copy.json(&["status"])["records"], 300);
        assert_eq!(copy.json(&["record", "show", "7"]), node.json(&["record", "show", "7"]));
        let out = dir.path().join(format!("evidence{nth}"));
        copy.json(&["attachment", "export", "7", "0", "--out", out.to_str().unwrap()]);
        assert_eq!(fs::read(out).unwrap(), vec![9; 700_000]);
        assert_eq!(copy.json(&["simulate", "5", "--seed", "9"])["stored"], 5, "it is written to as before");
    }
    let into = dir.path().join("nothing");
    let stranger = restore(&node, &file, &other, &into);
    assert_eq!(stranger.code, Some(2), "{stranger:?}");
    let full = restore(&node, &file, &one, node.home());
    assert_eq!(full.code, Some(2), "never over a folder that holds something: {full:?}");
    assert!(!into.exists());
}

#[test]
fn a_backup_that_was_changed_cut_short_or_made_by_another_vault_is_not_restored_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let node = with_something(dir.path());
    let (identity, recipient) = key(dir.path(), "key");
    let file = dir.path().join("backup.age");
    node.json(&["backup", "--single", "--recipient", &recipient, "--out", file.to_str().unwrap()]);
    let whole = fs::read(&file).unwrap();
    let bad = dir.path().join("bad.age");
    let into = dir.path().join("into");
    let refused = |what: &str, bytes: &[u8]| {
        fs::write(&bad, bytes).unwrap();
        let done = restore(&node, &bad, &identity, &into);
        assert_eq!(done.code, Some(1), "{what}: {done:?}");
        let left = fs::read_dir(dir.path()).unwrap().filter(|f| {
            let name = f.as_ref().unwrap().file_name().to_string_lossy().into_owned();
            name.contains("into")
        });
        assert_eq!(left.count(), 0, "{what}");
    };
    for part in 0..5 {
        refused("cut", &whole[..whole.len() * part / 5]);
    }
    refused("cut by one byte", &whole[..whole.len() - 1]);
    refused("longer", &[&whole[..], b"x"].concat());
    for at in (300..whole.len()).step_by(whole.len() / 7) {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        refused("flipped", &flipped);
    }
    // Whoever knows the recipients can encrypt to them: the vault's own seal tells its backups from others'.
    let mut plain = Vec::new();
    let key: age::x25519::Identity =
        fs::read_to_string(&identity).unwrap().lines().last().unwrap().parse().unwrap();
    let opened = age::Decryptor::new(&whole[..]).unwrap();
    let keys = std::iter::once(&key as &dyn age::Identity);
    std::io::copy(&mut opened.decrypt(keys).unwrap(), &mut plain).unwrap();
    let again = |plain: &[u8]| {
        let to = key.to_public();
        let recipients = std::iter::once(&to as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients).unwrap();
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
        writer.write_all(plain).unwrap();
        writer.finish().unwrap();
        sealed
    };
    // The member card is not sealed: only the manifest keeps it.
    let card = plain.windows(6).position(|w| w == b"Alone\"").unwrap_or_else(|| {
        // Its payload is base64 there.
        plain.windows(9).position(|w| w == b"payload\":").unwrap() + 20
    });
    plain[card] ^= 1;
    refused("a file swapped inside", &again(&plain));
    let wrong = dir.path().join("wrong");
    fs::write(&wrong, "not the passphrase").unwrap();
    let done = node
        .command()
        .args(["restore", file.to_str().unwrap(), "--into", into.to_str().unwrap()])
        .args(["--identity", identity.to_str().unwrap(), "--passphrase-file", wrong.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(3), "proved only once it opens");
    assert!(!into.exists());
}

#[test]
fn a_backup_made_while_the_node_is_written_to_is_of_one_moment() {
    let federation = Federation::new(2, &["--quorum", "2"]);
    let node = &federation.nodes[0];
    let dir = federation.dir();
    let _serving = node.serve();
    let (identity, recipient) = key(dir, "key");
    let mut import =
        node.command().args(["simulate", "30000", "--seed", "1"]).stdout(Stdio::null()).spawn().unwrap();
    for n in 0..3 {
        let file = dir.join(format!("{n}.age"));
        let made =
            node.json(&["backup", "--single", "--recipient", &recipient, "--out", file.to_str().unwrap()]);
        // Restoring compares bodies with facets, and all of it with what was backed up.
        let into = dir.join(format!("restored{n}"));
        assert_eq!(restore(node, &file, &identity, &into).json()["backup"], made["backup"]);
        let records = Node::at(dir, &format!("restored{n}")).json(&["status"])["records"].as_u64().unwrap();
        assert_eq!(records % 1000, 0, "a commit is in it whole or not at all");
    }
    assert!(import.wait().unwrap().success());
    assert_eq!(node.json(&["status"])["records"], 30_000);
}

#[test]
fn what_was_spent_after_the_backup_is_charged_again_before_a_restored_node_answers() {
    let federation = Federation::new(3, &[]);
    let dir = federation.dir();
    let node = &federation.nodes[1];
    for (n, node) in federation.nodes.iter().enumerate() {
        node.json(&["simulate", "40", "--seed", &n.to_string()]);
    }
    let (identity, recipient) = key(dir, "key");
    let file = dir.join("backup.age");
    node.json(&["backup", "--single", "--recipient", &recipient, "--out", file.to_str().unwrap()]);
    let mut serving = federation.serve();
    let ask = |more: &[&str]| {
        let args = ["ask", "--purpose", "research", "--epsilon", "0.5", "--out"];
        federation.nodes[0].run(&[&args[..], more].concat())
    };
    assert_eq!(ask(&["round.json"]).code, Some(0));
    assert_eq!(ask(&["local.json", "--local", "--by", "role"]).code, Some(0));
    let spent = |node: &Node| node.json(&["ledger"])["total"]["spent_micros"].as_u64().unwrap();
    assert_eq!(spent(node), 1_000_000);
    serving[1].kill();
    fs::remove_dir_all(node.home()).unwrap();
    restore(node, &file, &identity, node.home()).json();
    assert!(node.json(&["status"])["restored"].is_object());
    assert_eq!(spent(node), 0, "the backup does not know");
    serving[1] = node.serve();
    hedgerow_tests::eventually("the releases came back", || {
        node.json(&["status"])["releases"].as_u64() == Some(2)
    });
    // It says nothing meanwhile, and the others get their answer without it.
    hedgerow_tests::eventually("the others answer", || {
        ask(&["silent.json", "--local", "--by", "platform"]).code == Some(0)
    });
    let release: Value = serde_json::from_slice(&fs::read(dir.join("silent.json")).unwrap()).unwrap();
    let payload = STANDARD.decode(release["payload"].as_str().unwrap()).unwrap();
    let silent: Value = serde_json::from_slice(&payload).unwrap();
    let answered = silent["contributions"].as_array().unwrap();
    let signed = |c: &Value| c["signatures"][0]["keyid"].as_str().unwrap().to_owned();
    let signers: Vec<String> = answered.iter().map(signed).collect();
    let id = |node: &Node| node.json(&["status"])["id"].as_str().unwrap().to_owned();
    let [asker, restored, third] = [0, 1, 2].map(|n| id(&federation.nodes[n]));
    assert!(signers.contains(&asker) && signers.contains(&third), "{signers:?}");
    assert!(signers.len() == 2 && !signers.contains(&restored), "{signers:?}");
    assert_eq!(spent(node), 0, "it gave nothing");
    let own = node.run(&["ask", "--purpose", "research", "--epsilon", "0.5"]);
    assert_eq!(own.code, Some(4), "{own:?}");
    assert!(own.stderr.contains("--confirm"), "{own:?}");
    let wrong = node.run(&["ledger", "--confirm", "--also", "nothing=1"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let confirmed = node.json(&["ledger", "--confirm", "--also", "research=0.25"]);
    assert_eq!((&confirmed["releases"], &confirmed["also"]), (&json!(2), &json!(1)));
    assert_eq!(spent(node), 1_250_000);
    assert_eq!(node.run(&["ledger", "--confirm"]).code, Some(2), "once");
    // The same question gets the same answer, at no further cost; the next one costs again.
    assert_eq!(ask(&["again.json", "--local", "--by", "role"]).code, Some(0));
    assert_eq!(spent(node), 1_250_000);
    assert_eq!(ask(&["next.json", "--local", "--by", "harm"]).code, Some(0));
    assert_eq!(spent(node), 1_750_000);
    serving[1].kill();
    assert_eq!(spent(node), 1_750_000, "and after it was opened again");
}

#[test]
fn age_opens_a_backup_and_tar_shows_what_is_in_it() {
    let Some(age) = suite("age", program("age"), "the program age is not installed") else { return };
    let dir = tempfile::tempdir().unwrap();
    let node = with_something(dir.path());
    let (identity, recipient) = key(dir.path(), "key");
    let (_, second) = key(dir.path(), "second");
    let file = dir.path().join("backup.age");
    backup(&node, &[&recipient, &second], &file);
    let tar = dir.path().join("backup.tar");
    let opened = Command::new(age)
        .args(["-d", "-i", identity.to_str().unwrap(), "-o", tar.to_str().unwrap(), file.to_str().unwrap()])
        .status();
    assert!(opened.unwrap().success());
    let listed = Command::new("tar").args(["-tf", tar.to_str().unwrap()]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names: Vec<&str> = listed.lines().collect();
    assert_eq!((names[0], names[names.len() - 1]), ("hedgerow-backup", "manifest"));
    for name in ["files/keyring.json", "files/head", "store/00000000"] {
        assert!(names.contains(&name), "{listed}");
    }
    let plain = fs::read(tar).unwrap();
    assert!(!plain.windows(14).any(|w| w == b"from her phone"), "what the vault seals stays sealed");
}
