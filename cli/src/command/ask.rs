//! `ask` and `verify`.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use hedgerow_node::{
    api::{
        Command, ExpectedView, Outcome, Question,
        library::{LibraryCommand, LibraryOutcome},
    },
    flow::membership,
    node::now,
};
use hedgerow_protocol::{
    document::{Charter, Signed, charter::recent_quarters},
    privacy::{Guarantee, MicroEpsilon, Unit},
    release::{self, Release},
    statistic::{Axis, Condition, Measure, Mode, Period},
};
use serde_json::{Value, json};

use super::{Context, library, read, write};
use crate::{
    args::{Ask, Verify},
    bars,
    output::{self, plain},
};

/// Quarters that a question by time covers when it names no period.
const QUARTERS: i32 = 8;

pub(crate) fn run(context: &Context, ask: &Ask) -> anyhow::Result<ExitCode> {
    let mut question = question(ask)?;
    let names = names(context, &ask.sightings)?;
    if ask.dry_run || ask.target_error.is_some() {
        let expected = expect(context, question.clone(), ask.target_error)?;
        if ask.dry_run {
            if context.json {
                output::json(&expected)?;
            } else {
                forecast(&expected, question.measure);
            }
            return Ok(ExitCode::SUCCESS);
        }
        question.epsilon = expected.epsilon_micros;
        if !context.json {
            println!("Epsilon {} gives ±{}.", expected.epsilon_micros, expected.half_width);
        }
    }
    let Outcome::Release(envelope) = context.session.run(&Command::Ask { question }, "asking")? else {
        bail!("the node answered another question")
    };
    let mut json = envelope.to_json()?;
    json.push(b'\n');
    let report = release::verify(&json, None);
    let verified = report.holds();
    let release: Signed<Release> = envelope.open()?;
    let file = ask.out.clone().unwrap_or_else(|| format!("release-{}.json", release.id().short()).into());
    write(&file, &json)?;
    let quantile = ask.quantile.map(|(_, q)| q);
    if context.json {
        output::json(&summary(&release, verified, &file.display().to_string(), quantile)?)?;
    } else {
        shown(&release, quantile, &names)?;
        println!("The release is in {}; `hedgerow verify` checks it anywhere.", file.display());
    }
    Ok(if verified { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// What the indicators that are asked about look for.
fn names(context: &Context, sightings: &[String]) -> anyhow::Result<bars::Names> {
    if sightings.is_empty() {
        return Ok(bars::Names::new());
    }
    let named = LibraryCommand::Named { named: sightings.to_vec() };
    let LibraryOutcome::Named(named) = library::ask(context, named)? else { bail!("another answer came") };
    Ok(named.into_iter().map(|one| (one.id, one.what)).collect())
}

fn question(ask: &Ask) -> anyhow::Result<Question> {
    let mut group_by = ask.by.clone();
    let measure = match (ask.sum, ask.mean, ask.quantile) {
        _ if !ask.sightings.is_empty() => Measure::Groups,
        (Some(bounded), ..) => Measure::Sum(bounded),
        (None, Some(bounded), _) => Measure::Mean(bounded),
        (None, None, Some((field, _))) => {
            if !group_by.contains(&Axis::Field(field)) {
                group_by.push(Axis::Field(field));
            }
            Measure::Incidents
        }
        (None, None, None) => ask.count,
    };
    Ok(Question {
        measure,
        indicators: ask.sightings.clone(),
        conditions: conditions(&ask.conditions)?,
        period: period(ask)?,
        group_by,
        cells_per_person: ask.cells_per_person,
        purpose: ask.purpose.clone(),
        need: ask.need.clone(),
        // With a target the node finds it, and reads any that can be asked for.
        epsilon: ask.epsilon.unwrap_or(MicroEpsilon::from_micros(1_000_000)),
        local: ask.local,
    })
}

fn expect(context: &Context, question: Question, half_width: Option<u64>) -> anyhow::Result<ExpectedView> {
    match context.session.run(&Command::Expect { question, half_width }, "planning")? {
        Outcome::Expected(expected) => Ok(*expected),
        _ => bail!("the node answered another question"),
    }
}

/// What a question would cost, for people.
fn forecast(e: &ExpectedView, measure: Measure) {
    let cost = if e.free {
        format!("nothing: it was answered in {}, and gets the same figures", e.release_period)
    } else {
        format!(
            "epsilon {} at each node (this one can still spend {} on it)",
            e.epsilon_micros, e.left_micros
        )
    };
    println!("Cost: {cost}.");
    println!(
        "{} {}; {} at most {} with at most {} each.",
        e.groups,
        if e.groups == 1 { "figure" } else { "figures" },
        changes(measure),
        e.cells_per_person,
        e.per_cell
    );
    println!(
        "If all {} members take part: an error of {} (root mean square), 95% intervals of ±{}, {}.",
        e.members,
        digits(e.deviation),
        e.half_width,
        match e.mode {
            Mode::Round => "in a round",
            Mode::Local => "each member with its own noise",
        }
    );
    if matches!(measure, Measure::Mean(_)) {
        // The noise of a mean over n incidents is at most that of its sums over n.
        let of = |n: f64| digits(1.96 * e.deviation / n);
        println!(
            "That is of the sums behind a mean. A mean of 100 incidents is known to ±{}, of 1,000 to ±{}.",
            of(100.0),
            of(1000.0)
        );
    }
    let law = if e.mechanism.sigma().is_some() { "Gaussian" } else { "Laplace" };
    match e.passed_over_deviation {
        Some(other) => println!(
            "Noise: {law}, since the error would be {} with {} noise.",
            digits(other),
            if law == "Laplace" { "Gaussian" } else { "Laplace" }
        ),
        None => println!("Noise: {law}."),
    }
    println!("Guarantee: {}.", guaranteed(&e.guarantee));
    println!("Nothing was asked and nothing spent.");
}

/// Whose part in an answer is bounded.
fn changes(measure: Measure) -> &'static str {
    match measure {
        Measure::Groups => "all that one group saw changes",
        _ => "one person counts in",
    }
}

/// A figure with decimals as long as they tell something.
fn digits(figure: f64) -> String {
    if figure < 100.0 { format!("{figure:.2}") } else { format!("{figure:.0}") }
}

/// A guarantee in words.
fn guaranteed(g: &Guarantee) -> String {
    let mut text = format!(
        "epsilon {} for {} at one node, {} for one known at {}",
        g.epsilon,
        match g.unit {
            Unit::Person => "a person",
            Unit::PersonYear => "one year of a person",
        },
        g.epsilon_at_those_nodes,
        g.nodes_per_person
    );
    if let Some(members) = &g.members {
        text += &format!(
            "; {} against {} members who collude, {} if every aggregator of the round does",
            members.epsilon_colluding, members.colluding, members.epsilon_aggregators
        );
    }
    if g.delta_e12 > 0 {
        text += &format!("; delta {}e-12", g.delta_e12);
    }
    text
}

/// A release in short, for programs; the file holds all of it.
fn summary(
    release: &Signed<Release>,
    verified: bool,
    file: &str,
    quantile: Option<f64>,
) -> anyhow::Result<Value> {
    let r = release.document();
    let half = i64::try_from(r.interval.half_width).unwrap_or(i64::MAX);
    let axes: Vec<String> = r.plan.axes().iter().map(|a| a.axis.to_string()).collect();
    let cells: Vec<Value> = r
        .values
        .iter()
        .enumerate()
        .map(|(at, value)| {
            json!({
                "cell": r.plan.cell(at),
                "value": value,
                "low": value.saturating_sub(half),
                "high": value.saturating_add(half),
            })
        })
        .collect();
    let estimates = r.estimates();
    Ok(json!({
        "file": file,
        "id": release.id(),
        "verified": verified,
        "epsilon": r.guarantee.epsilon.to_string(),
        "mode": r.mode,
        "contributions": r.counted(),
        "refusals": r.refusals.len(),
        "not_counted": r.not_counted(),
        "silent": r.silent.len(),
        "axes": axes,
        "cells": cells,
        "post_processed": {
            "consistent": (r.plan.measure().parts() == 1).then(|| estimates.consistent()),
            "margins": estimates.margins()?,
            "means": estimates.means(),
            "quantile": quantile,
            "quantiles": quantile.and_then(|q| estimates.quantile(q)),
        },
    }))
}

/// A release as people look at it.
pub(crate) fn shown(
    release: &Signed<Release>,
    quantile: Option<f64>,
    names: &bars::Names,
) -> anyhow::Result<()> {
    let r = release.document();
    let estimates = r.estimates();
    let axes = r.plan.axes().len();
    match estimates.means() {
        Some(means) => println!("{}", bars::ranges(r, &means, axes, "mean")),
        None => println!("{}", bars::table(r, names)),
    }
    if let Some(q) = quantile {
        match estimates.quantile(q) {
            Some(quantiles) => println!("{}", bars::ranges(r, &quantiles, axes - 1, &format!("q {q}"))),
            None => println!("A quantile is of incidents by the bins of a number; this release has none."),
        }
    }
    let margins = estimates.margins()?;
    if !margins.is_empty() {
        println!("{}", bars::margins(r, &margins));
    }
    let not_counted = match r.not_counted() {
        0 => String::new(),
        n => format!("{n} consented and were not counted, "),
    };
    let sightings = r.plan.measure() == Measure::Groups;
    let uncovered = match sightings {
        true => "what groups did not notice".to_owned(),
        false => format!(
            "what the bound of {} cells a person cut off, nor who never reported",
            r.plan.cells_per_person()
        ),
    };
    println!(
        "{} members contributed, {not_counted}{} refused, {} were silent. {}; the intervals cover the noise, not \
         {uncovered}.",
        r.counted(),
        r.refusals.len(),
        r.silent.len(),
        match r.mode {
            Mode::Local => "Each added its own noise",
            Mode::Round => "Each added a share of the noise, and only the sum was seen",
        }
    );
    println!("Guarantee: {}.", guaranteed(&r.guarantee));
    if sightings {
        println!("It covers all that one group saw: what it saw is as well hidden as one person is.");
    }
    println!(
        "Spent at each node: epsilon {}. The same question is free until the period {} ends.",
        r.plan.epsilon(),
        r.plan.release_period()
    );
    Ok(())
}

pub(crate) fn verify(context: &Context, verify: &Verify) -> anyhow::Result<ExitCode> {
    let trusted = match &verify.charter {
        Some(path) => {
            let charter: Signed<Charter> = membership::read(&read(path)?)?;
            Some(charter.id())
        }
        None => None,
    };
    let report = release::verify(&read(&verify.release)?, trusted);
    let holds = report.holds();
    if let Some(release) = report.unverified().filter(|_| verify.show && holds && !context.json) {
        let numbers = release.document().estimates().number().is_some();
        shown(release, numbers.then_some(0.5), &bars::Names::new())?;
    }
    if context.json {
        output::json(&json!({ "verified": holds, "checks": report.checks() }))?;
    } else {
        for check in report.checks() {
            println!(
                "{} {:<14} {}",
                if check.holds { "holds " } else { "FAILS " },
                check.name,
                plain(&check.detail)
            );
        }
        if holds {
            println!(
                "Proven: the members of this charter signed these contributions (in a round: commitments to them) \
                 to this question, the figures are their sums, and the noise, the intervals and the guarantee are \
                 as stated."
            );
            println!("Not proven: that each member counted truthfully and added its noise.");
            if trusted.is_none() {
                println!("Compare the charter's id with one you trust, or give --charter.");
            }
        } else {
            println!("This is not a sound release. Do not use its figures.");
        }
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

pub(super) fn conditions(pairs: &[String]) -> anyhow::Result<Vec<Condition>> {
    pairs
        .iter()
        .map(|pair| {
            let (dimension, codes) =
                pair.split_once('=').with_context(|| format!("{pair:?} is not DIMENSION=CODE"))?;
            let dimension = dimension.trim().parse().with_context(|| format!("in {pair:?}"))?;
            Ok(Condition { dimension, any_of: codes.split('|').map(|c| c.trim().to_owned()).collect() })
        })
        .collect()
}

fn period(ask: &Ask) -> anyhow::Result<Option<Period>> {
    let timed = ask.by.iter().any(|a| matches!(a, Axis::Quarter | Axis::Year));
    match (ask.from, ask.to) {
        (Some(from), Some(to)) => Ok(Some(Period { from, to })),
        (None, None) if timed => {
            let (from, to) = recent_quarters(now(), QUARTERS);
            Ok(Some(Period { from, to }))
        }
        (None, None) => Ok(None),
        _ => bail!("a period has both --from and --to"),
    }
}
