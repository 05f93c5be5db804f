//! Mapping of the columns of a CSV file to the fields of a record: the file as written, and the plan made of it.

use std::collections::BTreeMap;

use hedgerow_protocol::{time::Day, vocabulary::Dimension};
use serde::{Deserialize, Serialize};

use super::{Rejection, country};
use crate::form::{HelpForm, RecordForm, allowed};

/// Why a mapping does not fit its file. A mapping holds column names and codes, no records, so it is quoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// Not a mapping file.
    #[error("not a mapping file: {0}")]
    Json(String),
    /// A column that the header lacks.
    #[error("{field:?}: the file has no column {column:?}; the header line must name it")]
    Column {
        /// The field.
        field: Field,
        /// The column.
        column: String,
    },
    /// A code that is none.
    #[error("{field:?}: {code:?} is no code; use {allowed}")]
    Code {
        /// The field.
        field: Field,
        /// The text.
        code: String,
        /// What it could be.
        allowed: String,
    },
    /// A required field without a source.
    #[error("the mapping says nothing of {0:?}; every record needs it")]
    Missing(Field),
}

/// A field of the form that a mapping can fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields of RecordForm, documented there")]
pub enum Field {
    Day,
    Tactic,
    Secondary,
    Role,
    Origin,
    Confidence,
    Basis,
    Platform,
    Harm,
    Region,
    Phase,
    Help,
    AccountsAffected,
    ContactsExposed,
    DaysToAnswer,
    MoneyLost,
    ConsentStatistics,
    ConsentIndicators,
    ConsentResearchContact,
    Person,
    Reference,
    Subdivision,
    Contacts,
    Language,
    Narrative,
    Notes,
    Preferences,
}

impl Field {
    const fn dimension(self) -> Option<Dimension> {
        Some(match self {
            Self::Tactic | Self::Secondary => Dimension::Tactic,
            Self::Role => Dimension::Role,
            Self::Origin => Dimension::Origin,
            Self::Confidence => Dimension::Confidence,
            Self::Basis => Dimension::Basis,
            Self::Platform => Dimension::Platform,
            Self::Harm => Dimension::Harm,
            Self::Region => Dimension::Region,
            Self::Phase => Dimension::Phase,
            Self::Help => Dimension::Answer,
            _ => return None,
        })
    }

    const fn many(self) -> bool {
        matches!(self, Self::Secondary | Self::Help)
    }
}

/// How a date is written. Tried in the order given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DateFormat {
    /// `2025-03-04`, also with a time behind it.
    #[serde(rename = "YYYY-MM-DD")]
    Iso,
    /// `3/4/2025`, month first.
    #[serde(rename = "M/D/YYYY")]
    MonthFirst,
    /// `4/3/2025`, day first.
    #[serde(rename = "D/M/YYYY")]
    DayFirst,
    /// `4.3.2025`.
    #[serde(rename = "D.M.YYYY")]
    Dotted,
    /// `2025-03` or `2025-03-xx`: the 15th.
    #[serde(rename = "YYYY-MM")]
    Month,
    /// `2025`: the 1st of July, the middle of the year.
    #[serde(rename = "YYYY")]
    Year,
}

impl DateFormat {
    fn read(self, text: &str) -> Option<Day> {
        let three = |separator: char| {
            let mut parts = text.split(separator).map(str::trim);
            let all = (parts.next()?, parts.next()?, parts.next()?);
            parts.next().is_none().then_some(all)
        };
        let day = |y: &str, m: &str, d: &str| {
            if y.len() != 4 {
                return None;
            }
            Day::new(y.parse().ok()?, m.parse().ok()?, d.parse().ok()?).ok()
        };
        match self {
            Self::Iso => text.split(['T', ' ']).next()?.parse().ok(),
            Self::MonthFirst => three('/').and_then(|(m, d, y)| day(y, m, d)),
            Self::DayFirst => three('/').and_then(|(d, m, y)| day(y, m, d)),
            Self::Dotted => three('.').and_then(|(d, m, y)| day(y, m, d)),
            Self::Month => {
                let text = text.strip_suffix("-xx").unwrap_or(text);
                text.split_once('-').and_then(|(y, m)| day(y, m, "15"))
            }
            Self::Year => day(text, "7", "1"),
        }
    }
}

/// A column that stands for a code when it holds a certain value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flag {
    /// The column.
    pub column: String,
    /// What it must hold, in any case.
    #[serde(default = "set")]
    pub equals: Vec<String>,
    /// The code it stands for.
    pub code: String,
}

fn set() -> Vec<String> {
    ["1", "true", "yes", "x"].map(str::to_owned).to_vec()
}

/// A column that holds one of some values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The column.
    pub column: String,
    /// What it may hold, in any case; an empty text is an empty cell.
    pub equals: Vec<String>,
}

/// Where a field comes from: the first of constant, flags and columns that says something, else the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// Rows in which the field says nothing, whatever the rest of this finds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unless: Option<Test>,
    /// The same in every row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constant: Option<String>,
    /// Columns that each stand for a code; of a field with one code, the first that is set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
    /// Columns with the value; the first that is not empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// What separates several values in a cell; of a field with one, the first counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Values, in any case, and what they become; an empty text is no value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub codes: BTreeMap<String, String>,
    /// Whether only `codes` counts: a value that happens to be a code or the name of a country is none then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_codes: bool,
    /// For values that are neither code, label nor in `codes`; without it their rows are rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    /// For rows that say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

impl Source {
    /// The same in every row.
    pub fn constant(value: &str) -> Self {
        Self { constant: Some(value.to_owned()), ..Self::default() }
    }

    /// The first of these columns that is not empty.
    pub fn columns(names: &[&str]) -> Self {
        Self { columns: names.iter().map(|n| (*n).to_owned()).collect(), ..Self::default() }
    }
}

/// A mapping file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What to call it.
    pub name: String,
    /// Lines before the header line.
    #[serde(default)]
    pub skip_lines: u64,
    /// What separates the cells; told from the header line if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// How dates are written.
    #[serde(default = "iso")]
    pub dates: Vec<DateFormat>,
    /// Where each field comes from.
    pub fields: BTreeMap<Field, Source>,
}

fn iso() -> Vec<DateFormat> {
    vec![DateFormat::Iso]
}

impl Mapping {
    /// Reads a mapping file.
    pub fn from_json(text: &str) -> Result<Self, MappingError> {
        serde_json::from_str(text).map_err(|e| MappingError::Json(e.to_string()))
    }

    /// The mapping as a file to edit.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

struct PlannedFlag {
    place: usize,
    equals: Vec<String>,
    code: String,
}

struct Planned {
    field: Field,
    unless: Option<(usize, Vec<String>)>,
    constant: Option<String>,
    flags: Vec<PlannedFlag>,
    columns: Vec<(usize, String)>,
    separator: Option<String>,
    codes: BTreeMap<String, String>,
    only_codes: bool,
    other: Option<String>,
    default: Option<String>,
}

/// A mapping that fits a header: its columns are there, its codes are codes.
pub(super) struct Plan {
    fields: Vec<Planned>,
    dates: Vec<DateFormat>,
}

impl Plan {
    pub(super) fn new(mapping: &Mapping, headers: &[String]) -> Result<Self, MappingError> {
        for field in [Field::Day, Field::Tactic] {
            if !mapping.fields.contains_key(&field) {
                return Err(MappingError::Missing(field));
            }
        }
        let fields = mapping.fields.iter().map(|(field, source)| planned(*field, source, headers));
        Ok(Self { fields: fields.collect::<Result<_, _>>()?, dates: mapping.dates.clone() })
    }

    /// The form of a row of cells.
    pub(super) fn form(&self, cells: &[&str], pseudonym: &str) -> Result<RecordForm, Rejection> {
        let mut form = RecordForm::new(String::new(), String::new(), pseudonym.to_owned());
        for planned in &self.fields {
            let (column, values) = planned.values(cells)?;
            let column = column.unwrap_or_else(|| planned.name());
            for value in values {
                fill(&mut form, planned.field, value, column, &self.dates)?;
            }
        }
        if form.day.is_empty() {
            return Err(Rejection::column(
                "day",
                "this row has no date; name another date column or a default",
            ));
        }
        if form.tactic.is_empty() {
            return Err(Rejection::column("tactic", "this row has no tactic; give the mapping a default"));
        }
        // Flags of a primary and of further tactics are often the same columns.
        let primary = form.tactic.clone();
        let mut seen = std::collections::HashSet::new();
        form.secondary.retain(|t| *t != primary && seen.insert(t.clone()));
        // A mapping states confidence and basis for rows that name an origin.
        if form.origin == "XX" {
            form.confidence = "none".to_owned();
            form.basis = "none".to_owned();
        }
        Ok(form)
    }
}

impl Planned {
    fn name(&self) -> &str {
        self.columns.first().map_or("", |(_, name)| name)
    }

    /// The values of this field in a row, and the column they come from.
    fn values(&self, cells: &[&str]) -> Result<(Option<&str>, Vec<String>), Rejection> {
        let cell = |place: usize| cells.get(place).map_or("", |c| c.trim());
        if self.unless.as_ref().is_some_and(|(place, equals)| equals.contains(&cell(*place).to_lowercase())) {
            return Ok((None, self.default.iter().cloned().collect()));
        }
        if let Some(constant) = &self.constant {
            return Ok((None, vec![constant.clone()]));
        }
        let mut found: Vec<String> = Vec::new();
        for flag in &self.flags {
            if flag.equals.contains(&cell(flag.place).to_lowercase()) && !found.contains(&flag.code) {
                found.push(flag.code.clone());
            }
        }
        let mut column = None;
        for (place, name) in &self.columns {
            if !found.is_empty() && !self.field.many() {
                break;
            }
            column = Some(name.as_str());
            let parts = match &self.separator {
                Some(separator) if !separator.is_empty() => cell(*place).split(separator.as_str()).collect(),
                _ => vec![cell(*place)],
            };
            for part in parts.into_iter().map(str::trim).filter(|p| !p.is_empty()) {
                let value = self.value(part, name)?;
                if !value.is_empty() && !found.contains(&value) {
                    found.push(value);
                }
            }
        }
        if found.is_empty() {
            found.extend(self.default.clone());
        }
        if !self.field.many() {
            found.truncate(1);
        }
        Ok((column, found))
    }

    fn value(&self, text: &str, column: &str) -> Result<String, Rejection> {
        if let Some(code) = self.codes.get(&text.to_lowercase()) {
            return Ok(code.clone());
        }
        let Some(dimension) = self.field.dimension() else { return Ok(text.to_owned()) };
        let known = match dimension {
            _ if self.only_codes => None,
            Dimension::Origin | Dimension::Region => country::code(text),
            _ => {
                let lower = text.to_lowercase();
                let mut codes = dimension.codes().iter();
                codes
                    .find(|e| e.code.to_lowercase() == lower || e.label.to_lowercase() == lower)
                    .map(|e| e.code)
            }
        };
        known.map(str::to_owned).or_else(|| self.other.clone()).ok_or_else(|| {
            let reason = "no code for this value; add it to \"codes\" in the mapping, or give \"other\"";
            Rejection::column(column, reason)
        })
    }
}

fn planned(field: Field, source: &Source, headers: &[String]) -> Result<Planned, MappingError> {
    let place = |column: &str| {
        let wanted = normal(column);
        let found = headers.iter().position(|h| normal(h) == wanted);
        found.ok_or_else(|| MappingError::Column { field, column: column.to_owned() })
    };
    let lower = |all: &[String]| all.iter().map(|e| e.trim().to_lowercase()).collect::<Vec<_>>();
    let flag = |f: &Flag| {
        Ok(PlannedFlag { place: place(&f.column)?, equals: lower(&f.equals), code: f.code.clone() })
    };
    let unless = source.unless.as_ref().map(|t| Ok((place(&t.column)?, lower(&t.equals)))).transpose()?;
    let codes = source.flags.iter().map(|f| &f.code).chain(source.codes.values().filter(|c| !c.is_empty()));
    for code in codes.chain(&source.constant).chain(&source.other).chain(&source.default) {
        if let Some(dimension) = field.dimension().filter(|d| d.code(code).is_none()) {
            let (code, allowed) = (code.clone(), allowed(dimension));
            return Err(MappingError::Code { field, code, allowed });
        }
    }
    Ok(Planned {
        field,
        unless,
        constant: source.constant.clone(),
        flags: source.flags.iter().map(flag).collect::<Result<_, _>>()?,
        columns: source.columns.iter().map(|c| Ok((place(c)?, c.clone()))).collect::<Result<_, _>>()?,
        separator: source.separator.clone(),
        codes: source.codes.iter().map(|(k, v)| (k.trim().to_lowercase(), v.clone())).collect(),
        only_codes: source.only_codes,
        other: source.other.clone(),
        default: source.default.clone(),
    })
}

/// A column name without what spreadsheets and people add to it.
pub(super) fn normal(header: &str) -> String {
    header.trim().trim_start_matches('\u{feff}').to_lowercase()
}

fn fill(
    form: &mut RecordForm,
    field: Field,
    value: String,
    column: &str,
    dates: &[DateFormat],
) -> Result<(), Rejection> {
    let number = |text: &str| {
        let reason = "not a whole number; write digits only, or leave it empty";
        text.parse().map(Some).map_err(|_| Rejection::column(column, reason))
    };
    match field {
        Field::Day => {
            let day = dates.iter().find_map(|format| format.read(&value));
            let reason = "not a date in any format of the mapping, from 1970 on; see \"dates\"";
            form.day = day.ok_or_else(|| Rejection::column(column, reason))?.to_string();
        }
        Field::Help => {
            if let Some((institution, outcome)) = value.split_once('/') {
                let (institution, outcome) = (institution.to_owned(), outcome.to_owned());
                form.help.push(HelpForm { institution, outcome });
            }
        }
        Field::AccountsAffected => form.accounts_affected = number(&value)?,
        Field::ContactsExposed => form.contacts_exposed = number(&value)?,
        Field::DaysToAnswer => form.days_to_answer = number(&value)?,
        Field::MoneyLost => form.money_lost = number(&value)?,
        Field::Secondary => form.secondary.push(value),
        Field::Tactic => form.tactic = value,
        Field::Role => form.role = value,
        Field::Origin => form.origin = value,
        Field::Confidence => form.confidence = value,
        Field::Basis => form.basis = value,
        Field::Platform => form.platform = value,
        Field::Harm => form.harm = value,
        Field::Region => form.region = value,
        Field::Phase => form.phase = value,
        Field::ConsentStatistics => form.consent_statistics = value.to_lowercase(),
        Field::ConsentIndicators => form.consent_indicators = value.to_lowercase(),
        Field::ConsentResearchContact => form.consent_research_contact = value.to_lowercase(),
        Field::Person => form.person = value,
        Field::Reference => form.reference = value,
        Field::Subdivision => form.subdivision = value,
        Field::Contacts => form.contacts = value,
        Field::Language => form.language = value,
        Field::Narrative => form.narrative = value,
        Field::Notes => form.notes = value,
        Field::Preferences => form.preferences = value,
    }
    Ok(())
}
