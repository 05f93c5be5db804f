//! What can be typed of the ledger, backups and restoring.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use hedgerow_protocol::privacy::MicroEpsilon;

#[derive(Debug, ClapArgs)]
pub(crate) struct Ledger {
    /// After a restore: charge what releases show that was spent since the backup, and let the node answer again.
    #[arg(long)]
    pub(crate) confirm: bool,
    /// Charge this much more, such as research=0.5: what was spent since the backup and shows in no release.
    #[arg(long, value_name = "PURPOSE=EPSILON", value_parser = spent, requires = "confirm")]
    pub(crate) also: Vec<(String, MicroEpsilon)>,
}

fn spent(text: &str) -> Result<(String, MicroEpsilon), String> {
    let (purpose, epsilon) = text.split_once('=').ok_or("write PURPOSE=EPSILON, such as research=0.5")?;
    let epsilon = epsilon.parse::<MicroEpsilon>().map_err(|e| e.to_string())?;
    Ok((purpose.to_owned(), epsilon))
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Backup {
    /// Who can open it: an age recipient. Two or more, so that a lost key is no lost backup.
    #[arg(long = "recipient", value_name = "AGE", required = true)]
    pub(crate) recipients: Vec<String>,
    /// One recipient alone is meant.
    #[arg(long)]
    pub(crate) single: bool,
    /// The file; hedgerow-backup-<day>.age in this folder if not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Restore {
    /// The backup.
    pub(crate) file: PathBuf,
    /// File with an age identity that opens it.
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: PathBuf,
    /// The new folder; point --home at it afterwards.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
}
