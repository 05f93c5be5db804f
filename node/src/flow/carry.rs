//! Carrying for others what must not be seen to come from them: tokens, and batches under pseudonyms
//! (docs/protocol.md §7; Reiter and Rubin, Crowds, 1998).
//!
//! Whoever gets something waits a moment, throws a coin, and carries it to another member or to where it goes. Who gets it
//! cannot tell whether it comes from whom it got it. Nothing that is carried is on disk: whoever sent it sees that it did not
//! arrive, and sends it again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::DefaultDirectRateLimiter;
use hedgerow_protocol::{
    id::{Digest, NodeId},
    indicator::SignedBatch,
    limits,
    pseudonym::{Asking, SEALED, VouchingKey, first_carriers},
    wire::{Announcement, Declined, Reply, Request, Spreading},
};
use rand::{Rng as _, RngExt as _, seq::SliceRandom as _};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::spread::Spread;
use crate::{
    error::{Class, NodeError},
    net::{Dropped, Network, PeerState, limits::Rate},
    node::{Node, now, random},
};

/// Parcels that wait to be carried on, and of these from one member. One more is answered `Busy`.
pub(crate) const WAITING: usize = 512;
const WAITING_OF_ONE: usize = 64;
/// Parcels taken from one member: few enough that who carries on for all of them stays within the network's rates.
const TAKEN: Rate = Rate::new(20, Duration::from_secs(1));
/// Parcels given to one member: whatever others have carried, it stays within what that member takes.
const GIVEN: Rate = Rate::new(60, Duration::from_millis(100));
/// Longest that a parcel waits at one member.
const PAUSE: Duration = Duration::from_secs(1);
/// How many times in four a parcel is carried on to another member.
const ON_OF_FOUR: u32 = 3;
/// How often a node looks after its own pseudonym.
const TICK: Duration = Duration::from_secs(1);
/// Tokens asked for on one tick.
const ASKED_A_TICK: usize = 2;
/// After how long a parcel that did not arrive is sent again, by way of others.
const AGAIN: Duration = Duration::from_secs(45);
/// Longest until it is sent again.
const DAY: Duration = Duration::from_secs(86_400);
/// The same where it was not taken; how often its first carrier may be busy before another is asked.
const SOON: Duration = Duration::from_secs(5);
const PATIENCE: usize = 60;
/// Fewest members that must be connected before anything is sent: with fewer, whoever gets it knows whose it is.
const CONNECTED: usize = 2;

/// What a member did with a parcel.
enum Given {
    Taken,
    Busy,
    Refused,
}

/// What is carried.
struct Parcel {
    to: Option<NodeId>,
    bytes: Vec<u8>,
}

/// A parcel that a member handed over, and its place among that member's.
pub(crate) struct Taken {
    from: NodeId,
    parcel: Parcel,
    _place: OwnedSemaphorePermit,
}

/// What one member may have carried, and be given.
struct Allowance {
    places: Arc<Semaphore>,
    taken: DefaultDirectRateLimiter,
    given: DefaultDirectRateLimiter,
}

/// What a node carries for others, and what it has carried for itself.
pub(crate) struct Carrier {
    node: Arc<Node>,
    network: Network,
    spread: Arc<Spread>,
    /// Of members, who are as many as the charter bounds.
    allowances: Mutex<HashMap<NodeId, Allowance>>,
    /// When each of this node's own parcels is sent, and how much was in vain: a token by its issuer, a batch by its id.
    due: Mutex<HashMap<Due, (Instant, usize)>>,
}

/// What a time is set for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Due {
    Token(NodeId),
    Batch(Digest),
}

impl Carrier {
    pub(crate) fn new(node: Arc<Node>, network: Network, spread: Arc<Spread>) -> Self {
        Self { node, network, spread, allowances: Mutex::default(), due: Mutex::default() }
    }

    /// Looks at a parcel that a member hands over: the answer to it, and what is to be carried.
    pub(crate) async fn take(
        &self,
        from: NodeId,
        to: Option<NodeId>,
        bytes: Vec<u8>,
    ) -> (Reply, Option<Taken>) {
        let parcel = Parcel { to, bytes };
        let declined = |why| (Reply::Declined { why }, None);
        // The cheapest first: sizes, then places, then a signature.
        if self.node.pseudonym().is_err() || !self.sound(&parcel) {
            self.network.count(Dropped::Document, 1);
            self.network.blame(from).await;
            return declined(Declined::NotAcceptable);
        }
        let Some(place) = self.place(from) else { return declined(Declined::Busy) };
        let node = Arc::clone(&self.node);
        let looked = tokio::task::spawn_blocking(move || (look(&node, &parcel), parcel)).await;
        match looked {
            Ok((Look::Carry, parcel)) => (Reply::Carried, Some(Taken { from, parcel, _place: place })),
            Ok((Look::Held, _)) => (Reply::Carried, None),
            Ok((Look::OfNobody, _)) => {
                self.spread.of_nobody_known(from).await;
                declined(Declined::NotAcceptable)
            }
            Ok((Look::Unfit, _)) => {
                self.network.count(Dropped::Document, 1);
                self.network.blame(from).await;
                declined(Declined::NotAcceptable)
            }
            Err(_) => declined(Declined::Busy),
        }
    }

    /// A place for a parcel of a member, if it has one left.
    fn place(&self, from: NodeId) -> Option<OwnedSemaphorePermit> {
        self.allowance(from, |of| {
            let place = Arc::clone(&of.places).try_acquire_owned().ok()?;
            of.taken.check().is_ok().then_some(place)
        })
    }

    fn allowance<T>(&self, of: NodeId, ask: impl FnOnce(&Allowance) -> T) -> T {
        let mut allowances = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        ask(allowances.entry(of).or_insert_with(|| Allowance {
            places: Arc::new(Semaphore::new(WAITING_OF_ONE)),
            taken: TAKEN.bucket(),
            given: GIVEN.bucket(),
        }))
    }

    fn sound(&self, parcel: &Parcel) -> bool {
        match &parcel.to {
            Some(to) => {
                let charter = self.node.charter().map(|c| c.document());
                parcel.bytes.len() == SEALED && charter.is_some_and(|c| c.member(to).is_some())
            }
            None => !parcel.bytes.is_empty() && parcel.bytes.len() <= limits::CARRIED_BYTES,
        }
    }

    /// Waits, and carries a parcel on or to where it goes.
    pub(crate) async fn carry(&self, taken: Taken) {
        let Taken { from, parcel, _place } = taken;
        if parcel.to != Some(self.node.id()) {
            let (pause, on) = {
                let mut rng = random();
                (PAUSE.mul_f64(rng.random()), rng.next_u32() % 4 < ON_OF_FOUR)
            };
            tokio::time::sleep(pause).await;
            if on && self.hand_on(&parcel, from).await {
                return;
            }
        }
        if let Err(error) = self.deliver(parcel).await {
            tracing::debug!(%error, "what was carried did not arrive");
        }
    }

    /// Gives a parcel to some member other than whom it came from; false if none took it.
    async fn hand_on(&self, parcel: &Parcel, from: NodeId) -> bool {
        let mut others = self.connected();
        others.retain(|id| *id != from);
        others.shuffle(&mut random());
        for next in others {
            if matches!(self.give(next, parcel).await, Given::Taken) {
                return true;
            }
        }
        false
    }

    /// Gives a parcel of its own to its first carrier that is there: to the next, when it did not arrive, was refused, or
    /// [`PATIENCE`] times that one was busy. Not to whom it is for, who would see whose it is. Puts off sending it again.
    async fn send(&self, what: Due, parcel: &Parcel, again: Duration) -> Result<(), NodeError> {
        let mut carriers = self.connected();
        carriers.retain(|id| Some(*id) != parcel.to);
        first_carriers(self.node.secret(), &self.node.federation()?.charter.id(), &mut carriers);
        let vain = self.due().get(&what).map_or(0, |(_, vain)| *vain);
        let first = (vain / PATIENCE).checked_rem(carriers.len()).and_then(|n| carriers.get(n).copied());
        let given = match first {
            Some(first) => self.give(first, parcel).await,
            None => Given::Busy,
        };
        // Longer each time, up to a day. Somewhat more or less, so that what is sent again does not show by its rhythm.
        let lost = u32::try_from(vain / PATIENCE).unwrap_or(u32::MAX).min(10);
        let again = again.saturating_mul(1 << lost).min(DAY.max(again));
        let (by, vain) = match given {
            Given::Taken => (again, vain + PATIENCE),
            Given::Busy => (SOON, vain + 1),
            Given::Refused => (SOON, vain + PATIENCE),
        };
        let at = Instant::now() + by.mul_f64(random().random_range(0.75..1.25));
        self.due().insert(what, (at, vain));
        Ok(())
    }

    async fn give(&self, to: NodeId, parcel: &Parcel) -> Given {
        if self.allowance(to, |of| of.given.check().is_err()) {
            return Given::Busy;
        }
        let request = Request::Carry { to: parcel.to };
        match self.network.exchange(to, request, parcel.bytes.clone()).await {
            Ok((Reply::Carried, _)) => Given::Taken,
            Ok((Reply::Declined { why: Declined::Busy }, _)) => Given::Busy,
            _ => Given::Refused,
        }
    }

    /// Brings a parcel to where it goes: a token to its issuer, a batch to everybody.
    async fn deliver(&self, parcel: Parcel) -> Result<(), NodeError> {
        let node = Arc::clone(&self.node);
        let announcement = match parcel.to {
            Some(to) if to != node.id() => {
                self.give(to, &parcel).await;
                return Ok(());
            }
            Some(_) => self.blocking(move || node.redeem(&parcel.bytes, now())).await?,
            None => {
                let announcement = Announcement::of(Spreading::Batch, &parcel.bytes);
                let held = node.documents.contains(&announcement.id);
                self.blocking(move || node.accept(Spreading::Batch, &parcel.bytes, now())).await?;
                Some(announcement).filter(|_| !held)
            }
        };
        self.announce(announcement).await;
        Ok(())
    }

    async fn announce(&self, announcement: Option<Announcement>) {
        if let Some(announcement) = announcement {
            if announcement.kind == Spreading::Voucher {
                self.spread.vouched();
            }
            // Who does not hear it now finds it when it catches up.
            let _ = self.network.announce(announcement).await;
        }
    }

    /// Looks after this node's own pseudonym for as long as it runs.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.tick().await {
                tracing::warn!(%error, "the pseudonym could not be looked after");
            }
        }
    }

    async fn tick(&self) -> Result<(), NodeError> {
        let connected = self.connected();
        if connected.len() < CONNECTED || self.node.ensure_ledger_known().is_err() {
            self.wait();
            return Ok(());
        }
        self.send_out().await?;
        self.hand_in().await?;
        self.ask(connected).await?;
        let node = Arc::clone(&self.node);
        let enrolled = self.blocking(move || node.enrol(now())).await?;
        self.announce(enrolled).await;
        Ok(())
    }

    /// What waits while no other member is there goes out some time after they are: not at the moment at which all see that
    /// this node is back.
    fn wait(&self) {
        let Ok(own) = self.node.pseudonym() else { return };
        let spread = Duration::from_secs(u64::from(own.policy.delay_seconds));
        for id in self.node.pseudonyms.outgoing() {
            let mut due = self.due();
            let (at, vain) = due.get(&Due::Batch(id)).copied().unwrap_or((Instant::now(), 0));
            if at <= Instant::now() {
                due.insert(Due::Batch(id), (Instant::now() + spread.mul_f64(random().random()), vain));
            }
        }
    }

    /// Asks members for the tokens that this node does not have: every node does, as soon as it can.
    async fn ask(&self, mut issuers: Vec<NodeId>) -> Result<(), NodeError> {
        let tokens = self.node.pseudonyms.tokens();
        issuers.push(self.node.id());
        issuers.retain(|id| !tokens.contains_key(id));
        // Those who do not answer must not keep the others from being asked.
        issuers.shuffle(&mut random());
        for issuer in issuers.into_iter().take(ASKED_A_TICK) {
            let node = Arc::clone(&self.node);
            let asking = self
                .blocking(move || {
                    Asking::begin(node.secret(), &node.federation()?.charter.id(), &issuer)
                        .map_err(NodeError::invalid)
                })
                .await?;
            let evaluation = if issuer == self.node.id() {
                VouchingKey::of(self.node.secret())
                    .and_then(|key| key.evaluate(&asking.blinded(), &mut random()))
                    .map_err(NodeError::invalid)?
            } else {
                match self.network.request(issuer, Request::Evaluate { blinded: asking.blinded() }).await {
                    Ok(Reply::Evaluated { evaluation }) => evaluation,
                    _ => continue,
                }
            };
            let node = Arc::clone(&self.node);
            self.blocking(move || {
                let charter = node.federation()?.charter.document();
                let key = charter.member(&issuer).and_then(|m| m.vouching);
                let key = key.ok_or_else(|| NodeError::invalid("a member has no key for tokens"))?;
                match asking.finish(&evaluation, &key) {
                    Ok(token) => Ok(node.pseudonyms.put_token(issuer, token)?),
                    Err(error) => {
                        tracing::warn!(member = issuer.short(), %error, "a token was not taken");
                        Ok(())
                    }
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Hands in the tokens whose time has come.
    async fn hand_in(&self) -> Result<(), NodeError> {
        let own = self.node.pseudonym()?;
        let charter = self.node.federation()?.charter.document();
        let waiting: Vec<NodeId> = self.node.pseudonyms.known(|known| {
            charter.members.iter().map(|m| m.id).filter(|id| !known.vouched(&own.id, id)).collect()
        });
        if waiting.is_empty() {
            return Ok(());
        }
        let spread = Duration::from_secs(u64::from(own.policy.delay_seconds));
        let tokens = self.node.pseudonyms.tokens();
        // All begin at one moment: when the last member has said that it has every token.
        if !self.node.pseudonyms.known(|known| charter.members.iter().all(|m| known.enrolled(&m.id))) {
            return Ok(());
        }
        for (issuer, token) in tokens {
            if !waiting.contains(&issuer) {
                continue;
            }
            if !self.is_due(Due::Token(issuer), spread.mul_f64(random().random())) {
                continue;
            }
            let node = Arc::clone(&self.node);
            if issuer == self.node.id() {
                // Its own voucher among the others': the one that is missing would name it.
                let id = own.id;
                let announcement = self.blocking(move || node.redeem_token(id, &token, now())).await?;
                self.announce(announcement).await;
                continue;
            }
            let sealed = token
                .seal(&own.id, &self.node.federation()?.charter.id(), &issuer, &mut random())
                .map_err(NodeError::invalid)?;
            let parcel = Parcel { to: Some(issuer), bytes: sealed };
            self.send(Due::Token(issuer), &parcel, AGAIN.max(spread)).await?;
        }
        Ok(())
    }

    /// Sends out what was published under the pseudonym and has not come back.
    async fn send_out(&self) -> Result<(), NodeError> {
        // One a tick: the first carrier takes no more from one member.
        let mut sent = false;
        for id in self.node.pseudonyms.outgoing() {
            let (node, held) = (Arc::clone(&self.node), self.node.documents.contains(&id));
            if held {
                self.blocking(move || Ok(node.pseudonyms.forget(&id)?)).await?;
                self.due().remove(&Due::Batch(id));
            } else if !sent && self.is_due(Due::Batch(id), PAUSE.mul_f64(random().random())) {
                let batch = self.blocking(move || Ok(node.pseudonyms.batch(&id)?)).await?;
                let Some(bytes) = batch else { continue };
                sent = true;
                self.send(Due::Batch(id), &Parcel { to: None, bytes }, AGAIN).await?;
            }
        }
        Ok(())
    }

    /// Whether the time of a parcel has come; it is set, `within` from now, when it is first asked for.
    fn is_due(&self, what: Due, within: Duration) -> bool {
        self.due().entry(what).or_insert_with(|| (Instant::now() + within, 0)).0 <= Instant::now()
    }

    fn due(&self) -> MutexGuard<'_, HashMap<Due, (Instant, usize)>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(&self) -> Vec<NodeId> {
        let peers = self.network.peers().into_iter();
        peers.filter(|peer| peer.state == PeerState::Connected).map(|peer| peer.id).collect()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        tokio::task::spawn_blocking(work).await.map_err(|e| NodeError::new(Class::Network, e))?
    }
}

/// What becomes of a parcel.
enum Look {
    Carry,
    /// It is a batch that is here already: its way is at an end.
    Held,
    /// A batch of a key that nobody is known to vouch for: it may be known where it comes from.
    OfNobody,
    /// What no honest member hands over.
    Unfit,
}

/// A token is sealed, and only its issuer can tell what it is; a batch has to be under this charter, of a pseudonym that is
/// known, and of nobody by name.
fn look(node: &Node, parcel: &Parcel) -> Look {
    if parcel.to.is_some() {
        return Look::Carry;
    }
    if node.documents.contains(&Digest::of(&parcel.bytes)) {
        return Look::Held;
    }
    let (Ok(batch), Ok(federation)) = (SignedBatch::open(&parcel.bytes), node.federation()) else {
        return Look::Unfit;
    };
    let by_name = federation.charter.document().member(&batch.signer()).is_some();
    match node.is_known(&batch.signer()) {
        Ok(_) if by_name || batch.charter() != federation.charter.id() => Look::Unfit,
        Ok(true) => Look::Carry,
        _ => Look::OfNobody,
    }
}
