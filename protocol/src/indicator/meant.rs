//! Texts as they were meant: what was escaped for a URL or for the DNS, or made unclickable, undone.

use std::borrow::Cow;

use super::folded::folded;

/// How often a text that was escaped for a URL may have been escaped again.
const ESCAPED: usize = 2;

/// Longest name of a host (RFC 1035 §2.3.4).
const HOST_BYTES: usize = 253;

/// Signs that stand around a word in place of a sign.
const BRACKETS: [(char, char); 4] = [('[', ']'), ('(', ')'), ('{', '}'), ('<', '>')];

/// What stands in brackets for a sign, in some languages.
const MEANT: [(&str, &str); 13] = [
    ("at", "@"),
    ("@", "@"),
    ("arroba", "@"),
    ("dot", "."),
    (".", "."),
    ("punkt", "."),
    ("punto", "."),
    ("point", "."),
    ("nokta", "."),
    ("ponto", "."),
    (":", ":"),
    ("://", "://"),
    ("/", "/"),
];

/// Characters of the longest of these, with its brackets and spaces.
const LONGEST: usize = 12;

/// A text with the signs in it that stand in brackets as they are meant, without the spaces around them: `jane [at] mail`.
pub(super) fn refanged(text: &str) -> Cow<'_, str> {
    if !text.contains(BRACKETS.map(|(open, _)| open)) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut changed = false;
    let mut rest = text;
    while let Some((before, after)) =
        rest.find(BRACKETS.map(|(open, _)| open)).and_then(|at| rest.split_at_checked(at))
    {
        plain.push_str(before);
        if let Some((sign, left)) = sign(after) {
            plain.truncate(plain.trim_end_matches(' ').len());
            plain.push_str(sign);
            rest = left.trim_start_matches(' ');
            changed = true;
        } else {
            let (open, left) = after.split_at(after.chars().next().map_or(0, char::len_utf8));
            plain.push_str(open);
            rest = left;
        }
    }
    plain.push_str(rest);
    if changed { Cow::Owned(plain) } else { Cow::Borrowed(text) }
}

/// What stands in brackets at the head of a text, if it is a sign, and what is behind it.
fn sign(text: &str) -> Option<(&'static str, &str)> {
    let (_, close) = BRACKETS.iter().find(|(open, _)| text.starts_with(*open))?;
    let (end, _) = text.char_indices().take(LONGEST).find(|(_, c)| c == close)?;
    let (word, left) = (text.get(1..end)?.trim(), text.get(end + 1..)?);
    let (_, sign) = MEANT.iter().find(|(meant, _)| meant.eq_ignore_ascii_case(word))?;
    Some((sign, left))
}

/// Hands over `text` folded, and once more as it was meant if that is something else.
pub(super) fn forms(text: &str, each: &mut dyn FnMut(&str)) {
    each(&folded(text));
    let unescaped = unescaped(text);
    let refanged = refanged(&unescaped);
    let in_letters = in_letters(&refanged);
    match (&unescaped, &refanged, &in_letters) {
        (Cow::Borrowed(_), Cow::Borrowed(_), Cow::Borrowed(_)) => {}
        (_, _, meant) => each(&folded(meant)),
    }
}

/// A text with its `%40` and the like undone, where that makes text: a wildcard before two letters stays.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    let mut meant = Cow::Borrowed(text);
    for _ in 0..ESCAPED {
        match unescaped_once(&meant) {
            Some(plain) => meant = Cow::Owned(plain),
            None => break,
        }
    }
    meant
}

fn unescaped_once(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    let mut changed = false;
    while let Some((before, after)) = rest.find('%').and_then(|at| rest.split_at_checked(at)) {
        plain.push_str(before);
        let bytes: Vec<u8> = after.as_bytes().chunks(3).map_while(escaped).collect();
        let (escapes, left) = after.split_at_checked(bytes.len() * 3).unwrap_or((after, ""));
        match String::from_utf8(bytes) {
            Ok(meant) if !meant.is_empty() => {
                plain.push_str(&meant);
                changed = true;
                rest = left;
            }
            Ok(_) => {
                plain.push('%');
                rest = after.get(1..).unwrap_or_default();
            }
            Err(_) => {
                plain.push_str(escapes);
                rest = left;
            }
        }
    }
    plain.push_str(rest);
    changed.then_some(plain)
}

fn escaped(escape: &[u8]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    match escape {
        [b'%', high, low] => Some(value(*high)? * 16 + value(*low)?),
        _ => None,
    }
}

/// A text with the hosts in it that stand in A-label form (`xn--…`) in their own letters.
fn in_letters(text: &str) -> Cow<'_, str> {
    if !text.contains("xn--") {
        return Cow::Borrowed(text);
    }
    let of_host = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (host, after) = rest.split_at(rest.find(|c| !of_host(c)).unwrap_or(rest.len()));
        if host.contains("xn--") && host.len() <= HOST_BYTES {
            plain.push_str(&idna::domain_to_unicode(host).0);
        } else {
            plain.push_str(host);
        }
        let (between, after) = after.split_at(after.find(of_host).unwrap_or(after.len()));
        plain.push_str(between);
        rest = after;
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_escaped_is_also_seen_as_it_was_meant() {
        for (text, meant) in [
            ("to=jane%40mail.example", "to=jane@mail.example"),
            ("to=jane%2540mail.example", "to=jane@mail.example"),
            ("n=%E7%8E%8B%E5%B0%8F%E6%98%8E", "n=王小明"),
            ("LIKE '%ada%40mail.example'", "ada@mail.example"),
            ("https://xn--bcher-kva.example/a", "https://bucher.example/a"),
            ("jane[at]mail[.]example", "jane@mail.example"),
            ("jane (AT) mail [ dot ] example", "jane@mail.example"),
            ("hxxps[:]//evil(.)example[/]a", "hxxps://evil.example/a"),
        ] {
            let mut found = Vec::new();
            forms(text, &mut |form| found.push(form.to_owned()));
            assert!(found.len() == 2 && found.iter().any(|form| form.contains(meant)), "{text}: {found:?}");
        }
        for text in ["50 % of it", "[domain-name:value = 'a.example']", "(at home) [or not"] {
            let mut count = 0;
            forms(text, &mut |_| count += 1);
            assert_eq!(count, 1, "{text}");
        }
    }
}
