//! The privacy core: budget, noise, guarantee and interval (docs/protocol.md §4, docs/privacy.md).
//!
//! Every quantity that decides privacy is an integer or an exact rational. Floating point appears only where
//! an interval is *described*, never where noise is drawn or budget is counted.

pub mod budget;
pub mod interval;
pub mod noise;

pub use budget::{Accountant, AuthoriseError, Caps, Charge, MicroEpsilon, OverBudget, Permit};
pub use interval::{Interval, IntervalError};
pub use noise::Mechanism;
