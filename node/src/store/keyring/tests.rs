//! A keyring opens to its users and to nobody else, and what it says of them cannot be changed without a key.

use std::{fs, path::PathBuf};

use super::*;

/// Written by a program that knew format 1 only; the master key is the bytes 0 to 31.
const FORMAT_1: &str = include_str!("format1.json");

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

fn open_as(path: &Path, user: Option<&str>, text: &str) -> Result<(SecretKey, User), StoreError> {
    let (user, passphrase) = (user.map(name), passphrase(text));
    let opened = open(path, &Unlock::Passphrase { user: user.as_ref(), passphrase: &passphrase })?;
    Ok((opened.master, opened.user))
}

fn opens(path: &Path, text: &str) -> Result<SecretKey, StoreError> {
    open_as(path, None, text).map(|(master, _)| master)
}

fn keyring() -> (tempfile::TempDir, PathBuf, SecretKey) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyring.json");
    let master = SecretKey::random().unwrap();
    create(&path, &master, &passphrase("correct horse"), KdfParams::FLOOR).unwrap();
    (dir, path, master)
}

fn loaded(path: &Path, master: &SecretKey) -> Keyring {
    read(path).unwrap().verified(master).unwrap()
}

fn with_two(path: &Path, master: &SecretKey) {
    let mut keyring = loaded(path, master);
    let user = User { name: name("mina"), roles: [Role::Caseworker].into() };
    keyring.add(user, master, &passphrase("battery staple"), KdfParams::FLOOR).unwrap();
    keyring.save(path, master).unwrap();
}

#[test]
fn the_passphrase_opens_it_with_or_without_a_line_end_and_another_does_not() {
    let (_dir, path, master) = keyring();
    assert_eq!(opens(&path, "correct horse\n").unwrap().bytes(), master.bytes());
    assert!(matches!(opens(&path, "correct hors"), Err(StoreError::WrongPassphrase)));
    assert!(matches!(
        create(&path, &master, &passphrase("short"), KdfParams::FLOOR),
        Err(StoreError::ShortPassphrase(_))
    ));
}

#[test]
fn each_user_opens_it_with_her_own_passphrase_and_as_herself() {
    let (_dir, path, master) = keyring();
    with_two(&path, &master);
    let (key, user) = open_as(&path, None, "battery staple").unwrap();
    assert_eq!((key.bytes(), user.roles_in_words().as_str()), (master.bytes(), "caseworker"));
    assert_eq!(open_as(&path, Some("owner"), "correct horse").unwrap().1, User::first());
    // Named, only her slot is tried.
    let other = open_as(&path, Some("mina"), "correct horse");
    assert!(matches!(other, Err(StoreError::WrongPassphrase)));
    assert!(matches!(open_as(&path, Some("nobody"), "correct horse"), Err(StoreError::NoUser(_))));
}

#[test]
fn a_user_removed_or_given_another_passphrase_opens_nothing_with_what_she_had() {
    let (_dir, path, master) = keyring();
    with_two(&path, &master);
    let mut keyring = loaded(&path, &master);
    keyring.set_passphrase(&name("owner"), &master, &passphrase("another horse"), KdfParams::FLOOR).unwrap();
    keyring.remove(&name("mina")).unwrap();
    assert_eq!(keyring.save(&path, &master).unwrap().generation(), 3);
    assert!(opens(&path, "battery staple").is_err() && opens(&path, "correct horse").is_err());
    assert_eq!(opens(&path, "another horse").unwrap().bytes(), master.bytes());
}

#[test]
fn the_last_operator_stays_and_names_are_given_once() {
    let (_dir, path, master) = keyring();
    with_two(&path, &master);
    let mut without = loaded(&path, &master);
    without.remove(&name("owner")).unwrap();
    assert!(matches!(without.save(&path, &master), Err(StoreError::LastOperator)));
    let mut demoted = loaded(&path, &master);
    demoted.set_roles(&name("owner"), [Role::Analyst].into()).unwrap();
    assert!(matches!(demoted.save(&path, &master), Err(StoreError::LastOperator)));
    let mut again = loaded(&path, &master);
    let twice = again.add(User::first(), &master, &passphrase("long enough"), KdfParams::FLOOR);
    assert!(matches!(twice, Err(StoreError::UserExists(_))));
}

#[test]
fn there_are_at_most_32_slots() {
    let (_dir, path, master) = keyring();
    let mut keyring = loaded(&path, &master);
    let slot = keyring.users[0].slots[0].clone();
    keyring.users[0].slots = vec![slot; SLOTS + 1];
    assert!(matches!(keyring.clone().save(&path, &master), Err(StoreError::TooManySlots(SLOTS))));
    keyring.users[0].slots.pop();
    keyring.save(&path, &master).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let crowded = text.replacen("\"slots\": [", "\"slots\": [{\"kind\":\"passphrase\",\"argon2id\":{\"m_kib\":19456,\"t\":2,\"p\":1},\"salt\":\"\",\"wrapped\":\"\"},", 1);
    fs::write(&path, crowded).unwrap();
    assert!(matches!(opens(&path, "correct horse"), Err(StoreError::Keyring { .. })));
}

#[test]
fn names_roles_and_slots_changed_by_someone_without_a_key_are_found_when_it_opens() {
    let (_dir, path, master) = keyring();
    with_two(&path, &master);
    let text = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"caseworker\"\n", "\"operator\"\n"),
        ("\"mina\"", "\"nima\""),
        ("\"generation\": 2", "\"generation\": 9"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        fs::write(&path, changed).unwrap();
        let error = opens(&path, "battery staple").unwrap_err();
        assert!(error.to_string().contains("without a key"), "{to}: {error}");
    }
    // A user taken out, with her slot.
    let mut stored: Stored = serde_json::from_str(&text).unwrap();
    stored.keyring.users.remove(0);
    fs::write(&path, serde_json::to_vec(&stored).unwrap()).unwrap();
    assert!(opens(&path, "battery staple").unwrap_err().to_string().contains("without a key"));
}

#[test]
fn a_keyring_of_format_1_opens_as_its_one_user_and_is_of_format_2_after_the_first_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyring.json");
    fs::write(&path, FORMAT_1).unwrap();
    let (master, user) = open_as(&path, None, "correct horse").unwrap();
    assert_eq!(master.bytes(), &std::array::from_fn(|n| n as u8));
    assert_eq!((user, loaded(&path, &master).generation()), (User::first(), 0));
    assert_eq!(fs::read_to_string(&path).unwrap(), FORMAT_1, "opening changes nothing");
    with_two(&path, &master);
    assert!(fs::read_to_string(&path).unwrap().contains("\"format\": 2"));
    for text in ["correct horse", "battery staple"] {
        assert_eq!(opens(&path, text).unwrap().bytes(), master.bytes());
    }
    assert!(matches!(opens(&path, "wrong horse"), Err(StoreError::WrongPassphrase)));
}

#[test]
fn a_newer_format_is_told_apart_from_damage() {
    let (_dir, path, _) = keyring();
    fs::write(&path, "{\"format\": 3, \"anything\": []}").unwrap();
    let error = opens(&path, "correct horse").unwrap_err();
    assert!(matches!(error, StoreError::NewerKeyring { found: 3, known: 2 }), "{error}");
}

#[test]
fn weakened_or_ruinous_parameters_are_refused_before_any_work() {
    let (_dir, path, _) = keyring();
    let text = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"m_kib\": 19456", "\"m_kib\": 8"),
        ("\"m_kib\": 19456", "\"m_kib\": 4294967295"),
        ("\"t\": 2", "\"t\": 1"),
        ("\"t\": 2", "\"t\": 4000000000"),
        ("\"p\": 1", "\"p\": 255"),
    ] {
        assert!(text.contains(from));
        fs::write(&path, text.replace(from, to)).unwrap();
        assert!(matches!(opens(&path, "correct horse"), Err(StoreError::UnsafeKdf)), "{to}");
    }
    // Within bounds but not as wrapped.
    fs::write(&path, text.replace("\"t\": 2", "\"t\": 3")).unwrap();
    assert!(matches!(opens(&path, "correct horse"), Err(StoreError::WrongPassphrase)));
}

#[test]
fn a_torn_or_flipped_keyring_is_an_error_and_never_another_key_or_user() {
    let (_dir, path, master) = keyring();
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len() - 1).step_by(23) {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(opens(&path, "correct horse").is_err(), "cut at {length}");
    }
    for bit in (0..whole.len() * 8).step_by(97) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        if let Ok((key, user)) = open_as(&path, None, "correct horse") {
            assert_eq!((key.bytes(), user), (master.bytes(), User::first()), "bit {bit}");
        }
    }
}

#[test]
fn only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, path, _) = keyring();
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_age_identity_opens_it_as_the_user_whose_recipient_was_added() {
    let (_dir, path, master) = keyring();
    with_two(&path, &master);
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let mut keyring = loaded(&path, &master);
    keyring.add_recipient(&name("mina"), &master, &recipient).unwrap();
    let again = keyring.add_recipient(&name("owner"), &master, &recipient);
    assert!(matches!(again, Err(StoreError::RecipientExists)));
    assert!(matches!(keyring.add_recipient(&name("mina"), &master, "age1x"), Err(StoreError::Recipient)));
    assert_eq!(keyring.keys(&name("mina")), ["passphrase", &recipient]);
    keyring.save(&path, &master).unwrap();
    let file =
        format!("# made by a test\n{}\n", age::secrecy::ExposeSecret::expose_secret(&identity.to_string()));
    let identities = Identities::parse(file.as_bytes()).unwrap();
    let unlock = Unlock::Identities { user: None, identities: &identities };
    let opened = open(&path, &unlock).unwrap();
    assert_eq!((opened.master.bytes(), opened.user.name), (master.bytes(), name("mina")));
    let (owner, identities) = (name("owner"), &identities);
    let as_owner = open(&path, &Unlock::Identities { user: Some(&owner), identities });
    assert!(matches!(as_owner, Err(StoreError::WrongIdentity)));
    let mut keyring = loaded(&path, &master);
    keyring.remove_recipient(&recipient).unwrap();
    assert!(matches!(keyring.remove_recipient(&recipient), Err(StoreError::NoRecipient)));
    keyring.save(&path, &master).unwrap();
    assert!(matches!(open(&path, &unlock), Err(StoreError::WrongIdentity)));
    for text in ["", "nothing", "age1notsecret", "AGE-SECRET-KEY-1WRONG"] {
        assert!(matches!(Identities::parse(text.as_bytes()), Err(StoreError::Identity)), "{text}");
    }
}

#[test]
fn shares_open_it_as_nobody_in_particular_and_only_the_last_set_does() {
    let (_dir, path, master) = keyring();
    let none = open(&path, &Unlock::Shares(&[]));
    assert!(matches!(none, Err(StoreError::Shares(ShareError::None))));
    let recovery = Recovery { shares: 3, threshold: 2 };
    let mut keyring = loaded(&path, &master);
    let first = keyring.make_shares(&master, recovery).unwrap();
    let keyring = keyring.save(&path, &master).unwrap();
    let opened = open(&path, &Unlock::Shares(&first[1..])).unwrap();
    assert_eq!((opened.master.bytes(), opened.user), (master.bytes(), User::recovery()));
    let mut keyring = keyring;
    let second = keyring.make_shares(&master, recovery).unwrap();
    let named = User { name: name("recovery"), roles: [Role::Auditor].into() };
    assert!(keyring.add(named, &master, &passphrase("long enough"), KdfParams::FLOOR).is_err());
    keyring.save(&path, &master).unwrap();
    let stale = open(&path, &Unlock::Shares(&first));
    assert!(matches!(stale, Err(StoreError::Shares(ShareError::OtherSet))));
    assert_eq!(open(&path, &Unlock::Shares(&second[..2])).unwrap().master.bytes(), master.bytes());
}
