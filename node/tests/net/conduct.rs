//! Members that send too much.

use std::time::Duration;

use hedgerow_node::net::{
    PeerState, RequestError,
    limits::{Fault, Rate, Redial},
};
use hedgerow_protocol::wire::{Declined, Message as _, Reply};

use crate::world::{
    Hostile, Node, QUIC, READ, announce, announcement, empty_inventory, eventually, hear, id, introduce,
};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_is_declined_then_shut_out_while_others_are_answered() {
    let mut one = Node::start_with(1, QUIC, &[1, 2, 3], |config| {
        config.rates.reads = Rate::new(20, HOUR);
        config.conduct.tolerance = 50;
    })
    .await;
    let (two, three) = (Node::start(2, QUIC, &[1, 2, 3]).await, Node::start(3, QUIC, &[1, 2, 3]).await);
    introduce(&[&one, &two, &three]).await;
    let _hearing = one.answering();

    let flooding = two.net.clone();
    let flood = tokio::spawn(async move {
        let (mut answered, mut busy) = (0, 0);
        for _ in 0..1000 {
            match flooding.request(id(1), READ).await {
                Ok(Reply::Declined { why: Declined::Busy }) => busy += 1,
                Ok(_) => answered += 1,
                Err(_) => break,
            }
        }
        (answered, busy)
    });
    for _ in 0..10 {
        assert_eq!(three.net.request(id(1), READ).await, Ok(empty_inventory()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (answered, busy) = flood.await.unwrap();
    assert_eq!(answered, 20);
    assert!((1..=50).contains(&busy), "{busy}");
    assert!(matches!(one.state(2), PeerState::Blocked { fault: Fault::Rate, .. }));
    assert!(one.net.counters().rate >= 50 && one.net.counters().blocks == 1);
    assert_eq!(one.net.request(id(2), READ).await, Err(RequestError::Blocked));
    assert_eq!(three.net.request(id(1), READ).await, Ok(empty_inventory()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_announcements_is_cut_at_its_authors_rate() {
    let mut one = Node::start_with(1, QUIC, &[1, 2, 3], |config| {
        config.rates.announcements = Rate::new(10, HOUR);
    })
    .await;
    let two = Node::start_with(2, QUIC, &[1, 2, 3], |config| {
        config.rates.announcements = Rate::new(10_000, HOUR);
    })
    .await;
    let three = Node::start(3, QUIC, &[1, 2, 3]).await;
    introduce(&[&one, &two, &three]).await;
    let mut hearing = one.answering();
    for n in 0..60 {
        announce(&two, &announcement(n)).await;
    }
    eventually("counted", || one.net.counters().rate >= 50).await;
    announce(&three, &announcement(1000)).await;
    let mut heard = 0;
    loop {
        match hear(&mut hearing).await.0 {
            from if from == id(3) => break,
            from => assert_eq!(from, id(2)),
        }
        heard += 1;
    }
    assert_eq!(heard, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn gossip_frames_over_the_rate_are_dropped_and_block_their_sender() {
    let mut one = Node::start_with(1, QUIC, &[1, 2, 6], |config| {
        config.rates.frames = Rate::new(50, HOUR);
        // Out of the way, so that nothing but the frames is over its rate.
        config.rates.announcements = Rate::new(10_000, HOUR);
    })
    .await;
    let two = Node::start(2, QUIC, &[1, 2, 6]).await;
    introduce(&[&one, &two]).await;
    let mut list = vec![two.peer()];
    list.push(hedgerow_node::net::Peer { id: id(6), addresses: Vec::new() });
    one.net.replace_members(list).await.unwrap();
    let mut hostile = Hostile::new(6);
    hostile.join(&one).await;
    for n in 0..400 {
        hostile.publish(announcement(n).to_bytes().unwrap());
    }
    let blocked = || matches!(one.state(6), PeerState::Blocked { fault: Fault::Rate, .. });
    hostile.while_waiting(eventually("blocked", blocked)).await;
    assert!(one.net.counters().rate >= 100);
    let _hearing = one.answering();
    assert_eq!(two.net.request(id(1), READ).await, Ok(empty_inventory()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_ends_and_the_member_is_dialled_again() {
    let mut one = Node::start_with(1, QUIC, &[1, 2], |config| {
        config.rates.reads = Rate::new(1, Duration::from_millis(1));
        config.conduct.tolerance = 1;
        config.conduct.cool_down = Duration::from_secs(2);
    })
    .await;
    let two = Node::start_with(2, QUIC, &[1, 2], |config| {
        config.redial = Redial { cap: Duration::from_secs(1), ..Redial::default() };
    })
    .await;
    introduce(&[&one, &two]).await;
    let _hearing = one.answering();
    while one.net.counters().blocks == 0 {
        futures::future::join_all((0..8).map(|_| two.net.request(id(1), READ))).await;
    }
    eventually("let in again", || one.state(2) == PeerState::Connected).await;
    two.connected(1).await;
    assert_eq!(two.net.request(id(1), READ).await, Ok(empty_inventory()));
}
