//! The facet: what of a record the statistics may read (docs/records.md). No encoding: it stays in its node.

pub(crate) mod table;

use std::fmt;

pub use table::FacetTable;

use crate::{
    record::Numbers,
    time::Day,
    vocabulary::{Code, Dimension},
};

/// A person at one node, by a keyed hash that only the node can make.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonKey(u64);

impl PersonKey {
    /// Takes a keyed hash.
    pub const fn new(hash: u64) -> Self {
        Self(hash)
    }

    /// The hash.
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonKey(..)")
    }
}

/// Institutions that can be asked for help (the last code of [`Dimension::Help`], `none`, is no institution).
pub const INSTITUTIONS: usize = 7;
/// Outcomes that an institution's help can have.
pub const OUTCOMES: usize = 7;

/// One incident as the statistics see it: codes, a day, a person, a consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// Whose incident it is.
    pub person: PersonKey,
    /// Whether she lets it be counted. Without consent it is in no statistic.
    pub consent: bool,
    /// The day; never finer than the charter's period once federated.
    pub day: Day,
    /// Primary tactic.
    pub tactic: Code,
    /// Role of the target.
    pub role: Code,
    /// Suspected origin.
    pub origin: Code,
    /// Confidence in it.
    pub confidence: Code,
    /// Its basis.
    pub basis: Code,
    /// Primary platform.
    pub platform: Code,
    /// Primary harm.
    pub harm: Code,
    /// Country of residence.
    pub region: Code,
    /// Campaign phase.
    pub phase: Code,
    /// Help sought and its outcomes.
    pub help: HelpSet,
    /// What was counted or measured, where it was.
    pub numbers: Numbers,
}

/// Institutions asked, each with its outcome: bit `institution * 7 + outcome` of [`Dimension::Answer`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HelpSet(u64);

impl HelpSet {
    const BITS: u32 = (INSTITUTIONS * OUTCOMES) as u32;

    /// A set from its bits, if it has none past the last answer and at most one outcome an institution.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let row = (1u64 << OUTCOMES) - 1;
        let single = (0..INSTITUTIONS).all(|i| (bits >> (i * OUTCOMES) & row).count_ones() <= 1);
        (bits >> Self::BITS == 0 && single).then_some(Self(bits))
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// This set with one more answer, unless its institution has one already.
    pub fn with(self, answer: Code) -> Option<Self> {
        (u32::from(answer.index()) < Self::BITS && self.0 >> answer.index() & 1 == 0)
            .then(|| self.0 | 1 << answer.index())
            .and_then(Self::from_bits)
    }

    /// The bits of one answer.
    pub(crate) fn answer(index: u16) -> u64 {
        1u64.checked_shl(index.into()).unwrap_or_default()
    }

    /// The bits of all answers of one institution; none for the last code, of who asked nobody.
    pub(crate) fn institution(index: u16) -> u64 {
        let index = usize::from(index);
        if index < INSTITUTIONS { ((1 << OUTCOMES) - 1) << (index * OUTCOMES) } else { 0 }
    }

    fn answers(self) -> impl Iterator<Item = u16> + Clone {
        (0..Self::BITS as u16).filter(move |bit| self.0 >> bit & 1 == 1)
    }

    fn institutions(self) -> impl Iterator<Item = u16> + Clone {
        let row = (1u64 << OUTCOMES) - 1;
        (0..INSTITUTIONS as u16)
            .filter(move |i| self.0 >> (usize::from(*i) * OUTCOMES) & row != 0)
            // Whoever asked nobody counts under `none`.
            .chain((self.0 == 0).then_some(INSTITUTIONS as u16))
    }
}

impl Facet {
    /// Its codes in the dimensions of [`Dimension::SINGLE`], in their order.
    pub const fn single_codes(&self) -> [Code; Dimension::SINGLE.len()] {
        [
            self.tactic,
            self.role,
            self.origin,
            self.confidence,
            self.basis,
            self.platform,
            self.harm,
            self.region,
            self.phase,
        ]
    }

    /// The codes that this incident has in `dimension`: one, or several for help and answers.
    pub fn codes(&self, dimension: Dimension) -> impl Iterator<Item = Code> + Clone {
        let (one, help, answers) = match dimension {
            Dimension::Help => (None, Some(self.help.institutions()), None),
            Dimension::Answer => (None, None, Some(self.help.answers())),
            Dimension::Tactic => (Some(self.tactic), None, None),
            Dimension::Role => (Some(self.role), None, None),
            Dimension::Origin => (Some(self.origin), None, None),
            Dimension::Confidence => (Some(self.confidence), None, None),
            Dimension::Basis => (Some(self.basis), None, None),
            Dimension::Platform => (Some(self.platform), None, None),
            Dimension::Harm => (Some(self.harm), None, None),
            Dimension::Region => (Some(self.region), None, None),
            Dimension::Phase => (Some(self.phase), None, None),
        };
        let many = help.into_iter().flatten().chain(answers.into_iter().flatten());
        one.into_iter().chain(many.filter_map(move |index| dimension.at(index)))
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// A facet of `person` on `day` with first codes, `tactic` and `origin` as given.
    pub(crate) fn facet(person: u64, day: &str, tactic: &str, origin: &str) -> Facet {
        let first = |d: Dimension| d.at(0).unwrap();
        Facet {
            person: PersonKey::new(person),
            consent: true,
            day: day.parse().unwrap(),
            tactic: Dimension::Tactic.code(tactic).unwrap(),
            role: first(Dimension::Role),
            origin: Dimension::Origin.code(origin).unwrap(),
            confidence: first(Dimension::Confidence),
            basis: first(Dimension::Basis),
            platform: first(Dimension::Platform),
            harm: first(Dimension::Harm),
            region: Dimension::Region.code("CA").unwrap(),
            phase: first(Dimension::Phase),
            help: HelpSet::default(),
            numbers: Numbers::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(facet: &Facet, dimension: Dimension) -> Vec<&'static str> {
        facet.codes(dimension).map(|c| dimension.entry(c).unwrap().code).collect()
    }

    #[test]
    fn help_and_answers_name_every_institution_and_nobody_where_none_was_asked() {
        let mut facet = samples::facet(1, "2025-01-02", "T01", "IR");
        assert_eq!(texts(&facet, Dimension::Help), ["none"]);
        assert!(texts(&facet, Dimension::Answer).is_empty());
        for answer in ["police/refused", "helpline/resolved"] {
            facet.help = facet.help.with(Dimension::Answer.code(answer).unwrap()).unwrap();
        }
        assert_eq!(texts(&facet, Dimension::Help), ["helpline", "police"]);
        assert_eq!(texts(&facet, Dimension::Answer), ["helpline/resolved", "police/refused"]);
        assert_eq!(facet.help.with(Dimension::Answer.code("police/pending").unwrap()), None, "two outcomes");
        assert_eq!(HelpSet::from_bits(0b11), None);
        assert_eq!(HelpSet::from_bits(1 << 49), None);
    }

    #[test]
    fn every_single_valued_dimension_has_one_code() {
        let facet = samples::facet(1, "2025-01-02", "T04", "CN");
        for dimension in Dimension::ALL.iter().filter(|d| !matches!(d, Dimension::Help | Dimension::Answer)) {
            assert_eq!(facet.codes(*dimension).count(), 1, "{dimension}");
        }
        assert_eq!(texts(&facet, Dimension::Tactic), ["T04"]);
    }
}
