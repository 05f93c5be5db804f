//! Named values: the node's key, its charter, what its operator set (docs/storage.md).

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use hedgerow_protocol::{
    document::{Charter, Document, Envelope, NodeSecret, Signed},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    error::StoreError,
    vault::{Kind, Txn, Vault},
};

const IDENTITY: &[u8] = b"identity";
const MEMBER: &[u8] = b"member";
const CHARTER: &[u8] = b"charter";
const WARNING_LISTS: &[u8] = b"warning-lists";
const POLICY: &[u8] = b"policy";

/// What an organisation asks of its own people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whether reading, exporting and erasing records asks for a reason.
    pub reasons: bool,
    /// Fewest members who must have published an indicator, each its own, before it is written to a file that alarms
    /// people or blocks for them.
    #[serde(default)]
    pub corroborated: usize,
}

const RESTORED: &[u8] = b"restored";

/// That a vault was restored from a backup, until it is said what was spent in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// The moment that the backup shows.
    pub backup_at: Timestamp,
    /// When it was restored.
    pub restored_at: Timestamp,
}

/// The settings table.
pub struct Settings {
    vault: Arc<Vault>,
}

impl Settings {
    /// Over `vault`.
    pub const fn new(vault: Arc<Vault>) -> Self {
        Self { vault }
    }

    /// The node's signing key, if one was made.
    pub fn identity(&self) -> Result<Option<NodeSecret>, StoreError> {
        let Some(bytes) = self.vault.get(Kind::Setting, IDENTITY)? else { return Ok(None) };
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(
            bytes
                .as_slice()
                .try_into()
                .map_err(|_| StoreError::Damaged("the node's key has a wrong length"))?,
        );
        Ok(Some(NodeSecret::from_seed(&seed)))
    }

    /// Keeps the node's signing key and how the node presents itself, together.
    pub fn put_identity(
        &self,
        secret: &NodeSecret,
        member: &Signed<hedgerow_protocol::document::Member>,
    ) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        txn.put(Kind::Setting, IDENTITY, secret.seed().as_ref())?;
        txn.put(Kind::Setting, MEMBER, &json(member.envelope())?)?;
        txn.commit()
    }

    /// How the node presents itself.
    pub fn member(&self) -> Result<Option<Signed<hedgerow_protocol::document::Member>>, StoreError> {
        self.document(MEMBER)
    }

    /// The charter that the node joined, if any.
    pub fn charter(&self) -> Result<Option<Signed<Charter>>, StoreError> {
        self.document(CHARTER)
    }

    /// Whether the vault was restored, and nobody has said yet what was spent since the backup.
    pub fn restored(&self) -> Result<Option<Restored>, StoreError> {
        let Some(bytes) = self.vault.get(Kind::Setting, RESTORED)? else { return Ok(None) };
        let restored = serde_json::from_slice(&bytes);
        restored.map(Some).map_err(|_| StoreError::Damaged("the note of its restoring does not read"))
    }

    /// Notes that the vault was restored.
    pub fn put_restored(&self, restored: Restored) -> Result<(), StoreError> {
        let json =
            serde_json::to_vec(&restored).map_err(|_| StoreError::Damaged("a note has no JSON form"))?;
        let mut txn = self.vault.begin();
        txn.put(Kind::Setting, RESTORED, &json)?;
        txn.commit()
    }

    /// Joins a charter.
    pub fn put_charter(&self, charter: &Signed<Charter>) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        txn.put(Kind::Setting, CHARTER, &json(charter.envelope())?)?;
        txn.commit()
    }

    /// The folder of warning lists, if the operator named one.
    pub fn warning_lists(&self) -> Result<Option<PathBuf>, StoreError> {
        let Some(bytes) = self.vault.get(Kind::Setting, WARNING_LISTS)? else { return Ok(None) };
        Ok(Some(PathBuf::from(OsString::from_vec(bytes.to_vec()))))
    }

    /// Names the folder of warning lists, or takes it away.
    pub fn put_warning_lists(&self, folder: Option<&Path>) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        match folder {
            Some(folder) => txn.put(Kind::Setting, WARNING_LISTS, folder.as_os_str().as_bytes())?,
            None => txn.delete(Kind::Setting, WARNING_LISTS),
        }
        txn.commit()
    }

    /// The organisation's policy.
    pub fn policy(&self) -> Result<Policy, StoreError> {
        let Some(json) = self.vault.get(Kind::Setting, POLICY)? else { return Ok(Policy::default()) };
        serde_json::from_slice(&json).map_err(|_| StoreError::Damaged("the node's policy does not read"))
    }

    /// Sets the organisation's policy.
    pub fn put_policy(&self, policy: Policy) -> Result<(), StoreError> {
        let json =
            serde_json::to_vec(&policy).map_err(|_| StoreError::Damaged("a policy has no JSON form"))?;
        let mut txn = self.vault.begin();
        txn.put(Kind::Setting, POLICY, &json)?;
        txn.commit()
    }

    fn document<D: Document>(&self, name: &[u8]) -> Result<Option<Signed<D>>, StoreError> {
        let Some(bytes) = self.vault.get(Kind::Setting, name)? else { return Ok(None) };
        let opened = Envelope::from_json(&bytes).and_then(Envelope::open);
        opened.map(Some).map_err(|_| StoreError::Damaged("a signed setting does not verify"))
    }
}

/// As part of a commit that says what was spent.
pub(super) fn forget_restored(txn: &mut Txn<'_>) {
    txn.delete(Kind::Setting, RESTORED);
}

fn json(envelope: &Envelope) -> Result<Vec<u8>, StoreError> {
    envelope.to_json().map_err(|_| StoreError::Damaged("a document has no JSON form"))
}
