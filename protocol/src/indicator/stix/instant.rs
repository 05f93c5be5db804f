//! The instants of STIX: RFC 3339 in UTC, to the nanosecond.

use std::{fmt, str::FromStr};

use super::StixError;
use crate::time::Timestamp;

/// A STIX timestamp, compared as the instant it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub(super) jiff::Timestamp);

impl Instant {
    /// The beginning of 1970: the time of what has none.
    pub const EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// Nanoseconds since 1970.
    pub fn unix_nanos(self) -> i128 {
        self.0.as_nanosecond()
    }

    /// The instant so many nanoseconds after 1970.
    pub fn from_unix_nanos(nanos: i128) -> Option<Self> {
        jiff::Timestamp::from_nanosecond(nanos).ok().map(Self)
    }

    /// The instant of a whole second.
    pub fn of(time: Timestamp) -> Self {
        Self(jiff::Timestamp::from_second(time.unix_seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// The whole second that it falls in, if the protocol can name it.
    pub fn timestamp(self) -> Option<Timestamp> {
        Timestamp::from_unix_seconds(self.0.as_second()).ok()
    }

    /// One millisecond later: the next version of an object.
    pub(super) fn next(self) -> Self {
        Self(self.0.checked_add(jiff::SignedDuration::from_millis(1)).unwrap_or(self.0))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl FromStr for Instant {
    type Err = StixError;

    fn from_str(s: &str) -> Result<Self, StixError> {
        if s.len() > 40 || !s.ends_with('Z') {
            return Err(StixError::Time);
        }
        s.parse().map(Self).map_err(|_| StixError::Time)
    }
}
