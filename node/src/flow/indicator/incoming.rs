//! What other members signed, taken in: batches, and those that are sealed (docs/indicators.md).

use hedgerow_protocol::{
    document::{Charter, Document, Envelope, Signed},
    id::{Id, NodeId},
    indicator::{Instant, SealedBatch, SignedBatch, StixObject, objection, sealed::open},
    limits,
    time::Timestamp,
    wire::Spreading,
};

use crate::{
    error::NodeError,
    node::Node,
    store::{Taken, Taking},
};

impl Node {
    /// Takes in a document of indicators that another member signed: a batch, or one that is sealed.
    pub(crate) fn take_batch(&self, json: &[u8], now: Timestamp) -> Result<Taken, NodeError> {
        if is_sealed(json) {
            return self.take_sealed(json, now);
        }
        let batch = SignedBatch::open(json).map_err(NodeError::invalid)?;
        // Before its vouchers are asked for: no pseudonym signs such a one.
        let by_name = self.federation()?.charter.document().member(&batch.signer()).is_some();
        if !by_name && json.len() > limits::CARRIED_BYTES {
            return Err(NodeError::invalid(
                "a batch is signed by no member, and longer than one of a pseudonym",
            ));
        }
        self.is_acceptable(batch.signer(), batch.charter(), batch.published_at(), now)?;
        if batch.tlp() > self.federation()?.charter.document().tlp {
            return Err(NodeError::invalid("a batch is under a stricter label than the charter allows"));
        }
        if is_ahead(&batch, now) {
            return Err(ahead());
        }
        self.take_objects(&batch, json, now)
    }

    /// Keeps a sealed batch and hands it on, whether or not it is for this node: nothing that others see may tell
    /// which. What it holds goes into the library of whom it is for.
    fn take_sealed(&self, json: &[u8], now: Timestamp) -> Result<Taken, NodeError> {
        let sealed: Signed<SealedBatch> =
            Envelope::from_json(json).and_then(Envelope::open).map_err(NodeError::invalid)?;
        is_as_signed(&sealed, json)?;
        let signer = sealed.sole_signer().map_err(NodeError::invalid)?;
        let SealedBatch { charter, published_at, .. } = sealed.document();
        if self.federation()?.charter.document().member(&signer).is_none() {
            return Err(NodeError::invalid("a sealed batch is signed by no member"));
        }
        self.is_acceptable(signer, *charter, *published_at, now)?;
        let mut taken = Taken::default();
        match open(&sealed, json, self.secret()) {
            Ok(Some(opened)) if !is_ahead(&opened.batch, now) => {
                taken = self.take_objects(&opened.batch, json, now)?;
            }
            Ok(None) => {}
            // Its signer's fault, which nobody it is not for can see: not the fault of whoever handed it on.
            Ok(Some(_)) => tracing::warn!("what a sealed batch holds is dated ahead"),
            Err(error) => tracing::warn!(%error, "what a sealed batch holds does not verify"),
        }
        self.documents.insert(Spreading::Batch, signer, json)?;
        Ok(taken)
    }

    /// Whether a document of indicators is of a member, under this charter, and not from the future.
    fn is_acceptable(
        &self,
        signer: NodeId,
        under: Id<Charter>,
        published_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), NodeError> {
        let charter = &self.federation()?.charter;
        if !self.is_known(&signer)? {
            // Where there are pseudonyms, its vouchers may be on their way: no fault of whoever handed it on.
            return Err(match charter.document().pseudonyms {
                Some(_) => {
                    NodeError::refused("a batch is signed by a pseudonym that too few members vouch for")
                }
                None => NodeError::invalid("a batch is signed by no member"),
            });
        }
        if under != charter.id() {
            return Err(NodeError::invalid("a batch is of another federation"));
        }
        // Not kept: it is asked for again, and then its time may have come.
        if published_at > now.plus_seconds(limits::CLOCK_SKEW_SECONDS) { Err(ahead()) } else { Ok(()) }
    }

    fn take_objects(&self, batch: &SignedBatch, json: &[u8], now: Timestamp) -> Result<Taken, NodeError> {
        // Without the lists what comes in is still taken: they are this operator's own, and a partner's revocation
        // must not wait for them. The people of this vault stay protected.
        let held = self.lint_incoming()?;
        let hold = |object: &StixObject| objection(object, &held.checks(true)).is_some();
        let taking = Taking { now, own: self.own_keys().contains(&batch.signer()), hold: &hold };
        Ok(self.library.take(&self.documents, batch, json, &taking)?)
    }
}

/// Whether a document is in the form in which it was signed: what is kept by its hash alone could otherwise be handed on in
/// as many forms as somebody likes, and fill its signer's room.
pub(in super::super) fn is_as_signed<D: Document>(signed: &Signed<D>, json: &[u8]) -> Result<(), NodeError> {
    if signed.envelope().to_json().is_ok_and(|own| own == json) {
        Ok(())
    } else {
        Err(NodeError::invalid("a document is not in the form in which it was signed"))
    }
}

/// Whether an object of it is dated ahead of this node's clock.
fn is_ahead(batch: &SignedBatch, now: Timestamp) -> bool {
    let latest = Instant::of(now.plus_seconds(limits::CLOCK_SKEW_SECONDS));
    batch.items().iter().any(|item| item.object.modified() > latest)
}

/// Two clocks differ: no fault of the document, and over when they agree.
fn ahead() -> NodeError {
    NodeError::new(crate::error::Class::Network, "a batch is dated ahead of this node's clock")
}

/// Whether a document of indicators is a sealed one.
pub(super) fn is_sealed(json: &[u8]) -> bool {
    !json.starts_with(b"{\"head\":")
        && Envelope::from_json(json).is_ok_and(|e| e.kind() == Some(SealedBatch::KIND))
}
