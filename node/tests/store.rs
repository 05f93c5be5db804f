//! What the vault promises when it is killed, cut short or out of room (docs/storage.md). A child process, which
//! is this test binary with `HEDGEROW_STORE_CHILD` set, does the writing.

#[cfg(test)]
mod support;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use hedgerow_node::store::{KdfParams, Records, StoreError, Stored, Vault};
use support::{Child, Limit, Told, create, files, new, open, passphrase};

/// Not a test by itself: the child's side of those below.
#[test]
fn child() {
    if let Some(home) = std::env::var_os(support::CHILD) {
        support::insert_until_stopped(Path::new(&home));
    }
}

#[test]
fn a_killed_node_has_lost_nothing_acknowledged_and_always_opens() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path());
    let mut told = Told::default();
    let mut stored = 0;
    // Milliseconds after the first acknowledgement; `None` is a kill while opening.
    let rounds =
        [Some(1), Some(40), Some(250), None, Some(3), Some(90), None, Some(400), Some(17), Some(160)];
    for (round, wait) in rounds.into_iter().enumerate() {
        let mut child = Child::start(dir.path(), Limit::None);
        match wait {
            Some(wait) => {
                child.await_acknowledgement();
                std::thread::sleep(Duration::from_millis(wait));
            }
            None => std::thread::sleep(Duration::from_millis(20 + 30 * round as u64)),
        }
        child.kill();
        child.tell(&mut told);
        drop(support::reopened(dir.path(), &told));
        stored = told.stored.len();
    }
    assert!(stored > 50, "{stored} records in all prove little");
    assert!(!told.erased.is_empty());
}

#[test]
fn a_full_disk_is_told_and_what_was_acknowledged_before_stays() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path());
    let before = fs::metadata(dir.path().join("vault/db")).unwrap().len();
    let mut told = Told::default();
    // The log grows by segments of 8 MiB: room for one of them and part of the next.
    let mut child = Child::start(dir.path(), Limit::FileBytes(before + 12 * 1024 * 1024));
    child.wait();
    child.tell(&mut told);
    assert!(!told.stored.is_empty(), "{told:?}");
    // An erasure that was committed before the disk was full is finished at the next opening.
    assert!(matches!(told.error.as_deref(), Some("DiskFull" | "Unfinished(DiskFull)")), "{told:?}");
    // A read that needs what the failed write held may be refused too; which, depends on the moment.
    assert!(matches!(told.after.as_deref(), Some("Halted" | "DiskFull")), "{told:?}");
    assert_eq!(told.wrong, Some(false), "after a failure a read is right or refused");
    let records = support::reopened(dir.path(), &told);
    assert!(matches!(records.insert(vec![new(u64::MAX)]).unwrap()[..], [Stored::New(_)]));
    drop(records);
    told.stored.push(u64::MAX);
    drop(support::reopened(dir.path(), &told));
}

#[test]
fn a_disk_without_any_room_stores_nothing_says_so_and_spoils_nothing() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path());
    open(dir.path()).insert((0..200).map(new).collect()).unwrap();
    let mut child = Child::start(dir.path(), Limit::FileBytes(512));
    child.wait();
    let mut told = Told::default();
    child.tell(&mut told);
    assert_eq!(told.error.as_deref(), Some("DiskFull"), "{told:?}");
    assert!(told.stored.is_empty());
    told.stored.extend(0..200);
    drop(support::reopened(dir.path(), &told));
}

#[test]
fn a_second_process_is_told_that_the_vault_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path());
    let _open = open(dir.path());
    let mut child = Child::start(dir.path(), Limit::None);
    child.wait();
    let mut told = Told::default();
    child.tell(&mut told);
    assert_eq!(told.error.as_deref(), Some("InUse"));
}

#[test]
fn a_file_cut_short_is_found_or_harmless_and_never_fewer_records() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    create(&home);
    {
        let records = open(&home);
        for n in 0..30 {
            records.insert(vec![new(n)]).unwrap();
        }
    }
    let mut found = 0;
    for (nth, file) in files(&home).into_iter().enumerate() {
        let whole = fs::read(&file).unwrap();
        for part in 0..6 {
            let copy = dir.path().join(format!("copy{nth}-{part}"));
            support::copy(&home, &copy);
            let cut = copy.join(file.strip_prefix(&home).unwrap());
            fs::write(&cut, &whole[..whole.len() * part / 6]).unwrap();
            let read = Vault::open(&copy, &passphrase())
                .and_then(|vault| Records::open(vault.into()))
                .and_then(|records| records.check().map(|()| records.count()));
            match read {
                Ok(count) => assert_eq!(count, 30, "{} cut to {part}/6", file.display()),
                Err(StoreError::Damaged(_) | StoreError::Keyring { .. }) => found += 1,
                Err(other) => panic!("{} cut to {part}/6: {other}", file.display()),
            }
            fs::remove_dir_all(copy).unwrap();
        }
    }
    assert!(found > 6, "{found}");
}

#[test]
fn an_older_copy_of_the_store_put_back_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    create(&home);
    open(&home).insert((0..3).map(new).collect()).unwrap();
    let older = dir.path().join("older");
    support::copy(&home.join("vault"), &older);
    open(&home).insert((3..6).map(new).collect()).unwrap();
    fs::remove_dir_all(home.join("vault")).unwrap();
    support::copy(&older, &home.join("vault"));
    assert!(matches!(Vault::open(&home, &passphrase()), Err(StoreError::Damaged(_))));
}

#[test]
fn folder_keyring_and_store_are_for_their_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("a/b");
    create(&home);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    for path in [home.clone(), home.join("vault"), home.join("keyring.json"), home.join("head")] {
        assert_eq!(mode(&path), 0, "{}", path.display());
    }
}

#[test]
fn parameters_below_the_floor_or_above_the_ceiling_make_no_vault() {
    let floor = KdfParams::FLOOR;
    for kdf in [
        KdfParams { m_kib: floor.m_kib - 1, ..floor },
        KdfParams { t: floor.t - 1, ..floor },
        KdfParams { m_kib: 1024 * 1024 + 1, ..floor },
        KdfParams { t: 17, ..floor },
        KdfParams { p: 5, ..floor },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let made = Vault::create(dir.path(), &passphrase(), kdf);
        assert!(matches!(made, Err(StoreError::UnsafeKdf)), "{kdf:?}");
        assert!(matches!(Vault::open(dir.path(), &passphrase()), Err(StoreError::NoVault(_))));
    }
}
