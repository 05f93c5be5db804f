//! What the library knows of each published object without opening it: packed rows on disk, an index over them in
//! memory (docs/storage.md).
//!
//! An object lies once in the vault, as the canonical bytes in the parts of the document that brought it. A row says
//! where, and what deciding and looking up need. A million rows are some 200 MB of memory.

use std::collections::HashMap;

use hedgerow_protocol::{
    id::{Digest, NodeId},
    indicator::{Held, Instant, StixObject},
    time::Timestamp,
};
use sha2::{Digest as _, Sha256};

use super::error::StoreError;

/// Rows of one value: below what the store takes as one.
pub(super) const ROWS: usize = 1000;
const VERSION: u8 = 1;
const DAMAGED: StoreError = StoreError::Damaged("the index of indicators does not read");

/// A STIX id or pattern in the index: the first bytes of its SHA-256.
pub(super) type IdKey = [u8; 16];

pub(super) fn id_key(id: &str) -> IdKey {
    Sha256::digest(id.as_bytes()).first_chunk().copied().unwrap_or_default()
}

/// Of a pattern; never 0, which stands for none. Two patterns may share it, so what it finds is opened and compared.
pub(super) fn pattern_key(key: &str) -> u64 {
    Sha256::digest(key.as_bytes()).first_chunk().map_or(1, |b| u64::from_be_bytes(*b).max(1))
}

/// Where the objects of one document lie, and whose they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lot {
    pub(super) owner: NodeId,
    /// The document that brought them.
    pub(super) batch: Digest,
    pub(super) at: Timestamp,
    pub(super) first_part: u64,
}

/// One object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: IdKey,
    pub(super) pattern: u64,
    pub(super) modified: Instant,
    pub(super) digest: Digest,
    pub(super) lot: u32,
    /// Its first byte, counted from the lot's first part.
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) flags: u8,
}

/// It takes the object back.
pub(super) const REVOKED: u8 = 1;
/// It is an indicator.
pub(super) const INDICATOR: u8 = 2;
/// It tripped the lint when it came, and nobody has released it.
pub(super) const QUARANTINED: u8 = 4;
/// Somebody dropped it.
pub(super) const DROPPED: u8 = 8;
/// It is not used, but a version before it was: what takes it back must come through.
pub(super) const SEEN: u8 = 16;
/// A later version stands in its place. In memory only.
pub(super) const SUPERSEDED: u8 = 128;

impl Row {
    pub(super) fn of(object: &StixObject, digest: Digest, (offset, length): (u32, u32), held: u8) -> Self {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        Self {
            id: id_key(object.id()),
            pattern: object.pattern().map_or(0, |p| pattern_key(&p.key())),
            modified: object.modified(),
            digest,
            lot: 0,
            offset,
            length,
            flags: flag(object.revoked(), REVOKED) | flag(object.kind() == "indicator", INDICATOR) | held,
        }
    }

    pub(super) const fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Whether it is the latest version, and neither held back nor dropped.
    pub(super) const fn live(&self) -> bool {
        !self.has(SUPERSEDED | QUARANTINED | DROPPED)
    }
}

/// The index in memory.
#[derive(Default)]
pub(super) struct Index {
    pub(super) lots: Vec<Lot>,
    /// In the order in which objects came.
    pub(super) rows: Vec<Row>,
    by_id: HashMap<IdKey, u32>,
    by_pattern: HashMap<u64, u32>,
}

impl Index {
    /// The latest version under an id.
    pub(super) fn row(&self, id: &IdKey) -> Option<&Row> {
        self.rows.get(*self.by_id.get(id)? as usize)
    }

    pub(super) fn row_mut(&mut self, id: &IdKey) -> Option<&mut Row> {
        self.rows.get_mut(*self.by_id.get(id)? as usize)
    }

    /// The latest object that came with a pattern.
    pub(super) fn with_pattern(&self, key: u64) -> Option<&Row> {
        self.rows.get(*self.by_pattern.get(&key)? as usize).filter(|row| !row.has(SUPERSEDED))
    }

    /// Whether anything ever came with a pattern.
    pub(super) fn with_any(&self, key: u64) -> bool {
        self.by_pattern.contains_key(&key)
    }

    pub(super) fn lot(&self, row: &Row) -> Option<&Lot> {
        self.lots.get(row.lot as usize)
    }

    /// What deciding about the next version needs.
    pub(super) fn held(&self, id: &IdKey) -> Option<Held> {
        let row = self.row(id)?;
        let owner = self.lot(row)?.owner;
        Some(Held { owner, modified: row.modified, revoked: row.has(REVOKED), digest: row.digest })
    }

    /// Takes in rows of one lot; a later version takes the place of the one before.
    pub(super) fn add(&mut self, lot: Lot, rows: Vec<Row>) {
        let number = u32::try_from(self.lots.len()).unwrap_or(u32::MAX);
        self.lots.push(lot);
        for mut row in rows {
            row.lot = number;
            let place = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
            if let Some(before) = self.by_id.insert(row.id, place)
                && let Some(before) = self.rows.get_mut(before as usize)
            {
                before.flags |= SUPERSEDED;
            }
            if row.pattern != 0 {
                self.by_pattern.insert(row.pattern, place);
            }
            self.rows.push(row);
        }
    }
}

/// Up to [`ROWS`] rows of one lot as one value.
pub(super) fn encode(lot: &Lot, rows: &[Row]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(88 + rows.len() * 81);
    bytes.push(VERSION);
    bytes.extend_from_slice(lot.owner.as_bytes());
    bytes.extend_from_slice(lot.batch.as_bytes());
    bytes.extend_from_slice(&lot.at.unix_seconds().to_be_bytes());
    bytes.extend_from_slice(&lot.first_part.to_be_bytes());
    for row in rows {
        bytes.extend_from_slice(&row.id);
        bytes.extend_from_slice(&row.pattern.to_be_bytes());
        bytes.extend_from_slice(&row.modified.unix_nanos().to_be_bytes());
        bytes.extend_from_slice(row.digest.as_bytes());
        bytes.extend_from_slice(&row.offset.to_be_bytes());
        bytes.extend_from_slice(&row.length.to_be_bytes());
        bytes.push(row.flags);
    }
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Result<(Lot, Vec<Row>), StoreError> {
    let mut rest = bytes;
    if take::<1>(&mut rest)? != [VERSION] {
        return Err(DAMAGED);
    }
    let lot = Lot {
        owner: NodeId::from_bytes(take(&mut rest)?).map_err(|_| DAMAGED)?,
        batch: Digest::from_bytes(take(&mut rest)?),
        at: Timestamp::from_unix_seconds(i64::from_be_bytes(take(&mut rest)?)).map_err(|_| DAMAGED)?,
        first_part: u64::from_be_bytes(take(&mut rest)?),
    };
    let mut rows = Vec::with_capacity(rest.len() / 81);
    while !rest.is_empty() {
        rows.push(Row {
            id: take(&mut rest)?,
            pattern: u64::from_be_bytes(take(&mut rest)?),
            modified: Instant::from_unix_nanos(i128::from_be_bytes(take(&mut rest)?)).ok_or(DAMAGED)?,
            digest: Digest::from_bytes(take(&mut rest)?),
            lot: 0,
            offset: u32::from_be_bytes(take(&mut rest)?),
            length: u32::from_be_bytes(take(&mut rest)?),
            flags: take::<1>(&mut rest)?.first().copied().unwrap_or_default(),
        });
    }
    Ok((lot, rows))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], StoreError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(DAMAGED)?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use hedgerow_protocol::{document::NodeSecret, indicator::Observable};

    use super::*;

    #[test]
    fn rows_are_read_back_and_a_cut_or_another_version_is_damage() {
        let at = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
        let lot = Lot {
            owner: NodeSecret::from_seed(&[1; 32]).node_id(),
            batch: Digest::of(b"batch"),
            at,
            first_part: 7,
        };
        let rows: Vec<Row> = (0..3)
            .map(|n| {
                let host = Observable::guess(&format!("h{n}.example")).unwrap();
                let object = StixObject::indicator(&host, None, None, at);
                Row::of(&object, object.digest(), (n, 9), if n == 1 { QUARANTINED } else { 0 })
            })
            .collect();
        let bytes = encode(&lot, &rows);
        assert_eq!(decode(&bytes).unwrap(), (lot, rows));
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode(&[&[2], &bytes[1..]].concat()).is_err());
        assert!(encode(&lot, &decode(&bytes).unwrap().1.repeat(ROWS / 3)).len() < 112 * 1024);
    }
}
