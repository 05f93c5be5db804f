//! Who may read and write over TAXII: names, hashed tokens, what each may (docs/operating.md).

use std::sync::Arc;

use hedgerow_protocol::{id::Digest, indicator::Tlp, time::Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{
    error::StoreError,
    vault::{Kind, Vault},
};

const CLIENTS: &[u8] = b"taxii-clients";
const PAGING: &[u8] = b"taxii-paging";
const PULLED: &[u8] = b"pulled/";
/// Most tokens.
pub const TOKENS: usize = 500;

/// One client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its name here.
    pub name: String,
    /// The strictest label that it reads.
    pub tlp: Tlp,
    /// What becomes of what it posts; none if it may not.
    pub write: Option<Landing>,
    /// When it was added.
    pub at: Timestamp,
    /// SHA-256 of its token. The token has 256 bits of chance, so that nothing slower is needed.
    pub token: Digest,
}

/// Where objects from outside land.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Landing {
    /// Held apart, with their source named, until somebody adopts them.
    Foreign,
    /// Among this node's own drafts.
    Drafts,
}

impl std::str::FromStr for Landing {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "foreign" => Ok(Self::Foreign),
            "drafts" => Ok(Self::Drafts),
            _ => Err("what comes in becomes foreign or drafts"),
        }
    }
}

/// The table of clients, one sealed setting.
pub struct Clients {
    vault: Arc<Vault>,
}

impl Clients {
    /// Over `vault`.
    pub const fn new(vault: Arc<Vault>) -> Self {
        Self { vault }
    }

    /// Every client, in the order in which they were added.
    pub fn list(&self) -> Result<Vec<Client>, StoreError> {
        let Some(json) = self.vault.get(Kind::Setting, CLIENTS)? else { return Ok(Vec::new()) };
        serde_json::from_slice(&json)
            .map_err(|_| StoreError::Damaged("the list of TAXII clients does not read"))
    }

    /// Replaces the list.
    pub fn put(&self, clients: &[Client]) -> Result<(), StoreError> {
        let json = serde_json::to_vec(clients);
        let json = json.map_err(|_| StoreError::Damaged("the list of TAXII clients has no JSON form"))?;
        self.put_setting(CLIENTS, &json)
    }

    /// Whose token this is. Every hash is compared in whole, in time that does not depend on where they differ.
    pub fn of(&self, token: &str) -> Result<Option<Client>, StoreError> {
        let digest = Digest::of(token.as_bytes());
        let mut found = None;
        for client in self.list()? {
            if bool::from(client.token.as_bytes().ct_eq(digest.as_bytes())) {
                found = Some(client);
            }
        }
        Ok(found)
    }

    /// The key under which pages are told apart; `fresh` becomes it where there is none.
    pub fn paging_key(&self, fresh: &[u8; 32]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        if let Some(key) = self.vault.get(Kind::Setting, PAGING)? {
            return Ok(key);
        }
        self.put_setting(PAGING, fresh)?;
        Ok(Zeroizing::new(fresh.to_vec()))
    }

    /// How far a source was read: what it called the time of the last object.
    pub fn pulled(&self, source: &str) -> Result<Option<String>, StoreError> {
        let value = self.vault.get(Kind::Setting, &[PULLED, source.as_bytes()].concat())?;
        Ok(value.and_then(|v| String::from_utf8(v.to_vec()).ok()))
    }

    /// Remembers how far a source was read.
    pub fn put_pulled(&self, source: &str, until: &str) -> Result<(), StoreError> {
        self.put_setting(&[PULLED, source.as_bytes()].concat(), until.as_bytes())
    }

    fn put_setting(&self, name: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        txn.put(Kind::Setting, name, value)?;
        txn.commit()
    }
}
