//! Checking a release from the release alone (docs/protocol.md §5): no network, no trust in whoever sent it.
//!
//! What it proves: the members of this charter signed these contributions (in a round: commitments to them) for
//! this question, the total is their sum, and the stated noise, interval and guarantee follow from the plan. What
//! it cannot prove: that the charter's keys belong to the groups it names (compare the charter's id with one you
//! trust), and that each node counted truthfully and added its noise.

use serde::Serialize;

use super::{Release, fits, sum};
use crate::{
    document::{Charter, Envelope, EnvelopeError, Signed},
    id::{Id, NodeId},
    limits,
    privacy::{Guarantee, MicroEpsilon},
    round::{Proven, Terms},
    statistic::{Contribution, Ground, Measure, Mode, Plan, Query, Refusal},
    time::Timestamp,
};

/// One named check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name; stable.
    pub name: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What was found, for people.
    pub detail: String,
}

/// What checking a release found.
#[derive(Debug)]
pub struct Report {
    checks: Vec<Check>,
    release: Option<Signed<Release>>,
}

/// The checks, in the order in which they are made.
pub const NAMES: [&str; 11] = [
    "format",
    "signature",
    "charter",
    "query",
    "plan",
    "contributions",
    "accounted",
    "total",
    "guarantee",
    "interval",
    "times",
];

impl Report {
    /// Every check, in order.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Whether every check holds.
    pub fn holds(&self) -> bool {
        self.checks.len() == NAMES.len() && self.checks.iter().all(|c| c.holds)
    }

    /// The release, whatever was found of it; none if it could not be read at all.
    pub const fn unverified(&self) -> Option<&Signed<Release>> {
        self.release.as_ref()
    }

    /// The release, if every check holds.
    pub fn into_verified(self) -> Option<Signed<Release>> {
        if self.holds() { self.release } else { None }
    }

    fn add(&mut self, name: &'static str, found: Result<String, String>) {
        let holds = found.is_ok();
        self.checks.push(Check { name, holds, detail: found.unwrap_or_else(|fault| fault) });
    }

    /// A report that ends early still names every check, those not reached as not holding.
    fn end(mut self) -> Self {
        for name in NAMES.iter().skip(self.checks.len()) {
            self.add(name, Err("not reached".into()));
        }
        self
    }
}

/// Checks the JSON of a release. With `trusted`, the charter must be that one.
pub fn verify(json: &[u8], trusted: Option<Id<Charter>>) -> Report {
    let mut report = Report { checks: Vec::with_capacity(NAMES.len()), release: None };
    let opened = Envelope::from_json(json).and_then(Envelope::open::<Release>);
    let signed = match opened {
        Ok(signed) => signed,
        Err(error @ EnvelopeError::Signature(_)) => {
            report.add("format", Ok("an envelope".into()));
            report.add("signature", Err(error.to_string()));
            return report.end();
        }
        Err(error) => {
            report.add("format", Err(error.to_string()));
            return report.end();
        }
    };
    report.add("format", Ok(format!("release {}", signed.id().short())));
    let release = signed.document().clone();
    let signers = signed.signers().to_vec();
    report.release = Some(signed);
    // The member who asked signs first; of a round, its aggregators countersign.
    let (asker, countersigners) = match (signers.split_first(), release.mode) {
        (Some((asker, [])), _) => (*asker, &[][..]),
        (Some((asker, others)), Mode::Round) => (*asker, others),
        _ => {
            report.add("signature", Err(format!("one signer was expected, not {}", signers.len())));
            return report.end();
        }
    };
    report.add("signature", Ok(format!("signed by {}", asker.short())));
    let Some(charter) = charter(&mut report, &release, trusted) else { return report.end() };
    let Some(query) = query(&mut report, &release, &charter, asker) else { return report.end() };
    let Some(plan) = plan(&mut report, &release, &charter, &query) else { return report.end() };
    let held = held(&release, &charter, &query, &plan, asker, countersigners);
    report.add("contributions", held.as_ref().map(|held| held.described()).map_err(Clone::clone));
    let Ok(held) = held else { return report.end() };
    report.add("accounted", accounted(&release, &charter, &query, &held));
    report.add("total", total(&release, &plan, &held));
    report.add("guarantee", guarantee(&release, &charter, &plan, &held));
    report.add(
        "interval",
        match release.interval.holds_for(&release.mechanism, held.counted()) {
            Ok(true) => Ok(format!("±{} at 95% covers the noise", release.interval.half_width)),
            Ok(false) => Err(format!("±{} is not the interval of this noise", release.interval.half_width)),
            Err(error) => Err(error.to_string()),
        },
    );
    report.add("times", times(&release, &charter, &query, &held));
    report
}

/// What the values come from, its signatures verified.
enum Held {
    /// The members' own noised vectors.
    Contributions(Vec<Signed<Contribution>>),
    /// Commitments, and how many aggregators countersigned.
    Round(Box<Proven>, usize),
}

impl Held {
    /// How many members' counts are in the values.
    fn counted(&self) -> usize {
        match self {
            Self::Contributions(list) => list.len(),
            Self::Round(proven, _) => proven.included(),
        }
    }

    /// Whose counts are in the values.
    fn members(&self) -> Vec<NodeId> {
        match self {
            Self::Contributions(list) => list.iter().filter_map(|c| c.sole_signer().ok()).collect(),
            Self::Round(proven, _) => proven.counted.clone(),
        }
    }

    /// Who consented to a round and whose counts are not in the values.
    fn not_counted(&self) -> &[NodeId] {
        match self {
            Self::Contributions(_) => &[],
            Self::Round(proven, _) => &proven.not_counted,
        }
    }

    fn described(&self) -> String {
        match self {
            Self::Contributions(list) => {
                format!("{} members signed one each, with the plan's noise", list.len())
            }
            Self::Round(proven, countersigned) => format!(
                "{} of {} members on the roster committed to one each; {} aggregators signed the set, {} of them \
                 the release",
                proven.included(),
                proven.round.seats().len(),
                proven.round.aggregators().len(),
                countersigned
            ),
        }
    }
}

fn charter(report: &mut Report, release: &Release, trusted: Option<Id<Charter>>) -> Option<Signed<Charter>> {
    let opened = release.charter.clone().open::<Charter>().map_err(|e| e.to_string()).and_then(|charter| {
        let signatures = charter.member_signatures();
        let quorum = charter.document().quorum;
        if !charter.in_force() {
            return Err(format!("{signatures} members signed it where {quorum} must"));
        }
        match trusted {
            Some(id) if id != charter.id() => {
                Err(format!("its charter is {}, not the trusted {}", charter.id().short(), id.short()))
            }
            _ => Ok(charter),
        }
    });
    report.add(
        "charter",
        match &opened {
            Ok(charter) => Ok(format!(
                "{} ({}), signed by {} of {} members{}",
                charter.document().name,
                charter.id().short(),
                charter.member_signatures(),
                charter.document().members.len(),
                if trusted.is_some() { ", the trusted one" } else { "; compare its id with one you trust" },
            )),
            Err(fault) => Err(fault.clone()),
        },
    );
    opened.ok()
}

fn query(
    report: &mut Report,
    release: &Release,
    charter: &Signed<Charter>,
    asker: NodeId,
) -> Option<Signed<Query>> {
    let opened = release.query.clone().open::<Query>().map_err(|e| e.to_string()).and_then(|query| {
        if charter.document().member(&asker).is_none() {
            return Err(format!("{} is not a member", asker.short()));
        }
        if query.sole_signer().map_err(|f| f.to_string())? != asker {
            return Err("the query was signed by another than the release".into());
        }
        let q = query.document();
        charter.document().allows(&q.purpose, q.epsilon).map_err(|e| e.to_string())?;
        Ok(query)
    });
    report.add(
        "query",
        match &opened {
            Ok(query) => Ok(format!("asked for {:?}: {}", query.document().purpose, query.document().need)),
            Err(fault) => Err(fault.clone()),
        },
    );
    opened.ok()
}

fn plan(
    report: &mut Report,
    release: &Release,
    charter: &Signed<Charter>,
    query: &Signed<Query>,
) -> Option<Plan> {
    let planned = Plan::new(query.document(), charter).map_err(|e| e.to_string()).and_then(|plan| {
        if plan == release.plan { Ok(plan) } else { Err("the plan is not the one of this query".into()) }
    });
    report.add(
        "plan",
        match &planned {
            Ok(plan) => Ok(format!(
                "{} cells, {} counts in at most {} with {} each",
                plan.cells(),
                match plan.measure() {
                    // What one changes.
                    Measure::Groups => "a member, by all that it saw,",
                    _ => "one person",
                },
                plan.cells_per_person(),
                plan.per_cell()
            )),
            Err(fault) => Err(fault.clone()),
        },
    );
    planned.ok()
}

fn held(
    release: &Release,
    charter: &Signed<Charter>,
    query: &Signed<Query>,
    plan: &Plan,
    asker: NodeId,
    countersigners: &[NodeId],
) -> Result<Held, String> {
    let Some(proof) = &release.round else { return contributions(release, charter, plan) };
    let terms = Terms::new(plan.clone(), charter).map_err(|e| e.to_string())?;
    let proven = proof.open(terms, asker).map_err(|e| e.to_string())?;
    if proven.round.roster().document().query != query.id() {
        return Err("the roster is of another query".into());
    }
    if let Some(stranger) = countersigners.iter().find(|c| proven.round.aggregator(c).is_none()) {
        return Err(format!("{} signed the release and is no aggregator of it", stranger.short()));
    }
    let signed = |id: &&NodeId| **id == asker || countersigners.contains(id);
    let countersigned = proven.round.aggregators().iter().filter(signed).count();
    Ok(Held::Round(Box::new(proven), countersigned))
}

fn contributions(release: &Release, charter: &Signed<Charter>, plan: &Plan) -> Result<Held, String> {
    let need = charter.document().privacy.contributions as usize;
    let list = release
        .contributions
        .iter()
        .map(|envelope| {
            let contribution = envelope.clone().open::<Contribution>().map_err(|e| e.to_string())?;
            fits(&contribution, plan, charter.document()).map_err(|e| e.to_string())?;
            Ok(contribution)
        })
        .collect::<Result<Vec<_>, String>>()?;
    if !list.is_sorted_by(|a, b| a.signers().first() < b.signers().first()) {
        Err("a member contributed twice, or they are out of order".into())
    } else if list.len() < need {
        Err(format!("{} contributions where the charter asks for {need}", list.len()))
    } else {
        Ok(Held::Contributions(list))
    }
}

fn total(release: &Release, plan: &Plan, held: &Held) -> Result<String, String> {
    let (cells, counted) = (plan.cells(), held.counted());
    match held {
        Held::Contributions(list) if sum(list, cells) == release.values => {
            Ok(format!("{cells} values are the sums of {counted} contributions"))
        }
        Held::Contributions(_) => Err("the values are not the sum of the contributions".into()),
        Held::Round(proven, _) => match proven.opens(&release.values) {
            Ok(true) => Ok(format!("{cells} values open the commitments of {counted} members")),
            Ok(false) => Err("the values do not open the commitments: the total is false".into()),
            Err(flaw) => Err(flaw.to_string()),
        },
    }
}

/// Every member stands in exactly one list: it contributed, refused, consented and was not counted, or was silent. Who
/// consented and then refused counts as refusing.
fn accounted(
    release: &Release,
    charter: &Signed<Charter>,
    query: &Signed<Query>,
    held: &Held,
) -> Result<String, String> {
    let mut named = held.members();
    let mut refused = Vec::with_capacity(release.refusals.len());
    for envelope in &release.refusals {
        let refusal = envelope.clone().open::<Refusal>().map_err(|e| e.to_string())?;
        let r = refusal.document();
        if r.query != query.id() {
            return Err("a refusal is of another query".into());
        }
        if let Ground::Charter(code) = &r.ground
            && !charter.document().refusal_grounds.iter().any(|g| g.code == *code)
        {
            return Err("a refusal names a ground that the charter does not have".into());
        }
        refused.push(refusal.sole_signer().map_err(|f| f.to_string())?);
    }
    let not_counted = held.not_counted().iter().filter(|m| !refused.contains(m));
    let consented = not_counted.clone().count();
    named.extend(not_counted);
    named.extend(refused);
    named.extend(&release.silent);
    named.sort_unstable();
    if !named.iter().eq(charter.document().members.iter().map(|m| &m.id)) {
        return Err("contributions, refusals and the silent do not add up to the members".into());
    }
    let mut described = format!("{} contributed, ", held.counted());
    if consented > 0 {
        described += &format!("{consented} consented and were not counted, ");
    }
    Ok(described + &format!("{} refused, {} were silent", release.refusals.len(), release.silent.len()))
}

fn guarantee(
    release: &Release,
    charter: &Signed<Charter>,
    plan: &Plan,
    held: &Held,
) -> Result<String, String> {
    let (mechanism, own) = match held {
        Held::Contributions(_) => (plan.mechanism(), Guarantee::local(plan, charter.document())),
        Held::Round(proven, _) => {
            let mechanism = proven.round.parameters().mechanism;
            (Ok(mechanism), proven.round.terms().guarantee(&mechanism, proven.included()))
        }
    };
    if mechanism.as_ref() != Ok(&release.mechanism) {
        return Err("the noise named is not that of the plan".into());
    }
    let own = own.map_err(|flaw| flaw.to_string())?;
    if !same(&own, &release.guarantee) {
        return Err("the guarantee stated does not follow from the plan".into());
    }
    let mut described = format!(
        "epsilon {} for a person at one node, {} for one known at {}",
        own.epsilon, own.epsilon_at_those_nodes, own.nodes_per_person
    );
    if let Some(members) = &own.members {
        described += &format!(
            "; {} against {} members together, {} if every aggregator colludes; delta {}e-12",
            members.epsilon_colluding, members.colluding, members.epsilon_aggregators, own.delta_e12
        );
    }
    Ok(described)
}

/// Equal, but for one millionth where an epsilon was computed with real numbers, and as little of a rho.
fn same(own: &Guarantee, stated: &Guarantee) -> bool {
    let near = |a: MicroEpsilon, b: MicroEpsilon| a.micros().abs_diff(b.micros()) <= 1;
    let rho = match (own.rho_e12, stated.rho_e12) {
        (Some(a), Some(b)) => a.abs_diff(b) <= 1 + a / 1_000_000_000,
        (None, None) => true,
        _ => false,
    };
    let members = match (&own.members, &stated.members) {
        (None, None) if rho && own.rho_e12.is_none() => return own == stated,
        (None, None) => true,
        (Some(a), Some(b)) => {
            a.colluding == b.colluding
                && near(a.epsilon_colluding, b.epsilon_colluding)
                && near(a.epsilon_aggregators, b.epsilon_aggregators)
        }
        _ => false,
    };
    members
        && rho
        && own.unit == stated.unit
        && near(own.epsilon, stated.epsilon)
        && near(own.epsilon_at_those_nodes, stated.epsilon_at_those_nodes)
        && own.nodes_per_person == stated.nodes_per_person
        && own.delta_e12 == stated.delta_e12
}

fn times(
    release: &Release,
    charter: &Signed<Charter>,
    query: &Signed<Query>,
    held: &Held,
) -> Result<String, String> {
    let q = query.document();
    let skew = limits::CLOCK_SKEW_SECONDS;
    if q.asked_at.plus_seconds(skew) < charter.document().made_at {
        return Err("it was asked before the charter was made".into());
    }
    if release.made_at.plus_seconds(skew) < q.asked_at || release.made_at > q.expires_at.plus_seconds(skew) {
        return Err("it was not made between the asking and the expiry".into());
    }
    let later = |at: Timestamp| at > release.made_at.plus_seconds(skew);
    let late = match held {
        Held::Contributions(list) => list.iter().any(|c| later(c.document().made_at)),
        Held::Round(proven, _) => later(proven.round.roster().document().made_at),
    };
    if late {
        return Err("a contribution or the roster is later than the release".into());
    }
    Ok(format!("asked {}, made {}", q.asked_at, release.made_at))
}
