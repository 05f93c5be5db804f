//! The filter over one node's charges, and the permit that one charge buys (docs/protocol.md §4; sequential
//! composition of pure epsilon, Dwork and Roth 2014, Theorem 3.16, and of zCDP, Bun and Steinke 2016, Lemma 1.7;
//! privacy filter, Rogers, Roth, Ullman and Vadhan 2016; blocks, Lécuyer et al. 2019, arXiv 1909.01502).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    accounting::{Accounting, Unit},
    epsilon::MicroEpsilon,
};
use crate::{
    id::{Id, NodeId},
    round::Roster,
    statistic::Plan,
    time::Timestamp,
};

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
    /// The first and last calendar year whose incidents it may count; none for all years. Read where each year has
    /// a budget of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub years: Option<(i16, i16)>,
    /// When it was charged, by this node's clock.
    pub at: Timestamp,
}

/// What may be spent, from the charter; where each year has a budget of its own, on each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Over all purposes.
    pub total: MicroEpsilon,
    /// By purpose code; a purpose that is not here may spend nothing.
    pub by_purpose: BTreeMap<String, MicroEpsilon>,
    /// On the questions of any one member.
    pub by_asker: Option<MicroEpsilon>,
    /// How it is counted.
    pub accounting: Accounting,
    /// Whether years are counted apart.
    pub unit: Unit,
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
    /// The cap on one member's questions would be passed.
    #[error(
        "epsilon {asked} is more than the {left} left for the questions of one member; ask for less or another period"
    )]
    Asker {
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

/// What was spent on one block, in the ledger's units.
#[derive(Debug, Clone, Default)]
struct Block {
    total: u64,
    by_purpose: BTreeMap<String, u64>,
    by_asker: BTreeMap<NodeId, u64>,
}

impl Block {
    fn add(&mut self, charge: &Charge, price: u64) {
        self.total = self.total.saturating_add(price);
        let purpose = self.by_purpose.entry(charge.purpose.clone()).or_default();
        *purpose = purpose.saturating_add(price);
        let asker = self.by_asker.entry(charge.asker).or_default();
        *asker = asker.saturating_add(price);
    }

    fn for_purpose(&self, purpose: &str) -> u64 {
        self.by_purpose.get(purpose).copied().unwrap_or_default()
    }

    fn for_asker(&self, asker: &NodeId) -> u64 {
        self.by_asker.get(asker).copied().unwrap_or_default()
    }
}

/// A question that covers more years is counted against every year there is.
const MOST_YEARS: i16 = 100;

/// What a question would be charged to.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Purpose code.
    pub purpose: &'a str,
    /// The member who asks.
    pub asker: NodeId,
    /// The years it covers; none for all.
    pub years: Option<(i16, i16)>,
}

impl Charge {
    fn account(&self) -> Account<'_> {
        Account { purpose: &self.purpose, asker: self.asker, years: self.years }
    }
}

/// The filter over one node's charges: refuses what would pass a cap and stays usable.
#[derive(Debug)]
pub struct Accountant {
    caps: Caps,
    /// Charges against every year.
    always: Block,
    /// Charges against some years only; none where years are not counted apart.
    years: BTreeMap<i16, Block>,
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
            always: Block::default(),
            years: BTreeMap::new(),
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
        self.affordable(charge.account(), charge.epsilon)?;
        self.count(charge);
        write(charge).map_err(AuthoriseError::NotWritten)?;
        Ok(Permit { plan: charge.plan, paid: charge.round, epsilon: charge.epsilon })
    }

    /// Whether `epsilon` stays within every cap.
    pub fn affordable(&self, account: Account<'_>, epsilon: MicroEpsilon) -> Result<(), OverBudget> {
        let purpose = account.purpose;
        let Some(cap) = self.caps.by_purpose.get(purpose) else {
            return Err(OverBudget::UnknownPurpose(purpose.to_owned()));
        };
        let price = self.caps.accounting.price(epsilon);
        let left =
            |cap: &MicroEpsilon, spent: u64| self.caps.accounting.allowance(*cap).saturating_sub(spent);
        let affords = |left| self.caps.accounting.affords(left);
        let of_purpose = left(cap, self.spent(account.years, |b| b.for_purpose(purpose)));
        if price > of_purpose {
            let (purpose, left) = (purpose.to_owned(), affords(of_purpose));
            return Err(OverBudget::Purpose { purpose, asked: epsilon, left });
        }
        if let Some(cap) = &self.caps.by_asker {
            let of_asker = left(cap, self.spent(account.years, |b| b.for_asker(&account.asker)));
            if price > of_asker {
                return Err(OverBudget::Asker { asked: epsilon, left: affords(of_asker) });
            }
        }
        let in_all = left(&self.caps.total, self.spent(account.years, |b| b.total));
        if price > in_all {
            return Err(OverBudget::Total { asked: epsilon, left: affords(in_all) });
        }
        Ok(())
    }

    /// The largest epsilon that a question to `account` could ask for now, as far as the ledger goes.
    pub fn affords(&self, account: Account<'_>) -> MicroEpsilon {
        let caps = &self.caps;
        let left = |cap: Option<&MicroEpsilon>, spent: u64| {
            cap.map_or(0, |cap| caps.accounting.allowance(*cap).saturating_sub(spent))
        };
        let mut least = left(Some(&caps.total), self.spent(account.years, |b| b.total));
        let purpose = self.spent(account.years, |b| b.for_purpose(account.purpose));
        least = least.min(left(caps.by_purpose.get(account.purpose), purpose));
        if let Some(cap) = &caps.by_asker {
            least = least.min(left(Some(cap), self.spent(account.years, |b| b.for_asker(&account.asker))));
        }
        caps.accounting.affords(least)
    }

    /// What the charges come to that `of` picks, over all purposes or for some; where years are counted apart,
    /// those of the year on which most was spent.
    pub fn comes_to(&self, of: Spent<'_>) -> MicroEpsilon {
        self.caps.accounting.comes_to(self.spent(None, |block| of.pick(block)))
    }

    /// The same for one year.
    pub fn comes_to_in(&self, year: i16, of: Spent<'_>) -> MicroEpsilon {
        self.caps.accounting.comes_to(self.spent(Some((year, year)), |block| of.pick(block)))
    }

    /// Years against which something was charged apart from all others.
    pub fn years(&self) -> impl Iterator<Item = i16> {
        self.years.keys().copied()
    }

    /// The caps.
    pub const fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Units spent on the block of `years` on which most was.
    fn spent(&self, years: Option<(i16, i16)>, of: impl Fn(&Block) -> u64) -> u64 {
        let apart = match self.apart(years) {
            Some((from, to)) => self.years.range(from..=to).map(|(_, block)| of(block)).max(),
            None => self.years.values().map(&of).max(),
        };
        of(&self.always).saturating_add(apart.unwrap_or_default())
    }

    /// The years to be charged apart; none for all.
    fn apart(&self, years: Option<(i16, i16)>) -> Option<(i16, i16)> {
        let few = |(from, to): &(i16, i16)| from <= to && to.saturating_sub(*from) < MOST_YEARS;
        years.filter(|years| self.caps.unit == Unit::PersonYear && few(years))
    }

    fn count(&mut self, charge: &Charge) {
        let price = self.caps.accounting.price(charge.epsilon);
        match self.apart(charge.years) {
            Some((from, to)) => {
                (from..=to).for_each(|year| self.years.entry(year).or_default().add(charge, price));
            }
            None => self.always.add(charge, price),
        }
        self.charged.insert(charge.plan, charge.round);
    }
}

/// Which charges are added up.
#[derive(Debug, Clone, Copy)]
pub enum Spent<'a> {
    /// All.
    InAll,
    /// Those for a purpose.
    For(&'a str),
    /// Those on one member's questions.
    By(&'a NodeId),
}

impl Spent<'_> {
    fn pick(self, block: &Block) -> u64 {
        match self {
            Self::InAll => block.total,
            Self::For(purpose) => block.for_purpose(purpose),
            Self::By(asker) => block.for_asker(asker),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::document::NodeSecret;

    fn caps(total: u64, research: u64) -> Caps {
        Caps {
            total: MicroEpsilon::from_micros(total),
            by_purpose: BTreeMap::from([
                ("research".into(), MicroEpsilon::from_micros(research)),
                ("advocacy".into(), MicroEpsilon::from_micros(total)),
            ]),
            by_asker: None,
            accounting: Accounting::Pure,
            unit: Unit::Person,
        }
    }

    fn charge(n: u64, purpose: &str, micros: u64) -> Charge {
        Charge {
            plan: Id::of(&n.to_be_bytes()),
            round: None,
            purpose: purpose.into(),
            epsilon: MicroEpsilon::from_micros(micros),
            years: None,
            asker: NodeSecret::from_seed(&[1; 32]).node_id(),
            at: Timestamp::from_unix_seconds(0).unwrap(),
        }
    }

    fn empty(total: u64, research: u64) -> Accountant {
        Accountant::replay(caps(total, research), [], |_| true)
    }

    #[test]
    fn a_charge_past_a_cap_is_refused_and_the_filter_stays_usable() {
        let mut a = empty(10, 5);
        let _ = a.authorise(&charge(1, "research", 4), |_| Ok::<_, ()>(())).unwrap();
        let refused = a.authorise(&charge(2, "research", 2), |_| Ok::<_, ()>(())).unwrap_err();
        assert!(
            matches!(refused, AuthoriseError::OverBudget(OverBudget::Purpose { left, .. }) if left.micros() == 1)
        );
        let _ = a.authorise(&charge(3, "advocacy", 6), |_| Ok::<_, ()>(())).unwrap();
        let refused = a.authorise(&charge(4, "research", 1), |_| Ok::<_, ()>(())).unwrap_err();
        assert!(
            matches!(refused, AuthoriseError::OverBudget(OverBudget::Total { left, .. }) if left.micros() == 0)
        );
        let refused = a.authorise(&charge(5, "gossip", 1), |_| Ok::<_, ()>(())).unwrap_err();
        assert!(matches!(refused, AuthoriseError::OverBudget(OverBudget::UnknownPurpose(_))));
        assert_eq!(a.comes_to(Spent::InAll), MicroEpsilon::from_micros(10));
    }

    #[test]
    fn a_charge_that_could_not_be_written_counts_all_the_same() {
        let mut a = empty(10, 10);
        assert!(matches!(
            a.authorise(&charge(1, "research", 6), |_| Err("full")),
            Err(AuthoriseError::NotWritten("full"))
        ));
        assert_eq!(a.comes_to(Spent::InAll), MicroEpsilon::from_micros(6));
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
        assert_eq!(a.comes_to(Spent::InAll), MicroEpsilon::from_micros(2));
    }

    #[test]
    fn a_charge_whose_answer_was_never_stored_is_used_without_paying_twice() {
        let paid = charge(1, "research", 2);
        let mut a = Accountant::replay(caps(10, 10), [&paid], |_| false);
        let permit = a.authorise(&paid, |_| -> Result<(), ()> { panic!("paid twice") }).unwrap();
        assert_eq!(permit.epsilon(), MicroEpsilon::from_micros(2));
        assert_eq!(a.comes_to(Spent::InAll), MicroEpsilon::from_micros(2));
        assert!(matches!(a.authorise(&paid, |_| Ok::<_, ()>(())), Err(AuthoriseError::AlreadyCharged)));
    }

    #[test]
    fn another_round_on_a_plan_costs_again_and_the_same_one_never() {
        let mut a = empty(10, 10);
        let round = |n: u8| Charge { round: Some(Id::of(&[n])), ..charge(1, "research", 2) };
        let _ = a.authorise(&round(1), |_| Ok::<_, ()>(())).unwrap();
        assert!(matches!(a.authorise(&round(1), |_| Ok::<_, ()>(())), Err(AuthoriseError::AlreadyCharged)));
        let _ = a.authorise(&round(2), |_| Ok::<_, ()>(())).unwrap();
        assert_eq!(a.comes_to(Spent::InAll), MicroEpsilon::from_micros(4));
        // The node stopped after the second charge and before the vector was kept: the next round uses it.
        let answered = |c: &Charge| c.round == round(1).round;
        let mut again = Accountant::replay(caps(10, 10), &[round(1), round(2)], answered);
        let permit = again.authorise(&round(3), |_| -> Result<(), ()> { panic!("paid twice") }).unwrap();
        assert_eq!(
            (permit.paid(), again.comes_to(Spent::InAll)),
            (round(2).round, MicroEpsilon::from_micros(4))
        );
    }

    #[test]
    fn the_questions_of_one_member_have_a_cap_of_their_own() {
        let mut caps = caps(10, 10);
        caps.by_asker = Some(MicroEpsilon::from_micros(5));
        let mut a = Accountant::replay(caps, [], |_| true);
        let _ = a.authorise(&charge(1, "research", 4), |_| Ok::<_, ()>(())).unwrap();
        let refused = a.authorise(&charge(2, "advocacy", 2), |_| Ok::<_, ()>(())).unwrap_err();
        assert!(
            matches!(refused, AuthoriseError::OverBudget(OverBudget::Asker { left, .. }) if left.micros() == 1)
        );
        let other = NodeSecret::from_seed(&[2; 32]).node_id();
        let _ =
            a.authorise(&Charge { asker: other, ..charge(3, "advocacy", 5) }, |_| Ok::<_, ()>(())).unwrap();
        assert_eq!(a.comes_to(Spent::By(&other)), MicroEpsilon::from_micros(5));
        let account = Account { purpose: "research", asker: other, years: None };
        assert_eq!(a.affords(account).micros(), 0);
        assert_eq!(a.affords(Account { asker: charge(1, "", 1).asker, ..account }).micros(), 1);
    }

    #[test]
    fn each_year_has_a_budget_of_its_own_and_all_years_share_what_names_none() {
        let mut caps = caps(10, 10);
        caps.unit = Unit::PersonYear;
        let mut a = Accountant::replay(caps.clone(), [], |_| true);
        let mut written = Vec::new();
        let mut ask = |n, years, micros| {
            let c = Charge { years, ..charge(n, "research", micros) };
            let permit = a.authorise(&c, |_| Ok::<_, ()>(()));
            let given = permit.is_ok();
            if given {
                written.push(c)
            }
            given
        };
        assert!(ask(1, Some((2024, 2024)), 8));
        assert!(ask(2, Some((2025, 2025)), 8), "another year");
        assert!(!ask(3, Some((2023, 2024)), 3), "2024 has 2 left");
        assert!(ask(4, None, 2), "every year has 2 left");
        assert!(!ask(5, None, 1) && !ask(6, Some((2025, 2025)), 1));
        assert!(ask(7, Some((2022, 2023)), 8));
        assert!(!ask(8, Some((1, 9999)), 1), "so many years are all years");
        let again = Accountant::replay(caps, &written, |_| true);
        assert_eq!(again.comes_to_in(2024, Spent::InAll).micros(), 10);
        assert_eq!(again.comes_to_in(2021, Spent::InAll).micros(), 2);
        assert_eq!(again.years().collect::<Vec<_>>(), [2022, 2023, 2024, 2025]);
    }

    #[test]
    fn under_zcdp_prices_are_squares_and_what_is_left_is_an_epsilon_to_ask_for() {
        let epsilon = |t: &str| t.parse::<MicroEpsilon>().unwrap();
        let mut caps = caps(8_000_000, 8_000_000);
        caps.accounting = Accounting::Zcdp { delta_e12: 1000 };
        let mut a = Accountant::replay(caps, [], |_| true);
        let account = |a: &Accountant| {
            a.affords(Account { purpose: "research", asker: charge(1, "", 1).asker, years: None })
        };
        let first = account(&a);
        assert!(first > epsilon("1") && first < epsilon("2"), "{first}");
        let mut n = 0;
        while a.authorise(&charge(n, "research", 100_000), |_| Ok::<_, ()>(())).is_ok() {
            n += 1;
        }
        assert!(n > 100, "{n} questions of 0.1; pure epsilon allows 80");
        assert!(a.comes_to(Spent::InAll) <= epsilon("8"));
        let left = account(&a);
        assert!(left < epsilon("0.1"));
        let _ = a.authorise(&charge(n, "research", left.micros()), |_| Ok::<_, ()>(())).unwrap();
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
            prop_assert!(a.comes_to(Spent::InAll) <= a.caps().total);
            prop_assert!(a.comes_to(Spent::For("research")).micros() <= 90);
            let again = Accountant::replay(caps(200, 90), &written, |_| true);
            prop_assert_eq!(again.comes_to(Spent::InAll), a.comes_to(Spent::InAll));
            prop_assert_eq!(again.comes_to(Spent::For("research")), a.comes_to(Spent::For("research")));
        }
    }
}
