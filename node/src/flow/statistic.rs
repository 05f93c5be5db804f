//! Answering and asking: the way from a query to a release in mode `local` (docs/protocol.md §3 to §5).

use std::sync::PoisonError;

use hedgerow_protocol::{
    document::{Envelope, Flaw, Signed},
    id::NodeId,
    limits,
    privacy::{AuthoriseError, Charge, OverBudget},
    release::{Release, ReleaseError, fits},
    statistic::{Contribution, Exact, Ground, Measure, Mode, Plan, Query, Refusal},
    time::Timestamp,
};

use crate::{
    error::{Class, NodeError},
    node::{Node, random},
    store::StoreError,
};

/// Why a query gets no answer at all, not even a refusal: it is not one of this federation's.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It does not verify, or its sender did not sign it.
    #[error("the query does not verify, or was signed by another than its sender")]
    NotAcceptable,
    /// This node cannot answer now.
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl From<StoreError> for AnswerError {
    fn from(error: StoreError) -> Self {
        Self::Node(error.into())
    }
}

impl Node {
    /// Answers a query that `from` sent: a signed contribution, or a signed refusal with its ground.
    ///
    /// What is decided before the count depends on the query, the charter, the clock and the ledger alone. The
    /// charge is on disk before the count is noised, the answer before it is returned; the same plan gets the
    /// same answer for as long as its release period lasts, whatever became of the records.
    pub fn answer(&self, query: Envelope, from: NodeId, now: Timestamp) -> Result<Envelope, AnswerError> {
        let federation = self.federation()?;
        self.ensure_ledger_known()?;
        let query: Signed<Query> = query.open().map_err(|_| AnswerError::NotAcceptable)?;
        if query.sole_signer() != Ok(from) || federation.charter.document().member(&from).is_none() {
            return Err(AnswerError::NotAcceptable);
        }
        let plan = match self.admit(&query, now) {
            // What asks for a round gets its answer there.
            Ok(plan) if plan.mode() == Mode::Round => return Err(AnswerError::NotAcceptable),
            Ok(plan) => plan,
            Err(ground) => return self.refuse(&query, ground, now),
        };
        // One at a time: whoever asks the same plan meanwhile waits, and gets the answer that was stored.
        let _turn = self.answering.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = federation.ledger.answer(&plan.id())? {
            return Ok(answer);
        }
        let charge = Charge {
            plan: plan.id(),
            round: None,
            purpose: query.document().purpose.clone(),
            epsilon: plan.epsilon(),
            asker: from,
            years: plan.years(),
            at: now,
        };
        let permit = match federation.ledger.authorise(&charge) {
            Ok(permit) => permit,
            Err(AuthoriseError::OverBudget(_)) => return self.refuse(&query, Ground::OverBudget, now),
            Err(AuthoriseError::NotWritten(error)) => return Err(error.into()),
            // Charged, and its answer neither stored nor still to be made: a write failed before.
            Err(AuthoriseError::AlreadyCharged) => return Err(StoreError::Halted.into()),
        };
        let exact = self.exact(&plan)?;
        let noised = exact.noise(permit, &mut random()).map_err(flawed)?;
        let contribution =
            Signed::new(noised.into_contribution(now), self.secret()).map_err(NodeError::input)?;
        federation.ledger.put_answer(&plan.id(), contribution.envelope())?;
        Ok(contribution.envelope().clone())
    }

    /// The counts of `plan` at this node.
    pub(crate) fn exact(&self, plan: &Plan) -> Result<Exact, NodeError> {
        let key = self.vault.sample_key();
        let exact = match plan.measure() {
            Measure::Groups => Exact::sightings(plan, self.seen(plan)?, &key),
            _ => Exact::count(plan, &*self.facets()?, &key),
        };
        exact.map_err(flawed)
    }

    /// The plan of a query that may be answered, or the ground on which it is refused.
    pub(crate) fn admit(&self, query: &Signed<Query>, now: Timestamp) -> Result<Plan, Ground> {
        let q = query.document();
        let Some(federation) = &self.federation else { return Err(Ground::NotPlannable) };
        if (q.asked_at.unix_seconds() - now.unix_seconds()).abs() > limits::CLOCK_SKEW_SECONDS {
            return Err(Ground::Clock);
        }
        if now > q.expires_at {
            return Err(Ground::Expired);
        }
        federation.charter.document().allows(&q.purpose, q.epsilon).map_err(|over| match over {
            OverBudget::UnknownPurpose(_) => Ground::UnknownPurpose,
            OverBudget::TooLittle { .. } => Ground::NotPlannable,
            _ => Ground::OverBudget,
        })?;
        Plan::new(q, &federation.charter).map_err(|_| Ground::NotPlannable)
    }

    fn refuse(&self, query: &Signed<Query>, ground: Ground, now: Timestamp) -> Result<Envelope, AnswerError> {
        let refusal = Refusal { version: 1, query: query.id(), ground, made_at: now };
        let signed = Signed::new(refusal, self.secret()).map_err(NodeError::input)?;
        Ok(signed.envelope().clone())
    }

    /// Signs a question, after checking all that can be checked here.
    pub fn question(&self, query: Query) -> Result<(Signed<Query>, Plan), NodeError> {
        self.ensure_ledger_known()?;
        let charter = &self.federation()?.charter;
        charter.document().allows(&query.purpose, query.epsilon).map_err(NodeError::refused)?;
        let plan = Plan::new(&query, charter).map_err(NodeError::input)?;
        let signed = Signed::new(query, self.secret()).map_err(NodeError::input)?;
        Ok((signed, plan))
    }

    /// Puts a release together from what the members answered; `None` for who did not.
    pub fn release(
        &self,
        query: &Signed<Query>,
        plan: &Plan,
        answers: Vec<(NodeId, Option<Envelope>)>,
        now: Timestamp,
    ) -> Result<Signed<Release>, NodeError> {
        let charter = &self.federation()?.charter;
        let mut contributions = Vec::new();
        let mut refusals: Vec<Signed<Refusal>> = Vec::new();
        for (member, answer) in answers {
            match answer.map(|a| sorted(a, member, query, plan, charter.document())) {
                Some(Ok(Answer::Contribution(contribution))) => contributions.push(contribution),
                Some(Ok(Answer::Refusal(refusal))) => refusals.push(refusal),
                Some(Err(flaw)) => {
                    tracing::warn!(member = member.short(), %flaw, "an answer was dropped");
                }
                None => {}
            }
        }
        // One's own node counts as any other; if nobody but it could answer, the ground is what to show.
        let why = refusals.first().map(|r| r.document().ground.to_string());
        let release = Release::assemble(charter, query, contributions, refusals, now);
        let release = release.map_err(|error| match (&error, why) {
            (ReleaseError::TooFew { .. }, Some(ground)) => {
                NodeError::refused(format!("{error}; refused on the ground {ground:?}"))
            }
            (ReleaseError::TooFew { .. }, None) => NodeError::new(Class::Network, error),
            _ => NodeError::input(error),
        })?;
        Signed::new(release, self.secret()).map_err(NodeError::input)
    }
}

enum Answer {
    Contribution(Signed<Contribution>),
    Refusal(Signed<Refusal>),
}

/// What `member` answered, if it is an answer of that member to that query.
fn sorted(
    answer: Envelope,
    member: NodeId,
    query: &Signed<Query>,
    plan: &Plan,
    charter: &hedgerow_protocol::document::Charter,
) -> Result<Answer, Flaw> {
    let broken = |e: hedgerow_protocol::document::EnvelopeError| Flaw::new("answer", e.to_string());
    let other = || Flaw::new("answer", "signed by another member or for another query");
    if answer.kind() == Some("refusal") {
        let refusal: Signed<Refusal> = answer.open().map_err(broken)?;
        if refusal.sole_signer()? != member || refusal.document().query != query.id() {
            return Err(other());
        }
        if let Ground::Charter(code) = &refusal.document().ground
            && !charter.refusal_grounds.iter().any(|g| g.code == *code)
        {
            return Err(Flaw::new("answer", "a ground that the charter does not have"));
        }
        return Ok(Answer::Refusal(refusal));
    }
    let contribution: Signed<Contribution> = answer.open().map_err(broken)?;
    fits(&contribution, plan, charter)?;
    if contribution.sole_signer()? != member {
        return Err(other());
    }
    Ok(Answer::Contribution(contribution))
}

fn flawed(flaw: Flaw) -> NodeError {
    NodeError::input(flaw)
}
