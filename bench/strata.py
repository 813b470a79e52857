"""Count how often 95 % intervals hold the truth where the chance of the treatment differs between users.

Learners are fitted on other users, so the true value of each figure is that of the population. Fresh
experiments estimate it: four strata with shares .1 to .8, and a chance of each user's own from .1 to .9.
Chances rise with what raises the outcome, so that arms differ without any effect. Figures that know each
user's chance stand beside those that take one share for all.

python -m bench.strata --runs 500 --users 6000
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr
from scipy.stats import spearmanr

from bench.clusters import figures, truths
from uplift_core.arrays import Doubles
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges, Cells, UserRows, cells_of_rows
from uplift_core.evaluation.coverage import RANKING, fitted_model
from uplift_core.evaluation.estimate import Z95, Estimate
from uplift_core.evaluation.gate import RESPONSE
from uplift_core.evaluation.groups import JointGroups, joint_groups
from uplift_core.evaluation.policy import average_effect_ipw
from uplift_core.evaluation.procedure import FOLDS
from uplift_core.learners import LEARNER_NAMES
from uplift_core.learners.contrast import ContrastModel, fit_contrast
from uplift_core.simulation.rct import Simulated, marketing_rct

SHARES = np.array([0.1, 0.3, 0.6, 0.8])
FITTED_USERS = 20_000
LOWEST, HIGHEST = 0.1, 0.9
IPW, OWN, ONE = "ATE by IPW", "own", "one"


class Design(NamedTuple):
    """How chances follow from the place of a user's first feature among all users, and their mean."""

    name: str
    chances: Callable[[Doubles], Doubles]
    mean: float


DESIGNS = (
    Design(
        "four strata",
        lambda place: SHARES[np.minimum((place * len(SHARES)).astype(int), len(SHARES) - 1)],
        float(SHARES.mean()),
    ),
    Design("by user", lambda place: LOWEST + (HIGHEST - LOWEST) * place, (LOWEST + HIGHEST) / 2),
)


def draw(design: Design, n: int, seed: int) -> tuple[Simulated, Doubles]:
    """Draw an experiment of ``marketing_rct`` with its users' chances: users, (n,)."""
    users = next(marketing_rct(n, seed, chunk=n))
    rng = np.random.default_rng([seed, 1])
    e = design.chances(ndtr(users.x[:, 0]))
    w: Doubles = (rng.random(n) < e).astype(np.float64)
    y = (rng.random(n) < np.where(w == 1, users.mu1, users.mu0)).astype(np.float64)
    return Simulated(users.x, w, y, users.mu0, users.mu1), e


def observed(model: ContrastModel, design: Design, n: int, seed: int) -> dict[str, JointGroups]:
    """Draw a fresh experiment and rank its users, with each user's own chance and with one share."""
    users, e = draw(design, n, seed)
    x = users.x.astype(np.float32)
    mu0, mu1, score = (
        p.astype(np.float64) for p in (*model.predict_outcomes(x), model.predict(x, RANKING))
    )
    scores: dict[str, Doubles] = {RANKING: score, RESPONSE: mu0}
    return {
        name: joint_groups(
            scores, users.w, users.y, mu0=mu0, mu1=mu1, propensity=design.mean, propensities=own
        )
        for name, own in ((OWN, e), (ONE, None))
    }


def coverage(model: ContrastModel, design: Design, given: argparse.Namespace) -> Iterator[str]:
    """Yield the table's lines of one design."""
    truth = truths(model, given.seed, design.mean)
    truth[IPW] = truth["ATE"]
    found: dict[tuple[str, str], list[Estimate]] = defaultdict(list)
    for run in range(given.runs):
        for name, joint in observed(model, design, given.users, given.seed + 1_000 + run).items():
            for figure, estimate in (figures(joint) | {IPW: average_effect_ipw(joint)}).items():
                found[figure, name].append(estimate)
    bound = 2 * math.sqrt(0.95 * 0.05 / given.runs)
    for figure, value in truth.items():
        cells, word = [], ""
        for name in (OWN, ONE):
            estimates = found[figure, name]
            values = np.asarray([e.value for e in estimates])
            errors = np.asarray([e.std_error for e in estimates])
            held = float(np.mean(np.abs(values - value) <= Z95 * errors))
            off = (values.mean() - value) / (values.std(ddof=1) / math.sqrt(given.runs))
            cells.append(f"{held:8.3f} {values.mean() - value:10.5f} {off:8.1f} {errors.mean():9.5f}")
            word = "  OFF" if name == OWN and abs(held - 0.95) > bound else word
        yield f"{design.name:12} {figure:13} {value:9.5f} | {cells[0]} | {cells[1]}{word}"


def ranks(given: argparse.Namespace) -> Iterator[str]:
    """Yield how scores agree with the true effects, by learner, with and without the first feature."""
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    for run in range(given.fits):
        users, e = draw(DESIGNS[0], FITTED_USERS, given.seed + run)
        others, _ = draw(DESIGNS[0], FITTED_USERS, given.seed + 100 + run)
        for what, first in (("with", 0), ("without", 1)):
            cells = _cells(users, e, first)
            for name, of in ((OWN, cells), (ONE, replace(cells, propensities=None))):
                model = fit_contrast(of, LearnerParameters())
                for learner in LEARNER_NAMES:
                    score = model.predict(others.x[:, first:].astype(np.float32), learner)
                    agrees = float(spearmanr(score, others.cate).statistic)
                    off = float(score.mean() - others.cate.mean())
                    found[what, learner, name].append((agrees, off))
    for what in ("with", "without"):
        for learner in LEARNER_NAMES:
            own, one = (np.mean(found[what, learner, name], axis=0) for name in (OWN, ONE))
            yield f"{what:8} {learner:6} {own[0]:8.3f} {own[1]:8.3f} | {one[0]:8.3f} {one[1]:8.3f}"


def _cells(users: Simulated, e: Doubles, first: int) -> Cells:
    x = users.x[:, first:].astype(np.float32)
    edges = BinEdges.of([f"x{i}" for i in range(x.shape[1])], x, LearnerParameters().max_bins)
    mean = DESIGNS[0].mean
    fold = np.arange(len(x)) % FOLDS
    rows = UserRows(x, users.w, users.y, fold, propensity=mean, binary=True, propensities=e)
    return cells_of_rows(edges, rows)


def main() -> None:
    """Run the designs and print their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=500, help="experiments of each design")
    parser.add_argument("--users", type=int, default=6_000, help="of each experiment")
    parser.add_argument("--fits", type=int, default=3, help="experiments on which learners are fitted")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    error = math.sqrt(0.95 * 0.05 / given.runs)
    print(
        f"{given.runs} experiments of {given.users:,} users; how often 95 % intervals hold the truth "
        f"(Monte-Carlo error {error:.3f}), mean less truth, the same in its Monte-Carlo errors, and the "
        "mean standard error; left each user's own chance, right one share"
    )
    head = f"{'holds':>8} {'bias':>10} {'in MC':>8} {'error':>9}"
    print(f"{'design':12} {'figure':13} {'truth':>9} | {head} | {head}")
    model = fitted_model(0.5, given.seed, 1)
    for design in DESIGNS:
        for line in coverage(model, design, given):
            print(line, flush=True)
    print(
        f"\n{given.fits} experiments of {FITTED_USERS:,} users in {DESIGNS[0].name}: rank correlation "
        "with the true effects, and mean score less mean effect; with and without the strata's feature"
    )
    for line in ranks(given) if given.fits else ():
        print(line, flush=True)


if __name__ == "__main__":
    main()
