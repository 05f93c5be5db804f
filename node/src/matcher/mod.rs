//! Indicators looked for in text: logs by the gigabyte, and the words of incidents (docs/indicators.md).
//!
//! All values stand in one Aho-Corasick automaton, so that the time does not grow with their number. What it finds is a
//! [`Sighted`] only where `boundary` says that the text holds the value itself: not `notevil.example` for
//! `evil.example`. Text that was defanged is looked at as it is and as it was.

mod boundary;
mod stream;

use std::collections::HashSet;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use hedgerow_protocol::indicator::Observable;
use memchr::{memchr_iter, memchr3_iter, memmem};

use boundary::Needle;
pub use stream::{StreamError, Totals, scan};

/// Shortest value that is looked for, in bytes: a shorter one is found everywhere.
const SHORTEST: usize = 4;

/// The automaton cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are more indicators than can be looked for at once")]
pub struct TooMany;

/// One value found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighted {
    /// Which: its place among what was given to [`Matcher::new`].
    pub which: usize,
    /// The line, from 1.
    pub line: u64,
    /// Whether it stands there defanged.
    pub defanged: bool,
}

/// Values, ready to be looked for.
pub struct Matcher {
    automaton: AhoCorasick,
    /// Of each pattern of the automaton, what it stands for.
    needles: Vec<Needle>,
    fanged: AhoCorasick,
    /// Of `hxxp` as it is written, the part that is no other word.
    schemes: [memmem::Finder<'static>; 2],
    skipped: usize,
}

/// How addresses are written so that nobody clicks on them, and what they stand for.
const DEFANGED: [(&str, &str); 13] = [
    ("[.]", "."),
    ("(.)", "."),
    ("{.}", "."),
    ("[dot]", "."),
    ("(dot)", "."),
    ("[:]", ":"),
    ("[://]", "://"),
    ("[/]", "/"),
    ("[at]", "@"),
    ("(at)", "@"),
    ("[@]", "@"),
    ("hxxp", "http"),
    ("[.", "."),
];

impl Matcher {
    /// Makes ready to look for `observables`.
    pub fn new(observables: &[&Observable]) -> Result<Self, TooMany> {
        let (mut texts, mut needles, mut skipped) = (Vec::new(), Vec::new(), 0);
        for (which, observable) in observables.iter().enumerate() {
            let mut any = false;
            for (text, needle) in boundary::needles(which, observable) {
                if text.len() >= SHORTEST {
                    texts.push(text);
                    needles.push(needle);
                    any = true;
                }
            }
            skipped += usize::from(!any);
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            // A tenth of the memory of a DFA, and faster where there are many: it stays in the cache.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .dense_depth(4)
            .build(&texts)
            .map_err(|_| TooMany)?;
        let fanged = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostFirst)
            .build(DEFANGED.iter().map(|(from, _)| from))
            .map_err(|_| TooMany)?;
        Ok(Self {
            automaton,
            needles,
            fanged,
            schemes: [memmem::Finder::new("xxp"), memmem::Finder::new("XXP")],
            skipped,
        })
    }

    /// How many values are too short to be looked for.
    pub const fn skipped(&self) -> usize {
        self.skipped
    }

    /// Looks at whole lines; gives `found` what is in them, with lines counted from `first`.
    pub fn look(&self, text: &[u8], first: u64, found: &mut impl FnMut(Sighted)) {
        self.look_within(text, 0..text.len(), first, found);
    }

    /// The same for what begins within `range`; the rest of `text` is there to tell where a value ends.
    fn look_within(
        &self,
        text: &[u8],
        range: std::ops::Range<usize>,
        first: u64,
        found: &mut impl FnMut(Sighted),
    ) {
        // A value is told once a line, however often and in whatever form it stands there.
        let mut told = HashSet::new();
        let mut lines = Lines { text, counted: 0, line: first };
        self.values(text, |which, start| {
            if range.contains(&start) {
                let line = lines.at(start);
                if told.insert((which, line)) {
                    found(Sighted { which, line, defanged: false });
                }
            }
        });
        let mut lines = Lines { text, counted: 0, line: first };
        let mut done = range.start;
        let mut plain = Vec::new();
        for at in self.defanged(text) {
            if at < done || !range.contains(&at) {
                continue;
            }
            let (start, end) = line_around(text, at);
            plain.clear();
            let around = text.get(start..end).unwrap_or_default();
            self.fanged.replace_all_with_bytes(around, &mut plain, |found, _, plain| {
                let to = DEFANGED.get(found.pattern().as_usize()).map_or("", |(_, to)| to);
                plain.extend_from_slice(to.as_bytes());
                true
            });
            let line = lines.at(at);
            self.values(&plain, |which, _| {
                if told.insert((which, line)) {
                    found(Sighted { which, line, defanged: true });
                }
            });
            done = end;
        }
    }

    /// Every value of `text`, with where it begins.
    fn values(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        for hit in self.automaton.find_overlapping_iter(text) {
            if let Some(needle) = self.needles.get(hit.pattern().as_usize())
                && needle.stands(text, hit.start(), hit.end())
            {
                found(needle.which, hit.start());
            }
        }
    }

    /// Where something may be defanged, in order. Looked for by single bytes and two short words, at the speed of
    /// memory.
    fn defanged(&self, text: &[u8]) -> Vec<usize> {
        let marked = |at: &usize| {
            let after = text.get(at + 1..).unwrap_or_default();
            matches!(after, [b'.' | b':' | b'@' | b'/', ..])
                || after.get(..3).is_some_and(|w| w.eq_ignore_ascii_case(b"dot"))
                || after.get(..2).is_some_and(|w| w.eq_ignore_ascii_case(b"at"))
        };
        let mut places: Vec<usize> = memchr3_iter(b'[', b'(', b'{', text).filter(marked).collect();
        self.schemes.iter().for_each(|word| places.extend(word.find_iter(text)));
        places.sort_unstable();
        places
    }
}

/// Numbers of lines, counted on as they are asked for.
struct Lines<'t> {
    text: &'t [u8],
    counted: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of byte `at`. No value spans lines, so one that begins before the last was counted is in its line.
    fn at(&mut self, at: usize) -> u64 {
        if at > self.counted {
            let passed = self.text.get(self.counted..at).unwrap_or_default();
            self.line += memchr_iter(b'\n', passed).count() as u64;
            self.counted = at;
        }
        self.line
    }
}

/// Longest stretch of one line that is looked at anew where something in it is defanged.
const LINE: usize = 16 * 1024;

/// Where the line around byte `at` begins and ends.
fn line_around(text: &[u8], at: usize) -> (usize, usize) {
    let before = text.get(at.saturating_sub(LINE)..at).unwrap_or_default();
    let start = memchr::memrchr(b'\n', before).map_or(at - before.len(), |n| at - before.len() + n + 1);
    let after = text.get(at..text.len().min(at + LINE)).unwrap_or_default();
    (start, memchr::memchr(b'\n', after).map_or(at + after.len(), |n| at + n))
}

#[cfg(test)]
mod tests;
