//! Sealing a few bytes to one member: HPKE (RFC 9180, base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305) under the X25519
//! form of the member's own key. That one key may serve both Ed25519 and such a KEM is shown by Thormarker
//! (<https://eprint.iacr.org/2021/509>).

use hpke::{
    Deserializable as _, HpkeError, Kem as _, OpModeR, OpModeS, Serializable as _, aead::ChaCha20Poly1305,
    kdf::HkdfSha256, kem::X25519HkdfSha256, single_shot_open, single_shot_seal_with_rng,
};
use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{Charter, NodeSecret};
use crate::id::{Id, NodeId};

/// What binds something to a charter and one of its members: the 32 bytes of either.
pub(crate) fn bound(charter: &Id<Charter>, member: &NodeId) -> Vec<u8> {
    [charter.digest().as_bytes().as_slice(), member.as_bytes()].concat()
}

/// What sealing adds: an encapsulated X25519 key and a tag.
pub(crate) const OVERHEAD: usize = 32 + 16;

type Kem = X25519HkdfSha256;

/// Whom something is sealed to.
pub(crate) enum To<'a> {
    Member(&'a NodeId),
    /// Nobody: a key that is thrown away at once.
    Nobody,
}

/// Seals `plain`: the encapsulated key, and what is sealed.
pub(crate) fn seal<R: CryptoRng>(
    to: &To<'_>,
    info: &[u8],
    plain: &[u8],
    aad: &[u8],
    rng: &mut R,
) -> Result<Vec<u8>, HpkeError> {
    let public = match to {
        To::Member(member) => <Kem as hpke::Kem>::PublicKey::from_bytes(&member.agreement())?,
        To::Nobody => Kem::gen_keypair_with_rng(rng).1,
    };
    let sealed = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeS::Base,
        &public,
        info,
        plain,
        aad,
        rng,
    );
    let (encapsulated, sealed) = sealed?;
    let mut bytes = encapsulated.to_bytes().to_vec();
    bytes.extend(sealed);
    Ok(bytes)
}

/// Opens it; none if it is not for this member, or was changed.
pub(crate) fn open(
    secret: &NodeSecret,
    info: &[u8],
    sealed: &[u8],
    aad: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (encapsulated, sealed) = sealed.split_first_chunk::<32>()?;
    let private = <Kem as hpke::Kem>::PrivateKey::from_bytes(secret.agreement().as_ref()).ok()?;
    let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
    single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        info,
        sealed,
        aad,
    )
    .ok()
    .map(Zeroizing::new)
}
