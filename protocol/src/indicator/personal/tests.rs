use serde_json::{Value, json};

use super::*;
use crate::time::Timestamp;

fn said(text: &str) -> Option<&'static str> {
    in_text(Kind::Words, text)
}

/// An indicator with one property more, or another.
fn with(key: &str, value: Value) -> StixObject {
    let at = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
    let observable = Observable::guess("evil.example").unwrap();
    let mut object = StixObject::indicator(&observable, None, None, at).to_value();
    object[key] = value;
    StixObject::parse(object).unwrap()
}

#[test]
fn what_may_be_a_number_to_call_is_asked_about_whatever_stands_beside_it() {
    for text in [
        "call +1 416 555 0100.",
        "2021-07-18 called +1 416 555 0100",
        "called on 18.07.2021: 416-555-0100",
        "4165550100",
        "from 192.0.2.7 and 4165550100",
        "01.42.68.53.00",
        "(416) 555-0100, ext. 7",
        "416-555-0100x12",
        "555-0100",
        "0044 20 7946 0958",
        "+1.4165550100",
        "Tel.4165550100",
        "WhatsApp14165550100",
        "电话13800138000。",
        "تلفن ۰۹۱۲ ۳۴۵ ۶۷۸۹",
        "رقم ٠٩١٢٣٤٥٦٧٨٩",
        "फ़ोन ९८१०० १२३४५",
        "＋１ ４１６ ５５５ ０１００",
        "call\u{a0}416\u{2011}555\u{2011}0100",
        "jane-416-555-0100.vcf",
        "https://evil.example/ and 416-555-0100",
    ] {
        assert_eq!(said(text), Some(CONTACT), "{text}");
    }
    for text in [
        "seen 2021-07-18 in a message",
        "18.07.2021, 2021/07/18, 20210718 and 2021-07-18T09:30:00.123456Z",
        "between 2019-2021",
        "at 09:30:00 on port 8080, 443 or 53",
        "192.0.2.155:8080 and 198.51.100.0/24",
        "version 10.0.19041.1234, v91.0.4472.124",
        "CVE-2021-30860, CVE-2012-0158",
        "d41d8cd98f00b204e9800998ecf8427e",
        "16226330EBB138A5D47913151827A87567AD9CD4",
        "indicator--938031e9-5683-4094-9414-178b0dc8d5a2",
        "12345678-1234-1234-1234-123456789012",
        "IMG_20210718_093000.jpg",
        "evil12345678.example, cdn-12345678.example",
        "first seen 1600000000, last 1600000000123",
        "post 1234567890123456789",
        "0x00004550",
        "1 2 3 4 5 6 7 8 9",
        "https://news.example/2021/07/18/4165550100",
        "1,000,000 messages to 25000 people",
    ] {
        assert_eq!(said(text), None, "{text}");
    }
}

#[test]
fn what_may_be_an_address_is_asked_about_though_it_was_made_unclickable() {
    for text in [
        "sent to jane@mail.example",
        "jane[at]mail[.]example",
        "jane (at) mail.example",
        "jane [ AT ] mail [dot] example",
        "jane{@}mail(.)example",
        "jane arroba mail.example or jane(arroba)mail.example",
        "Jane at mail dot example",
        "jane＠mail.example",
        "<jane@mail.example>,",
        "юлия@почта.example",
    ] {
        assert_eq!(said(text), Some(CONTACT), "{text}");
    }
    for text in [
        "@jane_roe on a platform",
        "https://video.example/@channel.name/videos",
        "left-pad@1.3.0",
        "root@localhost",
        "at home, dot",
        "[a] (b) {c}",
        "it looks for %@",
    ] {
        assert_eq!(said(text), None, "{text}");
    }
}

#[test]
fn the_name_of_a_user_in_a_path_is_asked_about() {
    for text in [
        r"C:\Users\jane.roe\AppData\a.exe",
        r"C:\\Users\\jane.roe\\AppData",
        r"c:\documents and settings\Jane\a",
        r"dropped at D:/Users/jane/a",
        r"\\host\Users\jane",
        "/home/jane/.config/a",
        "in '/Users/jane/Library'",
        "/mnt/c/Users/jane/a",
        "file:///home/jane/a",
        "/export/home/jane",
    ] {
        assert_eq!(said(text), Some(USER), "{text}");
        assert_eq!(in_text(Kind::Path, text), Some(USER), "{text}");
    }
    for text in [
        r"C:\Users\Public\a.exe",
        r"C:\Users\%USERNAME%\a",
        r"C:\Users\<name>\a",
        "/home/*/.config",
        "/home/index.php",
        "GET /users/12345/",
        "https://evil.example/home/login/",
        "https://evil.example/Users/login/",
        "/private/var/mobile/a",
        "/usr/lib/home",
        "the home/work line",
    ] {
        assert_eq!(said(text), None, "{text}");
    }
}

#[test]
fn a_link_is_asked_about_for_what_it_says_of_its_receiver() {
    for link in [
        "https://evil.example/?to=victim@ngo.example",
        "https://evil.example/?to=victim%40ngo.example",
        "https://evil.example/?to=victim%2540ngo.example",
        "https://evil.example/u/victim@ngo.example/login",
        "https://evil.example/?phone=14165550100",
        "https://evil.example/?n=%2B1%20416%20555%200100",
        "https://evil.example/?n=+1+416+555+0100",
        "https://evil.example/a?x=1&msisdn=989123456789#y",
        "https://evil.example/?u=4165550100",
        "https://evil.example/?tel=%D9%A4%D9%A1%D9%A6+555+0100",
        "https://wa.me/14165550100",
        "https://t.example/+14165550100",
        "https://victim@evil.example/",
    ] {
        assert_eq!(in_text(Kind::Link, link), Some(CONTACT), "{link}");
        assert_eq!(said(&format!("it led to {link} and on")), Some(CONTACT), "{link}");
    }
    for link in ["file:///home/jane/a", r"https://evil.example/?f=C:\Users\jane\a"] {
        assert_eq!(in_text(Kind::Link, link), Some(USER), "{link}");
    }
    for link in [
        "https://evil.example/12345678/4165550100?id=4165550100",
        "https://evil.example/?t=1600000000&d=20210718&v=10.0.19041.1234",
        "https://evil.example/?postid=4165550100&p=12345678&hotel=1234567",
        "https://video.example/@channel.name?x=a",
        "https://evil.example/?s=d41d8cd98f00b204e9800998ecf8427e",
        "https://evil.example:8443/?q=%41%42",
    ] {
        assert_eq!(in_text(Kind::Link, link), None, "{link}");
    }
}

#[test]
fn everything_that_an_object_says_is_looked_at() {
    for (key, value, reason) in [
        ("description", json!("call +1 416 555 0100"), Some(CONTACT)),
        (
            "external_references",
            json!([{"source_name": "a", "description": "by jane@mail.example"}]),
            Some(CONTACT),
        ),
        (
            "external_references",
            json!([{"source_name": "a", "url": "https://a.example/?to=a@b.example"}]),
            Some(CONTACT),
        ),
        ("external_references", json!([{"source_name": "a", "external_id": "416-555-0100"}]), None),
        ("x_case", json!({"notes": [{"by": "us", "text": "416-555-0100"}]}), Some(CONTACT)),
        ("x_phone", json!(14_165_550_100_u64), Some(CONTACT)),
        ("x_case", json!({"path": "/home/jane/a"}), Some(USER)),
        ("x_size", json!({"size": 14_165_550_100_u64, "count": 12}), None),
        ("x_refs", json!(["indicator--93803111-5683-4094-9414-178b0dc8d5a2"]), None),
        ("pattern", json!("[url:value = 'https://evil.example/?to=victim%40ngo.example']"), Some(CONTACT)),
        ("pattern", json!(r"[file:path = 'C:\\Users\\jane\\a.exe']"), Some(USER)),
        ("pattern", json!("[file:name = 'a' AND x-case:who = '416-555-0100']"), Some(CONTACT)),
        ("pattern", json!("[url:value LIKE '%?to=victim@ngo.example']"), Some(CONTACT)),
        ("pattern", json!("[email-addr:value LIKE '%victim@ngo.example%']"), Some(CONTACT)),
        ("pattern", json!("[email-message:to_refs[*].value = 'victim@ngo.example']"), Some(CONTACT)),
        ("pattern", json!("[a:b = 'c'] FOLLOWEDBY [x:y = '+1 416 555 0100']"), Some(CONTACT)),
        (
            "pattern",
            json!("[user-account:account_type = 'whatsapp' AND user-account:account_login = '14165550100']"),
            Some(CONTACT),
        ),
        ("pattern", json!("[file:size = 4165550100 AND network-traffic:dst_port = 8080]"), None),
        ("pattern", json!("[domain-name:value = 'a-416-555-0100.example']"), None),
        ("pattern", json!("[file:hashes.MD5 = '12345678901234567890123456789012']"), None),
    ] {
        assert_eq!(asked(&with(key, value.clone())), reason, "{key} {value}");
    }
}
