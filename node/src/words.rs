//! Words of a text as people search for them, whatever the script (docs/records.md).
//!
//! Folded: compatibility-decomposed (Unicode NFKD), accents and other marks dropped, upper and lower case made one,
//! Persian and Arabic forms of a letter and their digits too. Split at what is neither letter nor digit. Scripts that put
//! no spaces between words give every character, and every two that follow each other.

use hedgerow_protocol::script::{is_dense, one_form};
use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_properties::{CodePointMapData, props::GeneralCategory};

/// Calls `each` with every word of a text to be found. A word may come several times.
pub(crate) fn words(text: &str, mut each: impl FnMut(&str)) {
    split(text, &mut each, true);
}

/// The words that a text must have to be what is looked for.
pub(crate) fn wanted(text: &str) -> Vec<String> {
    let mut wanted = Vec::new();
    split(text, &mut |word| wanted.push(word.to_owned()), false);
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// `singly`: give every character of a dense script, too, and not only where it stands alone.
fn split(text: &str, each: &mut impl FnMut(&str), singly: bool) {
    if text.is_ascii() {
        let mut word = String::new();
        for part in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
            word.clear();
            word.push_str(part);
            word.make_ascii_lowercase();
            each(&word);
        }
        return;
    }
    let folded = fold(text);
    for part in folded.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()) {
        if !part.contains(is_dense) {
            each(part);
            continue;
        }
        let mut rest = part;
        while let Some(first) = rest.chars().next() {
            let run = rest.find(|c| is_dense(c) != is_dense(first)).unwrap_or(rest.len());
            let (run, after) = rest.split_at(run);
            rest = after;
            if is_dense(first) { pairs(run, each, singly) } else { each(run) }
        }
    }
}

/// Every character, and every two in a row.
fn pairs(run: &str, each: &mut impl FnMut(&str), singly: bool) {
    let ends = || run.char_indices().map(|(at, c)| (at, at + c.len_utf8()));
    let alone = ends().nth(1).is_none();
    for ((from, middle), next) in ends().zip(ends().skip(1).map(Some).chain([None])) {
        if singly || alone {
            run.get(from..middle).into_iter().for_each(&mut *each);
        }
        if let Some((_, to)) = next {
            run.get(from..to).into_iter().for_each(&mut *each);
        }
    }
}

fn fold(text: &str) -> String {
    let categories = CodePointMapData::<GeneralCategory>::new();
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(text);
    let mut folded = String::with_capacity(decomposed.len());
    for c in decomposed.chars() {
        if c.is_ascii() {
            folded.push(c.to_ascii_lowercase());
            continue;
        }
        let marks = [GeneralCategory::NonspacingMark, GeneralCategory::EnclosingMark];
        // A tatweel only stretches a word.
        if c == '\u{640}' || marks.contains(&categories.get(c)) {
            continue;
        }
        match letter(c) {
            Some(same) => folded.push(same),
            // By way of the upper case, so that forms which differ only in lower case (ß, ς) become one.
            None => folded.extend(c.to_uppercase().flat_map(char::to_lowercase)),
        }
    }
    folded
}

/// Letters and digits of Arabic script that are typed in several ways.
fn letter(c: char) -> Option<char> {
    Some(match c {
        '\u{660}'..='\u{669}' => char::from_digit(u32::from(c) - 0x660, 10)?,
        '\u{6f0}'..='\u{6f9}' => char::from_digit(u32::from(c) - 0x6f0, 10)?,
        _ => return one_form(c),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn found(text: &str, query: &str) -> bool {
        let mut there = BTreeSet::new();
        words(text, |word| {
            there.insert(word.to_owned());
        });
        let wanted = wanted(query);
        !wanted.is_empty() && wanted.iter().all(|word| there.contains(word))
    }

    #[test]
    fn case_accents_and_forms_of_letters_do_not_matter() {
        for (text, query) in [
            ("The Émigré's phone", "emigre PHONE"),
            ("Straße in Gießen", "STRASSE giessen"),
            ("ΟΔΥΣΣΕΥΣ", "Οδυσσεύς"),
            ("İstanbul'da", "istanbul"),
            ("caso 2024/017-b", "017 B"),
            ("ｆｕｌｌｗｉｄｔｈ １２", "fullwidth 12"),
            ("Đặng Thị", "đang thi"),
            ("кыргызстанда ё", "КЫРГЫЗСТАНДА е"),
        ] {
            assert!(found(text, query), "{text}: {query}");
        }
        assert!(!found("an example", "exam") && !found("one", "") && !found("one", "..."));
    }

    #[test]
    fn persian_and_arabic_are_found_however_they_are_typed() {
        for (text, query) in [
            ("روزنامه‌نگار ایرانی در تهران", "ايراني تهران"),
            ("کتاب", "كتاب"),
            ("الصَّحَفِيّة أُخِذَت", "الصحفيه اخذت"),
            ("تلفن ۰۹۱۲۳", "09123"),
            ("رقم ٤٥", "45"),
            ("محـــمد", "محمد"),
        ] {
            assert!(found(text, query), "{text}: {query}");
        }
    }

    #[test]
    fn scripts_without_spaces_are_found_by_any_part() {
        let text = "他在北京大学被捕，手机号13800138000";
        for query in ["北京", "大学", "北京大学", "被", "捕", "13800138000"] {
            assert!(found(text, query), "{query}");
        }
        assert!(!found(text, "上海") && !found(text, "京北"));
        assert!(found("นักข่าวถูกติดตาม", "ถูกติดตาม"));
        assert!(found("ｽﾊﾟｲｳｪｱ", "スパイウェア"));
    }
}
