//! A release as a table with bars and intervals.

use std::collections::BTreeMap;

use hedgerow_node::api::Spent;
use hedgerow_protocol::{
    release::{Margin, Range, Release},
    statistic::{Axis, AxisValues, Measure},
    vocabulary::UNKNOWN,
};

use crate::output::plain;

/// What indicators look for, by STIX id.
pub(crate) type Names = BTreeMap<String, String>;

/// Rows shown; the rest are in the release.
const ROWS: usize = 48;
/// Columns of a bar.
const WIDTH: usize = 30;

/// One row: what it counts, its value, and the interval of the noise around it.
struct Row {
    label: String,
    value: i64,
}

/// The table of a release. Values below zero are noise; bars begin at zero.
pub(crate) fn table(release: &Release, names: &Names) -> String {
    let axes = release.plan.axes();
    let mut rows: Vec<Row> = release
        .values
        .iter()
        .enumerate()
        .take(release.plan.groups())
        .map(|(at, value)| Row { label: label(axes, &release.plan.cell(at), names), value: *value })
        .collect();
    let all = rows.len();
    let timed = axes.iter().any(|a| matches!(a.axis, Axis::Quarter | Axis::Year | Axis::Field(_)));
    let cut = all > ROWS;
    if cut || !timed {
        rows.sort_by_key(|r| std::cmp::Reverse(r.value));
    }
    rows.truncate(ROWS);
    let half = i64::try_from(release.interval.half_width).unwrap_or(i64::MAX);
    let widest = rows.iter().map(|r| r.label.chars().count()).max().unwrap_or(0);
    // No more groups can have seen it than were asked.
    let top = match release.plan.measure() {
        Measure::Groups => i64::try_from(release.counted()).unwrap_or(i64::MAX),
        _ => i64::MAX,
    };
    let most = rows.iter().map(|r| r.value.saturating_add(half).min(top)).max().unwrap_or(1).max(1);
    let what = match release.plan.measure() {
        Measure::Incidents => "incidents",
        Measure::People => "people",
        Measure::Groups => "groups",
        Measure::Sum(b) | Measure::Mean(b) => b.field.unit(),
    };
    let mut text = format!("{:widest$}  {what:>9}  95% interval\n", "");
    for row in &rows {
        let low = row.value.saturating_sub(half).clamp(0, top);
        let high = row.value.saturating_add(half).clamp(0, top);
        let interval = format!("{low} to {high}");
        let bar = bar(row.value, half, most);
        text.push_str(&format!("{:widest$}  {:>9}  {interval:<16} {bar}\n", row.label, row.value));
    }
    if cut {
        text.push_str(&format!("The {ROWS} largest of {all} cells; the release holds all of them.\n"));
    }
    text
}

/// The groups of a release, each with a figure that was read off it.
pub(crate) fn ranges(release: &Release, ranges: &[Option<Range>], axes: usize, what: &str) -> String {
    let all = release.plan.axes();
    let kept = all.get(..axes).unwrap_or(all);
    // Groups that share the values of the kept axes follow one another.
    let step: usize = all.iter().skip(kept.len()).map(|a| a.values.len()).product();
    let labels: Vec<String> = (0..ranges.len())
        .map(|at| label(kept, &release.plan.cell(at * step.max(1)), &Names::new()))
        .collect();
    let widest = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let mut text = format!("{:widest$}  {what:>9}  95% range\n", "");
    for (label, range) in labels.iter().zip(ranges).take(ROWS) {
        match range {
            Some(r) => {
                text.push_str(&format!("{label:widest$}  {:>9.1}  {:.1} to {:.1}\n", r.value, r.low, r.high))
            }
            None => text.push_str(&format!("{label:widest$}  {:>9}  the noise leaves nothing\n", "?")),
        }
    }
    text
}

/// The sums along the axes of a release.
pub(crate) fn margins(release: &Release, margins: &[Margin]) -> String {
    let mut text = String::new();
    for axis in release.plan.axes() {
        let mut own: Vec<&Margin> = margins.iter().filter(|m| m.axis == axis.axis).collect();
        if matches!(axis.axis, Axis::Coded(_)) {
            own.sort_by_key(|m| std::cmp::Reverse(m.sum));
        }
        let all = own.len();
        own.truncate(ROWS / 4);
        text.push_str(&format!("By {} alone (post-processed: sums of the above):\n", axis.axis));
        let words = own.iter().map(|m| label(std::slice::from_ref(axis), &[m.value.as_str()], &Names::new()));
        let words: Vec<String> = words.collect();
        let widest = words.iter().map(|w| w.chars().count()).max().unwrap_or(0);
        for (words, m) in words.iter().zip(&own) {
            text.push_str(&format!("  {words:<widest$}  {:>9}  ±{}\n", m.sum, m.half_width));
        }
        if all > own.len() {
            text.push_str(&format!("  and {} more\n", all - own.len()));
        }
    }
    text
}

/// How much of a cap is spent, as a bar.
pub(crate) fn part_of(spent: &Spent) -> String {
    let (part, all) = (spent.spent_micros.micros(), spent.cap_micros.micros().max(1));
    let full = usize::try_from(u128::from(part.min(all)) * 20 / u128::from(all)).unwrap_or(20);
    format!("{}{}", "█".repeat(full), "░".repeat(20 - full))
}

/// Full up to what is nearly sure, light up to what is still possible.
fn bar(value: i64, half: i64, most: i64) -> String {
    let columns = |v: i64| {
        let v = v.max(0).min(most);
        usize::try_from(i128::from(v) * WIDTH as i128 / i128::from(most)).unwrap_or(0)
    };
    let (sure, possible) = (columns(value.saturating_sub(half)), columns(value.saturating_add(half)));
    let middle = columns(value);
    let part = |mark: &str, n: usize| mark.repeat(n);
    format!(
        "{}{}{}",
        part("█", sure),
        part("▓", middle.saturating_sub(sure)),
        part("░", possible.saturating_sub(middle.max(sure)))
    )
}

/// The codes of a cell with what they mean.
fn label(axes: &[AxisValues], codes: &[&str], names: &Names) -> String {
    if axes.is_empty() {
        return "all".into();
    }
    let words = axes.iter().zip(codes).map(|(axis, code)| match axis.axis {
        Axis::Coded(dimension) => dimension.code(code).and_then(|c| dimension.entry(c)).map_or_else(
            || (*code).to_owned(),
            |e| {
                if e.code == e.label { e.label.to_owned() } else { format!("{} {}", e.code, e.label) }
            },
        ),
        Axis::Indicator => names.get(*code).map_or_else(|| (*code).to_owned(), |what| plain(what)),
        Axis::Quarter | Axis::Year => (*code).to_owned(),
        Axis::Field(_) if *code == UNKNOWN => UNKNOWN.to_owned(),
        Axis::Field(field) => format!("{code} {}", field.unit()),
    });
    words.collect::<Vec<_>>().join(" · ")
}
