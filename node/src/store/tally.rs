//! The tally: by kind, how many values the store must hold and a digest of exactly those (docs/storage.md).
//!
//! The digest is an incremental multiset hash, MSet-Add-Hash of Clarke, Devadas, van Dijk, Gassend and Suh
//! (*Incremental Multiset Hash Functions and Their Application to Memory Integrity Checking*, ASIACRYPT 2003), with
//! HMAC-SHA256 as its keyed function: the sum, modulo 2^256, of the MACs of every value with its place. A commit adds
//! what it puts and takes away what it replaces, so it costs one MAC a change, not one pass over the store. A value
//! that is missing, added, moved, or was there before and is put back, makes another sum.

use std::collections::BTreeMap;

use super::{crypter::SecretKey, error::StoreError};

/// Count and sum of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    count: u64,
    /// Little-endian limbs.
    sum: [u64; 4],
}

impl Sum {
    pub(super) fn add(&mut self, mac: [u8; 32]) {
        self.count = self.count.wrapping_add(1);
        self.carry(limbs(mac));
    }

    pub(super) fn take(&mut self, mac: [u8; 32]) {
        self.count = self.count.wrapping_sub(1);
        // Two's complement: the bits turned over, and one.
        self.carry(limbs(mac).map(|limb| !limb));
        self.carry([1, 0, 0, 0]);
    }

    fn carry(&mut self, other: [u64; 4]) {
        let mut carry = false;
        for (limb, more) in self.sum.iter_mut().zip(other) {
            let (sum, first) = limb.overflowing_add(more);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = first || second;
        }
    }
}

fn limbs(mac: [u8; 32]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(mac.as_chunks::<8>().0) {
        *limb = u64::from_le_bytes(*bytes);
    }
    limbs
}

/// Makes the MACs.
pub(super) struct Counter(SecretKey);

impl Counter {
    pub(super) fn new(key: SecretKey) -> Self {
        Self(key)
    }

    /// The MAC of the sealed `value` at `place`. Its header and its authentication tag stand for all of it.
    pub(super) fn mac(&self, place: &[u8], value: &[u8]) -> [u8; 32] {
        const ENDS: usize = 33;
        let head = value.get(..ENDS).unwrap_or(value);
        let tag = value.last_chunk::<16>().map_or(value, |tag| tag.as_slice());
        self.0.mac(&[place, head, tag])
    }
}

/// The sums of every kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally(BTreeMap<u8, Sum>);

/// Bytes of one kind in an encoded tally.
const ENCODED: usize = 1 + 8 + 32;

impl Tally {
    pub(super) fn of(&self, kind: u8) -> Sum {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    pub(super) fn of_mut(&mut self, kind: u8) -> &mut Sum {
        self.0.entry(kind).or_default()
    }

    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        for (kind, sum) in &self.0 {
            to.push(*kind);
            to.extend_from_slice(&sum.count.to_le_bytes());
            to.extend(sum.sum.iter().flat_map(|limb| limb.to_le_bytes()));
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let (kinds, rest) = bytes.as_chunks::<ENCODED>();
        if !rest.is_empty() {
            return Err(StoreError::Damaged("its tally has a wrong length"));
        }
        let mut tally = Self::default();
        for [kind, c0, c1, c2, c3, c4, c5, c6, c7, sum @ ..] in kinds {
            let count = u64::from_le_bytes([*c0, *c1, *c2, *c3, *c4, *c5, *c6, *c7]);
            tally.0.insert(*kind, Sum { count, sum: limbs(*sum) });
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(macs: &[[u8; 32]]) -> Sum {
        macs.iter().fold(Sum::default(), |mut sum, mac| {
            sum.add(*mac);
            sum
        })
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter_and_what_was_added_can_be_taken_away(
            mut macs in proptest::collection::vec(any::<[u8; 32]>(), 1..9)
        ) {
            let all = sum(&macs);
            macs.reverse();
            prop_assert_eq!(sum(&macs), all);
            let last = macs.pop().unwrap();
            let mut less = all;
            less.take(last);
            prop_assert_eq!(less, sum(&macs));
            let mut tally = Tally::default();
            *tally.of_mut(3) = all;
            *tally.of_mut(7) = less;
            let mut bytes = Vec::new();
            tally.encode(&mut bytes);
            prop_assert_eq!(Tally::decode(&bytes).unwrap(), tally);
        }
    }

    #[test]
    fn place_header_and_tag_are_counted() {
        let counter = Counter::new(SecretKey::new([1; 32]));
        let value = [7u8; 100];
        let mac = counter.mac(b"place", &value);
        assert_ne!(counter.mac(b"other", &value), mac);
        for place in [0, 8, 32, 84, 99] {
            let mut changed = value;
            changed[place] ^= 1;
            assert_ne!(counter.mac(b"place", &changed), mac, "{place}");
        }
    }
}
