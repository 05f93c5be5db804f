//! What was dropped and why, by name (docs/protocol.md §8). No name holds a member's identity.

use std::sync::atomic::{AtomicU64, Ordering};

/// One list for the live counters, their snapshot and their names, so that none is forgotten in one of them.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// How often each thing happened since the network started.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counters {
            /// Each counter with its name, for a metrics page.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),+].into_iter()
            }
        }

        /// The counters as they run. They wrap after 2^64 events.
        #[derive(Debug, Default)]
        pub(super) struct Tally {
            $(pub(super) $name: AtomicU64,)+
        }

        impl Tally {
            pub(super) fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// Handshakes with a key that is in no charter.
    stranger,
    /// Handshakes and messages of a member that is blocked for its conduct.
    blocked,
    /// Dials answered by another key than the member's.
    wrong_key,
    /// Handshakes with our own key: someone else holds it.
    own_key,
    /// Connections over the limits.
    crowded,
    /// Handshakes of others that failed or never ended.
    handshake,
    /// Messages over their bound.
    oversize,
    /// Messages that do not decode.
    malformed,
    /// Requests that did not arrive, and replies that did not come, in time.
    late,
    /// Requests and gossip frames over the rate, and announcements over their author's.
    rate,
    /// Announcements signed by a key that is in no charter.
    not_member,
    /// Announcements older than what their author was already heard to say.
    replayed,
    /// Seconds in which a member's gossip stood below the score at which it is ignored.
    gossip,
    /// Requests and announcements dropped because this node was behind with its own work.
    queue_full,
    /// Requests that this node left without an answer until their deadline.
    unanswered,
    /// Documents that do not verify, break a rule, or are not what was announced.
    document,
    /// Documents whose signer has filled its share.
    share,
    /// Objects of batches that were not taken: of another member's id, a second story, after a revocation, dated ahead.
    object,
    /// Catch-ups in which the other side did not keep to the protocol, or named what it does not have.
    reconciliation,
    /// Members blocked for their conduct.
    blocks,
}

/// What was dropped of that which documents bring: the network carries them and does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// As [`Counters::document`].
    Document,
    /// As [`Counters::share`].
    Share,
    /// As [`Counters::object`].
    Object,
    /// As [`Counters::reconciliation`].
    Reconciliation,
}

impl Tally {
    pub(super) fn count(&self, what: Dropped, times: u64) {
        let counter = match what {
            Dropped::Document => &self.document,
            Dropped::Share => &self.share,
            Dropped::Object => &self.object,
            Dropped::Reconciliation => &self.reconciliation,
        };
        counter.fetch_add(times, Ordering::Relaxed);
    }
}

/// Adds one.
pub(super) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_under_its_name() {
        let tally = Tally::default();
        bump(&tally.stranger);
        bump(&tally.stranger);
        let counters = tally.snapshot();
        assert_eq!(counters.named().find(|(name, _)| *name == "stranger"), Some(("stranger", 2)));
        assert_eq!(counters.named().map(|(_, count)| count).sum::<u64>(), 2);
    }
}
