//! What records still need of their file, copied into a store that is made anew.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{
    super::{
        error::StoreError,
        rebuild::COMMIT_BYTES,
        vault::{Kind, Vault},
    },
    Reader, Records, State,
    log::{Log, Span},
    piece,
};

impl Records {
    /// How many bytes of the file are still needed.
    pub(in super::super) fn needed(&self) -> Result<u64, StoreError> {
        let state = self.state();
        let mut needed = 0u64;
        for piece in &state.pieces {
            let reader = Reader::new(&self.vault, &state, piece)?;
            let spans = reader.entries.iter().map(|entry| entry.body).chain([piece.words]);
            needed += spans.filter(Span::is_in_file).map(|span| u64::from(span.length)).sum::<u64>();
        }
        Ok(needed)
    }

    /// Copies every list of records with its facets into `to`, and what they name in the file into a file beside it,
    /// sealed as it is: nothing seals the place. What lies in the store is copied by whoever copies its values.
    /// `progress` hears of bytes.
    pub(in super::super) fn copy_to(
        &self,
        to: &Vault,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let state = self.state();
        let log = Log::open(to.home(), true, 0)?;
        let (mut at, mut bytes) = (0u64, Vec::new());
        let mut txn = to.begin();
        for piece in &state.pieces {
            let crypter = state.page(piece.page())?.crypter();
            let mut entries = Reader::new(&self.vault, &state, piece)?.entries;
            let mut words = piece.words;
            let bodies = entries.iter_mut().map(|entry| &mut entry.body);
            for span in bodies.chain([&mut words]).filter(|span| span.is_in_file()) {
                let copied = state.log.read(*span)?;
                span.at = at + bytes.len() as u64;
                bytes.extend_from_slice(&copied);
            }
            let facets = piece::encode_facets(words, state.rows_of(piece));
            txn.put_under(&crypter, Kind::Facets, piece.first, &facets)?;
            txn.put_under(&crypter, Kind::Entries, piece.first, &piece::encode_entries(&entries))?;
            if bytes.len() >= COMMIT_BYTES {
                log.write(at, &bytes)?;
                at += bytes.len() as u64;
                bytes.clear();
                txn.needs(state.keys.number(), at);
                txn.commit()?;
                txn = to.begin();
                progress(at);
            }
        }
        log.write(at, &bytes)?;
        txn.needs(state.keys.number(), at + bytes.len() as u64);
        txn.commit()
    }

    /// The same records over a copy of their store, which is opened with their keys, each of them, and compared.
    pub(in super::super) fn moved_to(self, vault: Arc<Vault>) -> Result<Self, StoreError> {
        const OTHER: StoreError = StoreError::Damaged("a copy of its records is not what was copied");
        let old = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let log = Log::open(vault.home(), false, vault.records_need().1)?;
        let state = RwLock::new(State::new(old.keys, log));
        let moved = Self { vault, sources: Mutex::new(None), state };
        moved.load(|_| None)?;
        moved.check()?;
        if moved.state().rows != old.rows {
            return Err(OTHER);
        }
        Ok(moved)
    }
}
