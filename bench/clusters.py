"""Count how often 95 % intervals hold the truth where clusters are treated together.

Learners are fitted on other users, so the true value of each figure is that of the population. Fresh
experiments on clusters estimate it; errors that add influences up by cluster, and those that take users
as independent, are computed from the same figures. Then, without any effect, learners are fitted and
judged in each experiment: the gate may open in at most 5 %.

python -m bench.clusters --runs 500 --users 6000
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from bench.gate import FASTER
from uplift_core.arrays import Doubles
from uplift_core.evaluation.coverage import (
    BUDGET,
    POPULATION,
    RANKING,
    expected_groups,
    fitted_model,
)
from uplift_core.evaluation.curves import qini_auc
from uplift_core.evaluation.estimate import Z95, Estimate, difference, spread
from uplift_core.evaluation.gate import RESPONSE, Verdict
from uplift_core.evaluation.groups import JointGroups, ScoreGroups, joint_groups
from uplift_core.evaluation.policy import average_effect, gain_over_random, policy_value
from uplift_core.evaluation.procedure import judge_experiment
from uplift_core.evaluation.rate import autoc
from uplift_core.evaluation.sequential import LEVEL
from uplift_core.learners.contrast import ContrastModel
from uplift_core.simulation.clusters import ClusterDesign
from uplift_core.simulation.rct import marketing_rct

E = 0.5
FIGURES: dict[str, Callable[[ScoreGroups], Estimate]] = {
    "ATE": average_effect,
    "policy value": lambda groups: policy_value(groups, BUDGET),
    "gain": lambda groups: gain_over_random(groups, BUDGET),
    "AUTOC": autoc,
    "qini_auc": qini_auc,
}
PAIRED = "paired"
DESIGNS = tuple(ClusterDesign(size, icc) for size, icc in product((3, 25), (0.05, 0.2)))


def figures(joint: JointGroups) -> dict[str, Estimate]:
    """Compute the figures of one ranking, and the paired difference of two gains."""
    (groups, place), (others, other_place) = joint.by(RANKING), joint.by(RESPONSE)
    found = {name: figure(groups) for name, figure in FIGURES.items()}
    response = spread(gain_over_random(others, BUDGET), other_place)
    return found | {PAIRED: difference(joint, spread(found["gain"], place), response)}


def truths(model: ContrastModel, seed: int, e: float = E) -> dict[str, float]:
    """Compute the true value of each figure, which is that of the population."""
    population = next(marketing_rct(POPULATION, seed + 1, treated_share=e, chunk=POPULATION))
    groups, others = (expected_groups(model, population, e, ranking) for ranking in (RANKING, RESPONSE))
    found = {name: figure(groups).value for name, figure in FIGURES.items()}
    return found | {PAIRED: found["gain"] - gain_over_random(others, BUDGET).value}


def observed(model: ContrastModel, design: ClusterDesign, users: int, seed: int) -> JointGroups:
    """Draw a fresh experiment and rank its users."""
    drawn, cluster = design.draw(users // design.size, seed)
    x = drawn.x.astype(np.float32)
    mu0, mu1, score = (
        p.astype(np.float64) for p in (*model.predict_outcomes(x), model.predict(x, RANKING))
    )
    scores: dict[str, Doubles] = {RANKING: score, RESPONSE: mu0}
    return joint_groups(scores, drawn.w, drawn.y, mu0=mu0, mu1=mu1, propensity=E, cluster=cluster)


def coverage(
    model: ContrastModel, truth: dict[str, float], design: ClusterDesign, given: argparse.Namespace
) -> Iterator[str]:
    """Yield the table's lines of one design."""
    held: dict[str, list[tuple[bool, bool, float]]] = defaultdict(list)
    for run in range(given.runs):
        joint = observed(model, design, given.users, given.seed + 1_000 + run)
        clustered, alone = figures(joint), figures(replace(joint, clusters=None))
        for name, figure in clustered.items():
            off = abs(figure.value - truth[name]) / Z95
            errors = (figure.std_error, alone[name].std_error)
            held[name].append((off <= errors[0], off <= errors[1], errors[0] / errors[1]))
    bound = 2 * math.sqrt(0.95 * 0.05 / given.runs)
    for name, runs in held.items():
        by_cluster, independent, ratio = np.mean(np.asarray(runs, dtype=np.float64), axis=0)
        word = "" if abs(by_cluster - 0.95) <= bound else "  OFF"
        yield (
            f"{design.size:5} {design.icc:5} {given.users // design.size:9,} {name:14}"
            f"{by_cluster:12.3f} {independent:13.3f} {ratio:14.2f}{word}"
        )


def null_rates(given: argparse.Namespace) -> Iterator[str]:
    """Yield how often the gate opens where nothing has an effect, with clusters and without."""
    design = ClusterDesign(25, 0.2, pays=False)
    verdicts: dict[str, list[Verdict]] = {"clusters": [], "independent": []}
    for run in range(given.gates):
        drawn, cluster = design.draw(given.users // design.size, given.seed + 20_000 + run)
        for name, of_users in (("clusters", cluster), ("independent", None)):
            verdict = judge_experiment(
                drawn, propensity=E, binary=True, budget=BUDGET, parameters=FASTER, cluster=of_users
            )
            verdicts[name].append(verdict)
    for name, judged in verdicts.items():
        rates = np.mean([verdict.claims for verdict in judged], axis=0)
        yield f"{name:12}" + " ".join(f"{100 * rate:16.1f}" for rate in rates)


def main() -> None:
    """Run the designs and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=500, help="experiments of each design")
    parser.add_argument("--users", type=int, default=6_000, help="of each experiment")
    parser.add_argument("--gates", type=int, default=200, help="experiments without effect")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    error = math.sqrt(0.95 * 0.05 / given.runs)
    print(
        f"{given.runs} experiments of {given.users:,} users; how often 95 % intervals hold the truth; "
        f"Monte-Carlo error {error:.3f}"
    )
    print(
        f"{'size':>5} {'ICC':>5} {'clusters':>9} {'figure':14}"
        f"{'by cluster':>12} {'independent':>13} {'ratio of errors':>14}"
    )
    model = fitted_model(E, given.seed, 1)
    truth = truths(model, given.seed)
    for design in DESIGNS:
        for line in coverage(model, truth, design, given):
            print(line, flush=True)
    error = 100 * math.sqrt(LEVEL * (1 - LEVEL) / max(given.gates, 1))
    print(
        f"\n{given.gates} experiments without effect, clusters of 25 at ICC .2; how often, in %; "
        f"Monte-Carlo error {error:.1f} at a true 5 %"
    )
    print(f"{'':12}{'beats random':>16} {'beats response':>16} {'gate opens':>16}")
    for line in null_rates(given) if given.gates else ():
        print(line, flush=True)


if __name__ == "__main__":
    main()
