//! URLs cut out of text, to be told by their normal form.
//!
//! An indicator's URL has lost its default port, its fragment and what tracks people; the text still has them. So only
//! scheme and host are looked for, and what follows is cut out, made normal by the same function and compared.

use hedgerow_protocol::indicator::same_page;

use super::boundary::letter;

/// Longest URL that is cut out, in bytes.
const LONGEST: usize = 4096;
/// Most ends that one URL is tried with.
const ENDS: usize = 8;

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
    let mut after = run.char_indices().skip_while(|(at, _)| *at < host).peekable();
    let mut ends = Vec::new();
    while let Some((at, c)) = after.next() {
        let follows = after.peek().is_some_and(|(_, next)| letter(*next, false));
        let doubtful = match c {
            '.' | ':' => !follows,
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
