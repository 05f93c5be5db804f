//! A hostile member among pseudonyms: it gets one token and no more, makes none up, and carrying for it stays bounded.

use std::sync::{Arc, Mutex};

use hedgerow_node::net::Inbound;
use hedgerow_protocol::{
    document::{NodeSecret, Signed},
    id::NodeId,
    pseudonym::{Asking, Enrolled, SEALED, Voucher, VouchingKey},
    wire::{Declined, Reply, Request, Spreading},
};
use hedgerow_tests::eventually;

use crate::{
    indicators::{Wares, indicator, now},
    world::World,
};

async fn world() -> World {
    World::with(&["--pseudonyms", "--pseudonym-delay", "1", "--vouchers", "3"]).await
}

/// What a member hands out that takes part in all that the others need for their pseudonyms.
fn taking_part(world: &World) -> Wares {
    let mut wares = Wares::default();
    wares.vouching = VouchingKey::of(&world.secret).ok();
    let enrolled = Enrolled { version: 1, charter: world.charter.id(), made_at: now() };
    let signed = Signed::new(enrolled, &world.secret).unwrap();
    wares.add_as(Spreading::Enrolled, signed.envelope().to_json().unwrap());
    wares
}

fn not_acceptable(reply: &Reply) -> bool {
    matches!(reply, Reply::Declined { why: Declined::NotAcceptable })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_gets_one_token_from_each_and_vouches_for_nobody_alone() {
    let mut world = world().await;
    let to = world.honest()[0];
    let charter = world.charter.id();
    let first = Asking::begin(&world.secret, &charter, &to).unwrap().blinded();
    let second = Asking::begin(&NodeSecret::from_seed(&[7; 32]), &charter, &to).unwrap().blinded();
    let ask = |blinded| world.request(to, Request::Evaluate { blinded }, vec![]);
    assert!(matches!(ask(first).await.unwrap(), Reply::Evaluated { .. }));
    assert!(matches!(ask(first).await.unwrap(), Reply::Evaluated { .. }), "the same question again");
    assert!(not_acceptable(&ask(second).await.unwrap()), "a second token");

    // It makes up a pseudonym, and vouches for it as often as it likes: one member's word.
    let made_up = NodeSecret::from_seed(&[8; 32]);
    let mut wares = Wares::default();
    for seconds in 0..3 {
        let made_at = now().plus_seconds(-seconds);
        let voucher = Voucher { version: 1, charter, pseudonym: made_up.node_id(), made_at };
        wares.add_as(
            Spreading::Voucher,
            Signed::new(voucher, &world.secret).unwrap().envelope().to_json().unwrap(),
        );
    }
    // One for a member's own key, and one that no member signed.
    let member = Voucher { version: 1, charter, pseudonym: to, made_at: now() };
    wares.add_as(
        Spreading::Voucher,
        Signed::new(member, &world.secret).unwrap().envelope().to_json().unwrap(),
    );
    let stranger = Voucher { version: 1, charter, pseudonym: made_up.node_id(), made_at: now() };
    wares.add_as(Spreading::Voucher, Signed::new(stranger, &made_up).unwrap().envelope().to_json().unwrap());
    let json = world.batch(vec![indicator("made-up.example")], &made_up);
    wares.add(json.clone());
    let (wares, _answering) = world.hand_out(wares);
    let carried = world.request(to, Request::Carry { to: None }, json.clone()).await.unwrap();
    assert!(not_acceptable(&carried), "{carried:?}");
    world.announce(&wares.listed).await;
    eventually("what does not hold is counted", || world.dropped("document") >= 3);
    assert_eq!(world.status()["indicators"], 0);
    // Batches of made-up keys without end: each is at most fetched, and who hands them out is shut out.
    let first: NodeId = world.status()["id"].as_str().unwrap().parse().unwrap();
    for n in 0..50 {
        let json = world.batch(vec![indicator("no.example")], &NodeSecret::from_seed(&[100 + n; 32]));
        if world.request(first, Request::Carry { to: None }, json).await.is_err() {
            break;
        }
    }
    eventually("who goes on is blocked", || world.is_blocked());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tells_of_a_batch_is_not_who_published_it() {
    let mut world = world().await;
    let mut inbound = world.inbound.take().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let wares = taking_part(&world);
    let _listening = tokio::spawn(async move {
        while let Some(event) = inbound.recv().await {
            match event {
                Inbound::Announced { from, announcement, .. } if announcement.kind == Spreading::Batch => {
                    hearing.lock().unwrap().push(from);
                }
                Inbound::Request { request, reply, .. } => {
                    let (answer, beside) = wares.answer(&request);
                    let _ = reply.reply(&answer, beside);
                }
                _ => {}
            }
        }
    });
    let node = &world.federation.nodes[0];
    eventually("vouched for", || node.json(&["status"])["pseudonym"]["vouchers"].as_u64() >= Some(3));
    let file = world.federation.dir().join("list.txt");
    let count = 8;
    for n in 0..count {
        std::fs::write(&file, format!("evil{n}.example\n")).unwrap();
        node.json(&["indicator", "import", file.to_str().unwrap()]);
        assert_eq!(node.json(&["indicator", "publish", "--tlp", "green", "--pseudonym"])["carried"], 1);
    }
    eventually("all are everywhere", || {
        world.federation.nodes.iter().all(|node| node.json(&["status"])["batches"] == count)
    });
    // By chance each comes back to its publisher to be told, at times; all of them, about once in two thousand runs.
    let own = node.json(&["status"])["id"].as_str().unwrap().to_owned();
    let heard = heard.lock().unwrap();
    assert!(heard.len() >= 4 && heard.iter().any(|from| from.to_string() != own), "{heard:?}, not of {own}");
}

#[tokio::test(flavor = "multi_thread")]
async fn carrying_for_a_member_is_bounded_and_what_is_forged_comes_to_nothing() {
    let mut world = world().await;
    // Until it has said that it has every token, nobody hands one in. It is found in no list, but fetched once it is told.
    let mut wares = taking_part(&world);
    let enrolled = std::mem::take(&mut wares.listed);
    let _answering = world.hand_out(wares);
    let standing = |world: &World| world.status()["pseudonym"].clone();
    eventually("one is missing", || standing(&world)["not_enrolled"] == serde_json::json!(["Hostile"]));
    assert_eq!(standing(&world)["vouchers"], 0);
    world.announce(&enrolled).await;
    for node in &world.federation.nodes {
        eventually("vouched for", || node.json(&["status"])["pseudonym"]["vouchers"].as_u64() >= Some(3));
    }
    let [to, other, ..] = world.honest()[..] else { panic!("three nodes") };
    // Of the wrong size, for a stranger, and no batch at all.
    let stranger = NodeSecret::from_seed(&[9; 32]).node_id();
    for (to_whom, bytes) in [
        (Some(other), vec![7; SEALED + 1]),
        (Some(stranger), vec![7; SEALED]),
        (None, vec![]),
        (None, b"{}".to_vec()),
    ] {
        let reply = world.request(to, Request::Carry { to: to_whom }, bytes).await.unwrap();
        assert!(not_acceptable(&reply), "{reply:?}");
    }
    let mut taken = 0;
    let mut busy = 0;
    for n in 0..400_u32 {
        let mut forged = vec![7; SEALED];
        forged[..4].copy_from_slice(&n.to_be_bytes());
        match world.request(to, Request::Carry { to: Some(other) }, forged).await {
            Ok(Reply::Carried) => taken += 1,
            Ok(Reply::Declined { why: Declined::Busy }) => busy += 1,
            // It was shut out for asking too much.
            Err(_) => break,
            Ok(reply) => panic!("{reply:?}"),
        }
    }
    assert!(taken > 0 && taken <= 60, "{taken}");
    assert!(busy > 0, "nothing bounds it");
    // What honest members publish under their pseudonyms arrives all the same.
    let file = world.federation.dir().join("list.txt");
    std::fs::write(&file, "evil.example\n").unwrap();
    let node = &world.federation.nodes[1];
    node.json(&["indicator", "import", file.to_str().unwrap()]);
    assert_eq!(node.json(&["indicator", "publish", "--tlp", "green", "--pseudonym"])["carried"], 1);
    eventually("it is everywhere", || {
        world.federation.nodes.iter().all(|node| node.json(&["status"])["batches"] == 1)
    });
}
