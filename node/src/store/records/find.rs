//! Finding records by their words and their facets (docs/storage.md).

use std::ops::ControlFlow;

use zeroize::Zeroizing;

use super::{
    super::error::StoreError,
    FacetRow, PAGE_ROWS, Reader, RecordNumber, Records, WordHash, place_of,
    words::{Places, Words, last_first, set},
};

impl Records {
    /// Hands every record that may have all of `words`, and whose facet `admits`, to `each`, the latest number first,
    /// until it breaks. Two words may share a hash: `each` looks for itself.
    ///
    /// Only the words of each page are read, not the records; those are opened as they are found.
    pub fn find(
        &self,
        words: &[WordHash],
        admits: impl Fn(&FacetRow) -> bool,
        mut each: impl FnMut(RecordNumber, Zeroizing<Vec<u8>>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let state = self.state();
        for piece in state.pieces.iter().rev() {
            let mut found: Places = [0; PAGE_ROWS / 64];
            for (place, row) in state.rows_of(piece).iter().enumerate() {
                if *row != super::ERASED && admits(row) {
                    set(&mut found, place);
                }
            }
            if found == [0; PAGE_ROWS / 64] {
                continue;
            }
            if !words.is_empty() {
                let bytes = self.words_of(&state, piece)?;
                let known = Words::decode(&bytes, piece.rows.into())
                    .ok_or(StoreError::Damaged("the words of records have a wrong length"))?;
                for word in words {
                    let having = known.find(*word);
                    found.iter_mut().zip(having).for_each(|(found, having)| *found &= having);
                }
            }
            let mut reader = None;
            for place in last_first(&found) {
                let reader = match &mut reader {
                    Some(reader) => reader,
                    none => none.insert(Reader::new(&self.vault, &state, piece)?),
                };
                let number = piece.first + place as u64;
                let key = state.page(piece.page())?.seeds.key(place_of(number));
                let body = reader.body(number, key.as_ref())?;
                let body = body.ok_or(StoreError::Damaged("a record is missing"))?;
                if each(RecordNumber(number), body).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
