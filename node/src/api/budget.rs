//! What was spent, and what a question would cost.

use std::collections::BTreeMap;

use hedgerow_protocol::{
    document::{Charter, Signed},
    privacy::{Account, Spent as Of, Unit},
    release::Expected,
    statistic::{Mode, Query},
};

use super::outcome::{ChargeView, ExpectedView, LedgerView, Spent, YearView};
use crate::{error::NodeError, node::Node};

/// The ledger, for people.
pub(super) fn ledger(
    node: &Node,
    name_of: impl Fn(hedgerow_protocol::id::NodeId) -> String,
) -> Result<LedgerView, NodeError> {
    let federation = node.federation()?;
    let charges = federation.ledger.charges()?;
    federation.ledger.look(|accountant| {
        let caps = accountant.caps();
        let spent = |cap, of: Of<'_>| Spent { cap_micros: cap, spent_micros: accountant.comes_to(of) };
        let purposes = caps.by_purpose.iter().map(|(code, cap)| (code.clone(), spent(*cap, Of::For(code))));
        let mut askers = BTreeMap::new();
        for member in &federation.charter.document().members {
            let own = spent(caps.by_asker.unwrap_or(caps.total), Of::By(&member.id));
            if own.spent_micros.micros() > 0 {
                askers.insert(name_of(member.id), own);
            }
        }
        let years = accountant
            .years()
            .map(|year| YearView { year, spent_micros: accountant.comes_to_in(year, Of::InAll) });
        Ok(LedgerView {
            accounting: caps.accounting,
            unit: caps.unit,
            total: spent(caps.total, Of::InAll),
            purposes: purposes.collect(),
            askers,
            years: years.collect(),
            charges: charges
                .into_iter()
                .map(|c| ChargeView {
                    at: c.at,
                    purpose: c.purpose,
                    epsilon_micros: c.epsilon,
                    asker: name_of(c.asker),
                    plan: c.plan.short(),
                    years: c.years.filter(|_| caps.unit == Unit::PersonYear),
                })
                .collect(),
        })
    })
}

/// What `query` would cost and how accurate its answer would be, if all members take part. With `half_width`, at the
/// least epsilon whose intervals reach no further.
pub(super) fn expect(
    node: &Node,
    mut query: Query,
    half_width: Option<u64>,
) -> Result<ExpectedView, NodeError> {
    let federation = node.federation()?;
    let charter: &Signed<Charter> = &federation.charter;
    let members = charter.document().members.len();
    if let Some(half_width) = half_width {
        query.epsilon =
            Expected::epsilon_for(&query, charter, members, half_width).map_err(NodeError::input)?;
    }
    // The same checks as for a question that is asked, and its signature is thrown away.
    let (_, plan) = node.question(query.clone())?;
    let expected = Expected::of(&query, charter, members).map_err(NodeError::input)?;
    let account = Account { purpose: &query.purpose, asker: node.id(), years: plan.years() };
    let left = federation.ledger.look(|accountant| accountant.affords(account));
    let free = match plan.mode() {
        Mode::Round => node.rounds.released(&plan.id())?.is_some(),
        Mode::Local => federation.ledger.answer(&plan.id())?.is_some(),
    };
    Ok(ExpectedView {
        epsilon_micros: query.epsilon,
        free,
        left_micros: left,
        mode: plan.mode(),
        members,
        groups: plan.groups(),
        cells_per_person: plan.cells_per_person(),
        per_cell: plan.per_cell(),
        release_period: plan.release_period().to_owned(),
        deviation: expected.deviation,
        half_width: expected.interval.half_width,
        mechanism: expected.mechanism,
        passed_over_deviation: expected.passed_over.map(|other| (other.variance() * members as f64).sqrt()),
        guarantee: expected.guarantee,
    })
}
