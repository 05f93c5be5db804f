//! `backup` and `restore`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use hedgerow_node::{
    api::{Command, Outcome},
    error::NodeError,
    flow::{self, access::Action},
    node::{Node, now},
    store::archive::Archived,
};
use serde_json::json;

use super::Context;
use crate::{
    args::{Backup, Restore},
    output::{self, Progress},
};

pub(crate) fn backup(context: &Context, backup: Backup) -> anyhow::Result<ExitCode> {
    let path = backup.out.unwrap_or_else(|| PathBuf::from(format!("hedgerow-backup-{}.age", now().day())));
    let path = std::path::absolute(path)?;
    let command =
        Command::Backup { path: path.clone(), recipients: backup.recipients, single: backup.single };
    let Outcome::Archived(archived) = context.session.run_with(&command, Progress::bytes("copying"))? else {
        bail!("the node answered another question")
    };
    if context.json {
        output::json(&json!({ "file": path, "backup": archived }))?;
    } else {
        told(&archived);
        println!("Written to {}. Try it: `hedgerow restore` it into a new folder.", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn restore(context: &Context, restore: &Restore) -> anyhow::Result<ExitCode> {
    let into = std::path::absolute(&restore.into)?;
    let archived = context.session.restore(&restore.file, &restore.identity, &into)?;
    if context.json {
        output::json(&json!({ "into": into, "backup": archived }))?;
    } else {
        told(&archived);
        println!("All of it is in {}, and proved to be what was backed up.", into.display());
        println!(
            "What this node spent after {} is not known to it: it answers no question until you say \
             `hedgerow ledger --confirm`, best once it has run for a while beside the other members.",
            archived.made_at
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn rebuild(context: &Context, at_least: u8) -> anyhow::Result<ExitCode> {
    let mut progress = Progress::bytes("copying");
    let open = || opened(context.session.open(Action::Maintain, "rebuild the store"));
    let rebuilt = flow::backup::rebuild(open, at_least, &mut |done, of| progress.tell(done, of))?;
    drop(progress);
    if context.json {
        output::json(&json!({ "rebuilt": rebuilt }))?;
    } else if let Some(r) = rebuilt {
        println!(
            "The store is made anew: {} values, {} bytes before, {} now.",
            r.values, r.bytes_before, r.bytes_after
        );
    } else {
        println!("Less than {at_least} percent would be won; nothing was done.");
    }
    Ok(ExitCode::SUCCESS)
}

fn opened(node: anyhow::Result<Node>) -> Result<Node, NodeError> {
    node.map_err(|error| error.downcast().unwrap_or_else(NodeError::input))
}

fn told(archived: &Archived) {
    println!(
        "The vault as of {}: {} commits, {} values, {} files, {} of them attachments.",
        archived.made_at, archived.commits, archived.values, archived.files, archived.attachments
    );
}
