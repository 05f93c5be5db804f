//! The keyring: a small file beside the store that says who may open the vault, and how (docs/storage.md, Keys).
//!
//! Users have roles and slots. Every slot wraps the one master key in its own way, as in LUKS, so that users come
//! and go without a value being sealed anew. What the slots cannot bind (names, roles, which slot is whose) is bound
//! by a MAC under a sub-key of the master key, checked whenever a slot opens. The generation goes up by one with
//! every change; the vault remembers the last (`People`).

mod destroy;
mod identity;
mod passphrase;
mod people;
mod recovery;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use hedgerow_protocol::codec::base64_bytes;

use super::{crypter::SecretKey, durable, error::StoreError, home::KEYRING};
pub use destroy::{Destroyed, destroy};
use identity::AgeSlot;
pub use identity::Identities;
use passphrase::PassphraseSlot;
pub use passphrase::{KdfParams, Passphrase};
pub use people::{NameError, Role, User, UserName};
use recovery::RecoverySlot;
pub use recovery::{Recovery, Share, ShareError};

/// Version of the file. Format 1 had slots of one user, without names, roles or MAC; it opens as its only user and
/// becomes format 2 at the first change.
/// Largest keyring file, in bytes.
const FILE_BYTES: u64 = 64 * 1024;
const FORMAT: u16 = 2;
/// Most slots of all users together: what a wrong passphrase may cost.
pub(super) const SLOTS: usize = 32;

/// What someone offers to open a vault with.
#[derive(Debug, Clone, Copy)]
pub enum Unlock<'a> {
    /// A passphrase; with a name only that user's slot is tried.
    Passphrase {
        /// Whose.
        user: Option<&'a UserName>,
        /// The passphrase.
        passphrase: &'a Passphrase,
    },
    /// Age identities.
    Identities {
        /// Whose.
        user: Option<&'a UserName>,
        /// The identities.
        identities: &'a Identities,
    },
    /// Recovery shares: nobody's key, good for giving a user a new passphrase.
    Shares(&'a [Share]),
}

impl<'a> From<&'a Passphrase> for Unlock<'a> {
    fn from(passphrase: &'a Passphrase) -> Self {
        Self::Passphrase { user: None, passphrase }
    }
}

impl Unlock<'_> {
    fn user(&self) -> Option<&UserName> {
        match self {
            Self::Passphrase { user, .. } | Self::Identities { user, .. } => *user,
            Self::Shares(_) => None,
        }
    }
}

/// What opening a keyring gives.
pub(super) struct Opened {
    pub(super) master: SecretKey,
    pub(super) user: User,
    pub(super) generation: u64,
}

/// Where the keyring of the vault in `home` lies.
pub(super) fn path(home: &Path) -> PathBuf {
    home.join(KEYRING)
}

/// A keyring as read. Names and roles are to be believed only once [`Keyring::verified`] has said so.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keyring {
    generation: u64,
    users: Vec<Member>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery: Option<RecoverySlot>,
}

/// A user with her slots.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    name: UserName,
    roles: BTreeSet<Role>,
    slots: Vec<Slot>,
}

impl Member {
    fn user(&self) -> User {
        User { name: self.name.clone(), roles: self.roles.clone() }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Slot {
    Passphrase(PassphraseSlot),
    Age(AgeSlot),
}

impl Slot {
    /// The master key; none if `unlock` is for another kind of slot.
    fn open(&self, unlock: &Unlock<'_>) -> Option<Result<SecretKey, StoreError>> {
        match (self, unlock) {
            (Self::Passphrase(slot), Unlock::Passphrase { passphrase, .. }) => Some(slot.unwrap(passphrase)),
            (Self::Age(slot), Unlock::Identities { identities, .. }) => Some(slot.unwrap(identities)),
            _ => None,
        }
    }

    /// What it is called where keys are listed.
    fn what(&self) -> String {
        match self {
            Self::Passphrase(_) => "passphrase".to_owned(),
            Self::Age(slot) => slot.recipient.clone(),
        }
    }
}

/// The file, format 2.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u16,
    keyring: Keyring,
    #[serde(with = "base64_bytes")]
    mac: Vec<u8>,
}

/// The file, format 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored1 {
    #[serde(rename = "format")]
    _format: u16,
    slots: Vec<Slot>,
}

#[derive(Deserialize)]
struct Format {
    format: u16,
}

/// A keyring with the MAC that stood in its file.
pub(super) struct Unverified {
    keyring: Keyring,
    /// None for format 1, which had none.
    mac: Option<Vec<u8>>,
    path: String,
}

/// Makes the keyring file at `path` with one user and her slot. It is the last step of making a vault.
pub(super) fn create(
    path: &Path,
    master: &SecretKey,
    passphrase: &Passphrase,
    kdf: KdfParams,
) -> Result<(), StoreError> {
    let User { name, roles } = User::first();
    let slots = vec![Slot::Passphrase(PassphraseSlot::wrap(master, passphrase, kdf)?)];
    let keyring = Keyring { generation: 0, users: vec![Member { name, roles, slots }], recovery: None };
    keyring.save(path, master).map(|_| ())
}

/// Opens the keyring file at `path`: the master key and whose slot it was, if any slot opens.
pub(super) fn open(path: &Path, unlock: &Unlock<'_>) -> Result<Opened, StoreError> {
    let unverified = read(path)?;
    let opened = unverified.keyring.open(unlock)?;
    unverified.verified(&opened.master)?;
    Ok(opened)
}

/// Reads the keyring file at `path`. Cheap: nothing is stretched.
pub(super) fn read(path: &Path) -> Result<Unverified, StoreError> {
    let name = path.display().to_string();
    let damaged = |fault| StoreError::Keyring { path: name.clone(), fault };
    let json = match durable::read(path, FILE_BYTES, "reading the keyring") {
        Err(StoreError::Damaged(_)) => return Err(damaged("too long")),
        json => json?.ok_or_else(|| damaged("it is missing"))?,
    };
    let parse = || damaged("not a keyring's JSON");
    let Format { format } = serde_json::from_slice(&json).map_err(|_| parse())?;
    let (keyring, mac) = match format {
        FORMAT => {
            let stored: Stored = serde_json::from_slice(&json).map_err(|_| parse())?;
            (stored.keyring, Some(stored.mac))
        }
        1 => {
            let Stored1 { slots, .. } = serde_json::from_slice(&json).map_err(|_| parse())?;
            let User { name, roles } = User::first();
            (Keyring { generation: 0, users: vec![Member { name, roles, slots }], recovery: None }, None)
        }
        found => return Err(StoreError::NewerKeyring { found, known: FORMAT }),
    };
    let slots = keyring.slots();
    if slots == 0 || slots > SLOTS {
        return Err(damaged("between 1 and 32 slots"));
    }
    for slot in keyring.users.iter().flat_map(|user| &user.slots) {
        if let Slot::Passphrase(slot) = slot {
            slot.check()?;
        }
    }
    Ok(Unverified { keyring, mac, path: name })
}

impl Unverified {
    /// Checks names, roles and slots against the MAC.
    pub(super) fn verified(self, master: &SecretKey) -> Result<Keyring, StoreError> {
        let Some(mac) = &self.mac else { return Ok(self.keyring) };
        if bool::from(subtle::ConstantTimeEq::ct_eq(self.keyring.mac(master)?.as_slice(), mac.as_slice())) {
            Ok(self.keyring)
        } else {
            let fault = "its users, roles or slots were changed by someone without a key to it";
            Err(StoreError::Keyring { path: self.path, fault })
        }
    }
}

impl Keyring {
    /// How often it was changed.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// The same, to be saved as the one after `generation`.
    pub(super) const fn succeeding(mut self, generation: u64) -> Self {
        self.generation = generation;
        self
    }

    /// Everyone in it.
    pub(super) fn users(&self) -> impl Iterator<Item = User> + '_ {
        self.users.iter().map(Member::user)
    }

    /// One of them.
    pub(super) fn user(&self, name: &UserName) -> Result<User, StoreError> {
        self.users().find(|user| user.name == *name).ok_or_else(|| StoreError::NoUser(name.to_string()))
    }

    /// Adds a user who has a passphrase.
    pub(super) fn add(
        &mut self,
        user: User,
        master: &SecretKey,
        passphrase: &Passphrase,
        kdf: KdfParams,
    ) -> Result<(), StoreError> {
        if self.users.iter().any(|u| u.name == user.name) || user.name == User::recovery().name {
            return Err(StoreError::UserExists(user.name.to_string()));
        }
        let slot = Slot::Passphrase(PassphraseSlot::wrap(master, passphrase, kdf)?);
        self.users.push(Member { name: user.name, roles: user.roles, slots: vec![slot] });
        Ok(())
    }

    /// Removes a user with her slots.
    pub(super) fn remove(&mut self, name: &UserName) -> Result<(), StoreError> {
        self.user(name)?;
        self.users.retain(|user| user.name != *name);
        Ok(())
    }

    /// Gives a user other roles.
    pub(super) fn set_roles(&mut self, name: &UserName, roles: BTreeSet<Role>) -> Result<(), StoreError> {
        self.member(name)?.roles = roles;
        Ok(())
    }

    /// Gives a user another passphrase; the one before opens nothing any more.
    pub(super) fn set_passphrase(
        &mut self,
        name: &UserName,
        master: &SecretKey,
        passphrase: &Passphrase,
        kdf: KdfParams,
    ) -> Result<(), StoreError> {
        let member = self.member(name)?;
        let slot = Slot::Passphrase(PassphraseSlot::wrap(master, passphrase, kdf)?);
        member.slots.retain(|slot| !matches!(slot, Slot::Passphrase(_)));
        member.slots.push(slot);
        Ok(())
    }

    /// Lets an age recipient open it as a user.
    pub(super) fn add_recipient(
        &mut self,
        name: &UserName,
        master: &SecretKey,
        recipient: &str,
    ) -> Result<(), StoreError> {
        let slot = AgeSlot::wrap(master, recipient)?;
        if self.has_recipient(&slot.recipient) {
            return Err(StoreError::RecipientExists);
        }
        self.member(name)?.slots.push(Slot::Age(slot));
        Ok(())
    }

    /// Takes an age recipient away, whose ever it is.
    pub(super) fn remove_recipient(&mut self, recipient: &str) -> Result<(), StoreError> {
        if !self.has_recipient(recipient) {
            return Err(StoreError::NoRecipient);
        }
        for member in &mut self.users {
            member.slots.retain(|slot| !matches!(slot, Slot::Age(age) if age.recipient == recipient));
        }
        Ok(())
    }

    fn has_recipient(&self, recipient: &str) -> bool {
        let mut slots = self.users.iter().flat_map(|member| &member.slots);
        slots.any(|slot| matches!(slot, Slot::Age(age) if age.recipient == recipient))
    }

    /// Makes recovery shares; those made before open nothing any more.
    pub(super) fn make_shares(
        &mut self,
        master: &SecretKey,
        recovery: Recovery,
    ) -> Result<Vec<Share>, StoreError> {
        let (slot, shares) = RecoverySlot::make(master, recovery)?;
        self.recovery = Some(slot);
        Ok(shares)
    }

    /// Of the shares that were made last.
    pub(super) fn recovery(&self) -> Option<Recovery> {
        self.recovery.as_ref().map(|slot| slot.recovery)
    }

    /// What opens it as `name`: `passphrase`, recipients.
    pub(super) fn keys(&self, name: &UserName) -> Vec<String> {
        let members = self.users.iter().filter(|member| member.name == *name);
        members.flat_map(|member| &member.slots).map(Slot::what).collect()
    }

    /// Writes it as the next generation, durably, and returns it.
    pub(super) fn save(mut self, path: &Path, master: &SecretKey) -> Result<Self, StoreError> {
        if self.slots() > SLOTS {
            return Err(StoreError::TooManySlots(SLOTS));
        }
        // Without one nobody could ever change it again.
        if !self.users.iter().any(|user| user.roles.contains(&Role::Operator) && !user.slots.is_empty()) {
            return Err(StoreError::LastOperator);
        }
        self.generation = self.generation.saturating_add(1);
        let mac = self.mac(master)?.to_vec();
        let json = serde_json::to_vec_pretty(&Stored { format: FORMAT, keyring: self.clone(), mac })
            .map_err(|_| StoreError::Damaged("a keyring could not be written"))?;
        if json.len() as u64 > FILE_BYTES {
            return Err(StoreError::TooManySlots(SLOTS));
        }
        durable::replace(path, &json, "writing the keyring")?;
        Ok(self)
    }

    fn open(&self, unlock: &Unlock<'_>) -> Result<Opened, StoreError> {
        if let Unlock::Shares(shares) = unlock {
            let slot = self.recovery.as_ref().ok_or(ShareError::None)?;
            let (user, generation) = (User::recovery(), self.generation);
            return Ok(Opened { master: slot.open(shares)?, user, generation });
        }
        if let Some(name) = unlock.user() {
            self.user(name)?;
        }
        let mut last = match unlock {
            Unlock::Identities { .. } => StoreError::WrongIdentity,
            _ => StoreError::WrongPassphrase,
        };
        let named = |member: &&Member| unlock.user().is_none_or(|name| *name == member.name);
        for member in self.users.iter().filter(named) {
            for slot in &member.slots {
                match slot.open(unlock) {
                    None => {}
                    Some(Ok(master)) => {
                        let (user, generation) = (member.user(), self.generation);
                        return Ok(Opened { master, user, generation });
                    }
                    Some(Err(error)) => last = error,
                }
            }
        }
        Err(last)
    }

    fn member(&mut self, name: &UserName) -> Result<&mut Member, StoreError> {
        let found = self.users.iter_mut().find(|user| user.name == *name);
        found.ok_or_else(|| StoreError::NoUser(name.to_string()))
    }

    fn slots(&self) -> usize {
        self.users.iter().map(|user| user.slots.len()).sum::<usize>() + usize::from(self.recovery.is_some())
    }

    /// Over what was parsed: strict parsing leaves nothing out, and its JSON has one form.
    fn mac(&self, master: &SecretKey) -> Result<[u8; 32], StoreError> {
        let json = serde_json::to_vec(self).map_err(|_| StoreError::Damaged("a keyring has no JSON"))?;
        Ok(master.derive("keyring").mac(&[b"hedgerow/keyring/2", &json]))
    }
}

#[cfg(test)]
mod tests;
