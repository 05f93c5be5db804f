//! What is looked for of each kind, and where it may begin and end (docs/indicators.md).

use hedgerow_protocol::indicator::{Observable, ObservableKind as K, capitals, host_spellings, same_page};

use super::accounts::{self, Form, elsewhere};

/// Shortest value that is looked for, in bytes: a shorter one is found everywhere.
const SHORTEST: usize = 4;

/// One text of the automaton.
pub(super) enum Needle {
    /// Stands for the observable at a place.
    Whole(usize, Rule),
    /// Scheme and host of URLs, which are cut out and looked up: the place of these.
    Pages(usize),
}

/// Where a value stands by itself.
pub(super) enum Rule {
    /// A name, or a name beneath it: `www.evil.example`, not `notevil.example` or `evil.example.org`.
    Domain,
    /// An address with digits: not a part of a longer one.
    Ipv4,
    /// An address with colons.
    Ipv6,
    /// A mail address, whole.
    Email,
    /// A run of letters and digits.
    Hex,
    /// A dotted name, such as that of an app: not a part of a longer one.
    Dotted,
    /// Letter for letter, with no letter or digit beside it.
    Exact(Box<[u8]>),
    /// A tag behind its mark, in any case.
    Tag(Box<Rest>),
    /// An account, in any case.
    Account(Box<Account>),
}

/// What is beyond ASCII, and so in one case in the automaton, is looked for by how it begins and then compared.
pub(super) struct Rest {
    /// How many bytes of what was found stand before it.
    after: usize,
    /// What has to follow there, as [`folded`] spells it; empty if the automaton has found it all.
    text: String,
}

/// One way of naming an account.
pub(super) struct Account {
    rest: Rest,
    /// The whole, where its case counts.
    exact: Option<Box<[u8]>>,
    /// Of a bare `@name` the platform, since an address may say that it is another.
    anywhere: Option<String>,
}

/// What is looked for of an observable.
#[derive(Default)]
pub(super) struct Needles {
    /// The texts that stand for it by themselves, and where each does.
    pub(super) whole: Vec<(String, Rule)>,
    /// Scheme and host, if it is a URL, in every spelling of the host; and the URL as it is told from others there.
    pub(super) pages: Option<(Vec<String>, String)>,
}

/// What is looked for of an observable; nothing if it would be found everywhere.
pub(super) fn needles(o: &Observable) -> Needles {
    let value = o.value();
    let whole = |whole: Vec<(String, Rule)>| Needles { whole, pages: None };
    let one = |rule: Rule| whole(vec![(value.to_owned(), rule)]);
    // Of an account its platform and its name; a mark stands before names and tags.
    let (platform, name) = match o.kind() {
        K::Persona | K::Page | K::Channel => value.split_once(':').unwrap_or(("", value)),
        _ => ("", value),
    };
    let marked = matches!(o.kind(), K::Persona | K::Page | K::Channel | K::Hashtag);
    if usize::from(marked) + name.len() < SHORTEST {
        return Needles::default();
    }
    match o.kind() {
        K::Domain => whole(hosts("", value, "").map(|text| (text, Rule::Domain)).collect()),
        K::Email => {
            let (local, host) = value.split_once('@').unwrap_or(("", value));
            whole(hosts(&format!("{local}@"), host, "").map(|text| (text, Rule::Email)).collect())
        }
        K::Url | K::Media => Needles { whole: Vec::new(), pages: pages(value) },
        K::Ipv4 => one(Rule::Ipv4),
        K::Ipv6 => one(Rule::Ipv6),
        K::Md5 | K::Sha1 | K::Sha256 | K::Sha512 | K::AppCertSha1 | K::AppCertSha256 => one(Rule::Hex),
        K::AppId | K::ConfigurationProfile | K::AndroidProperty => one(Rule::Dotted),
        K::FileName | K::FilePath | K::Process => one(Rule::Exact(value.as_bytes().into())),
        K::Hashtag => {
            whole(begun("#", value, "").map(|(text, rest)| (text, Rule::Tag(rest.into()))).collect())
        }
        K::Persona | K::Page | K::Channel => {
            whole(accounts::forms(platform).iter().flat_map(|form| account(form, platform, name)).collect())
        }
    }
}

/// A host between two texts, as it is and in its other spellings.
fn hosts(before: &str, host: &str, after: &str) -> impl Iterator<Item = String> {
    let all = std::iter::once(host.to_owned()).chain(host_spellings(host));
    all.map(move |host| format!("{before}{host}{after}"))
}

/// Scheme and host of a URL in every spelling, and what it is told by.
fn pages(url: &str) -> Option<(Vec<String>, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, _) = rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len()))?;
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    let before = format!("{scheme}://{user}{}", if user.is_empty() { "" } else { "@" });
    let (host, port) = match host.rsplit_once(':').filter(|_| !host.ends_with(']')) {
        Some((host, port)) => (host, format!(":{port}")),
        None => (host, String::new()),
    };
    Some((hosts(&before, host, &port).collect(), same_page(url)?))
}

/// The texts by which a name behind a mark is found, in any case.
fn begun(mark: &str, name: &str, end: &str) -> impl Iterator<Item = (String, Rest)> {
    let (heads, text) = match name.is_ascii() {
        true => (vec![format!("{name}{end}")], String::new()),
        false => (heads(name), folded(&format!("{name}{end}")).collect()),
    };
    let mark = mark.to_owned();
    heads
        .into_iter()
        .map(move |head| (format!("{mark}{head}"), Rest { after: mark.len(), text: text.clone() }))
}

/// The beginning of a name in every case that is not the automaton's own, as far as these are few.
fn heads(name: &str) -> Vec<String> {
    const MOST: usize = 16;
    let mut heads = vec![String::new()];
    for c in name.chars() {
        let mut cases = capitals(c.encode_utf8(&mut [0; 4]));
        if c == '\u{3c3}' {
            cases.push('\u{3c2}'.to_string());
        }
        if heads.len().saturating_mul(cases.len()) > MOST {
            break;
        }
        heads = heads.iter().flat_map(|head| cases.iter().map(move |case| format!("{head}{case}"))).collect();
    }
    heads
}

fn account(form: &Form, platform: &str, name: &str) -> Vec<(String, Rule)> {
    let needles = begun(&form.before, name, &form.after);
    needles
        .map(|(text, rest)| {
            let exact = (form.exact && name.is_ascii()).then(|| name.as_bytes().into());
            let anywhere = form.anywhere.then(|| platform.to_owned());
            (text, Rule::Account(Box::new(Account { rest, exact, anywhere })))
        })
        .collect()
}

/// Text without its case, letter by letter; both small forms of sigma are one.
fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase).map(|c| if c == '\u{3c2}' { '\u{3c3}' } else { c })
}

impl Rest {
    /// Where what was found at `start..end` ends, if it is what was looked for.
    fn end(&self, text: &[u8], start: usize, end: usize) -> Option<usize> {
        if self.text.is_empty() {
            return Some(end);
        }
        let from = start + self.after;
        // A letter and its other case may be of different lengths, by a factor of three at most.
        let most = text.len().min(from + 3 * self.text.len());
        let bytes = text.get(from..most)?;
        let valid = std::str::from_utf8(bytes).unwrap_or_else(|error| {
            bytes
                .get(..error.valid_up_to())
                .and_then(|valid| std::str::from_utf8(valid).ok())
                .unwrap_or_default()
        });
        let mut wanted = self.text.chars();
        for (at, char) in valid.char_indices() {
            if wanted.as_str().is_empty() {
                return Some(from + at);
            }
            if !folded(char.encode_utf8(&mut [0; 4])).all(|c| wanted.next() == Some(c)) {
                return None;
            }
        }
        wanted.as_str().is_empty().then(|| from + valid.len())
    }
}

/// Whether `char` goes on with the word: `öevil.example` is another name. But nothing goes on with an ASCII name in a
/// script without capitals, many of which have no spaces either; a name in such a script goes on with any letter.
/// What is no UTF-8 may be a letter in another encoding.
pub(super) fn letter(char: char, wide: bool) -> bool {
    let beyond = || match wide {
        true => char.is_alphanumeric(),
        false => char.is_lowercase() || char.is_uppercase(),
    };
    char.is_ascii_alphanumeric() || char == char::REPLACEMENT_CHARACTER || (!char.is_ascii() && beyond())
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

    /// Whether it goes on with the word ([`letter`]).
    fn letter(self) -> bool {
        letter(self.char, self.wide)
    }

    /// Whether it is part of a host name, dots aside.
    fn label(self) -> bool {
        self.letter() || self.is("-_")
    }

    fn is(self, any: &str) -> bool {
        any.contains(self.char)
    }
}

/// Whether a letter stands before `start`, so that what begins there is part of a word.
pub(super) fn within_word(text: &[u8], start: usize) -> bool {
    Beside::before(text, start, false).is_some_and(Beside::letter)
}

/// The host name that ends at `end`, of which a part was found at `start`; none if it is no text.
pub(super) fn host_around(text: &[u8], start: usize, end: usize) -> Option<&str> {
    let mut begins = start;
    // A name is of 253 bytes at most, in its own letters of some more.
    let least = start.saturating_sub(1024);
    while begins > least {
        let wide = text.get(begins).is_some_and(|byte| !byte.is_ascii());
        match Beside::before(text, begins, wide).filter(|b| b.label() || b.is(".")) {
            Some(b) => begins = begins.saturating_sub(b.char.len_utf8()),
            None => break,
        }
    }
    let host = std::str::from_utf8(text.get(begins..end)?).ok()?;
    Some(host.trim_start_matches('.'))
}

impl Rule {
    /// Whether what the automaton found at `start..end` is the value itself.
    pub(super) fn stands(&self, text: &[u8], start: usize, end: usize) -> bool {
        let rest = match self {
            Self::Tag(rest) => Some(rest.as_ref()),
            Self::Account(account) => Some(&account.rest),
            _ => None,
        };
        let Some(end) = rest.map_or(Some(end), |rest| rest.end(text, start, end)) else { return false };
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
        match self {
            Self::Domain => !is(before, &Beside::label) && !goes_on,
            Self::Email => !is(before, &|b| b.label() || b.is(".%+")) && !goes_on,
            Self::Ipv4 => {
                let longer = dot(before) && is(before2, &Beside::letter);
                !is(before, &Beside::label) && !longer && !goes_on
            }
            Self::Ipv6 => {
                let colon = |b: Beside| b.letter() || b.is(":");
                let ends = is(after, &|b| b.is(":")) && !is(after2, &colon);
                let longer = (is(after, &colon) && !ends) || (dot(after) && is(after2, &Beside::letter));
                !is(before, &colon) && !longer
            }
            Self::Hex => !is(before, &Beside::letter) && !is(after, &Beside::letter),
            Self::Dotted => !is(before, &|b| b.label() || b.is(".")) && !goes_on,
            Self::Exact(value) => {
                let word = |b: Beside| b.letter() || b.is("_");
                let first = is(Beside::after(value, 0, first), &word);
                let last = is(Beside::before(value, value.len(), last), &word);
                text.get(start..end) == Some(value)
                    && !(first && is(before, &word))
                    && !(last && is(after, &word))
            }
            Self::Tag(_) => {
                let name = |b: Beside| b.letter() || b.is("_");
                !is(before, &name) && !is(after, &name)
            }
            Self::Account(account) => {
                let name = |b: Beside| b.letter() || b.is("_");
                let mention = text.get(start) == Some(&b'@');
                let slash = is(before, &|b| b.is("/"));
                let word = is(before, if mention { &name } else { &Beside::label });
                // What is more than a name has more of it behind a mark: `@the.page` is not `@the`, nor is `@the@server`;
                // in an address a hyphen goes on, too.
                let marks = if mention && !slash { ".@" } else { ".@-" };
                let goes_on = is(after, &name) || (is(after, &|b| b.is(marks)) && is(after2, &name));
                let found = || text.get(start + account.rest.after..end);
                let other =
                    |platform: &String| slash && elsewhere(text.get(..start).unwrap_or_default(), platform);
                !word
                    && !goes_on
                    && account.exact.as_ref().is_none_or(|exact| found() == Some(exact))
                    && !account.anywhere.as_ref().is_some_and(other)
            }
        }
    }
}
