//! Incident records out of CSV, VERIS JSON and JSON Lines (docs/records.md).
//!
//! Every row of the file comes out as one [`Row`]: a form that makes a record, or a rejection with its reason.

mod builtin;
mod country;
mod csv;
mod jsonl;
mod mapping;
mod propose;
mod source;
mod veris;

use std::{
    fmt,
    io::{self, Read},
};

pub use builtin::{BUILT_IN, built_in};
pub use mapping::{DateFormat, Field, Flag, Mapping, MappingError, Source, Test};
pub use propose::propose;
pub use source::{FILE_BYTES, ROW_BYTES};

use self::source::{Digests, Lines};
use crate::form::RecordForm;

/// A row that makes a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The record's form; it parses.
    pub form: RecordForm,
    /// What to know the row by when the file is imported again.
    pub source: [u8; 32],
}

/// Why a row makes no record. Never its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The column or field, where one is at fault.
    pub column: Option<String>,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl Rejection {
    fn row(reason: impl Into<String>) -> Self {
        Self { column: None, reason: reason.into() }
    }

    fn column(column: &str, reason: impl Into<String>) -> Self {
        Self { column: Some(column.to_owned()), reason: reason.into() }
    }
}

/// One row of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line on which it starts, from 1.
    pub line: u64,
    /// What became of it.
    pub result: Result<Incoming, Rejection>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values under a mapping.
    Csv,
    /// VERIS incidents: one, an array, or one a line.
    Veris,
    /// Our own forms, one a line.
    JsonLines,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "csv",
            Self::Veris => "veris",
            Self::JsonLines => "jsonl",
        })
    }
}

impl std::str::FromStr for Format {
    type Err = ReadError;

    fn from_str(s: &str) -> Result<Self, ReadError> {
        [Self::Csv, Self::Veris, Self::JsonLines]
            .into_iter()
            .find(|f| f.to_string() == s)
            .ok_or(ReadError::Format)
    }
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file itself.
    #[error("cannot read the file")]
    Io(#[from] io::Error),
    /// A label that is none.
    #[error("no such encoding; try utf-8, utf-16le, windows-1252 or windows-1256")]
    Encoding,
    /// A format that is none, or cannot be told.
    #[error("cannot tell what the file is; name its format: csv, veris or jsonl")]
    Format,
    /// No header line.
    #[error("the file ends before its header line; look at skip_lines in the mapping")]
    NoHeader,
    /// A header line that is not one row of cells.
    #[error(
        "the header line is no row of cells; save the file with ordinary line ends and each name on one line"
    )]
    Header,
    /// Neither a mapping nor a header that a built-in one knows.
    #[error("no built-in mapping knows these columns; save the proposed mapping, edit it, and name it")]
    NoMapping {
        /// A first mapping for this header.
        proposed: Box<Mapping>,
    },
    /// A mapping that does not fit.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// `assume_consent` that is no consent.
    #[error("consent: write yes, no, or withdrawn YYYY-MM-DD")]
    Consent,
}

/// How to read; everything may be left to the file.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What the file is, if not to be told from its name and content.
    pub format: Option<Format>,
    /// Its name, for its extension.
    pub name: Option<String>,
    /// Label of its encoding, as the web spells it.
    pub encoding: Option<String>,
    /// Mapping of its columns, for CSV.
    pub mapping: Option<Mapping>,
    /// Consent to statistics of every row, over what the file or the mapping says.
    pub assume_consent: Option<String>,
}

/// The rows of a file, read as they are asked for.
pub struct Incidents<R: Read> {
    rows: Rows<R>,
    format: Format,
    mapping: Option<String>,
    assume_consent: Option<String>,
    stopped: bool,
}

enum Rows<R: Read> {
    Csv(Box<csv::Rows<R>>),
    Veris(Box<veris::Rows<R>>),
    JsonLines(Box<jsonl::Rows<R>>),
}

/// What one of the readers finds.
struct Found {
    line: u64,
    result: Result<Incoming, Rejection>,
    /// Nothing after this can be read.
    stop: bool,
}

impl Found {
    fn row(line: u64, result: Result<Incoming, Rejection>) -> Self {
        Self { line, result, stop: false }
    }

    fn stop(line: u64, reason: impl fmt::Display) -> Self {
        let reason = format!("nothing from here on was read: {reason}");
        Self { line, result: Err(Rejection::row(reason)), stop: true }
    }
}

/// Starts to read a file of incidents.
pub fn read<R: Read>(input: R, options: Options) -> Result<Incidents<R>, ReadError> {
    let encoding = options.encoding.as_deref().map(source::encoding).transpose()?;
    if let Some(consent) = &options.assume_consent {
        let mut probe = RecordForm::new("2000-01-01".to_owned(), "T99".to_owned(), "probe".to_owned());
        probe.consent_statistics.clone_from(consent);
        probe.parse().map_err(|_| ReadError::Consent)?;
    }
    let mut lines = Peeked::new(Lines::new(input, encoding)?);
    let extension = options.name.as_deref().and_then(|n| n.rsplit_once('.')).map(|(_, e)| e.to_lowercase());
    let format = match options.format {
        Some(format) => format,
        None => detect(extension.as_deref(), lines.peek()?)?,
    };
    let digests = Digests::default();
    let (rows, mapping) = match format {
        Format::Csv => {
            let (rows, name) = csv::Rows::new(lines, options.mapping, digests)?;
            (Rows::Csv(Box::new(rows)), Some(name))
        }
        Format::Veris => (Rows::Veris(Box::new(veris::Rows::new(lines, digests)?)), None),
        Format::JsonLines => (Rows::JsonLines(Box::new(jsonl::Rows::new(lines, digests))), None),
    };
    Ok(Incidents { rows, format, mapping, assume_consent: options.assume_consent, stopped: false })
}

/// The format, from the first line with anything in it, and the extension where that does not tell.
fn detect(extension: Option<&str>, first: &[u8]) -> Result<Format, ReadError> {
    let text = first.trim_ascii();
    let own = serde_json::from_slice::<serde_json::Value>(text)
        .ok()
        .is_some_and(|v| v.get("tactic").is_some() && v.get("day").is_some());
    match (text.first(), extension) {
        (Some(b'{'), _) if own => Ok(Format::JsonLines),
        (Some(b'{'), Some("jsonl" | "ndjson")) if !has(text, b"\"action\"") => Ok(Format::JsonLines),
        (Some(b'{' | b'['), _) => Ok(Format::Veris),
        (_, Some("json")) => Ok(Format::Veris),
        (_, Some("jsonl" | "ndjson")) => Ok(Format::JsonLines),
        (_, Some("csv" | "tsv" | "txt")) => Ok(Format::Csv),
        (Some(_), _) if text.iter().any(|b| b",;\t".contains(b)) => Ok(Format::Csv),
        _ => Err(ReadError::Format),
    }
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}

/// Lines with a look at the first before anyone reads it.
struct Peeked<R: Read> {
    lines: Lines<R>,
    first: Option<Option<source::Line>>,
}

impl<R: Read> Peeked<R> {
    fn new(lines: Lines<R>) -> Self {
        Self { lines, first: None }
    }

    fn peek(&mut self) -> io::Result<&[u8]> {
        if self.first.is_none() {
            self.first = Some(self.lines.next()?);
        }
        Ok(match &self.first {
            Some(Some(source::Line::Text(text))) => text,
            _ => &[],
        })
    }

    fn next(&mut self) -> io::Result<Option<source::Line>> {
        self.first.take().map_or_else(|| self.lines.next(), Ok)
    }

    fn text<'a>(&self, row: &'a [u8]) -> Result<&'a str, &'static str> {
        self.lines.text(row)
    }
}

impl<R: Read> Incidents<R> {
    /// What the file was taken for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The name of the mapping, for CSV.
    pub fn mapping(&self) -> Option<&str> {
        self.mapping.as_deref()
    }

    /// Whether reading ended before the file did; its last row says why.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// The last word on a row: the consent assumed, and whether it makes a record.
    fn settle(&self, incoming: Incoming) -> Result<Incoming, Rejection> {
        let Incoming { mut form, source } = incoming;
        if let Some(consent) = &self.assume_consent {
            form.consent_statistics.clone_from(consent);
        }
        let refuse = |e: crate::form::FormError| Rejection::column(e.field(), e.to_string());
        form.clone().parse().map_err(refuse)?;
        Ok(Incoming { form, source })
    }
}

impl<R: Read> Iterator for Incidents<R> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        if self.stopped {
            return None;
        }
        let found = match &mut self.rows {
            Rows::Csv(rows) => rows.next(),
            Rows::Veris(rows) => rows.next(),
            Rows::JsonLines(rows) => rows.next(),
        };
        let Found { line, result, stop } = found?;
        self.stopped = stop;
        Some(Row { line, result: result.and_then(|incoming| self.settle(incoming)) })
    }
}

#[cfg(test)]
mod tests;
