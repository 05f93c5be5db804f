//! Bytes of a file as bounded lines of text, whatever its encoding, and the digest of a row.
//!
//! UTF-8 passes through and is checked row by row, so that one bad byte costs one row and not the file.
//! Anything else (UTF-16 by its mark, or the encoding the caller names) is decoded on the way in.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read},
};

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8};
use sha2::{Digest as _, Sha256};

use super::ReadError;

/// Largest file, in bytes.
pub const FILE_BYTES: u64 = 512 * 1024 * 1024;
/// Longest row, in bytes of UTF-8.
pub const ROW_BYTES: usize = 1024 * 1024;

const BUFFER: usize = 64 * 1024;

/// The encoding of that label, as the web spells it.
pub(super) fn encoding(label: &str) -> Result<&'static Encoding, ReadError> {
    Encoding::for_label(label.trim().as_bytes()).ok_or(ReadError::Encoding)
}

/// A physical line.
pub(super) enum Line {
    /// Its bytes, with their line feed.
    Text(Vec<u8>),
    /// Longer than a row may be; passed over.
    Long,
}

/// Decoded input, read by bounded lines.
pub(super) struct Lines<R: Read> {
    input: BufReader<Utf8<R>>,
    /// Decoded from another encoding: there, a replacement character is a byte that was none of its text.
    transcoded: bool,
}

impl<R: Read> Lines<R> {
    /// Looks at the mark at the start; `named` goes before it.
    pub(super) fn new(mut input: R, named: Option<&'static Encoding>) -> io::Result<Self> {
        let mut head = Vec::with_capacity(4);
        input.by_ref().take(3).read_to_end(&mut head)?;
        let marked = Encoding::for_bom(&head).map(|(encoding, _)| encoding);
        let encoding = named.or(marked).unwrap_or(UTF_8);
        let transcoded = encoding != UTF_8;
        if !transcoded && marked == Some(UTF_8) {
            head.clear();
        }
        let decoder = transcoded.then(|| encoding.new_decoder_with_bom_removal());
        let raw = Bounded { input: io::Cursor::new(head).chain(input), left: FILE_BYTES };
        let utf8 = Utf8 { raw, decoder, pending: Vec::new(), at: 0, ended: false };
        Ok(Self { input: BufReader::with_capacity(BUFFER, utf8), transcoded })
    }

    /// The next line, if there is one.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        // One byte more than a row may have tells a long line from a full one.
        let read = self.input.by_ref().take(ROW_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if read <= ROW_BYTES {
            return Ok(Some(Line::Text(line)));
        }
        while line.last() != Some(&b'\n') && read > 0 {
            line.clear();
            if self.input.by_ref().take(ROW_BYTES as u64).read_until(b'\n', &mut line)? == 0 {
                break;
            }
        }
        Ok(Some(Line::Long))
    }

    /// The text of a row, or what to do about it.
    pub(super) fn text<'a>(&self, row: &'a [u8]) -> Result<&'a str, &'static str> {
        match std::str::from_utf8(row) {
            Ok(text) if self.transcoded && text.contains('\u{fffd}') => {
                Err("this row has bytes that the named encoding does not; name the encoding it was saved in")
            }
            Ok(text) => Ok(text),
            Err(_) => Err("this row is not UTF-8; if the file comes from an older office program, try \
                           --encoding windows-1252"),
        }
    }
}

/// Ends in an error past the bound, so that a cut file is never taken for a whole one.
struct Bounded<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than 512 MiB"))?;
        Ok(read)
    }
}

type Raw<R> = Bounded<io::Chain<io::Cursor<Vec<u8>>, R>>;

/// UTF-8 out of whatever comes in.
struct Utf8<R: Read> {
    raw: Raw<R>,
    decoder: Option<Decoder>,
    pending: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Utf8<R> {
    /// Decodes the next chunk into `pending`.
    fn fill(&mut self) -> io::Result<()> {
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        self.pending.clear();
        self.at = 0;
        while self.pending.is_empty() && !self.ended {
            let mut chunk = Vec::with_capacity(BUFFER);
            self.ended = self.raw.by_ref().take(BUFFER as u64).read_to_end(&mut chunk)? == 0;
            let room = decoder.max_utf8_buffer_length(chunk.len()).unwrap_or(BUFFER * 4);
            let mut text = String::with_capacity(room);
            let (result, _, _) = decoder.decode_to_string(&chunk, &mut text, self.ended);
            // The room is the decoder's own upper bound.
            if result == CoderResult::OutputFull {
                return Err(io::Error::other("the text does not fit its buffer"));
            }
            self.pending = text.into_bytes();
        }
        Ok(())
    }
}

impl<R: Read> Read for Utf8<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.decoder.is_none() {
            return self.raw.read(out);
        }
        if self.at == self.pending.len() {
            self.fill()?;
        }
        let mut rest = self.pending.get(self.at..).unwrap_or_default();
        let read = rest.read(out)?;
        self.at += read;
        Ok(read)
    }
}

/// Digests of rows, the second of two equal rows differing from the first.
///
/// Equal rows of one file are different incidents; the same file once more has the same digests.
#[derive(Default)]
pub(super) struct Digests {
    // Half a digest tells rows apart and keeps a file of ten million in memory.
    seen: HashMap<[u8; 16], u32>,
}

impl Digests {
    /// The digest of the next row with these parts, whatever separates them in the file.
    pub(super) fn next<'a>(&mut self, format: &'a str, parts: impl Iterator<Item = &'a str>) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in std::iter::once(format).chain(parts) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let content: [u8; 32] = hash.finalize().into();
        let mut key = [0; 16];
        key.iter_mut().zip(content).for_each(|(k, c)| *k = c);
        let occurrence = self.seen.entry(key).and_modify(|n| *n = n.saturating_add(1)).or_insert(0);
        Sha256::new().chain_update(content).chain_update(occurrence.to_le_bytes()).finalize().into()
    }
}

/// The pseudonym of a row that names nobody: nobody else's, and the same whenever the row is read.
pub(super) fn pseudonym(source: &[u8; 32]) -> String {
    let mut name = hex::encode(source);
    name.truncate(16);
    format!("row-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], named: Option<&'static Encoding>) -> Vec<Result<String, &'static str>> {
        let mut lines = Lines::new(bytes, named).unwrap();
        let mut out = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            match line {
                Line::Text(t) => out.push(lines.text(&t).map(str::to_owned)),
                Line::Long => out.push(Err("long")),
            }
        }
        out
    }

    #[test]
    fn every_encoding_gives_the_same_lines() {
        let text = "name,é\nب,2";
        let expected = vec![Ok("name,é\n".to_owned()), Ok("ب,2".to_owned())];
        assert_eq!(all(text.as_bytes(), None), expected);
        assert_eq!(all(format!("\u{feff}{text}").as_bytes(), None), expected);
        let wide = |mark: &[u8], bytes: fn(u16) -> [u8; 2]| {
            [mark.to_vec(), text.encode_utf16().flat_map(bytes).collect()].concat()
        };
        assert_eq!(all(&wide(&[0xff, 0xfe], u16::to_le_bytes), None), expected);
        assert_eq!(all(&wide(&[0xfe, 0xff], u16::to_be_bytes), None), expected);
        let western = encoding("windows-1252").unwrap();
        assert_eq!(all(b"a\xe9\nb", Some(western)), vec![Ok("aé\n".to_owned()), Ok("b".to_owned())]);
        assert!(encoding("no such").is_err());
    }

    #[test]
    fn a_bad_byte_costs_one_line_and_says_what_to_try() {
        let lines = all(b"good\nb\xe9d\ngood", None);
        assert!(lines[0].is_ok() && lines[2].is_ok());
        assert!(lines[1].as_ref().unwrap_err().contains("--encoding windows-1252"));
        let utf16 = all(b"\xff\xfea\0\n\0\x00\xd8\n\0b\0", None);
        assert!(utf16[0].is_ok() && utf16[1].is_err() && utf16[2].is_ok(), "a lone surrogate: {utf16:?}");
    }

    #[test]
    fn a_line_longer_than_a_row_is_passed_over() {
        let mut bytes = vec![b'x'; 3 * ROW_BYTES];
        bytes.extend(b"\nnext\n");
        assert_eq!(all(&bytes, None), vec![Err("long"), Ok("next\n".to_owned())]);
        let mut full = vec![b'x'; ROW_BYTES - 1];
        full.extend(b"\nnext\n");
        assert_eq!(all(&full, None).len(), 2);
        assert!(all(&full, None)[0].is_ok());
    }

    #[test]
    fn a_file_past_its_bound_ends_in_an_error() {
        let read = |left| {
            let mut all = Vec::new();
            Bounded { input: &b"eight by"[..], left }.read_to_end(&mut all)
        };
        assert_eq!(read(8).ok(), Some(8));
        assert_eq!(read(7).err().map(|e| e.kind()), Some(io::ErrorKind::FileTooLarge));
        let mut lines = Lines::new(io::repeat(b'x'), None).unwrap();
        assert_eq!(
            lines.next().err().map(|e| e.kind()),
            Some(io::ErrorKind::FileTooLarge),
            "to the end of a line"
        );
    }

    #[test]
    fn equal_rows_differ_by_occurrence_and_a_second_reading_agrees() {
        let digests = || {
            let mut d = Digests::default();
            [["a", "b"], ["a", "b"], ["ab", ""]].map(|row| d.next("csv", row.into_iter()))
        };
        let [first, second, third] = digests();
        assert!(first != second && second != third && first != third);
        assert_eq!(digests(), [first, second, third]);
        let alone = |row: [&'static str; 2]| Digests::default().next("csv", row.into_iter());
        assert_ne!(alone(["a", "b"]), alone(["ab", ""]), "cells do not run into each other");
        assert_ne!(Digests::default().next("jsonl", ["a", "b"].into_iter()), first);
        assert_eq!(pseudonym(&first).len(), 20);
    }
}
