//! CSV of indicators: columns are known by their names (docs/indicators.md).
//!
//! A table either says in a type column what its value column holds, or has columns that are kinds of their
//! own. A row of the latter with several values is one indicator, for the first of them in the order of
//! [`KINDS`], so that rows read and rows accounted for stay the same number; the others go into its description.

use csv::{ReaderBuilder, StringRecord};
use hedgerow_protocol::{
    indicator::{Instant, Observable, ObservableKind as K, Phase, StixObject, Tlp},
    time::{Day, Timestamp},
};

use super::{ReadError, Row};

/// Columns that are a kind of their own, in the order in which they are preferred.
const KINDS: [(&str, K); 20] = [
    ("domain", K::Domain),
    ("domain_name", K::Domain),
    ("hostname", K::Domain),
    ("url", K::Url),
    ("ip", K::Ipv4),
    ("ip_address", K::Ipv4),
    ("ipv4", K::Ipv4),
    ("ipv6", K::Ipv6),
    ("email", K::Email),
    ("sha512", K::Sha512),
    ("sha256", K::Sha256),
    ("sha1", K::Sha1),
    ("md5", K::Md5),
    ("process", K::Process),
    ("process_name", K::Process),
    ("file_name", K::FileName),
    ("filename", K::FileName),
    ("file_path", K::FilePath),
    ("app_id", K::AppId),
    ("package", K::AppId),
];

/// Types of a type column: MISP's attribute types and what stalkerware lists use.
const TYPES: [(&str, K); 30] = [
    ("domain", K::Domain),
    ("hostname", K::Domain),
    ("url", K::Url),
    ("uri", K::Url),
    ("link", K::Url),
    ("ip", K::Ipv4),
    ("ip-dst", K::Ipv4),
    ("ip-src", K::Ipv4),
    ("ip4addr", K::Ipv4),
    ("ipv4", K::Ipv4),
    ("ipv6", K::Ipv6),
    ("email", K::Email),
    ("email-src", K::Email),
    ("email-addr", K::Email),
    ("md5", K::Md5),
    ("sha1", K::Sha1),
    ("sha256", K::Sha256),
    ("sha512", K::Sha512),
    ("filename", K::FileName),
    ("file-name", K::FileName),
    ("file-path", K::FilePath),
    ("process", K::Process),
    ("package", K::AppId),
    ("app-id", K::AppId),
    ("mobile-application-id", K::AppId),
    ("configuration-profile", K::ConfigurationProfile),
    ("x509-fingerprint-sha1", K::AppCertSha1),
    ("x509-fingerprint-sha256", K::AppCertSha256),
    ("process-name", K::Process),
    ("mobile-app-id", K::AppId),
];

/// MISP's types of accounts, and their platforms.
const ACCOUNTS: [(&str, &str); 3] =
    [("twitter-id", "twitter"), ("github-username", "github"), ("jabber-id", "jabber")];

const VALUES: [&str; 3] = ["value", "indicator", "observable"];
const NAMES: [&str; 3] = ["name", "app", "family"];
const WORDS: [&str; 3] = ["comment", "description", "notes"];
const CAMPAIGNS: [&str; 2] = ["campaign", "operation"];
const PHASES: [&str; 2] = ["phase", "campaign_phase"];
const LABELS: [&str; 1] = ["tlp"];
/// What stands where nothing is said.
const NOTHING: [&str; 6] = ["", "-", "none", "None", "never", "null"];
const FROM: [&str; 1] = ["valid_from"];
const UNTIL: [&str; 1] = ["valid_until"];
const SEEN: [&str; 5] = ["seen", "count", "posts", "tweets", "observed"];

/// What may stand between two cells: in many countries a spreadsheet writes semicolons.
const BETWEEN: [char; 3] = [',', ';', '\t'];

/// Whether a file's first line, or the first after blank ones and comments, is a header that this reader understands.
pub(super) fn knows(text: &str) -> bool {
    head(text).1.contains(BETWEEN) && header(head(text).1).is_some()
}

pub(super) fn read(text: &str, at: Timestamp) -> Result<Vec<Row>, ReadError> {
    let (skipped, first) = head(text);
    let (between, header, columns) = header(first).ok_or(ReadError::Columns)?;
    let line = 1 + text.get(..skipped).unwrap_or_default().matches('\n').count() as u64;
    let text = text.get(skipped..).unwrap_or_default();
    let mut reader =
        ReaderBuilder::new().flexible(true).delimiter(between as u8).from_reader(text.as_bytes());
    let mut rows = Vec::new();
    let mut lines = LineCount { text, byte: 0, line };
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = lines.at(record.position());
                let result = if record.len() == header.len() {
                    columns.row(&record, at)
                } else {
                    Err(format!("the row has {} fields where the header has {}", record.len(), header.len()))
                };
                let (campaign, seen) = columns.context(&record);
                rows.push(Row { line, context: false, result, campaign, seen });
            }
            Err(error) => {
                let line = lines.at(error.position());
                let result = Err("the row is broken".into());
                rows.push(Row::new(line, false, result));
            }
        }
    }
    Ok(rows)
}

/// Lines by byte. The reader's own count is one behind where lines end in CR LF.
struct LineCount<'t> {
    text: &'t str,
    byte: usize,
    line: u64,
}

impl LineCount<'_> {
    fn at(&mut self, position: Option<&csv::Position>) -> u64 {
        let to = position.map_or(self.byte, |p| usize::try_from(p.byte()).unwrap_or(self.byte));
        let bytes = self.text.as_bytes();
        // A record begins after the line end that the reader has not passed yet.
        let ends = bytes.iter().skip(to).take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let passed = bytes.get(self.byte..to + ends).unwrap_or_default();
        self.line += passed.iter().filter(|b| **b == b'\n').count() as u64;
        self.byte = to + ends;
        self.line
    }
}

/// The line that may be a header, and the byte at which it begins.
fn head(text: &str) -> (usize, &str) {
    let mut skipped = 0;
    for line in text.split_inclusive('\n') {
        if !line.trim().is_empty() && !line.starts_with('#') {
            return (skipped, line.trim_end());
        }
        skipped += line.len();
    }
    (skipped, "")
}

/// What stands between its cells, the cells, and what the columns are.
fn header(line: &str) -> Option<(char, Vec<String>, Columns)> {
    BETWEEN.into_iter().find_map(|between| {
        let cells: Vec<String> =
            line.split(between).map(|c| c.trim().trim_matches('"').to_lowercase()).collect();
        let columns = Columns::of(&cells)?;
        Some((between, cells, columns))
    })
}

/// Where in a row things stand.
struct Columns {
    typed: Option<(usize, usize)>,
    untyped: Option<usize>,
    kinds: Vec<(usize, K)>,
    name: Option<usize>,
    words: Option<usize>,
    campaign: Option<usize>,
    phase: Option<usize>,
    seen: Option<usize>,
    label: Option<usize>,
    from: Option<usize>,
    until: Option<usize>,
}

impl Columns {
    fn of(header: &[String]) -> Option<Self> {
        let find = |names: &[&str]| names.iter().find_map(|n| header.iter().position(|h| h == n));
        let value = find(&VALUES);
        let typed = find(&["type", "kind"]).zip(value);
        let kinds: Vec<_> =
            KINDS.iter().filter_map(|(n, kind)| Some((header.iter().position(|h| h == n)?, *kind))).collect();
        let columns = Self {
            typed,
            untyped: value.filter(|_| typed.is_none()),
            kinds,
            name: find(&NAMES),
            words: find(&WORDS),
            campaign: find(&CAMPAIGNS),
            phase: find(&PHASES),
            seen: find(&SEEN),
            label: find(&LABELS),
            from: find(&FROM),
            until: find(&UNTIL),
        };
        (columns.typed.is_some() || columns.untyped.is_some() || !columns.kinds.is_empty()).then_some(columns)
    }

    /// Campaign and count of a row.
    fn context(&self, record: &StringRecord) -> (Option<String>, Option<u64>) {
        let cell = |column: Option<usize>| record.get(column?).map(str::trim).filter(|c| !c.is_empty());
        let campaign = cell(self.campaign).map(|c| c.chars().take(256).collect());
        (campaign, cell(self.seen).and_then(|c| c.replace([',', '_'], "").parse().ok()).filter(|n| *n > 0))
    }

    fn row(&self, record: &StringRecord, at: Timestamp) -> Result<StixObject, String> {
        let cell =
            |column: Option<usize>| record.get(column?).map(str::trim).filter(|c| !NOTHING.contains(c));
        let time = |column, what: &str| {
            let read = |text: &str| time(text).ok_or_else(|| format!("{what} is no date such as 2026-03-31"));
            cell(column).map(read).transpose()
        };
        // A time from the future would make this the last word on it for ever.
        let from = time(self.from, "valid_from")?.filter(|from| *from <= at);
        let from = from.unwrap_or(at);
        let mut object = self.object(record, from)?;
        if let Some(until) = time(self.until, "valid_until")? {
            if until <= from {
                return Err("it has expired".into());
            }
            object = object.valid_until_at(until);
        }
        if let Some(label) = cell(self.label) {
            object = object.marked(Tlp::said(label));
        }
        match cell(self.phase) {
            None => Ok(object),
            Some(name) => Phase::named(&name.to_lowercase())
                .map(|phase| object.in_phase(phase))
                .ok_or_else(|| "the phase is none of theft, dump, amplification, uptake".to_owned()),
        }
    }

    fn object(&self, record: &StringRecord, at: Timestamp) -> Result<StixObject, String> {
        let cell = |column: usize| record.get(column).map(str::trim).filter(|c| !c.is_empty());
        let words = self.words.and_then(cell);
        let name = self.name.and_then(cell);
        if let Some((kind, value)) = self.typed {
            let kind = cell(kind).ok_or("the type is empty")?;
            let observable = typed(kind, cell(value).ok_or("the value is empty")?)?;
            return Ok(StixObject::indicator(&observable, name, words, at));
        }
        if let Some(value) = self.untyped {
            let value = cell(value).ok_or("the value is empty")?;
            let observable = Observable::guess(value).map_err(|e| e.to_string())?;
            return Ok(StixObject::indicator(&observable, name, words, at));
        }
        let mut found = self.kinds.iter().filter_map(|(column, kind)| Some((*kind, cell(*column)?)));
        let (kind, value) = found.next().ok_or("every column that is known is empty")?;
        let observable = read_value(kind, value)?;
        let also: Vec<_> = found.filter_map(|(kind, value)| read_value(kind, value).ok()).collect();
        let also = also.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let words = match (words, also.is_empty()) {
            (Some(words), true) => Some(words.to_owned()),
            (Some(words), false) => Some(format!("{words} (seen with {also})")),
            (None, false) => Some(format!("seen with {also}")),
            (None, true) => None,
        };
        Ok(StixObject::indicator(&observable, name, words.as_deref(), at))
    }
}

/// A time, or a day: its beginning.
fn time(text: &str) -> Option<Timestamp> {
    let day = || format!("{}T00:00:00Z", text.parse::<Day>().ok()?).parse().ok();
    let instant = || text.parse::<Instant>().ok()?.timestamp();
    // As spreadsheets and databases write it.
    let spaced = || format!("{}Z", text.trim_end_matches('Z').replacen(' ', "T", 1)).parse().ok();
    text.parse().ok().or_else(instant).or_else(day).or_else(spaced)
}

/// A value by the word in its type column. Registrants and the like are people, not attacks.
pub(super) fn typed(kind: &str, value: &str) -> Result<Observable, String> {
    let word = kind.to_lowercase();
    if let Some((_, kind)) = TYPES.iter().find(|(name, _)| *name == word) {
        return read_value(*kind, value);
    }
    // Our own names, as an export has them.
    if let Some(kind) = K::named(&word) {
        return read_value(kind, value);
    }
    if let Some(platform) = ACCOUNTS.iter().find(|(name, _)| *name == word).map(|(_, platform)| platform) {
        return read_value(K::Persona, &format!("{platform}:{value}"));
    }
    // An address with a port, or with the name that led to it: what is looked for is the first.
    if let Some((kind, _)) = word.split_once('|').filter(|(_, second)| matches!(*second, "port" | "ip"))
        && let Some((_, kind)) = TYPES.iter().find(|(name, _)| *name == kind)
        && let Some((value, _)) = value.split_once('|')
    {
        return read_value(*kind, value);
    }
    // MISP joins a file's name and its hash: the hash says more.
    if let Some(hash) = word.strip_prefix("filename|")
        && let Some((_, kind)) = TYPES.iter().find(|(name, _)| *name == hash)
        && let Some((_, value)) = value.rsplit_once('|')
    {
        return read_value(*kind, value);
    }
    let known = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_|".contains(c)) && word.len() <= 40;
    let about_people =
        ["whois", "target", "email-dst", "first-name", "last-name", "full-name", "phone-number", "passport"];
    Err(match (about_people.iter().any(|start| word.starts_with(start)), known) {
        (true, _) => "values of this type are about people and are not taken".into(),
        (false, true) => format!("values of type {word} are not taken"),
        (false, false) => "the type is not known".into(),
    })
}

fn read_value(kind: K, value: &str) -> Result<Observable, String> {
    // What a spreadsheet would take for a formula is led by a quote mark.
    let value = value.strip_prefix('\'').filter(|v| v.starts_with(['=', '+', '-', '@'])).unwrap_or(value);
    Observable::lenient(kind, value).map_err(|e| e.to_string())
}
