//! Pedersen commitments to vectors, by which anyone can check a sum (docs/protocol.md §9; Pedersen 1991).
//!
//! `C = b H + sum_i s_i G_i` over ristretto255 (RFC 9496), where several values are packed into each scalar. The
//! sum of commitments commits to the sum of vectors, with the sum of blinding factors. Packed values do not run
//! into one another, because each has room for the sum of every seat.

use std::sync::OnceLock;

use curve25519_dalek::{
    RistrettoPoint, Scalar,
    ristretto::CompressedRistretto,
    traits::{Identity as _, MultiscalarMul as _, VartimeMultiscalarMul as _},
};
use rand::CryptoRng;
use sha2::{Digest as _, Sha512};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::{document::Flaw, id::Digest};

/// Bits of a scalar that hold values; the group's order is above 2^252.
const SCALAR_BITS: u32 = 252;
/// Scalars of one vector: 4,096 values of 48 bits and room for 1,024 seats.
const MOST_SCALARS: usize = 1024;

/// A blinding factor: the secret that hides a committed vector, or a share or sum of such secrets.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Blinding(Scalar);

impl Blinding {
    /// A fresh one.
    pub fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut wide = Zeroizing::new([0; 64]);
        rng.fill_bytes(wide.as_mut());
        Self(Scalar::from_bytes_mod_order_wide(&wide))
    }

    /// Shares that add up to this: all but the last are random.
    pub fn split<R: CryptoRng + ?Sized>(&self, k: usize, rng: &mut R) -> Vec<Self> {
        let mut shares: Vec<Self> = (1..k).map(|_| Self::random(rng)).collect();
        let last = shares.iter().fold(self.0, |rest, share| rest - share.0);
        shares.push(Self(last));
        shares
    }

    /// Their sum, which opens the sum of what they blind.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        Self(all.into_iter().map(|b| b.0).sum())
    }

    /// The canonical bytes of the scalar. Secret until it is summed.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Reads the canonical bytes of a scalar.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = <[u8; 32]>::try_from(bytes).ok()?;
        Option::from(Scalar::from_canonical_bytes(bytes)).map(Self)
    }
}

/// How values are packed: `bits` each, in vectors of which up to `seats` are summed.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    width: u32,
}

impl Packing {
    /// For values below 2^`bits`, at most 64 of these.
    pub fn new(bits: u32, seats: usize) -> Self {
        let carry = usize::BITS - seats.leading_zeros();
        Self { width: bits.min(64) + carry.min(32) }
    }

    fn scalars(self, values: &[u128]) -> Result<Zeroizing<Vec<Scalar>>, Flaw> {
        let flaw = || Flaw::new("commitment", "a vector that does not fit its packing");
        let each = (SCALAR_BITS / self.width.max(1)) as usize;
        let mut scalars = Zeroizing::new(Vec::with_capacity(values.len().div_ceil(each.max(1))));
        if each == 0 || values.len().div_ceil(each) > MOST_SCALARS {
            return Err(flaw());
        }
        for chunk in values.chunks(each) {
            let mut bytes = Zeroizing::new([0u8; 32]);
            let mut at = 0;
            for value in chunk {
                if *value >> self.width != 0 {
                    return Err(flaw());
                }
                place(bytes.as_mut(), *value, at);
                at += self.width;
            }
            scalars.push(Scalar::from_bytes_mod_order(*bytes));
        }
        Ok(scalars)
    }

    /// Commits to `values`. Constant-time in them.
    pub fn commit(self, values: &[u128], blinding: &Blinding) -> Result<Digest, Flaw> {
        let scalars = self.scalars(values)?;
        let bases = bases();
        let point = RistrettoPoint::multiscalar_mul(
            scalars.iter().chain([&blinding.0]),
            bases.values.iter().take(scalars.len()).chain([&bases.blinding]),
        );
        Ok(Digest::from_bytes(point.compress().to_bytes()))
    }

    /// Whether `commitments` together commit to `sum` under the sum of their blinding factors. Public values.
    pub fn opens(self, commitments: &[Digest], sum: &[u128], blinding: &Blinding) -> Result<bool, Flaw> {
        let scalars = self.scalars(sum)?;
        let bases = bases();
        let opened = RistrettoPoint::vartime_multiscalar_mul(
            scalars.iter().chain([&blinding.0]),
            bases.values.iter().take(scalars.len()).chain([&bases.blinding]),
        );
        let mut product = RistrettoPoint::identity();
        for commitment in commitments {
            let point = CompressedRistretto(*commitment.as_bytes()).decompress();
            product += point.ok_or_else(|| Flaw::new("commitment", "not a point of ristretto255"))?;
        }
        Ok(product == opened)
    }
}

/// Puts `value` into `bytes` at bit `at`, little-endian. Which bytes are touched depends on `at` alone.
fn place(bytes: &mut [u8], value: u128, at: u32) {
    let (byte, shift) = ((at / 8) as usize, at % 8);
    let mut rest = value;
    let mut first = true;
    for target in bytes.iter_mut().skip(byte).take(17) {
        let part = if first { (rest << shift) as u8 } else { rest as u8 };
        *target |= part;
        rest >>= if first { 8 - shift } else { 8 };
        first = false;
    }
    rest.zeroize();
}

struct Bases {
    values: Vec<RistrettoPoint>,
    blinding: RistrettoPoint,
}

/// Generators of which nobody knows how they relate: hashes of their numbers, mapped to the group.
fn bases() -> &'static Bases {
    static BASES: OnceLock<Bases> = OnceLock::new();
    let base = |name: &[u8], number: u32| {
        let mut hash = Sha512::new_with_prefix(b"hedgerow pedersen 1 ");
        hash.update(name);
        hash.update(number.to_be_bytes());
        RistrettoPoint::from_uniform_bytes(&hash.finalize().into())
    };
    BASES.get_or_init(|| Bases {
        values: (0..MOST_SCALARS as u32).map(|i| base(b"value", i)).collect(),
        blinding: base(b"blinding", 0),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_sum_opens_the_commitments_and_nothing_else_does(
            seed: u64, seats in 2usize..6, cells in 1usize..40, bits in 8u32..40, wrong: usize
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let packing = Packing::new(bits, seats);
            let largest = (1u128 << bits) - 1;
            let vectors: Vec<Vec<u128>> = (0..seats)
                .map(|i| (0..cells).map(|c| if (i + c) % 3 == 0 { largest } else { c as u128 % largest }).collect())
                .collect();
            let blindings: Vec<Blinding> = vectors.iter().map(|_| Blinding::random(&mut rng)).collect();
            let commitments: Vec<Digest> =
                vectors.iter().zip(&blindings).map(|(v, b)| packing.commit(v, b).unwrap()).collect();
            let mut sum: Vec<u128> = (0..cells).map(|c| vectors.iter().map(|v| v[c]).sum()).collect();
            // Blinding factors reach the total through shares.
            let shares: Vec<Vec<Blinding>> = blindings.iter().map(|b| b.split(3, &mut rng)).collect();
            let parts: Vec<Blinding> =
                (0..3).map(|k| Blinding::sum(shares.iter().map(|s| &s[k]))).collect();
            let total = Blinding::sum(&parts);
            prop_assert!(packing.opens(&commitments, &sum, &total).unwrap());
            prop_assert!(!packing.opens(&commitments[1..], &sum, &total).unwrap());
            prop_assert!(!packing.opens(&commitments, &sum, &parts[0]).unwrap());
            sum[wrong % cells] ^= 1;
            prop_assert!(!packing.opens(&commitments, &sum, &total).unwrap());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let blinding = Blinding::random(&mut StdRng::seed_from_u64(1));
        let packing = Packing::new(8, 4);
        assert!(packing.commit(&[1 << 12], &blinding).is_err());
        assert!(packing.commit(&vec![0; 252 * 1024], &blinding).is_err());
        assert!(packing.opens(&[Digest::from_bytes([0xff; 32])], &[0], &blinding).is_err());
        assert!(Blinding::from_bytes(&[0xff; 32]).is_none());
    }
}
