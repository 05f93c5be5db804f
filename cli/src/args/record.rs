//! What can be typed of incident records and their attachments.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use hedgerow_node::api::ImportOptions;
use hedgerow_protocol::time::Day;

#[derive(Debug, ClapArgs)]
pub(crate) struct Import {
    /// The file.
    pub(crate) file: PathBuf,
    /// csv, veris or jsonl; told from the file if not given.
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Encoding of the file, such as windows-1252; UTF-8 if not given.
    #[arg(long)]
    pub(crate) encoding: Option<String>,
    /// JSON file that maps its columns (see docs/records.md).
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
    /// Consent to statistics for every row: yes, no, or "withdrawn YYYY-MM-DD".
    #[arg(long, value_name = "CONSENT")]
    pub(crate) assume_consent: Option<String>,
    /// Read and report, store nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Import {
    pub(crate) fn options(&self) -> anyhow::Result<ImportOptions> {
        Ok(ImportOptions {
            format: self.format.clone(),
            encoding: self.encoding.clone(),
            mapping: self.mapping.as_deref().map(std::path::absolute).transpose()?,
            assume_consent: self.assume_consent.clone(),
            dry_run: self.dry_run,
            share: None,
        })
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Simulate {
    /// How many records.
    #[arg(default_value_t = 1000)]
    pub(crate) count: u64,
    /// The same seed makes the same records.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Record {
    /// Add one record, from a JSON file or from options.
    Add(Box<RecordAdd>),
    /// Show one record.
    Show {
        /// Its number.
        number: u64,
    },
    /// List records.
    List {
        /// From this number on.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: u64,
    },
    /// Find records by words, reference, person, codes and days; a record must meet all that is given.
    Search(Box<RecordSearch>),
    /// Change one record: its form is replaced by the one in a JSON file, as `record show` prints it.
    Edit {
        /// Its number.
        number: u64,
        /// JSON file with the record as it is to be (- for standard input).
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Set what the person allows: yes, no, or "withdrawn YYYY-MM-DD". Counts from the next statistic on.
    #[command(group(clap::ArgGroup::new("uses").required(true).multiple(true)))]
    Consent {
        /// The record's number.
        number: u64,
        /// To be counted in private statistics.
        #[arg(long, value_name = "CONSENT", group = "uses")]
        statistics: Option<String>,
        /// To have indicators of the attack shared.
        #[arg(long, value_name = "CONSENT", group = "uses")]
        indicators: Option<String>,
        /// To be contacted for research.
        #[arg(long, value_name = "CONSENT", group = "uses")]
        research_contact: Option<String>,
    },
    /// Erase one record. It is in no later statistic, and cannot be brought back.
    Erase {
        /// Its number.
        number: u64,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RecordSearch {
    /// Words that stand in its texts, whole, in any order; case and accents do not matter.
    pub(crate) words: Vec<String>,
    /// Words of your own case reference.
    #[arg(long)]
    pub(crate) reference: Option<String>,
    /// Pseudonym of the person, as written in the record.
    #[arg(long)]
    pub(crate) person: Option<String>,
    /// Codes, as in `origin=IR,role=journalist`; several codes of one dimension as `origin=IR|CN`.
    #[arg(long = "where", value_name = "DIMENSION=CODE", value_delimiter = ',')]
    pub(crate) conditions: Vec<String>,
    /// First day, YYYY-MM-DD.
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<Day>,
    /// Last day, YYYY-MM-DD.
    #[arg(long, value_name = "DAY")]
    pub(crate) to: Option<Day>,
    /// At most so many, the latest first; 1000 at most.
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RecordAdd {
    /// JSON file with the record (- for standard input); the options below are then not read.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The day it happened, YYYY-MM-DD.
    #[arg(long, required_unless_present = "file")]
    pub(crate) day: Option<String>,
    /// Primary tactic, such as T04; `hedgerow codes tactic` lists them.
    #[arg(long, required_unless_present = "file")]
    pub(crate) tactic: Option<String>,
    /// Pseudonym of the person, the same in all her records.
    #[arg(long, required_unless_present = "file")]
    pub(crate) person: Option<String>,
    /// Role of the target.
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// State suspected behind it; needs --confidence and --basis.
    #[arg(long)]
    pub(crate) origin: Option<String>,
    /// Confidence in the origin.
    #[arg(long)]
    pub(crate) confidence: Option<String>,
    /// What the attribution rests on.
    #[arg(long)]
    pub(crate) basis: Option<String>,
    /// Primary platform.
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Primary harm.
    #[arg(long)]
    pub(crate) harm: Option<String>,
    /// Country where the person lives.
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Whether the person lets it be counted: yes or no.
    #[arg(long, default_value = "no")]
    pub(crate) consent_statistics: String,
    /// What happened. Stays in the vault.
    #[arg(long, default_value = "")]
    pub(crate) narrative: String,
    /// Your own case reference. Stays in the vault.
    #[arg(long, default_value = "")]
    pub(crate) reference: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Attachment {
    /// Keep a file with a record, sealed. The file itself stays where it is: remove it once it is kept.
    Add {
        /// The record's number.
        record: u64,
        /// The file.
        file: PathBuf,
        /// First custody note: where it comes from, who had it.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// List the files of a record, with lengths, hashes and custody notes.
    List {
        /// The record's number.
        record: u64,
    },
    /// Write a file out as it came in; its hash is checked.
    Export {
        /// The record's number.
        record: u64,
        /// The file's number in it.
        number: u32,
        /// Where to; its own name, in this folder, if not given.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Add a custody note. Notes are never changed.
    Note {
        /// The record's number.
        record: u64,
        /// The file's number in it.
        number: u32,
        /// The note.
        note: String,
    },
    /// Remove a file. It cannot be brought back.
    Remove {
        /// The record's number.
        record: u64,
        /// The file's number in it.
        number: u32,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}
