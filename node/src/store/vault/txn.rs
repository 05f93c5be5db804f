//! A commit: values sealed one by one, counted, and written together.

use std::{collections::HashMap, sync::MutexGuard};

use super::super::{
    crypter::{self, Crypter},
    engine::{VALUE_BYTES, Writes},
    error::StoreError,
    root::Root,
    tally::Sum,
};
use super::{Kind, Vault, Writer, numbered};

/// A value as the tally and its next version see it: its version and its MAC.
pub(super) type Standing = Option<(u64, [u8; 32])>;

/// What a commit does at one place.
#[derive(Clone, Copy, Default)]
pub(super) struct Change {
    /// What stood there, once that was looked up.
    before: Option<Standing>,
    after: Standing,
}

/// Writes that are sealed one by one and reach the disk together, or not at all.
#[must_use = "nothing is written until commit"]
pub struct Txn<'v> {
    pub(super) vault: &'v Vault,
    pub(super) writer: MutexGuard<'v, Writer>,
    /// What the store will hold.
    pub(super) root: Root,
    /// Numbers given out in this commit; kept only if it succeeds.
    pub(super) advanced: HashMap<Kind, u64>,
    /// The places that this commit changes.
    pub(super) pending: HashMap<Vec<u8>, Change>,
    pub(super) writes: Writes,
}

impl Txn<'_> {
    /// The number of this commit.
    pub(in crate::store) const fn number(&self) -> u64 {
        self.root.commits.saturating_add(1)
    }

    /// The end of the file of records, as it is now.
    pub(in crate::store) const fn log_end(&self) -> u64 {
        self.root.log
    }

    /// Sets what else the store needs: keys of which epoch, and how much of the file of records.
    pub(in crate::store) const fn needs(&mut self, epoch: u64, log: u64) {
        (self.root.epoch, self.root.log) = (epoch, log);
    }

    /// Deletes every value of a kind whose count does not hold, and counts it anew from there.
    pub(in crate::store) fn discard(&mut self, kind: Kind) -> Result<(), StoreError> {
        *self.root.tally.of_mut(kind as u8) = Sum::default();
        for pair in self.vault.engine.scan(&[kind as u8], &[kind as u8]) {
            let (place, _) = pair?;
            self.writes.delete(&place);
            self.pending.insert(place, Change { before: Some(None), after: None });
        }
        Ok(())
    }

    /// Puts `value` under the logical id `id`, as the next version of what is there.
    pub fn put(&mut self, kind: Kind, id: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.write(&self.vault.crypter, self.vault.hashed(kind, id), value)
    }

    /// Puts `value` at number `n`.
    pub fn put_at(&mut self, kind: Kind, n: u64, value: &[u8]) -> Result<(), StoreError> {
        self.put_under(&self.vault.crypter, kind, n, value)
    }

    /// Puts `value` at number `n`, sealed under another key than the vault's.
    pub(in crate::store) fn put_under(
        &mut self,
        crypter: &Crypter,
        kind: Kind,
        n: u64,
        value: &[u8],
    ) -> Result<(), StoreError> {
        self.write(crypter, numbered(kind, n), value)
    }

    /// Puts bytes that are sealed already.
    pub(in crate::store) fn put_sealed(&mut self, place: Vec<u8>, sealed: Vec<u8>) {
        let version = crypter::version(&sealed).unwrap_or(0);
        let after = Some((version, self.vault.counter.mac(&place, &sealed)));
        self.writes.put(&place, sealed);
        self.pending.entry(place).or_default().after = after;
    }

    /// Puts `value` at the next number of `kind`, and says which.
    pub fn append(&mut self, kind: Kind, value: &[u8]) -> Result<u64, StoreError> {
        let n = match self.advanced.get(&kind).or_else(|| self.writer.next.get(&kind)) {
            Some(n) => *n,
            None => match self.vault.engine.last_key(&[kind as u8])? {
                Some(key) => key.last_chunk().map_or(0, |b| u64::from_be_bytes(*b).saturating_add(1)),
                None => 0,
            },
        };
        self.put_at(kind, n, value)?;
        self.advanced.insert(kind, n.saturating_add(1));
        Ok(n)
    }

    /// Deletes what is under the logical id `id`.
    pub fn delete(&mut self, kind: Kind, id: &[u8]) {
        self.remove(self.vault.hashed(kind, id));
    }

    /// Deletes what is at number `n`.
    pub fn delete_at(&mut self, kind: Kind, n: u64) {
        self.remove(numbered(kind, n));
    }

    /// Writes everything; returns once it would survive a power cut.
    pub fn commit(self) -> Result<(), StoreError> {
        self.commit_then(|| ())
    }

    /// The same, and calls `apply` before any other writer begins.
    pub(in crate::store) fn commit_then(mut self, apply: impl FnOnce()) -> Result<(), StoreError> {
        self.tally()?;
        self.root.commits = self.number();
        let root = self.root.encode();
        self.put(Kind::Commits, b"", &root)?;
        self.vault.engine.commit(std::mem::take(&mut self.writes))?;
        self.writer.next.extend(self.advanced.drain());
        // The store may be ahead of the head, never behind: a crash between the two is no loss.
        // If it cannot be counted the caller is told that it failed although it is on disk: what callers hold
        // in memory is then behind, and a later write would go over it. So nothing more is written.
        self.vault.head.write(self.root.commits).inspect_err(|_| self.vault.engine.halt())?;
        self.writer.root = self.root;
        apply();
        Ok(())
    }

    fn write(&mut self, crypter: &Crypter, place: Vec<u8>, value: &[u8]) -> Result<(), StoreError> {
        if value.len() > VALUE_BYTES {
            return Err(StoreError::TooLarge { bytes: value.len(), most: VALUE_BYTES });
        }
        let before = match self.pending.get(&place) {
            Some(change) => change.after,
            None => {
                let found = self.vault.standing(&place)?;
                self.pending.insert(place.clone(), Change { before: Some(found), after: found });
                found
            }
        };
        let version = before.map_or(0, |(version, _)| version).saturating_add(1);
        let sealed = crypter.seal(&place, version, value)?;
        self.put_sealed(place, sealed);
        Ok(())
    }

    fn remove(&mut self, place: Vec<u8>) {
        self.writes.delete(&place);
        self.pending.entry(place).or_default().after = None;
    }

    /// Counts what this commit changes.
    fn tally(&mut self) -> Result<(), StoreError> {
        for (place, change) in &self.pending {
            let before = change.before.map_or_else(|| self.vault.standing(place), Ok)?;
            let sum = self.root.tally.of_mut(place.first().copied().unwrap_or(0));
            if let Some((_, mac)) = before {
                sum.take(mac);
            }
            if let Some((_, mac)) = change.after {
                sum.add(mac);
            }
        }
        Ok(())
    }
}
