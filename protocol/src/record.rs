//! The incident record (docs/records.md). No encoding: what leaves a node is never made of this type.
//!
//! A [`Record`] holds together by construction: codes are of the vocabulary, numbers within their bounds, an
//! origin has a confidence and a basis.

use std::fmt;

use crate::{
    facet::{Facet, HelpSet, PersonKey},
    time::Day,
    vocabulary::{Code, Dimension, Field},
};

/// Why a record does not hold together. Names the field, never its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// An origin without confidence or basis, or either without an origin.
    #[error("origin: a country needs a confidence and a basis; XX takes neither")]
    Attribution,
    /// A number past its bound.
    #[error("{field}: between 0 and {most}")]
    Number {
        /// The field.
        field: &'static str,
        /// Its bound.
        most: u32,
    },
    /// A text past its bound.
    #[error("{field}: at most {most} bytes")]
    Long {
        /// The field.
        field: &'static str,
        /// Its bound.
        most: usize,
    },
    /// A code of another dimension.
    #[error("{0}: not a code of this dimension")]
    Code(Dimension),
    /// A subdivision of another country than the region.
    #[error("subdivision: it is in another country than region; CA-ON goes with CA")]
    Subdivision,
    /// No person.
    #[error("person: a record is about someone; give a pseudonym")]
    NoPerson,
    /// More secondary tactics than there are, or the primary one again.
    #[error("secondary: other tactics than the primary, each once")]
    Secondary,
}

/// What the person allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Yes.
    Yes,
    /// No.
    No,
    /// Not any more, since that day.
    Withdrawn(Day),
}

/// Consent for each use; nothing is used for what is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consents {
    /// To be counted in private statistics.
    pub statistics: Consent,
    /// To have indicators of the attack shared.
    pub indicators: Consent,
    /// To be contacted for research.
    pub research_contact: Consent,
}

/// Optional numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Accounts affected, 0 to 100.
    pub accounts_affected: Option<u32>,
    /// Contacts exposed, 0 to 10,000.
    pub contacts_exposed: Option<u32>,
    /// Days to the first answer, 0 to 365.
    pub days_to_answer: Option<u32>,
    /// Money lost in whole dollars, 0 to 100,000.
    pub money_lost: Option<u32>,
}

/// What stays at the node in clear words: never coded, never counted.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Local {
    /// Pseudonym of the person, the same in all her records here.
    pub person: String,
    /// The organisation's own case reference.
    pub reference: String,
    /// ISO 3166-2 subdivision where she lives.
    pub subdivision: String,
    /// Names and contacts.
    pub contacts: String,
    /// Language of the narrative.
    pub language: String,
    /// What happened.
    pub narrative: String,
    /// Notes of the caseworker.
    pub notes: String,
    /// How, when and by whom she wants to be contacted, and what must not be done.
    pub preferences: String,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local(..)")
    }
}

/// The coded part of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coded {
    /// The day it happened, or the first day of it.
    pub day: Day,
    /// Primary tactic.
    pub tactic: Code,
    /// Further tactics.
    pub secondary: Vec<Code>,
    /// Role of the target.
    pub role: Code,
    /// Suspected origin; `XX` unknown.
    pub origin: Code,
    /// Confidence in it; `none` with `XX` only.
    pub confidence: Code,
    /// Its basis; `none` with `XX` only.
    pub basis: Code,
    /// Primary platform.
    pub platform: Code,
    /// Primary harm.
    pub harm: Code,
    /// Country of residence.
    pub region: Code,
    /// Campaign phase.
    pub phase: Code,
    /// Help sought and outcomes.
    pub help: HelpSet,
}

impl Coded {
    /// Whether every code is one of its dimension: a code is only a place in a list, and lists differ in length.
    fn check(&self) -> Result<(), RecordError> {
        let single = [
            (Dimension::Tactic, self.tactic),
            (Dimension::Role, self.role),
            (Dimension::Origin, self.origin),
            (Dimension::Confidence, self.confidence),
            (Dimension::Basis, self.basis),
            (Dimension::Platform, self.platform),
            (Dimension::Harm, self.harm),
            (Dimension::Region, self.region),
            (Dimension::Phase, self.phase),
        ];
        let secondary = self.secondary.iter().map(|code| (Dimension::Tactic, *code));
        match single.into_iter().chain(secondary).find(|(d, code)| d.entry(*code).is_none()) {
            Some((dimension, _)) => Err(RecordError::Code(dimension)),
            None => Ok(()),
        }
    }
}

/// The country of a subdivision that is written as ISO 3166-2 writes it; a place in other words has none.
fn country_of(subdivision: &str) -> Option<&str> {
    let (country, part) = subdivision.split_once('-')?;
    let letters = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
    let code =
        (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    (letters && code).then_some(country)
}

/// One incident of one person at one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    coded: Coded,
    numbers: Numbers,
    consents: Consents,
    local: Local,
}

impl Record {
    /// Longest narrative, notes or preferences, in bytes.
    pub const LONG_TEXT: usize = 64 * 1024;
    /// Longest of the other local texts, in bytes.
    pub const SHORT_TEXT: usize = 1024;

    /// Puts a record together, or says which field does not hold.
    pub fn new(
        coded: Coded,
        numbers: Numbers,
        consents: Consents,
        local: Local,
    ) -> Result<Self, RecordError> {
        coded.check()?;
        let unknown = |d: Dimension, c: Code, text: &str| d.code(text) == Some(c);
        let known = !unknown(Dimension::Origin, coded.origin, "XX");
        let confident = !unknown(Dimension::Confidence, coded.confidence, "none");
        let based = !unknown(Dimension::Basis, coded.basis, "none");
        if known != confident || known != based {
            return Err(RecordError::Attribution);
        }
        let mut secondary = coded.secondary.clone();
        secondary.sort_unstable();
        secondary.dedup();
        if secondary.len() != coded.secondary.len() || secondary.contains(&coded.tactic) {
            return Err(RecordError::Secondary);
        }
        for field in Field::ALL {
            if field.of(&numbers).is_some_and(|v| v > field.most()) {
                return Err(RecordError::Number { field: field.name(), most: field.most() });
            }
        }
        let country = Dimension::Region.entry(coded.region).map_or("XX", |e| e.code);
        if country_of(&local.subdivision).is_some_and(|of| country != "XX" && of != country) {
            return Err(RecordError::Subdivision);
        }
        if local.person.trim().is_empty() {
            return Err(RecordError::NoPerson);
        }
        for (field, text, most) in [
            ("person", &local.person, Self::SHORT_TEXT),
            ("reference", &local.reference, Self::SHORT_TEXT),
            ("subdivision", &local.subdivision, Self::SHORT_TEXT),
            ("contacts", &local.contacts, Self::SHORT_TEXT),
            ("language", &local.language, Self::SHORT_TEXT),
            ("narrative", &local.narrative, Self::LONG_TEXT),
            ("notes", &local.notes, Self::LONG_TEXT),
            ("preferences", &local.preferences, Self::LONG_TEXT),
        ] {
            if text.len() > most {
                return Err(RecordError::Long { field, most });
            }
        }
        Ok(Self { coded, numbers, consents, local })
    }

    /// The coded part.
    pub const fn coded(&self) -> &Coded {
        &self.coded
    }

    /// The numbers.
    pub const fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// The consents.
    pub const fn consents(&self) -> &Consents {
        &self.consents
    }

    /// What stays in clear words at the node.
    pub const fn local(&self) -> &Local {
        &self.local
    }

    /// What the statistics may read of it, under the node's keyed hash of the person.
    pub fn facet(&self, person: PersonKey) -> Facet {
        let c = &self.coded;
        Facet {
            person,
            consent: self.consents.statistics == Consent::Yes,
            day: c.day,
            tactic: c.tactic,
            role: c.role,
            origin: c.origin,
            confidence: c.confidence,
            basis: c.basis,
            platform: c.platform,
            harm: c.harm,
            region: c.region,
            phase: c.phase,
            help: c.help,
            numbers: self.numbers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(region: &str) -> Coded {
        let first = |d: Dimension| d.at(0).unwrap();
        let none = |d: Dimension| d.code("none").unwrap();
        Coded {
            day: "2025-01-02".parse().unwrap(),
            tactic: first(Dimension::Tactic),
            secondary: vec![],
            role: first(Dimension::Role),
            origin: Dimension::Origin.code("XX").unwrap(),
            confidence: none(Dimension::Confidence),
            basis: none(Dimension::Basis),
            platform: first(Dimension::Platform),
            harm: first(Dimension::Harm),
            region: Dimension::Region.code(region).unwrap(),
            phase: first(Dimension::Phase),
            help: HelpSet::default(),
        }
    }

    fn fault(change: impl FnOnce(&mut Coded, &mut Numbers, &mut Local)) -> Option<RecordError> {
        let (mut coded, mut numbers) = (coded("CA"), Numbers::default());
        let mut local = Local { person: "p1".into(), ..Local::default() };
        change(&mut coded, &mut numbers, &mut local);
        let no = Consents { statistics: Consent::No, indicators: Consent::No, research_contact: Consent::No };
        Record::new(coded, numbers, no, local).err()
    }

    #[test]
    fn a_record_that_does_not_hold_together_names_the_field() {
        let code = |d: Dimension, text: &str| d.code(text).unwrap();
        assert_eq!(fault(|_, _, _| ()), None);
        assert_eq!(fault(|c, _, _| c.origin = code(Dimension::Origin, "IR")), Some(RecordError::Attribution));
        assert_eq!(fault(|c, _, _| c.secondary = vec![c.tactic]), Some(RecordError::Secondary));
        assert_eq!(
            fault(|c, _, _| c.role = code(Dimension::Region, "ZW")),
            Some(RecordError::Code(Dimension::Role)),
            "a country's place is no role"
        );
        assert_eq!(
            fault(|_, n, _| n.days_to_answer = Some(366)),
            Some(RecordError::Number { field: "days_to_answer", most: 365 })
        );
        assert_eq!(fault(|_, _, l| l.person = " ".into()), Some(RecordError::NoPerson));
        assert_eq!(fault(|_, _, l| l.subdivision = "IR-07".into()), Some(RecordError::Subdivision));
        assert_eq!(fault(|_, _, l| l.subdivision = "CA-ON".into()), None);
        assert_eq!(fault(|_, _, l| l.subdivision = "the north".into()), None);
    }
}
