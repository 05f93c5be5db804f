//! What vectors are made with.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use hedgerow_protocol::{
    document::{Document, NodeSecret, Signed},
    facet::{Facet, HelpSet, PersonKey},
    record::Numbers,
    time::Timestamp,
    vocabulary::Dimension,
};
use serde_json::{Value, json};

pub(crate) fn secret(n: u8) -> NodeSecret {
    NodeSecret::from_seed(&[n; 32])
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn facet(person: u64) -> Facet {
    let first = |d: Dimension| d.at(0).unwrap();
    Facet {
        person: PersonKey::new(person),
        consent: true,
        day: "2025-05-06".parse().unwrap(),
        tactic: first(Dimension::Tactic),
        role: first(Dimension::Role),
        origin: first(Dimension::Origin),
        confidence: Dimension::Confidence.code("likely").unwrap(),
        basis: first(Dimension::Basis),
        platform: first(Dimension::Platform),
        harm: first(Dimension::Harm),
        region: first(Dimension::Region),
        phase: first(Dimension::Phase),
        help: HelpSet::default(),
        numbers: Numbers::default(),
    }
}

/// An envelope over any payload, however wrong, with true signatures.
pub(crate) fn signed_anyhow(kind: &str, payload: &[u8], signers: &[u8]) -> Value {
    let payload_type = format!("application/vnd.hedgerow.{kind}+json");
    let mut message = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    let signatures: Vec<Value> = signers
        .iter()
        .map(|n| {
            let sig = SigningKey::from_bytes(&[*n; 32]).sign(&message);
            json!({ "keyid": secret(*n).node_id(), "sig": STANDARD.encode(sig.to_bytes()) })
        })
        .collect();
    json!({ "payloadType": payload_type, "payload": STANDARD.encode(payload), "signatures": signatures })
}

/// The document's JSON with one change, signed anew by its signers.
pub(crate) fn changed<D: Document>(document: &D, signers: &[u8], change: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::to_value(document).unwrap();
    change(&mut value);
    signed_anyhow(D::KIND, value.to_string().as_bytes(), signers).to_string()
}

pub(crate) fn text<D: Document>(signed: &Signed<D>) -> String {
    String::from_utf8(signed.envelope().to_json().unwrap()).unwrap()
}

/// The envelope with one change to itself, signatures left as they were.
pub(crate) fn tampered<D: Document>(signed: &Signed<D>, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(&text(signed)).unwrap();
    change(&mut value);
    value.to_string()
}
