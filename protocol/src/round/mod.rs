//! Federated rounds: the sum of all members' vectors with the noise of a trusted centre, and no centre
//! (docs/protocol.md §9).
//!
//! Each member adds a share of the noise, commits to its vector and splits it among aggregators, who verify that
//! every value is in range, sign one set of vectors, and reveal their sums over that set. The shares of noise of
//! those summed come to whole noise; the commitments let anyone check the sum.
//!
//! [`Party`] is what a node does as a member and as an aggregator, [`Coordinator`] what the member does who asks.
//! Neither has a socket, a disk or a clock.

mod aggregator;
mod agreed;
pub mod commitment;
mod coordinator;
mod exchange;
mod host;
mod member;
mod message;
mod parameters;
mod party;
mod proof;
mod secure_sum;
mod share;
pub mod simulate;
mod stage;

pub use agreed::{Round, Seated};
pub use coordinator::Coordinator;
pub use exchange::{Ask, Declined, Told};
pub use host::{Delivery, Host, Mark, Step};
pub use member::{Begun, Count, Counted};
pub use message::{Abort, Consent, Drawn, Included, Receipt, Roster, Seat, Submission, Verifiers, draw};
pub use parameters::{Parameters, Terms};
pub use party::{Party, ROUND_SECONDS};
pub use proof::Proof;
pub(crate) use proof::Proven;
pub use share::NoisedShare;
pub use stage::{Failed, Outcome, Send, Stage};

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
