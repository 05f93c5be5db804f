//! `indicator`: drafts in, published, listed, exported, taken back.

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, bail};
use hedgerow_node::{
    api::{Command, Given, IndicatorsImported, Outcome, PullFrom},
    export::{Exported, misp},
    flow::{
        indicator::{Found, Published, To},
        pull::Pulled,
    },
    node::now,
    store::Landing,
};
use serde_json::json;

use super::{Context, library, record::rejected, write};
use crate::{
    args::{Foreign, Indicator},
    output::{self, plain},
};

pub(crate) fn run(context: &Context, indicator: Indicator) -> anyhow::Result<ExitCode> {
    match indicator {
        Indicator::Import { file, format, tlp, expires, corroborate } => {
            let until = expires.map(|expires| expires.from(now())).transpose()?;
            let given = Given { tlp, until, corroborate };
            imported(context, Command::IndicatorImport { path: std::path::absolute(file)?, format, given })?;
        }
        Indicator::Corroborate { ids } => imported(context, Command::IndicatorCorroborate { ids })?,
        Indicator::Publish { tlp, to, pseudonym, confirm } => {
            let to = match to {
                _ if pseudonym => To::AllWithoutName,
                names if names.is_empty() => To::All,
                names => To::Named(names),
            };
            let command = Command::IndicatorPublish { tlp, to, confirmed: confirm };
            return published(context, context.session.run(&command, "publishing")?);
        }
        Indicator::Allow(allow) => return library::allow(context, allow),
        Indicator::Sighting(sighting) => return library::sighting(context, sighting),
        Indicator::Quarantine(quarantine) => return library::quarantine(context, quarantine),
        Indicator::Warnings(warnings) => return library::warnings(context, warnings),
        Indicator::Prove { id, out } => return library::prove(context, id, out.as_deref()),
        Indicator::Check { proof, charter } => return library::check(context, &proof, charter.as_deref()),
        Indicator::TwoStories => return library::two_stories(context),
        Indicator::Revoke { id } => {
            return published(context, context.session.run(&Command::IndicatorRevoke { id }, "revoking")?);
        }
        Indicator::Pull { url, token_file, collection, proxy, landing, again } => {
            let token_file = token_file.map(std::path::absolute).transpose()?;
            let from = PullFrom { url, token_file, collection, proxy, landing, again };
            let Outcome::Pulled(report) = context.session.run(&Command::IndicatorPull { from }, "pulling")?
            else {
                bail!("the node answered another question")
            };
            if context.json {
                output::json(&report)?;
            } else {
                let Pulled {
                    read, stored, duplicates, rejected, unchanged, withdrawn, kept, reasons, ..
                } = &report;
                println!(
                    "{read} objects read: {stored} stored, {duplicates} here before, {rejected} rejected."
                );
                if *unchanged > 0 {
                    println!("{unchanged} events have not changed; --again reads them, too.");
                }
                if *withdrawn > 0 {
                    println!("{withdrawn} objects are gone: their source says them no more.");
                }
                if *kept > 0 {
                    println!(
                        "{kept} objects, most of what the file listed before, are in it no more, and are kept: look at the \
                         file. --again takes it at its word."
                    );
                }
                for one in reasons.iter().take(20) {
                    println!("  {}: {}", plain(&one.object), plain(&one.reason));
                }
                if landing == Landing::Foreign {
                    println!("They are held apart; `hedgerow indicator foreign list` has them.");
                }
            }
        }
        Indicator::Foreign(foreign) => foreign_objects(context, foreign)?,
        Indicator::List { limit } => {
            let Outcome::Indicators(list) = context.session.run(&Command::IndicatorList, "reading")? else {
                bail!("the node answered another question")
            };
            if context.json {
                output::json(&list)?;
            } else {
                let objects: Vec<_> = list.iter().filter(|e| e.kind == "indicator").collect();
                for one in objects.iter().take(limit) {
                    let tlp = one.tlp.map_or_else(String::new, |t| t.to_string());
                    let from = one.from.as_deref().unwrap_or_default();
                    println!(
                        "{:<9} {tlp:<6} {:<20} {}  {}",
                        one.state,
                        plain(from),
                        plain(&one.what),
                        one.id
                    );
                }
                if objects.len() > limit {
                    println!("{} of {}; --limit shows more.", limit, objects.len());
                }
            }
        }
        Indicator::Export { format, members, corroborated, out } => {
            let Outcome::Exported(mut file) = context
                .session
                .run(&Command::IndicatorExport { format, members, corroborated }, "writing")?
            else {
                bail!("the node answered another question")
            };
            match &out {
                Some(folder) if !file.files.is_empty() => write_all(folder, &mut file)?,
                None if !file.files.is_empty() => {
                    bail!("these are several files; --out names a folder for them")
                }
                Some(path) => write(path, file.text.as_bytes())?,
                None if context.json => {}
                None => print!("{}", file.text),
            }
            if context.json {
                let text = out.is_none().then_some(&file.text);
                output::json(&json!({
                    "written": file.written, "held_back": file.held_back, "left_out": file.left_out,
                    "file": out, "text": text,
                }))?;
            } else {
                eprintln!("{} written, {} held back by their TLP label.", file.written, file.held_back);
                for left in &file.left_out {
                    eprintln!(
                        "{} left out: {}; for instance {}",
                        left.count,
                        left.reason,
                        some(&left.objects)
                    );
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what became of each row, of a file or of what others said.
fn imported(context: &Context, command: Command) -> anyhow::Result<()> {
    let Outcome::IndicatorsImported(report) = context.session.run(&command, "importing")? else {
        bail!("the node answered another question")
    };
    if context.json {
        return output::json(&report);
    }
    let IndicatorsImported { read, stored, duplicates, rejected: not_stored, context: around } = &report;
    println!(
        "{read} indicators read: {stored} stored as drafts, {duplicates} here before, {} rejected.",
        not_stored.len()
    );
    rejected(not_stored);
    if around.read > 0 {
        println!(
            "{} objects of context: {} stored, {} here before, {} rejected.",
            around.read,
            around.stored,
            around.duplicates,
            around.rejected.len()
        );
        rejected(&around.rejected);
    }
    println!("`hedgerow indicator publish` shares the drafts.");
    Ok(())
}

fn foreign_objects(context: &Context, foreign: Foreign) -> anyhow::Result<()> {
    let (command, done) = match foreign {
        Foreign::List { limit } => {
            let Outcome::Foreign(list) = context.session.run(&Command::ForeignList, "reading")? else {
                bail!("the node answered another question")
            };
            if context.json {
                return output::json(&list);
            }
            for one in list.iter().take(limit) {
                println!("{}  {}  {}", plain(&one.source), plain(&one.what), one.id);
            }
            if list.len() > limit {
                println!("{limit} of {}; --limit shows more.", list.len());
            }
            return Ok(());
        }
        Foreign::Adopt(chosen) => (Command::ForeignAdopt { which: chosen.choice()? }, "adopted"),
        Foreign::Drop(chosen) => (Command::ForeignDrop { which: chosen.choice()? }, "dropped"),
    };
    let Outcome::ForeignMoved(moved) = context.session.run(&command, "moving")? else {
        bail!("the node answered another question")
    };
    if context.json {
        return output::json(&moved);
    }
    println!("{} {done}; {} of them are drafts now.", moved.moved, moved.drafts);
    Ok(())
}

/// Writes the files of a feed over the feed that lies there; the manifest, by which they are found, last.
fn write_all(folder: &Path, file: &mut Exported) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    misp::follow(file, |name| std::fs::read_to_string(folder.join(name)).ok(), now());
    let (manifest, others): (Vec<_>, Vec<_>) =
        file.files.iter().partition(|(name, _)| *name == misp::MANIFEST);
    for (name, text) in others.into_iter().chain(manifest) {
        write(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}

fn some(objects: &[String]) -> String {
    objects.iter().take(3).map(|o| plain(o)).collect::<Vec<_>>().join(", ")
}

/// Something was held back: exit code 4, so that a script sees it.
fn published(context: &Context, outcome: Outcome) -> anyhow::Result<ExitCode> {
    let Outcome::Published(report) = outcome else { bail!("the node answered another question") };
    let Published { published, batches, announced, carried, refused, warnings } = &report;
    if context.json {
        output::json(&report)?;
    } else {
        println!("{published} published in {batches} signed batches.");
        if *carried > 0 {
            println!(
                "{carried} of them go out under the pseudonym: other members carry them, and they are in the library here when \
                 they come back, mostly within seconds. `hedgerow serve` has to run."
            );
        }
        if batches > carried && !announced {
            println!("No member heard of it yet; they learn of it when they next catch up with this node.");
        }
        held_back("Refused", refused);
        held_back("To look at; --confirm publishes them", warnings);
    }
    let clean = refused.is_empty() && warnings.is_empty();
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(4) })
}

fn held_back(title: &str, list: &[Found]) {
    if list.is_empty() {
        return;
    }
    println!("{title}: {}", list.len());
    for found in list.iter().take(20) {
        println!("  {}: {}", plain(&found.pattern), found.reason);
    }
}
