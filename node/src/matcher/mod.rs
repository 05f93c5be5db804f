//! Indicators looked for in text: logs by the gigabyte, and the words of incidents (docs/indicators.md).
//!
//! All values stand in one Aho-Corasick automaton, so that the time does not grow with their number. What it finds is a
//! [`Sighted`] only where `boundary` says that the text holds the value itself: not `notevil.example` for
//! `evil.example`. Text that was defanged is looked at as it is and as it was.

mod accounts;
mod boundary;
mod page;
mod pour;
mod stream;
mod text;

use std::collections::{HashMap, HashSet, hash_map::Entry};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use hedgerow_protocol::indicator::{
    Observable, ObservableKind,
    defang::{MARKS, SCHEMES},
};
use memchr::{memchr_iter, memchr3_iter, memmem};

use boundary::Needle;
use page::{Head, pages};
pub use pour::Pour;
pub use stream::{StreamError, Totals, scan};
use text::Run;

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
    /// What begins with scheme and host of each URL, in each spelling.
    heads: Vec<Head>,
    /// URLs as they are told from others, and which observables each is.
    pages: HashMap<String, Vec<usize>>,
    /// Of domains, the names beneath them that are allowed, by place of the domain.
    allowed: HashMap<usize, Vec<String>>,
    fanged: AhoCorasick,
    /// What each of these marks stands for.
    meant: Vec<&'static str>,
    /// Of `hxxp` as it is written, the part that is no other word.
    schemes: [memmem::Finder<'static>; 2],
    skipped: Vec<usize>,
    /// Places of the same value beside its first.
    again: HashMap<usize, Vec<usize>>,
}

/// How values are defanged within text: by marks that open with a bracket, and in their scheme. What ends with one, or is
/// an escape, is too often something else there.
fn written() -> impl Iterator<Item = (&'static str, &'static str)> {
    let marks = MARKS.into_iter().filter(|(mark, _)| mark.starts_with(['[', '(', '{']));
    marks.chain(SCHEMES.into_iter().filter(|(scheme, _)| scheme.starts_with("hxxp")))
}

impl Matcher {
    /// Makes ready to look for `observables`.
    pub fn new(observables: &[&Observable]) -> Result<Self, TooMany> {
        let (mut texts, mut needles, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        let (mut heads, mut spelled) = (Vec::<Head>::new(), HashMap::new());
        let mut pages = HashMap::<_, Vec<usize>>::new();
        // What many say is looked for once.
        let (mut first, mut again) = (HashMap::new(), HashMap::<usize, Vec<usize>>::new());
        for (which, observable) in observables.iter().enumerate() {
            let sought = boundary::needles(observable);
            if sought.whole.is_empty() && sought.pages.is_none() {
                skipped.push(which);
                continue;
            }
            match first.entry(*observable) {
                Entry::Occupied(first) => {
                    again.entry(*first.get()).or_default().push(which);
                    continue;
                }
                Entry::Vacant(place) => _ = place.insert(which),
            }
            for (text, rule) in sought.whole {
                texts.push(text);
                needles.push(Needle::Whole(which, rule));
            }
            let Some((hosts, page)) = sought.pages else { continue };
            for host in hosts {
                let place = *spelled.entry(host).or_insert_with_key(|host| {
                    texts.push(host.clone());
                    needles.push(Needle::Pages(heads.len()));
                    heads.push(Head::default());
                    heads.len() - 1
                });
                if let Some(head) = heads.get_mut(place) {
                    head.add(&page);
                }
            }
            pages.entry(page).or_default().push(which);
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
            .build(written().map(|(mark, _)| mark))
            .map_err(|_| TooMany)?;
        Ok(Self {
            automaton,
            needles,
            heads,
            pages,
            again,
            allowed: HashMap::new(),
            fanged,
            meant: written().map(|(_, meant)| meant).collect(),
            schemes: [memmem::Finder::new("xxp"), memmem::Finder::new("XXP")],
            skipped,
        })
    }

    /// Does not take for one of the domains among `observables` what is a name in `allowed`, or beneath one that is longer
    /// than the domain.
    #[must_use]
    pub fn sparing(mut self, observables: &[&Observable], allowed: &[String]) -> Self {
        let mut beneath: HashMap<&str, Vec<&String>> = HashMap::new();
        for name in allowed {
            for (at, _) in name.match_indices('.') {
                beneath.entry(name.get(at + 1..).unwrap_or_default()).or_default().push(name);
            }
        }
        for (which, o) in observables.iter().enumerate().filter(|(_, o)| o.kind() == ObservableKind::Domain) {
            if let Some(names) = beneath.get(o.value()) {
                self.allowed.insert(which, names.iter().map(|name| (*name).clone()).collect());
            }
        }
        self
    }

    /// Places of the observables that are too short to be looked for.
    pub fn skipped(&self) -> &[usize] {
        &self.skipped
    }

    /// Looks at whole lines; gives `found` what is in them, line by line, with lines counted from `first`.
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
        let (mut told, mut all) = (HashSet::new(), Vec::new());
        let mut tell = |which, line, defanged| {
            if told.insert((which, line)) {
                all.push(Sighted { which, line, defanged });
            }
        };
        let mut lines = Lines { text, counted: 0, line: first };
        self.values(text, |which, start| {
            if range.contains(&start) {
                tell(which, lines.at(start), false);
            }
        });
        let mut lines = Lines { text, counted: 0, line: first };
        let mut done = range.start;
        for at in self.defanged(text) {
            if at < done || !range.contains(&at) {
                continue;
            }
            let (start, end) = line_around(text, at);
            let line = lines.at(at);
            let plain = self.refanged(text.get(start..end).unwrap_or_default());
            self.values(&plain, |which, _| tell(which, line, true));
            done = end;
        }
        let mut lines = Lines { text, counted: 0, line: first };
        for run in Run::all(text) {
            let within = |at| Some(run.place(at)).filter(|at| range.contains(at));
            self.values(run.text.as_bytes(), |which, at| {
                if let Some(at) = within(at) {
                    tell(which, lines.at(at), false);
                }
            });
            if let Some(at) = self.defanged(run.text.as_bytes()).into_iter().find_map(within) {
                let line = lines.at(at);
                self.values(&self.refanged(run.text.as_bytes()), |which, _| tell(which, line, true));
            }
        }
        all.sort_by_key(|one| one.line);
        for one in all {
            found(one);
            let again = self.again.get(&one.which).into_iter().flatten();
            again.for_each(|which| found(Sighted { which: *which, ..one }));
        }
    }

    /// Text as it was meant.
    fn refanged(&self, text: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(text.len());
        self.fanged.replace_all_with_bytes(text, &mut plain, |found, _, plain| {
            let meant = self.meant.get(found.pattern().as_usize()).copied().unwrap_or_default();
            plain.extend_from_slice(meant.as_bytes());
            true
        });
        plain
    }

    /// Every value of `text`, with where it begins.
    fn values(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        for hit in self.automaton.find_overlapping_iter(text) {
            let (start, end) = (hit.start(), hit.end());
            match self.needles.get(hit.pattern().as_usize()) {
                Some(Needle::Whole(which, rule))
                    if rule.stands(text, start, end) && !self.allows(*which, text, start, end) =>
                {
                    found(*which, start);
                }
                Some(Needle::Pages(head))
                    if self.heads.get(*head).is_some_and(|head| head.may_be(text, end))
                        && !boundary::within_word(text, start) =>
                {
                    let all = pages(text, start, end).filter_map(|page| self.pages.get(&page));
                    all.flatten().for_each(|which| found(*which, start));
                }
                _ => {}
            }
        }
    }

    /// Whether the name that ends at `end` is one that is allowed, though a domain was found at `start`.
    fn allows(&self, which: usize, text: &[u8], start: usize, end: usize) -> bool {
        let Some(names) = self.allowed.get(&which) else { return false };
        let name = boundary::host_around(text, start, end);
        let name = name.and_then(|name| Observable::new(ObservableKind::Domain, name).ok());
        let Some(name) = name else { return false };
        names.iter().any(|allowed| {
            let before = name.value().strip_suffix(allowed.as_str());
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
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
