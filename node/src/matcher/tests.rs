mod encodings;
mod names;
mod urls;

use std::io::Write as _;

use hedgerow_protocol::indicator::ObservableKind as K;

use super::*;

fn seen(values: &[Observable], text: &str) -> Vec<(String, u64, bool)> {
    let all: Vec<&Observable> = values.iter().collect();
    let mut found = Vec::new();
    Matcher::new(&all).unwrap().look(text.as_bytes(), 1, &mut |s: Sighted| {
        found.push((values[s.which].value().to_owned(), s.line, s.defanged));
    });
    found
}

fn guess(value: &str) -> Observable {
    Observable::guess(value).unwrap()
}

/// Whether `value` is seen in each text.
fn cases(value: &Observable, texts: &[(&str, bool)]) {
    for (text, expected) in texts {
        assert_eq!(!seen(std::slice::from_ref(value), text).is_empty(), *expected, "{value} in {text}");
    }
}

#[test]
fn a_domain_is_found_with_all_beneath_it_and_no_other_name_is_taken_for_it() {
    cases(
        &guess("evil.example"),
        &[
            ("evil.example", true),
            ("GET http://EVIL.Example/x", true),
            ("www.evil.example:443", true),
            ("mail to someone@evil.example.", true),
            ("see evil.example, and others", true),
            ("<evil.example>", true),
            ("notevil.example", false),
            ("not-evil.example", false),
            ("evil.example.org", false),
            ("evil.example-x.org", false),
            ("evil.examples", false),
            ("\u{f6}evil.example", false),
            ("\u{434}evil.example", false),
            // Of scripts without capitals, and often without spaces, nothing goes on with it; nor do their marks.
            ("\u{94fe}\u{63a5}evil.example\u{662f}", true),
            ("\u{ff08}evil.example\u{ff09}\u{3002}", true),
            ("\u{628}evil.example\u{60c}", true),
            ("\u{201c}evil.example\u{201d}\u{2026}", true),
            ("evil_example", false),
        ],
    );
}

#[test]
fn an_address_is_found_whole() {
    cases(
        &guess("192.0.2.7"),
        &[
            ("from 192.0.2.7:443 to", true),
            ("[192.0.2.7]", true),
            ("::ffff:192.0.2.7", true),
            ("192.0.2.7.", true),
            ("192.0.2.70", false),
            ("1192.0.2.7", false),
            ("192.0.2.7.1", false),
            ("10.192.0.2.7", false),
        ],
    );
    cases(
        &guess("2001:db8::7"),
        &[
            ("src=2001:DB8::7 dst", true),
            ("[2001:db8::7]:443", true),
            ("2001:db8::7: unreachable", true),
            ("2001:db8::71", false),
            ("12001:db8::7", false),
            ("2001:db8::7:1", false),
        ],
    );
}

#[test]
fn a_url_is_found_to_its_end_and_its_path_in_its_own_case() {
    cases(
        &guess("https://evil.example/Login"),
        &[
            ("\"HTTPS://Evil.Example/Login\"", true),
            ("went to https://evil.example/Login.", true),
            ("https://evil.example/login", false),
            ("https://evil.example/Login2", false),
            ("https://evil.example/Login/x", false),
            ("https://evil.example/Login?x=1", false),
            ("https://evil.example/", false),
        ],
    );
    cases(
        &guess("http://evil.example/"),
        &[("http://evil.example ", true), ("http://evil.example/", true), ("http://evil.example/x", false)],
    );
}

#[test]
fn other_kinds_are_found_as_whole_words() {
    let md5 = "900150983cd24fb0d6963f7d28e17f72";
    cases(
        &guess(md5),
        &[(&md5.to_uppercase(), true), (&format!("a{md5}"), false), (&format!("x:{md5},"), true)],
    );
    let made = |kind, value: &str| Observable::new(kind, value).unwrap();
    cases(&made(K::Process, "agentd"), &[("/bin/agentd[3]", true), ("agentd2", false), ("Agentd", false)]);
    cases(
        &made(K::AppId, "org.example.app"),
        &[
            ("pm install org.example.app", true),
            ("org.example.app.other", false),
            ("com.org.example.app", false),
        ],
    );
    cases(&guess("a.b@evil.example"), &[("From: <A.B@evil.example>", true), ("x.a.b@evil.example", false)]);
    cases(
        &made(K::Persona, "x:@some_one"),
        &[("by @Some_One!", true), ("@some_one_else", false), ("some_one", false)],
    );
    // A tag in a script without spaces ends where its letters do.
    cases(
        &made(K::Hashtag, "\u{5973}\u{6743}"),
        &[("see #\u{5973}\u{6743}\u{3002}", true), ("see #\u{5973}\u{6743}\u{8fd0}\u{52a8}", false)],
    );
    cases(
        &made(K::FilePath, "/var/tmp/agent"),
        &[("open /var/tmp/agent ok", true), ("/var/tmp/agents", false)],
    );
    // What is found everywhere is not looked for.
    let short = made(K::Process, "ps");
    assert_eq!(Matcher::new(&[&short]).unwrap().skipped(), [0]);
}

#[test]
fn what_was_defanged_is_found_and_told_once_a_line() {
    let values =
        [guess("evil.example"), guess("https://evil.example/a"), guess("192.0.2.7"), guess("x@evil.example")];
    let text = "plain evil.example and evil.example\nhxxps://evil[.]example/a\nhXXps[:]//evil(.)example/a 192[.]0[.]2[.]7\n\
                x[at]evil[dot]example\n[4711] (x) {y}\n";
    let told = seen(&values, text);
    let of = |value: usize, line| (values[value].value().to_owned(), line, line > 1);
    for expected in [of(0, 1), of(0, 2), of(1, 2), of(0, 3), of(1, 3), of(2, 3), of(0, 4), of(3, 4)] {
        assert!(told.contains(&expected), "{expected:?} in {told:?}");
    }
    assert_eq!(told.len(), 8, "{told:?}");
}

#[test]
fn every_way_of_defanging_within_text_is_undone() {
    let values = [guess("https://evil.example/a"), guess("x@evil.example")];
    for (mark, meant) in super::written() {
        let all = [("https://evil.example/a", 0), ("x@evil.example", 1)];
        for (text, which) in all.iter().filter(|(text, _)| text.contains(meant)) {
            for mark in [mark.to_owned(), mark.to_uppercase()] {
                let told = seen(&values[*which..=*which], &text.replacen(meant, &mark, 1));
                assert_eq!(told, [(values[*which].value().to_owned(), 1, true)], "{mark}");
            }
        }
    }
}

#[test]
fn a_file_is_read_in_blocks_and_nothing_is_lost_or_doubled_at_their_edges() {
    let dir = tempfile::tempdir().unwrap();
    let value = guess("evil.example");
    let matcher = Matcher::new(&[&value]).unwrap();
    let run = |bytes: &[u8], packed: bool| {
        let path = dir.path().join("log");
        let file = std::fs::File::create(&path).unwrap();
        if packed {
            let mut writer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap();
        } else {
            (&file).write_all(bytes).unwrap();
        }
        let mut lines = Vec::new();
        let totals = scan(&matcher, &path, &mut |s: Sighted| lines.push(s.line), &mut |_| ()).unwrap();
        assert_eq!(totals.bytes, bytes.len() as u64);
        (lines, totals.lines)
    };
    // Lines of odd lengths, so that values lie across every kind of edge.
    let mut text = Vec::new();
    let mut expected = Vec::new();
    for line in 1..=40_000_u64 {
        let n = usize::try_from(line * 37 % 101).unwrap();
        text.extend(vec![b'x'; n]);
        text.extend_from_slice(if line % 3 == 0 { b" evil.example\n" } else { b" good.example\n" });
        if line % 3 == 0 {
            expected.push(line);
        }
    }
    assert!(text.len() > 2 * 1024 * 1024);
    for packed in [false, true] {
        assert_eq!(run(&text, packed), (expected.clone(), 40_000));
    }
    // One line without an end, longer than several blocks; the value stands in it once a line, as any does.
    let long = [vec![b'y'; 1024 * 1024 - 9], b" evil.example ".to_vec(), vec![b'z'; 3_000_000]].concat();
    assert_eq!(run(&long, false), (vec![1], 1));
    assert_eq!(run(b"", false), (vec![], 0));
    assert_eq!(run(b"evil.example", false), (vec![1], 1));
}
