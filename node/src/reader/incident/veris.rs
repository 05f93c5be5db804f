//! VERIS incidents (VERIS 1.3 and 1.4, verisframework.org): one, an array of them, or one a line.
//!
//! Only what has a place in a record is read: action, victim, actor and the day. Whatever else stands in an
//! incident is passed over, for the schema is open.

use std::io::{self, Read};

use serde_json::Value;

use super::{
    Digests, Found, Incoming, Peeked, Rejection, builtin, country,
    jsonl::refused,
    source::{Line, ROW_BYTES, pseudonym},
};
use crate::form::RecordForm;

pub(super) struct Rows<R: Read> {
    lines: Peeked<R>,
    digests: Digests,
    line: u64,
    /// The rest of a line that held the end of one incident and perhaps the start of another.
    rest: Vec<u8>,
    /// One incident a line: a broken one then ends with its line.
    by_line: bool,
    ended: bool,
}

impl<R: Read> Rows<R> {
    pub(super) fn new(mut lines: Peeked<R>, digests: Digests) -> io::Result<Self> {
        let by_line = serde_json::from_slice::<serde_json::Map<String, Value>>(lines.peek()?).is_ok();
        Ok(Self { lines, digests, line: 0, rest: Vec::new(), by_line, ended: false })
    }

    pub(super) fn next(&mut self) -> Option<Found> {
        if self.ended {
            return None;
        }
        match self.object() {
            Ok(Some((line, Some(bytes)))) => Some(Found::row(line, self.incident(&bytes))),
            Ok(Some((line, None))) => {
                let reason = "this incident is longer than 1 MiB, or not closed";
                if self.by_line {
                    return Some(Found::row(line, Err(Rejection::row(reason))));
                }
                self.ended = true;
                Some(Found::stop(line, reason))
            }
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Found::stop(self.line + 1, error))
            }
        }
    }

    /// The next object of the file and its line; no bytes for one that cannot be held or does not end.
    fn object(&mut self) -> io::Result<Option<(u64, Option<Vec<u8>>)>> {
        let mut object = Vec::new();
        let mut start = 0;
        let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
        loop {
            if self.rest.is_empty() {
                match self.lines.next()? {
                    None if object.is_empty() => return Ok(None),
                    None => return Ok(Some((start, None))),
                    Some(Line::Long) => {
                        self.line += 1;
                        return Ok(Some((self.line, None)));
                    }
                    Some(Line::Text(text)) => {
                        self.line += 1;
                        if self.by_line {
                            if text.trim_ascii().is_empty() {
                                continue;
                            }
                            return Ok(Some((self.line, Some(text))));
                        }
                        self.rest = text;
                    }
                }
            }
            let mut used = 0;
            let mut whole = false;
            for byte in &self.rest {
                used += 1;
                if object.is_empty() {
                    // Between incidents only the array's own marks and blanks stand.
                    if b"[], \t\r\n".contains(byte) {
                        continue;
                    }
                    start = self.line;
                }
                object.push(*byte);
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if quoted => escaped = true,
                    b'"' => quoted = !quoted,
                    b'{' if !quoted => depth += 1,
                    b'}' if !quoted => depth = depth.saturating_sub(1),
                    _ => {}
                }
                // A word that is no object ends with its line, a blank or a comma.
                let word = depth == 0 && !quoted && b",\n".contains(byte);
                if (depth == 0 && !quoted && *byte == b'}') || word {
                    whole = true;
                    break;
                }
            }
            self.rest.drain(..used);
            if whole {
                return Ok(Some((start, Some(object))));
            }
            if object.len() > ROW_BYTES {
                return Ok(Some((start, None)));
            }
        }
    }

    fn incident(&mut self, bytes: &[u8]) -> Result<Incoming, Rejection> {
        let text = self.lines.text(bytes).map_err(Rejection::row)?;
        let value: Value = serde_json::from_str(text).map_err(|e| refused(&e))?;
        if !value.is_object() {
            return Err(Rejection::row("not a VERIS incident: it is no JSON object"));
        }
        // A map of serde_json is sorted by name: spaces and order make no other incident.
        let normal = value.to_string();
        let source = self.digests.next("veris", std::iter::once(normal.as_str()));
        let form = form(&value, &pseudonym(&source))?;
        Ok(Incoming { form, source })
    }
}

fn form(incident: &Value, person: &str) -> Result<RecordForm, Rejection> {
    let mut form = RecordForm::new(day(incident)?, String::new(), person.to_owned());
    let tactics = tactics(incident)?;
    let mut tactics = tactics.into_iter();
    form.tactic = tactics.next().unwrap_or("T99").to_owned();
    form.secondary = tactics.filter(|t| *t != "T99").map(str::to_owned).collect();
    form.role = "organisation".to_owned();
    form.region = first_country(incident.pointer("/victim/country"), "victim.country")?.to_owned();
    if let Some(state) = incident.pointer("/victim/state").and_then(Value::as_str) {
        form.subdivision = state.to_owned();
    }
    for kind in ["external", "internal", "partner"] {
        let column = format!("actor.{kind}.country");
        let origin = first_country(incident.pointer(&format!("/actor/{kind}/country")), &column)?;
        if origin != "XX" {
            form.origin = origin.to_owned();
            // VERIS names a country and says neither how sure nor on what ground.
            form.confidence = "suspected".to_owned();
            form.basis = "victim".to_owned();
            break;
        }
    }
    if let Some(id) = incident.get("incident_id").and_then(Value::as_str) {
        form.reference = id.to_owned();
    }
    if let Some(summary) = incident.get("summary").and_then(Value::as_str) {
        form.narrative = summary.to_owned();
    }
    Ok(form)
}

/// The tactics of the actions, the primary one first, each once.
fn tactics(incident: &Value) -> Result<Vec<&'static str>, Rejection> {
    let Some(actions) = incident.get("action").and_then(Value::as_object) else {
        return Err(Rejection::column("action", "missing; a VERIS incident names at least one action"));
    };
    let dos = actions.get("hacking").and_then(|h| h.get("variety")).and_then(Value::as_array);
    let dos = dos.is_some_and(|v| v.iter().any(|v| v.as_str() == Some("DoS")));
    let mut found = Vec::new();
    if dos {
        found.push("T16");
    }
    for (action, code) in builtin::VERIS_ACTIONS {
        // A denial of service is a hack in VERIS, and then no breach of data.
        if actions.contains_key(*action) && !found.contains(code) && !(dos && *action == "hacking") {
            found.push(code);
        }
    }
    Ok(found)
}

/// The first country that is known: VERIS has one text or, since 1.3, a list.
fn first_country(value: Option<&Value>, column: &str) -> Result<&'static str, Rejection> {
    let one;
    let all = match value {
        None | Some(Value::Null) => return Ok("XX"),
        Some(Value::Array(all)) => all.as_slice(),
        Some(other) => {
            one = [other.clone()];
            one.as_slice()
        }
    };
    for value in all {
        let text = value.as_str().unwrap_or_default();
        // VERIS writes "Other" for several, and "Unknown".
        if ["", "other", "unknown"].contains(&text.to_lowercase().as_str()) {
            continue;
        }
        let reason = "not a country; write a two-letter code of ISO 3166-1, or Unknown";
        match country::code(text).ok_or_else(|| Rejection::column(column, reason))? {
            "XX" => {}
            code => return Ok(code),
        }
    }
    Ok("XX")
}

/// The day of the incident: the middle of the month or of the year where no finer one is known.
fn day(incident: &Value) -> Result<String, Rejection> {
    let part = |name: &str, most: u64| -> Result<Option<u64>, Rejection> {
        let column = format!("timeline.incident.{name}");
        match incident.pointer(&format!("/timeline/incident/{name}")) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
                let reason = "not a number within the calendar, from 1970 on";
                let number =
                    number.filter(|n| *n <= most).ok_or_else(|| Rejection::column(&column, reason))?;
                // Exports write 0 for unknown.
                Ok((number > 0).then_some(number))
            }
        }
    };
    let (year, month, day) = (part("year", 9999)?, part("month", 12)?, part("day", 31)?);
    let Some(year) = year else {
        return Err(Rejection::column("timeline.incident.year", "missing; VERIS requires it"));
    };
    Ok(match (month, day) {
        (Some(month), Some(day)) => format!("{year:04}-{month:02}-{day:02}"),
        (Some(month), None) => format!("{year:04}-{month:02}-15"),
        _ => format!("{year:04}-07-01"),
    })
}
