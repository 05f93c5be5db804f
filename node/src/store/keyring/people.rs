//! Who may open a vault, and in which roles.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest name of a user, in characters.
const LONGEST: usize = 32;

/// What a person does at an organisation, and so which commands are hers (`flow::access` has the table).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Takes reports, keeps records.
    Caseworker,
    /// Works with indicators and statistics.
    Analyst,
    /// Runs the node, its users and its charter.
    Operator,
    /// Reads what was done.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Caseworker, Self::Analyst, Self::Operator, Self::Auditor];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caseworker => "caseworker",
            Self::Analyst => "analyst",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(NameError::Role)
    }
}

/// The name of a user: letters, digits, and `-`, `_`, `.` between them; at most 32 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

impl UserName {
    /// The user that `init` makes, and the one that a keyring of format 1 has.
    pub fn first() -> Self {
        Self("owner".to_owned())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UserName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let inner = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let ends = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let fits = text.chars().count() <= LONGEST && text.chars().all(inner);
        if fits && ends(text.chars().next()) && ends(text.chars().next_back()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::User)
        }
    }
}

impl TryFrom<String> for UserName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

/// A name that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Of a user.
    #[error("a user's name has up to 32 letters and digits, with - _ . between them")]
    User,
    /// Of a role.
    #[error("the roles are caseworker, analyst, operator and auditor")]
    Role,
}

/// One who may open the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Her name.
    pub name: UserName,
    /// Her roles.
    pub roles: BTreeSet<Role>,
}

impl User {
    /// The only user of a small organisation: all roles.
    pub fn first() -> Self {
        Self { name: UserName::first(), roles: Role::ALL.into() }
    }

    /// Who opens a vault with recovery shares: nobody in particular, and only to give someone a new passphrase.
    pub(super) fn recovery() -> Self {
        Self { name: UserName("recovery".to_owned()), roles: [Role::Operator].into() }
    }

    /// Her roles in words.
    pub fn roles_in_words(&self) -> String {
        let names: Vec<_> = self.roles.iter().map(|role| role.name()).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_drive_no_terminal() {
        for good in ["owner", "مینا", "li-na.2", "a"] {
            assert_eq!(good.parse::<UserName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a.", "a b", "a\u{1b}[2J", "a/b", "\u{202e}a", &"a".repeat(33)] {
            assert_eq!(bad.parse::<UserName>(), Err(NameError::User), "{bad:?}");
        }
        assert_eq!("operator".parse::<Role>(), Ok(Role::Operator));
        assert!("root".parse::<Role>().is_err());
    }
}
