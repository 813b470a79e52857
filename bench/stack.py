"""Does the stack rank users as well as the best single learner, whichever that is?

    python -m bench.stack --seeds 20 [--peers] [--json FILE]

Ten simulated designs with known effects. Users who trained nothing are scored by each learner, by the
stack, in experiments of 2,000 users by the stack of ten bags, by the champion (the single learner with
the largest gain inside train, as the gate compares them), by the members of the stack, T, R and DR with
weights by Q-aggregation, and with ``--peers`` by causalml's X and R and econml's CausalForestDML. For
each design it prints the mean Spearman correlation with the true effect, and paired differences to the
stack, with their standard errors over seeds: of the correlation, of the root mean squared error (as a
ratio), and of the regret at 30 %, in thousandths: the true value that treating the best 30 % would have
had beyond that of the ranking. The last column is the share of runs whose calibration slope is within
two standard errors of 1.
"""

from __future__ import annotations

import argparse
import json
import math
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from bench.designs import DESIGNS, Design
from bench.q_aggregation import q_weights
from bench.simulated import cells_of, halves
from uplift_core.arrays import Doubles, Floats
from uplift_core.boosting.booster import predict_booster
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.evaluation.effect_calibration import ScoredFold, calibrate
from uplift_core.evaluation.gate import compare
from uplift_core.evaluation.groups import user_terms
from uplift_core.evaluation.procedure import binned_users, groups_by
from uplift_core.learners import LEARNER_NAMES, SINGLE_LEARNERS
from uplift_core.learners.contrast import ContrastModel, fit_contrast
from uplift_core.learners.sequential import sequential_fit
from uplift_core.simulation.rct import Simulated
from uplift_core.targeting.effect_map import EffectMap

BUDGET, HOLDOUT = 0.3, 0.3
STACK, CHAMPION = "stack", "champion"
CALIBRATED = "calibrated stack"
BAGGED, BAGS, SMALL = "bagged stack", 10, 2_000
Q = "Q-aggregation"
FOREST = "forest"
MEMBERS = (*SINGLE_LEARNERS, FOREST)
Scores = dict[str, Doubles]
Run = tuple[str, int]  # design and seed


class Figures(NamedTuple):
    """How near scores are to known effects.

    ``slope_z`` is the calibration slope on held-out users less 1, in standard errors.
    """

    spearman: float
    rmse: float
    regret: float
    slope_z: float


def one_run(name: str, seed: int, *, peers: bool) -> dict[str, Figures]:
    """Return the figures of every contender in one experiment."""
    warnings.simplefilter("ignore")
    design = DESIGNS[name]
    train, held_out = halves(design.draw(design.n, seed), HOLDOUT)
    x = held_out.x.astype(np.float32)
    cells = cells_of(train, seed, propensity=design.e, binary=design.binary)
    model = fit_contrast(cells, LearnerParameters(), 1)
    scores = _members(model, x)
    champion, weights, effect_map = _out_of_fold(train, design)
    scores[CALIBRATED] = effect_map.level + effect_map.slope * scores[STACK]
    scores[Q] = np.column_stack([scores[who] for who in MEMBERS]) @ weights
    scores[CHAMPION] = scores[champion]
    del scores[FOREST]
    if design.n <= SMALL:
        bagged = fit_contrast(cells, LearnerParameters(bags=BAGS), 1)
        scores[BAGGED] = bagged.predict(x, "stack").astype(np.float64)
    if peers:
        scores |= _peers(train, x, design.e, seed)
    phi = user_terms(
        held_out.w,
        held_out.y,
        **dict(zip(("mu0", "mu1"), _outcomes(model, x), strict=True)),
        propensity=design.e,
    )["phi"]
    best = held_out.policy_value(held_out.cate, BUDGET)
    return {
        who: Figures(
            _correlation(score, held_out.cate),
            float(np.sqrt(np.mean((score - held_out.cate) ** 2))),
            best - held_out.policy_value(score, BUDGET),
            _slope_z(score, phi),
        )
        for who, score in scores.items()
    }


def _members(model: ContrastModel, x: Floats) -> Scores:
    scores = {str(k): v.astype(np.float64) for k, v in model.predict_all(x).cate.items()}
    scores[FOREST] = predict_booster(model.boosters["stack_forest"], x).astype(np.float64)
    return scores


def _outcomes(model: ContrastModel, x: Floats) -> tuple[Doubles, Doubles]:
    mu0, mu1 = model.predict_outcomes(x)
    return mu0.astype(np.float64), mu1.astype(np.float64)


def _slope_z(score: Doubles, phi: Doubles) -> float:
    centred = score - score.mean()
    spread = centred @ centred
    if not spread:
        return math.nan
    slope = centred @ phi / spread
    rest = phi - phi.mean() - slope * centred
    return float((slope - 1) / (math.sqrt(centred**2 @ rest**2) / spread))


def _correlation(score: Doubles, cate: Doubles) -> float:
    """Return Spearman's correlation: 0 for one score for all, NaN where all have one effect."""
    if not np.ptp(cate):
        return math.nan
    return float(spearmanr(score, cate).statistic) if np.ptp(score) else 0.0


def _out_of_fold(train: Simulated, design: Design) -> tuple[str, Doubles, EffectMap]:
    """Return the champion, the members' weights by Q-aggregation of the R-loss, and the stack's map.

    The map is that which calibrates effects of several arms. All three compare predictions by models of
    the folds before, which a run makes in any case. Users of a fold count by the number of these folds.
    """
    users = binned_users(
        train,
        propensity=design.e,
        binary=design.binary,
        max_bins=LearnerParameters().max_bins,
    )
    groups, predicted, label, weight, scored = [], [], [], [], []
    for k, model in sequential_fit(users.cells(), LearnerParameters(), 1):
        rows = users.fold == k
        groups.append(groups_by(model, users, rows))
        by_stack, _ = groups[-1].by(STACK)
        scored.append(
            ScoredFold(by_stack.score, by_stack.n, by_stack.phi, by_stack.phi_sq, weight=float(k))
        )
        x = users.x[users.cell[rows]]
        scores, (mu0, mu1) = _members(model, x), _outcomes(model, x)
        residual = users.w[rows] - design.e
        predicted.append(np.column_stack([scores[who] for who in MEMBERS]))
        label.append((users.y[rows] - (design.e * mu1 + (1 - design.e) * mu0)) / residual)
        weight.append(k * residual**2)
    weights = q_weights(*map(np.concatenate, (predicted, label, weight)), users=len(train.y))
    candidates = compare(groups, LEARNER_NAMES, BUDGET).candidates
    champion = max(SINGLE_LEARNERS, key=lambda name: candidates[name].mean_gain)
    return champion, weights, calibrate(scored).effect_map


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
        # By default the R-learner starts processes of its own, with other folds each time.
        fitted.cv_n_jobs, fitted.random_state = 1, seed
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
    # In single precision its lasso takes rounding for a wrong matrix, and refuses it.
    forest.fit(train.y, w, X=rows.astype(np.float64))
    return scores | {"econml forest": forest.effect(x).ravel()}


def report(console: Console, name: str, runs: list[dict[str, Figures]]) -> None:
    """Print one design's table."""
    table = Table(title=f"{name}: {DESIGNS[name].n:,} users", title_justify="left")
    headings = (
        "",
        "seeds",
        "Spearman",
        "less the stack's",
        "RMSE / stack",
        "regret less the stack's",
        "slope",
    )
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left")
    for who in dict.fromkeys(who for run in runs for who in run):
        both = [(run[who], run[STACK]) for run in runs if who in run]
        figures, stack = (np.array(of_runs) for of_runs in zip(*both, strict=True))
        within = np.mean(np.abs(figures[:, 3][np.isfinite(figures[:, 3])]) <= 2)  # noqa: PLR2004
        table.add_row(
            who,
            str(len(figures)),
            f"{np.nanmean(figures[:, 0]):.4f}",
            _paired(figures[:, 0] - stack[:, 0]),
            _paired(figures[:, 1] / stack[:, 1], signed=""),
            _paired(1000 * (figures[:, 2] - stack[:, 2]), digits=3),
            f"{within:.0%}",
        )
    console.print(table)


def _paired(gap: Doubles, *, signed: str = "+", digits: int = 4) -> str:
    gap = gap[np.isfinite(gap)]
    error = gap.std(ddof=1) / math.sqrt(len(gap)) if len(gap) > 1 else math.nan
    mean = gap.mean() if len(gap) else math.nan
    return f"{mean:{signed}.{digits}f} ± {error:.{digits}f}"


def finished(results: Path | None) -> dict[Run, dict[str, Figures]]:
    """Read the runs that a file has, one a line, by design and seed."""
    if results is None or not results.is_file():
        return {}
    lines = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    return {
        (line["design"], line["seed"]): {who: Figures(*f) for who, f in line["figures"].items()}
        for line in lines
    }


def _in_processes(
    missing: list[Run], processes: int, *, peers: bool
) -> Iterator[tuple[Run, dict[str, Figures]]]:
    if processes == 1:
        for name, seed in missing:
            yield (name, seed), one_run(name, seed, peers=peers)
        return
    with ProcessPoolExecutor(processes) as pool:
        calls = {pool.submit(one_run, name, seed, peers=peers): (name, seed) for name, seed in missing}
        for call in as_completed(calls):
            yield calls[call], call.result()


def main() -> None:
    """Run the designs, seed after seed, and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--designs", nargs="+", choices=list(DESIGNS), default=list(DESIGNS))
    parser.add_argument("--peers", action="store_true", help="also causalml and econml")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file with a line for each run, which is not repeated")
    given = parser.parse_args()
    runs = finished(given.json)
    missing = [
        (name, seed) for seed in range(given.seeds) for name in given.designs if (name, seed) not in runs
    ]
    for (name, seed), figures in _in_processes(missing, given.processes, peers=given.peers):
        runs[name, seed] = figures
        if given.json:
            line = {"design": name, "seed": seed, "figures": figures}
            with given.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    console = Console(width=120)
    for name in given.designs:
        report(console, name, [run for (design, _), run in sorted(runs.items()) if design == name])


if __name__ == "__main__":
    main()
