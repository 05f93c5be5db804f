//! Parties that do not keep to the protocol: what the honest see, and that no more is learnt than a release says.

use rand::SeedableRng as _;

use super::*;

#[test]
fn an_aggregator_that_reveals_a_wrong_sum_is_caught_by_the_commitments() {
    for byte in [0usize, 31, 40, 200] {
        let mut world = world(Weather::default(), 6);
        let (outcome, _) = tampered(&mut world, None, &mut |flight, aggregators| {
            if matches!(flight.message, Says::Told(Told::Revealed)) && flight.from == aggregators[1] {
                flight.beside[byte] ^= 1;
            }
            Fate::Pass
        });
        assert!(matches!(
            outcome.unwrap_err(),
            Failed::FalseTotal | Failed::Aggregators { .. } | Failed::Flaw(_)
        ));
    }
}

/// A member may change its shares after the proof was made, and sign what it changed: every aggregator holds the same
/// submission, and the proof does not hold for it.
#[test]
fn a_member_whose_values_are_out_of_range_is_left_out() {
    let mut world = world(Weather::default(), 7);
    let cheat = secret(4);
    let mut changed: Option<(Envelope, BTreeMap<NodeId, Vec<u8>>)> = None;
    let mut own: BTreeMap<NodeId, Vec<u8>> = BTreeMap::new();
    let mut left_out = 0;
    let (outcome, _) = tampered(&mut world, None, &mut |flight, aggregators| {
        if flight.from != cheat.node_id() {
            if let Says::Told(Told::Included { envelope }) = &flight.message {
                let set: Signed<Included> = envelope.clone().open().unwrap();
                left_out += usize::from(set.document().submissions.len() == 5);
            }
            return Fate::Pass;
        }
        match &mut flight.message {
            Says::Ask(Ask::Deliver { submission }) => {
                // The first bit of the first value is no bit: 7 is added to the leader's share of it.
                let mut share = flight.beside.clone();
                if flight.to == aggregators[0] {
                    share[32 * aggregators.len()] ^= 7;
                }
                own.insert(flight.to, share);
                let Some((envelope, shares)) = &changed else {
                    if own.len() == aggregators.len() {
                        let mut forged = submission.clone().open::<Submission>().unwrap().document().clone();
                        forged.shares = aggregators.iter().map(|a| crate::id::Digest::of(&own[a])).collect();
                        let forged = Signed::new(forged, &cheat).unwrap().envelope().clone();
                        changed = Some((forged, own.clone()));
                    }
                    // It is asked again once both are known.
                    return Fate::Lose;
                };
                *submission = envelope.clone();
                flight.beside.clone_from(&shares[&flight.to]);
            }
            Says::Told(Told::Submitted { envelope }) => {
                *envelope = changed.as_ref().unwrap().0.clone();
            }
            Says::Told(Told::Included { envelope }) => {
                let set: Signed<Included> = envelope.clone().open().unwrap();
                left_out += usize::from(set.document().submissions.len() == 5);
            }
            _ => {}
        }
        Fate::Pass
    });
    let release = released(outcome);
    sound(&release);
    assert_eq!(release.document().counted(), 5);
    assert_eq!(left_out, 2, "both aggregators held its report and found that the proof does not hold");
}

#[test]
fn a_member_that_hands_in_two_reports_is_left_out() {
    let mut world = world(Weather::default(), 8);
    let cheat = secret(3);
    let (outcome, _) = tampered(&mut world, None, &mut |flight, aggregators| {
        if let Says::Ask(Ask::Deliver { submission }) = &mut flight.message
            && flight.from == cheat.node_id()
            && flight.to == aggregators[1]
        {
            // Another commitment for the second aggregator.
            let mut other = submission.clone().open::<Submission>().unwrap().document().clone();
            other.commitment = crate::id::Digest::of(b"another vector");
            *submission = Signed::new(other, &cheat).unwrap().envelope().clone();
        }
        Fate::Pass
    });
    let release = released(outcome);
    sound(&release);
    assert_eq!(release.document().counted(), 5);
}

#[test]
fn a_member_that_commits_to_another_vector_spoils_the_round_and_is_not_believed() {
    let mut world = world(Weather::default(), 9);
    let cheat = secret(3);
    let (outcome, _) = tampered(&mut world, None, &mut |flight, _| {
        let envelope = match &mut flight.message {
            Says::Ask(Ask::Deliver { submission }) => submission,
            Says::Told(Told::Submitted { envelope }) => envelope,
            _ => return Fate::Pass,
        };
        if flight.from == cheat.node_id() {
            let mut other = envelope.clone().open::<Submission>().unwrap().document().clone();
            let identity = [0; 32];
            other.commitment = crate::id::Digest::from_bytes(identity);
            *envelope = Signed::new(other, &cheat).unwrap().envelope().clone();
        }
        Fate::Pass
    });
    assert_eq!(outcome.unwrap_err(), Failed::FalseTotal);
}

#[test]
fn a_member_that_hands_in_nothing_is_left_out_and_one_too_many_ends_the_round() {
    for (silent, holds) in [(vec![2], true), (vec![2, 3], false)] {
        let mut world = world(Weather::default(), 10);
        let mut silent: Vec<NodeId> = silent.into_iter().map(|n| secret(n).node_id()).collect();
        silent.sort_unstable();
        let (outcome, _) = tampered(&mut world, None, &mut |flight, _| match &flight.message {
            Says::Ask(Ask::Contribute { .. }) if silent.contains(&flight.to) => Fate::Lose,
            _ => Fate::Pass,
        });
        if holds {
            let release = released(outcome);
            sound(&release);
            assert_eq!(release.document().counted(), 5);
        } else {
            assert_eq!(outcome.unwrap_err(), Failed::TooFewVectors { got: 4, need: 5, missing: silent });
        }
    }
}

#[test]
fn a_report_of_another_round_or_for_a_roster_it_is_not_on_is_refused() {
    let round = samples::round(MEMBERS, "1");
    let place = round.aggregator(&round.aggregators()[0]).unwrap();
    let mut aggregation = aggregator::Aggregation::new(round.clone(), place).unwrap();
    let share = vec![1, 2, 3];
    let hashes = vec![crate::id::Digest::of(&share); 2];
    let submission = |round: Id<Roster>, n: u8| {
        let s = Submission {
            version: 1,
            round,
            commitment: Id::<Roster>::of(b"c").digest(),
            shares: hashes.clone(),
        };
        Signed::new(s, &secret(n)).unwrap()
    };
    let mut deliver = |from: u8, s: Signed<Submission>, share: &[u8]| {
        aggregation.deliver(secret(from).node_id(), &s, share.to_vec())
    };
    let refused = Err(Declined::NotAcceptable);
    assert_eq!(deliver(2, submission(Id::of(b"another round"), 2), &share), refused);
    assert_eq!(deliver(9, submission(round.id(), 9), &share), refused, "not on the roster");
    assert_eq!(deliver(2, submission(round.id(), 3), &share), refused, "another's report");
    assert_eq!(deliver(2, submission(round.id(), 2), b"another share"), refused);
    assert_eq!(deliver(2, submission(round.id(), 2), &share), Ok(()));
    assert_eq!(deliver(2, submission(round.id(), 2), &share), Ok(()), "sent twice");
}

#[test]
fn an_aggregator_reveals_only_over_the_one_set_that_all_signed() {
    let mut world = world(Weather::default(), 11);
    // The coordinator asks for the sum with a set that one aggregator alone signed, or with another set.
    for wrong in ["one signature", "another set", "one missing"] {
        let (mut refused, mut revealed) = (0, 0);
        let (outcome, _) = tampered(&mut world, None, &mut |flight, aggregators| {
            if let Says::Ask(Ask::Reveal { included }) = &mut flight.message {
                let set: Signed<Included> = included.clone().open().unwrap();
                let mut other = set.document().clone();
                match wrong {
                    "another set" => other.submissions.reverse(),
                    "one missing" => other.submissions.truncate(5),
                    _ => {}
                }
                let own = (1..=MEMBERS).map(secret).find(|s| s.node_id() == aggregators[0]).unwrap();
                *included = Signed::new(other, &own).unwrap().envelope().clone();
            }
            match &flight.message {
                Says::Told(Told::Declined { why: Declined::NotAcceptable | Declined::Contradiction }) => {
                    refused += 1
                }
                Says::Told(Told::Revealed) => revealed += 1,
                _ => {}
            }
            Fate::Pass
        });
        assert!(outcome.is_err());
        assert_eq!((refused, revealed), (2, 0), "{wrong}");
    }
}

#[test]
fn an_aggregator_asked_early_reveals_nothing() {
    let mut world = world(Weather::default(), 12);
    let (outcome, _) = tampered(&mut world, None, &mut |flight, aggregators| {
        if let Says::Ask(ask @ Ask::Prepare { .. }) = &mut flight.message {
            let Ask::Prepare { round, .. } = ask else { unreachable!() };
            let set = Included { version: 1, round: *round, submissions: vec![Id::of(b"x")] };
            let own = (1..=MEMBERS).map(secret).find(|s| s.node_id() == aggregators[0]).unwrap();
            *ask = Ask::Reveal { included: Signed::new(set, &own).unwrap().envelope().clone() };
        }
        assert!(!matches!(flight.message, Says::Told(Told::Revealed)));
        Fate::Pass
    });
    assert!(matches!(outcome.unwrap_err(), Failed::Aggregators { stage: Stage::Preparing, .. }));
}

#[test]
fn two_rosters_for_two_halves_make_no_release_and_no_second_vector() {
    for when in ["drawing", "contributing"] {
        let mut world = world(Weather::default(), 13);
        let lead = secret(1);
        let mut watch = Watch::default();
        let (outcome, _) = tampered(&mut world, None, &mut |flight, _| {
            watch.see(flight);
            let half = [2, 3].contains(&(1..=MEMBERS).find(|n| secret(*n).node_id() == flight.to).unwrap());
            match &mut flight.message {
                Says::Ask(Ask::Draw { roster }) if half && when == "drawing" => {
                    let mut other = roster.clone().open::<Roster>().unwrap().document().clone();
                    other.made_at = other.made_at.plus_seconds(1);
                    *roster = Signed::new(other, &lead).unwrap().envelope().clone();
                }
                Says::Ask(Ask::Contribute { round, .. }) if half && when == "contributing" => {
                    *round = Id::of(b"another roster");
                }
                _ => {}
            }
            Fate::Pass
        });
        // Who told what it drew for one roster hands in nothing for another, and pays nothing.
        let failed = outcome.unwrap_err();
        assert!(matches!(failed, Failed::TooFewVectors { got: 4, need: 5, .. }), "{failed:?}");
        assert!(watch.0.values().all(|sent| sent.len() == 1), "a consent serves one roster");
        let mut all = spent(&world);
        all.sort_unstable();
        assert_eq!(all, [0, 0, 1_000_000, 1_000_000, 1_000_000, 1_000_000]);
    }
}

/// Asks one node of `world` by itself, as whoever holds `from` would.
fn asked(world: &mut World, from: u8, to: u8, ask: Ask) -> Told {
    world.ask(secret(from).node_id(), &secret(to).node_id(), ask).unwrap().told
}

/// Rosters on the consent of `to`, each with another draw of its own for the asker, until it tells no more.
#[test]
fn whoever_asks_learns_the_aggregators_of_few_rosters_and_of_none_before_it_is_fixed() {
    let mut world = world(Weather::default(), 18);
    let query = question("1");
    let terms = samples::terms(MEMBERS, "1");
    let mut told = 0;
    for n in 0..20u8 {
        let convene = Ask::Convene { query: query.envelope().clone() };
        let Told::Consent { envelope } = asked(&mut world, 1, 2, convene) else { panic!("no consent") };
        let consent: Signed<Consent> = envelope.open().unwrap();
        let seat = |member: u8| {
            let own = draw(&crate::id::Digest::of(&[n, member]));
            let draw = if member == 2 { consent.document().draw } else { own };
            Seat { member: secret(member).node_id(), draw }
        };
        let mut seats: Vec<Seat> = (1..=MEMBERS).map(seat).collect();
        seats.sort_unstable_by_key(|s| s.member);
        let mut roster = Roster {
            version: 1,
            charter: signed_charter_with_rounds(MEMBERS).id(),
            query: query.id(),
            plan: terms.id(),
            seats,
            parameters: Parameters::new(&terms, usize::from(MEMBERS), None).unwrap(),
            made_at: samples::at(),
        };
        let mut drawn = |roster: &Roster| {
            let roster = Signed::new(roster.clone(), &secret(1)).unwrap().envelope().clone();
            asked(&mut world, 1, 2, Ask::Draw { roster })
        };
        match drawn(&roster) {
            Told::Drawn { nonce } => {
                told += 1;
                assert_eq!(draw(&nonce), consent.document().draw);
                // Now that it knows, it cannot change the roster.
                roster.seats.retain(|s| s.member != secret(3).node_id());
                roster.parameters = Parameters::new(&terms, usize::from(MEMBERS) - 1, None).unwrap();
                assert_eq!(drawn(&roster), Told::Declined { why: Declined::Contradiction });
            }
            other => assert_eq!(other, Told::Declined { why: Declined::Busy }),
        }
    }
    assert_eq!(told, 12);
    assert_eq!(spent(&world), [0; 6]);
    // Another who asks the same is not held up by it.
    let query = Signed::new(query.document().clone(), &secret(3)).unwrap();
    let (outcome, _) = world.round(query, None, &mut pass);
    assert_eq!(released(outcome).document().counted(), 6);
}

/// What an aggregator holds of a round counts from the arrival of a share until the shares are summed.
#[test]
fn shares_count_as_memory_until_they_are_summed() {
    let round = samples::round(MEMBERS, "1");
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    let by_id = |id: &NodeId| (1..=MEMBERS).map(secret).find(|s| s.node_id() == *id).unwrap();
    let own: Vec<_> = round.aggregators().iter().map(by_id).collect();
    let mut both: Vec<_> =
        (0..2).map(|place| aggregator::Aggregation::new(round.clone(), place).unwrap()).collect();
    let mut named = Vec::new();
    let mut sent = [0; 2];
    for n in 1..=MEMBERS {
        let values = vec![3; round.terms().plan().cells()];
        let share = NoisedShare::new(round.terms().id(), round.id(), &round, values);
        let (submission, messages) = share.submit(&round, &secret(n), &mut rng).unwrap();
        for (place, message) in messages.into_iter().enumerate() {
            sent[place] += message.len();
            both[place].deliver(secret(n).node_id(), &submission, message).unwrap();
        }
        named.push(submission.id());
    }
    let held = |both: &[aggregator::Aggregation]| [both[0].bytes(), both[1].bytes()];
    assert_eq!(held(&both), sent);
    let receipts: Vec<Envelope> = both
        .iter_mut()
        .zip(&own)
        .map(|(a, s)| a.close(&named, s, &mut rng).unwrap().envelope().clone())
        .collect();
    let parts: Vec<_> =
        both.iter_mut().zip(&own).map(|(a, s)| a.prepare(receipts.clone(), s).unwrap()).collect();
    for place in 0..2 {
        let (verifiers, bytes) = &parts[1 - place];
        let from = round.aggregators()[1 - place];
        both[place].verify(from, verifiers, bytes.clone()).unwrap();
        assert_eq!(both[place].bytes(), sent[place] + parts[0].1.len() + parts[1].1.len());
        assert_eq!(both[place].include(&own[place]).unwrap().document().submissions.len(), 6);
    }
    assert_eq!(held(&both), [0, 0]);
}

#[test]
fn who_consents_and_does_not_draw_is_named_and_nothing_is_spent() {
    let mut world = world(Weather::default(), 19);
    let quiet = secret(5).node_id();
    let (outcome, attempt) = tampered(&mut world, None, &mut |flight, _| match &flight.message {
        Says::Ask(Ask::Draw { .. }) if flight.to == quiet => Fate::Lose,
        // Other bytes than its consent is bound to count as silence.
        _ => Fate::Pass,
    });
    assert_eq!(outcome.unwrap_err(), Failed::Undrawn { missing: vec![quiet] });
    assert_eq!((attempt, spent(&world)), (None, vec![0; 6]));
    let (outcome, _) = tampered(&mut world, None, &mut |flight, _| {
        if let Says::Told(Told::Drawn { nonce }) = &mut flight.message
            && flight.from == quiet
        {
            *nonce = crate::id::Digest::of(b"what I would rather have drawn");
        }
        Fate::Pass
    });
    assert_eq!(outcome.unwrap_err(), Failed::Undrawn { missing: vec![quiet] });
}

#[test]
fn one_member_marks_few_rounds_on_anothers_disk() {
    let mut world = world(Weather::default(), 20);
    let round = samples::round(MEMBERS, "1");
    let mut aborted = 0;
    for n in 0..100 {
        let mut roster = round.roster().document().clone();
        roster.made_at = roster.made_at.plus_seconds(n);
        let roster = Signed::new(roster, &secret(1)).unwrap().envelope().clone();
        aborted += usize::from(matches!(
            asked(&mut world, 1, 2, Ask::Abort { roster: roster.clone() }),
            Told::Aborted { .. }
        ));
        // Nobody gives up another's round.
        assert_eq!(
            asked(&mut world, 3, 2, Ask::Abort { roster }),
            Told::Declined { why: Declined::NotAcceptable }
        );
    }
    assert_eq!(aborted, 60);
}

#[test]
fn a_researcher_who_repeats_and_intersects_pays_until_the_ledger_refuses() {
    let mut world = world(Weather::default(), 15);
    // 5 is the purpose's cap: five questions of epsilon 1, each slightly another, then no more.
    for n in 0..7u32 {
        let mut query = samples::query(MEMBERS, "1");
        query.conditions = vec![crate::statistic::Condition {
            dimension: crate::vocabulary::Dimension::Origin,
            any_of: crate::vocabulary::Dimension::Origin.codes()[..=n as usize]
                .iter()
                .map(|c| c.code.to_owned())
                .collect(),
        }];
        let (outcome, _) = world.round(Signed::new(query, &secret(1)).unwrap(), None, &mut pass);
        if n < 5 {
            sound(&released(outcome));
        } else {
            let failed = outcome.unwrap_err();
            assert!(matches!(&failed, Failed::TooFewVectors { got: 0, .. }), "{failed}");
        }
    }
    assert_eq!(spent(&world), [5_000_000; 6]);
}
