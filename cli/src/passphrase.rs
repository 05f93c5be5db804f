//! Where passphrases come from: a file, or the keyboard.

use std::{io::IsTerminal as _, path::Path};

use anyhow::{Context as _, bail};
use hedgerow_node::store::Passphrase;
use zeroize::Zeroizing;

/// Reads the passphrase of `user`, if one is named.
pub(crate) fn read(file: Option<&Path>, user: Option<&str>) -> anyhow::Result<Passphrase> {
    if let Some(file) = file {
        return from(file);
    }
    if !std::io::stdin().is_terminal() {
        bail!("no terminal to ask for the passphrase; give --passphrase-file or HEDGEROW_PASSPHRASE_FILE");
    }
    let prompt = user.map_or_else(|| "Passphrase: ".to_owned(), |user| format!("Passphrase of {user}: "));
    Ok(Passphrase::new(rpassword::prompt_password(prompt)?))
}

/// Reads a passphrase that is being set; asks twice.
pub(crate) fn read_new(file: Option<&Path>) -> anyhow::Result<Passphrase> {
    if let Some(file) = file {
        return from(file);
    }
    if !std::io::stdin().is_terminal() {
        bail!("no terminal to ask for the new passphrase; name a file that has it as its first line");
    }
    let typed = Passphrase::new(rpassword::prompt_password("New passphrase: ")?);
    if Passphrase::new(rpassword::prompt_password("Once more: ")?) != typed {
        bail!("the two passphrases differ; nothing was changed");
    }
    Ok(typed)
}

fn from(file: &Path) -> anyhow::Result<Passphrase> {
    let text = std::fs::read_to_string(file)
        .map(Zeroizing::new)
        .with_context(|| format!("the passphrase file {} cannot be read", file.display()))?;
    Ok(Passphrase::new(text.lines().next().unwrap_or_default().to_owned()))
}
