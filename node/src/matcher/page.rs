//! URLs cut out of text, to be told by their normal form.
//!
//! An indicator's URL has lost its default port, its fragment and what tracks people; the text still has them. So only
//! scheme and host are looked for, and what follows is cut out, made normal by the same function and compared.

use std::collections::HashSet;

use hedgerow_protocol::indicator::same_page;

use super::boundary::letter;

/// Longest URL that is cut out, in bytes.
const LONGEST: usize = 4096;
/// Most ends that one URL is tried with.
const ENDS: usize = 8;

/// The URLs that begin with one spelling of scheme and host.
#[derive(Default)]
pub(super) struct Head(HashSet<Box<[u8]>>);

impl Head {
    /// One more of them, as [`same_page`] spells it.
    pub(super) fn add(&mut self, page: &str) {
        let after = page.split_once("://").map_or("", |(_, after)| after);
        let (url, _) = after.split_once('?').unwrap_or((after, ""));
        let path = url.find('/').and_then(|at| url.get(at..)).unwrap_or_default();
        self.0.insert(path.as_bytes().into());
    }

    /// Whether one of them may be what goes on at `end`. Most of a busy host's pages are told apart here, without making
    /// them normal: a path of letters, digits and the like is so already.
    pub(super) fn may_be(&self, text: &[u8], end: usize) -> bool {
        let rest = text.get(end..).unwrap_or_default();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_~/.".contains(byte);
        let length = rest.iter().take(LONGEST).take_while(|byte| plain(byte)).count();
        let path = rest.get(..length).unwrap_or_default();
        let ends = rest.get(length).is_none_or(|byte| *byte <= b' ' || b"?#\"<>`".contains(byte));
        // A dot at the end may be that of a sentence, one after a slash stands for something else.
        let normal =
            path.starts_with(b"/") && !path.ends_with(b".") && !path.windows(2).any(|two| two == b"/.");
        !(ends && normal) || self.0.contains(path)
    }
}

/// What in `text` may be the URL that begins at `start` and whose host ends at `end`, each as [`same_page`] spells it.
pub(super) fn pages(text: &[u8], start: usize, end: usize) -> impl Iterator<Item = String> {
    let rest = text.get(start..text.len().min(start + LONGEST)).unwrap_or_default();
    let host = end - start;
    let (run, whole) = run(rest, host);
    let other = goes_on(run, host);
    let ends = if other { Vec::new() } else { ends(run, host) };
    let last = (whole && !other).then_some(run);
    last.into_iter().chain(ends.into_iter().filter_map(|end| run.get(..end))).filter_map(same_page)
}

/// The longest that may be one URL: up to what stands in none. Whether it is known to end there.
fn run(rest: &[u8], host: usize) -> (&str, bool) {
    let (valid, broken) = match std::str::from_utf8(rest) {
        Ok(valid) => (valid, rest.len() == LONGEST),
        // What is no UTF-8 may be a letter in another encoding.
        Err(error) => {
            let valid = rest.get(..error.valid_up_to()).unwrap_or_default();
            (std::str::from_utf8(valid).unwrap_or_default(), true)
        }
    };
    let stop = |c: char| c.is_whitespace() || c.is_control() || "\"<>`".contains(c);
    match valid.get(host..).and_then(|after| after.find(stop)) {
        Some(at) => (valid.get(..host + at).unwrap_or_default(), true),
        None => (valid, !broken),
    }
}

/// Whether the host itself goes on, so that it is another.
fn goes_on(run: &str, host: usize) -> bool {
    let mut after = run.get(host..).unwrap_or_default().chars();
    match after.next() {
        Some('.') => after.next().is_some_and(|c| letter(c, false)),
        Some(c) => c.is_ascii_alphanumeric() || "-_@".contains(c),
        None => false,
    }
}

/// Where else the URL may end: before what closes something, or parts it from other text, as often as it is its own.
fn ends(run: &str, host: usize) -> Vec<usize> {
    let mut before = '/';
    let mut ends = Vec::new();
    for (at, c) in run.char_indices().skip_while(|(at, _)| *at < host) {
        let doubtful = match c {
            '.' | ':' => ends_sentence(run.get(at..).unwrap_or_default()),
            _ if c.is_ascii() => "'()*!,;$[]{}|^\\".contains(c),
            // In a script without capitals, which has no spaces either, what follows an ASCII address is no part of it.
            _ => !c.is_alphanumeric() || (before.is_ascii() && !letter(c, false)),
        };
        if doubtful {
            ends.push(at);
        }
        if ends.len() == ENDS {
            break;
        }
        before = c;
    }
    ends
}

/// Whether no more of a URL follows the dots and colons that this begins with.
fn ends_sentence(after: &str) -> bool {
    let next = after.chars().take(16).find(|c| !".:".contains(*c));
    !next.is_some_and(|next| letter(next, false) || "-_~/%".contains(next))
}
