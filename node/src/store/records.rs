//! Incident records and the facets that are counted, kept in step (docs/storage.md).
//!
//! A record has a number, given in order and never reused. Its body is one sealed value; its facet is row
//! `number % 256` of segment `number / 256`, one sealed value for 256 rows. Both are written in one commit.
//! All rows are held in memory while the vault is open, so that a statistic is one pass over a dense array.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use zeroize::Zeroizing;

use super::{
    error::StoreError,
    vault::{Kind, Txn, Vault},
};

/// Bytes of one facet row.
pub const ROW_BYTES: usize = 40;
/// One encoded facet. The first byte is its version, never 0; a row of zeros stands for an erased record.
pub type FacetRow = [u8; ROW_BYTES];
const ERASED: FacetRow = [0; ROW_BYTES];
const SEGMENT_ROWS: usize = 256;

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
}

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
    rows: RwLock<Vec<FacetRow>>,
}

impl Records {
    /// Reads every segment: about 4,000 sealed values for a million records.
    pub fn open(vault: Arc<Vault>) -> Result<Self, StoreError> {
        let mut rows: Vec<FacetRow> = Vec::new();
        for (expected, segment) in vault.scan_from(Kind::Segment, 0).enumerate() {
            let (n, bytes) = segment?;
            let (segment, rest) = bytes.as_chunks::<ROW_BYTES>();
            // Every segment but the last is full, and none is missing.
            if n != expected as u64 || !rest.is_empty() || rows.len() != expected * SEGMENT_ROWS {
                return Err(StoreError::Damaged("a segment of facets is missing"));
            }
            rows.extend_from_slice(segment);
        }
        Ok(Self { vault, rows: RwLock::new(rows) })
    }

    /// Stores a batch in one durable commit; records whose source is known, also from within the batch, are
    /// told as duplicates. About a thousand at a time is quick.
    pub fn insert(&self, batch: Vec<NewRecord>) -> Result<Vec<Stored>, StoreError> {
        let mut txn = self.vault.begin();
        let known = self.count_rows();
        let mut added: Vec<FacetRow> = Vec::with_capacity(batch.len());
        let mut sources: HashMap<SourceKey, RecordNumber> = HashMap::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for new in batch {
            if let Some(source) = &new.source {
                let seen = match sources.get(source) {
                    Some(number) => Some(*number),
                    None => self.number_of(source)?,
                };
                if let Some(number) = seen {
                    outcomes.push(Stored::Duplicate(number));
                    continue;
                }
            }
            let number = RecordNumber((known + added.len()) as u64);
            txn.put_at(Kind::Record, number.0, &framed(new.source, &new.body))?;
            if let Some(source) = new.source {
                txn.put(Kind::Source, &source, &number.0.to_be_bytes())?;
                sources.insert(source, number);
            }
            added.push(new.row);
            outcomes.push(Stored::New(number));
        }
        if added.is_empty() {
            return Ok(outcomes);
        }
        let mut rows = self.tail(known);
        let first = known / SEGMENT_ROWS;
        rows.extend_from_slice(&added);
        for (n, segment) in rows.chunks(SEGMENT_ROWS).enumerate() {
            txn.put_at(Kind::Segment, (first + n) as u64, segment.as_flattened())?;
        }
        // The writer lock is held until the rows in memory agree with the disk.
        self.commit_then(txn, |rows| rows.extend_from_slice(&added))?;
        Ok(outcomes)
    }

    /// The body of a record.
    pub fn body(&self, number: RecordNumber) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        Ok(self.vault.get_at(Kind::Record, number.0)?.map(|framed| unframed(&framed).1))
    }

    /// Up to `limit` records from number `from` on, in order.
    pub fn list(&self, from: RecordNumber, limit: usize) -> Result<Vec<NumberedBody>, StoreError> {
        self.vault
            .scan_from(Kind::Record, from.0)
            .take(limit)
            .map(|pair| pair.map(|(n, framed)| (RecordNumber(n), unframed(&framed).1)))
            .collect()
    }

    /// Erases a record: body, facet and import mark, in one commit. False if there is none.
    ///
    /// The store keeps old pages until it is rebuilt, sealed under the vault's key: see docs/storage.md for what
    /// that means and what it does not.
    pub fn erase(&self, number: RecordNumber) -> Result<bool, StoreError> {
        let mut txn = self.vault.begin();
        let Some(value) = self.vault.get_at(Kind::Record, number.0)? else { return Ok(false) };
        txn.delete_at(Kind::Record, number.0);
        if let Some(source) = unframed(&value).0 {
            txn.delete(Kind::Source, &source);
        }
        let place = usize::try_from(number.0).map_err(|_| StoreError::Damaged("a record's number"))?;
        let first = place / SEGMENT_ROWS * SEGMENT_ROWS;
        let mut segment: Vec<FacetRow> = {
            let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
            rows.iter().skip(first).take(SEGMENT_ROWS).copied().collect()
        };
        if let Some(row) = segment.get_mut(place - first) {
            *row = ERASED;
        }
        txn.put_at(Kind::Segment, (place / SEGMENT_ROWS) as u64, segment.as_flattened())?;
        self.commit_then(txn, |rows| {
            if let Some(row) = rows.get_mut(place) {
                *row = ERASED;
            }
        })?;
        Ok(true)
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.iter().filter(|row| **row != ERASED).count()
    }

    /// Hands every facet row to `read`, all of one state of the table.
    pub fn with_rows<T>(&self, read: impl FnOnce(&mut dyn Iterator<Item = &FacetRow>) -> T) -> T {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        read(&mut rows.iter().filter(|row| **row != ERASED))
    }

    /// Whether bodies and facets name the same records: what a stopped or damaged store would break.
    pub fn check(&self) -> Result<(), StoreError> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let faceted: BTreeSet<u64> =
            rows.iter().zip(0u64..).filter(|(row, _)| **row != ERASED).map(|(_, n)| n).collect();
        let mut bodies = 0usize;
        for pair in self.vault.scan_from(Kind::Record, 0) {
            bodies += 1;
            if !faceted.contains(&pair?.0) {
                return Err(StoreError::Damaged("a record has no facet"));
            }
        }
        if bodies == faceted.len() { Ok(()) } else { Err(StoreError::Damaged("a record is missing")) }
    }

    fn number_of(&self, source: &SourceKey) -> Result<Option<RecordNumber>, StoreError> {
        let value = self.vault.get(Kind::Source, source)?;
        Ok(value.and_then(|v| v.first_chunk().map(|b| RecordNumber(u64::from_be_bytes(*b)))))
    }

    fn count_rows(&self) -> usize {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The rows of the last segment, if it is not full.
    fn tail(&self, known: usize) -> Vec<FacetRow> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.iter().skip(known / SEGMENT_ROWS * SEGMENT_ROWS).copied().collect()
    }

    fn commit_then(&self, txn: Txn<'_>, apply: impl FnOnce(&mut Vec<FacetRow>)) -> Result<(), StoreError> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        txn.commit()?;
        apply(&mut rows);
        Ok(())
    }
}

/// A body as stored: 1 and 32 bytes of source, or 0; then the body.
fn framed(source: Option<SourceKey>, body: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut value = Zeroizing::new(Vec::with_capacity(33 + body.len()));
    match source {
        Some(source) => {
            value.push(1);
            value.extend_from_slice(&source);
        }
        None => value.push(0),
    }
    value.extend_from_slice(body);
    value
}

fn unframed(value: &[u8]) -> (Option<SourceKey>, Zeroizing<Vec<u8>>) {
    let body = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
    match value.split_first() {
        Some((1, rest)) => match rest.split_first_chunk::<32>() {
            Some((source, rest)) => (Some(*source), body(rest)),
            None => (None, body(&[])),
        },
        Some((_, rest)) => (None, body(rest)),
        None => (None, body(&[])),
    }
}
