//! Signed batches: one signature for many indicators (docs/protocol.md §6).

use serde::{Deserialize, Serialize};

use super::{
    lint::Linted,
    stix::{Instant, StixObject},
    tlp::Tlp,
};
use crate::{
    document::{Charter, Document, Flaw, Sealed},
    id::Id,
    limits,
    time::Timestamp,
};

/// Indicators and their context, published together by one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Format: 1.
    pub version: u16,
    /// The charter under which it is published.
    pub charter: Id<Charter>,
    /// When it was published.
    pub published_at: Timestamp,
    /// The label of every object in it.
    pub tlp: Tlp,
    /// The objects; no id stands twice.
    pub objects: Vec<StixObject>,
}

impl Sealed for Batch {}
impl Document for Batch {
    const KIND: &'static str = "batch";
    const MAX_BYTES: usize = limits::BATCH_BYTES;

    fn check(&self) -> Result<(), Flaw> {
        if self.version != 1 {
            return Err(Flaw::new("version", "this program reads batches of version 1"));
        }
        if self.objects.is_empty() || self.objects.len() > limits::BATCH_OBJECTS {
            return Err(Flaw::new("objects", format!("between 1 and {}", limits::BATCH_OBJECTS)));
        }
        if !self.tlp.may_go_to_members() {
            return Err(Flaw::new("tlp", "AMBER at most: stricter marks need sealed delivery"));
        }
        let latest = Instant::of(self.published_at.plus_seconds(limits::CLOCK_SKEW_SECONDS));
        let mut ids = std::collections::BTreeSet::new();
        for object in &self.objects {
            if !ids.insert(object.id()) {
                return Err(Flaw::new("objects", "an id stands twice"));
            }
            if object.tlp() != Some(self.tlp) {
                return Err(Flaw::new("objects", "an object has another label than the batch"));
            }
            if object.modified() > latest {
                return Err(Flaw::new("objects", "an object was modified after the batch was published"));
            }
        }
        Ok(())
    }
}

/// Puts linted objects into as few batches as their bounds allow, in order.
pub fn split(linted: Linted, charter: Id<Charter>, published_at: Timestamp) -> Vec<Batch> {
    // What the frame of a batch takes, generously.
    const FRAME_BYTES: usize = 1024;
    let tlp = linted.tlp();
    let mut batches: Vec<Batch> = Vec::new();
    let mut bytes = usize::MAX;
    for object in linted.into_objects() {
        let size = serde_json::to_vec(&object).map_or(0, |v| v.len()) + 1;
        match batches.last_mut() {
            Some(last)
                if bytes.saturating_add(size) <= limits::BATCH_BYTES
                    && last.objects.len() < limits::BATCH_OBJECTS =>
            {
                bytes += size;
                last.objects.push(object);
            }
            _ => {
                bytes = FRAME_BYTES + size;
                batches.push(Batch { version: 1, charter, published_at, tlp, objects: vec![object] });
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{Envelope, EnvelopeError, Signed, charter::samples::*},
        indicator::{Observable, lint::lint},
    };

    fn now() -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000).unwrap()
    }

    fn batches(n: usize) -> Vec<Batch> {
        let drafts = (0..n)
            .map(|i| {
                StixObject::indicator(
                    &Observable::guess(&format!("h{i}.evil.example")).unwrap(),
                    None,
                    None,
                    now(),
                )
            })
            .collect();
        split(lint(drafts, Tlp::Green, false).0, signed_charter(5).id(), now())
    }

    #[test]
    fn many_objects_make_few_batches_each_within_its_bounds() {
        let made = batches(1201);
        assert_eq!(made.iter().map(|b| b.objects.len()).sum::<usize>(), 1201);
        assert!(made.len() <= 4, "{}", made.len());
        for batch in made {
            let signed = Signed::new(batch, &secret(1)).unwrap();
            let json = signed.envelope().to_json().unwrap();
            let opened: Signed<Batch> = Envelope::from_json(&json).unwrap().open().unwrap();
            assert_eq!(opened.document(), signed.document());
        }
    }

    #[test]
    fn a_batch_that_contradicts_itself_is_refused() {
        type Change = fn(&mut Batch);
        let faults: [(&str, Change); 6] = [
            ("empty", |b| b.objects.clear()),
            ("an id twice", |b| b.objects.push(b.objects[0].clone())),
            ("another label within", |b| b.objects[0] = b.objects[0].clone().marked(Tlp::Amber)),
            ("RED", |b| b.tlp = Tlp::Red),
            ("from the future", |b| b.published_at = b.published_at.plus_seconds(-86_400)),
            ("another version", |b| b.version = 2),
        ];
        for (name, change) in faults {
            let mut batch = batches(3).remove(0);
            change(&mut batch);
            assert!(matches!(Signed::new(batch, &secret(1)), Err(EnvelopeError::Flaw(_))), "{name}");
        }
    }
}
