//! Recovery: shares of which any k of n open the vault (Shamir 1979, over GF(256)).
//!
//! What is shared is a random key of its own, and that key wraps the master key. A share is one word in Bech32
//! (BIP 173), whose checksum finds slips of the pen: version, set, threshold, number, and 32 bytes.

use std::{collections::BTreeSet, fmt, str::FromStr};

use bech32::{Bech32, Hrp};
use hedgerow_protocol::codec::base64_bytes;
use rand::{SeedableRng as _, TryRng as _, rngs::StdRng, rngs::SysRng};
use serde::{Deserialize, Serialize};
use vsss_rs::Gf256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::store::{
    crypter::{Crypter, SecretKey},
    error::StoreError,
};

/// Most shares of a set.
const SHARES: u8 = 16;
const VERSION: u8 = 1;
const HRP: Hrp = Hrp::parse_unchecked("hedgeshare");
const SET: usize = 4;

/// Of a set of shares, what is known to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// How many shares were made.
    pub shares: u8,
    /// How many open the vault.
    pub threshold: u8,
}

/// What can be wrong with shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// Not so many.
    #[error("of 2 to 16 shares, at least 2 and at most all must be needed")]
    Bounds,
    /// Mistyped.
    #[error("this is no share, or a letter of it is wrong; a share begins with hedgeshare1")]
    Malformed,
    /// The vault has no recovery.
    #[error("no recovery shares were made for this vault")]
    None,
    /// From an earlier set, or of another vault.
    #[error("a share is of another set: of another vault, or from before shares were made anew")]
    OtherSet,
    /// The same one twice.
    #[error("a share was given twice")]
    Twice,
    /// Too few.
    #[error("{needed} shares are needed, {given} were given")]
    TooFew {
        /// How many open it.
        needed: u8,
        /// How many there were.
        given: usize,
    },
    /// They do not fit together.
    #[error("these shares do not open this vault")]
    Wrong,
}

/// One share. Zeroized on drop, never shown but by `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    set: [u8; SET],
    threshold: u8,
    /// Number and value, as the scheme has them.
    point: Zeroizing<Vec<u8>>,
}

impl Share {
    /// Its number, from 1.
    pub fn number(&self) -> u8 {
        self.point.first().copied().unwrap_or(0)
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({}, ..)", self.number())
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Zeroizing::new(vec![VERSION]);
        bytes.extend_from_slice(&self.set);
        bytes.push(self.threshold);
        bytes.extend_from_slice(&self.point);
        bech32::encode_lower_to_fmt::<Bech32, _>(f, HRP, &bytes).map_err(|_| fmt::Error)
    }
}

impl FromStr for Share {
    type Err = ShareError;

    /// Spaces are passed over: people write long words in groups.
    fn from_str(text: &str) -> Result<Self, ShareError> {
        let word = Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect::<String>());
        let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32>(&word);
        let checked = checked.map_err(|_| ShareError::Malformed)?;
        let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(checked.byte_iter().collect());
        match bytes.as_slice() {
            [VERSION, a, b, c, d, threshold, point @ ..] if checked.hrp() == HRP && point.len() == 33 => {
                Ok(Self {
                    set: [*a, *b, *c, *d],
                    threshold: *threshold,
                    point: Zeroizing::new(point.to_vec()),
                })
            }
            _ => Err(ShareError::Malformed),
        }
    }
}

/// A slot on disk.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecoverySlot {
    #[serde(with = "base64_bytes")]
    set: Vec<u8>,
    pub(super) recovery: Recovery,
    #[serde(with = "base64_bytes")]
    wrapped: Vec<u8>,
}

impl RecoverySlot {
    /// A new set and its slot. The shares are nowhere else.
    pub(super) fn make(master: &SecretKey, recovery: Recovery) -> Result<(Self, Vec<Share>), StoreError> {
        let Recovery { shares, threshold } = recovery;
        if !(2..=SHARES).contains(&shares) || !(2..=shares).contains(&threshold) {
            return Err(ShareError::Bounds.into());
        }
        let mut set = [0; SET];
        SysRng.try_fill_bytes(&mut set).map_err(|_| StoreError::Random)?;
        let key = SecretKey::random()?;
        let mut slot = Self { set: set.to_vec(), recovery, wrapped: vec![] };
        slot.wrapped = crypter(&key).seal(&slot.bound(), 1, master.bytes())?;
        let random = StdRng::try_from_rng(&mut SysRng).map_err(|_| StoreError::Random)?;
        let points = Gf256::split_bytes(threshold.into(), shares.into(), key.bytes(), random)
            .map_err(|_| StoreError::from(ShareError::Bounds))?;
        let shares = points.into_iter().map(|point| Share { set, threshold, point: Zeroizing::new(point) });
        Ok((slot, shares.collect()))
    }

    pub(super) fn open(&self, shares: &[Share]) -> Result<SecretKey, StoreError> {
        if shares.iter().any(|share| share.set.as_slice() != self.set) {
            return Err(ShareError::OtherSet.into());
        }
        let numbers: BTreeSet<_> = shares.iter().map(Share::number).collect();
        if numbers.len() < shares.len() {
            return Err(ShareError::Twice.into());
        }
        let needed = self.recovery.threshold;
        if shares.len() < usize::from(needed) {
            return Err(ShareError::TooFew { needed, given: shares.len() }.into());
        }
        let mut points: Vec<Vec<u8>> = shares.iter().map(|share| share.point.to_vec()).collect();
        let combined = Gf256::combine_bytes(&points).map(Zeroizing::new);
        points.zeroize();
        let wrong = || StoreError::from(ShareError::Wrong);
        let combined = combined.map_err(|_| wrong())?;
        let key = SecretKey::new(combined.as_slice().try_into().map_err(|_| wrong())?);
        let opened = crypter(&key).open(&self.bound(), &self.wrapped, "recovery").map_err(|_| wrong())?;
        Ok(SecretKey::new(opened.as_slice().try_into().map_err(|_| wrong())?))
    }

    /// What the wrap is bound to.
    fn bound(&self) -> Vec<u8> {
        let numbers = [self.recovery.shares, self.recovery.threshold];
        [b"hedgerow/slot/2/recovery/".as_slice(), &numbers, &self.set].concat()
    }
}

fn crypter(key: &SecretKey) -> Crypter {
    Crypter::new(&key.derive("recovery"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(shares: u8, threshold: u8) -> (SecretKey, RecoverySlot, Vec<Share>) {
        let master = SecretKey::random().unwrap();
        let (slot, shares) = RecoverySlot::make(&master, Recovery { shares, threshold }).unwrap();
        (master, slot, shares)
    }

    fn pick(shares: &[Share], numbers: &[usize]) -> Vec<Share> {
        numbers.iter().map(|n| shares[*n].to_string().to_uppercase().parse().unwrap()).collect()
    }

    #[test]
    fn any_k_of_n_open_it_and_fewer_do_not() {
        let (master, slot, shares) = made(5, 3);
        assert_eq!(shares.iter().map(Share::number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        for numbers in [&[0, 1, 2][..], &[4, 2, 0], &[1, 3, 4], &[0, 1, 2, 3, 4]] {
            assert_eq!(slot.open(&pick(&shares, numbers)).unwrap().bytes(), master.bytes());
        }
        let error = |numbers: &[usize]| slot.open(&pick(&shares, numbers)).unwrap_err().to_string();
        assert_eq!(error(&[0, 4]), "3 shares are needed, 2 were given");
        assert_eq!(error(&[0, 4, 4]), "a share was given twice");
    }

    #[test]
    fn shares_of_another_set_and_shares_made_up_open_nothing() {
        let (_, slot, shares) = made(3, 2);
        let (_, _, others) = made(3, 2);
        assert!(slot.open(&pick(&others, &[0, 1])).unwrap_err().to_string().contains("another set"));
        let mut forged = pick(&shares, &[0, 1]);
        forged[1].point[7] ^= 1;
        assert_eq!(slot.open(&forged).unwrap_err().to_string(), ShareError::Wrong.to_string());
        // A threshold lowered in the file is bound to the wrap.
        let mut lowered = slot.clone();
        lowered.recovery.threshold = 1;
        assert!(lowered.open(&shares[..1]).is_err());
    }

    #[test]
    fn a_wrong_letter_is_found_and_spaces_are_passed_over() {
        let (_, _, shares) = made(2, 2);
        let word = shares[0].to_string();
        assert!(word.starts_with("hedgeshare1") && word.len() <= 90, "{}", word.len());
        let spaced: String = word.chars().flat_map(|c| [c, ' ']).collect();
        assert_eq!(spaced.parse::<Share>(), Ok(shares[0].clone()));
        for at in 11..word.len() {
            let mut letters: Vec<char> = word.chars().collect();
            letters[at] = if letters[at] == 'q' { 'p' } else { 'q' };
            let wrong: String = letters.into_iter().collect();
            assert_eq!(wrong.parse::<Share>(), Err(ShareError::Malformed), "{at}");
        }
        assert_eq!(format!("{:?}", shares[0]), "Share(1, ..)");
    }

    #[test]
    fn a_set_needs_at_least_two_shares() {
        let master = SecretKey::random().unwrap();
        for (shares, threshold) in [(1, 1), (2, 1), (3, 4), (17, 2), (0, 0)] {
            assert!(RecoverySlot::make(&master, Recovery { shares, threshold }).is_err());
        }
    }
}
