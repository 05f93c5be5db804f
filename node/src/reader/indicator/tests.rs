//! Small files of our own in every shape, and the public sets where HEDGEROW_REAL_DATA names them.

use std::{env, fs, path::Path};

use hedgerow_protocol::indicator::{Instant, Tlp};

use super::*;

fn at() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn rows(text: &str) -> Vec<String> {
    read(text.as_bytes(), None, at())
        .unwrap()
        .into_iter()
        .map(|row| match row.result {
            Ok(object) => object.pattern().map_or_else(|| object.kind().to_owned(), |p| p.key()),
            Err(reason) => format!("{}: {reason}", row.line),
        })
        .collect()
}

#[test]
fn a_file_of_too_many_lines_is_refused_before_they_become_rows() {
    let lines = "\n".repeat(MOST_LINES);
    assert_eq!(read(lines.as_bytes(), Some(Format::List), at()), Ok(vec![]));
    for format in [Format::List, Format::Text, Format::Csv] {
        assert_eq!(read(format!("{lines}\n").as_bytes(), Some(format), at()), Err(ReadError::TooLong));
    }
}

#[test]
fn a_list_is_read_line_by_line() {
    assert_eq!(
        rows("# a comment\nevil.example\n\nhxxp://a[.]example/x\nnot a value\n192.0.2.7\n"),
        [
            "domain evil.example",
            "url http://a.example/x",
            "5: this is no domain, URL, address, hash or other kind that is known; name its kind",
            "ipv4 192.0.2.7",
        ]
    );
    assert_eq!(rows("roleaboutd\nmsgacntd\n"), ["process roleaboutd", "process msgacntd"]);
}

#[test]
fn a_table_with_a_type_column_is_read_by_it() {
    let text = "uuid,type,value,comment\n1,domain,\"evil.example\",c2\n2,whois-registrant-email,a@b.example,\n\
                3,ip-dst,192.0.2.7,\n4,filename|md5,a.exe|d41d8cd98f00b204e9800998ecf8427e,\n5,md5,xyz,\n6,domain\n";
    assert_eq!(
        rows(text),
        [
            "domain evil.example",
            "3: values of this type are about people and are not taken",
            "ipv4 192.0.2.7",
            "md5 d41d8cd98f00b204e9800998ecf8427e",
            "6: this is not a hash of that kind in hexadecimal",
            "7: the row has 2 fields where the header has 4",
        ]
    );
}

#[test]
fn a_table_of_kinds_gives_one_indicator_a_row() {
    let text = "domain_name,ip_address\nevil.example,192.0.2.7\n,192.0.2.8\n,\n";
    assert_eq!(
        rows(text),
        ["domain evil.example", "ipv4 192.0.2.8", "4: every column that is known is empty"]
    );
    let first = &read(text.as_bytes(), None, at()).unwrap()[0];
    let words: Vec<_> = first.result.as_ref().unwrap().words().map(str::to_owned).collect();
    assert_eq!(words, ["seen with ipv4 192.0.2.7"]);
}

#[test]
fn lines_are_counted_as_an_editor_counts_them() {
    for end in ["\n", "\r\n"] {
        let text = ["type,value", "domain,nodot", "", "domain,\"a", "b\"", "domain,nodot", ""].join(end);
        let lines: Vec<u64> = read(text.as_bytes(), None, at()).unwrap().iter().map(|r| r.line).collect();
        assert_eq!(lines, [2, 4, 6], "{end:?}");
    }
}

#[test]
fn a_bundle_is_read_with_its_context() {
    let text = r#"{"type":"bundle","id":"bundle--1","objects":[
        {"type":"malware","id":"malware--0b0e5d2c-1c9c-4f7d-8f3e-0a7a3c8a4f10","created":"2025-01-02T03:04:05Z",
         "modified":"2025-01-02T03:04:05Z","name":"X","is_family":false},
        {"type":"indicator","id":"indicator--0b0e5d2c-1c9c-4f7d-8f3e-0a7a3c8a4f11","created":"2025-01-02T03:04:05Z",
         "modified":"2025-01-02T03:04:05Z","pattern":"[domain-name:value='evil.example']","pattern_type":"stix",
         "valid_from":"2025-01-02T03:04:05Z"},
        {"type":"indicator"}, 7]}"#;
    assert_eq!(
        rows(text),
        ["malware", "domain evil.example", "3: id is missing or not text", "4: this is not a STIX object"]
    );
    assert!(matches!(read(b"{\"type\":\"report\"}", None, at()), Err(ReadError::Bundle(_))));
    assert!(matches!(read(b"{\"type\":", None, at()), Err(ReadError::Bundle(_))));
}

#[test]
fn a_misp_event_is_read_attribute_by_attribute_and_only_what_is_for_detection_is_taken() {
    let text = r#"{"Event":{"info":"Made up","Tag":[{"name":"tlp:green"}],"Attribute":[
        {"type":"domain","value":"evil[.]example","to_ids":true,"timestamp":"1700000000","comment":"c2"},
        {"type":"link","value":"https://report.example/1","to_ids":false},
        {"type":"whois-registrant-email","value":"a@b.example","to_ids":true},
        {"type":"md5","value":"d41d8cd98f00b204e9800998ecf8427e","to_ids":true,"deleted":true},
        {"type":"ip-dst|port","value":"192.0.2.7|443","to_ids":"1"},
        {"type":"yara","value":"rule x {}","to_ids":true}],
       "Object":[{"name":"file","Attribute":[
        {"type":"filename|md5","value":"a.exe|d41d8cd98f00b204e9800998ecf8427e","to_ids":true,
         "Tag":[{"name":"TLP:AMBER"}]},
        {"type":"twitter-id","value":"@Some_One","to_ids":true}]}]}}"#;
    assert_eq!(
        rows(text),
        [
            "domain evil.example",
            "2: the attribute is context, not marked for detection (to_ids)",
            "3: values of this type are about people and are not taken",
            "4: the attribute was deleted",
            "ipv4 192.0.2.7",
            "6: values of type yara are not taken",
            "md5 d41d8cd98f00b204e9800998ecf8427e",
            "persona twitter:some_one",
        ]
    );
    let objects: Vec<_> =
        read(text.as_bytes(), None, at()).unwrap().into_iter().filter_map(|r| r.result.ok()).collect();
    let labels: Vec<_> = objects.iter().map(|o| o.tlp().unwrap().to_string()).collect();
    assert_eq!(labels, ["green", "green", "amber", "green"], "the stricter of event and attribute");
    assert_eq!(objects[0].created().to_string(), "2023-11-14T22:13:20.000Z");
    assert_eq!(objects[0].words().collect::<Vec<_>>(), ["Made up", "c2"]);
    let search = format!("{{\"response\":[{text},{text}]}}");
    assert_eq!(rows(&search).len(), 16);
    assert_eq!(rows(&format!("[{text},{text}]")).len(), 16);
    assert!(matches!(read(b"{\"response\":[{}]}", None, at()), Err(ReadError::Misp(_))));
}

#[test]
fn a_feed_is_read_by_its_manifest_which_names_nothing_but_events() {
    let dir = tempfile::tempdir().unwrap();
    let uuid = "5bb277a3-277c-4cc9-a7d0-4c668064ab0b";
    let event =
        r#"{"Event":{"info":"x","Attribute":[{"type":"domain","value":"evil.example","to_ids":true}]}}"#;
    fs::write(dir.path().join(format!("{uuid}.json")), event).unwrap();
    let manifest = |text: String| fs::write(dir.path().join("manifest.json"), text).unwrap();
    manifest(format!(r#"{{"{uuid}":{{"info":"x","timestamp":"1"}}}}"#));
    let feed = read_feed(dir.path(), at()).unwrap();
    assert_eq!((feed.len(), feed[0].line), (1, 1));
    let head = r#"{"info":"x","timestamp":"1"}"#;
    let named = |name: &str| format!(r#"{{"{name}":{head}}}"#);
    let absent = "5bb277a3-277c-4cc9-a7d0-4c668064ab0c";
    let no_head = format!(r#"{{"{uuid}":{{}}}}"#);
    for bad in [named("../manifest"), named(absent), no_head, "[]".into(), "{".into()] {
        manifest(bad.clone());
        assert!(matches!(read_feed(dir.path(), at()), Err(ReadError::Misp(_))), "{bad}");
    }
}

#[test]
fn indicators_are_found_in_a_report_and_its_links_to_others_are_not() {
    let report = "The messages led to hxxps://Login.evil[.]example/a?b=1, and (later) to evil2[.]example.\n\
                  See https://report.example/earlier for more, or write to press@report.example.\n\
                  The file agent.exe (SHA-256: E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855)\n\
                  spoke with 192.0.78[.]24; again hxxps://login.evil[.]example/a?b=1. The sender was\n\
                  \"someone[at]evil[.]example\".\n";
    assert_eq!(
        rows(report),
        [
            "url https://login.evil.example/a?b=1",
            "domain evil2.example",
            "2: it stands here as a plain address where others are defanged: a list takes it",
            "2: it stands here as a plain address where others are defanged: a list takes it",
            "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "ipv4 192.0.78.24",
            "email someone@evil.example",
        ]
    );
    let plain = "We saw evil.example and http://192.0.78.24/x in the logs of that day.\n\
                 The file was setup.exe, i.e. not the one of version 12.4 we had known before.\n";
    assert_eq!(rows(plain), ["domain evil.example", "url http://192.0.78.24/x"]);
}

#[test]
fn a_table_of_an_influence_operation_names_campaigns_phases_and_counts() {
    let text = "type,value,campaign,phase,posts\npersona,x:@Some_One,Made Up,amplification,\"1,204\"\n\
                page,facebook:a.page,Made Up,,\nhashtag,#Free,Made Up,uptake,7\npersona,nobody,Made Up,,\n\
                channel,telegram:c,Made Up,soon,\n";
    assert_eq!(
        rows(text),
        [
            "persona twitter:some_one",
            "page facebook:a.page",
            "hashtag free",
            "5: an account is written platform:name, such as twitter:someone",
            "6: the phase is none of theft, dump, amplification, uptake",
        ]
    );
    let read = read(text.as_bytes(), None, at()).unwrap();
    assert_eq!(
        (read[0].campaign.as_deref(), read[0].seen, read[1].seen),
        (Some("Made Up"), Some(1204), None)
    );
    let phase = |row: &Row| row.result.as_ref().unwrap().get("kill_chain_phases").unwrap()[0].clone();
    let phase = phase(&read[0]);
    assert_eq!(
        (&phase["kill_chain_name"], &phase["phase_name"]),
        (&"hedgerow-influence-operation".into(), &"amplification".into())
    );
}

#[test]
fn a_file_in_another_encoding_is_named_with_its_line() {
    assert_eq!(read(b"evil.example\nb\xfccher.example\n", None, at()), Err(ReadError::Encoding(2)));
}

/// Every public file of indicators, row by row: what is read is taken or rejected with a reason.
#[test]
fn every_row_of_the_public_sets_is_accounted_for() {
    let Some(root) = env::var_os("HEDGEROW_REAL_DATA") else {
        println!("skipped: HEDGEROW_REAL_DATA is not set, only our own small files were read");
        return;
    };
    let root = Path::new(&root).join("indicators");
    let mut wrong = Vec::new();
    // File, indicators read, of them rejected.
    for (file, read_rows, rejected) in [
        ("AmnestyTech+investigations/2021-07-18_nso/pegasus.stix2", 1549, 0),
        ("AmnestyTech+investigations/2021-12-16_cytrox/cytrox.stix2", 343, 0),
        ("AmnestyTech+investigations/2024-12-16_serbia_novispy/novispy.stix2", 18, 0),
        ("mvt-project+mvt-indicators/intellexa_predator/predator.stix2", 585, 1),
        ("AmnestyTech+investigations/2021-07-18_nso/domains.txt", 1438, 0),
        ("AmnestyTech+investigations/2021-07-18_nso/emails.txt", 29, 0),
        ("AmnestyTech+investigations/2021-07-18_nso/processes.txt", 81, 0),
        ("AmnestyTech+investigations/2020-03-12_uzbekistan/ips.txt", 22, 0),
        ("AmnestyTech+investigations/2020-09-25_finfisher/sha256.csv", 12, 0),
        ("AmnestyTech+investigations/2018-08-01_nso/indicators.csv", 604, 0),
        ("AssoEchap+stalkerware-indicators/generated/network.csv", 1034, 0),
        ("citizenlab+malware-indicators/201611_KeyBoy/misp.json", 79, 48),
        ("citizenlab+malware-indicators/201702_NilePhish/misp.json", 52, 14),
        ("citizenlab+malware-indicators/201706_RecklessExploit/misp.json", 126, 1),
        ("citizenlab+malware-indicators/201810_TheKingdomCameToCanada/misp.json", 20, 0),
        ("citizenlab+malware-indicators/201611_KeyBoy/iocs.csv", 33, 10),
        ("citizenlab+malware-indicators/201702_NilePhish/iocs.csv", 38, 0),
        ("citizenlab+malware-indicators/201810_TheKingdomCameToCanada/iocs.csv", 20, 0),
    ] {
        let bytes = fs::read(root.join(file)).unwrap();
        let rows: Vec<_> = read(&bytes, None, at()).unwrap().into_iter().filter(|r| !r.context).collect();
        let bad: Vec<_> = rows.iter().filter_map(|r| Some((r.line, r.result.as_ref().err()?))).collect();
        if (rows.len(), bad.len()) != (read_rows, rejected) {
            wrong.push(format!("{file}: {} read, rejected {bad:?}", rows.len()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_label_that_a_bundle_defines_itself_or_gives_a_part_of_an_object_is_kept() {
    let own = |n: u8| format!("marking-definition--00000000-0000-4000-8000-0000000000{n:02}");
    let object = |n: u8, marking: serde_json::Value| {
        let mut object = serde_json::json!({
            "type": "indicator", "spec_version": "2.1",
            "id": format!("indicator--00000000-0000-4000-8000-0000000000{n:02}"),
            "created": "2025-01-01T00:00:00Z", "modified": "2025-01-01T00:00:00Z",
            "valid_from": "2025-01-01T00:00:00Z", "indicator_types": ["unknown"],
            "pattern_type": "stix", "pattern": format!("[domain-name:value = 'h{n}.example']"),
        });
        object.as_object_mut().unwrap().extend(marking.as_object().unwrap().clone());
        object
    };
    let definition = |n: u8, more: serde_json::Value| {
        let mut definition = serde_json::json!({
            "type": "marking-definition", "id": own(n), "created": "2025-01-01T00:00:00Z",
        });
        definition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        definition
    };
    let refs = |n: u8| serde_json::json!({ "object_marking_refs": [own(n)] });
    let part = |id: String| serde_json::json!({ "granular_markings": [{ "selectors": ["name"], "marking_ref": id }] });
    let bundle = serde_json::json!({ "type": "bundle", "objects": [
        definition(1, serde_json::json!({ "definition_type": "tlp", "definition": { "tlp": "WHITE" } })),
        definition(2, serde_json::json!({ "name": "TLP:AMBER+STRICT" })),
        definition(3, serde_json::json!({ "extensions": { "x": { "tlp_2_0": "red" } } })),
        definition(4, serde_json::json!({ "definition_type": "tlp", "definition": { "tlp": "mauve" } })),
        object(1, refs(1)), object(2, refs(2)), object(3, refs(3)), object(4, refs(4)),
        object(5, part(own(3))), object(6, part(Tlp::Amber.marking_id())), object(7, serde_json::json!({})),
    ]});
    let read = read(bundle.to_string().as_bytes(), None, at()).unwrap();
    let labels: Vec<Option<Tlp>> = read.into_iter().map(|row| row.result.unwrap().tlp()).collect();
    let (amber, red) = (Some(Tlp::Amber), Some(Tlp::Red));
    assert_eq!(labels, [Some(Tlp::Clear), Some(Tlp::AmberStrict), red, red, red, amber, None]);
}

#[test]
fn tables_of_others_are_read_whatever_stands_between_their_cells_or_before_their_header() {
    let labelled = |text: &str| -> Vec<String> {
        let rows = read(text.as_bytes(), None, at()).unwrap();
        let said = |o: &StixObject| {
            let key = o.pattern().unwrap().key();
            let until = o.valid_until().map_or_else(|| "-".into(), |until| until.to_string());
            format!("{key} {:?} {} {until}", o.tlp(), o.created())
        };
        rows.iter().map(|r| r.result.as_ref().map_or_else(|why| format!("{}: {why}", r.line), said)).collect()
    };
    let now = Instant::of(at());
    let semicolons = "# a comment\n\ntype;value;tlp\ndomain;a.example;white\ndomain;b.example;ex:chr\n";
    assert_eq!(
        labelled(semicolons),
        [format!("domain a.example Some(Clear) {now} -"), format!("domain b.example Some(Red) {now} -")]
    );
    let tabs = "\nvalue\tvalid_from\tvalid_until\na.example\t2020-01-02\t2031-01-02T03:04:05.000Z\n\
                b.example\t2999-01-01\tsoon\n";
    assert_eq!(
        labelled(tabs),
        [
            "domain a.example None 2020-01-02T00:00:00.000Z 2031-01-02T03:04:05.000Z".to_owned(),
            "4: valid_until is no date such as 2026-03-31".to_owned(),
        ]
    );
    // As our own export has it: no formula for a spreadsheet.
    assert_eq!(rows("kind,value\nprocess,'-bash\n"), ["process -bash"]);
    assert_eq!(
        rows(
            r#"{"iocs":[{"type":"domain","value":"a.example","tag":"stalkerware","tlp":"white"},{"type":"snort"}]}"#
        ),
        ["domain a.example", "2: the value is empty"]
    );
}

#[test]
fn blocklists_are_lists_of_names() {
    let text = "! a filter list\n# hosts\n0.0.0.0 a.example # why\n127.0.0.1\tb.example\n||c.example^\n*.d.example\n\
                https://e.example/#top\nf.example#g\n";
    assert_eq!(
        rows(text)[..5],
        [
            "domain a.example",
            "domain b.example",
            "domain c.example",
            "domain d.example",
            "url https://e.example/"
        ]
    );
    assert!(rows(text)[5].starts_with("8: "), "a mark within a word begins no comment");
}
