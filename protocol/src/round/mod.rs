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
mod message;
mod parameters;
mod party;
mod proof;
mod secure_sum;
mod share;
pub mod simulate;

pub use agreed::Round;
pub use coordinator::{Coordinator, Failed, Outcome, Send, Stage};
pub use exchange::{Ask, Declined, Told};
pub use message::{Abort, Consent, Included, Receipt, Roster, Seat, Submission, Verifiers};
pub use parameters::{Parameters, Terms};
pub use party::{Delivery, Host, Mark, Party, ROUND_SECONDS, Step};
pub use proof::Proof;
pub(crate) use proof::Proven;
pub use share::NoisedShare;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
