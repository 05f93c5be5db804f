//! What both sides are given, and how each keeps it.

use std::{path::Path, sync::Arc};

use hedgerow_node::{
    facet_row,
    store::{KdfParams, NewRecord, Passphrase, Records, Vault},
};
use hedgerow_protocol::{
    facet::{Facet, HelpSet, PersonKey},
    record::Numbers,
    time::Day,
    vocabulary::Dimension,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rusqlite::{Connection, params};
use zeroize::Zeroizing;

/// Bytes of one body.
pub const BODY: usize = 700;
/// Rows of one commit.
pub const BATCH: u64 = 1000;
/// Quarters over which the rows are spread, from 2021-Q1 on.
pub const QUARTERS: i16 = 16;
/// Tactics that occur.
const TACTICS: u16 = 20;
/// A person for ten rows.
const ROWS_A_PERSON: u64 = 10;

/// One row.
pub struct Made {
    body: Vec<u8>,
    source: [u8; 32],
    person: u64,
    tactic: u16,
    quarter: i16,
    pub words: Vec<u32>,
}

/// Row `n` of about `of`.
pub fn made(n: u64, of: u64) -> Made {
    let mut rng = StdRng::seed_from_u64(n);
    let mut body = vec![0; BODY];
    rng.fill_bytes(&mut body);
    let mut source = [0; 32];
    rng.fill_bytes(&mut source);
    // Some 2,000 common words, and one of its own.
    let own = rng.next_u32();
    let words = (0..11).map(|_| rng.next_u32() % 2000).chain([own]);
    let mut words: Vec<u32> = words.collect();
    words.sort_unstable();
    words.dedup();
    let person = rng.next_u64() % (of / ROWS_A_PERSON).max(1);
    Made {
        body,
        source,
        // As a keyed hash lies, anywhere.
        person: StdRng::seed_from_u64(person).next_u64(),
        tactic: (rng.next_u32() % u32::from(TACTICS)) as u16,
        quarter: (rng.next_u32() % QUARTERS as u32) as i16,
        words,
    }
}

pub fn record(made: Made) -> NewRecord {
    let first = |dimension: Dimension| dimension.at(0).unwrap();
    let facet = Facet {
        person: PersonKey::new(made.person),
        consent: true,
        day: Day::new(2021 + made.quarter / 4, (made.quarter % 4 * 3 + 1) as i8, 15).unwrap(),
        tactic: Dimension::Tactic.at(made.tactic).unwrap(),
        role: first(Dimension::Role),
        origin: first(Dimension::Origin),
        confidence: first(Dimension::Confidence),
        basis: first(Dimension::Basis),
        platform: first(Dimension::Platform),
        harm: first(Dimension::Harm),
        region: first(Dimension::Region),
        phase: first(Dimension::Phase),
        help: HelpSet::default(),
        numbers: Numbers::default(),
    };
    let row = facet_row::encode(&facet);
    NewRecord { source: Some(made.source), body: Zeroizing::new(made.body), row, words: made.words }
}

pub fn passphrase() -> Passphrase {
    Passphrase::new("a passphrase for benches".into())
}

pub fn create(home: &Path) {
    drop(Vault::create(home, &passphrase(), KdfParams::FLOOR).unwrap());
}

pub fn ours(home: &Path) -> Records {
    Records::open(Arc::new(Vault::open(home, &passphrase()).unwrap())).unwrap()
}

/// WAL, synchronous FULL, 64 MiB of cache, and a raw key: no key stretching on either side of what is measured.
pub fn theirs(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.execute_batch(
        "PRAGMA key = \"x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'\";
         PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;
         CREATE TABLE IF NOT EXISTS record (id INTEGER PRIMARY KEY, source BLOB UNIQUE, person INTEGER, tactic INTEGER,
             quarter INTEGER, consent INTEGER, body BLOB);
         CREATE INDEX IF NOT EXISTS counted ON record (tactic, quarter, consent, person);",
    )
    .unwrap();
    db
}

pub fn insert(db: &mut Connection, rows: Vec<Made>) {
    let txn = db.transaction().unwrap();
    {
        let mut statement = txn
            .prepare(
                "INSERT OR IGNORE INTO record (source, person, tactic, quarter, consent, body)
                 VALUES (?1, ?2, ?3, ?4, 1, ?5)",
            )
            .unwrap();
        for m in rows {
            let fields = params![m.source.as_slice(), m.person as i64, m.tactic, m.quarter, m.body];
            statement.execute(fields).unwrap();
        }
    }
    txn.commit().unwrap();
}
