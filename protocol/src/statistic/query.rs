//! A question to the federation (docs/protocol.md §3).
//!
//! Closed codes only: a query has no free text to match and cannot name a person.

use serde::{Deserialize, Serialize};

use super::plan::Axis;
use crate::{
    document::{
        Document, Flaw, Sealed,
        charter::{Charter, is_code, short},
    },
    id::Id,
    limits,
    privacy::MicroEpsilon,
    time::{Quarter, Timestamp},
    vocabulary::Dimension,
};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Incidents, each person's cut at the charter's bound for one cell.
    Incidents,
    /// People: one each, in every cell in which she has an incident.
    People,
}

/// How the members' counts come together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each member adds its own full noise and sends the result.
    #[default]
    Local,
    /// Each adds a share of the noise, and only the sum is ever seen (docs/protocol.md §9).
    Round,
}

impl Mode {
    /// For serde: the first version of query and plan has no such field.
    pub(super) fn is_local(&self) -> bool {
        *self == Self::Local
    }
}

/// Only incidents that have one of these codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The coded column.
    pub dimension: Dimension,
    /// Its codes; any one will do.
    pub any_of: Vec<String>,
}

/// Quarters, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// First quarter.
    pub from: Quarter,
    /// Last quarter.
    pub to: Quarter,
}

/// A question, signed by the member who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Format: 1, or 2 where a round is asked for.
    pub version: u16,
    /// The charter under which it is asked.
    pub charter: Id<Charter>,
    /// How the members' counts come together.
    #[serde(default, skip_serializing_if = "Mode::is_local")]
    pub mode: Mode,
    /// What is counted.
    pub measure: Measure,
    /// Only incidents that meet every condition; each dimension at most once.
    pub conditions: Vec<Condition>,
    /// Only incidents of these quarters; none means all time.
    pub period: Option<Period>,
    /// The axes of the answer; none means one total.
    pub group_by: Vec<Axis>,
    /// Most cells one person may count in; none means the charter's bound, which it may only lower.
    pub cells_per_person: Option<u32>,
    /// What the answer is for: a code of the charter.
    pub purpose: String,
    /// Why it is needed, in a sentence.
    pub need: String,
    /// What each node is asked to spend.
    #[serde(rename = "epsilon_micros")]
    pub epsilon: MicroEpsilon,
    /// When it was asked. Decides the release period.
    pub asked_at: Timestamp,
    /// After this it is not answered any more.
    pub expires_at: Timestamp,
}

/// Longest time for which a query may stay open, in seconds: a week.
pub const LONGEST_EXPIRY_SECONDS: i64 = 7 * 86_400;

impl Sealed for Query {}
impl Document for Query {
    const KIND: &'static str = "query";
    // Fits, base64 in its envelope, into one request.
    const MAX_BYTES: usize = limits::REQUEST_BYTES / 2;

    fn check(&self) -> Result<(), Flaw> {
        if self.version != if self.mode.is_local() { 1 } else { 2 } {
            return Err(Flaw::new("version", "this program reads queries of version 1, and 2 for a round"));
        }
        if self.epsilon == MicroEpsilon::default() || self.epsilon > MicroEpsilon::MAX {
            return Err(Flaw::new("epsilon", "more than 0, at most 1000"));
        }
        if !is_code(&self.purpose) {
            return Err(Flaw::new("purpose", "a code of the charter"));
        }
        short("need", &self.need)?;
        if self.group_by.len() > limits::DIMENSIONS || self.conditions.len() > Dimension::ALL.len() {
            return Err(Flaw::new("group_by", format!("at most {} axes", limits::DIMENSIONS)));
        }
        if self.conditions.iter().any(|c| c.any_of.is_empty() || c.any_of.len() > limits::CODES) {
            return Err(Flaw::new("conditions", format!("between 1 and {} codes each", limits::CODES)));
        }
        if self.cells_per_person == Some(0) {
            return Err(Flaw::new("cells_per_person", "at least 1"));
        }
        let open = self.expires_at.unix_seconds() - self.asked_at.unix_seconds();
        if !(1..=LONGEST_EXPIRY_SECONDS).contains(&open) {
            return Err(Flaw::new("expires_at", "after asked_at, by a week at most"));
        }
        Ok(())
    }
}
