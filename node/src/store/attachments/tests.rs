use super::*;
use crate::store::{
    KdfParams, NewRecord, OldRecord, Passphrase, ROW_BYTES, Upgrade, keyring,
    records::{TestKeys, test_keys},
};

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery".into())
}

fn opened(home: &Path) -> (Arc<Records>, Attachments) {
    let vault = match Vault::open(home, &passphrase()) {
        Err(StoreError::NoVault(_)) => Vault::create(home, &passphrase(), KdfParams::FLOOR),
        other => other,
    };
    let records = Arc::new(Records::open(Arc::new(vault.unwrap())).unwrap());
    let attachments = Attachments::open(Arc::clone(&records)).unwrap();
    (records, attachments)
}

fn record(records: &Records, n: u8) -> RecordNumber {
    let body = Zeroizing::new(vec![n; 50]);
    let stored =
        records.insert(vec![NewRecord { source: None, body, row: [n; ROW_BYTES], words: vec![] }]).unwrap();
    match stored[0] {
        crate::store::Stored::New(number) => number,
        crate::store::Stored::Duplicate(_) => panic!("it has no source"),
    }
}

fn note(text: &str) -> CustodyNote {
    CustodyNote { at: Timestamp::from_unix_seconds(1_700_000_000).unwrap(), note: text.into() }
}

fn add(attachments: &Attachments, record: RecordNumber, name: &str, text: &[u8]) -> Attachment {
    attachments.add(record, name, text, note("from a phone"), &mut |_| {}).unwrap().unwrap()
}

fn read(attachments: &Attachments, record: RecordNumber, number: u32) -> Result<Vec<u8>, StoreError> {
    let mut to = Vec::new();
    attachments.read(record, number, &mut to, &mut |_, _| {}).map(|found| {
        assert!(found.is_some());
        to
    })
}

fn files(home: &Path) -> usize {
    fs::read_dir(home.join(ATTACHMENTS)).map_or(0, Iterator::count)
}

#[test]
fn what_was_kept_is_there_after_opening_again_with_its_record_and_nowhere_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let text = b"a screenshot of a message".repeat(20_000);
    let (one, two) = {
        let (records, attachments) = opened(home);
        let (one, two) = (record(&records, 1), record(&records, 2));
        assert_eq!(add(&attachments, one, "shot.png", &text).number, 0);
        assert_eq!(add(&attachments, two, "other.txt", b"x").number, 0);
        assert_eq!(add(&attachments, one, "second.txt", b"").number, 1);
        (one, two)
    };
    let (_, attachments) = opened(home);
    let listed = attachments.list(one).unwrap();
    assert_eq!(listed.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["shot.png", "second.txt"]);
    assert_eq!((listed[0].bytes, listed[0].sha256), (text.len() as u64, Digest::of(&text)));
    assert_eq!(read(&attachments, one, 0).unwrap(), text);
    assert_eq!(read(&attachments, two, 0).unwrap(), b"x");
    assert!(attachments.read(two, 1, std::io::sink(), &mut |_, _| {}).unwrap().is_none());
    assert!(attachments.read(two, u32::MAX, std::io::sink(), &mut |_, _| {}).unwrap().is_none());
    for file in fs::read_dir(home.join(ATTACHMENTS)).unwrap().chain(fs::read_dir(home.join("vault")).unwrap())
    {
        let path = file.unwrap().path();
        let Ok(bytes) = fs::read(&path) else { continue };
        for secret in [b"screenshot".as_slice(), b"shot.png", b"from a phone"] {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{}", path.display());
        }
    }
}

#[test]
fn a_custody_note_is_added_and_the_earlier_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (records, attachments) = opened(dir.path());
    let one = record(&records, 1);
    add(&attachments, one, "shot.png", b"text");
    attachments.note(one, 0, note("copied to the lab")).unwrap().unwrap();
    let notes: Vec<String> =
        attachments.list(one).unwrap()[0].custody.iter().map(|n| n.note.clone()).collect();
    assert_eq!(notes, ["from a phone", "copied to the lab"]);
    assert!(attachments.note(one, 1, note("")).unwrap().is_none());
    let long = attachments.note(one, 0, note(&"x".repeat(NOTE_BYTES + 1)));
    assert!(matches!(long, Err(StoreError::TooLarge { .. })));
    for _ in 2..NOTES {
        attachments.note(one, 0, note(&"x".repeat(NOTE_BYTES))).unwrap();
    }
    assert!(matches!(attachments.note(one, 0, note("")), Err(StoreError::Full { .. })));
    assert_eq!(read(&attachments, one, 0).unwrap(), b"text");
}

#[test]
fn what_is_removed_is_gone_and_what_is_being_copied_goes_when_that_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let (records, attachments) = opened(dir.path());
    let (one, two) = (record(&records, 1), record(&records, 2));
    for name in ["a", "b", "c"] {
        add(&attachments, one, name, b"text");
    }
    add(&attachments, two, "d", b"text");
    attachments.remove(one, 1).unwrap().unwrap();
    assert!(attachments.remove(one, 1).unwrap().is_none());
    assert_eq!(files(dir.path()), 3);
    let pinned = attachments.pinned();
    attachments.remove_all(one).unwrap();
    assert_eq!((attachments.list(one).unwrap().len(), files(dir.path())), (0, 3));
    drop(pinned);
    assert_eq!(files(dir.path()), 1);
    assert_eq!(read(&attachments, two, 0).unwrap(), b"text");
}

#[test]
fn what_a_stop_left_behind_is_cleared_away_at_opening_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let (one, two) = {
        let (records, attachments) = opened(home);
        let (one, two) = (record(&records, 1), record(&records, 2));
        add(&attachments, one, "a", b"kept");
        add(&attachments, two, "b", b"of a record that is erased");
        // Erased, and stopped before its attachments were.
        records.erase(two).unwrap();
        (one, two)
    };
    fs::write(home.join(ATTACHMENTS).join("0".repeat(32)), b"durable, never named").unwrap();
    fs::write(home.join(ATTACHMENTS).join(format!("{}.new", "1".repeat(32))), b"half").unwrap();
    assert_eq!(files(home), 4);
    let (_, attachments) = opened(home);
    assert_eq!(files(home), 1);
    assert_eq!(read(&attachments, one, 0).unwrap(), b"kept");
    assert!(attachments.list(two).unwrap().is_empty());
}

#[test]
fn a_record_that_is_gone_by_the_time_all_is_read_keeps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (records, attachments) = opened(dir.path());
    let one = record(&records, 1);
    // It is erased once half of the file is read.
    let mut erased = false;
    let kept = attachments.add(one, "a", &b"text"[..], note(""), &mut |_| {
        erased = erased || records.erase(one).unwrap();
    });
    assert!(erased && kept.unwrap().is_none());
    assert_eq!((attachments.list(one).unwrap().len(), files(dir.path())), (0, 0));
}

#[test]
fn a_missing_a_swapped_or_a_changed_file_is_told_and_never_read_as_another() {
    let dir = tempfile::tempdir().unwrap();
    let (records, attachments) = opened(dir.path());
    let one = record(&records, 1);
    add(&attachments, one, "a", b"first");
    add(&attachments, one, "b", b"other");
    let paths: Vec<PathBuf> =
        fs::read_dir(dir.path().join(ATTACHMENTS)).unwrap().map(|f| f.unwrap().path()).collect();
    let (a, b) = (fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    fs::write(&paths[0], &b).unwrap();
    fs::write(&paths[1], &a).unwrap();
    for number in [0, 1] {
        assert!(matches!(read(&attachments, one, number), Err(StoreError::Damaged(_))), "{number}");
    }
    fs::remove_file(&paths[0]).unwrap();
    fs::write(&paths[1], &b).unwrap();
    let told: Vec<bool> = [0, 1].map(|n| read(&attachments, one, n).is_ok()).into();
    assert_eq!(told.iter().filter(|ok| **ok).count(), 1);
}

#[test]
fn a_check_opens_every_file_and_finds_a_flipped_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (records, attachments) = opened(dir.path());
    let (one, two) = (record(&records, 1), record(&records, 2));
    add(&attachments, one, "a", &vec![1; 700_000]);
    add(&attachments, two, "b", b"other");
    let mut told = 0;
    assert_eq!(attachments.check(&mut |bytes| told = bytes).unwrap(), 2);
    assert_eq!(told, 700_005);
    let file = fs::read_dir(dir.path().join(ATTACHMENTS)).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(file, bytes).unwrap();
    assert!(matches!(attachments.check(&mut |_| ()), Err(StoreError::Damaged(_))));
}

fn master(home: &Path) -> SecretKey {
    keyring::open(&keyring::path(home), &(&passphrase()).into()).unwrap().master
}

/// Every value that the store holds of attachments, opened as whoever has the master key opens it.
fn values(vault: &Vault) -> Vec<(u64, Zeroizing<Vec<u8>>)> {
    vault.scan_from(Kind::Attachment, 0).map(Result::unwrap).collect()
}

/// What anyone can make of a value with the keys of records that are left.
fn readable(keys: &TestKeys, place: u64, value: &[u8]) -> Option<Entry> {
    let file = file_of(value).unwrap();
    (0..1024).filter_map(|n| keys.record(n)).find_map(|key| {
        let crypter = Crypter::new(&key.derive("attachment"));
        let sealed = &value[1 + FILE_ID..];
        let plain = crypter.open_bare(&known_at(place, &file), FORM.into(), sealed, "x").ok()?;
        entry_of(place, file, &plain).ok()
    })
}

/// Every byte that was ever on the disk is kept, the keys that are left are all known, and so is the passphrase.
#[test]
fn an_attachment_of_an_erased_record_opens_with_no_key_that_remains_also_from_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (records, attachments) = opened(dir.path());
    let (one, two) = (record(&records, 1), record(&records, 2));
    add(&attachments, one, "erased.png", b"of the one who is erased");
    add(&attachments, two, "kept.png", b"of another");
    let before = values(records.vault());
    let files: Vec<_> = fs::read_dir(dir.path().join(ATTACHMENTS))
        .unwrap()
        .map(|f| fs::read(f.unwrap().path()).unwrap())
        .collect();
    let master = master(dir.path());
    let readable = |place, value| readable(&test_keys(dir.path(), &master), place, value);
    // With the record's key all of it opens: what is looked for below can be found.
    let keys: Vec<SecretKey> =
        before.iter().map(|(place, value)| readable(*place, value).unwrap().key).collect();
    assert!(records.erase(one).unwrap());
    attachments.remove_all(one).unwrap();
    for (place, value) in &before {
        let entry = readable(*place, value);
        assert_eq!(entry.is_some(), record_of(*place) == two, "{place}");
        // Nor does the master key alone show its key, name, hash or notes.
        for secret in [b"erased.png".as_slice(), b"from a phone", keys[0].bytes(), keys[1].bytes()] {
            assert!(!value.windows(secret.len()).any(|w| w == secret));
        }
    }
    // The files that were copied open with the keys that are gone, and with no other.
    let opens = |key: &SecretKey, value: &[u8]| {
        let bound = bound(&file_of(value).unwrap());
        let sealed = stream::Sealed { bytes: 10, sha256: [0; 32] };
        files.iter().any(|file| {
            let mut to = Vec::new();
            let _ = stream::open(key, &bound, &file[..], &sealed, &mut to, &mut |_| {});
            !to.is_empty()
        })
    };
    assert!(before.iter().zip(&keys).all(|((_, value), key)| opens(key, value)));
    let left = readable(before[1].0, &before[1].1).unwrap().key;
    assert!(!opens(&left, &before[0].1));
    assert_eq!(read(&attachments, two, 0).unwrap(), b"of another");
}

/// Writes an attachment as format 2 did: its key under the vault's own.
fn as_format_2(attachments: &Attachments, record: RecordNumber, number: u32, name: &str, text: &[u8]) {
    let (file, key, sealed) = attachments.write(text, &mut |_| ()).unwrap();
    let known = Attachment {
        number,
        name: name.to_owned(),
        bytes: sealed.bytes,
        sha256: Digest::from_bytes(sealed.sha256),
        custody: vec![note("from a phone")],
    };
    let json = serde_json::to_vec(&known).unwrap();
    let value = [&[1u8], file.as_slice(), key.bytes(), &json].concat();
    let mut txn = attachments.vault.begin();
    txn.put_at(Kind::Attachment, place_of(record, number), &value).unwrap();
    txn.put(Kind::Format, b"", &2u16.to_be_bytes()).unwrap();
    txn.commit().unwrap();
}

#[test]
fn attachments_of_format_2_are_sealed_anew_under_keys_of_their_records_and_damaged_ones_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two, damaged);
    {
        let (records, attachments) = opened(dir.path());
        (one, two) = (record(&records, 1), record(&records, 2));
        for (number, text) in [(0, &b"first"[..]), (1, &vec![7; 600_000]), (2, b"to be damaged")] {
            as_format_2(&attachments, one, number, "shot.png", text);
        }
        as_format_2(&attachments, two, 0, "of another", b"second");
        damaged = attachments.path(&old_file(&records, one, 2));
    }
    let mut bytes = fs::read(&damaged).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    let names = || -> HashSet<_> {
        fs::read_dir(dir.path().join(ATTACHMENTS)).unwrap().map(|f| f.unwrap().file_name()).collect()
    };
    let old_files = names();
    let opened_now = Vault::open(dir.path(), &passphrase());
    assert!(matches!(opened_now, Err(StoreError::Older { found: 2, known: 3 })), "{opened_now:?}");
    let remake = |_: &Vault, _: OldRecord| Err(StoreError::Random);
    // Stopped once the first is done, by a file that cannot be written; then it goes on.
    let hidden = dir.path().join("hidden");
    let upgrade = Upgrade::begin(dir.path(), &passphrase()).unwrap().unwrap();
    let stopped = upgrade.run(remake, &mut |_| {
        fs::rename(dir.path().join(ATTACHMENTS), &hidden).unwrap();
        fs::write(dir.path().join(ATTACHMENTS), b"no folder").unwrap();
    });
    assert!(matches!(stopped, Err(StoreError::Io { .. })), "{stopped:?}");
    fs::remove_file(dir.path().join(ATTACHMENTS)).unwrap();
    fs::rename(&hidden, dir.path().join(ATTACHMENTS)).unwrap();
    let upgrade = Upgrade::begin(dir.path(), &passphrase()).unwrap().unwrap();
    assert_eq!(upgrade.run(remake, &mut |_| ()).unwrap(), 2);
    assert!(Upgrade::begin(dir.path(), &passphrase()).unwrap().is_none());
    let (records, attachments) = opened(dir.path());
    assert_eq!(read(&attachments, one, 0).unwrap(), b"first");
    assert_eq!(read(&attachments, one, 1).unwrap(), vec![7; 600_000]);
    assert_eq!(read(&attachments, two, 0).unwrap(), b"second");
    assert_eq!(attachments.list(one).unwrap()[1].custody, [note("from a phone")]);
    // What is damaged is known as before, and its file is what it was.
    assert!(matches!(read(&attachments, one, 2), Err(StoreError::Damaged(_))));
    assert_eq!(
        (attachments.list(one).unwrap()[2].name.as_str(), fs::read(&damaged).unwrap()),
        ("shot.png", bytes)
    );
    // Every other file is a new one, under a new key.
    let kept: Vec<_> = names().intersection(&old_files).cloned().collect();
    assert_eq!(kept, [damaged.file_name().unwrap()]);
    let keys = test_keys(dir.path(), &master(dir.path()));
    assert!(values(records.vault()).iter().all(|(place, value)| readable(&keys, *place, value).is_some()));
}

/// The file of an attachment of format 2.
fn old_file(records: &Records, record: RecordNumber, number: u32) -> [u8; FILE_ID] {
    let value = records.vault().get_at(Kind::Attachment, place_of(record, number)).unwrap().unwrap();
    *value[1..].first_chunk().unwrap()
}
