//! Documents that members agree on, each in one signed envelope (docs/protocol.md §1).

pub mod charter;
pub mod envelope;
pub(crate) mod hpke;

pub use charter::{Charter, Member, PseudonymPolicy};
pub(crate) use envelope::Sealed;
pub use envelope::{Document, Envelope, EnvelopeError, Flaw, NodeSecret, Signed};
