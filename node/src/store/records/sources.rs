//! What records were imported from, so that a second import of one is known (docs/storage.md).

use hashbrown::HashTable;

use super::piece::{Mark, NO_MARK};

/// The marks of all records: 16 bytes a record and five a mark.
#[derive(Default)]
pub(super) struct Sources {
    marks: Vec<Mark>,
    by_mark: HashTable<u32>,
}

/// A mark is the output of a keyed hash, so any part of it is as good as another hash of it.
fn hash(mark: &Mark) -> u64 {
    mark.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Sources {
    /// Adds the marks of the next records.
    pub(super) fn extend(&mut self, marks: impl IntoIterator<Item = Mark>) {
        for mark in marks {
            // Numbers are kept in four bytes: a vault with more than four thousand million records would know the rest
            // of them as new.
            if let (true, Ok(number)) = (mark != NO_MARK, u32::try_from(self.marks.len())) {
                let marks = &self.marks;
                let of = |n: &u32| hash(marks.get(*n as usize).unwrap_or(&NO_MARK));
                self.by_mark.insert_unique(hash(&mark), number, of);
            }
            self.marks.push(mark);
        }
    }

    /// The record that was imported from this.
    pub(super) fn find(&self, mark: &Mark) -> Option<u64> {
        let same = |n: &u32| self.marks.get(*n as usize) == Some(mark);
        self.by_mark.find(hash(mark), same).map(|n| u64::from(*n))
    }

    /// Forgets the mark of a record.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(mark) = usize::try_from(number).ok().and_then(|n| self.marks.get_mut(n)) else { return };
        if let Ok(entry) = self.by_mark.find_entry(hash(mark), |n| u64::from(*n) == number) {
            entry.remove();
        }
        *mark = NO_MARK;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_until_it_is_removed() {
        let mark = |n: u8| [n; 16];
        let mut sources = Sources::default();
        sources.extend([mark(1), NO_MARK, mark(2)]);
        sources.extend((3..200).map(mark));
        assert_eq!((sources.find(&mark(2)), sources.find(&mark(199))), (Some(2), Some(199)));
        assert_eq!((sources.find(&NO_MARK), sources.find(&mark(200))), (None, None));
        sources.remove(2);
        sources.remove(2);
        sources.remove(1);
        assert_eq!((sources.find(&mark(2)), sources.find(&mark(3))), (None, Some(3)));
    }
}
