//! Incident records and the facets that are counted, kept in step (docs/storage.md).
//!
//! A record has a number, given in order and never reused. [`PAGE_ROWS`] numbers are a **page**, which has keys of its
//! own ([`keys`]): one for each record, and one for what is said about them. What one commit adds to a page is a
//! **piece** ([`piece`]). Bodies and words lie in the file of records ([`log`]); what comes alone stays in the store until
//! its page is full. All facets are held in memory while the vault is open, so that a statistic is one pass over them.

mod change;
mod check;
mod compact;
mod find;
mod keys;
mod log;
mod piece;
mod seeds;
mod sources;
mod words;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use zeroize::Zeroizing;

pub(super) use self::keys::FILE_BYTES as KEYS_BYTES;
pub use self::words::WordHash;
use self::{
    keys::{PageKey, PageKeys},
    log::{Log, Span},
    piece::Entry,
    sources::Sources,
};
use super::{
    crypter::{BARE, Crypter, SecretKey},
    error::StoreError,
    padme::padme,
    vault::{Kind, Vault, numbered},
};

/// Bytes of one facet row.
pub const ROW_BYTES: usize = 40;
/// One encoded facet. The first byte is its version, never 0; a row of zeros stands for an erased record.
pub type FacetRow = [u8; ROW_BYTES];
const ERASED: FacetRow = [0; ROW_BYTES];
/// Records of a page.
pub(super) const PAGE_ROWS: usize = 1024;

/// The number of a record in its vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordNumber(pub u64);

impl fmt::Display for RecordNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A record's number and body.
pub type NumberedBody = (RecordNumber, Zeroizing<Vec<u8>>);

/// What a record was imported from: a digest by which a second import of it is known.
pub type SourceKey = [u8; 32];

/// A record to be stored.
pub struct NewRecord {
    /// Where it came from, if it was imported.
    pub source: Option<SourceKey>,
    /// Its body, sealed as it is.
    pub body: Zeroizing<Vec<u8>>,
    /// Its facet.
    pub row: FacetRow,
    /// What it is to be found by: hashes of [`Vault::word_key`].
    pub words: Vec<WordHash>,
}

/// What follows from a body: its facet and its words.
pub type Derived = (FacetRow, Vec<WordHash>);

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Stored under this number.
    New(RecordNumber),
    /// This is there already.
    Duplicate(RecordNumber),
}

/// The record table.
pub struct Records {
    vault: Arc<Vault>,
    /// Import marks, read when the first import asks for them. Locked after the writer of the vault.
    sources: Mutex<Option<Sources>>,
    /// Locked last.
    state: RwLock<State>,
}

struct State {
    keys: PageKeys,
    log: Log,
    /// By rising number, without gaps.
    pieces: Vec<Piece>,
    /// Those of all pieces.
    rows: Vec<FacetRow>,
    /// How often something changed.
    changes: u64,
    /// Full pages in too many pieces, which were not packed yet.
    unpacked: BTreeSet<u64>,
}

impl State {
    fn new(keys: PageKeys, log: Log) -> Self {
        Self { keys, log, pieces: Vec::new(), rows: Vec::new(), changes: 0, unpacked: BTreeSet::new() }
    }
}

/// A piece as it is known while the vault is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    /// Number of its first record.
    first: u64,
    /// How many numbers it has.
    rows: u16,
    /// Where its words are; inline for a piece that came alone.
    words: Span,
}

impl Piece {
    const fn end(&self) -> u64 {
        self.first + self.rows as u64
    }

    const fn page(&self) -> u64 {
        page_of(self.first)
    }
}

/// The page of a number.
const fn page_of(number: u64) -> u64 {
    number / PAGE_ROWS as u64
}

/// The place of a number in its page.
const fn place_of(number: u64) -> u16 {
    (number % PAGE_ROWS as u64) as u16
}

impl Records {
    /// Reads the facets of all records. What cannot be trusted is an error that names it.
    pub fn open(vault: Arc<Vault>) -> Result<Self, StoreError> {
        Self::open_or_remake(vault, |_| None)
    }

    /// The same; but facets that are missing, or not those that were written last, are made again from the bodies, by
    /// `derive`.
    pub fn open_or_remake(
        vault: Arc<Vault>,
        derive: impl Fn(&[u8]) -> Option<Derived>,
    ) -> Result<Self, StoreError> {
        let (epoch, log) = vault.records_need();
        let keys = match PageKeys::open(vault.home(), vault.master())? {
            Some(keys) if keys.number() >= epoch => keys,
            Some(_) => return Err(StoreError::Damaged("the keys of its records are older than its records")),
            None if epoch == 0 => PageKeys::create(vault.home(), vault.master())?,
            None => return Err(StoreError::Damaged("the keys of its records are missing")),
        };
        let log = Log::open(vault.home(), log == 0, log)?;
        let state = RwLock::new(State::new(keys, log));
        let records = Self { vault, sources: Mutex::new(None), state };
        records.finish_erasure()?;
        records.load(derive)?;
        records.state_mut().note_unpacked(0);
        Ok(records)
    }

    /// Whether there is a record under this number.
    pub fn has(&self, number: RecordNumber) -> bool {
        self.state().is_live(number.0)
    }

    /// The body of a record.
    pub fn body(&self, number: RecordNumber) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let state = self.state();
        let Some(piece) = state.piece_of(number.0) else { return Ok(None) };
        let reader = Reader::new(&self.vault, &state, piece)?;
        let key = state.page(piece.page())?.seeds.key(place_of(number.0));
        reader.body(number.0, key.as_ref())
    }

    /// Up to `limit` records from number `from` on, in order.
    pub fn list(&self, from: RecordNumber, limit: usize) -> Result<Vec<NumberedBody>, StoreError> {
        let state = self.state();
        let mut listed = Vec::new();
        let start = state.pieces.partition_point(|piece| piece.end() <= from.0);
        for piece in state.pieces.iter().skip(start) {
            let first = piece.first.max(from.0);
            let live = first..piece.end();
            let live: Vec<u64> =
                live.filter(|n| state.is_live(*n)).take(limit.saturating_sub(listed.len())).collect();
            let Some(last) = live.last() else { continue };
            let reader = Reader::new(&self.vault, &state, piece)?;
            let count = usize::try_from(last.saturating_sub(first)).unwrap_or(0).saturating_add(1);
            let keys = state.page(piece.page())?.seeds.keys(place_of(first), count);
            for number in live {
                let key = keys.get(usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX));
                let body = reader.body(number, key.and_then(Option::as_ref))?;
                listed.push((RecordNumber(number), body.ok_or(StoreError::Damaged("a record is missing"))?));
            }
        }
        Ok(listed)
    }

    /// The facet of one record.
    pub fn row(&self, number: RecordNumber) -> Option<FacetRow> {
        self.rows().get(usize::try_from(number.0).ok()?).copied()
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        self.rows().iter().count()
    }

    /// The facet rows of all records. Nothing is stored, changed or erased while they are held.
    pub fn rows(&self) -> Rows<'_> {
        Rows(self.state())
    }

    /// The key of a record; none once it was erased.
    pub(super) fn key(&self, number: RecordNumber) -> Result<Option<SecretKey>, StoreError> {
        let state = self.state();
        if !state.is_live(number.0) {
            return Ok(None);
        }
        Ok(state.page(page_of(number.0))?.seeds.key(place_of(number.0)))
    }

    /// The vault that holds them.
    pub(super) const fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn sources(&self) -> MutexGuard<'_, Option<Sources>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The facet rows of one state of the table.
pub struct Rows<'r>(RwLockReadGuard<'r, State>);

impl Rows<'_> {
    /// How often records were stored, changed or erased since the vault was opened.
    pub fn changes(&self) -> u64 {
        self.0.changes
    }

    /// How many numbers were given.
    pub fn numbers(&self) -> usize {
        self.0.rows.len()
    }

    /// That of the record with a number, if there is one.
    pub fn get(&self, number: usize) -> Option<&FacetRow> {
        self.0.rows.get(number).filter(|row| **row != ERASED)
    }

    /// Those of all records.
    pub fn iter(&self) -> impl Iterator<Item = &FacetRow> {
        self.0.rows.iter().filter(|row| **row != ERASED)
    }
}

impl State {
    fn next(&self) -> u64 {
        self.rows.len() as u64
    }

    fn is_live(&self, number: u64) -> bool {
        let row = usize::try_from(number).ok().and_then(|n| self.rows.get(n));
        row.is_some_and(|row| *row != ERASED)
    }

    /// The piece that has a number.
    fn piece_of(&self, number: u64) -> Option<&Piece> {
        let after = self.pieces.partition_point(|piece| piece.end() <= number);
        self.pieces.get(after).filter(|piece| piece.first <= number)
    }

    /// The pieces of a page: the place of the first, and how many.
    fn pieces_of_page(&self, page: u64) -> std::ops::Range<usize> {
        let from = self.pieces.partition_point(|piece| piece.page() < page);
        from..self.pieces.partition_point(|piece| piece.page() <= page)
    }

    fn page(&self, page: u64) -> Result<&PageKey, StoreError> {
        self.keys.page(page).ok_or(StoreError::Damaged("the keys of a page are missing"))
    }

    fn rows_of(&self, piece: &Piece) -> &[FacetRow] {
        let first = usize::try_from(piece.first).unwrap_or(usize::MAX);
        self.rows.get(first..first.saturating_add(piece.rows.into())).unwrap_or_default()
    }
}

/// Reads the bodies of one piece.
struct Reader<'s> {
    state: &'s State,
    first: u64,
    entries: Vec<Entry>,
    /// Those that are not in the file.
    inline: Option<Zeroizing<Vec<u8>>>,
}

impl<'s> Reader<'s> {
    fn new(vault: &Vault, state: &'s State, piece: &Piece) -> Result<Self, StoreError> {
        let crypter = state.page(piece.page())?.crypter();
        let entries = vault.get_under(&crypter, Kind::Entries, piece.first)?;
        let entries =
            piece::decode_entries(&entries.ok_or(StoreError::Damaged("the list of records is missing"))?)?;
        if entries.len() != usize::from(piece.rows) {
            return Err(StoreError::Damaged("the list of records is not that of its facets"));
        }
        let inline = entries.iter().any(|entry| entry.body.is_inline());
        let inline = if inline { vault.get_at(Kind::Bodies, piece.first)? } else { None };
        Ok(Self { state, first: piece.first, entries, inline })
    }

    fn entry(&self, number: u64) -> Entry {
        let place = usize::try_from(number.saturating_sub(self.first)).ok();
        place.and_then(|place| self.entries.get(place)).copied().unwrap_or(Entry::NONE)
    }

    /// The body as it lies.
    fn sealed(&self, body: Span) -> Result<Vec<u8>, StoreError> {
        if !body.is_inline() {
            return self.state.log.read(body);
        }
        let at = usize::try_from(body.at - Span::INLINE).unwrap_or(usize::MAX);
        let end = at.saturating_add(body.length as usize);
        let found = self.inline.as_ref().and_then(|bodies| bodies.get(at..end));
        found.map(<[u8]>::to_vec).ok_or(StoreError::Damaged("a record is missing"))
    }

    /// The body of a number, if there is one.
    fn body(&self, number: u64, key: Option<&SecretKey>) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let body = self.entry(number).body;
        if body == Span::NOWHERE {
            return Ok(None);
        }
        let key = key.ok_or(StoreError::Damaged("the key of a record is missing"))?;
        open_body(key, number, body.version, &self.sealed(body)?).map(Some)
    }
}

const UNREADABLE: &str = "a record does not open";

/// Seals a body under its own key at the end of `to`: length (4), body, zeros up to a padded length.
fn seal_body(
    to: &mut Vec<u8>,
    key: &SecretKey,
    number: u64,
    version: u64,
    body: &[u8],
) -> Result<(), StoreError> {
    let length = u32::try_from(body.len()).ok().filter(|n| *n <= MOST_BODY_BYTES);
    let too_large = StoreError::TooLarge { bytes: body.len(), most: MOST_BODY_BYTES as usize };
    let length = length.ok_or(too_large)?;
    let padded = padme(u64::from(length) + 4) as usize;
    let mut plain = Zeroizing::new(Vec::with_capacity(padded));
    plain.extend_from_slice(&length.to_le_bytes());
    plain.extend_from_slice(body);
    plain.resize(padded, 0);
    to.reserve(padded + BARE);
    Crypter::new(key).seal_onto(to, &numbered(Kind::Bodies, number), version, &plain)
}

/// Largest body, in bytes: three long texts and the rest of a form, however they are escaped.
const MOST_BODY_BYTES: u32 = 2 * 1024 * 1024;

fn open_body(
    key: &SecretKey,
    number: u64,
    version: u64,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let place = numbered(Kind::Bodies, number);
    let plain = Crypter::new(key).open_bare(&place, version, sealed, UNREADABLE)?;
    let body = plain
        .split_first_chunk::<4>()
        .and_then(|(length, rest)| rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?));
    body.map(|body| Zeroizing::new(body.to_vec())).ok_or(StoreError::Damaged(UNREADABLE))
}

#[cfg(test)]
pub(super) use self::tests::{TestKeys, test_keys};

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys on disk, as whoever has the master key reads them.
    pub(in crate::store) struct TestKeys(PageKeys);

    pub(in crate::store) fn test_keys(home: &std::path::Path, master: &SecretKey) -> TestKeys {
        TestKeys(PageKeys::open(home, master).unwrap().unwrap())
    }

    impl TestKeys {
        pub(in crate::store) fn record(&self, number: u64) -> Option<SecretKey> {
            self.0.page(page_of(number))?.seeds.key(place_of(number))
        }

        pub(in crate::store) fn opens_no(&self, place: &[u8], sealed: &[u8]) -> bool {
            (0..keys::AHEAD as u64)
                .filter_map(|page| self.0.page(page))
                .all(|page| page.crypter().open(place, sealed, "x").is_err())
        }
    }
}
