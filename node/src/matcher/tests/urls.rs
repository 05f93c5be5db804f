use proptest::prelude::*;

use super::*;
use crate::matcher::page::{Head, pages};

#[test]
fn a_url_is_found_with_what_its_normal_form_has_lost() {
    let value = guess("http://evil.example:80/x?fbclid=abc");
    assert_eq!(value.value(), "http://evil.example/x");
    cases(
        &value,
        &[
            ("GET http://evil.example:80/x?fbclid=abc HTTP/1.1", true),
            ("HTTP://EVIL.example/x", true),
            ("http://evil.example/x?utm_source=a&utm_medium=b", true),
            ("http://evil.example/x#top", true),
            ("\"http://evil.example/x?gclid=1#top\"", true),
            ("Is it http://evil.example/x?", true),
            ("hxxp://evil[.]example:80/x?fbclid=abc", true),
            ("http://evil.example/./a/../x", true),
            ("http://evil.example/x?id=1", false),
            ("http://evil.example/x?id=1&fbclid=abc", false),
            ("http://evil.example:81/x", false),
            ("https://evil.example/x", false),
            ("http://evil.example/X", false),
            ("http://evil.example/x/", false),
            ("http://evil.example.org/x", false),
            ("http://evil.example@other.example/x", false),
            ("shttp://evil.example/x", false),
        ],
    );
    let value = guess("https://evil.example:8443/%7euser/a%2fb?id=7");
    cases(
        &value,
        &[
            ("https://evil.example:8443/~user/a%2Fb?id=7&fbclid=x", true),
            ("https://evil.example:8443/%7Euser/a%2fb?utm_id=1&id=7", true),
            ("https://evil.example/~user/a%2fb?id=7", false),
            ("https://evil.example:8443/~user/a/b?id=7", false),
            ("https://evil.example:8443/~user/a%2fb?id=70", false),
        ],
    );
}

#[test]
fn a_url_ends_where_the_text_goes_on_and_keeps_what_is_its_own() {
    cases(
        &guess("https://evil.example/a"),
        &[
            ("(https://evil.example/a)", true),
            ("[here](https://evil.example/a)[there](https://evil.example/b)", true),
            ("2026-01-02,https://evil.example/a,200", true),
            ("<a href='https://evil.example/a'>", true),
            ("**https://evil.example/a**", true),
            (r#"{"url":"https://evil.example/a\n"}"#, true),
            ("\u{94fe}\u{63a5}https://evil.example/a\u{662f}", true),
            ("https://evil.example/a\u{3002}", true),
            ("https://evil.example/a: refused", true),
            ("https://evil.example/a.b", false),
            ("https://evil.example/a&b", false),
            ("https://evil.example/a-b", false),
            ("https://evil.example/a\u{f6}", false),
        ],
    );
    cases(
        &guess("https://evil.example/a_(b)"),
        &[("(see https://evil.example/a_(b)).", true), ("(see https://evil.example/a_)", false)],
    );
    cases(
        &guess("https://evil.example/\u{4e2d}\u{6587}"),
        &[
            ("https://evil.example/\u{4e2d}\u{6587}", true),
            ("https://evil.example/%e4%b8%ad%E6%96%87\u{3002}", true),
            ("https://evil.example/\u{4e2d}", false),
        ],
    );
    cases(&guess("http://[2001:db8::7]:8080/x"), &[("http://[2001:db8::7]:8080/x#y", true)]);
    // What is not cut off in time is no URL that is known to end.
    let long = format!("https://evil.example/a#{}", "x".repeat(5000));
    cases(&guess("https://evil.example/a"), &[(&long, false)]);
}

#[test]
fn urls_on_one_host_are_told_apart() {
    let values: Vec<Observable> = ["/a", "/b", "/a?id=1", "/a?id=2"]
        .iter()
        .map(|path| guess(&format!("https://evil.example{path}")))
        .collect();
    let told =
        seen(&values, "https://evil.example/a?id=2&fbclid=1 https://evil.example/b\nhttps://evil.example/c");
    let paths: Vec<&str> = told.iter().map(|(value, _, _)| &value[20..]).collect();
    assert_eq!(paths, ["/a?id=2", "/b"]);
    // What needs no more than a look, and what does.
    let path = guess("https://evil.example/a.b/c");
    for (text, expected) in [
        ("https://evil.example/a.b/c", true),
        ("https://evil.example/a.b/c.", true),
        ("https://evil.example/a.b/./c\t", true),
        ("https://evil.example/x/../a.b/c", true),
        ("https://evil.example/%61.b/c", true),
        ("https://evil.example/a.b/c,", true),
        ("https://evil.example\\a.b\\c", true),
        ("https://evil.example/a.b/c/d", false),
        ("https://evil.example/a.b/c.d", false),
        ("https://evil.example/", false),
        ("https://evil.example", false),
    ] {
        cases(&path, &[(text, expected)]);
    }
    // Two indicators for one page are both told.
    let twice =
        [guess("https://evil.example/a"), Observable::new(K::Media, "https://evil.example/a").unwrap()];
    assert_eq!(seen(&twice, "https://evil.example/a").len(), 2);
}

proptest! {
    #[test]
    fn a_look_at_the_path_passes_over_no_url(path in "[/?]?[ab./%6c~?#, -]{0,10}( .{0,3})?") {
        let text = format!("https://evil.example{path}");
        for page in pages(text.as_bytes(), 0, 20) {
            let mut head = Head::default();
            head.add(&page);
            prop_assert!(head.may_be(text.as_bytes(), 20), "{} in {}", page, text);
        }
    }
}
