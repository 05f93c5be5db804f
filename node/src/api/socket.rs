//! The commands over a Unix socket: one JSON line in, progress lines and one last line out.
//!
//! The socket lies in the node's own folder with access for its owner alone, and the caller's user is checked.

use std::{
    io::{BufRead as _, BufReader as Lines, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream as Plain},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{Semaphore, mpsc},
};

use super::{Command, Outcome, run};
use crate::{
    error::{Class, NodeError},
    flow::serve::Service,
};

/// Most bytes of one command.
const COMMAND_BYTES: u64 = 1024 * 1024;
/// Commands carried out at once; more wait.
const COMMANDS: usize = 8;
/// Progress lines that wait to be written; when it is full, further ones are left out.
const PROGRESS: usize = 16;

/// One line of a reply.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Progress(u64, Option<u64>),
    Done(Box<Outcome>),
    Failed(NodeError),
}

/// Where a node's socket lies.
pub fn path(home: &Path) -> PathBuf {
    home.join("node.sock")
}

/// A listening socket; the file goes when it is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Binds the socket of `home`. The vault's lock says that no other node runs there, so what is left of an
    /// earlier one is removed.
    pub fn bind(home: &Path) -> Result<Self, NodeError> {
        let path = path(home);
        let _ = std::fs::remove_file(&path);
        let io = |e: std::io::Error| {
            NodeError::input(format!(
                "the socket {} cannot be made ({e}); is the path too long?",
                path.display()
            ))
        };
        let listener = UnixListener::bind(&path).map_err(io)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
        Ok(Self { listener, path })
    }

    /// Carries out commands until the future is dropped.
    pub async fn serve(&self, service: Arc<Service>) {
        let turns = Arc::new(Semaphore::new(COMMANDS));
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            let owner = stream.peer_cred().map(|c| c.uid()).ok();
            if owner != Some(rustix::process::geteuid().as_raw()) {
                continue;
            }
            let (service, turns) = (Arc::clone(&service), Arc::clone(&turns));
            tokio::spawn(async move {
                let _turn = turns.acquire().await;
                if let Err(error) = handle(stream, &service).await {
                    tracing::debug!(%error, "a local command ended early");
                }
            });
        }
    }
}

async fn handle(stream: UnixStream, service: &Service) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    BufReader::new(read.take(COMMAND_BYTES)).read_until(b'\n', &mut line).await?;
    let (sender, mut progress) = mpsc::channel(PROGRESS);
    let work = async {
        let command: Command = serde_json::from_slice(&line)
            .map_err(|_| NodeError::input("the running node does not know this command; restart it"))?;
        let mut tell = |done, of| drop(sender.try_send(Line::Progress(done, of)));
        run(service.node(), Some(service), command, &mut tell).await
    };
    tokio::pin!(work);
    let last = loop {
        tokio::select! {
            done = &mut work => break done,
            Some(line) = progress.recv() => send(&mut write, &line).await?,
        }
    };
    let last = last.map_or_else(Line::Failed, |outcome| Line::Done(Box::new(outcome)));
    send(&mut write, &last).await
}

async fn send(write: &mut OwnedWriteHalf, line: &Line) -> std::io::Result<()> {
    let mut json = serde_json::to_vec(line)?;
    json.push(b'\n');
    write.write_all(&json).await
}

/// Has the node that runs in `home` carry out `command`; none if no node runs there.
pub fn call(
    home: &Path,
    command: &Command,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Option<Result<Outcome, NodeError>> {
    let stream = Plain::connect(path(home)).ok()?;
    Some(converse(stream, command, progress))
}

fn converse(
    mut stream: Plain,
    command: &Command,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Outcome, NodeError> {
    let broken = |e: &dyn std::fmt::Display| {
        NodeError::new(Class::Network, format!("the running node ended the conversation: {e}"))
    };
    let mut json = serde_json::to_vec(command).map_err(|e| broken(&e))?;
    json.push(b'\n');
    stream.write_all(&json).map_err(|e| broken(&e))?;
    for line in Lines::new(stream).lines() {
        let line = line.map_err(|e| broken(&e))?;
        match serde_json::from_str(&line).map_err(|e| broken(&e))? {
            Line::Progress(done, of) => progress(done, of),
            Line::Done(outcome) => return Ok(*outcome),
            Line::Failed(error) => return Err(error),
        }
    }
    Err(broken(&"it stopped"))
}
