//! A file of any length, in bounded memory, gzipped or not.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use memchr::{memchr_iter, memrchr};

use super::{Matcher, Sighted};

/// Bytes looked at at once.
const BLOCK: usize = 1024 * 1024;
/// Of a line that is longer than a block, so much is looked at twice: no value is longer.
const OVERLAP: usize = 8 * 1024;
/// Most bytes of one file, unpacked.
const MOST: u64 = 1 << 40;

/// Why a file was not looked at, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It does not read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It has no end.
    #[error("it is longer than {MOST} bytes")]
    TooLong,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes, unpacked.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
}

/// Looks for values in a file. `told` hears how many bytes of it, as it lies on disk, were read.
pub fn scan(
    matcher: &Matcher,
    path: &Path,
    found: &mut impl FnMut(Sighted),
    told: &mut impl FnMut(u64),
) -> Result<Totals, StreamError> {
    let mut file = File::open(path)?;
    let mut magic = [0; 2];
    let packed = file.read(&mut magic)? == 2 && magic == [0x1f, 0x8b];
    file.seek(SeekFrom::Start(0))?;
    let counted = Counted { file, read: 0 };
    if packed {
        let mut stream = MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, counted));
        through(matcher, &mut stream, |s| s.get_ref().get_ref().read, found, told)
    } else {
        through(matcher, &mut { counted }, |s| s.read, found, told)
    }
}

struct Counted {
    file: File,
    read: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read += n as u64;
        Ok(n)
    }
}

fn through<R: Read>(
    matcher: &Matcher,
    stream: &mut R,
    read: impl Fn(&R) -> u64,
    found: &mut impl FnMut(Sighted),
    told: &mut impl FnMut(u64),
) -> Result<Totals, StreamError> {
    let mut block = vec![0; BLOCK];
    // Bytes of the block that are filled, and of these what was looked at and is kept as context.
    let (mut filled, mut seen) = (0, 0);
    let mut totals = Totals { bytes: 0, lines: 0 };
    loop {
        let room = block.get_mut(filled..).unwrap_or_default();
        let n = match stream.read(room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        filled += n;
        totals.bytes += n as u64;
        if totals.bytes > MOST {
            return Err(StreamError::TooLong);
        }
        if n > 0 && filled < block.len() {
            continue;
        }
        let text = block.get(..filled).unwrap_or_default();
        // Whole lines; or all but the end, if the line is longer than the block; or all, at the end of the file.
        let whole = memrchr(b'\n', text.get(seen..).unwrap_or_default()).map(|at| seen + at + 1);
        let (upto, keep) = match whole {
            _ if n == 0 => (filled, filled),
            Some(end) => (end, end),
            None => (filled.saturating_sub(OVERLAP).max(seen), filled.saturating_sub(2 * OVERLAP)),
        };
        matcher.look_within(
            text.get(..if whole.is_some() && n > 0 { upto } else { filled }).unwrap_or_default(),
            seen..upto,
            totals.lines + 1,
            found,
        );
        totals.lines += memchr_iter(b'\n', text.get(seen..upto).unwrap_or_default()).count() as u64;
        told(read(stream));
        if n == 0 {
            // A last line without an end is a line.
            totals.lines += u64::from(totals.bytes > 0 && text.last().is_some_and(|last| *last != b'\n'));
            return Ok(totals);
        }
        block.copy_within(keep..filled, 0);
        (filled, seen) = (filled - keep, upto - keep);
    }
}
