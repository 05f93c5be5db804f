"""Writes tests/vectors/privacy/: what programs that are not ours say of the noise. See README.md beside this file."""

import json
import math
from collections import Counter
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


def pld_epsilon(masses, reach, changes, delta):
    """The epsilon at delta of noise added to cells that change by `changes`; never above the truth."""
    one = {change: loss_distribution(masses, reach, change) for change in set(changes)}
    all_of_them = None
    for change, cells in sorted(Counter(changes).items()):
        these = one[change].self_compose(cells)
        all_of_them = all_of_them.compose(these) if all_of_them else these
    return all_of_them.get_epsilon_for_delta(delta)


def loss_distribution(masses, reach, change):
    """The privacy losses of noise added to one cell that changes by `change`."""
    # Farther out the convolution is cut off and its ratios mean nothing; so little mass moves no delta here.
    upper, lower = {}, {}
    for place, mass in enumerate(masses):
        if mass > FLOOR and 0 <= place - change and masses[place - change] > FLOOR:
            upper[place - reach] = math.log(mass)
            lower[place - reach] = math.log(masses[place - change])
    return pld.from_two_probability_mass_functions(
        lower, upper, pessimistic_estimate=False, value_discretization_interval=1e-4
    )


def exact_epsilon(rate, shape, changes):
    """The sum of ln P(0) / P(change) with 50 digits, by summing products of negative binomial masses."""
    rate, shape = mpmath.mpf(rate), mpmath.mpf(shape)
    p = mpmath.exp(-rate)
    masses = [(1 - p) ** shape]
    while masses[-1] > mpmath.mpf(10) ** -40 or len(masses) < max(changes) + 10:
        k = len(masses) - 1
        masses.append(masses[-1] * p * (k + shape) / (k + 1))
    at = lambda z: mpmath.fsum(a * b for a, b in zip(masses, masses[z:]))
    return mpmath.fsum(mpmath.log(at(0) / at(change)) for change in changes)


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
                mpmath.mpf(micros) / 10**6 / (cells * change), mpmath.mpf(samples * numerator) / denominator, [change] * cells
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
                "epsilon_pld": pld_epsilon(masses, reach, [change] * cells, 1e-12),
                "epsilon_best": micros / 1e6 if whole else float(exact),
            })
    return cases


def splits(change, parts):
    """Ways in which a change is spread over the cells of one group."""
    return [(v, change - v) for v in range(change // 2 + 1)] if parts == 2 else [(change,)]


def spread_over(cells, change, parts, nodes, whole):
    """Changes of single cells that neighbours may come to: where nodes hold different groups of hers, and the same."""
    ways = splits(change, parts)
    yield from ([c for c in way if c] * (cells * nodes) for way in ways)
    if whole or nodes > 1:
        yield from ([c for c in way if c] * cells for way in splits(change * nodes, parts))


def groups():
    """Means, whose change lies in two cells, and people known at several nodes: the worst of what neighbours may be."""
    cases = []
    for cells, change, micros, parts, nodes in [
        (1, 6, 1_000_000, 2, 1), (2, 5, 1_000_000, 2, 1), (1, 30, 1_000_000, 2, 1),
        (1, 2, 1_000_000, 1, 2), (2, 1, 500_000, 1, 3), (1, 3, 1_000_000, 1, 3),
        (1, 4, 1_000_000, 2, 2), (1, 6, 500_000, 2, 3),
    ]:
        for samples, (numerator, denominator) in [(1, (1, 10)), (1, (1, 4)), (2, (1, 3)), (4, (1, 4)), (5, (1, 4))]:
            rate = micros / 1e6 / (cells * change)
            shape = samples * numerator / denominator
            masses, reach = laplace_masses(rate, shape)
            whole = shape >= 1
            worst = 0
            for changes in spread_over(cells, change, parts, nodes, whole):
                worst = max(worst, pld_epsilon(masses, reach, changes, 1e-12))
            exact = lambda changes: exact_epsilon(
                mpmath.mpf(micros) / 10**6 / (cells * change), mpmath.mpf(samples * numerator) / denominator, changes
            )
            cases.append({
                "cells": cells,
                "change": change,
                "parts": parts,
                "nodes": nodes,
                "epsilon_micros": micros,
                "samples": samples,
                "shape_numerator": numerator,
                "shape_denominator": denominator,
                "epsilon_pld": worst,
                # Below shape 1 the loss of one cell is concave in its change, so the worst is an even spread over as
                # many cells as there are. An odd change has no even spread: ours rounds its half up, and no closed
                # form says better.
                "epsilon_best": nodes * micros / 1e6 if whole
                else float(max(exact(changes) for changes in spread_over(cells, change, parts, nodes, whole))),
                "closed_form": whole or change % parts == 0,
            })
    return cases


def colluders():
    """What is left of a round's noise when t members tell their shares: (s - t) shares of s, for s = n and n - t + 1."""
    cases = []
    for n, t in [(3, 1), (5, 1), (6, 2), (9, 3), (50, 10)]:
        for included in [n, n - t + 1]:
            for cells, change, micros in [(1, 1, 1_000_000), (2, 3, 1_000_000), (1, 4, 2_000_000)]:
                rate = micros / 1e6 / (cells * change)
                shape = (included - t) / (n - t)
                masses, reach = laplace_masses(rate, shape)
                exact = exact_epsilon(
                    mpmath.mpf(micros) / 10**6 / (cells * change), mpmath.mpf(included - t) / (n - t), [change] * cells
                )
                cases.append({
                    "cells": cells,
                    "change": change,
                    "epsilon_micros": micros,
                    "seats": n,
                    "colluding": t,
                    "included": included,
                    "epsilon_pld": pld_epsilon(masses, reach, [change] * cells, 1e-12),
                    "epsilon_best": micros / 1e6 if shape >= 1 else float(exact),
                })
    return cases


def used_again():
    """Sums of Gaussian shares of which each is a sum of two: what was drawn first, and what was missing after."""
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l2_distance(T=float)
    cases = []
    for cells, change, first, missing, samples in [(1, 1, 32, 23, 4), (4, 2, 64, 40, 3), (9, 1, 23, 23, 5), (16, 3, 96, 30, 2)]:
        one, reach = gaussian_masses(first / 16, 1)
        more, further = gaussian_masses(missing / 16, 1)
        share = np.convolve(one, more)
        masses = share
        for _ in range(samples - 1):
            masses = np.convolve(masses, share)
        # The larger share on the grid whose missing part this is: its variance is no more than the two together.
        larger = math.isqrt(first**2 + missing**2)
        for delta_e12 in [1000, 1_000_000]:
            delta = delta_e12 * 1e-12
            l2 = math.sqrt(cells) * change
            measurement = dp.m.make_gaussian(*space, scale=larger / 16 * math.sqrt(samples))
            curve = dp.c.make_zCDP_to_approxDP(measurement).map(l2)
            cases.append({
                "cells": cells,
                "change": change,
                "first_sixteenths": first,
                "missing_sixteenths": missing,
                "sigma_sixteenths": larger,
                "samples": samples,
                "delta_e12": delta_e12,
                "epsilon_pld": pld_epsilon(masses, (reach + further) * samples, [change] * cells, delta),
                "rho_opendp": measurement.map(l2),
                "epsilon_opendp": curve.epsilon(delta),
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
                "epsilon_pld": pld_epsilon(masses, reach, [change] * cells, delta),
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
    write("groups", groups())
    write("colluders", colluders())
    write("opendp_laplace", opendp_laplace())
    write("gaussian", gaussian())
    write("used_again", used_again())
    write("intervals", intervals())
