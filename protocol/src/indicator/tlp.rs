//! Traffic Light Protocol 2.0.

use serde::{Deserialize, Serialize};

/// A TLP 2.0 label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tlp {
    /// No limit.
    Clear,
    /// The community.
    Green,
    /// Members and their clients.
    Amber,
    /// Members alone.
    #[serde(rename = "amber+strict")]
    AmberStrict,
    /// Named people.
    Red,
}
