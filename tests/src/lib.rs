//! A small world for end-to-end tests: the real binary, real processes on loopback, real vaults.
//!
//! Nothing here reaches inside: tests use the command line and the files it writes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test support: a failure here is a failed test"
)]

use std::{
    env, fs,
    hash::{BuildHasher as _, RandomState},
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test, built by `cargo test --workspace`.
pub fn binary() -> PathBuf {
    let mut dir = env::current_exe().unwrap();
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    let binary = dir.join("hedgerow");
    assert!(binary.exists(), "{} is not built; run cargo test --workspace", binary.display());
    binary
}

/// The folder of public data, where HEDGEROW_REAL_DATA names one.
pub fn real_data() -> Option<PathBuf> {
    let root = env::var_os("HEDGEROW_REAL_DATA").map(PathBuf::from);
    suite("public data", root, "HEDGEROW_REAL_DATA is not set, only our own small files were read")
}

/// What an optional suite needs, if it is there. If not, says so in one line that the test harness lets through, or
/// fails where every suite is mandatory: HEDGEROW_ALL_SUITES=1, as in CI.
pub fn suite<T>(name: &str, needs: Option<T>, missing: &str) -> Option<T> {
    if needs.is_none() {
        let mandatory = env::var_os("HEDGEROW_ALL_SUITES").is_some_and(|v| v == "1");
        assert!(!mandatory, "HEDGEROW_ALL_SUITES=1, and {name} cannot run: {missing}");
        let _ = writeln!(std::io::stderr(), "not run: {name}: {missing}");
    }
    needs
}

/// A program on the PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// What a finished command left.
#[derive(Debug)]
pub struct Done {
    /// Exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Done {
    /// Of what it put out.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Its standard output as JSON, if it succeeded.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// One node: its folder and passphrase file.
#[derive(Debug, Clone)]
pub struct Node {
    home: PathBuf,
    passphrase: PathBuf,
}

impl Node {
    /// A folder for a node, not yet made.
    pub fn at(dir: &Path, name: &str) -> Self {
        let passphrase = dir.join(format!("{name}.passphrase"));
        fs::write(&passphrase, "a passphrase for tests\n").unwrap();
        Self { home: dir.join(name), passphrase }
    }

    /// Its folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The binary with this node's folder and passphrase.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.arg("--home").arg(&self.home).arg("--passphrase-file").arg(&self.passphrase);
        // What a command writes without being told where is in the test's own folder.
        command.current_dir(self.passphrase.parent().unwrap());
        command.env_remove("HEDGEROW_HOME").env_remove("HEDGEROW_PASSPHRASE_FILE").stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        Done::of(self.command().args(args).output().unwrap())
    }

    /// Runs a command to its end and reads its JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        self.run(&[args, &["--json"]].concat()).json()
    }

    /// Makes the vault.
    pub fn init(&self, name: &str, addresses: &[String]) {
        let mut command = self.command();
        command.args(["init", "--json", "--name", name]);
        for address in addresses {
            command.args(["--address", address]);
        }
        Done::of(command.output().unwrap()).json();
    }

    /// Starts `serve` and waits until it says that it is ready.
    pub fn serve(&self) -> Serving {
        self.serve_with(&[]).0
    }

    /// The same with more options; gives what it says when it is ready, too.
    pub fn serve_with(&self, more: &[&str]) -> (Serving, Value) {
        let mut child = self
            .command()
            .args(["serve", "--json", "--until-stdin-closes"])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if !line.contains("\"ready\":true") {
            let output = child.wait_with_output().unwrap();
            panic!("serve did not start: {:?}", Done::of(output));
        }
        // Read on, or a node that warns a lot would wait for somebody to read it.
        if let Some(mut stderr) = child.stderr.take() {
            std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        }
        (Serving { child }, serde_json::from_str(&line).unwrap())
    }
}

/// A serving process; killed when dropped.
#[derive(Debug)]
pub struct Serving {
    child: Child,
}

impl Serving {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it at once, as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Addresses on loopback that nothing takes before the node listens there: each on a host of its own where the
/// system has all of 127.0.0.0/8, since a free port of 127.0.0.1 may go to any outgoing connection meanwhile.
pub fn free_addresses() -> Vec<String> {
    let [_, a, b, c, ..] = RandomState::new().hash_one(()).to_be_bytes();
    let own = Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254));
    let host = if UdpSocket::bind((own, 0)).is_ok() { own } else { Ipv4Addr::LOCALHOST };
    let udp = UdpSocket::bind((host, 0)).unwrap().local_addr().unwrap().port();
    let tcp = TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().port();
    vec![format!("/ip4/{host}/udp/{udp}/quic-v1"), format!("/ip4/{host}/tcp/{tcp}")]
}

/// Waits until `holds` does.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A federation of nodes whose charter all have signed and joined; none is serving yet.
#[derive(Debug)]
pub struct Federation {
    dir: tempfile::TempDir,
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl Federation {
    /// Makes one of `n` nodes, with more options for `charter new`.
    pub fn new(n: usize, terms: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let nodes: Vec<Node> = (0..n).map(|i| Node::at(dir.path(), &format!("node{i}"))).collect();
        std::thread::scope(|threads| {
            for (i, node) in nodes.iter().enumerate() {
                threads.spawn(move || node.init(&format!("Group {i}"), &free_addresses()));
            }
        });
        let federation = Self { dir, nodes };
        let charter = federation.charter();
        let mut args = vec!["charter", "new", "--name", "Test", "--out", charter.to_str().unwrap()];
        args.extend(terms);
        let cards: Vec<String> = federation.nodes[1..]
            .iter()
            .map(|n| n.home().join("member.json").display().to_string())
            .collect();
        for card in &cards {
            args.extend(["--member", card]);
        }
        federation.nodes[0].json(&args);
        for node in &federation.nodes[1..] {
            node.json(&["charter", "sign", charter.to_str().unwrap()]);
        }
        for node in &federation.nodes {
            node.json(&["join", charter.to_str().unwrap()]);
        }
        federation
    }

    /// A folder for files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The charter's file.
    pub fn charter(&self) -> PathBuf {
        self.dir.path().join("charter.json")
    }

    /// Serves on every node and waits until all are connected with one another.
    pub fn serve(&self) -> Vec<Serving> {
        let serving: Vec<Serving> = self.nodes.iter().map(Node::serve).collect();
        eventually("every node connected", || {
            self.nodes.iter().all(|n| {
                let status = n.json(&["status"]);
                let peers = status["network"]["peers"].as_array().cloned().unwrap_or_default();
                peers.len() + 1 == self.nodes.len() && peers.iter().all(|p| p["connected"] == true)
            })
        });
        serving
    }
}
