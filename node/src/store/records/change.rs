//! Records put in, replaced, erased, packed. Each is one durable commit; bodies and words for the file are durable before
//! it (docs/storage.md).

use std::collections::HashMap;

use zeroize::Zeroizing;

use super::{
    super::{
        crypter::Crypter,
        error::StoreError,
        vault::{Kind, Txn, numbered},
    },
    ERASED, FacetRow, NewRecord, PAGE_ROWS, Piece, RecordNumber, Records, SourceKey, State, Stored, WordHash,
    keys::{PageKey, PageKeys},
    log::Span,
    page_of,
    piece::{self, Entry, Mark, NO_MARK},
    place_of, seal_body,
    sources::Sources,
    words::{self, Words},
};

/// A commit of at most so many records that are together at most so long stays in the store: one sync, not two.
const ALONE: usize = 8;
pub(super) const ALONE_BYTES: usize = 64 * 1024;
/// A full page in more pieces than this is packed into one.
const PIECES: usize = 4;

const ERASURE: &[u8] = b"erasure";

/// What is added to the file of records by one commit.
struct Tail {
    at: u64,
    bytes: Vec<u8>,
}

impl Tail {
    fn new(txn: &Txn<'_>) -> Self {
        Self { at: txn.log_end(), bytes: Vec::new() }
    }

    fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    /// What `write` adds.
    fn add(
        &mut self,
        version: u64,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<Span, StoreError> {
        let (at, before) = (self.end(), self.bytes.len());
        write(&mut self.bytes)?;
        // One commit adds far less than 4 GiB.
        Ok(Span { at, length: (self.bytes.len() - before) as u32, version })
    }

    /// Writes it, durably, and notes in the commit what it needs.
    fn write(self, state: &State, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        if !self.bytes.is_empty() {
            state.log.write(self.at, &self.bytes)?;
        }
        txn.needs(state.keys.number(), self.end());
        Ok(())
    }
}

/// A piece opened, or new, to be written.
struct Draft {
    first: u64,
    /// Whether what stands in `inline` is kept in the store, and its words if they are few.
    alone: bool,
    rows: Vec<FacetRow>,
    entries: Vec<Entry>,
    /// The sealed body of each record that has it in the store.
    inline: Vec<Option<Vec<u8>>>,
    words: Vec<(WordHash, u16)>,
}

impl Draft {
    fn new(first: u64, alone: bool) -> Self {
        Self { first, alone, rows: vec![], entries: vec![], inline: vec![], words: vec![] }
    }

    /// A record more; `None` for a number without one.
    fn push(
        &mut self,
        new: Option<&NewRecord>,
        mark: Mark,
        key: Option<&super::SecretKey>,
        tail: &mut Tail,
        version: u64,
    ) -> Result<(), StoreError> {
        let place = self.entries.len();
        let number = self.first + place as u64;
        self.rows.push(ERASED);
        self.entries.push(Entry::NONE);
        self.inline.push(None);
        match new {
            Some(new) => self.set(number, new, mark, key, tail, version),
            None => Ok(()),
        }
    }

    /// Puts the record of `number`, in the place of what was there.
    fn set(
        &mut self,
        number: u64,
        new: &NewRecord,
        mark: Mark,
        key: Option<&super::SecretKey>,
        tail: &mut Tail,
        version: u64,
    ) -> Result<(), StoreError> {
        let key = key.ok_or(StoreError::Damaged("the key of a record is missing"))?;
        let seal = |to: &mut Vec<u8>| seal_body(to, key, number, version, &new.body);
        let (body, inline) = if self.alone {
            let mut sealed = Vec::new();
            seal(&mut sealed)?;
            // Where it is is known once all of them are together.
            (Span { at: Span::INLINE, length: sealed.len() as u32, version }, Some(sealed))
        } else {
            (tail.add(version, seal)?, None)
        };
        self.put(number, new.row, Entry { body, mark }, inline, &new.words);
        Ok(())
    }

    fn clear(&mut self, number: u64) {
        self.put(number, ERASED, Entry::NONE, None, &[]);
    }

    fn put(&mut self, number: u64, row: FacetRow, entry: Entry, inline: Option<Vec<u8>>, words: &[WordHash]) {
        let Ok(place) = usize::try_from(number.saturating_sub(self.first)) else { return };
        let (Some(old_row), Some(old_entry), Some(old_inline)) =
            (self.rows.get_mut(place), self.entries.get_mut(place), self.inline.get_mut(place))
        else {
            return;
        };
        (*old_row, *old_entry, *old_inline) = (row, entry, inline);
        // A place is below the rows of a page.
        let place = place as u16;
        self.words.retain(|(_, at)| *at != place);
        self.words.extend(words.iter().map(|word| (*word, place)));
    }

    /// Opens a piece to be changed.
    fn open(records: &Records, state: &State, piece: &Piece) -> Result<Self, StoreError> {
        let reader = super::Reader::new(&records.vault, state, piece)?;
        let bytes = records.words_of(state, piece)?;
        let words = Words::decode(&bytes, piece.rows.into());
        let words = words.ok_or(StoreError::Damaged("the words of records have a wrong length"))?.pairs();
        let inline = reader.entries.iter().map(|entry| match entry.body.is_inline() {
            true => reader.sealed(entry.body).map(Some),
            false => Ok(None),
        });
        Ok(Self {
            first: piece.first,
            alone: piece.words.is_inline() || reader.inline.is_some(),
            rows: state.rows_of(piece).to_vec(),
            inline: inline.collect::<Result<_, _>>()?,
            entries: reader.entries,
            words,
        })
    }

    /// Writes it under the key of its page.
    fn store(mut self, txn: &mut Txn<'_>, tail: &mut Tail, crypter: &Crypter) -> Result<Piece, StoreError> {
        let (first, version) = (self.first, txn.number());
        let mut bodies = Zeroizing::new(Vec::new());
        for (entry, inline) in self.entries.iter_mut().zip(&self.inline) {
            if let Some(sealed) = inline {
                entry.body.at = Span::INLINE + bodies.len() as u64;
                bodies.extend_from_slice(sealed);
            }
        }
        let encoded = words::encode(self.words, self.rows.len());
        if self.alone {
            txn.put_at(Kind::Bodies, first, &bodies)?;
        }
        let words = if self.alone && encoded.len() <= ALONE_BYTES {
            txn.put_under(crypter, Kind::Words, first, &encoded)?;
            Span { at: Span::INLINE, length: encoded.len() as u32, version }
        } else {
            if self.alone {
                txn.delete_at(Kind::Words, first);
            }
            tail.add(version, |to| crypter.seal_onto(to, &numbered(Kind::Words, first), version, &encoded))?
        };
        txn.put_under(crypter, Kind::Facets, first, &piece::encode_facets(words, &self.rows))?;
        txn.put_under(crypter, Kind::Entries, first, &piece::encode_entries(&self.entries))?;
        // A piece lies within a page.
        Ok(Piece { first, rows: self.rows.len() as u16, words })
    }
}

impl Records {
    /// Stores a batch in one durable commit; records whose source is known, also from within the batch, are
    /// told as duplicates. About a thousand at a time is quick.
    pub fn insert(&self, batch: Vec<NewRecord>) -> Result<Vec<Stored>, StoreError> {
        let txn = self.writing()?;
        let mut sources = self.sources();
        if sources.is_none() && batch.iter().any(|new| new.source.is_some()) {
            *sources = Some(self.read_sources()?);
        }
        let mut next = self.state().next();
        let mut within: HashMap<Mark, u64> = HashMap::new();
        let mut accepted = Vec::with_capacity(batch.len());
        let mut outcomes = Vec::with_capacity(batch.len());
        for new in batch {
            let mark = new.source.as_ref().map_or(NO_MARK, |source| self.mark(source));
            let seen = match within.get(&mark) {
                Some(number) => Some(*number),
                None => sources.as_ref().and_then(|sources| sources.find(&mark)),
            };
            if let Some(number) = seen {
                outcomes.push(Stored::Duplicate(RecordNumber(number)));
                continue;
            }
            if mark != NO_MARK {
                within.insert(mark, next);
            }
            outcomes.push(Stored::New(RecordNumber(next)));
            accepted.push((Some(new), mark));
            next += 1;
        }
        self.append(txn, accepted, &mut sources)?;
        drop(sources);
        self.pack_full();
        Ok(outcomes)
    }

    /// Packs every full page that is in too many pieces. One that cannot be packed now is tried again after the next
    /// commit, and after the next opening.
    fn pack_full(&self) {
        let full = std::mem::take(&mut self.state_mut().unpacked);
        for page in full {
            // What was stored is stored, packed or not.
            if let Err(error) = self.pack(page) {
                tracing::warn!(%error, "a page of records could not be packed");
                self.state_mut().unpacked.insert(page);
            }
        }
    }

    /// Stores records under the numbers that they had in an older vault; `None` for one that was erased there.
    pub(in super::super) fn insert_as_numbered(
        &self,
        batch: Vec<Option<NewRecord>>,
    ) -> Result<(), StoreError> {
        let txn = self.writing()?;
        let mut sources = self.sources();
        let mark = |new: &NewRecord| new.source.as_ref().map_or(NO_MARK, |source| self.mark(source));
        let batch = batch.into_iter().map(|new| {
            let mark = new.as_ref().map_or(NO_MARK, mark);
            (new, mark)
        });
        self.append(txn, batch.collect(), &mut sources)
    }

    fn append(
        &self,
        mut txn: Txn<'_>,
        batch: Vec<(Option<NewRecord>, Mark)>,
        sources: &mut Option<Sources>,
    ) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let first = self.state().next();
        let last = page_of(first + batch.len() as u64 - 1);
        if self.state().keys.page(last).is_none() {
            // Durable before the first record that needs them.
            let grown = self.state_mut().keys.grow(last);
            grown.inspect_err(|_| self.vault.halt())?;
        }
        let state = self.state();
        let bytes: usize = batch.iter().flat_map(|(new, _)| new).map(|new| new.body.len() + 64).sum();
        let alone = batch.len() <= ALONE && bytes <= ALONE_BYTES;
        let version = txn.number();
        let mut tail = Tail::new(&txn);
        tail.bytes.reserve(if alone { 0 } else { bytes + bytes / 4 });
        let mut pieces = Vec::new();
        let mut rows = Vec::with_capacity(batch.len());
        let mut rest = batch.as_slice();
        let mut number = first;
        while !rest.is_empty() {
            let place = place_of(number);
            let (here, after) = rest.split_at(rest.len().min(PAGE_ROWS - usize::from(place)));
            let page = state.page(page_of(number))?;
            let mut draft = Draft::new(number, alone);
            for ((new, mark), key) in here.iter().zip(page.seeds.keys(place, here.len())) {
                draft.push(new.as_ref(), *mark, key.as_ref(), &mut tail, version)?;
            }
            rows.extend_from_slice(&draft.rows);
            pieces.push(draft.store(&mut txn, &mut tail, &page.crypter())?);
            number += here.len() as u64;
            rest = after;
        }
        tail.write(&state, &mut txn)?;
        drop(state);
        txn.commit_then(|| {
            let mut state = self.state_mut();
            state.pieces.extend(pieces);
            state.rows.extend(rows);
            state.changes += 1;
            state.note_unpacked(page_of(first));
            if let Some(sources) = sources {
                sources.extend(batch.iter().map(|(_, mark)| *mark));
            }
        })
    }

    /// Puts another record in the place of one: what it was imported from stays. False if there is none.
    pub fn replace(&self, number: RecordNumber, new: &NewRecord) -> Result<bool, StoreError> {
        let mut txn = self.writing()?;
        let mut state = self.state_mut();
        let Some(at) = state.live_piece(number) else { return Ok(false) };
        let (mut tail, version) = (Tail::new(&txn), txn.number());
        let (piece, row) = {
            let piece = state.pieces.get(at).ok_or(StoreError::Damaged("a piece is missing"))?;
            let page = state.page(piece.page())?;
            let mut draft = Draft::open(self, &state, piece)?;
            let place = usize::try_from(number.0 - piece.first).unwrap_or(usize::MAX);
            let mark = draft.entries.get(place).map_or(NO_MARK, |entry| entry.mark);
            // A long one goes to the file, whatever its piece does.
            let alone = draft.alone;
            draft.alone = alone && new.body.len() <= ALONE_BYTES / ALONE;
            draft.set(
                number.0,
                new,
                mark,
                page.seeds.key(place_of(number.0)).as_ref(),
                &mut tail,
                version,
            )?;
            draft.alone = alone;
            (draft.store(&mut txn, &mut tail, &page.crypter())?, new.row)
        };
        tail.write(&state, &mut txn)?;
        txn.commit_then(|| state.apply(&[(at, piece)], &[(number.0, row)]))?;
        Ok(true)
    }

    /// Erases a record: its key is destroyed, and so are the keys of all that was ever written about it. False if
    /// there is none.
    ///
    /// The commit holds the keys that the page is to have, sealed for this epoch. From then on the record is erased:
    /// if the node stops before the keys are turned, the next opening does it.
    pub fn erase(&self, number: RecordNumber) -> Result<bool, StoreError> {
        let mut txn = self.writing()?;
        let mut sources = self.sources();
        let mut state = self.state_mut();
        if state.live_piece(number).is_none() {
            return Ok(false);
        }
        let page = page_of(number.0);
        let key = state.page(page)?.without(place_of(number.0))?;
        let crypter = key.crypter();
        let mut tail = Tail::new(&txn);
        let mut pieces = Vec::new();
        for at in state.pieces_of_page(page) {
            let piece = state.pieces.get(at).ok_or(StoreError::Damaged("a piece is missing"))?;
            let mut draft = Draft::open(self, &state, piece)?;
            if (piece.first..piece.end()).contains(&number.0) {
                draft.clear(number.0);
            }
            pieces.push((at, draft.store(&mut txn, &mut tail, &crypter)?));
        }
        txn.put(Kind::Erasure, ERASURE, &erasure(&state.keys, page, &key)?)?;
        tail.write(&state, &mut txn)?;
        let mut turned = Ok(());
        // Before any other writer begins, and before a backup that waits reads the files of keys.
        txn.commit_then(|| {
            state.apply(&pieces, &[(number.0, ERASED)]);
            if let Some(sources) = sources.as_mut() {
                sources.remove(number.0);
            }
            turned = state.keys.set(page, key).and_then(|()| state.keys.turn());
        })?;
        // Erased it is, and must not seem to be otherwise: nothing goes on until the next opening has turned the keys.
        turned.map_err(|error| {
            self.vault.halt();
            StoreError::Unfinished(Box::new(error))
        })?;
        Ok(true)
    }

    /// Turns the keys for an erasure that was stopped after its commit.
    pub(super) fn finish_erasure(&self) -> Result<(), StoreError> {
        let Some(sealed) = self.vault.get(Kind::Erasure, ERASURE)? else { return Ok(()) };
        let mut state = self.state_mut();
        let Some(plain) = state.keys.open_sealed(ERASURE, &sealed)? else { return Ok(()) };
        let damaged = || StoreError::Damaged("an erasure under way does not read");
        let (page, mut rest) = plain.split_first_chunk::<8>().ok_or_else(damaged)?;
        let key = PageKey::decode(&mut rest).ok_or_else(damaged)?;
        state.keys.set(u64::from_le_bytes(*page), key)?;
        state.keys.turn()
    }

    /// Makes one piece of a full page.
    fn pack(&self, page: u64) -> Result<(), StoreError> {
        let mut txn = self.writing()?;
        let mut state = self.state_mut();
        let range = state.pieces_of_page(page);
        let (mut tail, version) = (Tail::new(&txn), txn.number());
        let mut packed = Draft::new(page * PAGE_ROWS as u64, false);
        let keys = state.page(page)?;
        let secrets = keys.seeds.keys(0, PAGE_ROWS);
        for piece in state.pieces.get(range.clone()).unwrap_or_default() {
            let draft = Draft::open(self, &state, piece)?;
            let offset = packed.rows.len() as u16;
            for (entry, inline) in draft.entries.iter().zip(&draft.inline) {
                let number = packed.first + packed.entries.len() as u64;
                let mut entry = *entry;
                if let Some(sealed) = inline {
                    let key = secrets.get(usize::from(place_of(number))).and_then(Option::as_ref);
                    let key = key.ok_or(StoreError::Damaged("the key of a record is missing"))?;
                    let body = super::open_body(key, number, entry.body.version, sealed)?;
                    entry.body = tail.add(version, |to| seal_body(to, key, number, version, &body))?;
                }
                packed.entries.push(entry);
                packed.inline.push(None);
            }
            packed.rows.extend_from_slice(&draft.rows);
            packed.words.extend(draft.words.iter().map(|(word, place)| (*word, place + offset)));
            if draft.alone {
                txn.delete_at(Kind::Bodies, piece.first);
                txn.delete_at(Kind::Words, piece.first);
            }
            txn.delete_at(Kind::Facets, piece.first);
            txn.delete_at(Kind::Entries, piece.first);
        }
        let piece = packed.store(&mut txn, &mut tail, &keys.crypter())?;
        tail.write(&state, &mut txn)?;
        txn.commit_then(|| drop(state.pieces.splice(range, [piece])))
    }

    /// Begins a commit, unless one has failed before: what that one wrote beside the store may be on disk, and must
    /// not be written over.
    pub(super) fn writing(&self) -> Result<Txn<'_>, StoreError> {
        let txn = self.vault.begin();
        self.vault.ensure_durable()?;
        Ok(txn)
    }

    /// The mark of a source.
    fn mark(&self, source: &SourceKey) -> Mark {
        let mac = self.vault.source_key().mac(&[source]);
        mac.first_chunk().copied().unwrap_or(NO_MARK)
    }

    fn read_sources(&self) -> Result<Sources, StoreError> {
        let state = self.state();
        let mut sources = Sources::default();
        for piece in &state.pieces {
            let reader = super::Reader::new(&self.vault, &state, piece)?;
            sources.extend(reader.entries.iter().map(|entry| entry.mark));
        }
        Ok(sources)
    }
}

impl State {
    /// Notes which full pages, from `page` on, are in too many pieces.
    pub(super) fn note_unpacked(&mut self, page: u64) {
        for full in page..page_of(self.next()) {
            if self.pieces_of_page(full).len() > PIECES {
                self.unpacked.insert(full);
            }
        }
    }

    /// The place of the piece with a live record.
    fn live_piece(&self, number: RecordNumber) -> Option<usize> {
        self.is_live(number.0).then(|| self.pieces.partition_point(|piece| piece.end() <= number.0))
    }

    fn apply(&mut self, pieces: &[(usize, Piece)], rows: &[(u64, FacetRow)]) {
        self.changes += 1;
        for (at, piece) in pieces {
            if let Some(known) = self.pieces.get_mut(*at) {
                *known = *piece;
            }
        }
        for (number, row) in rows {
            if let Some(known) = usize::try_from(*number).ok().and_then(|n| self.rows.get_mut(n)) {
                *known = *row;
            }
        }
    }
}

/// The keys that a page is to have, for as long as this epoch lasts.
fn erasure(keys: &PageKeys, page: u64, key: &PageKey) -> Result<Vec<u8>, StoreError> {
    let mut plain = Zeroizing::new(Vec::with_capacity(64 * 1024));
    plain.extend_from_slice(&page.to_le_bytes());
    key.encode(&mut plain);
    keys.seal(ERASURE, &plain)
}
