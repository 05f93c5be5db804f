//! What has to be known of scripts to find a word that was typed in another way.

use icu_properties::{
    CodePointMapData,
    props::{GeneralCategory, Script},
};

/// Whether a character is of a script that puts no spaces between words.
pub fn is_dense(c: char) -> bool {
    if c.is_ascii() {
        return false;
    }
    matches!(
        CodePointMapData::<Script>::new().get(c),
        Script::Han
            | Script::Hiragana
            | Script::Katakana
            | Script::Thai
            | Script::Lao
            | Script::Khmer
            | Script::Myanmar
            | Script::Tibetan
    )
}

/// The one form of a letter of Arabic script that is typed in several ways, by Persian keyboards and Arabic ones.
pub const fn one_form(c: char) -> Option<char> {
    Some(match c {
        'ی' | 'ى' => 'ي',
        'ک' => 'ك',
        'ة' | 'ە' => 'ه',
        _ => return None,
    })
}

/// The value of a decimal digit of any script.
pub fn digit(c: char) -> Option<char> {
    if c.is_ascii() {
        return c.is_ascii_digit().then_some(c);
    }
    let categories = CodePointMapData::<GeneralCategory>::new();
    let is_digit = |point: u32| categories.get32(point) == GeneralCategory::DecimalNumber;
    let point = u32::from(c);
    if !is_digit(point) {
        return None;
    }
    // Unicode has the digits of a script in a row from zero to nine, and some such rows one after the other.
    let before = (1..=50).take_while(|back| point.checked_sub(*back).is_some_and(is_digit)).count();
    char::from_digit(u32::try_from(before).ok()? % 10, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_of_any_script_has_its_value() {
        for digits in
            ["0123456789", "۰۱۲۳۴۵۶۷۸۹", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "๐๑๒๓๔๕๖๗๘๙", "０１２３４５６７８９"]
        {
            assert_eq!(digits.chars().filter_map(digit).collect::<String>(), "0123456789", "{digits}");
        }
        // Five rows of mathematical digits follow each other.
        assert_eq!(('\u{1d7ce}'..='\u{1d7ff}').filter_map(digit).collect::<String>(), "0123456789".repeat(5));
        assert_eq!((digit('x'), digit('一'), digit('½'), digit('²')), (None, None, None, None));
    }
}
