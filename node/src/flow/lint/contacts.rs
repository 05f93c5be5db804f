//! By what the person of a record may be known (docs/indicators.md, Lint).

use std::{collections::HashSet, sync::LazyLock};

use hedgerow_protocol::{
    indicator::{Key, Terms},
    script,
};

use crate::form::RecordForm;

/// Where one contact ends and another begins.
const BETWEEN: [char; 17] =
    [',', ';', '\n', '\t', '|', '(', ')', '[', ']', '<', '>', '،', '؛', '、', '，', '；', '。'];

/// Words by which people say how somebody is reached. Any other word may be her name.
const CHANNELS: &str = "\
    signal whatsapp telegram viber wechat weixin line kakaotalk zalo imo skype zoom threema wire matrix \
    element session jabber xmpp messenger facebook instagram twitter tiktok youtube linkedin discord \
    mastodon bluesky gmail proton protonmail outlook yahoo email e-mail mail phone telephone mobile cell \
    tel fax sms call text home work office private personal only via preferred secure contact none \
    unknown https http telefon handy correo teléfono móvil téléphone courriel portable telefone celular \
    eposta e-posta телефон тел почта пошта телеграм телеграмм сигнал ватсап هاتف جوال بريد تلغرام واتساب \
    سيجنال تلفن موبایل ایمیل تلگرام واتساپ سیگنال 电话 電話 手机 微信 邮箱 전화 ไลน์ อีเมล โทร फ़ोन ईमेल 메일 이메일 카카오톡 \
    텔레그램 メール 携帯 手機 邮件 电子邮件 telegramme";

/// What of these is too short to be looked for, but stands between a name and a channel.
const SHORT: [&str; 8] = ["on", "by", "at", "ph", "tg", "wa", "fb", "ig"];

/// Everything by which a record's person may be known. The narrative is not: the attacker stands in it too.
pub(super) fn keys(form: &RecordForm) -> Vec<Key> {
    let mut keys = Terms::keys(&form.person);
    keys.extend(Terms::keys(&form.reference));
    form.contacts.split(BETWEEN).for_each(|contact| of_contact(contact, &mut keys));
    keys
}

/// A name, addresses and numbers, however they are mixed.
fn of_contact(contact: &str, keys: &mut Vec<Key>) {
    let (mut name, mut digits) = (Vec::new(), Vec::new());
    of_whole(contact, keys);
    for word in contact.split_whitespace() {
        if is_link(word) {
            of_link(word, keys);
            continue;
        }
        for (place, side) in word.split('/').enumerate() {
            if place > 0 {
                of_name(&mut name, keys);
                of_digits(&mut digits, keys);
            }
            for piece in side.split([':', '：']) {
                if piece.contains(['@', '＠']) {
                    keys.extend(Terms::keys(piece));
                    continue;
                }
                let (letters, numbers): (Vec<_>, Vec<_>) =
                    apart(piece).into_iter().partition(|piece| piece.contains(char::is_alphabetic));
                // What stands after a word is another number, as of an extension.
                if !letters.is_empty() {
                    of_digits(&mut digits, keys);
                }
                name.extend(letters.into_iter().filter(|piece| !is_channel(piece)));
                digits.extend(numbers);
            }
        }
    }
    of_name(&mut name, keys);
    of_digits(&mut digits, keys);
}

/// A name one of whose words is also one for how somebody is reached, such as `Line Hansen`.
fn of_whole(contact: &str, keys: &mut Vec<Key>) {
    let words: Vec<&str> = contact.split_whitespace().collect();
    let named = |word: &str| word.chars().next().is_some_and(char::is_uppercase);
    let channels = words.iter().filter(|word| is_channel(word)).count();
    if words.len() > 1 && words.iter().all(|word| named(word)) && (1..words.len()).contains(&channels) {
        keys.extend(Terms::keys_of_contact(contact));
    }
}

/// A number in groups; of two that stand beside each other each by itself, too.
fn of_digits(groups: &mut Vec<&str>, keys: &mut Vec<Key>) {
    keys.extend(Terms::numbers(&groups.join(" ")));
    if groups.len() > 1 {
        groups.iter().for_each(|group| keys.extend(Terms::numbers(group)));
    }
    groups.clear();
}

fn of_name(words: &mut Vec<&str>, keys: &mut Vec<Key>) {
    keys.extend(Terms::keys_of_contact(&words.join(" ")));
    words.clear();
}

/// A word parted between digits and letters of a script that may have no space there: `电话13800138000`.
fn apart(word: &str) -> Vec<&str> {
    let kind = |c: char| match script::digit(c) {
        Some(_) => Some(false),
        None => (!c.is_ascii() && c.is_alphabetic()).then_some(true),
    };
    let mut parts = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        let first = rest.chars().find_map(kind);
        let other = |c: char| kind(c).is_some() && kind(c) != first;
        let (part, after) = rest.split_at(rest.find(other).unwrap_or(rest.len()));
        parts.push(part);
        rest = after;
    }
    parts
}

/// `https://platform.example/name`, with or without its scheme.
fn is_link(word: &str) -> bool {
    word.contains("://")
        || word.split_once('/').is_some_and(|(host, _)| {
            host.rsplit_once('.')
                .is_some_and(|(_, top)| top.len() > 1 && top.bytes().all(|b| b.is_ascii_alphabetic()))
        })
}

/// The host of a link and its path together are one's own; the end of the path alone may be.
fn of_link(link: &str, keys: &mut Vec<Key>) {
    let rest = link.split_once("://").map_or(link, |(_, rest)| rest);
    let rest = rest.strip_prefix("www.").unwrap_or(rest);
    let place = rest.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    if let Some((_, path)) = place.split_once('/') {
        keys.extend(Terms::keys(place));
        let last = path.rsplit('/').next().unwrap_or_default();
        if ![".php", ".html", ".htm", ".aspx"].iter().any(|page| last.ends_with(page)) {
            keys.extend(Terms::keys_of_contact(last));
        }
    }
    keys.extend(Terms::numbers(rest));
}

/// Whether a word says how somebody is reached, in any spelling.
fn is_channel(word: &str) -> bool {
    static KEYS: LazyLock<HashSet<Key>> =
        LazyLock::new(|| CHANNELS.split(' ').flat_map(Terms::keys_of_contact).collect());
    let word = word.trim_matches(|c: char| !c.is_alphanumeric());
    // Of a host, such as that of a provider of mail, its name.
    let name = word.rsplit_once('.').map_or(word, |(name, _)| name.rsplit('.').next().unwrap_or_default());
    let keys = Terms::keys_of_contact(name);
    SHORT.iter().any(|short| name.eq_ignore_ascii_case(short))
        || !keys.is_empty() && keys.iter().all(|key| KEYS.contains(key))
}

#[cfg(test)]
mod tests {
    use hedgerow_protocol::indicator::People as _;

    use super::*;

    /// Of a record with these contacts: whether a text speaks of its person, or may.
    fn of(contacts: &str, text: &str) -> &'static str {
        let form = serde_json::json!({
            "day": "2025-01-01", "tactic": "T01", "person": "p-0017", "reference": "CASE-9", "contacts": contacts,
            "narrative": "a message from evil.example",
        });
        let mut terms = Terms::default();
        terms.add(&keys(&serde_json::from_value(form).unwrap()));
        match (terms.speaks_of_one(text), terms.may_speak_of_one(text)) {
            (true, _) => "does",
            (false, true) => "may",
            (false, false) => "does not",
        }
    }

    #[test]
    fn a_record_is_known_by_its_person_reference_and_contacts_and_not_by_its_story() {
        let contacts = "Jane Roe, WhatsApp; jane@mail.example\n+1 416 555 0100";
        for text in ["for p-0017", "case-9", "jane roe wrote", "jane@mail.example", "+14165550100"] {
            assert_eq!(of(contacts, text), "does", "{text}");
        }
        for text in ["evil.example", "seen on WhatsApp", "jane"] {
            assert_eq!(of(contacts, text), "does not", "{text}");
        }
    }

    #[test]
    fn names_addresses_and_numbers_are_told_apart_however_they_are_mixed() {
        for (contacts, text) in [
            ("WhatsApp: Jane Roe +1 416 555 0100", "jane roe"),
            ("WhatsApp: Jane Roe +1 416 555 0100", "416-555-0100"),
            ("Jane Roe (Signal), lawyer", "to Jane Roe"),
            ("Jane Roe jane@mail.example", "to Jane Roe"),
            ("Jane Roe/John Doe", "to John Doe"),
            ("Jane Roe on Signal", "to Jane Roe"),
            ("王小明（微信）", "发给王小明的"),
            ("王小明 Wang Xiaoming", "to Wang Xiaoming"),
            ("电话13800138000", "给13800138000打"),
            ("محمد رضایی، تلفن: ۰۹۱۲۳۴۵۶۷۸۹", "09123456789"),
            ("محمد رضایی، تلفن: ۰۹۱۲۳۴۵۶۷۸۹", "به محمد رضايي"),
            ("전화01012345678, ジョージ・ワシントン", "010-1234-5678"),
            ("전화01012345678, ジョージ・ワシントン", "ジョージ・ワシントンさん"),
            ("Signal:@janeroe", "twitter:janeroe"),
            ("mailto:jane@mail.example/john@mail.example", "john@mail.example"),
            ("https://t.example/janeroe", "see t.example/janeroe"),
            ("platform.example/jane_roe?a=b", "@jane_roe"),
            ("wa.me/14165550100", "+1 416 555 0100"),
            ("+1 416 555 0100 ext 12", "call 416-555-0100"),
            ("tel 5550100 fax 5550199", "fax 555-0199"),
            ("555-0100 / 555-0199", "call 555 0100"),
            ("5550100 5550199", "call 555-0199"),
            ("0912 345 6789 since 2019", "0912-345-6789"),
            ("Line Hansen", "to Line Hansen"),
            ("jane.roe77", "twitter:jane.roe77"),
        ] {
            assert_eq!(of(contacts, text), "does", "{contacts}: {text}");
        }
    }

    #[test]
    fn one_word_may_be_a_name_unless_it_says_how_somebody_is_reached() {
        for (contacts, text) in [
            ("Maria", "sent to Maria"),
            ("Signal: Ali", "sent to Ali"),
            ("محمد", "إلى محمد"),
            ("王伟", "发给王伟的"),
            ("janeroe", "twitter:janeroe"),
            ("https://t.example/janeroe", "twitter:janeroe"),
        ] {
            assert_eq!(of(contacts, text), "may", "{contacts}: {text}");
        }
        assert_eq!(of("김민수", "김민수에게"), "does");
        for (contacts, text) in [
            ("WhatsApp", "on WhatsApp"),
            ("via Signal only", "on Signal only"),
            ("tel. 416", "tel. 416"),
            ("Télégramme: none", "none"),
            ("تليفون / واتساپ", "على واتساپ"),
            ("微信", "用微信"),
            ("电话13800138000", "打电话"),
            ("gmail.com, www.facebook.com", "like facebook.com and gmail.com"),
            ("https://evil.example/", "evil.example"),
            ("born 1990-01-02", "1990-01-02"),
        ] {
            assert_eq!(of(contacts, text), "does not", "{contacts}: {text}");
        }
    }
}
