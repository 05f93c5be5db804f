//! `ask` and `verify`.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use hedgerow_node::{
    api::{Command, Outcome, Question},
    flow::membership,
    node::now,
};
use hedgerow_protocol::{
    document::{Charter, Signed, charter::recent_quarters},
    release::{self, Release},
    statistic::{Axis, Condition, Mode, Period},
};
use serde_json::{Value, json};

use super::{Context, read, write};
use crate::{
    args::{Ask, Verify},
    bars,
    output::{self, plain},
};

/// Quarters that a question by time covers when it names no period.
const QUARTERS: i32 = 8;

pub(crate) fn run(context: &Context, ask: &Ask) -> anyhow::Result<ExitCode> {
    let question = Question {
        measure: ask.count,
        conditions: conditions(&ask.conditions)?,
        period: period(ask)?,
        group_by: ask.by.clone(),
        cells_per_person: ask.cells_per_person,
        purpose: ask.purpose.clone(),
        need: ask.need.clone(),
        epsilon: ask.epsilon,
        local: ask.local,
    };
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
    if context.json {
        output::json(&summary(&release, verified, &file.display().to_string()))?;
    } else {
        shown(&release);
        println!("The release is in {}; `hedgerow verify` checks it anywhere.", file.display());
    }
    Ok(if verified { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A release in short, for programs; the file holds all of it.
pub(crate) fn summary(release: &Signed<Release>, verified: bool, file: &str) -> Value {
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
    json!({
        "file": file,
        "id": release.id(),
        "verified": verified,
        "epsilon": r.guarantee.epsilon.to_string(),
        "mode": r.mode,
        "contributions": r.counted(),
        "refusals": r.refusals.len(),
        "silent": r.silent.len(),
        "axes": axes,
        "cells": cells,
    })
}

/// A release as people look at it.
pub(crate) fn shown(release: &Signed<Release>) {
    let r = release.document();
    println!("{}", bars::table(r));
    println!(
        "{} members contributed, {} refused, {} were silent. {}; the intervals cover the noise, not what the bound \
         of {} cells a person cut off, nor who never reported.",
        r.counted(),
        r.refusals.len(),
        r.silent.len(),
        match r.mode {
            Mode::Local => "Each added its own noise",
            Mode::Round => "Each added a share of the noise, and only the sum was seen",
        },
        r.plan.cells_per_person()
    );
    let g = &r.guarantee;
    if let Some(members) = &g.members {
        println!(
            "Against {} members who collude: epsilon {}. If every aggregator of the round does: {}. Delta {}e-12.",
            members.colluding, members.epsilon_colluding, members.epsilon_aggregators, g.delta_e12
        );
    }
    println!(
        "Spent at each node: epsilon {} (a person known at {} nodes: {}). The same question is free until the \
         period {} ends.",
        g.epsilon,
        g.nodes_per_person,
        g.epsilon_at_those_nodes,
        r.plan.release_period()
    );
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

fn conditions(pairs: &[String]) -> anyhow::Result<Vec<Condition>> {
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
