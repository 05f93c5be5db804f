//! The privacy core: budget, noise, guarantee and interval (docs/protocol.md §4, docs/privacy.md).
//!
//! Every quantity that decides privacy is an integer or an exact rational. Floating point appears only where
//! an interval is *described*, never where noise is drawn or budget is counted.

pub mod budget;
mod chance;
pub mod guarantee;
pub mod interval;
pub mod noise;
mod shares;

pub use budget::{Accountant, AuthoriseError, Caps, Charge, MicroEpsilon, OverBudget, Permit};
pub use guarantee::{AgainstMembers, Guarantee, Loss};
pub use interval::{Interval, IntervalError};
pub use noise::Mechanism;
