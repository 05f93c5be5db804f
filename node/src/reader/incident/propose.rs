//! A first mapping for a header that no built-in mapping knows.

use std::collections::BTreeMap;

use super::mapping::{DateFormat, Field, Mapping, Source, normal};

/// Words in column names, and the field they speak of; the first that fits a column takes it.
const HINTS: &[(Field, &[&str])] = &[
    (Field::Day, &["day", "date", "occurred", "year", "when"]),
    (Field::Tactic, &["tactic", "attack_type", "incident_type", "threat", "category"]),
    (Field::Role, &["role", "profession", "occupation", "target_type"]),
    (Field::Origin, &["origin", "perpetrator", "operator", "suspected_state"]),
    (Field::Confidence, &["confidence"]),
    (Field::Basis, &["basis"]),
    (Field::Platform, &["platform", "channel", "attack_vector", "service"]),
    (Field::Harm, &["harm", "impact"]),
    (Field::Region, &["region", "country", "residence"]),
    (Field::Phase, &["phase"]),
    (Field::ConsentStatistics, &["consent_statistics", "consent"]),
    (Field::Person, &["person", "pseudonym", "client_id", "victim_id"]),
    (Field::Reference, &["reference", "case_id", "case_number", "ticket"]),
    (Field::Language, &["language"]),
    (Field::Narrative, &["narrative", "description", "summary"]),
    (Field::Notes, &["notes", "comment"]),
];

/// A first mapping for a header, to be looked at and edited: by the names of the columns, with defaults for
/// what no column seems to speak of. Consent is stated, and stays no until someone who knows says otherwise.
pub fn propose(headers: &[String]) -> Mapping {
    let mut fields = BTreeMap::new();
    let mut taken = Vec::new();
    for (field, words) in HINTS {
        let normals = headers.iter().map(|h| normal(h).replace([' ', '-', '.'], "_"));
        let fits = |exact: bool| {
            let mut free = normals.clone().zip(headers).filter(|(_, h)| !taken.contains(h));
            free.find(|(n, _)| words.iter().any(|w| if exact { n == w } else { n.contains(w) }))
        };
        if let Some((_, header)) = fits(true).or_else(|| fits(false)) {
            taken.push(header);
            fields.insert(*field, Source::columns(&[header.trim()]));
        }
    }
    let flags: Vec<_> = headers.iter().filter_map(|h| super::builtin::veris_flag(h)).collect();
    let defaults = [("T99", Field::Tactic), ("unknown", Field::Role), ("XX", Field::Region)];
    for (code, field) in defaults.into_iter().chain([("no", Field::ConsentStatistics)]) {
        fields.entry(field).or_insert_with(Source::default).default = Some(code.to_owned());
    }
    fields.entry(Field::Tactic).and_modify(|tactic| tactic.flags = flags);
    fields.entry(Field::Role).and_modify(|role| role.other = Some("other".to_owned()));
    if fields.contains_key(&Field::Origin) {
        // An origin needs both; the weakest of each is what a column alone supports.
        fields.entry(Field::Confidence).or_insert_with(|| Source::constant("suspected"));
        fields.entry(Field::Basis).or_insert_with(|| Source::constant("victim"));
    }
    let dates = [DateFormat::Iso, DateFormat::Month, DateFormat::Year].to_vec();
    fields.entry(Field::Day).or_default();
    Mapping { name: "proposed".to_owned(), skip_lines: 0, delimiter: None, dates, fields }
}
