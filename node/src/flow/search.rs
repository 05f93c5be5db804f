//! Finding records: by words, reference, person, codes and days (docs/records.md).
//!
//! The facets in memory say which records may be meant, the sealed words of each page which of those have what is looked
//! for. Only what is shown is opened. Nothing is written, in clear or otherwise.

use std::{collections::BTreeSet, ops::ControlFlow};

use hedgerow_protocol::{
    statistic::Condition,
    time::Day,
    vocabulary::{Code, Dimension},
};
use serde::{Deserialize, Serialize};

use super::intake;
use crate::{
    error::NodeError,
    facet_row,
    form::RecordForm,
    node::Node,
    store::{FacetRow, StoreError},
    words::{wanted, words},
};

/// Most records that one search shows.
const MOST_FOUND: usize = 1000;

/// What is looked for; a record must meet all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Words, each of which stands in one of its texts.
    #[serde(default)]
    pub words: String,
    /// Words of its reference.
    #[serde(default)]
    pub reference: Option<String>,
    /// Its person, as written there.
    #[serde(default)]
    pub person: Option<String>,
    /// Codes; of a dimension it has one of those named.
    #[serde(default)]
    pub codes: Vec<Condition>,
    /// First day.
    #[serde(default)]
    pub from: Option<Day>,
    /// Last day.
    #[serde(default)]
    pub to: Option<Day>,
    /// Most that are shown.
    pub limit: u64,
}

/// What a search found: the latest numbers first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Up to as many as were asked for.
    pub records: Vec<FoundRecord>,
    /// Whether there are more.
    pub more: bool,
}

/// A record that was found; the rest of it is shown by its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundRecord {
    /// Its number.
    pub number: u64,
    /// The day it happened.
    pub day: String,
    /// Primary tactic.
    pub tactic: String,
    /// Pseudonym of the person.
    pub person: String,
    /// The organisation's own case reference.
    pub reference: String,
}

impl Node {
    /// Looks for records.
    pub fn search_records(&self, search: &Search) -> Result<Found, NodeError> {
        let codes = search.codes.iter().map(coded).collect::<Result<Vec<_>, _>>()?;
        let person = search.person.as_ref().map(|person| self.vault.person_key(person));
        let admits = |row: &FacetRow| {
            if codes.is_empty() && person.is_none() && search.from.is_none() && search.to.is_none() {
                return true;
            }
            // A row that does not read is shown rather than hidden; opening its record will tell.
            let Ok(facet) = facet_row::decode(row) else { return true };
            person.is_none_or(|person| facet.person == person)
                && search.from.is_none_or(|from| facet.day >= from)
                && search.to.is_none_or(|to| facet.day <= to)
                && codes
                    .iter()
                    .all(|(dimension, any)| facet.codes(*dimension).any(|code| any.contains(&code)))
        };
        let looked_for = wanted(&search.words);
        let reference = search.reference.as_deref().map(wanted).unwrap_or_default();
        if looked_for.is_empty() && !search.words.trim().is_empty() {
            return Err(NodeError::input(
                "words: there is neither a letter nor a digit in what is looked for",
            ));
        }
        let hashes: BTreeSet<_> =
            looked_for.iter().chain(&reference).map(|word| self.word_key.hash(word)).collect();
        let hashes: Vec<_> = hashes.into_iter().collect();
        let limit = usize::try_from(search.limit).unwrap_or(MOST_FOUND).min(MOST_FOUND);
        let mut found = Found::default();
        let mut unreadable = false;
        self.records.find(&hashes, admits, |number, body| {
            let Ok(form) = intake::read(&body) else {
                unreadable = true;
                return ControlFlow::Break(());
            };
            if !has(&form, &looked_for, &reference) {
                return ControlFlow::Continue(());
            }
            if found.records.len() == limit {
                found.more = true;
                return ControlFlow::Break(());
            }
            found.records.push(FoundRecord {
                number: number.0,
                day: form.day,
                tactic: form.tactic,
                person: form.person,
                reference: form.reference,
            });
            ControlFlow::Continue(())
        })?;
        if unreadable { Err(StoreError::Damaged("a record's body does not read").into()) } else { Ok(found) }
    }
}

/// Whether the words are there indeed: what led here was their hashes.
fn has(form: &RecordForm, looked_for: &[String], reference: &[String]) -> bool {
    let all_in = |wanted: &[String], texts: &[&str]| {
        let mut left: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        for text in texts {
            if left.is_empty() {
                break;
            }
            words(text, |word| {
                left.remove(word);
            });
        }
        left.is_empty()
    };
    all_in(looked_for, &intake::searched(form)) && all_in(reference, &[&form.reference])
}

fn coded(condition: &Condition) -> Result<(Dimension, Vec<Code>), NodeError> {
    let dimension = condition.dimension;
    let code = |text: &String| {
        dimension.code(text).ok_or_else(|| {
            NodeError::input(format!("{dimension}: no such code; use {}", crate::form::allowed(dimension)))
        })
    };
    Ok((dimension, condition.any_of.iter().map(code).collect::<Result<_, _>>()?))
}
