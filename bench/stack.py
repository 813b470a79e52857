"""Does the stack rank users as well as the best single learner, whichever that is?

    python -m bench.stack --seeds 20 [--peers]

Ten simulated designs with known effects. Users who trained nothing are scored by each learner, by the
stack, by the champion (the single learner with the largest gain inside train, as the gate compares
them), and with ``--peers`` by causalml's X and R and econml's CausalForestDML. For each design it prints
the mean Spearman correlation with the true effect, and root mean squared error and regret at 30 %
relative to the X-learner's; then the paired difference of each to the stack, with its standard error
over seeds. Regret is the true value that treating another 30 % would have had.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from bench.simulated import cells_of, halves
from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.evaluation.procedure import judge_experiment
from uplift_core.learners import SINGLE_LEARNERS
from uplift_core.learners.contrast import fit_contrast
from uplift_core.simulation.rct import NieWagerSetup, Simulated, marketing_rct, nie_wager_rct

BUDGET, HOLDOUT = 0.3, 0.3
HALF = 0.5
NOTHING = 1e-12  # a regret of rounding alone
STACK, CHAMPION, BASE = "stack", "champion", "x"
Scores = dict[str, Doubles]


@dataclass(frozen=True)
class Design:
    """Simulated users; ``n`` of them, of whom 30 % are held out."""

    draw: Callable[[int, int], Simulated]
    n: int
    e: float = 0.5
    binary: bool = True


def _marketing(n: int, seed: int, *, e: float = 0.5, noise: int = 0) -> Simulated:
    users = next(marketing_rct(n, seed, treated_share=e))
    extra = np.random.default_rng([seed, n]).standard_normal((n, noise))
    return Simulated(np.column_stack([users.x, extra]), users.w, users.y, users.mu0, users.mu1)


def _nie_wager(n: int, seed: int, setup: NieWagerSetup) -> Simulated:
    return next(nie_wager_rct(setup, n, seed, chunk=n))


def _binary(rng: np.random.Generator, x: Doubles, p0: Doubles, p1: Doubles) -> Simulated:
    w = rng.integers(0, 2, len(x)).astype(np.float64)
    y = (rng.random(len(x)) < np.where(w == 1, p1, p0)).astype(np.float64)
    return Simulated(x, w, y, p0, p1)


def _rare(n: int, seed: int) -> Simulated:
    """One user in a hundred has the outcome; the treatment multiplies the chance by .7 to 2.7."""
    rng = np.random.default_rng([seed, n, 1])
    x = rng.standard_normal((n, 8))
    p0 = np.minimum(0.007 * np.exp(0.6 * x[:, 0] + 0.4 * x[:, 1]), 0.3)
    return _binary(rng, x, p0, p0 * np.exp(0.3 + 0.7 * np.tanh(x[:, 2])))


def _steps(n: int, seed: int) -> Simulated:
    """Effects are steps of two features together."""
    rng = np.random.default_rng([seed, n, 2])
    x = rng.standard_normal((n, 8))
    p0 = 0.15 + 0.1 * (x[:, 0] > 0) + 0.05 * (x[:, 1] > 1)
    tau = 0.08 * ((x[:, 2] > 0) & (x[:, 3] > 0)) - 0.05 * ((x[:, 4] > HALF) & (x[:, 0] > 0))
    return _binary(rng, x, p0, p0 + tau)


DESIGNS: dict[str, Design] = {
    "marketing, e = .5": Design(_marketing, 40_000),
    "marketing, e = .85": Design(partial(_marketing, e=0.85), 40_000, e=0.85),
    "marketing, n = 2,000": Design(_marketing, 2_000),
    "marketing, 30 noise features": Design(partial(_marketing, noise=30), 20_000),
    "rare events": Design(_rare, 40_000),
    "steps": Design(_steps, 20_000),
    "Nie & Wager A": Design(partial(_nie_wager, setup="A"), 2_000, binary=False),
    "Nie & Wager B": Design(partial(_nie_wager, setup="B"), 2_000, binary=False),
    "Nie & Wager C, one effect": Design(partial(_nie_wager, setup="C"), 2_000, binary=False),
    "Nie & Wager D": Design(partial(_nie_wager, setup="D"), 2_000, binary=False),
}


def one_run(name: str, seed: int, *, peers: bool) -> dict[str, tuple[float, float, float]]:
    """Return Spearman's correlation, RMSE and regret of every contender."""
    warnings.simplefilter("ignore")
    design = DESIGNS[name]
    train, held_out = halves(design.draw(design.n, seed), HOLDOUT)
    x = held_out.x.astype(np.float32)
    model = fit_contrast(
        cells_of(train, seed, propensity=design.e, binary=design.binary), LearnerParameters(), 1
    )
    scores: Scores = {k: v.astype(np.float64) for k, v in model.predict_all(x).cate.items()}
    scores[CHAMPION] = scores[_champion(train, design)]
    if peers:
        scores |= _peers(train, x, design.e, seed)
    best = held_out.policy_value(held_out.cate, BUDGET)
    return {
        who: (
            _correlation(score, held_out.cate),
            float(np.sqrt(np.mean((score - held_out.cate) ** 2))),
            best - held_out.policy_value(score, BUDGET),
        )
        for who, score in scores.items()
    }


def _correlation(score: Doubles, cate: Doubles) -> float:
    """Return Spearman's correlation: 0 for one score for all, NaN where all have one effect."""
    if not np.ptp(cate):
        return math.nan
    return float(spearmanr(score, cate).statistic) if np.ptp(score) else 0.0


def _champion(train: Simulated, design: Design) -> str:
    verdict = judge_experiment(
        train,
        propensity=design.e,
        binary=design.binary,
        budget=BUDGET,
        parameters=LearnerParameters(),
    )
    candidates = verdict.comparison.candidates
    return max(SINGLE_LEARNERS, key=lambda name: candidates[name].mean_gain)


def _peers(train: Simulated, x: Floats, e: float, seed: int) -> Scores:
    """Score by causalml's X and R, and by econml's forest, with their defaults and the known e."""
    from causalml.inference.meta import BaseRRegressor, BaseXRegressor  # noqa: PLC0415 - slow to import
    from econml.dml import CausalForestDML  # noqa: PLC0415
    from sklearn.dummy import DummyClassifier  # noqa: PLC0415
    from xgboost import XGBRegressor  # noqa: PLC0415

    rows, w, share = train.x.astype(np.float32), train.w.astype(int), np.full(len(train.y), e)
    scores: Scores = {}
    for name, peer in (("X", BaseXRegressor), ("R", BaseRRegressor)):
        fitted = peer(learner=XGBRegressor(random_state=seed, n_jobs=1))
        fitted.fit(rows, w, train.y, p=share)
        known = {"p": np.full(len(x), e)} if name == "X" else {}
        scores[f"causalml {name}"] = fitted.predict(x, **known).ravel()
    forest = CausalForestDML(
        model_t=DummyClassifier(strategy="prior"),
        discrete_treatment=True,
        n_estimators=200,
        inference=False,
        random_state=seed,
        n_jobs=1,
    )
    forest.fit(train.y, w, X=rows)
    return scores | {"econml forest": forest.effect(x).ravel()}


def report(console: Console, name: str, runs: list[dict[str, tuple[float, float, float]]]) -> None:
    """Print one design's table."""
    table = Table(title=f"{name}: {DESIGNS[name].n:,} users, {len(runs)} seeds", title_justify="left")
    for heading in ("", "Spearman", "less the stack's", "RMSE / X", "regret / X"):
        table.add_column(heading, justify="right" if heading else "left")
    values = {who: np.array([run[who] for run in runs]) for who in runs[0]}
    base = values[BASE].mean(axis=0)
    for who, figures in values.items():
        mean, gap = figures.mean(axis=0), figures[:, 0] - values[STACK][:, 0]
        error = gap.std(ddof=1) / math.sqrt(len(gap))
        ratios = (f"{a / b:.3f}" if b > NOTHING else "" for a, b in zip(mean[1:], base[1:], strict=True))
        table.add_row(who, f"{mean[0]:.4f}", f"{gap.mean():+.4f} ± {error:.4f}", *ratios)
    console.print(table)


def main() -> None:
    """Run the designs and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--designs", nargs="+", choices=list(DESIGNS), default=list(DESIGNS))
    parser.add_argument("--peers", action="store_true", help="also causalml and econml")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    console = Console(width=100)
    with ProcessPoolExecutor(given.processes) as pool:
        for name in given.designs:
            one = partial(one_run, name, peers=given.peers)
            report(console, name, list(pool.map(one, range(given.seeds))))


if __name__ == "__main__":
    main()
