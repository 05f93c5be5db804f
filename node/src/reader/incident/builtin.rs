//! Mappings of published data sets, known by their columns.
//!
//! Each says `yes` to statistics: these sets are public, coded by their publishers, and name no person in the
//! columns read here, so there is nobody whose consent is overridden. A file must have every column of a mapping
//! to be taken for its set; whoever keeps own cases in such columns names a mapping of their own.

use std::sync::LazyLock;

use super::mapping::{DateFormat, Field, Flag, Mapping, Source, Test, normal};

/// The names of the built-in mappings.
pub const BUILT_IN: &[&str] = &["vcdb", "pegasus", "keepiton"];

/// What a VERIS action means in our tactics, in the order in which one is taken for the primary one.
///
/// VERIS 1.4 knows what kind of act breached an organisation, not what was done to a person, so the nearest
/// tactic stands for it: social is mostly phishing, physical mostly theft of devices, hacking and misuse end
/// in a breach of the group's data; errors and accidents are nobody's tactic.
pub(super) const VERIS_ACTIONS: &[(&str, &str)] = &[
    ("malware", "T05"),
    ("social", "T01"),
    ("hacking", "T19"),
    ("misuse", "T19"),
    ("physical", "T07"),
    ("error", "T99"),
    ("environmental", "T99"),
    ("unknown", "T99"),
];

/// The flag of a column named `action.…`.
pub(super) fn veris_flag(header: &str) -> Option<Flag> {
    let name = normal(header);
    let action = name.strip_prefix("action.")?;
    let (_, code) = VERIS_ACTIONS.iter().find(|(a, _)| *a == action)?;
    Some(flag(header.trim(), code))
}

fn flag(column: &str, code: &str) -> Flag {
    let equals = ["1", "true", "yes", "x"].map(str::to_owned).to_vec();
    Flag { column: column.to_owned(), equals, code: code.to_owned() }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|t| (*t).to_owned()).collect()
}

fn coded(columns: &[&str], codes: &[(&str, &str)]) -> Source {
    let codes = codes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Source { codes, ..Source::columns(columns) }
}

fn or(source: Source, other: &str, default: &str) -> Source {
    Source { other: Some(other.to_owned()), default: Some(default.to_owned()), ..source }
}

fn mapping(name: &str, skip_lines: u64, dates: &[DateFormat], fields: Vec<(Field, Source)>) -> Mapping {
    let mut fields: std::collections::BTreeMap<_, _> = fields.into_iter().collect();
    fields.insert(Field::ConsentStatistics, Source::constant("yes"));
    Mapping { name: name.to_owned(), skip_lines, delimiter: None, dates: dates.to_vec(), fields }
}

/// VERIS Community Database, flattened: one flag a kind of action, the victim's state of the United States.
fn vcdb() -> Mapping {
    let mut flags = vec![Flag { equals: texts(&["denial of service"]), ..flag("pattern", "T16") }];
    let columns = ["Malware", "Social", "Hacking", "Misuse", "Physical", "Error", "Environmental", "Unknown"];
    flags.extend(columns.iter().filter_map(|c| veris_flag(&format!("action.{c}"))));
    let tactic = Source { flags, default: Some("T99".to_owned()), ..Source::default() };
    // The secondary tactics say what else was set; "other or unknown" beside a known one says nothing.
    let known = tactic.flags.iter().filter(|f| f.code != "T99").cloned().collect();
    let secondary = Source { flags: known, ..Source::default() };
    // Subdivisions of the United States (ISO 3166-2:US); the column has a few of other countries, and errors.
    let states = "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM \
                  NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC D.C. AS GU MP PR VI";
    let provinces = "AB BC MB NB NL NS NT NU ON PE QC SK YT";
    let region = states.split(' ').map(|s| (s, "US")).chain(provinces.split(' ').map(|s| (s, "CA")));
    // Namibia's code is also "not available", which is what it means in this column.
    let region: Vec<_> = region.chain([("NA", "XX"), ("NSW", "AU")]).collect();
    // Two letters that happen to be a country's code are none here: nobody wrote countries in this column.
    let region = Source { only_codes: true, ..or(coded(&["victim.state"], &region), "XX", "XX") };
    // The set is of breaches; the pattern that breaches nothing has no harm of ours.
    let unless = Some(Test { column: "pattern".to_owned(), equals: texts(&["denial of service"]) });
    let harm = Source { unless, default: Some("none".to_owned()), ..Source::constant("data-exposed") };
    mapping(
        "vcdb",
        0,
        &[DateFormat::Year],
        vec![
            (Field::Day, Source::columns(&["year"])),
            (Field::Tactic, tactic),
            (Field::Secondary, secondary),
            (Field::Role, Source::constant("organisation")),
            (Field::Region, region),
            (Field::Harm, harm),
            (Field::Subdivision, coded(&["victim.state"], &[("NA", "")])),
            (Field::Notes, Source::columns(&["victim.industry.name"])),
        ],
    )
}

/// Published targets of mercenary spyware; `operator` is the suspected state.
fn pegasus() -> Mapping {
    let several = |source: Source| Source { separator: Some(";".to_owned()), ..source };
    let roles = [
        ("journalist", "journalist"),
        ("activist", "human-rights-defender"),
        ("lawyer", "lawyer"),
        ("staff", "ngo-staff"),
        ("politician", "opposition"),
        ("family", "relative"),
        ("academic", "academic"),
        ("clergy", "minority-leader"),
        ("actor", "artist"),
        ("group", "organisation"),
    ];
    let vectors = [
        ("zero-click", "device"),
        ("sms", "phone"),
        ("whatsapp", "whatsapp"),
        ("link via whatsapp", "whatsapp"),
        ("link on twitter", "x"),
        ("mitm", "device"),
    ];
    let named = |code: &str| {
        let unless = Some(Test { column: "operator".to_owned(), equals: texts(&[""]) });
        Source { unless, default: Some("none".to_owned()), ..Source::constant(code) }
    };
    // Some rows hold several results; a compromise among them is what happened to the person.
    let compromised = ["successful", "attempted; successful", "attempted; successful; successful"]
        .map(|v| (v, "device-compromised"));
    let harm: Vec<_> = compromised.into_iter().chain([("attempted", "none")]).collect();
    mapping(
        "pegasus",
        0,
        &[DateFormat::Iso, DateFormat::Month, DateFormat::Year],
        vec![
            // The day of disclosure where nothing else is known.
            (Field::Day, several(Source::columns(&["first_activity", "occurred", "disclosed"]))),
            (Field::Tactic, Source::constant("T04")),
            (Field::Role, or(coded(&["role"], &roles), "other", "unknown")),
            (
                Field::Origin,
                Source { default: Some("XX".to_owned()), ..several(Source::columns(&["operator"])) },
            ),
            (Field::Confidence, named("suspected")),
            (Field::Basis, named("forensic-lab")),
            (Field::Platform, or(several(coded(&["attack_vector"], &vectors)), "other", "other")),
            (Field::Harm, Source { default: Some("none".to_owned()), ..coded(&["attack_result"], &harm) }),
            (Field::Notes, Source::columns(&["exploit_name"])),
        ],
    )
}

/// Internet shutdowns recorded by the #KeepItOn coalition: a note, then the header.
fn keepiton() -> Mapping {
    let orderers = ["", "unknown", "non-government"];
    let ordered = |source: Source, default: &str| {
        let unless = Some(Test { column: "ordered_by".to_owned(), equals: texts(&orderers) });
        Source { unless, default: Some(default.to_owned()), ..source }
    };
    let affected = ["Facebook", "Twitter", "WhatsApp", "Instagram", "Telegram", "SMS"];
    let codes = ["meta", "x", "whatsapp", "meta", "telegram", "phone"];
    let flags = affected.iter().zip(codes).map(|(name, code)| flag(&format!("{name}_affected"), code));
    let platform = Source { flags: flags.collect(), default: Some("other".to_owned()), ..Source::default() };
    let confidence = or(coded(&["gov_ack"], &[("yes", "likely")]), "suspected", "suspected");
    mapping(
        "keepiton",
        1,
        &[DateFormat::MonthFirst],
        vec![
            (Field::Day, Source::columns(&["start_date"])),
            // The nearest tactic: a network or service made unreachable.
            (Field::Tactic, Source::constant("T16")),
            (Field::Role, Source::constant("other")),
            (Field::Region, Source::columns(&["country"])),
            // Nobody's government is suspected of what nobody, or no government, is known to have ordered.
            (Field::Origin, ordered(Source::columns(&["country"]), "XX")),
            (Field::Confidence, ordered(confidence, "none")),
            // The coalition records what its members and the helpline of its coordinator report.
            (Field::Basis, ordered(Source::constant("helpline"), "none")),
            (Field::Platform, platform),
            (Field::Subdivision, Source::columns(&["State/India"])),
            (Field::Reference, Source::columns(&["ID"])),
        ],
    )
}

static ALL: LazyLock<Vec<Mapping>> = LazyLock::new(|| vec![vcdb(), pegasus(), keepiton()]);

/// The built-in mapping of that name.
pub fn built_in(name: &str) -> Option<&'static Mapping> {
    ALL.iter().find(|m| m.name == name)
}

/// The built-in mapping whose every column `headers` has, being line `place` (from 0) of the file.
pub(super) fn known(headers: &[String], place: u64) -> Option<&'static Mapping> {
    ALL.iter().find(|m| m.skip_lines == place && super::mapping::Plan::new(m, headers).is_ok())
}
