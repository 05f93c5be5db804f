//! What is looked for, and what of it is not.

use std::collections::HashSet;

use hedgerow_protocol::indicator::{Comparison, Expression, Observable, Pattern, StixObject};

use super::Origin;
use crate::export::LeftOut;

const SHORT: &str = "a value of it is too short to be looked for";
const PART: &str = "a part of its pattern compares in a way, or with a kind of value, that is not looked for";
const BEYOND: &str = "its pattern compares in a way, or with a kind of value, that is not looked for";
const NOTHING: &str = "its pattern holds where nothing is found";
const UNREAD: &str = "its pattern relates observations in time, or does not read";

/// Everything that is looked for.
pub(super) struct Sought {
    indicators: Vec<Indicator>,
    /// Every value, and whose it is.
    values: Vec<(usize, Observable)>,
}

/// An indicator that is looked for.
pub(super) struct Indicator {
    pub(super) object: StixObject,
    pub(super) from: Origin,
    pub(super) asks: Asks,
}

/// What an indicator asks for.
pub(super) enum Asks {
    /// Any of its values.
    Any,
    /// Values that have to come together.
    Together(Expression<Named>),
    /// Nothing that can be looked for.
    Nothing,
}

/// What one comparison names.
pub(super) struct Named {
    /// Places of the values. None of them if it cannot be judged.
    which: Vec<usize>,
    /// Whether it holds where none of them is.
    turned: bool,
}

impl Named {
    /// Whether it holds of one observation. What cannot be judged never does; a pattern says `NOT` of single comparisons
    /// alone, so nothing is told that does not hold.
    pub(super) fn holds(&self, seen: &HashSet<usize>) -> bool {
        let any = self.which.iter().any(|which| seen.contains(which));
        !self.which.is_empty() && any != self.turned
    }

    /// The same without values that are not looked for: of any of several the others remain, of none of several none.
    fn without(&self, skipped: &HashSet<usize>) -> Self {
        let mut which = self.which.clone();
        which.retain(|which| !skipped.contains(which));
        if self.turned && which.len() < self.which.len() {
            which.clear();
        }
        Self { which, turned: self.turned }
    }
}

impl Sought {
    /// What `objects` look for. Of several values any of which matches, those that are allowed are not.
    pub(super) fn of(objects: Vec<(StixObject, Origin)>, allowed: &dyn Fn(&Observable) -> bool) -> Self {
        let mut all = Self { indicators: Vec::new(), values: Vec::new() };
        for (object, from) in objects {
            let asks = match object.pattern() {
                None => continue,
                Some(Pattern::One(one)) => {
                    all.name(one);
                    Asks::Any
                }
                Some(Pattern::Any(any)) => {
                    // They are sorted; one may be there twice.
                    let mut any: Vec<&Observable> = any.iter().filter(|o| !allowed(o)).collect();
                    any.dedup();
                    any.into_iter().for_each(|o| _ = all.name(o));
                    Asks::Any
                }
                Some(Pattern::All(every)) => {
                    let each = every.iter().map(|o| Named { which: vec![all.name(o)], turned: false });
                    let together = Expression::And(each.map(Expression::Comparison).collect());
                    Asks::Together(Expression::Observation(Box::new(together)))
                }
                Some(Pattern::Tree(tree)) => Asks::Together(tree.expression.map(&mut |c| all.named(c))),
                Some(Pattern::Opaque(_)) => Asks::Nothing,
            };
            all.indicators.push(Indicator { object, from, asks });
        }
        all
    }

    /// Looks for one more value, of the indicator that comes next.
    fn name(&mut self, observable: &Observable) -> usize {
        self.values.push((self.indicators.len(), observable.clone()));
        self.values.len() - 1
    }

    fn named(&mut self, comparison: &Comparison) -> Named {
        let mut observables = comparison.observables().unwrap_or_default();
        observables.sort();
        observables.dedup();
        Named { which: observables.iter().map(|o| self.name(o)).collect(), turned: comparison.turned() }
    }

    /// Every value, in order.
    pub(super) fn observables(&self) -> impl Iterator<Item = &Observable> {
        self.values.iter().map(|(_, observable)| observable)
    }

    /// Leaves out what cannot be looked for, `skipped` values among it, and names it.
    pub(super) fn settle(&mut self, skipped: &HashSet<usize>) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        let short: HashSet<usize> =
            skipped.iter().filter_map(|which| self.values.get(*which)).map(|(n, _)| *n).collect();
        for (n, indicator) in self.indicators.iter_mut().enumerate() {
            let mut leave_out = |reason| LeftOut::add(&mut left_out, reason, indicator.object.id());
            if short.contains(&n) {
                leave_out(SHORT);
            }
            let asked = match &indicator.asks {
                Asks::Any => continue,
                Asks::Nothing => {
                    leave_out(UNREAD);
                    continue;
                }
                Asks::Together(asked) => asked,
            };
            let whole = asked.comparisons().iter().all(|named| !named.which.is_empty());
            let asked = asked.map(&mut |named| named.without(skipped));
            let nothing = HashSet::new();
            if !asked.holds_of(&mut |one| one.holds(&mut |named| !named.which.is_empty())) {
                // What is short alone was said.
                if !whole {
                    leave_out(BEYOND);
                }
                indicator.asks = Asks::Nothing;
            } else if asked.observations().iter().any(|one| one.holds(&mut |named| named.holds(&nothing))) {
                leave_out(NOTHING);
                indicator.asks = Asks::Nothing;
            } else {
                if !whole {
                    leave_out(PART);
                }
                indicator.asks = Asks::Together(asked);
            }
        }
        left_out
    }

    /// How many values are looked for.
    pub(super) fn looked_for(&self, skipped: &HashSet<usize>) -> usize {
        let whose = |n: &usize| self.indicators.get(*n).is_some_and(|i| !matches!(i.asks, Asks::Nothing));
        let values = self.values.iter().enumerate();
        values.filter(|(which, (n, _))| !skipped.contains(which) && whose(n)).count()
    }

    /// Whether a value matches by itself.
    pub(super) fn is_by_itself(&self, which: usize) -> bool {
        self.value(which).is_some_and(|(indicator, _)| matches!(indicator.asks, Asks::Any))
    }

    /// A value, with the indicator that looks for it.
    pub(super) fn value(&self, which: usize) -> Option<(&Indicator, &Observable)> {
        let (n, observable) = self.values.get(which)?;
        Some((self.indicators.get(*n)?, observable))
    }

    /// The place of the indicator that looks for a value with others, and what it asks for.
    pub(super) fn together(&self, which: usize) -> Option<(usize, &Expression<Named>)> {
        let (n, _) = self.values.get(which)?;
        match &self.indicators.get(*n)?.asks {
            Asks::Together(asked) => Some((*n, asked)),
            _ => None,
        }
    }

    /// An indicator that looks for values together, by place.
    pub(super) fn indicator(&self, n: usize) -> Option<&Indicator> {
        self.indicators.get(n)
    }
}
