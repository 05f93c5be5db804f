//! From single nodes to a federation: member cards, a charter, its signatures, joining (docs/protocol.md §2).

use hedgerow_protocol::{
    document::{
        Charter, Document, Envelope, Member, PseudonymPolicy, Signed,
        charter::{Ground, PrivacyPolicy, Purpose, ReleasePeriod, RoundPolicy},
    },
    indicator::Tlp,
    privacy::{Accounting, MicroEpsilon, Unit},
    time::Timestamp,
    vocabulary::VOCABULARY,
};

use crate::{error::NodeError, node::Node};

/// Reads a signed document from the JSON of its envelope.
pub fn read<D: Document>(json: &[u8]) -> Result<Signed<D>, NodeError> {
    Envelope::from_json(json).and_then(Envelope::open).map_err(NodeError::invalid)
}

/// The JSON of a signed document, one line.
pub fn write<D: Document>(signed: &Signed<D>) -> Result<Vec<u8>, NodeError> {
    let mut json = signed.envelope().to_json().map_err(NodeError::input)?;
    json.push(b'\n');
    Ok(json)
}

/// What a new charter may be told; the rest has the defaults that docs/governance.md explains.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The federation's name.
    pub name: String,
    /// Members that must sign; a majority if not said.
    pub quorum: Option<u32>,
    /// What each node may spend over all purposes.
    pub epsilon_total: MicroEpsilon,
    /// Most that one query may cost.
    pub epsilon_per_query: MicroEpsilon,
    /// At how many nodes one person is assumed to be known.
    pub nodes_per_person: u32,
    /// Most cells one person counts in.
    pub cells_per_person: u32,
    /// Most incidents of one person in one cell.
    pub incidents_per_cell: u32,
    /// Fewest contributions that make a release; a majority if not said.
    pub contributions: Option<u32>,
    /// Whether rounds are held, where there are three members or more.
    pub rounds: bool,
    /// How many members may drop out of a round or collude; a fifth, and one at least, if not said.
    pub tolerated: Option<u32>,
    /// Most that a round may cost a person if every aggregator colludes; three times what a query may cost if not
    /// said.
    pub epsilon_aggregators: Option<MicroEpsilon>,
    /// Most of the total that the questions of one member may cost; half of it if not said.
    pub epsilon_per_asker: Option<MicroEpsilon>,
    /// How the ledgers count.
    pub accounting: Accounting,
    /// Whether each calendar year of incidents has a budget of its own.
    pub unit: Unit,
    /// How often a question may get a new answer.
    pub release_period: ReleasePeriod,
    /// Most restricted label for publishing to one another.
    pub tlp: Tlp,
    /// How members publish without their names, if they may.
    pub pseudonyms: Option<Pseudonymous>,
}

/// What is said of pseudonyms.
#[derive(Debug, Clone, Copy)]
pub struct Pseudonymous {
    /// How many members must vouch; two thirds and one if not said.
    pub vouchers: Option<u32>,
    /// Over how many seconds tokens are handed in.
    pub delay_seconds: u32,
}

impl Terms {
    /// The defaults, for a federation of that name.
    pub fn new(name: String) -> Self {
        Self {
            name,
            quorum: None,
            epsilon_total: MicroEpsilon::from_micros(8_000_000),
            epsilon_per_query: MicroEpsilon::from_micros(2_000_000),
            nodes_per_person: 2,
            cells_per_person: 2,
            incidents_per_cell: 2,
            contributions: None,
            rounds: true,
            tolerated: None,
            epsilon_aggregators: None,
            epsilon_per_asker: None,
            accounting: Accounting::Pure,
            unit: Unit::Person,
            release_period: ReleasePeriod::Quarter,
            tlp: Tlp::Amber,
            pseudonyms: None,
        }
    }
}

/// Most that one member may count in one cell of a round: with the noise of usual questions, 15 bits a value.
const MOST_IN_CELL: u32 = 30_000;

/// Draws up a charter of `members`, each from its signed card, and signs it with this node's key.
pub fn draw_up(
    node: &Node,
    cards: Vec<Signed<Member>>,
    terms: Terms,
    now: Timestamp,
) -> Result<Signed<Charter>, NodeError> {
    let mut members = Vec::with_capacity(cards.len() + 1);
    for card in cards.into_iter().chain([node.member().clone()]) {
        let signer = card.sole_signer().map_err(NodeError::invalid)?;
        if signer != card.document().id {
            return Err(NodeError::invalid(format!(
                "the card of {:?} was not signed by its own key",
                card.document().name
            )));
        }
        members.push(card.document().clone());
    }
    members.sort_by_key(|m| m.id);
    members.dedup_by_key(|m| m.id);
    for member in &mut members {
        match (&member.vouching, &terms.pseudonyms) {
            (None, Some(_)) => {
                return Err(NodeError::input(format!(
                    "the card of {:?} is from before there were pseudonyms; `hedgerow charter card` writes its node's anew",
                    member.name
                )));
            }
            (_, Some(_)) => {}
            // Without pseudonyms a charter stays one that older programs read.
            (_, None) => member.vouching = None,
        }
    }
    let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let majority = count / 2 + 1;
    let round = (terms.rounds && count >= 3).then(|| RoundPolicy {
        tolerated: terms.tolerated.unwrap_or((count / 5).max(1)),
        epsilon_aggregators: terms.epsilon_aggregators.unwrap_or(terms.epsilon_per_query.times(3)),
        most_in_cell: MOST_IN_CELL,
    });
    let half = MicroEpsilon::from_micros((terms.epsilon_total.micros() / 2).max(1));
    let mut charter = Charter {
        version: 1,
        name: terms.name,
        made_at: now,
        parent: None,
        quorum: terms.quorum.unwrap_or(majority),
        vocabulary: VOCABULARY,
        privacy: PrivacyPolicy {
            epsilon_total: terms.epsilon_total,
            epsilon_per_query: terms.epsilon_per_query,
            release_period: terms.release_period,
            cells: 2048,
            cells_per_person: terms.cells_per_person,
            incidents_per_cell: terms.incidents_per_cell,
            nodes_per_person: terms.nodes_per_person.min(count),
            contributions: terms.contributions.unwrap_or(majority),
            accounting: terms.accounting,
            unit: terms.unit,
            // One member's questions must not spend what is there for all.
            epsilon_per_asker: Some(terms.epsilon_per_asker.unwrap_or(half)),
            round,
        },
        purposes: purposes(terms.epsilon_total),
        refusal_grounds: grounds(),
        aggregators: 2,
        tlp: terms.tlp,
        pseudonyms: terms.pseudonyms.map(|terms| PseudonymPolicy {
            // Two who collude have no third.
            vouchers: terms.vouchers.unwrap_or((2 * (count + 1) / 3 + 1).min(count)),
            delay_seconds: terms.delay_seconds,
        }),
        members,
    };
    charter.version = charter.version_needed();
    Signed::new(charter, node.secret()).map_err(NodeError::input)
}

/// Adds this node's signature, and those of other copies of the same charter.
pub fn sign(
    node: &Node,
    mut charter: Signed<Charter>,
    others: &[Signed<Charter>],
) -> Result<Signed<Charter>, NodeError> {
    for other in others {
        if !charter.merge(other) {
            return Err(NodeError::invalid("these are copies of two different charters; sign one of them"));
        }
    }
    if charter.document().member(&node.id()).is_none() {
        return Err(NodeError::refused("this node is not among the charter's members"));
    }
    is_as_we_are(node, charter.document())?;
    charter.cosign(node.secret());
    Ok(charter)
}

/// Whether a charter has this node's own key for tokens, and not one that somebody put there.
fn is_as_we_are(node: &Node, charter: &Charter) -> Result<(), NodeError> {
    let named = charter.member(&node.id()).and_then(|member| member.vouching);
    if named.is_none_or(|key| node.member().document().vouching == Some(key)) {
        Ok(())
    } else {
        Err(NodeError::refused("the charter names another key for this node's tokens than its own"))
    }
}

/// Joins a charter in force that names this node.
pub fn join(node: &Node, charter: &Signed<Charter>) -> Result<(), NodeError> {
    let document = charter.document();
    if document.member(&node.id()).is_none() {
        return Err(NodeError::refused("this node is not among the charter's members"));
    }
    is_as_we_are(node, document)?;
    if !charter.in_force() {
        return Err(NodeError::refused(format!(
            "{} of the charter's members have signed it where {} must; `hedgerow charter sign` adds a signature",
            charter.member_signatures(),
            document.quorum
        )));
    }
    if let Some(held) = node.charter()
        && held.id() != charter.id()
    {
        return Err(NodeError::refused(
            "this node has joined another charter, and its ledger counts under that one; use a new --home",
        ));
    }
    node.settings.put_charter(charter)?;
    Ok(())
}

/// Half of the total for research, a quarter each for advocacy and protection.
fn purposes(total: MicroEpsilon) -> Vec<Purpose> {
    [
        ("research", "Research that is published with its method", 2),
        ("advocacy", "Evidence for sanctions, export rules and policy", 4),
        ("protection", "Warning and protecting people at risk", 4),
    ]
    .map(|(code, label, part)| Purpose {
        code: code.into(),
        label: label.into(),
        epsilon: MicroEpsilon::from_micros((total.micros() / part).max(1)),
    })
    .into()
}

/// The grounds on which mutual legal assistance is refused, which this field asks for.
fn grounds() -> Vec<Ground> {
    [
        ("political-offence", "The question serves the pursuit of political offences"),
        ("essential-interests", "An answer would harm the essential interests of those we serve"),
        ("dual-criminality", "What the question is about is no wrong where we are"),
        ("rights-violation", "An answer would help a violation of human rights"),
    ]
    .map(|(code, label)| Ground { code: code.into(), label: label.into() })
    .into()
}
