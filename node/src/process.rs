//! What this process keeps from the rest of the machine (docs/threat-model.md, Memory).

use std::{
    io,
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{
        DumpableBehavior, Resource, Rlimit, Signal, getrlimit, kill_process, set_dumpable_behavior, setrlimit,
    },
    thread::{CapabilitySet, capabilities},
};

/// How long a killed process may take to end.
const GONE_WITHIN: Duration = Duration::from_millis(700);

/// What the system granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardened {
    /// No core dump is written, and no process of the same user may trace this one or read its memory.
    pub no_dumps: bool,
    /// Memory never reaches swap.
    pub memory_locked: bool,
}

/// Keeps secrets out of core dumps, out of the sight of other processes of the same user, and, where memory may be
/// locked without bound, out of swap. To be called before anything secret is read.
pub fn harden() -> Hardened {
    let no_core = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).is_ok();
    let undumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok();
    // With a bound, memory asked for later would be refused once it is reached, and the node with it.
    let unbounded = getrlimit(Resource::Memlock).current.is_none()
        || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    // Pages are locked as they are first touched: stacks and pools that are only reserved cost nothing.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    let memory_locked = unbounded && mlockall(flags).is_ok();
    Hardened { no_dumps: no_core && undumpable, memory_locked }
}

/// Ends the node that listens on the socket at `path`, at once and without its help, and waits until it is gone. True if
/// one was there.
pub fn end_node(path: &Path) -> io::Result<bool> {
    let Ok(stream) = UnixStream::connect(path) else { return Ok(false) };
    let peer = rustix::net::sockopt::socket_peercred(&stream)?.pid;
    if peer == rustix::process::getpid() {
        return Ok(false);
    }
    kill_process(peer, Signal::KILL)?;
    drop(stream);
    // The system takes a moment to close what a killed process had open, the vault and its keys among it.
    let since = Instant::now();
    while since.elapsed() < GONE_WITHIN {
        if UnixStream::connect(path).is_err() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "it was killed and has not ended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_core_dump_is_written_of_a_hardened_process() {
        assert!(harden().no_dumps);
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        let dumpable = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(dumpable, DumpableBehavior::NotDumpable);
    }
}
