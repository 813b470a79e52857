"""Judge the readable rules, and the segments, in simulated experiments whose truth is known.

Each experiment draws users with six features of few values, so that the truth is summed over all 1,600
kinds of users instead of drawn. 70 % of the users learn the rule, by doubly robust scores whose outcome
models have not seen the user; the others judge it, as the batch does. Counted are: how often 95 %
intervals hold the true gain of the rule and the true effects of its leaves, how often the two questions
of the known tree are the rule's, and how often a segment is called different.

python -m bench.rules --runs 500 --users 40000
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from uplift_core.arrays import Doubles, Floats
from uplift_core.cells import BinEdges
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.groups import joint_groups
from uplift_core.evaluation.policy import effect_within, gain_over_random
from uplift_core.evaluation.segments import BinSums, segments
from uplift_core.targeting.policy_tree import PolicyTree, policy_tree
from uplift_core.targeting.tree_search import ScoredCells

NAMES = ("web", "recent", "months", "spend", "region", "loyal")
LEVELS = (2, 2, 10, 10, 2, 2)
KINDS = np.array(list(product(*map(range, LEVELS))), dtype=np.float32)  # equally frequent
BUDGET, TRAIN, FOLDS, Q_LEVEL = 0.2, 0.7, 3, 0.05


@dataclass(frozen=True)
class Design:
    """An experiment's outcome without treatment, and its effect, by kind of user."""

    name: str
    effect: Callable[[Floats], Doubles]

    def probabilities(self, x: Floats) -> tuple[Doubles, Doubles]:
        """Return the chance of the outcome without and with the treatment: (n,) each."""
        without = 0.08 + 0.04 * x[:, 1] + 0.01 * x[:, 3]
        return without, without + self.effect(x)


DESIGNS = (
    Design("a tree: web and months < 4", lambda x: 0.08 * ((x[:, 0] == 1) & (x[:, 2] < 4))),  # noqa: PLR2004
    Design("effects that no tree has", lambda x: 0.01 * x[:, 3] * x[:, 0] - 0.004 * x[:, 2]),
    Design("the same effect for all", lambda x: np.full(len(x), 0.03)),
    Design("no effect", lambda x: np.zeros(len(x))),
)
KNOWN_TREE = {"web", "months"}


@dataclass(frozen=True)
class Users:
    """Users of an experiment, with predictions of both arms' outcomes that have not seen them."""

    x: Floats
    w: Doubles
    y: Doubles
    mu0: Doubles
    mu1: Doubles

    @property
    def phi(self) -> Doubles:
        """The doubly robust scores; e is 0.5."""
        return (
            self.mu1
            - self.mu0
            + 2 * self.w * (self.y - self.mu1)
            - 2 * (1 - self.w) * (self.y - self.mu0)
        )


def experiment(design: Design, n: int, seed: int) -> tuple[Users, Users]:
    """Draw an experiment; return the users that learn and those that judge."""
    rng = np.random.default_rng(seed)
    x = KINDS[rng.integers(len(KINDS), size=n)]
    without, with_treatment = design.probabilities(x)
    w = (rng.random(n) < 0.5).astype(float)  # noqa: PLR2004 - e
    y = (rng.random(n) < np.where(w, with_treatment, without)).astype(float)
    learns = np.arange(n) < round(TRAIN * n)
    fold = np.where(learns, rng.integers(FOLDS, size=n), FOLDS)
    mu = np.empty((2, n))
    for arm, each in product((0, 1), range(FOLDS + 1)):
        seen = learns & (fold != each) & (w == arm)
        mu[arm, fold == each] = _linear(x[seen], y[seen])(x[fold == each])
    of = [Users(x[part], w[part], y[part], mu[0, part], mu[1, part]) for part in (learns, ~learns)]
    return of[0], of[1]


def _linear(x: Floats, y: Doubles) -> Callable[[Floats], Doubles]:
    """Fit a linear regression: a model that misses what the effect depends on."""
    coefficients = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), y, rcond=None)[0]
    return lambda new: np.column_stack([np.ones(len(new)), new]) @ coefficients


def learn(users: Users, depth: int) -> PolicyTree:
    """Learn a rule as the batch does."""
    edges = BinEdges.of(NAMES, users.x)
    kinds, place = np.unique(edges.bin(users.x), axis=0, return_inverse=True)
    place = place.ravel()
    n, phi = np.bincount(place).astype(float), np.bincount(place, users.phi)
    return policy_tree(ScoredCells(edges, kinds, n, phi), depth, budget=BUDGET)


def judge(rule: PolicyTree, users: Users) -> tuple[Estimate, dict[int, Estimate]]:
    """Estimate the rule's gain over random, and the effect in each leaf, as the batch does."""
    leaf = rule.leaf_of(users.x)
    effects = np.array([each.effect for _, each in rule.leaves()])
    scores = {"rule": effects[leaf], "leaf": leaf.astype(float)}
    joint = joint_groups(scores, users.w, users.y, mu0=users.mu0, mu1=users.mu1, propensity=0.5)
    gain = gain_over_random(joint.by("rule")[0], BUDGET)
    of_leaves = {
        number: effect_within(joint, joint.scores["leaf"] == number) for number in set(leaf.tolist())
    }
    return gain, of_leaves


def truth(rule: PolicyTree, design: Design) -> tuple[float, dict[int, float]]:
    """Return the gain of the rule in the population, and the effect in each leaf."""
    leaf = rule.leaf_of(KINDS)
    effects = np.array([each.effect for _, each in rule.leaves()])
    tau = np.asarray(np.subtract(*design.probabilities(KINDS)[::-1]))
    treated, left = np.zeros(len(KINDS)), BUDGET * len(KINDS)
    for value in sorted(set(effects[leaf].tolist()), reverse=True):
        inside = effects[leaf] == value
        treated[inside] = min(1.0, left / inside.sum())
        left -= treated[inside].sum()
    gain = float(np.mean((treated - BUDGET) * tau))
    return gain, {number: float(tau[leaf == number].mean()) for number in set(leaf.tolist())}


def called_different(users: Users) -> int:
    """Count the segments with q below 5 %."""
    features = {}
    for name, column in zip(NAMES, users.x.T, strict=True):
        value, place = np.unique(column, return_inverse=True)
        terms = {
            "n": np.ones(len(place)),
            "phi": users.phi,
            "phi_sq": users.phi**2,
            "events_treated": users.w * users.y,
            "events_control": (1 - users.w) * users.y,
        }
        sums = {term: np.bincount(place.ravel(), values) for term, values in terms.items()}
        features[name] = BinSums.of(value.astype(float), sums)
    return sum(each.q_value is not None and each.q_value < Q_LEVEL for each in segments(features))


def report(design: Design, given: argparse.Namespace) -> None:
    """Print the shares of one design."""
    counted: dict[str, list[float]] = defaultdict(list)
    for run in range(given.runs):
        learns, judges = experiment(design, given.users, given.first_seed + run)
        for depth in given.depths:
            rule = learn(learns, depth)
            gain, leaves = judge(rule, judges)
            true_gain, true_leaves = truth(rule, design)
            counted[f"gain of {depth} in the interval"].append(
                gain.std_error == 0 or gain.ci_low <= true_gain <= gain.ci_high
            )
            counted[f"bias of the gain of {depth}"].append(gain.value - true_gain)
            held = [e.ci_low <= true_leaves[number] <= e.ci_high for number, e in leaves.items()]
            counted[f"effects of leaves of {depth} in the interval"].append(float(np.mean(held)))
            if depth == len(KNOWN_TREE):
                best = max(rule.leaves(), key=lambda each: each[1].effect)[0]
                counted["asks the known questions"].append({c.feature for c in best} == KNOWN_TREE)
        counted["a segment is called different"].append(called_different(judges) > 0)
    print(f"{design.name}; {given.runs} experiments of {given.users:,} users")
    for what, values in counted.items():
        mean, error = np.mean(values), np.std(values) / math.sqrt(given.runs)
        digits = 5 if what.startswith("bias") else 3
        print(f"  {what:42} {mean:.{digits}f} ± {error:.{digits}f}", flush=True)


def main() -> None:
    """Report all designs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--users", type=int, default=40_000)
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--first-seed", type=int, default=10_000)
    parser.add_argument("--designs", type=int, nargs="+", default=[*range(len(DESIGNS))])
    given = parser.parse_args()
    for number in given.designs:
        report(DESIGNS[number], given)


if __name__ == "__main__":
    main()
