//! DSSE envelopes with Ed25519 signatures: the one place where a signature is made or checked
//! (docs/protocol.md §1; Dead Simple Signing Envelope v1.0.2; RFC 8032).
//!
//! The bytes received are verified and only then parsed; nothing is re-serialised to be verified.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::CryptoRng;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Charter;
use crate::{
    codec::{self, CodecError, base64_bytes},
    id::{Id, NodeId},
    limits,
};

/// A node's secret signing key. Zeroized on drop, never shown.
pub struct NodeSecret(SigningKey);

impl NodeSecret {
    /// A new key from a cryptographic random source.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self(SigningKey::from_bytes(&seed))
    }

    /// The key whose RFC 8032 seed is `seed`.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The RFC 8032 seed, for the vault alone.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// A secret of its own for each purpose and context: HMAC-SHA256 (RFC 2104) under the seed.
    pub(crate) fn derive(&self, purpose: &str, context: &[u8]) -> Zeroizing<[u8; 32]> {
        // HMAC fills a key up with zeros to the block of its hash. A key of that length needs no check that could fail
        // and leave a secret that everybody knows.
        let mut key = Zeroizing::new([0; 64]);
        key.iter_mut().zip(self.seed().iter()).for_each(|(to, from)| *to = *from);
        let mut mac = Hmac::<Sha256>::new((&*key).into());
        mac.update(purpose.as_bytes());
        mac.update(context);
        let mut secret = Zeroizing::new([0; 32]);
        secret.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(to, from)| *to = from);
        secret
    }

    /// The key under which this node publishes without its name in the federation of `charter`. Who has both keys can tell
    /// that they belong together; who has what they signed cannot.
    pub fn pseudonym(&self, charter: &Id<Charter>) -> Self {
        Self::from_seed(&self.derive("hedgerow pseudonym 1", charter.digest().as_bytes()))
    }

    /// The X25519 form of this key (RFC 8032 §5.1.5, RFC 7748), for sealing: <https://eprint.iacr.org/2021/509>.
    pub(crate) fn agreement(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_scalar_bytes())
    }

    /// The node that this key speaks for.
    pub fn node_id(&self) -> NodeId {
        // A key derived from a seed is clamped and so never of small order.
        NodeId::from_bytes(self.0.verifying_key().to_bytes()).unwrap_or_else(|_| unreachable!())
    }
}

impl fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeSecret({})", self.node_id().short())
    }
}

mod sealed {
    /// Keeps the set of documents closed: what may be signed and sent is decided in this crate.
    pub trait Sealed {}
}
pub(crate) use sealed::Sealed;

/// Why a well-formed document does not hold: the field and what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {fault}")]
pub struct Flaw {
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong with it and what would be right.
    pub fault: String,
}

impl Flaw {
    /// A flaw of `field`.
    pub fn new(field: &'static str, fault: impl Into<String>) -> Self {
        Self { field, fault: fault.into() }
    }
}

/// A kind of document. Closed: only this crate names kinds, and none of them holds a record.
pub trait Document: Sealed + Serialize + DeserializeOwned {
    /// The word in `application/vnd.hedgerow.<kind>+json`.
    const KIND: &'static str;
    /// Largest payload, in bytes.
    const MAX_BYTES: usize;

    /// Whether the document holds together by itself, whoever signed it.
    fn check(&self) -> Result<(), Flaw>;
}

/// Why an envelope was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The envelope or its payload is not the JSON it should be.
    #[error("the {part} is {source}")]
    Codec {
        /// `envelope` or `payload`.
        part: &'static str,
        /// What is wrong with it.
        source: CodecError,
    },
    /// Another kind of document than the one expected.
    #[error("a {expected} was expected, this is {found:?}")]
    Kind {
        /// The kind expected.
        expected: &'static str,
        /// The payload type found.
        found: String,
    },
    /// No signature, or more than the bound.
    #[error("{0} signatures; an envelope has between 1 and {limit}", limit = limits::SIGNATURES)]
    Count(usize),
    /// The same signer twice.
    #[error("{0} signed twice")]
    Repeated(NodeId),
    /// A signature that does not verify.
    #[error("the signature of {0} does not fit the payload")]
    Signature(NodeId),
    /// The document contradicts itself.
    #[error(transparent)]
    Flaw(#[from] Flaw),
}

/// One signature: the signer's public key as key id, and the 64 bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureEntry {
    keyid: NodeId,
    #[serde(with = "base64_bytes")]
    sig: Vec<u8>,
}

/// A DSSE envelope as it travels, nothing of it verified yet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    #[serde(rename = "payloadType")]
    payload_type: String,
    #[serde(with = "base64_bytes")]
    payload: Vec<u8>,
    signatures: Vec<SignatureEntry>,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Envelope({}, {} bytes, {} signatures)",
            self.payload_type,
            self.payload.len(),
            self.signatures.len()
        )
    }
}

impl Envelope {
    /// Reads an envelope from its JSON.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        codec::decode(bytes, limits::DOCUMENT_BYTES)
            .map_err(|source| EnvelopeError::Codec { part: "envelope", source })
    }

    /// The JSON of this envelope.
    pub fn to_json(&self) -> Result<Vec<u8>, EnvelopeError> {
        codec::encode(self, limits::DOCUMENT_BYTES)
            .map_err(|source| EnvelopeError::Codec { part: "envelope", source })
    }

    /// The kind that the payload type names, if it is one of ours. Not verified.
    pub fn kind(&self) -> Option<&str> {
        self.payload_type.strip_prefix("application/vnd.hedgerow.")?.strip_suffix("+json")
    }

    /// The id that the payload has under kind `D`. Not verified.
    pub fn id<D: Document>(&self) -> Id<D> {
        Id::of(&self.payload)
    }

    /// Checks size, kind and every signature, then parses: the only way to a [`Signed`] document from outside.
    pub fn open<D: Document>(self) -> Result<Signed<D>, EnvelopeError> {
        if self.payload_type != payload_type::<D>() {
            return Err(EnvelopeError::Kind { expected: D::KIND, found: self.payload_type });
        }
        if self.payload.len() > D::MAX_BYTES {
            let source = CodecError::TooLong { actual: self.payload.len(), limit: D::MAX_BYTES };
            return Err(EnvelopeError::Codec { part: "payload", source });
        }
        if self.signatures.is_empty() || self.signatures.len() > limits::SIGNATURES {
            return Err(EnvelopeError::Count(self.signatures.len()));
        }
        let mut signers: Vec<NodeId> = Vec::with_capacity(self.signatures.len());
        for entry in &self.signatures {
            if signers.contains(&entry.keyid) {
                return Err(EnvelopeError::Repeated(entry.keyid));
            }
            signers.push(entry.keyid);
        }
        let message = pre_authentication_encoding(&self.payload_type, &self.payload);
        for entry in &self.signatures {
            verify(entry, &message)?;
        }
        let document: D = codec::decode(&self.payload, D::MAX_BYTES)
            .map_err(|source| EnvelopeError::Codec { part: "payload", source })?;
        document.check()?;
        Ok(Signed { id: Id::of(&self.payload), document, signers, envelope: self })
    }
}

/// A document whose every signature has been verified over the bytes it came in.
pub struct Signed<D> {
    id: Id<D>,
    document: D,
    signers: Vec<NodeId>,
    envelope: Envelope,
}

impl<D: Document> Signed<D> {
    /// Signs `document` with `secret`.
    pub fn new(document: D, secret: &NodeSecret) -> Result<Self, EnvelopeError> {
        document.check()?;
        let payload = codec::encode(&document, D::MAX_BYTES)
            .map_err(|source| EnvelopeError::Codec { part: "payload", source })?;
        let envelope = Envelope { payload_type: payload_type::<D>(), payload, signatures: Vec::new() };
        let mut signed = Self { id: Id::of(&envelope.payload), document, signers: Vec::new(), envelope };
        signed.cosign(secret);
        Ok(signed)
    }

    /// Adds the signature of `secret`; a second one by the same key changes nothing.
    pub fn cosign(&mut self, secret: &NodeSecret) {
        let keyid = secret.node_id();
        if self.signers.contains(&keyid) {
            return;
        }
        let sig = self.signature(secret);
        self.envelope.signatures.push(SignatureEntry { keyid, sig });
        self.signers.push(keyid);
    }

    /// Takes over the signatures of another copy of the same document; false if it is another document.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.id != other.id {
            return false;
        }
        for entry in &other.envelope.signatures {
            if !self.signers.contains(&entry.keyid) {
                self.signers.push(entry.keyid);
                self.envelope.signatures.push(entry.clone());
            }
        }
        true
    }

    /// The signature of `secret` on this document, apart from it.
    pub fn signature(&self, secret: &NodeSecret) -> Vec<u8> {
        let message = pre_authentication_encoding(&self.envelope.payload_type, &self.envelope.payload);
        secret.0.sign(&message).to_bytes().to_vec()
    }

    /// Adds a signature that `signer` made apart, if it holds.
    pub fn add_signature(&mut self, signer: NodeId, sig: Vec<u8>) -> Result<(), EnvelopeError> {
        if self.signers.contains(&signer) {
            return Ok(());
        }
        let message = pre_authentication_encoding(&self.envelope.payload_type, &self.envelope.payload);
        let entry = SignatureEntry { keyid: signer, sig };
        verify(&entry, &message)?;
        self.envelope.signatures.push(entry);
        self.signers.push(signer);
        Ok(())
    }

    /// SHA-256 of the payload.
    pub const fn id(&self) -> Id<D> {
        self.id
    }

    /// What was signed.
    pub const fn document(&self) -> &D {
        &self.document
    }

    /// Who signed, each verified, in the order of the envelope.
    pub fn signers(&self) -> &[NodeId] {
        &self.signers
    }

    /// The one signer of a document that takes exactly one.
    pub fn sole_signer(&self) -> Result<NodeId, Flaw> {
        match self.signers.as_slice() {
            [one] => Ok(*one),
            many => Err(Flaw::new("signatures", format!("one signer was expected, not {}", many.len()))),
        }
    }

    /// The envelope, as received or made.
    pub const fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}

impl<D> Clone for Signed<D>
where
    D: Clone,
{
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            document: self.document.clone(),
            signers: self.signers.clone(),
            envelope: self.envelope.clone(),
        }
    }
}

impl<D: fmt::Debug> fmt::Debug for Signed<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("document", &self.document).field("signers", &self.signers).finish()
    }
}

fn payload_type<D: Document>() -> String {
    format!("application/vnd.hedgerow.{}+json", D::KIND)
}

/// DSSE's PAE: `DSSEv1 SP len(type) SP type SP len(body) SP body`.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

fn verify(entry: &SignatureEntry, message: &[u8]) -> Result<(), EnvelopeError> {
    let refused = EnvelopeError::Signature(entry.keyid);
    let key = VerifyingKey::from_bytes(entry.keyid.as_bytes()).map_err(|_| refused.clone())?;
    let signature = Signature::from_slice(&entry.sig).map_err(|_| refused.clone())?;
    // Strict: no small-order keys or commitments, so one signature cannot fit two messages.
    key.verify_strict(message, &signature).map_err(|_| refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        word: String,
    }
    impl Sealed for Sample {}
    impl Document for Sample {
        const KIND: &'static str = "sample";
        const MAX_BYTES: usize = 64;
        fn check(&self) -> Result<(), Flaw> {
            if self.word.is_empty() { Err(Flaw::new("word", "empty")) } else { Ok(()) }
        }
    }

    fn secret(n: u8) -> NodeSecret {
        NodeSecret::from_seed(&[n; 32])
    }

    fn sample() -> Signed<Sample> {
        Signed::new(Sample { word: "hedge".into() }, &secret(1)).unwrap()
    }

    #[test]
    fn the_pre_authentication_encoding_is_that_of_the_dsse_specification() {
        // Test vector of the DSSE protocol document.
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn what_is_signed_opens_with_every_signer_named() {
        let mut signed = sample();
        signed.cosign(&secret(2));
        signed.cosign(&secret(2));
        let json = signed.envelope().to_json().unwrap();
        let opened: Signed<Sample> = Envelope::from_json(&json).unwrap().open().unwrap();
        assert_eq!(opened.document(), signed.document());
        assert_eq!(opened.signers(), [secret(1).node_id(), secret(2).node_id()]);
        assert_eq!(opened.id(), signed.id());
    }

    #[test]
    fn a_changed_payload_a_second_signature_or_none_is_refused() {
        let mut altered = sample().envelope().clone();
        altered.payload[9] ^= 1;
        assert!(matches!(altered.open::<Sample>(), Err(EnvelopeError::Signature(_))));
        let mut twice = sample().envelope().clone();
        twice.signatures.push(twice.signatures[0].clone());
        assert!(matches!(twice.open::<Sample>(), Err(EnvelopeError::Repeated(_))));
        let mut none = sample().envelope().clone();
        none.signatures.clear();
        assert_eq!(none.open::<Sample>().unwrap_err(), EnvelopeError::Count(0));
    }

    #[test]
    fn a_signature_over_one_kind_does_not_serve_another() {
        let mut other = sample().envelope().clone();
        other.payload_type = "application/vnd.hedgerow.other+json".into();
        assert!(matches!(other.open::<Sample>(), Err(EnvelopeError::Kind { .. })));
    }

    #[test]
    fn a_flawed_document_is_neither_signed_nor_opened() {
        assert!(matches!(
            Signed::new(Sample { word: String::new() }, &secret(1)),
            Err(EnvelopeError::Flaw(_))
        ));
        let long = Signed::new(Sample { word: "x".repeat(64) }, &secret(1));
        assert!(matches!(long, Err(EnvelopeError::Codec { part: "payload", .. })));
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert!(!format!("{:?}", secret(7)).contains("0707"));
    }
}
