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
    let Matches { looked_for, left_out, records, attachments, files, lines, more, remembered, .. } =
        &*matches;
    for file in &matches.unread {
        let record = file.record.map_or_else(String::new, |number| format!("record {number}, attachment "));
        let path = plain(&file.path.display().to_string());
        eprintln!("Not looked at to its end: {record}{path}: {}", plain(&file.reason));
    }
    if *more > 0 {
        println!("… and {more} more.");
    }
    eprintln!(
        "{looked_for} values looked for in {records} incidents, {attachments} attachments and {files} files of {lines} \
         lines."
    );
    if matches.not_text > 0 {
        eprintln!("{} attachments are no text and were not looked at.", matches.not_text);
    }
    for left in left_out {
        eprintln!("{} indicators were not looked for, or not in whole: {}.", left.count, plain(&left.reason));
    }
    if let Some(new) = remembered {
        eprintln!("{new} new sightings noted.");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(found: &Found) {
    let lines: Vec<String> = found.lines.iter().map(u64::to_string).collect();
    let more = if found.count > found.lines.len() as u64 { ", …" } else { "" };
    // What was found in an incident as a whole has no lines.
    let lines = if lines.is_empty() { String::new() } else { format!(" lines {}{more}:", lines.join(", ")) };
    let from = match &found.from {
        Origin::Member(id) => format!("from {}", id.short()),
        Origin::Draft => "a draft".to_owned(),
        Origin::Foreign(source) => format!("from outside, {}", plain(source)),
    };
    let tlp = found.tlp.map_or_else(String::new, |tlp| format!(", TLP {tlp}"));
    println!(
        "{}:{lines} {} {}{} ({}, {from}{tlp})",
        place(&found.place),
        found.kind,
        plain(&found.value),
        if found.defanged { ", defanged" } else { "" },
        found.indicator,
    );
}

fn place(place: &Place) -> String {
    match place {
        Place::File(path) => plain(&path.display().to_string()),
        Place::Record { number, field } => format!("record {number}, {field}"),
        Place::Attachment { record, name, .. } => format!("record {record}, attachment {}", plain(name)),
    }
}
