//! Which pseudonyms are vouched for, this node's own tokens, and what it published under its pseudonym and has not seen
//! come back yet (docs/protocol.md §7).

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
};

use hedgerow_protocol::{
    id::{Digest, NodeId},
    indicator::{SignedBatch, Tlp},
    pseudonym::{Element, Known, Token},
    wire::Spreading,
};
use zeroize::Zeroizing;

use super::{
    documents::{Documents, Room},
    error::StoreError,
    vault::{Kind, Vault},
};

const ISSUED: &[u8] = b"issued/";
/// Batches under the pseudonym that may wait to come back; more are refused when they are published.
pub(crate) const OUTGOING: usize = 1000;

const DAMAGED: StoreError = StoreError::Damaged("a note of a pseudonym does not read");

/// The tables of pseudonyms. What is asked for every second is in memory: as much as there are members, and ids.
pub struct Pseudonyms {
    vault: Arc<Vault>,
    known: RwLock<Known>,
    tokens: RwLock<BTreeMap<NodeId, Token>>,
    /// The ids of its objects, by batch.
    outgoing: RwLock<BTreeMap<Digest, Vec<String>>>,
    /// The same of what was withdrawn, with its label.
    withdrawn: RwLock<BTreeMap<Digest, (Tlp, Vec<String>)>>,
}

/// A key, and what follows it.
fn keyed(bytes: &[u8]) -> Result<(NodeId, &[u8]), StoreError> {
    let (key, rest) = bytes.split_first_chunk::<32>().ok_or(DAMAGED)?;
    Ok((NodeId::from_bytes(*key).map_err(|_| DAMAGED)?, rest))
}

impl Pseudonyms {
    /// Over `vault`.
    pub fn open(vault: Arc<Vault>) -> Result<Self, StoreError> {
        let mut known = Known::default();
        for pair in vault.scan(Kind::Voucher) {
            let pair = pair?;
            let (pseudonym, member) = keyed(&pair)?;
            known.add(pseudonym, keyed(member)?.0);
        }
        for member in vault.scan(Kind::Enrolled) {
            known.enrol(keyed(&member?)?.0);
        }
        let mut tokens = BTreeMap::new();
        for value in vault.scan(Kind::Token) {
            let value = value?;
            let (issuer, token) = keyed(&value)?;
            tokens.insert(issuer, Token::from_bytes(token).ok_or(DAMAGED)?);
        }
        let (mut outgoing, mut withdrawn) = (BTreeMap::new(), BTreeMap::new());
        for json in vault.scan(Kind::Outgoing) {
            let batch = SignedBatch::open(&json?).map_err(|_| DAMAGED)?;
            outgoing.insert(batch.id(), ids(&batch));
        }
        for json in vault.scan(Kind::Withdrawn) {
            let batch = SignedBatch::open(&json?).map_err(|_| DAMAGED)?;
            withdrawn.insert(batch.id(), (batch.tlp(), ids(&batch)));
        }
        let (known, tokens) = (RwLock::new(known), RwLock::new(tokens));
        Ok(Self { vault, known, tokens, outgoing: RwLock::new(outgoing), withdrawn: RwLock::new(withdrawn) })
    }

    /// What is known of vouchers.
    pub fn known<T>(&self, ask: impl FnOnce(&Known) -> T) -> T {
        ask(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a voucher that `member` signed, with its document, in one commit; false if it has vouched already.
    pub fn vouched(
        &self,
        documents: &Documents,
        pseudonym: NodeId,
        member: NodeId,
        json: &[u8],
    ) -> Result<bool, StoreError> {
        let pair = [*pseudonym.as_bytes(), *member.as_bytes()].concat();
        let value = [pair.as_slice(), Digest::of(json).as_bytes()].concat();
        let note = |known: &mut Known| known.add(pseudonym, member);
        let before = |known: &Known| known.vouched(&pseudonym, &member);
        self.keep(documents, (Spreading::Voucher, member, json), (Kind::Voucher, &pair, &value), before, note)
    }

    /// Keeps the word of `member` that it has every token; false if it has said so already.
    pub fn enrolled(&self, documents: &Documents, member: NodeId, json: &[u8]) -> Result<bool, StoreError> {
        let key = member.as_bytes();
        let note = |known: &mut Known| known.enrol(member);
        let before = |known: &Known| known.enrolled(&member);
        self.keep(documents, (Spreading::Enrolled, member, json), (Kind::Enrolled, key, key), before, note)
    }

    /// Keeps a document and what it says, in one commit, if nothing says so before.
    fn keep(
        &self,
        documents: &Documents,
        (spreading, member, json): (Spreading, NodeId, &[u8]),
        (kind, key, value): (Kind, &[u8], &[u8]),
        before: impl FnOnce(&Known) -> bool,
        note: impl FnOnce(&mut Known),
    ) -> Result<bool, StoreError> {
        // The writer first: whoever says the same at the same time waits, and sees it.
        let mut txn = self.vault.begin();
        if self.known(before) {
            return Ok(false);
        }
        let staged = documents.stage(&mut txn, spreading, member, json, Room::Share)?;
        let Some(staged) = staged else { return Ok(false) };
        txn.put(kind, key, value)?;
        // Noted before the writer is free again.
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        txn.commit()?;
        note(&mut known);
        drop(known);
        staged.keep();
        Ok(true)
    }

    /// The document in which `member` vouched for a pseudonym.
    pub fn voucher(&self, pseudonym: &NodeId, member: &NodeId) -> Result<Option<Digest>, StoreError> {
        let pair = [*pseudonym.as_bytes(), *member.as_bytes()].concat();
        let Some(value) = self.vault.get(Kind::Voucher, &pair)? else { return Ok(None) };
        let digest = value.get(pair.len()..).and_then(|digest| digest.try_into().ok()).ok_or(DAMAGED)?;
        Ok(Some(Digest::from_bytes(digest)))
    }

    /// Whether this node may evaluate `blinded` for `member`: the first that it asked for, and that one again. Noted before
    /// it is answered, so that nobody gets two tokens.
    pub fn may_issue(&self, member: &NodeId, blinded: &Element) -> Result<bool, StoreError> {
        let name = [ISSUED, member.as_bytes()].concat();
        let mut txn = self.vault.begin();
        if let Some(before) = self.vault.get(Kind::Setting, &name)? {
            return Ok(before.as_slice() == blinded.as_bytes());
        }
        txn.put(Kind::Setting, &name, blinded.as_bytes())?;
        txn.commit()?;
        Ok(true)
    }

    /// The tokens, by who gave them.
    pub fn tokens(&self) -> BTreeMap<NodeId, Token> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the token that `issuer` gave.
    pub fn put_token(&self, issuer: NodeId, token: Token) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        let value = Zeroizing::new([issuer.as_bytes().as_slice(), token.as_bytes()].concat());
        txn.put(Kind::Token, issuer.as_bytes(), &value)?;
        txn.commit()?;
        self.tokens.write().unwrap_or_else(PoisonError::into_inner).insert(issuer, token);
        Ok(())
    }

    /// Keeps a batch under the pseudonym until it comes back from the others.
    pub fn post(&self, batch: &SignedBatch, json: &[u8]) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        txn.put(Kind::Outgoing, batch.id().as_bytes(), json)?;
        txn.commit()?;
        self.outgoing_mut().insert(batch.id(), ids(batch));
        Ok(())
    }

    /// The ids of what has not come back.
    pub fn outgoing(&self) -> Vec<Digest> {
        self.outgoing.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Whether an object is in a batch that has not come back.
    pub fn is_outgoing(&self, object: &str) -> bool {
        let outgoing = self.outgoing.read().unwrap_or_else(PoisonError::into_inner);
        outgoing.values().flatten().any(|id| id == object)
    }

    /// One of them.
    pub fn batch(&self, id: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.vault.get(Kind::Outgoing, id.as_bytes())?.map(|json| json.to_vec()))
    }

    /// Sends out none of the batches that have this object. They may be out already: what was in them stays tied to the
    /// pseudonym.
    pub fn withdraw(&self, object: &str) -> Result<(), StoreError> {
        let with: Vec<(Digest, Vec<String>)> = {
            let outgoing = self.outgoing.read().unwrap_or_else(PoisonError::into_inner);
            let with = outgoing.iter().filter(|(_, ids)| ids.iter().any(|id| id == object));
            with.map(|(batch, ids)| (*batch, ids.clone())).collect()
        };
        for (batch, ids) in with {
            let mut txn = self.vault.begin();
            // It may have come back just now.
            let Some(json) = self.batch(&batch)? else { continue };
            txn.put(Kind::Withdrawn, batch.as_bytes(), &json)?;
            txn.delete(Kind::Outgoing, batch.as_bytes());
            txn.commit()?;
            let tlp = SignedBatch::open(&json).map_err(|_| DAMAGED)?.tlp();
            self.withdrawn.write().unwrap_or_else(PoisonError::into_inner).insert(batch, (tlp, ids));
            self.outgoing_mut().remove(&batch);
        }
        Ok(())
    }

    /// What is on its way out, and what was withdrawn and may be out all the same.
    pub fn posted(&self) -> Result<Vec<SignedBatch>, StoreError> {
        let all = [Kind::Outgoing, Kind::Withdrawn].into_iter().flat_map(|kind| self.vault.scan(kind));
        all.map(|json| SignedBatch::open(&json?).map_err(|_| DAMAGED)).collect()
    }

    /// The label under which an object was in a batch that was withdrawn.
    pub fn withdrawn(&self, object: &str) -> Option<Tlp> {
        let withdrawn = self.withdrawn.read().unwrap_or_else(PoisonError::into_inner);
        withdrawn.values().find(|(_, ids)| ids.iter().any(|id| id == object)).map(|(tlp, _)| *tlp)
    }

    /// Sends a batch out no more: it came back.
    pub fn forget(&self, id: &Digest) -> Result<(), StoreError> {
        let mut txn = self.vault.begin();
        txn.delete(Kind::Outgoing, id.as_bytes());
        txn.commit()?;
        self.outgoing_mut().remove(id);
        Ok(())
    }

    fn outgoing_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<Digest, Vec<String>>> {
        self.outgoing.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ids of a batch's objects.
fn ids(batch: &SignedBatch) -> Vec<String> {
    batch.items().iter().map(|item| item.object.id().to_owned()).collect()
}
