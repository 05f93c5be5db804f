//! The words of a piece of records: for each word's keyed hash, the records that have it (docs/storage.md).
//!
//! No word stands here, only 32 bits of its hash under a key of the vault; and all of it is sealed under the key of its
//! page. Two words may share a hash, so what is found is looked at before it is shown.
//!
//! Layout, little-endian: number of words (4), their hashes by rising value (4 each), for each in how many records it is
//! (2 each), then for each those records: as places (2 each) or, where that is shorter, as a bit for every place.

use super::PAGE_ROWS;

/// A word's keyed hash.
pub type WordHash = u32;

/// A set of places of a piece.
pub(super) type Places = [u64; PAGE_ROWS / 64];

pub(super) fn set(places: &mut Places, place: usize) {
    if let Some(bits) = places.get_mut(place / 64) {
        *bits |= 1 << (place % 64);
    }
}

/// The places in a set, from the last to the first.
pub(super) fn last_first(places: &Places) -> impl Iterator<Item = usize> + '_ {
    (0..PAGE_ROWS)
        .rev()
        .filter(|place| places.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1))
}

/// Words and places, in order, each pair once.
pub(super) fn encode(mut pairs: Vec<(WordHash, u16)>, rows: usize) -> Vec<u8> {
    pairs.sort_unstable();
    pairs.dedup();
    let bitmap = rows.div_ceil(8);
    let words: Vec<&[(WordHash, u16)]> = pairs.chunk_by(|a, b| a.0 == b.0).collect();
    let mut bytes = Vec::with_capacity(4 + words.len() * 6 + pairs.len() * 2);
    bytes.extend_from_slice(&(words.len() as u32).to_le_bytes());
    bytes.extend(words.iter().filter_map(|same| same.first()).flat_map(|(word, _)| word.to_le_bytes()));
    bytes.extend(words.iter().flat_map(|same| (same.len() as u16).to_le_bytes()));
    for same in words {
        if same.len() * 2 <= bitmap {
            bytes.extend(same.iter().flat_map(|(_, place)| place.to_le_bytes()));
        } else {
            let start = bytes.len();
            bytes.resize(start + bitmap, 0);
            for (_, place) in same {
                if let Some(byte) = bytes.get_mut(start + usize::from(place / 8)) {
                    *byte |= 1 << (place % 8);
                }
            }
        }
    }
    bytes
}

/// The words of a piece, as they lie.
pub(super) struct Words<'b> {
    hashes: &'b [[u8; 4]],
    counts: &'b [[u8; 2]],
    places: &'b [u8],
    rows: usize,
}

impl<'b> Words<'b> {
    /// `None` if the bytes are not laid out as they should be.
    pub(super) fn decode(bytes: &'b [u8], rows: usize) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (hashes, rest) = rest.split_at_checked(count.checked_mul(4)?)?;
        let (counts, places) = rest.split_at_checked(count.checked_mul(2)?)?;
        let words = Self { hashes: hashes.as_chunks().0, counts: counts.as_chunks().0, places, rows };
        let length: usize = words.counts.iter().map(|n| words.length(*n)).sum();
        (length == places.len()).then_some(words)
    }

    /// Bytes that the places of a word take that is in `count` records.
    fn length(&self, count: [u8; 2]) -> usize {
        (usize::from(u16::from_le_bytes(count)) * 2).min(self.rows.div_ceil(8))
    }

    /// The records that have a word.
    pub(super) fn find(&self, word: WordHash) -> Places {
        let mut found = [0; PAGE_ROWS / 64];
        let Ok(at) = self.hashes.binary_search_by_key(&word, |hash| u32::from_le_bytes(*hash)) else {
            return found;
        };
        let skip: usize = self.counts.iter().take(at).map(|n| self.length(*n)).sum();
        if let Some(count) = self.counts.get(at) {
            self.places_of(*count, self.places.get(skip..).unwrap_or_default(), |place| {
                set(&mut found, place)
            });
        }
        found
    }

    fn places_of(&self, count: [u8; 2], bytes: &[u8], mut each: impl FnMut(usize)) {
        let bytes = bytes.get(..self.length(count)).unwrap_or_default();
        if usize::from(u16::from_le_bytes(count)) * 2 <= self.rows.div_ceil(8) {
            bytes.as_chunks::<2>().0.iter().for_each(|place| each(usize::from(u16::from_le_bytes(*place))));
        } else {
            let bits = bytes.iter().enumerate().flat_map(|(n, byte)| {
                (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| n * 8 + bit)
            });
            bits.for_each(each);
        }
    }

    /// Every word with every place.
    pub(super) fn pairs(&self) -> Vec<(WordHash, u16)> {
        let mut pairs = Vec::new();
        let mut rest = self.places;
        for (hash, count) in self.hashes.iter().zip(self.counts) {
            let (here, after) = rest.split_at_checked(self.length(*count)).unwrap_or_default();
            rest = after;
            // A place is below 1024.
            self.places_of(*count, here, |place| pairs.push((u32::from_le_bytes(*hash), place as u16)));
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_word_is_found_where_it_is_and_nowhere_else(
            rows in 1usize..=PAGE_ROWS,
            pairs in proptest::collection::vec((0u32..40, any::<u16>()), 0..600),
        ) {
            let mut pairs: Vec<_> = pairs.into_iter().map(|(w, p)| (w, p % rows as u16)).collect();
            let bytes = encode(pairs.clone(), rows);
            pairs.sort_unstable();
            pairs.dedup();
            let words = Words::decode(&bytes, rows).unwrap();
            prop_assert_eq!(words.pairs(), pairs.clone());
            for word in 0..41 {
                let found = words.find(word);
                let mut places: Vec<_> = last_first(&found).map(|p| (word, p as u16)).collect();
                places.reverse();
                let expected: Vec<_> = pairs.iter().copied().filter(|(w, _)| *w == word).collect();
                prop_assert_eq!(places, expected);
            }
            for cut in 0..bytes.len() {
                prop_assert!(Words::decode(&bytes[..cut], rows).is_none());
            }
        }
    }
}
