//! What can go wrong with the vault, and what to do about it.

/// An error of the vault. Never holds a secret or anything of a record.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no vault.
    #[error("there is no vault in {0}; `hedgerow init` makes one")]
    NoVault(String),
    /// There is one already.
    #[error("there is a vault in {0} already; choose another --home")]
    Exists(String),
    /// The passphrase opens no slot.
    #[error("the passphrase does not open this vault (or its key slot is damaged)")]
    WrongPassphrase,
    /// A passphrase too short to be worth stretching.
    #[error("a passphrase has at least {0} characters")]
    ShortPassphrase(usize),
    /// The keyring cannot be read.
    #[error("the keyring {path} is damaged ({fault}); restore it from a backup, without it nothing opens")]
    Keyring {
        /// The file.
        path: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A key slot asks for too little or too much work.
    #[error(
        "a key slot's Argon2id parameters are outside what is safe; the keyring may have been tampered with"
    )]
    UnsafeKdf,
    /// A value does not open, or the store under it is broken.
    #[error("the vault is damaged ({0}); stop the node and restore it from a backup")]
    Damaged(&'static str),
    /// Another process has the vault open.
    #[error("the vault is in use by another process; stop it, or talk to it with the same --home")]
    InUse,
    /// Made by a newer program.
    #[error("the vault has format {found}, this program reads up to {known}; use a newer program")]
    Newer {
        /// The format found.
        found: u16,
        /// The newest known here.
        known: u16,
    },
    /// Made by an older program.
    #[error(
        "the vault has format {found}, this program writes {known}; make a copy of its folder, then run `hedgerow \
         upgrade`"
    )]
    Older {
        /// The format found.
        found: u16,
        /// The one of this program.
        known: u16,
    },
    /// Values that are missing, or not those that were written last.
    #[error(
        "the vault was changed from outside: values of kind {kind} are missing, or older ones were put in their \
         place; stop the node and restore it from a backup"
    )]
    Tampered {
        /// The kind's number (docs/storage.md).
        kind: u8,
    },
    /// The keyring was made by a newer program.
    #[error("the keyring has format {found}, this program reads up to {known}; use a newer program")]
    NewerKeyring {
        /// The format found.
        found: u16,
        /// The newest known here.
        known: u16,
    },
    /// The keyring is older than the vault.
    #[error(
        "the keyring has generation {found}, the vault has seen {known}: an old copy of keyring.json was put back, and \
         with it users, roles or passphrases that were taken away. Put the newer one back; if it is lost, an operator \
         takes this one with `hedgerow key accept`"
    )]
    OldKeyring {
        /// The generation found.
        found: u64,
        /// The newest seen.
        known: u64,
    },
    /// The identities open no slot.
    #[error("no identity in this file opens this vault")]
    WrongIdentity,
    /// No identity file.
    #[error("this is no age identity file; one begins with AGE-SECRET-KEY-1 and is not itself encrypted")]
    Identity,
    /// No recipient.
    #[error("this is no age recipient; one begins with age1")]
    Recipient,
    /// There already.
    #[error("this recipient opens the vault already")]
    RecipientExists,
    /// Not there.
    #[error("this recipient opens nothing here; `hedgerow key list` names those that do")]
    NoRecipient,
    /// Recovery shares.
    #[error(transparent)]
    Shares(#[from] super::keyring::ShareError),
    /// No user of this name.
    #[error("this vault has no user {0}; `hedgerow user list` names them")]
    NoUser(String),
    /// There is one already.
    #[error("this vault has a user {0} already")]
    UserExists(String),
    /// Without an operator who can open it, nobody could change the keyring again.
    #[error("this would leave no operator who can open the vault; make another one first")]
    LastOperator,
    /// A keyring has no room for more.
    #[error("a keyring has at most {0} slots; remove a user or a key first")]
    TooManySlots(usize),
    /// Nothing more can be written.
    #[error("the disk is full; nothing of this was stored. Make room and start again")]
    DiskFull,
    /// Committed, but not all that belongs to it was done.
    #[error(
        "the record is erased, but its key could not be destroyed yet ({0}); see to that and open the vault again, which \
         finishes it"
    )]
    Unfinished(Box<StoreError>),
    /// A write failed before; the state on disk is known only after opening again.
    #[error("an earlier write failed; restart the node before writing again")]
    Halted,
    /// A member's documents are more than one member may fill.
    #[error("this member has published more than its share; its further documents are not kept")]
    Share,
    /// A value larger than the store takes.
    #[error("{bytes} bytes are more than one value may have ({most})")]
    TooLarge {
        /// Bytes given.
        bytes: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// A file longer than the vault takes.
    #[error("the file has more than {most} bytes, the most that one attachment may have")]
    LongFile {
        /// Bytes allowed.
        most: u64,
    },
    /// There is no room for one more of these.
    #[error("there are {most} {what} already, and no more may be added")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        most: usize,
    },
    /// A backup that is not what it says.
    #[error("the backup is damaged, cut short or none of this vault ({0}); nothing was restored")]
    Archive(&'static str),
    /// Restored, and not yet said what was spent since.
    #[error(
        "this vault was restored from a backup of {0}, and what was spent after that is not known; let the node catch \
         up with the others, then `hedgerow ledger --confirm`"
    )]
    Restored(hedgerow_protocol::time::Timestamp),
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The random source failed.
    #[error("the system's random source failed")]
    Random,
}

impl StoreError {
    /// Names what was being done; a full disk or a file-size limit is told apart.
    pub(crate) fn io(what: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| if no_room(&source) { Self::DiskFull } else { Self::Io { what, source } }
    }
}

/// Whether the system had no room for what was to be written: the disk, a quota or a limit on files is full.
pub(crate) fn no_room(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
