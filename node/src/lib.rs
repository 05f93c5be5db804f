//! One organisation's Hedgerow node.

pub mod net;
