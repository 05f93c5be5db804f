//! A node's part in pseudonyms: issuing tokens, vouching, taking in vouchers (docs/protocol.md §7).

use hedgerow_protocol::{
    document::{Charter, Document, Envelope, Member, NodeSecret, PseudonymPolicy, Signed},
    id::{Id, NodeId},
    indicator::SignedBatch,
    limits,
    pseudonym::{Element, Enrolled, Token, Voucher, VouchingKey, open_token},
    time::Timestamp,
    wire::{Announcement, Declined, Reply, Spreading},
};

use super::indicator::incoming::is_as_signed;
use crate::{
    error::{Class, NodeError},
    node::{Node, random},
};

/// How far a node's own pseudonym is, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Members that vouched for it, as this node knows.
    pub vouchers: usize,
    /// How many must.
    pub needed: u32,
    /// Names of members that this node has no token of yet. Tokens are handed in once every member has those of all.
    pub without_token: Vec<String>,
    /// Names of members that have not said yet that they have every token.
    pub not_enrolled: Vec<String>,
    /// Batches that were published under it and have not come back from the others yet.
    pub outgoing: usize,
}

/// A pseudonym of this node, where its charter has them.
pub(crate) struct Own {
    pub(crate) secret: NodeSecret,
    pub(crate) id: NodeId,
    pub(crate) policy: PseudonymPolicy,
}

impl Own {
    /// That of the node with this key.
    pub(crate) fn of(secret: &NodeSecret, charter: &Signed<Charter>) -> Option<Self> {
        let policy = charter.document().pseudonyms?;
        let secret = secret.pseudonym(&charter.id());
        Some(Self { id: secret.node_id(), secret, policy })
    }
}

impl Node {
    /// This node's pseudonym.
    pub(crate) fn pseudonym(&self) -> Result<&Own, NodeError> {
        self.federation()?.pseudonym.as_ref().ok_or_else(|| {
            NodeError::refused(
                "the charter has no pseudonyms; one drawn up with `hedgerow charter new --pseudonyms` has",
            )
        })
    }

    /// Under which keys this node publishes: its own, and its pseudonym.
    pub(crate) fn own_keys(&self) -> Vec<NodeId> {
        let pseudonym = self.federation.as_ref().and_then(|f| f.pseudonym.as_ref()).map(|own| own.id);
        [Some(self.id()), pseudonym].into_iter().flatten().collect()
    }

    /// How far its pseudonym is; none where the charter has none.
    pub fn standing(&self) -> Result<Option<Standing>, NodeError> {
        let Ok(own) = self.pseudonym() else { return Ok(None) };
        let members = &self.federation()?.charter.document().members;
        let tokens = self.pseudonyms.tokens();
        let named = |which: &dyn Fn(&Member) -> bool| {
            members.iter().filter(|m| which(m)).map(|m| m.name.clone()).collect::<Vec<_>>()
        };
        Ok(Some(Standing {
            without_token: named(&|member| !tokens.contains_key(&member.id)),
            not_enrolled: self.pseudonyms.known(|known| named(&|member| !known.enrolled(&member.id))),
            vouchers: self.pseudonyms.known(|known| known.vouchers(&own.id)),
            needed: own.policy.vouchers,
            outgoing: self.pseudonyms.outgoing().len(),
        }))
    }

    /// Whether batches of this key are taken in: a member's, or a pseudonym with enough vouchers.
    pub(crate) fn is_known(&self, key: &NodeId) -> Result<bool, NodeError> {
        let charter = self.federation()?.charter.document();
        Ok(charter.member(key).is_some() || self.pseudonyms.known(|known| known.admitted(key, charter)))
    }

    /// The key that signed a batch, if it is neither a member's nor, as far as is known here, a pseudonym.
    pub(crate) fn of_nobody_known(&self, json: &[u8]) -> Option<NodeId> {
        self.pseudonym().ok()?;
        let signer = SignedBatch::open(json).ok()?.signer();
        (!self.is_known(&signer).unwrap_or(true)).then_some(signer)
    }

    /// As many vouchers for a pseudonym as the charter asks for; none for a member's own key.
    pub(crate) fn vouchers_for(&self, pseudonym: &NodeId) -> Result<Vec<Envelope>, NodeError> {
        let charter = self.federation()?.charter.document();
        let Some(policy) = charter.pseudonyms else { return Ok(Vec::new()) };
        let mut vouchers = Vec::new();
        for member in &charter.members {
            if vouchers.len() >= policy.vouchers as usize {
                break;
            }
            if let Some(document) = self.pseudonyms.voucher(pseudonym, &member.id)? {
                let json = self.documents.read(&document)?.unwrap_or_default();
                vouchers.push(Envelope::from_json(&json).map_err(NodeError::invalid)?);
            }
        }
        Ok(vouchers)
    }

    /// Evaluates a member's blinded element: one for each, so that it has one pseudonym.
    pub(crate) fn evaluate(&self, from: NodeId, blinded: &Element) -> Result<Reply, NodeError> {
        // What was issued since a backup is not known after it, either.
        self.ensure_ledger_known()?;
        let member = self.federation()?.charter.document().member(&from).is_some();
        if self.pseudonym().is_err() || !member || !self.pseudonyms.may_issue(&from, blinded)? {
            return Ok(Reply::Declined { why: Declined::NotAcceptable });
        }
        let evaluation = VouchingKey::of(self.secret())
            .and_then(|key| key.evaluate(blinded, &mut random()))
            .map_err(NodeError::invalid)?;
        Ok(Reply::Evaluated { evaluation })
    }

    /// Takes a token that was sealed for this node: vouches for its pseudonym, and gives what to announce. None if it is
    /// none that this node issued, or vouched for already.
    pub(crate) fn redeem(&self, sealed: &[u8], now: Timestamp) -> Result<Option<Announcement>, NodeError> {
        let charter = self.federation()?.charter.id();
        let opened = open_token(self.secret(), &charter, sealed);
        opened.map_or(Ok(None), |(pseudonym, token)| self.redeem_token(pseudonym, &token, now))
    }

    /// The same for a token that lies open.
    pub(crate) fn redeem_token(
        &self,
        pseudonym: NodeId,
        token: &Token,
        now: Timestamp,
    ) -> Result<Option<Announcement>, NodeError> {
        let charter = self.federation()?.charter.id();
        // What was said since a backup is said already, in other words than these would be.
        if self.ensure_ledger_known().is_err() {
            return Ok(None);
        }
        // What is asked for shows only now: a member's own key is no pseudonym, and nobody takes a voucher for one.
        if self.federation()?.charter.document().member(&pseudonym).is_some() {
            return Ok(None);
        }
        let key = VouchingKey::of(self.secret()).map_err(NodeError::invalid)?;
        if !key.issued(token, &charter, &pseudonym)
            || self.pseudonyms.known(|known| known.vouched(&pseudonym, &self.id()))
        {
            return Ok(None);
        }
        let voucher = Voucher { version: 1, charter, pseudonym, made_at: now };
        let signed = Signed::new(voucher, self.secret()).map_err(NodeError::input)?;
        let json = signed.envelope().to_json().map_err(NodeError::input)?;
        let new = self.pseudonyms.vouched(&self.documents, pseudonym, self.id(), &json)?;
        Ok(new.then(|| Announcement::of(Spreading::Voucher, &json)))
    }

    /// Says that this node has a token of every member, once it has: what to announce.
    pub(crate) fn enrol(&self, now: Timestamp) -> Result<Option<Announcement>, NodeError> {
        let charter = &self.federation()?.charter;
        let tokens = self.pseudonyms.tokens();
        if self.ensure_ledger_known().is_err()
            || !charter.document().members.iter().all(|member| tokens.contains_key(&member.id))
            || self.pseudonyms.known(|known| known.enrolled(&self.id()))
        {
            return Ok(None);
        }
        let enrolled = Enrolled { version: 1, charter: charter.id(), made_at: now };
        let signed = Signed::new(enrolled, self.secret()).map_err(NodeError::input)?;
        let json = signed.envelope().to_json().map_err(NodeError::input)?;
        let new = self.pseudonyms.enrolled(&self.documents, self.id(), &json)?;
        Ok(new.then(|| Announcement::of(Spreading::Enrolled, &json)))
    }

    /// Takes in the word of another member that it has every token.
    pub(crate) fn take_enrolled(&self, json: &[u8], now: Timestamp) -> Result<(), NodeError> {
        let (signed, signer) = self.of_pseudonyms::<Enrolled>(json)?;
        let Enrolled { charter, made_at, .. } = signed.document();
        self.is_of_now(*charter, *made_at, now)?;
        kept(self.pseudonyms.enrolled(&self.documents, signer, json)?)
    }

    /// Takes in a voucher of another member.
    pub(crate) fn take_voucher(&self, json: &[u8], now: Timestamp) -> Result<(), NodeError> {
        let (signed, signer) = self.of_pseudonyms::<Voucher>(json)?;
        let Voucher { charter, pseudonym, made_at, .. } = signed.document();
        // What a member signs under its own name, and what a pseudonym signs, must stay apart.
        if self.federation()?.charter.document().member(pseudonym).is_some() {
            return Err(NodeError::invalid("a voucher is for a member's own key"));
        }
        self.is_of_now(*charter, *made_at, now)?;
        kept(self.pseudonyms.vouched(&self.documents, *pseudonym, signer, json)?)
    }

    /// A document about pseudonyms, and the member who signed it.
    fn of_pseudonyms<D: Document>(&self, json: &[u8]) -> Result<(Signed<D>, NodeId), NodeError> {
        self.pseudonym().map_err(|_| NodeError::invalid("the charter has no pseudonyms"))?;
        let signed: Signed<D> =
            Envelope::from_json(json).and_then(Envelope::open).map_err(NodeError::invalid)?;
        is_as_signed(&signed, json)?;
        let signer = signed.sole_signer().map_err(NodeError::invalid)?;
        match self.federation()?.charter.document().member(&signer) {
            Some(_) => Ok((signed, signer)),
            None => Err(NodeError::invalid("a document about pseudonyms is signed by no member")),
        }
    }

    fn is_of_now(&self, charter: Id<Charter>, made_at: Timestamp, now: Timestamp) -> Result<(), NodeError> {
        if charter != self.federation()?.charter.id() {
            return Err(NodeError::invalid("a document about pseudonyms is of another federation"));
        }
        if made_at > now.plus_seconds(limits::CLOCK_SKEW_SECONDS) {
            return Err(NodeError::new(Class::Network, "a document is dated ahead of this node's clock"));
        }
        Ok(())
    }
}

/// A member says such a thing once: what it says again is not kept, or it could be made to fill everybody's room.
fn kept(new: bool) -> Result<(), NodeError> {
    if new { Ok(()) } else { Err(NodeError::refused("its signer has said so already")) }
}

#[cfg(test)]
mod tests;
