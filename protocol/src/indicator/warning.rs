//! Warning lists: what is known to be no attack by itself, in MISP's format (docs/indicators.md).
//!
//! A hit is a reason to look, never a refusal: attackers rent hosts beneath widely used names, and machines within the
//! ranges of large providers. So a name is compared whole, and a true host beneath a listed suffix passes.

use std::{collections::HashMap, net::IpAddr};

use regex::{RegexSet, RegexSetBuilder};
use serde::Deserialize;

use super::observable::{Observable, ObservableKind as K};

/// Entries of all lists together.
const ENTRIES: usize = 4_000_000;

/// Bytes that the expressions of one list may take, compiled.
const COMPILED: usize = 4 * 1024 * 1024;

/// Why a list is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WarningError {
    /// Not the JSON of a MISP warning list.
    #[error("this is no MISP warning list")]
    Form,
    /// A list of a type that is not read.
    #[error("lists of this type are not read (only string, hostname, substring, cidr and regex are)")]
    Type,
    /// An expression that is none, or too large a one.
    #[error("the list holds an expression that cannot be read")]
    Expression,
    /// More than memory should hold.
    #[error("the lists have more than {ENTRIES} entries together")]
    TooMany,
}

#[derive(Deserialize)]
struct Raw {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    matching_attributes: Vec<String>,
    list: Vec<String>,
}

struct List {
    name: String,
    /// MISP's names of the kinds that it is for; all if there are none.
    kinds: Vec<String>,
}

/// Several lists, ready to be asked.
#[derive(Default)]
pub struct WarningLists {
    lists: Vec<List>,
    exact: HashMap<String, Vec<u16>>,
    substrings: Vec<(String, u16)>,
    expressions: Vec<(RegexSet, u16)>,
    /// By length of the prefix, IPv4 in its mapped form.
    ranges: HashMap<u8, HashMap<u128, u16>>,
    entries: usize,
}

impl WarningLists {
    /// Adds one list.
    pub fn add(&mut self, json: &[u8]) -> Result<(), WarningError> {
        let raw: Raw = serde_json::from_slice(json).map_err(|_| WarningError::Form)?;
        self.entries = self.entries.saturating_add(raw.list.len());
        let number = u16::try_from(self.lists.len()).map_err(|_| WarningError::TooMany)?;
        if self.entries > ENTRIES {
            return Err(WarningError::TooMany);
        }
        match raw.kind.as_str() {
            "string" | "hostname" => {
                for entry in &raw.list {
                    let entry = entry.trim().trim_start_matches('.').to_lowercase();
                    self.exact.entry(entry).or_default().push(number);
                }
            }
            "substring" => {
                let entries = raw.list.iter().map(|e| e.trim().to_lowercase()).filter(|e| e.len() > 2);
                self.substrings.extend(entries.map(|e| (e, number)));
            }
            "cidr" => {
                for (net, prefix) in raw.list.iter().filter_map(|e| range(e.trim())) {
                    self.ranges.entry(prefix).or_default().entry(net).or_insert(number);
                }
            }
            "regex" => self.expressions.push((expressions(&raw.list)?, number)),
            _ => return Err(WarningError::Type),
        }
        self.lists.push(List { name: raw.name, kinds: raw.matching_attributes });
        Ok(())
    }

    /// How many lists there are, and how many entries.
    pub fn size(&self) -> (usize, usize) {
        (self.lists.len(), self.entries)
    }

    /// The name of a list that an observable is on.
    pub fn hit(&self, observable: &Observable) -> Option<&str> {
        let value = observable.value();
        let kinds = kinds(observable.kind());
        let listed = match observable.kind() {
            K::Ipv4 | K::Ipv6 => self.in_range(value, kinds).or_else(|| self.named(value, kinds)),
            K::Domain => self.named(value, kinds).or_else(|| self.named(value.strip_prefix("www.")?, kinds)),
            K::Url => self.named(value, kinds).or_else(|| {
                // A page on a listed host can be an attack; the host itself is not.
                let rest = value.split_once("://")?.1.trim_end_matches('/');
                if rest.contains(['/', '?']) {
                    return None;
                }
                let host = observable.host()?;
                let plain = host.trim_matches(['[', ']']);
                self.in_range(plain, kinds).or_else(|| self.named(plain, kinds))
            }),
            K::Email => self.named(value, kinds).or_else(|| {
                let found = self
                    .substrings
                    .iter()
                    .find(|(part, n)| value.contains(part.as_str()) && self.is_for(*n, kinds));
                self.name(found?.1)
            }),
            _ => self.named(value, kinds),
        };
        listed.or_else(|| {
            let mut of = self.expressions.iter().filter(|(_, n)| self.is_for(*n, kinds));
            self.name(of.find(|(set, _)| set.is_match(value))?.1)
        })
    }

    fn named(&self, value: &str, kinds: &[&str]) -> Option<&str> {
        let lists = self.exact.get(value).or_else(|| self.exact.get(&value.to_lowercase()))?;
        self.name(*lists.iter().find(|n| self.is_for(**n, kinds))?)
    }

    fn in_range(&self, address: &str, kinds: &[&str]) -> Option<&str> {
        let bits = bits(address.parse().ok()?);
        let of = |(prefix, nets): (&u8, &HashMap<u128, u16>)| nets.get(&masked(bits, *prefix)).copied();
        self.name(self.ranges.iter().filter_map(of).find(|n| self.is_for(*n, kinds))?)
    }

    fn is_for(&self, number: u16, kinds: &[&str]) -> bool {
        let list = self.lists.get(usize::from(number));
        list.is_some_and(|l| l.kinds.is_empty() || l.kinds.iter().any(|k| kinds.contains(&k.as_str())))
    }

    fn name(&self, number: u16) -> Option<&str> {
        self.lists.get(usize::from(number)).map(|l| l.name.as_str())
    }
}

/// Expressions as MISP has them: between slashes, with flags behind the second, or bare.
fn expressions(list: &[String]) -> Result<RegexSet, WarningError> {
    let bare = list.iter().map(|entry| {
        let entry = entry.trim();
        match entry.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) {
            // Of its flags, g says nothing about whether there is a match.
            Some((inner, flags)) if flags.bytes().all(|flag| b"gimsxu".contains(&flag)) => {
                let flags: String = flags.chars().filter(|flag| *flag != 'g').collect();
                if flags.is_empty() { inner.to_owned() } else { format!("(?{flags}){inner}") }
            }
            _ => entry.to_owned(),
        }
    });
    RegexSetBuilder::new(bare).size_limit(COMPILED).build().map_err(|_| WarningError::Expression)
}

/// MISP's names of a kind.
const fn kinds(kind: K) -> &'static [&'static str] {
    match kind {
        K::Domain => &["domain", "hostname", "domain|ip"],
        K::Url => &["url", "uri", "link", "domain", "hostname", "domain|ip", "ip-dst", "ip-src"],
        K::Ipv4 | K::Ipv6 => &["ip-dst", "ip-src", "domain|ip"],
        K::Email => &["email", "email-src", "email-dst", "whois-registrant-email"],
        K::Md5 => &["md5", "filename|md5"],
        K::Sha1 => &["sha1", "filename|sha1"],
        K::Sha256 => &["sha256", "filename|sha256"],
        K::Sha512 => &["sha512", "filename|sha512"],
        K::FileName => &["filename"],
        _ => &[],
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// A range as network and length of its prefix, of 128 bits.
fn range(text: &str) -> Option<(u128, u8)> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let prefix: u8 = prefix.map_or(Some(whole), |p| p.parse().ok()).filter(|p| *p <= whole)?;
    let prefix = if address.is_ipv4() { prefix + 96 } else { prefix };
    Some((masked(bits(address), prefix), prefix))
}

const fn masked(bits: u128, prefix: u8) -> u128 {
    match prefix {
        0 => 0,
        _ => bits & (u128::MAX << (128 - prefix as u32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> WarningLists {
        let mut lists = WarningLists::default();
        for (name, kind, attributes, entries) in [
            (
                "Top sites",
                "hostname",
                r#"["domain","hostname","url"]"#,
                r#"["widely.example","shared.example"]"#,
            ),
            ("Suffixes", "string", r#"["domain"]"#, r#"["co.example"]"#),
            ("A provider", "cidr", r#"["ip-dst"]"#, r#"["198.51.0.0/16","2001:db8:7::/48","not a range"]"#),
            ("Throwaway mail", "substring", r#"["email-src"]"#, r#"["@throwaway.example"]"#),
            ("Contacts", "regex", r#"["email-src"]"#, r#"["/^(abuse|noc)\\@.*\\..*$/i","^bare@"]"#),
            ("Empty files", "string", r#"["md5"]"#, r#"["D41D8CD98F00B204E9800998ECF8427E"]"#),
        ] {
            let json = format!(
                r#"{{"name":"{name}","type":"{kind}","version":1,"matching_attributes":{attributes},"list":{entries}}}"#
            );
            lists.add(json.to_lowercase().replace(&name.to_lowercase(), name).as_bytes()).unwrap();
        }
        lists
    }

    #[test]
    fn what_is_listed_is_hit_and_a_true_host_beneath_passes() {
        let lists = lists();
        for (value, hit) in [
            ("widely.example", Some("Top sites")),
            ("www.widely.example", Some("Top sites")),
            ("https://shared.example/", Some("Top sites")),
            ("evil.shared.example", None),
            ("https://shared.example/evil", None),
            ("co.example", Some("Suffixes")),
            ("evil.co.example", None),
            ("198.51.7.7", Some("A provider")),
            ("198.52.7.7", None),
            ("2001:db8:7::1", Some("A provider")),
            ("2001:db8:8::1", None),
            ("x@throwaway.example", Some("Throwaway mail")),
            ("x@else.example", None),
            ("abuse@else.example", Some("Contacts")),
            ("bare@else.example", Some("Contacts")),
            ("no-abuse@else.example", None),
            ("d41d8cd98f00b204e9800998ecf8427e", Some("Empty files")),
        ] {
            assert_eq!(lists.hit(&Observable::guess(value).unwrap()), hit, "{value}");
        }
        assert_eq!(lists.size().0, 6);
    }

    #[test]
    fn what_is_no_list_says_so() {
        let mut lists = WarningLists::default();
        assert_eq!(lists.add(b"{}"), Err(WarningError::Form));
        let other = br#"{"name":"x","type":"sounds-like","list":["a"]}"#;
        assert_eq!(lists.add(other), Err(WarningError::Type));
        for expression in ["(", "(?=ahead)a", "a{1000}{1000}"] {
            let regex = format!(r#"{{"name":"x","type":"regex","list":["{expression}"]}}"#);
            assert_eq!(lists.add(regex.as_bytes()), Err(WarningError::Expression), "{expression}");
        }
        assert_eq!(lists.size().0, 0);
    }
}
