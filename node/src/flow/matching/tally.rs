//! What was seen where, by value and by what values have to come together.

use std::collections::{BTreeMap, HashMap, HashSet};

use hedgerow_protocol::indicator::Pattern;

use super::{
    Found, Matches, PATTERN, PLACES, Place, Unread, VALUES,
    sought::{Asks, Indicator, Sought},
};
use crate::matcher::{Sighted, Totals};

/// Most lines told of one place.
const LINES: usize = 20;

/// What was seen in one place. It hears of lines one after the other.
pub(super) struct Here<'s> {
    sought: &'s Sought,
    order: Vec<usize>,
    seen: HashMap<usize, Seen>,
    /// What has to come together, by place of its indicator.
    together: BTreeMap<usize, Together>,
    /// Of the line that is looked at: its values that have to come with others.
    line: u64,
    on_line: HashSet<usize>,
    defanged: bool,
}

#[derive(Default)]
struct Seen {
    count: u64,
    lines: Vec<u64>,
    last: u64,
    defanged: bool,
}

#[derive(Default)]
struct Together {
    /// Of each observation that it asks for, whether one was seen.
    met: Vec<bool>,
    seen: Seen,
}

impl Seen {
    /// A line that is longer than a block is heard of more than once.
    fn add(&mut self, line: u64, defanged: bool) {
        self.defanged |= defanged;
        if self.count > 0 && self.last == line {
            return;
        }
        (self.last, self.count) = (line, self.count + 1);
        if self.lines.len() < LINES {
            self.lines.push(line);
        }
    }
}

impl<'s> Here<'s> {
    pub(super) fn over(sought: &'s Sought) -> Self {
        Self {
            sought,
            order: Vec::new(),
            seen: HashMap::new(),
            together: BTreeMap::new(),
            line: 0,
            on_line: HashSet::new(),
            defanged: false,
        }
    }

    /// Hears of a value on a line.
    pub(super) fn add(&mut self, sighted: Sighted) {
        let Some((indicator, _)) = self.sought.value(sighted.which) else { return };
        match indicator.asks {
            Asks::Any => {
                let seen = self.seen.entry(sighted.which).or_insert_with(|| {
                    self.order.push(sighted.which);
                    Seen::default()
                });
                seen.add(sighted.line, sighted.defanged);
            }
            Asks::Together(_) => {
                if sighted.line != self.line {
                    self.judge();
                    self.line = sighted.line;
                }
                self.on_line.insert(sighted.which);
                self.defanged |= sighted.defanged;
            }
            Asks::Nothing => {}
        }
    }

    /// Hears of a value in a place that is one observation as a whole.
    pub(super) fn add_whole(&mut self, sighted: Sighted) {
        self.add(Sighted { line: 0, ..sighted });
    }

    /// Judges what was seen on one line: a line is one observation.
    fn judge(&mut self) {
        let on_line = std::mem::take(&mut self.on_line);
        let defanged = std::mem::take(&mut self.defanged);
        let asked: BTreeMap<_, _> = on_line.iter().filter_map(|which| self.sought.together(*which)).collect();
        for (n, asked) in asked {
            let held: Vec<bool> = asked
                .observations()
                .iter()
                .map(|one| one.holds(&mut |named| named.holds(&on_line)))
                .collect();
            if held.contains(&true) {
                let together = self.together.entry(n).or_default();
                together.met.resize(held.len(), false);
                together.met.iter_mut().zip(held).for_each(|(met, held)| *met |= held);
                together.seen.add(self.line, defanged);
            }
        }
    }
}

/// What was found in all places.
pub(super) struct Tally<'t> {
    pub(super) sought: &'t Sought,
    pub(super) report: &'t mut Matches,
}

impl Tally<'_> {
    /// Tells what was seen in a place, once all of it was.
    pub(super) fn add(&mut self, mut here: Here<'_>, place: impl Fn() -> Place) {
        here.judge();
        for which in here.order {
            let Some(seen) = here.seen.remove(&which) else { continue };
            let Some((indicator, o)) = self.sought.value(which) else { continue };
            self.tell(indicator, o.kind().name(), o.value(), seen, &place);
        }
        for (n, Together { met, mut seen }) in here.together {
            let Some(indicator) = self.sought.indicator(n) else { continue };
            let Asks::Together(asked) = &indicator.asks else { continue };
            let mut each = met.iter();
            if !asked.holds_of(&mut |_| each.next().is_some_and(|met| *met)) {
                continue;
            }
            // Lines are counted from 1.
            seen.lines.retain(|line| *line > 0);
            let key = indicator.object.pattern().map(Pattern::key).unwrap_or_default();
            let (kind, value) = match indicator.object.pattern() {
                Some(Pattern::All(_)) => (VALUES, key.as_str()),
                _ => key.split_once(' ').unwrap_or((PATTERN, &key)),
            };
            self.tell(indicator, kind, value, seen, &place);
        }
    }

    fn tell(
        &mut self,
        indicator: &Indicator,
        kind: &str,
        value: &str,
        seen: Seen,
        place: impl Fn() -> Place,
    ) {
        if self.report.found.len() == PLACES {
            self.report.more += 1;
            return;
        }
        self.report.found.push(Found {
            place: place(),
            kind: kind.to_owned(),
            value: value.to_owned(),
            indicator: indicator.object.id().to_owned(),
            from: indicator.from.clone(),
            tlp: indicator.object.tlp(),
            count: seen.count,
            lines: seen.lines,
            defanged: seen.defanged,
        });
    }

    /// Counts what was looked through, or says why it was not.
    pub(super) fn looked_through(
        &mut self,
        totals: Result<Totals, String>,
        unread: impl FnOnce(String) -> Unread,
    ) {
        match totals {
            Ok(totals) => {
                self.report.bytes += totals.bytes;
                self.report.lines += totals.lines;
            }
            Err(reason) => self.report.unread.push(unread(reason)),
        }
    }
}
