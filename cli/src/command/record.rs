//! `import`, `simulate`, `record`: incidents in, shown, erased.

use std::{
    io::{IsTerminal as _, Read as _},
    path::Path,
    process::ExitCode,
};

use anyhow::bail;
use hedgerow_node::{
    api::{Command, Outcome},
    flow::{
        intake::{ConsentChange, Imported, Rejected},
        search::Search,
    },
    form::RecordForm,
};
use serde_json::json;

use super::{Context, read};
use crate::{
    args::{Import, Record, RecordAdd, RecordSearch, Simulate},
    output::{self, plain},
};

/// Rejected rows shown to people; programs get all.
const SHOWN: usize = 20;

pub(crate) fn import(context: &Context, import: &Import) -> anyhow::Result<ExitCode> {
    let command = Command::Import { path: std::path::absolute(&import.file)?, options: import.options()? };
    imported(context, context.session.run(&command, "importing")?)
}

pub(crate) fn simulate(context: &Context, simulate: &Simulate) -> anyhow::Result<ExitCode> {
    let command = Command::Simulate { count: simulate.count, seed: simulate.seed };
    let outcome = context.session.run(&command, "making up")?;
    if !context.json {
        println!("These records are made up. None of this happened to anyone.");
    }
    imported(context, outcome)
}

fn imported(context: &Context, outcome: Outcome) -> anyhow::Result<ExitCode> {
    let Outcome::Imported(report) = outcome else { bail!("the node answered another question") };
    if context.json {
        output::json(&report)?;
    } else {
        told(&report);
    }
    Ok(ExitCode::SUCCESS)
}

fn told(report: &Imported) {
    println!(
        "{} read: {} stored, {} here before, {} rejected.",
        report.read,
        report.stored,
        report.duplicates,
        report.rejected.len()
    );
    rejected(&report.rejected);
}

/// The first rejected rows, with their reasons.
pub(crate) fn rejected(rows: &[Rejected]) {
    for row in rows.iter().take(SHOWN) {
        println!("  line {}: {}", row.line, plain(&row.reason));
    }
    if rows.len() > SHOWN {
        println!("  and {} more; --json lists all.", rows.len() - SHOWN);
    }
}

pub(crate) fn run(context: &Context, record: Record) -> anyhow::Result<ExitCode> {
    match record {
        Record::Add(add) => {
            let command = Command::RecordAdd { form: Box::new(form(*add)?) };
            let Outcome::Added(number) = context.session.run(&command, "storing")? else {
                bail!("the node answered another question")
            };
            if context.json {
                output::json(&json!({ "number": number }))?;
            } else {
                println!("Stored as record {number}.");
            }
        }
        Record::Show { number } => {
            let Outcome::Records(records) =
                context.session.run(&Command::RecordShow { number }, "reading")?
            else {
                bail!("the node answered another question")
            };
            for one in records {
                if context.json {
                    output::json(&one)?;
                } else {
                    println!("{}", serde_json::to_string_pretty(&one.record)?);
                }
            }
        }
        Record::List { from, limit } => {
            let command = Command::RecordList { from, limit };
            let Outcome::Records(records) = context.session.run(&command, "reading")? else {
                bail!("the node answered another question")
            };
            if context.json {
                output::json(&records)?;
            } else {
                for one in records {
                    let r = one.record;
                    println!(
                        "{:>7}  {}  {:<4} {:<22} {:<3} {}",
                        one.number,
                        plain(&r.day),
                        plain(&r.tactic),
                        plain(&r.role),
                        plain(&r.origin),
                        plain(&r.reference)
                    );
                }
            }
        }
        Record::Search(search) => found(context, *search)?,
        Record::Edit { number, file } => {
            changed(context, number, Command::RecordReplace { number, form: Box::new(from_file(&file)?) })?;
        }
        Record::Consent { number, statistics, indicators, research_contact } => {
            let consents = ConsentChange { statistics, indicators, research_contact };
            changed(context, number, Command::RecordConsent { number, consents })?;
        }
        Record::Erase { number, yes } => {
            if !yes {
                sure("erasing", &format!("Erase record {number}?"))?;
            }
            context.session.run(&Command::RecordErase { number }, "erasing")?;
            if context.json {
                output::json(&json!({ "erased": number }))?;
            } else {
                println!("Record {number} is erased.");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn changed(context: &Context, number: u64, command: Command) -> anyhow::Result<()> {
    context.session.run(&command, "storing")?;
    if context.json {
        output::json(&json!({ "changed": number }))?;
    } else {
        println!("Record {number} is changed.");
    }
    Ok(())
}

fn found(context: &Context, search: RecordSearch) -> anyhow::Result<()> {
    let search = Search {
        words: search.words.join(" "),
        reference: search.reference,
        person: search.person,
        codes: super::ask::conditions(&search.conditions)?,
        from: search.from,
        to: search.to,
        limit: search.limit,
    };
    let command = Command::RecordSearch { search: Box::new(search) };
    let Outcome::Found(found) = context.session.run(&command, "searching")? else {
        bail!("the node answered another question")
    };
    if context.json {
        return output::json(&found);
    }
    for r in &found.records {
        println!(
            "{:>7}  {}  {:<4} {:<22} {}",
            r.number,
            plain(&r.day),
            plain(&r.tactic),
            plain(&r.person),
            plain(&r.reference)
        );
    }
    match (found.records.len(), found.more) {
        (n, true) => println!("The latest {n}; there are more. Say more words, or a higher --limit."),
        (0, false) => println!("No record has all of it."),
        _ => {}
    }
    Ok(())
}

/// Asks before what cannot be undone.
pub(super) fn sure(doing: &str, question: &str) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("{doing} cannot be undone; say --yes where nobody can be asked");
    }
    eprint!("{question} It cannot be brought back. Type yes: ");
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    anyhow::ensure!(typed.trim() == "yes", "nothing was done");
    Ok(())
}

fn from_file(file: &Path) -> anyhow::Result<RecordForm> {
    let json = if file.as_os_str() == "-" {
        let mut json = Vec::new();
        std::io::stdin().take(1024 * 1024).read_to_end(&mut json)?;
        json
    } else {
        read(file)?
    };
    serde_json::from_slice(&json).map_err(|e| {
        // The position, not the text: it may be about a person.
        anyhow::anyhow!(
            "the record is not the JSON it should be, at line {}, column {}",
            e.line(),
            e.column()
        )
    })
}

fn form(add: RecordAdd) -> anyhow::Result<RecordForm> {
    if let Some(file) = &add.file {
        return from_file(file);
    }
    let (Some(day), Some(tactic), Some(person)) = (add.day, add.tactic, add.person) else {
        bail!("a record has a day, a tactic and a person")
    };
    let mut form = RecordForm::new(day, tactic, person);
    for (field, given) in [
        (&mut form.role, add.role),
        (&mut form.origin, add.origin),
        (&mut form.confidence, add.confidence),
        (&mut form.basis, add.basis),
        (&mut form.platform, add.platform),
        (&mut form.harm, add.harm),
        (&mut form.region, add.region),
    ] {
        if let Some(given) = given {
            *field = given;
        }
    }
    form.consent_statistics = add.consent_statistics;
    form.narrative = add.narrative;
    form.reference = add.reference;
    Ok(form)
}
