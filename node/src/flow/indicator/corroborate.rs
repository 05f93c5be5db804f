//! Saying what others said: for oneself, and counted before anybody is alarmed by it (docs/indicators.md).

use std::collections::{BTreeSet, HashMap, HashSet};

use hedgerow_protocol::{
    id::NodeId,
    indicator::{IdSpace, Instant, SignedBatch, StixObject, Tlp},
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
        let of_others =
            |o: &StixObject| self.library.owner(o.id()).is_some() && !self.is_own(o.id(), &signed);
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
            if !object.in_force(Instant::of(now)) {
                return Err("it was taken back, or has expired");
            }
            // Whoever took its id: saying it under the name what the pseudonym said, or the other way, would join the two.
            if self.is_own(object.id(), &signed) {
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

    /// Whether one of this node's keys published an id, whoever has it now. Of documents of older vaults it is not noted
    /// who signed them, but of what is in the library it is.
    fn is_own(&self, id: &str, signed: &HashSet<String>) -> bool {
        signed.contains(id) || self.library.owner(id).is_some_and(|owner| self.own_keys().contains(&owner))
    }

    /// The ids of all that one of this node's keys ever signed, on its way out or not.
    fn signed_ids(&self) -> Result<HashSet<String>, NodeError> {
        // What waits first: what comes back meanwhile is then seen twice, and never not at all.
        let posted = self.pseudonyms.posted()?;
        let posted = posted.iter().flat_map(SignedBatch::items);
        let mut ids: HashSet<String> = posted.map(|item| item.object.id().to_owned()).collect();
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
        for entry in entries.iter().filter(|entry| !entry.is_draft() && entry.object.in_force(at)) {
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
