//! What comes of commands, as JSON.

use std::collections::BTreeMap;

use hedgerow_protocol::{
    document::{Charter, Envelope},
    id::{Id, NodeId},
    indicator::Tlp,
    privacy::{Accounting, Guarantee, Mechanism, MicroEpsilon, Unit},
    statistic::Mode,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::PeopleOutcome;
use super::library::LibraryOutcome;
use crate::{
    export::Exported,
    flow::{
        backup::Confirmed,
        clients::ClientView,
        foreign::ForeignMoved,
        indicator::Published,
        intake::{Imported, Rejected},
        matching::Matches,
        pseudonym::Standing,
        pull::Pulled,
        search::Found,
    },
    form::RecordForm,
    store::{Attachment, Restored, UserName, archive::Archived},
};

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
    Exported(Exported),
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
    /// Attachments opened.
    pub attachments: u64,
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
    /// How far its pseudonym is, where the charter has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudonym: Option<Standing>,
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
