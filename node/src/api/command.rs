//! Commands, as JSON; what comes of them is in `outcome`.

use std::path::PathBuf;

use hedgerow_protocol::{
    indicator::Tlp,
    privacy::MicroEpsilon,
    statistic::{Axis, Condition, Measure, Period},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::PeopleCommand;
use super::library::LibraryCommand;
use crate::{
    flow::{indicator::To, intake::ConsentChange, search::Search},
    form::RecordForm,
    store::{Landing, Proof},
};

/// How a file of incidents is to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportOptions {
    /// csv, veris or jsonl; told from the file if not given.
    pub format: Option<String>,
    /// Label of its encoding; UTF-8 if not given.
    pub encoding: Option<String>,
    /// File with the mapping of its columns.
    pub mapping: Option<PathBuf>,
    /// Consent to statistics of every row, over what the file says.
    pub assume_consent: Option<String>,
    /// Read and report, store nothing.
    pub dry_run: bool,
    /// Only every nth row, beginning with the kth: `(k, n)`, k from 0. Splits one file over several nodes.
    pub share: Option<(u64, u64)>,
}

/// A question, before it is dated and signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// What is counted.
    pub measure: Measure,
    /// The indicators whose sightings are counted: STIX ids, or values that published ones look for.
    #[serde(default)]
    pub indicators: Vec<String>,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Quarters; none for all time.
    pub period: Option<Period>,
    /// Axes of the answer.
    pub group_by: Vec<Axis>,
    /// Most cells one person counts in, below the charter's bound.
    pub cells_per_person: Option<u32>,
    /// What for.
    pub purpose: String,
    /// Why.
    pub need: String,
    /// The price at each node.
    pub epsilon: MicroEpsilon,
    /// Each member with its own full noise, though the charter holds rounds.
    #[serde(default)]
    pub local: bool,
}

/// Something to be done by a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// How the node is.
    Status,
    /// Reads incidents from a file.
    Import {
        /// The file, as an absolute path.
        path: PathBuf,
        /// How.
        options: ImportOptions,
    },
    /// Makes up records.
    Simulate {
        /// How many.
        count: u64,
        /// Seed of the made-up; from the system if not given.
        seed: Option<u64>,
    },
    /// Stores one record.
    RecordAdd {
        /// The record.
        form: Box<RecordForm>,
    },
    /// Shows one record.
    RecordShow {
        /// Its number.
        number: u64,
    },
    /// Lists records.
    RecordList {
        /// From this number on.
        from: u64,
        /// At most so many.
        limit: u64,
    },
    /// Looks for records.
    RecordSearch {
        /// What for.
        search: Box<Search>,
    },
    /// Puts another form in the place of one record's.
    RecordReplace {
        /// Its number.
        number: u64,
        /// The record as it is to be.
        form: Box<RecordForm>,
    },
    /// Sets what the person of one record allows.
    RecordConsent {
        /// Its number.
        number: u64,
        /// What.
        consents: ConsentChange,
    },
    /// Opens and counts everything in the vault.
    Check,
    /// Erases one record.
    RecordErase {
        /// Its number.
        number: u64,
    },
    /// Keeps, shows, writes out or removes files that belong to a record.
    Attachment {
        /// The record's number.
        record: u64,
        /// What is to be done.
        action: AttachmentAction,
    },
    /// Shows the charter.
    Charter,
    /// Asks the federation.
    Ask {
        /// The question.
        question: Question,
    },
    /// Tells what a question would cost and how accurate its answer would be; spends nothing.
    Expect {
        /// The question.
        question: Question,
        /// Find the least epsilon at which intervals reach no further; the question's own is then not read.
        half_width: Option<u64>,
    },
    /// Reads indicators from a file, as drafts.
    IndicatorImport {
        /// The file, as an absolute path.
        path: PathBuf,
        /// stix, misp, csv, list or text; told from the file if not given. A folder is a MISP feed.
        format: Option<String>,
        /// What is said of all that is in it.
        #[serde(default)]
        given: Given,
    },
    /// Makes drafts of what other members published, under ids of one's own: this group says it, too.
    IndicatorCorroborate {
        /// Their STIX ids.
        ids: Vec<String>,
    },
    /// Publishes every draft.
    IndicatorPublish {
        /// Label; each draft's own if not given.
        tlp: Option<Tlp>,
        /// To whom, and under which key.
        #[serde(default)]
        to: To,
        /// Publish what the lint warns of, too.
        confirmed: bool,
    },
    /// Lists the library.
    IndicatorList,
    /// Writes the library.
    IndicatorExport {
        /// One of stix, strict, mvt, misp, misp-feed, csv, list, hosts, rpz.
        format: String,
        /// For members: AMBER too.
        members: bool,
        /// Only indicators that so many members published, each its own.
        #[serde(default)]
        corroborated: Option<usize>,
    },
    /// Does something with the library.
    Library {
        /// What.
        action: LibraryCommand,
    },
    /// Takes one back.
    IndicatorRevoke {
        /// Its STIX id.
        id: String,
    },
    /// Shows what was spent.
    Ledger,
    /// Charges what was spent since the backup that this vault was restored from, and lets it answer again.
    ConfirmLedger {
        /// Also this much, by purpose: what was spent and shows in no release.
        also: Vec<(String, MicroEpsilon)>,
    },
    /// Writes a backup.
    Backup {
        /// The new file, as an absolute path.
        path: PathBuf,
        /// age recipients.
        recipients: Vec<String>,
        /// One alone is meant.
        single: bool,
    },
    /// Makes a token for a TAXII client.
    TaxiiTokenAdd {
        /// The client's name here.
        name: String,
        /// The strictest label that it reads.
        tlp: Tlp,
        /// What becomes of what it posts; none if it may not.
        write: Option<Landing>,
    },
    /// Lists the TAXII clients.
    TaxiiTokenList,
    /// Takes a client's token back.
    TaxiiTokenRevoke {
        /// Its name.
        name: String,
    },
    /// Reads indicators of somebody who does not run Hedgerow.
    IndicatorPull {
        /// Where and how.
        from: PullFrom,
    },
    /// Looks for what this node knows in its incidents and in files.
    Match {
        /// Files and folders, as absolute paths.
        paths: Vec<PathBuf>,
        /// Its incidents, too.
        records: bool,
        /// Note what is found as sightings.
        #[serde(default)]
        remember: bool,
    },
    /// Lists what came from outside the federation and was not adopted.
    ForeignList,
    /// Makes drafts of what came from outside.
    ForeignAdopt {
        /// Which.
        which: ForeignChoice,
    },
    /// Drops what came from outside.
    ForeignDrop {
        /// Which.
        which: ForeignChoice,
    },
    /// Something about the vault's users, keys, access log or policy.
    People {
        /// What.
        people: PeopleCommand,
    },
}

/// What is said of every object of a file that is imported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Its label, if it has none or a freer one.
    pub tlp: Option<Tlp>,
    /// Until when it is to be used, where it does not say so itself.
    pub until: Option<Timestamp>,
    /// Whether what another member published is said by this group, too, under an id of its own.
    pub corroborate: bool,
}

/// A server to pull from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullFrom {
    /// A TAXII server, API root or collection, the manifest of a MISP feed, or a file of indicators.
    pub url: String,
    /// File whose first line is the token, or `USER:PASSWORD`, as an absolute path.
    pub token_file: Option<PathBuf>,
    /// Only this collection, by id, alias or title.
    pub collection: Option<String>,
    /// Proxy through which it is reached, such as `socks5h://127.0.0.1:9050`.
    pub proxy: Option<String>,
    /// What becomes of it.
    pub landing: Landing,
    /// From the beginning, though it was read before.
    pub again: bool,
}

/// Which of the objects from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ForeignChoice {
    /// Those of one source.
    Source(String),
    /// One, by its STIX id.
    Object(String),
}

/// What is to be done with the attachments of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AttachmentAction {
    /// Keeps a file.
    Add {
        /// The file, as an absolute path.
        path: PathBuf,
        /// First custody note.
        note: String,
    },
    /// Lists them.
    List,
    /// Writes one out.
    Export {
        /// Its number.
        number: u32,
        /// The new file, as an absolute path.
        path: PathBuf,
    },
    /// Adds a custody note to one.
    Note {
        /// Its number.
        number: u32,
        /// The note.
        note: String,
    },
    /// Removes one.
    Remove {
        /// Its number.
        number: u32,
    },
}

/// A command, with who asks for it and why, as it goes to a running node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Shows who asks; without it the node acts for the one who unlocked it last.
    pub proof: Option<Proof>,
    /// Why, for the access log.
    pub reason: Option<String>,
    /// The command.
    pub command: Command,
}
