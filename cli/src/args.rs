//! What can be typed.

mod federation;
mod indicator;
mod people;
mod record;
mod upkeep;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use hedgerow_node::store::UserName;
use hedgerow_protocol::privacy::MicroEpsilon;

pub(crate) use federation::{Ask, Charter, CharterNew, Serve, Verify};
pub(crate) use indicator::{Allow, Foreign, Indicator, Quarantine, Sighting, Taxii, Token, Warnings};
pub(crate) use people::{Key, Log, User};
pub(crate) use record::{Attachment, Import, Record, RecordAdd, RecordSearch, Simulate};
pub(crate) use upkeep::{Backup, Ledger, Restore};

/// Share what you learn about digital transnational repression, never who it was done to.
///
/// Each group keeps its incident records encrypted on its own node. Only private statistics and signed threat
/// indicators leave it. `hedgerow demo` shows all of it on this machine, with made-up records.
#[derive(Debug, Parser)]
#[command(
    name = "hedgerow",
    version,
    after_help = "Exit codes: 0 done; 1 something does not verify; 2 the request or a file cannot be served; \
                  3 the vault (passphrase, damage, disk, in use); 4 refused by policy, budget or lint; \
                  5 the network, or a node that does not run."
)]
pub(crate) struct Args {
    /// Folder of this node.
    #[arg(long, global = true, env = "HEDGEROW_HOME", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// File whose first line is the passphrase, instead of asking for it.
    #[arg(long, global = true, env = "HEDGEROW_PASSPHRASE_FILE", value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Open the vault with an age identity from this file instead of a passphrase.
    #[arg(long, global = true, env = "HEDGEROW_IDENTITY", value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Act as this user of the vault, with her key.
    #[arg(long, global = true, env = "HEDGEROW_USER", value_name = "NAME")]
    pub(crate) user: Option<UserName>,
    /// Why, for the access log.
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Print JSON, one document, on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole federation of five nodes on this machine.
    Demo(Demo),
    /// Make this organisation's node: a vault and a key.
    Init(Init),
    /// Import incident records from CSV, VERIS JSON or JSON Lines.
    Import(Import),
    /// Fill the vault with made-up records, to try things out.
    Simulate(Simulate),
    /// Add, show, list or erase records.
    #[command(subcommand)]
    Record(Record),
    /// Keep files that belong to a record: add, list, export, annotate or remove them.
    #[command(subcommand)]
    Attachment(Attachment),
    /// Draw up, sign or show a federation's charter.
    #[command(subcommand)]
    Charter(Charter),
    /// Join a federation whose charter is signed by its quorum.
    Join {
        /// The charter.
        charter: PathBuf,
    },
    /// Run the node.
    Serve(Serve),
    /// Ask the federation a question.
    Ask(Ask),
    /// Check a release, offline.
    Verify(Verify),
    /// Import, publish, list, export or revoke threat indicators.
    #[command(subcommand)]
    Indicator(Indicator),
    /// Look for the indicators that this node knows in its own incidents, or in logs and other files. Nothing leaves the
    /// node.
    Match {
        /// Files and folders, gzipped or not; the incidents of this node if none is given.
        paths: Vec<PathBuf>,
        /// The incidents too, where files are given.
        #[arg(long)]
        records: bool,
        /// Note what is found as sightings, for `ask --sightings`: in incidents on their day, in files today.
        #[arg(long)]
        remember: bool,
    },
    /// Let programs collect indicators over TAXII: their tokens.
    #[command(subcommand)]
    Taxii(Taxii),
    /// Show what was spent of the privacy budget, by whom and for what.
    Ledger(Ledger),
    /// Write all of the vault, encrypted, to one file that age opens. The node may run meanwhile.
    Backup(Backup),
    /// Restore a backup into a new folder, and prove that it is whole.
    Restore(Restore),
    /// Make the store anew, so that what was erased gives its room back. The node must not run.
    Rebuild {
        /// Only if about so many percent of its room are won by it.
        #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=99))]
        at_least: u8,
    },
    /// Show how this node is.
    Status,
    /// Open and count everything in the vault; what is damaged, missing or old is named.
    Check,
    /// Upgrade the vault from the format of an older program. Safe to stop at any point.
    Upgrade,
    /// Add, remove or list the people who may open the vault; their roles and passphrases.
    #[command(subcommand)]
    User(User),
    /// Add, remove or list what opens the vault: age recipients, recovery shares.
    #[command(subcommand)]
    Key(Key),
    /// Show the access log, and check that nothing of it was changed.
    Log(Log),
    /// Show or set what this organisation asks of its own people.
    Policy {
        /// Whether reading, exporting and erasing records asks for a reason: yes or no.
        #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
        require_reason: Option<bool>,
        /// Fewest members who must have published an indicator, each its own, before it is exported to what alarms or
        /// blocks: mvt, hosts, rpz. 0 for no such bound.
        #[arg(long, value_name = "MEMBERS")]
        corroborated: Option<usize>,
    },
    /// Lock the running node: it answers the federation and does nothing else without a key.
    Lock,
    /// Unlock the running node: it acts for you until it locks again.
    Unlock,
    /// Destroy the keys of this vault, at once and for good. Needs no passphrase.
    Panic {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// List the codes of a dimension, or the dimensions.
    Codes {
        /// tactic, role, origin, confidence, basis, platform, harm, help, answer, region or phase.
        dimension: Option<String>,
    },
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("yes or no".into()),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// Stop the nodes and return once everything was shown.
    #[arg(long)]
    pub(crate) exit: bool,
    /// Folder for the five nodes; one that an earlier demo made is made anew.
    #[arg(long, default_value = "hedgerow-demo", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Share these incident records among the nodes instead of made-up ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Publish these indicators instead of made-up ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) indicators: Option<PathBuf>,
    /// How many made-up records, over all nodes.
    #[arg(long, default_value_t = 5000)]
    pub(crate) records: u64,
    /// Epsilon of each question.
    #[arg(long, default_value = "1")]
    pub(crate) epsilon: MicroEpsilon,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Init {
    /// Name of the organisation, as other members will see it.
    #[arg(long)]
    pub(crate) name: String,
    /// How its people are reached.
    #[arg(long, default_value = "")]
    pub(crate) contact: String,
    /// Multiaddress at which other members reach this node, such as /ip4/203.0.113.7/udp/4817/quic-v1; may be
    /// given several times.
    #[arg(long = "address", value_name = "MULTIADDR")]
    pub(crate) addresses: Vec<String>,
    /// Where to write the member card that goes into a charter.
    #[arg(long, value_name = "FILE")]
    pub(crate) card: Option<PathBuf>,
}
