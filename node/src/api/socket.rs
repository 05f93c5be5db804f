//! The commands over a Unix socket: one JSON line in, progress lines and one last line out.
//!
//! The socket lies in the node's own folder with access for its owner alone, and the caller's system user is checked.
//! Who of the people behind that user it is, a proof says, or the seat (`seat`).

use std::{
    io::{BufRead as _, BufReader as Lines, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream as Plain},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{Semaphore, mpsc},
};

use zeroize::Zeroizing;

use super::{Call, Command, Outcome, PeopleCommand, PeopleOutcome, run_as, seat::Seat};
use crate::{
    error::{Class, NodeError},
    flow::{
        access::{Action, Caller},
        serve::Service,
    },
    store::{StoreError, User},
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
    /// Nothing was done: a key is needed, because the node is locked or because of what was asked for.
    Prove {
        locked: bool,
    },
}

/// What a running node answered.
#[derive(Debug)]
pub enum Answer {
    /// It is done.
    Done(Outcome),
    /// The same call is wanted with a proof.
    Prove {
        /// Since the node is locked; else since this is asked for with a key each time.
        locked: bool,
    },
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
    idle: Option<Duration>,
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
        Ok(Self { listener, path, idle: None })
    }

    /// Locks the node once nobody has done anything for `idle`.
    #[must_use]
    pub fn locking_after(mut self, idle: Option<Duration>) -> Self {
        self.idle = idle;
        self
    }

    /// Carries out commands until the future is dropped.
    pub async fn serve(&self, service: Arc<Service>) {
        let turns = Arc::new(Semaphore::new(COMMANDS));
        let opener = service.node().opener().name.clone();
        let seat = Arc::new(Seat::new(opener, Instant::now(), self.idle));
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            let owner = stream.peer_cred().map(|c| c.uid()).ok();
            if owner != Some(rustix::process::geteuid().as_raw()) {
                continue;
            }
            let (service, seat, turns) = (Arc::clone(&service), Arc::clone(&seat), Arc::clone(&turns));
            tokio::spawn(async move {
                let _turn = turns.acquire().await;
                if let Err(error) = handle(stream, &service, &seat).await {
                    tracing::debug!(%error, "a local command ended early");
                }
            });
        }
    }
}

async fn handle(stream: UnixStream, service: &Service, seat: &Seat) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    // It may hold a passphrase.
    let mut line = Zeroizing::new(Vec::with_capacity(4096));
    BufReader::new(read.take(COMMAND_BYTES)).read_until(b'\n', &mut line).await?;
    let (sender, mut progress) = mpsc::channel(PROGRESS);
    let work = async {
        let call: Call = serde_json::from_slice(&line)
            .map_err(|_| NodeError::input("the running node does not know this command; restart it"))?;
        let mut tell = |done, of| drop(sender.try_send(Line::Progress(done, of)));
        carry_out(service, seat, call, &mut tell).await
    };
    tokio::pin!(work);
    let last = loop {
        tokio::select! {
            done = &mut work => break done,
            Some(line) = progress.recv() => send(&mut write, &line).await?,
        }
    };
    let last = match last {
        Ok(Answer::Done(outcome)) => Line::Done(Box::new(outcome)),
        Ok(Answer::Prove { locked }) => Line::Prove { locked },
        Err(error) => Line::Failed(error),
    };
    send(&mut write, &last).await
}

/// Finds out for whom, and carries it out if she may.
async fn carry_out(
    service: &Service,
    seat: &Seat,
    call: Call,
    tell: &mut (dyn FnMut(u64, Option<u64>) + Send),
) -> Result<Answer, NodeError> {
    let node = service.node();
    let Call { proof, reason, command } = call;
    let holder = seat.holder(Instant::now());
    let (action, _) = command.access(holder.as_ref());
    let seated = proof.is_none() && !action.is_open();
    let user = match (proof, &holder) {
        (Some(proof), _) => tokio::task::block_in_place(|| node.people.admit(&proof))?,
        // Nobody's name is needed: whoever reaches the socket may know.
        (None, _) if action.is_open() => node.opener().clone(),
        (None, _) if action.needs_key() => return Ok(Answer::Prove { locked: holder.is_none() }),
        (None, None) => return Ok(Answer::Prove { locked: true }),
        (None, Some(holder)) => match tokio::task::block_in_place(|| node.people.user(holder)) {
            Ok(user) => user,
            Err(StoreError::NoUser(_)) => return Ok(Answer::Prove { locked: true }),
            Err(error) => return Err(error.into()),
        },
    };
    let caller = Caller { user, reason };
    if let Command::People { people: people @ (PeopleCommand::Lock | PeopleCommand::Unlock) } = &command {
        return change_seat(service, seat, &caller, action, people).map(Answer::Done);
    }
    let mut done = run_as(&caller, node, Some(service), command, tell).await;
    if let Ok(Outcome::Status(status)) = &mut done {
        status.acts_for = seat.holder(Instant::now());
    }
    if seated {
        // Of long work, its end counts.
        seat.used(Instant::now());
    }
    done.map(Answer::Done)
}

fn change_seat(
    service: &Service,
    seat: &Seat,
    caller: &Caller,
    action: Action,
    command: &PeopleCommand,
) -> Result<Outcome, NodeError> {
    if matches!(command, PeopleCommand::Unlock) {
        tokio::task::block_in_place(|| service.node().permit(caller, action, ""))?;
        let User { name, .. } = &caller.user;
        seat.take(name.clone(), Instant::now());
    } else {
        seat.leave();
    }
    Ok(Outcome::People(PeopleOutcome::Done))
}

async fn send(write: &mut OwnedWriteHalf, line: &Line) -> std::io::Result<()> {
    let mut json = serde_json::to_vec(line)?;
    json.push(b'\n');
    write.write_all(&json).await
}

/// Has the node that runs in `home` carry out `command` for the one who unlocked it; none if no node runs there.
pub fn call(
    home: &Path,
    command: &Command,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Option<Result<Outcome, NodeError>> {
    let call = Call { proof: None, reason: None, command: command.clone() };
    let answer = self::ask(home, &call, progress)?;
    Some(answer.and_then(|answer| match answer {
        Answer::Done(outcome) => Ok(outcome),
        Answer::Prove { .. } => {
            Err(NodeError::new(Class::Vault, "the node is locked; `hedgerow unlock` unlocks it"))
        }
    }))
}

/// Has the node that runs in `home` answer `call`; none if no node runs there.
pub fn ask(
    home: &Path,
    call: &Call,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Option<Result<Answer, NodeError>> {
    let stream = Plain::connect(path(home)).ok()?;
    Some(converse(stream, call, progress))
}

fn converse(
    mut stream: Plain,
    call: &Call,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Answer, NodeError> {
    let broken = |e: &dyn std::fmt::Display| {
        NodeError::new(Class::Network, format!("the running node ended the conversation: {e}"))
    };
    let mut json = Zeroizing::new(Vec::with_capacity(4096));
    serde_json::to_writer(&mut *json, call).map_err(|e| broken(&e))?;
    json.push(b'\n');
    stream.write_all(&json).map_err(|e| broken(&e))?;
    for line in Lines::new(stream).lines() {
        let line = line.map_err(|e| broken(&e))?;
        match serde_json::from_str(&line).map_err(|e| broken(&e))? {
            Line::Progress(done, of) => progress(done, of),
            Line::Done(outcome) => return Ok(Answer::Done(*outcome)),
            Line::Failed(error) => return Err(error),
            Line::Prove { locked } => return Ok(Answer::Prove { locked }),
        }
    }
    Err(broken(&"it stopped"))
}
