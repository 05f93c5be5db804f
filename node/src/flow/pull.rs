//! Reading from a partner who does not run Hedgerow: a TAXII server, a MISP feed, a file.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

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
    api::PullFrom,
    error::{Class, NodeError},
    node::Node,
    reader::indicator::{self, misp},
    remote::{FetchError, Fetcher, taxii},
    store::{Landed, Landing, Said},
};

/// Most rejected objects named.
const NAMED: usize = 1000;
/// Pages without an object that are read on from.
const EMPTY: usize = 10;
/// Objects stored in one durable commit.
const COMMIT: usize = 1000;
/// Events after which it is remembered which were read.
const REMEMBER: usize = 500;
/// The part that a file is of itself.
const WHOLE: &str = "file";
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
    /// Events of a feed that have not changed since they were read, and were not read again.
    #[serde(default)]
    pub unchanged: u64,
    /// Objects that the source said before and says no more: they are foreign no longer.
    #[serde(default)]
    pub withdrawn: u64,
    /// Objects that a file does not list any more and that are kept all the same, since they are most of what it listed: it
    /// may be no list today. Reading it `again` takes it at its word.
    #[serde(default)]
    pub kept: u64,
    /// Of the rejected, the first thousand.
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

/// One pull, while it runs.
struct Pull<'p> {
    node: &'p Node,
    fetcher: Fetcher,
    from: &'p PullFrom,
    now: Timestamp,
    report: Pulled,
    told: &'p mut dyn FnMut(u64),
}

impl Node {
    /// Reads what a TAXII server, a MISP feed or a file of indicators at `from.url` has: of a collection that was read
    /// before what was added since, of a feed the events that changed. `told` hears how many objects were read.
    pub fn pull(
        &self,
        from: &PullFrom,
        now: Timestamp,
        told: &mut dyn FnMut(u64),
    ) -> Result<Pulled, NodeError> {
        let token = from.token_file.as_deref().map(token).transpose()?;
        let fetcher = Fetcher::new(&from.url, token.as_ref().map(|t| t.as_str()), from.proxy.as_deref())?;
        let mut pull = Pull { node: self, fetcher, from, now, report: Pulled::default(), told };
        let url = pull.fetcher.server().clone();
        let first = pull.fetcher.get(&url, ACCEPT)?;
        if taxii::is_taxii(&first.kind) {
            pull.report.kind = "taxii".into();
            pull.collections(&first.body)?;
        } else if let Some(events) =
            serde_json::from_slice(&first.body).ok().as_ref().and_then(misp::manifest)
        {
            pull.report.kind = "misp".into();
            pull.feed(&url, &events.map_err(NodeError::input)?)?;
            pull.report.sources.push(url.into());
        } else {
            pull.report.kind = "file".into();
            pull.file(&url, &first.body)?;
            pull.report.sources.push(url.into());
        }
        (pull.told)(pull.report.read);
        Ok(pull.report)
    }
}

impl Pull<'_> {
    fn collections(&mut self, first: &[u8]) -> Result<(), NodeError> {
        for collection in taxii::collections(&mut self.fetcher, first, self.from.collection.as_deref())? {
            self.collection(&collection)?;
            self.report.sources.push(collection.into());
        }
        if self.report.sources.is_empty() {
            return Err(NodeError::input("the server has no such collection that this token may read"));
        }
        Ok(())
    }

    /// Page by page. What is remembered as read has been read to the last object of that time, is durable here, and had
    /// room: a pull that breaks off goes on from there the next time.
    fn collection(&mut self, collection: &Url) -> Result<(), NodeError> {
        let clients = &self.node.clients;
        let known = clients.pulled(collection.as_str())?;
        let after = known.filter(|_| !self.from.again);
        let (mut next, mut empty) = (None, 0);
        let (mut until, mut all_landed): (Option<String>, bool) = (None, true);
        // Definitions of labels may have come long before what is under them.
        let mut labels = indicator::OwnLabels::default();
        labels.learn(&taxii::markings(&mut self.fetcher, collection)?);
        loop {
            let page = taxii::page(&mut self.fetcher, collection, after.as_deref(), next.as_deref())?;
            // Objects of one time may go on over the end of a page; of the time before, this page shows the end.
            if page.since != until
                && page.since.is_some()
                && all_landed
                && let Some(until) = until.take()
            {
                clients.put_pulled(collection.as_str(), &until)?;
            }
            empty = if page.objects.is_empty() { empty + 1 } else { 0 };
            let mut good = Vec::new();
            labels.learn(&page.objects);
            for object in page.objects {
                let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                let Some(object) = labels.read(object) else { continue };
                self.report.read += 1;
                match object {
                    Ok(object) => good.push(object),
                    Err(error) => self.report.reject(|| id, &error.to_string()),
                }
            }
            all_landed &= self.take(collection.as_str(), None, good)?;
            until = page.until.or(until);
            (self.told)(self.report.read);
            // A server that goes on and on, or names the same page again, is not read for ever.
            if page.next.is_none() {
                break;
            }
            if empty >= EMPTY || page.next == next {
                return Err(FetchError::Form("its pages do not come to an end").into());
            }
            next = page.next;
        }
        match until.filter(|_| all_landed) {
            Some(until) => Ok(clients.put_pulled(collection.as_str(), &until)?),
            None => Ok(()),
        }
    }

    /// The events of a feed that are new or have changed.
    fn feed(&mut self, manifest: &Url, events: &[misp::Event]) -> Result<(), NodeError> {
        let source = manifest.as_str();
        let clients = &self.node.clients;
        let known = clients.pulled(source)?.and_then(|text| serde_json::from_str(&text).ok());
        let mut known: BTreeMap<String, String> = known.unwrap_or_default();
        // Whoever is not named any more is not remembered for ever.
        let named: HashSet<String> = events.iter().map(|event| event.uuid.to_string()).collect();
        known.retain(|uuid, _| named.contains(uuid));
        let remember = |known: &BTreeMap<String, String>| -> Result<(), NodeError> {
            Ok(clients.put_pulled(source, &serde_json::json!(known).to_string())?)
        };
        let (mut said, mut fresh) = (Said::default(), 0);
        let mut result = Ok(());
        for misp::Event { uuid, timestamp } in events {
            let name = uuid.to_string();
            if !self.from.again && known.get(&name) == Some(timestamp) {
                self.report.unchanged += 1;
                continue;
            }
            let url = manifest.join(&format!("{name}.json"));
            let url = url.map_err(|_| FetchError::Form("an event has no URL"))?;
            let rows = match self.fetcher.get(&url, "application/json") {
                Ok(fetched) => {
                    misp::read_event(&fetched.body, uuid, self.now).map_err(|error| error.to_string())
                }
                // One that is missing is asked for again; the others are read all the same.
                Err(FetchError::Status(status)) if status != 401 && status != 403 => {
                    Err(FetchError::Status(status).to_string())
                }
                Err(error) => {
                    result = Err(error.into());
                    break;
                }
            };
            match rows {
                Ok(rows) => {
                    if self.part(source, &name, &mut said, rows)? {
                        known.insert(name, timestamp.clone());
                    }
                }
                Err(reason) => {
                    self.report.read += 1;
                    self.report.reject(|| url.path().to_owned(), &reason);
                }
            }
            (self.told)(self.report.read);
            fresh += 1;
            if fresh % REMEMBER == 0 {
                self.settle(source, &mut said)?;
                remember(&known)?;
            }
        }
        self.settle(source, &mut said)?;
        remember(&known)?;
        result
    }

    fn file(&mut self, url: &Url, body: &[u8]) -> Result<(), NodeError> {
        let rows = indicator::read(body, None, self.now).map_err(NodeError::input)?;
        let (source, mut said) = (url.as_str(), Said::default());
        let mut before = Vec::new();
        for one in self.node.foreign.each() {
            let one = one?;
            if one.source == source && one.parts.iter().any(|part| part == WHOLE) {
                before.push(one.object.id().to_owned());
            }
        }
        self.part(source, WHOLE, &mut said, rows)?;
        let (before, still) = (before.len(), before.iter().filter(|id| said.has(WHOLE, id)).count());
        // A page that says that the server is being mended is no list; nor is half of one.
        if still * 2 < before && !self.from.again {
            self.report.kept = (before - still) as u64;
            return Ok(());
        }
        self.settle(source, &mut said)
    }

    /// What parts that were read say no more is taken back.
    fn settle(&mut self, source: &str, said: &mut Said) -> Result<(), NodeError> {
        if self.from.landing == Landing::Foreign {
            self.report.withdrawn += self.node.foreign.settle(source, said)?;
        }
        *said = Said::default();
        Ok(())
    }

    /// All that a part of a source says. Whether there was room for it.
    fn part(
        &mut self,
        source: &str,
        part: &str,
        said: &mut Said,
        rows: Vec<indicator::Row>,
    ) -> Result<bool, NodeError> {
        let mut good = Vec::new();
        let own = IdSpace::of(self.node.secret());
        for row in rows {
            self.report.read += 1;
            match row.result {
                // What was made from a bare value has an id that everybody would give it; here it gets this node's own.
                Ok(object) => good.push(object.owned_by(&own)),
                Err(reason) => self.report.reject(|| format!("line {}", row.line), &reason),
            }
        }
        said.read(part);
        self.take(source, Some((part, said)), good)
    }

    /// Whether there was room for all of them.
    fn take(
        &mut self,
        source: &str,
        mut part: Option<(&str, &mut Said)>,
        mut objects: Vec<StixObject>,
    ) -> Result<bool, NodeError> {
        let mut room = true;
        while !objects.is_empty() {
            let rest = objects.split_off(objects.len().min(COMMIT));
            let ids: Vec<String> = objects.iter().map(|o| o.id().to_owned()).collect();
            let name = part.as_ref().map(|(name, _)| *name);
            let landed = self.node.take_in(source, name, self.from.landing, objects, self.now)?;
            for (id, landed) in ids.into_iter().zip(landed) {
                room &= landed != Landed::Full;
                if let Some((name, said)) = &mut part {
                    said.says(name, &id);
                }
                match landed.refusal() {
                    Some(why) => self.report.reject(|| id, why),
                    None if landed == Landed::Stored => self.report.stored += 1,
                    None => self.report.duplicates += 1,
                }
            }
            objects = rest;
        }
        Ok(room)
    }
}

#[cfg(test)]
mod tests;
