//! Commands about the people of a vault: users, keys, the access log, the policy.

use serde::{Deserialize, Serialize};

use crate::{
    error::NodeError,
    flow::access::Caller,
    node::Node,
    store::{Anchor, Chain, Keys, Passphrase, Policy, Recovery, User, UserName},
};

/// Something about people to be done by a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PeopleCommand {
    /// Lists users and keys.
    List,
    /// Adds a user.
    Add {
        /// Her name and roles.
        user: User,
        /// Her passphrase.
        passphrase: Passphrase,
    },
    /// Removes a user and her keys.
    Remove {
        /// Her name.
        name: UserName,
    },
    /// Gives a user other roles.
    Roles {
        /// Her name, and all roles she has from now on.
        user: User,
    },
    /// Gives a user another passphrase.
    Passphrase {
        /// Her name; the caller's if not given.
        name: Option<UserName>,
        /// The passphrase.
        passphrase: Passphrase,
    },
    /// Lets an age recipient open the vault.
    AddRecipient {
        /// As whom; the caller if not given.
        name: Option<UserName>,
        /// The recipient, `age1…`.
        recipient: String,
    },
    /// Takes an age recipient away.
    RemoveRecipient {
        /// The recipient.
        recipient: String,
    },
    /// Makes recovery shares anew.
    MakeShares {
        /// How many, and how many of them open the vault.
        recovery: Recovery,
    },
    /// Reads the access log and checks its chain.
    Log {
        /// From this number on; the last ones if not given.
        from: Option<u64>,
        /// At most so many.
        limit: u64,
        /// An end of it that was noted down.
        known: Option<Anchor>,
    },
    /// Shows the policy.
    Policy,
    /// Sets the policy.
    SetPolicy {
        /// What holds from now on.
        policy: Policy,
    },
    /// Has the running node act for the caller until it locks again.
    Unlock,
    /// Has the running node act for nobody until someone unlocks it.
    Lock,
}

/// What came of a [`PeopleCommand`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PeopleOutcome {
    /// Of [`PeopleCommand::List`].
    Keys(Keys),
    /// It is done.
    Done,
    /// Of [`PeopleCommand::MakeShares`]: each share once, and nowhere else.
    Shares(Vec<String>),
    /// Of [`PeopleCommand::Log`].
    Log(Chain),
    /// Of [`PeopleCommand::Policy`] and [`PeopleCommand::SetPolicy`].
    Policy(Policy),
}

/// Carries out one of them on an open vault; the caller may do it.
pub(super) fn run(node: &Node, caller: &Caller, command: PeopleCommand) -> Result<PeopleOutcome, NodeError> {
    let own = |name: Option<UserName>| name.unwrap_or_else(|| caller.user.name.clone());
    match command {
        PeopleCommand::List => return Ok(PeopleOutcome::Keys(node.people.keys()?)),
        PeopleCommand::Add { user, passphrase } => {
            some_role(&user)?;
            node.people.add(user, &passphrase)?;
        }
        PeopleCommand::Remove { name } => node.people.remove(&name)?,
        PeopleCommand::Roles { user } => {
            some_role(&user)?;
            node.people.set_roles(&user.name, user.roles)?;
        }
        PeopleCommand::Passphrase { name, passphrase } => {
            node.people.set_passphrase(&own(name), &passphrase)?;
        }
        PeopleCommand::AddRecipient { name, recipient } => {
            node.people.add_recipient(&own(name), &recipient)?;
        }
        PeopleCommand::RemoveRecipient { recipient } => node.people.remove_recipient(&recipient)?,
        PeopleCommand::MakeShares { recovery } => {
            let shares = node.people.make_shares(recovery)?;
            return Ok(PeopleOutcome::Shares(shares.iter().map(ToString::to_string).collect()));
        }
        PeopleCommand::Log { from, limit, known } => {
            return Ok(PeopleOutcome::Log(node.access_log(from, limit.min(MOST_LISTED), known)?));
        }
        PeopleCommand::Policy => return Ok(PeopleOutcome::Policy(node.settings.policy()?)),
        PeopleCommand::SetPolicy { policy } => {
            node.settings.put_policy(policy)?;
            return Ok(PeopleOutcome::Policy(policy));
        }
        PeopleCommand::Unlock | PeopleCommand::Lock => {
            return Err(NodeError::input("no node runs here: there is nothing to lock or unlock"));
        }
    }
    Ok(PeopleOutcome::Done)
}

/// Most entries of the log listed at once.
const MOST_LISTED: u64 = 100_000;

fn some_role(user: &User) -> Result<(), NodeError> {
    if user.roles.is_empty() { Err(NodeError::input("a user has at least one role")) } else { Ok(()) }
}
