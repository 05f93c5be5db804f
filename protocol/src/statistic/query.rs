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
    indicator::is_indicator_id,
    limits,
    privacy::MicroEpsilon,
    time::{Quarter, Timestamp},
    vocabulary::{Dimension, Field},
};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Incidents, each person's cut at the charter's bound for one cell.
    Incidents,
    /// People: one each, in every cell in which she has an incident.
    People,
    /// The sum of a number over incidents that have it.
    Sum(Bounded),
    /// Its mean: two sums a cell, of the numbers and of what each lacks of its bound. Their ratio is the mean, and
    /// both together cost no more than one, since a number and what it lacks add up to the bound.
    Mean(Bounded),
    /// Groups that saw an indicator: each member counts once where it did, whatever it saw there and how often.
    Groups,
}

/// A number with the bound above which it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounded {
    /// The number.
    pub field: Field,
    /// What is above counts as this; at most the field's own bound. Noise grows with it.
    pub at_most: u32,
}

impl Measure {
    /// How many values there are for each combination of the axes' values.
    pub const fn parts(self) -> usize {
        match self {
            Self::Incidents | Self::People | Self::Sum(_) | Self::Groups => 1,
            Self::Mean(_) => 2,
        }
    }

    /// The number that it is of, if it is of one.
    pub const fn bounded(self) -> Option<Bounded> {
        match self {
            Self::Incidents | Self::People | Self::Groups => None,
            Self::Sum(bounded) | Self::Mean(bounded) => Some(bounded),
        }
    }

    /// Most that one incident adds to one combination.
    pub fn per_incident(self) -> u32 {
        self.bounded().map_or(1, |b| b.at_most)
    }
}

impl std::fmt::Display for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Incidents => f.write_str("incidents"),
            Self::People => f.write_str("people"),
            Self::Groups => f.write_str("groups that saw it"),
            Self::Sum(b) => write!(f, "sum of {}, each at most {}", b.field, b.at_most),
            Self::Mean(b) => write!(f, "mean of {}, each at most {}", b.field, b.at_most),
        }
    }
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
    /// Format: 1, 2 where a round is asked for, 3 where numbers are, 4 where sightings are.
    pub version: u16,
    /// The charter under which it is asked.
    pub charter: Id<Charter>,
    /// How the members' counts come together.
    #[serde(default, skip_serializing_if = "Mode::is_local")]
    pub mode: Mode,
    /// What is counted.
    pub measure: Measure,
    /// STIX ids of the published indicators whose sightings are counted; with [`Measure::Groups`] alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indicators: Vec<String>,
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

impl Query {
    /// The version in which this question is written: the first that has all that it asks.
    pub fn version_needed(&self) -> u16 {
        let numbers =
            self.measure.bounded().is_some() || self.group_by.iter().any(|a| matches!(a, Axis::Field(_)));
        match (self.measure, numbers, self.mode) {
            (Measure::Groups, ..) => 4,
            (_, true, _) => 3,
            (_, false, Mode::Round) => 2,
            (_, false, Mode::Local) => 1,
        }
    }
}

impl Sealed for Query {}
impl Document for Query {
    const KIND: &'static str = "query";
    // Fits, base64 in its envelope, into one request.
    const MAX_BYTES: usize = limits::REQUEST_BYTES / 2;

    fn check(&self) -> Result<(), Flaw> {
        if self.version != self.version_needed() {
            return Err(Flaw::new(
                "version",
                "this program reads queries of version 1, of 2 for a round, of 3 for numbers, of 4 for sightings",
            ));
        }
        let fewest = usize::from(self.measure == Measure::Groups);
        let most = fewest * limits::SIGHTED;
        // Ids of published objects only: a value could be a person's.
        if !(fewest..=most).contains(&self.indicators.len())
            || !self.indicators.iter().all(|id| is_indicator_id(id))
        {
            return Err(Flaw::new(
                "indicators",
                format!(
                    "1 to {} STIX ids of indicators where groups are counted, else none",
                    limits::SIGHTED
                ),
            ));
        }
        if let Some(b) = self.measure.bounded()
            && !(1..=b.field.most()).contains(&b.at_most)
        {
            return Err(Flaw::new("at_most", format!("{} is between 1 and {}", b.field, b.field.most())));
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
