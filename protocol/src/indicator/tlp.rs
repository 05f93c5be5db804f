//! Traffic Light Protocol 2.0 (FIRST, 2022) and its STIX markings (docs/protocol.md §6).

use std::{fmt, str::FromStr};

use serde_json::{Value, json};

use crate::id::serde_as_text;

/// A TLP 2.0 label, from the freest to the most restricted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tlp {
    /// No limit.
    Clear,
    /// The wider community; may be exported.
    Green,
    /// Members and those they protect.
    Amber,
    /// Members alone.
    AmberStrict,
    /// Named people.
    Red,
}

/// The STIX extension definition of TLP 2.0 markings.
const EXTENSION: &str = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";

/// Label, name in text, TLP 2.0 marking id, TLP 1 marking id that is read as the same.
const TABLE: [(Tlp, &str, &str, &str); 5] = [
    (Tlp::Clear, "clear", "94868c89-83c2-464b-929b-a1a8aa3c8487", "613f2e26-407d-48c7-9eca-b8e91df99dc9"),
    (Tlp::Green, "green", "bab4a63c-aed9-4cf5-a766-dfca5abac2bb", "34098fce-860f-48ae-8e50-ebd3cc5e41da"),
    (Tlp::Amber, "amber", "55d920b0-5e8b-4f79-9ee9-91f868d9b421", "f88d31f6-486f-44da-b317-01333bde0b82"),
    (Tlp::AmberStrict, "amber+strict", "939a9414-2ddd-4d32-a0cd-375ea402b003", ""),
    (Tlp::Red, "red", "e828b379-4e03-4974-9ac4-e53a884c97c1", "5e57c739-391a-4eb3-b6be-7d15ca92d5ed"),
];

impl Tlp {
    /// Whether an indicator so marked may be written to files for others than members.
    pub fn may_leave_federation(self) -> bool {
        self <= Self::Green
    }

    /// Whether it may be published to all members. Stricter marks need sealed delivery.
    pub fn may_go_to_members(self) -> bool {
        self <= Self::Amber
    }

    /// The id of its STIX marking definition.
    pub fn marking_id(self) -> String {
        let id = TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.2);
        format!("marking-definition--{id}")
    }

    /// The label that a marking definition's id stands for, of TLP 2.0 or TLP 1.
    pub fn of_marking(id: &str) -> Option<Self> {
        let uuid = id.strip_prefix("marking-definition--").filter(|uuid| !uuid.is_empty())?;
        TABLE.iter().find(|row| row.2 == uuid || row.3 == uuid).map(|row| row.0)
    }

    /// What another program means by a word: `WHITE` of TLP 1 and `TLP:AMBER`, too. A label that nobody knows is the
    /// strictest there is.
    pub fn said(word: &str) -> Self {
        let word = word.trim().to_ascii_lowercase();
        match word.strip_prefix("tlp:").unwrap_or(&word).trim() {
            "white" => Self::Clear,
            word => word.parse().unwrap_or(Self::Red),
        }
    }

    /// Its STIX 2.1 marking definition, as FIRST and OASIS publish it.
    pub fn marking_definition(self) -> Value {
        json!({
            "type": "marking-definition",
            "spec_version": "2.1",
            "id": self.marking_id(),
            "created": "2022-10-01T00:00:00.000Z",
            "name": format!("TLP:{}", self.to_string().to_uppercase()),
            "extensions": {
                EXTENSION: { "extension_type": "property-extension", "tlp_2_0": self.to_string() }
            }
        })
    }
}

impl fmt::Display for Tlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TABLE.iter().find(|row| row.0 == *self).map_or("", |row| row.1))
    }
}

/// A word that is no TLP label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TLP is one of clear, green, amber, amber+strict, red")]
pub struct TlpError;

impl FromStr for Tlp {
    type Err = TlpError;

    fn from_str(s: &str) -> Result<Self, TlpError> {
        TABLE.iter().find(|row| row.1 == s).map(|row| row.0).ok_or(TlpError)
    }
}

serde_as_text!(Tlp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_found_by_name_and_by_marking() {
        for (label, name, _, old) in TABLE {
            assert_eq!(name.parse(), Ok(label));
            assert_eq!(Tlp::of_marking(&label.marking_id()), Some(label));
            if !old.is_empty() {
                assert_eq!(Tlp::of_marking(&format!("marking-definition--{old}")), Some(label));
            }
        }
        assert_eq!(Tlp::of_marking("marking-definition--"), None);
        assert_eq!(
            ["White", " amber+STRICT", "ex:chr"].map(Tlp::said),
            [Tlp::Clear, Tlp::AmberStrict, Tlp::Red]
        );
        assert!(Tlp::Green.may_leave_federation() && !Tlp::Amber.may_leave_federation());
        assert!(Tlp::Amber.may_go_to_members() && !Tlp::AmberStrict.may_go_to_members());
    }
}
