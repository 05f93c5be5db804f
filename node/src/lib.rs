//! One organisation's Hedgerow node.

pub mod facet_row;
pub mod form;
