//! What a release of a round carries so that anyone can check it (docs/protocol.md §9).

use serde::{Deserialize, Serialize};

use super::{
    agreed::Round,
    commitment::{Blinding, Packing},
    message::{Consent, Drawn, Included, Roster, Seat, Submission},
    parameters::Terms,
};
use crate::{
    document::{Envelope, Flaw, Signed},
    id::{Digest, NodeId},
};

/// The round behind a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Who took part, as signed by the member who asked, and what they drew.
    pub drawn: Drawn,
    /// The set of vectors that were summed, as signed by every aggregator.
    pub included: Envelope,
    /// Their submissions, each with its commitment, as signed by the members.
    pub submissions: Vec<Envelope>,
    /// The consents of those on the roster whose vectors are not in the sum, in the order of seats.
    pub consents: Vec<Envelope>,
    /// The sum of the blinding factors: with it the total opens the commitments.
    pub blinding: Digest,
}

/// A proof whose signatures hold.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) round: Round,
    /// Whose vectors are in the sum.
    pub(crate) counted: Vec<NodeId>,
    /// Who consented and whose vectors are not.
    pub(crate) not_counted: Vec<NodeId>,
    commitments: Vec<Digest>,
    blinding: Digest,
}

impl Proof {
    /// Checks everything but the total.
    pub(crate) fn open(&self, terms: Terms, coordinator: NodeId) -> Result<Proven, Flaw> {
        let broken = |e: crate::document::EnvelopeError| Flaw::new("round", e.to_string());
        let roster: Signed<Roster> = self.drawn.roster.clone().open().map_err(broken)?;
        let round = Round::new(roster, self.drawn.nonces.clone(), terms, coordinator)?;
        let included: Signed<Included> = self.included.clone().open().map_err(broken)?;
        round.holds(&included)?;
        let named = &included.document().submissions;
        if self.submissions.len() != named.len() {
            return Err(Flaw::new("submissions", "not those of the included set"));
        }
        let mut commitments = Vec::with_capacity(named.len());
        let mut counted = Vec::with_capacity(named.len());
        let mut last = None;
        for (envelope, named) in self.submissions.iter().zip(named) {
            let submission: Signed<Submission> = envelope.clone().open().map_err(broken)?;
            let place = round.place(&submission)?;
            if submission.id() != *named || last.is_some_and(|last| last >= place) {
                return Err(Flaw::new(
                    "submissions",
                    "not those of the included set, one a seat and in order",
                ));
            }
            last = Some(place);
            commitments.push(submission.document().commitment);
            counted.push(submission.sole_signer()?);
        }
        let not_counted: Vec<Seat> =
            round.seats().iter().filter(|s| !counted.contains(&s.member)).copied().collect();
        let holds = |(seat, envelope): (&Seat, &Envelope)| {
            let consent: Signed<Consent> = envelope.clone().open().map_err(broken)?;
            let c = consent.document();
            let of_it = c.query == round.roster().document().query && c.draw == seat.draw;
            if of_it && consent.sole_signer()? == seat.member {
                Ok(())
            } else {
                Err(Flaw::new("consents", "not those of the seats whose vectors are not in the sum"))
            }
        };
        if self.consents.len() != not_counted.len() {
            return Err(Flaw::new("consents", "one for each seat whose vector is not in the sum"));
        }
        not_counted.iter().zip(&self.consents).try_for_each(holds)?;
        let not_counted = not_counted.into_iter().map(|s| s.member).collect();
        Ok(Proven { round, counted, not_counted, commitments, blinding: self.blinding })
    }
}

impl Proven {
    /// How many vectors were summed.
    pub(crate) fn included(&self) -> usize {
        self.commitments.len()
    }

    /// Whether `values`, of which every included vector's offset was taken off, open the commitments.
    pub(crate) fn opens(&self, values: &[i64]) -> Result<bool, Flaw> {
        let parameters = self.round.parameters();
        let blinding = Blinding::from_bytes(self.blinding.as_bytes())
            .ok_or_else(|| Flaw::new("blinding", "not a scalar of ristretto255"))?;
        let offset = i128::from(parameters.offset) * self.included() as i128;
        let totals: Option<Vec<u128>> =
            values.iter().map(|v| u128::try_from(i128::from(*v) + offset).ok()).collect();
        // A total below 0 is the sum of no vectors.
        let Some(totals) = totals.filter(|t| t.len() == self.round.terms().plan().cells()) else {
            return Ok(false);
        };
        let most = u128::from(parameters.largest()) * self.included() as u128;
        if totals.iter().any(|t| *t > most) {
            return Ok(false);
        }
        let packing = Packing::new(parameters.bits, self.round.seats().len());
        packing.opens(&self.commitments, &totals, &blinding)
    }
}
