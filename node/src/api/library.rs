//! Commands about the indicator library: what is held back, what is allowed here, what proves what.

use std::path::PathBuf;

use hedgerow_protocol::{
    document::{Charter, Signed},
    id::{Id, NodeId},
    indicator::{ObjectProof, Tlp},
    pseudonym::shown,
    time::{Day, Timestamp},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::NodeError,
    flow::{
        indicator::{Quarantined, TwoStories},
        lint::ListsRead,
        sighting::Named,
    },
    node::{Node, now},
    store::{Allowed, Noted, RecordNumber, Verdict},
};

/// Something to be done with the library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum LibraryCommand {
    /// What came from others and waits for a person to look at it.
    Quarantine,
    /// Releases or drops what waits.
    Rule {
        /// STIX ids.
        ids: Vec<String>,
        /// All that waits.
        all: bool,
        /// What becomes of it.
        verdict: Verdict,
    },
    /// Puts a value on the allow-list.
    Allow {
        /// The value, with its kind before it if that cannot be guessed.
        value: String,
        /// Why.
        note: String,
    },
    /// Takes a value off it.
    Disallow {
        /// The value.
        value: String,
    },
    /// The allow-list.
    Allowed,
    /// Names the folder of warning lists, or takes it away, and says what is set.
    WarningLists {
        /// The folder.
        folder: Option<PathBuf>,
        /// Use none.
        none: bool,
    },
    /// Notes that this group saw something.
    Sight {
        /// A value, or the STIX id of an indicator.
        what: String,
        /// The day; that of the record, or today, if not given.
        day: Option<Day>,
        /// In which record.
        record: Option<u64>,
    },
    /// Every sighting noted here.
    Sightings,
    /// Which published indicators these are, by STIX id or by value.
    Named {
        /// Ids or values.
        named: Vec<String>,
    },
    /// Forgets the sightings of something.
    Unsight {
        /// A value, or the STIX id of an indicator.
        what: String,
    },
    /// The proof of one object.
    Prove {
        /// Its STIX id.
        id: String,
    },
    /// Every proof that a member told two stories.
    TwoStories,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "done", content = "value", rename_all = "snake_case", deny_unknown_fields)]
pub enum LibraryOutcome {
    /// Of [`LibraryCommand::Quarantine`].
    Quarantine(Vec<Quarantined>),
    /// Of [`LibraryCommand::Rule`].
    Ruled(Ruled),
    /// Of [`LibraryCommand::Allow`], [`LibraryCommand::Disallow`] and [`LibraryCommand::Allowed`]: the list as it is.
    Allowed(Vec<Allowed>),
    /// Of [`LibraryCommand::WarningLists`].
    WarningLists(ListsRead),
    /// Of [`LibraryCommand::Sight`]: how many are new; of [`LibraryCommand::Unsight`]: how many were forgotten.
    Sighted(usize),
    /// Of [`LibraryCommand::Named`], in their order.
    Named(Vec<Named>),
    /// Of [`LibraryCommand::Sightings`].
    Sightings(Vec<Noted>),
    /// Of [`LibraryCommand::Prove`].
    Proof(Box<ObjectProof>),
    /// Of [`LibraryCommand::TwoStories`].
    TwoStories(Vec<TwoStories>),
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ruled {
    /// Objects released or dropped.
    pub ruled: usize,
    /// Ids under which nothing waits.
    pub unknown: Vec<String>,
}

/// Carries out one command.
pub(super) fn run(node: &Node, command: LibraryCommand) -> Result<LibraryOutcome, NodeError> {
    let list = || LibraryOutcome::Allowed(node.allowed());
    Ok(match command {
        LibraryCommand::Quarantine => LibraryOutcome::Quarantine(node.quarantine()?),
        LibraryCommand::Rule { ids, all, verdict } => {
            let (ruled, unknown) = node.rule(&ids, all, verdict)?;
            LibraryOutcome::Ruled(Ruled { ruled, unknown })
        }
        LibraryCommand::Allow { value, note } => {
            node.allow(&value, &note, now())?;
            list()
        }
        LibraryCommand::Disallow { value } => {
            if !node.disallow(&value)? {
                return Err(NodeError::input("this value is not on the allow-list"));
            }
            list()
        }
        LibraryCommand::Allowed => list(),
        LibraryCommand::WarningLists { folder, none } => {
            let change = if none { Some(None) } else { folder.map(Some) };
            LibraryOutcome::WarningLists(node.warning_lists(change)?)
        }
        LibraryCommand::Sight { what, day, record } => {
            LibraryOutcome::Sighted(node.sight(&what, day, record.map(RecordNumber), now())?)
        }
        LibraryCommand::Named { named } => LibraryOutcome::Named(node.published_as(&named)?),
        LibraryCommand::Sightings => LibraryOutcome::Sightings(node.sightings()),
        LibraryCommand::Unsight { what } => LibraryOutcome::Sighted(node.forget_sightings(&what)?),
        LibraryCommand::Prove { id } => LibraryOutcome::Proof(Box::new(node.prove(&id)?)),
        LibraryCommand::TwoStories => LibraryOutcome::TwoStories(node.two_stories()?),
    })
}

/// What a proof of one object shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proven {
    /// The object's id.
    pub object: String,
    /// What it looks for, or its name.
    pub what: String,
    /// Who signed it.
    pub signer: NodeId,
    /// Their name in the charter, if one is given.
    pub member: Option<String>,
    /// The charter that it was published under.
    pub charter: Id<Charter>,
    /// When.
    pub published_at: Timestamp,
    /// Under which label.
    pub tlp: Tlp,
}

/// Checks the proof of one object, and that its signer is a member of `charter` if one is trusted.
pub fn check_proof(json: &[u8], charter: Option<&Signed<Charter>>) -> Result<Proven, NodeError> {
    let proof = ObjectProof::from_json(json).map_err(NodeError::invalid)?;
    let (signer, head) = proof.verify().map_err(NodeError::invalid)?;
    let member = match charter {
        Some(charter) if charter.id() != head.charter => {
            return Err(NodeError::invalid("it was published under another charter"));
        }
        Some(charter) => match charter.document().member(&signer) {
            Some(member) => Some(member.name.clone()),
            None if shown(&proof.vouchers, &signer, charter).admitted(&signer, charter.document()) => {
                Some("one of the members, under a pseudonym".to_owned())
            }
            None => return Err(NodeError::invalid("its signer is no member of the charter")),
        },
        None => None,
    };
    let object = &proof.object;
    Ok(Proven {
        object: object.id().to_owned(),
        what: object.what(),
        signer,
        member,
        charter: head.charter,
        published_at: head.published_at,
        tlp: head.tlp,
    })
}
