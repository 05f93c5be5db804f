//! How long, how often and how badly: deadlines, rates and the standing of a member (docs/network.md).
//!
//! Bounds on size that two nodes must agree on are in `hedgerow_protocol::limits`; those here are one node's
//! own, and two nodes may differ in them. Nothing here reads a clock: the time is handed in.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hedgerow_protocol::{limits, wire::Request};

/// From the first byte of a connection to the end of its handshake and multiplexer.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// From an opened stream to the last byte of the request on it.
pub const ARRIVAL_DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection without a stream is kept. Gossip keeps one open, so this ends spare connections.
pub const IDLE: Duration = Duration::from_secs(120);

/// Connections with one member: one each way while both dial, and one to replace a link that died silently.
pub const CONNECTIONS_PER_PEER: u32 = 3;
/// Handshakes of others under way at once. Strangers can fill it, so members also dial out.
pub const PENDING_INCOMING: u32 = 64;
/// Our own dials under way at once: one to every member of the largest charter.
pub const PENDING_OUTGOING: u32 = limits::MEMBERS as u32;
/// Streams that the other side may hold open on one connection.
pub const STREAMS_PER_CONNECTION: usize = 64;
/// Requests in both directions on one connection; more are dropped.
pub const EXCHANGES_PER_CONNECTION: usize = 32;
/// Our own requests under way to one member; more are [`RequestError::TooMany`](super::RequestError::TooMany).
pub const ASKED_PER_PEER: usize = 16;
/// Requests of one member that wait for our answer; more are answered `Busy`.
pub const UNANSWERED_PER_PEER: usize = 16;
/// Replies in a row that may come too late before the connection is dropped and dialled anew.
pub const LATE_REPLIES: u32 = 3;

/// How long the reply to a request may take, by its kind.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// A query, which the other side may have to compute.
    pub query: Duration,
    /// A page, an inventory or a part of a blob, which is only read or kept.
    pub read: Duration,
    /// An ask of a round: the other side may have to count, hand in its vector and wait for others.
    pub round: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { query: Duration::from_secs(20), read: Duration::from_secs(10), round: Duration::from_secs(45) }
    }
}

impl Deadlines {
    /// The deadline of `request`.
    pub const fn of(&self, request: &Request) -> Duration {
        match request {
            Request::Query { .. } => self.query,
            Request::Round { .. } => self.round,
            Request::Fetch { .. }
            | Request::Inventory { .. }
            | Request::Epochs
            | Request::Reconcile { .. }
            | Request::Describe { .. }
            | Request::Put { .. }
            | Request::Rest { .. }
            | Request::Evaluate { .. }
            | Request::Carry { .. } => self.read,
        }
    }
}

/// A token bucket: it holds `burst` tokens and gains one every `refill`.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Most tokens held.
    pub burst: NonZeroU32,
    /// Time to gain one.
    pub refill: Duration,
}

impl Rate {
    /// A bucket of `burst` tokens (at least one) that gains one every `refill`.
    pub const fn new(burst: u32, refill: Duration) -> Self {
        let burst = match NonZeroU32::new(burst) {
            Some(burst) => burst,
            None => NonZeroU32::MIN,
        };
        Self { burst, refill }
    }

    pub(crate) fn bucket(self) -> DefaultDirectRateLimiter {
        let quota = Quota::with_period(self.refill).unwrap_or(Quota::per_second(self.burst));
        RateLimiter::direct(quota.allow_burst(self.burst))
    }
}

/// What one member may send. Over the rate, a request is answered `Busy` and an announcement is ignored.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Queries of one member.
    pub queries: Rate,
    /// Fetches, inventories and parts of blobs of one member: a document of 16 MiB is 256 pages.
    pub reads: Rate,
    /// Messages of reconciliations of one member: a pass over an epoch each.
    pub reconciliations: Rate,
    /// What is carried for one member, and tokens for it.
    pub carried: Rate,
    /// Asks of rounds of one member.
    pub rounds: Rate,
    /// Announcements signed by one member, whoever forwards them.
    pub announcements: Rate,
    /// Gossip frames of any content sent by one member: announcements of others and control messages.
    pub frames: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            queries: Rate::new(20, Duration::from_secs(3)),
            reads: Rate::new(300, Duration::from_millis(20)),
            reconciliations: Rate::new(200, Duration::from_millis(100)),
            carried: Rate::new(100, Duration::from_millis(50)),
            rounds: Rate::new(200, Duration::from_millis(300)),
            announcements: Rate::new(60, Duration::from_secs(1)),
            frames: Rate::new(400, Duration::from_millis(20)),
        }
    }
}

/// The buckets of one member, but for frames, which are counted before the member is looked up.
pub(super) struct Buckets {
    queries: DefaultDirectRateLimiter,
    reads: DefaultDirectRateLimiter,
    reconciliations: DefaultDirectRateLimiter,
    carried: DefaultDirectRateLimiter,
    rounds: DefaultDirectRateLimiter,
    announcements: DefaultDirectRateLimiter,
}

impl Buckets {
    pub(super) fn new(rates: &Rates) -> Self {
        Self {
            queries: rates.queries.bucket(),
            reads: rates.reads.bucket(),
            reconciliations: rates.reconciliations.bucket(),
            carried: rates.carried.bucket(),
            rounds: rates.rounds.bucket(),
            announcements: rates.announcements.bucket(),
        }
    }

    /// Whether one more `request` is within the rate; takes a token if it is.
    pub(super) fn request(&self, request: &Request) -> bool {
        match request {
            Request::Query { .. } => self.queries.check().is_ok(),
            // A round asks some nine times; this leaves room for two a minute, and for asking again.
            Request::Round { .. } => self.rounds.check().is_ok(),
            Request::Fetch { .. }
            | Request::Inventory { .. }
            | Request::Describe { .. }
            | Request::Put { .. }
            | Request::Rest { .. } => self.reads.check().is_ok(),
            // Each may cost a pass over what is held.
            Request::Epochs | Request::Reconcile { .. } => self.reconciliations.check().is_ok(),
            Request::Evaluate { .. } | Request::Carry { .. } => self.carried.check().is_ok(),
        }
    }

    /// Whether one more announcement is within the rate; takes a token if it is.
    pub(super) fn announcement(&self) -> bool {
        self.announcements.check().is_ok()
    }
}

/// What a member can be blamed for: only what an honest node never does, or never does for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// More messages than the rate allows.
    Rate,
    /// A message over its bound.
    Oversize,
    /// A message that is not what it should be.
    Malformed,
    /// Gossip that is unsigned, wrongly signed or against the rules of the mesh.
    Gossip,
}

impl Fault {
    const fn points(self) -> u64 {
        match self {
            Self::Rate => 1,
            Self::Oversize | Self::Malformed => 10,
            Self::Gossip => 25,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rate => "too many messages",
            Self::Oversize => "messages over their bound",
            Self::Malformed => "malformed messages",
            Self::Gossip => "gossip against the rules",
        })
    }
}

/// When a member is disconnected, and for how long.
#[derive(Debug, Clone)]
pub struct Conduct {
    /// Points at which a member is blocked: 1 for a message over the rate, 10 for one too long or malformed,
    /// 25 for each second of gossip against the rules.
    pub tolerance: u64,
    /// Time in which that many points are forgiven, evenly.
    pub window: Duration,
    /// How long a blocked member is neither dialled nor let in.
    pub cool_down: Duration,
}

impl Default for Conduct {
    fn default() -> Self {
        Self { tolerance: 100, window: Duration::from_secs(60), cool_down: Duration::from_secs(600) }
    }
}

/// The standing of one member: points that drain with time, and the end of a block.
pub(super) struct Standing {
    millipoints: u64,
    at: Instant,
    blocked: Option<(Instant, Fault)>,
}

impl Standing {
    pub(super) const fn new(now: Instant) -> Self {
        Self { millipoints: 0, at: now, blocked: None }
    }

    /// Charges a fault made `times` times; the end of the block if that is one too many and begins it.
    pub(super) fn charge(
        &mut self,
        fault: Fault,
        times: u32,
        conduct: &Conduct,
        now: Instant,
    ) -> Option<Instant> {
        let window = u64::try_from(conduct.window.as_millis()).unwrap_or(u64::MAX).max(1);
        let elapsed = u64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        let limit = conduct.tolerance.saturating_mul(1000);
        let drained = elapsed.saturating_mul(limit).checked_div(window).unwrap_or(u64::MAX);
        let charged = fault.points().saturating_mul(1000).saturating_mul(u64::from(times));
        self.millipoints = self.millipoints.saturating_sub(drained).saturating_add(charged);
        self.at = now;
        if self.millipoints < limit || self.blocked.is_some() {
            return None;
        }
        self.millipoints = 0;
        let until = now.checked_add(conduct.cool_down).unwrap_or(now);
        self.blocked = Some((until, fault));
        Some(until)
    }

    /// The end and the reason of a block that holds at `now`.
    pub(super) fn blocked(&self, now: Instant) -> Option<(Instant, Fault)> {
        self.blocked.filter(|(until, _)| *until > now)
    }

    /// Ends a block whose time is over; true if there was one.
    pub(super) fn release(&mut self, now: Instant) -> bool {
        self.blocked.take_if(|(until, _)| *until <= now).is_some()
    }
}

/// When to dial a member again: exponential with jitter, so that a federation that comes back after an
/// outage does not dial in step.
#[derive(Debug, Clone)]
pub struct Redial {
    /// First pause.
    pub first: Duration,
    /// Longest pause.
    pub cap: Duration,
    /// A connection that lasted this long begins again with the first pause.
    pub settled: Duration,
}

impl Default for Redial {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(250),
            cap: Duration::from_secs(60),
            settled: Duration::from_secs(30),
        }
    }
}

impl Redial {
    /// The pause after `failures` failures, scaled by `jitter` from 0 to 1 into half to one and a half of it.
    pub(super) fn pause(&self, failures: u32, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(failures).unwrap_or(u32::MAX));
        doubled.min(self.cap).mul_f64(0.5 + jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_nothing() {
        let rate = Rate::new(3, Duration::from_secs(3600));
        let buckets = Buckets::new(&Rates { reads: rate, carried: rate, ..Rates::default() });
        for request in [Request::Inventory { after: 0 }, Request::Carry { to: None }] {
            assert_eq!((0..5).filter(|_| buckets.request(&request)).count(), 3, "{request:?}");
        }
    }

    #[test]
    fn faults_add_up_to_a_block_and_the_block_ends() {
        let (conduct, start) = (Conduct::default(), Instant::now());
        let mut standing = Standing::new(start);
        for _ in 0..9 {
            assert_eq!(standing.charge(Fault::Malformed, 1, &conduct, start), None);
        }
        let until = standing.charge(Fault::Oversize, 1, &conduct, start);
        assert_eq!(until, Some(start + conduct.cool_down));
        assert_eq!(standing.blocked(start).map(|(_, fault)| fault), Some(Fault::Oversize));
        assert!(!standing.release(start));
        assert!(standing.release(start + conduct.cool_down));
        assert_eq!(standing.blocked(start), None);
    }

    #[test]
    fn faults_far_apart_are_forgiven() {
        let (conduct, start) = (Conduct::default(), Instant::now());
        let mut standing = Standing::new(start);
        for n in 0..100 {
            let now = start + Duration::from_secs(10) * n;
            assert_eq!(standing.charge(Fault::Malformed, 1, &conduct, now), None);
        }
    }

    #[test]
    fn the_pause_doubles_to_its_cap_within_its_jitter() {
        let redial = Redial::default();
        assert_eq!(redial.pause(0, 0.5), Duration::from_millis(250));
        assert_eq!(redial.pause(3, 0.5), Duration::from_secs(2));
        assert_eq!(redial.pause(4000, 0.0), Duration::from_secs(30));
        assert_eq!(redial.pause(4000, 1.0), Duration::from_secs(90));
    }
}
