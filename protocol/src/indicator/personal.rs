//! What a text says that may be about somebody nobody here knows of: a telephone number, an e-mail address, the name of a
//! user in a path. A reason to ask, so it errs to asking (docs/indicators.md, Lint).

use std::borrow::Cow;

use super::{
    folded::folded,
    meant::{refanged, unescaped},
    observable::{Observable, ObservableKind as K},
    pattern::Pattern,
    stix::StixObject,
};

mod address;
mod path;
mod phone;

const CONTACT: &str = "what it says may hold a person's phone number or e-mail address";
const USER: &str = "a path in it may hold the name of a person";

/// What an object says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Words of people.
    Words,
    /// An id or a count, whose digits are no number to call.
    Id,
    Link,
    /// A path in the file system.
    Path,
    /// What can hold nothing about a person but what a lint asks about anyway.
    Plain,
}

/// Why a person should look at what an object says, if there is a reason.
pub(super) fn asked(object: &StixObject) -> Option<&'static str> {
    let of_pattern = object.pattern().and_then(in_pattern);
    of_pattern.or_else(|| {
        let said = object.said();
        let mut said = said.iter().filter(|(key, _)| *key != "pattern");
        said.find_map(|(key, text)| in_text(kind(object.kind(), key), text))
    })
}

/// What stands under a key.
fn kind(of: &str, key: &str) -> Kind {
    match (of, key) {
        ("url", "value") | (_, "url") => Kind::Link,
        ("domain-name" | "email-addr" | "ipv4-addr" | "ipv6-addr", "value") => Kind::Plain,
        _ if key.ends_with("_ref") || key.ends_with("_refs") => Kind::Plain,
        (_, "size" | "number_observed" | "serial_number" | "external_id" | "pid") => Kind::Id,
        _ if key.ends_with("_id") || key.ends_with("_count") || key.ends_with("_port") => Kind::Id,
        _ => Kind::Words,
    }
}

fn in_pattern(pattern: &Pattern) -> Option<&'static str> {
    match pattern {
        Pattern::Opaque(text) => in_text(Kind::Words, text),
        Pattern::Tree(tree) => tree.expression.comparisons().into_iter().find_map(|comparison| {
            let (of, key) = comparison.path.split_once(':').unwrap_or(("", &comparison.path));
            let kind = match K::of_path(&comparison.path) {
                // Compared with for anything but equality it is no observable, and not asked about as one.
                Some(K::Email) => Kind::Words,
                Some(known) => of_observable(known),
                None => kind(of, key.rsplit(['.', ':']).next().unwrap_or_default()),
            };
            comparison.values.iter().find_map(|value| in_text(kind, value))
        }),
        _ => pattern.observables().iter().find_map(in_observable),
    }
}

fn in_observable(observable: &Observable) -> Option<&'static str> {
    in_text(of_observable(observable.kind()), observable.value())
}

const fn of_observable(kind: K) -> Kind {
    match kind {
        K::Url | K::Media => Kind::Link,
        K::FileName | K::FilePath | K::Process => Kind::Path,
        K::Persona | K::Page | K::Channel => Kind::Words,
        _ => Kind::Plain,
    }
}

fn in_text(kind: Kind, text: &str) -> Option<&'static str> {
    match kind {
        Kind::Plain => None,
        Kind::Link => in_link(text),
        Kind::Path => path::names_a_user(text).then_some(USER).or_else(|| mail(text)),
        Kind::Words | Kind::Id => {
            let meant = refanged(text);
            let (words, links) = apart(&meant);
            if path::names_a_user(&words) {
                return Some(USER);
            }
            let words = folded(&words);
            let called = kind == Kind::Words && phone::is_in(&words);
            (called || address::is_in(&words))
                .then_some(CONTACT)
                .or_else(|| links.into_iter().find_map(in_link))
        }
    }
}

fn mail(text: &str) -> Option<&'static str> {
    address::is_in(&folded(&refanged(text))).then_some(CONTACT)
}

/// A text without the links in it, and these.
fn apart(text: &str) -> (Cow<'_, str>, Vec<&str>) {
    if !text.contains("://") {
        return (Cow::Borrowed(text), Vec::new());
    }
    let is_link = |word: &&str| word.split_once("://").is_some_and(|(scheme, _)| !scheme.ends_with("file"));
    let (links, words): (Vec<_>, Vec<_>) =
        text.split_inclusive(|c: char| c.is_whitespace() || "<>\"'".contains(c)).partition(is_link);
    (Cow::Owned(words.concat()), links)
}

/// A link says something of a person in its query, or before the host: paths are full of numbers that are no one's.
fn in_link(link: &str) -> Option<&'static str> {
    let meant = unescaped(link);
    let rest = meant.split_once("://").map_or(meant.as_ref(), |(_, rest)| rest);
    let (place, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    if link.starts_with("file:") || path::names_a_user(query) {
        return path::names_a_user(rest).then_some(USER);
    }
    let user = host.contains('@');
    let address = || address::is_in(&folded(path)) || address::is_in(&folded(query));
    (user || address() || phone::is_in_link(host, path, query)).then_some(CONTACT)
}

#[cfg(test)]
mod tests;
