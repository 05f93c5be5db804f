use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn rows_as(bytes: &[u8], options: Options) -> Vec<Row> {
    read(bytes, options).unwrap().collect()
}

fn rows(bytes: &[u8], mapping: &str) -> Vec<Row> {
    let mapping = Some(Mapping::from_json(mapping).unwrap());
    rows_as(bytes, Options { format: Some(Format::Csv), mapping, ..Options::default() })
}

fn named(name: &str) -> Options {
    Options { name: Some(name.to_owned()), ..Options::default() }
}

fn form(row: &Row) -> &RecordForm {
    &row.result.as_ref().unwrap().form
}

fn refusal(row: &Row) -> &Rejection {
    row.result.as_ref().unwrap_err()
}

const SIMPLE: &str = r#"{"name":"simple","dates":["YYYY-MM-DD","D.M.YYYY","YYYY-MM","YYYY"],"fields":{
    "day":{"columns":["when"]},
    "tactic":{"columns":["what"],"codes":{"Phish":"T01","junk":""},"default":"T99"},
    "person":{"columns":["who"]},
    "origin":{"columns":["by"],"default":"XX"},
    "confidence":{"constant":"likely"},"basis":{"constant":"helpline"},
    "consent_statistics":{"columns":["ok"],"codes":{"ja":"yes"},"default":"no"}}}"#;

#[test]
fn a_mapping_takes_values_codes_labels_countries_dates_and_consent() {
    let file = b"when,what,who,by,ok\n2025-03-04,phish,p1,Iran,ja\n4.3.2025,Doxxing,p2,,\n\
        2024-02,t08,p3,xx,no\n2023,junk,,RU,yes\n";
    let rows = rows(file, SIMPLE);
    let seen: Vec<_> = rows.iter().map(form).collect();
    let column = |f: fn(&RecordForm) -> &str| seen.iter().map(|r| f(r)).collect::<Vec<_>>();
    assert_eq!(column(|f| &f.day), ["2025-03-04", "2025-03-04", "2024-02-15", "2023-07-01"]);
    assert_eq!(column(|f| &f.tactic), ["T01", "T08", "T08", "T99"]);
    assert_eq!(column(|f| &f.origin), ["IR", "XX", "XX", "RU"]);
    assert_eq!(column(|f| &f.confidence), ["likely", "none", "none", "likely"]);
    assert_eq!(column(|f| &f.consent_statistics), ["yes", "no", "no", "yes"]);
    assert_eq!(column(|f| &f.person)[..3], ["p1", "p2", "p3"]);
    assert!(seen[3].person.starts_with("row-"), "a row that names nobody is somebody of its own");
    assert_eq!(rows.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 3, 4, 5]);
}

#[test]
fn a_broken_row_is_rejected_with_line_and_column_and_without_its_content() {
    let file = b"when,what,who,by,ok\nsecret,T01,p,,\n2025-01-01,secret,p,,\n2025-01-01,T01,p,secret,\n\
        2025-01-01,T01,p,,secret\n,T01,p,,\n2025-01-01,T01,p\n2025-01-01,T01,p,,\n\n2025-01-01,T01,\xe9,,\n";
    let rows = rows(file, SIMPLE);
    let expected = [
        (2, Some("when"), "date"),
        (3, Some("what"), "codes"),
        (4, Some("by"), "codes"),
        (5, Some("consent_statistics"), "withdrawn"),
        (6, Some("day"), "no date"),
        (7, None, "3 cells where the header has 5"),
        (10, None, "--encoding windows-1252"),
    ];
    let refused: Vec<_> = rows.iter().filter(|r| r.result.is_err()).collect();
    assert_eq!(refused.len(), expected.len());
    for (row, (line, column, says)) in refused.into_iter().zip(expected) {
        let Rejection { column: found, reason } = refusal(row);
        assert_eq!((row.line, found.as_deref()), (line, column), "{reason}");
        assert!(reason.contains(says) && !reason.contains("secret"), "{reason}");
    }
    assert_eq!(rows.iter().filter(|r| r.result.is_ok()).count(), 1);
}

#[test]
fn a_quote_that_is_never_closed_costs_one_row() {
    let file = b"when,what,who,by,ok\n2025-01-01,T01,\"p,,\n2025-01-02,T01,p,,\n2025-01-03,T01,\"a\nb\",,\n";
    let found = rows(file, SIMPLE);
    assert_eq!(
        found.iter().map(|r| (r.line, r.result.is_ok())).collect::<Vec<_>>(),
        [(2, false), (3, true), (4, true)]
    );
    assert_eq!(form(&found[2]).person, "a\nb", "a line feed in a quoted cell is kept");
    let last = b"when,what,who,by,ok\n2025-01-02,T01,p,,\n2025-01-01,T01,\"p,,\n2025-01-02,T01,p,,";
    let found = rows(last, SIMPLE);
    assert_eq!(
        found.iter().map(|r| (r.line, r.result.is_ok())).collect::<Vec<_>>(),
        [(2, true), (3, false), (4, true)]
    );
    assert!(refusal(&found[1]).reason.contains("never closed"));
}

#[test]
fn a_file_of_quotes_is_read_in_bounded_time() {
    let file = ["when,what,who,by,ok\n".to_owned(), "x\",\"\n".repeat(400_000)].concat();
    assert!(rows(file.as_bytes(), SIMPLE).iter().all(|r| r.result.is_err()));
}

#[test]
fn equal_rows_are_kept_and_the_file_again_brings_the_same_digests() {
    let file = b"when,what,who,by,ok\n2025-01-01,T01,,,\n2025-01-01,T01,,,\n";
    let sources = |file: &[u8]| -> Vec<_> {
        rows(file, SIMPLE).into_iter().map(|r| r.result.unwrap()).map(|i| (i.source, i.form.person)).collect()
    };
    let first = sources(file);
    assert!(first[0].0 != first[1].0 && first[0].1 != first[1].1);
    let spaced = b"\xef\xbb\xbfwhen;what;who;by;ok\r\n\r\n 2025-01-01 ;\"T01\";;;\r\n2025-01-01;T01;;;";
    assert_eq!(sources(spaced), first, "how a file is written makes no other record");
}

#[test]
fn a_mapping_that_does_not_fit_says_where() {
    let with = |mapping: &str| {
        let mapping = Mapping::from_json(mapping)?;
        let headers = ["a".to_owned()];
        mapping::Plan::new(&mapping, &headers).map(|_| ())
    };
    let day = r#""day":{"columns":["A"]}"#;
    assert_eq!(
        with(&format!(r#"{{"name":"m","fields":{{{day}}}}}"#)),
        Err(MappingError::Missing(Field::Tactic))
    );
    for (tactic, says) in [
        (r#"{"columns":["b"]}"#, "no column \"b\""),
        (r#"{"constant":"T00"}"#, "\"T00\" is no code; use T01"),
        (r#"{"columns":["a"],"codes":{"x":"T00"}}"#, "T00"),
        (r#"{"flags":[{"column":"a","code":"T00"}]}"#, "T00"),
        (r#"{"column":"a"}"#, "unknown field"),
    ] {
        let error = with(&format!(r#"{{"name":"m","fields":{{{day},"tactic":{tactic}}}}}"#)).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_header_nobody_knows_gets_a_proposal_that_can_be_saved_and_used() {
    let file =
        b"Case ID,Incident date,Attack type,Suspected state,Country,Name\n7,2025-01-02,T04,IR,Germany,n\n";
    let Err(ReadError::NoMapping { proposed }) = read(&file[..], named("a.csv")) else { panic!("known") };
    let field = |f| proposed.fields.get(&f).and_then(|s| s.columns.first()).map(String::as_str);
    assert_eq!(field(Field::Day), Some("Incident date"));
    assert_eq!(field(Field::Tactic), Some("Attack type"));
    assert_eq!(field(Field::Origin), Some("Suspected state"));
    assert_eq!(field(Field::Region), Some("Country"));
    assert_eq!(field(Field::Reference), Some("Case ID"));
    let saved = Mapping::from_json(&proposed.to_json()).unwrap();
    assert_eq!(saved, *proposed);
    let found = rows_as(file, Options { mapping: Some(saved), ..named("a.csv") });
    let form = form(&found[0]);
    assert_eq!((&*form.region, &*form.origin, &*form.confidence), ("DE", "IR", "suspected"));
    assert_eq!(form.consent_statistics, "no", "a proposal never consents for anyone");
}

const VCDB: &str = "year,victim.state,action.Malware,action.Hacking,action.Social,action.Physical,action.Misuse,\
    action.Error,action.Environmental,action.Unknown,victim.industry.name,pattern\n";

#[test]
fn published_sets_are_known_by_their_columns() {
    let file = format!(
        "{VCDB}2010,NY,1,1,1,0,0,1,0,0,Public ,Crimeware\n1971,NA,0,1,0,0,0,0,0,0,,Denial of Service\n\
         2010,LV,0,1,0,0,0,0,0,0,,Crimeware\n"
    );
    let mut reader = read(file.as_bytes(), named("v.csv")).unwrap();
    assert_eq!((reader.format(), reader.mapping()), (Format::Csv, Some("vcdb")));
    let found: Vec<_> = reader.by_ref().collect();
    let (first, second) = (form(&found[0]), form(&found[1]));
    assert_eq!((&*first.tactic, &*first.region, &*first.day), ("T05", "US", "2010-07-01"));
    assert_eq!(first.secondary, ["T01", "T19"]);
    assert_eq!((&*second.tactic, &*second.region, &*second.harm), ("T16", "XX", "none"));
    assert_eq!((&*form(&found[2]).region, &*first.harm), ("XX", "data-exposed"), "LV is no Latvia here");
    assert_eq!(second.consent_statistics, "yes");

    let pegasus =
        b"role,occurred,disclosed,attack_result,attack_vector,exploit_name,first_activity,operator\n\
        Activist,2019; 2020,2020-12-20,Attempted; Successful,SMS; MITM,,,Mexico; El Salvador\n\
        ,,2020-12-20,Attempted,,,2019-04-xx,\n";
    let found = rows_as(pegasus, Options::default());
    let (first, second) = (form(&found[0]), form(&found[1]));
    assert_eq!((&*first.day, &*first.origin, &*first.confidence), ("2019-07-01", "MX", "suspected"));
    assert_eq!((&*first.platform, &*first.harm), ("phone", "device-compromised"));
    assert_eq!((&*second.day, &*second.origin, &*second.basis), ("2019-04-15", "XX", "none"));

    let keepiton = b"A note, with a comma,,,,,,,,,\nID,start_date,country ,State/India ,ordered_by ,gov_ack,\
        Facebook_affected,Twitter_affected,WhatsApp_affected,Instagram_affected,Telegram_affected,SMS_affected\n\
        1,6/18/2020,India ,,Local government,Yes ,No,Yes,No,No,No,No\n\
        2,6/19/2020,Viet Nam,,Unknown,No,No,No,No,No,No,No\n";
    let found = rows_as(keepiton, Options::default());
    let (first, second) = (form(&found[0]), form(&found[1]));
    assert_eq!((&*first.day, &*first.origin, &*first.confidence), ("2020-06-18", "IN", "likely"));
    assert_eq!((&*first.platform, &*second.platform), ("x", "other"));
    assert_eq!((&*second.origin, &*second.region, found[1].line), ("XX", "VN", 4));
}

#[test]
fn what_is_assumed_of_consent_goes_before_the_file() {
    let file = format!("{VCDB}2010,NY,1,1,1,0,0,1,0,0,Public ,Crimeware\n");
    let assume = |consent: &str| Options { assume_consent: Some(consent.to_owned()), ..Options::default() };
    assert_eq!(form(&rows_as(file.as_bytes(), assume("no"))[0]).consent_statistics, "no");
    assert!(matches!(read(file.as_bytes(), assume("maybe")), Err(ReadError::Consent)));
}

const INCIDENT: &str = r#"{"incident_id":"i1","summary":"a } and \" }} in a text {",
 "action":{"hacking":{"variety":["DoS"]},"malware":{}},
 "actor":{"external":{"country":["Unknown","CN"]}},"victim":{"country":["US"],"state":"NY"},
 "timeline":{"incident":{"year":2014,"month":5}}}"#;

#[test]
fn veris_comes_alone_in_an_array_or_by_the_line() {
    let flat = INCIDENT.replace('\n', "");
    let broken = r#"{"action":{"error":{}},"timeline":{"incident":{"year":"secret"}}}"#;
    for file in [
        INCIDENT.to_owned(),
        format!("[{INCIDENT},\n{broken}, 7,\n{INCIDENT}]"),
        format!("{flat}\n{broken}\n\n7\n{{\n{flat}\n"),
    ] {
        let found = rows_as(file.as_bytes(), named("v.json"));
        let good: Vec<_> = found.iter().filter(|r| r.result.is_ok()).collect();
        assert!(found.len() == 1 || good.len() == 2, "{found:?}");
        for row in good {
            let form = form(row);
            assert_eq!((&*form.day, &*form.tactic, &*form.origin), ("2014-05-15", "T16", "CN"));
            assert_eq!((&*form.region, &*form.subdivision), ("US", "NY"));
            assert_eq!(form.secondary, ["T05"]);
            assert_eq!(form.consent_statistics, "no");
        }
        for row in found.iter().filter(|r| r.result.is_err()) {
            assert!(!refusal(row).reason.contains("secret"));
        }
    }
    let cut = rows_as(format!("[{INCIDENT},{{\"a\":").as_bytes(), named("v.json"));
    assert_eq!(cut.len(), 2);
    assert!(refusal(&cut[1]).reason.contains("nothing from here on"));
}

#[test]
fn json_lines_name_the_field_and_never_the_value() {
    let good = r#"{"day":"2025-01-02","tactic":"T04","person":"p"}"#;
    let file = format!(
        "{good}\n{}\n{}\n{}\n{}\n{{\n{}\n",
        r#"{"day":"2025-01-02","tactic":"secret","person":"p"}"#,
        r#"{"day":"2025-01-02","tactic":"T04"}"#,
        r#"{"secret":1,"day":"2025-01-02","tactic":"T04","person":"p"}"#,
        r#"{"day":"2025-01-02","tactic":"T04","person":"p","money_lost":"secret"}"#,
        r#"{ "tactic":"T04","person":"p","day":"2025-01-02"}"#,
    );
    let mut reader = read(file.as_bytes(), named("x.jsonl")).unwrap();
    assert_eq!(reader.format(), Format::JsonLines);
    let found: Vec<_> = reader.by_ref().collect();
    assert_eq!(
        found.iter().map(|r| r.result.is_ok()).collect::<Vec<_>>(),
        [true, false, false, false, false, false, true]
    );
    assert_eq!(found.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    let columns: Vec<_> = found[1..6].iter().map(|r| refusal(r).column.as_deref()).collect();
    assert_eq!(columns, [Some("tactic"), Some("person"), None, None, None]);
    assert!(found[1..6].iter().all(|r| !refusal(r).reason.contains("secret")));
    assert_eq!(form(&found[0]), form(&found[6]));
    let source = |line: &str| rows_as(line.as_bytes(), named("x.jsonl"))[0].result.as_ref().unwrap().source;
    let lines: Vec<_> = file.lines().collect();
    assert_eq!(source(lines[0]), source(lines[6]), "the order of fields makes no other record");
    assert_ne!(found[0].result.as_ref().unwrap().source, found[6].result.as_ref().unwrap().source);
}

proptest! {
    #[test]
    fn no_bytes_break_a_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400), name in "(a.csv|a.json|a.jsonl)") {
        let start = if name.ends_with("csv") { VCDB } else { "" };
        let mut file = start.as_bytes().to_vec();
        file.extend(bytes);
        if let Ok(reader) = read(file.as_slice(), named(&name)) {
            prop_assert!(reader.count() <= file.len());
        }
    }

    #[test]
    fn every_row_of_a_file_is_accounted_for_whatever_its_cells_hold(
        cells in proptest::collection::vec("[a-z\"\n,é]{0,8}", 1..20),
    ) {
        let quoted = |c: &String| format!("2025-01-01,T01,\"p{}\",,\n", c.replace('"', "\"\""));
        let file = ["when,what,who,by,ok\n".to_owned(), cells.iter().map(quoted).collect()].concat();
        let found = rows(file.as_bytes(), SIMPLE);
        prop_assert_eq!(found.len(), cells.len());
        for (row, cell) in found.iter().zip(&cells) {
            let person = format!("p{cell}");
            prop_assert_eq!(form(row).person.as_str(), person.trim());
        }
    }
}

#[test]
fn the_examples_of_the_documentation_are_read() {
    let page = include_str!("../../../../docs/records.md");
    let examples: Vec<_> =
        page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [record, mapping] = examples[..] else { panic!("two examples") };
    assert!(rows_as(record.as_bytes(), named("x.jsonl"))[0].result.is_ok());
    let file = b"Date of incident;Reported;Type;Doxxed;State;Went to police;Client;Consent\n\
        ;4.3.2025;pegasus;YES;Iran/Iraq;x;c1;Ja\n";
    let found = rows(file, mapping);
    let form = form(&found[0]);
    assert_eq!((&*form.tactic, &*form.origin, &*form.consent_statistics), ("T04", "IR", "yes"));
    assert_eq!((&*form.secondary[0], &*form.help[0].institution), ("T08", "police"));
}

#[test]
fn a_header_that_is_no_row_says_what_to_do() {
    for file in [&b"when,what\r2025-01-01,T01\r"[..], b"\"when,\nwhat\n2025-01-01,T01\n"] {
        assert!(matches!(read(file, named("a.csv")), Err(ReadError::Header)));
    }
}

#[test]
fn real_files_go_in_whole() {
    let Some(folder) = std::env::var_os("HEDGEROW_REAL_DATA").map(PathBuf::from) else {
        println!("skipped: HEDGEROW_REAL_DATA names no folder with incidents/");
        return;
    };
    for (file, mapping, expected) in [
        ("vcdb_5701_coded.csv", "vcdb", 5701),
        ("granitt-pegasus-victims.noname.csv", "pegasus", 129),
        ("KeepItOn-STOP-Data-2020.csv", "keepiton", 155),
    ] {
        let read_all = || {
            let input = std::fs::File::open(folder.join("incidents").join(file)).unwrap();
            let reader = read(input, named(file)).unwrap();
            assert_eq!(reader.mapping(), Some(mapping));
            reader.collect::<Vec<_>>()
        };
        let found = read_all();
        for row in found.iter().filter(|r| r.result.is_err()) {
            println!("{file} line {}: {:?}", row.line, refusal(row));
        }
        assert_eq!(found.len(), expected, "{file}: every row is accounted for");
        assert!(found.iter().all(|r| r.result.is_ok()), "{file}");
        let sources: std::collections::HashSet<_> =
            found.iter().map(|r| r.result.as_ref().unwrap().source).collect();
        assert_eq!(sources.len(), expected, "{file}: equal rows are kept");
        assert_eq!(read_all(), found, "{file}: read again, it brings nothing new");
    }
}
