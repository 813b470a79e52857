"""Count how often intervals and tests hold what they promise where outcomes are hard.

Three tables: spend of a few buyers, of whom some spend very much; events so few that a one-sided test is
skewed; and effects so large that the cut of a budget, which is estimated, matters.

python -m bench.hard_outcomes --runs 500
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.evaluation.average_effect import AverageEffect
from uplift_core.evaluation.coverage import BUYERS, SIGMA, arm_outcomes, capped_effect, few_spend_most
from uplift_core.evaluation.estimate import Z95, Estimate, spread
from uplift_core.evaluation.gate import LEAST_EVENTS
from uplift_core.evaluation.groups import JointGroups, joint_groups
from uplift_core.evaluation.policy import average_effect, gain_over_random, policy_value
from uplift_core.evaluation.rate import mean_gain
from uplift_core.evaluation.sequential import SequentialSums

BUDGET = 0.3
HALF = 0.5
USERS = 20_000  # of experiments in which few spend most
ONE_SIDED = (1.645, 2.326)  # 5 and 1 %
POPULATION = 2_000_000


def random_scores(w: Doubles, y: Doubles, e: float, rng: np.random.Generator) -> JointGroups:
    """Rank users by chance; the response model knows nothing but the arms' means."""
    mu0, mu1 = (np.full(len(y), y[w == arm].mean()) for arm in (0, 1))
    return joint_groups({"x": rng.random(len(y))}, w, y, mu0=mu0, mu1=mu1, propensity=e)


def heavy_tails(e: float, runs: int) -> Iterator[str]:
    """Count the coverage of effects, values and gains in spend, and of the effect on capped spend."""
    mean = BUYERS * math.exp(SIGMA**2 / 2)
    holds: dict[str, list[bool]] = {}
    unreliable, with_caps = [], []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        y, treated = few_spend_most(USERS, rng), rng.random(USERS) < e
        average = AverageEffect(arm_outcomes(y[treated]), arm_outcomes(y[~treated]))
        groups, _ = random_scores(treated.astype(float), y, e, rng).by("x")
        estimates = {
            "average effect": (average.effect, 0.0),
            "average effect, doubly robust": (average_effect(groups), 0.0),
            "policy value": (policy_value(groups, BUDGET), mean),
            "gain over random": (gain_over_random(groups, BUDGET), 0.0),
        }
        capped = capped_effect(y, treated)
        with_caps.append(capped is not None)
        if capped:
            estimates["average effect on capped spend"] = capped.effect, 0.0
        for name, (estimate, truth) in estimates.items():
            holds.setdefault(name, []).append(covers(estimate, truth))
        unreliable.append(average.unreliable)
    for name, held in holds.items():
        yield f"e = {e:<4} {name:32} {rate(held)}"
    yield f"e = {e:<4} {'called unreliable':32} {rate(unreliable)}"
    yield f"e = {e:<4} {'capped spend is told':32} {rate(with_caps)}"


def few_events(events: float, e: float, users: int, runs: int) -> Iterator[str]:
    """Count how often a ranking by chance passes the one-sided test: plain, corrected, with the rule."""
    plain, corrected, enough = [], [], []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        y = (rng.random(users) < events).astype(float)
        w = (rng.random(users) < e).astype(float)
        joint = random_scores(w, y, e, rng)
        groups, place = joint.by("x")
        figure = mean_gain(groups, BUDGET)
        sums = SequentialSums(1)
        sums.add(joint, [spread(figure, place)], 1.0, None)
        plain.append(figure.value / figure.std_error if figure.std_error else 0.0)
        corrected.append(float(sums.evidence().z[0]))
        enough.append(min(y[w == 1].sum(), y[w == 0].sum()) >= LEAST_EVENTS)
    cells = []
    for point in ONE_SIDED:
        cells += [
            rate(np.array(plain) > point),
            rate(np.array(corrected) > point),
            rate((np.array(corrected) > point) & np.array(enough)),
        ]
    yield f"{events:6.1%} {e:5} {users:7,} " + " ".join(f"{cell:>13}" for cell in cells)


def cut_of_a_budget(runs: int) -> Iterator[str]:
    """Count the coverage of a gain of large effects: with the cut estimated, and taken as given."""
    users, effect = 2_000, 4.0
    scores = np.random.default_rng(0).standard_normal(POPULATION)
    truth = float(effect * scores[scores >= np.quantile(scores, 1 - BUDGET)].sum() / POPULATION)
    estimated, given = [], []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        score = rng.standard_normal(users)
        w = (rng.random(users) < HALF).astype(float)
        y = effect * score * (w - HALF) + rng.standard_normal(users)
        mu0, mu1 = -effect * score / 2, effect * score / 2
        joint = joint_groups({"x": score}, w, y, mu0=mu0, mu1=mu1, propensity=HALF)
        gain = gain_over_random(joint.by("x")[0], BUDGET)
        phi = mu1 - mu0 + 2 * w * (y - mu1) - 2 * (1 - w) * (y - mu0)
        treated = score >= np.quantile(score, 1 - BUDGET)
        error = float(np.std((treated - BUDGET) * phi) / math.sqrt(users))
        estimated.append(covers(gain, truth))
        given.append(abs(gain.value - truth) <= Z95 * error)
    yield f"{'cut estimated':38} {rate(estimated)}"
    yield f"{'cut taken as given':38} {rate(given)}"


def covers(estimate: Estimate, truth: float) -> bool:
    """Tell whether the 95 % interval holds the truth."""
    return bool(estimate.ci_low <= truth <= estimate.ci_high)


def rate(happened: list[bool] | np.ndarray) -> str:
    """Write a share with its Monte-Carlo error."""
    p = float(np.mean(happened))
    return f"{p:.3f} ± {math.sqrt(p * (1 - p) / len(happened)):.3f}"


def main() -> None:
    """Run the experiments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=500, help="experiments of each line")
    runs = parser.parse_args().runs
    print(f"{USERS:,} users, {BUYERS:.1%} buy, lognormal spend with sigma {SIGMA}: share of intervals")
    for e in (0.5, 0.9):
        print(*heavy_tails(e, runs), sep="\n", flush=True)
    print("\na ranking by chance over its one-sided critical value: at 5 %, then at 1 %")
    heads = [f"{how} {level}" for level in ("5 %", "1 %") for how in ("plain", "lower", "gate")]
    print(f"{'events':>6} {'e':>5} {'users':>7} " + " ".join(f"{head:>13}" for head in heads))
    for events, e, users in (
        *((0.03, e, n) for e in (0.85, 0.9) for n in (3_000, 20_000)),
        *((0.003, e, n) for e in (0.85, 0.9) for n in (3_000, 20_000)),
    ):
        print(*few_events(events, e, users, runs), sep="\n", flush=True)
    print("\ngain at a budget of 30 % where effects have four times the noise: share of intervals")
    print(*cut_of_a_budget(runs), sep="\n")


if __name__ == "__main__":
    main()
