//! Records in, shown, erased: what a caseworker does (docs/records.md).

use std::{
    io::Read,
    sync::{Arc, PoisonError},
};

use hedgerow_protocol::{facet::FacetTable, indicator::Key};
use zeroize::Zeroizing;

use super::lint::PeopleHeld;
use crate::{
    error::NodeError,
    facet_row,
    form::RecordForm,
    node::Node,
    store::{Derived, NewRecord, RecordNumber, SourceKey, StoreError, Stored, Vault, WordKey},
    words,
};

/// Records in one durable commit while importing.
const BATCH: usize = 1000;

impl Node {
    /// Stores one record.
    pub fn add_record(&self, form: RecordForm) -> Result<RecordNumber, NodeError> {
        let new = self.prepare(form, None)?;
        match self.store(vec![new])?.first() {
            Some(Stored::New(number) | Stored::Duplicate(number)) => Ok(*number),
            None => Err(NodeError::input("nothing was stored")),
        }
    }

    /// One record's form.
    pub fn record(&self, number: RecordNumber) -> Result<RecordForm, NodeError> {
        let body = self.records.body(number)?;
        let body = body.ok_or_else(|| NodeError::input(format!("there is no record {number}")))?;
        read(&body)
    }

    /// Up to `limit` records from number `from` on.
    pub fn list_records(
        &self,
        from: RecordNumber,
        limit: usize,
    ) -> Result<Vec<(RecordNumber, RecordForm)>, NodeError> {
        self.records.list(from, limit)?.into_iter().map(|(n, body)| Ok((n, read(&body)?))).collect()
    }

    /// Sets what the person of one record allows; what is `None` stays as it is. A statistic counts it, or does not,
    /// from the next one on.
    pub fn set_consent(&self, number: RecordNumber, consents: ConsentChange) -> Result<(), NodeError> {
        let mut form = self.record(number)?;
        let ConsentChange { statistics, indicators, research_contact } = consents;
        for (field, given) in [
            (&mut form.consent_statistics, statistics),
            (&mut form.consent_indicators, indicators),
            (&mut form.consent_research_contact, research_contact),
        ] {
            if let Some(given) = given {
                *field = given;
            }
        }
        self.replace_record(number, form)
    }

    /// Puts another form in the place of one record's; number, import mark and attachments stay.
    pub fn replace_record(&self, number: RecordNumber, form: RecordForm) -> Result<(), NodeError> {
        let new = self.prepare(form, None)?;
        let mut people = self.people_held();
        let (before, after) = (self.known_by(&people, number), people.keys(&new.body)?);
        if !self.records.replace(number, &new)? {
            return Err(NodeError::input(format!("there is no record {number}")));
        }
        people.remove(&before);
        people.add(&after);
        Ok(())
    }

    /// Erases one record. It is in no later statistic.
    pub fn erase_record(&self, number: RecordNumber) -> Result<(), NodeError> {
        let mut people = self.people_held();
        let known_by = self.known_by(&people, number);
        if self.records.erase(number)? {
            people.remove(&known_by);
            drop(people);
            // Not even a copy in memory stays until somebody asks.
            *self.facets.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.attachments.remove_all(number)?;
            self.sightings.forget(|one| one.record == Some(number.0))?;
            Ok(())
        } else {
            Err(NodeError::input(format!("there is no record {number}")))
        }
    }

    /// Stores forms from a source, a thousand to a commit, telling `progress` of each commit.
    ///
    /// Each item is a line with a form and its source, or a reason why it has none. The counts add up: read is
    /// stored, duplicates and rejected together.
    pub fn import_records<I>(
        &self,
        rows: I,
        dry_run: bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Imported, NodeError>
    where
        I: IntoIterator<Item = (u64, Result<(RecordForm, SourceKey), String>)>,
    {
        let mut report = Imported::default();
        let mut batch = Vec::with_capacity(BATCH);
        for (line, row) in rows {
            report.read += 1;
            let prepared =
                row.and_then(|(form, source)| self.prepare(form, Some(source)).map_err(|e| e.message));
            match prepared {
                Ok(new) => batch.push(new),
                Err(reason) => report.rejected.push(Rejected { line, reason }),
            }
            if batch.len() == BATCH {
                self.flush(std::mem::take(&mut batch), dry_run, &mut report)?;
                progress(report.read);
            }
        }
        self.flush(batch, dry_run, &mut report)?;
        progress(report.read);
        Ok(report)
    }

    /// The facets of all records as they are now. They are kept, in an order that is quick to count, until the first
    /// question after a record changed.
    pub(crate) fn facets(&self) -> Result<Arc<FacetTable>, NodeError> {
        let mut kept = self.facets.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = self.records.rows();
        if let Some((_, table)) = kept.as_ref().filter(|(changes, _)| *changes == rows.changes()) {
            return Ok(Arc::clone(table));
        }
        // What is out of date makes room first.
        *kept = None;
        let decode = |number| rows.get(number).map(facet_row::decode).transpose();
        let table = FacetTable::build(rows.numbers(), decode);
        let table = Arc::new(table.map_err(|_| StoreError::Damaged("a facet does not read"))?);
        *kept = Some((rows.changes(), Arc::clone(&table)));
        Ok(table)
    }

    fn prepare(&self, form: RecordForm, source: Option<SourceKey>) -> Result<NewRecord, NodeError> {
        prepare(&self.vault, &self.word_key, form, source)
    }

    /// Stores records in one durable commit.
    fn store(&self, batch: Vec<NewRecord>) -> Result<Vec<Stored>, NodeError> {
        let mut people = self.people_held();
        let keys = batch.iter().map(|new| people.keys(&new.body)).collect::<Result<Vec<_>, _>>()?;
        let outcomes = self.records.insert(batch)?;
        for (keys, outcome) in keys.iter().zip(&outcomes) {
            if let Stored::New(_) = outcome {
                people.add(keys);
            }
        }
        Ok(outcomes)
    }

    /// What the person of a record is known by, as far as somebody has asked. A record that does not read is erased and
    /// replaced all the same.
    fn known_by(&self, people: &PeopleHeld<'_>, number: RecordNumber) -> Vec<Key> {
        let body = people.asked().then(|| self.records.body(number).ok().flatten()).flatten();
        body.and_then(|body| people.keys(&body).ok()).unwrap_or_default()
    }

    fn flush(&self, batch: Vec<NewRecord>, dry_run: bool, report: &mut Imported) -> Result<(), NodeError> {
        if dry_run {
            // Duplicates within the file or with the vault are told only by a true import.
            report.stored += batch.len() as u64;
            return Ok(());
        }
        for outcome in self.store(batch)? {
            match outcome {
                Stored::New(_) => report.stored += 1,
                Stored::Duplicate(_) => report.duplicates += 1,
            }
        }
        Ok(())
    }
}

/// Consents to be set: yes, no, or withdrawn YYYY-MM-DD.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentChange {
    /// To be counted in private statistics.
    pub statistics: Option<String>,
    /// To have indicators of the attack shared.
    pub indicators: Option<String>,
    /// To be contacted for research.
    pub research_contact: Option<String>,
}

/// What an import did. `read` = `stored` + `duplicates` + `rejected`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// Rows read.
    pub read: u64,
    /// Stored now.
    pub stored: u64,
    /// Here before.
    pub duplicates: u64,
    /// Not stored, each with its line and reason.
    pub rejected: Vec<Rejected>,
}

/// One row that was not stored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// Its line, or its place in a list of objects, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// Reads a whole input of at most `limit` bytes.
pub(crate) fn read_bounded(mut input: impl Read, limit: u64) -> Result<Vec<u8>, NodeError> {
    let mut bytes = Vec::new();
    let mut bounded = input.by_ref().take(limit + 1);
    bounded.read_to_end(&mut bytes).map_err(|e| NodeError::input(format!("the file cannot be read: {e}")))?;
    if bytes.len() as u64 > limit {
        return Err(NodeError::input(format!("the file is longer than {limit} bytes; split it")));
    }
    Ok(bytes)
}

/// What the vault keeps of a form.
pub(crate) fn prepare(
    vault: &Vault,
    key: &WordKey,
    form: RecordForm,
    source: Option<SourceKey>,
) -> Result<NewRecord, NodeError> {
    let body = serde_json::to_vec(&form).map_err(|_| NodeError::input("a record has no JSON form"))?;
    let body = Zeroizing::new(body);
    let (row, words) = derived(vault, key, form)?;
    Ok(NewRecord { source, body, row, words })
}

/// What follows from a stored body.
pub(crate) fn derive(vault: &Vault, key: &WordKey, body: &[u8]) -> Option<Derived> {
    derived(vault, key, read(body).ok()?).ok()
}

fn derived(vault: &Vault, key: &WordKey, form: RecordForm) -> Result<Derived, NodeError> {
    let mut hashes = Vec::new();
    for text in searched(&form) {
        words::words(text, |word| hashes.push(key.hash(word)));
    }
    hashes.sort_unstable();
    hashes.dedup();
    let record = form.parse().map_err(NodeError::input)?;
    let person = vault.person_key(&record.local().person);
    Ok((facet_row::encode(&record.facet(person)), hashes))
}

/// The texts in which words are looked for.
pub(super) fn searched(form: &RecordForm) -> [&str; 7] {
    let RecordForm { person, reference, subdivision, contacts, narrative, notes, preferences, .. } = form;
    [person, reference, subdivision, contacts, narrative, notes, preferences]
}

/// The form of a stored body.
pub(crate) fn read(body: &[u8]) -> Result<RecordForm, NodeError> {
    serde_json::from_slice(body).map_err(|_| StoreError::Damaged("a record's body does not read").into())
}
