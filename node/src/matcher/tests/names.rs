use super::*;

fn made(kind: K, value: &str) -> Observable {
    Observable::new(kind, value).unwrap()
}

#[test]
fn a_host_is_found_in_its_own_letters_too() {
    cases(
        &guess("b\u{fc}cher.example"),
        &[
            ("xn--bcher-kva.example", true),
            ("www.b\u{fc}cher.example", true),
            ("B\u{dc}CHER.EXAMPLE", true),
            ("B\u{fc}cher.Example", true),
            ("b\u{fc}cher[.]example", true),
            ("b\u{fc}cher.example.org", false),
            ("m\u{e4}b\u{fc}cher.example", false),
            ("bucher.example", false),
        ],
    );
    cases(
        &guess("\u{43f}\u{440}\u{438}\u{43c}\u{435}\u{440}.\u{440}\u{444}"),
        &[
            ("\u{41f}\u{440}\u{438}\u{43c}\u{435}\u{440}.\u{440}\u{444}", true),
            ("\u{41f}\u{420}\u{418}\u{41c}\u{415}\u{420}.\u{420}\u{424}", true),
            ("\u{43d}\u{435}\u{43f}\u{440}\u{438}\u{43c}\u{435}\u{440}.\u{440}\u{444}", false),
        ],
    );
    // `ss` is written for the letter in capitals, but is another host's name.
    cases(&guess("stra\u{df}e.example"), &[("stra\u{df}e.example", true), ("STRASSE.EXAMPLE", false)]);
    cases(
        &guess("a@b\u{fc}cher.example"),
        &[
            ("A@B\u{dc}CHER.example", true),
            ("<a@xn--bcher-kva.example>", true),
            ("b@b\u{fc}cher.example", false),
        ],
    );
    cases(
        &guess("https://b\u{fc}cher.example/x"),
        &[("https://B\u{fc}cher.example/x#y", true), ("https://xn--bcher-kva.example:443/x", true)],
    );
}

#[test]
fn a_tag_is_found_in_any_case_of_any_script() {
    // `#СвободуНам`, looked for in small letters.
    let value = made(K::Hashtag, "\u{441}\u{432}\u{43e}\u{431}\u{43e}\u{434}\u{443}\u{43d}\u{430}\u{43c}");
    cases(
        &value,
        &[
            ("#\u{421}\u{432}\u{43e}\u{431}\u{43e}\u{434}\u{443}\u{41d}\u{430}\u{43c}!", true),
            ("#\u{441}\u{432}\u{43e}\u{431}\u{43e}\u{434}\u{443}\u{43d}\u{430}\u{43c}", true),
            ("#\u{441}\u{432}\u{43e}\u{431}\u{43e}\u{434}\u{443}\u{43d}\u{430}\u{43c}\u{438}", false),
            ("#\u{441}\u{432}\u{43e}\u{431}\u{43e}\u{434}\u{443}", false),
        ],
    );
    // Both small forms of sigma.
    let value = made(K::Hashtag, "\u{39f}\u{394}\u{39f}\u{3a3}");
    cases(&value, &[("#\u{3bf}\u{3b4}\u{3bf}\u{3c2}", true), ("#\u{39f}\u{394}\u{39f}\u{3a3}", true)]);
    cases(&made(K::Hashtag, "FreeThem"), &[("#FREETHEM", true), ("#freethemall", false), ("#free", false)]);
}

#[test]
fn an_account_is_found_by_its_address_on_its_platform_and_by_its_bare_name() {
    cases(
        &made(K::Persona, "x:@some_one"),
        &[
            ("https://x.com/some_one/status/1", true),
            ("twitter.com/Some_One?s=20", true),
            ("https://mobile.twitter.com/some_one", true),
            ("by @some_one.", true),
            ("-@some_one", true),
            ("netflix.com/some_one", false),
            ("x.com/some_one_else", false),
            ("facebook.com/some_one", false),
            ("a@some_one", false),
        ],
    );
    cases(
        &made(K::Channel, "telegram:thechannel"),
        &[
            ("t.me/thechannel", true),
            ("https://t.me/s/TheChannel/12", true),
            ("tg://resolve?domain=thechannel&post=1", true),
            ("telegram.me/thechannel", true),
            ("t.me/thechannel_bot", false),
            ("at.me/thechannel", false),
        ],
    );
    cases(
        &made(K::Page, "facebook:the.page"),
        &[
            ("https://www.facebook.com/the.page/posts/1", true),
            ("m.facebook.com/The.Page", true),
            ("@the.page", true),
            ("facebook.com/the.page.two", false),
            ("facebook.com/the.page-two", false),
            ("facebook.com/the-page", false),
        ],
    );
    cases(
        &made(K::Persona, "instagram:the"),
        &[
            ("instagram.com/the/", true),
            ("so says @the.", true),
            ("the @the-related", true),
            ("@the.page", false),
            ("instagram.com/the.page", false),
            ("@the@server.example", false),
        ],
    );
    cases(
        &made(K::Channel, "youtube:UCabC"),
        &[
            ("youtube.com/channel/UCabC", true),
            ("youtube.com/channel/ucABC", false),
            ("https://www.youtube.com/@ucabc/videos", true),
            ("youtube.com/@UCabC-two", false),
        ],
    );
    // A bare name says nothing of the platform; an address does.
    cases(
        &made(K::Persona, "twitter:some_one"),
        &[
            ("@some_one", true),
            ("https://www.youtube.com/@some_one", false),
            ("tiktok.com/@Some_One", false),
            ("https://server.example/@some_one", true),
        ],
    );
    cases(
        &made(K::Persona, "server.example:some_one"),
        &[
            ("@some_one@server.example", true),
            ("https://server.example/@some_one/1", true),
            ("@some_one@other.example", false),
        ],
    );
}

#[test]
fn a_name_beneath_a_domain_that_is_allowed_is_no_hit() {
    let values = [guess("dyn.example"), guess("bad.our.dyn.example")];
    let all: Vec<&Observable> = values.iter().collect();
    let allowed =
        ["our.dyn.example".to_owned(), "b\u{fc}ro.dyn.example".to_owned(), "other.example".to_owned()]
            .map(|name| guess(&name).value().to_owned());
    let matcher = Matcher::new(&all).unwrap().sparing(&all, &allowed);
    let look = |text: &str| {
        let mut found = Vec::new();
        matcher.look(text.as_bytes(), 1, &mut |s: Sighted| found.push(s.which));
        found
    };
    for text in [
        "our.dyn.example",
        "GET https://OUR.dyn.example:443/x",
        "a@our.dyn.example",
        "www.our.dyn.example.",
        "our[.]dyn[.]example",
        "b\u{fc}ro.dyn.example",
        "xn--bro-hoa.dyn.example",
    ] {
        assert_eq!(look(text), Vec::<usize>::new(), "{text}");
    }
    for text in
        ["dyn.example", "their.dyn.example", "notour.dyn.example", "our.dyn.example their.dyn.example"]
    {
        assert_eq!(look(text), [0], "{text}");
    }
    // What has an indicator of its own is looked for.
    assert_eq!(look("bad.our.dyn.example"), [1]);
}

#[test]
fn what_many_say_is_looked_for_once_and_told_for_each() {
    let values = [guess("evil.example"), guess("other.example"), guess("evil.example")];
    assert_eq!(
        seen(&values, "evil.example").len(),
        2,
        "each of the two that say it, though it is looked for once"
    );
    // A name beyond ASCII is looked for by more than its first letter, in either case.
    let tag = made(K::Hashtag, "\u{e9}t\u{e9}\u{e0}\u{e8}\u{f9}\u{e7}");
    cases(
        &tag,
        &[
            ("#\u{e9}t\u{e9}\u{e0}\u{e8}\u{f9}\u{e7}", true),
            ("#\u{c9}T\u{c9}\u{c0}\u{c8}\u{d9}\u{c7}", true),
            ("#\u{c9}t\u{e9}\u{c0}\u{e8}\u{f9}\u{e7}", true),
            ("#\u{e9}t\u{e9}\u{e0}\u{e8}\u{f9}", false),
        ],
    );
}
