//! The data keys of one page of records, any of which can be destroyed (docs/storage.md).
//!
//! A page has one key for each place, derived from one seed by the tree of Goldreich, Goldwasser and Micali (*How to
//! Construct Random Functions*, J. ACM 1986): a node's 64 bytes of HKDF-Expand are its two children. Whoever holds a
//! node holds the keys of all leaves under it. To **puncture** the tree at a leaf is to keep, in place of the node above
//! it, the siblings along the path down: every other key still follows, this one does not (constrained keys of Boneh
//! and Waters, ASIACRYPT 2013). A page with one record erased is ten nodes long, not a thousand keys.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    super::{crypter::SecretKey, error::StoreError},
    PAGE_ROWS,
};

/// Levels under the seed of a page.
const DEPTH: u8 = PAGE_ROWS.ilog2() as u8;

/// A node of the tree: `depth` bits of path, of which `path` holds the value, and its secret.
#[derive(Clone)]
struct Node {
    depth: u8,
    path: u16,
    secret: SecretKey,
}

impl Node {
    /// The places under it: the first and how many.
    fn span(&self) -> (u16, u16) {
        let below = DEPTH.saturating_sub(self.depth);
        (self.path << below, 1 << below)
    }

    fn holds(&self, place: u16) -> bool {
        let (first, count) = self.span();
        (first..first.saturating_add(count)).contains(&place)
    }

    fn children(&self) -> [Self; 2] {
        let mut out = [0u8; 64];
        // The secret is uniformly random, so it serves as the pseudo-random key itself (RFC 5869, §3.3); 64 bytes are
        // below the limit of expand.
        if let Ok(hkdf) = Hkdf::<Sha256>::from_prk(self.secret.bytes()) {
            let _ = hkdf.expand(b"hedgerow/page/2", &mut out);
        }
        let child = |bit: u16, half: &[u8]| {
            let mut secret = [0; 32];
            secret.iter_mut().zip(half).for_each(|(to, from)| *to = *from);
            let child = Self {
                depth: self.depth.saturating_add(1),
                path: self.path << 1 | bit,
                secret: SecretKey::new(secret),
            };
            secret.zeroize();
            child
        };
        let (left, right) = out.split_at(32);
        let pair = [child(0, left), child(1, right)];
        out.zeroize();
        pair
    }
}

/// The data keys of one page that are left.
#[derive(Clone)]
pub(super) struct Seeds(Vec<Node>);

impl Seeds {
    /// Most bytes of encoded ones: where every other leaf is left, none of which follows from another.
    pub(super) const MOST_BYTES: usize = 2 + PAGE_ROWS / 2 * 35;

    /// All keys of a new page.
    pub(super) fn random() -> Result<Self, StoreError> {
        Ok(Self(vec![Node { depth: 0, path: 0, secret: SecretKey::random()? }]))
    }

    /// The key of `place`, if it was not destroyed.
    pub(super) fn key(&self, place: u16) -> Option<SecretKey> {
        let mut node = self.0.iter().find(|node| node.holds(place))?.clone();
        while node.depth < DEPTH {
            let [left, right] = node.children();
            node = if left.holds(place) { left } else { right };
        }
        Some(node.secret.clone())
    }

    /// The keys of the places from `first` on, as far as there are any, in order: two hashes a key, not ten.
    pub(super) fn keys(&self, first: u16, count: usize) -> Vec<Option<SecretKey>> {
        let mut keys = vec![None; count];
        let last = usize::from(first) + count;
        let mut open: Vec<Node> = self.0.clone();
        while let Some(node) = open.pop() {
            let (start, length) = node.span();
            if usize::from(start) >= last || start.saturating_add(length) <= first {
                continue;
            }
            if node.depth < DEPTH {
                open.extend(node.children());
            } else if let Some(key) = keys.get_mut(usize::from(start.saturating_sub(first))) {
                *key = Some(node.secret.clone());
            }
        }
        keys
    }

    /// Destroys the key of `place`.
    pub(super) fn puncture(&mut self, place: u16) {
        let Some(at) = self.0.iter().position(|node| node.holds(place)) else { return };
        let mut node = self.0.swap_remove(at);
        while node.depth < DEPTH {
            let [left, right] = node.children();
            let (down, kept) = if left.holds(place) { (left, right) } else { (right, left) };
            self.0.push(kept);
            node = down;
        }
        self.0.sort_unstable_by_key(|node| node.span().0);
    }

    /// Number of nodes (2), then each node: depth (1), path (2), secret (32). Little-endian.
    pub(super) fn encode(&self, to: &mut Zeroizing<Vec<u8>>) {
        // At most one node a place.
        to.extend_from_slice(&(self.0.len() as u16).to_le_bytes());
        for node in &self.0 {
            to.push(node.depth);
            to.extend_from_slice(&node.path.to_le_bytes());
            to.extend_from_slice(node.secret.bytes());
        }
    }

    /// Reads one from the front of `bytes`.
    pub(super) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (count, mut rest) = bytes.split_first_chunk::<2>()?;
        let mut nodes = Vec::new();
        let mut next = 0u32;
        for _ in 0..u16::from_le_bytes(*count) {
            let ([depth, p0, p1, secret @ ..], after) = rest.split_first_chunk::<35>()?;
            let node =
                Node { depth: *depth, path: u16::from_le_bytes([*p0, *p1]), secret: SecretKey::new(*secret) };
            let fits = node.depth <= DEPTH && u32::from(node.path) >> node.depth == 0;
            // By rising place, none within another.
            if !fits || u32::from(node.span().0) < next {
                return None;
            }
            next = u32::from(node.span().0) + u32::from(node.span().1);
            nodes.push(node);
            rest = after;
        }
        *bytes = rest;
        Some(Self(nodes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(seeds: &Seeds) -> Vec<Option<[u8; 32]>> {
        (0..PAGE_ROWS as u16).map(|place| seeds.key(place).map(|k| *k.bytes())).collect()
    }

    #[test]
    fn a_punctured_key_is_gone_and_every_other_is_what_it_was() {
        let mut seeds = Seeds::random().unwrap();
        let mut expected = all(&seeds);
        let different: std::collections::BTreeSet<_> = expected.iter().flatten().collect();
        assert_eq!(different.len(), PAGE_ROWS);
        for place in [0u16, 1023, 512, 513, 7, 6] {
            seeds.puncture(place);
            seeds.puncture(place);
            expected[usize::from(place)] = None;
            assert_eq!(all(&seeds), expected, "{place}");
            let part = seeds.keys(500, 100);
            let part: Vec<_> = part.iter().map(|k| k.as_ref().map(|k| *k.bytes())).collect();
            assert_eq!(part, expected[500..600]);
            let mut bytes = Zeroizing::new(Vec::new());
            seeds.encode(&mut bytes);
            assert!(bytes.len() < 2_500);
            let mut left = bytes.as_slice();
            seeds = Seeds::decode(&mut left).unwrap();
            assert!(left.is_empty());
        }
        for place in 0..PAGE_ROWS as u16 {
            seeds.puncture(place);
        }
        assert!(seeds.0.is_empty());
    }

    #[test]
    fn nodes_that_overlap_or_lie_outside_are_refused() {
        let node = |depth: u8, path: u16| [&[depth], path.to_le_bytes().as_slice(), &[1; 32]].concat();
        let read = |nodes: &[Vec<u8>]| {
            let bytes = [(nodes.len() as u16).to_le_bytes().to_vec(), nodes.concat()].concat();
            Seeds::decode(&mut bytes.as_slice()).is_some()
        };
        assert!(read(&[node(1, 0), node(2, 2)]));
        assert!(!read(&[node(1, 1), node(1, 0)]));
        assert!(!read(&[node(0, 0), node(10, 5)]));
        assert!(!read(&[node(11, 0)]) && !read(&[node(1, 2)]));
    }

    #[test]
    fn no_page_is_longer_than_one_with_every_other_record_erased() {
        let mut seeds = Seeds::random().unwrap();
        let (mut most, mut longest) = (0, Zeroizing::new(Vec::new()));
        // Every other one, then the rest.
        for place in (0..PAGE_ROWS as u16).step_by(2).chain((1..PAGE_ROWS as u16).step_by(2)) {
            seeds.puncture(place);
            longest.clear();
            seeds.encode(&mut longest);
            most = most.max(longest.len());
        }
        assert_eq!(most, Seeds::MOST_BYTES);
    }
}
