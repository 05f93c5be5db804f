//! Reading from a server of somebody who does not run Hedgerow, under bounds (docs/indicators.md).
//!
//! `fetch` is the only file that makes an HTTP request; `taxii` speaks TAXII 2.1 through it.

mod fetch;
pub(crate) mod taxii;

pub use fetch::FetchError;
pub(crate) use fetch::Fetcher;
