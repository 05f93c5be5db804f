//! What is printed: words for people, JSON for programs, and the exit code.

use std::{io::IsTerminal as _, process::ExitCode, time::Duration};

use hedgerow_node::error::{Class, NodeError};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;

/// Prints one JSON document.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}

/// Tells of a failure and gives its exit code.
pub(crate) fn failed(error: &anyhow::Error, as_json: bool) -> ExitCode {
    let class = error.downcast_ref::<NodeError>().map_or(Class::Input, |e| e.class);
    let message = format!("{error:#}");
    if as_json {
        eprintln!("{}", json!({ "error": { "class": class, "message": message } }));
    } else {
        eprintln!("hedgerow: {message}");
    }
    ExitCode::from(match class {
        Class::Invalid => 1,
        Class::Input => 2,
        Class::Vault => 3,
        Class::Refused => 4,
        Class::Network => 5,
    })
}

/// A progress bar that shows itself after a second, and on a terminal only.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    since: std::time::Instant,
    what: &'static str,
    bytes: bool,
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Self {
        Self::counting(what, false)
    }

    /// Of work that is counted in bytes.
    pub(crate) fn bytes(what: &'static str) -> Self {
        Self::counting(what, true)
    }

    fn counting(what: &'static str, bytes: bool) -> Self {
        Self { bar: None, since: std::time::Instant::now(), what, bytes }
    }

    pub(crate) fn tell(&mut self, done: u64, of: Option<u64>) {
        if !std::io::stderr().is_terminal() || self.since.elapsed() < Duration::from_secs(1) {
            return;
        }
        let what = self.what;
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::no_length();
            let template = match (of.is_some(), self.bytes) {
                (true, false) => "{msg} {wide_bar} {pos}/{len} {eta}",
                (false, false) => "{msg} {spinner} {pos} {per_sec}",
                (true, true) => "{msg} {wide_bar} {bytes}/{total_bytes} {eta}",
                (false, true) => "{msg} {spinner} {bytes} {bytes_per_sec}",
            };
            bar.set_style(ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar()));
            bar.set_message(what);
            bar
        });
        if let Some(of) = of {
            bar.set_length(of);
        }
        bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Text of others as one line without control characters: what a member wrote must not drive this terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
