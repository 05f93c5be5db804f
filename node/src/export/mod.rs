//! Indicators out, for programs that others run: STIX 2.1, MVT, MISP, CSV, lists, hosts, RPZ (docs/indicators.md).
//!
//! Every format is one [`Format`]. What it cannot hold is left out, counted and named, never bent into its form.

mod block;
pub mod misp;
mod stix;
mod table;

use std::{collections::BTreeMap, str::FromStr};

use hedgerow_protocol::{
    document::Charter,
    id::Id,
    indicator::{Instant, Observable, Pattern},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::{Allowed, Entry};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A STIX 2.1 bundle of the objects as they were signed, revocations and context included.
    Stix,
    /// The same, without what the OASIS validator would refuse.
    Strict,
    /// A STIX 2.1 bundle that the Mobile Verification Toolkit reads as it is meant.
    Mvt,
    /// One MISP event.
    Misp,
    /// A MISP feed: a folder with a manifest, hashes and an event a label and month.
    MispFeed,
    /// `kind,value,tlp,valid_from,id,valid_until`, one row an observable.
    Csv,
    /// One value a line.
    List,
    /// A hosts file that leads every domain nowhere.
    Hosts,
    /// A DNS response policy zone.
    Rpz,
}

/// Every format by its name.
const FORMATS: [(&str, Format); 9] = [
    ("stix", Format::Stix),
    ("strict", Format::Strict),
    ("mvt", Format::Mvt),
    ("misp", Format::Misp),
    ("misp-feed", Format::MispFeed),
    ("csv", Format::Csv),
    ("list", Format::List),
    ("hosts", Format::Hosts),
    ("rpz", Format::Rpz),
];

impl Format {
    /// Whether programs alarm people by it, or block for them, without anybody looking at it first.
    pub const fn acts(self) -> bool {
        matches!(self, Self::Mvt | Self::Hosts | Self::Rpz)
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        FORMATS.iter().find(|(name, _)| *name == s).map(|(_, format)| *format).ok_or_else(|| {
            let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
            format!("indicators are exported as one of {}", names.join(", "))
        })
    }
}

/// Who will read what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Anyone: CLEAR and GREEN.
    Anyone,
    /// Members of the federation: AMBER too.
    Members,
}

/// In whose name a MISP event stands. A federation's, so that an event names no member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// Its name.
    pub name: String,
    /// What its UUID follows from.
    pub charter: Option<Id<Charter>>,
}

/// One reason for which things were left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// The reason.
    pub reason: String,
    /// How many.
    pub count: usize,
    /// Ids of the objects, the first [`NAMED`] of them.
    pub objects: Vec<String>,
}

/// Most objects named of one reason.
pub const NAMED: usize = 1000;

/// What was written, and what was left out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exported {
    /// The file, where there is one.
    pub text: String,
    /// The files by name, where there are several.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// UUID of the organisation in whose name the events of a MISP feed stand.
    #[serde(default)]
    pub organisation: String,
    /// Objects or observables written.
    pub written: usize,
    /// Objects held back by their label.
    pub held_back: usize,
    /// What the format cannot hold, by reason.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
}

impl Exported {
    /// Counts what is left out, and names it.
    pub(crate) fn leave_out(&mut self, reason: &str, object: &str) {
        LeftOut::add(&mut self.left_out, reason, object);
    }
}

impl LeftOut {
    /// Counts one more object among those that were left out.
    pub(crate) fn add(list: &mut Vec<Self>, reason: &str, object: &str) {
        let place = match list.iter().position(|l| l.reason == reason) {
            Some(place) => place,
            None => {
                list.push(Self { reason: reason.to_owned(), count: 0, objects: Vec::new() });
                list.len() - 1
            }
        };
        if let Some(left) = list.get_mut(place) {
            left.count += 1;
            if left.objects.len() < NAMED {
                left.objects.push(object.to_owned());
            }
        }
    }
}

/// Writes the published objects among `entries`. Drafts stay: nobody has looked at them yet. What blocks does not block
/// what is `allowed` here.
pub fn export(
    entries: &[Entry],
    format: Format,
    audience: Audience,
    publisher: &Publisher,
    allowed: &[Allowed],
    now: Timestamp,
) -> Exported {
    let published = || entries.iter().filter(|e| !e.is_draft());
    let may_go: Vec<&Entry> = published()
        .filter(|e| match audience {
            Audience::Anyone => e.object.tlp().is_some_and(|t| t.may_leave_federation()),
            Audience::Members => e.object.tlp().is_some_and(|t| t.may_go_to_members()),
        })
        .collect();
    let mut out = Exported { held_back: published().count() - may_go.len(), ..Exported::default() };
    match format {
        Format::Stix => stix::signed(&may_go, &mut out),
        Format::Strict => stix::strict(&may_go, &mut out),
        Format::Mvt => stix::mvt(&may_go, now, &mut out),
        Format::Misp => misp::event(&may_go, publisher, now, &mut out),
        Format::MispFeed => misp::feed(&may_go, publisher, now, &mut out),
        Format::Csv => table::csv(&may_go, now, &mut out),
        Format::List => table::list(&may_go, now, &mut out),
        Format::Hosts => block::hosts(&may_go, allowed, now, &mut out),
        Format::Rpz => block::rpz(&may_go, allowed, now, &mut out),
    }
    out
}

/// Our namespace for ids of what is made for an export: UUIDv5 over what it is and what it stands for. MISP takes no
/// later version than 5.
const NAMESPACE: Uuid = Uuid::from_u128(0x0c1d_54a9_5b0e_5a61_a2f3_7be2_9d4e_c0d7);

fn uuid(what: &str, of: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{what} {of}").as_bytes())
}

/// Whether an object still says what to look for: not taken back, not expired.
fn live(entry: &Entry, now: Instant) -> bool {
    entry.object.in_force(now)
}

/// What can be looked for as it is: live indicators for one observable or any of several. What is live and cannot is
/// left out by name.
fn usable<'e>(
    entries: &[&'e Entry],
    now: Timestamp,
    out: &mut Exported,
) -> Vec<(&'e Entry, &'e [Observable])> {
    let now = Instant::of(now);
    let mut list = Vec::new();
    for entry in entries.iter().copied().filter(|entry| live(entry, now)) {
        match entry.object.pattern() {
            Some(pattern @ (Pattern::One(_) | Pattern::Any(_))) => list.push((entry, pattern.observables())),
            Some(_) => {
                out.leave_out("the pattern is more than one value or any of several", entry.object.id())
            }
            None => {}
        }
    }
    list
}

#[cfg(test)]
mod public_sets;
#[cfg(test)]
mod tests;
