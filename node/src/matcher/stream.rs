//! A file of any length, in bounded memory, gzipped or not.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use memchr::{memchr_iter, memrchr};

use super::{
    Matcher, Sighted,
    text::{Form, HEAD, Wide},
};

/// Bytes looked at at once.
const BLOCK: usize = 1024 * 1024;
/// Of a line that is longer than a block, so much is looked at twice: no value is longer.
const OVERLAP: usize = 8 * 1024;
/// Bytes turned into UTF-8 at once.
const PIECE: usize = 64 * 1024;
/// Most bytes of one file, unpacked.
const MOST: u64 = 1 << 40;
/// What a gzipped file begins with.
pub(super) const PACKED: [u8; 2] = [0x1f, 0x8b];

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

/// Looks for values in a file; `found` hears of them line by line. `told` hears how many bytes of it, as it lies on disk,
/// were read.
pub fn scan(
    matcher: &Matcher,
    path: &Path,
    found: &mut impl FnMut(Sighted),
    told: &mut impl FnMut(u64),
) -> Result<Totals, StreamError> {
    let mut file = File::open(path)?;
    let mut magic = [0; 2];
    let packed = file.read(&mut magic)? == 2 && magic == PACKED;
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
    let mut scanner = Scanner::new(matcher);
    loop {
        let n = match stream.read(scanner.room()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if n == 0 {
            let totals = scanner.end(found);
            told(read(stream));
            return Ok(totals);
        }
        if scanner.took(n, found)? {
            told(read(stream));
        }
    }
}

/// Looks through what it is given, piece by piece.
pub(super) struct Scanner<'m> {
    matcher: &'m Matcher,
    block: Vec<u8>,
    /// Bytes of the block that are filled, and of these what was looked at and is kept as context.
    filled: usize,
    seen: usize,
    totals: Totals,
    /// Of UTF-16: how it is turned, and what of it waits.
    wide: Option<(Wide, Vec<u8>)>,
    begun: bool,
    binary: bool,
}

impl<'m> Scanner<'m> {
    pub(super) fn new(matcher: &'m Matcher) -> Self {
        let (block, totals) = (vec![0; BLOCK], Totals::default());
        Self { matcher, block, filled: 0, seen: 0, totals, wide: None, begun: false, binary: false }
    }

    /// Where the next bytes go.
    pub(super) fn room(&mut self) -> &mut [u8] {
        match &mut self.wide {
            Some((_, piece)) => piece,
            None => self.block.get_mut(self.filled..).unwrap_or_default(),
        }
    }

    /// Looks at what is whole, once `n` bytes are in [`Self::room`]. Says whether it did.
    pub(super) fn took(&mut self, n: usize, found: &mut impl FnMut(Sighted)) -> Result<bool, StreamError> {
        self.totals.bytes += n as u64;
        if self.totals.bytes > MOST {
            return Err(StreamError::TooLong);
        }
        if let Some((wide, piece)) = self.wide.take() {
            let (wide, piece) = self.turn(wide, piece, n, false, found);
            self.wide = Some((wide, piece));
            return Ok(true);
        }
        self.filled += n;
        if !self.begun && self.filled >= HEAD {
            self.begin(found);
        }
        let full = self.wide.is_none() && self.filled == self.block.len();
        if full {
            self.block(false, found);
        }
        Ok(full)
    }

    /// Looks at the rest.
    pub(super) fn end(mut self, found: &mut impl FnMut(Sighted)) -> Totals {
        if !self.begun {
            self.begin(found);
        }
        if let Some((wide, piece)) = self.wide.take() {
            self.turn(wide, piece, 0, true, found);
        }
        self.block(true, found);
        self.totals
    }

    /// Whether it began as bytes that are no text; false before enough of it is here.
    pub(super) const fn is_binary(&self) -> bool {
        self.binary
    }

    /// The same of what is all.
    pub(super) fn was_binary(&self) -> bool {
        self.binary || (!self.begun && matches!(Form::of(self.head()), Form::Binary))
    }

    fn head(&self) -> &[u8] {
        self.block.get(..self.filled).unwrap_or_default()
    }

    /// Sees what kind of text it is.
    fn begin(&mut self, found: &mut impl FnMut(Sighted)) {
        self.begun = true;
        let form = Form::of(self.head());
        self.binary = matches!(form, Form::Binary);
        if let Form::Wide(encoding, mark) = form {
            let mut piece = std::mem::replace(&mut self.block, vec![0; BLOCK]);
            let filled = std::mem::take(&mut self.filled);
            piece.copy_within(mark..filled, 0);
            let (wide, mut piece) = self.turn(Wide::new(encoding), piece, filled - mark, false, found);
            piece.truncate(PIECE);
            self.wide = Some((wide, piece));
        }
    }

    /// Puts the first `n` bytes of `piece` into the block as UTF-8.
    fn turn(
        &mut self,
        mut wide: Wide,
        piece: Vec<u8>,
        n: usize,
        last: bool,
        found: &mut impl FnMut(Sighted),
    ) -> (Wide, Vec<u8>) {
        let mut from = piece.get(..n).unwrap_or_default();
        loop {
            let room = self.block.get_mut(self.filled..).unwrap_or_default();
            if room.len() < 16 {
                self.block(false, found);
                continue;
            }
            let (read, written) = wide.turn(from, room, last);
            self.filled += written;
            from = from.get(read..).unwrap_or_default();
            if from.is_empty() && self.filled + 16 <= self.block.len() {
                return (wide, piece);
            }
        }
    }

    /// Looks at what is in the block.
    fn block(&mut self, last: bool, found: &mut impl FnMut(Sighted)) {
        let (filled, seen) = (self.filled, self.seen);
        let text = self.block.get(..filled).unwrap_or_default();
        // Whole lines; or all but the end, if the line is longer than the block; or all, at the end of the file.
        let whole = memrchr(b'\n', text.get(seen..).unwrap_or_default()).map(|at| seen + at + 1);
        let (upto, keep) = match whole {
            _ if last => (filled, filled),
            Some(end) => (end, end),
            None => (filled.saturating_sub(OVERLAP).max(seen), filled.saturating_sub(2 * OVERLAP)),
        };
        self.matcher.look_within(
            text.get(..if whole.is_some() && !last { upto } else { filled }).unwrap_or_default(),
            seen..upto,
            self.totals.lines + 1,
            found,
        );
        self.totals.lines += memchr_iter(b'\n', text.get(seen..upto).unwrap_or_default()).count() as u64;
        if last {
            // A last line without an end is a line.
            self.totals.lines += u64::from(text.last().is_some_and(|byte| *byte != b'\n'));
        }
        self.block.copy_within(keep..filled, 0);
        (self.filled, self.seen) = (filled - keep, upto - keep);
    }
}
