//! One file for each flow that a user sees. Flows join the store with the protocol; `serve` adds the network.

pub mod indicator;
pub mod intake;
pub mod membership;
pub mod serve;
pub mod spread;
pub mod statistic;
