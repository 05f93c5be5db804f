//! What can be typed of threat indicators, and of the programs that collect them.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args as ClapArgs, Subcommand};
use hedgerow_node::{api::ForeignChoice, store::Landing};
use hedgerow_protocol::{
    indicator::Tlp,
    time::{Day, Timestamp},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Indicator {
    /// Import indicators as drafts from a STIX bundle, a MISP event, CSV, a plain list, or a report in running text.
    Import {
        /// The file, or the folder of a MISP feed.
        file: PathBuf,
        /// stix, misp, csv, list or text; told from the file if not given.
        #[arg(long)]
        format: Option<String>,
        /// Label for what in it has none, or a freer one.
        #[arg(long)]
        tlp: Option<Tlp>,
        /// Use what in it says no end itself for so many days from now, or until a day: 90, or 2027-03-31.
        #[arg(long, value_name = "DAYS|DAY", value_parser = expiry)]
        expires: Option<Expiry>,
        /// Say what another member published already, too, under ids of this group's own.
        #[arg(long)]
        corroborate: bool,
    },
    /// Say what another member published, too: makes drafts of it under ids of this group's own.
    Corroborate {
        /// Their STIX ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Publish every draft to the federation.
    Publish {
        /// clear, green, amber, or red with --to; each draft's own label if not given, and a draft without one then stays.
        #[arg(long)]
        tlp: Option<Tlp>,
        /// Member, by name or id, for whom what is RED is sealed; may be given several times.
        #[arg(long, value_name = "MEMBER")]
        to: Vec<String>,
        /// Publish under this node's pseudonym, where the charter has them: members see that one of them says it, not who.
        /// What words say of you they still say.
        #[arg(long, conflicts_with = "to")]
        pseudonym: bool,
        /// Publish what the lint warns of, too: you have looked at it.
        #[arg(long)]
        confirm: bool,
    },
    /// List the library.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Write the library for other tools.
    Export {
        /// stix (as signed), strict (what the OASIS validator passes), mvt, misp (one event), misp-feed (a folder),
        /// csv, list, hosts or rpz (a DNS response policy zone).
        #[arg(long, default_value = "stix")]
        format: String,
        /// For members of the federation: AMBER too.
        #[arg(long)]
        members: bool,
        /// Only indicators that so many members published, each its own.
        #[arg(long, value_name = "MEMBERS")]
        corroborated: Option<usize>,
        /// Where to write it; standard output if not given. A folder for misp-feed.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Keep a local list of what is no attack here: it undoes a false alarm for this node alone.
    #[command(subcommand)]
    Allow(Allow),
    /// Note what this group saw. It stays here; `hedgerow ask --sightings` counts how many groups saw something, and
    /// not which.
    #[command(subcommand)]
    Sighting(Sighting),
    /// Look at what came from others and would harm people if it were blocked, or names somebody of this vault.
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Name the folder of MISP warning lists that drafts and what comes in are held against; without a folder, say which
    /// is set.
    Warnings(Warnings),
    /// Write the proof of one published object: who published it, when, under which label. Anyone can check it.
    Prove {
        /// Its STIX id.
        id: String,
        /// Where to write it; standard output if not given.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check the proof of one object, offline. Needs no node.
    Check {
        /// The proof.
        proof: PathBuf,
        /// The charter that you trust; its signer must be a member.
        #[arg(long, value_name = "FILE")]
        charter: Option<PathBuf>,
    },
    /// Show which members signed two contents as one version of an object, with the proof.
    TwoStories,
    /// Take an indicator back, for everyone and for good.
    Revoke {
        /// Its STIX id.
        id: String,
    },
    /// Read the indicators of somebody who does not run Hedgerow: a TAXII 2.1 server, a MISP feed, or a file.
    Pull {
        /// A TAXII server, API root or collection; the manifest.json of a MISP feed; or a STIX bundle, CSV or list.
        url: String,
        /// File whose first line is the token, or USER:PASSWORD.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// Only this collection, by id, alias or title; all that may be read if not given.
        #[arg(long)]
        collection: Option<String>,
        /// Reach it through a proxy, such as socks5h://127.0.0.1:9050 for Tor.
        #[arg(long, value_name = "URL")]
        proxy: Option<String>,
        /// What becomes of it: foreign (held apart until adopted) or drafts.
        #[arg(long = "as", value_name = "foreign|drafts", default_value = "foreign")]
        landing: Landing,
        /// Read a collection from the beginning, not from where the last pull ended.
        #[arg(long)]
        again: bool,
    },
    /// Look at what came from outside the federation: adopt it as drafts, or drop it.
    #[command(subcommand)]
    Foreign(Foreign),
}

/// Until when something is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// So many days from now.
    Days(u32),
    /// Until the beginning of a day.
    On(Day),
}

impl Expiry {
    /// The moment.
    pub(crate) fn from(self, now: Timestamp) -> anyhow::Result<Timestamp> {
        match self {
            Self::Days(days) => Ok(now.plus_seconds(i64::from(days) * 24 * 3600)),
            Self::On(day) => format!("{day}T00:00:00Z").parse().context("this day has no beginning"),
        }
    }
}

fn expiry(text: &str) -> Result<Expiry, String> {
    let days = text.parse().ok().filter(|days| (1..=36_500).contains(days)).map(Expiry::Days);
    let day = || text.parse().ok().map(Expiry::On);
    days.or_else(day).ok_or_else(|| "days from now, such as 90, or a day, such as 2027-03-31".into())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Foreign {
    /// List it.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Make drafts of it, to be published by this node.
    Adopt(Chosen),
    /// Drop it.
    Drop(Chosen),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Chosen {
    /// STIX id of one object.
    #[arg(required_unless_present = "source")]
    id: Option<String>,
    /// Everything of one source, as the list has it.
    #[arg(long, conflicts_with = "id")]
    source: Option<String>,
}

impl Chosen {
    pub(crate) fn choice(self) -> anyhow::Result<ForeignChoice> {
        let source = self.source.map(ForeignChoice::Source);
        source.or(self.id.map(ForeignChoice::Object)).context("give an id or --source")
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Taxii {
    /// Make, list or revoke the tokens of clients.
    #[command(subcommand)]
    Token(Token),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token for a client. It is shown once, and kept as a hash.
    Add {
        /// Name of the client.
        name: String,
        /// The strictest label that it reads: clear, green, amber (for members of the federation), or amber+strict
        /// (for this organisation's own programs).
        #[arg(long, default_value = "green")]
        tlp: Tlp,
        /// Let it post: what it posts becomes foreign (held apart until adopted) or drafts.
        #[arg(long, value_name = "foreign|drafts")]
        write: Option<Landing>,
    },
    /// List the clients.
    List,
    /// Take a client's token back.
    Revoke {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Allow {
    /// Put a value on the list.
    Add {
        /// A domain, URL, address or hash, or a kind and a value in quotes, such as "process agentd". A domain covers the
        /// pages on it.
        value: String,
        /// Why.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Show the list.
    List,
    /// Take a value off it.
    Remove {
        /// The value.
        value: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sighting {
    /// Note that something was seen.
    Add {
        /// A domain, URL, address or hash, a kind and a value in quotes, such as "process agentd", or the STIX id of an
        /// indicator.
        what: String,
        /// When: the day of the record, or today, if not given.
        #[arg(long, value_name = "YYYY-MM-DD")]
        on: Option<Day>,
        /// In which incident. It counts if its person lets it be counted.
        #[arg(long, value_name = "NUMBER")]
        record: Option<u64>,
    },
    /// Show what was noted.
    List,
    /// Forget what was noted of a value or an indicator.
    Remove {
        /// The value or STIX id.
        what: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// Show what waits, and why.
    List,
    /// Use it like any other.
    Release {
        /// STIX ids.
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All that waits.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Do not use it. A later version waits anew.
    Drop {
        /// STIX ids.
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All that waits.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Warnings {
    /// The folder: a checkout of MISP's warning lists, or files of its form.
    pub(crate) folder: Option<PathBuf>,
    /// Use none.
    #[arg(long, conflicts_with = "folder")]
    pub(crate) none: bool,
}
