//! Identities: nodes by their key, documents by the hash of their payload (docs/protocol.md §1).

use std::{fmt, marker::PhantomData, str::FromStr};

use sha2::{Digest as _, Sha256};

/// What is wrong with an identifier as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 64 lowercase hexadecimal digits.
    #[error("an id is 64 lowercase hexadecimal digits")]
    NotHex,
    /// Not a usable Ed25519 public key.
    #[error("this is not a usable Ed25519 public key")]
    NotKey,
}

/// A SHA-256 hash, written as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Takes 32 bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        parse_hex(s).map(Self)
    }
}

/// The id of a document of kind `D`: the SHA-256 of its payload as signed.
pub struct Id<D>(Digest, PhantomData<fn() -> D>);

impl<D> Id<D> {
    /// The id of the document whose payload is `payload`.
    pub fn of(payload: &[u8]) -> Self {
        Self::from_digest(Digest::of(payload))
    }

    /// Names a document by a hash that came from elsewhere.
    pub const fn from_digest(digest: Digest) -> Self {
        Self(digest, PhantomData)
    }

    /// The hash, its kind forgotten.
    pub const fn digest(&self) -> Digest {
        self.0
    }

    /// The first eight digits, for people.
    pub fn short(&self) -> String {
        self.0.to_string().chars().take(8).collect()
    }
}

impl<D> Clone for Id<D> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<D> Copy for Id<D> {}
impl<D> PartialEq for Id<D> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<D> Eq for Id<D> {}
impl<D> PartialOrd for Id<D> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<D> Ord for Id<D> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<D> std::hash::Hash for Id<D> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<D> fmt::Display for Id<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl<D> fmt::Debug for Id<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl<D> FromStr for Id<D> {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        s.parse().map(Self::from_digest)
    }
}

/// A node: its Ed25519 public key, checked to be a point that is not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId([u8; 32]);

impl NodeId {
    /// Parses the 32 bytes of a public key (RFC 8032 §5.1.5).
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, IdError> {
        match ed25519_dalek::VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(bytes)),
            _ => Err(IdError::NotKey),
        }
    }

    /// The X25519 form of the key (RFC 7748 §4.1), to which something is sealed.
    pub(crate) fn agreement(&self) -> [u8; 32] {
        // The bytes were checked when the id was made.
        ed25519_dalek::VerifyingKey::from_bytes(&self.0).map_or([0; 32], |key| key.to_montgomery().to_bytes())
    }

    /// The 32 bytes of the public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight digits, for people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

impl FromStr for NodeId {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        Self::from_bytes(parse_hex(s)?)
    }
}

/// One spelling only: 64 lowercase digits. Two spellings of one id would be two ids to a careless reader.
pub(crate) fn parse_hex(s: &str) -> Result<[u8; 32], IdError> {
    if s.len() != 64 || s.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(IdError::NotHex);
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(s, &mut bytes).map_err(|_| IdError::NotHex)?;
    Ok(bytes)
}

/// `Display` and `Debug` as the hexadecimal digits of the bytes that it wraps.
macro_rules! shown_as_hex {
    ($($ty:ty),+ $(,)?) => {$(
        impl std::fmt::Display for $ty {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl std::fmt::Debug for $ty {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    )+};
}
pub(crate) use shown_as_hex;

shown_as_hex!(Digest, NodeId);

/// Serde by way of `Display` and `FromStr`: what is shown is what is signed.
macro_rules! serde_as_text {
    ($($({$g:ident})? $ty:ty),+ $(,)?) => {$(
        impl$(<$g>)? serde::Serialize for $ty {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de, $($g)?> serde::Deserialize<'de> for $ty {
            fn deserialize<De: serde::Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use serde_as_text;

serde_as_text!(Digest, NodeId, {D} Id<D>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = Digest::of(b"hedge");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse::<Digest>(), Err(IdError::NotHex));
        assert_eq!("ab".parse::<Digest>(), Err(IdError::NotHex));
    }

    #[test]
    fn a_key_of_small_order_names_no_node() {
        let mut identity = [0u8; 32];
        identity[0] = 1;
        assert_eq!(NodeId::from_bytes(identity), Err(IdError::NotKey));
    }
}
