//! What can be typed.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args as ClapArgs, Parser, Subcommand};
use hedgerow_node::store::{Anchor, Role, UserName};
use hedgerow_node::{
    api::{ForeignChoice, ImportOptions},
    store::Landing,
};
use hedgerow_protocol::{
    indicator::Tlp,
    privacy::MicroEpsilon,
    statistic::{Axis, Bounded, Measure},
    time::{Day, Quarter},
    vocabulary::{Field, FieldError},
};

/// Share what you learn about digital transnational repression, never who it was done to.
///
/// Each group keeps its incident records encrypted on its own node. Only private statistics and signed threat
/// indicators leave it. `hedgerow demo` shows all of it on this machine, with made-up records.
#[derive(Debug, Parser)]
#[command(
    name = "hedgerow",
    version,
    after_help = "Exit codes: 0 done; 1 something does not verify; 2 the request or a file cannot be served; \
                  3 the vault (passphrase, damage, disk, in use); 4 refused by policy, budget or lint; \
                  5 the network, or a node that does not run."
)]
pub(crate) struct Args {
    /// Folder of this node.
    #[arg(long, global = true, env = "HEDGEROW_HOME", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// File whose first line is the passphrase, instead of asking for it.
    #[arg(long, global = true, env = "HEDGEROW_PASSPHRASE_FILE", value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Open the vault with an age identity from this file instead of a passphrase.
    #[arg(long, global = true, env = "HEDGEROW_IDENTITY", value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Act as this user of the vault, with her key.
    #[arg(long, global = true, env = "HEDGEROW_USER", value_name = "NAME")]
    pub(crate) user: Option<UserName>,
    /// Why, for the access log.
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Print JSON, one document, on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole federation of five nodes on this machine.
    Demo(Demo),
    /// Make this organisation's node: a vault and a key.
    Init(Init),
    /// Import incident records from CSV, VERIS JSON or JSON Lines.
    Import(Import),
    /// Fill the vault with made-up records, to try things out.
    Simulate(Simulate),
    /// Add, show, list or erase records.
    #[command(subcommand)]
    Record(Record),
    /// Keep files that belong to a record: add, list, export, annotate or remove them.
    #[command(subcommand)]
    Attachment(Attachment),
    /// Draw up, sign or show a federation's charter.
    #[command(subcommand)]
    Charter(Charter),
    /// Join a federation whose charter is signed by its quorum.
    Join {
        /// The charter.
        charter: PathBuf,
    },
    /// Run the node.
    Serve(Serve),
    /// Ask the federation a question.
    Ask(Ask),
    /// Check a release, offline.
    Verify(Verify),
    /// Import, publish, list, export or revoke threat indicators.
    #[command(subcommand)]
    Indicator(Indicator),
    /// Look for the indicators that this node knows in its own incidents, or in logs and other files. Nothing leaves the
    /// node.
    Match {
        /// Files and folders, gzipped or not; the incidents of this node if none is given.
        paths: Vec<PathBuf>,
        /// The incidents too, where files are given.
        #[arg(long)]
        records: bool,
    },
    /// Let programs collect indicators over TAXII: their tokens.
    #[command(subcommand)]
    Taxii(Taxii),
    /// Show what was spent of the privacy budget, by whom and for what.
    Ledger(Ledger),
    /// Write all of the vault, encrypted, to one file that age opens. The node may run meanwhile.
    Backup(Backup),
    /// Restore a backup into a new folder, and prove that it is whole.
    Restore(Restore),
    /// Make the store anew, so that what was erased gives its room back. The node must not run.
    Rebuild {
        /// Only if about so many percent of its room are won by it.
        #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=99))]
        at_least: u8,
    },
    /// Show how this node is.
    Status,
    /// Open and count everything in the vault; what is damaged, missing or old is named.
    Check,
    /// Upgrade the vault from the format of an older program. Safe to stop at any point.
    Upgrade,
    /// Add, remove or list the people who may open the vault; their roles and passphrases.
    #[command(subcommand)]
    User(User),
    /// Add, remove or list what opens the vault: age recipients, recovery shares.
    #[command(subcommand)]
    Key(Key),
    /// Show the access log, and check that nothing of it was changed.
    Log(Log),
    /// Show or set what this organisation asks of its own people.
    Policy {
        /// Whether reading, exporting and erasing records asks for a reason: yes or no.
        #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
        require_reason: Option<bool>,
    },
    /// Lock the running node: it answers the federation and does nothing else without a key.
    Lock,
    /// Unlock the running node: it acts for you until it locks again.
    Unlock,
    /// Destroy the keys of this vault, at once and for good. Needs no passphrase.
    Panic {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// List the codes of a dimension, or the dimensions.
    Codes {
        /// tactic, role, origin, confidence, basis, platform, harm, help, answer, region or phase.
        dimension: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// List users and their roles.
    List,
    /// Add a user with a passphrase of her own.
    Add {
        /// Her name.
        name: UserName,
        /// caseworker, analyst, operator or auditor; may be given several times.
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<Role>,
        /// File whose first line is her passphrase, instead of asking for it.
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Remove a user and all her keys.
    Remove {
        /// Her name.
        name: UserName,
    },
    /// Give a user other roles.
    Roles {
        /// Her name.
        name: UserName,
        /// All roles she has from now on; may be given several times.
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<Role>,
    },
    /// Change a passphrase: your own, or another's if you are an operator.
    Passphrase {
        /// Whose; your own if not given.
        name: Option<UserName>,
        /// File whose first line is the new passphrase, instead of asking for it.
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// List what opens the vault.
    List,
    /// Let an age identity open the vault.
    AddAge {
        /// Its recipient, age1….
        recipient: String,
        /// As whom it opens; yourself if not given.
        #[arg(long = "for", value_name = "NAME")]
        name: Option<UserName>,
    },
    /// Take an age recipient away.
    RemoveAge {
        /// The recipient, age1….
        recipient: String,
    },
    /// Make recovery shares; those made earlier open nothing any more.
    Recovery {
        /// How many to make.
        #[arg(long, default_value_t = 5)]
        shares: u8,
        /// How many of them open the vault.
        #[arg(long, default_value_t = 3)]
        threshold: u8,
    },
    /// Give a user a new passphrase by means of recovery shares; the node must not be running.
    Recover {
        /// File with shares, one a line; asked for one by one if not given. May be given several times.
        #[arg(long = "share-file", value_name = "FILE")]
        share_files: Vec<PathBuf>,
        /// Who gets the passphrase; not needed where there is one user.
        #[arg(long = "for", value_name = "NAME")]
        name: Option<UserName>,
        /// File whose first line is the new passphrase, instead of asking for it.
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Take a keyring that is older than the vault has seen, because newer ones are lost.
    Accept,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Log {
    /// From this entry on; the last ones if not given.
    #[arg(long)]
    pub(crate) from: Option<u64>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u64,
    /// An end of the log noted down earlier (COUNT:HASH): whether all before it is as it was.
    #[arg(long, value_name = "COUNT:HASH")]
    pub(crate) anchor: Option<Anchor>,
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("yes or no".into()),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// Stop the nodes and return once everything was shown.
    #[arg(long)]
    pub(crate) exit: bool,
    /// Folder for the five nodes; one that an earlier demo made is made anew.
    #[arg(long, default_value = "hedgerow-demo", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Share these incident records among the nodes instead of made-up ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Publish these indicators instead of made-up ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) indicators: Option<PathBuf>,
    /// How many made-up records, over all nodes.
    #[arg(long, default_value_t = 5000)]
    pub(crate) records: u64,
    /// Epsilon of each question.
    #[arg(long, default_value = "1")]
    pub(crate) epsilon: MicroEpsilon,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Init {
    /// Name of the organisation, as other members will see it.
    #[arg(long)]
    pub(crate) name: String,
    /// How its people are reached.
    #[arg(long, default_value = "")]
    pub(crate) contact: String,
    /// Multiaddress at which other members reach this node, such as /ip4/203.0.113.7/udp/4817/quic-v1; may be
    /// given several times.
    #[arg(long = "address", value_name = "MULTIADDR")]
    pub(crate) addresses: Vec<String>,
    /// Where to write the member card that goes into a charter.
    #[arg(long, value_name = "FILE")]
    pub(crate) card: Option<PathBuf>,
}

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

#[derive(Debug, Subcommand)]
pub(crate) enum Charter {
    /// Draw up a charter from the members' cards, and sign it.
    New(CharterNew),
    /// Add this node's signature.
    Sign {
        /// The charter; it is replaced by the signed one.
        charter: PathBuf,
        /// Other copies of the same charter, whose signatures are taken over.
        #[arg(long = "merge", value_name = "FILE")]
        others: Vec<PathBuf>,
    },
    /// Show a charter, or the one that this node joined.
    Show {
        /// The charter; the node's own if not given.
        charter: Option<PathBuf>,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CharterNew {
    /// Name of the federation.
    #[arg(long)]
    pub(crate) name: String,
    /// Member card of another organisation; this node's own is added.
    #[arg(long = "member", value_name = "FILE")]
    pub(crate) members: Vec<PathBuf>,
    /// How many members must sign; a majority if not given.
    #[arg(long)]
    pub(crate) quorum: Option<u32>,
    /// What each node may spend over all questions.
    #[arg(long, default_value = "8")]
    pub(crate) epsilon_total: MicroEpsilon,
    /// Most that one question may cost.
    #[arg(long, default_value = "2")]
    pub(crate) epsilon_per_query: MicroEpsilon,
    /// At how many nodes one person is assumed to be known.
    #[arg(long, default_value_t = 2)]
    pub(crate) nodes_per_person: u32,
    /// Fewest contributions that make a release; a majority if not given.
    #[arg(long)]
    pub(crate) contributions: Option<u32>,
    /// Hold no rounds: every member adds its own full noise to every answer.
    #[arg(long)]
    pub(crate) no_rounds: bool,
    /// How many members may drop out of a round or collude; a fifth, and one at least, if not given.
    #[arg(long, conflicts_with = "no_rounds")]
    pub(crate) tolerated: Option<u32>,
    /// Most that a round may cost a person if every aggregator colludes; three times --epsilon-per-query if not
    /// given. Less makes the noise larger.
    #[arg(long, conflicts_with = "no_rounds")]
    pub(crate) epsilon_aggregators: Option<MicroEpsilon>,
    /// Most of the total that the questions of one member may cost; half of it if not given.
    #[arg(long, value_name = "EPSILON")]
    pub(crate) epsilon_per_asker: Option<MicroEpsilon>,
    /// Count in zero-concentrated differential privacy and state guarantees at this delta, such as 1e-9: many small
    /// questions, and those in which one person touches many cells, get more accurate answers.
    #[arg(long, value_name = "DELTA", value_parser = delta)]
    pub(crate) zcdp: Option<u64>,
    /// Give each calendar year of incidents a budget of its own: the guarantee then covers what a node holds of one
    /// person for one year.
    #[arg(long)]
    pub(crate) by_year: bool,
    /// Where to write it.
    #[arg(long, default_value = "charter.json", value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// A delta in units of 1e-12.
fn delta(text: &str) -> Result<u64, String> {
    let wrong = || "a delta is between 1e-12 and 1e-6".to_owned();
    let delta: f64 = text.parse().map_err(|_| wrong())?;
    let units = (delta * 1e12).round();
    if (1.0..=1e6).contains(&units) { Ok(units as u64) } else { Err(wrong()) }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Serve {
    /// Multiaddress to listen on; the addresses in the charter if not given. May be given several times.
    #[arg(long = "listen", value_name = "MULTIADDR")]
    pub(crate) listen: Vec<String>,
    /// Serve the indicator library over TAXII 2.1 on this address, such as 127.0.0.1:8447. `hedgerow taxii token add`
    /// lets a program in.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) taxii: Option<std::net::SocketAddr>,
    /// How TAXII clients reach this node, such as https://taxii.example.org, where a proxy with TLS stands before it.
    #[arg(long, value_name = "URL", requires = "taxii")]
    pub(crate) taxii_url: Option<String>,
    /// Lock after so many minutes in which nobody used it: records and all else but the status then need a key. 0 for
    /// never. The federation is answered, and TAXII served, all the same.
    #[arg(long, value_name = "MINUTES", default_value_t = 15)]
    pub(crate) lock_after: u64,
    /// End when standard input closes, so that a parent leaves nothing running.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Ask {
    /// incidents or people.
    #[arg(long, default_value = "people", value_parser = measure)]
    pub(crate) count: Measure,
    /// The sum of a number over incidents: accounts_affected, contacts_exposed, days_to_answer or money_lost. With
    /// :N, larger numbers count as N; the noise grows with it.
    #[arg(long, value_name = "NUMBER[:N]", value_parser = bounded, conflicts_with_all = ["count", "mean", "quantile"])]
    pub(crate) sum: Option<Bounded>,
    /// The mean of a number over the incidents that have it. How accurate it is depends on how many these are.
    #[arg(long, value_name = "NUMBER[:N]", value_parser = bounded, conflicts_with_all = ["count", "quantile", "target_error"])]
    pub(crate) mean: Option<Bounded>,
    /// A quantile of a number, such as days_to_answer:0.9; the median without :Q. Asks for incidents by the number's
    /// bins, which `--by NUMBER` shows as a histogram.
    #[arg(long, value_name = "NUMBER[:Q]", value_parser = quantile, conflicts_with = "count")]
    pub(crate) quantile: Option<(Field, f64)>,
    /// Axes of the answer, such as tactic,quarter.
    #[arg(long, value_delimiter = ',', value_name = "AXIS,…")]
    pub(crate) by: Vec<Axis>,
    /// Conditions, such as origin=IR,role=journalist; several codes of one dimension as origin=IR|CN.
    #[arg(long = "where", value_delimiter = ',', value_name = "DIMENSION=CODE,…")]
    pub(crate) conditions: Vec<String>,
    /// First quarter, such as 2025-Q1. Without a period all time is asked, or the last eight complete quarters
    /// where the answer is by quarter or year.
    #[arg(long)]
    pub(crate) from: Option<Quarter>,
    /// Last quarter.
    #[arg(long)]
    pub(crate) to: Option<Quarter>,
    /// What each node is asked to spend, such as 0.5.
    #[arg(long, required_unless_present = "target_error")]
    pub(crate) epsilon: Option<MicroEpsilon>,
    /// Find the epsilon: the least at which 95% intervals reach no further than this to either side.
    #[arg(long, value_name = "N", conflicts_with = "epsilon")]
    pub(crate) target_error: Option<u64>,
    /// Tell what it would cost and how accurate the answer would be; spend nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What the answer is for: a code of the charter, such as research.
    #[arg(long)]
    pub(crate) purpose: String,
    /// Why it is needed, in a sentence; members see it.
    #[arg(long, default_value = "")]
    pub(crate) need: String,
    /// Most cells one person counts in, below the charter's bound: fewer means less noise.
    #[arg(long)]
    pub(crate) cells_per_person: Option<u32>,
    /// Hold no round: every member adds its own full noise, and the answer is that much less accurate.
    #[arg(long)]
    pub(crate) local: bool,
    /// Where to write the release; release-<id>.json if not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

fn measure(text: &str) -> Result<Measure, String> {
    match text {
        "incidents" => Ok(Measure::Incidents),
        "people" => Ok(Measure::People),
        _ => Err("incidents or people can be counted".into()),
    }
}

/// `NUMBER[:REST]`.
fn number(text: &str) -> Result<(Field, Option<&str>), String> {
    let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
    Ok((name.parse().map_err(|e: FieldError| e.to_string())?, rest))
}

fn bounded(text: &str) -> Result<Bounded, String> {
    let (field, rest) = number(text)?;
    let at_most = match rest {
        None => field.most(),
        Some(n) => n.parse().map_err(|_| format!("{n:?} is no whole number"))?,
    };
    Ok(Bounded { field, at_most })
}

fn quantile(text: &str) -> Result<(Field, f64), String> {
    let (field, rest) = number(text)?;
    match rest.map_or(Ok(0.5), str::parse) {
        Ok(q) if q > 0.0 && q < 1.0 => Ok((field, q)),
        _ => Err("a quantile is between 0 and 1, such as 0.5".into()),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Verify {
    /// The release.
    pub(crate) release: PathBuf,
    /// The charter that you trust; the release must be under it.
    #[arg(long, value_name = "FILE")]
    pub(crate) charter: Option<PathBuf>,
    /// Show its figures, too.
    #[arg(long)]
    pub(crate) show: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Indicator {
    /// Import indicators as drafts from a STIX bundle, a MISP event, CSV, a plain list, or a report in running text.
    Import {
        /// The file, or the folder of a MISP feed.
        file: PathBuf,
        /// stix, misp, csv, list or text; told from the file if not given.
        #[arg(long)]
        format: Option<String>,
    },
    /// Publish every draft to the federation.
    Publish {
        /// clear, green, amber, or red with --to; each draft's own label if not given, and a draft without one then stays.
        #[arg(long)]
        tlp: Option<Tlp>,
        /// Member, by name or id, for whom what is RED is sealed; may be given several times.
        #[arg(long, value_name = "MEMBER")]
        to: Vec<String>,
        /// Publish what the lint warns of, too: you have looked at it.
        #[arg(long)]
        confirm: bool,
    },
    /// List the library.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Write the library for other tools.
    Export {
        /// stix (as signed), strict (what the OASIS validator passes), mvt, misp (one event), misp-feed (a folder),
        /// csv, list, hosts or rpz (a DNS response policy zone).
        #[arg(long, default_value = "stix")]
        format: String,
        /// For members of the federation: AMBER too.
        #[arg(long)]
        members: bool,
        /// Only indicators that so many members published, each its own.
        #[arg(long, value_name = "MEMBERS")]
        corroborated: Option<usize>,
        /// Where to write it; standard output if not given. A folder for misp-feed.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Keep a local list of what is no attack here: it undoes a false alarm for this node alone.
    #[command(subcommand)]
    Allow(Allow),
    /// Look at what came from others and would harm people if it were blocked, or names somebody of this vault.
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Name the folder of MISP warning lists that drafts and what comes in are held against; without a folder, say which
    /// is set.
    Warnings(Warnings),
    /// Write the proof of one published object: who published it, when, under which label. Anyone can check it.
    Prove {
        /// Its STIX id.
        id: String,
        /// Where to write it; standard output if not given.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check the proof of one object, offline. Needs no node.
    Check {
        /// The proof.
        proof: PathBuf,
        /// The charter that you trust; its signer must be a member.
        #[arg(long, value_name = "FILE")]
        charter: Option<PathBuf>,
    },
    /// Show which members signed two contents as one version of an object, with the proof.
    TwoStories,
    /// Take an indicator back, for everyone and for good.
    Revoke {
        /// Its STIX id.
        id: String,
    },
    /// Read the indicators of somebody who does not run Hedgerow: a TAXII 2.1 server, a MISP feed, or a file.
    Pull {
        /// A TAXII server, API root or collection; the manifest.json of a MISP feed; or a STIX bundle, CSV or list.
        url: String,
        /// File whose first line is the token, or USER:PASSWORD.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// Only this collection, by id, alias or title; all that may be read if not given.
        #[arg(long)]
        collection: Option<String>,
        /// Reach it through a proxy, such as socks5h://127.0.0.1:9050 for Tor.
        #[arg(long, value_name = "URL")]
        proxy: Option<String>,
        /// What becomes of it: foreign (held apart until adopted) or drafts.
        #[arg(long = "as", value_name = "foreign|drafts", default_value = "foreign")]
        landing: Landing,
        /// Read a collection from the beginning, not from where the last pull ended.
        #[arg(long)]
        again: bool,
    },
    /// Look at what came from outside the federation: adopt it as drafts, or drop it.
    #[command(subcommand)]
    Foreign(Foreign),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Foreign {
    /// List it.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Make drafts of it, to be published by this node.
    Adopt(Chosen),
    /// Drop it.
    Drop(Chosen),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Chosen {
    /// STIX id of one object.
    #[arg(required_unless_present = "source")]
    id: Option<String>,
    /// Everything of one source, as the list has it.
    #[arg(long, conflicts_with = "id")]
    source: Option<String>,
}

impl Chosen {
    pub(crate) fn choice(self) -> anyhow::Result<ForeignChoice> {
        let source = self.source.map(ForeignChoice::Source);
        source.or(self.id.map(ForeignChoice::Object)).context("give an id or --source")
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Taxii {
    /// Make, list or revoke the tokens of clients.
    #[command(subcommand)]
    Token(Token),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token for a client. It is shown once, and kept as a hash.
    Add {
        /// Name of the client.
        name: String,
        /// The strictest label that it reads: clear, green, amber (for members of the federation), or amber+strict
        /// (for this organisation's own programs).
        #[arg(long, default_value = "green")]
        tlp: Tlp,
        /// Let it post: what it posts becomes foreign (held apart until adopted) or drafts.
        #[arg(long, value_name = "foreign|drafts")]
        write: Option<Landing>,
    },
    /// List the clients.
    List,
    /// Take a client's token back.
    Revoke {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Allow {
    /// Put a value on the list.
    Add {
        /// A domain, URL, address or hash, or a kind and a value in quotes, such as "process agentd". A domain covers the
        /// pages on it.
        value: String,
        /// Why.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Show the list.
    List,
    /// Take a value off it.
    Remove {
        /// The value.
        value: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// Show what waits, and why.
    List,
    /// Use it like any other.
    Release {
        /// STIX ids.
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All that waits.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Do not use it. A later version waits anew.
    Drop {
        /// STIX ids.
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All that waits.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Warnings {
    /// The folder: a checkout of MISP's warning lists, or files of its form.
    pub(crate) folder: Option<PathBuf>,
    /// Use none.
    #[arg(long, conflicts_with = "folder")]
    pub(crate) none: bool,
}
