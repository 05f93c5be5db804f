//! The way of an answer from facets to noised cells, many times over, through what a node itself calls.

use hedgerow_protocol::{
    document::{
        Charter, Member, NodeSecret, Signed,
        charter::{PrivacyPolicy, Purpose, ReleasePeriod, RoundPolicy},
    },
    facet::{Facet, FacetTable, HelpSet, PersonKey},
    id::{Digest, Id},
    indicator::Tlp,
    privacy::{Accountant, Accounting, Charge, MicroEpsilon, Permit, Unit},
    record::Numbers,
    round::{Parameters, Roster, Round, Seat, Terms, draw},
    statistic::{Axis, Bounded, Exact, Measure, Mode, Period, Plan, Query, SampleKey},
    time::Timestamp,
    vocabulary::{Dimension, Field, VOCABULARY},
};
use rand::{SeedableRng as _, rngs::StdRng};

/// Most that one person changes the statistic by: a sum of numbers up to this, of one incident.
pub(crate) const CHANGE: i64 = 8;
/// Members of the charter; one may collude or drop out of a round.
const MEMBERS: u8 = 5;

/// How the noise of one figure is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Noise {
    /// By one node, all of it.
    Whole,
    /// In shares, by a round of so many seats; so many of them are summed.
    Shares { seats: usize, summed: u64 },
}

impl Noise {
    pub(crate) const fn summed(self) -> u64 {
        match self {
            Self::Whole => 1,
            Self::Shares { summed, .. } => summed,
        }
    }

    const fn mode(self) -> Mode {
        match self {
            Self::Whole => Mode::Local,
            Self::Shares { .. } => Mode::Round,
        }
    }
}

/// A charter, a question under it of that epsilon, and people who each fill one cell.
pub(crate) struct Path {
    charter: Signed<Charter>,
    epsilon: MicroEpsilon,
}

fn secret(n: u8) -> NodeSecret {
    NodeSecret::from_seed(&[n; 32])
}

fn at() -> Timestamp {
    "2026-02-01T12:00:00Z".parse().unwrap()
}

impl Path {
    pub(crate) fn new(epsilon: &str, accounting: Accounting) -> Self {
        let large: MicroEpsilon = "100".parse().unwrap();
        let mut members: Vec<Member> = (1..=MEMBERS)
            .map(|n| Member {
                id: secret(n).node_id(),
                name: format!("Group {n}"),
                contact: String::new(),
                addresses: vec![],
                vouching: None,
            })
            .collect();
        members.sort_by_key(|m| m.id);
        let mut charter = Charter {
            version: 1,
            name: "Audit".into(),
            made_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            parent: None,
            members,
            quorum: 1,
            vocabulary: VOCABULARY,
            privacy: PrivacyPolicy {
                epsilon_total: large,
                epsilon_per_query: "2".parse().unwrap(),
                release_period: ReleasePeriod::Quarter,
                cells: 4096,
                cells_per_person: 1,
                incidents_per_cell: 1,
                nodes_per_person: 1,
                contributions: 2,
                accounting,
                unit: Unit::Person,
                epsilon_per_asker: None,
                round: Some(RoundPolicy { tolerated: 1, epsilon_aggregators: large, most_in_cell: 1 }),
            },
            purposes: vec![Purpose { code: "research".into(), label: "Research".into(), epsilon: large }],
            refusal_grounds: vec![],
            aggregators: 2,
            tlp: Tlp::Amber,
            pseudonyms: None,
        };
        charter.version = charter.privacy.version_needed();
        Self { charter: Signed::new(charter, &secret(1)).unwrap(), epsilon: epsilon.parse().unwrap() }
    }

    /// A sum by region and quarter: a thousand cells.
    fn plan(&self, noise: Noise) -> Plan {
        let mut query = Query {
            version: 1,
            charter: self.charter.id(),
            mode: noise.mode(),
            measure: Measure::Sum(Bounded {
                field: Field::DaysToAnswer,
                at_most: u32::try_from(CHANGE).unwrap(),
            }),
            indicators: vec![],
            conditions: vec![],
            period: Some(Period { from: "2025-Q1".parse().unwrap(), to: "2025-Q4".parse().unwrap() }),
            group_by: vec![Axis::Coded(Dimension::Region), Axis::Quarter],
            cells_per_person: None,
            purpose: "research".into(),
            need: "an audit".into(),
            epsilon: self.epsilon,
            asked_at: at(),
            expires_at: at().plus_seconds(600),
        };
        query.version = query.version_needed();
        Plan::new(&query, &self.charter).unwrap()
    }

    fn round(&self, plan: &Plan, seats: usize) -> Round {
        let terms = Terms::new(plan.clone(), &self.charter).unwrap();
        let nonce = |member: &&Member| Digest::of(member.id.as_bytes());
        let members: Vec<&Member> = self.charter.document().members.iter().take(seats).collect();
        let lead = (1..=MEMBERS).map(secret).find(|s| s.node_id() == members[0].id).unwrap();
        let roster = Roster {
            version: 1,
            charter: self.charter.id(),
            query: Id::of(b"a query"),
            plan: plan.id(),
            seats: members.iter().map(|m| Seat { member: m.id, draw: draw(&nonce(m)) }).collect(),
            parameters: Parameters::new(&terms, members.len(), None).unwrap(),
            made_at: at(),
        };
        let roster = Signed::new(roster, &lead).unwrap();
        Round::new(roster, members.iter().map(nonce).collect(), terms, lead.node_id()).unwrap()
    }

    /// The epsilon that is claimed for the figure, under `stated`.
    pub(crate) fn claims(&self, noise: Noise, stated: Accounting) -> f64 {
        let plan = self.plan(noise);
        let mechanism = match noise {
            Noise::Whole => plan.mechanism().unwrap(),
            Noise::Shares { seats, .. } => self.round(&plan, seats).parameters().mechanism,
        };
        let gaussian = mechanism.sigma().is_some();
        assert_eq!(gaussian, stated.delta_e12().is_some(), "{mechanism:?} is not the law under test");
        assert_eq!(plan.sensitivity().l1(), u64::try_from(CHANGE).unwrap());
        let loss = hedgerow_protocol::privacy::Loss::new(plan.sensitivity(), stated);
        loss.epsilon(&mechanism, noise.summed() as f64).unwrap().micros() as f64 / 1e6
    }

    fn permit(&self, plan: &Plan, round: Option<Id<Roster>>) -> Permit {
        let charge = Charge {
            plan: plan.id(),
            round,
            purpose: "research".into(),
            epsilon: plan.epsilon(),
            years: plan.years(),
            asker: secret(1).node_id(),
            at: at(),
        };
        let mut ledger = Accountant::replay(self.charter.document().caps(), [], |_| true);
        ledger.authorise(&charge, |_| Ok::<_, ()>(())).unwrap()
    }

    /// `trials` noised cells of one node, with one person in each or with nobody.
    pub(crate) fn outputs(&self, noise: Noise, person: bool, trials: usize, seed: u64) -> Vec<i64> {
        let mut rng = StdRng::seed_from_u64(seed);
        let plan = self.plan(noise);
        let table: FacetTable = if person { people() } else { Vec::new() }.into_iter().collect();
        let key = SampleKey::new([0; 32]);
        let count = || Exact::count(&plan, &table, &key).unwrap();
        let vectors = trials.div_ceil(plan.cells());
        let mut outputs: Vec<i64> = match noise {
            Noise::Whole => (0..vectors)
                .flat_map(|_| {
                    let noised = count().noise(self.permit(&plan, None), &mut rng).unwrap();
                    noised.into_contribution(at()).values
                })
                .collect(),
            Noise::Shares { seats, .. } => {
                let round = self.round(&plan, seats);
                (0..vectors)
                    .flat_map(|_| {
                        let permit = self.permit(&plan, Some(round.id()));
                        let share = count().noise_share(permit, &round, &mut rng).unwrap();
                        // It has no accessor; what a node writes to its vault says what it is.
                        let kept: serde_json::Value =
                            serde_json::from_slice(&share.to_vault().unwrap()).unwrap();
                        kept["values"]
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(|v| v.as_i64().unwrap())
                            .collect::<Vec<_>>()
                    })
                    .collect()
            }
        };
        outputs.truncate(trials);
        outputs
    }
}

/// One person for each region and quarter, with more than may count.
fn people() -> Vec<Facet> {
    let first = |d: Dimension| d.at(0).unwrap();
    let regions = Dimension::Region.codes().iter().map(|c| Dimension::Region.code(c.code).unwrap());
    let days = ["2025-02-01", "2025-05-01", "2025-08-01", "2025-11-01"];
    let cells = regions.flat_map(|region| days.map(|day| (region, day)));
    cells
        .zip(0u64..)
        .map(|((region, day), person)| Facet {
            person: PersonKey::new(person),
            consent: true,
            day: day.parse().unwrap(),
            tactic: first(Dimension::Tactic),
            role: first(Dimension::Role),
            origin: first(Dimension::Origin),
            confidence: first(Dimension::Confidence),
            basis: first(Dimension::Basis),
            platform: first(Dimension::Platform),
            harm: first(Dimension::Harm),
            region,
            phase: first(Dimension::Phase),
            help: HelpSet::default(),
            numbers: Numbers { days_to_answer: Some(100), ..Numbers::default() },
        })
        .collect()
}
