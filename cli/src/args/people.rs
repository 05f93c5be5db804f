//! What can be typed of users, keys and the access log.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use hedgerow_node::store::{Anchor, Role, UserName};

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// List users and their roles.
    List,
    /// Add a user with a passphrase of her own.
    Add {
        /// Her name.
        name: UserName,
        /// caseworker, analyst, operator or auditor; may be given several times.
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<Role>,
        /// File whose first line is her passphrase, instead of asking for it.
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Remove a user and all her keys.
    Remove {
        /// Her name.
        name: UserName,
    },
    /// Give a user other roles.
    Roles {
        /// Her name.
        name: UserName,
        /// All roles she has from now on; may be given several times.
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<Role>,
    },
    /// Change a passphrase: your own, or another's if you are an operator.
    Passphrase {
        /// Whose; your own if not given.
        name: Option<UserName>,
        /// File whose first line is the new passphrase, instead of asking for it.
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// List what opens the vault.
    List,
    /// Let an age identity open the vault.
    AddAge {
        /// Its recipient, age1….
        recipient: String,
        /// As whom it opens; yourself if not given.
        #[arg(long = "for", value_name = "NAME")]
        name: Option<UserName>,
    },
    /// Take an age recipient away.
    RemoveAge {
        /// The recipient, age1….
        recipient: String,
    },
    /// Make recovery shares; those made earlier open nothing any more.
    Recovery {
        /// How many to make.
        #[arg(long, default_value_t = 5)]
        shares: u8,
        /// How many of them open the vault.
        #[arg(long, default_value_t = 3)]
        threshold: u8,
    },
    /// Give a user a new passphrase by means of recovery shares; the node must not be running.
    Recover {
        /// File with shares, one a line; asked for one by one if not given. May be given several times.
        #[arg(long = "share-file", value_name = "FILE")]
        share_files: Vec<PathBuf>,
        /// Who gets the passphrase; not needed where there is one user.
        #[arg(long = "for", value_name = "NAME")]
        name: Option<UserName>,
        /// File whose first line is the new passphrase, instead of asking for it.
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Take a keyring that is older than the vault has seen, because newer ones are lost.
    Accept,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Log {
    /// From this entry on; the last ones if not given.
    #[arg(long)]
    pub(crate) from: Option<u64>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u64,
    /// An end of the log noted down earlier (COUNT:HASH): whether all before it is as it was.
    #[arg(long, value_name = "COUNT:HASH")]
    pub(crate) anchor: Option<Anchor>,
}
