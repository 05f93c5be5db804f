//! Indicators out of STIX bundles, CSV and plain lists (docs/indicators.md).
//!
//! Every row comes out as one [`Row`]: an object to keep as a draft, or the reason why it is none.

mod csv;
mod list;
mod stix;

use std::{fmt, str::FromStr};

use hedgerow_protocol::{indicator::StixObject, time::Timestamp};

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
}

/// Why a file cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not UTF-8.
    #[error("the file is not UTF-8: the first wrong byte is on line {0}; save it as UTF-8")]
    Encoding(u64),
    /// Not what the format says.
    #[error("the file is not a STIX bundle: {0}")]
    Bundle(&'static str),
    /// A CSV without a column that says what its values are.
    #[error(
        "no column of the CSV is known; name one of value, indicator, domain, domain_name, url, ip_address, \
         email, md5, sha1, sha256, sha512, process, file_name"
    )]
    Columns,
    /// A word that is no format.
    #[error("a file of indicators is stix, csv or list")]
    Format,
}

impl FromStr for Format {
    type Err = ReadError;

    fn from_str(s: &str) -> Result<Self, ReadError> {
        match s {
            "stix" => Ok(Self::Stix),
            "csv" => Ok(Self::Csv),
            "list" => Ok(Self::List),
            _ => Err(ReadError::Format),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stix => "stix",
            Self::Csv => "csv",
            Self::List => "list",
        })
    }
}

/// Reads a whole file. `at` dates the indicators that bring no time of their own.
pub fn read(bytes: &[u8], format: Option<Format>, at: Timestamp) -> Result<Vec<Row>, ReadError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let before = bytes.get(..e.valid_up_to()).unwrap_or_default();
        ReadError::Encoding(before.iter().filter(|b| **b == b'\n').count() as u64 + 1)
    })?;
    match format.unwrap_or_else(|| detect(text)) {
        Format::Stix => stix::read(text),
        Format::Csv => csv::read(text, at),
        Format::List => Ok(list::read(text, at)),
    }
}

/// JSON is a bundle; a first line with a comma and a known column is CSV; anything else is a list.
fn detect(text: &str) -> Format {
    let first = text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
    if first.trim_start().starts_with('{') {
        Format::Stix
    } else if csv::knows(first) {
        Format::Csv
    } else {
        Format::List
    }
}

#[cfg(test)]
mod tests;
