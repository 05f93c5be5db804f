//! Tokens, vouchers and what a pseudonym signed, between nodes without a network.

use std::path::Path;

use hedgerow_protocol::{
    indicator::{Checks, Observable, SignedBatch, StixObject, Tlp, lint_against, sealed::seal},
    pseudonym::Asking,
};

use super::*;
use crate::{
    flow::{
        indicator::To,
        membership::{self, Pseudonymous, Terms},
    },
    node::now,
    reader::indicator::Row,
    store::{KdfParams, Passphrase},
};

const NAMES: [&str; 3] = ["A", "B", "C"];

fn passphrase() -> Passphrase {
    Passphrase::new("a passphrase for tests".into())
}

fn node(dir: &Path, name: &str) -> Node {
    Node::init(&dir.join(name), &passphrase(), KdfParams::FLOOR, name.into(), String::new(), vec![]).unwrap()
}

fn terms() -> Terms {
    let pseudonyms = Some(Pseudonymous { vouchers: Some(3), delay_seconds: 1 });
    Terms { quorum: Some(1), pseudonyms, ..Terms::new("Test".into()) }
}

fn reopen(dir: &Path, name: &str) -> Node {
    Node::open(&dir.join(name), &passphrase()).unwrap()
}

/// Three nodes that have joined one charter with pseudonyms.
fn federation(dir: &Path) -> [Node; 3] {
    let nodes = NAMES.map(|name| node(dir, name));
    let cards = nodes.iter().skip(1).map(|n| n.member().clone()).collect();
    let charter = membership::draw_up(&nodes[0], cards, terms(), now()).unwrap();
    for node in &nodes {
        membership::join(node, &charter).unwrap();
    }
    drop(nodes);
    NAMES.map(|name| reopen(dir, name))
}

fn asking(of: &Node, issuer: &Node) -> Asking {
    Asking::begin(of.secret(), &of.charter().unwrap().id(), &issuer.id()).unwrap()
}

fn token(of: &Node, issuer: &Node) -> Token {
    let asking = asking(of, issuer);
    let Ok(Reply::Evaluated { evaluation }) = issuer.evaluate(of.id(), &asking.blinded()) else {
        panic!("no token")
    };
    asking.finish(&evaluation, &issuer.member().document().vouching.unwrap()).unwrap()
}

/// What one node tells, as another takes it in.
fn hand(from: &Node, to: &Node, told: &Announcement) -> Result<usize, NodeError> {
    to.accept(told.kind, &from.documents.read(&told.id).unwrap().unwrap(), now())
}

fn batch(charter: Id<Charter>, secret: &NodeSecret, tlp: Tlp) -> Vec<u8> {
    let object = StixObject::indicator(&Observable::guess("evil.example").unwrap(), None, None, now());
    let checks = Checks { sealed: true, ..Checks::default() };
    let linted = lint_against(vec![object], tlp, true, &checks).0;
    match tlp {
        Tlp::Red => seal(linted, charter, now(), secret, &[], &mut random()).unwrap().remove(0).1,
        _ => SignedBatch::sign(linted, charter, now(), secret).unwrap().remove(0).1,
    }
}

#[test]
fn what_a_pseudonym_signed_is_taken_in_once_enough_members_vouch_and_never_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = federation(dir.path());
    let (own, charter) = (a.pseudonym().unwrap(), a.charter().unwrap().id());
    let json = batch(charter, &own.secret, Tlp::Green);
    let refused = |node: &Node| node.accept(Spreading::Batch, &json, now()).unwrap_err().class;
    assert_eq!(refused(&c), Class::Refused, "nobody vouches");
    let by_b = b.redeem_token(own.id, &token(&a, &b), now()).unwrap().unwrap();
    assert!(b.redeem_token(own.id, &token(&a, &b), now()).unwrap().is_none(), "vouched for already");
    hand(&b, &c, &by_b).unwrap();
    assert_eq!(hand(&b, &c, &by_b).unwrap_err().class, Class::Refused, "said so already");
    let by_a = a.redeem_token(own.id, &token(&a, &a), now()).unwrap().unwrap();
    hand(&a, &c, &by_a).unwrap();
    hand(&a, &b, &by_a).unwrap();
    assert_eq!(refused(&c), Class::Refused, "two of three");
    let by_c = c.redeem_token(own.id, &token(&a, &c), now()).unwrap().unwrap();
    assert_eq!(c.accept(Spreading::Batch, &json, now()).unwrap(), 0);
    assert_eq!(c.library.count().0, 1);
    // It is kept where the node is opened again.
    drop(c);
    let c = reopen(dir.path(), "C");
    assert!(c.is_known(&own.id).unwrap());
    assert_eq!(refused(&b), Class::Refused, "has not heard of the third");
    hand(&c, &b, &by_c).unwrap();
    b.accept(Spreading::Batch, &json, now()).unwrap();
    let sealed = batch(charter, &own.secret, Tlp::Red);
    assert_eq!(b.accept(Spreading::Batch, &sealed, now()).unwrap_err().class, Class::Invalid);
}

#[test]
fn a_member_gets_one_token_also_after_a_restart_and_no_stranger_gets_any() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = federation(dir.path());
    token(&a, &b);
    drop(b);
    let b = reopen(dir.path(), "B");
    token(&a, &b);
    let declined = |reply| matches!(reply, Reply::Declined { why: Declined::NotAcceptable });
    let second = asking(&c, &b).blinded();
    assert!(declined(b.evaluate(a.id(), &second).unwrap()), "another element for one who has a token");
    let stranger = NodeSecret::from_seed(&[9; 32]).node_id();
    assert!(declined(b.evaluate(stranger, &second).unwrap()));
    // A token of one is no token of another, nor for another's pseudonym.
    let own = a.pseudonym().unwrap().id;
    assert!(c.redeem_token(own, &token(&a, &b), now()).unwrap().is_none());
    assert!(b.redeem_token(c.pseudonym().unwrap().id, &token(&a, &b), now()).unwrap().is_none());
    assert_eq!(b.pseudonyms.known(|known| known.vouchers(&own)), 0);
}

#[test]
fn a_voucher_is_of_a_member_for_no_members_own_key_and_under_this_charter() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = federation(dir.path());
    let charter = a.charter().unwrap().id();
    let pseudonym = a.pseudonym().unwrap().id;
    let good = Voucher { version: 1, charter, pseudonym, made_at: now() };
    let take = |voucher: &Voucher, secret: &NodeSecret| {
        let json = Signed::new(voucher.clone(), secret).unwrap().envelope().to_json().unwrap();
        c.take_voucher(&json, now()).map_err(|error| error.class)
    };
    let stranger = NodeSecret::from_seed(&[9; 32]);
    assert_eq!(take(&good, &stranger), Err(Class::Invalid));
    assert_eq!(take(&Voucher { pseudonym: a.id(), ..good.clone() }, b.secret()), Err(Class::Invalid));
    assert_eq!(take(&Voucher { charter: Id::of(b"other"), ..good.clone() }, b.secret()), Err(Class::Invalid));
    let ahead = Voucher { made_at: now().plus_seconds(100_000), ..good.clone() };
    assert_eq!(take(&ahead, b.secret()), Err(Class::Network), "it is asked for again");
    let json = Signed::new(good.clone(), b.secret()).unwrap().envelope().to_json().unwrap();
    let spaced = [b" ".as_slice(), &json].concat();
    assert_eq!(c.take_voucher(&spaced, now()).unwrap_err().class, Class::Invalid, "in another form");
    assert_eq!(c.pseudonyms.known(|known| known.vouchers(&pseudonym)), 0);
    take(&good, b.secret()).unwrap();
    assert_eq!(c.pseudonyms.known(|known| known.vouchers(&pseudonym)), 1);
}

#[test]
fn a_card_from_before_gets_its_key_and_a_charter_with_another_key_is_not_joined() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = NAMES.map(|name| node(dir.path(), name));
    let old = |node: &Node| {
        let member = Member { vouching: None, ..node.member().document().clone() };
        Signed::new(member, node.secret()).unwrap()
    };
    // A vault whose card is from before: what it shows has the key all the same.
    let card = nodes[1].member().document().vouching;
    nodes[1].settings.put_identity(nodes[1].secret(), &old(&nodes[1])).unwrap();
    let [a, b, c] = nodes;
    drop(b);
    let b = reopen(dir.path(), "B");
    assert!(card.is_some());
    assert_eq!(b.member().document().vouching, card);
    assert_eq!(b.member().sole_signer(), Ok(b.id()));

    let refused = membership::draw_up(&a, vec![old(&b), c.member().clone()], terms(), now()).unwrap_err();
    assert!(refused.to_string().contains("hedgerow charter card"), "{refused}");
    let plain = Terms { quorum: Some(1), ..Terms::new("Test".into()) };
    let charter = membership::draw_up(&a, vec![old(&b), c.member().clone()], plain, now()).unwrap();
    assert!(charter.document().members.iter().all(|m| m.vouching.is_none()), "older programs read it");

    // Whoever draws it up puts a key of its own in another's place.
    let charter =
        membership::draw_up(&a, vec![b.member().clone(), c.member().clone()], terms(), now()).unwrap();
    let mut forged = charter.document().clone();
    let own = VouchingKey::of(&NodeSecret::from_seed(&[9; 32])).unwrap().public().unwrap();
    forged.members.iter_mut().filter(|m| m.id == b.id()).for_each(|m| m.vouching = Some(own));
    let forged = Signed::new(forged, a.secret()).unwrap();
    assert!(membership::sign(&b, forged.clone(), &[]).is_err());
    assert!(membership::join(&b, &forged).is_err());
    assert!(membership::join(&b, &charter).is_ok());
}

#[test]
fn a_member_says_that_it_has_every_token_once_it_has_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = federation(dir.path());
    for issuer in [&a, &b] {
        a.pseudonyms.put_token(issuer.id(), token(&a, issuer)).unwrap();
    }
    assert!(a.enrol(now()).unwrap().is_none(), "one is missing");
    a.pseudonyms.put_token(c.id(), token(&a, &c)).unwrap();
    let told = a.enrol(now()).unwrap().unwrap();
    assert!(a.enrol(now()).unwrap().is_none());
    hand(&a, &b, &told).unwrap();
    assert!(b.pseudonyms.known(|known| known.enrolled(&a.id()) && !known.enrolled(&c.id())));
    let standing = b.standing().unwrap().unwrap();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(standing.without_token), NAMES);
    assert_eq!(sorted(standing.not_enrolled), ["B", "C"]);
    drop(b);
    assert!(reopen(dir.path(), "B").pseudonyms.known(|known| known.enrolled(&a.id())));
    let stranger = Enrolled { version: 1, charter: a.charter().unwrap().id(), made_at: now() };
    let json = Signed::new(stranger, &NodeSecret::from_seed(&[9; 32])).unwrap().envelope().to_json().unwrap();
    assert_eq!(c.take_enrolled(&json, now()).unwrap_err().class, Class::Invalid);
}

fn import(node: &Node, modified: &str) {
    let object = serde_json::json!({
        "type": "indicator", "id": "indicator--0b0e5d2c-1c9c-4f7d-8f3e-0a7a3c8a4f10", "spec_version": "2.1",
        "created": "2025-01-02T03:04:05Z", "modified": modified, "valid_from": modified, "pattern_type": "stix",
        "pattern": "[domain-name:value = 'evil.example']",
        "name": format!("Seen until {modified}"),
    });
    let row = Row::new(1, false, Ok(StixObject::parse(object).unwrap()));
    node.import_indicators(vec![row], now(), &mut |_| ()).unwrap();
}

#[test]
fn a_later_version_that_came_in_while_the_first_was_on_its_way_stays_and_goes_out_under_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = federation(dir.path());
    let own = a.pseudonym().unwrap().id;
    for issuer in [&a, &b, &c] {
        let told = issuer.redeem_token(own, &token(&a, issuer), now()).unwrap().unwrap();
        hand(issuer, &a, &told).ok();
    }
    import(&a, "2025-01-02T03:04:05Z");
    a.publish_to(Some(Tlp::Green), &To::AllWithoutName, true, now()).unwrap();
    let [id] = a.pseudonyms.outgoing()[..] else { panic!("one batch") };
    import(&a, "2025-01-03T03:04:05Z");
    a.accept(Spreading::Batch, &a.pseudonyms.batch(&id).unwrap().unwrap(), now()).unwrap();
    a.pseudonyms.forget(&id).unwrap();
    let drafts = a.library.drafts().unwrap();
    assert_eq!(drafts.iter().map(|d| d.owner).collect::<Vec<_>>(), [Some(own)]);
    let report = a.publish(Some(Tlp::Green), true, now()).unwrap().0;
    assert_eq!((report.batches, report.refused.len()), (0, 1), "never under the name");
    let (report, announced) = a.publish_to(Some(Tlp::Green), &To::AllWithoutName, true, now()).unwrap();
    assert_eq!((report.carried, announced.len()), (1, 0));
    // Nor what was taken back before it came in, and may be out all the same.
    a.revoke(drafts[0].object.id(), now()).unwrap();
    import(&a, "2025-01-04T03:04:05Z");
    assert_eq!(a.publish(Some(Tlp::Green), true, now()).unwrap().0.batches, 0, "it is revoked");
}

#[test]
fn a_batch_of_nobody_that_is_longer_than_one_of_a_pseudonym_is_a_fault_of_whoever_hands_it_out() {
    let dir = tempfile::tempdir().unwrap();
    let [a, ..] = federation(dir.path());
    let stranger = NodeSecret::from_seed(&[9; 32]);
    let of = |count: usize| {
        let name = |n| Observable::guess(&format!("evil{n}.example")).unwrap();
        let objects = (0..count).map(|n| StixObject::indicator(&name(n), None, None, now())).collect();
        let linted = lint_against(objects, Tlp::Green, true, &Checks::default()).0;
        SignedBatch::sign(linted, a.charter().unwrap().id(), now(), &stranger).unwrap().remove(0).1
    };
    let class = |json: &[u8]| a.accept(Spreading::Batch, json, now()).unwrap_err().class;
    assert_eq!(class(&of(1)), Class::Refused, "its vouchers may be on their way");
    let long = of(400);
    assert!(long.len() > limits::CARRIED_BYTES);
    assert_eq!(class(&long), Class::Invalid);
}
