//! The charter: a federation's members, quorum, privacy policy, purposes and refusal grounds
//! (docs/protocol.md §2).
//!
//! One version, signed by its own quorum, founds a federation. The format carries the hash of its parent, so
//! that amendments can be chained to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::envelope::{Document, Flaw, Sealed, Signed};
use crate::{
    id::{Id, NodeId},
    indicator::Tlp,
    limits,
    privacy::{Accounting, Caps, MicroEpsilon, OverBudget, Unit},
    pseudonym::Element,
    time::{Quarter, Timestamp},
};

/// What an organisation tells of its node so that it can be taken into a charter; signed by the node itself,
/// which proves that it holds the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The node's key.
    pub id: NodeId,
    /// The organisation's name, as the federation shows it.
    pub name: String,
    /// How its people are reached; may be empty.
    pub contact: String,
    /// Multiaddresses at which its node listens for other members.
    pub addresses: Vec<String>,
    /// The public key of its tokens for pseudonyms; in a charter only if that has pseudonyms, and then of every member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouching: Option<Element>,
}

impl Sealed for Member {}
impl Document for Member {
    const KIND: &'static str = "member";
    const MAX_BYTES: usize = 16 * 1024;

    fn check(&self) -> Result<(), Flaw> {
        if self.name.trim().is_empty() {
            return Err(Flaw::new("name", "an organisation has a name"));
        }
        for text in [&self.name, &self.contact] {
            short("member", text)?;
        }
        if self.addresses.len() > limits::ADDRESSES {
            return Err(Flaw::new("addresses", format!("at most {}", limits::ADDRESSES)));
        }
        self.addresses.iter().try_for_each(|a| short("addresses", a))
    }
}

/// A reason for which a member asks; each has a budget of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purpose {
    /// Its code, as a query names it.
    pub code: String,
    /// What it covers, for people.
    pub label: String,
    /// What it may spend at each node.
    #[serde(rename = "epsilon_micros")]
    pub epsilon: MicroEpsilon,
}

/// A ground on which a node may refuse a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ground {
    /// Its code, as a refusal names it.
    pub code: String,
    /// What it covers, for people.
    pub label: String,
}

/// How often the same question may get a new answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleasePeriod {
    /// Each calendar month.
    Month,
    /// Each calendar quarter.
    Quarter,
}

impl ReleasePeriod {
    /// The name of the period that holds `at`: `2026-11` or `2026-Q4`.
    pub fn of(self, at: Timestamp) -> String {
        let day = at.day();
        match self {
            Self::Month => {
                let (year, month, _) = day.parts();
                format!("{year:04}-{month:02}")
            }
            Self::Quarter => day.quarter().to_string(),
        }
    }
}

/// What the federation's privacy rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyPolicy {
    /// What each node may spend over all purposes: its whole guarantee to a person whose records it holds.
    #[serde(rename = "epsilon_total_micros")]
    pub epsilon_total: MicroEpsilon,
    /// Most that one query may cost.
    #[serde(rename = "epsilon_per_query_micros")]
    pub epsilon_per_query: MicroEpsilon,
    /// How often the same question may get a new answer.
    pub release_period: ReleasePeriod,
    /// Most cells that one query may have.
    pub cells: u32,
    /// Most cells that one person may count in; more are cut by a keyed sample.
    pub cells_per_person: u32,
    /// Most incidents of one person that count in one cell.
    pub incidents_per_cell: u32,
    /// The number of nodes g at which one person is assumed to be known; every release prints her guarantee.
    pub nodes_per_person: u32,
    /// Fewest contributions that make a release.
    pub contributions: u32,
    /// How the ledger counts.
    #[serde(default, skip_serializing_if = "Accounting::is_pure")]
    pub accounting: Accounting,
    /// Whose records a guarantee covers as one.
    #[serde(default, skip_serializing_if = "Unit::is_person")]
    pub unit: Unit,
    /// Most of the total that may be spent on the questions of one member; none for no such cap.
    #[serde(default, rename = "epsilon_per_asker_micros", skip_serializing_if = "Option::is_none")]
    pub epsilon_per_asker: Option<MicroEpsilon>,
    /// How rounds are held; none where members answer each for itself only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<RoundPolicy>,
}

/// How rounds are held, in which noise is drawn in shares (docs/protocol.md §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundPolicy {
    /// t: how many members may drop out of a round, or tell one another their shares of noise, before the noise
    /// of the others is less than asked for.
    pub tolerated: u32,
    /// Most that a round may cost a person if every aggregator colludes.
    #[serde(rename = "epsilon_aggregators_micros")]
    pub epsilon_aggregators: MicroEpsilon,
    /// Most that one member may count in one cell; what is above is cut off before noise is added.
    pub most_in_cell: u32,
}

/// That members may publish under pseudonyms, and how (docs/protocol.md §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PseudonymPolicy {
    /// k: how many members must vouch for a pseudonym before anybody takes in what it signed. Of n members c who collude have no
    /// more than c pseudonyms while k > c (n + 1) / (c + 1).
    pub vouchers: u32,
    /// Over how many seconds, from when all have enrolled, a member spreads the handing in of its tokens. Who was away at that
    /// moment and comes late can be guessed; a longer time hides it among the others.
    pub delay_seconds: u32,
}

impl PrivacyPolicy {
    /// The version in which a charter with this policy is written: the first that has all of it.
    pub fn version_needed(&self) -> u16 {
        let plain = self.accounting.is_pure() && self.unit.is_person() && self.epsilon_per_asker.is_none();
        match (plain, self.round) {
            (false, _) => 3,
            (true, Some(_)) => 2,
            (true, None) => 1,
        }
    }
}

/// The federation's agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charter {
    /// Format: 1, 2 where rounds are held, 3 where the ledger counts otherwise than in epsilon by person, 4 with pseudonyms.
    pub version: u16,
    /// The federation's name.
    pub name: String,
    /// When this version was drawn up.
    pub made_at: Timestamp,
    /// The charter that this one amends; none for the first.
    pub parent: Option<Id<Charter>>,
    /// The members, by rising key.
    pub members: Vec<Member>,
    /// How many members must sign.
    pub quorum: u32,
    /// Version of the vocabulary in which questions are asked.
    pub vocabulary: u16,
    /// What privacy rests on.
    pub privacy: PrivacyPolicy,
    /// What may be asked for.
    pub purposes: Vec<Purpose>,
    /// On what grounds a node may refuse, besides those of the protocol.
    pub refusal_grounds: Vec<Ground>,
    /// How many aggregators a round draws from its members.
    pub aggregators: u32,
    /// The most restricted TLP mark under which members may publish to one another.
    pub tlp: Tlp,
    /// How members publish without their names; none where they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudonyms: Option<PseudonymPolicy>,
}

impl Sealed for Charter {}
impl Document for Charter {
    const KIND: &'static str = "charter";
    const MAX_BYTES: usize = 512 * 1024;

    fn check(&self) -> Result<(), Flaw> {
        if self.version != self.version_needed() {
            return Err(Flaw::new(
                "version",
                "this program reads charters of version 1, 2 with rounds, 3 with zCDP, years or a cap by asker, 4 with \
                 pseudonyms",
            ));
        }
        if self.vocabulary != crate::vocabulary::VOCABULARY {
            return Err(Flaw::new("vocabulary", "this program knows another version of the vocabulary"));
        }
        short("name", &self.name)?;
        let count = self.members.len();
        if !(1..=limits::MEMBERS).contains(&count) {
            return Err(Flaw::new("members", format!("between 1 and {}", limits::MEMBERS)));
        }
        if !self.members.is_sorted_by(|a, b| a.id < b.id) {
            return Err(Flaw::new("members", "each once, by rising key"));
        }
        self.members.iter().try_for_each(Document::check)?;
        if self.quorum == 0 || self.quorum as usize > count {
            return Err(Flaw::new("quorum", format!("between 1 and the {count} members")));
        }
        if self.aggregators < 2 || self.aggregators > 3 {
            return Err(Flaw::new("aggregators", "2 or 3"));
        }
        if self.tlp > Tlp::Amber {
            return Err(Flaw::new("tlp", "AMBER at most: stricter marks need sealed delivery"));
        }
        self.check_pseudonyms()?;
        self.check_codes()?;
        self.check_privacy()
    }
}

impl Charter {
    /// The version in which this charter is written: the first that has all of it.
    pub fn version_needed(&self) -> u16 {
        if self.pseudonyms.is_some() { 4 } else { self.privacy.version_needed() }
    }

    /// The member with this key.
    pub fn member(&self, id: &NodeId) -> Option<&Member> {
        self.members.binary_search_by(|m| m.id.cmp(id)).ok().and_then(|at| self.members.get(at))
    }

    /// The purpose with this code.
    pub fn purpose(&self, code: &str) -> Option<&Purpose> {
        self.purposes.iter().find(|p| p.code == code)
    }

    /// The caps of each node's ledger.
    pub fn caps(&self) -> Caps {
        Caps {
            total: self.privacy.epsilon_total,
            by_purpose: self.purposes.iter().map(|p| (p.code.clone(), p.epsilon)).collect::<BTreeMap<_, _>>(),
            by_asker: self.privacy.epsilon_per_asker,
            accounting: self.privacy.accounting,
            unit: self.privacy.unit,
        }
    }

    /// Whether `epsilon` for `purpose` is within what one query may cost.
    pub fn allows(&self, purpose: &str, epsilon: MicroEpsilon) -> Result<(), OverBudget> {
        let purpose = self.purpose(purpose).ok_or_else(|| OverBudget::UnknownPurpose(purpose.to_owned()))?;
        // A question costs every node a count, its disk and its time, however little epsilon it asks for.
        let least = MicroEpsilon::from_micros(self.privacy.epsilon_total.micros() / 1000);
        if epsilon < least {
            return Err(OverBudget::TooLittle { asked: epsilon, least });
        }
        let most = self.privacy.epsilon_per_query.min(purpose.epsilon);
        if epsilon > most {
            return Err(OverBudget::Purpose { purpose: purpose.code.clone(), asked: epsilon, left: most });
        }
        Ok(())
    }

    fn check_pseudonyms(&self) -> Result<(), Flaw> {
        let Some(policy) = &self.pseudonyms else {
            let none = self.members.iter().all(|member| member.vouching.is_none());
            let why = "no member has a key for tokens where there are no pseudonyms";
            return if none { Ok(()) } else { Err(Flaw::new("members", why)) };
        };
        let count = self.members.len();
        // With the tokens of half of the members for one, and of the others for another, a member would have two.
        if count < 3 || policy.vouchers as usize * 2 <= count + 1 || policy.vouchers as usize > count {
            return Err(Flaw::new(
                "pseudonyms",
                "at least 3 members; vouchers of more than half of the members and of one, at most of all",
            ));
        }
        if policy.delay_seconds > limits::VOUCHING_DELAY_SECONDS {
            return Err(Flaw::new("pseudonyms", "delay_seconds is at most a week"));
        }
        let keys: std::collections::BTreeSet<_> = self.members.iter().filter_map(|m| m.vouching).collect();
        if keys.len() == count {
            Ok(())
        } else {
            Err(Flaw::new("members", "with pseudonyms every member has a key for tokens, each its own"))
        }
    }

    fn check_codes(&self) -> Result<(), Flaw> {
        let codes = |list: Vec<(&String, &String)>, field| {
            let mut seen = std::collections::BTreeSet::new();
            list.into_iter().try_for_each(|(code, label)| {
                short(field, label)?;
                if !is_code(code) {
                    return Err(Flaw::new(field, "a code is 1 to 40 of a-z, 0-9 and -"));
                }
                if seen.insert(code) { Ok(()) } else { Err(Flaw::new(field, "a code stands twice")) }
            })
        };
        if self.purposes.is_empty() || self.purposes.len() > 64 || self.refusal_grounds.len() > 64 {
            return Err(Flaw::new("purposes", "between 1 and 64 purposes, at most 64 refusal grounds"));
        }
        codes(self.purposes.iter().map(|p| (&p.code, &p.label)).collect(), "purposes")?;
        codes(self.refusal_grounds.iter().map(|g| (&g.code, &g.label)).collect(), "refusal_grounds")
    }

    fn check_privacy(&self) -> Result<(), Flaw> {
        let p = &self.privacy;
        let epsilons = [p.epsilon_total, p.epsilon_per_query];
        if epsilons
            .iter()
            .chain(&p.epsilon_per_asker)
            .chain(self.purposes.iter().map(|p| &p.epsilon))
            .any(|e| *e == MicroEpsilon::default() || *e > MicroEpsilon::MAX)
        {
            return Err(Flaw::new("privacy", "every epsilon is more than 0 and at most 1000"));
        }
        let within = |n: u32, most: usize| (1..=most).contains(&(n as usize));
        if !within(p.cells, limits::CELLS)
            || !within(p.cells_per_person, p.cells as usize)
            || !within(p.incidents_per_cell, 1000)
            || !within(p.nodes_per_person, self.members.len())
            || !within(p.contributions, self.members.len())
        {
            return Err(Flaw::new(
                "privacy",
                format!(
                    "cells 1 to {}, cells_per_person 1 to cells, incidents_per_cell 1 to 1000, \
                     nodes_per_person and contributions 1 to the number of members",
                    limits::CELLS
                ),
            ));
        }
        if p.accounting.delta_e12().is_some_and(|d| !(1..=1_000_000).contains(&d)) {
            return Err(Flaw::new("privacy", "delta_e12 is between 1 and 1000000: 1e-12 to 1e-6"));
        }
        let Some(round) = &p.round else { return Ok(()) };
        let enough = round.tolerated as usize * 2 < self.members.len() && self.members.len() >= 3;
        if !enough || round.tolerated == 0 || !within(round.most_in_cell, 1_000_000) {
            return Err(Flaw::new(
                "round",
                "at least 3 members; tolerated at least 1, the member who asks, and fewer than half; most_in_cell 1 to \
                 1,000,000",
            ));
        }
        if round.epsilon_aggregators < p.epsilon_per_query || round.epsilon_aggregators > MicroEpsilon::MAX {
            return Err(Flaw::new(
                "round",
                "epsilon_aggregators is at least epsilon_per_query, at most 1000",
            ));
        }
        Ok(())
    }
}

impl Signed<Charter> {
    /// How many of the charter's own members have signed it.
    pub fn member_signatures(&self) -> usize {
        self.signers().iter().filter(|s| self.document().member(s).is_some()).count()
    }

    /// Whether the quorum that the charter itself names has signed.
    pub fn in_force(&self) -> bool {
        self.member_signatures() >= self.document().quorum as usize
    }
}

/// The last complete quarters before `now`, as many as `n`: what a question covers when it names no period.
pub fn recent_quarters(now: Timestamp, n: i32) -> (Quarter, Quarter) {
    let last = now.day().quarter().plus(-1);
    (last.plus(1 - n.max(1)), last)
}

/// Whether `text` is a code: 1 to 40 of `a-z`, `0-9`, `-`.
pub(crate) fn is_code(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Holds a text of a signed document to [`limits::TEXT_BYTES`] and one line: what a member writes is shown on
/// other people's terminals, so control characters are refused.
pub(crate) fn short(field: &'static str, text: &str) -> Result<(), Flaw> {
    if text.len() > limits::TEXT_BYTES {
        return Err(Flaw::new(field, format!("at most {} bytes", limits::TEXT_BYTES)));
    }
    if text.chars().any(char::is_control) {
        return Err(Flaw::new(field, "one line, without control characters"));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;
    use crate::document::NodeSecret;

    /// The key of the nth sample member, from 1.
    pub(crate) fn secret(n: u8) -> NodeSecret {
        NodeSecret::from_seed(&[n; 32])
    }

    /// A charter of `n` sample members with a quorum of the majority, not signed.
    pub(crate) fn charter(n: u8) -> Charter {
        let mut members: Vec<Member> = (1..=n)
            .map(|i| Member {
                id: secret(i).node_id(),
                name: format!("Group {i}"),
                contact: String::new(),
                addresses: vec![],
                vouching: None,
            })
            .collect();
        members.sort_by_key(|m| m.id);
        Charter {
            version: 1,
            name: "Sample".into(),
            made_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            parent: None,
            members,
            quorum: u32::from(n / 2 + 1),
            vocabulary: crate::vocabulary::VOCABULARY,
            privacy: PrivacyPolicy {
                epsilon_total: "10".parse().unwrap(),
                epsilon_per_query: "2".parse().unwrap(),
                release_period: ReleasePeriod::Quarter,
                cells: 1024,
                cells_per_person: 2,
                incidents_per_cell: 3,
                nodes_per_person: 1,
                contributions: 2.min(u32::from(n)),
                accounting: Accounting::Pure,
                unit: Unit::Person,
                epsilon_per_asker: None,
                round: None,
            },
            purposes: vec![Purpose {
                code: "research".into(),
                label: "Research".into(),
                epsilon: "5".parse().unwrap(),
            }],
            refusal_grounds: vec![Ground { code: "political-offence".into(), label: "Political".into() }],
            aggregators: 2,
            tlp: Tlp::Amber,
            pseudonyms: None,
        }
    }

    /// [`charter`], signed by its quorum.
    pub(crate) fn signed_charter(n: u8) -> Signed<Charter> {
        signed(charter(n), n)
    }

    /// The same with rounds: of five, one may collude; of six, two may collude or one drop out and one collude.
    pub(crate) fn signed_charter_with_rounds(n: u8) -> Signed<Charter> {
        let mut charter = charter(n);
        charter.version = 2;
        charter.privacy.round = Some(RoundPolicy {
            tolerated: u32::from(n / 3),
            epsilon_aggregators: "20".parse().unwrap(),
            most_in_cell: 1000,
        });
        signed(charter, n)
    }

    fn signed(charter: Charter, n: u8) -> Signed<Charter> {
        let mut signed = Signed::new(charter, &secret(1)).unwrap();
        (2..=n / 2 + 1).for_each(|i| signed.cosign(&secret(i)));
        signed
    }
}

#[cfg(test)]
mod tests {
    use super::{samples::*, *};
    use crate::pseudonym::VouchingKey;

    #[test]
    fn a_charter_is_in_force_once_its_quorum_of_members_signed() {
        let mut signed = Signed::new(charter(5), &secret(1)).unwrap();
        signed.cosign(&secret(2));
        signed.cosign(&secret(99));
        assert!(!signed.in_force(), "a stranger's signature counted");
        signed.cosign(&secret(3));
        assert!(signed.in_force());
    }

    #[test]
    fn a_charter_that_contradicts_itself_is_refused() {
        type Change = fn(&mut Charter);
        let faults: [(&str, Change); 13] = [
            ("no members", |c| c.members.clear()),
            ("a member twice", |c| c.members[1] = c.members[0].clone()),
            ("no quorum", |c| c.quorum = 0),
            ("a quorum over the members", |c| c.quorum = 6),
            ("no purposes", |c| c.purposes.clear()),
            ("a purpose twice", |c| c.purposes.push(c.purposes[0].clone())),
            ("free epsilon", |c| c.privacy.epsilon_total = MicroEpsilon::default()),
            ("too many cells", |c| c.privacy.cells = 1 << 20),
            ("g over the members", |c| c.privacy.nodes_per_person = 6),
            ("another vocabulary", |c| c.vocabulary = 999),
            ("a terminal escape in a name", |c| c.members[0].name = "\u{1b}[2J".into()),
            ("RED without sealed delivery", |c| c.tlp = Tlp::Red),
            ("version 2 without rounds", |c| c.version = 2),
        ];
        for (name, change) in faults {
            let mut c = charter(5);
            change(&mut c);
            assert!(c.check().is_err(), "{name}");
        }
        assert_eq!(charter(5).check(), Ok(()));
    }

    #[test]
    fn a_charter_with_pseudonyms_has_a_key_for_tokens_of_every_member() {
        let with = |n: u8| {
            let mut c = charter(n);
            for member in &mut c.members {
                let secret = (1..=n).map(secret).find(|s| s.node_id() == member.id).unwrap();
                member.vouching = Some(VouchingKey::of(&secret).unwrap().public().unwrap());
            }
            c.pseudonyms = Some(PseudonymPolicy { vouchers: 4, delay_seconds: 60 });
            c.version = 4;
            c
        };
        assert_eq!(with(5).check(), Ok(()));
        type Change = fn(&mut Charter);
        let faults: [(&str, Change); 8] = [
            ("another version", |c| c.version = 3),
            ("keys and no pseudonyms", |c| (c.pseudonyms, c.version) = (None, 1)),
            ("a member without a key", |c| c.members[2].vouching = None),
            ("two with one key", |c| c.members[2].vouching = c.members[1].vouching),
            ("half of them and one", |c| c.pseudonyms.as_mut().unwrap().vouchers = 3),
            ("more vouchers than members", |c| c.pseudonyms.as_mut().unwrap().vouchers = 6),
            ("more than a week", |c| c.pseudonyms.as_mut().unwrap().delay_seconds = 604_801),
            ("two members", |c| c.members.truncate(2)),
        ];
        for (name, change) in faults {
            let mut c = with(5);
            change(&mut c);
            assert!(c.check().is_err(), "{name}");
        }
    }

    #[test]
    fn a_release_period_names_the_time_it_holds() {
        let at: Timestamp = "2026-11-30T23:59:59Z".parse().unwrap();
        assert_eq!(ReleasePeriod::Month.of(at), "2026-11");
        assert_eq!(ReleasePeriod::Quarter.of(at), "2026-Q4");
        let (from, to) = recent_quarters(at, 4);
        assert_eq!((from.to_string(), to.to_string()), ("2025-Q4".into(), "2026-Q3".into()));
    }
}
