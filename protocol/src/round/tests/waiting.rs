//! A count that takes its time holds nobody up: whoever asks meanwhile is answered, and no record was touched.

use std::cell::Cell;

use rand::{SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    document::{Charter, Flaw, NodeSecret},
    id::Digest,
    privacy::{Accountant, AuthoriseError, Charge, Permit},
    statistic::Ground,
};

/// A node that notes when its records, its ledger and its disk are touched.
struct Noting {
    secret: NodeSecret,
    charter: Signed<Charter>,
    accountant: Accountant,
    counted: Cell<u32>,
    charged: Cell<u32>,
    kept: Cell<u32>,
}

impl Host for Noting {
    type Error = Flaw;

    fn secret(&self) -> &NodeSecret {
        &self.secret
    }

    fn charter(&self) -> &Signed<Charter> {
        &self.charter
    }

    fn admit(&self, query: &Signed<Query>, _: crate::time::Timestamp) -> Result<Plan, Ground> {
        Plan::new(query.document(), &self.charter).map_err(|_| Ground::NotPlannable)
    }

    fn authorise(&mut self, charge: &Charge) -> Result<Permit, AuthoriseError<Flaw>> {
        self.charged.set(self.charged.get() + 1);
        self.accountant.authorise(charge, |_| Ok(()))
    }

    fn count(&mut self, plan: &Plan) -> Result<Exact, Flaw> {
        self.counted.set(self.counted.get() + 1);
        Exact::count(plan, &records(2).into_iter().collect(), &SampleKey::new([0; 32]))
    }

    fn kept(&mut self, _: &Id<Plan>) -> Result<Option<NoisedShare>, Flaw> {
        Ok(None)
    }

    fn keep(&mut self, _: &NoisedShare) -> Result<(), Flaw> {
        self.kept.set(self.kept.get() + 1);
        Ok(())
    }

    fn mark(&mut self, _: &Id<Roster>) -> Result<Option<Mark>, Flaw> {
        Ok(None)
    }

    fn set_mark(&mut self, _: &Id<Roster>, _: Mark) -> Result<(), Flaw> {
        Ok(())
    }
}

/// Member 2, of whom member 1 asks.
struct Asked {
    party: Party,
    host: Noting,
    rng: StdRng,
}

impl Asked {
    fn begin(&mut self, ask: Ask) -> Begun {
        let Self { party, host, rng } = self;
        party.begin(secret(1).node_id(), ask, Vec::new(), samples::at(), host, rng).unwrap()
    }

    /// What it says at once.
    fn told(&mut self, ask: Ask) -> Told {
        match self.begin(ask) {
            Begun::Done(step) => step.told,
            Begun::Count(_) => panic!("nothing is to be counted for this"),
        }
    }

    /// How often records, ledger and disk were touched.
    fn touched(&self) -> (u32, u32, u32) {
        (self.host.counted.get(), self.host.charged.get(), self.host.kept.get())
    }

    /// A round on `question` that it consented to and drew for, all seats taken.
    fn drawn(&mut self, question: &Signed<Query>) -> Drawn {
        let query = question.envelope().clone();
        let Told::Consent { envelope } = self.told(Ask::Convene { query: query.clone() }) else {
            panic!("no consent")
        };
        let own = self.host.secret.node_id();
        let consent: Signed<Consent> = envelope.open().unwrap();
        let mut members: Vec<NodeId> = (1..=MEMBERS).map(|n| secret(n).node_id()).collect();
        members.sort_unstable();
        let theirs = |member: &NodeId| Digest::of(member.as_bytes());
        let seats = members.iter().map(|m| Seat {
            member: *m,
            draw: if *m == own { consent.document().draw } else { draw(&theirs(m)) },
        });
        let charter = &self.host.charter;
        let terms = Terms::new(Plan::new(question.document(), charter).unwrap(), charter).unwrap();
        let roster = Roster {
            version: 1,
            charter: charter.id(),
            query: question.id(),
            plan: terms.id(),
            seats: seats.collect(),
            parameters: Parameters::new(&terms, members.len(), None).unwrap(),
            made_at: samples::at(),
        };
        let roster = Signed::new(roster, &secret(1)).unwrap().envelope().clone();
        let Told::Drawn { nonce } = self.told(Ask::Draw { roster: roster.clone() }) else {
            panic!("it drew nothing")
        };
        let nonces = members.iter().map(|m| if *m == own { nonce } else { theirs(m) });
        Drawn { roster, nonces: nonces.collect() }
    }
}

#[test]
fn while_a_count_is_pending_no_record_is_touched_and_every_other_ask_is_answered() {
    let charter = signed_charter_with_rounds(MEMBERS);
    let host = Noting {
        secret: secret(2),
        accountant: Accountant::replay(charter.document().caps(), [], |_| true),
        charter,
        counted: Cell::new(0),
        charged: Cell::new(0),
        kept: Cell::new(0),
    };
    let mut asked = Asked { party: Party::default(), host, rng: StdRng::seed_from_u64(51) };
    let contribute = |drawn: &Drawn| Ask::Contribute {
        round: drawn.roster.id(),
        nonces: drawn.nonces.clone(),
        aborts: Vec::new(),
    };
    let (first, second) = (question("1"), question("0.5"));
    let drawn = asked.drawn(&first);
    let Begun::Count(pending) = asked.begin(contribute(&drawn)) else { panic!("no count is due") };
    assert_eq!(asked.touched(), (0, 0, 0), "begun, and nothing was counted, charged or kept");

    // Each of these comes while the count has not even started.
    let other = asked.drawn(&second);
    let Begun::Count(_) = asked.begin(contribute(&other)) else { panic!("another waits beside it") };
    let open = asked.told(Ask::Open { query: second.envelope().clone(), drawn: other.clone() });
    assert!(
        matches!(open, Told::Opened | Told::Declined { why: Declined::NotAcceptable }),
        "an aggregator or none: {open:?}"
    );
    let abort = asked.told(Ask::Abort { roster: other.roster });
    assert!(matches!(abort, Told::Aborted { .. }), "{abort:?}");
    // The same round again: its consent is used up, and no second vector is begun.
    let again = asked.told(contribute(&drawn));
    assert!(matches!(again, Told::Declined { why: Declined::Unknown }), "{again:?}");
    assert_eq!(asked.touched(), (0, 0, 0), "answered, and still nothing was counted, charged or kept");

    let counted = pending.run(&mut asked.host, &mut asked.rng).unwrap();
    assert_eq!(asked.touched(), (1, 1, 1));
    let step = asked.party.finish(counted);
    assert!(matches!(step.told, Told::Submitted { .. }), "{:?}", step.told);
    assert_eq!(step.deliver.len(), 2);
    // Now it is known, and handed in again without another count.
    let again = asked.told(contribute(&drawn));
    assert_eq!(again, step.told);
    assert_eq!(asked.touched(), (1, 1, 1));
}
