//! What a request asks for (TAXII 2.1 §3.4), and pages that are bound to it (§3.5).

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{answer::Answer, catalog};
use crate::store::{AddedRow, Rows};

/// Most objects of one page, and how many there are where nothing is asked.
pub(super) const PAGE: usize = 1000;
/// Bytes of the part of a MAC that goes into a page's name.
const TAG_BYTES: usize = 16;

/// Which versions of an object are wanted. One version of each is held, so it is the first as well as the last.
#[derive(Debug, PartialEq, Eq)]
enum Versions {
    Held,
    These(BTreeSet<i64>),
}

/// Filters of one request.
#[derive(Debug)]
pub(super) struct Filter {
    after: i64,
    ids: Option<Vec<(u8, u128)>>,
    kinds: Option<BTreeSet<u8>>,
    versions: Versions,
    spec: bool,
    pub(super) limit: usize,
    next: Option<String>,
    /// What was asked for, in one spelling.
    canon: String,
}

impl Filter {
    /// Reads a query string; what is no filter is passed over, as the standard asks.
    pub(super) fn read(query: &str) -> Result<Self, Answer> {
        let bad = |why: &str| Answer::error(400, why);
        let mut filter = Self {
            after: i64::MIN,
            ids: None,
            kinds: None,
            versions: Versions::Held,
            spec: true,
            limit: PAGE,
            next: None,
            canon: String::new(),
        };
        let mut asked = BTreeSet::new();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let list = || value.split(',').map(str::trim).filter(|v| !v.is_empty());
            match key.as_ref() {
                "added_after" => {
                    let time = value.ends_with('Z').then(|| value.parse::<jiff::Timestamp>().ok()).flatten();
                    filter.after =
                        time.ok_or_else(|| bad("added_after is no RFC 3339 time in UTC"))?.as_microsecond();
                }
                // An id of no known form matches nothing; it is no mistake to ask for it.
                "match[id]" => filter.ids = Some(list().filter_map(catalog::object).collect()),
                "match[type]" => filter.kinds = Some(list().filter_map(catalog::kind).collect()),
                "match[version]" => {
                    if !list().any(|v| matches!(v, "last" | "first" | "all")) {
                        let times: Option<_> = list().map(catalog::nanoseconds).collect();
                        let times = times.ok_or_else(|| bad("a version is last, first, all or a time"))?;
                        filter.versions = Versions::These(times);
                    }
                }
                "match[spec_version]" => filter.spec = list().any(|v| v == "2.1"),
                "limit" => {
                    let limit = value.parse().ok().filter(|n: &u64| *n > 0);
                    let limit = limit.ok_or_else(|| bad("limit is a whole number above zero"))?;
                    filter.limit = usize::try_from(limit).unwrap_or(PAGE).min(PAGE);
                    continue;
                }
                "next" => {
                    filter.next = Some(value.into_owned());
                    continue;
                }
                _ => continue,
            }
            asked.insert(format!("{key}={value}"));
        }
        filter.canon = asked.into_iter().collect::<Vec<_>>().join("&");
        Ok(filter)
    }

    /// Where this page begins: after this time.
    pub(super) fn start(&self, pages: &Pages<'_>) -> Result<i64, Answer> {
        match &self.next {
            None => Ok(self.after),
            Some(next) => pages
                .read(next, &self.canon)
                .ok_or_else(|| Answer::error(400, "next is of another request: leave it out to begin anew")),
        }
    }

    /// The name of the page that begins after `at`.
    pub(super) fn next(&self, at: i64, pages: &Pages<'_>) -> String {
        pages.name(at, &self.canon)
    }

    /// The rows that match, after `start`, up to `ceiling`, in order. One more than a page holds says that there is one.
    pub(super) fn rows(&self, rows: &Rows, start: i64, ceiling: u8) -> Vec<AddedRow> {
        if !self.spec {
            return Vec::new();
        }
        let matches = |row: &&AddedRow| {
            row.at > start
                && row.label <= ceiling
                && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&row.kind))
                && match &self.versions {
                    Versions::Held => true,
                    Versions::These(times) => times.contains(&row.version()),
                }
        };
        let most = self.limit + 1;
        match &self.ids {
            None => rows.after(start).filter(matches).take(most).copied().collect(),
            Some(ids) => {
                let mut found: Vec<AddedRow> =
                    ids.iter().filter_map(|id| rows.of(*id)).filter(matches).copied().collect();
                found.sort_by_key(|row| row.at);
                found.dedup();
                found.truncate(most);
                found
            }
        }
    }
}

/// Names of pages: a place in the order and a MAC over it, who asked, where, and for what. Nobody can make one up, or
/// go on with a page of another's or under other filters.
pub(super) struct Pages<'k> {
    pub(super) key: &'k [u8],
    /// Who asks, and of what.
    pub(super) of: String,
}

impl Pages<'_> {
    fn name(&self, at: i64, canon: &str) -> String {
        let mut bytes = at.to_be_bytes().to_vec();
        let tag = self.mac(at, canon).finalize().into_bytes();
        bytes.extend(tag.iter().take(TAG_BYTES));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read(&self, name: &str, canon: &str) -> Option<i64> {
        let bytes = URL_SAFE_NO_PAD.decode(name).ok()?;
        let (at, tag) = bytes.split_first_chunk()?;
        let at = i64::from_be_bytes(*at);
        let whole = tag.len() == TAG_BYTES && self.mac(at, canon).verify_truncated_left(tag).is_ok();
        whole.then_some(at)
    }

    fn mac(&self, at: i64, canon: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key).unwrap_or_else(|_| unreachable!());
        // Lengths first, so that no two requests make the same bytes.
        for part in [b"hedgerow/taxii/next/1".as_slice(), self.of.as_bytes(), canon.as_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.update(&at.to_be_bytes());
        mac
    }
}
