//! Running text, such as a report pasted in: what in it is an indicator.
//!
//! Reports make their indicators unclickable and leave the links to other reports as they are. So where anything in the
//! text is defanged, a plain address is left out, and named; hashes are always taken. Where nothing is, all that looks
//! like an address is.

use std::collections::HashSet;

use hedgerow_protocol::{
    indicator::{Observable, ObservableKind as K, StixObject, defang::MARKS},
    time::Timestamp,
};

use super::Row;

/// Ends of file names that look like domains.
const FILES: [&str; 44] = [
    "apk", "app", "bat", "bin", "bmp", "cfg", "cmd", "conf", "csv", "dat", "db", "dll", "doc", "docm",
    "docx", "elf", "exe", "gif", "gz", "htm", "html", "ini", "ipa", "jar", "jpeg", "jpg", "js", "json",
    "lnk", "log", "msi", "pdf", "php", "plist", "png", "ppt", "ps1", "rar", "rtf", "txt", "vbs", "xls",
    "xlsx", "xml",
];

/// Whether most lines are sentences rather than values.
pub(super) fn is_prose(text: &str) -> bool {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).take(1000);
    let (mut all, mut prose) = (0, 0);
    for line in lines {
        all += 1;
        prose += usize::from(line.split_whitespace().count() >= 3);
    }
    prose * 2 > all
}

pub(super) fn read(text: &str, at: Timestamp) -> Vec<Row> {
    let defanged = text.split_whitespace().any(|word| is_defanged(core(word)));
    let mut seen = HashSet::new();
    let mut rows = Vec::new();
    for (line, words) in (1u64..).zip(text.lines()) {
        for word in words.split(|c: char| c.is_whitespace() || "<>\"“”‘’«»|,;".contains(c)) {
            let Some((observable, plain)) = found(core(word)) else { continue };
            if !seen.insert(observable.clone()) {
                continue;
            }
            let result = if plain && defanged && !is_hash(observable.kind()) {
                Err("it stands here as a plain address where others are defanged: a list takes it".to_owned())
            } else {
                Ok(StixObject::indicator(&observable, None, None, at))
            };
            rows.push(Row::new(line, false, result));
        }
    }
    rows
}

const fn is_hash(kind: K) -> bool {
    matches!(kind, K::Md5 | K::Sha1 | K::Sha256 | K::Sha512)
}

fn is_defanged(word: &str) -> bool {
    // All but the escape `\.`, which paths have too.
    let mut marks = MARKS.iter().map(|(mark, _)| *mark).filter(|mark| mark.contains(['[', '(', '{', ']']));
    let head = word.get(..4).is_some_and(|h| h.eq_ignore_ascii_case("hxxp"));
    word.contains('.') && (head || marks.any(|mark| word.contains(mark))) || word.contains("[dot]")
}

/// A word without the marks that a sentence puts around it.
fn core(word: &str) -> &str {
    let ends = |c: char| ".,;:!?\"'`*_“”‘’".contains(c);
    let mut word = word.trim_matches(ends);
    for (open, close) in [('(', ')'), ('[', ']'), ('{', '}')] {
        // A bracket that stands for a dot has its partner within the word.
        if word.starts_with(open) && word.get(1..2).is_none_or(|c| c != ".") {
            word = word.get(1..).unwrap_or_default();
        }
        if word.ends_with(close) && word.matches(open).count() < word.matches(close).count() {
            word = word.get(..word.len() - 1).unwrap_or_default();
        }
        word = word.trim_matches(ends);
    }
    word
}

/// What a word is, and whether it stands there plainly.
fn found(word: &str) -> Option<(Observable, bool)> {
    if word.len() < 4 || word.len() > 2048 {
        return None;
    }
    let defanged = is_defanged(word);
    let observable = Observable::guess(word).ok()?;
    let host_like = || {
        let last = observable.value().rsplit('.').next().unwrap_or_default();
        let lettered =
            last.len() >= 2 && !last.bytes().any(|b| b.is_ascii_digit()) || last.starts_with("xn--");
        let long = observable.value().split('.').any(|label| label.len() > 2);
        lettered && long && !FILES.contains(&last)
    };
    let sure = match observable.kind() {
        K::Domain => defanged || host_like(),
        K::Url => ["http", "ftp"].iter().any(|scheme| observable.value().starts_with(scheme)),
        // Four numbers with dots may be a version.
        K::Ipv4 => defanged || !word.starts_with("0."),
        // Times and words with colons are read as such addresses.
        K::Ipv6 => word.matches(':').count() >= 3,
        _ => true,
    };
    sure.then_some((observable, !defanged))
}
