//! One attachment's file: STREAM over XChaCha20-Poly1305 in chunks (docs/storage.md, "Attachments").
//!
//! STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015, ePrint 2015/189) binds each chunk to its number and to whether
//! it is the last one, so chunks that are moved, dropped, repeated or cut off do not open. Two chunks are in memory
//! at a time, however long the file is.

use std::io::{Read, Write};

use aead_stream::{DecryptorBE32, EncryptorBE32};
use chacha20poly1305::{Key, XChaCha20Poly1305};
use rand::{TryRng as _, rngs::SysRng};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::super::{crypter::SecretKey, error::StoreError, padme::padme};

/// First byte of every file: how it is sealed.
const FORMAT: u8 = 1;
/// Of XChaCha20's 24 bytes of nonce STREAM takes five: a counter and the mark of the last chunk.
const PREFIX: usize = 24 - 5;
const HEADER: usize = 1 + PREFIX;
const TAG: usize = 16;
/// Plaintext in a chunk.
const CHUNK: usize = 256 * 1024;
/// What is shorter is padded to this before Padmé is asked.
const LEAST: u64 = 4096;

/// What was sealed.
pub(super) struct Sealed {
    /// Bytes, without padding.
    pub(super) bytes: u64,
    /// SHA-256 (FIPS 180-4) of them.
    pub(super) sha256: [u8; 32],
}

/// Seals all that `from` yields, at most `most` bytes, padded. `progress` hears how many bytes were read.
pub(super) fn seal(
    key: &SecretKey,
    bound: &[u8],
    from: impl Read,
    most: u64,
    mut to: impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<Sealed, StoreError> {
    let mut header = [FORMAT; HEADER];
    let (_, prefix) = header.split_at_mut(1);
    SysRng.try_fill_bytes(prefix).map_err(|_| StoreError::Random)?;
    let nonce = header.last_chunk::<PREFIX>().copied().unwrap_or_default();
    let io = StoreError::io("writing an attachment");
    to.write_all(&header).map_err(&io)?;
    let mut source = Padded { from, most, bytes: 0, hash: Sha256::new(), left: None, progress };
    let mut stream = Some(EncryptorBE32::<XChaCha20Poly1305>::new(&Key::from(*key.bytes()), &nonce.into()));
    pieces(&mut source, CHUNK, |chunk, last| {
        let done = match (last, &mut stream) {
            (false, Some(stream)) => stream.encrypt_next_in_place(bound, chunk),
            (true, stream) => match stream.take() {
                Some(stream) => stream.encrypt_last_in_place(bound, chunk),
                None => return Err(StoreError::Damaged("an attachment could not be sealed")),
            },
            (false, None) => return Err(StoreError::Damaged("an attachment could not be sealed")),
        };
        done.map_err(|_| StoreError::Damaged("an attachment could not be sealed"))?;
        to.write_all(chunk).map_err(&io)
    })?;
    Ok(Sealed { bytes: source.bytes, sha256: source.hash.finalize().into() })
}

/// Opens what [`seal`] wrote and hands on the first `sealed.bytes` bytes of it; an error if anything of it differs from
/// what was sealed. What was handed on before an error is authentic as far as it goes, and not all.
pub(super) fn open(
    key: &SecretKey,
    bound: &[u8],
    mut from: impl Read,
    sealed: &Sealed,
    mut to: impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    const DAMAGED: StoreError = StoreError::Damaged("an attachment does not open");
    let mut header = [0; HEADER];
    from.read_exact(&mut header).map_err(|_| DAMAGED)?;
    let nonce = match (header.first(), header.last_chunk::<PREFIX>()) {
        (Some(&FORMAT), Some(nonce)) => *nonce,
        _ => return Err(DAMAGED),
    };
    let mut stream = Some(DecryptorBE32::<XChaCha20Poly1305>::new(&Key::from(*key.bytes()), &nonce.into()));
    let (mut hash, mut left, mut stored) = (Sha256::new(), sealed.bytes, 0u64);
    let out = StoreError::io("writing out an attachment");
    pieces(&mut from, CHUNK + TAG, |chunk, last| {
        let done = match (last, &mut stream) {
            (false, Some(stream)) => stream.decrypt_next_in_place(bound, chunk),
            (true, stream) => match stream.take() {
                Some(stream) => stream.decrypt_last_in_place(bound, chunk),
                None => return Err(DAMAGED),
            },
            (false, None) => return Err(DAMAGED),
        };
        done.map_err(|_| DAMAGED)?;
        stored = stored.saturating_add(chunk.len() as u64);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        let plain = chunk.get(..wanted).unwrap_or_default();
        left = left.saturating_sub(wanted as u64);
        hash.update(plain);
        to.write_all(plain).map_err(&out)?;
        progress(sealed.bytes.saturating_sub(left));
        Ok(())
    })?;
    if left != 0 || stored != padded(sealed.bytes) || <[u8; 32]>::from(hash.finalize()) != sealed.sha256 {
        return Err(StoreError::Damaged("an attachment is not what its hash says"));
    }
    Ok(())
}

const fn padded(bytes: u64) -> u64 {
    padme(if bytes > LEAST { bytes } else { LEAST })
}

/// How long the file of so many bytes is.
pub(super) const fn sealed_length(bytes: u64) -> u64 {
    let stored = padded(bytes);
    HEADER as u64 + stored + stored.div_ceil(CHUNK as u64) * TAG as u64
}

/// Hands `from` on in pieces of `size` bytes, the last one shorter, and says of each whether it is the last.
fn pieces(
    mut from: impl Read,
    size: usize,
    mut take: impl FnMut(&mut Vec<u8>, bool) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    // With room for a tag, so that no plaintext is left behind where a buffer grew.
    let buffer = || Zeroizing::new(Vec::with_capacity(size + TAG));
    let (mut this, mut next) = (buffer(), buffer());
    let mut fill = |buffer: &mut Vec<u8>| {
        buffer.clear();
        match from.by_ref().take(size as u64).read_to_end(buffer) {
            Ok(read) => Ok(read),
            Err(source) => match source.downcast::<StoreError>() {
                Ok(own) => Err(own),
                Err(source) => Err(StoreError::Io { what: "reading an attachment", source }),
            },
        }
    };
    fill(&mut this)?;
    while fill(&mut next)? > 0 {
        take(&mut this, false)?;
        std::mem::swap(&mut this, &mut next);
    }
    take(&mut this, true)
}

/// A source that is counted and hashed, then padded with zeros.
struct Padded<'p, R> {
    from: R,
    most: u64,
    bytes: u64,
    hash: Sha256,
    /// Zeros still to come, once the source has ended.
    left: Option<u64>,
    progress: &'p mut dyn FnMut(u64),
}

impl<R: Read> Read for Padded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(left) = &mut self.left {
            let zeros = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
            buffer.iter_mut().take(zeros).for_each(|byte| *byte = 0);
            *left -= zeros as u64;
            return Ok(zeros);
        }
        let read = self.from.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            self.left = Some(padded(self.bytes).saturating_sub(self.bytes));
            return self.read(buffer);
        }
        self.hash.update(buffer.get(..read).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(read as u64);
        if self.bytes > self.most {
            return Err(std::io::Error::other(StoreError::LongFile { most: self.most }));
        }
        (self.progress)(self.bytes);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 1 << 30;

    fn sealed(plain: &[u8]) -> (SecretKey, Vec<u8>, Sealed) {
        let key = SecretKey::new([5; 32]);
        let mut file = Vec::new();
        let sealed = seal(&key, b"bound", plain, MOST, &mut file, &mut |_| {}).unwrap();
        (key, file, sealed)
    }

    fn opened(key: &SecretKey, file: &[u8], sealed: &Sealed) -> Result<Vec<u8>, StoreError> {
        let mut plain = Vec::new();
        open(key, b"bound", file, sealed, &mut plain, &mut |_| {}).map(|()| plain)
    }

    #[test]
    fn a_file_of_any_length_comes_back_as_it_was_and_shows_a_padded_length() {
        for length in [0, 1, 4095, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 5 * CHUNK + 77] {
            let plain: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let (key, file, sealed) = sealed(&plain);
            assert_eq!(opened(&key, &file, &sealed).unwrap(), plain, "{length}");
            assert_eq!(sealed.sha256, <[u8; 32]>::from(Sha256::digest(&plain)));
            assert_eq!(file.len() as u64, sealed_length(length as u64), "{length}");
            assert!(length < 5000 || file.len() - length < length / 8 + 100, "{length}");
        }
    }

    #[test]
    fn chunks_cut_off_moved_repeated_or_dropped_and_any_flipped_byte_are_found() {
        let plain = vec![7; 4 * CHUNK];
        let (key, file, sealed) = sealed(&plain);
        let chunk = |n: usize| &file[HEADER + n * (CHUNK + TAG)..][..CHUNK + TAG];
        let head = &file[..HEADER];
        for (what, bad) in [
            ("cut at a chunk", [head, chunk(0), chunk(1), chunk(2)].concat()),
            ("cut within one", file[..file.len() - 1].to_vec()),
            ("moved", [head, chunk(1), chunk(0), chunk(2), chunk(3)].concat()),
            ("repeated", [head, chunk(0), chunk(0), chunk(1), chunk(2), chunk(3)].concat()),
            ("dropped", [head, chunk(0), chunk(2), chunk(3)].concat()),
            ("more", [&file[..], b"x"].concat()),
            ("nothing", vec![]),
        ] {
            assert!(opened(&key, &bad, &sealed).is_err(), "{what}");
        }
        for at in (0..file.len()).step_by(80_021) {
            let mut flipped = file.clone();
            flipped[at] ^= 1;
            assert!(opened(&key, &flipped, &sealed).is_err(), "byte {at}");
        }
        let other = Sealed { sha256: [0; 32], ..sealed };
        assert!(opened(&key, &file, &other).is_err(), "another hash");
        let bound_elsewhere = open(&key, b"other", &file[..], &sealed, std::io::sink(), &mut |_| {});
        assert!(bound_elsewhere.is_err());
    }

    #[test]
    fn a_file_without_end_is_refused_at_the_bound() {
        let key = SecretKey::new([5; 32]);
        let mut written = 0u64;
        let sealed = seal(&key, b"", std::io::repeat(1), 1 << 20, std::io::sink(), &mut |n| written = n);
        assert!(matches!(sealed, Err(StoreError::LongFile { most: 0x10_0000 })));
        assert!(written <= 1 << 20);
    }
}
