//! The flat JSON form of a record (docs/records.md): as imported, shown, and stored under seal.
//!
//! A form is what someone wrote; [`RecordForm::parse`] makes the [`Record`] of it or says which field does
//! not hold. Codes stand as their texts, so that a stored form outlives the order of a code list.

use std::fmt;

use hedgerow_protocol::{
    facet::HelpSet,
    record::{Coded, Consent, Consents, Local, Numbers, Record, RecordError},
    time::Day,
    vocabulary::{Code, Dimension},
};
use serde::{Deserialize, Serialize};

/// Why a form is no record. Names the field and what it may hold, never what it held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A day that is none.
    #[error("day: a day is written YYYY-MM-DD, from 1970 on")]
    Day,
    /// A text that is no code of its dimension.
    #[error("{field}: no such code; use {}", allowed(*dimension))]
    Code {
        /// The field.
        field: &'static str,
        /// Whose codes it takes.
        dimension: Dimension,
    },
    /// Help whose institution or outcome is no code.
    #[error("help: institution is one of {}; outcome is one of {}", institutions(), outcomes())]
    Help,
    /// An institution twice.
    #[error("help: each institution once, with its latest outcome")]
    HelpTwice,
    /// A consent that is none.
    #[error("{field}: write yes, no, or withdrawn YYYY-MM-DD")]
    Consent {
        /// The field.
        field: &'static str,
    },
    /// Fields that do not hold together.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl FormError {
    /// The field that does not hold.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Code { field, .. } | Self::Consent { field } => field,
            Self::Help | Self::HelpTwice => "help",
            Self::Record(RecordError::Attribution) => "origin",
            Self::Record(RecordError::Subdivision) => "subdivision",
            Self::Record(RecordError::Code(dimension)) => dimension.name(),
            Self::Record(RecordError::Number { field, .. } | RecordError::Long { field, .. }) => field,
            Self::Record(RecordError::NoPerson) => "person",
            Self::Record(RecordError::Secondary) => "secondary",
        }
    }
}

/// What a code field takes, short enough for one line of a report.
pub(crate) fn allowed(dimension: Dimension) -> String {
    match dimension {
        Dimension::Origin | Dimension::Region => {
            "a two-letter country code of ISO 3166-1, or XX for unknown".to_owned()
        }
        other => other.codes().iter().map(|e| e.code).collect::<Vec<_>>().join(", "),
    }
}

fn institutions() -> String {
    let codes = Dimension::Help.codes().iter().map(|e| e.code);
    codes.filter(|c| *c != "none").collect::<Vec<_>>().join(", ")
}

fn outcomes() -> String {
    let codes = Dimension::Answer.codes().iter().filter_map(|e| e.code.split_once('/'));
    codes.filter(|(i, _)| *i == "helpline").map(|(_, o)| o).collect::<Vec<_>>().join(", ")
}

/// One institution that was asked for help, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelpForm {
    /// A code of [`Dimension::Help`] other than `none`.
    pub institution: String,
    /// The second half of a code of [`Dimension::Answer`].
    #[serde(default = "pending")]
    pub outcome: String,
}

fn pending() -> String {
    "pending".to_owned()
}

fn unknown_country() -> String {
    "XX".to_owned()
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn none() -> String {
    "none".to_owned()
}

fn no() -> String {
    "no".to_owned()
}

/// A record as written. Only `day`, `tactic` and `person` must be given.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordForm {
    /// The day it happened, or the first day of it: `YYYY-MM-DD`.
    pub day: String,
    /// Primary tactic.
    pub tactic: String,
    /// Pseudonym of the person.
    pub person: String,
    /// Further tactics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secondary: Vec<String>,
    /// Role of the target.
    #[serde(default = "unknown")]
    pub role: String,
    /// Suspected origin.
    #[serde(default = "unknown_country")]
    pub origin: String,
    /// Confidence in it.
    #[serde(default = "none")]
    pub confidence: String,
    /// Its basis.
    #[serde(default = "none")]
    pub basis: String,
    /// Primary platform.
    #[serde(default = "unknown")]
    pub platform: String,
    /// Primary harm.
    #[serde(default = "unknown")]
    pub harm: String,
    /// Country of residence.
    #[serde(default = "unknown_country")]
    pub region: String,
    /// Campaign phase.
    #[serde(default = "none")]
    pub phase: String,
    /// Help sought and outcomes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub help: Vec<HelpForm>,
    /// Accounts affected, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts_affected: Option<u32>,
    /// Contacts exposed, 0 to 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contacts_exposed: Option<u32>,
    /// Days to the first answer, 0 to 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_to_answer: Option<u32>,
    /// Money lost in whole dollars, 0 to 100,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money_lost: Option<u32>,
    /// Whether she lets it be counted.
    #[serde(default = "no")]
    pub consent_statistics: String,
    /// Whether she lets indicators of the attack be shared.
    #[serde(default = "no")]
    pub consent_indicators: String,
    /// Whether she may be contacted for research.
    #[serde(default = "no")]
    pub consent_research_contact: String,
    /// The organisation's own case reference.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// ISO 3166-2 subdivision where she lives.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subdivision: String,
    /// Names and contacts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contacts: String,
    /// Language of the narrative.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub language: String,
    /// What happened.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub narrative: String,
    /// Notes of the caseworker.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// How, when and by whom she wants to be contacted, and what must not be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preferences: String,
}

// A form holds clear words; a log line must not.
impl fmt::Debug for RecordForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordForm(..)")
    }
}

impl RecordForm {
    /// A form with the three required fields and every default.
    pub fn new(day: String, tactic: String, person: String) -> Self {
        Self {
            day,
            tactic,
            person,
            secondary: Vec::new(),
            role: unknown(),
            origin: unknown_country(),
            confidence: none(),
            basis: none(),
            platform: unknown(),
            harm: unknown(),
            region: unknown_country(),
            phase: none(),
            help: Vec::new(),
            accounts_affected: None,
            contacts_exposed: None,
            days_to_answer: None,
            money_lost: None,
            consent_statistics: no(),
            consent_indicators: no(),
            consent_research_contact: no(),
            reference: String::new(),
            subdivision: String::new(),
            contacts: String::new(),
            language: String::new(),
            narrative: String::new(),
            notes: String::new(),
            preferences: String::new(),
        }
    }

    /// The record of this form, or the field that does not hold.
    pub fn parse(self) -> Result<Record, FormError> {
        let coded = Coded {
            day: self.day.parse().map_err(|_| FormError::Day)?,
            tactic: code("tactic", Dimension::Tactic, &self.tactic)?,
            secondary: self
                .secondary
                .iter()
                .map(|t| code("secondary", Dimension::Tactic, t))
                .collect::<Result<_, _>>()?,
            role: code("role", Dimension::Role, &self.role)?,
            origin: code("origin", Dimension::Origin, &self.origin)?,
            confidence: code("confidence", Dimension::Confidence, &self.confidence)?,
            basis: code("basis", Dimension::Basis, &self.basis)?,
            platform: code("platform", Dimension::Platform, &self.platform)?,
            harm: code("harm", Dimension::Harm, &self.harm)?,
            region: code("region", Dimension::Region, &self.region)?,
            phase: code("phase", Dimension::Phase, &self.phase)?,
            help: help(&self.help)?,
        };
        let numbers = Numbers {
            accounts_affected: self.accounts_affected,
            contacts_exposed: self.contacts_exposed,
            days_to_answer: self.days_to_answer,
            money_lost: self.money_lost,
        };
        let consents = Consents {
            statistics: consent("consent_statistics", &self.consent_statistics)?,
            indicators: consent("consent_indicators", &self.consent_indicators)?,
            research_contact: consent("consent_research_contact", &self.consent_research_contact)?,
        };
        let local = Local {
            person: self.person,
            reference: self.reference,
            subdivision: self.subdivision,
            contacts: self.contacts,
            language: self.language,
            narrative: self.narrative,
            notes: self.notes,
            preferences: self.preferences,
        };
        Ok(Record::new(coded, numbers, consents, local)?)
    }
}

impl From<&Record> for RecordForm {
    fn from(record: &Record) -> Self {
        let (c, n, local) = (record.coded(), record.numbers(), record.local());
        let consents = record.consents();
        Self {
            day: c.day.to_string(),
            tactic: text(Dimension::Tactic, c.tactic),
            person: local.person.clone(),
            secondary: c.secondary.iter().map(|t| text(Dimension::Tactic, *t)).collect(),
            role: text(Dimension::Role, c.role),
            origin: text(Dimension::Origin, c.origin),
            confidence: text(Dimension::Confidence, c.confidence),
            basis: text(Dimension::Basis, c.basis),
            platform: text(Dimension::Platform, c.platform),
            harm: text(Dimension::Harm, c.harm),
            region: text(Dimension::Region, c.region),
            phase: text(Dimension::Phase, c.phase),
            help: help_forms(c.help),
            accounts_affected: n.accounts_affected,
            contacts_exposed: n.contacts_exposed,
            days_to_answer: n.days_to_answer,
            money_lost: n.money_lost,
            consent_statistics: consent_text(consents.statistics),
            consent_indicators: consent_text(consents.indicators),
            consent_research_contact: consent_text(consents.research_contact),
            reference: local.reference.clone(),
            subdivision: local.subdivision.clone(),
            contacts: local.contacts.clone(),
            language: local.language.clone(),
            narrative: local.narrative.clone(),
            notes: local.notes.clone(),
            preferences: local.preferences.clone(),
        }
    }
}

fn code(field: &'static str, dimension: Dimension, text: &str) -> Result<Code, FormError> {
    dimension.code(text).ok_or(FormError::Code { field, dimension })
}

/// The text of a code. A code made for another dimension may have none; it shows as nothing and parses as none.
fn text(dimension: Dimension, code: Code) -> String {
    dimension.entry(code).map(|e| e.code.to_owned()).unwrap_or_default()
}

fn help(forms: &[HelpForm]) -> Result<HelpSet, FormError> {
    forms.iter().try_fold(HelpSet::default(), |set, form| {
        let answer = Dimension::Answer.code(&format!("{}/{}", form.institution, form.outcome));
        set.with(answer.ok_or(FormError::Help)?).ok_or(FormError::HelpTwice)
    })
}

fn help_forms(set: HelpSet) -> Vec<HelpForm> {
    let answers = Dimension::Answer.codes().iter().enumerate();
    answers
        .filter(|(place, _)| set.bits() >> place & 1 == 1)
        .filter_map(|(_, entry)| entry.code.split_once('/'))
        .map(|(i, o)| HelpForm { institution: i.to_owned(), outcome: o.to_owned() })
        .collect()
}

fn consent(field: &'static str, text: &str) -> Result<Consent, FormError> {
    match text {
        "yes" => Ok(Consent::Yes),
        "no" => Ok(Consent::No),
        other => other
            .strip_prefix("withdrawn ")
            .and_then(|day| day.parse::<Day>().ok())
            .map(Consent::Withdrawn)
            .ok_or(FormError::Consent { field }),
    }
}

fn consent_text(consent: Consent) -> String {
    match consent {
        Consent::Yes => "yes".to_owned(),
        Consent::No => "no".to_owned(),
        Consent::Withdrawn(day) => format!("withdrawn {day}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(more: &str) -> RecordForm {
        let text = format!(r#"{{"day":"2025-03-04","tactic":"T04","person":"p1"{more}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_day_a_tactic_and_a_person_are_enough() {
        assert_eq!(form(""), RecordForm::new("2025-03-04".into(), "T04".into(), "p1".into()));
        let record = form("").parse().unwrap();
        assert_eq!(record.consents().statistics, Consent::No, "nothing is counted by default");
        assert_eq!(RecordForm::from(&record), form(""));
        assert!(serde_json::from_str::<RecordForm>(r#"{"day":"2025-03-04","tactic":"T04"}"#).is_err());
        assert!(
            serde_json::from_str::<RecordForm>(
                r#"{"day":"2025-03-04","tactic":"T04","person":"p","name":1}"#
            )
            .is_err()
        );
    }

    #[test]
    fn a_full_form_comes_back_from_its_record() {
        let full = form(
            r#","secondary":["T01","T08"],"role":"lawyer","origin":"IR","confidence":"likely",
            "basis":"court","platform":"email","harm":"account-loss","region":"DE","phase":"dump",
            "help":[{"institution":"helpline","outcome":"resolved"},{"institution":"police","outcome":"no-answer"}],
            "accounts_affected":3,"contacts_exposed":10000,"days_to_answer":0,"money_lost":5,
            "consent_statistics":"yes","consent_indicators":"withdrawn 2025-04-01",
            "reference":"r","subdivision":"DE-BE","contacts":"c","language":"fa","narrative":"n",
            "notes":"o","preferences":"mail only""#,
        );
        let record = full.clone().parse().unwrap();
        assert_eq!(RecordForm::from(&record), full);
        let json = serde_json::to_string(&full).unwrap();
        assert_eq!(serde_json::from_str::<RecordForm>(&json).unwrap(), full);
    }

    #[test]
    fn an_error_names_the_field_and_the_codes_and_never_the_content() {
        for (more, field, says) in [
            (r#","role":"secret""#, "role", "journalist"),
            (r#","origin":"secret""#, "origin", "ISO 3166-1"),
            (r#","secondary":["secret"]"#, "secondary", "T01"),
            (r#","help":[{"institution":"secret"}]"#, "help", "police"),
            (r#","help":[{"institution":"police"},{"institution":"police"}]"#, "help", "once"),
            (r#","consent_indicators":"secret""#, "consent_indicators", "withdrawn"),
            (r#","consent_statistics":"withdrawn 2025-02-30""#, "consent_statistics", "withdrawn"),
            (r#","origin":"IR""#, "origin", "basis"),
            (r#","money_lost":100001"#, "money_lost", "100000"),
            (r#","secondary":["T04"]"#, "secondary", "other tactics"),
        ] {
            let error = form(more).parse().unwrap_err();
            assert_eq!(error.field(), field);
            let text = error.to_string();
            assert!(text.starts_with(field) && text.contains(says) && !text.contains("secret"), "{text}");
        }
        let nobody = RecordForm::new("2025-03-04".into(), "T04".into(), " ".into());
        assert_eq!(nobody.parse().unwrap_err().field(), "person");
        assert_eq!(format!("{:?}", form("")), "RecordForm(..)");
    }
}
