//! Tokens of TAXII clients: made, listed, revoked (docs/operating.md).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hedgerow_protocol::{id::Digest, indicator::Tlp, time::Timestamp};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    error::NodeError,
    node::{Node, random},
    store::{Client, Landing, TOKENS},
};

/// A client as its operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientView {
    /// Its name here.
    pub name: String,
    /// The strictest label that it reads.
    pub tlp: Tlp,
    /// What becomes of what it posts; none if it may not.
    pub write: Option<Landing>,
    /// When it was added.
    pub at: Timestamp,
}

impl From<&Client> for ClientView {
    fn from(client: &Client) -> Self {
        Self { name: client.name.clone(), tlp: client.tlp, write: client.write, at: client.at }
    }
}

impl Node {
    /// Makes a token for a client. It is told once and kept as a hash.
    pub fn add_client(
        &self,
        name: &str,
        tlp: Tlp,
        write: Option<Landing>,
        now: Timestamp,
    ) -> Result<Zeroizing<String>, NodeError> {
        let fits = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
        if name.trim() != name || name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
            return Err(NodeError::input(
                "a name has 1 to 64 letters, digits, spaces, dots, hyphens or underscores",
            ));
        }
        if tlp == Tlp::Red {
            return Err(NodeError::refused(
                "TLP:RED is for the people it was sent to: no program collects it",
            ));
        }
        let mut clients = self.clients.list()?;
        if clients.iter().any(|c| c.name == name) {
            return Err(NodeError::input(
                "there is a token of this name; revoke it first, or choose another name",
            ));
        }
        if clients.len() >= TOKENS {
            return Err(NodeError::refused(format!("there are {TOKENS} tokens already; revoke some")));
        }
        let mut secret = Zeroizing::new([0; 32]);
        random().fill_bytes(secret.as_mut());
        let token = Zeroizing::new(format!("hgt_{}", URL_SAFE_NO_PAD.encode(secret.as_slice())));
        let digest = Digest::of(token.as_bytes());
        clients.push(Client { name: name.to_owned(), tlp, write, at: now, token: digest });
        self.clients.put(&clients)?;
        Ok(token)
    }

    /// The clients who have a token.
    pub fn list_clients(&self) -> Result<Vec<ClientView>, NodeError> {
        Ok(self.clients.list()?.iter().map(ClientView::from).collect())
    }

    /// Takes a client's token back; it is refused from now on.
    pub fn revoke_client(&self, name: &str) -> Result<(), NodeError> {
        let mut clients = self.clients.list()?;
        let before = clients.len();
        clients.retain(|c| c.name != name);
        if clients.len() == before {
            return Err(NodeError::input(
                "there is no token of this name; `hedgerow taxii token list` has them",
            ));
        }
        Ok(self.clients.put(&clients)?)
    }
}
