"""Writes tests/vectors/privacy/: what programs that are not ours say of the noise. See README.md beside this file."""

import json
import math
from importlib.metadata import version
from pathlib import Path

import mpmath
import numpy as np
import opendp.prelude as dp
from dp_accounting.pld import privacy_loss_distribution as pld

mpmath.mp.dps = 50
FLOOR = 1e-24
OUT = Path(__file__).resolve().parent.parent / "vectors" / "privacy"
MADE_BY = {name: version(name) for name in ("dp-accounting", "opendp", "mpmath", "numpy")}
dp.enable_features("contrib")


def negative_binomial(rate, shape, reach):
    """Masses of NB(shape, 1 - e^-rate) on 0..reach: each is the last times p (k + shape) / (k + 1)."""
    p = math.exp(-rate)
    k = np.arange(reach)
    ratios = p * (k + shape) / (k + 1)
    logs = np.concatenate([[shape * math.log(-math.expm1(-rate))], np.log(ratios)]).cumsum()
    return np.exp(logs)


def laplace_masses(rate, shape):
    """Masses of the difference of two of these, on -reach..reach. Shape 1 is discrete Laplace."""
    reach = int(70 / rate) + 50
    one = negative_binomial(rate, shape, reach)
    return np.convolve(one, one[::-1]), reach


def gaussian_masses(sigma, samples):
    """Masses of the sum of discrete Gaussians."""
    reach = int(12 * sigma) + 10
    x = np.arange(-reach, reach + 1)
    one = np.exp(-(x**2) / (2 * sigma**2))
    one /= one.sum()
    masses = one
    for _ in range(samples - 1):
        masses = np.convolve(masses, one)
    return masses, reach * samples


def pld_epsilon(masses, reach, change, cells, delta):
    """The epsilon at delta of noise added to `cells` cells that each change by `change`; never above the truth."""
    # Farther out the convolution is cut off and its ratios mean nothing; so little mass moves no delta here.
    upper, lower = {}, {}
    for place, mass in enumerate(masses):
        if mass > FLOOR and 0 <= place - change and masses[place - change] > FLOOR:
            upper[place - reach] = math.log(mass)
            lower[place - reach] = math.log(masses[place - change])
    one = pld.from_two_probability_mass_functions(
        lower, upper, pessimistic_estimate=False, value_discretization_interval=1e-4
    )
    return one.self_compose(cells).get_epsilon_for_delta(delta)


def exact_epsilon(rate, shape, change, cells):
    """cells ln P(0) / P(change) with 50 digits, by summing products of negative binomial masses."""
    rate, shape = mpmath.mpf(rate), mpmath.mpf(shape)
    p = mpmath.exp(-rate)
    masses = [(1 - p) ** shape]
    while masses[-1] > mpmath.mpf(10) ** -40 or len(masses) < change + 10:
        k = len(masses) - 1
        masses.append(masses[-1] * p * (k + shape) / (k + 1))
    at = lambda z: mpmath.fsum(a * b for a, b in zip(masses, masses[z:]))
    return cells * mpmath.log(at(0) / at(change))


def laplace():
    cases = []
    for cells, change, micros in [(1, 1, 1_000_000), (2, 1, 1_000_000), (1, 3, 500_000), (4, 2, 2_000_000), (2, 4, 700_000)]:
        for samples, (numerator, denominator) in [
            (1, (1, 50)), (1, (1, 10)), (1, (1, 4)), (40, (1, 50)), (30, (1, 40)), (9, (1, 10)), (3, (1, 2)), (1, (1, 1)), (4, (1, 4)),
        ]:
            rate = micros / 1e6 / (cells * change)
            shape = samples * numerator / denominator
            masses, reach = laplace_masses(rate, shape)
            exact = exact_epsilon(
                mpmath.mpf(micros) / 10**6 / (cells * change), mpmath.mpf(samples * numerator) / denominator, change, cells
            )
            # From shape 1 on the noise is worth the epsilon of one discrete Laplace and no closed form says more.
            whole = shape >= 1
            cases.append({
                "cells": cells,
                "change": change,
                "epsilon_micros": micros,
                "samples": samples,
                "shape_numerator": numerator,
                "shape_denominator": denominator,
                # Pure noise has its epsilon at every delta; at 0 the composition's own cut-off would count.
                "epsilon_pld": pld_epsilon(masses, reach, change, cells, 1e-12),
                "epsilon_best": micros / 1e6 if whole else float(exact),
            })
    return cases


def opendp_laplace():
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l1_distance(T=int)
    cases = []
    for l1, micros in [(1, 1_000_000), (6, 500_000), (2, 3_000_000), (1000, 100_000)]:
        measurement = dp.m.make_laplace(*space, scale=l1 * 1e6 / micros)
        cases.append({"l1": l1, "epsilon_micros": micros, "epsilon": measurement.map(l1)})
    return cases


def gaussian():
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l2_distance(T=float)
    cases = []
    for cells, change, sixteenths, samples in [
        (1, 1, 32, 1), (1, 1, 160, 1), (16, 1, 64, 1), (9, 2, 96, 1), (1, 1, 24, 5), (4, 1, 23, 10), (16, 3, 80, 3),
    ]:
        sigma = sixteenths / 16
        masses, reach = gaussian_masses(sigma, samples)
        for delta_e12 in [1, 1000, 1_000_000]:
            delta = delta_e12 * 1e-12
            l2 = math.sqrt(cells) * change
            measurement = dp.m.make_gaussian(*space, scale=sigma * math.sqrt(samples))
            curve = dp.c.make_zCDP_to_approxDP(measurement).map(l2)
            cases.append({
                "cells": cells,
                "change": change,
                "sigma_sixteenths": sixteenths,
                "samples": samples,
                "delta_e12": delta_e12,
                "epsilon_pld": pld_epsilon(masses, reach, change, cells, delta),
                "rho_opendp": measurement.map(l2),
                "epsilon_opendp": curve.epsilon(delta),
            })
    return cases


def half_width(masses, centre):
    """The smallest w with P(|X| <= w) >= 0.95, and the coverage of w and of w - 1."""
    before, covered, w = 0.0, masses[centre], 0
    while covered < 0.95:
        w += 1
        before, covered = covered, covered + masses[centre - w] + masses[centre + w]
    return {"half_width": w, "coverage": covered, "coverage_below": before}


def intervals():
    cases = []
    for l1, micros, samples, (numerator, denominator) in [
        (1, 1_000_000, 1, (1, 1)), (2, 700_000, 5, (1, 1)), (6, 500_000, 12, (1, 1)), (2, 1_000_000, 5, (1, 4)),
        (2, 1_000_000, 50, (1, 40)), (100, 1_000_000, 7, (3, 8)), (1, 4_000_000, 3, (1, 2)),
    ]:
        masses, reach = laplace_masses(micros / 1e6 / l1, samples * numerator / denominator)
        cases.append({
            "law": "laplace", "l1": l1, "epsilon_micros": micros, "samples": samples,
            "shape_numerator": numerator, "shape_denominator": denominator, **half_width(masses, reach),
        })
    for sixteenths, samples in [(23, 1), (64, 1), (64, 5), (400, 3), (30, 50)]:
        masses, reach = gaussian_masses(sixteenths / 16, samples)
        cases.append({"law": "gaussian", "sigma_sixteenths": sixteenths, "samples": samples, **half_width(masses, reach)})
    return cases


def write(name, cases):
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    text = f'{{"made_by": {json.dumps(MADE_BY)},\n "cases": [\n{lines}\n]}}\n'
    (OUT / f"{name}.json").write_text(text)
    print(f"{name}: {len(cases)}")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    write("laplace", laplace())
    write("opendp_laplace", opendp_laplace())
    write("gaussian", gaussian())
    write("intervals", intervals())
