//! Strangers, impostors, and a member that sends what no honest node sends.

use hedgerow_node::net::{Inbound, Peer, PeerState, RequestError, limits::Fault};
use hedgerow_protocol::{
    limits::{GOSSIP_BYTES, REPLY_BYTES, ROUND_BYTES},
    wire::{Message as _, Reply},
};
use libp2p::{request_response, swarm::SwarmEvent};

use crate::world::{
    Hostile, Node, QUIC, READ, RawEvent, STALL, TCP, announce, announcement, empty_inventory, eventually,
    frame, hear, id, introduce,
};

const STRANGER: u8 = 66;

async fn stranger_at_the_door(listen: &str) {
    let mut one = Node::start(1, listen, &[1, 2]).await;
    let mut stranger = Hostile::new(STRANGER);
    let peer = stranger.dial(&one);
    stranger.swarm.behaviour_mut().exchange.send_request(&peer, frame(&READ.to_bytes().unwrap()));
    stranger
        .until("the request of the stranger failed", |event| match event {
            SwarmEvent::Behaviour(RawEvent::Exchange(request_response::Event::Message { .. })) => {
                panic!("a stranger was answered")
            }
            SwarmEvent::Behaviour(RawEvent::Gossip(event)) => panic!("a stranger heard {event:?}"),
            SwarmEvent::Behaviour(RawEvent::Exchange(request_response::Event::OutboundFailure {
                error,
                ..
            })) => {
                // Never UnsupportedProtocols: that would have been an answer.
                let unsupported = request_response::OutboundFailure::UnsupportedProtocols;
                assert_ne!(error.to_string(), unsupported.to_string());
                Some(())
            }
            _ => None,
        })
        .await;
    stranger.while_waiting(eventually("counted", || one.net.counters().stranger > 0)).await;
    assert!(one.inbound.try_recv().is_err(), "the node heard of a stranger");
    assert!(one.net.peers().iter().all(|peer| peer.id == id(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_and_counted_over_quic() {
    stranger_at_the_door(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_and_counted_over_tcp() {
    stranger_at_the_door(TCP).await;
}

async fn impostor_at_the_address(listen: &str) {
    let mut impostor = Hostile::new(STRANGER);
    let address = impostor.listen(listen).await;
    let one = Node::start(1, listen, &[1, 2]).await;
    one.net.replace_members(vec![Peer { id: id(2), addresses: vec![address] }]).await.unwrap();
    let seen = eventually("the wrong key is seen", || one.state(2) == PeerState::WrongKey);
    impostor.while_waiting(seen).await;
    assert!(one.net.counters().wrong_key > 0);
    assert_eq!(one.net.request(id(2), READ).await, Err(RequestError::NotConnected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_answered_by_another_key_fails_as_such_over_quic() {
    impostor_at_the_address(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_answered_by_another_key_fails_as_such_over_tcp() {
    impostor_at_the_address(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_at_the_address_of_another_does_not_pass_for_it() {
    let (one, two) = (Node::start(1, QUIC, &[1, 2, 3]).await, Node::start(2, QUIC, &[1, 2, 3]).await);
    let at_two = Peer { id: id(3), addresses: vec![two.address()] };
    one.net.replace_members(vec![Peer { id: id(2), addresses: vec![] }, at_two]).await.unwrap();
    eventually("the wrong key is seen", || one.state(3) == PeerState::WrongKey).await;
    assert_ne!(one.state(2), PeerState::Connected);
}

/// One victim, one honest member connected to it, and a hostile member that has joined.
async fn beset() -> (Node, Node, Hostile, libp2p::PeerId) {
    beset_by(Hostile::new(6)).await
}

async fn beset_by(mut hostile: Hostile) -> (Node, Node, Hostile, libp2p::PeerId) {
    let (one, two) = (Node::start(1, QUIC, &[1, 2, 6]).await, Node::start(2, QUIC, &[1, 2, 6]).await);
    introduce(&[&one, &two]).await;
    let list = vec![two.peer(), Peer { id: id(6), addresses: Vec::new() }];
    one.net.replace_members(list).await.unwrap();
    let peer = hostile.join(&one).await;
    (one, two, hostile, peer)
}

/// The honest member still gets its answers, and its announcements are still heard.
async fn still_works(mut one: Node, two: &Node, hostile: &mut Hostile) {
    let mut hearing = one.answering();
    let works = async {
        assert_eq!(two.net.request(id(1), READ).await, Ok(empty_inventory()));
        announce(two, &announcement(99)).await;
        while hear(&mut hearing).await != (id(2), id(2), announcement(99)) {}
    };
    hostile.while_waiting(works).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_its_bound_is_refused_and_counted() {
    let (one, two, mut hostile, peer) = beset().await;
    let long = vec![b' '; ROUND_BYTES + 1];
    hostile.swarm.behaviour_mut().exchange.send_request(&peer, frame(&long));
    hostile.while_waiting(eventually("counted", || one.net.counters().oversize == 1)).await;
    still_works(one, &two, &mut hostile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_other_bytes_is_refused_and_counted() {
    let (one, two, mut hostile, peer) = beset().await;
    for bytes in [&b"{}"[..], b"\xff\xfe", b"", b"{\"request\":\"inventory\",\"after\":0,\"more\":1}"] {
        hostile.swarm.behaviour_mut().exchange.send_request(&peer, frame(bytes));
    }
    hostile.swarm.behaviour_mut().exchange.send_request(&peer, vec![0, 0, 0, 200, b'{']);
    hostile.while_waiting(eventually("counted", || one.net.counters().malformed == 5)).await;
    assert_eq!(one.net.peers().iter().find(|peer| peer.id == id(6)).unwrap().faults, 5);
    still_works(one, &two, &mut hostile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_malformed_requests_block_a_member_and_it_stays_out() {
    let (one, two, mut hostile, peer) = beset().await;
    for _ in 0..10 {
        hostile.swarm.behaviour_mut().exchange.send_request(&peer, frame(b"{}"));
    }
    let blocked = || matches!(one.state(6), PeerState::Blocked { fault: Fault::Malformed, .. });
    hostile.while_waiting(eventually("blocked", blocked)).await;
    while hostile.swarm.is_connected(&peer) {
        hostile.until("disconnected", |_| Some(())).await;
    }
    hostile.dial(&one);
    hostile.while_waiting(eventually("refused at the door", || one.net.counters().blocked > 0)).await;
    assert_eq!(one.net.counters().blocks, 1);
    assert_eq!(one.net.request(id(6), READ).await, Err(RequestError::Blocked));
    still_works(one, &two, &mut hostile).await;
}

async fn reply_of(bytes: Vec<u8>) -> (RequestError, Node) {
    let (one, two, mut hostile, _) = beset().await;
    let asked = one.net.clone();
    let mut reply = tokio::spawn(async move { asked.request(id(6), READ).await });
    let error = loop {
        tokio::select! {
            reply = &mut reply => break reply.unwrap().unwrap_err(),
            channel = hostile_is_asked(&mut hostile) => {
                hostile.swarm.behaviour_mut().exchange.send_response(channel, bytes.clone()).unwrap();
            }
        }
    };
    let _ = two;
    (error, one)
}

async fn hostile_is_asked(hostile: &mut Hostile) -> request_response::ResponseChannel<Vec<u8>> {
    hostile
        .until("asked", |event| match event {
            SwarmEvent::Behaviour(RawEvent::Exchange(request_response::Event::Message {
                message: request_response::Message::Request { channel, .. },
                ..
            })) => Some(channel),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_over_its_bound_is_refused_and_counted() {
    let (error, one) = reply_of(frame(&vec![b' '; REPLY_BYTES + 1])).await;
    assert_eq!(error, RequestError::Broken(Fault::Oversize));
    assert_eq!(one.net.counters().oversize, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_of_other_bytes_is_refused_and_counted() {
    let (error, one) = reply_of(frame(b"{\"reply\":\"yes\"}")).await;
    assert_eq!(error, RequestError::Broken(Fault::Malformed));
    assert_eq!(one.net.counters().malformed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_cut_off_is_no_reply() {
    let whole = frame(&Reply::Page { bytes: vec![7; 1000] }.to_bytes().unwrap());
    let (error, _) = reply_of(whole[..500].to_vec()).await;
    assert_eq!(error, RequestError::Unanswered);
}

#[tokio::test(flavor = "multi_thread")]
async fn gossip_over_its_bound_is_refused_and_counted() {
    let (one, two, mut hostile, _) = beset().await;
    hostile.publish(vec![b' '; GOSSIP_BYTES + 1]);
    hostile.while_waiting(eventually("counted", || one.net.counters().oversize == 1)).await;
    // Far over it the frame is not read at all.
    hostile.publish(vec![b' '; 40 * GOSSIP_BYTES]);
    still_works(one, &two, &mut hostile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gossip_of_other_bytes_is_refused_counted_and_not_forwarded() {
    let (mut one, mut two, mut hostile, _) = beset().await;
    hostile.publish(b"{}".to_vec());
    let mut endless = announcement(1);
    endless.bytes = u64::MAX;
    hostile.publish(endless.to_bytes().unwrap());
    hostile.while_waiting(eventually("counted", || one.net.counters().malformed == 2)).await;
    assert_eq!(two.net.counters().malformed, 0, "forwarded");
    while let Ok(event) = two.inbound.try_recv() {
        assert!(!matches!(event, Inbound::Announced { .. }));
    }
    while let Ok(event) = one.inbound.try_recv() {
        assert!(!matches!(event, Inbound::Announced { .. }));
    }
    still_works(one, &two, &mut hostile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_gossip_is_not_taken_and_blocks_its_sender() {
    let (mut one, two, mut hostile, _) = beset_by(Hostile::signing_as(6, None)).await;
    for n in 0..6 {
        hostile.publish(announcement(n).to_bytes().unwrap());
    }
    let blocked = || matches!(one.state(6), PeerState::Blocked { fault: Fault::Gossip, .. });
    hostile.while_waiting(eventually("blocked", blocked)).await;
    assert!(one.net.counters().gossip > 0);
    while let Ok(event) = one.inbound.try_recv() {
        assert!(!matches!(event, Inbound::Announced { .. }));
    }
    still_works(one, &two, &mut hostile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gossip_signed_by_a_stranger_is_not_taken_though_a_member_brings_it() {
    let (mut one, two, mut hostile, _) = beset_by(Hostile::signing_as(6, Some(STRANGER))).await;
    hostile.publish(announcement(1).to_bytes().unwrap());
    hostile.while_waiting(eventually("counted", || one.net.counters().not_member == 1)).await;
    assert_eq!(two.net.counters().not_member, 0, "forwarded");
    while let Ok(event) = one.inbound.try_recv() {
        assert!(!matches!(event, Inbound::Announced { .. }));
    }
    assert_eq!(one.state(6), PeerState::Connected, "its charter may be a day older");
    still_works(one, &two, &mut hostile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_is_given_up_and_counted() {
    let (one, two, mut hostile, peer) = beset().await;
    for _ in 0..3 {
        hostile.swarm.behaviour_mut().exchange.send_request(&peer, STALL.to_vec());
    }
    hostile.while_waiting(eventually("counted", || one.net.counters().late == 3)).await;
    still_works(one, &two, &mut hostile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_from_before_what_its_author_last_said_is_not_taken() {
    let one = Node::start(1, QUIC, &[1, 6, 7, 8]).await;
    // Two members bring what a third has signed; numbers start with the time of the signing node's start.
    let mut earlier = Hostile::signing_as(6, Some(7));
    let mut later = Hostile::signing_as(8, Some(7));
    earlier.join(&one).await;
    later.join(&one).await;
    let announced = || one.net.peers().iter().find(|peer| peer.id == id(7)).unwrap().announced;
    later.publish(announcement(2).to_bytes().unwrap());
    later.while_waiting(eventually("taken", || announced() == 1)).await;
    earlier.publish(announcement(1).to_bytes().unwrap());
    earlier.while_waiting(eventually("counted", || one.net.counters().replayed == 1)).await;
    assert_eq!(announced(), 1);
}
