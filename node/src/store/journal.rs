//! The access log: who opened, exported or erased what, when and why (docs/storage.md, Access log).
//!
//! Entries have running numbers and are only ever added. Each holds the hash of the one before it; how many there are
//! and the hash of the last stand in a value of their own, written in the same commit. An entry that is missing, does
//! not open or does not follow is named. Whoever has a key to the vault could make the whole chain anew: an auditor who
//! keeps the count and the last hash elsewhere (an [`Anchor`]) finds that too.

use std::{fmt, str::FromStr, sync::Arc};

use hedgerow_protocol::{id::Digest, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    error::StoreError,
    keyring::{Role, UserName},
    vault::{Kind, Vault},
};

const DAMAGED: StoreError = StoreError::Damaged("an entry of the access log could not be written");

/// What someone did, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub user: UserName,
    /// In which of her roles; none if refused.
    pub role: Option<Role>,
    /// What was done, such as `record.show`.
    pub action: String,
    /// To what: a number or a count, never contents.
    pub what: String,
    /// The reason given.
    pub reason: Option<String>,
    /// Whether it was allowed.
    pub allowed: bool,
}

/// An entry as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    previous: Digest,
    access: Access,
}

/// Where the chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// Entries.
    pub count: u64,
    /// Hash of the last one.
    pub head: Digest,
}

impl Anchor {
    fn none() -> Self {
        Self { count: 0, head: Digest::of(b"hedgerow/access/1") }
    }
}

/// `COUNT:HASH`.
impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.count, self.head)
    }
}

impl FromStr for Anchor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "an anchor is COUNT:HASH, as `hedgerow log` prints it";
        let (count, head) = text.split_once(':').ok_or(wrong)?;
        Ok(Self { count: count.parse().map_err(|_| wrong)?, head: head.parse().map_err(|_| wrong)? })
    }
}

/// An entry with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbered {
    /// Its number, from 0.
    pub number: u64,
    /// The entry.
    pub access: Access,
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    /// The first entry that is not as it was written.
    pub number: u64,
    /// How.
    pub fault: String,
}

/// The log, read and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The entries asked for, oldest first; none after the first broken one.
    pub entries: Vec<Numbered>,
    /// Its end.
    pub anchor: Anchor,
    /// Where it is broken, if it is.
    pub broken: Option<Broken>,
}

/// The log of one vault.
pub struct Journal {
    vault: Arc<Vault>,
}

impl Journal {
    /// Over `vault`.
    pub const fn new(vault: Arc<Vault>) -> Self {
        Self { vault }
    }

    /// Adds an entry, durably.
    pub fn append(&self, access: &Access) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        // Read under the writer's lock: entries follow one another.
        let anchor = self.anchor()?;
        let link = serde_json::to_vec(&Link { previous: anchor.head, access: access.clone() });
        let link = link.map_err(|_| DAMAGED)?;
        // At the number that the chain says, so that what stands there wrongly is found and not followed.
        if self.vault.get_at(Kind::Access, anchor.count)?.is_some() {
            return Err(StoreError::Damaged("the access log has entries that its end does not know"));
        }
        txn.put_at(Kind::Access, anchor.count, &link)?;
        let next = Anchor { count: anchor.count.saturating_add(1), head: hash(anchor.count, &link) };
        txn.put(Kind::AccessEnd, b"", &serde_json::to_vec(&next).map_err(|_| DAMAGED)?)?;
        txn.commit()
    }

    /// Checks the whole chain and gives up to `limit` entries from number `from` on, or the last ones. With `known`,
    /// an end noted down earlier, also that nothing before it is another than it was.
    pub fn read(&self, from: Option<u64>, limit: u64, known: Option<Anchor>) -> Result<Chain, StoreError> {
        let mut anchor = self.anchor()?;
        let from = from.unwrap_or(anchor.count.saturating_sub(limit));
        let listed = from..from.saturating_add(limit);
        let mut entries = Vec::new();
        let mut end = Anchor::none();
        let broken = loop {
            let number = end.count;
            let fault = |fault: &str| Some(Broken { number, fault: fault.to_owned() });
            if known.is_some_and(|known| known.count == number && known.head != end.head) {
                let number = number.saturating_sub(1);
                let fault = "up to it the log is not the one that was noted down".to_owned();
                break Some(Broken { number, fault });
            }
            if number >= anchor.count {
                // An entry may have been added meanwhile.
                let now = self.anchor()?;
                if now.count > anchor.count && end.head == anchor.head {
                    anchor = now;
                    continue;
                }
                break match self.vault.get_at(Kind::Access, number) {
                    Ok(None) if end.head == anchor.head && known.is_none_or(|k| k.count <= number) => None,
                    Ok(None) if end.head == anchor.head => fault("it was noted down and is missing"),
                    Ok(None) => fault("the end of the log does not follow from the entry before it"),
                    _ => fault("the end of the log does not know of it"),
                };
            }
            let link = match self.vault.get_at(Kind::Access, number) {
                Ok(Some(link)) => link,
                Ok(None) => break fault("it is missing"),
                Err(StoreError::Damaged(_)) => break fault("it does not open"),
                Err(error) => return Err(error),
            };
            let Ok(Link { previous, access }) = serde_json::from_slice(&link) else {
                break fault("it does not read");
            };
            if previous != end.head {
                break fault("it does not follow from the entry before it");
            }
            if listed.contains(&number) {
                entries.push(Numbered { number, access });
            }
            end = Anchor { count: number + 1, head: hash(number, &link) };
        };
        Ok(Chain { entries, anchor, broken })
    }

    fn anchor(&self) -> Result<Anchor, StoreError> {
        let Some(json) = self.vault.get(Kind::AccessEnd, b"")? else { return Ok(Anchor::none()) };
        serde_json::from_slice(&json)
            .map_err(|_| StoreError::Damaged("the end of the access log does not read"))
    }
}

/// Of an entry: its number and its JSON, in which the hash of the one before stands.
fn hash(number: u64, link: &[u8]) -> Digest {
    Digest::of(&[b"hedgerow/access/1/".as_slice(), &number.to_be_bytes(), link].concat())
}

#[cfg(test)]
mod tests {
    use super::{super::keyring::Passphrase, *};
    use crate::store::KdfParams;

    fn access(n: u64) -> Access {
        Access {
            at: Timestamp::from_unix_seconds(1_700_000_000).unwrap(),
            user: UserName::first(),
            role: Some(Role::Caseworker),
            action: "record.show".into(),
            what: format!("record {n}"),
            reason: None,
            allowed: true,
        }
    }

    fn journal(entries: u64) -> (tempfile::TempDir, Journal) {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = Passphrase::new("correct horse".into());
        let vault = Arc::new(Vault::create(dir.path(), &passphrase, KdfParams::FLOOR).unwrap());
        let journal = Journal::new(vault);
        for n in 0..entries {
            journal.append(&access(n)).unwrap();
        }
        (dir, journal)
    }

    fn broken(journal: &Journal) -> Option<(u64, String)> {
        journal.read(None, 9, None).unwrap().broken.map(|b| (b.number, b.fault))
    }

    #[test]
    fn entries_are_listed_in_order_and_the_chain_holds() {
        let (_dir, journal) = journal(5);
        let chain = journal.read(None, 2, None).unwrap();
        assert_eq!(chain.entries.iter().map(|e| e.number).collect::<Vec<_>>(), [3, 4]);
        assert_eq!((chain.anchor.count, chain.broken), (5, None));
        assert_eq!(journal.read(Some(1), 1, None).unwrap().entries[0].access, access(1));
        assert_eq!(chain.anchor.to_string().parse(), Ok(chain.anchor));
    }

    #[test]
    fn the_first_entry_that_is_gone_or_another_is_named() {
        let (_dir, journal) = journal(6);
        let vault = &journal.vault;
        let kept = vault.get_at(Kind::Access, 3).unwrap().unwrap();
        let change = |at: u64, value: Option<&[u8]>| {
            let mut txn = vault.begin();
            match value {
                Some(value) => txn.put_at(Kind::Access, at, value).unwrap(),
                None => txn.delete_at(Kind::Access, at),
            }
            txn.commit().unwrap();
        };
        change(3, None);
        assert_eq!(broken(&journal), Some((3, "it is missing".into())));
        // Another text: it is the next entry that no longer follows.
        let text = String::from_utf8(kept.to_vec()).unwrap().replace("record 3", "record 9");
        change(3, Some(text.as_bytes()));
        assert_eq!(broken(&journal).unwrap().0, 4);
        change(3, Some(&kept));
        assert_eq!(broken(&journal), None);
        // One too many, and one that was written over.
        change(6, Some(&kept));
        assert_eq!(broken(&journal).unwrap().0, 6);
        assert!(journal.append(&access(7)).is_err(), "nothing is added to a broken log");
        change(6, None);
        change(5, Some(&kept));
        assert_eq!(broken(&journal).unwrap().0, 5);
    }

    #[test]
    fn a_log_made_anew_by_one_who_has_a_key_is_found_by_an_end_that_was_noted_down() {
        let (_dir, first) = journal(4);
        let noted = first.read(None, 0, None).unwrap().anchor;
        first.append(&access(4)).unwrap();
        assert_eq!(first.read(None, 0, Some(noted)).unwrap().broken, None);
        let (_other, second) = journal(0);
        for n in [0, 1, 9, 3, 4] {
            second.append(&access(n)).unwrap();
        }
        assert_eq!(second.read(None, 0, None).unwrap().broken, None, "it holds by itself");
        assert_eq!(second.read(None, 0, Some(noted)).unwrap().broken.unwrap().number, 3);
        let (_third, short) = journal(2);
        assert_eq!(short.read(None, 0, Some(noted)).unwrap().broken.unwrap().number, 2);
    }
}
