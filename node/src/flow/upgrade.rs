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
