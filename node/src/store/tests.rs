//! The vault as a whole: what is acknowledged stays, what is damaged is found, what is secret is nowhere.

use std::{fs, path::Path, sync::Arc};

use zeroize::Zeroizing;

use super::*;

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery".into())
}

fn vault(home: &Path) -> Arc<Vault> {
    Arc::new(Vault::create(home, &passphrase(), KdfParams::FLOOR).unwrap())
}

fn reopened(home: &Path) -> Arc<Vault> {
    Arc::new(Vault::open(home, &passphrase()).unwrap())
}

fn new(n: u64) -> NewRecord {
    let mut row = [7; ROW_BYTES];
    row[1..9].copy_from_slice(&n.to_be_bytes());
    let mut source = [0; 32];
    source[..8].copy_from_slice(&n.to_be_bytes());
    NewRecord { source: Some(source), body: Zeroizing::new(format!("narrative-{n:06}").into_bytes()), row }
}

fn body(records: &Records, n: u64) -> Option<String> {
    records.body(RecordNumber(n)).unwrap().map(|b| String::from_utf8(b.to_vec()).unwrap())
}

#[test]
fn what_was_stored_is_there_after_opening_again_and_a_second_import_adds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    {
        let records = Records::open(vault(dir.path())).unwrap();
        let stored = records.insert((0..600).map(new).collect()).unwrap();
        assert!(matches!(stored[599], Stored::New(RecordNumber(599))));
    }
    let records = Records::open(reopened(dir.path())).unwrap();
    assert_eq!((records.count(), body(&records, 300).unwrap()), (600, "narrative-000300".into()));
    let again = records.insert((0..601).map(new).collect()).unwrap();
    assert_eq!(again.iter().filter(|s| matches!(s, Stored::New(_))).count(), 1);
    let within = records.insert(vec![new(900), new(900)]).unwrap();
    assert_eq!(within, [Stored::New(RecordNumber(601)), Stored::Duplicate(RecordNumber(601))]);
    records.check().unwrap();
}

#[test]
fn an_erased_record_is_in_no_list_and_no_statistic_and_its_number_is_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    {
        let records = Records::open(vault(dir.path())).unwrap();
        records.insert((0..3).map(new).collect()).unwrap();
        assert!(records.erase(RecordNumber(2)).unwrap());
        assert!(!records.erase(RecordNumber(2)).unwrap());
    }
    let records = Records::open(reopened(dir.path())).unwrap();
    assert_eq!((records.count(), body(&records, 2)), (2, None));
    assert_eq!(records.with_rows(|rows| rows.count()), 2);
    let again = records.insert(vec![new(2)]).unwrap();
    assert_eq!(again, [Stored::New(RecordNumber(3))], "a deliberate import may bring it back");
    records.check().unwrap();
}

#[test]
fn every_commit_is_synced_before_it_returns() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path());
    let records = Records::open(Arc::clone(&vault)).unwrap();
    for n in 0..5 {
        let before = vault.engine().syncs();
        records.insert(vec![new(n)]).unwrap();
        assert_eq!(vault.engine().syncs(), before + 1);
    }
}

#[test]
fn nothing_of_a_record_is_readable_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    {
        let records = Records::open(vault(dir.path())).unwrap();
        records.insert((0..50).map(new).collect()).unwrap();
    }
    let mut read = 0;
    for file in files(dir.path()) {
        let bytes = fs::read(&file).unwrap();
        read += bytes.len();
        for secret in [b"narrative-".as_slice(), b"correct horse", &new(3).source.unwrap(), &new(3).row[..9]]
        {
            let found = bytes.windows(secret.len()).any(|w| w == secret);
            assert!(!found, "{} holds a secret", file.display());
        }
    }
    assert!(read > 5_000, "nothing was read");
}

#[test]
fn a_second_opener_and_a_wrong_passphrase_and_no_vault_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let open = vault(dir.path());
    assert!(matches!(Vault::open(dir.path(), &passphrase()), Err(StoreError::InUse)));
    assert!(matches!(Vault::create(dir.path(), &passphrase(), KdfParams::FLOOR), Err(StoreError::Exists(_))));
    drop(open);
    let wrong = Passphrase::new("incorrect horse".into());
    assert!(matches!(Vault::open(dir.path(), &wrong), Err(StoreError::WrongPassphrase)));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Vault::open(empty.path(), &passphrase()), Err(StoreError::NoVault(_))));
}

#[test]
fn a_vault_whose_making_was_stopped_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    drop(vault(dir.path()));
    fs::remove_file(dir.path().join("keyring.json")).unwrap();
    assert!(matches!(Vault::open(dir.path(), &passphrase()), Err(StoreError::NoVault(_))));
    // A vault whose keyring is elsewhere, or still to be restored, is nobody's to clear away.
    let again = Vault::create(dir.path(), &passphrase(), KdfParams::FLOOR);
    assert!(matches!(again, Err(StoreError::Exists(_))) && dir.path().join("vault/db").exists());
    // One that was being made says so.
    fs::write(dir.path().join("unfinished"), b"").unwrap();
    drop(vault(dir.path()));
    drop(reopened(dir.path()));
}

#[test]
fn nothing_that_a_promise_rests_on_is_read_once_a_write_has_failed() {
    let dir = tempfile::tempdir().unwrap();
    let vault = vault(dir.path());
    let ledger = Ledger::open(Arc::clone(&vault), no_caps()).unwrap();
    let plan = hedgerow_protocol::id::Id::of(b"plan");
    assert!(matches!(ledger.answer(&plan), Ok(None)));
    vault.halt_for_tests();
    assert!(matches!(ledger.answer(&plan), Err(StoreError::Halted)));
    let rounds = Rounds::new(vault);
    assert!(matches!(rounds.kept(&plan), Err(StoreError::Halted)));
    assert!(matches!(rounds.mark(&hedgerow_protocol::id::Id::of(b"round")), Err(StoreError::Halted)));
}

fn no_caps() -> hedgerow_protocol::privacy::Caps {
    hedgerow_protocol::privacy::Caps {
        total: hedgerow_protocol::privacy::MicroEpsilon::from_micros(1),
        by_purpose: std::collections::BTreeMap::new(),
        by_asker: None,
        accounting: Default::default(),
        unit: Default::default(),
    }
}

mod library {
    use hedgerow_protocol::{
        document::NodeSecret,
        id::{Digest, Id, NodeId},
        indicator::{Observable, StixObject, Tlp, lint, split},
        time::Timestamp,
    };

    use super::{super::vault::Kind, *};
    use hedgerow_protocol::document::Signed;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds).unwrap()
    }

    fn secret(n: u8) -> NodeSecret {
        NodeSecret::from_seed(&[n; 32])
    }

    fn indicator(owner: NodeId, value: &str, seconds: i64) -> StixObject {
        StixObject::indicator(&Observable::guess(value).unwrap(), None, None, at(seconds)).owned_by(&owner)
    }

    fn publish(library: &Library, by: &NodeSecret, objects: Vec<StixObject>, seconds: i64) -> Taken {
        let mut taken = Taken::default();
        for batch in split(lint(objects, Tlp::Green, true).0, Id::of(b"charter"), at(seconds)) {
            let signed = Signed::new(batch, by).unwrap();
            taken = library.take(&signed, by.node_id(), Digest::of(b"document"), at(seconds)).unwrap();
        }
        taken
    }

    /// A member that signs an indicator first, revoked, keeps nobody from publishing it.
    #[test]
    fn a_revocation_by_another_does_not_stand_in_the_way_of_ones_own() {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::open(vault(dir.path())).unwrap();
        let (own, other) = (secret(1), secret(2));
        let theirs = indicator(other.node_id(), "evil.example", 0);
        publish(&library, &other, vec![theirs.revoked_at(at(1))], 2);
        let mine = indicator(own.node_id(), "evil.example", 3);
        assert_eq!(library.add_drafts(vec![mine.clone()], own.node_id(), at(3)).unwrap(), [true]);
        assert_eq!(publish(&library, &own, vec![mine], 4).stored, 1);
        // While another's is live, one's own adds nothing.
        let live = indicator(other.node_id(), "live.example", 0);
        publish(&library, &other, vec![live], 5);
        let mine = indicator(own.node_id(), "live.example", 6);
        assert_eq!(library.add_drafts(vec![mine], own.node_id(), at(6)).unwrap(), [false]);
    }

    #[test]
    fn the_next_version_of_ones_own_is_published_once_and_what_others_sign_never_touches_a_draft() {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::open(vault(dir.path())).unwrap();
        let (own, other) = (secret(1), secret(2));
        let first = indicator(own.node_id(), "evil.example", 0);
        publish(&library, &own, vec![first.clone()], 1);
        let mut next = first.to_value();
        next["modified"] = "2024-01-01T00:00:00.000Z".into();
        next["name"] = "more is known".into();
        let next = StixObject::parse(next).unwrap();
        assert_eq!(library.add_drafts(vec![next.clone()], own.node_id(), at(9)).unwrap(), [true]);
        let draft = library.draft(next.id()).unwrap().unwrap();
        assert!(draft.is_draft() && !library.entry(next.id()).unwrap().unwrap().is_draft());
        // Another member signs the id of the draft, and of a draft that nobody published.
        assert_eq!(publish(&library, &other, vec![next.clone()], 100_000_000).rejected.len(), 1);
        assert_eq!(publish(&library, &own, vec![next.clone()], 100_000_000).updated, 1);
        library.forget([next.id()]).unwrap();
        assert!(library.drafts().unwrap().is_empty());
    }

    /// Drafts used to lie among what is published.
    #[test]
    fn drafts_of_a_vault_from_before_they_were_kept_apart_are_moved() {
        let dir = tempfile::tempdir().unwrap();
        let object = indicator(secret(1).node_id(), "evil.example", 0);
        {
            let vault = vault(dir.path());
            let entry = Entry { owner: None, batch: None, at: at(0), object: object.clone() };
            let mut txn = vault.begin();
            txn.put(Kind::Object, object.id().as_bytes(), &serde_json::to_vec(&entry).unwrap()).unwrap();
            txn.commit().unwrap();
        }
        let library = Library::open(reopened(dir.path())).unwrap();
        assert_eq!(library.entry(object.id()).unwrap(), None);
        assert_eq!(library.drafts().unwrap().len(), 1);
        assert_eq!(library.count().unwrap(), (0, 1));
    }
}

#[test]
fn a_lost_or_emptied_store_is_damage_and_not_an_empty_vault() {
    let dir = tempfile::tempdir().unwrap();
    drop(vault(dir.path()));
    fs::remove_dir_all(dir.path().join("vault")).unwrap();
    assert!(matches!(Vault::open(dir.path(), &passphrase()), Err(StoreError::Damaged(_))));
    fs::create_dir(dir.path().join("vault")).unwrap();
    fs::write(dir.path().join("vault/db"), b"").unwrap();
    assert!(matches!(Vault::open(dir.path(), &passphrase()), Err(StoreError::Damaged(_))));
}

#[test]
fn a_value_moved_to_another_place_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    {
        let records = Records::open(vault(dir.path())).unwrap();
        records.insert((0..2).map(new).collect()).unwrap();
    }
    {
        // What someone with the disk, and not the key, could do.
        let raw = sled::Config::new().path(dir.path().join("vault")).segment_size(8 << 20).open().unwrap();
        let key = |n: u64| [&[Kind::Record as u8][..], &n.to_be_bytes()].concat();
        let (a, b) = (raw.get(key(0)).unwrap().unwrap(), raw.get(key(1)).unwrap().unwrap());
        raw.insert(key(0), b).unwrap();
        raw.insert(key(1), a).unwrap();
        raw.flush().unwrap();
    }
    let records = Records::open(reopened(dir.path())).unwrap();
    let error = records.body(RecordNumber(0)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged("a record does not open")), "{error}");
}

/// Single bits flipped over every file of a vault: each is found, or what is read is what was written.
#[test]
fn a_flipped_bit_is_found_or_harmless_and_never_gives_wrong_data() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    {
        let records = Records::open(vault(&home)).unwrap();
        records.insert((0..40).map(new).collect()).unwrap();
    }
    let whole: Vec<_> = files(&home).into_iter().map(|f| (fs::read(&f).unwrap(), f)).collect();
    let (mut found, mut harmless) = (0, 0);
    for round in 0..60usize {
        let copy = dir.path().join(format!("copy{round}"));
        for (bytes, file) in &whole {
            let to = copy.join(file.strip_prefix(&home).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, bytes).unwrap();
        }
        let (bytes, file) = &whole[round % whole.len()];
        if bytes.is_empty() {
            continue;
        }
        let bit = round.wrapping_mul(2_654_435_761) % (bytes.len() * 8);
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(copy.join(file.strip_prefix(&home).unwrap()), flipped).unwrap();
        let read = Vault::open(&copy, &passphrase()).and_then(|vault| {
            let records = Records::open(Arc::new(vault))?;
            records.check()?;
            (0..40).map(|n| records.body(RecordNumber(n))).collect::<Result<Vec<_>, _>>()
        });
        match read {
            Err(_) => found += 1,
            Ok(bodies) => {
                harmless += 1;
                for (n, body) in bodies.into_iter().enumerate() {
                    let expected = format!("narrative-{n:06}");
                    assert_eq!(body.as_deref().map(|b| b.as_slice()), Some(expected.as_bytes()), "bit {bit}");
                }
            }
        }
        fs::remove_dir_all(copy).unwrap();
    }
    assert!(found > 5, "{found} found, {harmless} harmless");
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn documents_are_paged_as_they_are_whole_and_held_once() {
    use hedgerow_protocol::{document::NodeSecret, id::Digest, wire::Spreading};
    let signer = NodeSecret::from_seed(&[1; 32]).node_id();
    let dir = tempfile::tempdir().unwrap();
    let long: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    let id = Digest::of(&long);
    {
        let documents = Documents::open(vault(dir.path())).unwrap();
        assert!(documents.insert(Spreading::Release, signer, &long).unwrap());
        assert!(!documents.insert(Spreading::Release, signer, &long).unwrap());
    }
    let documents = Documents::open(reopened(dir.path())).unwrap();
    assert_eq!(documents.read(&id).unwrap().unwrap(), long);
    let mut paged = Vec::new();
    loop {
        let page = documents.page(&id, paged.len() as u64, 65_536).unwrap().unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, long);
    assert_eq!(documents.page(&Digest::of(b"no"), 0, 9).unwrap(), None);
    assert_eq!(documents.inventory(0, 9).len(), 1);
    assert_eq!(documents.inventory(u64::MAX, 9).len(), 0);
}
