//! Which action each command is: what `flow::access` decides over and what its log says.

use super::{AttachmentAction, Command, PeopleCommand, library::LibraryCommand};
use crate::{flow::access::Action, store::UserName};

impl Command {
    /// The action, and to what it is done: numbers and counts, never contents. `who` asks for it, if that is known.
    pub fn access(&self, who: Option<&UserName>) -> (Action, String) {
        let nothing = String::new;
        match self {
            Self::Status => (Action::Status, nothing()),
            Self::Import { options, .. } if options.dry_run => (Action::RecordImport, "a dry run".into()),
            Self::Import { .. } => (Action::RecordImport, "a file".into()),
            Self::Simulate { count, .. } => (Action::RecordImport, format!("{count} made-up records")),
            Self::RecordAdd { .. } => (Action::RecordAdd, "one record".into()),
            Self::RecordShow { number } => (Action::RecordShow, format!("record {number}")),
            Self::RecordList { from, limit } => {
                (Action::RecordList, format!("up to {limit} records from {from} on"))
            }
            Self::RecordSearch { .. } => (Action::RecordList, "a search".into()),
            Self::RecordReplace { number, .. } => (Action::RecordAdd, format!("record {number} anew")),
            Self::RecordConsent { number, .. } => (Action::RecordAdd, format!("consent of record {number}")),
            Self::Check => (Action::Check, nothing()),
            Self::RecordErase { number } => (Action::RecordErase, format!("record {number}")),
            Self::Attachment { record, action } => action.access(*record),
            Self::Charter => (Action::Look, nothing()),
            Self::Ask { .. } => (Action::Ask, "one question".into()),
            Self::Expect { .. } => (Action::Expect, nothing()),
            Self::IndicatorImport { .. } => (Action::IndicatorImport, "a file".into()),
            Self::IndicatorCorroborate { .. } => {
                (Action::IndicatorImport, "say what others published".into())
            }
            Self::IndicatorPublish { tlp: Some(tlp), .. } => {
                (Action::IndicatorPublish, format!("every draft, as {tlp}"))
            }
            Self::IndicatorPublish { tlp: None, .. } => (Action::IndicatorPublish, "every draft".into()),
            Self::Library { action } => action.access(),
            Self::IndicatorList => (Action::IndicatorList, nothing()),
            Self::IndicatorExport { members: true, .. } => (Action::IndicatorExport, "for members".into()),
            Self::IndicatorExport { .. } => (Action::IndicatorExport, "for anyone".into()),
            Self::IndicatorRevoke { .. } => (Action::IndicatorRevoke, "one indicator".into()),
            Self::Ledger => (Action::Ledger, nothing()),
            Self::ConfirmLedger { .. } => {
                (Action::Maintain, "say what was spent after the backup was made".into())
            }
            Self::Backup { .. } => (Action::Maintain, "a backup".into()),
            Self::TaxiiTokenAdd { name, .. } => (Action::ClientChange, format!("a token for {name}")),
            Self::TaxiiTokenRevoke { name } => {
                (Action::ClientChange, format!("take back the token of {name}"))
            }
            Self::TaxiiTokenList => (Action::ClientList, nothing()),
            Self::Match { records: true, .. } => (Action::RecordMatch, "all records".into()),
            Self::Match { remember: true, .. } => (Action::IndicatorRule, "note what files hold".into()),
            Self::Match { .. } => (Action::FileMatch, nothing()),
            Self::IndicatorPull { .. } => (Action::IndicatorImport, "what a server offers".into()),
            Self::ForeignList => (Action::IndicatorList, nothing()),
            Self::ForeignAdopt { .. } => (Action::IndicatorImport, "adopt what came from outside".into()),
            Self::ForeignDrop { .. } => (Action::IndicatorImport, "drop what came from outside".into()),
            Self::People { people } => people.access(who),
        }
    }
}

impl LibraryCommand {
    fn access(&self) -> (Action, String) {
        match self {
            // For whoever may ask; the ids are in the release.
            Self::Named { .. } => (Action::Expect, String::new()),
            Self::Quarantine | Self::Allowed | Self::Prove { .. } | Self::TwoStories => {
                (Action::IndicatorList, String::new())
            }
            Self::WarningLists { folder: None, none: false } => (Action::IndicatorList, String::new()),
            Self::WarningLists { .. } => (Action::IndicatorRule, "which warning lists are used".into()),
            Self::Rule { all: true, .. } => (Action::IndicatorRule, "all in quarantine".into()),
            Self::Rule { ids, .. } => (Action::IndicatorRule, format!("{} in quarantine", ids.len())),
            // Which record it was in is for those who may look into records.
            Self::Sight { record: Some(record), .. } => {
                (Action::RecordMatch, format!("a sighting in record {record}"))
            }
            Self::Sightings => (Action::RecordMatch, "every sighting".into()),
            Self::Sight { record: None, .. } => (Action::IndicatorRule, "a sighting".into()),
            Self::Unsight { .. } => (Action::IndicatorRule, "forget sightings".into()),
            Self::Allow { .. } => (Action::IndicatorRule, "allow a value".into()),
            Self::Disallow { .. } => (Action::IndicatorRule, "allow a value no more".into()),
        }
    }
}

impl AttachmentAction {
    fn access(&self, record: u64) -> (Action, String) {
        match self {
            Self::Add { .. } => (Action::RecordAdd, format!("an attachment of record {record}")),
            Self::List => (Action::RecordShow, format!("the attachments of record {record}")),
            Self::Export { number, .. } => {
                (Action::RecordExport, format!("attachment {number} of record {record}"))
            }
            Self::Note { number, .. } => {
                (Action::RecordAdd, format!("a note on attachment {number} of record {record}"))
            }
            Self::Remove { number } => {
                (Action::RecordErase, format!("attachment {number} of record {record}"))
            }
        }
    }
}

impl PeopleCommand {
    fn access(&self, who: Option<&UserName>) -> (Action, String) {
        match self {
            Self::List => (Action::UserList, String::new()),
            Self::Add { user, .. } => {
                (Action::UserChange, format!("add {} as {}", user.name, user.roles_in_words()))
            }
            Self::Remove { name } => (Action::UserChange, format!("remove {name}")),
            Self::Roles { user } => {
                (Action::UserChange, format!("make {} {}", user.name, user.roles_in_words()))
            }
            Self::Passphrase { name: Some(name), .. } if who.is_some_and(|who| who != name) => {
                (Action::UserChange, format!("a new passphrase for {name}"))
            }
            Self::Passphrase { .. } => (Action::OwnPassphrase, "her own".into()),
            Self::AddRecipient { name, .. } => {
                let whom = name.as_ref().or(who).map(UserName::as_str).unwrap_or_default();
                (Action::KeyChange, format!("add a recipient for {whom}"))
            }
            Self::RemoveRecipient { .. } => (Action::KeyChange, "remove a recipient".into()),
            Self::MakeShares { recovery } => (
                Action::KeyChange,
                format!("make {} shares, {} open it", recovery.shares, recovery.threshold),
            ),
            Self::Log { .. } => (Action::Log, String::new()),
            Self::Policy => (Action::Look, String::new()),
            Self::SetPolicy { policy } => {
                let asked = if policy.reasons { "reasons are asked for" } else { "no reasons are asked for" };
                (Action::PolicySet, format!("{asked}; corroborated by {}", policy.corroborated))
            }
            Self::Unlock => (Action::Unlock, String::new()),
            // Anyone may lock.
            Self::Lock => (Action::Status, String::new()),
        }
    }
}
