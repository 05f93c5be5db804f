//! All facets of a node as columns, person by person, so that a statistic is one pass over a few of them
//! (docs/storage.md).
//!
//! The rows of one person stand together, by rising quarter: her contribution is bounded as she goes by, without a
//! table of people. People are divided among [`FacetTable::PARTS`] by their keys; parts share no person, so that each is built and
//! counted by a thread of its own.

use std::{borrow::Borrow, convert::Infallible, fmt, panic::resume_unwind, thread};

use super::Facet;
use crate::vocabulary::{Dimension, Field};

/// Fewer rows are not worth a thread.
const FEW: usize = 50_000;
/// A number that is not known: above the bound of every field.
pub(crate) const NOT_KNOWN: u32 = u32::MAX;
/// Facets of a node that may be counted; those without consent are left out. No encoding: it stays in its node.
#[derive(Default)]
pub struct FacetTable {
    parts: [Part; FacetTable::PARTS],
}

impl fmt::Debug for FacetTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FacetTable(..)")
    }
}

impl FacetTable {
    /// Parts that people are divided among, by the highest bits of their keys: as many as threads that count.
    pub const PARTS: usize = 2;

    /// Takes all facets of `sources`, each read by a thread of its own. One that does not read is an error of all: a
    /// statistic over part of the records would be a false one.
    pub fn build<I, E>(sources: Vec<I>) -> Result<Self, E>
    where
        I: Iterator<Item = Result<Facet, E>> + Send,
        E: Send,
    {
        let upper = sources.iter().filter_map(|source| source.size_hint().1).sum();
        let read: Result<Vec<_>, E> = on_threads(upper, sources, read).into_iter().collect();
        let mut read = read?;
        let drafts: [Vec<Columns>; Self::PARTS] = std::array::from_fn(|part| {
            read.iter_mut().filter_map(|of| of.get_mut(part).map(std::mem::take)).collect()
        });
        let rows = drafts.iter().flatten().map(|draft| draft.order.len()).sum();
        let mut parts = on_threads(rows, drafts.into(), Part::of).into_iter();
        Ok(Self { parts: std::array::from_fn(|_| parts.next().unwrap_or_default()) })
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl<F: Borrow<Facet>> FromIterator<F> for FacetTable {
    fn from_iter<I: IntoIterator<Item = F>>(facets: I) -> Self {
        // One source is read where it is.
        let facets: Vec<Facet> = facets.into_iter().map(|facet| facet.borrow().clone()).collect();
        let Ok(table) = Self::build(vec![facets.into_iter().map(Ok::<_, Infallible>)]);
        table
    }
}

/// Does `work` on each item: for few `rows` here, else on a thread for each but the last.
pub(crate) fn on_threads<T: Send, U: Send>(
    rows: usize,
    mut items: Vec<T>,
    work: impl Fn(T) -> U + Sync,
) -> Vec<U> {
    if rows < FEW {
        return items.into_iter().map(work).collect();
    }
    let Some(last) = items.pop() else { return Vec::new() };
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        let last = work(last);
        let done =
            others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        done.chain([last]).collect()
    })
}

/// Columns of the rows of some people, in any order.
#[derive(Default)]
struct Columns {
    /// Person (64 bits), quarter (16), number of the row (32): the order in which they are to be.
    order: Vec<u128>,
    codes: [Vec<u8>; Dimension::SINGLE.len()],
    help: Vec<u64>,
    numbers: [Vec<u32>; Field::ALL.len()],
}

fn read<E>(facets: impl Iterator<Item = Result<Facet, E>>) -> Result<[Columns; FacetTable::PARTS], E> {
    let mut parts: [Columns; FacetTable::PARTS] = Default::default();
    for facet in facets {
        let facet = facet?;
        if facet.consent {
            let part = facet.person.value() >> (u64::BITS - FacetTable::PARTS.ilog2());
            // PARTS is a power of two.
            if let Some(columns) = usize::try_from(part).ok().and_then(|part| parts.get_mut(part)) {
                columns.push(&facet);
            }
        }
    }
    Ok(parts)
}

impl Columns {
    fn push(&mut self, facet: &Facet) {
        // Days lie in the years 1970 to 9999.
        let quarter = u16::try_from(facet.day.quarter().ordinal()).unwrap_or_default();
        let row = self.order.len() as u128;
        self.order.push(u128::from(facet.person.value()) << 64 | u128::from(quarter) << 32 | row);
        // No list has more than 251 codes.
        self.codes
            .iter_mut()
            .zip(facet.single_codes())
            .for_each(|(column, code)| column.push(code.index() as u8));
        self.help.push(facet.help.bits());
        for (column, field) in self.numbers.iter_mut().zip(Field::ALL) {
            column.push(field.of(&facet.numbers).unwrap_or(NOT_KNOWN));
        }
    }
}

/// The rows of one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Her key.
    pub(crate) person: u64,
    /// One past her last row; her first is where the run before ends.
    pub(crate) end: u32,
}

/// The rows of some people: columns of one length, in one order.
#[derive(Default)]
pub(crate) struct Part {
    /// Where each person's rows end, in their order.
    pub(crate) runs: Vec<Run>,
    /// Quarters since that of the year 0.
    pub(crate) quarters: Vec<u16>,
    /// Places of codes in their lists, by the dimensions of [`Dimension::SINGLE`].
    pub(crate) codes: [Vec<u8>; Dimension::SINGLE.len()],
    /// Bits of a [`super::HelpSet`].
    pub(crate) help: Vec<u64>,
    /// By the fields of [`Field::ALL`]; [`NOT_KNOWN`] where there is none.
    numbers: [Vec<u32>; Field::ALL.len()],
}

impl Part {
    /// Brings rows that were read by several threads into one order.
    fn of(drafts: Vec<Columns>) -> Self {
        let mut drafts = drafts.into_iter();
        let mut all = drafts.next().unwrap_or_default();
        for draft in drafts {
            let before = all.order.len() as u128;
            all.order.extend(draft.order.iter().map(|key| key + before));
            all.codes.iter_mut().zip(draft.codes).for_each(|(all, more)| all.extend(more));
            all.help.extend(draft.help);
            all.numbers.iter_mut().zip(draft.numbers).for_each(|(all, more)| all.extend(more));
        }
        all.order.sort_unstable();
        let order = &all.order;
        let mut part = Self {
            runs: Vec::new(),
            quarters: order.iter().map(|key| (key >> 32) as u16).collect(),
            codes: all.codes.map(|column| ordered(order, &column)),
            help: ordered(order, &all.help),
            numbers: all.numbers.map(|column| ordered(order, &column)),
        };
        for (end, key) in (1u32..).zip(order) {
            let person = (key >> 64) as u64;
            match part.runs.last_mut() {
                Some(run) if run.person == person => run.end = end,
                _ => part.runs.push(Run { person, end }),
            }
        }
        part
    }

    /// The column of a field; [`NOT_KNOWN`] where a row has no number.
    pub(crate) fn numbers(&self, field: Field) -> &[u32] {
        let column = Field::ALL.iter().zip(&self.numbers).find(|(of, _)| **of == field);
        column.map_or(&[], |(_, column)| column)
    }

    /// How many rows it has.
    pub(crate) fn len(&self) -> usize {
        self.quarters.len()
    }
}

fn ordered<T: Copy>(order: &[u128], column: &[T]) -> Vec<T> {
    order.iter().filter_map(|key| column.get(*key as u32 as usize)).copied().collect()
}
