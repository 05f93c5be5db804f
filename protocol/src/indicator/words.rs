//! Words of folded text, and the characters of scripts that have no spaces between words.

use icu_properties::{
    CodePointMapData,
    props::{GeneralCategory, Script},
};

use crate::script;

/// What a text is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'t> {
    /// A word, without the signs around it.
    Word(&'t str),
    /// A character of a script without spaces, or of Hangul, whose particles stick to names; and whether a space is before
    /// it.
    Dense(char, bool),
    /// A sign that stands between two things.
    Break,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Dense,
    Space,
    Sign,
    /// A mark, which is of the class of what it stands on.
    Mark,
}

/// Whether a sign of ASCII is no part of a word; others, as in `jane_roe@mail.example`, are.
const fn is_between(c: char) -> bool {
    matches!(
        c,
        ',' | ';'
            | ':'
            | '('
            | ')'
            | '<'
            | '>'
            | '['
            | ']'
            | '{'
            | '}'
            | '"'
            | '\''
            | '|'
            | '/'
            | '='
            | '&'
            | '?'
            | '%'
            | '\\'
            | '+'
            | '*'
            | '^'
            | '`'
            | '$'
            | '~'
    )
}

fn class(c: char) -> Class {
    if c.is_ascii() {
        return match c {
            _ if c.is_ascii_whitespace() => Class::Space,
            _ if is_between(c) => Class::Sign,
            _ => Class::Letter,
        };
    }
    match c {
        // It makes the vowel of a kana long.
        'ー' => return Class::Mark,
        // Between the parts of a name.
        '·' | '•' | '‧' | '・' => return Class::Space,
        _ if c.is_whitespace() => return Class::Space,
        _ => {}
    }
    let marks =
        [GeneralCategory::NonspacingMark, GeneralCategory::SpacingMark, GeneralCategory::EnclosingMark];
    if marks.contains(&CodePointMapData::<GeneralCategory>::new().get(c)) {
        return Class::Mark;
    }
    if !c.is_alphanumeric() {
        return Class::Sign;
    }
    let dense = script::is_dense(c) || CodePointMapData::<Script>::new().get(c) == Script::Hangul;
    if dense { Class::Dense } else { Class::Letter }
}

/// Hands over the parts of folded text, in their order, until `found` says that it has found what it looks for.
pub(super) fn parts<'t>(folded: &'t str, found: &mut dyn FnMut(Part<'t>) -> bool) -> bool {
    let (mut from, mut before, mut spaced) = (0, Class::Space, true);
    for (at, c) in folded.char_indices() {
        let class = match (class(c), before) {
            (Class::Mark, Class::Dense) => Class::Dense,
            (Class::Mark, _) => Class::Letter,
            (class, _) => class,
        };
        if class != Class::Letter {
            if before == Class::Letter && word(folded.get(from..at), found) {
                return true;
            }
            let part = match class {
                Class::Dense => Some(Part::Dense(c, spaced)),
                Class::Sign => Some(Part::Break),
                _ => None,
            };
            if part.is_some_and(&mut *found) {
                return true;
            }
        } else if before != Class::Letter {
            from = at;
        }
        (before, spaced) = (class, class == Class::Space);
    }
    before == Class::Letter && word(folded.get(from..), found)
}

fn word<'t>(word: Option<&'t str>, found: &mut dyn FnMut(Part<'t>) -> bool) -> bool {
    let word = word.unwrap_or_default().trim_matches(|c: char| ".!-_@#".contains(c));
    found(if word.is_empty() { Part::Break } else { Part::Word(word) })
}

/// The words within a word such as `jane.roe@mail.example`.
pub(super) fn within(word: &str) -> impl Iterator<Item = &str> {
    word.split(['.', '-', '_', '@']).filter(|word| !word.is_empty())
}

/// What may be left of a word of Arabic or Hebrew script without the letters that stick to the head of it: and, to, by and
/// the like.
pub(super) fn without_prefix(word: &str, each: &mut dyn FnMut(&str)) {
    const AND: [char; 3] = ['و', 'ف', 'ו'];
    const TO: [char; 9] = ['ب', 'ل', 'ك', 'ב', 'ל', 'כ', 'מ', 'ש', 'ה'];
    const LEFT: usize = 3;
    let mut rest = word;
    if let Some(left) = rest.strip_prefix(AND) {
        if left.chars().nth(LEFT - 1).is_some() {
            each(left);
        }
        rest = left;
    }
    if let Some(left) = rest.strip_prefix(TO).filter(|left| left.chars().nth(LEFT - 1).is_some()) {
        each(left);
        // The article loses its first letter behind "to": لل is ل and ال.
        if rest.starts_with("لل") {
            each(&format!("ا{left}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut shown = String::new();
        parts(text, &mut |part| {
            match part {
                Part::Word(word) => shown.push_str(&format!("<{word}>")),
                Part::Dense(c, spaced) => shown.extend([if spaced { "_" } else { "" }, &c.to_string()]),
                Part::Break => shown.push('|'),
            }
            false
        });
        shown
    }

    #[test]
    fn a_text_is_words_and_characters_of_what_has_none() {
        for (text, parts) in [
            ("jane roe.", "<jane><roe>"),
            ("(@jane_roe) o'brien", "|<jane_roe>|<o>|<brien>"),
            ("c:\\users\\jane.roe", "<c>||<users>|<jane.roe>"),
            ("到王小明,a", "_到王小明|<a>"),
            ("wang王1", "<wang>王<1>"),
            ("王 伟", "_王_伟"),
            ("ジョージ・ワ", "_ジョージ_ワ"),
            ("김민수가 왔다", "_김민수가_왔다"),
            ("दिल्ली में", "<दिल्ली><में>"),
            ("jane – roe", "<jane>|<roe>"),
            ("- , .", "|||"),
        ] {
            assert_eq!(shown(text), parts, "{text}");
        }
    }

    #[test]
    fn what_sticks_to_the_head_of_a_word_is_taken_off() {
        for (word, left) in [
            ("ومحمد", vec!["محمد"]),
            ("لمحمد", vec!["محمد"]),
            ("وبمحمد", vec!["بمحمد", "محمد"]),
            ("للاسد", vec!["لاسد", "الاسد"]),
            ("ודוד", vec!["דוד"]),
            ("ولد", vec![]),
            ("maria", vec![]),
        ] {
            let mut found = Vec::new();
            without_prefix(word, &mut |word| found.push(word.to_owned()));
            assert_eq!(found, left, "{word}");
        }
    }
}
