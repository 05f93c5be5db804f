//! What outsiders and relays may not do to a node's indicators, and what a draft may not do to the others.

use std::path::Path;

use hedgerow_protocol::{indicator::Instant, wire::Spreading};
use serde_json::json;

use super::*;
use crate::{
    api::{ForeignChoice, Given},
    flow::{
        foreign::ForeignMoved,
        membership::{self, Terms},
    },
    node::now,
    store::{KdfParams, Landed, Landing, Passphrase},
};

fn node(dir: &Path, name: &str) -> Node {
    let passphrase = Passphrase::new("a passphrase for tests".into());
    Node::init(dir, &passphrase, KdfParams::FLOOR, name.into(), String::new(), vec![]).unwrap()
}

/// Nodes that have joined one charter.
fn federation(dir: &Path, names: &[&str]) -> Vec<Node> {
    let nodes: Vec<Node> = names.iter().map(|name| node(&dir.join(name), name)).collect();
    let cards = nodes.iter().skip(1).map(|n| n.member().clone()).collect();
    let terms = Terms { quorum: Some(1), ..Terms::new("Test".into()) };
    let charter = membership::draw_up(&nodes[0], cards, terms, now()).unwrap();
    let join = |(node, name): (Node, &&str)| {
        membership::join(&node, &charter).unwrap();
        drop(node);
        Node::open(&dir.join(name), &Passphrase::new("a passphrase for tests".into())).unwrap()
    };
    nodes.into_iter().zip(names).map(join).collect()
}

fn indicator(value: &str) -> StixObject {
    StixObject::indicator(&Observable::guess(value).unwrap(), None, None, now())
}

fn changed(object: &StixObject, key: &str, value: serde_json::Value) -> StixObject {
    let mut object = object.to_value();
    object[key] = value;
    StixObject::parse(object).unwrap()
}

fn import(node: &Node, objects: Vec<StixObject>) {
    let rows = objects.into_iter().map(|object| Row::new(1, false, Ok(object))).collect();
    node.import_indicators(rows, now(), &mut |_| ()).unwrap();
}

#[test]
fn a_draft_that_cannot_be_signed_is_refused_by_itself_and_the_others_go_out() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = federation(dir.path(), &["A"]);
    let ahead = Instant::of(now().plus_seconds(100_000)).to_string();
    import(
        &nodes[0],
        vec![
            indicator("good.example"),
            changed(&indicator("ahead.example"), "modified", json!(ahead)),
            changed(&indicator("long.example"), "x_long", json!("x".repeat(31_900))),
            indicator("revoked.example").revoked_at(now()),
        ],
    );
    let (report, announced) = nodes[0].publish(Some(Tlp::Green), true, now()).unwrap();
    let mut refused: Vec<&str> = report.refused.iter().map(|found| found.reason.as_str()).collect();
    refused.sort_unstable();
    assert_eq!((announced.len(), refused.len(), report.published), (1, 3, 1), "{report:?}");
    for (reason, part) in refused.iter().zip(["dated ahead", "revoked", "too long"]) {
        assert!(reason.contains(part), "{reason}");
    }
    // What went out can be taken back.
    let listed = nodes[0].indicators().unwrap();
    let out = listed.iter().find(|entry| !entry.is_draft()).unwrap();
    assert_eq!(nodes[0].revoke(out.object.id(), now()).unwrap().0.published, 1);
}

#[test]
fn nobody_outside_revokes_or_changes_what_this_node_published() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = federation(dir.path(), &["A"]);
    let node = &nodes[0];
    import(node, vec![indicator("own.example")]);
    node.publish(Some(Tlp::Green), true, now()).unwrap();
    let own = node.indicators().unwrap()[0].object.clone();
    let later = Instant::of(now().plus_seconds(9)).to_string();
    let given = vec![
        changed(&changed(&own, "modified", json!(later)), "name", json!("another word")),
        indicator("else.example"),
        own.clone().revoked_at(now()),
        indicator("gone.example").revoked_at(now()),
    ];
    node.take_in("partner", None, Landing::Foreign, given.clone(), now()).unwrap();
    let moved = node.adopt(&ForeignChoice::Source("partner".into()), now()).unwrap();
    let ForeignMoved { moved, drafts, refused } = moved;
    // Two versions of one id lie under one source as one.
    let kept = node.list_foreign(|_| ()).unwrap().len();
    assert_eq!((moved, drafts, refused, kept), (1, 1, 2, 2));
    let landed = node.take_in("partner", None, Landing::Drafts, given, now()).unwrap();
    assert_eq!(landed, [Landed::Refused, Landed::Duplicate, Landed::Refused, Landed::Refused]);
    let drafts: Vec<String> = node.library.drafts().unwrap().iter().map(|d| d.object.what()).collect();
    assert_eq!(drafts, ["domain else.example"]);
    assert_eq!(node.indicators().unwrap().iter().find(|e| e.object.id() == own.id()).unwrap().object, own);
}

#[test]
fn corroboration_counts_members_who_still_say_it_and_repeats_nothing_that_was_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = federation(dir.path(), &["A", "B", "C"]);
    let expiring = |name: &str, seconds: i64| indicator(name).valid_until_at(now().plus_seconds(seconds));
    let send = |from: &Node, objects: Vec<StixObject>, tlp: Tlp, to: &To| {
        import(from, objects);
        for one in from.publish_to(Some(tlp), to, true, now()).unwrap().1 {
            let json = from.documents.read(&one.id).unwrap().unwrap();
            for node in nodes.iter().filter(|node| node.id() != from.id()) {
                node.accept(Spreading::Batch, &json, now()).unwrap();
            }
        }
    };
    send(&nodes[0], vec![indicator("both.example"), expiring("past.example", 1)], Tlp::Green, &To::default());
    send(&nodes[1], vec![indicator("both.example"), indicator("past.example")], Tlp::Green, &To::default());
    send(&nodes[1], vec![indicator("sealed.example")], Tlp::Red, &To::Named(vec!["C".into()]));
    let left = |fewest: usize, seconds: i64| -> (Vec<String>, usize) {
        let (mut entries, mut out) = (nodes[2].indicators().unwrap(), crate::export::Exported::default());
        nodes[2].corroborated(&mut entries, fewest, now().plus_seconds(seconds), &mut out);
        let mut said: Vec<String> = entries.iter().map(|e| e.object.what()).collect();
        said.sort();
        said.dedup();
        (said, out.left_out.iter().map(|l| l.count).sum())
    };
    let names = |names: &[&str]| names.iter().map(|n| format!("domain {n}.example")).collect::<Vec<_>>();
    assert_eq!(left(2, 0), (names(&["both", "past"]), 1));
    // One of the two says so no longer.
    assert_eq!(left(2, 60), (names(&["both"]), 3));
    // What was sealed for C alone is not said again by C to whom it likes; the rest is, under its label.
    let ids: Vec<String> = nodes[2].indicators().unwrap().iter().map(|e| e.object.id().to_owned()).collect();
    let rows = nodes[2].said_too(&ids, now()).unwrap();
    let said = |row: &Row| row.result.clone().map(|o| (o.what(), o.tlp()));
    let (good, bad): (Vec<_>, Vec<_>) = rows.iter().map(said).partition(Result::is_ok);
    assert!(good.iter().all(|o| o.as_ref().unwrap().1 == Some(Tlp::Green)) && good.len() == 4, "{good:?}");
    assert!(bad.len() == 1 && bad[0].as_ref().unwrap_err().contains("sealed"), "{bad:?}");
    let own: Vec<String> = nodes[0].indicators().unwrap().iter().map(|e| e.object.id().to_owned()).collect();
    let of_ones_own = nodes[0].said_too(&own, now()).unwrap().iter().filter(|row| row.result.is_ok()).count();
    assert_eq!(of_ones_own, 2, "what the other published, and nothing of one's own");
}

#[test]
fn what_is_said_around_an_indicator_goes_under_its_label_and_a_stricter_label_replaces_a_freer_one() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir.path().join("A"), "A");
    let table = b"value,campaign,posts,tlp\nevil.example,Made up,7,amber\n";
    let rows = || crate::reader::indicator::read(table, None, now()).unwrap();
    node.import_indicators(rows(), now(), &mut |_| ()).unwrap();
    let labels = || -> Vec<Option<Tlp>> {
        node.library.drafts().unwrap().iter().map(|draft| draft.object.tlp()).collect()
    };
    assert_eq!(labels(), [Some(Tlp::Amber); 6]);
    // The list once more, as RED: it is one list, and it is RED.
    let given = Given { tlp: Some(Tlp::Red), ..Given::default() };
    let mut red = rows();
    node.given(&mut red, &given, now()).unwrap();
    node.import_indicators(red, now(), &mut |_| ()).unwrap();
    assert_eq!(labels(), [Some(Tlp::Red); 6]);
    node.import_indicators(rows(), now(), &mut |_| ()).unwrap();
    assert_eq!(labels(), [Some(Tlp::Red); 6], "and stays so");
    let late = Given { until: Some(now()), ..Given::default() };
    assert!(node.given(&mut rows(), &late, now()).is_err());
}

#[test]
fn a_sealed_batch_in_another_form_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let [from, to]: [Node; 2] =
        federation(dir.path(), &["A", "B"]).try_into().unwrap_or_else(|_| unreachable!());
    import(&from, vec![indicator("red.example")]);
    let (_, announced) = from.publish_to(Some(Tlp::Red), &To::Named(vec!["B".into()]), true, now()).unwrap();
    let json = from.documents.read(&announced[0].id).unwrap().unwrap();
    let spaced = [json.as_slice(), b" "].concat();
    assert!(to.accept(Spreading::Batch, &spaced, now()).is_err());
    assert_eq!(to.documents.count(Spreading::Batch), 0);
    to.accept(Spreading::Batch, &json, now()).unwrap();
    assert_eq!((to.documents.count(Spreading::Batch), to.library.count().0), (1, 1));
}

#[test]
fn what_was_sealed_is_taken_back_before_all_whom_any_version_was_for_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = federation(dir.path(), &["A", "B", "C", "D"]);
    let [from, others @ ..] = &nodes[..] else { unreachable!() };
    let spread = |announced: Vec<Announcement>| {
        for one in announced {
            let json = from.documents.read(&one.id).unwrap().unwrap();
            for node in others {
                node.accept(Spreading::Batch, &json, now()).unwrap();
            }
        }
    };
    import(from, vec![indicator("red.example")]);
    spread(from.publish_to(Some(Tlp::Red), &To::Named(vec!["B".into()]), true, now()).unwrap().1);
    let first = from.indicators().unwrap()[0].object.clone();
    let later = Instant::of(now().plus_seconds(1)).to_string();
    import(from, vec![changed(&changed(&first, "modified", json!(later)), "name", json!("another word"))]);
    spread(from.publish_to(Some(Tlp::Red), &To::Named(vec!["C".into()]), true, now()).unwrap().1);
    let held = |node: &Node| node.indicators().unwrap().first().map(|e| e.object.revoked());
    assert_eq!(others.iter().map(held).collect::<Vec<_>>(), [Some(false), Some(false), None]);
    spread(from.revoke(first.id(), now().plus_seconds(2)).unwrap().1);
    assert_eq!(others.iter().map(held).collect::<Vec<_>>(), [Some(true), Some(true), None]);
}
