//! Tokens: a verifiable oblivious pseudorandom function over ristretto255 with SHA-512 (RFC 9497, mode VOPRF).
//!
//! The issuer's public key stands in the charter and every evaluation comes with a proof that it was made with that key;
//! with a key for each asker, an issuer could tell by its tokens who is who.

use std::{fmt, str::FromStr};

use rand::CryptoRng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use voprf::{BlindedElement, EvaluationElement, Group as _, Proof, Ristretto255, VoprfClient, VoprfServer};
use zeroize::Zeroizing;

use crate::{
    codec::base64_bytes,
    document::{
        Charter, NodeSecret,
        hpke::{self, To},
    },
    id::{Id, IdError, NodeId, parse_hex, serde_as_text, shown_as_hex},
};

const TOKEN: usize = 64;
const PROOF: usize = 64;
const INFO: &[u8] = b"hedgerow token 1";

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A key that cannot be made from this secret.
    #[error("no key for tokens can be made of this node's key")]
    Key,
    /// Not the evaluation of what was asked, under the key that the charter names.
    #[error("an evaluation does not hold under the key that the charter names")]
    Proof,
    /// It could not be sealed.
    #[error("a token could not be sealed for its member")]
    Sealing,
}

/// An element of ristretto255 other than its identity, in its one encoding (RFC 9496).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element([u8; 32]);

impl Element {
    fn of(bytes: &[u8]) -> Result<Self, IdError> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| IdError::NotHex)?;
        Ristretto255::deserialize_elem(&bytes).map_err(|_| IdError::NotKey)?;
        Ok(Self(bytes))
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Element {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::of(&parse_hex(text)?)
    }
}

shown_as_hex!(Element);
serde_as_text!(Element);

/// What a member made of a blinded element, with the proof that it did so with its key (DLEQ, RFC 9497 §2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    element: Element,
    #[serde(with = "base64_bytes")]
    proof: Vec<u8>,
}

/// That one member issued one token for a pseudonym: 64 bytes, which only that member can check.
#[derive(Clone)]
pub struct Token(Zeroizing<Vec<u8>>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What the function is computed of.
fn input(charter: &Id<Charter>, pseudonym: &NodeId) -> Vec<u8> {
    [INFO, &hpke::bound(charter, pseudonym)].concat()
}

/// The key with which a member evaluates.
pub struct VouchingKey(VoprfServer<Ristretto255>);

impl VouchingKey {
    /// That of the node with this key.
    pub fn of(secret: &NodeSecret) -> Result<Self, TokenError> {
        let seed = secret.derive("hedgerow vouching 1", &[]);
        VoprfServer::new_from_seed(seed.as_ref(), b"hedgerow vouching 1")
            .map(Self)
            .map_err(|_| TokenError::Key)
    }

    /// Its public part, for the charter.
    pub fn public(&self) -> Result<Element, TokenError> {
        Element::of(&Ristretto255::serialize_elem(self.0.get_public_key())).map_err(|_| TokenError::Key)
    }

    /// Evaluates a blinded element. Whoever calls this sees to it that nobody gets two.
    pub fn evaluate<R: CryptoRng>(&self, blinded: &Element, rng: &mut R) -> Result<Evaluation, TokenError> {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        let blinded = BlindedElement::deserialize(&blinded.0).map_err(|_| TokenError::Proof)?;
        let made = self.0.blind_evaluate(&mut ChaCha20Rng::from_seed(*seed), &blinded);
        let element = Element::of(&made.message.serialize()).map_err(|_| TokenError::Proof)?;
        Ok(Evaluation { element, proof: made.proof.serialize().to_vec() })
    }

    /// Whether `token` is one that this key gave to this pseudonym, under this charter.
    pub fn issued(&self, token: &Token, charter: &Id<Charter>, pseudonym: &NodeId) -> bool {
        let own = self.0.evaluate(&input(charter, pseudonym));
        own.is_ok_and(|own| own.as_slice().ct_eq(&token.0).into())
    }
}

/// One member's asking for a token from another.
pub struct Asking {
    client: VoprfClient<Ristretto255>,
    input: Vec<u8>,
    blinded: Element,
}

impl Asking {
    /// Begins to ask `issuer` for a token on the pseudonym of `secret`. Its blind comes from the secret too: asked again,
    /// also after a restart, it is the same question, and no second token.
    pub fn begin(secret: &NodeSecret, charter: &Id<Charter>, issuer: &NodeId) -> Result<Self, TokenError> {
        let pseudonym = secret.pseudonym(charter).node_id();
        let input = input(charter, &pseudonym);
        let context = hpke::bound(charter, issuer);
        let mut rng = ChaCha20Rng::from_seed(*secret.derive("hedgerow blind 1", &context));
        let begun = VoprfClient::blind(&input, &mut rng).map_err(|_| TokenError::Key)?;
        let blinded = Element::of(&begun.message.serialize()).map_err(|_| TokenError::Key)?;
        Ok(Self { client: begun.state, input, blinded })
    }

    /// What is asked: nothing can be read from it.
    pub const fn blinded(&self) -> Element {
        self.blinded
    }

    /// The token, if the answer was made under the key that the charter names.
    pub fn finish(&self, evaluation: &Evaluation, key: &Element) -> Result<Token, TokenError> {
        let wrong = |_| TokenError::Proof;
        if evaluation.proof.len() != PROOF {
            return Err(TokenError::Proof);
        }
        let element = EvaluationElement::deserialize(&evaluation.element.0).map_err(wrong)?;
        let proof = Proof::deserialize(&evaluation.proof).map_err(wrong)?;
        let key = Ristretto255::deserialize_elem(&key.0).map_err(wrong)?;
        let token = self.client.finalize(&self.input, &element, &proof, key).map_err(wrong)?;
        Ok(Token(Zeroizing::new(token.to_vec())))
    }
}

impl Token {
    /// Its bytes, for the vault.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// From its bytes; none if they are not as many as they should be.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == TOKEN).then(|| Self(Zeroizing::new(bytes.to_vec())))
    }

    /// Seals it, with the pseudonym that it is for, to the member who issued it.
    pub fn seal<R: CryptoRng>(
        &self,
        pseudonym: &NodeId,
        charter: &Id<Charter>,
        issuer: &NodeId,
        rng: &mut R,
    ) -> Result<Vec<u8>, TokenError> {
        let plain = Zeroizing::new([pseudonym.as_bytes().as_slice(), &self.0].concat());
        let aad = hpke::bound(charter, issuer);
        hpke::seal(&To::Member(issuer), INFO, &plain, &aad, rng).map_err(|_| TokenError::Sealing)
    }
}

/// Bytes of a token that is sealed.
pub const SEALED: usize = 32 + TOKEN + hpke::OVERHEAD;

/// Opens a token that was sealed for the member with this key, and the pseudonym it is for; none if it is none.
pub fn open_token(secret: &NodeSecret, charter: &Id<Charter>, sealed: &[u8]) -> Option<(NodeId, Token)> {
    if sealed.len() != SEALED {
        return None;
    }
    let aad = hpke::bound(charter, &secret.node_id());
    let plain = hpke::open(secret, INFO, sealed, &aad)?;
    let (pseudonym, token) = plain.split_first_chunk::<32>()?;
    Some((NodeId::from_bytes(*pseudonym).ok()?, Token::from_bytes(token)?))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;
    use crate::document::charter::samples::*;

    fn rng() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    fn asked(asker: u8, issuer: u8) -> (Asking, Evaluation, Element) {
        let charter = signed_charter(5).id();
        let key = VouchingKey::of(&secret(issuer)).unwrap();
        let asking = Asking::begin(&secret(asker), &charter, &secret(issuer).node_id()).unwrap();
        let evaluation = key.evaluate(&asking.blinded(), &mut rng()).unwrap();
        (asking, evaluation, key.public().unwrap())
    }

    /// A token of member 2 for the pseudonym of member 1.
    fn given() -> (Id<Charter>, NodeId, Token) {
        let charter = signed_charter(5).id();
        let (asking, evaluation, public) = asked(1, 2);
        let pseudonym = secret(1).pseudonym(&charter).node_id();
        (charter, pseudonym, asking.finish(&evaluation, &public).unwrap())
    }

    #[test]
    fn a_key_and_an_output_are_those_of_rfc_9497() {
        // Appendix A.1.2: seed of 32 times 0xa3, key info "test key", input 0x00.
        let key = VouchingKey(VoprfServer::new_from_seed(&[0xa3; 32], b"test key").unwrap());
        assert_eq!(
            key.public().unwrap().to_string(),
            "c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e"
        );
        assert_eq!(
            hex::encode(key.0.evaluate(&[0]).unwrap()),
            "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7d\
             a4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c"
        );
    }

    #[test]
    fn a_token_is_known_again_by_its_issuer_for_its_pseudonym_alone() {
        let (charter, pseudonym, token) = given();
        let issuer = VouchingKey::of(&secret(2)).unwrap();
        assert!(issuer.issued(&token, &charter, &pseudonym));
        assert!(!issuer.issued(&token, &charter, &secret(3).node_id()), "another's pseudonym");
        assert!(!issuer.issued(&token, &signed_charter(6).id(), &pseudonym), "another federation");
        assert!(!VouchingKey::of(&secret(3)).unwrap().issued(&token, &charter, &pseudonym), "another issuer");
        // Asked again it is the same question; asked of another it shows no likeness.
        let blinded = |issuer| asked(1, issuer).0.blinded();
        assert_eq!(blinded(2), blinded(2));
        assert_ne!(blinded(2), blinded(3));
    }

    #[test]
    fn an_issuer_that_uses_another_key_for_one_member_is_found_out() {
        let (asking, evaluation, public) = asked(1, 2);
        let other = VouchingKey::of(&secret(9)).unwrap();
        let tagged = other.evaluate(&asking.blinded(), &mut rng()).unwrap();
        assert_eq!(asking.finish(&tagged, &public).unwrap_err(), TokenError::Proof);
        let mut forged = evaluation;
        forged.proof[3] ^= 1;
        assert_eq!(asking.finish(&forged, &public).unwrap_err(), TokenError::Proof);
        forged.proof.clear();
        assert_eq!(asking.finish(&forged, &public).unwrap_err(), TokenError::Proof);
    }

    #[test]
    fn a_sealed_token_opens_for_its_issuer_alone() {
        let (charter, pseudonym, token) = given();
        let sealed = token.seal(&pseudonym, &charter, &secret(2).node_id(), &mut rng()).unwrap();
        let (found, opened) = open_token(&secret(2), &charter, &sealed).unwrap();
        assert_eq!((found, opened.as_bytes()), (pseudonym, token.as_bytes()));
        assert!(open_token(&secret(3), &charter, &sealed).is_none());
        assert!(open_token(&secret(2), &signed_charter(6).id(), &sealed).is_none());
        assert!(open_token(&secret(2), &charter, &sealed[1..]).is_none());
        assert!(!format!("{token:?}").contains(&hex::encode(&token.as_bytes()[..4])));
    }

    #[test]
    fn an_element_has_one_spelling_and_is_not_the_identity() {
        let element = asked(1, 2).0.blinded();
        assert_eq!(element.to_string().parse(), Ok(element));
        assert!("00".repeat(32).parse::<Element>().is_err(), "the identity");
        assert!("ff".repeat(32).parse::<Element>().is_err());
    }
}
