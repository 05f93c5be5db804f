//! Reading what is published out of the parts of documents.

use std::collections::VecDeque;

use hedgerow_protocol::indicator::StixObject;
use zeroize::Zeroizing;

use super::super::{
    documents::PART_BYTES,
    error::StoreError,
    shelf::{Lot, Row},
    vault::{Kind, Vault},
};
use super::{Entry, Library, UNREADABLE};

/// Reads objects out of parts, with the last part at hand: neighbours lie in one.
pub(super) struct Parts<'v> {
    vault: &'v Vault,
    last: Option<(u64, Zeroizing<Vec<u8>>)>,
}

impl<'v> Parts<'v> {
    pub(super) const fn over(vault: &'v Vault) -> Self {
        Self { vault, last: None }
    }

    pub(super) fn entry(&mut self, row: &Row, lot: &Lot) -> Result<Entry, StoreError> {
        let missing = || StoreError::Damaged("part of a signed document is missing");
        let mut bytes = Vec::with_capacity(row.length as usize);
        let (mut offset, mut left) = (row.offset as usize, row.length as usize);
        while left > 0 {
            let part = lot.first_part.saturating_add((offset / PART_BYTES) as u64);
            if self.last.as_ref().is_none_or(|(n, _)| *n != part) {
                let read = self.vault.get_at(Kind::Part, part)?.ok_or_else(missing)?;
                self.last = Some((part, read));
            }
            let Some((_, held)) = &self.last else { return Err(missing()) };
            let from = offset % PART_BYTES;
            let chunk = held.get(from..held.len().min(from + left)).filter(|c| !c.is_empty());
            let chunk = chunk.ok_or_else(missing)?;
            bytes.extend_from_slice(chunk);
            offset += chunk.len();
            left -= chunk.len();
        }
        let object = StixObject::stored(&bytes).map_err(|_| UNREADABLE)?;
        Ok(Entry { owner: Some(lot.owner), batch: Some(lot.batch), at: lot.at, object })
    }
}

/// Entries in the order in which they came, each with its number.
pub struct Published<'l> {
    pub(super) library: &'l Library,
    pub(super) parts: Parts<'l>,
    pub(super) next: usize,
    pub(super) wanted: fn(&Row) -> bool,
    pub(super) read: VecDeque<(u64, Row, Lot)>,
}

impl Iterator for Published<'_> {
    type Item = Result<(u64, Entry), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (number, row, lot) = self.row()?;
            match self.parts.entry(&row, &lot) {
                Ok(entry) if self.library.allowed.covers(&entry.object) => {}
                Ok(entry) => return Some(Ok((number, entry))),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Published<'_> {
    fn row(&mut self) -> Option<(u64, Row, Lot)> {
        // A few rows at a time, so that writers are not kept waiting.
        const AHEAD: usize = 512;
        while self.read.is_empty() {
            let index = self.library.index();
            if self.next >= index.rows.len() {
                return None;
            }
            let rows = index.rows.iter().enumerate().skip(self.next).take(AHEAD);
            for (number, row) in rows {
                self.next = number + 1;
                if (self.wanted)(row)
                    && let Some(lot) = index.lot(row)
                {
                    self.read.push_back((number as u64, *row, *lot));
                }
            }
        }
        self.read.pop_front()
    }
}
