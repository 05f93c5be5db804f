use super::*;

fn people(known: &[&str]) -> Terms {
    let mut people = Terms::default();
    known.iter().for_each(|known| people.add(&Terms::keys(known)));
    people
}

/// Of each name, texts that speak of her and texts that do not.
fn is_found(cases: &[(&str, &[&str], &[&str])]) {
    for (known, found, passed) in cases {
        let people = people(&[known]);
        for text in *found {
            assert!(people.speaks_of_one(text), "{known}: {text}");
        }
        for text in *passed {
            assert!(!people.speaks_of_one(text), "{known}: {text}");
        }
    }
}

#[test]
fn a_person_is_found_by_name_address_or_number_and_not_by_a_part_of_a_name() {
    let mut people =
        people(&["Jane Q Roe", "jane@mail.example", "+1 (416) 555-0100", "@jane_roe", "CASE-2024-7"]);
    // Known twice, forgotten once.
    people.add(&Terms::keys("Jane Q Roe"));
    people.remove(&Terms::keys("Jane Q Roe"));
    for text in [
        "sent to Jane Q Roe on Monday",
        "JANE@mail.example",
        "<jane@mail.example>",
        "call 1-416-555-0100!",
        "twitter:jane_roe",
        "see case-2024-7.",
    ] {
        assert!(people.speaks_of_one(text), "{text}");
    }
    people.remove(&Terms::keys("@jane_roe"));
    assert!(!people.speaks_of_one("twitter:jane_roe"));
    for text in ["jane", "Jane Roe", "mail.example", "evil.example", "416", ""] {
        assert!(!people.speaks_of_one(text), "{text}");
    }
}

#[test]
fn a_name_is_found_within_text_that_has_no_spaces() {
    is_found(&[
        (
            "王小明",
            &["他给王小明发了邮件", "王小明", "王 小明", "给「王小明」的", "wang王小明x"],
            &["王小", "王大明", "小明王"],
        ),
        (
            "王小明 (Wang Xiaoming)",
            &["他给王小明发了邮件", "to Wang Xiaoming", "wang.xiaoming@mail.example"],
            &["Wang"],
        ),
        ("山田太郎", &["昨日山田太郎さんに", "山田 太郎", "山田・太郎"], &["山田さん"]),
        ("さくら 花子", &["さくら花子さん"], &["さくらインターネット"]),
        ("สมชาย ใจดี", &["ส่งถึงคุณสมชาย ใจดีเมื่อวาน", "สมชายใจดี"], &["สมชาย"]),
        ("ဒေါ်အောင်မြင့်သူ", &["ကိုဒေါ်အောင်မြင့်သူထံ"], &["အောင်"]),
        ("སྐལ་བཟང་ཉི་མ", &["ཁོས་སྐལ་བཟང་ཉི་མར་བསྐུར"], &["སྐལ་བཟང"]),
        ("김민수", &["김민수에게 보낸 메시지", "김 민수", "활동가김민수"], &["민수", "김민지"]),
        ("ジョージ・ワシントン", &["ﾜｼﾝﾄﾝ、ジョージ・ワシントンへ"], &["ジョージ"]),
    ]);
}

#[test]
fn a_short_name_in_text_without_spaces_is_asked_about() {
    for (known, text) in
        [("王伟", "发给王伟的邮件"), ("さくら", "さくらさん"), ("สมชาย", "คุณสมชาย"), ("이준", "이준에게")]
    {
        let people = people(&[known]);
        assert!(!people.speaks_of_one(text) && people.may_speak_of_one(text), "{text}");
    }
    // Its two characters must stand together, or alone.
    let people = people(&["이상"]);
    assert!(!people.may_speak_of_one("아이 상태") && people.may_speak_of_one("친구: 이 상"));
    assert!(!people.may_speak_of_one("王"));
}

#[test]
fn a_name_is_found_however_it_is_typed() {
    is_found(&[
        ("محمد رضایی Mohammad Rezaei", &["به محمد رضایی", "to Mohammad Rezaei"], &["محمد", "Mohammad"]),
        (
            "\u{1100}\u{1161}\u{11a8}\u{1109}\u{1162}\u{1107}\u{1167}\u{11af}",
            &["각새별에게"],
            &["각새병에게"],
        ),
        ("علی‌رضا کاظمی", &["به عليرضا كاظمي فرستاد", "عـلیرضا کاظمی"], &["علیرضا"]),
        (
            "محمد بن سالم",
            &["أُرسل إلى مُحَمَّد بن سالِم", "ومحمد بن سالم", "لمحمد بن سالم", "ولمحمد بن سالم"],
            &["محمد"],
        ),
        ("الاسد نور", &["للأسد نور"], &["اسد نور"]),
        ("דוד לוי", &["נשלח לדוד לוי", "דָּוִד לוי"], &["דוד"]),
        ("José Muñoz", &["to Jose Munoz", "JOSÉ MUÑOZ’s phone", "Jose\u{301} Mun\u{303}oz"], &["José"]),
        ("Łukasz Żak", &["lukasz zak"], &[]),
        ("Олена Коваль", &["Олена КОВАЛЬ"], &["Олена"]),
        ("दीपा वर्मा", &["दीपा वर्मा को"], &["दीपा"]),
        ("Jean-Luc O'Neil", &["Jean Luc O’Neil", "jean-luc o'neil", "jean luc o neil"], &["Jean-Luc"]),
        (
            "Jane Roe",
            &["jane.roe@else.example", "C:\\Users\\jane_roe\\a", "/?n=Jane%20Roe", "/?n=Jane+Roe"],
            &["jane.doe"],
        ),
        (
            "jane@mail.example",
            &[
                "https://evil.example/?to=jane%40mail.example",
                "?u=jane%2540mail.example",
                "to jane[at]mail[.]example",
            ],
            &[],
        ),
        ("王小明", &["https://evil.example/?n=%E7%8E%8B%E5%B0%8F%E6%98%8E", "xn--yeto6u69k.example"], &[]),
    ]);
}

#[test]
fn a_number_is_found_in_any_digits_with_and_without_its_country() {
    is_found(&[
        (
            "+1 (416) 555-0100",
            &[
                "416.555.0100.",
                "2021-07-18 +1 416 555 0100",
                "wa.me/14165550100",
                "٤١٦٥٥٥٠١٠٠",
                "+1 416 555 0100 +1 416 555 0199",
            ],
            &["416 555 0101", "+1 416 555 01", "416-5550"],
        ),
        (
            "۰۹۱۲ ۳۴۵ ۶۷۸۹",
            &["0912 345 6789", "+98 912 345 6789", "٠٩١٢٣٤٥٦٧٨٩", "０９１２３４５６７８９", "०९१२३४५६७८९"],
            &["912 345"],
        ),
        ("+44 (0)20 7946 0958", &["020 7946 0958", "0044 20 7946 0958"], &["7946 0958"]),
        // A date, or a part of a hash, is nobody's number.
        ("seen on 2021-07-18", &[], &["2021-07-18", "20210718"]),
        ("555 0100", &["call 5550100"], &["d41d8cd5550100f8ecf"]),
    ]);
    assert!(Terms::keys(&"0912 345 6789 ".repeat(70)).len() < 200, "bounded");
}

#[test]
fn one_word_is_enough_or_a_question_by_what_it_is_made_of() {
    for (known, contact, text, sure, may) in [
        ("p-0017", false, "for p-0017", true, true),
        ("falcon", false, "for Falcon", true, true),
        ("Maria", true, "for Maria", false, true),
        ("Ali", false, "for Ali", false, true),
        ("Jo", false, "for Jo", false, false),
        ("محمد", true, "إلى محمد", false, true),
        ("j_roe", true, "twitter:j_roe", true, true),
        ("roe77", true, "twitter:roe77", true, true),
        ("1001", false, "port 1001", false, true),
        ("17", false, "17 of them", false, false),
        ("王小明", true, "王小明", true, true),
        ("Maria", true, "maria.evil.example", false, false),
    ] {
        let mut people = Terms::default();
        let keys = if contact { Terms::keys_of_contact(known) } else { Terms::keys(known) };
        people.add(&keys);
        assert_eq!((people.speaks_of_one(text), people.may_speak_of_one(text)), (sure, may), "{known}");
        people.remove(&keys);
        assert!(!people.may_speak_of_one(text), "{known}");
    }
}

#[test]
fn a_long_name_is_known_and_a_long_text_is_read() {
    let long = "นามสกุลยาวมาก".repeat(5);
    let people = people(&[&long, "Maria Jose de la Cruz Garcia", "王小明"]);
    assert!(
        people.speaks_of_one(&format!("คุณ{long}นะ")) && people.speaks_of_one("Maria Jose de la Cruz Garcia")
    );
    for text in ["王".repeat(10_000), "a.".repeat(16_000), "وو ".repeat(6000), "%25".repeat(10_000)] {
        assert!(!people.speaks_of_one(&text));
    }
}

#[test]
fn a_reference_of_digits_is_no_part_of_a_date_or_an_address() {
    let mut people = Terms::default();
    ["2024-07", "17-3", "Jean-Luc 7"].iter().for_each(|known| people.add(&Terms::keys(known)));
    for text in ["seen 2024-07-18", "10.17.3.5", "on 2024 07"] {
        assert!(!people.speaks_of_one(text), "{text}");
    }
    for text in ["case 2024-07.", "case 17-3", "jean luc 7"] {
        assert!(people.speaks_of_one(text) || text == "case 17-3", "{text}");
    }
}
