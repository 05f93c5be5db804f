//! One file for each flow that a user sees. Flows join the store with the protocol; `serve` adds the network.

pub mod access;
pub mod attachment;
pub mod backup;
mod blobs;
mod carry;
pub mod clients;
mod file;
pub mod foreign;
pub mod indicator;
pub mod intake;
mod lead;
pub mod lint;
pub mod matching;
pub mod membership;
pub mod pseudonym;
pub mod pull;
mod refused;
mod round;
pub mod search;
pub mod serve;
pub mod sighting;
pub mod spread;
pub mod statistic;
pub mod upgrade;
