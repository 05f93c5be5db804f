//! The secure sum: Prio3SumVec of the crate `prio` (draft-irtf-cfrg-vdaf-18), in the terms of a round.
//!
//! A vector goes out in shares, one an aggregator, with a proof in shares that every value is in range. The
//! aggregators verify the proofs together without seeing a vector, and add up what held.

use prio::field::Field128;
use prio::{
    codec::{Encode, ParameterizedDecode as _},
    vdaf::{
        AggregateShare, Aggregator as _, Client as _, Collector as _, OutputShare, VerifyTransition,
        prio3::{
            Prio3InputShare, Prio3PublicShare, Prio3SumVec, Prio3VerifierShare, Prio3VerifyState,
            optimal_chunk_length,
        },
    },
};

use super::agreed::Round;
use crate::{
    document::Flaw,
    id::{Digest, NodeId},
};

/// A share is read only up to this, whatever the parameters say.
pub(super) const MOST_SHARE_BYTES: usize = 4 * 1024 * 1024;

/// The secure sum of one round.
#[derive(Debug)]
pub(super) struct SecureSum {
    prio: Prio3SumVec,
    context: Vec<u8>,
    round: Digest,
}

/// One vector's proof on its way through verification, at one aggregator.
pub(super) struct Verifying {
    state: Prio3VerifyState<Field128, 32>,
    own: Prio3VerifierShare<Field128, 32>,
}

/// One vector's share, its proof verified.
pub(super) struct Verified(OutputShare<Field128>);

/// The sum of verified shares at one aggregator.
pub(super) struct Total(AggregateShare<Field128>);

impl SecureSum {
    pub(super) fn of(round: &Round) -> Result<Self, Flaw> {
        let parameters = round.parameters();
        let cells = round.terms().plan().cells();
        let k = u8::try_from(round.aggregators().len()).map_err(|_| flaw("too many aggregators"))?;
        let chunk = optimal_chunk_length(cells.saturating_mul(parameters.bits as usize));
        let prio = Prio3SumVec::new_sum_vec(k, u128::from(parameters.largest()), cells, chunk)
            .map_err(|_| flaw("no secure sum has these parameters"))?;
        let round = round.id().digest();
        let context = [&b"hedgerow round 1"[..], round.as_bytes()].concat();
        Ok(Self { prio, context, round })
    }

    /// A nonce is that of the member in this round: two reports of one member cannot both be summed.
    fn nonce(&self, member: &NodeId) -> [u8; 16] {
        let hash = Digest::of(&[&self.round.as_bytes()[..], member.as_bytes()].concat());
        let mut nonce = [0; 16];
        nonce.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        nonce
    }

    /// Shares of `vector`, one an aggregator. Their randomness is `prio`'s own, of the operating system.
    pub(super) fn shard(&self, member: &NodeId, vector: &Vec<u128>) -> Result<Vec<Vec<u8>>, Flaw> {
        let (public, shares) = self
            .prio
            .shard(&self.context, vector, &self.nonce(member))
            .map_err(|_| flaw("a value is out of range"))?;
        shares
            .iter()
            .map(|share| {
                let mut bytes = Vec::with_capacity(share.encoded_len().unwrap_or(0) + 128);
                public.encode(&mut bytes).and_then(|()| share.encode(&mut bytes)).map_err(|_| broken())?;
                Ok(bytes)
            })
            .collect()
    }

    /// Starts to verify the share of `member` at aggregator `place`. Returns this aggregator's part as well.
    pub(super) fn begin(
        &self,
        key: &[u8; 32],
        place: usize,
        member: &NodeId,
        share: &[u8],
    ) -> Result<(Verifying, Vec<u8>), Flaw> {
        // The public share holds 32 bytes for each aggregator.
        let (public, input) = share.split_at_checked(32 * self.aggregators()).ok_or_else(broken)?;
        let public = Prio3PublicShare::get_decoded_with_param(&self.prio, public).map_err(|_| broken())?;
        let input: Prio3InputShare<Field128, 32> =
            Prio3InputShare::get_decoded_with_param(&(&self.prio, place), input).map_err(|_| broken())?;
        let (state, own) = self
            .prio
            .verify_init(key, &self.context, place, &(), &self.nonce(member), &public, &input)
            .map_err(|_| broken())?;
        let part = own.get_encoded().map_err(|_| broken())?;
        Ok((Verifying { state, own }, part))
    }

    /// Verifies with the other aggregators' parts, in order of their place; `place` is one's own.
    pub(super) fn finish(&self, mine: Verifying, place: usize, others: &[&[u8]]) -> Result<Verified, Flaw> {
        let mut parts = others
            .iter()
            .map(|part| Prio3VerifierShare::get_decoded_with_param(&mine.state, part).map_err(|_| broken()))
            .collect::<Result<Vec<_>, _>>()?;
        parts.insert(place.min(parts.len()), mine.own);
        let message =
            self.prio.verifier_shares_to_message(&self.context, &(), parts).map_err(|_| broken())?;
        match self.prio.verify_next(&self.context, mine.state, message) {
            Ok(VerifyTransition::Finish(share)) => Ok(Verified(share)),
            _ => Err(broken()),
        }
    }

    /// The sum of verified shares.
    pub(super) fn add_up(&self, shares: impl IntoIterator<Item = Verified>) -> Result<Total, Flaw> {
        self.prio.aggregate(&(), shares.into_iter().map(|s| s.0)).map(Total).map_err(|_| broken())
    }

    /// Reads another aggregator's sum.
    pub(super) fn read_total(&self, bytes: &[u8]) -> Result<Total, Flaw> {
        AggregateShare::get_decoded_with_param(&(&self.prio, &()), bytes).map(Total).map_err(|_| broken())
    }

    /// The sum of `included` vectors, from every aggregator's.
    pub(super) fn unshard(
        &self,
        totals: impl IntoIterator<Item = Total>,
        included: usize,
    ) -> Result<Vec<u128>, Flaw> {
        self.prio.unshard(&(), totals.into_iter().map(|t| t.0), included).map_err(|_| broken())
    }

    fn aggregators(&self) -> usize {
        use prio::vdaf::Vdaf as _;
        self.prio.num_aggregators()
    }
}

impl Total {
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, Flaw> {
        self.0.get_encoded().map_err(|_| broken())
    }
}

fn flaw(what: &str) -> Flaw {
    Flaw::new("secure sum", what)
}

fn broken() -> Flaw {
    flaw("a share does not read, or its proof does not hold")
}
