//! A vault of an older format made one of today's (docs/storage.md).

use std::path::Path;

use super::intake::prepare;
use crate::{
    error::NodeError,
    store::{Unlock, Upgrade},
};

/// Upgrades the vault in `home`, telling `progress` how many records are done. Gives how many there are, or `None` if it
/// is of the newest format already. Stopped at any point it is one or the other, whole.
pub fn upgrade<'a>(
    home: &Path,
    unlock: impl Into<Unlock<'a>>,
    progress: &mut dyn FnMut(u64),
) -> Result<Option<u64>, NodeError> {
    let Some(upgrade) = Upgrade::begin(home, unlock)? else { return Ok(None) };
    let key = upgrade.vault().word_key();
    let remake = |vault: &crate::store::Vault, old: crate::store::OldRecord| {
        let form = super::intake::read(&old.body)?;
        prepare(vault, &key, form, old.source)
    };
    upgrade.run(remake, progress).map(Some)
}
