//! The node: the one place that joins the parts (docs/protocol.md §1).

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use hedgerow_protocol::{
    document::{Charter, Member, NodeSecret, Signed},
    facet::FacetTable,
    id::NodeId,
    pseudonym::{Element, VouchingKey},
    time::Timestamp,
};
use rand::rngs::StdRng;

use crate::{
    error::NodeError,
    flow::{
        access::{Action, Caller},
        intake,
        lint::Known,
        pseudonym::Own,
    },
    store::{
        Attachments, Clients, Documents, Foreign, Journal, KdfParams, Ledger, Library, Passphrase, People,
        Pseudonyms, Records, Role, Rounds, Settings, Share, Sightings, StoreError, Unlock, User, UserName,
        Vault, WordKey,
    },
};

/// One organisation's node with its vault open. Everything that needs no network happens through it.
pub struct Node {
    pub(crate) vault: Arc<Vault>,
    pub(crate) word_key: WordKey,
    pub(crate) records: Arc<Records>,
    pub(crate) documents: Documents,
    pub(crate) library: Library,
    pub(crate) foreign: Foreign,
    pub(crate) pseudonyms: Pseudonyms,
    pub(crate) sightings: Sightings,
    pub(crate) clients: Clients,
    pub(crate) rounds: Rounds,
    pub(crate) attachments: Attachments,
    pub(crate) settings: Settings,
    pub(crate) people: People,
    pub(crate) journal: Journal,
    pub(crate) secret: NodeSecret,
    pub(crate) member: Signed<Member>,
    pub(crate) federation: Option<Federation>,
    /// Answers are made one at a time, so that two askers of one plan get one answer.
    pub(crate) answering: Mutex<()>,
    /// One publication at a time: what goes out under which key is decided by what went out before.
    pub(crate) publishing: Mutex<()>,
    /// What indicators are held against.
    pub(crate) known: Known,
    /// The facets in the order in which they are counted, and after how many changes of the records.
    pub(crate) facets: Mutex<Option<(u64, Arc<FacetTable>)>>,
}

/// What a node has once it joined a charter.
pub(crate) struct Federation {
    pub(crate) charter: Signed<Charter>,
    pub(crate) ledger: Ledger,
    /// This node's pseudonym, if the charter has them.
    pub(crate) pseudonym: Option<Own>,
}

impl Node {
    /// Makes a vault in `home` with a fresh key for this organisation.
    pub fn init(
        home: &Path,
        passphrase: &Passphrase,
        kdf: KdfParams,
        name: String,
        contact: String,
        addresses: Vec<String>,
    ) -> Result<Self, NodeError> {
        let secret = NodeSecret::generate(&mut random());
        let member =
            Member { id: secret.node_id(), name, contact, addresses, vouching: Some(vouching(&secret)?) };
        let member = Signed::new(member, &secret).map_err(NodeError::input)?;
        let vault = match Vault::create(home, passphrase, kdf) {
            // An attempt that was stopped after the vault was made and before its key was in it.
            Err(StoreError::Exists(place)) => match Vault::open(home, passphrase) {
                Ok(vault) => Some(Arc::new(vault))
                    .filter(|v| matches!(Settings::new(Arc::clone(v)).identity(), Ok(None)))
                    .ok_or(StoreError::Exists(place))?,
                Err(_) => return Err(StoreError::Exists(place).into()),
            },
            made => Arc::new(made?),
        };
        Settings::new(Arc::clone(&vault)).put_identity(&secret, &member)?;
        Self::over(vault)
    }

    /// Opens the vault in `home` with what one of its users offers.
    pub fn open<'a>(home: &Path, unlock: impl Into<Unlock<'a>>) -> Result<Self, NodeError> {
        Self::over(Arc::new(Vault::open(home, unlock)?))
    }

    /// Opens the vault in `home` though its keyring is older than one that the vault has seen, and takes it as the
    /// newest from now on.
    pub fn accept_keyring<'a>(home: &Path, unlock: impl Into<Unlock<'a>>) -> Result<Self, NodeError> {
        let vault = Arc::new(Vault::open(home, unlock)?);
        if !vault.opener().roles.contains(&Role::Operator) {
            return Err(NodeError::refused("only an operator may take an older keyring"));
        }
        People::accept(Arc::clone(&vault))?;
        let node = Self::over(vault)?;
        node.permit(&Caller::opener(&node), Action::KeyChange, "an older keyring is taken")?;
        Ok(node)
    }

    /// Opens the vault in `home` for one action that its opener must be allowed.
    pub fn open_for<'a>(
        home: &Path,
        unlock: impl Into<Unlock<'a>>,
        action: Action,
        what: &str,
    ) -> Result<Self, NodeError> {
        let node = Self::open(home, unlock)?;
        node.permit(&Caller::opener(&node), action, what)?;
        Ok(node)
    }

    /// Gives a user a new passphrase by means of recovery shares.
    pub fn recover(
        home: &Path,
        shares: &[Share],
        name: Option<UserName>,
        passphrase: &Passphrase,
    ) -> Result<UserName, NodeError> {
        let node = Self::open(home, Unlock::Shares(shares))?;
        let name = match name {
            Some(name) => name,
            None => match node.people.keys()?.users.as_slice() {
                [only] => only.name.clone(),
                _ => return Err(NodeError::input("this vault has several users; name one with --for")),
            },
        };
        node.people.user(&name)?;
        let what = format!("a new passphrase for {name}, by shares");
        node.permit(&Caller::opener(&node), Action::KeyChange, &what)?;
        node.people.set_passphrase(&name, passphrase)?;
        Ok(name)
    }

    fn over(vault: Arc<Vault>) -> Result<Self, NodeError> {
        let people = People::open(Arc::clone(&vault))?;
        let settings = Settings::new(Arc::clone(&vault));
        let missing = || StoreError::Damaged("the node's key is missing");
        let secret = settings.identity()?.ok_or_else(missing)?;
        let mut member = settings.member()?.ok_or_else(missing)?;
        if member.document().vouching.is_none() {
            // A card from before there were pseudonyms. The key is always the same, so nothing is kept.
            let with = Member { vouching: Some(vouching(&secret)?), ..member.document().clone() };
            member = Signed::new(with, &secret).map_err(NodeError::input)?;
        }
        let federation = match settings.charter()? {
            Some(charter) => {
                let ledger = Ledger::open(Arc::clone(&vault), charter.document().caps())?;
                let pseudonym = Own::of(&secret, &charter);
                Some(Federation { charter, ledger, pseudonym })
            }
            None => None,
        };
        let word_key = vault.word_key();
        let derive = |body: &[u8]| intake::derive(&vault, &word_key, body);
        let records = Arc::new(Records::open_or_remake(Arc::clone(&vault), derive)?);
        Ok(Self {
            attachments: Attachments::open(Arc::clone(&records))?,
            records,
            documents: Documents::open(Arc::clone(&vault))?,
            library: Library::open(Arc::clone(&vault))?,
            foreign: Foreign::new(Arc::clone(&vault)),
            pseudonyms: Pseudonyms::open(Arc::clone(&vault))?,
            sightings: Sightings::open(Arc::clone(&vault))?,
            clients: Clients::new(Arc::clone(&vault)),
            rounds: Rounds::new(Arc::clone(&vault)),
            journal: Journal::new(Arc::clone(&vault)),
            people,
            settings,
            secret,
            member,
            federation,
            answering: Mutex::new(()),
            publishing: Mutex::new(()),
            known: Known::default(),
            facets: Mutex::default(),
            word_key,
            vault,
        })
    }

    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.secret.node_id()
    }

    /// How this node presents itself, signed by its key.
    pub const fn member(&self) -> &Signed<Member> {
        &self.member
    }

    /// The charter it joined.
    pub fn charter(&self) -> Option<&Signed<Charter>> {
        self.federation.as_ref().map(|f| &f.charter)
    }

    /// Whose slot opened its vault.
    pub fn opener(&self) -> &User {
        self.vault.opener()
    }

    /// The folder of its vault.
    pub fn home(&self) -> &Path {
        self.vault.home()
    }

    pub(crate) fn federation(&self) -> Result<&Federation, NodeError> {
        self.federation.as_ref().ok_or_else(|| {
            NodeError::refused("this node has joined no charter yet; `hedgerow join CHARTER` does that")
        })
    }

    pub(crate) const fn secret(&self) -> &NodeSecret {
        &self.secret
    }
}

/// The public key of the tokens that a node issues.
fn vouching(secret: &NodeSecret) -> Result<Element, NodeError> {
    VouchingKey::of(secret).and_then(|key| key.public()).map_err(NodeError::input)
}

/// The time by the system's clock; the one place that reads it.
pub fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let epoch = Timestamp::from_unix_seconds(i64::try_from(seconds).unwrap_or(0));
    epoch.unwrap_or_else(|_| unreachable!())
}

/// The same in microseconds since 1970, where seconds are too coarse to tell what came first.
pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// A cryptographic random source (ChaCha12), seeded by the system for each use.
pub(crate) fn random() -> StdRng {
    use rand::SeedableRng as _;
    StdRng::try_from_rng(&mut rand::rngs::SysRng).unwrap_or_else(|_| {
        // Without the system's randomness no key and no noise may be made.
        std::process::abort()
    })
}
