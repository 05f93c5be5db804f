//! Under which of its keys a node publishes, and what would show that both are one's (docs/protocol.md §7).

use std::collections::HashSet;

use hedgerow_protocol::{
    id::NodeId,
    indicator::{Opened, SealedBatch, SignedBatch, StixObject, cyber::is_observable, sealed::open},
    wire::Spreading,
};
use serde::{Deserialize, Serialize};

use super::incoming::is_sealed;
use crate::{error::NodeError, flow::membership::read, node::Node};

/// To whom a publication goes, and under which key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum To {
    /// To all members, under the group's name.
    #[default]
    All,
    /// To all members, under the pseudonym.
    AllWithoutName,
    /// What is RED sealed for the members with these names or ids, whatever label the charter allows for all.
    Named(Vec<String>),
}

/// Under which of a node's keys something goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Name,
    Pseudonym,
}

/// Ids that are seen with each of a node's keys, or will be: of what it publishes under it, and of that to which this refers.
#[derive(Default)]
pub(super) struct Ties {
    name: HashSet<String>,
    pseudonym: HashSet<String>,
    /// Whether the pseudonym signed anything, or is about to.
    used: bool,
}

impl Ties {
    fn of(&mut self, key: Key) -> &mut HashSet<String> {
        match key {
            Key::Name => &mut self.name,
            Key::Pseudonym => &mut self.pseudonym,
        }
    }

    /// Why an object under `key` would show that what is under the other is the same group's.
    pub(super) fn shown(&self, node: &Node, object: &StixObject, key: Key) -> Option<String> {
        let own = node.pseudonym().ok().filter(|_| self.used)?;
        let (other, owner, under) = match key {
            Key::Name => (&self.pseudonym, own.id, "this node's pseudonym"),
            Key::Pseudonym => (&self.name, node.id(), "this group's name"),
        };
        // Of documents of older vaults it is not noted who signed them, but of what is in the library it is.
        let shown = ids(object).find(|id| other.contains(*id) || node.library.owner(id) == Some(owner))?;
        Some(format!(
            "it has to do with {shown}, as has what goes out under {under}: both would be seen as one's"
        ))
    }
}

/// An object's own id and those that it refers to, but for observables, whose ids say no more than what they are.
fn ids(object: &StixObject) -> impl Iterator<Item = &str> {
    let all = std::iter::once(object.id()).chain(object.refers_to());
    all.filter(|id| !id.split_once("--").is_some_and(|(kind, _)| is_observable(kind)))
}

impl Node {
    /// What ties what to which key, with what is about to go out; nothing while the pseudonym signed nothing and signs nothing.
    pub(super) fn ties<'o>(
        &self,
        about: impl Iterator<Item = (Key, &'o StixObject)> + Clone,
    ) -> Result<Ties, NodeError> {
        let mut ties = Ties::default();
        let Ok(own) = self.pseudonym() else { return Ok(ties) };
        // What waits first: what comes back while this goes on is then seen twice, and never not at all.
        let posted = self.pseudonyms.posted()?;
        let under = !self.documents.of(Spreading::Batch, own.id).is_empty();
        let signs = about.clone().any(|(key, _)| key == Key::Pseudonym);
        ties.used = under || !posted.is_empty() || signs;
        if !ties.used {
            return Ok(ties);
        }
        let mut signed = HashSet::new();
        let mut add = |key, object: &StixObject| {
            signed.insert(object.id().to_owned());
            ties.of(key).extend(ids(object).map(str::to_owned));
        };
        for (key, signer) in [(Key::Name, self.id()), (Key::Pseudonym, own.id)] {
            self.each_signed_by(signer, &mut |batch, _| {
                batch.items().iter().for_each(|item| add(key, &item.object));
            })?;
        }
        posted.iter().flat_map(SignedBatch::items).for_each(|item| add(Key::Pseudonym, &item.object));
        about.for_each(|(key, object)| add(key, object));
        // To what another member published anybody may refer. What this node signed stays its own, whoever took its id.
        let own_keys = self.own_keys();
        let others = |id: &String| {
            !signed.contains(id) && self.library.owner(id).is_some_and(|owner| !own_keys.contains(&owner))
        };
        ties.name.retain(|id| !others(id));
        ties.pseudonym.retain(|id| !others(id));
        Ok(ties)
    }

    /// Shows `each` every batch that one of this node's keys signed, one at a time, and whom it was sealed for: sealed ones
    /// are opened.
    pub(super) fn each_signed_by(
        &self,
        key: NodeId,
        each: &mut dyn FnMut(&SignedBatch, &[NodeId]),
    ) -> Result<(), NodeError> {
        for document in self.documents.of(Spreading::Batch, key) {
            let json = self.documents.read(&document)?.unwrap_or_default();
            if !is_sealed(&json) {
                each(&SignedBatch::open(&json).map_err(NodeError::invalid)?, &[]);
            } else if let Some(opened) = self.unseal(&json)? {
                each(&opened.batch, &opened.to);
            }
        }
        Ok(())
    }

    /// A sealed batch that is held, opened; none if it is not for this node.
    pub(super) fn unseal(&self, json: &[u8]) -> Result<Option<Opened>, NodeError> {
        open(&read::<SealedBatch>(json)?, json, self.secret()).map_err(NodeError::invalid)
    }
}
