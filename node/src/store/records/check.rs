//! Reading all facets when the vault is opened, making them again where they are lost, and checking everything.

use std::sync::{Arc, mpsc};

use super::{
    super::{
        error::StoreError,
        tally::Sum,
        vault::{Kind, Sealed, Vault, numbered},
    },
    Derived, ERASED, FacetRow, PAGE_ROWS, Piece, Reader, Records, State,
    log::Span,
    piece, place_of,
    words::Words,
};

/// Sealed pieces that wait to be opened; the scan waits when there are so many.
const WAITING: usize = 16;

impl Records {
    pub(super) fn load(&self, derive: impl Fn(&[u8]) -> Option<Derived>) -> Result<(), StoreError> {
        let firsts = self.count_entries()?;
        match self.load_facets(&firsts) {
            Ok(()) => Ok(()),
            Err(error @ (StoreError::Damaged(_) | StoreError::Tampered { .. })) => {
                self.remake(derive, error, &firsts)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the lists of records are those that were written last, and where they begin. They are opened when a
    /// record is read.
    fn count_entries(&self) -> Result<Vec<u64>, StoreError> {
        let mut sum = Sum::default();
        let mut firsts = Vec::new();
        for sealed in self.vault.scan_sealed(Kind::Entries, 0) {
            let sealed = sealed?;
            self.vault.count(&mut sum, &sealed);
            firsts.push(sealed.number);
        }
        self.counted(Kind::Entries, sum)?;
        Ok(firsts)
    }

    fn counted(&self, kind: Kind, sum: Sum) -> Result<(), StoreError> {
        if sum == self.vault.expected(kind) { Ok(()) } else { Err(StoreError::Tampered { kind: kind as u8 }) }
    }

    /// Reads and opens the facets, one piece for each list; one thread reads, another opens.
    fn load_facets(&self, firsts: &[u64]) -> Result<(), StoreError> {
        let mut state = self.state_mut();
        state.pieces.clear();
        state.rows.clear();
        let (send, receive) = mpsc::sync_channel::<Result<Sealed, StoreError>>(WAITING);
        std::thread::scope(|scope| {
            let vault = Arc::clone(&self.vault);
            scope.spawn(move || {
                for sealed in vault.scan_sealed(Kind::Facets, 0) {
                    if send.send(sealed).is_err() {
                        return;
                    }
                }
            });
            let mut sum = Sum::default();
            for sealed in receive {
                let sealed = sealed?;
                self.vault.count(&mut sum, &sealed);
                state.load(&self.vault, &sealed)?;
            }
            if !state.pieces.iter().map(|piece| piece.first).eq(firsts.iter().copied()) {
                return Err(StoreError::Damaged("facets of records are missing"));
            }
            self.counted(Kind::Facets, sum)
        })
    }

    /// Makes the facets and words of all records again, from their bodies. What is stopped halfway begins anew at the
    /// next opening: lists without facets tell.
    fn remake(
        &self,
        derive: impl Fn(&[u8]) -> Option<Derived>,
        lost: StoreError,
        firsts: &[u64],
    ) -> Result<(), StoreError> {
        let mut discarded = false;
        self.state_mut().pieces.clear();
        self.state_mut().rows.clear();
        for first in firsts.iter().copied() {
            let mut txn = self.writing()?;
            let mut state = self.state_mut();
            let page = state.page(super::page_of(first))?;
            let crypter = page.crypter();
            let entries = self.vault.get_under(&crypter, Kind::Entries, first)?;
            let entries = piece::decode_entries(&entries.unwrap_or_default())?;
            let mut piece = Piece { first, rows: entries.len() as u16, words: Span::NOWHERE };
            let keys = page.seeds.keys(place_of(first), entries.len());
            let reader = Reader::new(&self.vault, &state, &piece)?;
            let mut rows: Vec<FacetRow> = Vec::with_capacity(entries.len());
            let mut words = Vec::new();
            for (number, key) in (first..).zip(&keys) {
                let Some(body) = reader.body(number, key.as_ref())? else {
                    rows.push(ERASED);
                    continue;
                };
                let Some((row, found)) = derive(&body) else { return Err(lost) };
                words.extend(found.iter().map(|word| (*word, rows.len() as u16)));
                rows.push(row);
            }
            if !discarded {
                // Only now that a first record was read and understood.
                tracing::warn!(%lost, "the facets of records are made again from the records");
                txn.discard(Kind::Facets)?;
                txn.discard(Kind::Words)?;
                discarded = true;
            }
            let encoded = super::words::encode(words, rows.len());
            let version = txn.number();
            piece.words = if reader.inline.is_some() && encoded.len() <= super::change::ALONE_BYTES {
                txn.put_under(&crypter, Kind::Words, first, &encoded)?;
                Span { at: Span::INLINE, length: encoded.len() as u32, version }
            } else {
                let mut sealed = Vec::new();
                crypter.seal_onto(&mut sealed, &numbered(Kind::Words, first), version, &encoded)?;
                let at = txn.log_end();
                state.log.write(at, &sealed)?;
                txn.needs(state.keys.number(), at + sealed.len() as u64);
                Span { at, length: sealed.len() as u32, version }
            };
            txn.put_under(&crypter, Kind::Facets, first, &piece::encode_facets(piece.words, &rows))?;
            txn.commit()?;
            state.pieces.push(piece);
            state.rows.extend(rows);
        }
        self.load_facets(firsts)
    }

    /// The words of a piece, opened.
    pub(super) fn words_of(
        &self,
        state: &State,
        piece: &Piece,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, StoreError> {
        const LOST: &str = "the words of records do not open";
        let crypter = state.page(piece.page())?.crypter();
        if piece.words.is_inline() {
            let words = self.vault.get_under(&crypter, Kind::Words, piece.first)?;
            return words.ok_or(StoreError::Damaged(LOST));
        }
        let sealed = state.log.read(piece.words)?;
        crypter.open_bare(&numbered(Kind::Words, piece.first), piece.words.version, &sealed, LOST)
    }

    /// Opens every record, and sees that bodies, facets and words name the same ones.
    pub fn check(&self) -> Result<(), StoreError> {
        let state = self.state();
        for piece in &state.pieces {
            let reader = Reader::new(&self.vault, &state, piece)?;
            let keys = state.page(piece.page())?.seeds.keys(place_of(piece.first), piece.rows.into());
            for (number, key) in (piece.first..piece.end()).zip(&keys) {
                match (reader.body(number, key.as_ref())?, state.is_live(number)) {
                    (Some(_), true) | (None, false) => {}
                    (Some(_), false) => return Err(StoreError::Damaged("a record has no facet")),
                    (None, true) => return Err(StoreError::Damaged("a record is missing")),
                }
            }
            let words = self.words_of(&state, piece)?;
            if Words::decode(&words, piece.rows.into()).is_none() {
                return Err(StoreError::Damaged("the words of records have a wrong length"));
            }
        }
        Ok(())
    }
}

impl State {
    /// Takes in the next piece.
    fn load(&mut self, vault: &Vault, sealed: &Sealed) -> Result<(), StoreError> {
        let first = sealed.number;
        let key = self.page(super::page_of(first))?;
        let bytes = vault.opened(&key.crypter(), sealed)?;
        let (words, rows) = piece::decode_facets(&bytes)?;
        // None is missing, and none goes over the end of its page.
        if first != self.next() || rows.len() > PAGE_ROWS - usize::from(place_of(first)) {
            return Err(StoreError::Damaged("facets of records are missing"));
        }
        self.pieces.push(Piece { first, rows: rows.len() as u16, words });
        self.rows.extend_from_slice(rows);
        Ok(())
    }
}
