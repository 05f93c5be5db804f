//! A piece: the records of one commit that lie in one page, as they are written down (docs/storage.md).
//!
//! Two values of the store, both sealed under the key of their page: the **facets** with the place of their words, which
//! are read when the vault is opened; and the **entries**, which say where each body is and what it was imported from,
//! and are read when a record is.

use zeroize::Zeroizing;

use super::{super::error::StoreError, FacetRow, ROW_BYTES, log::Span};

/// What a record was imported from: the first half of a keyed hash. Zeros for one that was not.
pub(super) type Mark = [u8; 16];
pub(super) const NO_MARK: Mark = [0; 16];

/// One record of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where its sealed body is.
    pub(super) body: Span,
    pub(super) mark: Mark,
}

impl Entry {
    /// No record, or no longer.
    pub(super) const NONE: Self = Self { body: Span::NOWHERE, mark: NO_MARK };
}

/// The facets of a piece, and where its words are: place (20), rows.
pub(super) fn encode_facets(words: Span, rows: &[FacetRow]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([words.encode().as_slice(), rows.as_flattened()].concat())
}

pub(super) fn decode_facets(bytes: &[u8]) -> Result<(Span, &[FacetRow]), StoreError> {
    let damaged = StoreError::Damaged("the facets of records have a wrong length");
    let Some((words, rows)) = bytes.split_first_chunk::<{ Span::BYTES }>() else { return Err(damaged) };
    match rows.as_chunks::<ROW_BYTES>() {
        (rows, []) if !rows.is_empty() => Ok((Span::decode(*words), rows)),
        _ => Err(damaged),
    }
}

/// Set in the length of an entry whose place does not follow from the one before.
const APART: u32 = 1 << 31;

/// The entries of a piece: the place of the first body (20), then for each its length (4), where it is if that is not
/// right after the one before (at and version, 16), and its mark (16).
pub(super) fn encode_entries(entries: &[Entry]) -> Zeroizing<Vec<u8>> {
    let first = entries.iter().find(|e| e.body != Span::NOWHERE).map_or(Span::NOWHERE, |e| e.body);
    let mut bytes = Zeroizing::new(Vec::with_capacity(Span::BYTES + entries.len() * 36));
    bytes.extend_from_slice(&first.encode());
    let mut next = first.at;
    for Entry { body, mark } in entries {
        let gone = body.length == 0;
        if gone || (body.at == next && body.version == first.version) {
            bytes.extend_from_slice(&body.length.to_le_bytes());
        } else {
            bytes.extend_from_slice(&(body.length | APART).to_le_bytes());
            bytes.extend_from_slice(&body.at.to_le_bytes());
            bytes.extend_from_slice(&body.version.to_le_bytes());
        }
        if !gone {
            next = body.at.saturating_add(u64::from(body.length));
        }
        bytes.extend_from_slice(mark);
    }
    bytes
}

pub(super) fn decode_entries(bytes: &[u8]) -> Result<Vec<Entry>, StoreError> {
    read_entries(bytes).ok_or(StoreError::Damaged("the list of records has a wrong length"))
}

fn read_entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    let (first, mut rest) = bytes.split_first_chunk::<{ Span::BYTES }>()?;
    let first = Span::decode(*first);
    let mut next = first.at;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        rest = after;
        let length = u32::from_le_bytes(*length);
        let mut body = Span { at: next, length: length & !APART, version: first.version };
        if length & APART != 0 {
            let (at, after) = rest.split_first_chunk::<8>()?;
            let (version, after) = after.split_first_chunk::<8>()?;
            body = Span { at: u64::from_le_bytes(*at), version: u64::from_le_bytes(*version), ..body };
            rest = after;
        }
        if body.length == 0 {
            body = Span::NOWHERE;
        } else {
            next = body.at.saturating_add(u64::from(body.length));
        }
        let (mark, after) = rest.split_first_chunk::<16>()?;
        rest = after;
        entries.push(Entry { body, mark: *mark });
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_one_after_the_other_apart_and_gone() {
        let entry =
            |at, length, version, mark| Entry { body: Span { at, length, version }, mark: [mark; 16] };
        let entries = [
            Entry::NONE,
            entry(100, 50, 7, 1),
            entry(150, 60, 7, 2),
            Entry::NONE,
            entry(210, 70, 7, 0),
            entry(9000, 80, 9, 4),
            entry(280, 10, 7, 5),
            entry(Span::INLINE + 5, 10, 7, 5),
        ];
        let bytes = encode_entries(&entries);
        assert_eq!(decode_entries(&bytes).unwrap(), entries);
        assert_eq!(bytes.len(), 20 + 8 * 20 + 3 * 16);
        for cut in 0..bytes.len() {
            assert!(decode_entries(&bytes[..cut]).map_or(true, |read| read.len() < 8));
        }
        assert_eq!(decode_entries(&encode_entries(&[Entry::NONE; 3])).unwrap(), [Entry::NONE; 3]);
    }

    #[test]
    fn facets_come_back_with_the_place_of_their_words() {
        let words = Span { at: 5, length: 6, version: 7 };
        let rows = [[3; ROW_BYTES], [0; ROW_BYTES]];
        let bytes = encode_facets(words, &rows);
        assert_eq!(decode_facets(&bytes).unwrap(), (words, rows.as_slice()));
        assert!(decode_facets(&bytes[..bytes.len() - 1]).is_err() && decode_facets(&bytes[..20]).is_err());
    }
}
