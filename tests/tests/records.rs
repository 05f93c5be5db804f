//! Records through the real binary: found, changed, withdrawn from statistics, erased; and the vault checked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: a failure here is a failed test"
)]

use std::fs;

use hedgerow_tests::Node;

#[test]
fn a_caseworker_finds_changes_and_erases_records_and_the_vault_stays_whole() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::at(dir.path(), "a");
    node.init("A", &[]);
    let lines = [
        r#"{"day":"2025-03-04","tactic":"T04","person":"p-1","reference":"2025/017","narrative":"The Émigré's phone was infected","consent_statistics":"yes"}"#,
        r#"{"day":"2025-04-05","tactic":"T01","person":"p-2","reference":"2025/018","narrative":"روزنامه‌نگار ایرانی","role":"journalist"}"#,
        r#"{"day":"2025-05-06","tactic":"T01","person":"p-1","reference":"2025/019","narrative":"他在北京大学被捕","contacts":"Zoë, +49 30 1234567"}"#,
    ];
    let file = dir.path().join("records.jsonl");
    fs::write(&file, lines.join("\n")).unwrap();
    assert_eq!(node.json(&["import", file.to_str().unwrap()])["stored"], 3);
    let found = |args: &[&str]| {
        let found = node.json(&[&["record", "search"], args].concat());
        let records = found["records"].as_array().unwrap();
        records.iter().map(|r| r["number"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    for (args, expected) in [
        (&["emigre", "PHONE"][..], &[0][..]),
        (&["ايراني"], &[1]),
        (&["北京"], &[2]),
        (&["zoe", "1234567"], &[2]),
        (&["--reference", "2025/018"], &[1]),
        (&["--reference", "018", "--person", "p-1"], &[]),
        (&["--person", "p-1"], &[2, 0]),
        (&["--where", "tactic=T01"], &[2, 1]),
        (&["--where", "tactic=T01|T04,role=journalist"], &[1]),
        (&["--from", "2025-03-05", "--to", "2025-04-30"], &[1]),
        (&["nobody"], &[]),
    ] {
        assert_eq!(found(args), expected, "{args:?}");
    }
    let first = node.json(&["record", "search", "--limit", "1"]);
    assert_eq!((&first["records"][0]["person"], &first["more"]), (&"p-1".into(), &true.into()));
    assert_eq!(node.run(&["record", "search", "--where", "tactic=T77"]).code, Some(2));

    let mut form = node.json(&["record", "show", "1"])["record"].clone();
    form["narrative"] = "something else".into();
    let edited = dir.path().join("edited.json");
    fs::write(&edited, form.to_string()).unwrap();
    node.json(&["record", "edit", "1", "--file", edited.to_str().unwrap()]);
    assert_eq!((found(&["ايراني"]), found(&["else"])), (vec![], vec![1]));
    node.json(&["record", "consent", "0", "--statistics", "withdrawn 2025-06-01"]);
    let shown = node.json(&["record", "show", "0"]);
    assert_eq!(shown["record"]["consent_statistics"], "withdrawn 2025-06-01");
    assert_eq!(node.run(&["record", "consent", "0", "--statistics", "perhaps"]).code, Some(2));

    node.json(&["record", "erase", "2", "--yes"]);
    assert_eq!((found(&["北京"]), found(&["--person", "p-1"])), (vec![], vec![0]));
    assert_eq!(node.json(&["check"])["records"], 2);
    assert_eq!(node.json(&["upgrade"])["upgraded"], false);
}
