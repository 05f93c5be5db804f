//! CSV (RFC 4180) under a mapping.
//!
//! Rows are cut out here and split into cells by the csv crate, because one quote that is never closed makes
//! a cell of the rest of the file: such a row is given up at its first line, and reading goes on at the next.

use std::{collections::VecDeque, io, io::Read};

use super::{
    Digests, Found, Incoming, Mapping, Peeked, ReadError, Rejection, builtin,
    mapping::Plan,
    propose,
    source::{Line, ROW_BYTES, pseudonym},
};

/// How much may be read a second time after rows that were given up; beyond it they are given up whole, so
/// that a file made of quotes costs no more than a few readings.
const REREAD_BYTES: usize = 64 * 1024 * 1024;

/// Where in a row the reading stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    CellStart,
    Bare,
    Quoted,
    QuoteInQuoted,
}

pub(super) struct Rows<R: Read> {
    lines: Peeked<R>,
    /// Lines to be read again.
    again: VecDeque<Line>,
    reread: usize,
    /// The line last handed out.
    line: u64,
    delimiter: u8,
    headers: Vec<String>,
    plan: Plan,
    digests: Digests,
    ended: bool,
}

/// A row as cut out.
enum Cut {
    Row(Vec<Vec<u8>>),
    Unclosed(Vec<Vec<u8>>),
    Long,
}

impl<R: Read> Rows<R> {
    pub(super) fn new(
        mut lines: Peeked<R>,
        mapping: Option<Mapping>,
        digests: Digests,
    ) -> Result<(Self, String), ReadError> {
        let skip = mapping.as_ref().map_or(0, |m| m.skip_lines);
        let mut line = 0;
        let mut header = || -> Result<Vec<u8>, ReadError> {
            line += 1;
            match lines.next()? {
                Some(Line::Text(text)) => Ok(text),
                _ => Err(ReadError::NoHeader),
            }
        };
        for _ in 0..skip {
            header()?;
        }
        let first = header()?;
        let split = |header: &[u8], given: Option<char>| {
            let delimiter = given.and_then(|c| u8::try_from(c).ok()).unwrap_or_else(|| delimiter(header));
            let open = after(Place::CellStart, header, delimiter) == Place::Quoted;
            let cells = if open { None } else { cells(header, delimiter) }.unwrap_or_default();
            let names = cells.iter().map(|c| String::from_utf8_lossy(c).trim().to_owned());
            (delimiter, names.collect::<Vec<_>>())
        };
        let (mut delimiter, mut headers) = split(&first, mapping.as_ref().and_then(|m| m.delimiter));
        if headers.is_empty() {
            return Err(ReadError::Header);
        }
        let mapping = match mapping.or_else(|| builtin::known(&headers, 0).cloned()) {
            Some(mapping) => mapping,
            None => {
                // One data set in use has a note before its header.
                let second = header().ok().map(|text| split(&text, None));
                let found = second.as_ref().and_then(|(_, h)| builtin::known(h, 1).cloned());
                let no_mapping = || ReadError::NoMapping { proposed: Box::new(propose(&headers)) };
                let mapping = found.ok_or_else(no_mapping)?;
                (delimiter, headers) = second.unwrap_or_default();
                mapping
            }
        };
        let plan = Plan::new(&mapping, &headers)?;
        let again = VecDeque::new();
        let rows = Self { lines, again, reread: 0, line, delimiter, headers, plan, digests, ended: false };
        Ok((rows, mapping.name))
    }

    fn line(&mut self) -> io::Result<Option<Line>> {
        let line = match self.again.pop_front() {
            Some(line) => Some(line),
            None => self.lines.next()?,
        };
        self.line += u64::from(line.is_some());
        Ok(line)
    }

    /// Cuts out the next row that is not blank, with the line on which it starts.
    fn cut(&mut self) -> io::Result<Option<(u64, Cut)>> {
        loop {
            let first = self.line()?;
            let start = self.line;
            let text = match first {
                None => return Ok(None),
                Some(Line::Long) => return Ok(Some((start, Cut::Long))),
                Some(Line::Text(text)) if text.trim_ascii().is_empty() => continue,
                Some(Line::Text(text)) => text,
            };
            let mut place = after(Place::CellStart, &text, self.delimiter);
            let mut size = text.len();
            let mut row = vec![text];
            while place == Place::Quoted {
                match self.line()? {
                    Some(Line::Text(text)) if size + text.len() <= ROW_BYTES => {
                        place = after(place, &text, self.delimiter);
                        size += text.len();
                        row.push(text);
                    }
                    Some(line) => {
                        self.line -= 1;
                        self.again.push_front(line);
                        return Ok(Some((start, Cut::Unclosed(row))));
                    }
                    None => return Ok(Some((start, Cut::Unclosed(row)))),
                }
            }
            return Ok(Some((start, Cut::Row(row))));
        }
    }

    /// Gives up the first line of a row and has the others read again.
    fn give_up(&mut self, row: Vec<Vec<u8>>) {
        let size: usize = row.iter().skip(1).map(Vec::len).sum();
        if self.reread + size > REREAD_BYTES {
            return;
        }
        self.reread += size;
        for line in row.into_iter().skip(1).rev() {
            self.line -= 1;
            self.again.push_front(Line::Text(line));
        }
    }

    pub(super) fn next(&mut self) -> Option<Found> {
        if self.ended {
            return None;
        }
        let (line, cut) = match self.cut() {
            Ok(found) => found?,
            Err(error) => {
                self.ended = true;
                return Some(Found::stop(self.line + 1, error));
            }
        };
        let result = match cut {
            Cut::Long => Err(Rejection::row(
                "this row is longer than 1 MiB; shorten it, or look for a quote before it",
            )),
            Cut::Unclosed(row) => {
                self.give_up(row);
                Err(Rejection::row(
                    "a quote is opened in this row and never closed; close it, or double it if it is text",
                ))
            }
            Cut::Row(row) => self.row(row),
        };
        Some(Found::row(line, result))
    }

    fn row(&mut self, row: Vec<Vec<u8>>) -> Result<Incoming, Rejection> {
        let bytes = row.concat();
        let text = self.lines.text(&bytes).map_err(Rejection::row)?;
        let cells = cells(text.as_bytes(), self.delimiter).ok_or_else(|| {
            Rejection::row("line ends of an old kind within this row; save the file with ordinary line ends")
        })?;
        let (found, expected) = (cells.len(), self.headers.len());
        if found != expected {
            let quoted = row.len() > 1;
            self.give_up(row);
            let hint = if quoted { "; a quote may be opened and closed in the wrong place" } else { "" };
            return Err(Rejection::row(format!("{found} cells where the header has {expected}{hint}")));
        }
        let cells: Vec<&str> =
            cells.iter().map(|c| std::str::from_utf8(c).unwrap_or_default().trim()).collect();
        // The names count too: the same cells under other columns are another row.
        let parts = self.headers.iter().map(String::as_str).chain(cells.iter().copied());
        let source = self.digests.next("csv", parts);
        let form = self.plan.form(&cells, &pseudonym(&source))?;
        Ok(Incoming { form, source })
    }
}

/// Where the reading stands after a line, by RFC 4180: a quote opens at the start of a cell only.
fn after(mut place: Place, line: &[u8], delimiter: u8) -> Place {
    for byte in line {
        place = match (place, *byte) {
            (Place::Quoted, b'"') => Place::QuoteInQuoted,
            (Place::Quoted, _) => Place::Quoted,
            (Place::QuoteInQuoted, b'"') => Place::Quoted,
            (Place::CellStart, b'"') => Place::Quoted,
            (_, b) if b == delimiter => Place::CellStart,
            _ => Place::Bare,
        };
    }
    place
}

/// The delimiter that a header uses most.
fn delimiter(header: &[u8]) -> u8 {
    let count = |d: u8| header.iter().filter(|b| **b == d).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|d| count(*d)).unwrap_or(b',')
}

/// The cells of one row, or nothing if the bytes are not exactly one.
fn cells(row: &[u8], delimiter: u8) -> Option<Vec<Vec<u8>>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(row.len().max(64))
        .from_reader(row);
    let mut record = csv::ByteRecord::new();
    let one = reader.read_byte_record(&mut record).ok()?;
    let cells = record.iter().map(<[u8]>::to_vec).collect();
    (one && !reader.read_byte_record(&mut record).ok()?).then_some(cells)
}
