use super::*;

/// What is seen in a file, by line, and its totals.
fn lines(values: &[Observable], bytes: &[u8]) -> (Vec<(usize, u64)>, Totals) {
    let all: Vec<&Observable> = values.iter().collect();
    let matcher = Matcher::new(&all).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    std::fs::write(&path, bytes).unwrap();
    let mut found = Vec::new();
    let totals = scan(&matcher, &path, &mut |s: Sighted| found.push((s.which, s.line)), &mut |_| ()).unwrap();
    // The same poured out in pieces of odd lengths.
    let mut poured = Vec::new();
    let mut pour = Pour::new(&matcher, |s: Sighted| poured.push((s.which, s.line)));
    for piece in bytes.chunks(100_003) {
        pour.write_all(piece).unwrap();
    }
    assert_eq!(pour.end().unwrap(), totals);
    assert!(poured == found, "{} and {}", poured.len(), found.len());
    (found, totals)
}

fn utf16(text: &str, little: bool) -> Vec<u8> {
    let bytes = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn a_log_in_utf_16_is_read_with_a_mark_and_without_and_its_lines_are_counted() {
    let values = [guess("evil.example"), guess("b\u{fc}cher.example"), guess("192.0.2.7")];
    // A letter whose bytes hold that of a line's end.
    let text = "first \u{10a} \u{a0a}\r\nevil.example\r\n\u{e4} www.b\u{fc}cher.example \u{1f334}\r\n\u{f6}evil.example\r\n\
                192[.]0[.]2[.]7";
    for little in [true, false] {
        let mark = if little { [0xff, 0xfe] } else { [0xfe, 0xff] };
        for mark in [mark.as_slice(), &[]] {
            let bytes = [mark, &utf16(text, little)].concat();
            let (found, totals) = lines(&values, &bytes);
            assert_eq!(found, [(0, 2), (1, 3), (2, 5)], "{little} {mark:?}");
            assert_eq!((totals.bytes, totals.lines), (bytes.len() as u64, 5));
        }
    }
}

#[test]
fn nothing_of_utf_16_is_lost_at_the_edges_of_blocks() {
    let value = [guess("evil.example")];
    let (mut text, mut expected) = (String::from("\u{feff}"), Vec::new());
    for line in 1..=40_000_u64 {
        // Letters of two bytes, and pairs, which an edge may part.
        text.extend(vec!['\u{434}'; usize::try_from(line * 37 % 51).unwrap()]);
        text.extend(vec!['\u{1f334}'; usize::try_from(line % 7).unwrap()]);
        text.push_str(if line % 3 == 0 { " evil.example\r\n" } else { " good.example\r\n" });
        if line % 3 == 0 {
            expected.push((0, line));
        }
    }
    for little in [true, false] {
        let bytes = utf16(&text, little);
        assert!(bytes.len() > 3 * 1024 * 1024);
        let (found, totals) = lines(&value, &bytes);
        assert_eq!((totals.lines, found.len()), (40_000, expected.len()));
        assert!(found == expected);
    }
    // One line longer than several blocks.
    let long = format!("\u{feff}{} evil.example {}", "y".repeat(1_500_000), "z".repeat(1_500_000));
    assert_eq!(lines(&value, &utf16(&long, true)).0, [(0, 1)]);
}

#[test]
fn text_that_programs_add_in_another_encoding_is_read() {
    let values = [guess("evil.example"), guess("https://evil.example/a"), guess("192.0.2.7")];
    let plain = "2026-01-02 GET https://evil.example/a?fbclid=1\n2026-01-02 nothing here\n";
    let wide = "in between\r\n192.0.2.7 and hxxps://evil[.]example/a\r\nend\r\n";
    for little in [true, false] {
        let wide = utf16(wide, little);
        let mark: &[u8] = if little { &[0xff, 0xfe] } else { &[0xfe, 0xff] };
        let bytes = [mark, &wide, plain.as_bytes(), &wide, plain.as_bytes()].concat();
        let (found, totals) = lines(&values, &bytes);
        let each = |n: u64| [(0, n + 2), (1, n + 2), (2, n + 2), (0, n + 4), (1, n + 4)];
        let mut sorted = found.clone();
        sorted.sort_by_key(|(which, line)| (*line, *which));
        assert_eq!(sorted, [each(0), each(5)].concat(), "{little} {found:?}");
        assert_eq!(totals.lines, 10);
    }
    // A log that began in bytes.
    let bytes = [plain.as_bytes(), &utf16(wide, true), plain.as_bytes()].concat();
    let (mut found, _) = lines(&values, &bytes);
    found.sort_by_key(|(which, line)| (*line, *which));
    assert_eq!(found, [(0, 1), (1, 1), (0, 4), (1, 4), (2, 4), (0, 6), (1, 6)]);
}

#[test]
fn what_is_no_text_is_looked_at_byte_by_byte() {
    let value = [guess("evil.example")];
    let mut bytes = vec![0, 1, 2, 0, 0, 0xff, 0xd8, 0];
    bytes.extend(std::iter::repeat_n([7, 0, 0, 1], 3000).flatten());
    bytes.extend_from_slice(b"\0evil.example\0");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("binary");
    let run = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let matcher = Matcher::new(&[&value[0]]).unwrap();
        let mut found = 0;
        scan(&matcher, &path, &mut |_| found += 1, &mut |_| ()).unwrap();
        found
    };
    assert_eq!(run(&bytes), 1);
    let wide = [&bytes[..12_000], &utf16("\u{434}evil.example|", true)].concat();
    assert_eq!(run(&wide), 0, "a letter before it");
    let wide =
        [&bytes[..12_000], &utf16("|evil.example\u{434}", true), &utf16("|www.evil.example|", true)].concat();
    assert_eq!(run(&wide), 1);
    // Poured out, it is given up early.
    let matcher = Matcher::new(&[&value[0]]).unwrap();
    let mut pour = Pour::new(&matcher, |_| ());
    pour.write_all(&bytes).unwrap();
    assert!(pour.is_binary() && pour.write_all(&bytes).is_err());
    // What is short is known by what there is of it; half of a letter is not taken for all.
    let mut pour = Pour::new(&matcher, |_| ());
    for byte in utf16("evil.example", true) {
        pour.write_all(&[byte]).unwrap();
    }
    assert!(!pour.is_binary());
    let mut pour = Pour::new(&matcher, |_| ());
    pour.write_all(&bytes[..100]).unwrap();
    assert!(pour.is_binary());
}

#[test]
fn what_is_poured_out_gzipped_is_looked_at_unpacked() {
    let value = guess("evil.example");
    let matcher = Matcher::new(&[&value]).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"a\nb evil.example\n").unwrap();
    let packed = packed.finish().unwrap();
    let mut found = Vec::new();
    let mut pour = Pour::new(&matcher, |s: Sighted| found.push(s.line));
    pour.write_all(&packed).unwrap();
    assert_eq!(pour.end().unwrap(), Totals { bytes: 17, lines: 2 });
    assert_eq!(found, [2]);
    let mut pour = Pour::new(&matcher, |_| ());
    pour.write_all(&packed[..packed.len() - 9]).unwrap();
    assert!(pour.end().is_err(), "what breaks off says so");
}

/// The decoder is done with at the end of the file, whether or not there is room in the block for one letter more.
#[test]
fn a_file_of_an_odd_length_ends_wherever_the_block_does() {
    let value = [guess("evil.example")];
    for fill in (1024 * 1024 - 40)..(1024 * 1024 + 4) {
        let mut bytes = utf16(&format!("\u{feff}{}", "x".repeat(fill)), true);
        bytes.push(b'x');
        let (found, totals) = lines(&value, &bytes);
        assert_eq!((found.len(), totals.lines), (0, 1), "{fill}");
    }
}
