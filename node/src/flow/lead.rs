//! Leading a round: the protocol's coordinator over the network (docs/protocol.md §9).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use hedgerow_protocol::{
    document::{Envelope, Signed},
    id::NodeId,
    release::Release,
    round::{Coordinator, Declined, Failed, Outcome, Send, Stage, Told},
    statistic::{Plan, Query},
};
use tokio::{task::JoinSet, time::Instant};

use super::{
    round::{ABSENT, Rounds},
    spread::Spread,
};
use crate::{
    error::{Class, NodeError},
    net::RequestError,
    node::{Node, now},
};

/// How long a stage waits for the slowest.
const STAGE: Duration = Duration::from_secs(60);
/// How long the first stages wait: what they ask is answered at once by whoever is there.
const SHORT: Duration = Duration::from_secs(12);
/// Pause before asking again.
const AGAIN: Duration = Duration::from_millis(500);

/// Stages that a round passes through, for progress.
pub(super) const STAGES: u64 = 9;

/// Rounds that are led for one question where members do not keep to it, each time without them, as long as that costs
/// nobody more.
const TRIES: usize = 4;

/// Leads a round on `query` to its release. `told` hears how far it is.
pub(super) async fn lead(
    node: &Arc<Node>,
    rounds: &Arc<Rounds>,
    spread: &Spread,
    (query, plan): (Signed<Query>, Plan),
    told: &mut (dyn FnMut(u64, u64) + std::marker::Send),
) -> Result<Signed<Release>, NodeError> {
    let mut without = BTreeSet::new();
    for again in 1.. {
        if let Some(release) = stored(node, &plan)? {
            return Ok(release);
        }
        let (outcome, free) = once(node, rounds, (&query, &plan), without.clone(), told).await?;
        let missing = match outcome {
            Ok(Outcome::Release(release)) => return Ok(*release),
            // Taken for true only once it is here and verified as an answer to this plan.
            Ok(Outcome::Known(from, announcement)) => {
                if let Err(error) = spread.fetch(from, &announcement).await {
                    tracing::warn!(member = from.short(), %error, "the release made before could not be had");
                }
                if let Some(release) = stored(node, &plan)? {
                    return Ok(release);
                }
                vec![from]
            }
            Err(Failed::Undrawn { missing } | Failed::TooFewVectors { missing, .. })
                if free && again < TRIES && !missing.contains(&node.id()) =>
            {
                missing
            }
            Err(failed) => return Err(explained(failed)),
        };
        if again >= TRIES {
            break;
        }
        tracing::info!(
            members = missing.len(),
            "the round is led again without those who did not keep to it"
        );
        without.extend(missing);
    }
    Err(NodeError::new(Class::Network, "members do not keep to the round; ask again later, or with --local"))
}

/// Leads one round, without those members. Says whether another costs nobody more.
async fn once(
    node: &Arc<Node>,
    rounds: &Arc<Rounds>,
    (query, plan): (&Signed<Query>, &Plan),
    without: BTreeSet<NodeId>,
    told: &mut (dyn FnMut(u64, u64) + std::marker::Send),
) -> Result<(Result<Outcome, Failed>, bool), NodeError> {
    let charter = node.federation()?.charter.clone();
    let before = node.rounds.attempt(&plan.id())?;
    let mut lead = Coordinator::new(charter, query.clone(), before, without).map_err(NodeError::input)?;
    let mut sends = lead.start();
    let mut kept = false;
    loop {
        told(step(lead.stage()), STAGES);
        let patience = match lead.stage() {
            Stage::Freeing | Stage::Convening | Stage::Drawing | Stage::Opening | Stage::Aborting => SHORT,
            _ => STAGE,
        };
        ask_all(rounds, &mut lead, std::mem::take(&mut sends), patience).await;
        // It assembles, verifies and signs: not for the threads that serve the network.
        let secret = Arc::clone(node);
        let advanced = tokio::task::spawn_blocking(move || {
            let sends = lead.advance(now(), secret.secret());
            (lead, sends)
        });
        (lead, sends) = advanced.await.map_err(|e| NodeError::new(Class::Network, e))?;
        if lead.stage() == Stage::Done {
            let free = lead.is_free();
            return Ok((lead.outcome(), free));
        }
        // Before anyone is asked for a vector: if this node stops, it can still ask for the round to be given up.
        if let Some(attempt) = lead.attempt().filter(|_| !kept) {
            node.rounds.put_attempt(&plan.id(), &attempt)?;
            kept = true;
        }
    }
}

fn explained(failed: Failed) -> NodeError {
    match &failed {
        Failed::TooFew { grounds, .. } if !grounds.is_empty() => {
            let grounds: Vec<String> = grounds.iter().map(ToString::to_string).collect();
            NodeError::refused(format!("{failed}; refused on the ground {}", grounds.join(", ")))
        }
        Failed::Flaw(flaw) => NodeError::input(flaw.clone()),
        _ => NodeError::new(Class::Network, failed),
    }
}

/// The release of an earlier round on `plan`, if this node has it.
fn stored(node: &Node, plan: &Plan) -> Result<Option<Signed<Release>>, NodeError> {
    let Some(id) = node.rounds.released(&plan.id())? else { return Ok(None) };
    let Some(json) = node.documents.read(&id)? else { return Ok(None) };
    Envelope::from_json(&json).and_then(Envelope::open).map(Some).map_err(NodeError::invalid)
}

/// Asks all of a stage at once, and hands the coordinator what they reply, until all did or patience ends.
async fn ask_all(rounds: &Arc<Rounds>, lead: &mut Coordinator, sends: Vec<Send>, patience: Duration) {
    let until = Instant::now() + patience;
    let mut asking = JoinSet::new();
    for send in sends {
        let rounds = Arc::clone(rounds);
        asking.spawn(async move { (send.to, ask(&rounds, send, until).await) });
    }
    while let Ok(Some(asked)) = tokio::time::timeout_at(until, asking.join_next()).await {
        match asked {
            Ok((from, Some((told, beside)))) => lead.heard(from, told, beside),
            Ok((from, None)) => lead.lost(&from),
            Err(error) => tracing::error!(%error, "a question's task ended"),
        }
    }
}

/// Asks one party until it replies or it is too late.
async fn ask(rounds: &Arc<Rounds>, send: Send, until: Instant) -> Option<(Told, Vec<u8>)> {
    let Send { to, ask, beside } = send;
    let absent = Instant::now() + ABSENT;
    loop {
        let why = match rounds.ask(to, ask.clone(), &beside).await {
            Ok((Told::Declined { why: Declined::Busy }, _)) => "busy".to_owned(),
            Ok((Told::Declined { why }, _)) => {
                tracing::info!(member = to.short(), ?why, "declined");
                return None;
            }
            Ok(told) => return Some(told),
            Err(RequestError::NotConnected | RequestError::Blocked) if Instant::now() > absent => {
                return gone(to, "not connected");
            }
            Err(RequestError::Unsupported) => return gone(to, "it speaks no rounds"),
            Err(error) => error.to_string(),
        };
        if Instant::now() + AGAIN >= until {
            return gone(to, &why);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn gone<T>(member: NodeId, why: &str) -> Option<T> {
    tracing::info!(member = member.short(), why, "no answer");
    None
}

fn step(stage: Stage) -> u64 {
    match stage {
        Stage::Freeing | Stage::Convening => 0,
        Stage::Drawing => 1,
        Stage::Opening => 2,
        Stage::Contributing => 3,
        Stage::Closing => 4,
        Stage::Preparing => 5,
        Stage::Including => 6,
        Stage::Revealing => 7,
        Stage::Countersigning => 8,
        Stage::Aborting | Stage::Done => STAGES,
    }
}
