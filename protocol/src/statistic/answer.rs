//! What a node answers to a query: a contribution or a refusal, signed either way (docs/protocol.md §5).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{plan::Plan, query::Query};
use crate::{
    document::{Document, Flaw, Sealed, charter::is_code},
    id::{Id, serde_as_text},
    limits,
    privacy::{Mechanism, noise::MAX_VALUE},
    time::Timestamp,
};

/// One node's noised vector for a plan. Answers every query that plans to it, in one release period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    /// Format: 1.
    pub version: u16,
    /// The plan that it answers.
    pub plan: Id<Plan>,
    /// The noise in every value.
    pub mechanism: Mechanism,
    /// One value a cell, in the plan's order.
    pub values: Vec<i64>,
    /// When the noise was drawn.
    pub made_at: Timestamp,
}

impl Sealed for Contribution {}
impl Document for Contribution {
    const KIND: &'static str = "contribution";
    // limits::CELLS values of up to 18 characters each; base64 in its envelope it fits one reply and one value
    // of the store.
    const MAX_BYTES: usize = 80 * 1024;

    fn check(&self) -> Result<(), Flaw> {
        if self.version != 1 {
            return Err(Flaw::new("version", "this program reads contributions of version 1"));
        }
        if self.values.is_empty() || self.values.len() > limits::CELLS {
            return Err(Flaw::new("values", format!("between 1 and {}", limits::CELLS)));
        }
        if self.values.iter().any(|v| !(-MAX_VALUE..=MAX_VALUE).contains(v)) {
            return Err(Flaw::new("values", "each between -(2^53-1) and 2^53-1"));
        }
        Ok(())
    }
}

/// Why a node refuses. Depends on the query, the charter, the ledger and the node's policy, never on records.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ground {
    /// The charter has no such purpose.
    UnknownPurpose,
    /// The query costs more than the charter or what is left allows.
    OverBudget,
    /// The query has no plan under this charter.
    NotPlannable,
    /// The query's time is ahead of or behind the node's clock.
    Clock,
    /// The query has expired.
    Expired,
    /// A ground of the charter, by its code.
    Charter(String),
}

impl Ground {
    const OWN: [(Self, &'static str); 5] = [
        (Self::UnknownPurpose, "unknown-purpose"),
        (Self::OverBudget, "over-budget"),
        (Self::NotPlannable, "not-plannable"),
        (Self::Clock, "clock"),
        (Self::Expired, "expired"),
    ];
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Charter(code) => f.write_str(code),
            own => Self::OWN.iter().find(|(g, _)| g == own).map_or(Ok(()), |(_, code)| f.write_str(code)),
        }
    }
}

impl std::str::FromStr for Ground {
    type Err = Flaw;

    fn from_str(s: &str) -> Result<Self, Flaw> {
        if let Some((own, _)) = Self::OWN.iter().find(|(_, code)| *code == s) {
            return Ok(own.clone());
        }
        if is_code(s) {
            Ok(Self::Charter(s.to_owned()))
        } else {
            Err(Flaw::new("ground", "a code of the protocol or the charter"))
        }
    }
}

serde_as_text!(Ground);

/// A node's signed no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Format: 1.
    pub version: u16,
    /// The query refused.
    pub query: Id<Query>,
    /// Why.
    pub ground: Ground,
    /// When.
    pub made_at: Timestamp,
}

impl Sealed for Refusal {}
impl Document for Refusal {
    const KIND: &'static str = "refusal";
    const MAX_BYTES: usize = 1024;

    fn check(&self) -> Result<(), Flaw> {
        if self.version == 1 {
            Ok(())
        } else {
            Err(Flaw::new("version", "this program reads refusals of version 1"))
        }
    }
}
