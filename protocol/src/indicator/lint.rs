//! Lint: what must not be published, and what a person should look at first (docs/indicators.md).

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use super::{
    observable::{Observable, ObservableKind},
    stix::StixObject,
    tlp::Tlp,
    warning::{Nobody, People, WarningLists},
};

/// Hosts that so many people use that blocking them harms more than it helps. A host beneath one of them is
/// not stopped: attackers rent those.
const WIDELY_USED: [&str; 40] = [
    "google.com",
    "gmail.com",
    "youtube.com",
    "facebook.com",
    "fb.com",
    "instagram.com",
    "whatsapp.com",
    "wa.me",
    "signal.org",
    "telegram.org",
    "t.me",
    "twitter.com",
    "x.com",
    "t.co",
    "tiktok.com",
    "wechat.com",
    "apple.com",
    "icloud.com",
    "microsoft.com",
    "live.com",
    "outlook.com",
    "office.com",
    "yahoo.com",
    "proton.me",
    "protonmail.com",
    "wikipedia.org",
    "wikimedia.org",
    "github.com",
    "cloudflare.com",
    "amazon.com",
    "linkedin.com",
    "reddit.com",
    "zoom.us",
    "dropbox.com",
    "mozilla.org",
    "torproject.org",
    "bit.ly",
    "tinyurl.com",
    "paypal.com",
    "archive.org",
];

/// Suffixes under which anyone can have a host: the suffix itself is nobody's, a host beneath it is.
const SHARED: [&str; 24] = [
    "appspot.com",
    "azurewebsites.net",
    "blogspot.com",
    "cloudfront.net",
    "duckdns.org",
    "firebaseapp.com",
    "github.io",
    "gitlab.io",
    "glitch.me",
    "herokuapp.com",
    "hopto.org",
    "netlify.app",
    "ngrok.io",
    "no-ip.org",
    "onrender.com",
    "pages.dev",
    "repl.co",
    "sytes.net",
    "vercel.app",
    "web.app",
    "weebly.com",
    "wixsite.com",
    "wordpress.com",
    "workers.dev",
];

/// Names that are never on the Internet (RFC 2606, RFC 6761, RFC 8375).
const RESERVED: [&str; 8] = ["local", "localhost", "internal", "test", "invalid", "home", "lan", "arpa"];

/// One thing found in one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object's id.
    pub object: String,
    /// What was found and why it matters.
    pub reason: String,
}

/// What a lint is held against beside its own rules.
pub struct Checks<'a> {
    /// Lists of what is no attack by itself.
    pub lists: &'a WarningLists,
    /// Who is spoken of in the vault.
    pub people: &'a dyn People,
    /// Whether RED will be sealed for named members.
    pub sealed: bool,
}

impl Default for Checks<'static> {
    fn default() -> Self {
        static NONE: LazyLock<WarningLists> = LazyLock::new(WarningLists::default);
        Self { lists: &NONE, people: &Nobody, sealed: false }
    }
}

/// What was found in a list of drafts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lint {
    /// Must not be published.
    pub refused: Vec<Finding>,
    /// May be published by someone who has looked at it.
    pub warnings: Vec<Finding>,
}

/// Objects that may be published, all under one label.
#[derive(Debug, Clone)]
pub struct Linted {
    tlp: Tlp,
    objects: Vec<StixObject>,
}

impl Linted {
    /// Their label.
    pub const fn tlp(&self) -> Tlp {
        self.tlp
    }

    /// The objects, marked.
    pub fn into_objects(self) -> Vec<StixObject> {
        self.objects
    }
}

/// Lints `drafts` for publication under `tlp` by the rules alone.
pub fn lint(drafts: Vec<StixObject>, tlp: Tlp, confirmed: bool) -> (Linted, Lint) {
    lint_against(drafts, tlp, confirmed, &Checks::default())
}

/// Lints `drafts` for publication under `tlp`. What is refused stays out, and so does what is warned of unless
/// `confirmed`; both are told.
pub fn lint_against(
    drafts: Vec<StixObject>,
    tlp: Tlp,
    confirmed: bool,
    checks: &Checks<'_>,
) -> (Linted, Lint) {
    let mut found = Lint::default();
    let mut objects = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let finding = |reason| Finding { object: draft.id().to_owned(), reason };
        if let Some(reason) = refusal(&draft, tlp, checks) {
            found.refused.push(finding(reason.to_owned()));
            continue;
        }
        if let Some(reason) = warning(&draft, checks) {
            found.warnings.push(finding(reason));
            if !confirmed {
                continue;
            }
        }
        objects.push(draft.marked(tlp));
    }
    (Linted { tlp, objects }, found)
}

/// Why an object that another member published should not be used before a person has looked at it. What that member
/// was asked about and confirmed, such as an e-mail address, is not asked about again.
pub fn objection(object: &StixObject, checks: &Checks<'_>) -> Option<String> {
    if let Some(reason) = harmful(object, checks) {
        return Some(reason.to_owned());
    }
    observables(object).iter().find_map(|o| shared(o).map(str::to_owned).or_else(|| listed(o, checks)))
}

fn refusal(draft: &StixObject, tlp: Tlp, checks: &Checks<'_>) -> Option<&'static str> {
    if tlp == Tlp::AmberStrict {
        return Some("AMBER+STRICT stays within the organisation");
    }
    if tlp == Tlp::Red && !checks.sealed {
        return Some("RED is sealed for the members that --to names, and none is named");
    }
    // A label is a promise to whoever gave the object: it may be made stricter here, never freer.
    if draft.tlp().is_some_and(|given| given > tlp) {
        return Some("it came under a stricter TLP label than the one it would be published under");
    }
    if draft.has_canonical_form().is_err() {
        return Some("a property's name is not ASCII, or a number is too large for every program to hold");
    }
    // A revocation names what was published before; stopping it would keep a false alarm alive.
    if draft.revoked() {
        return None;
    }
    harmful(draft, checks)
}

/// What must not be published, by anyone.
fn harmful(object: &StixObject, checks: &Checks<'_>) -> Option<&'static str> {
    let observables = observables(object);
    let known = |text: &str| checks.people.speaks_of_one(text);
    // In whatever it says, a pattern that is not understood included.
    if observables.iter().any(|o| known(o.value())) || object.says().any(known) {
        return Some("it names somebody whose incidents are in this vault");
    }
    observables.iter().find_map(unsuitable)
}

/// What an object looks for, or is.
fn observables(object: &StixObject) -> Cow<'_, [Observable]> {
    match object.pattern() {
        Some(pattern) => Cow::Borrowed(pattern.observables()),
        None => Cow::Owned(object.as_observable().into_iter().collect()),
    }
}

fn unsuitable(observable: &Observable) -> Option<&'static str> {
    match observable.kind() {
        ObservableKind::Ipv4 => observable.value().parse().ok().and_then(private_v4),
        ObservableKind::Ipv6 => observable.value().parse().ok().and_then(private_v6),
        ObservableKind::Domain => host(observable.value()),
        ObservableKind::Url => {
            let bare = observable.value().split_once("://").is_some_and(|(_, rest)| {
                rest.trim_end_matches('/').split_once('/').is_none() && !rest.contains('?')
            });
            let host_name = observable.host()?;
            let plain = host_name.trim_matches(['[', ']']);
            if let Ok(v4) = plain.parse() {
                return private_v4(v4);
            }
            if let Ok(v6) = plain.parse() {
                return private_v6(v6);
            }
            // A page on a widely used host can be an attack; the host itself is not.
            if bare { host(&host_name) } else { reserved(&host_name) }
        }
        _ => None,
    }
}

fn host(name: &str) -> Option<&'static str> {
    let bare = name.strip_prefix("www.").unwrap_or(name);
    if WIDELY_USED.contains(&bare) {
        return Some("so many people use this host that blocking it would harm them");
    }
    reserved(name)
}

/// A suffix that many share, named by itself.
fn shared(observable: &Observable) -> Option<&'static str> {
    let host = observable.host().filter(|_| observable.kind() == ObservableKind::Domain)?;
    SHARED
        .contains(&host.strip_prefix("www.").unwrap_or(&host))
        .then_some("this is a suffix that many share; name the host beneath it")
}

fn listed(observable: &Observable, checks: &Checks<'_>) -> Option<String> {
    checks.lists.hit(observable).map(|list| format!("it is on the warning list {list:?}"))
}

fn reserved(name: &str) -> Option<&'static str> {
    let top = name.rsplit('.').next().unwrap_or_default();
    RESERVED.contains(&top).then_some("this name is not on the Internet")
}

const NOT_PUBLIC: &str =
    "this address is private, local or reserved: blocking it would hit people's own networks";

fn private_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let [a, b, ..] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let public = !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        || shared);
    (!public).then_some(NOT_PUBLIC)
}

fn private_v6(ip: Ipv6Addr) -> Option<&'static str> {
    let [head, next, ..] = ip.segments();
    let public = !(ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || head & 0xfe00 == 0xfc00
        || head & 0xffc0 == 0xfe80
        || (head == 0x2001 && next == 0xdb8));
    (!public).then_some(NOT_PUBLIC)
}

/// What a person should look at: it may be about somebody rather than an attack, or block what many use.
fn warning(draft: &StixObject, checks: &Checks<'_>) -> Option<String> {
    if draft.texts().any(personal) {
        return Some(
            "its name or description holds what may be a person's phone number or e-mail address".into(),
        );
    }
    if draft.revoked() {
        return None;
    }
    let observables = observables(draft);
    if let Some(reason) =
        observables.iter().find_map(|o| shared(o).map(str::to_owned).or_else(|| listed(o, checks)))
    {
        return Some(reason);
    }
    if observables.iter().any(|o| o.kind() == ObservableKind::Email) {
        return Some(
            "an e-mail address may be a person's; publish it only if it is the attacker's own".into(),
        );
    }
    let of_devices = |r: &str| !["user-account--", "url--", "domain-name--"].iter().any(|k| r.starts_with(k));
    if draft.kind() == "observed-data" && draft.references("object_refs").any(of_devices) {
        return Some("what was seen on a device may say whose it is".into());
    }
    None
}

/// An e-mail address, or a run of eight or more digits written as phone numbers are.
fn personal(text: &str) -> bool {
    let address = text.split_whitespace().any(|word| {
        word.split_once('@').is_some_and(|(local, host)| !local.is_empty() && host.contains('.'))
    });
    let phone = text.split(|c: char| !(c.is_ascii_digit() || "+-() .".contains(c))).any(|run| {
        let digits = run.chars().filter(char::is_ascii_digit).count();
        let dotted = run.contains('.');
        (8..=15).contains(&digits) && !dotted && (run.contains('+') || run.contains(['-', ' ']))
    });
    address || phone && !looks_like_date(text)
}

/// Dates such as 2021-07-18 are digits and hyphens too.
fn looks_like_date(text: &str) -> bool {
    text.split_whitespace().any(|word| word.get(..10).is_some_and(|d| d.parse::<crate::time::Day>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{indicator::warning::Terms, time::Timestamp};

    fn draft(value: &str, description: Option<&str>) -> StixObject {
        let at = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
        StixObject::indicator(&Observable::guess(value).unwrap(), None, description, at)
    }

    fn verdict(value: &str, description: Option<&str>, tlp: Tlp) -> &'static str {
        let (linted, found) = lint(vec![draft(value, description)], tlp, false);
        match (found.refused.len(), found.warnings.len(), linted.into_objects().len()) {
            (1, 0, 0) => "refused",
            (0, 1, 0) => "warned",
            (0, 0, 1) => "passed",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_would_harm_people_is_refused_and_a_true_host_beneath_passes() {
        for value in [
            "google.com",
            "www.facebook.com",
            "https://google.com/",
            "10.1.2.3",
            "127.0.0.1",
            "192.0.2.1",
            "100.64.0.1",
            "fe80::1",
            "2001:db8::1",
            "printer.local",
            "http://192.168.1.1/a",
        ] {
            assert_eq!(verdict(value, None, Tlp::Green), "refused", "{value}");
        }
        for value in
            ["evil.duckdns.org", "https://google.com/amp/s/evil.example", "198.18.0.1", "evil.example"]
        {
            assert_eq!(verdict(value, None, Tlp::Green), "passed", "{value}");
        }
    }

    #[test]
    fn what_may_be_a_person_is_asked_about() {
        assert_eq!(verdict("someone@mail.example", None, Tlp::Green), "warned");
        assert_eq!(verdict("duckdns.org", None, Tlp::Green), "warned");
        assert_eq!(verdict("evil.example", Some("sent to jane@mail.example"), Tlp::Green), "warned");
        assert_eq!(verdict("evil.example", Some("call +1 416 555 0100"), Tlp::Green), "warned");
        assert_eq!(verdict("evil.example", Some("seen 2021-07-18 in a message"), Tlp::Green), "passed");
        let (linted, _) = lint(vec![draft("someone@mail.example", None)], Tlp::Green, true);
        assert_eq!(linted.into_objects().len(), 1);
    }

    #[test]
    fn what_names_somebody_in_the_vault_is_refused_whoever_confirms_it() {
        let mut people = Terms::default();
        people.add(&Terms::keys("jane@mail.example"));
        people.add(&Terms::keys("Jane Roe"));
        let mut lists = WarningLists::default();
        lists
            .add(br#"{"name":"Top","type":"hostname","matching_attributes":[],"list":["top.example"]}"#)
            .unwrap();
        let checks = Checks { lists: &lists, people: &people, sealed: false };
        for (value, description, refused, warned) in [
            ("jane@mail.example", None, 1, 0),
            ("evil.example", Some("sent to Jane Roe"), 1, 0),
            ("https://evil.example/?to=jane@mail.example", None, 1, 0),
            ("top.example", None, 0, 1),
            ("evil.top.example", None, 0, 0),
        ] {
            let object = draft(value, description);
            let (_, found) = lint_against(vec![object.clone()], Tlp::Green, true, &checks);
            assert_eq!((found.refused.len(), found.warnings.len()), (refused, warned), "{value}");
            assert_eq!(objection(&object, &checks).is_some(), refused + warned > 0, "{value}");
            // Revoked, it says the same.
            let revoked = object.revoked_at(Timestamp::from_unix_seconds(1_700_000_009).unwrap());
            assert_eq!(objection(&revoked, &checks).is_some(), refused + warned > 0, "{value}");
        }
        // In a pattern that is not one of values, and in whatever a program put beside what STIX has.
        for (key, value) in [
            ("pattern", serde_json::json!("[email-addr:value LIKE '%jane@mail.example%']")),
            ("pattern", serde_json::json!("[file:name = 'a'] FOLLOWEDBY [x-case:who MATCHES 'Jane Roe']")),
            ("x_case", serde_json::json!({ "notes": [{ "by": "us", "text": "for Jane Roe" }] })),
        ] {
            let mut object = draft("evil.example", None).to_value();
            object[key] = value;
            let object = StixObject::parse(object).unwrap();
            assert!(objection(&object, &checks).is_some(), "{key}");
        }
        // The words of the format are nobody's name.
        people.add(&Terms::keys("malicious-activity"));
        people.add(&Terms::keys("indicator"));
        let checks = Checks { lists: &lists, people: &people, sealed: false };
        assert_eq!(objection(&draft("evil.example", None), &checks), None);
        // A partner was asked about the address and confirmed it.
        assert_eq!(objection(&draft("someone@mail.example", None), &checks), None);
        assert!(objection(&draft("10.0.0.1", None), &checks).is_some());
    }

    #[test]
    fn labels_are_made_stricter_never_freer() {
        assert_eq!(verdict("evil.example", None, Tlp::Red), "refused");
        let amber = vec![draft("evil.example", None).marked(Tlp::Amber)];
        assert_eq!(lint(amber.clone(), Tlp::Green, true).1.refused.len(), 1);
        assert_eq!(lint(amber, Tlp::Amber, true).1.refused.len(), 0);
    }

    #[test]
    fn a_revocation_is_never_stopped_for_what_it_takes_back() {
        let at = Timestamp::from_unix_seconds(1_700_000_009).unwrap();
        let (linted, found) = lint(vec![draft("google.com", None).revoked_at(at)], Tlp::Green, false);
        assert_eq!((linted.into_objects().len(), found), (1, Lint::default()));
    }
}
