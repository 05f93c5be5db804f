//! Checking a release from the release alone (docs/protocol.md §5): no network, no trust in whoever sent it.
//!
//! What it proves: the members of this charter signed these contributions for this question, the total is
//! their sum, and the stated noise, interval and guarantee follow from the plan. What it cannot prove: that
//! the charter's keys belong to the groups it names (compare the charter's id with one you trust), and that
//! each node counted truthfully.

use serde::Serialize;

use super::{Release, fits, sum};
use crate::{
    document::{Charter, Envelope, EnvelopeError, Signed},
    id::{Id, NodeId},
    limits,
    privacy::Guarantee,
    statistic::{Contribution, Ground, Plan, Query, Refusal},
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
    let asker = signed.sole_signer();
    report.release = Some(signed);
    report.add(
        "signature",
        match &asker {
            Ok(asker) => Ok(format!("signed by {}", asker.short())),
            Err(flaw) => Err(flaw.to_string()),
        },
    );
    let Ok(asker) = asker else { return report.end() };
    let Some(charter) = charter(&mut report, &release, trusted) else { return report.end() };
    let Some(query) = query(&mut report, &release, &charter, asker) else { return report.end() };
    let Some(plan) = plan(&mut report, &release, &charter, &query) else { return report.end() };
    let Some(contributions) = contributions(&mut report, &release, &charter, &plan) else {
        return report.end();
    };
    let accounted = accounted(&release, &charter, &query, &contributions);
    report.add("accounted", accounted);
    report.add("total", {
        if sum(&contributions, plan.cells()) == release.values {
            Ok(format!("{} values are the sums of {} contributions", plan.cells(), contributions.len()))
        } else {
            Err("the values are not the sum of the contributions".into())
        }
    });
    report.add("guarantee", guarantee(&release, &charter, &plan));
    report.add(
        "interval",
        match release.interval.holds_for(&release.mechanism, contributions.len()) {
            Ok(true) => Ok(format!("±{} at 95% covers the noise", release.interval.half_width)),
            Ok(false) => Err(format!("±{} is not the interval of this noise", release.interval.half_width)),
            Err(error) => Err(error.to_string()),
        },
    );
    report.add("times", times(&release, &charter, &query, &contributions));
    report
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
                "{} cells, one person counts in at most {} with {} each",
                plan.cells(),
                plan.cells_per_person(),
                plan.per_cell()
            )),
            Err(fault) => Err(fault.clone()),
        },
    );
    planned.ok()
}

fn contributions(
    report: &mut Report,
    release: &Release,
    charter: &Signed<Charter>,
    plan: &Plan,
) -> Option<Vec<Signed<Contribution>>> {
    let need = charter.document().privacy.contributions as usize;
    let opened: Result<Vec<_>, String> = release
        .contributions
        .iter()
        .map(|envelope| {
            let contribution = envelope.clone().open::<Contribution>().map_err(|e| e.to_string())?;
            fits(&contribution, plan, charter.document()).map_err(|e| e.to_string())?;
            Ok(contribution)
        })
        .collect();
    let opened = opened.and_then(|list| {
        if !list.is_sorted_by(|a, b| a.signers().first() < b.signers().first()) {
            Err("a member contributed twice, or they are out of order".into())
        } else if list.len() < need {
            Err(format!("{} contributions where the charter asks for {need}", list.len()))
        } else {
            Ok(list)
        }
    });
    report.add(
        "contributions",
        match &opened {
            Ok(list) => Ok(format!("{} members signed one each, with the plan's noise", list.len())),
            Err(fault) => Err(fault.clone()),
        },
    );
    opened.ok()
}

/// Every member stands in exactly one of the three lists.
fn accounted(
    release: &Release,
    charter: &Signed<Charter>,
    query: &Signed<Query>,
    contributions: &[Signed<Contribution>],
) -> Result<String, String> {
    let mut named: Vec<NodeId> = contributions.iter().filter_map(|c| c.sole_signer().ok()).collect();
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
        named.push(refusal.sole_signer().map_err(|f| f.to_string())?);
    }
    named.extend(&release.silent);
    named.sort_unstable();
    if !named.iter().eq(charter.document().members.iter().map(|m| &m.id)) {
        return Err("contributions, refusals and the silent do not add up to the members".into());
    }
    Ok(format!(
        "{} contributed, {} refused, {} were silent",
        contributions.len(),
        release.refusals.len(),
        release.silent.len()
    ))
}

fn guarantee(release: &Release, charter: &Signed<Charter>, plan: &Plan) -> Result<String, String> {
    if plan.mechanism().ok() != Some(release.mechanism) {
        return Err("the noise named is not that of the plan".into());
    }
    let own = Guarantee::local(plan, charter.document());
    if own != release.guarantee {
        return Err("the guarantee stated does not follow from the plan".into());
    }
    Ok(format!(
        "epsilon {} for a person at one node, {} for one known at {}",
        own.epsilon, own.epsilon_at_those_nodes, own.nodes_per_person
    ))
}

fn times(
    release: &Release,
    charter: &Signed<Charter>,
    query: &Signed<Query>,
    contributions: &[Signed<Contribution>],
) -> Result<String, String> {
    let q = query.document();
    let skew = limits::CLOCK_SKEW_SECONDS;
    if q.asked_at.plus_seconds(skew) < charter.document().made_at {
        return Err("it was asked before the charter was made".into());
    }
    if release.made_at.plus_seconds(skew) < q.asked_at || release.made_at > q.expires_at.plus_seconds(skew) {
        return Err("it was not made between the asking and the expiry".into());
    }
    if contributions.iter().any(|c| c.document().made_at > release.made_at.plus_seconds(skew)) {
        return Err("a contribution is later than the release".into());
    }
    Ok(format!("asked {}, made {}", q.asked_at, release.made_at))
}
