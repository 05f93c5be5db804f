//! What the binary says of itself. That this test exists also makes `cargo test --workspace` build the binary,
//! which the end-to-end tests run.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

fn hedgerow(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_hedgerow")).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn every_command_explains_itself() {
    let (code, help) = hedgerow(&["--help"]);
    assert_eq!(code, Some(0));
    for command in [
        "demo",
        "init",
        "import",
        "simulate",
        "record",
        "attachment",
        "charter",
        "join",
        "serve",
        "ask",
        "verify",
        "indicator",
        "ledger",
        "backup",
        "restore",
        "rebuild",
        "status",
        "user",
        "key",
        "log",
        "policy",
        "lock",
        "unlock",
        "panic",
        "codes",
    ] {
        assert!(help.contains(command), "{command} is not in the help");
        let (code, text) = hedgerow(&[command, "--help"]);
        assert_eq!(code, Some(0), "{command}");
        assert!(text.contains("Usage:"), "{command}");
    }
    assert!(help.contains("Exit codes:"));
}

#[test]
fn what_is_typed_wrong_is_told_with_exit_code_2() {
    for args in [
        &["ask", "--count", "dogs", "--epsilon", "1", "--purpose", "research"][..],
        &["ask", "--epsilon", "0", "--purpose", "research"],
        &["ask", "--epsilon", "1", "--purpose", "research", "--by", "shoe-size"],
        &["codes", "nothing"],
        &["nonsense"],
    ] {
        assert_eq!(hedgerow(args).0, Some(2), "{args:?}");
    }
}

#[test]
fn a_vault_that_is_not_there_is_told_with_exit_code_3_and_how_to_make_one() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("none");
    let (code, text) = hedgerow(&["--home", home.to_str().unwrap(), "status"]);
    assert_eq!(code, Some(3));
    assert!(text.contains("hedgerow init"), "{text}");
}

#[test]
fn codes_are_listed_for_people_and_for_programs() {
    let (_, text) = hedgerow(&["codes", "tactic"]);
    assert!(text.contains("T04") && text.contains("mercenary spyware"));
    let (_, json) = hedgerow(&["codes", "tactic", "--json"]);
    assert!(json.starts_with("[{"), "{json}");
}
