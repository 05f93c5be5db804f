//! Reaching the node: the one that runs, or else its vault, opened for the length of the command.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use hedgerow_node::{
    api::{self, Call, Command, Outcome, socket, socket::Answer},
    error::{Class, NodeError},
    flow::{
        self,
        access::{Action, Caller},
    },
    node::{Node, now},
    store::{Identities, Passphrase, Proof, StoreError, Unlock, UserName, archive::Archived},
};

use crate::{output::Progress, passphrase};

/// Where the node is, how to open it, and for whom.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) home: PathBuf,
    pub(crate) passphrase_file: Option<PathBuf>,
    pub(crate) identity: Option<PathBuf>,
    pub(crate) user: Option<UserName>,
    pub(crate) reason: Option<String>,
}

/// What was read to open the vault with.
enum Key {
    Passphrase(Passphrase),
    Identities(Identities),
}

impl Session {
    pub(crate) fn new(home: Option<PathBuf>, passphrase_file: Option<PathBuf>) -> anyhow::Result<Self> {
        let home = match home {
            Some(home) => home,
            None => {
                let user = std::env::var_os("HOME").context("no HOME is set; give --home")?;
                PathBuf::from(user).join(".hedgerow")
            }
        };
        let home = std::path::absolute(home)?;
        Ok(Self { home, passphrase_file, identity: None, user: None, reason: None })
    }

    /// Upgrades the vault, which no running node may have open; gives how many records it has, if it was an older one.
    pub(crate) fn upgrade(&self) -> anyhow::Result<Option<u64>> {
        let mut progress = Progress::new("upgrading");
        let key = self.key()?;
        Ok(flow::upgrade::upgrade(&self.home, self.unlock(&key), &mut |done| progress.tell(done, None))?)
    }

    /// Opens the vault for `action`, for what needs no running node.
    pub(crate) fn open(&self, action: Action, what: &str) -> anyhow::Result<Node> {
        let key = self.key()?;
        Ok(Node::open_for(&self.home, self.unlock(&key), action, what)?)
    }

    /// Restores the backup `file` into the folder `into`.
    pub(crate) fn restore(&self, file: &Path, identity: &Path, into: &Path) -> anyhow::Result<Archived> {
        let mut progress = Progress::bytes("restoring");
        let key = self.asked()?;
        let mut tell = |done, of| progress.tell(done, of);
        Ok(flow::backup::restore(file, identity, into, now(), self.unlock(&key), &mut tell)?)
    }

    /// Takes a keyring that is older than the vault has seen.
    pub(crate) fn accept_keyring(&self) -> anyhow::Result<Node> {
        let key = self.key()?;
        Ok(Node::accept_keyring(&self.home, self.unlock(&key))?)
    }

    /// Has the running node carry out `command`, or carries it out on the vault.
    pub(crate) fn run(&self, command: &Command, what: &'static str) -> anyhow::Result<Outcome> {
        self.run_with(command, Progress::new(what))
    }

    /// The same, telling of progress on `progress`.
    pub(crate) fn run_with(&self, command: &Command, mut progress: Progress) -> anyhow::Result<Outcome> {
        let mut tell = |done, of| progress.tell(done, of);
        let mut call = Call { proof: None, reason: self.reason.clone(), command: command.clone() };
        if (self.user.is_some() || self.identity.is_some()) && socket::path(&self.home).exists() {
            call.proof = Some(self.prove()?);
        }
        loop {
            match socket::ask(&self.home, &call, &mut tell) {
                None => break,
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(Answer::Done(outcome))) => return Ok(outcome),
                Some(Ok(Answer::Prove { .. })) if call.proof.is_some() => {
                    anyhow::bail!("the running node asks for a key again and again; restart it")
                }
                Some(Ok(Answer::Prove { locked })) => {
                    let why = if locked { "the node is locked" } else { "this asks for a key each time" };
                    call.proof = Some(self.prove().map_err(|error| match error.downcast::<NodeError>() {
                        Ok(error) => error,
                        Err(error) => NodeError::new(Class::Vault, format!("{why}: {error:#}")),
                    })?);
                }
            }
        }
        let key = self.key()?;
        let node = Arc::new(Node::open(&self.home, self.unlock(&key))?);
        drop(key);
        let caller = Caller { reason: self.reason.clone(), ..Caller::opener(&node) };
        let work = api::run_as(&caller, &node, None, command.clone(), &mut tell);
        Ok(runtime()?.block_on(work)?)
    }

    fn prove(&self) -> anyhow::Result<Proof> {
        let key = self.key()?;
        Ok(Proof::make(&self.home, &self.unlock(&key)).map_err(NodeError::from)?)
    }

    fn key(&self) -> anyhow::Result<Key> {
        if !self.home.join("keyring.json").exists() {
            // Say so before asking for a passphrase.
            return Err(NodeError::from(StoreError::NoVault(self.home.display().to_string())).into());
        }
        self.asked()
    }

    /// What opens a vault, wherever it is.
    fn asked(&self) -> anyhow::Result<Key> {
        if let Some(file) = &self.identity {
            return Ok(Key::Identities(identities(file)?));
        }
        let user = self.user.as_ref().map(UserName::as_str);
        passphrase::read(self.passphrase_file.as_deref(), user).map(Key::Passphrase)
    }

    fn unlock<'a>(&'a self, key: &'a Key) -> Unlock<'a> {
        let user = self.user.as_ref();
        match key {
            Key::Passphrase(passphrase) => Unlock::Passphrase { user, passphrase },
            Key::Identities(identities) => Unlock::Identities { user, identities },
        }
    }
}

fn identities(file: &Path) -> anyhow::Result<Identities> {
    let text = crate::command::read(file).map(zeroize::Zeroizing::new)?;
    Ok(Identities::parse(&text).map_err(NodeError::from)?)
}

/// The runtime: work threads for the network, a pool for the vault.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads can be started")
}
