//! How published objects are packed: an object lies once, in the parts of the document that brought it.

use std::collections::BTreeMap;

use hedgerow_protocol::{
    id::{Digest, NodeId},
    indicator::{Item, StixObject},
    time::Timestamp,
};

use super::super::{
    documents::put_parts,
    error::StoreError,
    shelf::{self, Lot, ROWS, Row},
    vault::{Kind, Txn, Vault},
};
use super::{Entry, PACKED, UPGRADE, read, to_json};

/// Puts the rows of one document into `txn`. Objects of version 1 stand in its payload in another form, so they get
/// parts of their own.
pub(super) fn put_rows(
    txn: &mut Txn<'_>,
    lot: Lot,
    fresh: &[(&Item, u8)],
) -> Result<Vec<(Lot, Vec<Row>)>, StoreError> {
    let mut own: Vec<u8> = Vec::new();
    let mut rows = Vec::with_capacity(fresh.len());
    let mut lot = lot;
    for (item, held) in fresh {
        let span = match item.span {
            Some(span) => span,
            None => place(&mut own, &item.object.to_canonical())?,
        };
        rows.push(Row::of(&item.object, item.digest, span, *held));
    }
    if !own.is_empty() {
        lot.first_part = put_parts(txn, &own)?.0;
    }
    let mut lots = Vec::new();
    for chunk in rows.chunks(ROWS) {
        txn.append(Kind::Shelf, &shelf::encode(&lot, chunk))?;
        lots.push((lot, chunk.to_vec()));
    }
    Ok(lots)
}

/// Appends `bytes`; says where they stand.
fn place(all: &mut Vec<u8>, bytes: &[u8]) -> Result<(u32, u32), StoreError> {
    let most = |n: usize| u32::try_from(n).map_err(|_| StoreError::Damaged("a document is too long"));
    let span = (most(all.len())?, most(bytes.len())?);
    all.extend_from_slice(bytes);
    Ok(span)
}

/// Packs what a vault from before holds, a commit for each thousand: it may be stopped at any point, and goes on when
/// the vault is opened again.
pub(super) fn pack(vault: &Vault) -> Result<(), StoreError> {
    loop {
        let entries: Vec<Entry> = vault
            .scan(Kind::Object)
            .take(UPGRADE)
            .map(|json| read(&json?))
            .collect::<Result<_, StoreError>>()?;
        let mut txn = vault.begin();
        if entries.is_empty() {
            txn.put(Kind::Setting, PACKED, b"1")?;
            return txn.commit();
        }
        let mut lots: BTreeMap<(NodeId, Digest, Timestamp), Vec<&StixObject>> = BTreeMap::new();
        for entry in &entries {
            txn.delete(Kind::Object, entry.object.id().as_bytes());
            if let Some(pattern) = entry.object.pattern() {
                txn.delete(Kind::Pattern, pattern.key().as_bytes());
            }
            match (entry.owner, entry.batch) {
                (Some(owner), Some(batch)) => {
                    lots.entry((owner, batch, entry.at)).or_default().push(&entry.object);
                }
                _ => txn.put(Kind::Draft, entry.object.id().as_bytes(), &to_json(entry)?)?,
            }
        }
        for ((owner, batch, at), objects) in lots {
            let mut bytes = Vec::new();
            let mut rows = Vec::with_capacity(objects.len());
            for object in objects {
                let span = place(&mut bytes, &object.to_canonical())?;
                rows.push(Row::of(object, object.digest(), span, 0));
            }
            let lot = Lot { owner, batch, at, first_part: put_parts(&mut txn, &bytes)?.0 };
            txn.append(Kind::Shelf, &shelf::encode(&lot, &rows))?;
        }
        txn.commit()?;
    }
}
