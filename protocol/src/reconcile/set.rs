//! The documents held, by epoch and date, as reconciliation sees them.

use std::{collections::BTreeMap, sync::Arc};

use negentropy::{Bound, Error, Id as Known, Item, NegentropyStorageBase};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{codec::base64_bytes, id::Digest, time::Timestamp};

/// Seconds of an epoch: thirty days.
const EPOCH_SECONDS: i64 = 30 * 86_400;
/// Where the first begins, 2020-01-01; what is dated before is in it, too.
const FIRST: i64 = 1_577_836_800;

/// The epoch of a date. What is dated ahead is not taken in, so there are few epochs whatever signers do.
pub fn epoch_of(at: Timestamp) -> u32 {
    let since = at.unix_seconds().saturating_sub(FIRST).max(0);
    u32::try_from(since / EPOCH_SECONDS).unwrap_or(u32::MAX)
}

/// The date that its signer gave a document that spreads: the same at every member. None for what is none.
pub fn dated(json: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Outer {
        /// Of a batch in its own form; the others are envelopes themselves.
        head: Option<Inner>,
        #[serde(flatten)]
        whole: Option<Inner>,
    }
    #[derive(Deserialize)]
    struct Inner {
        #[serde(with = "base64_bytes")]
        payload: Vec<u8>,
    }
    #[derive(Deserialize)]
    struct Dates {
        published_at: Option<Timestamp>,
        made_at: Option<Timestamp>,
    }
    let Outer { head, whole } = serde_json::from_slice(json).ok()?;
    let dates: Dates = serde_json::from_slice(&head.or(whole)?.payload).ok()?;
    dates.published_at.or(dates.made_at)
}

/// One epoch in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochSum {
    /// Which.
    pub epoch: u32,
    /// How many documents are held of it.
    pub count: u64,
    /// SHA-256 over date and id of each, in order.
    pub digest: Digest,
}

/// Everything held.
#[derive(Default)]
pub struct Set {
    epochs: BTreeMap<u32, Epoch>,
}

#[derive(Default)]
struct Epoch {
    /// By date and id, each once. Shared with sessions under way, which go on with what was there.
    items: Arc<Vec<Item>>,
    digest: Option<Digest>,
}

impl Set {
    /// Adds a document.
    pub fn insert(&mut self, at: Timestamp, id: Digest) {
        let epoch = self.epochs.entry(epoch_of(at)).or_default();
        let item = item(at, id);
        if let Err(place) = epoch.items.binary_search(&item) {
            Arc::make_mut(&mut epoch.items).insert(place, item);
            epoch.digest = None;
        }
    }

    /// Adds many at once.
    pub fn extend(&mut self, documents: impl IntoIterator<Item = (Timestamp, Digest)>) {
        let mut by_epoch: BTreeMap<u32, Vec<Item>> = BTreeMap::new();
        for (at, id) in documents {
            by_epoch.entry(epoch_of(at)).or_default().push(item(at, id));
        }
        for (number, more) in by_epoch {
            let epoch = self.epochs.entry(number).or_default();
            let items = Arc::make_mut(&mut epoch.items);
            items.extend(more);
            items.sort_unstable();
            items.dedup();
            epoch.digest = None;
        }
    }

    /// Every epoch in short. Those that changed since are digested anew.
    pub fn sums(&mut self) -> Vec<EpochSum> {
        let sum = |(number, epoch): (&u32, &mut Epoch)| {
            let digest = *epoch.digest.get_or_insert_with(|| digest(&epoch.items));
            EpochSum { epoch: *number, count: epoch.items.len() as u64, digest }
        };
        self.epochs.iter_mut().map(sum).collect()
    }

    /// An epoch as it is now; empty if nothing is held of it.
    pub fn epoch(&self, number: u32) -> Snapshot {
        Snapshot(self.epochs.get(&number).map(|epoch| Arc::clone(&epoch.items)).unwrap_or_default())
    }
}

fn item(at: Timestamp, id: Digest) -> Item {
    // Dates before 1970 are none: the date of a document is its signer's, and any will do as long as all see the same.
    let at = u64::try_from(at.unix_seconds()).unwrap_or(0);
    Item::with_timestamp_and_id(at, Known::from_byte_array(*id.as_bytes()))
}

fn digest(items: &[Item]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"hedgerow epoch 1");
    for item in items {
        hash.update(item.timestamp.to_be_bytes());
        hash.update(*item.id);
    }
    Digest::from_bytes(hash.finalize().into())
}

/// One epoch at one moment.
#[derive(Clone, Default)]
pub struct Snapshot(Arc<Vec<Item>>);

impl NegentropyStorageBase for Snapshot {
    fn size(&self) -> Result<usize, Error> {
        Ok(self.0.len())
    }

    fn get_item(&self, i: usize) -> Result<Option<Item>, Error> {
        Ok(self.0.get(i).copied())
    }

    fn iterate(
        &self,
        begin: usize,
        end: usize,
        each: &mut dyn FnMut(Item, usize) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        for (item, place) in self.0.get(begin..end).ok_or(Error::BadRange)?.iter().zip(begin..) {
            if !each(*item, place)? {
                break;
            }
        }
        Ok(())
    }

    fn find_lower_bound(&self, first: usize, last: usize, value: &Bound) -> usize {
        let among = self.0.get(first..last).unwrap_or_default();
        first.saturating_add(among.partition_point(|item| *item < value.item))
    }
}
