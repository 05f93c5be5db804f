//! Our own forms, one JSON object a line.

use std::io::Read;

use super::{Digests, Found, Incoming, Peeked, Rejection, source::Line};
use crate::form::RecordForm;

pub(super) struct Rows<R: Read> {
    lines: Peeked<R>,
    digests: Digests,
    line: u64,
}

impl<R: Read> Rows<R> {
    pub(super) fn new(lines: Peeked<R>, digests: Digests) -> Self {
        Self { lines, digests, line: 0 }
    }

    pub(super) fn next(&mut self) -> Option<Found> {
        loop {
            let line = match self.lines.next() {
                Ok(line) => line?,
                Err(error) => return Some(Found::stop(self.line + 1, error)),
            };
            self.line += 1;
            let result = match line {
                Line::Long => Err(Rejection::row("this line is longer than 1 MiB; shorten it")),
                Line::Text(text) if text.trim_ascii().is_empty() => continue,
                Line::Text(text) => self.row(&text),
            };
            return Some(Found::row(self.line, result));
        }
    }

    fn row(&mut self, text: &[u8]) -> Result<Incoming, Rejection> {
        let text = self.lines.text(text).map_err(Rejection::row)?;
        let form: RecordForm = serde_json::from_str(text).map_err(|e| refused(&e))?;
        // Written anew, so that order of fields and spaces make no other record.
        let normal = serde_json::to_string(&form).map_err(|e| refused(&e))?;
        let source = self.digests.next("jsonl", std::iter::once(normal.as_str()));
        Ok(Incoming { form, source })
    }
}

/// What is wrong with JSON, without the words of it: the parser's own message may quote a value.
pub(super) fn refused(error: &serde_json::Error) -> Rejection {
    let place = error.column();
    let message = error.to_string();
    // These two quote names of our own fields only.
    let known = ["missing field `", "duplicate field `"].iter().find_map(|start| {
        let rest = message.strip_prefix(start)?;
        Some((*start, rest.split('`').next()?))
    });
    match known {
        Some((start, field)) if start.starts_with("missing") => {
            Rejection::column(field, "missing; every record needs it")
        }
        Some((_, field)) => Rejection::column(field, "given twice"),
        None if message.starts_with("unknown field") => Rejection::row(format!(
            "a field at place {place} is none of a record; see docs/records.md for those there are"
        )),
        None if error.is_data() => {
            Rejection::row(format!("a value of the wrong kind at place {place} of this line"))
        }
        None => Rejection::row(format!("not JSON from place {place} of this line on")),
    }
}
