//! sled beside redb: the same values, put and made durable as `Records` puts them, and nothing else. What another store
//! under the vault would change.

use std::{fs::File, io::Write as _, path::Path, time::Instant};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("store");
/// Sealed facets and entries of a piece of a thousand records.
const PIECE: [usize; 2] = [40_100, 36_100];
/// Facets, entries, body and words of a lone record, and the root that each commit writes.
const LONE: [usize; 5] = [140, 140, 840, 260, 900];

/// What was measured: seconds for all pieces, for each lone commit, to read everything; bytes on disk.
pub struct Measured {
    pub pieces: f64,
    pub lone: f64,
    pub read: f64,
    pub bytes: u64,
}

trait Store {
    fn commit(&mut self, values: Vec<(Vec<u8>, Vec<u8>)>);
    fn read(&self) -> u64;
}

struct Sled(sled::Db, File);

impl Store for Sled {
    fn commit(&mut self, values: Vec<(Vec<u8>, Vec<u8>)>) {
        let mut batch = sled::Batch::default();
        values.into_iter().for_each(|(key, value)| batch.insert(key, value));
        self.0.apply_batch(batch).unwrap();
        self.0.flush().unwrap();
        self.1.sync_data().unwrap();
    }

    fn read(&self) -> u64 {
        self.0.iter().map(|pair| pair.unwrap().1.len() as u64).sum()
    }
}

struct Redb(Database);

impl Store for Redb {
    fn commit(&mut self, values: Vec<(Vec<u8>, Vec<u8>)>) {
        let txn = self.0.begin_write().unwrap();
        {
            let mut table = txn.open_table(TABLE).unwrap();
            for (key, value) in &values {
                table.insert(key.as_slice(), value.as_slice()).unwrap();
            }
        }
        txn.commit().unwrap();
    }

    fn read(&self) -> u64 {
        let txn = self.0.begin_read().unwrap();
        let table = txn.open_table(TABLE).unwrap();
        table.iter().unwrap().map(|pair| pair.unwrap().1.value().len() as u64).sum()
    }
}

/// What any store pays for a lone commit: as many bytes put at the end of a file, and synced; in seconds each.
pub fn floor(dir: &Path, times: u64) -> f64 {
    let mut file = File::create(dir.join("floor")).unwrap();
    let bytes = vec![7; LONE.iter().sum()];
    let start = Instant::now();
    for _ in 0..times {
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
    }
    start.elapsed().as_secs_f64() / times as f64
}

fn sled_in(dir: &Path) -> Sled {
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(64 * 1024 * 1024)
        .segment_size(8 * 1024 * 1024)
        .flush_every_ms(None);
    let db = config.open().unwrap();
    Sled(db, File::options().write(true).open(dir.join("db")).unwrap())
}

fn redb_in(dir: &Path) -> Redb {
    std::fs::create_dir_all(dir).unwrap();
    Redb(redb::Builder::new().set_cache_size(64 * 1024 * 1024).create(dir.join("redb")).unwrap())
}

/// Both, with so many pieces and lone commits.
pub fn measure(dir: &Path, pieces: u64, lone: u64) -> [Measured; 2] {
    let (one, two) = (dir.join("sled"), dir.join("redb"));
    [run(&one, pieces, lone, || sled_in(&one)), run(&two, pieces, lone, || redb_in(&two))]
}

fn run<S: Store>(dir: &Path, pieces: u64, lone: u64, open: impl Fn() -> S) -> Measured {
    let mut rng = StdRng::seed_from_u64(1);
    let mut values = |number: u64, sizes: &[usize]| -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut made: Vec<_> = (80u8..)
            .zip(sizes)
            .map(|(kind, bytes)| {
                let mut value = vec![0; *bytes];
                rng.fill_bytes(&mut value);
                ([&[kind][..], &number.to_be_bytes()].concat(), value)
            })
            .collect();
        // The root is one place that every commit writes.
        if sizes.len() == LONE.len()
            && let Some((key, _)) = made.last_mut()
        {
            *key = b"root".to_vec();
        }
        made
    };
    let mut store = open();
    let mut total = 0.0;
    for n in 0..pieces {
        let batch = values(n, &PIECE);
        let start = Instant::now();
        store.commit(batch);
        total += start.elapsed().as_secs_f64();
    }
    let pieces_time = total;
    total = 0.0;
    for n in 0..lone {
        let batch = values(pieces + n, &LONE);
        let start = Instant::now();
        store.commit(batch);
        total += start.elapsed().as_secs_f64();
    }
    drop(store);
    let start = Instant::now();
    assert!(open().read() > 0);
    let read = start.elapsed().as_secs_f64();
    Measured { pieces: pieces_time, lone: total / lone as f64, read, bytes: crate::size(dir) }
}
