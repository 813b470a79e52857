"""Does the policy over several arms that is judged inside train pay, where the truth is known?

    python -m bench.arms --seeds 3

Three arms with known effects, in designs where effects differ between users, where one arm is useless,
where one arm is best for all, and where all arms do the same for everybody; with equal and other costs.
Of users who trained nothing, it prints the true gain over nobody, as a share of the oracle's: of
the policy that decides, of choosing each user's arm by calibrated and by raw effects (the rule before),
and of the arm that is truly best alone; then the paired difference of the decider to that arm, with its
standard error over seeds, and how often choosing decides.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges, BinnedUsers, UserRows
from uplift_core.evaluation.arm_gate import (
    MULTI_ARM,
    NOBODY,
    ArmDesign,
    ArmFold,
    effects_of,
    judge_arms,
    single_policy,
)
from uplift_core.learners.contrast import fit_learners
from uplift_core.learners.nuisance import FittedModels, OutcomeModels
from uplift_core.learners.sequential import sequential_fit
from uplift_core.targeting.arm_path import find_path

NAMES = ("a", "b", "c")
SHARES = np.array([0.4, 0.2, 0.2, 0.2])
FOLDS, FEATURES, HELD_OUT = 5, 8, 20_000
BUDGETS = (0.1, 0.3, 1.0)
COSTS = {"equal costs": np.ones(3), "costs 1, .5, .25": np.array([1.0, 0.5, 0.25])}


def _differ(x: Doubles) -> list[Doubles]:
    """Each arm moves other users."""
    first = 0.5 * np.tanh(1.5 * x[:, 3]) + 0.3 * (x[:, 4] > 0)
    return [first, 0.4 * np.tanh(1.5 * x[:, 5]) + 0.3 * (x[:, 0] > 0), 0.25 + 0.2 * x[:, 2]]


def _useless(x: Doubles) -> list[Doubles]:
    return [*_differ(x)[:2], np.zeros(len(x))]


def _one_best(x: Doubles) -> list[Doubles]:
    bend = np.tanh(1.5 * x[:, 3])
    return [0.6 + 0.4 * bend, 0.2 + 0.2 * bend, 0.1 + 0.1 * x[:, 2]]


def _alike(x: Doubles) -> list[Doubles]:
    return [np.full(len(x), 0.3)] * 3


DESIGNS: dict[str, Callable[[Doubles], list[Doubles]]] = {
    "effects differ": _differ,
    "one arm is useless": _useless,
    "one arm is best for all": _one_best,
    "arms do the same": _alike,
}
Row = dict[str, float]


def one_run(name: str, seed: int, n: int) -> dict[tuple[str, float], Row]:
    """Draw an experiment, learn and judge; return true gains by costs and budget."""
    rng = np.random.default_rng([seed, n, list(DESIGNS).index(name)])
    x = rng.standard_normal((n + HELD_OUT, FEATURES))
    logit = -1.2 + 0.8 * x[:, 0] + 0.5 * x[:, 1]
    p = 1 / (1 + np.exp(-np.column_stack([logit, *(logit + lift for lift in DESIGNS[name](x))])))
    w = rng.choice(4, n, p=SHARES)
    y = (rng.random(n) < p[np.arange(n), w]).astype(np.float64)
    folds, score = _learned(x.astype(np.float32), w, y)
    tau, rows = p[n:, 1:] - p[n:, :1], {}
    for costs_name, costs in COSTS.items():
        verdict = judge_arms(folds, ArmDesign(NAMES, costs, SHARES), BUDGETS)
        effects = effects_of(verdict.calibrations, score)
        for policy in verdict.policies:
            gain = partial(_gain, tau=tau, costs=costs, budget=policy.budget)
            alone = {arm: gain(single_policy(effects, a)) for a, arm in enumerate(NAMES)}
            gains = {MULTI_ARM: gain(effects), NOBODY: 0.0, **alone}
            rows[costs_name, policy.budget] = {
                "oracle": gain(tau),
                "decider": gains[policy.decider],
                "calibrated": gains[MULTI_ARM],
                "raw": gain(score),
                "best single": max(alone.values()),
                "chooses": float(policy.decider == MULTI_ARM),
            }
    return rows


def _gain(effects: Doubles, *, tau: Doubles, costs: Doubles, budget: float) -> float:
    shares = find_path(effects, costs).shares(budget * float(costs.max()))
    return float(np.sum(shares * tau)) / len(tau)


def _learned(x: Floats, w: npt.NDArray[np.int64], y: Doubles) -> tuple[list[ArmFold], Doubles]:
    """Learn each arm's stack; return the judged folds, and the scores of held-out users."""
    n = len(w)
    fold = np.arange(n) % FOLDS
    edges = BinEdges.of([f"x{i}" for i in range(x.shape[1])], x[:n])
    users = UserRows(x[:n], w, y, fold, propensity=0.5, binary=True)
    binned, shared = BinnedUsers.of(edges, users), FittedModels()
    held_out = np.empty((len(x) - n, len(NAMES)))
    score, mu0, mu1 = (np.full((n, len(NAMES)), np.nan) for _ in range(3))
    for a in range(len(NAMES)):
        on = (w == 0) | (w == a + 1)
        cells = BinnedUsers(
            x=binned.x,
            cell=binned.cell[on],
            w=(w[on] == a + 1).astype(np.int8),
            y=y[on],
            fold=fold[on].astype(np.int8),
            propensity=float(SHARES[a + 1] / (SHARES[0] + SHARES[a + 1])),
            binary=True,
            max_bin=binned.max_bin,
        ).cells()
        model = fit_learners(OutcomeModels.of(cells, LearnerParameters(), 1, shared))
        held_out[:, a] = model.predict(x[n:], "stack")
        for k, earlier in sequential_fit(cells, LearnerParameters(), 1, shared):
            rows = np.flatnonzero(fold == k)
            score[rows, a] = earlier.predict(x[rows], "stack")
            mu0[rows, a], mu1[rows, a] = earlier.predict_outcomes(x[rows])
    folds = []
    for k in range(1, FOLDS):
        rows = fold == k
        arm = (w[rows, None] == np.arange(4)).astype(np.float64)
        events = arm * y[rows, None]
        mu = np.column_stack([mu0[rows].mean(axis=1), mu1[rows]])
        folds.append(ArmFold(arm, events, events, events, mu, score[rows], k))
    return folds, held_out


def main() -> None:
    """Run the designs and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, help="other seeds are other experiments")
    parser.add_argument("--users", type=int, default=16_000, help="train users of each experiment")
    parser.add_argument("--designs", nargs="+", choices=list(DESIGNS), default=list(DESIGNS))
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    console = Console(width=110)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    with ProcessPoolExecutor(given.processes) as pool:
        for name in given.designs:
            runs = list(pool.map(partial(one_run, name, n=given.users), seeds))
            by_case: dict[tuple[str, float], list[Row]] = defaultdict(list)
            for run in runs:
                for case, row in run.items():
                    by_case[case].append(row)
            console.print(_table(f"{name}: {given.seeds} seeds, {given.users:,} users", by_case))


def _table(title: str, by_case: dict[tuple[str, float], list[Row]]) -> Table:
    shown = ("decider", "calibrated", "raw", "best single")
    head = ("costs", "budget", *shown, "decider - best single", "chooses")
    table = Table(*head, title=f"{title}; true gain, % of the oracle's")
    for (costs, budget), rows in by_case.items():
        share = {who: np.array([100 * row[who] / row["oracle"] for row in rows]) for who in shown}
        lead = share["decider"] - share["best single"]
        error = lead.std(ddof=1) / np.sqrt(len(lead)) if len(lead) > 1 else float("nan")
        table.add_row(
            costs,
            f"{budget:g}",
            *(f"{share[who].mean():.1f}" for who in shown),
            f"{lead.mean():+.1f} ± {error:.1f}",
            f"{np.mean([row['chooses'] for row in rows]):.0%}",
        )
    return table


if __name__ == "__main__":
    main()
