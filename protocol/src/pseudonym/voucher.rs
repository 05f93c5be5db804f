//! Vouchers, and which pseudonyms have enough of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    document::{Charter, Document, Envelope, Flaw, Sealed, Signed},
    id::{Id, NodeId},
    limits,
    time::Timestamp,
};

/// That its signer issued a token for a pseudonym, to one member, it does not know to which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voucher {
    /// Format: 1.
    pub version: u16,
    /// The charter.
    pub charter: Id<Charter>,
    /// The pseudonym's key.
    pub pseudonym: NodeId,
    /// When it was signed.
    pub made_at: Timestamp,
}

impl Sealed for Voucher {}
impl Document for Voucher {
    const KIND: &'static str = "voucher";
    const MAX_BYTES: usize = 512;

    fn check(&self) -> Result<(), Flaw> {
        if self.version == 1 {
            Ok(())
        } else {
            Err(Flaw::new("version", "this program reads vouchers of version 1"))
        }
    }
}

/// That its signer has a token of every member. Nobody hands in a token before all have said so: one who was refused a token, or
/// got it late, would be known by its pseudonym's coming later than the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// Format: 1.
    pub version: u16,
    /// The charter.
    pub charter: Id<Charter>,
    /// When it was signed.
    pub made_at: Timestamp,
}

impl Sealed for Enrolled {}
impl Document for Enrolled {
    const KIND: &'static str = "enrolled";
    const MAX_BYTES: usize = 512;

    fn check(&self) -> Result<(), Flaw> {
        if self.version == 1 {
            Ok(())
        } else {
            Err(Flaw::new("version", "this program reads enrolments of version 1"))
        }
    }
}

/// What these vouchers show of a pseudonym: each is verified, and counts once for each member of the charter.
pub fn shown(vouchers: &[Envelope], pseudonym: &NodeId, charter: &Signed<Charter>) -> Known {
    let mut known = Known::default();
    for envelope in vouchers.iter().take(limits::MEMBERS) {
        let Ok(signed) = envelope.clone().open::<Voucher>() else { continue };
        let Ok(member) = signed.sole_signer() else { continue };
        let Voucher { charter: under, pseudonym: whose, .. } = signed.document();
        if *under == charter.id() && whose == pseudonym && charter.document().member(&member).is_some() {
            known.add(*pseudonym, member);
        }
    }
    known
}

/// Who vouched for whom. However many pseudonyms a member makes up, each needs the others' vouchers.
#[derive(Debug, Clone, Default)]
pub struct Known {
    by_pseudonym: BTreeMap<NodeId, BTreeSet<NodeId>>,
    enrolled: BTreeSet<NodeId>,
}

impl Known {
    /// Whether `member` has vouched for it.
    pub fn vouched(&self, pseudonym: &NodeId, member: &NodeId) -> bool {
        self.by_pseudonym.get(pseudonym).is_some_and(|members| members.contains(member))
    }

    /// How many members vouched for it.
    pub fn vouchers(&self, pseudonym: &NodeId) -> usize {
        self.by_pseudonym.get(pseudonym).map_or(0, BTreeSet::len)
    }

    /// Whether it is a member's, as the charter has it.
    pub fn admitted(&self, pseudonym: &NodeId, charter: &Charter) -> bool {
        charter.pseudonyms.is_some_and(|policy| self.vouchers(pseudonym) >= policy.vouchers as usize)
    }

    /// Notes that a member has a token of every other.
    pub fn enrol(&mut self, member: NodeId) {
        self.enrolled.insert(member);
    }

    /// Whether `member` has said so.
    pub fn enrolled(&self, member: &NodeId) -> bool {
        self.enrolled.contains(member)
    }

    /// Notes a voucher.
    pub fn add(&mut self, pseudonym: NodeId, member: NodeId) {
        self.by_pseudonym.entry(pseudonym).or_default().insert(member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{NodeSecret, PseudonymPolicy, charter::samples::*};

    #[test]
    fn only_vouchers_of_members_for_this_pseudonym_under_this_charter_count() {
        let charter = signed_charter(5);
        let pseudonym = secret(50).node_id();
        let by = |secret: &NodeSecret, charter, pseudonym| {
            let made_at = charter_time();
            let voucher = Voucher { version: 1, charter, pseudonym, made_at };
            Signed::new(voucher, secret).unwrap().envelope().clone()
        };
        let id = charter.id();
        let count = |list: &[Envelope]| shown(list, &pseudonym, &charter).vouchers(&pseudonym);
        let good = by(&secret(1), id, pseudonym);
        assert_eq!(count(&[good.clone(), by(&secret(2), id, pseudonym)]), 2);
        assert_eq!(count(&[good.clone(), good.clone()]), 1, "one member twice");
        let others = [
            by(&secret(60), id, pseudonym),
            by(&secret(2), signed_charter(6).id(), pseudonym),
            by(&secret(3), id, secret(51).node_id()),
            charter.envelope().clone(),
        ];
        assert_eq!(count(&others), 0);
    }

    fn charter_time() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    #[test]
    fn a_pseudonym_counts_with_enough_vouchers_of_different_members() {
        let mut charter = charter(5);
        charter.pseudonyms = Some(PseudonymPolicy { vouchers: 3, delay_seconds: 0 });
        let (pseudonym, member) = (secret(50).node_id(), |n| secret(n).node_id());
        let mut known = Known::default();
        for _ in 0..3 {
            known.add(pseudonym, member(1));
        }
        assert_eq!(known.vouchers(&pseudonym), 1, "one member counted thrice");
        known.add(pseudonym, member(2));
        assert!(!known.admitted(&pseudonym, &charter));
        known.add(pseudonym, member(3));
        assert!(known.admitted(&pseudonym, &charter));
        charter.pseudonyms = None;
        assert!(!known.admitted(&pseudonym, &charter), "the charter has none");
    }
}
