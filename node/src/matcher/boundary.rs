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

/// Letters and digits, also those beyond ASCII: `öevil.example` is another name.
const fn letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// What a host name is made of, its dots aside.
const fn label(byte: u8) -> bool {
    letter(byte) || matches!(byte, b'-' | b'_')
}

impl Needle {
    /// Whether what the automaton found at `start..end` is the value itself.
    pub(super) fn stands(&self, text: &[u8], start: usize, end: usize) -> bool {
        let before = start.checked_sub(1).and_then(|at| text.get(at).copied());
        let before2 = start.checked_sub(2).and_then(|at| text.get(at).copied());
        let after = text.get(end).copied();
        let after2 = text.get(end + 1).copied();
        let is = |byte: Option<u8>, of: fn(u8) -> bool| byte.is_some_and(of);
        // A dot goes on with the name only if more of it follows: it may just end a sentence.
        let goes_on = is(after, label) || (after == Some(b'.') && is(after2, label));
        match &self.rule {
            Rule::Domain => !is(before, label) && !goes_on,
            Rule::Email => !is(before, |b| label(b) || b".%+".contains(&b)) && !goes_on,
            Rule::Ipv4 => {
                let longer = before == Some(b'.') && is(before2, letter);
                !is(before, label) && !longer && !goes_on
            }
            Rule::Ipv6 => {
                let colon = |b: u8| letter(b) || b == b':';
                let ends = after == Some(b':') && !is(after2, colon);
                let longer = (is(after, colon) && !ends) || (after == Some(b'.') && is(after2, letter));
                !is(before, colon) && !longer
            }
            Rule::Hex => !is(before, letter) && !is(after, letter),
            Rule::Dotted => !is(before, |b| label(b) || b == b'.') && !goes_on,
            Rule::Exact(value) => {
                let word = |b: u8| letter(b) || b == b'_';
                let first = value.first().copied().is_some_and(word);
                let last = value.last().copied().is_some_and(word);
                text.get(start..end) == Some(value)
                    && !(first && is(before, word))
                    && !(last && is(after, word))
            }
            Rule::Url(value, host_end) => {
                let found = text.get(start..end).unwrap_or_default();
                // A path goes on with what may stand in one; a full stop or comma after it does not.
                let goes_on = is(after, |b| label(b) || b"~%/=&?+".contains(&b))
                    || (is(after, |b| b".:,;".contains(&b)) && is(after2, letter));
                found.get(*host_end..) == value.get(*host_end..) && !is(before, letter) && !goes_on
            }
            Rule::Marked => {
                let name = |b: u8| letter(b) || b == b'_';
                !is(before, name) && !is(after, name)
            }
        }
    }
}
