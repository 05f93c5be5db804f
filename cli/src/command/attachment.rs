//! `attachment`: files that belong to a record.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use hedgerow_node::{
    api::{AttachmentAction, Command, Outcome},
    store,
};
use serde_json::json;

use super::{Context, record::sure};
use crate::{
    args::Attachment,
    output::{self, Progress, plain},
};

pub(crate) fn run(context: &Context, attachment: Attachment) -> anyhow::Result<ExitCode> {
    let call = |record, action, what| {
        let command = Command::Attachment { record, action };
        match context.session.run_with(&command, Progress::bytes(what))? {
            Outcome::Attachments(about) => Ok(about),
            _ => bail!("the node answered another question"),
        }
    };
    match attachment {
        Attachment::Add { record, file, note } => {
            let action = AttachmentAction::Add { path: std::path::absolute(file)?, note };
            told(context, record, &call(record, action, "sealing")?, "Kept")?;
        }
        Attachment::List { record } => {
            let all = call(record, AttachmentAction::List, "reading")?;
            if context.json {
                output::json(&all)?;
            } else {
                all.iter().for_each(shown);
            }
        }
        Attachment::Export { record, number, out } => {
            let path = match out {
                Some(out) => out,
                None => own_name(&call(record, AttachmentAction::List, "reading")?, number)?,
            };
            let path = std::path::absolute(path)?;
            let about = call(record, AttachmentAction::Export { number, path: path.clone() }, "opening")?;
            let about = about.first().context("the node answered another question")?;
            if context.json {
                output::json(&json!({ "file": path, "attachment": about }))?;
            } else {
                println!("Written to {}; its hash is {}, as when it came in.", path.display(), about.sha256);
            }
        }
        Attachment::Note { record, number, note } => {
            let about = call(record, AttachmentAction::Note { number, note }, "writing")?;
            told(context, record, &about, "Noted of")?;
        }
        Attachment::Remove { record, number, yes } => {
            if !yes {
                sure("removing", &format!("Remove attachment {number} of record {record}?"))?;
            }
            told(
                context,
                record,
                &call(record, AttachmentAction::Remove { number }, "removing")?,
                "Removed",
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The name that a file came in with, without any folder.
fn own_name(all: &[store::Attachment], number: u32) -> anyhow::Result<PathBuf> {
    let one = all.iter().find(|a| a.number == number);
    let one = one.with_context(|| format!("there is no attachment {number}"))?;
    let name = Path::new(&one.name).file_name().filter(|name| one.name.as_str() == *name);
    Ok(name.context("its name is none that a file may have here; give --out")?.into())
}

fn told(context: &Context, record: u64, about: &[store::Attachment], done: &str) -> anyhow::Result<()> {
    let one = about.first().context("the node answered another question")?;
    if context.json {
        output::json(one)
    } else {
        println!("{done} attachment {} of record {record}:", one.number);
        shown(one);
        Ok(())
    }
}

fn shown(one: &store::Attachment) {
    println!("{:>4}  {}  {} bytes", one.number, plain(&one.name), one.bytes);
    println!("      SHA-256 {}", one.sha256);
    for note in &one.custody {
        println!("      {}  {}", note.at, plain(&note.note));
    }
}
