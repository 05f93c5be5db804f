//! `status`, `ledger`, `codes`.

use std::process::ExitCode;

use anyhow::bail;
use hedgerow_node::api::{Command, Outcome, Spent};
use hedgerow_protocol::{privacy::Unit, vocabulary::Dimension};
use serde_json::json;

use super::Context;
use crate::{
    args::Ledger,
    bars,
    output::{self, Progress, plain},
};

pub(crate) fn status(context: &Context) -> anyhow::Result<ExitCode> {
    let Outcome::Status(s) = context.session.run(&Command::Status, "reading")? else {
        bail!("the node answered another question")
    };
    if context.json {
        output::json(&s)?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} ({})", plain(&s.name), s.id);
    println!(
        "{} records, {} indicators, {} drafts, {} releases",
        s.records, s.indicators, s.drafts, s.releases
    );
    match &s.charter {
        Some(c) => println!("Member of {:?}, {} members, charter {}", plain(&c.name), c.members, c.id),
        None => println!("Has joined no charter."),
    }
    if let Some(b) = s.budget {
        println!("Spent epsilon {} of {}", b.spent_micros, b.cap_micros);
    }
    if let Some(restored) = s.restored {
        println!(
            "Restored from a backup of {}: answers nothing until `hedgerow ledger --confirm`.",
            restored.backup_at
        );
    }
    if let Some(p) = &s.pseudonym {
        let state = if p.vouchers >= p.needed as usize { "ready" } else { "not yet" };
        println!("Pseudonym: {} members vouch for it, {} must: {state}", p.vouchers, p.needed);
        if !p.without_token.is_empty() {
            println!("  no token yet of {}", plain(&p.without_token.join(", ")));
        }
        if !p.not_enrolled.is_empty() {
            println!(
                "  waits, as all do, until these have every token: {}",
                plain(&p.not_enrolled.join(", "))
            );
        }
        if p.outgoing > 0 {
            println!("  {} batches go out under it and have not come back yet", p.outgoing);
        }
    }
    match &s.network {
        None => println!("Not running; `hedgerow serve` runs it."),
        Some(n) => {
            println!("Running, listening on {}", n.listening.join(", "));
            match &s.acts_for {
                Some(user) => println!("Unlocked: acts for {user}"),
                None => println!("Locked: `hedgerow unlock` unlocks it"),
            }
            for peer in &n.peers {
                println!("  {:<30} {}", plain(&peer.name), plain(&peer.state));
            }
            if n.aggregating > 0 {
                println!("  aggregating {} rounds: stopping now would end them", n.aggregating);
            }
            for (name, count) in &n.dropped {
                println!("  dropped, {name}: {count}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn ledger(context: &Context, ledger: Ledger) -> anyhow::Result<ExitCode> {
    if ledger.confirm {
        let command = Command::ConfirmLedger { also: ledger.also };
        let Outcome::Confirmed(c) = context.session.run(&command, "charging")? else {
            bail!("the node answered another question")
        };
        if context.json {
            output::json(&c)?;
        } else {
            println!(
                "Charged: {} releases that the backup did not know of, {} charges once more, {} as you said.",
                c.releases, c.again, c.also
            );
            println!("The node answers questions again.");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Outcome::Ledger(l) = context.session.run(&Command::Ledger, "reading")? else {
        bail!("the node answered another question")
    };
    if context.json {
        output::json(&l)?;
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "Epsilon {} of {} is spent{}.",
        l.total.spent_micros,
        l.total.cap_micros,
        if l.unit == Unit::PersonYear { " on the year of which most was asked" } else { "" }
    );
    if let Some(delta) = l.accounting.delta_e12() {
        println!("Counted in zCDP: these are epsilons at delta {delta}e-12, and do not add up.");
    }
    let of = |name: &str, spent: &Spent| {
        println!(
            "  {name:<24} {:>8} of {:<8} {}",
            spent.spent_micros.to_string(),
            spent.cap_micros.to_string(),
            bars::part_of(spent)
        );
    };
    println!("For:");
    l.purposes.iter().for_each(|(purpose, spent)| of(purpose, spent));
    if !l.askers.is_empty() {
        println!("Asked by:");
        l.askers.iter().for_each(|(name, spent)| of(&plain(name), spent));
    }
    if !l.years.is_empty() {
        println!("On incidents of:");
        l.years
            .iter()
            .for_each(|y| of(&y.year.to_string(), &Spent { spent_micros: y.spent_micros, ..l.total }));
    }
    if !l.charges.is_empty() {
        println!("Charges:");
    }
    for c in &l.charges {
        println!(
            "{}  {:<8} {:<14} asked by {}, plan {}",
            c.at,
            c.epsilon_micros.to_string(),
            c.purpose,
            plain(&c.asker),
            c.plan
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn codes(context: &Context, dimension: Option<&str>) -> anyhow::Result<ExitCode> {
    let Some(name) = dimension else {
        let names: Vec<_> = Dimension::ALL.iter().map(|d| d.name()).collect();
        if context.json {
            output::json(&names)?;
        } else {
            println!("{}", names.join("\n"));
        }
        return Ok(ExitCode::SUCCESS);
    };
    let dimension: Dimension = name.parse()?;
    if context.json {
        let list: Vec<_> =
            dimension.codes().iter().map(|e| json!({ "code": e.code, "label": e.label })).collect();
        output::json(&list)?;
    } else {
        for entry in dimension.codes() {
            println!("{:<24} {}", entry.code, entry.label);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens and counts everything.
pub(crate) fn check(context: &Context) -> anyhow::Result<ExitCode> {
    let Outcome::Checked(checked) =
        context.session.run_with(&Command::Check, Progress::bytes("opening attachments"))?
    else {
        bail!("the node answered another question")
    };
    if context.json {
        output::json(&checked)?;
    } else {
        println!(
            "Whole: {} records and {} attachments opened, {} values counted.",
            checked.records, checked.attachments, checked.values
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Brings a vault of an older format to this program's.
pub(crate) fn upgrade(context: &Context) -> anyhow::Result<ExitCode> {
    let records = context.session.upgrade()?;
    if context.json {
        output::json(&json!({ "upgraded": records.is_some(), "records": records }))?;
    } else {
        match records {
            Some(records) => println!("The vault is upgraded; {records} records are in it."),
            None => println!("The vault has the newest format already."),
        }
    }
    Ok(ExitCode::SUCCESS)
}
