//! What a resolver or a machine blocks: hosts files and response policy zones (draft-vixie-dnsop-dns-rpz).
//!
//! Only domains and addresses are blocked. The host of a URL is not: one bad page is no reason to cut off a site.

use std::{
    collections::{BTreeSet, HashSet},
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use hedgerow_protocol::{
    indicator::{Observable, ObservableKind},
    time::Timestamp,
};

use super::{Exported, usable};
use crate::store::{Allowed, Entry};

/// Longest name of a rule: it ends in that of the zone, and all of it is at most 253 bytes.
const LONGEST: usize = 180;
const NOT_BLOCKED: &str = "only domains are blocked by a hosts file, domains and addresses by a zone";

/// `0.0.0.0 NAME`, one line a domain. A hosts file knows no wildcards: subdomains need a line of their own.
pub(super) fn hosts(entries: &[&Entry], allowed: &[Allowed], now: Timestamp, out: &mut Exported) {
    let rules = rules(entries, allowed, now, out, |o| match o.kind() {
        ObservableKind::Domain => Some(format!("0.0.0.0 {}\n", o.value())),
        _ => None,
    });
    out.text = "# Domains from a Hedgerow federation's indicators.\n".to_owned() + &rules.concat();
}

/// A zone to be served under any name. Domains with all beneath them answer NXDOMAIN, as do answers that would lead
/// to an address. What is allowed beneath such a domain passes, with all beneath it but what has a rule of its own.
pub(super) fn rpz(entries: &[&Entry], allowed: &[Allowed], now: Timestamp, out: &mut Exported) {
    let mut blocked = HashSet::new();
    let rules = rules(entries, allowed, now, out, |o| match o.kind() {
        ObservableKind::Domain if o.value().len() <= LONGEST => {
            blocked.insert(o.value().to_owned());
            Some(format!("{0} CNAME .\n*.{0} CNAME .\n", o.value()))
        }
        ObservableKind::Ipv4 => o.value().parse().ok().map(|a| format!("{} CNAME .\n", v4(a))),
        ObservableKind::Ipv6 => o.value().parse().ok().map(|a| format!("{} CNAME .\n", v6(a))),
        _ => None,
    });
    let serial = u32::try_from(now.unix_seconds()).unwrap_or(u32::MAX);
    let mut text = String::from("$TTL 300\n");
    let _ = writeln!(text, "@ SOA localhost. root.localhost. {serial} 3600 600 86400 300\n@ NS localhost.");
    text.extend(rules);
    let passed =
        || allowed.iter().filter(|a| a.kind == ObservableKind::Domain.name()).map(|a| a.value.as_str());
    let mut within = BTreeSet::new();
    for name in passed() {
        let above: Vec<&str> = name.match_indices('.').filter_map(|(at, _)| name.get(at + 1..)).collect();
        let Some(least) = above.iter().position(|above| blocked.contains(*above)) else { continue };
        // A name between the two comes to be by this rule, and what is beneath it is no more beneath the asterisk above
        // (RFC 4592 section 3.3.1): it has to be blocked by itself.
        within
            .extend(above.iter().take(least).copied().filter(|name| !passed().any(|passed| passed == *name)));
        if name.len() <= LONGEST {
            let _ = writeln!(text, "{name} CNAME rpz-passthru.\n*.{name} CNAME rpz-passthru.");
        } else {
            out.leave_out("an allowed name is too long for a zone, and what is above it is blocked", name);
        }
    }
    within.iter().for_each(|name| _ = writeln!(text, "{name} CNAME .\n*.{name} CNAME ."));
    out.text = text;
}

/// One rule an observable, sorted, each once. What makes no rule is left out by name, and so is what is allowed.
fn rules(
    entries: &[&Entry],
    allowed: &[Allowed],
    now: Timestamp,
    out: &mut Exported,
    mut rule: impl FnMut(&Observable) -> Option<String>,
) -> Vec<String> {
    let allowed: HashSet<(&str, &str)> =
        allowed.iter().map(|a| (a.kind.as_str(), a.value.as_str())).collect();
    let mut rules = Vec::new();
    for (entry, observables) in usable(entries, now, out) {
        for o in observables {
            if allowed.contains(&(o.kind().name(), o.value())) {
                out.leave_out("it is on the allow-list", entry.object.id());
                continue;
            }
            match rule(o) {
                Some(text) => rules.push(text),
                None => out.leave_out(NOT_BLOCKED, entry.object.id()),
            }
        }
    }
    rules.sort_unstable();
    rules.dedup();
    out.written = rules.len();
    rules
}

/// `prefix.B4.B3.B2.B1.rpz-ip` (§4.3).
fn v4(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("32.{d}.{c}.{b}.{a}.rpz-ip")
}

/// `prefix.W8.….W1.rpz-ip`, the longest run of zero words as `zz` (§4.3).
fn v6(address: Ipv6Addr) -> String {
    let words = address.segments();
    let mut longest = 0..0;
    let mut start = 0;
    for end in 1..=words.len() {
        let zeros = words.get(start..end).is_some_and(|run| run.iter().all(|w| *w == 0));
        if !zeros {
            start = end;
        } else if end - start > longest.len() {
            longest = start..end;
        }
    }
    let mut parts = Vec::new();
    for (i, word) in words.iter().enumerate() {
        if longest.len() > 1 && longest.contains(&i) {
            if i == longest.start {
                parts.push("zz".to_owned());
            }
        } else {
            parts.push(format!("{word:x}"));
        }
    }
    parts.reverse();
    format!("128.{}.rpz-ip", parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_in_a_zone_backwards() {
        assert_eq!(v4("192.0.2.7".parse().unwrap()), "32.7.2.0.192.rpz-ip");
        for (address, rule) in [
            ("2001:db8::1", "128.1.zz.db8.2001.rpz-ip"),
            ("2001:db8:0:0:1::2", "128.2.0.0.1.zz.db8.2001.rpz-ip"),
            ("::", "128.zz.rpz-ip"),
            ("2001:db8:1:2:3:4:0:5", "128.5.0.4.3.2.1.db8.2001.rpz-ip"),
        ] {
            assert_eq!(v6(address.parse().unwrap()), rule, "{address}");
        }
    }
}
