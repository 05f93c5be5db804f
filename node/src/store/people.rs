//! The users of a vault, changed while it is open (docs/storage.md, Keys).
//!
//! The keyring lies outside the store; the store remembers its newest generation, so that an old copy put back, with
//! users or passphrases that were taken away, is found. The file is read anew for each use: what another process or
//! another hand did to it counts at once, or is found at once.

use std::{
    collections::BTreeSet,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use hedgerow_protocol::codec::base64_bytes;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::{
    error::StoreError,
    keyring::{self, KdfParams, Keyring, Passphrase, Recovery, Role, Share, Unlock, User, UserName},
    vault::{Kind, Vault},
};

const GENERATION: &[u8] = b"keyring generation";

/// Shows a running node that its bearer has a key of one user. Made and checked with the master key; it holds until the
/// keyring changes. Never shown.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    user: UserName,
    #[serde(with = "base64_bytes")]
    mac: Vec<u8>,
}

impl Proof {
    /// Opens the keyring in `home` and shows it.
    pub fn make(home: &Path, unlock: &Unlock<'_>) -> Result<Self, StoreError> {
        let opened = keyring::open(&keyring::path(home), unlock)?;
        let mac = mac(&opened.master, &opened.user.name, opened.generation).to_vec();
        Ok(Self { user: opened.user.name, mac })
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof({})", self.user)
    }
}

fn mac(master: &super::crypter::SecretKey, user: &UserName, generation: u64) -> [u8; 32] {
    let parts: [&[u8]; 3] = [b"hedgerow/proof/1", user.as_str().as_bytes(), &generation.to_be_bytes()];
    master.derive("proof").mac(&parts)
}

/// One user, with what opens the vault as her.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Her name.
    pub name: UserName,
    /// Her roles.
    pub roles: BTreeSet<Role>,
    /// `passphrase`, and age recipients.
    pub keys: Vec<String>,
}

/// Everything that opens a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Its users, in the order in which they came.
    pub users: Vec<Listed>,
    /// Of its recovery shares, if some were made.
    pub recovery: Option<Recovery>,
    /// How often this was changed.
    pub generation: u64,
}

/// The users of one open vault.
pub struct People {
    vault: Arc<Vault>,
    /// Changes happen one after the other.
    changing: Mutex<()>,
}

impl People {
    /// Over `vault`; an error if its keyring is older than one that the vault has seen.
    pub fn open(vault: Arc<Vault>) -> Result<Self, StoreError> {
        let people = Self { vault, changing: Mutex::new(()) };
        let found = people.keyring()?.generation();
        if found > people.known()? {
            people.remember(found)?;
        }
        Ok(people)
    }

    /// Over `vault`, whatever its keyring's generation: it becomes the newest. For the case that newer ones are lost.
    pub fn accept(vault: Arc<Vault>) -> Result<Self, StoreError> {
        let people = Self { vault, changing: Mutex::new(()) };
        let known = people.known()?;
        let mut keyring = people.any_keyring()?;
        if keyring.generation() < known {
            keyring = keyring.succeeding(known);
            keyring = keyring.save(&people.path(), people.vault.master())?;
            people.remember(keyring.generation())?;
        }
        Ok(people)
    }

    /// Everyone, and what opens the vault.
    pub fn keys(&self) -> Result<Keys, StoreError> {
        let keyring = self.keyring()?;
        let users = keyring.users().map(|User { name, roles }| {
            let keys = keyring.keys(&name);
            Listed { name, roles, keys }
        });
        Ok(Keys { users: users.collect(), recovery: keyring.recovery(), generation: keyring.generation() })
    }

    /// One of them.
    pub fn user(&self, name: &UserName) -> Result<User, StoreError> {
        self.keyring()?.user(name)
    }

    /// Who shows `proof`.
    pub fn admit(&self, proof: &Proof) -> Result<User, StoreError> {
        let keyring = self.keyring()?;
        let user = keyring.user(&proof.user)?;
        let expected = mac(self.vault.master(), &user.name, keyring.generation());
        if bool::from(expected.as_slice().ct_eq(&proof.mac)) {
            Ok(user)
        } else {
            Err(StoreError::WrongPassphrase)
        }
    }

    /// Adds a user.
    pub fn add(&self, user: User, passphrase: &Passphrase) -> Result<(), StoreError> {
        self.change(|keyring, vault| keyring.add(user, vault.master(), passphrase, KdfParams::default()))
    }

    /// Removes a user.
    pub fn remove(&self, name: &UserName) -> Result<(), StoreError> {
        self.change(|keyring, _| keyring.remove(name))
    }

    /// Gives a user other roles.
    pub fn set_roles(&self, name: &UserName, roles: BTreeSet<Role>) -> Result<(), StoreError> {
        self.change(|keyring, _| keyring.set_roles(name, roles))
    }

    /// Gives a user another passphrase.
    pub fn set_passphrase(&self, name: &UserName, passphrase: &Passphrase) -> Result<(), StoreError> {
        self.change(|keyring, vault| {
            keyring.set_passphrase(name, vault.master(), passphrase, KdfParams::default())
        })
    }

    /// Lets an age recipient open the vault as a user.
    pub fn add_recipient(&self, name: &UserName, recipient: &str) -> Result<(), StoreError> {
        self.change(|keyring, vault| keyring.add_recipient(name, vault.master(), recipient))
    }

    /// Takes an age recipient away.
    pub fn remove_recipient(&self, recipient: &str) -> Result<(), StoreError> {
        self.change(|keyring, _| keyring.remove_recipient(recipient))
    }

    /// Makes recovery shares; those made before open nothing any more.
    pub fn make_shares(&self, recovery: Recovery) -> Result<Vec<Share>, StoreError> {
        self.change(|keyring, vault| keyring.make_shares(vault.master(), recovery))
    }

    /// A crash between the two writes leaves a keyring that is newer than the vault knows, which is no fault.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Keyring, &Vault) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keyring = self.keyring()?;
        let outcome = change(&mut keyring, &self.vault)?;
        let saved = keyring.save(&self.path(), self.vault.master())?;
        self.remember(saved.generation())?;
        Ok(outcome)
    }

    /// The keyring; an error if it is older than one that the vault has seen.
    fn keyring(&self) -> Result<Keyring, StoreError> {
        let keyring = self.any_keyring()?;
        let (found, known) = (keyring.generation(), self.known()?);
        if found < known { Err(StoreError::OldKeyring { found, known }) } else { Ok(keyring) }
    }

    fn any_keyring(&self) -> Result<Keyring, StoreError> {
        keyring::read(&self.path())?.verified(self.vault.master())
    }

    fn path(&self) -> std::path::PathBuf {
        keyring::path(self.vault.home())
    }

    fn known(&self) -> Result<u64, StoreError> {
        let value = self.vault.get(Kind::Setting, GENERATION)?;
        Ok(value.and_then(|v| v.first_chunk().map(|b| u64::from_be_bytes(*b))).unwrap_or(0))
    }

    fn remember(&self, generation: u64) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        txn.put(Kind::Setting, GENERATION, &generation.to_be_bytes())?;
        txn.commit()
    }
}
