//! A seeded simulator of rounds: the real state machines under a virtual clock and network, with delays, loss,
//! duplicates, crashes and restarts at any step (docs/protocol.md §9).
//!
//! One seed, one run: but for the secret shares, whose randomness is the operating system's, two runs of one seed
//! are the same to the byte. Nodes' disks survive their crashes, their memory does not.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    Ask, Coordinator, Declined, Delivery, Drawn, Failed, Host, Mark, NoisedShare, Outcome, Party, Roster,
    Send, Stage, Step, Told,
};
use crate::{
    document::{Charter, Flaw, NodeSecret, Signed},
    facet::Facet,
    id::{Id, NodeId},
    privacy::{Accountant, AuthoriseError, Charge, Permit},
    statistic::{Exact, Ground, Plan, Query, SampleKey},
    time::Timestamp,
};

/// How the network behaves. Times are milliseconds of the virtual clock.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// A message takes between these.
    pub delay: (u64, u64),
    /// Of a million messages, how many are lost.
    pub loss_ppm: u32,
    /// Of a million messages, how many arrive twice.
    pub twice_ppm: u32,
    /// Who did not get a reply asks again after this.
    pub retry: u64,
    /// A stage ends after this, whoever is still waited for.
    pub stage: u64,
}

impl Default for Weather {
    /// A quick and sound network.
    fn default() -> Self {
        Self { delay: (5, 60), loss_ppm: 0, twice_ppm: 0, retry: 2_000, stage: 60_000 }
    }
}

/// A message on its way, as an adversary sees it that sits in its sender.
#[derive(Debug, Clone)]
pub struct Flight {
    /// Its number in the run, from 0.
    pub number: u64,
    /// When it leaves.
    pub at: u64,
    /// Who sent it.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// What it says.
    pub message: Says,
    /// Beside it.
    pub beside: Vec<u8>,
}

/// An ask or a reply.
#[derive(Debug, Clone)]
pub enum Says {
    /// An ask.
    Ask(Ask),
    /// A reply.
    Told(Told),
}

impl Flight {
    /// The JSON of what it says.
    pub fn head(&self) -> Vec<u8> {
        match &self.message {
            Says::Ask(ask) => serde_json::to_vec(ask),
            Says::Told(told) => serde_json::to_vec(told),
        }
        .unwrap_or_default()
    }
}

/// What is done before a message leaves: nothing, a change to it, a crash of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes its way.
    Pass,
    /// It is lost.
    Lose,
    /// This node stops before it leaves, and is back after so many milliseconds.
    Crash(NodeId, u64),
}

/// What a node keeps on disk.
#[derive(Default)]
struct Disk {
    charges: Vec<Charge>,
    kept: BTreeMap<Id<Plan>, Vec<u8>>,
    marks: BTreeMap<Id<Roster>, Mark>,
}

/// One simulated node.
pub struct Node {
    secret: NodeSecret,
    charter: Signed<Charter>,
    facets: Vec<Facet>,
    disk: Disk,
    accountant: Accountant,
    party: Party,
    rng: StdRng,
    down: bool,
}

impl Node {
    /// What its ledger holds.
    pub fn charges(&self) -> &[Charge] {
        &self.disk.charges
    }

    /// What it did about a round as an aggregator.
    pub fn marked(&self, round: &Id<Roster>) -> Option<Mark> {
        self.disk.marks.get(round).copied()
    }

    /// Replaces its records.
    pub fn records(&mut self, facets: Vec<Facet>) {
        self.facets = facets;
    }

    /// What it says to an ask; nothing if its disk fails.
    fn handle(&mut self, from: NodeId, ask: Ask, beside: Vec<u8>, at: Timestamp) -> Option<Step> {
        let Self { secret, charter, facets, disk, accountant, party, rng, .. } = self;
        let mut desk = Desk { secret, charter, facets, disk, accountant };
        party.handle(from, ask, beside, at, &mut desk, rng).ok()
    }

    /// What is in memory is gone; the ledger is read again.
    fn restart(&mut self) {
        self.party = Party::default();
        let paid = |charge: &Charge| {
            let kept = self.disk.kept.get(&charge.plan).and_then(|b| NoisedShare::from_vault(b).ok());
            kept.is_some_and(|k| Some(k.paid()) == charge.round)
        };
        let caps = self.charter.document().caps();
        self.accountant = Accountant::replay(caps, &self.disk.charges, paid);
        self.down = false;
    }
}

/// [`Host`] over a simulated node's parts.
struct Desk<'a> {
    secret: &'a NodeSecret,
    charter: &'a Signed<Charter>,
    facets: &'a [Facet],
    disk: &'a mut Disk,
    accountant: &'a mut Accountant,
}

impl Host for Desk<'_> {
    type Error = Flaw;

    fn secret(&self) -> &NodeSecret {
        self.secret
    }

    fn charter(&self) -> &Signed<Charter> {
        self.charter
    }

    fn admit(&self, query: &Signed<Query>, at: Timestamp) -> Result<Plan, Ground> {
        let q = query.document();
        if at > q.expires_at {
            return Err(Ground::Expired);
        }
        self.charter.document().allows(&q.purpose, q.epsilon).map_err(|_| Ground::OverBudget)?;
        Plan::new(q, self.charter).map_err(|_| Ground::NotPlannable)
    }

    fn authorise(&mut self, charge: &Charge) -> Result<Permit, AuthoriseError<Flaw>> {
        self.accountant.authorise(charge, |charge| {
            self.disk.charges.push(charge.clone());
            Ok(())
        })
    }

    fn count(&mut self, plan: &Plan) -> Result<Exact, Flaw> {
        Exact::count(plan, &self.facets.iter().collect(), &SampleKey::new([0; 32]))
    }

    fn kept(&mut self, plan: &Id<Plan>) -> Result<Option<NoisedShare>, Flaw> {
        self.disk.kept.get(plan).map(|bytes| NoisedShare::from_vault(bytes)).transpose()
    }

    fn keep(&mut self, share: &NoisedShare) -> Result<(), Flaw> {
        self.disk.kept.insert(share.plan(), share.to_vault()?.to_vec());
        Ok(())
    }

    fn mark(&mut self, round: &Id<Roster>) -> Result<Option<Mark>, Flaw> {
        Ok(self.disk.marks.get(round).copied())
    }

    fn set_mark(&mut self, round: &Id<Roster>, mark: Mark) -> Result<(), Flaw> {
        self.disk.marks.insert(*round, mark);
        Ok(())
    }
}

/// What may happen next.
enum Event {
    /// A message arrives for the call.
    Arrives { call: u64, flight: Box<Flight> },
    /// Whoever made the call asks again.
    Again { call: u64 },
    /// The coordinator's stage is over.
    Over { stage: Stage },
    /// A node is back.
    Back { node: NodeId },
}

/// An ask under way.
struct Call {
    from: NodeId,
    to: NodeId,
    ask: Ask,
    beside: Vec<u8>,
    /// The call whose reply waits for this one; none if the coordinator asked.
    parent: Option<u64>,
    tries: u32,
    done: bool,
}

/// Tries of a delivery before the member replies without it.
const DELIVERY_TRIES: u32 = 5;

/// A reply that waits for deliveries.
struct Pending {
    open: usize,
    told: Told,
    beside: Vec<u8>,
}

/// The adversary: sees each message before it leaves, may change it, and says what becomes of it.
pub type Tamper<'a> = dyn FnMut(&mut Flight) -> Fate + 'a;

/// A federation on a virtual clock.
pub struct World {
    charter: Signed<Charter>,
    nodes: BTreeMap<NodeId, Node>,
    weather: Weather,
    rng: StdRng,
    start: Timestamp,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    queue: BTreeMap<u64, Event>,
    calls: BTreeMap<u64, Call>,
    pending: BTreeMap<u64, Pending>,
    numbered: u64,
    sent: u64,
    bytes: u64,
}

impl World {
    /// A federation of these nodes, each with its records, at `start`.
    pub fn new(
        charter: Signed<Charter>,
        nodes: Vec<(NodeSecret, Vec<Facet>)>,
        weather: Weather,
        start: Timestamp,
        seed: u64,
    ) -> Self {
        let caps = charter.document().caps();
        let nodes = nodes.into_iter().zip(1u64..).map(|((secret, facets), n)| {
            let node = Node {
                charter: charter.clone(),
                facets,
                disk: Disk::default(),
                accountant: Accountant::replay(caps.clone(), [], |_| true),
                party: Party::default(),
                rng: StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(n)),
                down: false,
                secret,
            };
            (node.secret.node_id(), node)
        });
        Self {
            nodes: nodes.collect(),
            charter,
            weather,
            rng: StdRng::seed_from_u64(seed),
            start,
            now: 0,
            events: BinaryHeap::new(),
            queue: BTreeMap::new(),
            calls: BTreeMap::new(),
            pending: BTreeMap::new(),
            numbered: 0,
            sent: 0,
            bytes: 0,
        }
    }

    /// The nodes.
    pub const fn nodes(&self) -> &BTreeMap<NodeId, Node> {
        &self.nodes
    }

    /// One of them, to change its records.
    pub fn node(&mut self, id: &NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id)
    }

    /// Asks one node without a network: what `from` would be told.
    pub fn ask(&mut self, from: NodeId, to: &NodeId, ask: Ask) -> Option<Step> {
        let at = self.now();
        self.nodes.get_mut(to)?.handle(from, ask, Vec::new(), at)
    }

    /// Bytes that were sent so far, heads and what was beside them.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The time of the virtual clock.
    pub fn now(&self) -> Timestamp {
        self.start.plus_seconds((self.now / 1000) as i64)
    }

    /// Leads one round on `query`, which one of the nodes signed. `before` is an earlier attempt. Returns what came
    /// of it, and the attempt if a roster was drawn up.
    pub fn round(
        &mut self,
        query: Signed<Query>,
        before: Option<Drawn>,
        tamper: &mut Tamper<'_>,
    ) -> (Result<Outcome, Failed>, Option<Drawn>) {
        let asker = match query.sole_signer() {
            Ok(asker) => asker,
            Err(flaw) => return (Err(flaw.into()), None),
        };
        let mut lead = match Coordinator::new(self.charter.clone(), query, before, BTreeSet::new()) {
            Ok(lead) => lead,
            Err(flaw) => return (Err(flaw.into()), None),
        };
        let sends = lead.start();
        self.ask_all(asker, sends, lead.stage(), tamper);
        while lead.stage() != Stage::Done {
            let Some(Reverse((at, number))) = self.events.pop() else { break };
            self.now = at;
            match self.queue.remove(&number) {
                Some(Event::Arrives { call, flight }) => self.arrives(call, *flight, &mut lead, tamper),
                Some(Event::Again { call }) => self.again(call, tamper),
                Some(Event::Back { node }) => {
                    if let Some(node) = self.nodes.get_mut(&node) {
                        node.restart();
                    }
                }
                Some(Event::Over { stage }) if stage == lead.stage() => {
                    lead.waiting().clone().iter().for_each(|id| lead.lost(id));
                }
                Some(Event::Over { .. }) | None => {}
            }
            // A stage whose replies are all there is over at once, and so may be the next.
            while lead.waiting().is_empty() && lead.stage() != Stage::Done {
                let at = self.now();
                let Some(node) = self.nodes.get(&asker) else { break };
                let sends = lead.advance(at, &node.secret);
                self.ask_all(asker, sends, lead.stage(), tamper);
            }
        }
        self.calls.clear();
        self.pending.clear();
        let attempt = lead.attempt();
        (lead.outcome(), attempt)
    }

    fn ask_all(&mut self, from: NodeId, sends: Vec<Send>, stage: Stage, tamper: &mut Tamper<'_>) {
        for Send { to, ask, beside } in sends {
            self.call(from, to, ask, beside, None, tamper);
        }
        self.at(self.weather.stage, Event::Over { stage });
    }

    fn call(
        &mut self,
        from: NodeId,
        to: NodeId,
        ask: Ask,
        beside: Vec<u8>,
        parent: Option<u64>,
        tamper: &mut Tamper<'_>,
    ) {
        self.numbered += 1;
        let number = self.numbered;
        let call = Call { from, to, ask: ask.clone(), beside: beside.clone(), parent, tries: 1, done: false };
        self.calls.insert(number, call);
        self.fly(number, from, to, Says::Ask(ask), beside, tamper);
        self.at(self.weather.retry, Event::Again { call: number });
    }

    fn again(&mut self, number: u64, tamper: &mut Tamper<'_>) {
        let Some(call) = self.calls.get_mut(&number).filter(|c| !c.done) else { return };
        call.tries += 1;
        if let Some(parent) = call.parent.filter(|_| call.tries > DELIVERY_TRIES) {
            call.done = true;
            return self.delivered(parent, tamper);
        }
        let (from, to, ask, beside) = (call.from, call.to, call.ask.clone(), call.beside.clone());
        // Whoever asked has stopped: nobody asks again.
        if self.nodes.get(&from).is_none_or(|n| n.down) {
            return;
        }
        self.fly(number, from, to, Says::Ask(ask), beside, tamper);
        self.at(self.weather.retry, Event::Again { call: number });
    }

    fn fly(
        &mut self,
        call: u64,
        from: NodeId,
        to: NodeId,
        message: Says,
        beside: Vec<u8>,
        tamper: &mut Tamper<'_>,
    ) {
        let mut flight = Flight { number: self.sent, at: self.now, from, to, message, beside };
        self.sent += 1;
        match tamper(&mut flight) {
            Fate::Pass => {}
            Fate::Lose => return,
            Fate::Crash(node, back) => {
                if let Some(down) = self.nodes.get_mut(&node) {
                    down.down = true;
                }
                self.at(back, Event::Back { node });
                if node == from {
                    return;
                }
            }
        }
        self.bytes += (flight.head().len() + flight.beside.len()) as u64;
        // A node talks to itself without a network.
        let lost = from != flight.to && self.rng.random_range(0..1_000_000) < self.weather.loss_ppm;
        let twice = from != flight.to && self.rng.random_range(0..1_000_000) < self.weather.twice_ppm;
        if lost {
            return;
        }
        for _ in 0..=u8::from(twice) {
            let (low, high) = self.weather.delay;
            let delay = if from == flight.to { 0 } else { self.rng.random_range(low..=high.max(low)) };
            self.at(delay, Event::Arrives { call, flight: Box::new(flight.clone()) });
        }
    }

    fn arrives(&mut self, number: u64, flight: Flight, lead: &mut Coordinator, tamper: &mut Tamper<'_>) {
        let Flight { from, to, message, beside, .. } = flight;
        match message {
            Says::Ask(ask) => {
                let at = self.now();
                let Some(node) = self.nodes.get_mut(&to).filter(|n| !n.down) else { return };
                let Some(Step { deliver, told, beside }) = node.handle(from, ask, beside, at) else { return };
                if deliver.is_empty() {
                    self.fly(number, to, from, Says::Told(told), beside, tamper);
                    return;
                }
                if self.pending.contains_key(&number) {
                    return;
                }
                self.pending.insert(number, Pending { open: deliver.len(), told, beside });
                for Delivery { to: aggregator, ask, beside } in deliver {
                    self.call(to, aggregator, ask, beside, Some(number), tamper);
                }
            }
            Says::Told(told) => {
                let Some(call) = self.calls.get_mut(&number).filter(|c| !c.done && c.to == from) else {
                    return;
                };
                // One who is busy is asked again.
                if matches!(told, Told::Declined { why: Declined::Busy }) {
                    return;
                }
                call.done = true;
                match call.parent {
                    None => lead.heard(from, told, beside),
                    Some(parent) => self.delivered(parent, tamper),
                }
            }
        }
    }

    /// A delivery was taken or declined: the reply that waits for the last one leaves.
    fn delivered(&mut self, parent: u64, tamper: &mut Tamper<'_>) {
        let Some(pending) = self.pending.get_mut(&parent) else { return };
        pending.open = pending.open.saturating_sub(1);
        if pending.open > 0 {
            return;
        }
        let (Some(pending), Some(call)) = (self.pending.remove(&parent), self.calls.get(&parent)) else {
            return;
        };
        let (from, to) = (call.to, call.from);
        self.fly(parent, from, to, Says::Told(pending.told), pending.beside, tamper);
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.numbered += 1;
        self.events.push(Reverse((self.now + delay, self.numbered)));
        self.queue.insert(self.numbered, event);
    }
}
