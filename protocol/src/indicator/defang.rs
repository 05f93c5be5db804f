//! How analysts write values so that nobody clicks on them, and what they mean by it: one table for all who undo it or
//! know it when they see it.

use std::borrow::Cow;

/// Marks within a value, and what they stand for; of two that begin alike the longer one first. Case is for the reader
/// to ignore or not.
pub const MARKS: [(&str, &str); 14] = [
    ("[.]", "."),
    ("(.)", "."),
    ("{.}", "."),
    ("[.", "."),
    (".]", "."),
    ("[dot]", "."),
    ("(dot)", "."),
    ("[:]", ":"),
    ("[://]", "://"),
    ("[/]", "/"),
    ("[at]", "@"),
    ("(at)", "@"),
    ("[@]", "@"),
    ("\\.", "."),
];

/// Schemes of URLs, and what they stand for; of two that begin alike the longer one first.
pub const SCHEMES: [(&str, &str); 5] =
    [("hxxps", "https"), ("hxxp", "http"), ("h**ps", "https"), ("h**p", "http"), ("meow", "http")];

/// Undoes all of it in one value.
pub fn refanged(text: &str) -> Cow<'_, str> {
    let mut plain = Cow::Borrowed(text);
    // An IPv6 address in a URL has brackets of its own, and no dot beside them.
    if text.contains(['[', '(', '{', '\\']) {
        for (mark, for_it) in MARKS {
            if plain.contains(mark) {
                plain = Cow::Owned(plain.replace(mark, for_it));
            }
        }
    }
    for (fanged, scheme) in SCHEMES {
        let head = plain.get(..fanged.len()).is_some_and(|head| head.eq_ignore_ascii_case(fanged));
        let rest = plain.get(fanged.len()..).unwrap_or_default();
        if head && rest.starts_with("://") {
            plain = Cow::Owned(format!("{scheme}{rest}"));
            break;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_begins_like_another_stands_behind_it() {
        for table in [MARKS.as_slice(), SCHEMES.as_slice()] {
            for (n, (mark, _)) in table.iter().enumerate() {
                let later = table.iter().skip(n + 1);
                assert!(later.clone().all(|(other, _)| !other.starts_with(mark)), "{mark}");
            }
        }
    }

    #[test]
    fn every_way_of_writing_is_undone() {
        for (written, meant) in MARKS {
            let value = format!("x{written}y[.]z");
            assert_eq!(refanged(&value), format!("x{meant}y.z"), "{written}");
        }
        for (written, meant) in SCHEMES {
            assert_eq!(refanged(&format!("{written}://a.example")), format!("{meant}://a.example"));
        }
        assert_eq!(refanged("http://[2001:db8::1]/x"), "http://[2001:db8::1]/x");
    }
}
