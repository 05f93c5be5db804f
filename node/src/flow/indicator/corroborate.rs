//! Saying what others said: for oneself, and counted before anybody is alarmed by it (docs/indicators.md).

use std::collections::{BTreeSet, HashMap, HashSet};

use hedgerow_protocol::{
    id::NodeId,
    indicator::{IdSpace, Instant, StixObject, Tlp},
    time::Timestamp,
};

use crate::{
    api::Given, error::NodeError, export::Exported, node::Node, reader::indicator::Row, store::Entry,
};

impl Node {
    /// Says of all rows of a file what was given with it.
    pub fn given(&self, rows: &mut [Row], given: &Given, now: Timestamp) -> Result<(), NodeError> {
        if given.until.is_some_and(|until| until <= now) {
            return Err(NodeError::input("it would have expired before it is published"));
        }
        let own = IdSpace::of(self.secret());
        let signed = if given.corroborate { self.signed_ids()? } else { HashSet::new() };
        let of_others = |o: &StixObject| self.library.owner(o.id()).is_some() && !signed.contains(o.id());
        for object in rows.iter_mut().filter_map(|row| row.result.as_mut().ok()) {
            let too = (given.corroborate && of_others(object)).then(|| object.said_too(&own, now)).flatten();
            let mut said = too.unwrap_or_else(|| object.clone());
            if let Some(tlp) = given.tlp.filter(|tlp| said.tlp().is_none_or(|has| has < *tlp)) {
                said = said.marked(tlp);
            }
            if let Some(until) = given.until.filter(|_| said.valid_until().is_none()) {
                said = said.valid_until_at(until);
            }
            *object = said;
        }
        Ok(())
    }

    /// What other members published under these ids, as this group would say it.
    pub fn said_too(&self, ids: &[String], now: Timestamp) -> Result<Vec<Row>, NodeError> {
        let own = IdSpace::of(self.secret());
        let signed = self.signed_ids()?;
        let entries = self.library.live(ids.iter().map(String::as_str))?;
        let say = |entry: Option<Entry>| {
            let object = entry.ok_or("nothing in use here is published under this id")?.object;
            if !in_use(&object, Instant::of(now)) {
                return Err("it was taken back, or has expired");
            }
            // Whoever took its id: saying it under the name what the pseudonym said, or the other way, would join the two.
            if signed.contains(object.id()) {
                return Err("this group published it itself");
            }
            if object.tlp() == Some(Tlp::Red) {
                return Err("it was sealed for this group alone: its publisher decides who hears of it");
            }
            object.said_too(&own, now).ok_or("only an indicator is said again")
        };
        let rows =
            entries.into_iter().zip(1..).map(|(e, n)| Row::new(n, false, say(e).map_err(str::to_owned)));
        Ok(rows.collect())
    }

    /// The ids of all that one of this node's keys ever signed.
    fn signed_ids(&self) -> Result<HashSet<String>, NodeError> {
        let mut ids = HashSet::new();
        for key in self.own_keys() {
            self.each_signed_by(key, &mut |batch, _| {
                ids.extend(batch.items().iter().map(|item| item.object.id().to_owned()));
            })?;
        }
        Ok(ids)
    }

    /// Leaves of `entries` the indicators whose pattern as many members say, each its own, and all that is no indicator.
    pub fn corroborated(&self, entries: &mut Vec<Entry>, fewest: usize, now: Timestamp, out: &mut Exported) {
        let at = Instant::of(now);
        let member = |key: &NodeId| self.charter().is_some_and(|c| c.document().member(key).is_some());
        let mut by: HashMap<String, [BTreeSet<NodeId>; 2]> = HashMap::new();
        for entry in entries.iter().filter(|entry| !entry.is_draft() && in_use(&entry.object, at)) {
            if let Some((owner, pattern)) = entry.owner.zip(entry.object.pattern()) {
                let [names, pseudonyms] = by.entry(pattern.key()).or_default();
                if member(&owner) {
                    names.insert(owner)
                } else {
                    pseudonyms.insert(owner)
                };
            }
        }
        entries.retain(|entry| {
            let Some(pattern) = entry.object.pattern() else { return true };
            // Each pseudonym is another member's, but any of them may be that of one who is named, too.
            let members = by.get(&pattern.key()).map_or(0, |[names, under]| names.len().max(under.len()));
            let enough = members >= fewest || entry.is_draft();
            if !enough {
                out.leave_out("fewer members say it than is asked for", entry.object.id());
            }
            enough
        });
    }
}

fn in_use(object: &StixObject, at: Instant) -> bool {
    !object.revoked() && object.valid_until().is_none_or(|until| until > at)
}
