//! What two Hedgerow nodes must agree on (docs/protocol.md).
//!
//! No file, no socket, no clock and no global random source: time and randomness are handed in.

pub mod id;
pub mod limits;
pub mod time;

pub mod codec;
pub mod document;

pub mod wire;
