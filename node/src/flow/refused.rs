//! Documents that were refused, and are not fetched again.

use std::collections::HashMap;

use hedgerow_protocol::id::{Digest, NodeId};

/// Most refused documents remembered; beyond it the memory is cleared and they may be fetched once more.
const REFUSED: usize = 10_000;

/// What is remembered of them: the key that signed it, where that is a pseudonym that too few members vouched for, as far as
/// was known; none if it was refused for good.
#[derive(Default)]
pub(super) struct Refused(HashMap<Digest, Option<NodeId>>);

impl Refused {
    pub(super) fn contains(&self, id: &Digest) -> bool {
        self.0.contains_key(id)
    }

    /// Remembers one; until its signer is known, if that is what it lacks.
    pub(super) fn add(&mut self, id: Digest, of_nobody: Option<NodeId>) {
        if self.0.len() >= REFUSED {
            self.0.clear();
        }
        self.0.insert(id, of_nobody);
    }

    /// Forgets those of keys that are known now.
    pub(super) fn retry(&mut self, known: impl Fn(&NodeId) -> bool) {
        self.0.retain(|_, signer| !signer.is_some_and(|signer| known(&signer)));
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
