//! A member of the charter whose node is not ours, against nodes that run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod indicators;
mod pseudonyms;
mod rounds;
mod world;
