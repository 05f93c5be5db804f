//! One organisation's Hedgerow node.
