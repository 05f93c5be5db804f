//! Threat indicators: draft -> lint -> signed batch -> verified -> library (docs/protocol.md §6,
//! docs/indicators.md).

pub mod batch;
pub mod cyber;
pub mod defang;
pub mod expression;
mod folded;
pub mod library;
pub mod lint;
mod meant;
pub mod merkle;
mod numbers;
pub mod observable;
pub mod pattern;
pub mod people;
mod personal;
pub mod sealed;
pub mod stix;
pub mod tlp;
pub mod warning;
mod words;

pub use batch::{Batch, BatchError, BatchHead, Item, ObjectProof, SignedBatch};
pub use expression::{Comparison, Expression, Operator};
pub use library::{Decision, Held, Rejected, decide};
pub use lint::{Checks, Finding, Lint, Linted, lint, lint_against, objection};
pub use observable::{Observable, ObservableError, ObservableKind, capitals, host_spellings, same_page};
pub use pattern::{Pattern, Tree};
pub use people::{Key, Nobody, People, Terms};
pub use sealed::{Opened, SealedBatch};
pub use stix::{IdSpace, Instant, Phase, StixError, StixObject, is_indicator_id};
pub use tlp::Tlp;
pub use warning::{WarningError, WarningLists};
