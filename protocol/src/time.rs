//! Time as documents carry it: RFC 3339 in UTC to the second, civil days, and calendar periods.
//!
//! Nothing here reads a clock; the caller hands the time in.

use std::{fmt, str::FromStr};

use jiff::civil::Date;

use crate::id::serde_as_text;

/// What is wrong with a time as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not `YYYY-MM-DDTHH:MM:SSZ`.
    #[error("a time is written YYYY-MM-DDTHH:MM:SSZ, in UTC")]
    Timestamp,
    /// Not `YYYY-MM-DD`, or not a day of the calendar.
    #[error("a day is written YYYY-MM-DD")]
    Day,
    /// Not `YYYY-Qn`.
    #[error("a quarter is written YYYY-Qn, with n from 1 to 4")]
    Quarter,
}

/// Seconds since the Unix epoch, written as RFC 3339 in UTC with no fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// A time from seconds since the Unix epoch, in the years 1970 to 9999.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, TimeError> {
        if (0..=253_402_300_799).contains(&seconds) { Ok(Self(seconds)) } else { Err(TimeError::Timestamp) }
    }

    /// Seconds since the Unix epoch.
    pub const fn unix_seconds(self) -> i64 {
        self.0
    }

    /// This time moved by `seconds`, held within the years 1970 to 9999.
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds).clamp(0, 253_402_300_799))
    }

    /// The civil day in UTC.
    pub fn day(self) -> Day {
        let stamp = jiff::Timestamp::from_second(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Day(jiff::tz::Offset::UTC.to_datetime(stamp).date())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamp = jiff::Timestamp::from_second(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(f, "{stamp}")
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(s: &str) -> Result<Self, TimeError> {
        let stamp: jiff::Timestamp = s.parse().map_err(|_| TimeError::Timestamp)?;
        let parsed = Self::from_unix_seconds(stamp.as_second())?;
        // The parser takes more spellings than RFC 3339 in UTC; one text for one time.
        if parsed.to_string() == s { Ok(parsed) } else { Err(TimeError::Timestamp) }
    }
}

/// A civil day, written `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(Date);

impl Day {
    /// The first there is: 1970-01-01.
    pub const FIRST: Self = Self(jiff::civil::date(1970, 1, 1));

    /// The day, from year (1970 to 9999), month and day of month.
    pub fn new(year: i16, month: i8, day: i8) -> Result<Self, TimeError> {
        Self::checked(Date::new(year, month, day).map_err(|_| TimeError::Day)?)
    }

    fn checked(date: Date) -> Result<Self, TimeError> {
        if (1970..=9999).contains(&date.year()) { Ok(Self(date)) } else { Err(TimeError::Day) }
    }

    /// The calendar year.
    pub fn year(self) -> i16 {
        self.0.year()
    }

    /// The calendar quarter.
    pub fn quarter(self) -> Quarter {
        Quarter::of(self.0)
    }

    /// Year, month and day of month.
    pub fn parts(self) -> (i16, i8, i8) {
        (self.0.year(), self.0.month(), self.0.day())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Day {
    type Err = TimeError;

    fn from_str(s: &str) -> Result<Self, TimeError> {
        let parsed = Self::checked(s.parse().map_err(|_| TimeError::Day)?)?;
        if parsed.to_string() == s { Ok(parsed) } else { Err(TimeError::Day) }
    }
}

/// A calendar quarter, written `YYYY-Qn`; the finest period that federates by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quarter {
    year: i16,
    /// 1 to 4.
    quarter: i8,
}

impl Quarter {
    /// The quarter, from year (1970 to 9999) and number (1 to 4).
    pub fn new(year: i16, quarter: i8) -> Result<Self, TimeError> {
        if (1970..=9999).contains(&year) && (1..=4).contains(&quarter) {
            Ok(Self { year, quarter })
        } else {
            Err(TimeError::Quarter)
        }
    }

    fn of(date: Date) -> Self {
        Self { year: date.year(), quarter: (date.month() - 1) / 3 + 1 }
    }

    /// The calendar year.
    pub const fn year(self) -> i16 {
        self.year
    }

    /// Quarters since the first of the year 0: consecutive quarters differ by one.
    pub fn ordinal(self) -> i32 {
        i32::from(self.year) * 4 + i32::from(self.quarter) - 1
    }

    /// The quarter `n` later (earlier when negative), held within the years 1970 to 9999.
    pub fn plus(self, n: i32) -> Self {
        let ordinal = self.ordinal().saturating_add(n).clamp(1970 * 4, 9999 * 4 + 3);
        Self {
            year: i16::try_from(ordinal.div_euclid(4)).unwrap_or(9999),
            quarter: i8::try_from(ordinal.rem_euclid(4) + 1).unwrap_or(4),
        }
    }
}

impl fmt::Display for Quarter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-Q{}", self.year, self.quarter)
    }
}

impl FromStr for Quarter {
    type Err = TimeError;

    fn from_str(s: &str) -> Result<Self, TimeError> {
        let (year, quarter) = s.split_once("-Q").ok_or(TimeError::Quarter)?;
        if year.len() != 4 || quarter.len() != 1 {
            return Err(TimeError::Quarter);
        }
        Self::new(
            year.parse().map_err(|_| TimeError::Quarter)?,
            quarter.parse().map_err(|_| TimeError::Quarter)?,
        )
    }
}

serde_as_text!(Timestamp, Day, Quarter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_spelling() {
        let t: Timestamp = "2026-01-31T23:59:58Z".parse().unwrap();
        assert_eq!(t.to_string(), "2026-01-31T23:59:58Z");
        for other in [
            "2026-01-31T23:59:58+00:00",
            "2026-01-31t23:59:58z",
            "2026-01-31T23:59:58.5Z",
            "1969-12-31T00:00:00Z",
        ] {
            assert_eq!(other.parse::<Timestamp>(), Err(TimeError::Timestamp), "{other}");
        }
        assert_eq!(t.day().to_string(), "2026-01-31");
    }

    #[test]
    fn quarters_count_on_across_years() {
        let q: Quarter = "2025-Q4".parse().unwrap();
        assert_eq!(q.plus(1).to_string(), "2026-Q1");
        assert_eq!(q.plus(-4).to_string(), "2024-Q4");
        assert_eq!("2025-02-03".parse::<Day>().unwrap().quarter().to_string(), "2025-Q1");
        for bad in ["2025-Q5", "2025-Q", "25-Q1", "2025Q1", "+025-Q1"] {
            assert_eq!(bad.parse::<Quarter>(), Err(TimeError::Quarter), "{bad}");
        }
    }
}
