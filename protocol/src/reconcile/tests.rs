//! Members in a simulator: partitions, losses, any order; and members that do not keep to the protocol.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};

use super::*;
use crate::time::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + seconds).unwrap()
}

fn id(n: u64) -> Digest {
    Digest::of(&n.to_be_bytes())
}

/// One member: what it holds, with dates.
#[derive(Default)]
struct Member {
    set: Set,
    held: BTreeSet<(i64, u64)>,
}

impl Member {
    fn take(&mut self, (seconds, n): (i64, u64)) {
        self.set.insert(at(seconds), id(n));
        self.held.insert((seconds, n));
    }

    /// Catches up with `other`; `lost` says whether a message is lost, which ends it.
    fn catch_up(&mut self, other: &mut Self, mut lost: impl FnMut() -> bool) {
        let theirs = other.set.sums();
        if lost() {
            return;
        }
        let needed: Vec<Digest> = match compare(&self.set.sums(), &theirs) {
            Compared::Bulk => other.held.iter().map(|(_, n)| id(*n)).collect(),
            Compared::Epochs(epochs) => {
                let mut needed = Vec::new();
                for epoch in epochs {
                    let (mut session, first) = Session::begin(self.set.epoch(epoch)).unwrap();
                    let mut next = Some(first);
                    while let Some(message) = next {
                        if lost() {
                            return;
                        }
                        let told = answer(other.set.epoch(epoch), &message).unwrap();
                        next = session.hear(&told).unwrap();
                    }
                    needed.extend(session.into_needed());
                }
                needed
            }
        };
        for needed in needed {
            if lost() {
                return;
            }
            let document = *other.held.iter().find(|(_, n)| id(*n) == needed).unwrap();
            self.take(document);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn after_any_partition_every_member_holds_the_same_set(
        seed: u64, members in 2..6usize, documents in 0..400u64, losses in 0..30u32,
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world: Vec<Member> = (0..members).map(|_| Member::default()).collect();
        let mut all = BTreeSet::new();
        for n in 0..documents {
            // Over some nine epochs; several in one second, too.
            let document = (rng.random_range(0..270) * 86_400, n);
            all.insert(document);
            for member in &mut world {
                if rng.random_range(0..3) == 0 {
                    member.take(document);
                }
            }
            // Nobody holds what nobody took.
            let keeper = rng.random_range(0..members);
            world[keeper].take(document);
        }
        // A while of losses, between whoever happens to meet.
        for _ in 0..20 {
            let (a, b) = (rng.random_range(0..members), rng.random_range(0..members));
            if a != b {
                meet(&mut world, a, b, &mut || rng.random_range(0..100) < losses);
            }
        }
        // Healed: each catches up with every other once.
        for a in 0..members {
            for b in 0..members {
                if a != b {
                    meet(&mut world, a, b, &mut || false);
                }
            }
        }
        let sums: Vec<_> = world.iter_mut().map(|m| (m.set.sums(), m.held.clone())).collect();
        prop_assert!(sums.iter().all(|(sum, held)| *sum == sums[0].0 && *held == all));
    }

    #[test]
    fn no_bytes_end_or_block_the_member_who_is_asked_or_asks(
        bytes in proptest::collection::vec(any::<u8>(), 0..300), held in 0..200u64,
    ) {
        let mut set = Set::default();
        set.extend((0..held).map(|n| (at(0), id(n))));
        let epoch = set.epoch(epoch_of(at(0)));
        let with_version = [&[0x61], &bytes[..]].concat();
        for message in [&bytes, &with_version] {
            let _ = answer(epoch.clone(), message);
            let (mut session, _) = Session::begin(epoch.clone()).unwrap();
            let _ = session.hear(message);
        }
    }
}

fn meet(world: &mut [Member], a: usize, b: usize, lost: &mut dyn FnMut() -> bool) {
    if a == b {
        return;
    }
    let mut one = std::mem::take(&mut world[a]);
    one.catch_up(&mut world[b], lost);
    world[a] = one;
}

#[test]
fn what_lacks_most_of_it_reads_the_whole_list_and_what_lacks_little_does_not() {
    let (mut much, mut little, mut all) = (Set::default(), Set::default(), Set::default());
    all.extend((0..5000).map(|n| (at(n * 3600), id(n as u64))));
    much.extend((0..1000).map(|n| (at(n * 3600), id(n as u64))));
    little.extend((0..4990).map(|n| (at(n * 3600), id(n as u64))));
    assert_eq!(compare(&much.sums(), &all.sums()), Compared::Bulk);
    assert_eq!(compare(&all.sums(), &little.sums()), Compared::Epochs(vec![epoch_of(at(4999 * 3600))]));
    let Compared::Epochs(epochs) = compare(&little.sums(), &all.sums()) else { panic!("little is missing") };
    assert_eq!(epochs, [epoch_of(at(4999 * 3600))], "the last ten hours differ");
    assert_eq!(compare(&all.sums(), &all.sums()), Compared::Epochs(vec![]));
    assert_eq!(compare(&all.sums(), &[]), Compared::Epochs(vec![]));
}

#[test]
fn a_member_that_never_ends_is_given_up_and_so_is_one_that_sends_too_much() {
    let mut set = Set::default();
    set.extend((0..1000).map(|n| (at(0), id(n))));
    let epoch = set.epoch(epoch_of(at(0)));
    let (mut session, first) = Session::begin(epoch.clone()).unwrap();
    // To whoever says each time that everything differs, there is always one more thing to ask.
    let answer = [&first[..1], &[0, 0, 1], &[9; 16]].concat();
    let mut heard = 0;
    let end = loop {
        match session.hear(&answer) {
            Ok(Some(_)) => heard += 1,
            other => break other,
        }
        assert!(heard <= limits::RECONCILE_ROUNDS);
    };
    assert_eq!((end, heard), (Err(ReconcileError::Endless), limits::RECONCILE_ROUNDS - 1));
    let long = vec![0x61; limits::RECONCILE_BYTES + 1];
    assert_eq!(session.hear(&long), Err(ReconcileError::TooLong));
    assert_eq!(super::answer(epoch, &long), Err(ReconcileError::TooLong));
}

#[test]
fn ids_without_end_are_needed_up_to_a_bound() {
    let (mut session, first) = Session::begin(Set::default().epoch(0)).unwrap();
    let mut n = 0u64;
    loop {
        // A list of 1,000 ids up to the end, and more behind it.
        let mut message = vec![first[0], 0, 0, 2, 0x87, 0x68];
        for _ in 0..1000 {
            n += 1;
            message.extend(id(n).as_bytes());
        }
        message.extend([0, 0, 1]);
        message.extend([9; 16]);
        match session.hear(&message) {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => panic!("{error}"),
        }
        assert!(n <= 2 * limits::NEEDED as u64);
    }
    assert_eq!(session.into_needed().len(), limits::NEEDED);
}

#[test]
fn the_date_of_a_document_is_its_signers() {
    use crate::document::{Signed, charter::samples::secret};
    let refusal = crate::statistic::Refusal {
        version: 1,
        query: crate::id::Id::of(b"q"),
        ground: crate::statistic::Ground::Expired,
        made_at: at(7),
    };
    let json = Signed::new(refusal, &secret(1)).unwrap().envelope().to_json().unwrap();
    assert_eq!(dated(&json), Some(at(7)));
    let within =
        format!(r#"{{"head":{},"objects":[{{"published_at":"x"}}]}}"#, String::from_utf8(json).unwrap());
    assert_eq!(dated(within.as_bytes()), Some(at(7)));
    assert_eq!(dated(b"{}"), None);
    assert_eq!((epoch_of(at(-1_000_000_000)), epoch_of(at(0))), (0, 47));
}
