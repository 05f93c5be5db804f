//! Objects from outside the federation: pulled from a partner who does not run Hedgerow, or posted by a client.

use hedgerow_protocol::{indicator::StixObject, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    api::ForeignChoice,
    error::NodeError,
    node::Node,
    store::{ForeignObject, ForeignStored, Landing},
};

/// What adopting or dropping did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignMoved {
    /// Objects that were chosen, and are foreign no more.
    pub moved: usize,
    /// Of these, drafts now; the others were here before, or were dropped.
    pub drafts: usize,
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
            Landing::Drafts => {
                let stored = self.library.add_drafts(objects, self.id(), now)?;
                stored.into_iter().map(|new| if new { Landed::Stored } else { Landed::Duplicate }).collect()
            }
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

    /// What came from outside and was not adopted.
    pub fn list_foreign(&self) -> Result<Vec<ForeignObject>, NodeError> {
        Ok(self.foreign.list()?)
    }

    /// Makes drafts of objects from outside: from now on they are this node's to publish.
    pub fn adopt(&self, which: &ForeignChoice, now: Timestamp) -> Result<ForeignMoved, NodeError> {
        let chosen = self.chosen(which)?;
        let objects = chosen.iter().map(|c| c.object.clone()).collect();
        // Drafts first: if this stops in between, they are adopted again, as duplicates.
        let stored = self.library.add_drafts(objects, self.id(), now)?;
        self.foreign.forget(&chosen)?;
        Ok(ForeignMoved { moved: chosen.len(), drafts: stored.into_iter().filter(|new| *new).count() })
    }

    /// Drops objects from outside.
    pub fn drop_foreign(&self, which: &ForeignChoice) -> Result<ForeignMoved, NodeError> {
        let chosen = self.chosen(which)?;
        self.foreign.forget(&chosen)?;
        Ok(ForeignMoved { moved: chosen.len(), drafts: 0 })
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
