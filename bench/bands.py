"""Count how often a simultaneous band holds the whole true curve, at every budget at once.

A ranking was learned from other users, so its true curve is known from the population. Each fresh
experiment gives a band; it should hold the curve in 95 % of them. Pointwise intervals should hold it at
each budget in 95 %, and therefore hold the whole curve less often.

python -m bench.bands --runs 500 --users 5000
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Mapping
from itertools import islice

import numpy as np

from uplift_core.evaluation.bands import LEVEL, Band, bands
from uplift_core.evaluation.coverage import (
    EXPERIMENTS_PER_CALL,
    POPULATION,
    RANKING,
    expected_groups,
    fitted_model,
    observed_groups,
    replicate,
)
from uplift_core.evaluation.estimate import Z95
from uplift_core.simulation.rct import marketing_rct

BUDGETS = np.arange(1, 101) / 100


def largest_z(band: Band, truth: Band, users: int, curve: str) -> float:
    """Return the largest distance of a curve from the true one, in standard errors."""
    true = truth.value[np.isin(truth.budget, band.budget)]
    true = true * (users / POPULATION if curve == "qini" else 1.0)
    known = band.std_error > 0
    return float(np.max(np.abs(band.value - true)[known] / band.std_error[known]))


def coverage(e: float, runs: int, users: int, seed: int) -> Mapping[str, list[tuple[bool, bool, float]]]:
    """Return, by curve and run: whether band and intervals hold the curve; the critical value."""
    model = fitted_model(e, seed, 1)
    population = next(marketing_rct(POPULATION, seed + 1, treated_share=e, chunk=POPULATION))
    truth = bands(expected_groups(model, population, e), BUDGETS)
    by_curve: dict[str, list[tuple[bool, bool, float]]] = defaultdict(list)
    experiments = replicate(runs, users, seed, e)
    while some := list(islice(experiments, EXPERIMENTS_PER_CALL)):
        for joint in observed_groups(model, some, e):
            for curve, band in bands(joint.by(RANKING)[0], BUDGETS).items():
                z = largest_z(band, truth[curve], users, curve)
                by_curve[curve].append((z <= band.critical, z <= Z95, band.critical))
    return by_curve


def main() -> None:
    """Run the designs and print their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=500, help="experiments of each design")
    parser.add_argument("--users", type=int, default=5_000, help="of each experiment")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    error = math.sqrt(LEVEL * (1 - LEVEL) / given.runs)
    print(
        f"{given.runs} experiments of {given.users:,} users; how often the whole true curve is held; "
        f"Monte-Carlo error {error:.3f} at {LEVEL}"
    )
    print(f"{'design':20} {'curve':18} {'band':>7} {'intervals':>10} {'critical':>9}")
    for e in (0.5, 0.85):
        for curve, runs in coverage(e, given.runs, given.users, given.seed).items():
            band, intervals, critical = np.mean(np.asarray(runs, dtype=np.float64), axis=0)
            word = "" if abs(band - LEVEL) <= 2 * error else "  OFF"
            print(
                f"marketing, e = {e:<4} {curve:18} {band:7.3f} {intervals:10.3f} {critical:9.2f}{word}",
                flush=True,
            )


if __name__ == "__main__":
    main()
