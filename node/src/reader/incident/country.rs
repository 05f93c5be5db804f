//! Countries as people write them.

use std::{collections::HashMap, sync::LazyLock};

use hedgerow_protocol::vocabulary::Dimension;

/// Spellings beside the labels of the vocabulary: common short forms, former names, and the long names of
/// ISO 3166 that do not shorten to a label.
const ALIASES: &[(&str, &str)] = &[
    ("uae", "AE"),
    ("bolivia, plurinational state of", "BO"),
    ("brunei darussalam", "BN"),
    ("burma", "MM"),
    ("cape verde", "CV"),
    ("congo, democratic republic of the", "CD"),
    ("congo, the democratic republic of the", "CD"),
    ("democratic republic of the congo", "CD"),
    ("dr congo", "CD"),
    ("drc", "CD"),
    ("republic of the congo", "CG"),
    ("cote d'ivoire", "CI"),
    ("ivory coast", "CI"),
    ("czech republic", "CZ"),
    ("east timor", "TL"),
    ("great britain", "GB"),
    ("united kingdom of great britain and northern ireland", "GB"),
    ("england", "GB"),
    ("uk", "GB"),
    ("islamic republic of iran", "IR"),
    ("north korea", "KP"),
    ("dprk", "KP"),
    ("democratic people's republic of korea", "KP"),
    ("korea, democratic people's republic of", "KP"),
    ("korea (democratic people's republic of)", "KP"),
    ("south korea", "KR"),
    ("republic of korea", "KR"),
    ("korea, republic of", "KR"),
    ("korea (republic of)", "KR"),
    ("lao people's democratic republic", "LA"),
    ("republic of moldova", "MD"),
    ("macedonia", "MK"),
    ("palestinian territories", "PS"),
    ("state of palestine", "PS"),
    ("people's republic of china", "CN"),
    ("prc", "CN"),
    ("russian federation", "RU"),
    ("swaziland", "SZ"),
    ("syrian arab republic", "SY"),
    ("united republic of tanzania", "TZ"),
    ("turkey", "TR"),
    ("turkiye", "TR"),
    ("us", "US"),
    ("usa", "US"),
    ("united states of america", "US"),
    ("vatican", "VA"),
    ("vatican city", "VA"),
    ("vietnam", "VN"),
    ("unknown", "XX"),
];

/// Names that stand for several countries once their second half is cut off.
const AMBIGUOUS: &[&str] = &["congo", "korea", "saint martin", "virgin islands", "guinea"];

static NAMES: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let labels = Dimension::Region.codes().iter().map(|e| (e.label.to_lowercase(), e.code));
    labels.chain(ALIASES.iter().map(|(name, code)| ((*name).to_owned(), *code))).collect()
});

/// The code of a country by code, name or alias, in any case.
pub(super) fn code(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let upper = text.to_uppercase();
    if let Some(entry) = Dimension::Region.code(&upper).and_then(|c| Dimension::Region.entry(c)) {
        return Some(entry.code);
    }
    let name = text.to_lowercase().replace('\u{2019}', "'");
    if let Some(code) = NAMES.get(name.as_str()) {
        return Some(code);
    }
    // "Tanzania, United Republic of", "Iran (Islamic Republic of)"; but the Congos need their second half.
    let short = name.split(['(', ',']).next().map(str::trim)?;
    if short == name || AMBIGUOUS.contains(&short) {
        return None;
    }
    NAMES.get(short).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_found_as_people_write_them() {
        for (text, expected) in [
            ("ir", Some("IR")),
            (" Iran (Islamic Republic of) ", Some("IR")),
            ("Tanzania, United Republic of", Some("TZ")),
            ("Venezuela (Bolivarian Republic of)", Some("VE")),
            ("UAE", Some("AE")),
            ("Turkey", Some("TR")),
            ("Côte d’Ivoire", Some("CI")),
            ("Korea (somewhere)", None),
            ("Congo (somewhere)", None),
            ("Guinea, Equatorial", None),
            ("Congo (Democratic Republic)", Some("CD")),
            ("Atlantis", None),
            ("", None),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn every_label_and_alias_is_its_own_country() {
        for entry in Dimension::Region.codes() {
            assert_eq!(code(entry.label), Some(entry.code));
        }
        for (name, expected) in ALIASES {
            assert_eq!(code(name), Some(*expected));
        }
    }
}
