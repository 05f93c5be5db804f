//! Privacy budget in whole micro-epsilons, and the permit that one charge buys
//! (docs/protocol.md §4; sequential composition of pure epsilon, Dwork and Roth 2014, Theorem 3.16;
//! privacy filter, Rogers, Roth, Ullman and Vadhan 2016).

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    id::{Id, NodeId},
    round::Roster,
    statistic::Plan,
    time::Timestamp,
};

/// A privacy loss in millionths of epsilon. Written in documents as an integer, by people as a decimal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroEpsilon(u64);

/// What is wrong with an epsilon as typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an epsilon is a decimal such as 0.5, more than 0, at most 1000, with at most six decimals")]
pub struct EpsilonError;

impl MicroEpsilon {
    /// Largest epsilon that any document may name: 1000.
    pub const MAX: Self = Self(1_000_000_000);

    /// An epsilon of `micros` millionths.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Millionths of epsilon.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// `self + other`, or nothing if that cannot be counted.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// What is left of `self` after `spent`; zero if nothing is.
    pub const fn saturating_sub(self, spent: Self) -> Self {
        Self(self.0.saturating_sub(spent.0))
    }

    /// The loss of a group of `n`: n times the loss of one (Dwork and Roth 2014, Theorem 2.2).
    pub const fn times(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }
}

impl fmt::Display for MicroEpsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if micros == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{micros:06}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

impl FromStr for MicroEpsilon {
    type Err = EpsilonError;

    /// Reads a decimal exactly; no floating point on the way.
    fn from_str(s: &str) -> Result<Self, EpsilonError> {
        let (whole, decimals) = s.split_once('.').unwrap_or((s, "0"));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || whole.len() > 4 || decimals.len() > 6 {
            return Err(EpsilonError);
        }
        let micros = format!("{whole}{decimals:0<6}").parse().map_err(|_| EpsilonError)?;
        if micros == 0 || micros > Self::MAX.0 { Err(EpsilonError) } else { Ok(Self(micros)) }
    }
}

/// One entry of a node's ledger: what a plan cost, who asked and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    /// The plan paid for. A plan names its release period, so in mode `local` it is paid for once in each.
    pub plan: Id<Plan>,
    /// The round paid for; none in mode `local`. A round on a plan may come to nothing, and another cost again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<Id<Roster>>,
    /// The charter's purpose code.
    pub purpose: String,
    /// The price.
    #[serde(rename = "epsilon_micros")]
    pub epsilon: MicroEpsilon,
    /// The member who asked.
    pub asker: NodeId,
    /// When it was charged, by this node's clock.
    pub at: Timestamp,
}

/// What may be spent, from the charter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Over all purposes.
    pub total: MicroEpsilon,
    /// By purpose code; a purpose that is not here may spend nothing.
    pub by_purpose: BTreeMap<String, MicroEpsilon>,
}

/// A charge that would pass a cap. Names the cap and what is left, which depend on queries alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverBudget {
    /// The charter has no such purpose.
    #[error("the charter knows no purpose {0:?}")]
    UnknownPurpose(String),
    /// So little is asked that it would be nearly free to ask for ever.
    #[error("epsilon {asked} is less than {least}, the least that the charter lets a question cost")]
    TooLittle {
        /// Asked for.
        asked: MicroEpsilon,
        /// A thousandth of the charter's total.
        least: MicroEpsilon,
    },
    /// The purpose's cap would be passed.
    #[error(
        "epsilon {asked} for {purpose} is more than the {left} left of it; ask for less or another period"
    )]
    Purpose {
        /// Purpose code.
        purpose: String,
        /// Asked for.
        asked: MicroEpsilon,
        /// Still left.
        left: MicroEpsilon,
    },
    /// The total cap would be passed.
    #[error("epsilon {asked} is more than the {left} left in total; ask for less or another period")]
    Total {
        /// Asked for.
        asked: MicroEpsilon,
        /// Still left.
        left: MicroEpsilon,
    },
}

/// Why no permit was given.
#[derive(Debug, thiserror::Error)]
pub enum AuthoriseError<E> {
    /// A cap would be passed; nothing was charged.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The plan was charged already; its stored answer is to be sent again, at no cost.
    #[error("this plan, or this round, was charged before")]
    AlreadyCharged,
    /// The charge could not be made durable. It counts as spent until the ledger is read again.
    #[error("the charge could not be written: {0}")]
    NotWritten(E),
}

/// The right to noise one exact vector of one plan, once. Comes only from a durable charge.
///
/// Not `Clone`, without public fields or constructor: what holds a permit has been paid for.
#[derive(Debug)]
#[must_use = "a permit is paid for"]
pub struct Permit {
    plan: Id<Plan>,
    paid: Option<Id<Roster>>,
    epsilon: MicroEpsilon,
}

impl Permit {
    /// The plan paid for.
    pub const fn plan(&self) -> Id<Plan> {
        self.plan
    }

    /// The round under which it was charged; none in mode `local`.
    pub const fn paid(&self) -> Option<Id<Roster>> {
        self.paid
    }

    /// The epsilon paid.
    pub const fn epsilon(&self) -> MicroEpsilon {
        self.epsilon
    }
}

/// The filter over one node's charges: refuses what would pass a cap and stays usable.
#[derive(Debug)]
pub struct Accountant {
    caps: Caps,
    spent: MicroEpsilon,
    spent_by_purpose: BTreeMap<String, MicroEpsilon>,
    /// The last charge of each plan: its round.
    charged: BTreeMap<Id<Plan>, Option<Id<Roster>>>,
    /// Charged, but no answer was stored: the node stopped in between, so nothing left it.
    unused: BTreeMap<Id<Plan>, (Option<Id<Roster>>, MicroEpsilon)>,
}

impl Accountant {
    /// Rebuilds the filter from the ledger. `answered` tells for which charges an answer was stored.
    ///
    /// A plan whose last charge was never answered paid for nothing that left, so it can be used once more
    /// without paying twice. Of earlier charges of the same plan something may have left: they stay spent.
    pub fn replay<'a>(
        caps: Caps,
        charges: impl IntoIterator<Item = &'a Charge>,
        answered: impl Fn(&Charge) -> bool,
    ) -> Self {
        let mut accountant = Self {
            caps,
            spent: MicroEpsilon::default(),
            spent_by_purpose: BTreeMap::new(),
            charged: BTreeMap::new(),
            unused: BTreeMap::new(),
        };
        for charge in charges {
            accountant.count(charge);
            if answered(charge) {
                accountant.unused.remove(&charge.plan);
            } else {
                accountant.unused.insert(charge.plan, (charge.round, charge.epsilon));
            }
        }
        accountant
    }

    /// Charges and gives the permit, or says why not. `write` must return only once the charge is on disk
    /// and synced; the charge is counted before it is called, so a failure can overcharge, never undercharge.
    pub fn authorise<E>(
        &mut self,
        charge: &Charge,
        write: impl FnOnce(&Charge) -> Result<(), E>,
    ) -> Result<Permit, AuthoriseError<E>> {
        if let Some((paid, epsilon)) = self.unused.remove(&charge.plan) {
            return Ok(Permit { plan: charge.plan, paid, epsilon });
        }
        if self.charged.get(&charge.plan).is_some_and(|last| charge.round.is_none() || *last == charge.round)
        {
            return Err(AuthoriseError::AlreadyCharged);
        }
        self.affordable(&charge.purpose, charge.epsilon)?;
        self.count(charge);
        write(charge).map_err(AuthoriseError::NotWritten)?;
        Ok(Permit { plan: charge.plan, paid: charge.round, epsilon: charge.epsilon })
    }

    /// Whether `epsilon` for `purpose` stays within every cap.
    pub fn affordable(&self, purpose: &str, epsilon: MicroEpsilon) -> Result<(), OverBudget> {
        let Some(cap) = self.caps.by_purpose.get(purpose) else {
            return Err(OverBudget::UnknownPurpose(purpose.to_owned()));
        };
        let left = cap.saturating_sub(self.spent_for(purpose));
        if epsilon > left {
            return Err(OverBudget::Purpose { purpose: purpose.to_owned(), asked: epsilon, left });
        }
        let left = self.caps.total.saturating_sub(self.spent);
        if epsilon > left { Err(OverBudget::Total { asked: epsilon, left }) } else { Ok(()) }
    }

    /// Spent over all purposes.
    pub const fn spent(&self) -> MicroEpsilon {
        self.spent
    }

    /// Spent for one purpose.
    pub fn spent_for(&self, purpose: &str) -> MicroEpsilon {
        self.spent_by_purpose.get(purpose).copied().unwrap_or_default()
    }

    /// The caps.
    pub const fn caps(&self) -> &Caps {
        &self.caps
    }

    fn count(&mut self, charge: &Charge) {
        let add = |a: MicroEpsilon| MicroEpsilon(a.0.saturating_add(charge.epsilon.0));
        self.spent = add(self.spent);
        let purpose = self.spent_by_purpose.entry(charge.purpose.clone()).or_default();
        *purpose = add(*purpose);
        self.charged.insert(charge.plan, charge.round);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::document::NodeSecret;

    fn caps(total: u64, research: u64) -> Caps {
        Caps {
            total: MicroEpsilon(total),
            by_purpose: BTreeMap::from([
                ("research".into(), MicroEpsilon(research)),
                ("advocacy".into(), MicroEpsilon(total)),
            ]),
        }
    }

    fn charge(n: u64, purpose: &str, micros: u64) -> Charge {
        Charge {
            plan: Id::of(&n.to_be_bytes()),
            round: None,
            purpose: purpose.into(),
            epsilon: MicroEpsilon(micros),
            asker: NodeSecret::from_seed(&[1; 32]).node_id(),
            at: Timestamp::from_unix_seconds(0).unwrap(),
        }
    }

    fn empty(total: u64, research: u64) -> Accountant {
        Accountant::replay(caps(total, research), [], |_| true)
    }

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        for (text, micros) in [("0.5", 500_000), ("1", 1_000_000), ("0.000001", 1), ("1000", 1_000_000_000)] {
            assert_eq!(text.parse(), Ok(MicroEpsilon(micros)));
            assert_eq!(MicroEpsilon(micros).to_string(), text);
        }
        for bad in ["", "0", "0.0", "-1", "+1", "1e3", ".5", "1.", "0.0000001", "1000.1", "NaN", "99999"] {
            assert_eq!(bad.parse::<MicroEpsilon>(), Err(EpsilonError), "{bad}");
        }
    }

    #[test]
    fn a_charge_past_a_cap_is_refused_and_the_filter_stays_usable() {
        let mut a = empty(10, 5);
        let _ = a.authorise(&charge(1, "research", 4), |_| Ok::<_, ()>(())).unwrap();
        let refused = a.authorise(&charge(2, "research", 2), |_| Ok::<_, ()>(())).unwrap_err();
        assert!(
            matches!(refused, AuthoriseError::OverBudget(OverBudget::Purpose { left, .. }) if left.0 == 1)
        );
        let _ = a.authorise(&charge(3, "advocacy", 6), |_| Ok::<_, ()>(())).unwrap();
        let refused = a.authorise(&charge(4, "research", 1), |_| Ok::<_, ()>(())).unwrap_err();
        assert!(matches!(refused, AuthoriseError::OverBudget(OverBudget::Total { left, .. }) if left.0 == 0));
        let refused = a.authorise(&charge(5, "gossip", 1), |_| Ok::<_, ()>(())).unwrap_err();
        assert!(matches!(refused, AuthoriseError::OverBudget(OverBudget::UnknownPurpose(_))));
        assert_eq!(a.spent(), MicroEpsilon(10));
    }

    #[test]
    fn a_charge_that_could_not_be_written_counts_all_the_same() {
        let mut a = empty(10, 10);
        assert!(matches!(
            a.authorise(&charge(1, "research", 6), |_| Err("full")),
            Err(AuthoriseError::NotWritten("full"))
        ));
        assert_eq!(a.spent(), MicroEpsilon(6));
        assert!(a.authorise(&charge(2, "research", 6), |_| Ok::<_, ()>(())).is_err());
    }

    #[test]
    fn one_charge_buys_one_permit() {
        let mut a = empty(10, 10);
        let _ = a.authorise(&charge(1, "research", 2), |_| Ok::<_, ()>(())).unwrap();
        assert!(matches!(
            a.authorise(&charge(1, "research", 2), |_| Ok::<_, ()>(())),
            Err(AuthoriseError::AlreadyCharged)
        ));
        assert_eq!(a.spent(), MicroEpsilon(2));
    }

    #[test]
    fn a_charge_whose_answer_was_never_stored_is_used_without_paying_twice() {
        let paid = charge(1, "research", 2);
        let mut a = Accountant::replay(caps(10, 10), [&paid], |_| false);
        let permit = a.authorise(&paid, |_| -> Result<(), ()> { panic!("paid twice") }).unwrap();
        assert_eq!(permit.epsilon(), MicroEpsilon(2));
        assert_eq!(a.spent(), MicroEpsilon(2));
        assert!(matches!(a.authorise(&paid, |_| Ok::<_, ()>(())), Err(AuthoriseError::AlreadyCharged)));
    }

    #[test]
    fn another_round_on_a_plan_costs_again_and_the_same_one_never() {
        let mut a = empty(10, 10);
        let round = |n: u8| Charge { round: Some(Id::of(&[n])), ..charge(1, "research", 2) };
        let _ = a.authorise(&round(1), |_| Ok::<_, ()>(())).unwrap();
        assert!(matches!(a.authorise(&round(1), |_| Ok::<_, ()>(())), Err(AuthoriseError::AlreadyCharged)));
        let _ = a.authorise(&round(2), |_| Ok::<_, ()>(())).unwrap();
        assert_eq!(a.spent(), MicroEpsilon(4));
        // The node stopped after the second charge and before the vector was kept: the next round uses it.
        let answered = |c: &Charge| c.round == round(1).round;
        let mut again = Accountant::replay(caps(10, 10), &[round(1), round(2)], answered);
        let permit = again.authorise(&round(3), |_| -> Result<(), ()> { panic!("paid twice") }).unwrap();
        assert_eq!((permit.paid(), again.spent()), (round(2).round, MicroEpsilon(4)));
    }

    proptest! {
        #[test]
        fn what_was_permitted_never_passes_a_cap_and_replays_to_the_same(
            asks in prop::collection::vec((0u64..50, any::<bool>()), 0..60)
        ) {
            let mut a = empty(200, 90);
            let mut written = Vec::new();
            for (n, (micros, research)) in asks.into_iter().enumerate() {
                let c = charge(n as u64, if research { "research" } else { "advocacy" }, micros);
                let _ = a.authorise(&c, |c| { written.push(c.clone()); Ok::<_, ()>(()) });
            }
            prop_assert!(a.spent() <= a.caps().total);
            prop_assert!(a.spent_for("research").0 <= 90);
            let again = Accountant::replay(caps(200, 90), &written, |_| true);
            prop_assert_eq!(again.spent(), a.spent());
            prop_assert_eq!(again.spent_for("research"), a.spent_for("research"));
        }
    }
}
