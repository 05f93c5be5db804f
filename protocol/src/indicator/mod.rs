//! Threat indicators: draft -> lint -> signed batch -> verified -> library (docs/protocol.md §6,
//! docs/indicators.md).

pub mod batch;
pub mod cyber;
pub mod defang;
pub mod expression;
pub mod library;
pub mod lint;
pub mod merkle;
pub mod observable;
pub mod pattern;
pub mod sealed;
pub mod stix;
pub mod tlp;
pub mod warning;

pub use batch::{Batch, BatchError, BatchHead, Item, ObjectProof, SignedBatch};
pub use expression::{Comparison, Expression, Operator};
pub use library::{Decision, Held, Rejected, decide};
pub use lint::{Checks, Finding, Lint, Linted, lint, lint_against, objection};
pub use observable::{Observable, ObservableError, ObservableKind, capitals, host_spellings, same_page};
pub use pattern::{Pattern, Tree};
pub use sealed::{Opened, SealedBatch};
pub use stix::{IdSpace, Instant, Phase, StixError, StixObject, is_indicator_id};
pub use tlp::Tlp;
pub use warning::{Nobody, People, Terms, WarningError, WarningLists};
