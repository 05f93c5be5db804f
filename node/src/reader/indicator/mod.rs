//! Indicators out of STIX bundles, MISP events and feeds, CSV, plain lists and running text (docs/indicators.md).
//!
//! Every row comes out as one [`Row`]: an object to keep as a draft, or the reason why it is none.

mod csv;
mod iocs;
mod list;
pub(crate) mod misp;
mod stix;
mod text;

use std::{fmt, path::Path, str::FromStr};

use hedgerow_protocol::{indicator::StixObject, time::Timestamp};

pub(crate) use self::stix::OwnLabels;

/// Largest file, in bytes.
pub const FILE_BYTES: u64 = 256 * 1024 * 1024;

/// One row of a file: an indicator, or an object that gives indicators their context.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its line, or its place in a bundle, from 1.
    pub line: u64,
    /// Whether it is context: malware, a relationship and the like.
    pub context: bool,
    /// The object, or why there is none. A reason never holds more of the row than the kind of its fault.
    pub result: Result<StixObject, String>,
    /// Name of the campaign that it belongs to.
    pub campaign: Option<String>,
    /// How often it was seen, such as the posts of an account.
    pub seen: Option<u64>,
}

impl Row {
    /// A row that says nothing beside its object.
    pub const fn new(line: u64, context: bool, result: Result<StixObject, String>) -> Self {
        Self { line, context, result, campaign: None, seen: None }
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A STIX 2.0 or 2.1 bundle.
    Stix,
    /// Comma-separated values with a header.
    Csv,
    /// One value a line.
    List,
    /// A MISP event, or the answer to a search for events.
    Misp,
    /// Running text, such as a report.
    Text,
}

/// Every format by its name.
const FORMATS: [(&str, Format); 5] = [
    ("stix", Format::Stix),
    ("csv", Format::Csv),
    ("list", Format::List),
    ("misp", Format::Misp),
    ("text", Format::Text),
];

/// Most lines of a file: a row takes hundreds of bytes, and a line may have one.
const MOST_LINES: usize = 2_000_000;

/// Why a file cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not UTF-8.
    #[error("the file is not UTF-8: the first wrong byte is on line {0}; save it as UTF-8")]
    Encoding(u64),
    /// Not what the format says.
    #[error("the file is not a STIX bundle: {0}")]
    Bundle(&'static str),
    /// Not MISP's.
    #[error("this is no MISP event or feed: {0}")]
    Misp(&'static str),
    /// A CSV without a column that says what its values are.
    #[error(
        "no column of the CSV is known; name one of value, indicator, domain, domain_name, url, ip_address, \
         email, md5, sha1, sha256, sha512, process, file_name"
    )]
    Columns,
    /// More lines than are read at once.
    #[error("the file has more than {MOST_LINES} lines; split it")]
    TooLong,
    /// A word that is no format.
    #[error("a file of indicators is stix, misp, csv, list or text")]
    Format,
}

impl FromStr for Format {
    type Err = ReadError;

    fn from_str(s: &str) -> Result<Self, ReadError> {
        FORMATS.iter().find(|(name, _)| *name == s).map(|(_, format)| *format).ok_or(ReadError::Format)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMATS.iter().find(|(_, format)| format == self).map_or("", |(name, _)| name))
    }
}

/// Reads a whole file. `at` dates the indicators that bring no time of their own.
pub fn read(bytes: &[u8], format: Option<Format>, at: Timestamp) -> Result<Vec<Row>, ReadError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let before = bytes.get(..e.valid_up_to()).unwrap_or_default();
        ReadError::Encoding(before.iter().filter(|b| **b == b'\n').count() as u64 + 1)
    })?;
    let format = format.unwrap_or_else(|| detect(text));
    let by_line = matches!(format, Format::Csv | Format::List | Format::Text);
    // Cheaper than the rows that they would become.
    if by_line && text.lines().nth(MOST_LINES).is_some() {
        return Err(ReadError::TooLong);
    }
    match format {
        Format::Stix | Format::Misp => json(text, at),
        Format::Csv => csv::read(text, at),
        Format::List => Ok(list::read(text, at)),
        Format::Text => Ok(text::read(text, at)),
    }
}

/// Reads the folder of a MISP feed.
pub fn read_feed(folder: &Path, at: Timestamp) -> Result<Vec<Row>, ReadError> {
    misp::read_feed(folder, at)
}

/// JSON says itself what it is.
fn json(text: &str, at: Timestamp) -> Result<Vec<Row>, ReadError> {
    let value = serde_json::from_str(text).map_err(|_| ReadError::Bundle("it is not JSON"))?;
    if misp::knows(&value) {
        misp::read(&value, at)
    } else if iocs::knows(&value) {
        Ok(iocs::read(&value, at))
    } else {
        stix::read(value)
    }
}

/// JSON is a bundle or a MISP event; a first line with a comma and a known column is CSV; sentences are text; anything
/// else is a list.
fn detect(text: &str) -> Format {
    let first = text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
    let json = match first.trim_start().chars().next() {
        Some('{') => true,
        // A list of events; a list of addresses may begin with a bracket, too.
        Some('[') => serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
        _ => false,
    };
    if json {
        Format::Stix
    } else if csv::knows(text) {
        Format::Csv
    } else if text::is_prose(text) {
        Format::Text
    } else {
        Format::List
    }
}

#[cfg(test)]
mod tests;
