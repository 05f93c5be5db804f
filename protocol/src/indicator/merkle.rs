//! The Merkle tree over the objects of a batch (RFC 6962 §2.1, RFC 9162 §2.1): one signature over its root proves each
//! object by a path of hashes.

use sha2::{Digest as _, Sha256};

use crate::id::Digest;

/// Most hashes of a path: more than any batch needs.
pub const PATH: usize = 16;

/// The hash of one leaf: SHA-256 over a zero byte and its content.
pub fn leaf(content: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(content);
    Digest::from_bytes(hash.finalize().into())
}

fn node(left: &Digest, right: &Digest) -> Digest {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left.as_bytes());
    hash.update(right.as_bytes());
    Digest::from_bytes(hash.finalize().into())
}

/// The root over `leaves`, in order; the hash of nothing if there are none.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(split(more.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The hashes beside the way from leaf `index` up to the root, lowest first; none if there is no such leaf.
pub fn path(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let mut way = if index < at { path(left, index)? } else { path(right, index - at)? };
    way.push(if index < at { root(right) } else { root(left) });
    Some(way)
}

/// The root that leaf `index` of `size` and its `path` come to; none if they are no path of such a tree
/// (RFC 9162 §2.1.3.2).
pub fn root_of_path(leaf: Digest, index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
    if index >= size || path.len() > PATH {
        return None;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node(beside, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, beside);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// The largest power of two below `n`, of two or more.
const fn split(n: usize) -> usize {
    1 << (n - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: usize) -> Vec<Digest> {
        (0..n).map(|i| leaf(&i.to_be_bytes())).collect()
    }

    /// From the Certificate Transparency test vectors (RFC 6962 reference implementation, merkle_tree_test.cc).
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let inputs = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let all: Vec<Digest> = inputs.iter().map(|i| leaf(&hex::decode(i).unwrap())).collect();
        for (n, expected) in [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            assert_eq!(root(&all[..n]).to_string(), expected, "{n}");
        }
    }

    #[test]
    fn every_path_leads_to_the_root_and_no_other_leaf_place_or_size_does() {
        for n in 1..40usize {
            let all = leaves(n);
            let top = root(&all);
            for i in 0..n {
                let way = path(&all, i).unwrap();
                let from =
                    |leaf, i: usize, n: usize, way: &[Digest]| root_of_path(leaf, i as u64, n as u64, way);
                assert_eq!(from(all[i], i, n, &way), Some(top), "{i} of {n}");
                assert_ne!(from(leaf(b"other"), i, n, &way), Some(top));
                if i + 1 < n {
                    assert_ne!(from(all[i], i + 1, n, &way), Some(top));
                }
                assert_eq!(from(all[i], n, n, &way), None);
                let mut long = way.clone();
                long.push(top);
                assert_ne!(from(all[i], i, n, &long), Some(top));
                if let Some((_, short)) = way.split_last() {
                    assert_ne!(from(all[i], i, n, short), Some(top));
                }
            }
            assert_eq!(path(&all, n), None);
        }
    }
}
