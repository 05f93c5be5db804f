//! Who is spoken of in the vault: found in texts of any script, by name, address or number (docs/indicators.md, Lint).

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
};

use icu_properties::{CodePointMapData, props::Script};
use siphasher::sip::SipHasher13;

use super::{
    folded::folded,
    meant::forms,
    numbers::{FEWEST, MOST, Number, numbers},
    words::{Part, parts, within, without_prefix},
};

#[cfg(test)]
mod tests;

/// Words of a name that are looked for together.
const WORDS: usize = 4;
/// Characters of a name in a script without spaces: of a longer one the first.
const LONGEST: usize = 31;
/// Most keys of the numbers in one text.
const NUMBERS: usize = 64;

/// What a node knows of its own records, asked without being shown.
pub trait People {
    /// Whether `text` is, or holds, what identifies somebody in the vault: a name, a contact, a reference.
    fn speaks_of_one(&self, text: &str) -> bool;

    /// Whether it may: it holds one word by which somebody is known, and many others may be.
    fn may_speak_of_one(&self, text: &str) -> bool {
        self.speaks_of_one(text)
    }
}

/// Nobody: for what has no vault at hand.
pub struct Nobody;

impl People for Nobody {
    fn speaks_of_one(&self, _: &str) -> bool {
        false
    }
}

/// Something by which somebody is known: a hash of its normal form, small and no list of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    hash: u64,
    /// Characters, where it is looked for at every place of a text.
    length: u8,
    /// Whether it is enough to know whom a text speaks of.
    sure: bool,
}

/// What somebody is known by, each with how often.
#[derive(Clone, Default)]
pub struct Terms {
    sure: Bag,
    unsure: Bag,
}

/// Hashes, which need no hashing again.
#[derive(Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Clone, Default)]
struct Bag {
    counts: HashMap<u64, u32, BuildHasherDefault<Plain>>,
    /// How many of them have so many characters and are looked for at every place.
    lengths: [u32; LONGEST + 1],
}

impl Terms {
    /// What `text` is known by: the whole of it, since a name of several words is not its first name alone, each script of it
    /// by itself, and numbers in it.
    pub fn keys(text: &str) -> Vec<Key> {
        known_by(text, true)
    }

    /// The same, but one word of letters alone is not enough to be sure: it may be a first name that many have.
    pub fn keys_of_contact(text: &str) -> Vec<Key> {
        known_by(text, false)
    }

    /// The numbers in `text` alone.
    pub fn numbers(text: &str) -> Vec<Key> {
        let mut keys = Vec::new();
        of_numbers(&folded(text), &mut keys);
        keys
    }

    /// Knows these once more.
    pub fn add(&mut self, keys: &[Key]) {
        for key in keys {
            self.bag(*key).add(*key);
        }
    }

    /// Knows these once less; what was known once is known no more.
    pub fn remove(&mut self, keys: &[Key]) {
        for key in keys {
            self.bag(*key).remove(*key);
        }
    }

    fn bag(&mut self, key: Key) -> &mut Bag {
        if key.sure { &mut self.sure } else { &mut self.unsure }
    }
}

impl People for Terms {
    fn speaks_of_one(&self, text: &str) -> bool {
        self.sure.is_in(text)
    }

    fn may_speak_of_one(&self, text: &str) -> bool {
        self.sure.is_in(text) || self.unsure.is_in(text)
    }
}

impl Bag {
    fn add(&mut self, key: Key) {
        let count = self.counts.entry(key.hash).or_default();
        *count = count.saturating_add(1);
        if let Some(of_length) = self.lengths.get_mut(usize::from(key.length)) {
            *of_length = of_length.saturating_add(1);
        }
    }

    fn remove(&mut self, key: Key) {
        let Entry::Occupied(mut count) = self.counts.entry(key.hash) else { return };
        match count.get().saturating_sub(1) {
            0 => drop(count.remove()),
            less => *count.get_mut() = less,
        }
        if let Some(of_length) = self.lengths.get_mut(usize::from(key.length)) {
            *of_length = of_length.saturating_sub(1);
        }
    }

    fn is_in(&self, text: &str) -> bool {
        let mut found = false;
        if !self.counts.is_empty() {
            forms(text, &mut |form| found = found || self.is_in_form(form));
        }
        found
    }

    fn is_in_form(&self, form: &str) -> bool {
        let has = &mut |hash: u64| self.counts.contains_key(&hash);
        let (mut words, mut inner) = (Runs::default(), Runs::default());
        let mut phrase: Vec<(char, bool)> = Vec::new();
        parts(form, &mut |part| match part {
            Part::Dense(c, spaced) => {
                words.clear();
                phrase.push((c, spaced));
                false
            }
            Part::Break | Part::Word(_) if !phrase.is_empty() && self.is_in_phrase(&phrase) => true,
            Part::Break => {
                phrase.clear();
                false
            }
            Part::Word(word) => {
                phrase.clear();
                words.push(word, 1, has) || {
                    inner.clear();
                    word.contains(['.', '-', '_', '@']) && within(word).any(|word| inner.push(word, 2, has))
                }
            }
        }) || self.is_in_phrase(&phrase)
            || numbers(form, &mut |number| {
                let mut found = false;
                spellings(number, &mut |hash| found = found || has(hash));
                found
            })
    }

    /// Whether a name begins at any character of a phrase. Two characters apart are one only if they stand alone.
    fn is_in_phrase(&self, phrase: &[(char, bool)]) -> bool {
        let longest = self.lengths.iter().rposition(|count| *count > 0).unwrap_or_default();
        (0..phrase.len()).any(|from| {
            let rest = phrase.get(from..).unwrap_or_default();
            let mut hash = dense();
            rest.iter().zip(1..=longest).any(|((c, apart), length)| {
                hash.write_u32(u32::from(*c));
                let alone = || {
                    rest.first().is_some_and(|first| first.1) && rest.get(length).is_none_or(|next| next.1)
                };
                self.lengths.get(length).is_some_and(|count| *count > 0)
                    && (length > 2 || !apart || alone())
                    && self.counts.contains_key(&hash.finish())
            })
        })
    }
}

/// Runs of words that go on at each word, and their hashes so far.
#[derive(Default)]
struct Runs(Vec<(SipHasher13, usize)>);

impl Runs {
    fn clear(&mut self) {
        self.0.clear();
    }

    /// Goes on with a word; whether any run of `least` words or more that ends with it is `found`.
    fn push(&mut self, word: &str, least: usize, found: &mut dyn FnMut(u64) -> bool) -> bool {
        self.0.retain(|(_, words)| *words < WORDS);
        for (hash, words) in &mut self.0 {
            hash.write(b" ");
            hash.write(word.as_bytes());
            *words += 1;
        }
        let mut begin = |word: &str| {
            let mut hash = SipHasher13::new();
            hash.write(word.as_bytes());
            self.0.push((hash, 1));
        };
        begin(word);
        if !word.is_ascii() {
            without_prefix(word, &mut begin);
        }
        self.0.iter().any(|(hash, words)| *words >= least && found(hash.finish()))
    }
}

/// The hashes under which a number is known: with and without the code of its country, which has up to three digits.
fn spellings(number: &Number<'_, '_>, each: &mut dyn FnMut(u64)) {
    /// Nine digits: fewer may be a count or a date.
    const SURE: u64 = 100_000_000;
    let Some(value) = number.value().filter(|value| !number.in_word() || *value >= SURE) else { return };
    let mut hash = |value: u64| {
        let mut hash = SipHasher13::new();
        hash.write(&[0]);
        hash.write_u64(value);
        each(hash.finish());
    };
    hash(value);
    if number.international() {
        let codes = (1..=3).filter_map(|digits| 10_u64.checked_pow(value.ilog10().checked_sub(digits - 1)?));
        codes.map(|unit| value % unit).filter(|national| *national >= SURE).for_each(hash);
    }
}

/// The hash of characters of a script without spaces, before the first.
fn dense() -> SipHasher13 {
    let mut hash = SipHasher13::new();
    hash.write(&[1]);
    hash
}

/// What stands in one script.
enum Name<'t> {
    Words(Option<Script>, Vec<&'t str>),
    /// Its characters, and how many parts they stand in.
    Dense(Vec<char>, usize),
}

fn known_by(text: &str, lone: bool) -> Vec<Key> {
    let form = folded(text);
    let mut names: Vec<Name<'_>> = Vec::new();
    let mut goes_on = false;
    parts(&form, &mut |part| {
        match (part, names.last_mut()) {
            (Part::Break, _) => {}
            (Part::Dense(c, spaced), Some(Name::Dense(name, parts))) if goes_on => {
                name.push(c);
                *parts += usize::from(spaced);
            }
            (Part::Dense(c, _), _) => names.push(Name::Dense(vec![c], 1)),
            (Part::Word(word), Some(Name::Words(script, words))) => {
                let of_word = script_of(word);
                if of_word.is_none() || script.is_none() || of_word == *script {
                    *script = script.or(of_word);
                    words.push(word);
                } else {
                    names.push(Name::Words(of_word, vec![word]));
                }
            }
            (Part::Word(word), _) => names.push(Name::Words(script_of(word), vec![word])),
        }
        goes_on = matches!(part, Part::Dense(..));
        false
    });
    let lone = lone && names.len() == 1;
    let mut keys: Vec<Key> = Vec::new();
    for name in &names {
        match name {
            Name::Words(_, words) => of_words(words, lone, &mut keys),
            Name::Dense(name, parts) => keys.extend(of_dense(name, *parts)),
        }
    }
    of_numbers(&form, &mut keys);
    keys
}

fn of_numbers(form: &str, keys: &mut Vec<Key>) {
    let most = keys.len() + NUMBERS;
    numbers(form, &mut |number| {
        // Of more digits than a number has, every reading that is long enough to be one.
        if number.digits() == number.of || number.of > MOST && number.digits() > FEWEST + 1 {
            spellings(number, &mut |hash| keys.push(Key { hash, length: 0, sure: true }));
        }
        keys.len() >= most
    });
}

fn script_of(word: &str) -> Option<Script> {
    let letter = word.chars().find(|c| c.is_alphabetic())?;
    Some(if letter.is_ascii() { Script::Latin } else { CodePointMapData::<Script>::new().get(letter) })
}

/// A name of several words is looked for as a whole, of more than four the longest four. One word alone is enough if it is
/// more than letters, or `lone` says so.
fn of_words(words: &[&str], lone: bool, keys: &mut Vec<Key>) {
    let runs = words.windows(words.len().clamp(1, WORDS)).map(|run| run.join(" "));
    let Some(name) = runs.max_by_key(String::len) else { return };
    let letters = name.chars().count();
    let digits = name.bytes().all(|b| b.is_ascii_digit());
    let more_than_letters = name.contains(|c: char| c.is_ascii_digit() || "_.@".contains(c));
    let (sure, enough) = match (words.len(), digits) {
        (1, true) => (letters >= FEWEST, letters > 3),
        (1, false) => (letters > 3 && (lone || more_than_letters), letters > 2),
        _ => (letters > 3, letters > 3),
    };
    let mut know = |words: &mut dyn Iterator<Item = &str>| {
        let mut runs = Runs::default();
        words.for_each(|word| _ = runs.push(word, 1, &mut |_| false));
        let first = runs.0.first();
        keys.extend(first.map(|(hash, _)| Key { hash: hash.finish(), length: 0, sure }));
    };
    if !enough {
        return;
    }
    know(&mut name.split(' '));
    // Jean-Luc is also Jean Luc; an address is an address.
    let of_parts = || name.split(' ').flat_map(within);
    // The parts of `2024-07` are those of many dates.
    let lettered = name.chars().any(char::is_alphabetic);
    let parted = name.contains(['.', '-', '_']) && !name.contains('@');
    if lettered && parted && (2..=WORDS).contains(&of_parts().count()) {
        know(&mut of_parts());
    }
}

/// A name that is looked for at every place of a text: how sure it is depends on how likely its characters follow each
/// other in other words.
fn of_dense(name: &[char], parts: usize) -> Option<Key> {
    const SYLLABLES: [Script; 2] = [Script::Han, Script::Hangul];
    let scripts = CodePointMapData::<Script>::new();
    let least = match name.iter().all(|c| SYLLABLES.contains(&scripts.get(*c))) {
        true => 3,
        false if parts > 1 => 4,
        false => 9,
    };
    let length = name.len().min(LONGEST);
    let mut hash = dense();
    name.iter().take(length).for_each(|c| hash.write_u32(u32::from(*c)));
    let key = Key { hash: hash.finish(), length: u8::try_from(length).ok()?, sure: name.len() >= least };
    (length > 1).then_some(key)
}
