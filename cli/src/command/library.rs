//! `indicator allow`, `quarantine`, `warnings`, `prove`, `check`, `two-stories`.

use std::{path::Path, process::ExitCode};

use anyhow::bail;
use hedgerow_node::{
    api::{
        Command, Outcome,
        library::{LibraryCommand, LibraryOutcome, check_proof},
    },
    flow::membership,
    store::Verdict,
};
use serde_json::json;

use super::{Context, read, write};
use crate::{
    args::{Allow, Quarantine, Sighting, Warnings},
    output::{self, plain},
};

pub(super) fn ask(context: &Context, action: LibraryCommand) -> anyhow::Result<LibraryOutcome> {
    match context.session.run(&Command::Library { action }, "reading")? {
        Outcome::Library(outcome) => Ok(*outcome),
        _ => bail!("the node answered another question"),
    }
}

pub(crate) fn allow(context: &Context, allow: Allow) -> anyhow::Result<ExitCode> {
    let action = match allow {
        Allow::Add { value, note } => LibraryCommand::Allow { value, note },
        Allow::Remove { value } => LibraryCommand::Disallow { value },
        Allow::List => LibraryCommand::Allowed,
    };
    let LibraryOutcome::Allowed(list) = ask(context, action)? else { bail!("another answer came") };
    if context.json {
        output::json(&list)?;
    } else if list.is_empty() {
        println!("Nothing is on the allow-list.");
    } else {
        for one in &list {
            println!("{:<10} {}  {} {}", one.kind, plain(&one.value), one.at, plain(&one.note));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn sighting(context: &Context, sighting: Sighting) -> anyhow::Result<ExitCode> {
    let (action, done) = match sighting {
        Sighting::Add { what, on, record } => (LibraryCommand::Sight { what, day: on, record }, "noted"),
        Sighting::Remove { what } => (LibraryCommand::Unsight { what }, "forgotten"),
        Sighting::List => (LibraryCommand::Sightings, ""),
    };
    match ask(context, action)? {
        LibraryOutcome::Sighted(count) if context.json => output::json(&json!({ "sightings": count }))?,
        LibraryOutcome::Sighted(0) if done == "noted" => println!("This was noted before."),
        LibraryOutcome::Sighted(count) => println!("{count} {done}."),
        LibraryOutcome::Sightings(list) if context.json => output::json(&list)?,
        LibraryOutcome::Sightings(list) if list.is_empty() => println!("No sighting was noted."),
        LibraryOutcome::Sightings(list) => {
            for one in &list {
                let of = one.sighted.record.map_or_else(String::new, |n| format!("  record {n}"));
                println!("{}  {}{of}", one.sighted.day, plain(&one.sighted.what));
            }
        }
        _ => bail!("another answer came"),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn quarantine(context: &Context, quarantine: Quarantine) -> anyhow::Result<ExitCode> {
    let (ids, all, verdict) = match quarantine {
        Quarantine::List => {
            let LibraryOutcome::Quarantine(list) = ask(context, LibraryCommand::Quarantine)? else {
                bail!("another answer came")
            };
            if context.json {
                output::json(&list)?;
                return Ok(ExitCode::SUCCESS);
            }
            for one in &list {
                println!("{}\n  {}\n  {}", plain(&one.what), one.reason, one.object);
            }
            println!("{} wait. `quarantine release ID` uses one, `quarantine drop ID` does not.", list.len());
            return Ok(ExitCode::SUCCESS);
        }
        Quarantine::Release { ids, all } => (ids, all, Verdict::Release),
        Quarantine::Drop { ids, all } => (ids, all, Verdict::Drop),
    };
    let LibraryOutcome::Ruled(ruled) = ask(context, LibraryCommand::Rule { ids, all, verdict })? else {
        bail!("another answer came")
    };
    if context.json {
        output::json(&ruled)?;
    } else {
        println!("{} {}.", ruled.ruled, if verdict == Verdict::Release { "released" } else { "dropped" });
        ruled.unknown.iter().for_each(|id| println!("Nothing waits under {}.", plain(id)));
    }
    Ok(if ruled.unknown.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

pub(crate) fn warnings(context: &Context, warnings: Warnings) -> anyhow::Result<ExitCode> {
    let folder = warnings.folder.as_deref().map(std::path::absolute).transpose()?;
    let action = LibraryCommand::WarningLists { folder, none: warnings.none };
    let LibraryOutcome::WarningLists(read) = ask(context, action)? else { bail!("another answer came") };
    if context.json {
        output::json(&read)?;
        return Ok(ExitCode::SUCCESS);
    }
    match &read.folder {
        None => println!("No warning lists are set; only the built-in rules are used."),
        Some(folder) => {
            println!("{} lists with {} entries in {}.", read.lists, read.entries, folder.display());
            read.skipped.iter().for_each(|(file, why)| println!("  not read: {}: {why}", plain(file)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn prove(context: &Context, id: String, out: Option<&Path>) -> anyhow::Result<ExitCode> {
    let LibraryOutcome::Proof(proof) = ask(context, LibraryCommand::Prove { id })? else {
        bail!("another answer came")
    };
    match out {
        Some(path) => {
            write(path, &serde_json::to_vec(&proof)?)?;
            if context.json {
                output::json(&json!({ "file": path }))?;
            }
        }
        None => output::json(&proof)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(context: &Context, proof: &Path, charter: Option<&Path>) -> anyhow::Result<ExitCode> {
    let charter =
        charter.map(|path| membership::read(&read(path)?).map_err(anyhow::Error::from)).transpose()?;
    let proven = check_proof(&read(proof)?, charter.as_ref())?;
    if context.json {
        output::json(&proven)?;
        return Ok(ExitCode::SUCCESS);
    }
    let by =
        proven.member.as_deref().map_or_else(|| proven.signer.to_string(), |name| plain(name).to_string());
    println!("{}: signed by {by} at {}, TLP {}.", plain(&proven.what), proven.published_at, proven.tlp);
    if charter.is_none() {
        println!("Whether that is a member only a charter says; give the one you trust with --charter.");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn two_stories(context: &Context) -> anyhow::Result<ExitCode> {
    let LibraryOutcome::TwoStories(list) = ask(context, LibraryCommand::TwoStories)? else {
        bail!("another answer came")
    };
    if context.json {
        output::json(&list)?;
    } else if list.is_empty() {
        println!("No member is known to have signed two contents as one version.");
    } else {
        for one in &list {
            let e = &one.evidence;
            println!("{} signed two contents as one version of {}:", e.signer, plain(&e.object));
            println!("  {} in batch {}\n  {} in batch {}", e.held.0, e.held.1, e.given.0, e.given.1);
        }
        println!("--json gives both, with their signatures.");
    }
    Ok(ExitCode::SUCCESS)
}
