//! One organisation's Hedgerow node.

pub mod store;
