//! The local API: what a command line or a console may ask of a node (docs/operating.md).
//!
//! One closed set of commands. `run` carries one out on an open vault; `socket` brings the same commands to a
//! node that is running, over a Unix socket that only its owner may open.

mod access;
mod budget;
mod command;
pub mod library;
mod outcome;
mod people;
mod run;
mod seat;
pub mod socket;
pub mod taxii;

pub use command::*;
pub use outcome::*;
pub use people::{PeopleCommand, PeopleOutcome};
pub use run::{Progress, run, run_as};
