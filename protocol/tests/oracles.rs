//! The privacy core against programs that are not ours: Google's privacy loss distributions, OpenDP, and exact sums
//! with 50 digits. `tests/oracles/` makes the vectors.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{fs, path::Path};

use hedgerow_protocol::privacy::{Accounting, Interval, Loss, Mechanism, MicroEpsilon, Sensitivity};
use serde_json::Value;

fn cases(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/vectors/privacy/{name}.json"));
    let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(json["made_by"].is_object());
    json["cases"].as_array().unwrap().clone()
}

fn int(case: &Value, field: &str) -> u64 {
    case[field].as_u64().unwrap_or_else(|| panic!("{field} of {case}"))
}

fn real(case: &Value, field: &str) -> f64 {
    case[field].as_f64().unwrap_or_else(|| panic!("{field} of {case}"))
}

fn sensitivity(case: &Value) -> Sensitivity {
    let cells = u32::try_from(int(case, "cells")).unwrap();
    let parts = u32::try_from(case["parts"].as_u64().unwrap_or(1)).unwrap();
    Sensitivity { cells, change: int(case, "change"), parts }
}

fn laplace(case: &Value, l1: u64) -> Mechanism {
    let epsilon = MicroEpsilon::from_micros(int(case, "epsilon_micros"));
    let shape = (int(case, "shape_numerator"), int(case, "shape_denominator"));
    Mechanism::laplace_shares(l1, epsilon, shape).unwrap()
}

/// Ours may be above by as much as it rounds up, never below.
fn at_or_above(own: MicroEpsilon, oracle: f64, case: &Value) {
    assert!(own.micros() as f64 >= oracle * 1e6 - 1e-3, "{own} is below {oracle}: {case}");
}

fn within_a_hundredth(own: MicroEpsilon, best: f64, case: &Value) {
    assert!(own.micros() as f64 <= best * 1e6 * 1.01, "{own} is over 1% above {best}: {case}");
}

#[test]
fn epsilons_of_laplace_noise_and_its_shares_are_never_below_the_privacy_loss_distribution() {
    let cases = cases("laplace");
    assert!(cases.len() >= 40);
    for case in &cases {
        let sensitivity = sensitivity(case);
        let loss = Loss::new(sensitivity, Accounting::Pure);
        let mechanism = laplace(case, sensitivity.l1());
        let own = loss.epsilon(&mechanism, int(case, "samples") as f64).unwrap();
        at_or_above(own, real(case, "epsilon_pld"), case);
        at_or_above(own, real(case, "epsilon_best"), case);
        within_a_hundredth(own, real(case, "epsilon_best"), case);
    }
}

/// Means, whose change lies in two cells, and people known at several nodes. An odd change over two cells of less than
/// whole noise has no closed form: ours is above by what rounding up its half costs.
#[test]
fn epsilons_of_means_and_of_people_known_at_several_nodes_are_never_below_the_worst_that_can_be() {
    let cases = cases("groups");
    assert!(cases.len() >= 40);
    for case in &cases {
        let sensitivity = sensitivity(case);
        let loss =
            Loss::new(sensitivity, Accounting::Pure).of_group(u32::try_from(int(case, "nodes")).unwrap());
        let own = loss.epsilon(&laplace(case, sensitivity.l1()), int(case, "samples") as f64).unwrap();
        at_or_above(own, real(case, "epsilon_pld"), case);
        at_or_above(own, real(case, "epsilon_best"), case);
        if case["closed_form"] == true {
            within_a_hundredth(own, real(case, "epsilon_best"), case);
        }
    }
}

#[test]
fn what_colluders_leave_of_a_rounds_noise_has_the_epsilon_that_is_stated_against_them() {
    let cases = cases("colluders");
    assert!(cases.len() >= 24);
    for case in &cases {
        let sensitivity = sensitivity(case);
        let epsilon = MicroEpsilon::from_micros(int(case, "epsilon_micros"));
        let (n, t, s) = (int(case, "seats"), int(case, "colluding"), int(case, "included"));
        let share = Mechanism::laplace_shares(sensitivity.l1(), epsilon, (1, n - t)).unwrap();
        let own = Loss::new(sensitivity, Accounting::Pure).epsilon(&share, (s - t) as f64).unwrap();
        at_or_above(own, real(case, "epsilon_pld"), case);
        at_or_above(own, real(case, "epsilon_best"), case);
        within_a_hundredth(own, real(case, "epsilon_best"), case);
    }
}

/// Each share is a sum of two Gaussians: the noise of the first round, and what was missing to the larger of the next.
#[test]
fn vectors_used_again_have_no_more_rho_or_epsilon_than_is_stated_for_their_larger_shares() {
    let cases = cases("used_again");
    assert!(cases.len() >= 8);
    for case in &cases {
        let loss = Loss::new(sensitivity(case), Accounting::Zcdp { delta_e12: int(case, "delta_e12") });
        let stated = Mechanism::DiscreteGaussian { sigma_sixteenths: int(case, "sigma_sixteenths") };
        let samples = int(case, "samples") as f64;
        let (rho, known) = (loss.rho(&stated, samples).unwrap(), real(case, "rho_opendp"));
        assert!(rho >= known * (1.0 - 1e-12) && rho <= known * 1.001, "rho {rho}, opendp {known}: {case}");
        let own = loss.epsilon(&stated, samples).unwrap();
        at_or_above(own, real(case, "epsilon_pld"), case);
        within_a_hundredth(own, real(case, "epsilon_opendp"), case);
    }
}

#[test]
fn whole_laplace_noise_has_the_epsilon_that_opendp_gives_its_own() {
    for case in &cases("opendp_laplace") {
        let l1 = int(case, "l1");
        let epsilon = MicroEpsilon::from_micros(int(case, "epsilon_micros"));
        let mechanism = Mechanism::discrete_laplace(l1, epsilon).unwrap();
        let loss = Loss::new(Sensitivity { cells: 1, change: l1, parts: 1 }, Accounting::Pure);
        let own = loss.epsilon(&mechanism, 1.0).unwrap();
        assert_eq!(own, epsilon);
        assert!((own.micros() as f64 - real(case, "epsilon") * 1e6).abs() < 1e-3, "{own}: {case}");
    }
}

#[test]
fn rho_and_epsilon_of_gaussian_noise_are_never_below_the_oracles_and_within_a_hundredth_of_opendp() {
    let cases = cases("gaussian");
    assert!(cases.len() >= 20);
    for case in &cases {
        let accounting = Accounting::Zcdp { delta_e12: int(case, "delta_e12") };
        let loss = Loss::new(sensitivity(case), accounting);
        let mechanism = Mechanism::DiscreteGaussian { sigma_sixteenths: int(case, "sigma_sixteenths") };
        let samples = int(case, "samples") as f64;
        let (rho, known) = (loss.rho(&mechanism, samples).unwrap(), real(case, "rho_opendp"));
        assert!(rho >= known * (1.0 - 1e-12) && rho <= known * 1.001, "rho {rho}, opendp {known}: {case}");
        let own = loss.epsilon(&mechanism, samples).unwrap();
        at_or_above(own, real(case, "epsilon_pld"), case);
        within_a_hundredth(own, real(case, "epsilon_opendp"), case);
    }
}

#[test]
fn intervals_are_those_of_the_exact_distribution() {
    for case in &cases("intervals") {
        let samples = usize::try_from(int(case, "samples")).unwrap();
        let mechanism = match case["law"].as_str().unwrap() {
            "laplace" => laplace(case, int(case, "l1")),
            _ => Mechanism::DiscreteGaussian { sigma_sixteenths: int(case, "sigma_sixteenths") },
        };
        let own = Interval::of_sum(&mechanism, samples).unwrap();
        assert_eq!(own.half_width, int(case, "half_width"), "{case}");
    }
}
