//! The form in which texts are compared when people are looked for in them: the same for what is kept and for what is
//! asked about (docs/indicators.md, Lint).

use std::borrow::Cow;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::{CodePointMapData, props::GeneralCategory};

use crate::script;

/// Compatibility forms made one (NFKC), upper and lower case made one, digits of any script those of ASCII; without
/// accents, vowel signs of Arabic and Hebrew, and what is not seen. Marks that tell letters apart stay: those of Indic and
/// South East Asian scripts, and of kana.
pub(super) fn folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|b| b.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => Cow::Borrowed(text),
        };
    }
    let categories = CodePointMapData::<GeneralCategory>::new();
    // Eighteen letters in one sign, and nobody's name.
    let text = text.replace('\u{fdfa}', " ");
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(&text);
    let mut folded = String::with_capacity(decomposed.len());
    for c in decomposed.chars() {
        if c.is_ascii() {
            folded.push(c.to_ascii_lowercase());
            continue;
        }
        match (one_form(c), categories.get(c)) {
            (Some(same), _) => folded.push(same),
            (None, GeneralCategory::Format) => {}
            (None, _) if is_beside(c) => {}
            (None, GeneralCategory::DecimalNumber) => folded.extend(script::digit(c)),
            // By way of the upper case, so that forms which differ only in lower case (ß, ς) become one.
            (None, _) => folded.extend(c.to_uppercase().flat_map(char::to_lowercase)),
        }
    }
    match ComposingNormalizerBorrowed::new_nfc().normalize(&folded) {
        Cow::Owned(composed) => Cow::Owned(composed),
        Cow::Borrowed(_) => Cow::Owned(folded),
    }
}

/// Letters that are typed in several ways, and what stands for a space, an apostrophe or a hyphen.
const fn one_form(c: char) -> Option<char> {
    Some(match c {
        'ہ' | 'ھ' | 'ۃ' => 'ه',
        'ڪ' => 'ك',
        // No compatibility form takes the stroke off these.
        'đ' | 'Đ' | 'ð' | 'Ð' => 'd',
        'ł' | 'Ł' => 'l',
        'ø' | 'Ø' => 'o',
        'ħ' | 'Ħ' => 'h',
        'ı' => 'i',
        // A space without width: Khmer and Thai have it between words.
        '\u{200b}' => ' ',
        '\u{2018}' | '\u{2019}' | '\u{2bc}' => '\'',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        _ => return script::one_form(c),
    })
}

/// Whether a character only stands beside letters and is left out as often as it is written.
const fn is_beside(c: char) -> bool {
    matches!(c,
        // What stretches a word in Arabic script, the end of a syllable in Tibetan, and places without a letter in Hangul.
        '\u{640}' | '\u{f0b}' | '\u{115f}' | '\u{1160}'
        // Marks of Latin, Greek and Cyrillic.
        | '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe2f}'
        // Marks of Hebrew, Arabic and Syriac.
        | '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6ed}'
        | '\u{8ca}'..='\u{8ff}' | '\u{711}' | '\u{730}'..='\u{74a}'
        | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_in_several_ways_is_one() {
        for (one, other) in [
            ("Émigré", "emigre"),
            ("Łukasz Đặng", "lukasz dang"),
            ("O’Brien", "o'brien"),
            ("İstanbul ılık", "istanbul ilik"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
            ("ｆｕｌｌ １２", "full 12"),
            ("علی‌رضا کاظمی", "عليرضا كاظمي"),
            ("مُحَـمَّد أحمد", "محمد احمد"),
            ("ہاشم", "هاشم"),
            ("ﷴ", "محمد"),
            ("दिल्ली ०१२", "दिल्ली 012"),
            ("가각", "가각"),
            ("ｼﾞｮｰｼﾞ", "ジョージ"),
            ("a\u{ad}b\u{202e}c", "abc"),
        ] {
            assert_eq!(folded(one), folded(other), "{one}");
        }
        // Marks that make another letter.
        for (one, other) in [("कि", "कु"), ("か", "が"), ("ไม่", "ไม้")] {
            assert_ne!(folded(one), folded(other), "{one}");
        }
    }
}
