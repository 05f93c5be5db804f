//! What is looked for of each kind, and where it may begin and end (docs/indicators.md).

use hedgerow_protocol::indicator::{Observable, ObservableKind as K};

/// One text of the automaton.
pub(super) struct Needle {
    /// Place of the observable that it stands for.
    pub(super) which: usize,
    rule: Rule,
}

/// Where a value stands by itself.
enum Rule {
    /// A name, or a name beneath it: `www.evil.example`, not `notevil.example` or `evil.example.org`.
    Domain,
    /// An address with digits: not a part of a longer one.
    Ipv4,
    /// An address with colons.
    Ipv6,
    /// A mail address, whole.
    Email,
    /// A URL: scheme and host in any case, the rest as it is, to its end.
    Url(Box<[u8]>, usize),
    /// A run of letters and digits.
    Hex,
    /// A dotted name, such as that of an app: not a part of a longer one.
    Dotted,
    /// Letter for letter, with no letter or digit beside it.
    Exact(Box<[u8]>),
    /// A name of an account or a tag with its mark before it, in any case.
    Marked,
}

/// The texts that stand for an observable.
pub(super) fn needles(which: usize, o: &Observable) -> Vec<(String, Needle)> {
    let value = o.value().to_owned();
    let one = |text: String, rule: Rule| vec![(text, Needle { which, rule })];
    match o.kind() {
        K::Domain => one(value, Rule::Domain),
        K::Ipv4 => one(value, Rule::Ipv4),
        K::Ipv6 => one(value, Rule::Ipv6),
        K::Email => one(value, Rule::Email),
        K::Url | K::Media => {
            let mut list = Vec::new();
            let host_end = value.find("://").map_or(0, |at| {
                let rest = value.get(at + 3..).unwrap_or_default();
                at + 3 + rest.find(['/', '?']).unwrap_or(rest.len())
            });
            // `http://evil.example` is written for `http://evil.example/` as often as not.
            let bare = value.strip_suffix('/').filter(|bare| bare.len() == host_end).map(str::to_owned);
            for text in std::iter::once(value).chain(bare) {
                let rule = Rule::Url(text.as_bytes().into(), host_end);
                list.push((text, Needle { which, rule }));
            }
            list
        }
        K::Md5 | K::Sha1 | K::Sha256 | K::Sha512 | K::AppCertSha1 | K::AppCertSha256 => one(value, Rule::Hex),
        K::AppId | K::ConfigurationProfile | K::AndroidProperty => one(value, Rule::Dotted),
        K::Persona | K::Page | K::Channel => {
            let login = value.split_once(':').map_or(value.as_str(), |(_, login)| login);
            one(format!("@{login}"), Rule::Marked)
        }
        K::Hashtag => one(format!("#{value}"), Rule::Marked),
        K::FileName | K::FilePath | K::Process => one(value.clone(), Rule::Exact(value.as_bytes().into())),
    }
}

/// A character beside what was found.
#[derive(Clone, Copy)]
struct Beside {
    char: char,
    /// Whether the value itself has a character beyond ASCII on that side.
    wide: bool,
}

impl Beside {
    /// What ends before `end`.
    fn before(text: &[u8], end: usize, wide: bool) -> Option<Self> {
        let part = text.get(end.saturating_sub(4)..end)?;
        let char = String::from_utf8_lossy(part).chars().next_back()?;
        Some(Self { char, wide })
    }

    /// What begins at `start`.
    fn after(text: &[u8], start: usize, wide: bool) -> Option<Self> {
        let part = text.get(start..text.len().min(start + 4))?;
        let char = String::from_utf8_lossy(part).chars().next()?;
        Some(Self { char, wide })
    }

    /// Whether it goes on with the word: `öevil.example` is another name. But nothing goes on with an ASCII name in a
    /// script without capitals, many of which have no spaces either; a name in such a script goes on with any letter.
    /// What is no UTF-8 may be a letter in another encoding.
    fn letter(self) -> bool {
        let Self { char, wide } = self;
        let beyond = || match wide {
            true => char.is_alphanumeric(),
            false => char.is_lowercase() || char.is_uppercase(),
        };
        char.is_ascii_alphanumeric() || char == char::REPLACEMENT_CHARACTER || (!char.is_ascii() && beyond())
    }

    /// Whether it is part of a host name, dots aside.
    fn label(self) -> bool {
        self.letter() || self.is("-_")
    }

    fn is(self, any: &str) -> bool {
        any.contains(self.char)
    }
}

impl Needle {
    /// Whether what the automaton found at `start..end` is the value itself.
    pub(super) fn stands(&self, text: &[u8], start: usize, end: usize) -> bool {
        let wide = |at: usize| text.get(at).is_some_and(|byte| !byte.is_ascii());
        let (first, last) = (wide(start), wide(end.saturating_sub(1)));
        let before = Beside::before(text, start, first);
        let after = Beside::after(text, end, last);
        // One further, behind a dot and the like: of one byte.
        let before2 = Beside::before(text, start.saturating_sub(1), first);
        let after2 = Beside::after(text, end + 1, last);
        let is = |beside: Option<Beside>, of: &dyn Fn(Beside) -> bool| beside.is_some_and(of);
        let dot = |beside: Option<Beside>| is(beside, &|b| b.is("."));
        // A dot goes on with the name only if more of it follows: it may just end a sentence.
        let goes_on = is(after, &Beside::label) || (dot(after) && is(after2, &Beside::label));
        match &self.rule {
            Rule::Domain => !is(before, &Beside::label) && !goes_on,
            Rule::Email => !is(before, &|b| b.label() || b.is(".%+")) && !goes_on,
            Rule::Ipv4 => {
                let longer = dot(before) && is(before2, &Beside::letter);
                !is(before, &Beside::label) && !longer && !goes_on
            }
            Rule::Ipv6 => {
                let colon = |b: Beside| b.letter() || b.is(":");
                let ends = is(after, &|b| b.is(":")) && !is(after2, &colon);
                let longer = (is(after, &colon) && !ends) || (dot(after) && is(after2, &Beside::letter));
                !is(before, &colon) && !longer
            }
            Rule::Hex => !is(before, &Beside::letter) && !is(after, &Beside::letter),
            Rule::Dotted => !is(before, &|b| b.label() || b.is(".")) && !goes_on,
            Rule::Exact(value) => {
                let word = |b: Beside| b.letter() || b.is("_");
                let first = is(Beside::after(value, 0, first), &word);
                let last = is(Beside::before(value, value.len(), last), &word);
                text.get(start..end) == Some(value)
                    && !(first && is(before, &word))
                    && !(last && is(after, &word))
            }
            Rule::Url(value, host_end) => {
                let found = text.get(start..end).unwrap_or_default();
                // A path goes on with what may stand in one; a full stop or comma after it does not.
                let goes_on = is(after, &|b| b.label() || b.is("~%/=&?+"))
                    || (is(after, &|b| b.is(".:,;")) && is(after2, &Beside::letter));
                found.get(*host_end..) == value.get(*host_end..) && !is(before, &Beside::letter) && !goes_on
            }
            Rule::Marked => {
                let name = |b: Beside| b.letter() || b.is("_");
                !is(before, &name) && !is(after, &name)
            }
        }
    }
}
