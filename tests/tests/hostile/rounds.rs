//! Whatever a hostile member asks of a round, it is
//! declined, learns nothing, pays for what it is given, and the others go on.

use std::time::Duration;

use hedgerow_node::net::Inbound;
use hedgerow_protocol::{
    document::{NodeSecret, Signed},
    id::{Digest, Id, NodeId},
    limits::BLOB_BYTES,
    round::{
        Abort, Ask, Consent, Declined, Drawn, Included, Parameters, Roster, Seat, Submission, Terms, Told,
        draw,
    },
    statistic::{Axis, Measure, Mode, Plan, Query},
    time::Timestamp,
    vocabulary::Dimension,
    wire::{self, Announcement, Blob, Reply, Request, Spreading},
};
use serde_json::Value;

use crate::world::World;

impl World {
    /// A query of its own, for a round.
    fn query(&self, axis: Dimension) -> Signed<Query> {
        let at = Timestamp::from_unix_seconds(
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64,
        )
        .unwrap();
        let mut query = Query {
            version: 0,
            charter: self.charter.id(),
            mode: Mode::Round,
            measure: Measure::People,
            indicators: vec![],
            conditions: vec![],
            period: None,
            group_by: vec![Axis::Coded(axis)],
            cells_per_person: None,
            purpose: "research".into(),
            need: String::new(),
            epsilon: "1".parse().unwrap(),
            asked_at: at,
            expires_at: at.plus_seconds(600),
        };
        query.version = query.version_needed();
        Signed::new(query, &self.secret).unwrap()
    }

    /// An ask of a round; what was told, or nothing if the node did not even read it.
    async fn ask(&self, to: NodeId, ask: Ask) -> Option<Told> {
        match self.request(to, Request::Round { ask: Box::new(ask), blob: None }, Vec::new()).await {
            Ok(Reply::Round { told, .. }) => Some(*told),
            Ok(Reply::Declined { .. }) | Err(_) => None,
            Ok(other) => panic!("{other:?}"),
        }
    }

    async fn consent(&self, to: NodeId, query: &Signed<Query>) -> Signed<Consent> {
        match self.ask(to, Ask::Convene { query: query.envelope().clone() }).await {
            Some(Told::Consent { envelope }) => envelope.open().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// A roster of the honest three, with the hostile member where there is a consent of its own.
    fn roster(&self, query: &Signed<Query>, consents: &[(NodeId, Digest)]) -> Signed<Roster> {
        let plan = Plan::new(query.document(), &self.charter).unwrap();
        let terms = Terms::new(plan, &self.charter).unwrap();
        let mut seats: Vec<Seat> =
            consents.iter().map(|(member, draw)| Seat { member: *member, draw: *draw }).collect();
        seats.sort_by_key(|s| s.member);
        let roster = Roster {
            version: 1,
            charter: self.charter.id(),
            query: query.id(),
            plan: terms.id(),
            parameters: Parameters::new(&terms, seats.len(), None).unwrap(),
            seats,
            made_at: query.document().asked_at,
        };
        Signed::new(roster, &self.secret).unwrap()
    }

    /// What the seats drew, asked of each; nothing where one does not tell.
    async fn draw(&self, roster: &Signed<Roster>) -> Option<Drawn> {
        let envelope = roster.envelope().clone();
        let mut nonces = Vec::new();
        for seat in &roster.document().seats {
            let ask = Ask::Draw { roster: envelope.clone() };
            match self.ask(seat.member, ask).await {
                Some(Told::Drawn { nonce }) => nonces.push(nonce),
                _ => return None,
            }
        }
        Some(Drawn { roster: envelope, nonces })
    }

    fn spent(&self) -> Vec<Value> {
        self.federation.nodes.iter().map(|n| n.json(&["ledger"])["total"]["spent_micros"].clone()).collect()
    }

    /// The honest three hold a round among themselves, with the hostile member gone.
    async fn still_works(self, axis: &str) {
        let Self { federation, net, .. } = &self;
        net.clone().shutdown().await;
        let out = federation.dir().join("release.json");
        let asked = federation.nodes[0].json(&[
            "ask",
            "--by",
            axis,
            "--epsilon",
            "0.5",
            "--purpose",
            "research",
            "--out",
            out.to_str().unwrap(),
        ]);
        assert_eq!(
            (&asked["verified"], &asked["mode"], &asked["contributions"]),
            (&true.into(), &"round".into(), &3.into())
        );
        drop(self);
    }
}

fn declined(told: Option<Told>) -> bool {
    matches!(told, None | Some(Told::Declined { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_out_of_turn_for_rounds_that_are_not_open_are_declined_and_cost_nothing() {
    let world = World::new().await;
    let query = world.query(Dimension::Tactic);
    let to = world.honest()[0];
    let round: Id<Roster> = Id::of(b"no such round");
    let signed = |n: &NodeSecret| {
        let submission =
            Submission { version: 1, round, commitment: Digest::of(b"c"), shares: vec![Digest::of(b"s"); 2] };
        Signed::new(submission, n).unwrap().envelope().clone()
    };
    let set = Signed::new(Included { version: 1, round, submissions: vec![] }, &world.secret).unwrap();
    let nonces = vec![Digest::of(b"made up"); 3];
    let consents: Vec<_> = world.honest().iter().map(|id| (*id, draw(&nonces[0]))).collect();
    let roster = world.roster(&query, &consents);
    let drawn = Drawn { roster: roster.envelope().clone(), nonces };
    let query_envelope = query.envelope().clone();
    for ask in [
        Ask::Close { round, submissions: vec![] },
        Ask::Prepare { round, receipts: vec![] },
        Ask::Include { round },
        Ask::Reveal { included: set.envelope().clone() },
        Ask::Deliver { submission: signed(&world.secret) },
        Ask::Verify { verifiers: signed(&world.secret) },
        Ask::Countersign { round },
        // Nobody consented to this one.
        Ask::Draw { roster: roster.envelope().clone() },
        Ask::Contribute { round: roster.id(), nonces: drawn.nonces.clone(), aborts: vec![] },
        // A roster that is none, draws that are none, and a query that is none.
        Ask::Open {
            query: query_envelope.clone(),
            drawn: Drawn { roster: set.envelope().clone(), ..drawn.clone() },
        },
        Ask::Open { query: query_envelope.clone(), drawn: Drawn { nonces: vec![], ..drawn } },
        Ask::Convene { query: roster.envelope().clone() },
    ] {
        let what = format!("{ask:?}");
        assert!(declined(world.ask(to, ask).await), "{what}");
    }
    assert!(world.spent().iter().all(|s| *s == 0), "{:?}", world.spent());
    world.still_works("tactic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_signed_by_another_or_asked_before_is_not_taken_from_this_member() {
    let world = World::new().await;
    let to = world.honest()[0];
    let own = world.query(Dimension::Role);
    // Under another's name.
    let other = Signed::new(own.document().clone(), &NodeSecret::from_seed(&[7; 32])).unwrap();
    assert!(declined(world.ask(to, Ask::Convene { query: other.envelope().clone() }).await));
    // Long ago.
    let mut old = own.document().clone();
    old.asked_at = old.asked_at.plus_seconds(-86_400);
    old.expires_at = old.asked_at.plus_seconds(600);
    let old = Signed::new(old, &world.secret).unwrap();
    let told = world.ask(to, Ask::Convene { query: old.envelope().clone() }).await;
    assert!(matches!(told, Some(Told::Refusal { .. })), "{told:?}");
    // Over the cap on one member's questions: it is half of 8.
    let mut dear = own.document().clone();
    dear.epsilon = "5".parse().unwrap();
    let dear = Signed::new(dear, &world.secret).unwrap();
    let told = world.ask(to, Ask::Convene { query: dear.envelope().clone() }).await;
    assert!(matches!(told, Some(Told::Refusal { .. })), "{told:?}");
    world.still_works("role").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_serves_one_roster_and_is_paid_for() {
    let world = World::new().await;
    let query = world.query(Dimension::Harm);
    let mut consents = Vec::new();
    for to in world.honest() {
        consents.push((to, world.consent(to, &query).await.document().draw));
    }
    let first = world.roster(&query, &consents);
    let contribute = |drawn: &Drawn| Ask::Contribute {
        round: drawn.roster.id(),
        nonces: drawn.nonces.clone(),
        aborts: vec![],
    };
    let drawn = world.draw(&first).await.unwrap();
    // It never opened the round, so no aggregator takes a share; the members paid all the same.
    for to in world.honest() {
        let told = world.ask(to, contribute(&drawn)).await;
        assert!(matches!(told, Some(Told::Submitted { .. })), "{told:?}");
    }
    assert!(world.spent().iter().all(|s| *s == 1_000_000), "{:?}", world.spent());
    // Another roster on the same consents gets nothing, and nobody pays again.
    let mut other = first.document().clone();
    other.made_at = other.made_at.plus_seconds(1);
    let other = Signed::new(other, &world.secret).unwrap();
    assert_eq!(world.draw(&other).await, None);
    let other = Drawn { roster: other.envelope().clone(), ..drawn };
    for to in world.honest() {
        assert_eq!(world.ask(to, contribute(&other)).await, Some(Told::Declined { why: Declined::Unknown }));
    }
    // Words of aggregators that it made up itself free no vector.
    let abort = Signed::new(Abort { version: 1, round: first.id() }, &world.secret).unwrap();
    let mut again = Vec::new();
    for to in world.honest() {
        again.push((to, world.consent(to, &query).await.document().draw));
    }
    let third = world.draw(&world.roster(&query, &again)).await.unwrap();
    let to = world.honest()[0];
    let ask = Ask::Contribute {
        round: third.roster.id(),
        nonces: third.nonces,
        aborts: vec![abort.envelope().clone()],
    };
    let told = world.ask(to, ask).await;
    assert!(matches!(told, Some(Told::Submitted { .. })), "{told:?}");
    assert_eq!(
        world.spent().iter().filter(|s| **s == 2_000_000).count(),
        1,
        "it paid anew: {:?}",
        world.spent()
    );
    world.still_works("harm").await;
}

/// It says of every question that it was answered before, and has no such release.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_nobody_has_ends_no_question() {
    let World { federation, _serving, inbound, net, .. } = World::new().await;
    let mut inbound = inbound.unwrap();
    let lying = tokio::spawn(async move {
        let mut lies = 0;
        while let Some(event) = inbound.recv().await {
            let Inbound::Request { request, reply, .. } = event else { continue };
            let told = match request {
                Request::Round { ask, .. } if matches!(*ask, Ask::Convene { .. }) => Told::Known {
                    release: Announcement { kind: Spreading::Release, id: Digest::of(b"none"), bytes: 700 },
                },
                _ => Told::Declined { why: Declined::Unknown },
            };
            lies += usize::from(matches!(told, Told::Known { .. }));
            let _ = reply.reply(&Reply::Round { told: Box::new(told), blob: None }, Vec::new());
            if lies == 2 {
                break;
            }
        }
        lies
    });
    let out = federation.dir().join("release.json");
    let node = federation.nodes[0].command();
    let asked = tokio::task::spawn_blocking(move || {
        let mut node = node;
        let ask = ["ask", "--by", "tactic", "--epsilon", "0.5", "--purpose", "research", "--json", "--out"];
        node.args(ask).arg(&out).output().unwrap()
    });
    let asked = asked.await.unwrap();
    let release: Value = serde_json::from_slice(&asked.stdout).unwrap_or_else(|_| panic!("{asked:?}"));
    assert_eq!((&release["verified"], &release["contributions"]), (&true.into(), &3.into()));
    assert_eq!(release["silent"], 1, "who lied was left out");
    net.shutdown().await;
    lying.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_opens_few_rounds_at_once_and_leaves_room_for_others() {
    let world = World::new().await;
    let mut opened = 0;
    for n in 0..12 {
        let query = world.query(Dimension::Platform);
        let nonces = vec![Digest::of(&[n]); 3];
        let consents: Vec<_> = world.honest().iter().map(|id| (*id, draw(&nonces[0]))).collect();
        let roster = world.roster(&query, &consents);
        let drawn = Drawn { roster: roster.envelope().clone(), nonces };
        let ask = Ask::Open { query: query.envelope().clone(), drawn };
        for to in world.honest() {
            opened += usize::from(world.ask(to, ask.clone()).await == Some(Told::Opened));
        }
    }
    let aggregating: Vec<u64> = (world.federation.nodes.iter())
        .map(|n| n.json(&["status"])["network"]["aggregating"].as_u64().unwrap())
        .collect();
    assert!(opened > 0 && aggregating.iter().all(|n| *n <= 2), "{opened} {aggregating:?}");
    world.still_works("platform").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_that_are_too_long_never_whole_or_of_other_bytes_are_not_taken() {
    let world = World::new().await;
    let to = world.honest()[1];
    let put = |id: Digest, bytes: u64, offset: u64| Request::Put { blob: Blob { id, bytes }, offset };
    let busy = Ok(Reply::Declined { why: wire::Declined::Busy });
    let long = put(Digest::of(b"long"), BLOB_BYTES as u64 + 1, 0);
    assert_eq!(world.request(to, long, vec![1]).await, busy);
    assert_eq!(world.request(to, put(Digest::of(b"x"), 1, 0), vec![1, 2]).await, busy, "more than it says");
    // Promised and never sent: each takes the place of an older one.
    for n in 0..20u8 {
        let promise = put(Digest::of(&[n]), BLOB_BYTES as u64, 0);
        let reply = world.request(to, promise, vec![n; 10]).await;
        assert!(matches!(reply, Ok(Reply::Put { held: 10 }) | Err(_)), "{reply:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What is not what its name says, and what is not there, belongs to no ask.
    let lie = Blob { id: Digest::of(b"truth"), bytes: 3 };
    let reply = world.request(to, put(lie.id, 3, 0), b"lie".to_vec()).await;
    assert!(matches!(reply, Ok(Reply::Put { held: 3 })), "{reply:?}");
    for blob in [lie, Blob { id: Digest::of(b"nowhere"), bytes: 5 }] {
        let ask = Box::new(Ask::Include { round: Id::of(b"r") });
        let reply = world.request(to, Request::Round { ask, blob: Some(blob) }, Vec::new()).await;
        assert_eq!(reply, Ok(Reply::Declined { why: wire::Declined::NotHere }));
    }
    let rest = Request::Rest { blob: Blob { id: Digest::of(b"another's"), bytes: 9 }, offset: u64::MAX };
    assert_eq!(
        world.request(to, rest, Vec::new()).await,
        Ok(Reply::Declined { why: wire::Declined::NotHere })
    );
    world.still_works("region").await;
}
