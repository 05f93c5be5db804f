//! One organisation's Hedgerow node.

pub mod facet_row;
pub mod form;
pub mod reader;
pub mod simulate;
