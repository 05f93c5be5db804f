//! What a question would cost and how accurate its answer would be, before anything is spent
//! (docs/protocol.md §4). Depends on the question, the charter and how many members are there, never on records.

use crate::{
    document::{Charter, Flaw, Signed},
    privacy::{Guarantee, Interval, Mechanism, MicroEpsilon},
    round::{Parameters, Terms},
    statistic::{Mode, Plan, Query},
};

/// What is to be expected of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// What is counted, and how.
    pub plan: Plan,
    /// How many members' counts would be in it.
    pub members: usize,
    /// The noise that each would add.
    pub mechanism: Mechanism,
    /// The noise that would be added by the other law that the charter allows: why this one was taken.
    pub passed_over: Option<Mechanism>,
    /// Root-mean-square error of one value.
    pub deviation: f64,
    /// The interval of one value.
    pub interval: Interval,
    /// What it would guarantee.
    pub guarantee: Guarantee,
}

/// Steps in which an epsilon is looked for: thousandths.
const STEP: u64 = 1000;

impl Expected {
    /// Of `query` under `charter`, if `members` take part.
    pub fn of(query: &Query, charter: &Signed<Charter>, members: usize) -> Result<Self, Flaw> {
        let plan = Plan::new(query, charter).map_err(|e| Flaw::new("query", e.to_string()))?;
        let (mechanism, others, guarantee) = match plan.mode() {
            Mode::Local => {
                let guarantee = Guarantee::local(&plan, charter.document())?;
                (plan.mechanism()?, plan.mechanisms(), guarantee)
            }
            Mode::Round => {
                let terms = Terms::new(plan.clone(), charter)?;
                let mechanism = Parameters::new(&terms, members, None)?.mechanism;
                let guarantee = terms.guarantee(&mechanism, members)?;
                (mechanism, terms.mechanisms(members)?, guarantee)
            }
        };
        let interval =
            Interval::of_sum(&mechanism, members).map_err(|e| Flaw::new("noise", e.to_string()))?;
        Ok(Self {
            plan,
            members,
            passed_over: others.into_iter().find(|other| *other != mechanism),
            deviation: (mechanism.variance() * members as f64).sqrt(),
            mechanism,
            interval,
            guarantee,
        })
    }

    /// The least epsilon, in thousandths, at which the interval of one value reaches no further than `half_width`;
    /// or why there is none within what the charter lets a question cost.
    pub fn epsilon_for(
        query: &Query,
        charter: &Signed<Charter>,
        members: usize,
        half_width: u64,
    ) -> Result<MicroEpsilon, Flaw> {
        let policy = &charter.document().privacy;
        let purpose =
            charter.document().purpose(&query.purpose).map_or(policy.epsilon_per_query, |p| p.epsilon);
        let most = policy.epsilon_per_query.min(purpose).micros() / STEP;
        let least = (policy.epsilon_total.micros() / 1000).div_ceil(STEP).max(1);
        let at = |step: u64| {
            let epsilon = MicroEpsilon::from_micros(step * STEP);
            Self::of(&Query { epsilon, ..query.clone() }, charter, members)
        };
        if most < least {
            return Err(Flaw::new(
                "target",
                "the charter lets this question cost less than the least that is counted",
            ));
        }
        let best = at(most)?;
        if best.interval.half_width > half_width {
            return Err(Flaw::new(
                "target",
                format!(
                    "even epsilon {}, the most that the charter lets this question cost, gives ±{}; ask for fewer \
                     cells a person or a wider error",
                    best.plan.epsilon(),
                    best.interval.half_width
                ),
            ));
        }
        // What has no noise at all that fits is too little.
        let enough = |step: u64| at(step).is_ok_and(|e| e.interval.half_width <= half_width);
        let (mut low, mut high) = (least, most);
        while low < high {
            let middle = low.midpoint(high);
            if enough(middle) { high = middle } else { low = middle + 1 }
        }
        Ok(MicroEpsilon::from_micros(high * STEP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{document::charter::samples::*, round::samples};

    #[test]
    fn more_epsilon_means_less_error_and_a_round_less_than_all_noises() {
        let charter = signed_charter_with_rounds(5);
        let at = |epsilon: &str| Expected::of(&samples::query(5, epsilon), &charter, 5).unwrap();
        assert!(at("1").deviation < at("0.5").deviation);
        assert_eq!(at("1").guarantee.epsilon.micros(), 1_000_000);
        assert_eq!(at("1").passed_over, None, "this charter has Laplace noise alone");
        let local = Query { mode: Mode::Local, version: 1, ..samples::query(5, "1") };
        let local = Expected::of(&local, &charter, 5).unwrap();
        assert!(local.deviation > 1.9 * at("1").deviation);
        assert!(local.interval.half_width > at("1").interval.half_width);
    }

    #[test]
    fn the_epsilon_for_an_error_is_the_least_that_has_it() {
        let charter = signed_charter_with_rounds(5);
        let query = samples::query(5, "1");
        let wide = |epsilon| {
            Expected::of(&Query { epsilon, ..query.clone() }, &charter, 5).unwrap().interval.half_width
        };
        for target in [5, 9, 40] {
            let found = Expected::epsilon_for(&query, &charter, 5, target).unwrap();
            assert!(wide(found) <= target, "{found}");
            assert!(
                wide(MicroEpsilon::from_micros(found.micros() - STEP)) > target,
                "{found} is not the least"
            );
        }
        let flaw = Expected::epsilon_for(&query, &charter, 5, 0).unwrap_err();
        assert!(flaw.to_string().contains("even epsilon 2"), "{flaw}");
    }
}
