//! What bytes are as text: UTF-16, as Windows writes it, is made UTF-8 on the way; anything else is looked at as it is.

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_16BE, UTF_16LE};
use memchr::{memchr, memchr_iter};

/// Bytes by whose look a file is taken for text.
pub(super) const HEAD: usize = 4096;
/// Fewest bytes without a NUL in UTF-16 that are taken for text of another program, added in its own encoding.
const OTHER: usize = 16;

/// What a file begins as.
pub(super) enum Form {
    /// UTF-8, or anything of single bytes.
    Plain,
    /// UTF-16, and of how many bytes its mark is.
    Wide(&'static Encoding, usize),
    /// Bytes with NULs that are no text.
    Binary,
}

impl Form {
    /// Says by a byte order mark, or by where the NULs are.
    pub(super) fn of(head: &[u8]) -> Self {
        let head = head.get(..HEAD).unwrap_or(head);
        match head {
            // The mark of UTF-32 begins like that of UTF-16.
            [0xff, 0xfe, 0, 0, ..] => Self::Binary,
            [0xff, 0xfe, ..] => Self::Wide(UTF_16LE, 2),
            [0xfe, 0xff, ..] => Self::Wide(UTF_16BE, 2),
            _ if memchr(0, head).is_none() => Self::Plain,
            _ if reads(head, u16::from_le_bytes) => Self::Wide(UTF_16LE, 0),
            _ if reads(head, u16::from_be_bytes) => Self::Wide(UTF_16BE, 0),
            _ => Self::Binary,
        }
    }
}

/// Whether it reads as UTF-16 with no control characters, a third of it at least ASCII.
fn reads(head: &[u8], unit: fn([u8; 2]) -> u16) -> bool {
    let mut chars = char::decode_utf16(head.as_chunks::<2>().0.iter().map(|pair| unit(*pair))).peekable();
    let (mut all, mut ascii) = (0, 0);
    while let Some(char) = chars.next() {
        match char {
            Ok(char) if is_control(char) => return false,
            Ok(char) => ascii += usize::from(char.is_ascii()),
            // The last may be half of a pair that goes on.
            Err(_) if chars.peek().is_some() => return false,
            Err(_) => {}
        }
        all += 1;
    }
    all >= 4 && ascii * 3 >= all
}

/// Makes UTF-8 of a file that began in UTF-16. Programs add to such files in encodings of their own: what is plainly
/// other text is handed on as it is.
pub(super) struct Wide {
    encoding: &'static Encoding,
    /// None while the text is in another encoding.
    decoder: Option<Decoder>,
}

impl Wide {
    pub(super) fn new(encoding: &'static Encoding) -> Self {
        Self { encoding, decoder: Some(encoding.new_decoder_without_bom_handling()) }
    }

    /// Turns as much of `from` as fits into `to`, which has room for 16 bytes or more; all of what comes next, if `last`.
    /// Says how many bytes of each were used.
    pub(super) fn turn(&mut self, from: &[u8], to: &mut [u8], last: bool) -> (usize, usize) {
        let Some(decoder) = &mut self.decoder else {
            // A NUL is the other half of the byte before it, or after it; the one before has gone out as the same letter.
            let plain = memchr(0, from).unwrap_or(from.len());
            let n = plain.min(to.len());
            if let (Some(from), Some(to)) = (from.get(..n), to.get_mut(..n)) {
                to.copy_from_slice(from);
            }
            if n < plain || plain == from.len() {
                return (n, n);
            }
            self.decoder = Some(self.encoding.new_decoder_without_bom_handling());
            return (n + usize::from(self.encoding == UTF_16LE), n);
        };
        let other = other_text(from, self.encoding == UTF_16LE);
        let wide = from.get(..other.unwrap_or(from.len())).unwrap_or_default();
        let (result, read, written, _) = decoder.decode_to_utf8(wide, to, last || other.is_some());
        // A decoder that was told that this was all is done with.
        if (last || other.is_some()) && result == CoderResult::InputEmpty {
            self.decoder = None;
        }
        (read, written)
    }
}

/// Where amid UTF-16 text of another encoding begins, if it does: where there are no NULs for long, and it reads so.
fn other_text(from: &[u8], little: bool) -> Option<usize> {
    // A NUL is one half of a letter, the other is before it or after it.
    let (before, after) = if little { (1, 0) } else { (0, 1) };
    let mut begins = 0;
    for nul in memchr_iter(0, from).map(Some).chain([None]) {
        let ends = nul.map_or(from.len(), |nul| nul.saturating_sub(before));
        if ends.saturating_sub(begins) >= OTHER && from.get(begins..ends).is_some_and(is_text) {
            return Some(begins);
        }
        begins = nul.map_or(from.len(), |nul| nul + 1 + after);
    }
    None
}

/// Whether it is UTF-8 with no control characters, cut off anywhere. Half of what UTF-16 has for Devanagari are tabs.
fn is_text(bytes: &[u8]) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default())
        }
        Err(error) => Err(error),
    };
    let spaces = bytes.iter().filter(|byte| matches!(byte, b'\t' | b'\n' | b'\r')).count();
    spaces * 4 < bytes.len() && text.is_ok_and(|text| !text.contains(is_control))
}

/// Text in UTF-16 amid bytes: in a binary, or added to a log by a program of Windows.
pub(super) struct Run {
    /// Where its first letter stands.
    start: usize,
    /// How many bytes of `text` stand for what is before that.
    lead: usize,
    /// The text, in ASCII but for what stands right beside it.
    pub(super) text: String,
}

/// Fewest letters of one.
const LETTERS: usize = 4;

impl Run {
    /// Every run of ASCII in UTF-16 (little-endian; in the other form all but the ends look alike), line by line.
    pub(super) fn all(bytes: &[u8]) -> impl Iterator<Item = Self> {
        let letter = |at: usize| match bytes.get(at..at + 2) {
            Some(&[byte, 0]) if byte == b'\t' || (b' '..=b'~').contains(&byte) => Some(char::from(byte)),
            _ => None,
        };
        let beside = |at: usize| {
            let unit = bytes.get(at..)?.first_chunk().map(|pair| u16::from_le_bytes(*pair))?;
            char::from_u32(unit.into())
        };
        let mut done = 0;
        memchr_iter(0, bytes).filter_map(move |nul| {
            let start = nul.checked_sub(1).filter(|start| *start >= done)?;
            let mut text: String = start.checked_sub(2).and_then(beside).into_iter().collect();
            let lead = text.len();
            let mut end = start;
            while let Some(char) = letter(end) {
                text.push(char);
                end += 2;
            }
            done = end.max(done);
            if end - start < 2 * LETTERS {
                return None;
            }
            text.extend(beside(end));
            Some(Self { start, lead, text })
        })
    }

    /// Where in the bytes stands what is at `at` in the text.
    pub(super) const fn place(&self, at: usize) -> usize {
        self.start + 2 * at.saturating_sub(self.lead)
    }
}

fn is_control(char: char) -> bool {
    char.is_control() && !matches!(char, '\t' | '\n' | '\r')
}
