//! Version 4: a charter with pseudonyms, tokens and vouchers for one, and a proof that one signed.

use std::collections::BTreeMap;

use hedgerow_protocol::{
    document::{Charter, Envelope, PseudonymPolicy, Signed},
    indicator::{Observable, SignedBatch, StixObject, Tlp, lint},
    pseudonym::{Asking, Enrolled, Voucher, VouchingKey},
};
use serde_json::{Value, json};

use crate::{tools::*, v1, v3::Counter};

pub(crate) fn charter() -> Signed<Charter> {
    let mut charter = v1::charter().document().clone();
    for member in &mut charter.members {
        let secret = (1..=5).map(secret).find(|s| s.node_id() == member.id).unwrap();
        member.vouching = Some(VouchingKey::of(&secret).unwrap().public().unwrap());
    }
    charter.version = 4;
    charter.pseudonyms = Some(PseudonymPolicy { vouchers: 4, delay_seconds: 86_400 });
    let mut signed = Signed::new(charter, &secret(1)).unwrap();
    signed.cosign(&secret(2));
    signed.cosign(&secret(3));
    signed
}

/// The token that member 1 gets of member 2, sealed to it again.
fn token(charter: &Signed<Charter>) -> String {
    let (own, issuer) = (secret(1), secret(2));
    let asking = Asking::begin(&own, &charter.id(), &issuer.node_id()).unwrap();
    let key = VouchingKey::of(&issuer).unwrap();
    let evaluation = key.evaluate(&asking.blinded(), &mut Counter(0)).unwrap();
    let token = asking.finish(&evaluation, &key.public().unwrap()).unwrap();
    let pseudonym = own.pseudonym(&charter.id()).node_id();
    hex::encode(token.seal(&pseudonym, &charter.id(), &issuer.node_id(), &mut Counter(0)).unwrap())
}

pub(crate) fn vectors() -> BTreeMap<&'static str, Value> {
    let mut all = BTreeMap::new();
    let mut add = |name, kind: &str, fails_at: Option<&str>, what: &str, text: String| {
        all.insert(name, json!({ "kind": kind, "fails_at": fails_at, "what": what, "text": text }));
    };
    let charter = charter();
    add("charter", "charter", None, "A charter with pseudonyms.", text(&charter));
    let signers = [1, 2, 3];
    for (name, what, change) in [
        (
            "bad_charter_key_missing",
            "A member without a key for tokens.",
            (|v| drop(v["members"][0].as_object_mut().unwrap().remove("vouching"))) as fn(&mut Value),
        ),
        ("bad_charter_key_twice", "Two members with one key for tokens.", |v| {
            v["members"][0]["vouching"] = v["members"][1]["vouching"].clone()
        }),
        ("bad_charter_few_vouchers", "Three vouchers of five members.", |v| {
            v["pseudonyms"]["vouchers"] = json!(3)
        }),
        ("bad_charter_version", "Pseudonyms under version 3.", |v| v["version"] = json!(3)),
    ] {
        add(name, "charter", Some("flaw"), what, changed(charter.document(), &signers, change));
    }
    for (name, what, key) in [
        ("bad_charter_identity", "The identity for a key.", "00".repeat(32)),
        ("bad_charter_no_element", "A key that is no element of the group.", "ff".repeat(32)),
    ] {
        let text = {
            let mut value = serde_json::to_value(charter.document()).unwrap();
            value["members"][0]["vouching"] = json!(key);
            signed_anyhow("charter", value.to_string().as_bytes(), &signers).to_string()
        };
        add(name, "charter", Some("payload"), what, text);
    }

    let pseudonym = secret(1).pseudonym(&charter.id());
    let voucher = |n: u8| {
        let voucher = Voucher {
            version: 1,
            charter: charter.id(),
            pseudonym: pseudonym.node_id(),
            made_at: at("2026-02-01T12:00:00Z"),
        };
        Signed::new(voucher, &secret(n)).unwrap()
    };
    add("voucher", "voucher", None, "Member 2 vouches for the pseudonym of member 1.", text(&voucher(2)));
    let changed_voucher = |change: fn(&mut Value)| changed(voucher(2).document(), &[2], change);
    add("bad_voucher_version", "voucher", Some("flaw"), "Another version.", {
        changed_voucher(|v| v["version"] = json!(2))
    });
    add("bad_voucher_small_order", "voucher", Some("payload"), "For a key of small order.", {
        changed_voucher(|v| v["pseudonym"] = json!(format!("01{}", "00".repeat(31))))
    });
    let enrolled = Enrolled { version: 1, charter: charter.id(), made_at: at("2026-02-01T12:00:00Z") };
    let enrolled = text(&Signed::new(enrolled, &secret(2)).unwrap());
    add("enrolled", "enrolled", None, "Member 2 has every token.", enrolled);
    add(
        "token",
        "token, opened by member 2",
        None,
        "Of member 2, for the pseudonym of member 1.",
        token(&charter),
    );
    add("bad_token_for_another", "token, opened by member 3", Some("not for this member"), "The same.", {
        token(&charter)
    });

    let now = at("2026-02-01T12:00:00Z");
    let object = StixObject::indicator(&Observable::guess("evil.example.org").unwrap(), None, None, now);
    let (linted, _) = lint(vec![object], Tlp::Green, false);
    let (batch, json) = SignedBatch::sign(linted, charter.id(), now, &pseudonym).unwrap().remove(0);
    add("batch", "batch of version 2", None, "Signed by a pseudonym.", String::from_utf8(json).unwrap());
    let vouchers: Vec<Envelope> = [2, 3, 4, 5].map(|n| voucher(n).envelope().clone()).into();
    let proof = serde_json::to_value(batch.proof(0).unwrap().vouched(vouchers)).unwrap();
    add("proof", "proof of an object", None, "With the vouchers of four members.", proof.to_string());
    let mut unversioned = proof;
    unversioned["version"] = json!(1);
    add(
        "bad_proof_version",
        "proof of an object",
        Some("flaw"),
        "Vouchers in version 1.",
        unversioned.to_string(),
    );
    all
}
