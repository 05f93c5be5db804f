//! Bounded numbers of an incident: what sums, means, histograms and quantiles are of (docs/protocol.md §3).
//!
//! Each has a public bound and public bins, so that the cells of a histogram are known before any record is read.

use std::{fmt, str::FromStr};

use crate::{id::serde_as_text, record::Numbers};

/// A number of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// Accounts affected.
    AccountsAffected,
    /// Contacts exposed.
    ContactsExposed,
    /// Days to the first answer.
    DaysToAnswer,
    /// Money lost, in whole dollars.
    MoneyLost,
}

/// Values from `low` to `high`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bin {
    /// Smallest value.
    pub low: u32,
    /// Largest value.
    pub high: u32,
}

impl fmt::Display for Bin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}-{}", self.low, self.high)
        }
    }
}

/// The last value of the axis of a field: incidents of which the number is not known.
pub const UNKNOWN: &str = "unknown";

impl Field {
    /// All fields.
    pub const ALL: [Self; 4] =
        [Self::AccountsAffected, Self::ContactsExposed, Self::DaysToAnswer, Self::MoneyLost];

    /// Its name in queries and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccountsAffected => "accounts_affected",
            Self::ContactsExposed => "contacts_exposed",
            Self::DaysToAnswer => "days_to_answer",
            Self::MoneyLost => "money_lost",
        }
    }

    /// Its unit, for people.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::AccountsAffected => "accounts",
            Self::ContactsExposed => "contacts",
            Self::DaysToAnswer => "days",
            Self::MoneyLost => "dollars",
        }
    }

    /// Its largest value.
    pub const fn most(self) -> u32 {
        match self {
            Self::AccountsAffected => 100,
            Self::ContactsExposed => 10_000,
            Self::DaysToAnswer => 365,
            Self::MoneyLost => 100_000,
        }
    }

    /// Upper ends of its bins; the last is [`Self::most`].
    const fn ends(self) -> &'static [u32] {
        match self {
            Self::AccountsAffected => &[0, 1, 2, 3, 5, 10, 20, 50, 100],
            Self::ContactsExposed => &[0, 1, 10, 30, 100, 300, 1000, 3000, 10_000],
            Self::DaysToAnswer => &[0, 1, 3, 7, 14, 30, 90, 180, 365],
            Self::MoneyLost => &[0, 100, 300, 1000, 3000, 10_000, 30_000, 100_000],
        }
    }

    /// Its bins, by rising value.
    pub fn bins(self) -> impl Iterator<Item = Bin> {
        let ends = self.ends();
        let lows = std::iter::once(0).chain(ends.iter().map(|end| end + 1));
        lows.zip(ends).map(|(low, high)| Bin { low, high: *high })
    }

    /// The place of a value among the bins; what is not known comes after the last.
    pub(crate) fn place(self, value: Option<u32>) -> usize {
        match value {
            Some(value) => self.ends().partition_point(|end| *end < value),
            None => self.ends().len(),
        }
    }

    /// The value that `numbers` have.
    pub const fn of(self, numbers: &Numbers) -> Option<u32> {
        match self {
            Self::AccountsAffected => numbers.accounts_affected,
            Self::ContactsExposed => numbers.contacts_exposed,
            Self::DaysToAnswer => numbers.days_to_answer,
            Self::MoneyLost => numbers.money_lost,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no number {0:?}; there are: {names}", names = Field::ALL.map(Field::name).join(", "))]
pub struct FieldError(String);

impl FromStr for Field {
    type Err = FieldError;

    fn from_str(s: &str) -> Result<Self, FieldError> {
        let found = Self::ALL.into_iter().find(|f| f.name() == s);
        found.ok_or_else(|| FieldError(s.chars().take(40).collect()))
    }
}

serde_as_text!(Field);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_one_bin_and_what_is_unknown_the_last_place() {
        for field in Field::ALL {
            let bins: Vec<Bin> = field.bins().collect();
            for value in 0..=field.most() {
                let at = field.place(Some(value));
                assert!(bins[at].low <= value && value <= bins[at].high, "{field} {value}");
            }
            assert_eq!(bins.last().unwrap().high, field.most());
            assert_eq!(field.place(None), bins.len());
            assert_eq!(field.name().parse(), Ok(field));
        }
        assert_eq!(Field::DaysToAnswer.bins().map(|b| b.to_string()).nth(2), Some("2-3".into()));
    }
}
