//! `match`: indicators looked for at home.

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use hedgerow_node::{
    api::{Command, Outcome},
    flow::matching::{Found, Matches, Origin, Place},
};

use super::Context;
use crate::output::{self, plain};

pub(crate) fn run(
    context: &Context,
    paths: &[PathBuf],
    records: bool,
    remember: bool,
) -> anyhow::Result<ExitCode> {
    let records = records || paths.is_empty();
    let paths = paths.iter().map(std::path::absolute).collect::<Result<Vec<_>, _>>()?;
    let Outcome::Matches(matches) =
        context.session.run(&Command::Match { paths, records, remember }, "looking")?
    else {
        bail!("the node answered another question")
    };
    if context.json {
        output::json(&matches)?;
        return Ok(ExitCode::SUCCESS);
    }
    matches.found.iter().for_each(show);
    let Matches { looked_for, skipped, records, files, lines, more, unread, remembered, .. } = *matches;
    for file in &unread {
        eprintln!(
            "Not looked at to its end: {}: {}",
            plain(&file.path.display().to_string()),
            plain(&file.reason)
        );
    }
    if more > 0 {
        println!("… and {more} more.");
    }
    eprintln!(
        "{looked_for} values looked for in {records} incidents and {files} files of {lines} lines; {skipped} values are too \
         short to be looked for."
    );
    if let Some(new) = remembered {
        eprintln!("{new} new sightings noted.");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(found: &Found) {
    let place = match &found.place {
        Place::File(path) => plain(&path.display().to_string()),
        Place::Record { number, field } => format!("record {number}, {field}"),
    };
    let lines: Vec<String> = found.lines.iter().map(u64::to_string).collect();
    let more = if found.count > found.lines.len() as u64 { ", …" } else { "" };
    let from = match &found.from {
        Origin::Member(id) => format!("from {}", id.short()),
        Origin::Draft => "a draft".to_owned(),
        Origin::Foreign(source) => format!("from outside, {}", plain(source)),
    };
    let tlp = found.tlp.map_or_else(String::new, |tlp| format!(", TLP {tlp}"));
    println!(
        "{place}: lines {}{more}: {} {}{} ({}, {from}{tlp})",
        lines.join(", "),
        found.kind,
        plain(&found.value),
        if found.defanged { ", defanged" } else { "" },
        found.indicator,
    );
}
