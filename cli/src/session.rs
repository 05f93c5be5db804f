//! Reaching the node: the one that runs, or else its vault, opened for the length of the command.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use hedgerow_node::{
    api::{self, Command, Outcome, socket},
    flow,
    node::Node,
    store::Passphrase,
};

use crate::{output::Progress, passphrase};

/// Where the node is and how to open it.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) home: PathBuf,
    pub(crate) passphrase_file: Option<PathBuf>,
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
        Ok(Self { home: std::path::absolute(home)?, passphrase_file })
    }

    /// Upgrades the vault, which no running node may have open; gives how many records it has, if it was an older one.
    pub(crate) fn upgrade(&self) -> anyhow::Result<Option<u64>> {
        let mut progress = Progress::new("upgrading");
        let passphrase = self.passphrase()?;
        Ok(flow::upgrade::upgrade(&self.home, &passphrase, &mut |done| progress.tell(done, None))?)
    }

    /// Opens the vault, for what needs no running node.
    pub(crate) fn open(&self) -> anyhow::Result<Node> {
        Ok(Node::open(&self.home, &self.passphrase()?)?)
    }

    fn passphrase(&self) -> anyhow::Result<Passphrase> {
        if !self.home.join("keyring.json").exists() {
            // Say so before asking for a passphrase.
            return Err(hedgerow_node::error::NodeError::from(hedgerow_node::store::StoreError::NoVault(
                self.home.display().to_string(),
            ))
            .into());
        }
        passphrase::read(self.passphrase_file.as_deref(), false)
    }

    /// Has the running node carry out `command`, or carries it out on the vault.
    pub(crate) fn run(&self, command: &Command, what: &'static str) -> anyhow::Result<Outcome> {
        self.run_with(command, Progress::new(what))
    }

    /// The same, with a progress of one's own.
    pub(crate) fn run_with(&self, command: &Command, mut progress: Progress) -> anyhow::Result<Outcome> {
        let mut tell = |done, of| progress.tell(done, of);
        if let Some(outcome) = socket::call(&self.home, command, &mut tell) {
            return Ok(outcome?);
        }
        let node = Arc::new(self.open()?);
        Ok(runtime()?.block_on(api::run(&node, None, command.clone(), &mut tell))?)
    }
}

/// The runtime: work threads for the network, a pool for the vault.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads can be started")
}
