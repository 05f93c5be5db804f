//! Where the passphrase comes from: a file, or the keyboard.

use std::{io::IsTerminal as _, path::Path};

use anyhow::{Context as _, bail};
use hedgerow_node::store::Passphrase;
use zeroize::Zeroizing;

/// Reads the passphrase; asks twice where a new one is set.
pub(crate) fn read(file: Option<&Path>, new: bool) -> anyhow::Result<Passphrase> {
    if let Some(file) = file {
        let text = std::fs::read_to_string(file)
            .map(Zeroizing::new)
            .with_context(|| format!("the passphrase file {} cannot be read", file.display()))?;
        return Ok(Passphrase::new(text.lines().next().unwrap_or_default().to_owned()));
    }
    if !std::io::stdin().is_terminal() {
        bail!("no terminal to ask for the passphrase; give --passphrase-file or HEDGEROW_PASSPHRASE_FILE");
    }
    let typed = rpassword::prompt_password("Passphrase: ")?;
    if new && rpassword::prompt_password("Once more: ")? != typed {
        bail!("the two passphrases differ; nothing was made");
    }
    Ok(Passphrase::new(typed))
}
