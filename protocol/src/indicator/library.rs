//! What a node does with an object of a verified batch: a pure rule over what it holds (docs/indicators.md).

use serde::{Deserialize, Serialize};

use super::stix::{Instant, StixObject};
use crate::{
    id::{Digest, NodeId},
    limits,
    time::Timestamp,
};

/// What is known of the version held under an id: enough to decide, without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Who first signed it, and so owns it.
    pub owner: NodeId,
    /// When it was made.
    pub modified: Instant,
    /// Whether it takes the object back.
    pub revoked: bool,
    /// [`StixObject::digest`].
    pub digest: Digest,
}

impl Held {
    /// What is known of `object`, signed by `owner`.
    pub fn of(object: &StixObject, owner: NodeId) -> Self {
        Self { owner, modified: object.modified(), revoked: object.revoked(), digest: object.digest() }
    }
}

/// What to do with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is held under its id: keep it.
    Store,
    /// A later version of what is held: keep it instead.
    Update,
    /// This version or a later one is held.
    Duplicate,
    /// It must not be taken.
    Reject(Rejected),
}

/// Why an object of a verified batch is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Rejected {
    /// The id belongs to another member.
    #[error("its id belongs to member {owner}, who signed it first")]
    ForeignId {
        /// Who owns the id.
        owner: NodeId,
    },
    /// One version, two contents: its signer told two stories.
    #[error("its signer published two contents as one version: {held} and {given}")]
    Equivocation {
        /// SHA-256 of the content held.
        held: Digest,
        /// SHA-256 of the content given.
        given: Digest,
    },
    /// A revocation is final.
    #[error("it was revoked, and a revocation is final")]
    Revoked,
    /// A version from the future would stay the latest for ever.
    #[error("it is dated more than {} minutes ahead", limits::CLOCK_SKEW_SECONDS / 60)]
    Future,
}

/// Decides on one object signed by `signer`, whose digest is `digest`, at `now`.
pub fn decide(
    held: Option<&Held>,
    object: &StixObject,
    digest: Digest,
    signer: NodeId,
    now: Timestamp,
) -> Decision {
    if object.modified() > Instant::of(now.plus_seconds(limits::CLOCK_SKEW_SECONDS)) {
        return Decision::Reject(Rejected::Future);
    }
    let Some(held) = held else { return Decision::Store };
    // Its id says what an observable is, so it is nobody's, and whoever says it again adds nothing.
    if object.is_observable() {
        return Decision::Duplicate;
    }
    if held.owner != signer {
        return Decision::Reject(Rejected::ForeignId { owner: held.owner });
    }
    if held.revoked {
        return match object.revoked() {
            // Of two the first that was made stays, not the first that came: members would differ for ever.
            true if (object.modified(), digest) < (held.modified, held.digest) => Decision::Update,
            true => Decision::Duplicate,
            false if object.modified() <= held.modified => Decision::Duplicate,
            false => Decision::Reject(Rejected::Revoked),
        };
    }
    // Revoked beats any version, whenever it was made: else the order of arrival would decide.
    if object.revoked() || object.modified() > held.modified {
        return Decision::Update;
    }
    if object.modified() == held.modified && digest != held.digest {
        return Decision::Reject(Rejected::Equivocation { held: held.digest, given: digest });
    }
    Decision::Duplicate
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{document::charter::samples::secret, indicator::Observable};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds).unwrap()
    }

    fn version(seconds: i64, revoked: bool) -> StixObject {
        let first = StixObject::indicator(&Observable::guess("evil.example").unwrap(), None, None, at(0));
        let mut value = first.to_value();
        value["modified"] = Instant::of(at(seconds)).to_string().into();
        if revoked {
            value["revoked"] = true.into();
        }
        StixObject::parse(value).unwrap()
    }

    fn on(held: &StixObject, object: &StixObject, signer: u8) -> Decision {
        let held = Held::of(held, secret(1).node_id());
        decide(Some(&held), object, object.digest(), secret(signer).node_id(), at(100))
    }

    #[test]
    fn an_id_belongs_to_whoever_signed_it_first() {
        let owner = secret(1).node_id();
        assert_eq!(
            on(&version(0, false), &version(9, true), 2),
            Decision::Reject(Rejected::ForeignId { owner })
        );
    }

    #[test]
    fn the_latest_version_wins_and_a_revocation_is_final() {
        assert_eq!(on(&version(5, false), &version(9, false), 1), Decision::Update);
        assert_eq!(on(&version(9, false), &version(5, false), 1), Decision::Duplicate);
        assert_eq!(on(&version(9, false), &version(5, true), 1), Decision::Update);
        assert_eq!(on(&version(5, true), &version(9, false), 1), Decision::Reject(Rejected::Revoked));
    }

    #[test]
    fn two_contents_of_one_version_are_told() {
        let mut other = version(5, false).to_value();
        other["name"] = "another".into();
        let other = StixObject::parse(other).unwrap();
        assert!(matches!(on(&version(5, false), &other, 1), Decision::Reject(Rejected::Equivocation { .. })));
    }

    #[test]
    fn a_version_from_the_future_is_refused() {
        assert_eq!(
            decide(None, &version(9999, false), Digest::of(b""), secret(1).node_id(), at(0)),
            Decision::Reject(Rejected::Future)
        );
    }

    #[test]
    fn an_observable_is_nobodys() {
        let domain = StixObject::observable(&Observable::guess("evil.example").unwrap()).unwrap();
        assert_eq!(on(&domain, &domain, 2), Decision::Duplicate);
        assert_eq!(on(&domain, &domain, 1), Decision::Duplicate);
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_decide_what_is_held(
            versions in prop::collection::vec((0i64..6, any::<bool>()), 1..8),
            seed in any::<u64>(),
        ) {
            let settle = |order: &[(i64, bool)]| {
                let mut held: Option<StixObject> = None;
                for (seconds, revoked) in order {
                    let object = version(*seconds, *revoked);
                    let owner = secret(1).node_id();
                    let now = held.as_ref().map(|object| Held::of(object, owner));
                    let decision = decide(now.as_ref(), &object, object.digest(), owner, at(100));
                    if matches!(decision, Decision::Store | Decision::Update) {
                        held = Some(object);
                    }
                }
                held
            };
            let mut other = versions.clone();
            let shift = (seed % versions.len() as u64) as usize;
            other.rotate_left(shift);
            prop_assert_eq!(settle(&versions), settle(&other));
        }
    }
}
