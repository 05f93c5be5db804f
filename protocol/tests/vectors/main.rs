//! Test vectors: every file in `tests/vectors/v1` to `v4` gets the verdict that it names, and the generator here
//! still makes every one of them byte for byte. `HEDGEROW_WRITE_VECTORS=1 cargo test -p hedgerow-protocol --test
//! vectors` writes them anew.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod tools;
mod v1;
mod v2;
mod v3;
mod v4;

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use hedgerow_protocol::{
    document::{Charter, Document, Envelope, EnvelopeError, Member},
    indicator::{Batch, BatchError, ObjectProof, SealedBatch, SignedBatch, sealed},
    pseudonym::{Enrolled, Voucher, VouchingKey, open_token},
    release::verify,
    round::{Abort, Consent, Included, Receipt, Roster, Submission, Verifiers},
    statistic::{Contribution, Query, Refusal},
};
use serde_json::Value;

fn folder(version: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors")).join(version)
}

#[test]
fn every_vector_gets_the_verdict_that_it_names() {
    let mut read = 0;
    for path in ["v1", "v2", "v3", "v4"].map(folder).iter().flat_map(|f| fs::read_dir(f).unwrap()) {
        let path = path.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let vector: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let text = vector["text"].as_str().unwrap_or_else(|| panic!("{name} has no text"));
        let found = verdict(vector["kind"].as_str().unwrap(), text);
        let expected = vector["fails_at"].as_str().map(str::to_owned);
        assert_eq!(found, expected, "{name}: {}", vector["what"]);
        assert_eq!(name.starts_with("bad_"), expected.is_some(), "{name}");
        read += 1;
    }
    assert!(read >= 70, "{read} vectors");
}

/// Where a document fails: the check of a release, or the class of the envelope's fault. None if it holds.
fn verdict(kind: &str, text: &str) -> Option<String> {
    fn envelope_class(error: &EnvelopeError) -> String {
        match error {
            EnvelopeError::Codec { part, .. } => part,
            EnvelopeError::Kind { .. } => "kind",
            EnvelopeError::Count(_) => "count",
            EnvelopeError::Repeated(_) => "repeated",
            EnvelopeError::Signature(_) => "signature",
            EnvelopeError::Flaw(_) => "flaw",
        }
        .to_owned()
    }
    fn class<D: Document>(text: &str) -> Option<String> {
        let opened = Envelope::from_json(text.as_bytes()).and_then(Envelope::open::<D>);
        opened.err().map(|e| envelope_class(&e))
    }
    fn batch_class(error: &BatchError) -> String {
        match error {
            BatchError::Envelope(error) => envelope_class(error),
            BatchError::Codec(_) => "document".into(),
            BatchError::Root => "root".into(),
            BatchError::Object { .. } => "object".into(),
        }
    }
    match kind {
        "member" => class::<Member>(text),
        "charter" => class::<Charter>(text),
        "query" => class::<Query>(text),
        "contribution" => class::<Contribution>(text),
        "refusal" => class::<Refusal>(text),
        "batch" => class::<Batch>(text),
        "batch of version 2" => SignedBatch::open(text.as_bytes()).err().map(|e| batch_class(&e)),
        "sealed batch, opened by member 2" => {
            match Envelope::from_json(text.as_bytes()).and_then(Envelope::open::<SealedBatch>) {
                Ok(signed) => match sealed::open(&signed, text.as_bytes(), &tools::secret(2)) {
                    Ok(Some(_)) => None,
                    Ok(None) => Some("not for this member".into()),
                    Err(error) => Some(batch_class(&error)),
                },
                Err(error) => Some(envelope_class(&error)),
            }
        }
        "proof of an object" => match ObjectProof::from_json(text.as_bytes()) {
            Ok(proof) => proof.verify().err().map(|e| batch_class(&e)),
            Err(_) => Some("proof".into()),
        },
        "enrolled" => class::<Enrolled>(text),
        "voucher" => class::<Voucher>(text),
        "token, opened by member 2" | "token, opened by member 3" => {
            let member = if kind.ends_with('2') { 2 } else { 3 };
            let sealed = hex::decode(text).unwrap();
            let opened = open_token(&tools::secret(member), &v4::charter().id(), &sealed);
            let Some((pseudonym, token)) = opened else { return Some("not for this member".into()) };
            let key = VouchingKey::of(&tools::secret(member)).unwrap();
            (!key.issued(&token, &v4::charter().id(), &pseudonym)).then(|| "issued by another".into())
        }
        "consent" => class::<Consent>(text),
        "roster" => class::<Roster>(text),
        "submission" => class::<Submission>(text),
        "receipt" => class::<Receipt>(text),
        "verifiers" => class::<Verifiers>(text),
        "included" => class::<Included>(text),
        "abort" => class::<Abort>(text),
        "release" => {
            let report = verify(text.as_bytes(), None);
            report.checks().iter().find(|c| !c.holds).map(|c| c.name.to_owned())
        }
        other => panic!("no kind {other}"),
    }
}

#[test]
fn the_generator_still_makes_every_vector() {
    same("v1", v1::vectors());
    same("v2", v2::vectors());
    same("v3", v3::vectors());
    same("v4", v4::vectors());
}

fn same(version: &str, made: BTreeMap<&'static str, Value>) {
    let folder = folder(version);
    if env::var_os("HEDGEROW_WRITE_VECTORS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, vector) in &made {
            let text = serde_json::to_string_pretty(vector).unwrap() + "\n";
            fs::write(folder.join(format!("{name}.json")), text).unwrap();
        }
    }
    let files = fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, made.len(), "files and vectors differ in number");
    for (name, vector) in made {
        let text = fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        assert_eq!(text, serde_json::to_string_pretty(&vector).unwrap() + "\n", "{name}");
    }
}
