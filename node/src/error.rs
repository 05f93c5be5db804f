//! What a user of a node can run into, in classes that a program can tell apart.

use serde::{Deserialize, Serialize};

use crate::{net::NetError, store::StoreError};

/// The class of a failure; the command line's exit code follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The request as given cannot be served: an unknown code, a file that does not read.
    Input,
    /// The vault: passphrase, damage, disk, in use.
    Vault,
    /// Policy, budget, quorum or lint says no.
    Refused,
    /// The network, or a node that should run and does not.
    Network,
    /// What was given does not verify.
    Invalid,
}

/// A failure of one command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct NodeError {
    /// Its class.
    pub class: Class,
    /// What happened and what to do. Never holds a secret or anything of a record.
    pub message: String,
}

impl NodeError {
    /// A failure of class `class`.
    pub fn new(class: Class, message: impl ToString) -> Self {
        Self { class, message: message.to_string() }
    }

    /// What was given cannot be served.
    pub fn input(message: impl ToString) -> Self {
        Self::new(Class::Input, message)
    }

    /// Something says no.
    pub fn refused(message: impl ToString) -> Self {
        Self::new(Class::Refused, message)
    }

    /// Something does not verify.
    pub fn invalid(message: impl ToString) -> Self {
        Self::new(Class::Invalid, message)
    }
}

impl From<StoreError> for NodeError {
    fn from(error: StoreError) -> Self {
        let class = match error {
            StoreError::NoUser(_)
            | StoreError::UserExists(_)
            | StoreError::LastOperator
            | StoreError::Identity
            | StoreError::Recipient
            | StoreError::RecipientExists
            | StoreError::NoRecipient
            | StoreError::Shares(_)
            | StoreError::TooManySlots(_) => Class::Input,
            StoreError::Share | StoreError::Restored(_) => Class::Refused,
            StoreError::Archive(_) => Class::Invalid,
            _ => Class::Vault,
        };
        Self::new(class, error)
    }
}

impl From<NetError> for NodeError {
    fn from(error: NetError) -> Self {
        Self::new(Class::Network, error)
    }
}
