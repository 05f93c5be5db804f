//! For whom a running node acts when a command brings no key: whoever unlocked it last, until it locks.
//!
//! The socket's other end is a process of the same system user, and nothing more is known of it: it may be any of the
//! people who share that account. So what is done without a key is done as the one in the seat, and after an idle time
//! the seat is empty. What the federation asks of the node is answered meanwhile: that reads facets, not records.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::store::UserName;

/// The seat of one running node.
#[derive(Debug)]
pub(super) struct Seat {
    held: Mutex<Option<Held>>,
    /// Idle time after which it is empty; none for never.
    idle: Option<Duration>,
}

#[derive(Debug)]
struct Held {
    by: UserName,
    used: Instant,
}

impl Seat {
    pub(super) fn new(by: UserName, now: Instant, idle: Option<Duration>) -> Self {
        Self { held: Mutex::new(Some(Held { by, used: now })), idle }
    }

    /// Who is in it, if she did something lately.
    pub(super) fn holder(&self, now: Instant) -> Option<UserName> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = |h: &Held| self.idle.is_some_and(|idle| now.duration_since(h.used) >= idle);
        if held.as_ref().is_some_and(stale) {
            *held = None;
        }
        held.as_ref().map(|h| h.by.clone())
    }

    /// Its holder did something.
    pub(super) fn used(&self, now: Instant) {
        if let Some(held) = self.held.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            held.used = now;
        }
    }

    pub(super) fn take(&self, by: UserName, now: Instant) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held { by, used: now });
    }

    pub(super) fn leave(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_empty_after_the_idle_time_and_what_is_done_meanwhile_puts_that_off() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let seat = Seat::new(UserName::first(), start, Some(Duration::from_secs(60)));
        assert_eq!(seat.holder(after(59)), Some(UserName::first()));
        seat.used(after(59));
        assert_eq!(seat.holder(after(118)), Some(UserName::first()));
        assert_eq!(seat.holder(after(119)), None);
        seat.used(after(119));
        assert_eq!(seat.holder(after(120)), None, "using an empty seat does not fill it");
        seat.take("mina".parse().unwrap(), after(121));
        assert_eq!(seat.holder(after(122)).unwrap().as_str(), "mina");
        seat.leave();
        assert_eq!(seat.holder(after(123)), None);
        let always = Seat::new(UserName::first(), start, None);
        assert_eq!(always.holder(after(1_000_000)), Some(UserName::first()));
    }
}
