use hedgerow_protocol::indicator::Tlp;
use serde_json::json;

use super::*;

fn object(pattern: &str, n: usize) -> StixObject {
    let at = "2026-01-02T03:04:05.000Z";
    let id = format!("indicator--0c1d54a9-5b0e-4a61-a2f3-{n:012x}");
    let value = json!({
        "type": "indicator", "spec_version": "2.1", "id": id, "created": at, "modified": at, "valid_from": at,
        "pattern_type": "stix", "pattern": pattern,
    });
    StixObject::parse(value).unwrap().marked(Tlp::Green)
}

fn sought(patterns: &[&str], allowed: &[&str]) -> (Sought, Matcher, Matches) {
    let objects =
        patterns.iter().enumerate().map(|(n, pattern)| (object(pattern, n), Origin::Draft)).collect();
    ready(Sought::of(objects, &|o| allowed.contains(&o.value())), &[]).unwrap()
}

/// What is found in a file of this text: kind and value, and its lines.
fn in_file(patterns: &[&str], text: &str) -> Vec<(String, Vec<u64>)> {
    let (sought, matcher, mut report) = sought(patterns, &[]);
    let mut here = Here::over(&sought);
    matcher.look(text.as_bytes(), 1, &mut |sighted| here.add(sighted));
    Tally { sought: &sought, report: &mut report }.add(here, || Place::File("log".into()));
    report.found.iter().map(|found| (found.what(), found.lines.clone())).collect()
}

/// The fields of an incident in which it is found.
fn in_record(patterns: &[&str], narrative: &str, notes: &str) -> Vec<(String, Vec<u64>)> {
    let (sought, matcher, mut report) = sought(patterns, &[]);
    let form = RecordForm {
        narrative: narrative.into(),
        notes: notes.into(),
        ..RecordForm::new(String::new(), String::new(), String::new())
    };
    let mut tally = Tally { sought: &sought, report: &mut report };
    through_record(&matcher, &mut tally, RecordNumber(3), &form);
    let field = |found: &Found| match &found.place {
        Place::Record { number: 3, field } => field.clone(),
        other => panic!("{other:?}"),
    };
    report.found.iter().map(|found| (field(found), found.lines.clone())).collect()
}

#[test]
fn values_that_come_together_are_told_where_they_stand_on_one_line_or_in_one_incident() {
    let pattern = ["[domain-name:value = 'evil.example' AND process:name = 'agentd']"];
    let what = "domain evil.example AND process agentd".to_owned();
    let text = "evil.example\nagentd\nagentd at evil.example\nnothing\nhxxp://evil[.]example/ by agentd\n";
    assert_eq!(in_file(&pattern, text), [(what, vec![3, 5])]);
    assert_eq!(in_file(&pattern, "evil.example\nagentd\n"), []);
    assert_eq!(in_record(&pattern, "a link to evil.example", "agentd ran"), [("all".to_owned(), vec![])]);
    assert_eq!(in_record(&pattern, "a link to evil.example", ""), []);
    // What matches by itself is told of its field.
    let single = ["[domain-name:value = 'evil.example']"];
    assert_eq!(in_record(&single, "a\nlink to evil.example", ""), [("narrative".to_owned(), vec![2])]);
}

#[test]
fn a_tree_is_judged_by_its_and_or_and_not() {
    let tree =
        "[domain-name:value = 'evil.example' AND (process:name = 'agentd' OR file:name != 'good.bin')]";
    let what = format!("pattern {tree}");
    let text = "evil.example good.bin\nevil.example agentd good.bin\nevil.example\nagentd\n";
    assert_eq!(in_file(&[tree], text), [(what, vec![2, 3])]);
    let set =
        "[domain-name:value IN ('evil.example', 'bad.example') AND process:name NOT IN ('gooda', 'goodb')]";
    let text = "bad.example gooda\nbad.example\nevil.example goodb\n";
    assert_eq!(in_file(&[set], text), [(format!("pattern {set}"), vec![2])]);
    // Each observation is a line of its own, all of one file.
    let two = "[domain-name:value = 'evil.example'] AND [process:name = 'agentd' AND file:name = 'bad.bin']";
    let text = "evil.example\nagentd\nagentd bad.bin\n";
    assert_eq!(in_file(&[two], text), [(format!("pattern {two}"), vec![1, 3])]);
    assert_eq!(in_file(&[two], "evil.example\nagentd\nbad.bin\n"), []);
}

#[test]
fn what_is_not_looked_for_is_counted_and_named() {
    let (sought, _, report) = sought(
        &[
            "[domain-name:value = 'evil.example']",
            "[process:name = 'ps']",
            "[process:name = 'ps' OR process:name = 'agentd']",
            "[process:name = 'ps' AND domain-name:value = 'evil.example']",
            "[domain-name:value = 'evil.example' OR network-traffic:dst_port > 1024]",
            "[domain-name:value LIKE '%.example']",
            "[domain-name:value != 'evil.example']",
            "[domain-name:value = 'evil.example'] FOLLOWEDBY [process:name = 'agentd']",
        ],
        &[],
    );
    let left: Vec<(usize, usize)> = report
        .left_out
        .iter()
        .map(|left| {
            (left.count, usize::from_str_radix(&left.objects[0][left.objects[0].len() - 4..], 16).unwrap())
        })
        .collect();
    // Three too short, one in part, one in whole, one that holds everywhere, one over time.
    assert_eq!(left, [(3, 1), (1, 4), (1, 5), (1, 6), (1, 7)], "{:?}", report.left_out);
    assert_eq!((report.looked_for, report.skipped), (3, 3));
    assert!(sought.is_by_itself(0));
    assert_eq!(in_file(&["[domain-name:value = 'evil.example' OR x:y > 1]"], "evil.example").len(), 1);
    assert_eq!(in_file(&["[domain-name:value = 'evil.example' AND x:y > 1]"], "evil.example"), []);
    // Never what cannot be judged turned round.
    assert_eq!(
        in_file(&["[domain-name:value = 'evil.example' AND process:name != 'ps']"], "evil.example"),
        []
    );
}

#[test]
fn of_several_values_those_that_are_allowed_are_not_looked_for() {
    let (sought, matcher, _) = sought(
        &["[domain-name:value = 'evil.example' OR domain-name:value = 'our.example']"],
        &["our.example"],
    );
    let mut seen = Vec::new();
    matcher.look(b"evil.example our.example", 1, &mut |s| seen.push(s.which));
    assert_eq!((seen, sought.observables().count()), (vec![0], 1));
}

#[test]
fn a_line_longer_than_a_block_is_counted_once() {
    let (sought, matcher, mut report) = sought(&["[domain-name:value = 'evil.example']"], &[]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    std::fs::write(&path, "evil.example ".repeat(300_000)).unwrap();
    let mut tally = Tally { sought: &sought, report: &mut report };
    files::through(&matcher, std::slice::from_ref(&path), &mut tally, &mut |_, _| ());
    assert_eq!((report.found[0].count, &report.found[0].lines), (1, &vec![1]));
}
