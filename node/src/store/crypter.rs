//! Sealing of values, and the keys that come from the master key (docs/storage.md).
//!
//! A value is sealed with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) under a random 24-byte nonce. What it
//! is, where it stands and which version of it this is are bound as associated data, so that a value moved to
//! another place, or an older one put back under a newer version's number, does not open.

use chacha20poly1305::{
    Key, KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, AeadInOut as _, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use rand::{TryRng as _, rngs::SysRng};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::StoreError;

/// First byte of every sealed value: how it is sealed.
const FORMAT: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;
const HEADER: usize = 1 + 8 + NONCE;
/// What sealing without a header adds to a text, in bytes.
pub(super) const BARE: usize = NONCE + TAG;

/// 32 secret bytes. Zeroized on drop, never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct SecretKey([u8; 32]);

impl SecretKey {
    pub(super) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Fresh from the system's random source.
    pub(super) fn random() -> Result<Self, StoreError> {
        let mut bytes = [0; 32];
        SysRng.try_fill_bytes(&mut bytes).map_err(|_| StoreError::Random)?;
        Ok(Self(bytes))
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The sub-key for one purpose: HKDF-SHA256 (RFC 5869) with the purpose as info.
    pub(super) fn derive(&self, purpose: &str) -> Self {
        let mut bytes = [0; 32];
        let hkdf = Hkdf::<Sha256>::new(Some(b"hedgerow/vault/1"), &self.0);
        // 32 bytes are below HKDF's limit of 255 hashes, so this cannot fail.
        let _ = hkdf.expand(purpose.as_bytes(), &mut bytes);
        Self(bytes)
    }

    /// HMAC-SHA256 (RFC 2104) over length-prefixed parts, so that no two lists of parts run together.
    pub(super) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        // HMAC takes keys of any length.
        let Ok(mut mac) = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.0) else { return [0; 32] };
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// Seals and opens.
pub(super) struct Crypter(XChaCha20Poly1305);

impl Crypter {
    pub(super) fn new(key: &SecretKey) -> Self {
        Self(XChaCha20Poly1305::new(&Key::from(*key.bytes())))
    }

    /// Seals `plain` as version `version` of what stands at `place`.
    pub(super) fn seal(&self, place: &[u8], version: u64, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut value = Vec::with_capacity(HEADER + plain.len() + TAG);
        value.push(FORMAT);
        value.extend_from_slice(&version.to_be_bytes());
        self.seal_onto(&mut value, place, version, plain)?;
        Ok(value)
    }

    /// The same without a header, at the end of `to`: nonce, ciphertext, tag. The version is then kept elsewhere.
    pub(super) fn seal_onto(
        &self,
        to: &mut Vec<u8>,
        place: &[u8],
        version: u64,
        plain: &[u8],
    ) -> Result<(), StoreError> {
        let mut nonce = [0; NONCE];
        SysRng.try_fill_bytes(&mut nonce).map_err(|_| StoreError::Random)?;
        to.extend_from_slice(&nonce);
        let start = to.len();
        to.extend_from_slice(plain);
        let sealed = to.get_mut(start..).unwrap_or_default();
        let tag = self
            .0
            .encrypt_inout_detached(&XNonce::from(nonce), &associated(place, version), sealed.into())
            .map_err(|_| StoreError::Damaged("a value could not be sealed"))?;
        to.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens what [`Crypter::seal_onto`] sealed.
    pub(super) fn open_bare(
        &self,
        place: &[u8],
        version: u64,
        sealed: &[u8],
        what: &'static str,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(StoreError::Damaged(what))?;
        let aad = associated(place, version);
        match self.0.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad }) {
            Ok(plain) => Ok(Zeroizing::new(plain)),
            Err(_) => Err(StoreError::Damaged(what)),
        }
    }

    /// Opens what stands at `place`; `what` names it in the error.
    pub(super) fn open(
        &self,
        place: &[u8],
        value: &[u8],
        what: &'static str,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let (Some(version), Some((_, sealed))) = (version(value), value.split_at_checked(HEADER - NONCE))
        else {
            return Err(StoreError::Damaged(what));
        };
        self.open_bare(place, version, sealed, what)
    }
}

/// The version that a sealed value says it is; not verified until it opens.
pub(super) fn version(value: &[u8]) -> Option<u64> {
    let (format, rest) = value.split_first()?;
    if *format != FORMAT {
        return None;
    }
    rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

fn associated(place: &[u8], version: u64) -> Vec<u8> {
    let mut aad = b"hedgerow/value/1/".to_vec();
    aad.extend_from_slice(&version.to_be_bytes());
    aad.extend_from_slice(place);
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_where_and_as_what_it_was_sealed() {
        let crypter = Crypter::new(&SecretKey::new([1; 32]));
        let value = crypter.seal(b"place", 7, b"body").unwrap();
        assert_eq!(*crypter.open(b"place", &value, "x").unwrap(), b"body");
        assert!(crypter.open(b"other", &value, "x").is_err());
        assert!(Crypter::new(&SecretKey::new([2; 32])).open(b"place", &value, "x").is_err());
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(crypter.open(b"place", &flipped, "x").is_err(), "bit {bit}");
        }
        for length in 0..value.len() {
            assert!(crypter.open(b"place", &value[..length], "x").is_err(), "cut at {length}");
        }
    }

    #[test]
    fn sub_keys_differ_by_purpose_and_do_not_show_themselves() {
        let master = SecretKey::new([3; 32]);
        assert_ne!(master.derive("a").bytes(), master.derive("b").bytes());
        assert_ne!(master.mac(&[b"ab", b"c"]), master.mac(&[b"a", b"bc"]));
        assert_eq!(format!("{master:?}"), "SecretKey(..)");
    }
}
