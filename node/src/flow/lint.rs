//! What indicators are held against before they leave, and when they come: warning lists that the operator names, and
//! the people of this vault (docs/indicators.md).

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hedgerow_protocol::indicator::{Checks, Key, Terms, WarningLists};

use super::intake;
use crate::{error::NodeError, node::Node, store::RecordNumber};

mod contacts;
mod lists;

use contacts::keys;
use lists::InUse;
pub use lists::ListsRead;

/// Records read at a time.
const PAGE: usize = 500;

/// What is kept at hand between two lints.
#[derive(Default)]
pub(crate) struct Known {
    lists: Mutex<Option<InUse>>,
    /// Read from all records when it is first asked for, then kept in step with each change of one.
    people: Mutex<Option<Arc<Terms>>>,
}

/// Held while records change, so that what they are known by changes with them.
pub(super) struct PeopleHeld<'k>(MutexGuard<'k, Option<Arc<Terms>>>);

impl PeopleHeld<'_> {
    /// Whether anybody has asked for people yet.
    pub(super) fn asked(&self) -> bool {
        self.0.is_some()
    }

    /// What a record is known by; nothing as long as nobody has asked.
    pub(super) fn keys(&self, body: &[u8]) -> Result<Vec<Key>, NodeError> {
        if self.asked() { Ok(keys(&intake::read(body)?)) } else { Ok(Vec::new()) }
    }

    /// A record came.
    pub(super) fn add(&mut self, keys: &[Key]) {
        if let Some(people) = &mut *self.0 {
            Arc::make_mut(people).add(keys);
        }
    }

    /// A record went.
    pub(super) fn remove(&mut self, keys: &[Key]) {
        if let Some(people) = &mut *self.0 {
            Arc::make_mut(people).remove(keys);
        }
    }
}

/// Both, while they are asked.
pub(crate) struct Held {
    lists: Arc<WarningLists>,
    people: Arc<Terms>,
}

impl Held {
    /// `sealed`: whether RED will be sealed for named members.
    pub(crate) fn checks(&self, sealed: bool) -> Checks<'_> {
        Checks { lists: &self.lists, people: self.people.as_ref(), sealed }
    }
}

impl Node {
    /// Names the folder of warning lists, takes it away (`Some(None)`), or says what is set.
    pub fn warning_lists(&self, change: Option<Option<PathBuf>>) -> Result<ListsRead, NodeError> {
        if let Some(folder) = change {
            if let Some(folder) = &folder {
                // Read first: a folder that cannot be read is not set.
                lists::report(folder)?;
            }
            self.settings.put_warning_lists(folder.as_deref())?;
            *self.known.lists.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        match self.settings.warning_lists()? {
            Some(folder) => lists::report(&folder),
            None => Ok(ListsRead::default()),
        }
    }

    /// What a lint is held against before publishing, the lists as their files are now.
    pub(crate) fn lint_held(&self) -> Result<Held, NodeError> {
        Ok(Held { lists: self.lists(true)?, people: self.people()? })
    }

    /// The same for what comes in, without the warning lists if they cannot be read.
    pub(crate) fn lint_incoming(&self) -> Result<Held, NodeError> {
        let lists = self.lists(false).unwrap_or_else(|error| {
            tracing::warn!(%error, "what came in was not held against the warning lists");
            Arc::default()
        });
        Ok(Held { lists, people: self.people()? })
    }

    fn lists(&self, at_once: bool) -> Result<Arc<WarningLists>, NodeError> {
        let Some(folder) = self.settings.warning_lists()? else { return Ok(Arc::default()) };
        let mut held = self.known.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(in_use) = held.as_mut().filter(|lists| lists.are_of(&folder)) {
            return Ok(in_use.now(at_once));
        }
        Ok(held.insert(InUse::read(folder)?).now(false))
    }

    /// To be held while records change.
    pub(super) fn people_held(&self) -> PeopleHeld<'_> {
        PeopleHeld(self.known.people.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn people(&self) -> Result<Arc<Terms>, NodeError> {
        let mut held = self.people_held();
        if let Some(people) = &*held.0 {
            return Ok(Arc::clone(people));
        }
        let mut terms = Terms::default();
        let mut from = 0;
        loop {
            let page = self.list_records(RecordNumber(from), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            from = last.0.saturating_add(1);
            page.iter().for_each(|(_, form)| terms.add(&keys(form)));
        }
        let people = Arc::new(terms);
        *held.0 = Some(Arc::clone(&people));
        Ok(people)
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_protocol::indicator::People as _;

    use super::*;
    use crate::form::RecordForm;

    #[test]
    fn who_is_in_the_vault_is_known_as_soon_as_records_change() {
        use crate::store::{KdfParams, Passphrase};

        let dir = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::new("a passphrase for tests".into());
        let node =
            Node::init(dir.path(), &passphrase, KdfParams::FLOOR, "A".into(), String::new(), vec![]).unwrap();
        let form = |contact: &str| -> RecordForm {
            let json = serde_json::json!({
                "day": "2025-01-01", "tactic": "T01", "person": "p-0017", "contacts": contact,
            });
            serde_json::from_value(json).unwrap()
        };
        let knows = |text: &str| node.people().unwrap().speaks_of_one(text);
        let first = node.add_record(form("ada@mail.example")).unwrap();
        assert!(knows("ada@mail.example"), "read from the records");
        let second = node.add_record(form("ben@mail.example")).unwrap();
        assert!(knows("ben@mail.example"), "stored since");
        node.replace_record(second, form("cem@mail.example")).unwrap();
        assert!(knows("cem@mail.example") && !knows("ben@mail.example"), "replaced");
        node.erase_record(first).unwrap();
        assert!(!knows("ada@mail.example") && knows("p-0017"), "erased; the other is of the same person");
        node.erase_record(second).unwrap();
        assert!(!knows("p-0017"));
        let rows = [(1, Ok((form("dua@mail.example"), [7; 32])))];
        node.import_records(rows, false, &mut |_| ()).unwrap();
        assert!(knows("dua@mail.example"), "imported");
    }
}
