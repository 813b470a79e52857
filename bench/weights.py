"""Count how often 95 % intervals hold the truth of a population of which users were sampled unequally.

Learners are fitted on other users, so the true value of each figure is that of the population. Its users
are sampled at chances from .1 to .9, which rise with what moves the outcome, or the effect; each weighs
the inverse of the chance. Weighted figures stand beside those of the sample.

python -m bench.weights --runs 500 --users 6000
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from bench.clusters import figures, truths
from uplift_core.arrays import Doubles
from uplift_core.evaluation.coverage import RANKING, fitted_model
from uplift_core.evaluation.estimate import Z95, Estimate
from uplift_core.evaluation.gate import RESPONSE
from uplift_core.evaluation.groups import JointGroups, joint_groups
from uplift_core.learners.contrast import ContrastModel
from uplift_core.simulation.rct import marketing_rct

LOWEST, HIGHEST = 0.1, 0.9
WEIGHTED, SAMPLE = "weighted", "sample"


class Design(NamedTuple):
    """The feature by which users are sampled: x1 moves the outcome, x4 the effect."""

    name: str
    feature: int


DESIGNS = (Design("by outcome", 0), Design("by effect", 3))


def observed(model: ContrastModel, design: Design, n: int, seed: int) -> dict[str, JointGroups]:
    """Sample about ``n`` users of a fresh population; rank them, with weights and without."""
    population = next(marketing_rct(2 * n, seed, chunk=2 * n))
    rng = np.random.default_rng([seed, 2])
    chance = LOWEST + (HIGHEST - LOWEST) * ndtr(population.x[:, design.feature])
    sampled = rng.random(2 * n) < chance
    x = population.x[sampled].astype(np.float32)
    mu0, mu1, score = (
        p.astype(np.float64) for p in (*model.predict_outcomes(x), model.predict(x, RANKING))
    )
    scores: dict[str, Doubles] = {RANKING: score, RESPONSE: mu0}
    weight = 1 / chance[sampled]
    return {
        name: joint_groups(
            scores,
            population.w[sampled],
            population.y[sampled],
            mu0=mu0,
            mu1=mu1,
            propensity=0.5,
            sampling=sampling,
        )
        for name, sampling in ((WEIGHTED, weight / weight.mean()), (SAMPLE, None))
    }


def coverage(model: ContrastModel, design: Design, given: argparse.Namespace) -> Iterator[str]:
    """Yield the table's lines of one design."""
    found: dict[tuple[str, str], list[Estimate]] = defaultdict(list)
    for run in range(given.runs):
        for name, joint in observed(model, design, given.users, given.seed + 1_000 + run).items():
            for figure, estimate in figures(joint).items():
                found[figure, name].append(estimate)
    bound = 2 * math.sqrt(0.95 * 0.05 / given.runs)
    for figure, value in truths(model, given.seed).items():
        cells, word = [], ""
        for name in (WEIGHTED, SAMPLE):
            values = np.asarray([e.value for e in found[figure, name]])
            errors = np.asarray([e.std_error for e in found[figure, name]])
            held = float(np.mean(np.abs(values - value) <= Z95 * errors))
            cells.append(f"{held:8.3f} {values.mean() - value:+10.5f} {errors.mean():9.5f}")
            word = "  OFF" if name == WEIGHTED and abs(held - 0.95) > bound else word
        yield f"{design.name:12} {figure:13} {value:9.5f} | {cells[0]} | {cells[1]}{word}"


def main() -> None:
    """Run the designs and print their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=500, help="experiments of each design")
    parser.add_argument("--users", type=int, default=6_000, help="of each experiment")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    error = math.sqrt(0.95 * 0.05 / given.runs)
    print(
        f"{given.runs} experiments of about {given.users:,} users; how often 95 % intervals hold the "
        f"truth (Monte-Carlo error {error:.3f}), mean less truth, and the mean standard error; left "
        "weighted, right of the sample"
    )
    head = f"{'holds':>8} {'bias':>10} {'error':>9}"
    print(f"{'sampled':12} {'figure':13} {'truth':>9} | {head} | {head}")
    model = fitted_model(0.5, given.seed, 1)
    for design in DESIGNS:
        for line in coverage(model, design, given):
            print(line, flush=True)


if __name__ == "__main__":
    main()
