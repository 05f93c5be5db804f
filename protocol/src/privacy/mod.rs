//! The privacy core: budget, noise, guarantee and interval (docs/protocol.md §4, docs/privacy.md).
//!
//! Every quantity that decides privacy is an integer or an exact rational. Floating point appears only where
//! an interval is *described*, never where noise is drawn or budget is counted.

pub mod accountant;
pub mod accounting;
mod chance;
pub mod epsilon;
pub mod guarantee;
pub mod interval;
pub mod noise;
mod shares;

pub use accountant::{Account, Accountant, AuthoriseError, Caps, Charge, OverBudget, Permit, Spent};
pub use accounting::{Accounting, Unit};
pub use epsilon::{EpsilonError, MicroEpsilon};
pub use guarantee::{AgainstMembers, Guarantee, Loss, Sensitivity};
pub use interval::{Interval, IntervalError};
pub use noise::Mechanism;
