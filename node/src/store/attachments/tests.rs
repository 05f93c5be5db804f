use super::*;
use crate::store::{KdfParams, NewRecord, Passphrase, ROW_BYTES, Records};

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery".into())
}

fn opened(home: &Path) -> (Records, Attachments) {
    let vault = match Vault::open(home, &passphrase()) {
        Err(StoreError::NoVault(_)) => Vault::create(home, &passphrase(), KdfParams::FLOOR),
        other => other,
    };
    let vault = Arc::new(vault.unwrap());
    let records = Records::open(Arc::clone(&vault)).unwrap();
    let attachments = Attachments::open(vault, |n| Ok(records.body(n)?.is_some())).unwrap();
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
    attachments.add(record, || Ok(true), name, text, note("from a phone"), &mut |_| {}).unwrap().unwrap()
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
    let kept = attachments.add(one, || Ok(false), "a", &b"text"[..], note(""), &mut |_| {}).unwrap();
    assert!(kept.is_none());
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
