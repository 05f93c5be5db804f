//! Commands and their outcomes, as JSON.

use std::{collections::BTreeMap, path::PathBuf};

use hedgerow_protocol::{
    document::{Charter, Envelope},
    id::{Id, NodeId},
    indicator::Tlp,
    privacy::{Accounting, Guarantee, Mechanism, MicroEpsilon, Unit},
    statistic::{Axis, Condition, Measure, Mode, Period},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::library::{LibraryCommand, LibraryOutcome};
use crate::{
    export::LeftOut,
    flow::{
        backup::Confirmed,
        clients::ClientView,
        indicator::Published,
        intake::{ConsentChange, Imported, Rejected},
        matching::Matches,
        pull::{ForeignMoved, Pulled},
        search::{Found, Search},
    },
    form::RecordForm,
    store::{Attachment, Landing, Proof, Restored, UserName, archive::Archived},
};

use super::{PeopleCommand, PeopleOutcome};

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
    },
    /// Publishes every draft.
    IndicatorPublish {
        /// Label; each draft's own if not given.
        tlp: Option<Tlp>,
        /// Names or ids of the members for whom what is RED is sealed.
        #[serde(default)]
        to: Vec<String>,
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

/// What came of a command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "value", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Of [`Command::Status`].
    Status(Box<Status>),
    /// Of [`Command::Import`] and [`Command::Simulate`].
    Imported(Imported),
    /// Of [`Command::RecordAdd`].
    Added(u64),
    /// Of [`Command::RecordShow`] and [`Command::RecordList`].
    Records(Vec<NumberedForm>),
    /// Of [`Command::RecordErase`].
    Erased,
    /// Of [`Command::RecordReplace`] and [`Command::RecordConsent`].
    Changed,
    /// Of [`Command::RecordSearch`].
    Found(Found),
    /// Of [`Command::Check`].
    Checked(Checked),
    /// Of [`Command::Attachment`]: those that it is about.
    Attachments(Vec<Attachment>),
    /// Of [`Command::Charter`].
    Charter(Envelope),
    /// Of [`Command::Ask`]: the release, signed.
    Release(Envelope),
    /// Of [`Command::Expect`].
    Expected(Box<ExpectedView>),
    /// Of [`Command::IndicatorImport`].
    IndicatorsImported(IndicatorsImported),
    /// Of [`Command::IndicatorPublish`] and [`Command::IndicatorRevoke`].
    Published(Published),
    /// Of [`Command::IndicatorList`].
    Indicators(Vec<ListedIndicator>),
    /// Of [`Command::Library`].
    Library(Box<LibraryOutcome>),
    /// Of [`Command::IndicatorExport`].
    Exported(ExportedFile),
    /// Of [`Command::Ledger`].
    Ledger(LedgerView),
    /// Of [`Command::ConfirmLedger`].
    Confirmed(Confirmed),
    /// Of [`Command::Backup`].
    Archived(Archived),
    /// Of [`Command::TaxiiTokenAdd`]: the token, told once.
    TaxiiToken(String),
    /// Of [`Command::TaxiiTokenList`].
    TaxiiTokens(Vec<ClientView>),
    /// Of [`Command::TaxiiTokenRevoke`].
    TaxiiTokenRevoked,
    /// Of [`Command::IndicatorPull`].
    Pulled(Pulled),
    /// Of [`Command::Match`].
    Matches(Box<Matches>),
    /// Of [`Command::ForeignList`].
    Foreign(Vec<ListedForeign>),
    /// Of [`Command::ForeignAdopt`] and [`Command::ForeignDrop`].
    ForeignMoved(ForeignMoved),
    /// Of [`Command::People`].
    People(PeopleOutcome),
}

/// One object from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedForeign {
    /// STIX id.
    pub id: String,
    /// STIX type.
    pub kind: String,
    /// What it looks for, or its name.
    pub what: String,
    /// Label that it came under.
    pub tlp: Option<Tlp>,
    /// The URL that was pulled, or the client who posted it.
    pub source: String,
    /// When this version came.
    pub at: Timestamp,
}

/// What was checked, and found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checked {
    /// Values of the store.
    pub values: u64,
    /// Records opened.
    pub records: u64,
}

/// A record with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberedForm {
    /// Its number here.
    pub number: u64,
    /// The record.
    pub record: RecordForm,
}

/// What an import of indicators did: `read` = `stored` + `duplicates` + `rejected`, for the indicators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndicatorsImported {
    /// Indicators read.
    pub read: u64,
    /// Stored as drafts now.
    pub stored: u64,
    /// Here before.
    pub duplicates: u64,
    /// Not stored.
    pub rejected: Vec<Rejected>,
    /// The same for objects that give indicators their context: malware, relationships and the like.
    pub context: Imported,
}

/// One line of the library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedIndicator {
    /// STIX id.
    pub id: String,
    /// STIX type.
    pub kind: String,
    /// What it looks for, or its name.
    pub what: String,
    /// Label, once published.
    pub tlp: Option<Tlp>,
    /// `draft`, `published` or `revoked`.
    pub state: String,
    /// Name of the member who published it.
    pub from: Option<String>,
    /// When this version came here.
    pub at: Timestamp,
}

/// An exported file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedFile {
    /// Its text, where it is one file.
    pub text: String,
    /// The files by name, where they are several.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Written.
    pub written: usize,
    /// Held back by their labels.
    pub held_back: usize,
    /// What the format cannot hold, by reason.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
}

/// The ledger, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerView {
    /// How it counts. Of zCDP, every epsilon of this view is that at the charter's delta.
    pub accounting: Accounting,
    /// Whose records are covered as one.
    pub unit: Unit,
    /// Cap and spent over all purposes; where each year has its own budget, of the year on which most was spent.
    pub total: Spent,
    /// By purpose code.
    pub purposes: BTreeMap<String, Spent>,
    /// By name of the member who asked.
    pub askers: BTreeMap<String, Spent>,
    /// By year, where each has a budget of its own and something was asked of it alone.
    pub years: Vec<YearView>,
    /// Every charge, oldest first.
    pub charges: Vec<ChargeView>,
}

/// One year's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YearView {
    /// The year.
    pub year: i16,
    /// Spent on it, with what was spent on all years.
    pub spent_micros: MicroEpsilon,
}

/// What is to be expected of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedView {
    /// What each node would spend.
    pub epsilon_micros: MicroEpsilon,
    /// Whether it was answered in this period, so that it costs nothing more and gets the same figures.
    pub free: bool,
    /// The largest epsilon that this node could still spend on such a question; others may have more or less left.
    pub left_micros: MicroEpsilon,
    /// How the members' counts would come together.
    pub mode: Mode,
    /// Members who would take part: all.
    pub members: usize,
    /// Figures of the answer.
    pub groups: usize,
    /// Most groups in which one person counts.
    pub cells_per_person: u32,
    /// Most that one person adds to one group.
    pub per_cell: u64,
    /// The release period in which it is answered once.
    pub release_period: String,
    /// Root-mean-square error of one value.
    pub deviation: f64,
    /// Half the width of the 95% interval of one value.
    pub half_width: u64,
    /// The noise of each member.
    pub mechanism: Mechanism,
    /// The error under the other law of noise that the charter allows: why this one was taken.
    pub passed_over_deviation: Option<f64>,
    /// What the release would guarantee.
    pub guarantee: Guarantee,
}

/// A cap and what is spent of it, in millionths of epsilon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// The cap.
    pub cap_micros: MicroEpsilon,
    /// Spent of it.
    pub spent_micros: MicroEpsilon,
}

/// One charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeView {
    /// When.
    pub at: Timestamp,
    /// What for.
    pub purpose: String,
    /// How much.
    pub epsilon_micros: MicroEpsilon,
    /// Name of the member who asked.
    pub asker: String,
    /// First digits of the plan's id.
    pub plan: String,
    /// First and last year whose incidents it could count, where years have budgets of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub years: Option<(i16, i16)>,
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Its organisation.
    pub name: String,
    /// Its id.
    pub id: NodeId,
    /// The charter it joined.
    pub charter: Option<CharterView>,
    /// Records held.
    pub records: usize,
    /// Indicators in the library, drafts aside.
    pub indicators: usize,
    /// Drafts that wait to be published.
    pub drafts: usize,
    /// Indicator batches held.
    pub batches: usize,
    /// Releases held.
    pub releases: usize,
    /// The budget.
    pub budget: Option<Spent>,
    /// That it was restored from a backup, while nobody has said what was spent since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
    /// Its network, if it runs.
    pub network: Option<NetworkView>,
    /// For whom the running node acts when a command brings no key; none if it is locked, or does not run.
    #[serde(default)]
    pub acts_for: Option<UserName>,
}

/// A charter in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CharterView {
    /// Name of the federation.
    pub name: String,
    /// Its id.
    pub id: Id<Charter>,
    /// Members.
    pub members: usize,
    /// Signatures that it needs.
    pub quorum: u32,
}

/// A running network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkView {
    /// Addresses listened on.
    pub listening: Vec<String>,
    /// The other members.
    pub peers: Vec<PeerView>,
    /// What was dropped, by name; only what happened.
    pub dropped: BTreeMap<String, u64>,
    /// Rounds that it aggregates just now.
    pub aggregating: usize,
}

/// One other member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: NodeId,
    /// Whether it is connected.
    pub connected: bool,
    /// How it stands with it, in words.
    pub state: String,
}
