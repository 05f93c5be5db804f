//! What came from outside the federation: where it lands, and what becomes of what is held apart.

use hedgerow_protocol::{indicator::StixObject, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    api::ForeignChoice,
    error::NodeError,
    node::Node,
    store::{ForeignObject, Landed, Landing},
};

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

impl Node {
    /// Takes in objects of `source`, and of one `part` of it if it has parts, as its operator lets them land. Says of
    /// each, in order, what became of it.
    pub fn take_in(
        &self,
        source: &str,
        part: Option<&str>,
        landing: Landing,
        objects: Vec<StixObject>,
        now: Timestamp,
    ) -> Result<Vec<Landed>, NodeError> {
        Ok(match landing {
            Landing::Drafts => self.draft_from_outside(objects, now)?,
            Landing::Foreign => self.foreign.add(source, part, objects, now)?,
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

    /// What came from outside and was not adopted, as `told`, by source and id. Objects are held one at a time.
    pub fn list_foreign<T>(&self, told: impl Fn(&ForeignObject) -> T) -> Result<Vec<T>, NodeError> {
        let mut all = Vec::new();
        for one in self.foreign.each() {
            let one = one?;
            let told = told(&one);
            all.push((one.source, one.object.id().to_owned(), told));
        }
        all.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        Ok(all.into_iter().map(|(_, _, told)| told).collect())
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
        let wanted = |one: &ForeignObject| match which {
            ForeignChoice::Source(source) => one.source == *source,
            ForeignChoice::Object(id) => one.object.id() == id,
        };
        let all = self.foreign.each().filter(|one| one.as_ref().map_or(true, wanted));
        let chosen = all.collect::<Result<Vec<_>, _>>()?;
        if chosen.is_empty() {
            return Err(NodeError::input(
                "nothing from outside is chosen by this; `hedgerow indicator foreign list` has all",
            ));
        }
        Ok(chosen)
    }
}
