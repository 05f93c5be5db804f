//! The closed vocabulary of an incident, versioned (docs/records.md).
//!
//! Codes are append-only within a version: a facet holds the place of a code in its list.

mod codes;
mod countries;
mod field;
mod mapping;

use std::{fmt, str::FromStr};

pub use field::{Bin, Field, FieldError, UNKNOWN};
pub use mapping::{TacticMapping, tactic_mapping};

use crate::id::serde_as_text;

/// Version of the vocabulary. A charter names the one in which its members ask.
pub const VOCABULARY: u16 = 1;

/// One code of a dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeEntry {
    /// As typed, stored and signed.
    pub code: &'static str,
    /// What it means, for people.
    pub label: &'static str,
}

/// The place of a code in its dimension's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u16);

impl Code {
    /// The place, from 0.
    pub const fn index(self) -> u16 {
        self.0
    }
}

/// A closed coded column of an incident that may be filtered on or grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// What was done: the primary tactic.
    Tactic,
    /// To whom, by role.
    Role,
    /// The state suspected behind it.
    Origin,
    /// How sure that is.
    Confidence,
    /// What it rests on.
    Basis,
    /// Where it happened, online or off.
    Platform,
    /// What it did to the person.
    Harm,
    /// Whom she asked for help; several at once.
    Help,
    /// What became of it: institution and outcome; several at once.
    Answer,
    /// The country where she lives.
    Region,
    /// Phase of an influence campaign.
    Phase,
}

impl Dimension {
    /// Every dimension, in order.
    pub const ALL: &[Self] = &[
        Self::Tactic,
        Self::Role,
        Self::Origin,
        Self::Confidence,
        Self::Basis,
        Self::Platform,
        Self::Harm,
        Self::Help,
        Self::Answer,
        Self::Region,
        Self::Phase,
    ];

    /// Those of which an incident has one code each, in the order of its facet's row (docs/records.md).
    pub const SINGLE: [Self; 9] = [
        Self::Tactic,
        Self::Role,
        Self::Origin,
        Self::Confidence,
        Self::Basis,
        Self::Platform,
        Self::Harm,
        Self::Region,
        Self::Phase,
    ];

    /// Its name, as typed and signed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tactic => "tactic",
            Self::Role => "role",
            Self::Origin => "origin",
            Self::Confidence => "confidence",
            Self::Basis => "basis",
            Self::Platform => "platform",
            Self::Harm => "harm",
            Self::Help => "help",
            Self::Answer => "answer",
            Self::Region => "region",
            Self::Phase => "phase",
        }
    }

    /// Its codes, in order.
    pub const fn codes(self) -> &'static [CodeEntry] {
        match self {
            Self::Tactic => codes::TACTICS,
            Self::Role => codes::ROLES,
            Self::Origin | Self::Region => countries::COUNTRIES,
            Self::Confidence => codes::CONFIDENCES,
            Self::Basis => codes::BASES,
            Self::Platform => codes::PLATFORMS,
            Self::Harm => codes::HARMS,
            Self::Help => codes::HELP,
            Self::Answer => codes::ANSWERS,
            Self::Phase => codes::PHASES,
        }
    }

    /// The code written `text`, exactly.
    pub fn code(self, text: &str) -> Option<Code> {
        let place = self.codes().iter().position(|e| e.code == text)?;
        u16::try_from(place).ok().map(Code)
    }

    /// The code at place `index`, if the list has it.
    pub fn at(self, index: u16) -> Option<Code> {
        (usize::from(index) < self.codes().len()).then_some(Code(index))
    }

    /// What `code` is, in this dimension.
    pub fn entry(self, code: Code) -> Option<&'static CodeEntry> {
        self.codes().get(usize::from(code.0))
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no dimension.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no dimension of that name; there are: {}", names())]
pub struct DimensionError;

impl FromStr for Dimension {
    type Err = DimensionError;

    fn from_str(s: &str) -> Result<Self, DimensionError> {
        Self::ALL.iter().copied().find(|d| d.name() == s).ok_or(DimensionError)
    }
}

serde_as_text!(Dimension);

fn names() -> String {
    Dimension::ALL.iter().map(|d| d.name()).collect::<Vec<_>>().join(", ")
}

/// The UN M49 sub-region of a country code of [`Dimension::Origin`] or [`Dimension::Region`]; `000` for `XX`.
pub fn subregion(country: Code) -> Option<&'static str> {
    countries::SUBREGIONS.get(usize::from(country.0)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_under_its_own_text_and_stands_once() {
        for dimension in Dimension::ALL {
            let codes = dimension.codes();
            for (place, entry) in codes.iter().enumerate() {
                assert_eq!(
                    dimension.code(entry.code),
                    Some(Code(place as u16)),
                    "{dimension} {}",
                    entry.code
                );
                assert_eq!(dimension.entry(Code(place as u16)), Some(entry));
            }
            assert_eq!(dimension.at(codes.len() as u16), None);
            assert_eq!(dimension.name().parse(), Ok(*dimension));
        }
    }

    #[test]
    fn every_country_has_a_sub_region() {
        assert_eq!(countries::COUNTRIES.len(), 250, "249 and XX");
        assert_eq!(countries::SUBREGIONS.len(), countries::COUNTRIES.len());
        assert_eq!(subregion(Dimension::Region.code("CA").unwrap()), Some("021"));
        assert_eq!(subregion(Dimension::Region.code("XX").unwrap()), Some("000"));
    }

    #[test]
    fn every_mapping_is_of_a_tactic_and_every_mapped_tactic_once() {
        let mapped: Vec<_> =
            codes::TACTICS.iter().filter_map(|e| tactic_mapping(Dimension::Tactic.code(e.code)?)).collect();
        assert_eq!(mapped.len(), 17);
        assert!(mapped.iter().any(|m| m.attack.contains(&"T1566")));
        assert_eq!(tactic_mapping(Dimension::Tactic.code("T99").unwrap()), None);
    }
}
