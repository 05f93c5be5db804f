//! Small files of our own in every shape, and the public sets where HEDGEROW_REAL_DATA names them.

use std::{env, fs, path::Path};

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
