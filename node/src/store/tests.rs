//! The vault as a whole: what is acknowledged stays, what is damaged is found, what is secret is nowhere.

mod faults;
mod ledger;

use std::{fs, path::Path, sync::Arc};

use zeroize::Zeroizing;

use super::*;

mod records;

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
    NewRecord {
        source: Some(source),
        body: Zeroizing::new(format!("narrative-{n:06}").into_bytes()),
        row,
        words: vec![n as u32],
    }
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
    assert_eq!(records.rows().iter().count(), 2);
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
    vault.halt();
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
        document::{NodeSecret, Signed},
        id::{Digest, Id},
        indicator::{Batch, IdSpace, Observable, SignedBatch, StixObject, Tlp, lint},
        time::Timestamp,
        wire::Spreading,
    };

    use super::{super::vault::Kind, *};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds).unwrap()
    }

    fn secret(n: u8) -> NodeSecret {
        NodeSecret::from_seed(&[n; 32])
    }

    fn indicator(owner: &NodeSecret, value: &str, seconds: i64) -> StixObject {
        StixObject::indicator(&Observable::guess(value).unwrap(), None, None, at(seconds))
            .owned_by(&IdSpace::of(owner))
    }

    fn named(object: &StixObject, name: &str) -> StixObject {
        let mut value = object.to_value();
        value["name"] = name.into();
        StixObject::parse(value).unwrap()
    }

    /// A library with the documents that it lies in.
    struct Shelves {
        library: Library,
        documents: Documents,
    }

    impl Shelves {
        fn over(vault: Arc<Vault>) -> Self {
            let library = Library::open(Arc::clone(&vault)).unwrap();
            Self { library, documents: Documents::open(vault).unwrap() }
        }

        /// What `by` publishes comes in, held back where it says "held".
        fn publish(&self, by: &NodeSecret, objects: Vec<StixObject>, seconds: i64) -> Taken {
            let (linted, _) = lint(objects, Tlp::Green, true);
            let mut taken = Taken::default();
            for (batch, json) in SignedBatch::sign(linted, Id::of(b"charter"), at(seconds), by).unwrap() {
                taken = self.take(&batch, &json, seconds);
            }
            taken
        }

        fn take(&self, batch: &SignedBatch, json: &[u8], seconds: i64) -> Taken {
            let hold = |o: &StixObject| o.words().any(|w| w == "held");
            let own = batch.signer() == secret(1).node_id();
            let taking = Taking { now: at(seconds), own, hold: &hold };
            self.library.take(&self.documents, batch, json, &taking).unwrap()
        }

        fn ids(&self) -> Vec<String> {
            self.library.entries().unwrap().iter().map(|e| e.object.id().to_owned()).collect()
        }
    }

    /// A member that signs an indicator first, revoked, keeps nobody from publishing it.
    #[test]
    fn a_revocation_by_another_does_not_stand_in_the_way_of_ones_own() {
        let dir = tempfile::tempdir().unwrap();
        let shelves = Shelves::over(vault(dir.path()));
        let (own, other) = (secret(1), secret(2));
        let theirs = indicator(&other, "evil.example", 0);
        shelves.publish(&other, vec![theirs.revoked_at(at(1))], 2);
        let mine = indicator(&own, "evil.example", 3);
        let add = |object| shelves.library.add_drafts(vec![object], &[own.node_id()], at(3)).unwrap();
        assert_eq!(add(mine.clone()), [true]);
        assert_eq!(shelves.publish(&own, vec![mine], 4).stored, 1);
        // Nor does one that is live: it may be under a stricter label, or gone tomorrow.
        let live = indicator(&other, "live.example", 0);
        shelves.publish(&other, vec![live], 5);
        let mine = indicator(&own, "live.example", 6);
        assert_eq!(add(mine.clone()), [true]);
        // One's own does.
        assert_eq!(shelves.publish(&own, vec![mine], 7).stored, 1);
        assert_eq!(add(indicator(&own, "live.example", 8)), [false]);
    }

    #[test]
    fn what_stands_is_found_by_its_pattern_behind_what_was_held_back_or_revoked_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let shelves = Shelves::over(vault(dir.path()));
        let found =
            || shelves.library.with_pattern("domain evil.example").unwrap().map(|e| e.object.id().to_owned());
        let [first, second, third] = [2, 3, 4].map(secret);
        assert_eq!(found(), None);
        let stands = indicator(&first, "evil.example", 0);
        shelves.publish(&first, vec![stands.clone()], 1);
        shelves.publish(&second, vec![named(&indicator(&second, "evil.example", 0), "held")], 2);
        assert_eq!(found().as_deref(), Some(stands.id()));
        let gone = indicator(&third, "evil.example", 0);
        shelves.publish(&third, vec![gone.clone().revoked_at(at(1))], 3);
        assert_eq!(found().as_deref(), Some(stands.id()));
        // Of what was taken back by all, the latest.
        shelves.publish(&first, vec![stands.revoked_at(at(4))], 5);
        assert!(found().is_some());
    }

    #[test]
    fn the_next_version_of_ones_own_is_published_once_and_what_others_sign_never_touches_a_draft() {
        let dir = tempfile::tempdir().unwrap();
        let shelves = Shelves::over(vault(dir.path()));
        let library = &shelves.library;
        let (own, other) = (secret(1), secret(2));
        let first = indicator(&own, "evil.example", 0);
        shelves.publish(&own, vec![first.clone()], 1);
        let mut next = first.to_value();
        next["modified"] = "2024-01-01T00:00:00.000Z".into();
        next["name"] = "more is known".into();
        let next = StixObject::parse(next).unwrap();
        assert_eq!(library.add_drafts(vec![next.clone()], &[own.node_id()], at(9)).unwrap(), [true]);
        let draft = library.draft(next.id()).unwrap().unwrap();
        assert!(draft.is_draft() && !library.entry(next.id()).unwrap().unwrap().is_draft());
        // Another member signs the id of the draft, and of a draft that nobody published.
        assert_eq!(shelves.publish(&other, vec![next.clone()], 100_000_000).rejected.len(), 1);
        assert_eq!(library.drafts().unwrap().len(), 1);
        assert_eq!(shelves.publish(&own, vec![next.clone()], 100_000_000).updated, 1);
        assert!(library.drafts().unwrap().is_empty());
    }

    #[test]
    fn what_was_taken_in_is_there_in_order_after_opening_again_and_only_its_latest_version() {
        let dir = tempfile::tempdir().unwrap();
        let (own, other) = (secret(1), secret(2));
        // More than the rows of one value, and more than the bytes of one part.
        let many: Vec<StixObject> = (0..1500).map(|n| indicator(&own, &format!("h{n}.example"), 0)).collect();
        let theirs = indicator(&other, "evil.example", 0);
        let gone = theirs.clone().revoked_at(at(5));
        let before: Vec<(u64, Entry)> = {
            let shelves = Shelves::over(vault(dir.path()));
            assert_eq!(shelves.publish(&other, vec![theirs.clone()], 1).stored, 1);
            assert_eq!(shelves.publish(&own, many.clone(), 2).stored, 1500);
            assert_eq!(shelves.publish(&other, vec![gone.clone()], 9).updated, 1);
            assert_eq!(shelves.publish(&other, vec![theirs.clone()], 10).duplicates, 1);
            assert_eq!(shelves.documents.count(Spreading::Batch), 4, "what adds nothing is handed on, too");
            shelves.library.published(0).map(Result::unwrap).collect()
        };
        let shelves = Shelves::over(reopened(dir.path()));
        let after: Vec<(u64, Entry)> = shelves.library.published(0).map(Result::unwrap).collect();
        assert_eq!(before, after);
        assert_eq!(shelves.library.count(), (1501, 0));
        assert!(after.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(after.last().unwrap().1.object, gone.marked(Tlp::Green));
        let from = after[700].0;
        assert_eq!(shelves.library.published(from).map(Result::unwrap).next().unwrap(), after[700]);
        for object in [&many[0], &many[777], &many[1499]] {
            let entry = shelves.library.entry(object.id()).unwrap().unwrap();
            assert_eq!(entry.object, object.clone().marked(Tlp::Green));
        }
    }

    #[test]
    fn two_stories_are_kept_as_proof_and_handed_on_once() {
        let dir = tempfile::tempdir().unwrap();
        let other = secret(2);
        let one = indicator(&other, "evil.example", 0);
        let two = named(&one, "another story");
        {
            let shelves = Shelves::over(vault(dir.path()));
            shelves.publish(&other, vec![one.clone()], 1);
            assert_eq!(shelves.publish(&other, vec![two.clone()], 2).rejected.len(), 1);
            assert_eq!(shelves.documents.count(Spreading::Batch), 2, "both documents are handed on");
            shelves.publish(&other, vec![two.clone()], 2);
            assert_eq!(shelves.documents.count(Spreading::Batch), 2);
        }
        let shelves = Shelves::over(reopened(dir.path()));
        let [evidence] = shelves.library.evidence().try_into().unwrap();
        assert_eq!((evidence.signer, evidence.object.as_str()), (other.node_id(), one.id()));
        for (content, document) in [evidence.held, evidence.given] {
            let json = shelves.documents.read(&document).unwrap().unwrap();
            let batch = SignedBatch::open(&json).unwrap();
            assert!(batch.items().iter().any(|i| i.digest == content));
        }
        // A member that does it again and again is proven to a bound, and fills its own share.
        for n in 0..20 {
            shelves.publish(&other, vec![named(&one, &format!("story {n}"))], 3);
        }
        assert!(shelves.library.evidence().len() < 12);
        assert_eq!(shelves.documents.count(Spreading::Batch), 22);
    }

    #[test]
    fn what_is_held_back_is_in_no_list_until_it_is_released_and_a_later_version_is_looked_at_anew() {
        let dir = tempfile::tempdir().unwrap();
        let other = secret(2);
        let held = named(&indicator(&other, "a.example", 0), "held");
        let dropped = named(&indicator(&other, "b.example", 0), "held");
        {
            let shelves = Shelves::over(vault(dir.path()));
            let taken = shelves.publish(&other, vec![held.clone(), dropped.clone()], 1);
            assert_eq!((taken.stored, taken.quarantined), (2, 2));
            assert_eq!((shelves.ids().len(), shelves.library.quarantined().count()), (0, 2));
            let seen = 2;
            assert!(shelves.library.rule(held.id(), Verdict::Release).unwrap());
            assert_eq!(shelves.library.published(seen).count(), 1, "who read on from here has not passed it");
            assert!(shelves.library.rule(dropped.id(), Verdict::Drop).unwrap());
            assert!(!shelves.library.rule("indicator--none", Verdict::Drop).unwrap());
        }
        let shelves = Shelves::over(reopened(dir.path()));
        assert_eq!(shelves.ids(), [held.id()]);
        assert_eq!(shelves.library.quarantined().count(), 0);
        let mut next = held.to_value();
        next["modified"] = "2024-01-01T00:00:00.000Z".into();
        shelves.publish(&other, vec![StixObject::parse(next).unwrap()], 100_000_000);
        assert_eq!((shelves.ids().len(), shelves.library.quarantined().count()), (0, 1));
        // A revocation of what nobody here has seen is itself looked at; of what was seen once, it comes through.
        assert_eq!(shelves.publish(&other, vec![dropped.revoked_at(at(9))], 100_000_000).quarantined, 1);
        assert_eq!(shelves.ids().len(), 0);
        let held = shelves.library.entry(held.id()).unwrap().unwrap().object;
        drop(shelves);
        let shelves = Shelves::over(reopened(dir.path()));
        let gone = held.revoked_at(at(100_000_000));
        assert_eq!(shelves.publish(&other, vec![gone.clone()], 100_000_000).quarantined, 0);
        assert_eq!(shelves.ids(), [gone.id()]);
    }

    #[test]
    fn a_batch_of_version_1_is_taken_in() {
        let dir = tempfile::tempdir().unwrap();
        let other = secret(2);
        let object = indicator(&other, "evil.example", 0).marked(Tlp::Green);
        {
            let shelves = Shelves::over(vault(dir.path()));
            let batch = Batch {
                version: 1,
                charter: Id::of(b"charter"),
                published_at: at(1),
                tlp: Tlp::Green,
                objects: vec![object.clone()],
            };
            let json = Signed::new(batch, &other).unwrap().envelope().to_json().unwrap();
            let batch = SignedBatch::open(&json).unwrap();
            assert_eq!(shelves.take(&batch, &json, 1).stored, 1);
        }
        let shelves = Shelves::over(reopened(dir.path()));
        assert_eq!(shelves.library.entry(object.id()).unwrap().unwrap().object, object);
        // The same object in a batch of version 2 is a duplicate, not another story.
        assert_eq!(shelves.publish(&other, vec![object], 2).duplicates, 1);
    }

    /// One sealed value an object and one a pattern, drafts among them: how it was before.
    #[test]
    fn a_vault_from_before_objects_were_packed_is_packed_when_it_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (own, other) = (secret(1), secret(2));
        let draft = indicator(&own, "draft.example", 0);
        let published: Vec<StixObject> =
            (0..1200).map(|n| indicator(&other, &format!("h{n}.example"), 0).marked(Tlp::Green)).collect();
        {
            let vault = vault(dir.path());
            let mut txn = vault.begin();
            let mut put = |object: &StixObject, owner, batch| {
                let entry = Entry { owner, batch, at: at(0), object: object.clone() };
                let id = object.id().as_bytes();
                txn.put(Kind::Object, id, &serde_json::to_vec(&entry).unwrap()).unwrap();
                txn.put(Kind::Pattern, object.pattern().unwrap().key().as_bytes(), id).unwrap();
            };
            put(&draft, None, None);
            published.iter().for_each(|o| put(o, Some(other.node_id()), Some(Digest::of(b"document"))));
            txn.commit().unwrap();
        }
        for _ in 0..2 {
            let shelves = Shelves::over(reopened(dir.path()));
            assert_eq!(shelves.library.entry(draft.id()).unwrap(), None);
            assert_eq!(shelves.library.drafts().unwrap().len(), 1);
            assert_eq!(shelves.library.count(), (1200, 1));
            let entry = shelves.library.entry(published[7].id()).unwrap().unwrap();
            assert_eq!((entry.object, entry.batch), (published[7].clone(), Some(Digest::of(b"document"))));
            let again = indicator(&own, "h7.example", 3);
            let owner = other.node_id();
            assert_eq!(shelves.library.add_drafts(vec![again], &[owner], at(3)).unwrap(), [false]);
        }
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
fn documents_of_an_older_vault_get_the_dates_that_their_signers_gave_them() {
    use hedgerow_protocol::{
        document::{NodeSecret, Signed},
        id::{Digest, Id},
        reconcile::epoch_of,
        statistic::{Ground, Refusal},
        wire::Spreading,
    };
    let secret = NodeSecret::from_seed(&[1; 32]);
    let made_at = "2024-05-06T07:08:09Z".parse().unwrap();
    let refusal = Refusal { version: 1, query: Id::of(b"q"), ground: Ground::Expired, made_at };
    let json = Signed::new(refusal, &secret).unwrap().envelope().to_json().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let held = {
        let vault = vault(dir.path());
        let documents = Documents::open(Arc::clone(&vault)).unwrap();
        assert!(documents.insert(Spreading::Release, secret.node_id(), &json).unwrap());
        // As it was written before dates were kept.
        let entry = vault.get_at(Kind::Document, 0).unwrap().unwrap();
        let mut entry: serde_json::Value = serde_json::from_slice(&entry).unwrap();
        assert!(entry.as_object_mut().unwrap().remove("dated").is_some());
        let mut txn = vault.begin();
        txn.put_at(Kind::Document, 0, entry.to_string().as_bytes()).unwrap();
        txn.commit().unwrap();
        documents.epochs()
    };
    for _ in 0..2 {
        let vault = reopened(dir.path());
        let documents = Documents::open(Arc::clone(&vault)).unwrap();
        assert_eq!(documents.epochs(), held);
        assert_eq!(held[0].epoch, epoch_of(made_at));
        assert_eq!(documents.describe(&[Digest::of(&json), Digest::of(b"no")]).len(), 1);
        let entry = vault.get_at(Kind::Document, 0).unwrap().unwrap();
        assert!(String::from_utf8_lossy(&entry).contains("2024-05-06T07:08:09Z"), "and they are kept");
    }
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
