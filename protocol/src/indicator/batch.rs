//! Signed batches: one signature for many indicators, each provable by itself (docs/protocol.md §6).
//!
//! A batch of version 2 is a signed head over the root of a Merkle tree, and the objects beside it; their bytes as they
//! travel are the leaves. Version 1 had the objects in the signed payload; it is still read.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    lint::Linted,
    merkle,
    stix::{Instant, StixError, StixObject},
    tlp::Tlp,
};
use crate::{
    codec::{self, CodecError},
    document::{Charter, Document, Envelope, EnvelopeError, Flaw, NodeSecret, Sealed, Signed},
    id::{Digest, Id, NodeId},
    limits,
    time::Timestamp,
};

/// A batch of version 1: the objects are what is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Format: 1.
    pub version: u16,
    /// The charter under which it is published.
    pub charter: Id<Charter>,
    /// When it was published.
    pub published_at: Timestamp,
    /// The label of every object in it.
    pub tlp: Tlp,
    /// The objects; no id stands twice.
    pub objects: Vec<StixObject>,
}

impl Sealed for Batch {}
impl Document for Batch {
    const KIND: &'static str = "batch";
    const MAX_BYTES: usize = limits::BATCH_BYTES;

    fn check(&self) -> Result<(), Flaw> {
        if self.version != 1 {
            return Err(Flaw::new("version", "a batch whose objects are signed is of version 1"));
        }
        if self.objects.is_empty() || self.objects.len() > limits::BATCH_OBJECTS {
            return Err(Flaw::new("objects", format!("between 1 and {}", limits::BATCH_OBJECTS)));
        }
        label(self.tlp)?;
        together(self.objects.iter(), self.tlp, self.published_at)
    }
}

/// What is signed of a batch of version 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchHead {
    /// Format: 2.
    pub version: u16,
    /// The charter under which it is published.
    pub charter: Id<Charter>,
    /// When it was published.
    pub published_at: Timestamp,
    /// The label of every object in it.
    pub tlp: Tlp,
    /// How many objects there are: leaves of the tree.
    pub size: u32,
    /// Root of the tree (RFC 6962 §2.1) whose leaves are the objects' canonical bytes, in order.
    pub root: Digest,
}

impl Sealed for BatchHead {}
impl Document for BatchHead {
    const KIND: &'static str = "batch-head";
    const MAX_BYTES: usize = 1024;

    fn check(&self) -> Result<(), Flaw> {
        if self.version != 2 {
            return Err(Flaw::new("version", "this program reads batches of versions 1 and 2"));
        }
        if self.size == 0 || self.size as usize > limits::BATCH_LEAVES {
            return Err(Flaw::new("size", format!("between 1 and {}", limits::BATCH_LEAVES)));
        }
        // RED is for what is sealed alone, which whoever opens it sees to.
        if self.tlp == Tlp::Red { Ok(()) } else { label(self.tlp) }
    }
}

fn label(tlp: Tlp) -> Result<(), Flaw> {
    if tlp.may_go_to_members() {
        Ok(())
    } else {
        Err(Flaw::new("tlp", "AMBER at most: stricter marks need sealed delivery"))
    }
}

/// What the objects of one batch must have in common.
fn together<'o>(
    objects: impl Iterator<Item = &'o StixObject>,
    tlp: Tlp,
    published_at: Timestamp,
) -> Result<(), Flaw> {
    let latest = Instant::of(published_at.plus_seconds(limits::CLOCK_SKEW_SECONDS));
    let mut ids = HashSet::new();
    for object in objects {
        if !ids.insert(object.id()) {
            return Err(Flaw::new("objects", "an id stands twice"));
        }
        if object.tlp() != Some(tlp) {
            return Err(Flaw::new("objects", "an object has another label than the batch"));
        }
        if object.modified() > latest {
            return Err(Flaw::new("objects", "an object was modified after the batch was published"));
        }
    }
    Ok(())
}

/// Why a batch is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// What is signed does not hold.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It is not the JSON of a batch.
    #[error("the batch is {0}")]
    Codec(#[from] CodecError),
    /// The objects are not those that were signed.
    #[error("the objects are not those that its signature is for")]
    Root,
    /// An object that is none, or not in canonical form (RFC 8785).
    #[error("object {place} of the batch: {why}")]
    Object {
        /// Its place, from 1.
        place: usize,
        /// What is wrong with it.
        why: StixError,
    },
}

impl From<Flaw> for BatchError {
    fn from(flaw: Flaw) -> Self {
        Self::Envelope(flaw.into())
    }
}

/// One object of a verified batch.
#[derive(Debug, Clone)]
pub struct Item {
    /// The object.
    pub object: StixObject,
    /// Its leaf: SHA-256 over a zero byte and its canonical bytes.
    pub digest: Digest,
    /// Where its canonical bytes stand in the document, first byte and length; none in version 1.
    pub span: Option<(u32, u32)>,
}

/// A batch of either version, verified.
#[derive(Debug, Clone)]
pub struct SignedBatch {
    id: Digest,
    signer: NodeId,
    charter: Id<Charter>,
    published_at: Timestamp,
    tlp: Tlp,
    head: Option<Signed<BatchHead>>,
    items: Vec<Item>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    head: Envelope,
    #[serde(borrow)]
    objects: Vec<&'a RawValue>,
}

impl SignedBatch {
    /// Signs linted objects in as few batches as their bounds allow, in order; each with the document that travels.
    pub fn sign(
        linted: Linted,
        charter: Id<Charter>,
        published_at: Timestamp,
        secret: &NodeSecret,
    ) -> Result<Vec<(Self, Vec<u8>)>, BatchError> {
        Self::sign_within(limits::BATCH_DOCUMENT_BYTES, linted, charter, published_at, secret)
    }

    /// The same in documents of at most `most` bytes.
    pub fn sign_within(
        most: usize,
        linted: Linted,
        charter: Id<Charter>,
        published_at: Timestamp,
        secret: &NodeSecret,
    ) -> Result<Vec<(Self, Vec<u8>)>, BatchError> {
        let documents = Self::documents(linted, charter, published_at, secret, most)?;
        documents.into_iter().map(|document| Ok((Self::open(&document)?, document))).collect()
    }

    /// Signs linted objects in as few documents of at most `most` bytes as may be, in order.
    pub(super) fn documents(
        linted: Linted,
        charter: Id<Charter>,
        published_at: Timestamp,
        secret: &NodeSecret,
        most: usize,
    ) -> Result<Vec<Vec<u8>>, BatchError> {
        // What the signed head takes, generously.
        const FRAME_BYTES: usize = 2048;
        let tlp = linted.tlp();
        let mut lots: Vec<(usize, Vec<Box<RawValue>>)> = Vec::new();
        for object in linted.into_objects() {
            let raw = serde_json::value::to_raw_value(&object).map_err(|_| CodecError::Unwritable)?;
            let size = raw.get().len() + 1;
            match lots.last_mut() {
                Some((bytes, lot)) if *bytes + size <= most && lot.len() < limits::BATCH_LEAVES => {
                    *bytes += size;
                    lot.push(raw);
                }
                _ => lots.push((FRAME_BYTES + size, vec![raw])),
            }
        }
        let mut documents = Vec::with_capacity(lots.len());
        for (_, lot) in lots {
            let leaves: Vec<Digest> = lot.iter().map(|raw| merkle::leaf(raw.get().as_bytes())).collect();
            let size = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
            let head =
                BatchHead { version: 2, charter, published_at, tlp, size, root: merkle::root(&leaves) };
            let head = Signed::new(head, secret)?.envelope().clone();
            let objects = lot.iter().map(AsRef::as_ref).collect();
            documents.push(codec::encode(&Wire { head, objects }, most)?);
        }
        Ok(documents)
    }

    /// Verifies a document and everything in it: the only way to a batch from outside.
    pub fn open(document: &[u8]) -> Result<Self, BatchError> {
        let id = Digest::of(document);
        // What each version begins with tells them apart; neither begins as the other.
        if !document.starts_with(b"{\"head\":") {
            let batch: Signed<Batch> = Envelope::from_json(document)?.open()?;
            if batch.envelope().to_json()? != document {
                return Err(Self::form());
            }
            return Ok(Self::of_version_1(id, &batch)?);
        }
        let batch = Self::read(document, id)?;
        label(batch.tlp)?;
        Ok(batch)
    }

    /// Verifies what a sealed document, whose hash is `id`, held. Its objects stand nowhere in what travels.
    pub(super) fn open_sealed(document: &[u8], id: Digest) -> Result<Self, BatchError> {
        let mut batch = Self::read(document, id)?;
        batch.items.iter_mut().for_each(|item| item.span = None);
        Ok(batch)
    }

    fn read(document: &[u8], id: Digest) -> Result<Self, BatchError> {
        let wire: Wire<'_> = codec::decode(document, limits::BATCH_DOCUMENT_BYTES)?;
        let head: Signed<BatchHead> = wire.head.clone().open()?;
        let signer = head.sole_signer()?;
        // Cheapest first: the hashes say whether these are the objects signed before any of them is read.
        if wire.objects.len() != head.document().size as usize {
            return Err(BatchError::Root);
        }
        let leaves: Vec<Digest> = wire.objects.iter().map(|raw| merkle::leaf(raw.get().as_bytes())).collect();
        if merkle::root(&leaves) != head.document().root {
            return Err(BatchError::Root);
        }
        let mut items = Vec::with_capacity(leaves.len());
        for (place, (raw, digest)) in (1..).zip(wire.objects.iter().zip(leaves)) {
            let bytes = raw.get().as_bytes();
            let object = StixObject::canonical(bytes).map_err(|why| BatchError::Object { place, why })?;
            let first = bytes.as_ptr().addr().wrapping_sub(document.as_ptr().addr());
            let span = u32::try_from(first).ok().zip(u32::try_from(bytes.len()).ok());
            items.push(Item { object, digest, span });
        }
        let BatchHead { charter, published_at, tlp, .. } = *head.document();
        together(items.iter().map(|i| &i.object), tlp, published_at)?;
        // In another form it would have another hash, and could be handed on without end.
        if codec::encode(&wire, limits::BATCH_DOCUMENT_BYTES)? != document {
            return Err(Self::form());
        }
        Ok(Self { id, signer, charter, published_at, tlp, head: Some(head), items })
    }

    fn form() -> BatchError {
        Flaw::new("batch", "not in the form in which this protocol writes JSON").into()
    }

    fn of_version_1(id: Digest, batch: &Signed<Batch>) -> Result<Self, Flaw> {
        let signer = batch.sole_signer()?;
        let Batch { charter, published_at, tlp, objects, .. } = batch.document();
        let items =
            objects.iter().map(|o| Item { object: o.clone(), digest: o.digest(), span: None }).collect();
        Ok(Self { id, signer, charter: *charter, published_at: *published_at, tlp: *tlp, head: None, items })
    }

    /// SHA-256 of the document that travels.
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// Who signed it.
    pub const fn signer(&self) -> NodeId {
        self.signer
    }

    /// The charter under which it is published.
    pub const fn charter(&self) -> Id<Charter> {
        self.charter
    }

    /// When it was published.
    pub const fn published_at(&self) -> Timestamp {
        self.published_at
    }

    /// The label of every object in it.
    pub const fn tlp(&self) -> Tlp {
        self.tlp
    }

    /// Its objects, in order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The proof of the object at `place`, from 0, apart from all others; none in version 1, whose signature is over
    /// the whole.
    pub fn proof(&self, place: usize) -> Option<ObjectProof> {
        let head = self.head.as_ref()?.envelope().clone();
        let leaves: Vec<Digest> = self.items.iter().map(|i| i.digest).collect();
        let path = merkle::path(&leaves, place)?;
        let object = self.items.get(place)?.object.clone();
        Some(ObjectProof {
            version: 1,
            head,
            place: u32::try_from(place).ok()?,
            path,
            object,
            vouchers: vec![],
        })
    }
}

/// One object with the signature of the batch it was published in and the path from the one to the other: enough to
/// check who published it, when and under which label, without the rest of the batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectProof {
    /// Format: 1, 2 with vouchers.
    pub version: u16,
    /// The signed [`BatchHead`].
    pub head: Envelope,
    /// The object's place in the batch, from 0.
    pub place: u32,
    /// Hashes beside the way to the root, lowest first.
    pub path: Vec<Digest>,
    /// The object.
    pub object: StixObject,
    /// Of a pseudonym that signed: the signed [`Voucher`](crate::pseudonym::Voucher)s that make it a member's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vouchers: Vec<Envelope>,
}

impl ObjectProof {
    /// The same with vouchers for who signed it.
    pub fn vouched(self, vouchers: Vec<Envelope>) -> Self {
        Self { version: if vouchers.is_empty() { 1 } else { 2 }, vouchers, ..self }
    }

    /// Reads a proof from its JSON.
    pub fn from_json(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, limits::PROOF_BYTES)
    }

    /// Checks it: who signed the object, and under which head.
    pub fn verify(&self) -> Result<(NodeId, BatchHead), BatchError> {
        if self.version != if self.vouchers.is_empty() { 1 } else { 2 } {
            return Err(
                Flaw::new("version", "this program reads proofs of version 1, and 2 with vouchers").into()
            );
        }
        let head: Signed<BatchHead> = self.head.clone().open()?;
        let signer = head.sole_signer()?;
        let head = head.document().clone();
        let root =
            merkle::root_of_path(self.object.digest(), self.place.into(), head.size.into(), &self.path);
        if root != Some(head.root) {
            return Err(BatchError::Root);
        }
        together(std::iter::once(&self.object), head.tlp, head.published_at)?;
        Ok((signer, head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::charter::samples::*,
        indicator::{Observable, lint::lint},
    };

    fn now() -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000).unwrap()
    }

    fn linted(n: usize) -> Linted {
        let drafts = (0..n)
            .map(|i| {
                StixObject::indicator(
                    &Observable::guess(&format!("h{i}.evil.example")).unwrap(),
                    None,
                    None,
                    now(),
                )
            })
            .collect();
        lint(drafts, Tlp::Green, false).0
    }

    fn batches(n: usize) -> Vec<(SignedBatch, Vec<u8>)> {
        SignedBatch::sign(linted(n), signed_charter(5).id(), now(), &secret(1)).unwrap()
    }

    fn version_1(n: usize) -> Batch {
        let charter = signed_charter(5).id();
        Batch { version: 1, charter, published_at: now(), tlp: Tlp::Green, objects: linted(n).into_objects() }
    }

    #[test]
    fn many_objects_make_few_batches_each_within_its_bounds() {
        let made = batches(5000);
        assert_eq!(made.iter().map(|(b, _)| b.items().len()).sum::<usize>(), 5000);
        assert!(made.len() <= 4, "{}", made.len());
        for (batch, document) in made {
            assert!(document.len() <= limits::BATCH_DOCUMENT_BYTES);
            assert_eq!((batch.signer(), batch.tlp()), (secret(1).node_id(), Tlp::Green));
            let item = &batch.items()[7];
            let (first, length) = item.span.unwrap();
            let bytes = &document[first as usize..(first + length) as usize];
            assert_eq!(StixObject::canonical(bytes).unwrap(), item.object);
        }
    }

    #[test]
    fn a_batch_of_version_1_is_still_read_and_has_the_same_digests() {
        let signed = Signed::new(version_1(3), &secret(1)).unwrap();
        let old = SignedBatch::open(&signed.envelope().to_json().unwrap()).unwrap();
        let new = batches(3).remove(0).0;
        let digests = |b: &SignedBatch| b.items().iter().map(|i| i.digest).collect::<Vec<_>>();
        assert_eq!(digests(&old), digests(&new));
        assert_eq!(old.proof(0), None);
    }

    #[test]
    fn one_object_is_proven_by_itself_and_a_changed_one_is_not() {
        let (batch, _) = batches(11).remove(0);
        for place in 0..11 {
            let json = serde_json::to_vec(&batch.proof(place).unwrap()).unwrap();
            let proof = ObjectProof::from_json(&json).unwrap();
            let (signer, head) = proof.verify().unwrap();
            assert_eq!((signer, head.tlp, head.size), (secret(1).node_id(), Tlp::Green, 11));
            let mut other = proof.clone();
            other.object = batch.items()[(place + 1) % 11].object.clone();
            assert_eq!(other.verify(), Err(BatchError::Root));
            let mut elsewhere = proof;
            elsewhere.place = (elsewhere.place + 1) % 11;
            assert_eq!(elsewhere.verify(), Err(BatchError::Root));
        }
    }

    #[test]
    fn a_batch_with_another_object_one_less_or_another_spelling_is_refused() {
        let (_, document) = batches(3).remove(0);
        let text = String::from_utf8(document).unwrap();
        let open = |text: String| SignedBatch::open(text.as_bytes()).map(|_| ());
        assert_eq!(open(text.replace("h1.evil", "h9.evil")), Err(BatchError::Root));
        assert_eq!(open(text.replace(":\"h1.evil", ": \"h1.evil")), Ok(()), "nothing replaced");
        assert_eq!(open(text.replacen("\"type\":", "\"type\": ", 1)), Err(BatchError::Root));
        let cut = text.rfind(",{\"created\"").unwrap();
        assert_eq!(open(format!("{}]}}", &text[..cut])), Err(BatchError::Root));
        assert!(matches!(open(format!("{text} 7")), Err(BatchError::Codec(_))));
        assert!(matches!(open(text.replace("\"head\":", "\"heads\":")), Err(BatchError::Envelope(_))));
    }

    #[test]
    fn an_object_that_is_not_canonical_is_refused_though_it_is_signed() {
        let (batch, _) = batches(1).remove(0);
        let text = serde_json::to_string(&batch.items()[0].object).unwrap();
        for (name, raw) in [
            ("white space", text.replacen(':', ": ", 1)),
            ("a key twice", text.replacen('{', "{\"created\":\"2020-01-01T00:00:00Z\",", 1)),
            ("an escape for nothing", text.replacen("evil", "\\u0065vil", 1)),
        ] {
            let leaves = [merkle::leaf(raw.as_bytes())];
            let head = BatchHead {
                version: 2,
                charter: signed_charter(5).id(),
                published_at: now(),
                tlp: Tlp::Green,
                size: 1,
                root: merkle::root(&leaves),
            };
            let head = Signed::new(head, &secret(1)).unwrap().envelope().to_json().unwrap();
            let document = format!("{{\"head\":{},\"objects\":[{raw}]}}", String::from_utf8(head).unwrap());
            assert_eq!(
                SignedBatch::open(document.as_bytes()).map(|_| ()),
                Err(BatchError::Object { place: 1, why: StixError::NotCanonical }),
                "{name}"
            );
        }
    }

    #[test]
    fn a_batch_that_contradicts_itself_is_refused() {
        type Change = fn(&mut Batch);
        let faults: [(&str, Change, &str); 6] = [
            ("empty", |b| b.objects.clear(), "objects"),
            ("an id twice", |b| b.objects.push(b.objects[0].clone()), "objects"),
            ("another label within", |b| b.objects[0] = b.objects[0].clone().marked(Tlp::Amber), "objects"),
            ("RED", |b| b.tlp = Tlp::Red, "tlp"),
            ("from the future", |b| b.published_at = b.published_at.plus_seconds(-86_400), "objects"),
            ("another version", |b| b.version = 2, "version"),
        ];
        for (name, change, field) in faults {
            let mut batch = version_1(3);
            change(&mut batch);
            let flaw = match Signed::new(batch, &secret(1)) {
                Err(EnvelopeError::Flaw(flaw)) => flaw,
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(flaw.field, field, "{name}: {flaw}");
        }
    }
}
