//! The plan: public cells and bounds, fixed before any record is read (docs/protocol.md §3).
//!
//! Two members who plan the same query under the same charter get the same plan, byte for byte, and so the
//! same id. The id names the release period, so one plan is charged and answered once in each.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::query::{Measure, Mode, Period, Query};
use crate::{
    codec,
    document::{Flaw, Signed, charter::Charter},
    id::{Id, serde_as_text},
    limits,
    privacy::{Accounting, Loss, Mechanism, MicroEpsilon, Sensitivity, Unit},
    vocabulary::{Code, Dimension, Field, UNKNOWN},
};

/// One direction in which an answer is broken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Axis {
    /// By indicator: of sightings, and of nothing else.
    Indicator,
    /// By the codes of a dimension.
    Coded(Dimension),
    /// By calendar quarter.
    Quarter,
    /// By calendar year.
    Year,
    /// By the bins of a number: a histogram.
    Field(Field),
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Indicator => f.write_str("indicator"),
            Self::Coded(dimension) => f.write_str(dimension.name()),
            Self::Quarter => f.write_str("quarter"),
            Self::Year => f.write_str("year"),
            Self::Field(field) => f.write_str(field.name()),
        }
    }
}

/// A word that names no axis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing can be grouped by {0:?}; there are: {choices}", choices = axis_names())]
pub struct AxisError(String);

impl FromStr for Axis {
    type Err = AxisError;

    fn from_str(s: &str) -> Result<Self, AxisError> {
        match s {
            "indicator" => Ok(Self::Indicator),
            "quarter" => Ok(Self::Quarter),
            "year" => Ok(Self::Year),
            _ => (s.parse().map(Self::Coded))
                .or_else(|_| s.parse().map(Self::Field))
                .map_err(|_| AxisError(s.chars().take(40).collect())),
        }
    }
}

serde_as_text!(Axis);

fn axis_names() -> String {
    let coded = Dimension::ALL.iter().map(|d| d.name());
    let fields = Field::ALL.map(Field::name);
    coded.chain(["quarter", "year"]).chain(fields).collect::<Vec<_>>().join(", ")
}

/// An axis with its values, in the order of the cells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AxisValues {
    /// The axis.
    pub axis: Axis,
    /// Codes, quarters, years or bins, as text.
    pub values: Vec<String>,
}

/// Why a query has no plan. Depends on the query and the charter alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The query is for another charter.
    #[error("the query is for charter {0}, which is not this federation's")]
    OtherCharter(String),
    /// A code that the vocabulary does not have.
    #[error("{dimension} has no code {code:?}; `hedgerow codes {dimension}` lists them")]
    UnknownCode {
        /// The dimension.
        dimension: Dimension,
        /// The code asked for.
        code: String,
    },
    /// A dimension or axis that stands twice.
    #[error("{0} stands twice")]
    Repeated(String),
    /// An axis of time without a period.
    #[error("grouping by time needs a period: from which quarter to which")]
    NoPeriod,
    /// A period that ends before it begins.
    #[error("the period ends before it begins")]
    EmptyPeriod,
    /// More cells than the charter allows.
    #[error(
        "{cells} cells are more than the {most} that the charter allows; narrow the conditions or the period"
    )]
    TooDetailed {
        /// Cells of the query.
        cells: u64,
        /// Cells allowed.
        most: u32,
    },
    /// A bound looser than the charter's.
    #[error("one person may count in at most {0} cells by the charter")]
    LooserBound(u32),
    /// What sightings cannot be asked by.
    #[error("sightings are counted by indicator, and by quarter or year; nothing else is by indicator")]
    Sightings,
    /// A round under a charter without rounds.
    #[error("the charter holds no rounds; ask in mode local")]
    NoRounds,
    /// No noise fits the epsilon.
    #[error("no noise can be made for this epsilon")]
    NoMechanism,
}

/// Public cells and bounds of one question in one release period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    charter: Id<Charter>,
    release_period: String,
    #[serde(default, skip_serializing_if = "Mode::is_local")]
    mode: Mode,
    measure: Measure,
    conditions: Vec<super::query::Condition>,
    period: Option<Period>,
    axes: Vec<AxisValues>,
    cells_per_person: u32,
    incidents_per_cell: u32,
    #[serde(rename = "epsilon_micros")]
    epsilon: MicroEpsilon,
    #[serde(default, skip_serializing_if = "Accounting::is_pure")]
    accounting: Accounting,
    #[serde(default, skip_serializing_if = "Unit::is_person")]
    unit: Unit,
}

impl Plan {
    /// Plans `query` under `charter`.
    pub fn new(query: &Query, charter: &Signed<Charter>) -> Result<Self, PlanError> {
        if query.charter != charter.id() {
            return Err(PlanError::OtherCharter(query.charter.short()));
        }
        let policy = &charter.document().privacy;
        if let Some(period) = query.period
            && period.from > period.to
        {
            return Err(PlanError::EmptyPeriod);
        }
        if query.mode == Mode::Round && policy.round.is_none() {
            return Err(PlanError::NoRounds);
        }
        let sightings = query.measure == Measure::Groups;
        let of_sightings = |axis: &Axis| matches!(axis, Axis::Quarter | Axis::Year);
        if query.group_by.contains(&Axis::Indicator)
            || sightings && !(query.conditions.is_empty() && query.group_by.iter().all(of_sightings))
        {
            return Err(PlanError::Sightings);
        }
        let conditions = canonical_conditions(query)?;
        let axes = axes(query, &conditions, policy.cells)?;
        let groups: u64 = axes.iter().map(|a| a.values.len() as u64).product();
        let cells = groups.saturating_mul(query.measure.parts() as u64);
        if cells > u64::from(policy.cells).min(limits::CELLS as u64) {
            return Err(PlanError::TooDetailed { cells, most: policy.cells });
        }
        if query.cells_per_person.is_some_and(|c| c > policy.cells_per_person) {
            return Err(PlanError::LooserBound(policy.cells_per_person));
        }
        let asked = query.cells_per_person.unwrap_or(policy.cells_per_person);
        // What a group saw may change altogether with one record or log: as many cells may be lost as are won.
        let asked = if sightings { asked.saturating_mul(2) } else { asked };
        let plan = Self {
            charter: query.charter,
            release_period: policy.release_period.of(query.asked_at),
            mode: query.mode,
            measure: query.measure,
            conditions,
            period: query.period,
            axes,
            cells_per_person: asked.min(u32::try_from(groups).unwrap_or(asked)),
            incidents_per_cell: match query.measure {
                Measure::People | Measure::Groups => 1,
                Measure::Incidents | Measure::Sum(_) | Measure::Mean(_) => policy.incidents_per_cell,
            },
            epsilon: query.epsilon,
            accounting: policy.accounting,
            unit: policy.unit,
        };
        plan.mechanism().map_err(|_| PlanError::NoMechanism)?;
        Ok(plan)
    }

    /// SHA-256 of the plan's JSON.
    pub fn id(&self) -> Id<Self> {
        // A plan is made of bounded lists of short codes: it always has a JSON form below the bound.
        Id::of(&codec::encode(self, limits::DOCUMENT_BYTES).unwrap_or_default())
    }

    /// The axes with their values; groups are in row-major order, the last axis running fastest.
    pub fn axes(&self) -> &[AxisValues] {
        &self.axes
    }

    /// How the members' counts come together.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// What is counted.
    pub const fn measure(&self) -> Measure {
        self.measure
    }

    /// Combinations of the axes' values; 1 when nothing is grouped by.
    pub fn groups(&self) -> usize {
        self.axes.iter().map(|a| a.values.len()).product()
    }

    /// Number of cells L: one a group, or two where a mean is asked for. Those of the numbers come first, then
    /// those of what they lack.
    pub fn cells(&self) -> usize {
        self.groups() * self.measure.parts()
    }

    /// C: in how many groups of the axes' values one person, or where sightings are counted all that a member saw,
    /// changes something.
    pub const fn cells_per_person(&self) -> u32 {
        self.cells_per_person
    }

    /// In how many of them one person, or the member, counts at most. Sightings that count in every cell change each
    /// by one; those that are cut to C/2 cells may lose all of them and win as many.
    pub(super) fn cells_counted(&self) -> usize {
        let cells = self.cells_per_person as usize;
        if self.measure == Measure::Groups && cells < self.groups() { cells / 2 } else { cells }
    }

    /// The period asked for.
    pub(super) const fn period(&self) -> Option<Period> {
        self.period
    }

    /// What an incident must be to be counted.
    pub(super) fn conditions(&self) -> &[super::query::Condition] {
        &self.conditions
    }

    /// The indicators whose sightings are counted, in the order of the cells.
    pub fn indicators(&self) -> &[String] {
        match self.axes.first() {
            Some(AxisValues { axis: Axis::Indicator, values }) => values,
            _ => &[],
        }
    }

    /// m: most incidents of one person that count in one group.
    pub const fn incidents_per_cell(&self) -> u32 {
        self.incidents_per_cell
    }

    /// Most that one person adds to one group: m, times the bound of a number.
    pub fn per_cell(&self) -> u64 {
        u64::from(self.incidents_per_cell) * u64::from(self.measure.per_incident())
    }

    /// By how much one person's records change the vector.
    pub fn sensitivity(&self) -> Sensitivity {
        Sensitivity {
            cells: self.cells_per_person,
            change: self.per_cell(),
            parts: self.measure.parts() as u32,
        }
    }

    /// What each node is asked to spend.
    pub const fn epsilon(&self) -> MicroEpsilon {
        self.epsilon
    }

    /// The release period in which the plan is answered once.
    pub fn release_period(&self) -> &str {
        &self.release_period
    }

    /// The charter under which it was planned.
    pub const fn charter(&self) -> Id<Charter> {
        self.charter
    }

    /// How the charter's ledgers count.
    pub const fn accounting(&self) -> Accounting {
        self.accounting
    }

    /// Whose records the guarantee covers as one.
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// The calendar years whose incidents it may count; none for all there are.
    pub fn years(&self) -> Option<(i16, i16)> {
        self.period.map(|p| (p.from.year(), p.to.year()))
    }

    /// The privacy loss of its vector.
    pub fn loss(&self) -> Loss {
        Loss::new(self.sensitivity(), self.accounting)
    }

    /// The noise that each node adds in mode `local`: of the laws that the charter allows, the one with less
    /// variance at the same price.
    pub fn mechanism(&self) -> Result<Mechanism, Flaw> {
        let laplace = self.laplace();
        let gaussian = match self.accounting {
            Accounting::Pure => return laplace,
            Accounting::Zcdp { .. } => self.gaussian(1)?,
        };
        match laplace {
            // Compared as they are written: 2 s^2, above the variance of discrete Laplace by less than 1/6.
            Ok(laplace) if 2.0 * laplace.scale().powi(2) <= gaussian.variance() => Ok(laplace),
            _ => Ok(gaussian),
        }
    }

    /// The noise of every law that the charter allows, for its price.
    pub(crate) fn mechanisms(&self) -> Vec<Mechanism> {
        let gaussian = self.accounting.delta_e12().and_then(|_| self.gaussian(1).ok());
        self.laplace().ok().into_iter().chain(gaussian).collect()
    }

    /// Whole discrete Laplace noise for its price.
    pub(crate) fn laplace(&self) -> Result<Mechanism, Flaw> {
        Mechanism::discrete_laplace(self.sensitivity().l1(), self.epsilon)
    }

    /// Discrete Gaussian noise of which `samples` together are enough for its price.
    pub(crate) fn gaussian(&self, samples: u64) -> Result<Mechanism, Flaw> {
        let mut mechanism = Mechanism::discrete_gaussian(self.sensitivity(), self.epsilon, samples)?;
        // What a sum of discrete Gaussians lacks to be one may need a step more.
        let price = self.accounting.price(self.epsilon) as f64 * 1e-12;
        for _ in 0..4 {
            if self.loss().rho(&mechanism, samples as f64).is_some_and(|rho| rho <= price) {
                return Ok(mechanism);
            }
            let sigma = mechanism.sigma_sixteenths().unwrap_or_default();
            mechanism = Mechanism::gaussian(sigma + 1)
                .ok_or_else(|| Flaw::new("epsilon", "no Gaussian noise has this epsilon"))?;
        }
        Err(Flaw::new("epsilon", "so many samples of Gaussian noise are not one"))
    }

    /// The values of group or cell `index` along each axis.
    pub fn cell(&self, index: usize) -> Vec<&str> {
        let mut rest = index % self.groups().max(1);
        let mut values: Vec<&str> = self
            .axes
            .iter()
            .rev()
            .map(|axis| {
                let at = rest % axis.values.len().max(1);
                rest /= axis.values.len().max(1);
                axis.values.get(at).map_or("", String::as_str)
            })
            .collect();
        values.reverse();
        values
    }
}

/// Conditions by rising dimension, codes in the vocabulary's order: one question, one spelling.
fn canonical_conditions(query: &Query) -> Result<Vec<super::query::Condition>, PlanError> {
    let mut canonical = Vec::with_capacity(query.conditions.len());
    for condition in &query.conditions {
        let dimension = condition.dimension;
        let mut codes = condition
            .any_of
            .iter()
            .map(|text| {
                dimension.code(text).ok_or_else(|| PlanError::UnknownCode {
                    dimension,
                    code: text.chars().take(40).collect(),
                })
            })
            .collect::<Result<Vec<Code>, _>>()?;
        codes.sort_unstable();
        codes.dedup();
        let any_of = codes.iter().filter_map(|c| dimension.entry(*c)).map(|e| e.code.to_owned()).collect();
        canonical.push(super::query::Condition { dimension, any_of });
    }
    canonical.sort_by_key(|c| c.dimension);
    match canonical.iter().zip(canonical.iter().skip(1)).find(|(a, b)| a.dimension == b.dimension) {
        Some((twice, _)) => Err(PlanError::Repeated(twice.dimension.to_string())),
        None => Ok(canonical),
    }
}

/// The axes by rising order of [`Axis`]. A condition on a dimension narrows its axis to the codes named.
fn axes(
    query: &Query,
    conditions: &[super::query::Condition],
    most: u32,
) -> Result<Vec<AxisValues>, PlanError> {
    let mut asked = query.group_by.clone();
    asked.sort_unstable();
    if let Some((twice, _)) = asked.iter().zip(asked.iter().skip(1)).find(|(a, b)| a == b) {
        return Err(PlanError::Repeated(twice.to_string()));
    }
    if query.measure == Measure::Groups {
        asked.insert(0, Axis::Indicator);
    }
    asked
        .into_iter()
        .map(|axis| {
            let values = match axis {
                Axis::Indicator => {
                    let mut ids = query.indicators.clone();
                    ids.sort_unstable();
                    ids.dedup();
                    ids
                }
                Axis::Coded(dimension) => match conditions.iter().find(|c| c.dimension == dimension) {
                    Some(condition) => condition.any_of.clone(),
                    None => dimension.codes().iter().map(|e| e.code.to_owned()).collect(),
                },
                Axis::Quarter | Axis::Year => times(axis, query.period.ok_or(PlanError::NoPeriod)?, most)?,
                Axis::Field(field) => {
                    field.bins().map(|bin| bin.to_string()).chain([UNKNOWN.to_owned()]).collect()
                }
            };
            Ok(AxisValues { axis, values })
        })
        .collect()
}

/// The quarters or years of a period. Counted before they are listed: a period may span 8,000 years.
fn times(axis: Axis, period: Period, most: u32) -> Result<Vec<String>, PlanError> {
    let count = match axis {
        Axis::Year => i32::from(period.to.year()) - i32::from(period.from.year()) + 1,
        _ => period.to.ordinal() - period.from.ordinal() + 1,
    };
    let cells = u64::try_from(count).map_err(|_| PlanError::EmptyPeriod)?;
    if cells > u64::from(most) {
        return Err(PlanError::TooDetailed { cells, most });
    }
    Ok((0..count)
        .map(|n| match axis {
            Axis::Year => (i32::from(period.from.year()) + n).to_string(),
            _ => period.from.plus(n).to_string(),
        })
        .collect())
}
