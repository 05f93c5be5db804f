//! Epsilon in whole millionths.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A privacy loss in millionths of epsilon. Written in documents as an integer, by people as a decimal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroEpsilon(u64);

/// What is wrong with an epsilon as typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an epsilon is a decimal such as 0.5, more than 0, at most 1000, with at most six decimals")]
pub struct EpsilonError;

impl MicroEpsilon {
    /// Largest epsilon that any document may name: 1000.
    pub const MAX: Self = Self(1_000_000_000);

    /// An epsilon of `micros` millionths.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Millionths of epsilon.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// `self + other`, or nothing if that cannot be counted.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// What is left of `self` after `spent`; zero if nothing is.
    pub const fn saturating_sub(self, spent: Self) -> Self {
        Self(self.0.saturating_sub(spent.0))
    }

    /// The loss of a group of `n`: n times the loss of one (Dwork and Roth 2014, Theorem 2.2).
    pub const fn times(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }
}

impl fmt::Display for MicroEpsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, micros) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if micros == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{micros:06}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

impl FromStr for MicroEpsilon {
    type Err = EpsilonError;

    /// Reads a decimal exactly; no floating point on the way.
    fn from_str(s: &str) -> Result<Self, EpsilonError> {
        let (whole, decimals) = s.split_once('.').unwrap_or((s, "0"));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || whole.len() > 4 || decimals.len() > 6 {
            return Err(EpsilonError);
        }
        let micros = format!("{whole}{decimals:0<6}").parse().map_err(|_| EpsilonError)?;
        if micros == 0 || micros > Self::MAX.0 { Err(EpsilonError) } else { Ok(Self(micros)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        for (text, micros) in [("0.5", 500_000), ("1", 1_000_000), ("0.000001", 1), ("1000", 1_000_000_000)] {
            assert_eq!(text.parse(), Ok(MicroEpsilon(micros)));
            assert_eq!(MicroEpsilon(micros).to_string(), text);
        }
        for bad in ["", "0", "0.0", "-1", "+1", "1e3", ".5", "1.", "0.0000001", "1000.1", "NaN", "99999"] {
            assert_eq!(bad.parse::<MicroEpsilon>(), Err(EpsilonError), "{bad}");
        }
    }
}
