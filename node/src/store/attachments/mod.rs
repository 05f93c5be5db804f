//! Evidence that belongs to a record: files sealed in chunks, and what is known of each (docs/storage.md).
//!
//! A file lies in `attachments/` under a random name. What it is called, how long it is, its hash, its custody notes
//! and the random key that opens it are sealed under a key of its record, in one value of the store: with the record's
//! key they are gone wherever they were copied to. The file is durable before that value is, and goes after it; what a
//! stop leaves behind in between belongs to nothing and is cleared away at opening.

mod stream;
#[cfg(test)]
mod tests;
mod upgrade;

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use hedgerow_protocol::{id::Digest, time::Timestamp};
use rand::{TryRng as _, rngs::SysRng};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    crypter::{Crypter, SecretKey},
    error::StoreError,
    home::ATTACHMENTS,
    records::{RecordNumber, Records},
    vault::{Kind, Txn, Vault, numbered},
};

/// Most bytes of one file: 64 GiB.
const MOST_BYTES: u64 = 64 << 30;
/// Bits of a place that number the attachments of one record.
const NUMBER_BITS: u32 = 12;
/// Most bytes of a name, and of a note.
const NAME_BYTES: usize = 255;
const NOTE_BYTES: usize = 1000;
/// Most notes of one attachment.
const NOTES: usize = 64;
const FILE_ID: usize = 16;
const KEY: usize = 32;
/// First byte of a value: how the rest is laid out.
const FORM: u8 = 2;
const UNREADABLE: StoreError = StoreError::Damaged("what is known of an attachment does not read");
const LOCKED: &str = "what is known of an attachment does not open";

/// What is known of one attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Its number within its record, not given again while a later one is there.
    pub number: u32,
    /// Its file name, as it was.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of the file as it came in.
    pub sha256: Digest,
    /// Who had it, what was done with it, oldest first. The first note says when it came in.
    pub custody: Vec<CustodyNote>,
}

/// One custody note. Notes are added, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustodyNote {
    /// When it was written, by this node's clock.
    pub at: Timestamp,
    /// What it says; may be empty.
    pub note: String,
}

/// An attachment with what opens its file.
struct Entry {
    file: [u8; FILE_ID],
    key: SecretKey,
    known: Attachment,
}

/// The attachment table and its folder.
pub struct Attachments {
    vault: Arc<Vault>,
    /// Whose keys seal what is known of their attachments. Asked while the vault's writer is held.
    records: Arc<Records>,
    folder: PathBuf,
    pins: Mutex<Pins>,
}

/// While files are being copied somewhere, those removed meanwhile wait.
#[derive(Default)]
struct Pins {
    holders: usize,
    waiting: Vec<PathBuf>,
}

/// Keeps every file of the folder where it is until it is dropped.
pub(super) struct Pinned<'a>(&'a Attachments);

impl Pinned<'_> {
    /// The files that are here now, by name.
    pub(super) fn files(&self) -> Result<Vec<(String, PathBuf)>, StoreError> {
        let io = StoreError::io("reading the folder of attachments");
        if !self.0.folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0.folder).map_err(&io)? {
            let entry = entry.map_err(&io)?;
            if let Some(name) = entry.file_name().to_str().filter(|name| names_file(name)) {
                files.push((name.to_owned(), entry.path()));
            }
        }
        files.sort();
        Ok(files)
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        let mut pins = self.0.pins();
        pins.holders = pins.holders.saturating_sub(1);
        if pins.holders == 0 {
            // What cannot be removed now is an orphan, and goes when the vault is opened.
            pins.waiting.drain(..).for_each(|file| drop(fs::remove_file(file)));
        }
    }
}

impl Attachments {
    /// Opens the table. Values whose record is gone, and files that no value names, are what a stop left behind: they
    /// are removed.
    pub fn open(records: Arc<Records>) -> Result<Self, StoreError> {
        let attachments = Self::over(records);
        let mut named = HashSet::new();
        let mut orphans = Vec::new();
        for pair in attachments.vault.scan_from(Kind::Attachment, 0) {
            let (place, value) = pair?;
            if attachments.records.has(record_of(place)) {
                named.insert(file_of(&value)?);
            } else {
                orphans.push(place);
            }
        }
        if !orphans.is_empty() {
            let mut txn = attachments.vault.begin();
            orphans.iter().for_each(|place| txn.delete_at(Kind::Attachment, *place));
            txn.commit()?;
        }
        attachments.sweep(&named)?;
        Ok(attachments)
    }

    fn over(records: Arc<Records>) -> Self {
        let vault = Arc::clone(records.vault());
        Self { folder: vault.home().join(ATTACHMENTS), vault, records, pins: Mutex::default() }
    }

    /// Reads `from` to its end and keeps it with `record`, if that is still there once all is read. Durable when it
    /// returns. `progress` hears how many bytes were read.
    pub fn add(
        &self,
        record: RecordNumber,
        name: &str,
        from: impl Read,
        note: CustodyNote,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Option<Attachment>, StoreError> {
        checked_text(name, NAME_BYTES)?;
        checked_text(&note.note, NOTE_BYTES)?;
        // Before gigabytes are written that could not be kept.
        self.vault.ensure_durable()?;
        let (file, key, written) = self.write(from, progress)?;
        let known = Attachment {
            number: 0,
            name: name.to_owned(),
            bytes: written.bytes,
            sha256: Digest::from_bytes(written.sha256),
            custody: vec![note],
        };
        let kept = self.keep(record, Entry { file, key, known });
        // A commit that failed may be on disk all the same: what it names stays, and opening sorts it out.
        if matches!(kept, Ok(None) | Err(StoreError::Full { .. })) {
            let _ = self.unlink(&[file]);
        }
        kept
    }

    /// The attachments of `record`, oldest first.
    pub fn list(&self, record: RecordNumber) -> Result<Vec<Attachment>, StoreError> {
        let known = self.values(record).map(|pair| {
            let (place, value) = pair?;
            Ok(self.decoded(place, &value)?.map(|entry| entry.known))
        });
        known.filter_map(Result::transpose).collect()
    }

    /// Writes an attachment out as it came in; none if there is no such one. An error if its file is not what was kept;
    /// what was written before the error must not be used. `progress` hears how many bytes were written.
    pub fn read(
        &self,
        record: RecordNumber,
        number: u32,
        to: impl Write,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Option<Attachment>, StoreError> {
        let Some((_, entry)) = self.entry(record, number)? else { return Ok(None) };
        self.pour(&entry, to, &mut |done| progress(done, Some(entry.known.bytes)))?;
        Ok(Some(entry.known))
    }

    /// Adds a custody note; none if there is no such attachment.
    pub fn note(
        &self,
        record: RecordNumber,
        number: u32,
        note: CustodyNote,
    ) -> Result<Option<Attachment>, StoreError> {
        checked_text(&note.note, NOTE_BYTES)?;
        let mut txn = self.vault.begin();
        let Some((place, mut entry)) = self.entry(record, number)? else { return Ok(None) };
        if entry.known.custody.len() >= NOTES {
            return Err(StoreError::Full { what: "custody notes of one attachment", most: NOTES });
        }
        entry.known.custody.push(note);
        self.put(&mut txn, place, &entry)?;
        txn.commit()?;
        Ok(Some(entry.known))
    }

    /// Removes an attachment: first what opens it, then its file. None if there is no such one.
    pub fn remove(&self, record: RecordNumber, number: u32) -> Result<Option<Attachment>, StoreError> {
        let mut txn = self.vault.begin();
        let Some((place, entry)) = self.entry(record, number)? else { return Ok(None) };
        txn.delete_at(Kind::Attachment, place);
        txn.commit()?;
        self.unlink(&[entry.file])?;
        Ok(Some(entry.known))
    }

    /// Removes every attachment of a record that was erased.
    pub fn remove_all(&self, record: RecordNumber) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        let mut files = Vec::new();
        for pair in self.values(record) {
            let (place, value) = pair?;
            files.push(file_of(&value)?);
            txn.delete_at(Kind::Attachment, place);
        }
        if files.is_empty() {
            return Ok(());
        }
        txn.commit()?;
        self.unlink(&files)
    }

    /// Opens every attachment, and gives how many there are. `progress` hears how many bytes were opened.
    pub fn check(&self, progress: &mut dyn FnMut(u64)) -> Result<u64, StoreError> {
        let (mut count, mut bytes) = (0, 0u64);
        for pair in self.vault.scan_from(Kind::Attachment, 0) {
            let (place, value) = pair?;
            // One that is erased meanwhile is no longer looked for.
            let Some(entry) = self.decoded(place, &value)? else { continue };
            match self.pour(&entry, std::io::sink(), &mut |done| progress(bytes.saturating_add(done))) {
                Err(_) if self.vault.get_at(Kind::Attachment, place)?.is_none() => continue,
                other => other?,
            }
            bytes = bytes.saturating_add(entry.known.bytes);
            count += 1;
        }
        Ok(count)
    }

    /// Keeps every file where it is until what is returned is dropped.
    pub(super) fn pinned(&self) -> Pinned<'_> {
        self.pins().holders += 1;
        Pinned(self)
    }

    fn keep(&self, record: RecordNumber, mut entry: Entry) -> Result<Option<Attachment>, StoreError> {
        let mut txn = self.vault.begin();
        // Asked while no other writer can erase it.
        if !self.records.has(record) {
            return Ok(None);
        }
        let next = match self.values(record).last().transpose()? {
            Some((place, _)) => number_of(place).saturating_add(1),
            None => 0,
        };
        if next >> NUMBER_BITS > 0 {
            return Err(StoreError::Full { what: "attachments of one record", most: 1 << NUMBER_BITS });
        }
        entry.known.number = next;
        self.put(&mut txn, place_of(record, next), &entry)?;
        txn.commit()?;
        Ok(Some(entry.known))
    }

    fn entry(&self, record: RecordNumber, number: u32) -> Result<Option<(u64, Entry)>, StoreError> {
        if number >> NUMBER_BITS > 0 {
            return Ok(None);
        }
        let place = place_of(record, number);
        let Some(value) = self.vault.get_at(Kind::Attachment, place)? else { return Ok(None) };
        Ok(self.decoded(place, &value)?.map(|entry| (place, entry)))
    }

    fn values(
        &self,
        record: RecordNumber,
    ) -> impl Iterator<Item = Result<(u64, Zeroizing<Vec<u8>>), StoreError>> {
        let first = place_of(record, 0);
        let pairs = self.vault.scan_from(Kind::Attachment, first);
        pairs.take_while(move |pair| pair.as_ref().map_or(true, |(place, _)| record_of(*place) == record))
    }

    fn pins(&self) -> std::sync::MutexGuard<'_, Pins> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, file: &[u8; FILE_ID]) -> PathBuf {
        self.folder.join(hex::encode(file))
    }

    /// Hands on what an attachment's file holds.
    fn pour(&self, entry: &Entry, to: impl Write, progress: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
        let file = File::open(self.path(&entry.file)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::Damaged("the file of an attachment is missing"),
            _ => StoreError::io("reading an attachment")(error),
        })?;
        let sealed = stream::Sealed { bytes: entry.known.bytes, sha256: *entry.known.sha256.as_bytes() };
        stream::open(&entry.key, &bound(&entry.file), file, &sealed, to, progress)
    }

    /// Seals all of `from` in a new file under a new key, so that after a power cut it is there whole, or not at all under
    /// its name.
    fn write(
        &self,
        from: impl Read,
        progress: &mut dyn FnMut(u64),
    ) -> Result<([u8; FILE_ID], SecretKey, stream::Sealed), StoreError> {
        let io = StoreError::io("keeping an attachment");
        if !self.folder.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(&io)?;
            sync_folder(self.vault.home())?;
        }
        let mut name = [0; FILE_ID];
        SysRng.try_fill_bytes(&mut name).map_err(|_| StoreError::Random)?;
        let key = SecretKey::random()?;
        let path = self.path(&name);
        let temporary = path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary).map_err(&io)?;
        let done = stream::seal(&key, &bound(&name), from, MOST_BYTES, &mut file, progress);
        let done = done.and_then(|done| {
            file.sync_all().and_then(|()| fs::rename(&temporary, &path)).map_err(&io)?;
            sync_folder(&self.folder)?;
            Ok(done)
        });
        if done.is_err() {
            let _ = fs::remove_file(&temporary);
            let _ = fs::remove_file(&path);
        }
        Ok((name, key, done?))
    }

    fn unlink(&self, files: &[[u8; FILE_ID]]) -> Result<(), StoreError> {
        let mut pins = self.pins();
        let paths = files.iter().map(|file| self.path(file));
        if pins.holders > 0 {
            pins.waiting.extend(paths);
            return Ok(());
        }
        drop(pins);
        for path in paths {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::io("removing an attachment's file")(error));
                }
                _ => {}
            }
        }
        sync_folder(&self.folder)
    }

    /// Seals a value: form, file; then under the record's key the file's key, and the rest as JSON.
    fn put(&self, txn: &mut Txn<'_>, place: u64, entry: &Entry) -> Result<(), StoreError> {
        let json = serde_json::to_vec(&entry.known).map(Zeroizing::new).map_err(|_| UNREADABLE)?;
        let mut plain = Zeroizing::new(Vec::with_capacity(KEY + json.len()));
        plain.extend_from_slice(entry.key.bytes());
        plain.extend_from_slice(&json);
        let mut value = [&[FORM], entry.file.as_slice()].concat();
        let crypter = self.crypter(record_of(place))?;
        let crypter = crypter.ok_or(StoreError::Damaged("the key of a record is missing"))?;
        crypter.seal_onto(&mut value, &known_at(place, &entry.file), FORM.into(), &plain)?;
        txn.put_at(Kind::Attachment, place, &value)
    }

    /// What a value says; none if its record was erased.
    fn decoded(&self, place: u64, value: &[u8]) -> Result<Option<Entry>, StoreError> {
        let file = file_of(value)?;
        let Some(crypter) = self.crypter(record_of(place))? else { return Ok(None) };
        let sealed = value.get(1 + FILE_ID..).ok_or(UNREADABLE)?;
        let plain = crypter.open_bare(&known_at(place, &file), FORM.into(), sealed, LOCKED)?;
        entry_of(place, file, &plain).map(Some)
    }

    /// What seals the attachments of a record: a key that only its own leads to.
    fn crypter(&self, record: RecordNumber) -> Result<Option<Crypter>, StoreError> {
        Ok(self.records.key(record)?.map(|key| Crypter::new(&key.derive("attachment"))))
    }

    /// Removes files that nothing names.
    fn sweep(&self, named: &HashSet<[u8; FILE_ID]>) -> Result<(), StoreError> {
        let io = StoreError::io("clearing the folder of attachments");
        if !self.folder.is_dir() {
            return Ok(());
        }
        let mut swept = false;
        for entry in fs::read_dir(&self.folder).map_err(&io)? {
            let entry = entry.map_err(&io)?;
            let name = entry.file_name();
            let known = name.to_str().and_then(file_named).is_some_and(|file| named.contains(&file));
            if !known && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                fs::remove_file(entry.path()).map_err(&io)?;
                swept = true;
            }
        }
        if swept { sync_folder(&self.folder) } else { Ok(()) }
    }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(StoreError::io("making a folder durable"))
}

const fn place_of(record: RecordNumber, number: u32) -> u64 {
    record.0 << NUMBER_BITS | number as u64
}

const fn record_of(place: u64) -> RecordNumber {
    RecordNumber(place >> NUMBER_BITS)
}

const fn number_of(place: u64) -> u32 {
    (place & ((1 << NUMBER_BITS) - 1)) as u32
}

/// Most bytes of a file of the folder.
pub(super) const fn most_on_disk() -> u64 {
    stream::sealed_length(MOST_BYTES)
}

/// Whether a file of the folder may have this name.
pub(super) fn names_file(name: &str) -> bool {
    file_named(name).is_some()
}

fn file_named(name: &str) -> Option<[u8; FILE_ID]> {
    let mut file = [0; FILE_ID];
    hex::decode_to_slice(name, &mut file).ok()?;
    // One name a file: hex of small letters.
    (hex::encode(file) == name).then_some(file)
}

/// What each chunk of a file is bound to.
fn bound(file: &[u8; FILE_ID]) -> Vec<u8> {
    [b"hedgerow/attachment/1/".as_slice(), file].concat()
}

fn checked_text(text: &str, most: usize) -> Result<(), StoreError> {
    if text.len() > most { Err(StoreError::TooLarge { bytes: text.len(), most }) } else { Ok(()) }
}

/// What is known of an attachment: its key, then the rest as JSON.
fn entry_of(place: u64, file: [u8; FILE_ID], plain: &[u8]) -> Result<Entry, StoreError> {
    let (key, json) = plain.split_first_chunk::<KEY>().ok_or(UNREADABLE)?;
    let known: Attachment = serde_json::from_slice(json).map_err(|_| UNREADABLE)?;
    if known.number != number_of(place) {
        return Err(UNREADABLE);
    }
    Ok(Entry { file, key: SecretKey::new(*key), known })
}

/// What the sealed part of a value is bound to.
fn known_at(place: u64, file: &[u8; FILE_ID]) -> Vec<u8> {
    [numbered(Kind::Attachment, place).as_slice(), file].concat()
}

fn file_of(value: &[u8]) -> Result<[u8; FILE_ID], StoreError> {
    match value.split_first() {
        Some((&FORM, rest)) => rest.first_chunk().copied().ok_or(UNREADABLE),
        _ => Err(UNREADABLE),
    }
}
