//! One organisation's Hedgerow node: vault, ledger, statistics, network, local API.
//!
//! `store` and `net` do not know each other; `flow` joins them, one file for each thing a user does.

pub mod api;
pub mod error;
pub mod export;
pub mod facet_row;
pub mod flow;
pub mod form;
pub mod matcher;
pub mod net;
pub mod node;
pub mod process;
pub mod reader;
pub mod remote;
pub mod simulate;
pub mod store;
mod words;
