//! All facets of a node as columns, person by person, so that a statistic is one pass over a few of them
//! (docs/storage.md).
//!
//! The rows of one person stand together, by rising quarter: her contribution is bounded as she goes by, without a
//! table of people. People are divided among [`FacetTable::PARTS`] by their keys; parts share no person, so that each is built and
//! counted by a thread of its own.

use std::{borrow::Borrow, convert::Infallible, fmt, ops::Range, panic::resume_unwind, thread};

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
    const PARTS: usize = 2;

    /// Takes the facets of `rows` rows, fewer than 2^32; `facet` reads one, or finds none in its place. One that does not
    /// read is an error of all: a statistic over part of the records would be a false one.
    pub fn build<E: Send>(
        rows: usize,
        facet: impl Fn(usize) -> Result<Option<Facet>, E> + Sync,
    ) -> Result<Self, E> {
        let share = rows.div_ceil(Self::PARTS).max(1);
        let shares = (0..rows).step_by(share).map(|first| first..rows.min(first + share));
        let read = on_threads(rows, shares.collect(), |share| read(share, &facet));
        let mut read = read.into_iter().collect::<Result<Vec<_>, E>>()?;
        let drafts: [Vec<Draft>; Self::PARTS] = std::array::from_fn(|part| {
            read.iter_mut().filter_map(|of| of.get_mut(part).map(std::mem::take)).collect()
        });
        let mut parts = on_threads(rows, drafts.into(), Part::of).into_iter();
        Ok(Self { parts: std::array::from_fn(|_| parts.next().unwrap_or_default()) })
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl<F: Borrow<Facet>> FromIterator<F> for FacetTable {
    fn from_iter<I: IntoIterator<Item = F>>(facets: I) -> Self {
        let facets: Vec<Facet> = facets.into_iter().map(|facet| facet.borrow().clone()).collect();
        let Ok(table) = Self::build(facets.len(), |row| Ok::<_, Infallible>(facets.get(row).cloned()));
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

/// Columns of the rows of some people, as one thread read them.
#[derive(Default)]
struct Draft {
    /// Person (64 bits), quarter (16), which draft it is (16), row in the draft (32): the order in which they are to be.
    order: Vec<u128>,
    columns: Columns,
}

fn read<E>(
    rows: Range<usize>,
    facet: impl Fn(usize) -> Result<Option<Facet>, E>,
) -> Result<[Draft; FacetTable::PARTS], E> {
    // Keys of people are hashes: they divide about evenly. A little room more spares a copy of what is large.
    let room = if rows.len() < FEW { 0 } else { rows.len() / FacetTable::PARTS + rows.len() / 64 };
    let mut drafts: [Draft; FacetTable::PARTS] =
        std::array::from_fn(|_| Draft { order: Vec::with_capacity(room), columns: Columns::with_room(room) });
    for row in rows {
        let Some(facet) = facet(row)?.filter(|facet| facet.consent) else { continue };
        let person = facet.person.value();
        // Days lie in the years 1970 to 9999, and PARTS is a power of two.
        let quarter = u16::try_from(facet.day.quarter().ordinal()).unwrap_or_default();
        let part = usize::try_from(person >> (u64::BITS - FacetTable::PARTS.ilog2())).unwrap_or_default();
        if let Some(draft) = drafts.get_mut(part) {
            let row = draft.order.len() as u128;
            draft.order.push(u128::from(person) << 64 | u128::from(quarter) << 48 | row);
            draft.columns.push(&facet);
        }
    }
    Ok(drafts)
}

/// Columns of one length.
#[derive(Default)]
pub(crate) struct Columns {
    /// Places of codes in their lists, by the dimensions of [`Dimension::SINGLE`].
    pub(crate) codes: [Vec<u8>; Dimension::SINGLE.len()],
    /// Bits of a [`super::HelpSet`].
    pub(crate) help: Vec<u64>,
    /// By the fields of [`Field::ALL`]; [`NOT_KNOWN`] where there is none.
    numbers: [Vec<u32>; Field::ALL.len()],
}

impl Columns {
    fn with_room(rows: usize) -> Self {
        Self {
            codes: std::array::from_fn(|_| Vec::with_capacity(rows)),
            help: Vec::with_capacity(rows),
            numbers: std::array::from_fn(|_| Vec::with_capacity(rows)),
        }
    }

    fn push(&mut self, facet: &Facet) {
        for (column, code) in self.codes.iter_mut().zip(facet.single_codes()) {
            // No list has more than 251 codes.
            column.push(code.index() as u8);
        }
        self.help.push(facet.help.bits());
        for (column, field) in self.numbers.iter_mut().zip(Field::ALL) {
            column.push(field.of(&facet.numbers).unwrap_or(NOT_KNOWN));
        }
    }

    /// The rows of `drafts` in `order`, one column after the other: no more than one is there twice.
    fn ordered(order: &[u128], mut drafts: Vec<Self>) -> Self {
        let codes = std::array::from_fn(|n| {
            let column = |draft: &mut Self| draft.codes.get_mut(n).map(std::mem::take).unwrap_or_default();
            ordered(order, drafts.iter_mut().map(column).collect())
        });
        let numbers = std::array::from_fn(|n| {
            let column = |draft: &mut Self| draft.numbers.get_mut(n).map(std::mem::take).unwrap_or_default();
            ordered(order, drafts.iter_mut().map(column).collect())
        });
        let help = ordered(order, drafts.into_iter().map(|draft| draft.help).collect());
        Self { codes, help, numbers }
    }

    /// The column of a field; [`NOT_KNOWN`] where a row has no number.
    pub(crate) fn numbers(&self, field: Field) -> &[u32] {
        let column = Field::ALL.iter().zip(&self.numbers).find(|(of, _)| **of == field);
        column.map_or(&[], |(_, column)| column)
    }
}

/// The values of one column of several drafts, in `order`.
fn ordered<T: Copy>(order: &[u128], drafts: Vec<Vec<T>>) -> Vec<T> {
    let value = |key: &u128| {
        let (draft, row) = ((key >> 32) as u16, *key as u32);
        drafts.get(usize::from(draft))?.get(row as usize).copied()
    };
    let mut values = Vec::with_capacity(order.len());
    values.extend(order.iter().filter_map(value));
    values
}

/// The rows of one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Her key.
    pub(crate) person: u64,
    /// One past her last row; her first is where the run before ends.
    pub(crate) end: u32,
}

/// The rows of some people, person by person.
#[derive(Default)]
pub(crate) struct Part {
    /// Where each person's rows end, in their order.
    pub(crate) runs: Vec<Run>,
    /// Quarters since that of the year 0.
    pub(crate) quarters: Vec<u16>,
    pub(crate) columns: Columns,
}

impl Part {
    /// Brings what several threads read into one order.
    fn of(mut drafts: Vec<Draft>) -> Self {
        let mut order = Vec::with_capacity(drafts.iter().map(|draft| draft.order.len()).sum());
        for (n, draft) in (0u128..).zip(&mut drafts) {
            order.extend(std::mem::take(&mut draft.order).into_iter().map(|key| key | n << 32));
        }
        order.sort_unstable();
        let columns = Columns::ordered(&order, drafts.into_iter().map(|draft| draft.columns).collect());
        let quarters = order.iter().map(|key| (key >> 48) as u16).collect();
        let mut runs: Vec<Run> = Vec::new();
        for (end, key) in (1u32..).zip(order) {
            let person = (key >> 64) as u64;
            match runs.last_mut() {
                Some(run) if run.person == person => run.end = end,
                _ => runs.push(Run { person, end }),
            }
        }
        Self { runs, quarters, columns }
    }

    /// How many rows it has.
    pub(crate) fn len(&self) -> usize {
        self.quarters.len()
    }
}
