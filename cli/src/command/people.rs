//! `user`, `key`, `log`, `policy`, `lock`, `unlock`, `panic`: who may do what, who did, and the end of it.

use std::{
    collections::BTreeSet,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, bail};
use hedgerow_node::{
    api::{Command, Outcome, PeopleCommand, PeopleOutcome, socket},
    error::{Class, NodeError},
    node::Node,
    process,
    store::{self, Keys, Recovery, Role, Share, User},
};
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
use crate::{
    args::{self, Key, Log},
    output::{self, plain},
    passphrase,
};

fn ask(context: &Context, people: PeopleCommand) -> anyhow::Result<PeopleOutcome> {
    match context.session.run(&Command::People { people }, "working")? {
        Outcome::People(outcome) => Ok(outcome),
        _ => bail!("the node answered another question"),
    }
}

/// Says that something is done: `said` to people, `shape` to programs.
fn done(context: &Context, said: &str, shape: &serde_json::Value) -> anyhow::Result<ExitCode> {
    if context.json {
        output::json(shape)?;
    } else {
        println!("{said}");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn user(context: &Context, user: args::User) -> anyhow::Result<ExitCode> {
    match user {
        args::User::List => {
            let keys = keys(context)?;
            if context.json {
                output::json(&keys.users)?;
            } else {
                for user in keys.users {
                    let user = User { name: user.name, roles: user.roles };
                    println!("{:<20} {}", user.name.as_str(), user.roles_in_words());
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        args::User::Add { name, roles, new_passphrase_file } => {
            let user = User { name: name.clone(), roles: set(roles) };
            let passphrase = passphrase::read_new(new_passphrase_file.as_deref())?;
            let roles = user.roles.clone();
            ask(context, PeopleCommand::Add { user, passphrase })?;
            done(context, &format!("{name} may open the vault."), &json!({ "user": name, "roles": roles }))
        }
        args::User::Remove { name } => {
            ask(context, PeopleCommand::Remove { name: name.clone() })?;
            let said = format!("{name} is removed. Old copies of keyring.json still open to her passphrase.");
            done(context, &said, &json!({ "removed": name }))
        }
        args::User::Roles { name, roles } => {
            let user = User { name, roles: set(roles) };
            ask(context, PeopleCommand::Roles { user: user.clone() })?;
            let said = format!("{} is now {}.", user.name, user.roles_in_words());
            done(context, &said, &json!({ "user": user.name, "roles": user.roles }))
        }
        args::User::Passphrase { name, new_passphrase_file } => {
            let passphrase = passphrase::read_new(new_passphrase_file.as_deref())?;
            ask(context, PeopleCommand::Passphrase { name: name.clone(), passphrase })?;
            done(context, "The new passphrase holds from now on.", &json!({ "user": name, "changed": true }))
        }
    }
}

fn set(roles: Vec<Role>) -> BTreeSet<Role> {
    roles.into_iter().collect()
}

fn keys(context: &Context) -> anyhow::Result<Keys> {
    match ask(context, PeopleCommand::List)? {
        PeopleOutcome::Keys(keys) => Ok(keys),
        _ => bail!("the node answered another question"),
    }
}

pub(crate) fn key(context: &Context, key: Key) -> anyhow::Result<ExitCode> {
    match key {
        Key::List => {
            let keys = keys(context)?;
            if context.json {
                output::json(&keys)?;
                return Ok(ExitCode::SUCCESS);
            }
            for user in keys.users {
                user.keys.iter().for_each(|key| println!("{:<20} {key}", user.name.as_str()));
            }
            match keys.recovery {
                Some(Recovery { shares, threshold }) => {
                    println!("{:<20} any {threshold} of {shares} shares", "recovery");
                }
                None => println!("No recovery shares were made; `hedgerow key recovery` makes some."),
            }
            Ok(ExitCode::SUCCESS)
        }
        Key::AddAge { recipient, name } => {
            ask(context, PeopleCommand::AddRecipient { name, recipient: recipient.clone() })?;
            done(context, "This recipient's identity opens the vault.", &json!({ "recipient": recipient }))
        }
        Key::RemoveAge { recipient } => {
            ask(context, PeopleCommand::RemoveRecipient { recipient: recipient.clone() })?;
            done(context, "This recipient opens nothing any more.", &json!({ "removed": recipient }))
        }
        Key::Recovery { shares, threshold } => {
            let recovery = Recovery { shares, threshold };
            let PeopleOutcome::Shares(words) = ask(context, PeopleCommand::MakeShares { recovery })? else {
                bail!("the node answered another question")
            };
            if context.json {
                output::json(&json!({ "shares": words, "threshold": threshold }))?;
                return Ok(ExitCode::SUCCESS);
            }
            println!(
                "Any {threshold} of these {shares} shares open the vault. They are shown once and kept nowhere:"
            );
            println!("give each to another person, on paper. Shares made earlier open nothing any more.\n");
            for (n, word) in words.iter().enumerate() {
                println!("  {} of {shares}  {word}", n + 1);
            }
            Ok(ExitCode::SUCCESS)
        }
        Key::Recover { share_files, name, new_passphrase_file } => {
            let shares = shares(&share_files)?;
            let passphrase = passphrase::read_new(new_passphrase_file.as_deref())?;
            let name = Node::recover(&context.session.home, &shares, name, &passphrase)?;
            done(context, &format!("{name} has a new passphrase."), &json!({ "user": name, "changed": true }))
        }
        Key::Accept => {
            context.session.accept_keyring()?;
            done(context, "This keyring is the newest from now on.", &json!({ "accepted": true }))
        }
    }
}

/// Shares from files, one a line, or typed one after the other until an empty line.
fn shares(files: &[PathBuf]) -> anyhow::Result<Vec<Share>> {
    let mut shares = Vec::new();
    let mut take = |text: &str| -> anyhow::Result<()> {
        shares.push(text.parse::<Share>().map_err(|e| NodeError::from(store::StoreError::from(e)))?);
        Ok(())
    };
    for file in files {
        let bytes = super::read(file).map(Zeroizing::new)?;
        let text = std::str::from_utf8(&bytes).context("a file of shares is not text")?;
        text.lines().map(str::trim).filter(|line| !line.is_empty()).try_for_each(&mut take)?;
    }
    if files.is_empty() {
        anyhow::ensure!(
            std::io::stdin().is_terminal(),
            "no terminal to ask for shares; name files with --share-file"
        );
        loop {
            let word =
                rpassword::prompt_password("A share (nothing if that was all): ").map(Zeroizing::new)?;
            if word.trim().is_empty() {
                break;
            }
            if let Err(error) = take(&word) {
                eprintln!("{error}");
            }
        }
    }
    Ok(shares)
}

pub(crate) fn log(context: &Context, log: &Log) -> anyhow::Result<ExitCode> {
    let command = PeopleCommand::Log { from: log.from, limit: log.limit, known: log.anchor };
    let PeopleOutcome::Log(chain) = ask(context, command)? else {
        bail!("the node answered another question")
    };
    if context.json {
        output::json(&json!({
            "entries": chain.entries,
            "anchor": chain.anchor.to_string(),
            "broken": chain.broken,
        }))?;
    } else {
        for entry in &chain.entries {
            let a = &entry.access;
            let role = a.role.map_or_else(|| "refused".to_owned(), |role| role.to_string());
            let reason = a.reason.as_deref().map(|r| format!("  — {}", plain(r))).unwrap_or_default();
            println!(
                "{:>6}  {}  {:<14} {:<10} {:<18} {}{reason}",
                entry.number,
                a.at,
                plain(a.user.as_str()),
                role,
                plain(&a.action),
                plain(&a.what)
            );
        }
        println!(
            "{} entries; note down {} to hold a later log against this one.",
            chain.anchor.count, chain.anchor
        );
        match &chain.broken {
            None => println!("Every entry follows from the one before it."),
            Some(broken) => println!("BROKEN at entry {}: {}.", broken.number, plain(&broken.fault)),
        }
    }
    Ok(if chain.broken.is_none() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

pub(crate) fn policy(
    context: &Context,
    require_reason: Option<bool>,
    corroborated: Option<usize>,
) -> anyhow::Result<ExitCode> {
    let of = |outcome| match outcome {
        PeopleOutcome::Policy(policy) => Ok(policy),
        _ => bail!("the node answered another question"),
    };
    let mut policy = of(ask(context, PeopleCommand::Policy)?)?;
    let before = policy;
    policy.reasons = require_reason.unwrap_or(policy.reasons);
    policy.corroborated = corroborated.unwrap_or(policy.corroborated);
    if policy != before {
        policy = of(ask(context, PeopleCommand::SetPolicy { policy })?)?;
    }
    let reasons = if policy.reasons {
        "Reading, exporting and erasing records asks for a reason (--reason)."
    } else {
        "Reasons may be given (--reason) and are not asked for."
    };
    let said = match policy.corroborated {
        0 | 1 => reasons.to_owned(),
        n => format!(
            "{reasons}\nIndicators go to mvt, hosts and rpz once {n} members published them, each its own."
        ),
    };
    done(context, &said, &json!({ "require_reason": policy.reasons, "corroborated": policy.corroborated }))
}

/// `unlock`, and `lock`.
pub(crate) fn seat(context: &Context, unlock: bool) -> anyhow::Result<ExitCode> {
    let command = if unlock { PeopleCommand::Unlock } else { PeopleCommand::Lock };
    if !socket::path(&context.session.home).exists() {
        return Err(
            NodeError::new(Class::Network, "no node runs here: there is nothing to lock or unlock").into()
        );
    }
    ask(context, command)?;
    let said = if unlock { "The node is unlocked." } else { "The node is locked." };
    done(context, said, &json!({ "locked": !unlock }))
}

pub(crate) fn panic(context: &Context, yes: bool) -> anyhow::Result<ExitCode> {
    let home: &Path = &context.session.home;
    if !yes {
        confirmed(home)?;
    }
    let started = Instant::now();
    // Whatever comes of it, the node is ended next.
    let first = store::destroy(home);
    let stopped = process::end_node(&socket::path(home));
    // What the node was just writing when it ended.
    let second = store::destroy(home).map_err(NodeError::from)?;
    let files: Vec<_> =
        first.map(|first| first.files).unwrap_or_default().into_iter().chain(second.files).collect();
    let left: Vec<_> = second.left.iter().map(|(name, error)| format!("{name} ({error})")).collect();
    let milliseconds = started.elapsed().as_millis();
    if !left.is_empty() {
        let left = left.join(", ");
        return Err(NodeError::new(Class::Vault, format!("STILL THERE: {left}; destroy the medium")).into());
    }
    let stopped = stopped.map_err(|e| {
        NodeError::new(
            Class::Vault,
            format!("the keys are destroyed, but the node still runs ({e}): cut its power"),
        )
    })?;
    if files.is_empty() && !stopped {
        return Err(NodeError::from(store::StoreError::NoVault(home.display().to_string())).into());
    }
    done(
        context,
        &format!(
            "Destroyed: {}. {}Backups, snapshots and copies elsewhere still open.",
            files.join(", "),
            if stopped { "The node is stopped. " } else { "" }
        ),
        &json!({ "destroyed": files, "node_stopped": stopped, "milliseconds": milliseconds }),
    )
}

fn confirmed(home: &Path) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("this destroys the vault's keys for good; say --yes where nobody can be asked");
    }
    eprint!("Destroy the keys of {}? Nothing brings its records back. Type destroy: ", home.display());
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    anyhow::ensure!(typed.trim() == "destroy", "nothing was destroyed");
    Ok(())
}
