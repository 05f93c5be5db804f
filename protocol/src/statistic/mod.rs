//! From a question to one bounded integer vector (docs/protocol.md §3).
//!
//! `Query -> Plan -> Exact -(Permit)-> Noised -> Contribution -> Release`: each consumes the one before.

pub mod answer;
mod count;
pub mod plan;
pub mod query;
pub mod sighting;
pub mod vector;

pub use answer::{Contribution, Ground, Refusal};
pub use plan::{Axis, AxisValues, Plan, PlanError};
pub use query::{Bounded, Condition, Measure, Mode, Period, Query};
pub use sighting::Sighting;
pub use vector::{Exact, Noised, SampleKey};

#[cfg(test)]
mod tests;
