//! What must hold where something fails in the middle: a commit, a backup beside an erasure, keys that lie elsewhere.

use std::os::unix::fs::symlink;

use super::{
    super::{crypter::version, keyring},
    *,
};

#[test]
fn after_a_failed_commit_nothing_is_written_over_what_it_may_have_left() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path());
    let records = Records::open(Arc::clone(&vault)).unwrap();
    // More than eight lie in the file of bodies.
    records.insert((0..40).map(new).collect()).unwrap();
    let log = || fs::read(dir.path().join("records")).unwrap();
    let keys = || key_files(dir.path()).map(|path| fs::read(path).ok());
    let (bodies, before) = (log(), keys());
    vault.halt();
    let halted = |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::Halted)));
    halted(records.insert((40..80).map(new).collect()).map(drop));
    halted(records.replace(RecordNumber(3), &new(3)).map(drop));
    halted(records.erase(RecordNumber(4)).map(drop));
    assert!(log() == bodies && keys() == before, "something was written");
}

#[test]
fn an_erasure_whose_keys_cannot_be_written_says_that_it_is_one_and_is_finished_at_opening() {
    let dir = tempfile::tempdir().unwrap();
    let records = Records::open(vault(dir.path())).unwrap();
    records.insert((0..40).map(new).collect()).unwrap();
    let keys = || fs::read(dir.path().join("epoch")).unwrap();
    let before = keys();
    // In the way of the new file.
    fs::create_dir(dir.path().join("keys.new")).unwrap();
    let erased = records.erase(RecordNumber(4));
    assert!(matches!(erased, Err(StoreError::Unfinished(_))), "{erased:?}");
    assert!(matches!(records.insert(vec![new(41)]), Err(StoreError::Halted)));
    assert!(keys() == before);
    drop(records);
    fs::remove_dir(dir.path().join("keys.new")).unwrap();
    let records = Records::open(reopened(dir.path())).unwrap();
    assert_eq!((body(&records, 4), records.count()), (None, 39));
    assert!(keys() != before);
}

/// A backup reads the files of keys and the values of one moment, also where an erasure is under way beside it.
#[test]
fn a_backup_beside_erasures_has_the_keys_that_its_values_need() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path());
    let records = Arc::new(Records::open(Arc::clone(&vault)).unwrap());
    records.insert((0..300).map(new).collect()).unwrap();
    let erasing = {
        let records = Arc::clone(&records);
        std::thread::spawn(move || (0..120).for_each(|n| assert!(records.erase(RecordNumber(n)).unwrap())))
    };
    let attachments = Attachments::open(Arc::clone(&records)).unwrap();
    let mut backups = Vec::new();
    while !erasing.is_finished() {
        let mut bytes = Vec::new();
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        archive::write(&vault, &attachments, at, &mut bytes, &mut |_| ()).unwrap();
        backups.push(bytes);
    }
    erasing.join().unwrap();
    assert!(backups.len() > 2, "{} backups", backups.len());
    for bytes in backups {
        let into = tempfile::tempdir().unwrap();
        let unpacked = archive::unpack(&bytes[..], into.path(), &mut |_| ()).unwrap();
        let restored = reopened(into.path());
        unpacked.prove(&restored).unwrap();
        // The keys were turned with the erasure, and not only after it: nothing is left to be turned.
        if let Some(sealed) = restored.get(Kind::Erasure, b"erasure").unwrap() {
            let epoch = fs::read(into.path().join("epoch")).unwrap();
            assert!(version(&epoch) > version(&sealed), "between an erasure and its keys");
        }
        let records = Records::open(restored).unwrap();
        records.check().unwrap();
        assert!(records.count() >= 180 && body(&records, 299).is_some());
    }
}

#[test]
fn a_keyring_on_a_stick_stays_there_when_it_changes() {
    let (dir, stick) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(vault(dir.path()));
    let (path, target) = (dir.path().join("keyring.json"), stick.path().join("keyring.json"));
    fs::rename(&path, &target).unwrap();
    symlink(&target, &path).unwrap();
    let vault = reopened(dir.path());
    let people = People::open(Arc::clone(&vault)).unwrap();
    let before = fs::read(&target).unwrap();
    people.set_passphrase(&vault.opener().name, &Passphrase::new("another passphrase".into())).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert!(fs::read(&target).unwrap() != before);
    // Without the stick there is a vault all the same, which nobody makes anew.
    fs::remove_file(&target).unwrap();
    let made = Vault::create(dir.path(), &passphrase(), KdfParams::FLOOR);
    assert!(matches!(made, Err(StoreError::Exists(_))), "{made:?}");
}

#[test]
fn a_vault_with_the_mark_of_its_making_still_there_is_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let records = Records::open(vault(dir.path())).unwrap();
    records.insert(vec![new(1)]).unwrap();
    drop(records);
    fs::write(dir.path().join("unfinished"), b"").unwrap();
    let made = Vault::create(dir.path(), &passphrase(), KdfParams::FLOOR);
    assert!(matches!(made, Err(StoreError::Exists(_))), "{made:?}");
    assert_eq!(Records::open(reopened(dir.path())).unwrap().count(), 1);
}

#[test]
fn an_old_keyring_put_back_under_an_open_vault_admits_nobody_and_is_not_built_upon() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path());
    let people = People::open(Arc::clone(&vault)).unwrap();
    let path = keyring::path(dir.path());
    let old = fs::read(&path).unwrap();
    people.set_passphrase(&vault.opener().name, &Passphrase::new("another passphrase".into())).unwrap();
    fs::write(&path, old).unwrap();
    let passphrase = Passphrase::new("yet another one".into());
    let refused = |result: Result<(), StoreError>| {
        assert!(matches!(result, Err(StoreError::OldKeyring { .. })), "{result:?}");
    };
    refused(people.set_passphrase(&vault.opener().name, &passphrase));
    refused(people.user(&vault.opener().name).map(drop));
}

/// Words of scripts without spaces are many: they do not have to fit beside the few records that lie in the store.
#[test]
fn a_record_of_very_many_words_is_stored_alone_and_found() {
    let dir = tempfile::tempdir().unwrap();
    let records = Records::open(vault(dir.path())).unwrap();
    let many = |n: u64| NewRecord { words: (0..20_000).map(|w| w + n as u32 * 100_000).collect(), ..new(n) };
    for n in 0..3 {
        records.insert(vec![many(n)]).unwrap();
    }
    records.replace(RecordNumber(1), &many(7)).unwrap();
    assert!(records.erase(RecordNumber(0)).unwrap());
    drop(records);
    let records = Records::open(reopened(dir.path())).unwrap();
    records.check().unwrap();
    assert_eq!((records.count(), body(&records, 1).unwrap()), (2, "narrative-000007".into()));
}

#[test]
fn what_could_not_be_restored_is_not_backed_up() {
    let dir = tempfile::tempdir().unwrap();
    let records = Arc::new(Records::open(vault(dir.path())).unwrap());
    let attachments = Attachments::open(Arc::clone(&records)).unwrap();
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let back_up = || archive::write(records.vault(), &attachments, at, std::io::sink(), &mut |_| ());
    back_up().unwrap();
    // Long, and with nothing in it on the disk.
    let card = fs::File::create(dir.path().join("member.json")).unwrap();
    card.set_len((1 << 30) + 1).unwrap();
    assert!(matches!(back_up(), Err(StoreError::Full { .. })));
}
