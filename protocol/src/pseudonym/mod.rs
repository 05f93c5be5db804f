//! Pseudonyms: keys of which everybody knows that they are a member's, and nobody whose (docs/protocol.md §7).
//!
//! Every member has one in a federation, from its own key. It asks each member once for a token on it, blinded, so that
//! the other sees neither pseudonym nor token (VOPRF, RFC 9497). It hands in each token some time later by way of others.
//! Who finds its own token on a pseudonym signs a voucher for it, which spreads. A pseudonym with as many vouchers as the
//! charter asks for is a member's: a batch that it signed is taken in like any other.
//!
//! Every member does so, whether or not it will ever publish under its pseudonym: that there is one says nothing.

mod token;
mod voucher;

use crate::{
    document::{Charter, NodeSecret, hpke::bound},
    id::{Id, NodeId},
};

pub use token::{Asking, Element, Evaluation, SEALED, Token, TokenError, VouchingKey, open_token};
pub use voucher::{Enrolled, Known, Voucher, shown};

/// Puts members in the order in which the node with this key has them carry its own parcels: the first that can, always the
/// same. With another for each parcel, members who collude would see some come from it, sooner or later, and by their number
/// tell them from those that it only carries (Wright, Adler, Levine, Shields 2003). Nobody else knows the order.
pub fn first_carriers(secret: &NodeSecret, charter: &Id<Charter>, members: &mut [NodeId]) {
    members
        .sort_by_cached_key(|member| secret.derive("hedgerow carrier 1", &bound(charter, member)).to_vec());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::charter::samples::*;

    #[test]
    fn the_first_carrier_is_always_the_same_and_another_for_each_node() {
        let charter = signed_charter(5).id();
        let order = |node: u8, charter, members: &[u8]| {
            let mut list: Vec<NodeId> = members.iter().map(|n| secret(*n).node_id()).collect();
            first_carriers(&secret(node), &charter, &mut list);
            list
        };
        let all: Vec<u8> = (10..60).collect();
        let first = order(1, charter, &all);
        let back: Vec<u8> = all.iter().rev().copied().collect();
        assert_eq!(first, order(1, charter, &back), "however they stand");
        assert_ne!(first, order(2, charter, &all));
        assert_ne!(first, order(1, signed_charter(6).id(), &all));
        // Where the first is away the second is next, and the first is again first when it is back.
        let without: Vec<u8> = all.iter().copied().filter(|n| secret(*n).node_id() != first[0]).collect();
        assert_eq!(order(1, charter, &without), first[1..]);
    }
}
