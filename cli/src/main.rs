//! `hedgerow`: the one binary, for operator, caseworker, analyst and researcher.
//!
//! It parses, calls and prints; what a command does is in `hedgerow_node`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a command line is for")]

mod args;
mod bars;
mod command;
mod output;
mod passphrase;
mod session;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // Before anything secret is read. What the system does not grant, docs/threat-model.md says.
    hedgerow_node::process::harden();
    let args = args::Args::parse();
    let json = args.json;
    match command::run(args) {
        Ok(code) => code,
        Err(error) => output::failed(&error, json),
    }
}
