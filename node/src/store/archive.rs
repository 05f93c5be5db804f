//! A whole vault as one stream, and back (docs/storage.md, "Backups").
//!
//! The stream is a tar archive, so that what it holds can be seen with any tar. It is not encrypted by itself: what a
//! vault seals is sealed in it too, and names and lengths show. Values and small files are of one moment; long files
//! that are only ever added to, and those of attachments, which never change, follow once writers may go on.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use hedgerow_protocol::{id::Digest, time::Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    attachments::{self, Attachments},
    engine::{Engine, VALUE_BYTES, Writes},
    error::StoreError,
    home::{self, ATTACHMENTS, Form, STORE},
    keyring::Unlock,
    records::KEYS_BYTES,
    vault::{self, Vault},
};

/// Most bytes of a small file, written and read: the largest that the vault reads of its own.
const SMALL_BYTES: u64 = KEYS_BYTES;
/// Values of one part, in bytes, before the one that goes over it.
const PART_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes that are read as one part.
const MOST_PART_BYTES: u64 = (PART_BYTES + VALUE_BYTES + 4096) as u64;

const ABOUT: &str = "hedgerow-backup";
const MANIFEST: &str = "manifest";
/// Most bytes of the list, written and read.
const MANIFEST_BYTES: u64 = 256 * 1024 * 1024;
/// More than one file takes in it.
const LISTED_BYTES: usize = 256;
const FORMAT: u16 = 1;

/// The first entry: how to read the rest.
#[derive(Serialize, Deserialize)]
struct About {
    format: u16,
}

/// The last entry, sealed under a key of the vault: what all of it comes to.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    made_at: Timestamp,
    commits: u64,
    contents: Contents,
}

/// What an archive holds, as counted while it was written or read.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    values: u64,
    values_sha256: Option<Digest>,
    files: BTreeMap<String, Listed>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    bytes: u64,
    sha256: Digest,
}

/// What a backup holds, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archived {
    /// The moment that it shows.
    pub made_at: Timestamp,
    /// The vault's commits until then.
    pub commits: u64,
    /// Values of the store.
    pub values: u64,
    /// Files beside it.
    pub files: usize,
    /// Of them attachments.
    pub attachments: usize,
}

impl Archived {
    fn of(manifest: &Manifest) -> Self {
        let files = &manifest.contents.files;
        Self {
            made_at: manifest.made_at,
            commits: manifest.commits,
            values: manifest.contents.values,
            files: files.len(),
            attachments: files.keys().filter(|name| name.starts_with(ATTACHMENTS)).count(),
        }
    }
}

/// Writes all of an open vault to `to`. Writers wait while values are read, and no longer. `progress` hears of bytes.
pub fn write(
    vault: &Vault,
    attachments: &Attachments,
    made_at: Timestamp,
    to: impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<Archived, StoreError> {
    let mut out =
        Out { tar: tar::Builder::new(to), made_at, contents: Contents::default(), done: 0, progress };
    let about = serde_json::to_vec(&About { format: FORMAT }).unwrap_or_default();
    out.append(ABOUT, about.len() as u64, &about[..])?;
    // From before the moment until all is written, no attachment goes away.
    let pinned = attachments.pinned();
    let still = vault.still()?;
    for name in home::names(Form::Small) {
        if let Some((file, bytes)) = opened(&vault.home().join(name))? {
            if bytes > SMALL_BYTES {
                return Err(StoreError::Full {
                    what: "bytes in a file of the vault",
                    most: SMALL_BYTES as usize,
                });
            }
            out.listed(name, bytes, file)?;
        }
    }
    out.values(still.pairs())?;
    let commits = still.commits();
    let mut growing = Vec::new();
    for name in home::names(Form::Growing) {
        growing.extend(opened(&vault.home().join(name))?.map(|(file, bytes)| (name, file, bytes)));
    }
    let kept = pinned.files()?;
    // Before all of them are written into what could not be restored.
    let most = MANIFEST_BYTES as usize / LISTED_BYTES;
    if kept.len() > most {
        return Err(StoreError::Full { what: "attachments", most });
    }
    drop(still);
    for (name, file, bytes) in growing {
        out.listed(name, bytes, file)?;
    }
    for (name, path) in kept {
        if let Some((file, bytes)) = opened(&path)? {
            out.listed(&format!("{}/{name}", ATTACHMENTS), bytes, file)?;
        }
    }
    let manifest = Manifest { made_at, commits, contents: std::mem::take(&mut out.contents) };
    let json = serde_json::to_vec(&manifest).map_err(|_| StoreError::Archive("its list has no JSON form"))?;
    let sealed = vault.backup_seal().seal(MANIFEST.as_bytes(), 1, &json)?;
    out.append(MANIFEST, sealed.len() as u64, &sealed[..])?;
    out.tar.into_inner().and_then(|mut to| to.flush()).map_err(StoreError::io("writing a backup"))?;
    Ok(Archived::of(&manifest))
}

/// An archive in the making.
struct Out<'p, W: Write> {
    tar: tar::Builder<W>,
    made_at: Timestamp,
    contents: Contents,
    done: u64,
    progress: &'p mut dyn FnMut(u64),
}

impl<W: Write> Out<'_, W> {
    fn append(&mut self, name: &str, bytes: u64, from: impl Read) -> Result<Digest, StoreError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(self.made_at.unix_seconds()).unwrap_or(0));
        let mut hashed = Hashed { from: from.take(bytes), hash: Sha256::new(), bytes: 0 };
        let io = StoreError::io("writing a backup");
        self.tar.append_data(&mut header, name, &mut hashed).map_err(io)?;
        if hashed.bytes != bytes {
            return Err(StoreError::Damaged("a file became shorter while it was copied"));
        }
        self.done = self.done.saturating_add(bytes);
        (self.progress)(self.done);
        Ok(Digest::from_bytes(hashed.hash.finalize().into()))
    }

    fn listed(&mut self, name: &str, bytes: u64, from: impl Read) -> Result<(), StoreError> {
        let sha256 = self.append(&format!("files/{name}"), bytes, from)?;
        self.contents.files.insert(name.to_owned(), Listed { bytes, sha256 });
        Ok(())
    }

    fn values(
        &mut self,
        pairs: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>>,
    ) -> Result<(), StoreError> {
        let (mut part, mut number, mut hash) = (Vec::new(), 0u32, Sha256::new());
        for pair in pairs {
            let (place, value) = pair?;
            framed(&mut part, &place, &value);
            self.contents.values += 1;
            if part.len() >= PART_BYTES {
                self.part(&mut part, &mut number, &mut hash)?;
            }
        }
        self.part(&mut part, &mut number, &mut hash)?;
        self.contents.values_sha256 = Some(Digest::from_bytes(hash.finalize().into()));
        Ok(())
    }

    fn part(&mut self, part: &mut Vec<u8>, number: &mut u32, hash: &mut Sha256) -> Result<(), StoreError> {
        hash.update(&part[..]);
        self.append(&part_name(*number), part.len() as u64, &part[..])?;
        part.clear();
        *number += 1;
        Ok(())
    }
}

/// A vault that was unpacked, and still has to prove itself.
#[must_use = "an archive is trusted once it is proven"]
pub struct Unpacked {
    contents: Contents,
    manifest: Vec<u8>,
}

/// Unpacks an archive into the empty folder `into`; durable when it returns. What was written is read again and compared.
/// `progress` hears of bytes.
pub fn unpack(from: impl Read, into: &Path, progress: &mut dyn FnMut(u64)) -> Result<Unpacked, StoreError> {
    let store = into.join(STORE);
    let make = |folder: &Path| {
        DirBuilder::new().mode(0o700).create(folder).map_err(StoreError::io("making a folder"))
    };
    make(&store)?;
    let mut reading = In { engine: Engine::open(&store)?, into, contents: Contents::default(), parts: 0 };
    let mut hash = Sha256::new();
    let mut archive = tar::Archive::new(from);
    let (mut manifest, mut done, mut first) = (None, 0u64, true);
    let cut = |_| StoreError::Archive("it does not read to its end");
    // Raw: no entry that changes what the next one means.
    for entry in archive.entries().map_err(cut)?.raw(true) {
        let mut entry = entry.map_err(cut)?;
        let bytes = entry.size();
        let name = String::from_utf8(entry.path_bytes().into_owned())
            .map_err(|_| StoreError::Archive("a name in it is no text"))?;
        if !entry.header().entry_type().is_file() || manifest.is_some() || (name == ABOUT) != first {
            return Err(StoreError::Archive("it is not laid out as a backup is"));
        }
        first = false;
        match name.as_str() {
            ABOUT => {
                let about: About = serde_json::from_slice(&whole(&mut entry, bytes, 4096)?)
                    .map_err(|_| StoreError::Archive("it does not say what it is"))?;
                if about.format != FORMAT {
                    return Err(StoreError::Newer { found: about.format, known: FORMAT });
                }
            }
            MANIFEST => manifest = Some(whole(&mut entry, bytes, MANIFEST_BYTES)?),
            _ if name == part_name(reading.parts) => {
                let part = whole(&mut entry, bytes, MOST_PART_BYTES)?;
                hash.update(&part);
                reading.part(&part)?;
            }
            _ => match name.strip_prefix("files/") {
                Some(name) => reading.file(name, bytes, &mut entry)?,
                None => return Err(StoreError::Archive("there is a file in it that no backup holds")),
            },
        }
        done = done.saturating_add(bytes);
        progress(done);
    }
    // To the end of what holds the archive, where whatever cut it short shows.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(cut)?;
    let manifest = manifest.ok_or(StoreError::Archive("its end is missing"))?;
    reading.contents.values_sha256 = Some(Digest::from_bytes(hash.finalize().into()));
    let contents = reading.compared()?;
    for folder in [into.join(ATTACHMENTS), into.to_owned()] {
        if folder.is_dir() {
            File::open(folder)
                .and_then(|f| f.sync_all())
                .map_err(StoreError::io("making a folder durable"))?;
        }
    }
    Ok(Unpacked { contents, manifest })
}

impl Unpacked {
    /// Opens the vault that was unpacked into `home`, whatever its format, and proves it ([`Unpacked::prove`]). Says, too,
    /// whether its format is an older one.
    pub fn prove_in(&self, home: &Path, unlock: &Unlock<'_>) -> Result<(Archived, bool), StoreError> {
        let (vault, format) = Vault::open_as_found(home, unlock)?;
        Ok((self.prove(&vault)?, format < vault::FORMAT))
    }

    /// Compares what was unpacked with what the backup's manifest, sealed by this vault, says was in it.
    pub fn prove(&self, vault: &Vault) -> Result<Archived, StoreError> {
        const OTHER: StoreError = StoreError::Archive("what it holds is not what was put into it");
        let json = vault.backup_seal().open(MANIFEST.as_bytes(), &self.manifest, "").map_err(|_| OTHER)?;
        let manifest: Manifest = serde_json::from_slice(&json).map_err(|_| OTHER)?;
        // How many commits there were is among the values; opening the vault may have added some.
        if manifest.contents != self.contents {
            return Err(OTHER);
        }
        Ok(Archived::of(&manifest))
    }
}

/// A vault while it is unpacked.
struct In<'a> {
    engine: Engine,
    into: &'a Path,
    contents: Contents,
    parts: u32,
}

impl In<'_> {
    /// Puts the values of one part into the store, in one commit.
    fn part(&mut self, part: &[u8]) -> Result<(), StoreError> {
        const TORN: StoreError = StoreError::Archive("a value in it is torn");
        let mut writes = Writes::default();
        let mut rest = part;
        while !rest.is_empty() {
            let place = unframed(&mut rest).ok_or(TORN)?;
            let value = unframed(&mut rest).ok_or(TORN)?;
            writes.put(place, value.to_vec());
            self.contents.values += 1;
        }
        self.parts += 1;
        self.engine.commit(writes)
    }

    fn file(&mut self, name: &str, bytes: u64, from: &mut impl Read) -> Result<(), StoreError> {
        let attached = name.strip_prefix(ATTACHMENTS).and_then(|rest| rest.strip_prefix('/'));
        let most = if home::names(Form::Small).any(|small| small == name) {
            SMALL_BYTES
        } else if home::names(Form::Growing).any(|growing| growing == name) {
            u64::MAX
        } else if attached.is_some_and(attachments::names_file) {
            attachments::most_on_disk()
        } else {
            return Err(StoreError::Archive("there is a file in it that no backup holds"));
        };
        if bytes > most {
            return Err(StoreError::Archive("a file in it is too long"));
        }
        let io = StoreError::io("writing a restored file");
        if attached.is_some() {
            let folder = self.into.join(ATTACHMENTS);
            if !folder.is_dir() {
                DirBuilder::new().mode(0o700).create(folder).map_err(&io)?;
            }
        }
        // New: a name that comes twice is an error.
        let path = self.into.join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(&io)?;
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0u64, vec![0; 64 * 1024]);
        loop {
            let read =
                from.read(&mut buffer).map_err(|_| StoreError::Archive("it does not read to its end"))?;
            let part = buffer.get(..read).unwrap_or_default();
            if part.is_empty() {
                break;
            }
            hash.update(part);
            bytes = bytes.saturating_add(read as u64);
            file.write_all(part).map_err(&io)?;
        }
        file.sync_all().map_err(&io)?;
        let sha256 = Digest::from_bytes(hash.finalize().into());
        self.contents.files.insert(name.to_owned(), Listed { bytes, sha256 });
        Ok(())
    }

    /// Reads back what the store now holds, and closes it.
    fn compared(self) -> Result<Contents, StoreError> {
        let (mut values, mut hash, mut frame) = (0u64, Sha256::new(), Vec::new());
        for pair in self.engine.scan(&[], &[]) {
            let (place, value) = pair?;
            frame.clear();
            framed(&mut frame, &place, &value);
            hash.update(&frame);
            values += 1;
        }
        let sha256 = Digest::from_bytes(hash.finalize().into());
        if values != self.contents.values || Some(sha256) != self.contents.values_sha256 {
            return Err(StoreError::Archive("what was written is not what is read again"));
        }
        Ok(self.contents)
    }
}

fn part_name(number: u32) -> String {
    format!("store/{number:08}")
}

/// A place and its value, each after its length.
fn framed(to: &mut Vec<u8>, place: &[u8], value: &[u8]) {
    for part in [place, value] {
        to.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        to.extend_from_slice(part);
    }
}

fn unframed<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (part, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(part)
}

fn whole(entry: &mut impl Read, bytes: u64, most: u64) -> Result<Vec<u8>, StoreError> {
    if bytes > most {
        return Err(StoreError::Archive("a part of it is too long"));
    }
    let mut all = Vec::new();
    entry.read_to_end(&mut all).map_err(|_| StoreError::Archive("it does not read to its end"))?;
    Ok(all)
}

/// A file and its length; none if there is no such file.
fn opened(path: &Path) -> Result<Option<(File, u64)>, StoreError> {
    let io = StoreError::io("reading the vault");
    match File::open(path) {
        Ok(file) => {
            let bytes = file.metadata().map_err(&io)?.len();
            Ok(Some((file, bytes)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(error)),
    }
}

struct Hashed<R> {
    from: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(read as u64);
        Ok(read)
    }
}
