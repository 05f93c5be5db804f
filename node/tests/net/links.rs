//! Members among themselves.

use std::time::Duration;

use hedgerow_node::net::{
    Inbound, NetConfig, NetError, Network, Peer, PeerState, RequestError, limits::Rate,
};
use hedgerow_protocol::wire::{Announcement, Declined, Reply};
use tokio::sync::mpsc;

use crate::world::{
    Node, QUIC, READ, TCP, announce, announcement, charter, empty_inventory, eventually, hear, id, introduce,
    secret,
};

/// Two members who know only the third between them.
async fn three_in_a_row(listen: &str) {
    let mut nodes = Vec::new();
    for n in 1..=3 {
        nodes.push(Node::start(n, listen, &[1, 2, 3]).await);
    }
    let [mut one, mut two, mut three]: [Node; 3] = nodes.try_into().ok().unwrap();
    let bare = |n| Peer { id: id(n), addresses: Vec::new() };
    one.net.replace_members(vec![bare(1), two.peer(), bare(3)]).await.unwrap();
    three.net.replace_members(vec![bare(1), two.peer(), bare(3)]).await.unwrap();
    one.connected(2).await;
    three.connected(2).await;
    assert_eq!(one.state(3), PeerState::NoAddress);

    let _two_hears = two.answering();
    assert_eq!(one.net.request(id(2), READ).await, Ok(empty_inventory()));
    assert_eq!(one.net.request(id(3), READ).await, Err(RequestError::NotConnected));
    assert_eq!(one.net.request(id(1), READ).await, Err(RequestError::NotMember(id(1))));
    assert_eq!(one.net.request(id(9), READ).await, Err(RequestError::NotMember(id(9))));
    assert_eq!(two.net.peers().iter().find(|peer| peer.id == id(1)).unwrap().asked, 1);

    // A member hands on to its neighbours, and a link is up a moment before its gossip is.
    eventually("neighbours", || [1, 3].iter().all(|n| two.is_neighbour(*n))).await;
    let (_one_hears, mut three_hears) = (one.answering(), three.answering());
    announce(&one, &announcement(7)).await;
    assert_eq!(hear(&mut three_hears).await, (id(1), id(2), announcement(7)), "author and forwarder");
    for node in [one, two, three] {
        node.net.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_exchange_and_announce_over_quic() {
    three_in_a_row(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_exchange_and_announce_over_tcp() {
    three_in_a_row(TCP).await;
}

async fn second_on_one_port(listen: &str) {
    let first = Node::start(1, listen, &[1, 2]).await;
    let taken = first.address();
    let (events, _inbound) = mpsc::channel(1);
    let config = NetConfig::new(vec![taken.clone()], Vec::new(), charter());
    let error = Network::start(&secret(2), config, events).await.unwrap_err();
    assert!(matches!(&error, NetError::Listen { address, .. } if *address == taken), "{error}");
    assert!(error.to_string().contains(&taken) && error.to_string().contains("another port"), "{error}");
}

#[tokio::test]
async fn a_quic_port_in_use_is_an_error_that_names_it() {
    second_on_one_port(QUIC).await;
}

#[tokio::test]
async fn a_tcp_port_in_use_is_an_error_that_names_it() {
    second_on_one_port(TCP).await;
}

#[tokio::test]
async fn an_address_of_another_form_is_an_error_that_shows_the_form() {
    let (events, _inbound) = mpsc::channel(1);
    let config = NetConfig::new(vec!["0.0.0.0:4001".to_owned()], Vec::new(), charter());
    let error = Network::start(&secret(1), config, events).await.unwrap_err();
    assert!(matches!(error, NetError::Address { .. }) && error.to_string().contains("/ip4/"), "{error}");
}

async fn back_after_a_restart(listen: &str) {
    let (mut one, two) = (Node::start(1, listen, &[1, 2]).await, Node::start(2, listen, &[1, 2]).await);
    introduce(&[&one, &two]).await;
    let again = two.address();
    two.net.shutdown().await;
    eventually("seen to be gone", || one.state(2) != PeerState::Connected).await;

    // The system may hold the port of a closed socket for a moment.
    let mut restarted = None;
    for _ in 0..200 {
        let (events, inbound) = mpsc::channel(64);
        // It does not know where the other is, so the other has to dial.
        let member = Peer { id: id(1), addresses: Vec::new() };
        let config = NetConfig::new(vec![again.clone()], vec![member], charter());
        match Network::start(&secret(2), config, events).await {
            Ok(net) => {
                restarted = Some(Node { n: 2, net, inbound });
                break;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    let mut two = restarted.expect("the port came free");
    one.connected(2).await;
    two.connected(1).await;
    let (_one_hears, _two_hears) = (one.answering(), two.answering());
    assert_eq!(one.net.request(id(2), READ).await, Ok(empty_inventory()));
    assert_eq!(two.net.request(id(1), READ).await, Ok(empty_inventory()));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_find_each_other_again_after_a_restart_over_quic() {
    back_after_a_restart(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_find_each_other_again_after_a_restart_over_tcp() {
    back_after_a_restart(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_member_that_was_silent_keeps_its_place() {
    let mut nodes = Vec::new();
    for n in 1..=3 {
        nodes.push(Node::start(n, QUIC, &[1, 2, 3]).await);
    }
    introduce(&nodes.iter().collect::<Vec<_>>()).await;
    let mut hearing: Vec<_> = nodes.iter_mut().map(Node::answering).collect();
    announce(&nodes[0], &announcement(0)).await;
    let neighbours = |node: &Node| node.net.peers().iter().all(|peer| peer.neighbour);
    eventually("neighbours", || nodes.iter().all(neighbours)).await;
    // Long enough for every score of gossipsub that counts what did not come to have begun to count.
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(nodes.iter().all(neighbours), "silence cost a member its place");
    for (n, node) in (1u8..).zip(&nodes) {
        // At once, without a second try: the link and its gossip have to be there still.
        node.net.announce(announcement(u64::from(n))).await.unwrap();
    }
    for (n, hears) in (1u8..).zip(&mut hearing) {
        let mut authors = Vec::new();
        while authors.len() < 2 {
            let (from, _, said) = hear(hears).await;
            if said != announcement(0) {
                authors.push(from);
            }
        }
        authors.sort_unstable();
        let mut others: Vec<_> = (1..=3).filter(|other| *other != n).map(id).collect();
        others.sort_unstable();
        assert_eq!(authors, others);
    }
    for node in &nodes {
        assert!(node.net.counters().named().all(|(_, count)| count == 0), "{:?}", node.net.counters());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_removed_is_disconnected_and_may_come_back() {
    let (one, two) = (Node::start(1, QUIC, &[1, 2]).await, Node::start(2, QUIC, &[1, 2]).await);
    introduce(&[&one, &two]).await;
    one.net.replace_members(Vec::new()).await.unwrap();
    assert!(one.net.peers().is_empty());
    assert_eq!(one.net.request(id(2), READ).await, Err(RequestError::NotMember(id(2))));
    eventually("refused as a stranger", || one.net.counters().stranger > 0).await;
    eventually("shut out", || two.state(1) != PeerState::Connected).await;
    introduce(&[&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_never_comes_is_late() {
    let one = Node::start_with(1, QUIC, &[1, 2], |config| {
        config.deadlines.read = Duration::from_millis(300);
    })
    .await;
    let mut two = Node::start(2, QUIC, &[1, 2]).await;
    introduce(&[&one, &two]).await;
    assert_eq!(one.net.request(id(2), READ).await, Err(RequestError::Late));
    assert!(one.net.counters().late > 0);
    // The request did arrive, and was held.
    loop {
        if let Inbound::Request { from, .. } = two.inbound.recv().await.unwrap() {
            assert_eq!(from, id(1));
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_left_without_an_answer_is_declined_at_the_deadline() {
    let one = Node::start(1, QUIC, &[1, 2]).await;
    let two = Node::start_with(2, QUIC, &[1, 2], |config| {
        config.deadlines.read = Duration::from_millis(300);
    })
    .await;
    introduce(&[&one, &two]).await;
    assert_eq!(one.net.request(id(2), READ).await, Ok(Reply::Declined { why: Declined::Busy }));
    assert_eq!(two.net.counters().unanswered, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_behind_declines_and_does_not_wait() {
    let talkative = |config: &mut NetConfig| {
        config.rates.announcements = Rate::new(1000, Duration::from_secs(3600));
    };
    let one = Node::start_with(1, QUIC, &[1, 2], talkative).await;
    let two = Node::start_with(2, QUIC, &[1, 2], talkative).await;
    introduce(&[&one, &two]).await;
    // Nobody takes the events of the second node, so its queue fills with what the first announces.
    for n in 0..80 {
        announce(&one, &announcement(n)).await;
    }
    eventually("full", || two.net.counters().queue_full >= 10).await;
    let before = two.net.counters().queue_full;
    assert_eq!(one.net.request(id(2), READ).await, Ok(Reply::Declined { why: Declined::Busy }));
    assert!(two.net.counters().queue_full > before);
    assert_eq!((two.net.counters().unanswered, two.net.counters().blocks), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn announcing_to_nobody_or_too_fast_is_an_error_that_says_so() {
    let lonely = Node::start(1, QUIC, &[1, 2]).await;
    assert_eq!(lonely.net.announce(announcement(1)).await, Err(NetError::Alone));
    let results: Vec<_> =
        futures::future::join_all((0..100).map(|n| lonely.net.announce(announcement(n)))).await;
    assert!(results.contains(&Err(NetError::TooFast)));
    let long = Announcement { bytes: u64::MAX, ..announcement(1) };
    assert!(lonely.net.announce(long).await.is_err());
    let other = lonely.net.clone();
    lonely.net.shutdown().await;
    assert_eq!(other.announce(announcement(1)).await, Err(NetError::Closed));
    assert_eq!(other.request(id(2), READ).await, Err(RequestError::Closed));
}
