//! Sealed batches: TLP:RED for named members, opaque to everyone else (docs/protocol.md §6).
//!
//! A batch is encrypted once under a fresh key (XChaCha20-Poly1305), and the key to each member it is for by HPKE
//! (RFC 9180). Nothing says whom it is for, and length and number of keys are rounded up; everybody hands it on alike.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{batch::BatchError, batch::SignedBatch, lint::Linted, tlp::Tlp};
use crate::{
    codec::{self, CodecError, base64_bytes},
    document::{
        Charter, Document, Flaw, NodeSecret, Sealed, Signed,
        hpke::{self, To},
    },
    id::{Digest, Id, NodeId},
    limits,
    time::Timestamp,
};

const INFO: &[u8] = b"hedgerow sealed batch 1";
/// What a content key takes when it is sealed.
const KEY_BYTES: usize = 32 + hpke::OVERHEAD;
const NONCE: usize = 24;
const TAG: usize = 16;
/// Length is rounded up to a multiple of this, and the number of keys to one of [`KEYS`].
const ROUND: usize = 16 * 1024;
const KEYS: usize = 8;

/// A content key, encrypted to one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Wrapped(#[serde(with = "base64_bytes")] Vec<u8>);

/// A batch that only those it is for can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedBatch {
    /// Format: 1.
    pub version: u16,
    /// The charter under which it is published.
    pub charter: Id<Charter>,
    /// When it was published.
    pub published_at: Timestamp,
    /// The content key for each member that it is for, and some that are for nobody, by their bytes.
    keys: Vec<Wrapped>,
    /// Nonce, and what is sealed.
    #[serde(with = "base64_bytes")]
    content: Vec<u8>,
}

impl Sealed for SealedBatch {}
impl Document for SealedBatch {
    const KIND: &'static str = "sealed-batch";
    const MAX_BYTES: usize = 768 * 1024;

    fn check(&self) -> Result<(), Flaw> {
        if self.version != 1 {
            return Err(Flaw::new("version", "this program reads sealed batches of version 1"));
        }
        let keys = self.keys.len();
        if keys == 0 || keys > limits::SEALED_KEYS || !keys.is_multiple_of(KEYS) {
            return Err(Flaw::new("keys", format!("a multiple of {KEYS}, at most {}", limits::SEALED_KEYS)));
        }
        if self.keys.iter().any(|key| key.0.len() != KEY_BYTES) {
            return Err(Flaw::new("keys", format!("{KEY_BYTES} bytes each")));
        }
        match self.content.len().checked_sub(NONCE + TAG) {
            Some(bytes) if bytes > 0 && bytes.is_multiple_of(ROUND) => Ok(()),
            _ => Err(Flaw::new("content", format!("a nonce, a multiple of {ROUND} bytes and a tag"))),
        }
    }
}

/// What is sealed: the batch as it would travel, and whom it is for, so that each of them knows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content<'a> {
    to: Vec<NodeId>,
    #[serde(borrow)]
    batch: &'a RawValue,
}

/// What a member that a sealed batch is for finds in it.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Whom it is for, its signer too.
    pub to: Vec<NodeId>,
    /// The batch; its id is that of the sealed document.
    pub batch: SignedBatch,
}

/// Seals linted TLP:RED objects for `to`, and for the signer: the documents that travel, each with what it opens to.
pub fn seal<R: CryptoRng>(
    linted: Linted,
    charter: Id<Charter>,
    published_at: Timestamp,
    secret: &NodeSecret,
    to: &[NodeId],
    rng: &mut R,
) -> Result<Vec<(Opened, Vec<u8>)>, BatchError> {
    if linted.tlp() != Tlp::Red {
        return Err(Flaw::new("tlp", "only RED is sealed").into());
    }
    let mut to: Vec<NodeId> = to.iter().copied().chain([secret.node_id()]).collect();
    to.sort_unstable();
    to.dedup();
    if to.len() > limits::SEALED_KEYS {
        return Err(Flaw::new("to", format!("at most {} members", limits::SEALED_KEYS)).into());
    }
    let aad = hpke::bound(&charter, &secret.node_id());
    let mut sealed = Vec::new();
    for batch in SignedBatch::documents(linted, charter, published_at, secret, limits::SEALED_BATCH_BYTES)? {
        let batch = String::from_utf8(batch).map_err(|_| CodecError::Unwritable)?;
        let batch = RawValue::from_string(batch).map_err(|_| CodecError::Unwritable)?;
        let content = Content { to: to.clone(), batch: &batch };
        let mut plain = Zeroizing::new(serde_json::to_vec(&content).map_err(|_| CodecError::Unwritable)?);
        let padded = plain.len().next_multiple_of(ROUND);
        plain.resize(padded, b' ');
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut());
        let mut nonce = [0; NONCE];
        rng.fill_bytes(&mut nonce);
        let cipher = XChaCha20Poly1305::new(&(*key).into());
        let mut content = nonce.to_vec();
        content.extend(
            cipher
                .encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: &aad })
                .map_err(|_| CodecError::Unwritable)?,
        );
        let mut keys = Vec::new();
        let fill = to.len().next_multiple_of(KEYS) - to.len();
        for whom in to.iter().map(To::Member).chain(std::iter::repeat_n((), fill).map(|()| To::Nobody)) {
            let sealed = hpke::seal(&whom, INFO, key.as_ref(), &aad, rng);
            keys.push(Wrapped(sealed.map_err(|_| CodecError::Unwritable)?));
        }
        // Their bytes are as good as random, and so is this order.
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        let document = SealedBatch { version: 1, charter, published_at, keys, content };
        let signed = Signed::new(document, secret)?;
        let json = signed.envelope().to_json()?;
        let opened = open(&signed, &json, secret)?;
        sealed.push((opened.ok_or(BatchError::Root)?, json));
    }
    Ok(sealed)
}

/// Opens a sealed batch with the key of a member; none if it is not for that member. `json` is the document as it
/// travels.
pub fn open(
    sealed: &Signed<SealedBatch>,
    json: &[u8],
    secret: &NodeSecret,
) -> Result<Option<Opened>, BatchError> {
    let signer = sealed.sole_signer()?;
    let SealedBatch { charter, keys, content, .. } = sealed.document();
    let aad = hpke::bound(charter, &signer);
    let Some(key) = keys.iter().find_map(|wrapped| hpke::open(secret, INFO, &wrapped.0, &aad)) else {
        return Ok(None);
    };
    let (nonce, body) = content.split_first_chunk::<NONCE>().ok_or(BatchError::Root)?;
    let cipher = XChaCha20Poly1305::new_from_slice(&key).map_err(|_| BatchError::Root)?;
    let plain = cipher
        .decrypt(&XNonce::from(*nonce), Payload { msg: body, aad: &aad })
        .map(Zeroizing::new)
        .map_err(|_| BatchError::Root)?;
    let found: Content<'_> = codec::decode(&plain, plain.len())?;
    let batch = SignedBatch::open_sealed(found.batch.get().as_bytes(), Digest::of(json))?;
    // Else one member could hand on what another sealed for it as if it came from itself, or from elsewhere.
    if batch.signer() != signer || batch.charter() != *charter || batch.tlp() != Tlp::Red {
        return Err(Flaw::new("batch", "what is sealed is of another signer, charter or label").into());
    }
    if !found.to.contains(&secret.node_id()) || found.to.len() > limits::SEALED_KEYS {
        return Err(Flaw::new("to", "a member that it opens for is not named in it").into());
    }
    Ok(Some(Opened { to: found.to, batch }))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;
    use crate::{
        document::{Envelope, charter::samples::*},
        indicator::{Checks, Observable, StixObject, lint_against},
    };

    fn now() -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000).unwrap()
    }

    fn linted(n: usize) -> Linted {
        let drafts = (0..n).map(|i| {
            let host = Observable::guess(&format!("h{i}.evil.example")).unwrap();
            StixObject::indicator(&host, None, None, now())
        });
        let checks = Checks { sealed: true, ..Checks::default() };
        let (linted, found) = lint_against(drafts.collect(), Tlp::Red, false, &checks);
        assert!(found.refused.is_empty());
        linted
    }

    fn sealed(n: usize) -> Vec<(Opened, Vec<u8>)> {
        let to = [secret(2).node_id(), secret(3).node_id()];
        let charter = signed_charter(5).id();
        seal(linted(n), charter, now(), &secret(1), &to, &mut StdRng::seed_from_u64(1)).unwrap()
    }

    fn opened(json: &[u8], n: u8) -> Result<Option<Opened>, BatchError> {
        let signed: Signed<SealedBatch> = Envelope::from_json(json).unwrap().open()?;
        open(&signed, json, &secret(n))
    }

    #[test]
    fn those_it_is_for_read_it_and_nobody_else_does() {
        let (made, json) = sealed(3).remove(0);
        for n in [1, 2, 3] {
            let Opened { to, batch } = opened(&json, n).unwrap().unwrap();
            assert_eq!((batch.items().len(), batch.id()), (3, Digest::of(&json)));
            assert_eq!((to.len(), batch.signer(), batch.tlp()), (3, secret(1).node_id(), Tlp::Red));
            assert_eq!(to, made.to);
        }
        for n in [4, 5] {
            assert!(opened(&json, n).unwrap().is_none());
        }
        let text = String::from_utf8(json).unwrap();
        assert!(!text.contains("evil") && !text.contains(&secret(2).node_id().to_string()));
    }

    #[test]
    fn how_much_it_holds_and_for_how_many_does_not_show() {
        let lengths: Vec<usize> = [1, 2, 20].into_iter().map(|n| sealed(n).remove(0).1.len()).collect();
        assert_eq!((lengths[0], lengths[0]), (lengths[1], lengths[2]));
        let many = sealed(2000);
        assert!(many.len() > 1 && many.iter().all(|(_, json)| json.len() <= limits::BATCH_DOCUMENT_BYTES));
    }

    #[test]
    fn what_was_sealed_for_one_member_cannot_be_handed_on_as_ones_own() {
        let (made, _) = sealed(1).remove(0);
        // Member 2 wraps the batch of member 1, signature and all, for member 3.
        let inner =
            SignedBatch::documents(linted(1), made.batch.charter(), now(), &secret(1), 1 << 20).unwrap();
        let batch = RawValue::from_string(String::from_utf8(inner[0].clone()).unwrap()).unwrap();
        let to = vec![secret(3).node_id()];
        let mut plain = serde_json::to_vec(&Content { to, batch: &batch }).unwrap();
        plain.resize(ROUND, b' ');
        let aad = hpke::bound(&made.batch.charter(), &secret(2).node_id());
        let cipher = XChaCha20Poly1305::new(&[7; 32].into());
        let body = cipher.encrypt(&XNonce::from([0; NONCE]), Payload { msg: &plain, aad: &aad }).unwrap();
        let mut rng = StdRng::seed_from_u64(2);
        let key =
            Wrapped(hpke::seal(&To::Member(&secret(3).node_id()), INFO, &[7; 32], &aad, &mut rng).unwrap());
        let document = SealedBatch {
            version: 1,
            charter: made.batch.charter(),
            published_at: now(),
            keys: vec![key; KEYS],
            content: [vec![0; NONCE], body].concat(),
        };
        let json = Signed::new(document, &secret(2)).unwrap().envelope().to_json().unwrap();
        assert!(matches!(opened(&json, 3), Err(BatchError::Envelope(_))));
    }

    #[test]
    fn red_is_in_no_batch_that_is_not_sealed_and_nothing_else_is_sealed() {
        let charter = signed_charter(5).id();
        let open = SignedBatch::sign(linted(1), charter, now(), &secret(1));
        assert!(matches!(open, Err(BatchError::Envelope(_))));
        let amber = lint_against(vec![], Tlp::Amber, false, &Checks::default()).0;
        let mut rng = StdRng::seed_from_u64(1);
        assert!(seal(amber, charter, now(), &secret(1), &[], &mut rng).is_err());
    }
}
