//! What two Hedgerow nodes must agree on (docs/protocol.md).
//!
//! No file, no socket, no clock and no global random source: time and randomness are handed in.
//!
//! Two rivers run through it, each stage a type that consumes the one before:
//! record -> facet -> (plan) exact vector -> permit -> noised -> contribution -> release, and
//! draft indicator -> lint -> signed batch -> verified -> library.

pub mod id;
pub mod limits;
pub mod script;
pub mod time;

pub mod codec;
pub mod document;

pub mod vocabulary;

pub mod record;

pub mod facet;

pub mod statistic;

pub mod privacy;

pub mod round;

pub mod release;

pub mod indicator;

pub mod pseudonym;

pub mod reconcile;
pub mod wire;
