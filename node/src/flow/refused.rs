//! Documents that were refused, and are not fetched again.

use std::collections::{HashMap, HashSet};

use hedgerow_protocol::id::{Digest, NodeId};

/// Most refused documents remembered; beyond it the memory is cleared and they may be fetched once more.
const REFUSED: usize = 10_000;

/// What is remembered of them.
#[derive(Default)]
pub(super) struct Refused {
    for_good: HashSet<Digest>,
    /// By the key that signed them: pseudonyms that too few members vouch for, as far as was known.
    of_nobody: HashMap<NodeId, HashSet<Digest>>,
}

impl Refused {
    pub(super) fn contains(&self, id: &Digest) -> bool {
        self.for_good.contains(id) || self.of_nobody.values().any(|ids| ids.contains(id))
    }

    /// Remembers one; until its signer is known, if that is what it lacks.
    pub(super) fn add(&mut self, id: Digest, of_nobody: Option<NodeId>) {
        if self.for_good.len() + self.of_nobody.values().map(HashSet::len).sum::<usize>() >= REFUSED {
            *self = Self::default();
        }
        match of_nobody {
            Some(signer) => self.of_nobody.entry(signer).or_default().insert(id),
            None => self.for_good.insert(id),
        };
    }

    /// Forgets those of keys that are known now.
    pub(super) fn retry(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.of_nobody.retain(|signer, _| !known(signer));
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_protocol::document::NodeSecret;

    use super::*;

    #[test]
    fn what_lacks_vouchers_is_tried_again_once_its_signer_is_known_and_nothing_else_is() {
        let signer = |n: u8| NodeSecret::from_seed(&[n; 32]).node_id();
        let id = |n: u8| Digest::of(&[n]);
        let mut refused = Refused::default();
        refused.add(id(1), None);
        refused.add(id(2), Some(signer(2)));
        refused.add(id(3), Some(signer(3)));
        refused.retry(|known| *known == signer(2));
        assert_eq!([1, 2, 3].map(|n| refused.contains(&id(n))), [true, false, true]);
    }
}
