//! Version 3: batches of version 2, whose objects are leaves of a tree, and the proof of one object.

use std::{collections::BTreeMap, convert::Infallible};

use hedgerow_protocol::{
    document::{Envelope, Signed},
    id::Digest,
    indicator::{
        Checks, Observable, SealedBatch, SignedBatch, StixObject, Tlp, lint, lint_against, merkle,
        sealed::seal,
    },
};
use rand::{TryCryptoRng, TryRng};
use serde_json::{Value, json};

use crate::{tools::*, v1};

fn batch() -> (SignedBatch, String) {
    let now = at("2026-02-01T12:00:00Z");
    let drafts = ["evil.example.org", "192.0.78.1", "https://phish.example.net/login"]
        .iter()
        .map(|v| StixObject::indicator(&Observable::guess(v).unwrap(), Some("Made up"), None, now))
        .collect();
    let (linted, _) = lint(drafts, Tlp::Green, false);
    let (batch, json) = SignedBatch::sign(linted, v1::charter().id(), now, &secret(2)).unwrap().remove(0);
    (batch, String::from_utf8(json).unwrap())
}

/// Bytes that any program can make, in place of randomness: SHA-256 over a counter.
pub(crate) struct Counter(pub(crate) u64);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next_bytes().first_chunk().map_or(0, |b| u32::from_be_bytes(*b)))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next_bytes().first_chunk().map_or(0, |b| u64::from_be_bytes(*b)))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        for chunk in to.chunks_mut(32) {
            chunk.copy_from_slice(&self.next_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

impl Counter {
    fn next_bytes(&mut self) -> [u8; 32] {
        self.0 += 1;
        *Digest::of(&self.0.to_be_bytes()).as_bytes()
    }
}

/// Two indicators under RED, of member 1, for member 2.
fn sealed() -> Signed<SealedBatch> {
    let now = at("2026-02-01T12:00:00Z");
    let drafts = ["red.example.org", "192.0.78.1"]
        .iter()
        .map(|v| StixObject::indicator(&Observable::guess(v).unwrap(), Some("Made up"), None, now))
        .collect();
    let checks = Checks { sealed: true, ..Checks::default() };
    let (linted, _) = lint_against(drafts, Tlp::Red, false, &checks);
    let to = [secret(2).node_id()];
    let made = seal(linted, v1::charter().id(), now, &secret(1), &to, &mut Counter(0)).unwrap().remove(0);
    Envelope::from_json(&made.1).unwrap().open().unwrap()
}

/// A batch of any objects, however wrong, under a true signature over any head.
fn signed(objects: &[String], change: impl FnOnce(&mut Value)) -> String {
    let leaves: Vec<Digest> = objects.iter().map(|o| merkle::leaf(o.as_bytes())).collect();
    let mut head = json!({
        "version": 2, "charter": v1::charter().id(), "published_at": "2026-02-01T12:00:00Z", "tlp": "green",
        "size": objects.len(), "root": merkle::root(&leaves),
    });
    change(&mut head);
    let head = signed_anyhow("batch-head", head.to_string().as_bytes(), &[2]);
    format!("{{\"head\":{head},\"objects\":[{}]}}", objects.join(","))
}

pub(crate) fn vectors() -> BTreeMap<&'static str, Value> {
    let mut all = BTreeMap::new();
    let (batch, text) = batch();
    let objects: Vec<String> =
        batch.items().iter().map(|i| String::from_utf8(i.object.to_canonical()).unwrap()).collect();
    let with = |change: fn(&mut Value)| {
        let mut object: Value = serde_json::from_str(&objects[0]).unwrap();
        change(&mut object);
        signed(&[object.to_string()], |_| ())
    };
    let mut add = |name, kind: &str, fails_at: Option<&str>, what: &str, text: String| {
        all.insert(name, json!({ "kind": kind, "fails_at": fails_at, "what": what, "text": text }));
    };
    const BATCH: &str = "batch of version 2";
    add("batch", BATCH, None, "Three indicators under TLP:GREEN.", text.clone());
    for (name, fails_at, what, text) in [
        (
            "bad_batch_object_changed",
            "root",
            "An object is another than the one signed.",
            text.replace("evil", "good"),
        ),
        ("bad_batch_object_missing", "root", "The last object is missing.", {
            text.replace(&format!(",{}]}}", objects[2]), "]}")
        }),
        ("bad_batch_objects_swapped", "root", "The objects stand in another order.", {
            text.replace(&format!("{},{}", objects[0], objects[1]), &format!("{},{}", objects[1], objects[0]))
        }),
        ("bad_batch_trailing", "document", "Bytes after the end.", format!("{text} 7")),
        ("bad_batch_white_space", "object", "An object is signed that is not in canonical form.", {
            signed(&[objects[0].replacen(':', ": ", 1)], |_| ())
        }),
        ("bad_batch_key_twice", "object", "A property of a signed object stands twice.", {
            signed(&[objects[0].replacen('{', "{\"created\":\"2020-01-01T00:00:00Z\",", 1)], |_| ())
        }),
        ("bad_batch_sighting", "object", "A sighting, which does not travel.", {
            signed(
                &[objects[0]
                    .replace("indicator--", "sighting--")
                    .replace("\"type\":\"indicator\"", "\"type\":\"sighting\"")],
                |_| (),
            )
        }),
        ("bad_batch_large_integer", "object", "A number that not every program can hold.", {
            with(|v| v["x_number"] = json!(1u64 << 53))
        }),
        (
            "bad_batch_observable_with_another_id",
            "object",
            "An observable whose id says that it is another.",
            {
                let mut object = StixObject::observable(&Observable::guess("evil.example.org").unwrap())
                    .unwrap()
                    .to_value();
                object["value"] = json!("good.example.org");
                signed(&[object.to_string()], |_| ())
            },
        ),
        ("bad_batch_label_differs", "flaw", "An object under another label than the batch.", {
            signed(&objects, |v| v["tlp"] = json!("amber"))
        }),
        ("bad_batch_red", "flaw", "RED in a batch for all.", signed(&objects, |v| v["tlp"] = json!("red"))),
        ("bad_batch_id_twice", "flaw", "An object stands twice.", {
            signed(&[objects[0].clone(), objects[0].clone()], |_| ())
        }),
        ("bad_batch_empty", "flaw", "No objects.", signed(&[], |_| ())),
        (
            "bad_batch_other_version",
            "flaw",
            "A version that is not known.",
            signed(&objects, |v| v["version"] = json!(3)),
        ),
        (
            "bad_batch_unknown_field",
            "payload",
            "A head with a field too many.",
            signed(&objects, |v| v["more"] = json!(1)),
        ),
    ] {
        add(name, BATCH, Some(fails_at), what, text);
    }
    const PROOF: &str = "proof of an object";
    let proof = batch.proof(2).unwrap();
    let proven = |change: fn(&mut Value)| {
        let mut value = serde_json::to_value(&proof).unwrap();
        change(&mut value);
        value.to_string()
    };
    add("proof", PROOF, None, "The third of three objects, by itself.", proven(|_| ()));
    for (name, fails_at, what, text) in [
        (
            "bad_proof_other_object",
            "root",
            "Another object.",
            proven(|v| v["object"]["name"] = json!("Other")),
        ),
        ("bad_proof_other_place", "root", "Another place.", proven(|v| v["place"] = json!(1))),
        ("bad_proof_long_path", "root", "A hash too many.", {
            proven(|v| {
                let hash = v["path"][0].clone();
                v["path"].as_array_mut().unwrap().push(hash);
            })
        }),
        (
            "bad_proof_other_version",
            "flaw",
            "A version that is not known.",
            proven(|v| v["version"] = json!(2)),
        ),
    ] {
        add(name, PROOF, Some(fails_at), what, text);
    }
    const SEALED: &str = "sealed batch, opened by member 2";
    let sealed = sealed();
    let document = sealed.document();
    add(
        "sealed",
        SEALED,
        None,
        "Two indicators under TLP:RED, sealed by member 1 for member 2.",
        crate::tools::text(&sealed),
    );
    for (name, fails_at, what, text) in [
        ("bad_sealed_for_another", "not for this member", "None of its keys is for member 2.", {
            changed(document, &[1], |v| {
                let first = v["keys"][0].clone();
                v["keys"].as_array_mut().unwrap().iter_mut().for_each(|key| *key = first.clone());
            })
        }),
        ("bad_sealed_other_signer", "not for this member", "Signed by another than who sealed it.", {
            changed(document, &[3], |_| ())
        }),
        ("bad_sealed_keys_not_rounded", "flaw", "As many keys as members.", {
            changed(document, &[1], |v| v["keys"].as_array_mut().unwrap().truncate(2))
        }),
        ("bad_sealed_content_not_rounded", "flaw", "A length that shows how much there is.", {
            changed(document, &[1], |v| {
                v["content"] = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
            })
        }),
        (
            "bad_sealed_altered",
            "signature",
            "A byte of the payload is another.",
            tampered(&sealed, |v| {
                let altered = v["payload"].as_str().unwrap().replacen('A', "B", 1);
                v["payload"] = json!(altered);
            }),
        ),
    ] {
        add(name, SEALED, Some(fails_at), what, text);
    }
    all
}
