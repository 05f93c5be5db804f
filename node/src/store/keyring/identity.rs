//! Slots that an age identity opens (age-encryption.org/v1, X25519 recipients).

use std::io::Read as _;

use age::{Decryptor, IdentityFile, x25519::Recipient};
use hedgerow_protocol::codec::base64_bytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::store::{crypter::SecretKey, error::StoreError};

/// Keys of one person, from an identity file of `age-keygen`. Never shown.
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

impl Identities {
    /// Reads an identity file.
    pub fn parse(text: &[u8]) -> Result<Self, StoreError> {
        let file = IdentityFile::from_buffer(text).map_err(|_| StoreError::Identity)?;
        let identities = file.into_identities().map_err(|_| StoreError::Identity)?;
        if identities.is_empty() { Err(StoreError::Identity) } else { Ok(Self(identities)) }
    }

    /// Each of them.
    pub(crate) fn each(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|identity| identity.as_ref() as &dyn age::Identity)
    }
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identities(..)")
    }
}

/// A slot on disk: the master key as an age file for one recipient.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgeSlot {
    /// The recipient, `age1…`.
    pub(super) recipient: String,
    #[serde(with = "base64_bytes")]
    wrapped: Vec<u8>,
}

impl AgeSlot {
    pub(super) fn wrap(master: &SecretKey, recipient: &str) -> Result<Self, StoreError> {
        let parsed: Recipient = recipient.trim().parse().map_err(|_| StoreError::Recipient)?;
        let wrapped = age::encrypt(&parsed, master.bytes()).map_err(|_| StoreError::Recipient)?;
        Ok(Self { recipient: parsed.to_string(), wrapped })
    }

    pub(super) fn unwrap(&self, identities: &Identities) -> Result<SecretKey, StoreError> {
        let wrong = StoreError::WrongIdentity;
        let Ok(decryptor) = Decryptor::new(self.wrapped.as_slice()) else { return Err(wrong) };
        let Ok(reader) = decryptor.decrypt(identities.each()) else { return Err(wrong) };
        let mut plain = Zeroizing::new(Vec::with_capacity(64));
        if reader.take(33).read_to_end(&mut plain).is_err() {
            return Err(wrong);
        }
        let Ok(bytes) = <[u8; 32]>::try_from(plain.as_slice()) else { return Err(wrong) };
        Ok(SecretKey::new(bytes))
    }
}
