//! Lint: what must not be published, and what a person should look at first (docs/indicators.md).

use std::{borrow::Cow, sync::LazyLock};

use super::{
    observable::{Observable, ObservableKind},
    people::{Nobody, People},
    personal,
    stix::StixObject,
    tlp::Tlp,
    warning::WarningLists,
};

mod range;
#[cfg(test)]
mod tests;

use range::not_public;

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
    // In whatever it says, a pattern that is not understood included. What it looks for stands in its pattern, mostly in
    // the same spelling.
    let said = object.said();
    let unsaid = |o: &&Observable| !said.iter().any(|(_, text)| text.contains(o.value()));
    if said.iter().any(|(_, text)| known(text)) || observables.iter().filter(unsaid).any(|o| known(o.value()))
    {
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
        ObservableKind::Ipv4 | ObservableKind::Ipv6 => observable.value().parse().ok().and_then(not_public),
        ObservableKind::Domain => host(observable.value()),
        ObservableKind::Url => {
            let bare = observable.value().split_once("://").is_some_and(|(_, rest)| {
                rest.trim_end_matches('/').split_once('/').is_none() && !rest.contains('?')
            });
            let host_name = observable.host()?;
            if let Ok(address) = host_name.trim_matches(['[', ']']).parse() {
                return not_public(address);
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

/// What a person should look at: it may be about somebody rather than an attack, or block what many use.
fn warning(draft: &StixObject, checks: &Checks<'_>) -> Option<String> {
    if let Some(reason) = personal::asked(draft) {
        return Some(reason.to_owned());
    }
    if draft.said().iter().any(|(_, text)| checks.people.may_speak_of_one(text)) {
        return Some(
            "it holds a word by which somebody in this vault is known, and others may be; it must not speak of her"
                .into(),
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
