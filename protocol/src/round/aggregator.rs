//! An aggregator's part in one round (docs/protocol.md §9).
//!
//! It takes shares until the round is closed, verifies the proofs with the others, signs one set of vectors, ever,
//! and reveals the sum of its shares over that set alone, once every aggregator has signed the same.

use std::collections::BTreeMap;

use rand::CryptoRng;
use sha2::{Digest as _, Sha256};

use super::{
    agreed::Round,
    commitment::Blinding,
    exchange::Declined,
    message::{Included, Receipt, Submission, Verifiers},
    secure_sum::{MOST_SHARE_BYTES, SecureSum, Total, Verified, Verifying},
    share::parts,
};
use crate::{
    document::{Envelope, NodeSecret, Signed},
    id::{Digest, Id, NodeId},
};

/// Bytes of shares held for one round, from their arrival until they are summed. A leader's share is 16 bytes for each
/// bit of a vector: this is 80 shares of the largest vectors, or 1,000 of 1,000 cells of 16 bits. Beyond it shares are
/// declined as `Busy`; a roster that would need more is refused before.
pub(super) const MOST_HELD_BYTES: usize = 256 * 1024 * 1024;

type Outcome<T> = Result<T, Declined>;

/// One round at one aggregator.
pub(super) struct Aggregation {
    round: Round,
    place: usize,
    sum: SecureSum,
    reports: BTreeMap<usize, Report>,
    /// The other aggregators' parts of the proofs, by their place.
    others: BTreeMap<usize, Vec<u8>>,
    bytes: usize,
    stage: Stage,
}

/// One member's submission with the share for this aggregator.
struct Report {
    id: Id<Submission>,
    member: NodeId,
    share: Vec<u8>,
}

enum Stage {
    Open,
    Closed(Signed<Receipt>),
    Verifying {
        common: Vec<Common>,
        own: Signed<Verifiers>,
        parts: Vec<u8>,
    },
    Included {
        set: Signed<Included>,
        total: Total,
        blinding: Blinding,
        revealed: bool,
    },
    /// It came to nothing here; only [`Abort`](super::message::Abort) is left.
    Over,
}

/// A submission that every aggregator holds.
struct Common {
    id: Id<Submission>,
    /// Of this aggregator; none where the share does not read.
    verifying: Option<(Verifying, Blinding)>,
}

impl Aggregation {
    /// For the aggregator at `place` of `round`.
    pub(super) fn new(round: Round, place: usize) -> Outcome<Self> {
        let sum = SecureSum::of(&round).map_err(|_| Declined::NotAcceptable)?;
        Ok(Self {
            round,
            place,
            sum,
            reports: BTreeMap::new(),
            others: BTreeMap::new(),
            bytes: 0,
            stage: Stage::Open,
        })
    }

    pub(super) const fn round(&self) -> &Round {
        &self.round
    }

    /// Bytes of shares held.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the share of the member `from`, who signed `submission`. The first one of a member stands.
    pub(super) fn deliver(
        &mut self,
        from: NodeId,
        submission: &Signed<Submission>,
        share: Vec<u8>,
    ) -> Outcome<()> {
        if share.len() > MOST_SHARE_BYTES {
            return Err(Declined::NotAcceptable);
        }
        let seat = self.round.place(submission).map_err(|_| Declined::NotAcceptable)?;
        if submission.sole_signer() != Ok(from)
            || submission.document().shares.get(self.place) != Some(&Digest::of(&share))
        {
            return Err(Declined::NotAcceptable);
        }
        match self.reports.get(&seat) {
            Some(report) if report.id == submission.id() => return Ok(()),
            Some(_) => return Err(Declined::Contradiction),
            None if !matches!(self.stage, Stage::Open) => return Err(Declined::OutOfTurn),
            None if self.bytes + share.len() > MOST_HELD_BYTES => return Err(Declined::Busy),
            None => {}
        }
        self.bytes += share.len();
        self.reports.insert(seat, Report { id: submission.id(), member: from, share });
        Ok(())
    }

    /// Closes the round: of `known`, these submissions are here. Only now is this aggregator's part of the key
    /// made that the proofs are verified with.
    pub(super) fn close<R: CryptoRng + ?Sized>(
        &mut self,
        known: &[Id<Submission>],
        secret: &NodeSecret,
        rng: &mut R,
    ) -> Outcome<Signed<Receipt>> {
        match &self.stage {
            Stage::Open => {}
            Stage::Closed(receipt) => return Ok(receipt.clone()),
            _ => return Err(Declined::OutOfTurn),
        }
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        let receipt = Receipt {
            version: 1,
            round: self.round.id(),
            submissions: self.reports.values().map(|r| r.id).filter(|id| known.contains(id)).collect(),
            key: Digest::from_bytes(key),
        };
        let receipt = Signed::new(receipt, secret).map_err(|_| Declined::NotAcceptable)?;
        self.stage = Stage::Closed(receipt.clone());
        Ok(receipt)
    }

    /// Verifies this aggregator's part of the proofs of all submissions that every receipt names.
    pub(super) fn prepare(
        &mut self,
        receipts: Vec<Envelope>,
        secret: &NodeSecret,
    ) -> Outcome<(Signed<Verifiers>, Vec<u8>)> {
        let own = match &self.stage {
            Stage::Open => return Err(Declined::OutOfTurn),
            Stage::Closed(receipt) => receipt.clone(),
            Stage::Verifying { own, parts, .. } => return Ok((own.clone(), parts.clone())),
            Stage::Included { .. } | Stage::Over => return Err(Declined::OutOfTurn),
        };
        let receipts = self.of_every_aggregator(receipts)?;
        if receipts.get(self.place).is_none_or(|r| r.id() != own.id()) {
            return Err(Declined::Contradiction);
        }
        let mut key = Sha256::new_with_prefix(b"hedgerow verification key 1");
        key.update(self.round.id().digest().as_bytes());
        receipts.iter().for_each(|r| key.update(r.document().key.as_bytes()));
        let key: [u8; 32] = key.finalize().into();
        let everywhere = |id: &Id<Submission>| receipts.iter().all(|r| r.document().submissions.contains(id));
        let (mut common, mut all) = (Vec::new(), Vec::new());
        for report in std::mem::take(&mut self.reports).into_values().filter(|r| everywhere(&r.id)) {
            let begun = parts(&report.share).and_then(|(share, blinding)| {
                let (verifying, part) = self.sum.begin(&key, self.place, &report.member, share)?;
                Ok(((verifying, blinding), part))
            });
            let (verifying, part) = begun.map_or((None, Vec::new()), |(v, part)| (Some(v), part));
            put_part(&mut all, &part);
            common.push(Common { id: report.id, verifying });
        }
        // What was read of a share takes as much as the share did.
        self.bytes = self.bytes.saturating_add(all.len());
        let verifiers = Verifiers { version: 1, round: self.round.id(), verifiers: Digest::of(&all) };
        let own = Signed::new(verifiers, secret).map_err(|_| Declined::NotAcceptable)?;
        self.stage = Stage::Verifying { common, own: own.clone(), parts: all.clone() };
        Ok((own, all))
    }

    /// Takes another aggregator's part of the proofs. The first one stands.
    pub(super) fn verify(
        &mut self,
        from: NodeId,
        verifiers: &Signed<Verifiers>,
        parts: Vec<u8>,
    ) -> Outcome<()> {
        let place = self.round.aggregator(&from).filter(|place| *place != self.place);
        let (Some(place), Ok(signer)) = (place, verifiers.sole_signer()) else {
            return Err(Declined::NotAcceptable);
        };
        let v = verifiers.document();
        if signer != from || v.round != self.round.id() || v.verifiers != Digest::of(&parts) {
            return Err(Declined::NotAcceptable);
        }
        match self.others.get(&place) {
            Some(held) if *held == parts => Ok(()),
            Some(_) => Err(Declined::Contradiction),
            None if matches!(self.stage, Stage::Closed(_) | Stage::Verifying { .. }) => {
                self.bytes = self.bytes.saturating_add(parts.len());
                self.others.insert(place, parts);
                Ok(())
            }
            None => Err(Declined::OutOfTurn),
        }
    }

    /// Which proofs hold, with the other aggregators' parts: the set that this aggregator signs, the only one ever.
    pub(super) fn include(&mut self, secret: &NodeSecret) -> Outcome<Signed<Included>> {
        match &self.stage {
            Stage::Verifying { .. } if self.others.len() + 1 == self.round.aggregators().len() => {}
            Stage::Included { set, .. } => return Ok(set.clone()),
            _ => return Err(Declined::OutOfTurn),
        }
        let others = std::mem::take(&mut self.others);
        let theirs: Option<Vec<Vec<&[u8]>>> = others.values().map(|parts| take_parts(parts)).collect();
        let Some(theirs) = theirs else { return Err(Declined::NotAcceptable) };
        let Stage::Verifying { common, .. } = std::mem::replace(&mut self.stage, Stage::Over) else {
            return Err(Declined::OutOfTurn);
        };
        // From here on the states are used up: whatever comes of it, the round cannot go back.
        self.bytes = 0;
        let (mut ids, mut shares, mut blindings): (Vec<_>, Vec<Verified>, Vec<Blinding>) = Default::default();
        for (at, report) in common.into_iter().enumerate() {
            let parts: Option<Vec<&[u8]>> = theirs.iter().map(|t| t.get(at).copied()).collect();
            let (Some(parts), Some((verifying, blinding))) = (parts, report.verifying) else { continue };
            if let Ok(share) = self.sum.finish(verifying, self.place, &parts) {
                ids.push(report.id);
                shares.push(share);
                blindings.push(blinding);
            }
        }
        let total = self.sum.add_up(shares).map_err(|_| Declined::NotAcceptable)?;
        let set = Included { version: 1, round: self.round.id(), submissions: ids };
        let set = Signed::new(set, secret).map_err(|_| Declined::NotAcceptable)?;
        let blinding = Blinding::sum(&blindings);
        self.stage = Stage::Included { set: set.clone(), total, blinding, revealed: false };
        Ok(set)
    }

    /// Whether this aggregator may reveal its sum over `included`: it signed that set, and so did all others.
    pub(super) fn may_reveal(&self, included: &Signed<Included>) -> Outcome<()> {
        let Stage::Included { set, .. } = &self.stage else { return Err(Declined::OutOfTurn) };
        if included.id() != set.id() {
            return Err(Declined::Contradiction);
        }
        self.round.holds(included).map_err(|_| Declined::NotAcceptable)
    }

    /// The sum, after [`Self::may_reveal`] and once it is marked on disk that it is revealed.
    pub(super) fn reveal(&mut self) -> Outcome<Vec<u8>> {
        let Stage::Included { total, blinding, revealed, .. } = &mut self.stage else {
            return Err(Declined::OutOfTurn);
        };
        *revealed = true;
        let mut bytes = blinding.to_bytes().to_vec();
        bytes.extend(total.to_bytes().map_err(|_| Declined::NotAcceptable)?);
        Ok(bytes)
    }

    /// Whether nothing is left to do but to say it again.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Included { revealed: true, .. } | Stage::Over)
    }

    /// The set that this aggregator signed.
    pub(super) const fn set(&self) -> Option<&Signed<Included>> {
        match &self.stage {
            Stage::Included { set, .. } => Some(set),
            _ => None,
        }
    }

    /// Opens the receipt of each aggregator, in their order.
    fn of_every_aggregator(&self, envelopes: Vec<Envelope>) -> Outcome<Vec<Signed<Receipt>>> {
        if envelopes.len() != self.round.aggregators().len() {
            return Err(Declined::NotAcceptable);
        }
        let opened = self.round.aggregators().iter().zip(envelopes).map(|(aggregator, envelope)| {
            let receipt: Signed<Receipt> = envelope.open().map_err(|_| Declined::NotAcceptable)?;
            if receipt.sole_signer() == Ok(*aggregator) && receipt.document().round == self.round.id() {
                Ok(receipt)
            } else {
                Err(Declined::NotAcceptable)
            }
        });
        opened.collect()
    }
}

/// Appends `part` with its length, 4 bytes big-endian.
pub(super) fn put_part(all: &mut Vec<u8>, part: &[u8]) {
    // A part is at most MOST_SHARE_BYTES by its parameters; a longer one would be cut and fail to verify.
    all.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    all.extend(part);
}

/// The parts that [`put_part`] wrote.
pub(super) fn take_parts(mut all: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !all.is_empty() {
        let (length, rest) = all.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        parts.push(part);
        all = rest;
    }
    Some(parts)
}
