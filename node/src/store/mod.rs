//! The vault: everything a node keeps, sealed (docs/storage.md).
//!
//! `keyring` opens `crypter`, which seals what `engine` keeps; `vault` is the typed face of the three, and counts in
//! `root` and `tally` what it holds. The tables on top say what is kept: `records` with their keys and facets, the
//! `ledger`, `rounds`, signed `documents`, the indicator `library`, `attachments`, `settings`, and who did what in the
//! `journal`. `people` changes who may open it. Nothing here knows the network.

mod added;
mod allow;
pub mod archive;
mod attachments;
mod clients;
mod crypter;
mod documents;
mod durable;
mod engine;
mod error;
mod foreign;
mod head;
mod home;
mod journal;
mod keyring;
mod ledger;
mod library;
mod padme;
mod people;
mod pseudonyms;
pub mod rebuild;
mod records;
mod root;
mod rounds;
mod settings;
mod shelf;
mod sightings;
mod staging;
mod tally;
mod upgrade;
mod vault;

pub use added::{Added, AddedRow, Rows};
pub use allow::{AllowList, Allowed};
pub use attachments::{Attachment, Attachments, CustodyNote};
pub use clients::{Client, Clients, Landing, TOKENS};
pub use documents::{Documents, StoredDocument};
pub(crate) use durable::sync_folder;
pub use error::StoreError;
pub(crate) use error::no_room;
pub use foreign::{Foreign, ForeignObject, Landed, Said};
pub use home::key_files;
pub use journal::{Access, Anchor, Broken, Chain, Journal, Numbered};
pub use keyring::{
    Destroyed, Identities, KdfParams, NameError, Passphrase, Recovery, Role, Share, ShareError, Unlock, User,
    UserName, destroy,
};
pub use ledger::Ledger;
pub use library::{Entry, Evidence, Library, Published, Taken, Taking, Verdict};
pub use people::{Keys, Listed, People, Proof};
pub(crate) use pseudonyms::OUTGOING;
pub use pseudonyms::Pseudonyms;
pub use records::{
    Derived, FacetRow, NewRecord, NumberedBody, ROW_BYTES, RecordNumber, Records, SourceKey, Stored, WordHash,
};
pub use rounds::Rounds;
pub use settings::{Policy, Restored, Settings};
pub use sightings::{Noted, Sighted, Sightings};
pub use upgrade::{OldRecord, Upgrade};
pub use vault::{Kind, Txn, Vault, WordKey};

#[cfg(test)]
mod tests;
