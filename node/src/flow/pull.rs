//! Objects from outside the federation: pulled from a partner who does not run Hedgerow, or posted by a client.

use std::path::Path;

use hedgerow_protocol::{
    indicator::{IdSpace, StixObject},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::intake::read_bounded;
use crate::{
    api::{ForeignChoice, PullFrom},
    error::{Class, NodeError},
    node::Node,
    reader::indicator,
    remote::{FetchError, Fetcher, misp, taxii},
    store::{ForeignObject, ForeignStored, Landing},
};

/// Most rejected objects named.
const NAMED: usize = 1000;
/// Pages without an object that are read on from.
const EMPTY: usize = 10;
/// What is asked for where it is not known what answers: TAXII if it speaks that, else whatever it has.
const ACCEPT: &str = "application/taxii+json;version=2.1, application/json;q=0.8, */*;q=0.5";

/// What a pull did: `read` = `stored` + `duplicates` + `rejected`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pulled {
    /// `taxii`, `misp` or `file`.
    pub kind: String,
    /// Where what came is listed as coming from: collections, the feed or the file.
    pub sources: Vec<String>,
    /// Objects read.
    pub read: u64,
    /// Stored now.
    pub stored: u64,
    /// Here before.
    pub duplicates: u64,
    /// Not stored.
    pub rejected: u64,
    /// Of these, the first thousand.
    pub reasons: Vec<NotTaken>,
}

/// One object that was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotTaken {
    /// Its id, or the line it stands in.
    pub object: String,
    /// Why.
    pub reason: String,
}

impl Pulled {
    fn reject(&mut self, object: impl FnOnce() -> String, reason: &str) {
        self.rejected += 1;
        if self.reasons.len() < NAMED {
            let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(120).collect();
            self.reasons.push(NotTaken { object: short(&object()), reason: short(reason) });
        }
    }
}

impl From<FetchError> for NodeError {
    fn from(error: FetchError) -> Self {
        let class = match error {
            FetchError::Url | FetchError::Proxy | FetchError::Token => Class::Input,
            _ => Class::Network,
        };
        Self::new(class, error)
    }
}

/// What adopting or dropping did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignMoved {
    /// Objects that were chosen, and are foreign no more.
    pub moved: usize,
    /// Of these, drafts now; the others were here before, or were dropped.
    pub drafts: usize,
    /// Left where they are: revocations, and versions of what this node published.
    #[serde(default)]
    pub refused: usize,
}

/// Objects stored in one durable commit.
const COMMIT: usize = 1000;

/// The first line of a file.
fn token(path: &Path) -> Result<Zeroizing<String>, NodeError> {
    let unread = |why: &dyn std::fmt::Display| {
        NodeError::input(format!("the token file {} cannot be read: {why}", path.display()))
    };
    let bytes = Zeroizing::new(read_bounded(std::fs::File::open(path).map_err(|e| unread(&e))?, 64 * 1024)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| unread(&"it is not UTF-8"))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(unread(&"its first line is empty"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// What became of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landed {
    /// New here, or a later version.
    Stored,
    /// Here already.
    Duplicate,
    /// There is no room for more.
    Full,
    /// A revocation, or a version of what this node published: nobody outside has a say in that.
    Refused,
}

impl Landed {
    /// Why it is not here.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Stored | Self::Duplicate => None,
            Self::Full => Some("there is no more room for objects from outside"),
            Self::Refused => {
                Some("revocations, and versions of what this node published, are not taken from outside")
            }
        }
    }
}

impl Node {
    /// Takes in objects of `source`, as its operator lets them land. Says of each, in order, what became of it.
    pub fn take_in(
        &self,
        source: &str,
        landing: Landing,
        objects: Vec<StixObject>,
        now: Timestamp,
    ) -> Result<Vec<Landed>, NodeError> {
        Ok(match landing {
            Landing::Drafts => self.draft_from_outside(objects, now)?,
            Landing::Foreign => {
                let stored = self.foreign.add(source, objects, now)?;
                let landed = |stored| match stored {
                    ForeignStored::Stored => Landed::Stored,
                    ForeignStored::Duplicate => Landed::Duplicate,
                    ForeignStored::Full => Landed::Full,
                };
                stored.into_iter().map(landed).collect()
            }
        })
    }

    /// Makes drafts of what came from outside, but for what has no place in this node's name.
    fn draft_from_outside(&self, objects: Vec<StixObject>, now: Timestamp) -> Result<Vec<Landed>, NodeError> {
        let own = self.own_keys();
        let may = |o: &StixObject| {
            !o.revoked() && !self.library.owner(o.id()).is_some_and(|owner| own.contains(&owner))
        };
        let mut landed: Vec<Landed> =
            objects.iter().map(|o| if may(o) { Landed::Duplicate } else { Landed::Refused }).collect();
        let objects = objects.into_iter().filter(may).collect();
        let drafts = landed.iter_mut().filter(|l| **l != Landed::Refused);
        for (landed, new) in drafts.zip(self.library.add_drafts(objects, &own, now)?) {
            if new {
                *landed = Landed::Stored;
            }
        }
        Ok(landed)
    }

    /// Reads what a TAXII server, a MISP feed or a file of indicators at `from.url` has. Of a collection that was read
    /// before, what was added since. `told` hears how many objects were read.
    pub fn pull(
        &self,
        from: &PullFrom,
        now: Timestamp,
        told: &mut dyn FnMut(u64),
    ) -> Result<Pulled, NodeError> {
        let token = from.token_file.as_deref().map(token).transpose()?;
        let mut fetcher = Fetcher::new(&from.url, token.as_ref().map(|t| t.as_str()), from.proxy.as_deref())?;
        let mut report = Pulled::default();
        let url = fetcher.server().clone();
        let first = fetcher.get(&url, ACCEPT)?;
        if taxii::is_taxii(&first.kind) {
            report.kind = "taxii".into();
            for collection in taxii::collections(&mut fetcher, &first.body, from.collection.as_deref())? {
                self.pull_collection(&mut fetcher, &collection, from, now, &mut report, told)?;
                report.sources.push(collection.into());
            }
            if report.sources.is_empty() {
                return Err(NodeError::input("the server has no such collection that this token may read"));
            }
        } else if let Some(events) = misp::events(&url, &first.body)? {
            report.kind = "misp".into();
            for event in events {
                let body = fetcher.get(&event, "application/json")?.body;
                match indicator::read(&body, None, now) {
                    Ok(rows) => self.take_rows(url.as_str(), from.landing, rows, now, &mut report)?,
                    Err(error) => {
                        report.read += 1;
                        report.reject(|| event.path().to_owned(), &error.to_string());
                    }
                }
                told(report.read);
            }
            report.sources.push(url.into());
        } else {
            report.kind = "file".into();
            let rows = indicator::read(&first.body, None, now).map_err(NodeError::input)?;
            self.take_rows(url.as_str(), from.landing, rows, now, &mut report)?;
            report.sources.push(url.into());
        }
        told(report.read);
        Ok(report)
    }

    /// Page by page; what a page brought is durable before it is remembered that it was read.
    fn pull_collection(
        &self,
        fetcher: &mut Fetcher,
        collection: &Url,
        from: &PullFrom,
        now: Timestamp,
        report: &mut Pulled,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), NodeError> {
        let known = self.clients.pulled(collection.as_str())?;
        let after = known.filter(|_| !from.again);
        let (mut next, mut empty) = (None, 0);
        let mut labels = indicator::OwnLabels::default();
        loop {
            let page = taxii::page(fetcher, collection, after.as_deref(), next.as_deref())?;
            empty = if page.objects.is_empty() { empty + 1 } else { 0 };
            let mut good = Vec::new();
            labels.learn(&page.objects);
            for mut object in page.objects {
                if object.get("type").and_then(Value::as_str) == Some("marking-definition") {
                    // Labels are known, and stay on what they mark.
                    continue;
                }
                report.read += 1;
                let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                labels.put(&mut object);
                match StixObject::parse(object) {
                    Ok(object) => good.push(object),
                    Err(error) => report.reject(|| id, &error.to_string()),
                }
            }
            self.take_counted(collection.as_str(), from.landing, good, now, report)?;
            if let Some(until) = page.until {
                self.clients.put_pulled(collection.as_str(), &until)?;
            }
            told(report.read);
            // A server that goes on and on, or names the same page again, is not read for ever.
            if page.next.is_none() {
                return Ok(());
            }
            if empty >= EMPTY || page.next == next {
                return Err(FetchError::Form("its pages do not come to an end").into());
            }
            next = page.next;
        }
    }

    fn take_rows(
        &self,
        source: &str,
        landing: Landing,
        rows: Vec<indicator::Row>,
        now: Timestamp,
        report: &mut Pulled,
    ) -> Result<(), NodeError> {
        let mut good = Vec::new();
        let own = IdSpace::of(self.secret());
        for row in rows {
            report.read += 1;
            match row.result {
                // What was made from a bare value has an id that everybody would give it; here it gets this node's own.
                Ok(object) => good.push(object.owned_by(&own)),
                Err(reason) => report.reject(|| format!("line {}", row.line), &reason),
            }
        }
        self.take_counted(source, landing, good, now, report)
    }

    fn take_counted(
        &self,
        source: &str,
        landing: Landing,
        mut objects: Vec<StixObject>,
        now: Timestamp,
        report: &mut Pulled,
    ) -> Result<(), NodeError> {
        while !objects.is_empty() {
            let rest = objects.split_off(objects.len().min(COMMIT));
            let ids: Vec<String> = objects.iter().map(|o| o.id().to_owned()).collect();
            for (id, landed) in ids.into_iter().zip(self.take_in(source, landing, objects, now)?) {
                match landed.refusal() {
                    Some(why) => report.reject(|| id, why),
                    None if landed == Landed::Stored => report.stored += 1,
                    None => report.duplicates += 1,
                }
            }
            objects = rest;
        }
        Ok(())
    }

    /// What came from outside and was not adopted.
    pub fn list_foreign(&self) -> Result<Vec<ForeignObject>, NodeError> {
        Ok(self.foreign.list()?)
    }

    /// Makes drafts of objects from outside: from now on they are this node's to publish.
    pub fn adopt(&self, which: &ForeignChoice, now: Timestamp) -> Result<ForeignMoved, NodeError> {
        let mut chosen = self.chosen(which)?;
        let objects = chosen.iter().map(|c| c.object.clone()).collect();
        // Drafts first: if this stops in between, they are adopted again, as duplicates.
        let landed = self.draft_from_outside(objects, now)?;
        let count = |what| landed.iter().filter(|l| **l == what).count();
        let (drafts, refused) = (count(Landed::Stored), count(Landed::Refused));
        let mut each = landed.iter();
        // What was refused stays where it is.
        chosen.retain(|_| each.next() != Some(&Landed::Refused));
        self.foreign.forget(&chosen)?;
        Ok(ForeignMoved { moved: chosen.len(), drafts, refused })
    }

    /// Drops objects from outside.
    pub fn drop_foreign(&self, which: &ForeignChoice) -> Result<ForeignMoved, NodeError> {
        let chosen = self.chosen(which)?;
        self.foreign.forget(&chosen)?;
        Ok(ForeignMoved { moved: chosen.len(), drafts: 0, refused: 0 })
    }

    fn chosen(&self, which: &ForeignChoice) -> Result<Vec<ForeignObject>, NodeError> {
        let mut all = self.foreign.list()?;
        all.retain(|one| match which {
            ForeignChoice::Source(source) => one.source == *source,
            ForeignChoice::Object(id) => one.object.id() == id,
        });
        if all.is_empty() {
            return Err(NodeError::input(
                "nothing from outside is chosen by this; `hedgerow indicator foreign list` has all",
            ));
        }
        Ok(all)
    }
}
