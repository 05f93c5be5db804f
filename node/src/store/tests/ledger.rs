//! The power goes between a charge and its answer: the charge is there, and is used instead of a second one.

use std::{path::Path, sync::Arc};

use hedgerow_protocol::{
    document::{NodeSecret, Signed},
    id::Id,
    privacy::{AuthoriseError, Caps, Charge, MicroEpsilon, Spent},
    round::{NoisedShare, Roster},
    statistic::{Ground, Plan, Refusal},
    time::Timestamp,
};

use super::*;

fn at() -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000).unwrap()
}

fn caps() -> Caps {
    let cap = MicroEpsilon::from_micros(10);
    Caps { total: cap, by_purpose: [("research".to_owned(), cap)].into(), ..no_caps() }
}

fn plan(n: u8) -> Id<Plan> {
    Id::of(&[n])
}

fn round(n: u8) -> Id<Roster> {
    Id::of(&[n])
}

/// A charge of 4 of the 10 millionths that there are.
fn charge(plan: Id<Plan>, round: Option<Id<Roster>>) -> Charge {
    Charge {
        plan,
        round,
        purpose: "research".into(),
        epsilon: MicroEpsilon::from_micros(4),
        years: None,
        asker: NodeSecret::from_seed(&[1; 32]).node_id(),
        at: at(),
    }
}

/// The vault as it is after the node was stopped.
fn after_a_stop(home: &Path) -> (Ledger, Rounds) {
    let vault = reopened(home);
    (Ledger::open(Arc::clone(&vault), caps()).unwrap(), Rounds::new(vault))
}

/// What is spent, and by how many charges on disk.
fn spent(ledger: &Ledger) -> (u64, usize) {
    (ledger.look(|a| a.comes_to(Spent::InAll)).micros(), ledger.charges().unwrap().len())
}

#[test]
fn a_charge_without_an_answer_survives_a_stop_and_pays_for_the_answer_that_is_given_later() {
    let dir = tempfile::tempdir().unwrap();
    let first = charge(plan(1), None);
    {
        let ledger = Ledger::open(vault(dir.path()), caps()).unwrap();
        let _permit = ledger.authorise(&first).unwrap();
    }
    {
        let (ledger, _) = after_a_stop(dir.path());
        assert_eq!(spent(&ledger), (4, 1), "charged, though nothing was answered");
        assert!(ledger.answer(&plan(1)).unwrap().is_none());
        let permit = ledger.authorise(&first).unwrap();
        assert_eq!((permit.plan(), permit.epsilon()), (plan(1), first.epsilon));
        assert_eq!(spent(&ledger), (4, 1), "the same plan is not paid for twice");
        // Stopped again before the answer was kept.
    }
    let answer = Refusal { version: 1, query: Id::of(b"query"), ground: Ground::Clock, made_at: at() };
    let answer = Signed::new(answer, &NodeSecret::from_seed(&[2; 32])).unwrap();
    {
        let (ledger, _) = after_a_stop(dir.path());
        let _permit = ledger.authorise(&first).unwrap();
        ledger.put_answer(&plan(1), answer.envelope()).unwrap();
        let _another = ledger.authorise(&charge(plan(2), None)).unwrap();
        assert_eq!(spent(&ledger), (8, 2), "another plan is charged anew");
    }
    let (ledger, _) = after_a_stop(dir.path());
    assert_eq!(spent(&ledger), (8, 2));
    assert_eq!(ledger.answer(&plan(1)).unwrap().as_ref(), Some(answer.envelope()));
    assert!(matches!(ledger.authorise(&first), Err(AuthoriseError::AlreadyCharged)), "it has its answer");
    assert!(matches!(ledger.authorise(&charge(plan(3), None)), Err(AuthoriseError::OverBudget(_))));
    let _permit = ledger.authorise(&charge(plan(2), None)).unwrap();
    assert_eq!(spent(&ledger), (8, 2), "full, and what is paid for is still answered");
}

/// A vector as it lies in the vault, made for the round under which it was charged.
fn kept(plan: Id<Plan>, round: Id<Roster>) -> NoisedShare {
    let json = serde_json::json!({
        "plan": plan, "paid": round, "round": round, "aggregators": [],
        "mechanism": {"kind": "discrete_gaussian", "sigma_sixteenths": 32}, "merged": false, "values": [3, -1],
    });
    NoisedShare::from_vault(json.to_string().as_bytes()).unwrap()
}

#[test]
fn a_charge_for_a_round_whose_vector_was_not_kept_pays_for_the_next_round() {
    let dir = tempfile::tempdir().unwrap();
    {
        let ledger = Ledger::open(vault(dir.path()), caps()).unwrap();
        let _permit = ledger.authorise(&charge(plan(1), Some(round(1)))).unwrap();
    }
    {
        let (ledger, rounds) = after_a_stop(dir.path());
        assert_eq!(spent(&ledger), (4, 1));
        assert!(rounds.kept(&plan(1)).unwrap().is_none());
        let permit = ledger.authorise(&charge(plan(1), Some(round(2)))).unwrap();
        assert_eq!(permit.paid(), Some(round(1)), "under the charge that is there");
        assert_eq!(spent(&ledger), (4, 1));
        rounds.keep(&kept(plan(1), round(1))).unwrap();
    }
    let (ledger, _) = after_a_stop(dir.path());
    let permit = ledger.authorise(&charge(plan(1), Some(round(3)))).unwrap();
    assert_eq!(permit.paid(), Some(round(3)), "the vector was kept: another costs anew");
    assert_eq!(spent(&ledger), (8, 2));
}

#[test]
fn a_vector_that_was_kept_and_never_sent_is_there_after_a_stop_under_its_one_charge() {
    let dir = tempfile::tempdir().unwrap();
    let share = kept(plan(1), round(1));
    {
        let vault = vault(dir.path());
        let ledger = Ledger::open(Arc::clone(&vault), caps()).unwrap();
        let _permit = ledger.authorise(&charge(plan(1), Some(round(1)))).unwrap();
        Rounds::new(vault).keep(&share).unwrap();
    }
    let (ledger, rounds) = after_a_stop(dir.path());
    assert_eq!(spent(&ledger), (4, 1));
    let again = rounds.kept(&plan(1)).unwrap().unwrap();
    assert_eq!(
        again.to_vault().unwrap(),
        share.to_vault().unwrap(),
        "the same vector, to be handed in elsewhere"
    );
    let once_more = ledger.authorise(&charge(plan(1), Some(round(1))));
    assert!(matches!(once_more, Err(AuthoriseError::AlreadyCharged)), "no second vector for one charge");
    assert_eq!(spent(&ledger), (4, 1));
}
