//! What is poured out rather than read, such as evidence from the vault: looked at as it comes, and never written.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use super::{
    Matcher, Sighted,
    stream::{PACKED, Scanner, StreamError, Totals},
};

/// Takes the bytes of one file, gzipped or not, and looks for values in them if they are text. Bytes that are none are
/// refused early: [`Self::is_binary`] says so then.
pub struct Pour<'m, F: FnMut(Sighted)>(State<'m, F>);

enum State<'m, F: FnMut(Sighted)> {
    Plain(Plain<'m, F>),
    Packed(Box<MultiGzDecoder<Plain<'m, F>>>),
    /// While one becomes the other.
    Between,
}

struct Plain<'m, F> {
    scanner: Scanner<'m>,
    found: F,
    begun: bool,
}

impl<'m, F: FnMut(Sighted)> Pour<'m, F> {
    /// Gives `found` what `matcher` finds, line by line.
    pub fn new(matcher: &'m Matcher, found: F) -> Self {
        Self(State::Plain(Plain { scanner: Scanner::new(matcher), found, begun: false }))
    }

    /// Whether what came is no text, if it was all, or was refused.
    pub fn is_binary(&self) -> bool {
        match &self.0 {
            State::Plain(plain) => plain.scanner.was_binary(),
            State::Packed(packed) => packed.get_ref().scanner.was_binary(),
            State::Between => false,
        }
    }

    /// Looks at the rest.
    pub fn end(self) -> Result<Totals, StreamError> {
        let mut plain = match self.0 {
            State::Plain(plain) => plain,
            State::Packed(packed) => packed.finish()?,
            State::Between => return Ok(Totals::default()),
        };
        Ok(plain.scanner.end(&mut plain.found))
    }
}

impl<F: FnMut(Sighted)> Write for Pour<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::mem::replace(&mut self.0, State::Between) {
            State::Plain(plain) if !plain.begun && bytes.starts_with(&PACKED) => {
                let plain = Plain { begun: true, ..plain };
                self.0 = State::Packed(Box::new(MultiGzDecoder::new(plain)));
            }
            other => self.0 = other,
        }
        match &mut self.0 {
            State::Plain(plain) => plain.write(bytes),
            State::Packed(packed) => packed.write(bytes),
            State::Between => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: FnMut(Sighted)> Write for Plain<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun = true;
        if self.scanner.is_binary() {
            return Err(io::Error::other("it is no text"));
        }
        let room = self.scanner.room();
        let n = room.len().min(bytes.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..n), bytes.get(..n)) {
            room.copy_from_slice(bytes);
        }
        self.scanner.took(n, &mut self.found).map_err(io::Error::other)?;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
