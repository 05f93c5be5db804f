//! Sightings: noted at home, shared as nothing but the private number of groups that saw an indicator
//! (docs/indicators.md).

use hedgerow_protocol::{
    facet::Facet,
    indicator::{Pattern, Tlp, is_indicator_id},
    limits,
    statistic::{Plan, Sighting},
    time::{Day, Timestamp},
};
use serde::{Deserialize, Serialize};

use super::{
    indicator::observable,
    matching::{Matches, Place},
};
use crate::{
    error::NodeError,
    facet_row,
    node::Node,
    store::{FacetRow, Noted, RecordNumber, Sighted, StoreError},
};

/// A published indicator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its STIX id.
    pub id: String,
    /// What it looks for.
    pub what: String,
}

impl Node {
    /// Notes that this group saw `what`, a value or the STIX id of an indicator, on `day`, in a record if one is named.
    pub fn sight(
        &self,
        what: &str,
        day: Option<Day>,
        record: Option<RecordNumber>,
        now: Timestamp,
    ) -> Result<usize, NodeError> {
        let day = match (day, record) {
            (Some(day), _) => day,
            (None, Some(record)) => self.day_of(record)?,
            (None, None) => now.day(),
        };
        if day > now.day() {
            return Err(NodeError::input("what was seen was seen today or before"));
        }
        if let Some(record) = record {
            self.day_of(record)?;
        }
        let what = self.sought_by(what)?;
        let seen = Sighted { what, day, record: record.map(|number| number.0) };
        Ok(self.sightings.add(vec![seen], now)?)
    }

    /// Notes everything that was found: in incidents on their day, in files today. Says how many are new.
    pub fn remember(&self, matches: &Matches, now: Timestamp) -> Result<usize, NodeError> {
        let sighted = matches.found.iter().map(|found| {
            let what = found.what();
            Ok(match &found.place {
                Place::Record { number, .. } | Place::Attachment { record: number, .. } => {
                    Sighted { what, day: self.day_of(RecordNumber(*number))?, record: Some(*number) }
                }
                Place::File(_) => Sighted { what, day: now.day(), record: None },
            })
        });
        Ok(self.sightings.add(sighted.collect::<Result<_, NodeError>>()?, now)?)
    }

    /// Every sighting noted here.
    pub fn sightings(&self) -> Vec<Noted> {
        self.sightings.list()
    }

    /// Forgets what was noted of a value or indicator. Says how many sightings that were.
    pub fn forget_sightings(&self, what: &str) -> Result<usize, NodeError> {
        let what = self.sought_by(what)?;
        Ok(self.sightings.forget(|one| one.what == what)?)
    }

    /// The published indicators that `named` are, by STIX id or by a value that one of them looks for.
    pub fn published_as(&self, named: &[String]) -> Result<Vec<Named>, NodeError> {
        if named.len() > limits::SIGHTED {
            let most = limits::SIGHTED;
            return Err(NodeError::input(format!("one question is about {most} indicators at most")));
        }
        let found = named.iter().map(|text| {
            let entry = match is_indicator_id(text.trim()) {
                true => self.library.entry(text.trim())?,
                false => self.library.with_pattern(&observable(text)?.to_string())?,
            };
            let entry = entry.ok_or_else(|| {
                NodeError::input(format!("no member has published an indicator for {text:?}"))
            })?;
            if entry.object.tlp() == Some(Tlp::Red) {
                return Err(NodeError::refused(
                    "what is TLP:RED is known to some members only; others cannot say",
                ));
            }
            let what = entry.object.pattern().map(Pattern::key).unwrap_or_default();
            Ok(Named { id: entry.object.id().to_owned(), what })
        });
        found.collect()
    }

    /// What this node saw of the indicators of a plan. What it saw in a record counts if its person lets it be counted.
    pub(super) fn seen(&self, plan: &Plan) -> Result<Vec<Sighting>, NodeError> {
        let mut seen = Vec::new();
        for (indicator, id) in plan.indicators().iter().enumerate() {
            // What the others see must not depend on what is held back here; what never came here was not seen.
            let Some(entry) = self.library.entry(id)? else { continue };
            let Some(pattern) = entry.object.pattern() else { continue };
            let mut whats = vec![pattern.key()];
            if let Pattern::Any(any) = pattern {
                whats.extend(any.iter().map(ToString::to_string));
            }
            for (day, record) in whats.iter().flat_map(|what| self.sightings.of(what)) {
                if self.may_count(record)? {
                    seen.push(Sighting { indicator, day });
                }
            }
        }
        Ok(seen)
    }

    fn may_count(&self, record: Option<RecordNumber>) -> Result<bool, NodeError> {
        let Some(record) = record else { return Ok(true) };
        // The facet is what every statistic reads; of an erased record there is none.
        let Some(row) = self.records.row(record) else { return Ok(false) };
        Ok(facet(&row)?.consent)
    }

    fn day_of(&self, record: RecordNumber) -> Result<Day, NodeError> {
        let row = self.records.row(record);
        let row = row.ok_or_else(|| NodeError::input(format!("there is no record {record}")))?;
        Ok(facet(&row)?.day)
    }

    /// What is looked for: of an indicator its pattern, of a value itself.
    fn sought_by(&self, what: &str) -> Result<String, NodeError> {
        let what = what.trim();
        if !is_indicator_id(what) {
            return Ok(observable(what)?.to_string());
        }
        let entry = match self.library.entry(what)? {
            Some(entry) => Some(entry),
            None => self.library.draft(what)?,
        };
        let key = entry.and_then(|entry| Some(entry.object.pattern()?.key()));
        key.ok_or_else(|| NodeError::input(format!("{what} is no indicator of the library")))
    }
}

fn facet(row: &FacetRow) -> Result<Facet, StoreError> {
    facet_row::decode(row).map_err(|_| StoreError::Damaged("a facet does not read"))
}
