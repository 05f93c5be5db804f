//! How tactics map to the field's other vocabularies: ENISA's RSIT, MITRE ATT&CK and DISARM.

use super::{Code, Dimension};

/// What a tactic is called elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TacticMapping {
    /// Class of the Reference Security Incident Taxonomy, if one fits.
    pub rsit: Option<&'static str>,
    /// MITRE ATT&CK techniques, enterprise and mobile.
    pub attack: Vec<&'static str>,
    /// DISARM techniques.
    pub disarm: Vec<&'static str>,
}

const TABLE: &str = include_str!("mappings.tsv");

/// The mapping of a code of [`Dimension::Tactic`], if it has one.
pub fn tactic_mapping(tactic: Code) -> Option<TacticMapping> {
    let wanted = Dimension::Tactic.entry(tactic)?.code;
    let row = TABLE.lines().find(|row| row.split('\t').next() == Some(wanted))?;
    let mut columns = row.split('\t').skip(1).map(|c| if c == "-" { "" } else { c });
    let rsit = columns.next().filter(|c| !c.is_empty());
    let mut list = || columns.next().unwrap_or("").split_whitespace().collect();
    Some(TacticMapping { rsit, attack: list(), disarm: list() })
}
