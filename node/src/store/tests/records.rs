//! Records: erased for good, found, replaced, packed, upgraded; and what is done to them from outside.

use std::ops::ControlFlow;

use super::{
    super::{
        crypter::{Crypter, SecretKey},
        keyring,
        vault::Kind,
    },
    *,
};

fn raw(home: &Path) -> sled::Db {
    // What someone with the disk, and not the key, could do.
    // The threads of a store that was just closed let go of it a moment later.
    let open = || sled::Config::new().path(home.join("vault")).segment_size(8 << 20).open();
    for _ in 0..100 {
        match open() {
            Err(sled::Error::Io(error)) if error.to_string().contains("lock") => {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            opened => return opened.unwrap(),
        }
    }
    open().unwrap()
}

fn key(kind: Kind, n: u64) -> Vec<u8> {
    [&[kind as u8][..], &n.to_be_bytes()].concat()
}

fn found(records: &Records, word: u32) -> Vec<u64> {
    let mut found = Vec::new();
    let each = |n: RecordNumber, _| {
        found.push(n.0);
        ControlFlow::Continue(())
    };
    records.find(&[word], |_| true, each).unwrap();
    found
}

fn master(home: &Path) -> SecretKey {
    keyring::open(&home.join("keyring.json"), &(&passphrase()).into()).unwrap().master
}

/// Pieces, and those of them that are kept in the store.
fn vault_pieces(records: &Records) -> (usize, usize) {
    let vault = records.vault();
    (vault.scan_sealed(Kind::Facets, 0).count(), vault.scan_sealed(Kind::Bodies, 0).count())
}

/// Derives as `new` makes them.
fn derive(body: &[u8]) -> Option<Derived> {
    let n: u64 = std::str::from_utf8(body).ok()?.strip_prefix("narrative-")?.parse().ok()?;
    let new = new(n);
    Some((new.row, new.words))
}

#[test]
fn records_alone_in_batches_and_over_pages_come_back_and_full_pages_are_packed() {
    let dir = tempfile::tempdir().unwrap();
    {
        let records = Records::open(vault(dir.path())).unwrap();
        for n in 0..5 {
            records.insert(vec![new(n)]).unwrap();
        }
        records.insert((5..1020).map(new).collect()).unwrap();
        for n in 1020..1030 {
            records.insert(vec![new(n)]).unwrap();
        }
        let stays = vault_pieces(&records);
        assert_eq!(stays, (1 + 6, 6));
        records.insert((1030..3100).map(new).collect()).unwrap();
        records.check().unwrap();
    }
    let vault = reopened(dir.path());
    // Every page is in one piece, the last as far as it goes.
    assert_eq!(vault.scan_sealed(Kind::Facets, 0).count(), 4);
    assert_eq!(vault.scan_sealed(Kind::Bodies, 0).count(), 0);
    vault.check().unwrap();
    let records = Records::open(vault).unwrap();
    records.check().unwrap();
    assert_eq!(records.count(), 3100);
    for n in [0, 4, 5, 1019, 1020, 1023, 1024, 1029, 1030, 2047, 2048, 3099] {
        assert_eq!(body(&records, n).unwrap(), format!("narrative-{n:06}"), "{n}");
        assert_eq!(found(&records, n as u32), [n]);
    }
    let listed = records.list(RecordNumber(1018), 15).unwrap();
    assert_eq!(listed.iter().map(|(n, _)| n.0).collect::<Vec<_>>(), (1018..1033).collect::<Vec<_>>());
    assert!(matches!(records.insert(vec![new(3)]).unwrap()[..], [Stored::Duplicate(RecordNumber(3))]));
}

#[test]
fn a_full_page_that_could_not_be_packed_is_packed_after_the_next_record_also_once_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    {
        let records = Records::open(vault(dir.path())).unwrap();
        // An upgrade does not pack.
        for first in (0..1030).step_by(103) {
            let batch = (first..first + 103).map(|n| Some(new(n))).collect();
            records.insert_as_numbered(batch).unwrap();
        }
        assert_eq!(vault_pieces(&records).0, 11);
    }
    let records = Records::open(reopened(dir.path())).unwrap();
    assert_eq!(vault_pieces(&records).0, 11);
    records.insert(vec![new(1030)]).unwrap();
    assert_eq!(vault_pieces(&records).0, 3);
    records.check().unwrap();
    assert_eq!(body(&records, 700).unwrap(), "narrative-000700");
}

#[test]
fn a_record_that_is_replaced_keeps_its_number_and_its_mark_and_only_its_new_words() {
    let dir = tempfile::tempdir().unwrap();
    {
        let records = Records::open(vault(dir.path())).unwrap();
        records.insert((0..20).map(new).collect()).unwrap();
        records.insert(vec![new(20)]).unwrap();
        for n in [3, 20] {
            assert!(records.replace(RecordNumber(n), &new(n + 1000)).unwrap());
        }
        assert!(!records.replace(RecordNumber(99), &new(99)).unwrap());
    }
    let records = Records::open(reopened(dir.path())).unwrap();
    records.check().unwrap();
    for n in [3, 20] {
        assert_eq!(body(&records, n).unwrap(), format!("narrative-{:06}", n + 1000));
        assert_eq!((found(&records, n as u32), found(&records, n as u32 + 1000)), (vec![], vec![n]));
        assert!(matches!(records.insert(vec![new(n)]).unwrap()[..], [Stored::Duplicate(_)]));
    }
    assert!(records.rows().iter().filter(|row| **row == new(1003).row).count() == 1);
}

/// Every byte that the vault ever wrote is kept; keyring and passphrase are known. What the keys of today open of it is
/// all that anyone can read.
#[test]
fn of_an_erased_record_nothing_that_any_old_page_held_opens_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let (batch, alone) = (RecordNumber(7), RecordNumber(30));
    let (before, log);
    {
        let records = Records::open(vault(&home)).unwrap();
        records.insert((0..30).map(new).collect()).unwrap();
        records.insert(vec![new(30)]).unwrap();
    }
    before = raw(&home).iter().collect::<Result<Vec<_>, _>>().unwrap();
    log = fs::read(home.join("records")).unwrap();
    {
        let records = Records::open(reopened(&home)).unwrap();
        assert!(records.erase(batch).unwrap() && records.erase(alone).unwrap());
        assert_eq!((found(&records, 7), found(&records, 8)), (vec![], vec![8]));
        records.check().unwrap();
    }
    // The old store, put back whole, with the keys of today.
    let old = dir.path().join("old");
    for file in files(&home) {
        let to = old.join(file.strip_prefix(&home).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&file, to).unwrap();
    }
    let db = raw(&old);
    db.clear().unwrap();
    for (place, value) in &before {
        db.insert(place, value).unwrap();
    }
    db.flush().unwrap();
    drop(db);
    fs::write(old.join("records"), log).unwrap();
    let opened = Vault::open(&old, &passphrase());
    assert!(matches!(opened, Err(StoreError::Damaged(_))), "the head gives it away: {opened:?}");
    // Nor does what the master key alone opens lead anywhere.
    let master = master(&home);
    let value = Crypter::new(&master.derive("value"));
    let mut opened = 0;
    for (place, sealed) in &before {
        if let Ok(plain) = value.open(place, sealed, "x") {
            opened += 1;
            let text = b"narrative-000007";
            assert!(!plain.windows(text.len()).any(|w| w == text));
            assert!(!plain.windows(text.len()).any(|w| w == b"narrative-000030"));
        }
    }
    assert!(opened >= 3, "{opened}");
    let keys = super::super::records::test_keys(&home, &master);
    assert!(keys.record(7).is_none() && keys.record(30).is_none() && keys.record(8).is_some());
    let facets = before.iter().filter(|(place, _)| {
        [Kind::Facets, Kind::Entries, Kind::Words].iter().any(|kind| place[0] == *kind as u8)
    });
    let mut seen = 0;
    for (place, sealed) in facets {
        seen += 1;
        assert!(keys.opens_no(place, sealed), "an old facet still opens");
    }
    assert!(seen >= 4, "{seen}");
    // What was not erased is all there.
    let records = Records::open(reopened(&home)).unwrap();
    assert_eq!((records.count(), body(&records, 8).unwrap()), (29, "narrative-000008".into()));
    assert_eq!((body(&records, 7), body(&records, 30)), (None, None));
}

/// The states between the commit of an erasure and its last step.
#[test]
fn an_erasure_that_was_stopped_after_its_commit_is_finished_at_opening() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    drop(Records::open(vault(home)).unwrap().insert((0..30).map(new).collect()).unwrap());
    let saved: Vec<_> = key_files(home).into_iter().map(|f| (fs::read(&f).ok(), f)).collect();
    let put_back = || {
        for (bytes, file) in &saved {
            match bytes {
                Some(bytes) => fs::write(file, bytes).unwrap(),
                None => drop(fs::remove_file(file)),
            }
        }
    };
    assert!(Records::open(reopened(home)).unwrap().erase(RecordNumber(7)).unwrap());
    put_back();
    {
        let records = Records::open(reopened(home)).unwrap();
        assert_eq!((body(&records, 7), body(&records, 8).unwrap()), (None, "narrative-000008".into()));
        records.check().unwrap();
        // A later commit needs the later keys.
        records.insert(vec![new(50)]).unwrap();
    }
    put_back();
    let older = Records::open(reopened(home));
    assert!(matches!(older, Err(StoreError::Damaged(what)) if what.contains("older")));
}

#[test]
fn what_is_moved_removed_or_put_back_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    {
        let vault = vault(&home);
        let mut txn = vault.begin();
        txn.put_at(Kind::Charge, 0, b"first").unwrap();
        txn.put_at(Kind::Charge, 1, b"second").unwrap();
        txn.put(Kind::Object, b"id", b"older").unwrap();
        txn.commit().unwrap();
        let records = Records::open(Arc::clone(&vault)).unwrap();
        records.insert((0..30).map(new).collect()).unwrap();
        records.insert(vec![new(30)]).unwrap();
        records.insert(vec![new(31)]).unwrap();
    }
    let older: Vec<_> = raw(&home).iter().collect::<Result<_, _>>().unwrap();
    {
        let vault = reopened(&home);
        let mut txn = vault.begin();
        txn.put(Kind::Object, b"id", b"newer").unwrap();
        txn.put_at(Kind::Charge, 1, b"third").unwrap();
        txn.commit().unwrap();
        Records::open(vault).unwrap().replace(RecordNumber(30), &new(900)).unwrap();
    }
    let whole: Vec<_> = files(&home).into_iter().map(|f| (fs::read(&f).unwrap(), f)).collect();
    let tampered = |how: &dyn Fn(&sled::Db)| {
        fs::remove_dir_all(&home).unwrap();
        for (bytes, file) in &whole {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        let db = raw(&home);
        how(&db);
        db.flush().unwrap();
        drop(db);
        let vault = Vault::open(&home, &passphrase()).map(Arc::new)?;
        let records = Records::open(Arc::clone(&vault))?;
        records.check()?;
        vault.check().map(|_| ())
    };
    let before = |kind: Kind| older.iter().filter(move |(place, _)| place[0] == kind as u8);
    tampered(&|_| ()).unwrap();
    // Every way with every kind: taken away, two changed about, the one from before put back.
    for kind in [Kind::Charge, Kind::Object, Kind::Facets, Kind::Entries, Kind::Bodies, Kind::Words] {
        let gone = tampered(&|db| {
            for (place, _) in before(kind).take(1) {
                db.remove(place).unwrap().unwrap();
            }
        });
        assert!(
            matches!(gone, Err(StoreError::Damaged(_) | StoreError::Tampered { .. })),
            "{kind:?}: {gone:?}"
        );
        let back = tampered(&|db| {
            for (place, value) in before(kind) {
                db.insert(place, value).unwrap();
            }
        });
        assert!(
            matches!(back, Err(StoreError::Damaged(_) | StoreError::Tampered { .. })),
            "{kind:?}: {back:?}"
        );
        let swapped = tampered(&|db| {
            let places: Vec<_> = before(kind).map(|(place, _)| place).collect();
            if let [.., a, b] = places[..] {
                let (va, vb) = (db.get(a).unwrap().unwrap(), db.get(b).unwrap().unwrap());
                db.insert(a, vb).unwrap();
                db.insert(b, va).unwrap();
            } else {
                db.insert(key(kind, 77), &before(kind).next().unwrap().1).unwrap();
            }
        });
        assert!(
            matches!(swapped, Err(StoreError::Damaged(_) | StoreError::Tampered { .. })),
            "{kind:?}: {swapped:?}"
        );
    }
    let log = home.join("records");
    let cut = tampered(&|_| {
        let bytes = fs::read(&log).unwrap();
        fs::write(&log, &bytes[..bytes.len() - 1]).unwrap();
    });
    assert!(matches!(cut, Err(StoreError::Damaged(what)) if what.contains("cut short")));
}

#[test]
fn facets_that_are_lost_or_old_are_made_again_from_the_records() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    {
        let records = Records::open(vault(home)).unwrap();
        records.insert((0..1500).map(new).collect()).unwrap();
        records.insert(vec![new(1500)]).unwrap();
        records.erase(RecordNumber(4)).unwrap();
    }
    let older: Vec<_> = raw(home).scan_prefix([Kind::Facets as u8]).collect::<Result<_, _>>().unwrap();
    let rows = |records: &Records| records.rows().iter().copied().collect::<Vec<_>>();
    let expected;
    {
        let records = Records::open(reopened(home)).unwrap();
        records.replace(RecordNumber(9), &new(9000)).unwrap();
        expected = rows(&records);
    }
    for way in 0..3 {
        {
            let db = raw(home);
            match way {
                0 => drop(db.remove(key(Kind::Facets, 1024)).unwrap().unwrap()),
                1 => drop(db.insert(&older[0].0, &older[0].1).unwrap()),
                _ => older.iter().for_each(|(place, _)| drop(db.remove(place).unwrap())),
            }
            db.flush().unwrap();
        }
        assert!(Records::open(reopened(home)).is_err());
        let records = Records::open_or_remake(reopened(home), derive).unwrap();
        assert_eq!(rows(&records), expected, "way {way}");
        assert_eq!(
            (found(&records, 1400), found(&records, 1500), found(&records, 4)),
            (vec![1400], vec![1500], vec![])
        );
        records.check().unwrap();
        drop(records);
        Records::open(reopened(home)).unwrap().check().unwrap();
    }
}

/// Writes what format 1 wrote, as it did.
fn format_1(home: &Path, records: u64, erased: &[u64]) {
    let vault = vault(home);
    let mut txn = vault.begin();
    txn.put(Kind::Format, b"", &1u16.to_be_bytes()).unwrap();
    txn.put(Kind::Setting, b"identity", &[5; 32]).unwrap();
    txn.put_at(Kind::Charge, 0, b"charge").unwrap();
    let mut rows = Vec::new();
    for n in 0..records {
        let new = new(n);
        if erased.contains(&n) {
            rows.extend([0; ROW_BYTES]);
            continue;
        }
        rows.extend(new.row);
        let source = new.source.unwrap();
        txn.put_at(Kind::Record, n, &[&[1], source.as_slice(), &new.body].concat()).unwrap();
        txn.put(Kind::Source, &source, &n.to_be_bytes()).unwrap();
    }
    for (n, segment) in rows.chunks(256 * ROW_BYTES).enumerate() {
        txn.put_at(Kind::Segment, n as u64, segment).unwrap();
    }
    txn.commit().unwrap();
}

#[test]
fn a_vault_of_format_1_is_upgraded_whole_and_says_so_until_then() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    format_1(home, 1300, &[0, 700, 1299]);
    let old = Vault::open(home, &passphrase());
    assert!(matches!(old, Err(StoreError::Older { found: 1, known: 3 })), "{old:?}");
    let remake = |_: &Vault, old: OldRecord| {
        let (row, words) = derive(&old.body).ok_or(StoreError::Damaged("x"))?;
        Ok::<_, StoreError>(NewRecord { source: old.source, body: old.body, row, words })
    };
    // Stopped halfway by an error, it is what it was.
    let half = Upgrade::begin(home, &passphrase()).unwrap().unwrap();
    let stopped = half.run(
        |vault, old| if old.number.0 > 1100 { Err(StoreError::Random) } else { remake(vault, old) },
        &mut |_| (),
    );
    assert!(matches!(stopped, Err(StoreError::Random)));
    assert!(matches!(Vault::open(home, &passphrase()), Err(StoreError::Older { .. })));
    let upgrade = Upgrade::begin(home, &passphrase()).unwrap().unwrap();
    assert_eq!(upgrade.run(remake, &mut |_| ()).unwrap(), 1297);
    assert!(Upgrade::begin(home, &passphrase()).unwrap().is_none());
    let vault = reopened(home);
    assert_eq!(*vault.get(Kind::Setting, b"identity").unwrap().unwrap(), [5; 32]);
    assert_eq!(*vault.get_at(Kind::Charge, 0).unwrap().unwrap(), *b"charge");
    vault.check().unwrap();
    let records = Records::open(vault).unwrap();
    records.check().unwrap();
    assert_eq!((records.count(), body(&records, 0), body(&records, 1299)), (1297, None, None));
    assert_eq!(body(&records, 1298).unwrap(), "narrative-001298");
    assert_eq!(found(&records, 701), [701]);
    let again = records.insert(vec![new(5), new(5000)]).unwrap();
    assert_eq!(again, [Stored::Duplicate(RecordNumber(5)), Stored::New(RecordNumber(1300))]);
}
