//! Threat indicators (docs/protocol.md §6).

pub mod tlp;

pub use tlp::Tlp;
