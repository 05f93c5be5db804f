//! Terms and rounds for tests of this module.

use super::*;
use crate::{
    document::{NodeSecret, Signed, charter::samples::*},
    id::{Digest, Id, NodeId},
    statistic::{Axis, Measure, Mode, Period, Plan, Query},
    time::Timestamp,
    vocabulary::Dimension,
};

pub(crate) fn at() -> Timestamp {
    "2026-02-01T12:00:00Z".parse().unwrap()
}

/// A query for a round by tactic and quarter.
pub(crate) fn query(members: u8, epsilon: &str) -> Query {
    Query {
        version: 2,
        charter: signed_charter_with_rounds(members).id(),
        mode: Mode::Round,
        measure: Measure::People,
        indicators: vec![],
        conditions: vec![],
        period: Some(Period { from: "2025-Q1".parse().unwrap(), to: "2025-Q2".parse().unwrap() }),
        group_by: vec![Axis::Coded(Dimension::Tactic), Axis::Quarter],
        cells_per_person: None,
        purpose: "research".into(),
        need: "a test".into(),
        epsilon: epsilon.parse().unwrap(),
        asked_at: at(),
        expires_at: at().plus_seconds(600),
    }
}

pub(crate) fn terms(members: u8, epsilon: &str) -> Terms {
    let charter = signed_charter_with_rounds(members);
    Terms::new(Plan::new(&query(members, epsilon), &charter).unwrap(), &charter).unwrap()
}

/// A round of all members of the sample charter, led by the first.
pub(crate) fn round(members: u8, epsilon: &str) -> Round {
    let terms = terms(members, epsilon);
    let mut ids: Vec<_> = (1..=members).map(|n| secret(n).node_id()).collect();
    ids.sort_unstable();
    let roster = Roster {
        version: 1,
        charter: signed_charter_with_rounds(members).id(),
        query: Id::of(b"a query"),
        plan: terms.id(),
        seats: ids.iter().map(|id| Seat { member: *id, draw: draw(&nonce(id)) }).collect(),
        parameters: Parameters::new(&terms, usize::from(members), None).unwrap(),
        made_at: at(),
    };
    let lead: NodeSecret = secret(1);
    let nonces = ids.iter().map(nonce).collect();
    Round::new(Signed::new(roster, &lead).unwrap(), nonces, terms, lead.node_id()).unwrap()
}

/// What a member draws.
pub(crate) fn nonce(member: &NodeId) -> Digest {
    Digest::of(member.as_bytes())
}
