//! The file `records`: bodies and words of records, one after the other, only ever added to (docs/storage.md).
//!
//! It holds no structure of its own: where what lies is said by the sealed entries in the store. What is added becomes
//! durable before the commit that speaks of it; what a commit that never came left behind is cut off at opening. sled
//! rewrites what it holds some five times over; this file is written once.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use super::super::{durable, error::StoreError, home::RECORDS};

/// Where the bytes of a record or of words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// First byte in the file; from [`Span::INLINE`] on, among what the store holds of the piece.
    pub(super) at: u64,
    /// How many.
    pub(super) length: u32,
    /// The commit that wrote them; bound into the seal.
    pub(super) version: u64,
}

impl Span {
    /// From here on a place is not in the file but in a value of the store: that of what came alone, until its page is
    /// packed.
    pub(super) const INLINE: u64 = 1 << 63;
    /// Nowhere: there is no such record.
    pub(super) const NOWHERE: Self = Self { at: 0, length: 0, version: 0 };

    /// Bytes of an encoded one.
    pub(super) const BYTES: usize = 20;

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let parts = self.at.to_le_bytes().into_iter().chain(self.length.to_le_bytes());
        let parts = parts.chain(self.version.to_le_bytes());
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        bytes
    }

    pub(super) fn decode(bytes: [u8; Self::BYTES]) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, version @ ..] = bytes;
        Self {
            at: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            version: u64::from_le_bytes(version),
        }
    }

    /// Whether it is in the file, and not in a value of the store or nowhere.
    pub(super) const fn is_in_file(&self) -> bool {
        !self.is_inline() && self.length > 0
    }

    /// Whether it is a value of the store.
    pub(super) const fn is_inline(self) -> bool {
        self.at >= Self::INLINE
    }
}

/// The open file.
pub(super) struct Log(File);

impl Log {
    /// Opens the file, making it if `create`, and sees that it is `length` bytes long at least. What is beyond was
    /// never acknowledged.
    pub(super) fn open(home: &Path, create: bool, length: u64) -> Result<Self, StoreError> {
        let io = StoreError::io("opening the file of records");
        let path = home.join(RECORDS);
        let mut options = OpenOptions::new();
        let file = match options.read(true).write(true).create(create).truncate(false).mode(0o600).open(&path)
        {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Damaged("the file of its records is missing"));
            }
            other => other.map_err(&io)?,
        };
        if create {
            file.sync_all().and_then(|()| durable::sync_folder(&path)).map_err(&io)?;
        }
        let held = file.metadata().map_err(&io)?.len();
        if held < length {
            return Err(StoreError::Damaged("the file of its records was cut short"));
        }
        if held > length {
            file.set_len(length).map_err(&io)?;
        }
        Ok(Self(file))
    }

    pub(super) fn read(&self, span: Span) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; span.length as usize];
        match self.0.read_exact_at(&mut bytes, span.at) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(StoreError::Damaged("the file of its records was cut short"))
            }
            other => other.map(|()| bytes).map_err(StoreError::io("reading a record")),
        }
    }

    /// Writes at `at`, durably. Nobody speaks of what lies there until the commit that follows.
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let io = StoreError::io("writing records");
        self.0.write_all_at(bytes, at).and_then(|()| self.0.sync_data()).map_err(io)
    }
}
