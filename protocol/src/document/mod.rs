//! Documents that members agree on, each in one signed envelope (docs/protocol.md §1).

pub mod envelope;

pub use envelope::{Document, Envelope, EnvelopeError, Flaw, NodeSecret, Signed};
