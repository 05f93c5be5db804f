//! A vault of an older format made one of today's (docs/storage.md).

use std::path::Path;

use super::{access::Action, intake::prepare};
use crate::{
    error::NodeError,
    node::Node,
    store::{Unlock, Upgrade},
};

/// Upgrades the vault in `home`, telling `progress` how many records are done. Gives how many there are, or `None` if it
/// is of the newest format already. Stopped at any point it is one or the other, whole. Whoever opens it must be
/// allowed to; that she did it is in the log of the vault once it opens again.
pub fn upgrade<'a>(
    home: &Path,
    unlock: impl Into<Unlock<'a>>,
    progress: &mut dyn FnMut(u64),
) -> Result<Option<u64>, NodeError> {
    let unlock = unlock.into();
    let Some(upgrade) = Upgrade::begin(home, unlock)? else { return Ok(None) };
    Action::Maintain.allowed(upgrade.vault().opener())?;
    let key = upgrade.vault().word_key();
    let remake = |vault: &crate::store::Vault, old: crate::store::OldRecord| {
        let form = super::intake::read(&old.body)?;
        prepare(vault, &key, form, old.source)
    };
    let records = upgrade.run(remake, progress)?;
    Node::open_for(home, unlock, Action::Maintain, "upgrade the vault")?;
    Ok(Some(records))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use age::secrecy::ExposeSecret as _;

    use super::*;
    use crate::{
        error::Class,
        flow::backup::{Recipients, restore},
        node::now,
        store::{KdfParams, Kind, Passphrase, Role, StoreError, User, Vault},
    };

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.into())
    }

    /// A node with another user, who is no operator, and a vault that says it is of format 2.
    fn older(dir: &Path) -> (PathBuf, Node) {
        let home = dir.join("home");
        let own = passphrase("correct horse");
        let name = "Group".to_owned();
        let node = Node::init(&home, &own, KdfParams::FLOOR, name, String::new(), vec![]).unwrap();
        let mina = User { name: "mina".parse().unwrap(), roles: [Role::Caseworker].into() };
        node.people.add(mina, &passphrase("another horse")).unwrap();
        let mut txn = node.vault.begin();
        txn.put(Kind::Format, b"", &2u16.to_be_bytes()).unwrap();
        txn.commit().unwrap();
        (home, node)
    }

    fn last(node: &Node) -> (String, String) {
        let log = node.access_log(None, 9, None).unwrap();
        let access = &log.entries.last().unwrap().access;
        (access.user.to_string(), access.what.clone())
    }

    #[test]
    fn only_an_operator_upgrades_a_vault_and_its_log_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (home, node) = older(dir.path());
        drop(node);
        let (own, hers) = (passphrase("correct horse"), passphrase("another horse"));
        let refused = upgrade(&home, &hers, &mut |_| ()).unwrap_err();
        assert_eq!(refused.class, Class::Refused, "{refused}");
        assert!(matches!(Vault::open(&home, &own), Err(StoreError::Older { found: 2, .. })));
        assert_eq!(upgrade(&home, &own, &mut |_| ()).unwrap(), Some(0));
        assert_eq!(upgrade(&home, &own, &mut |_| ()).unwrap(), None);
        let node = Node::open(&home, &own).unwrap();
        assert_eq!(last(&node), ("owner".into(), "upgrade the vault".into()));
    }

    #[test]
    fn a_backup_of_an_older_format_is_proven_and_upgraded_when_it_is_restored() {
        let dir = tempfile::tempdir().unwrap();
        let (_, node) = older(dir.path());
        let key = age::x25519::Identity::generate();
        let [file, identity, into] = ["backup", "key", "restored"].map(|name| dir.path().join(name));
        fs::write(&identity, key.to_string().expose_secret()).unwrap();
        let recipients = Recipients::parse(&[key.to_public().to_string()], true).unwrap();
        let made = node.back_up(&file, &recipients, now(), &mut |_, _| ()).unwrap();
        let own = passphrase("correct horse");
        let restored = restore(&file, &identity, &into, now(), (&own).into(), &mut |_, _| ()).unwrap();
        assert_eq!(restored, made);
        let node = Node::open(&into, &own).unwrap();
        assert_eq!(last(&node), ("owner".into(), format!("restored from a backup of {}", made.made_at)));
    }
}
