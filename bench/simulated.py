"""Measure how close the learners come to known effects, on simulated RCTs.

``python -m bench.simulated`` prints two tables. For the marketing RCT of 40,000 users with 30 % held
out, it prints each learner's mean Spearman correlation with the true CATE, and the errors of the AIPW
estimate of the ATE. For Nie & Wager's setups, it prints the mean squared errors beside the paper's.
Parameters are the defaults; with ``--tuned`` also those that ``uplift_core.learners.tuning`` chooses on
the train users of each run.
"""

from __future__ import annotations

import argparse

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import spearmanr

from uplift_core.arrays import Doubles
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinEdges, Cells, UserRows, cells_of_rows
from uplift_core.learners import LEARNER_NAMES
from uplift_core.learners.contrast import ContrastModel, fit_contrast
from uplift_core.learners.tuning import tune
from uplift_core.simulation.rct import NieWagerSetup, Simulated, marketing_rct, nie_wager_rct

FOLDS = 5
USERS, HOLDOUT = 40_000, 0.3
ATE_SEEDS = 50
PAPER_N, PAPER_RUNS = 1000, 20
# Mean squared error with boosting at n = 1000, d = 6, sigma = 1: Nie & Wager (2021), appendix, tables
# of setups A to D. Only in B is treatment randomized there; the others are shown for orientation.
PAPER: dict[NieWagerSetup, dict[str, float]] = {
    "A": {"s": 0.09, "t": 0.15, "x": 0.05, "r": 0.05},
    "B": {"s": 0.21, "t": 0.33, "x": 0.17, "r": 0.22},
    "C": {"s": 0.31, "t": 0.67, "x": 0.14, "r": 0.11},
    "D": {"s": 0.39, "t": 0.36, "x": 0.40, "r": 0.46},
}


def cells_of(users: Simulated, seed: int, *, propensity: float, binary: bool) -> Cells:
    """Add up simulated users to train cells."""
    x = users.x.astype(np.float32)
    edges = BinEdges.of([f"x{i}" for i in range(x.shape[1])], x, LearnerParameters().max_bins)
    fold = np.random.default_rng(seed).integers(0, FOLDS, len(x))
    rows = UserRows(x, users.w, users.y, fold, propensity=propensity, binary=binary)
    return cells_of_rows(edges, rows)


def halves(users: Simulated, share: float) -> tuple[Simulated, Simulated]:
    """Split users into the first 1 - share of them, and the rest."""
    cut = round((1 - share) * len(users.y))
    parts = [(users.x, users.w, users.y, users.mu0, users.mu1)] * 2
    return tuple(  # type: ignore[return-value]
        Simulated(*(a[rows] for a in part))
        for part, rows in zip(parts, (slice(None, cut), slice(cut, None)), strict=True)
    )


def correlations(model: ContrastModel, held_out: Simulated) -> list[float]:
    """Compute each learner's Spearman correlation with the true CATE of held-out users."""
    x = held_out.x.astype(np.float32)
    return [float(spearmanr(model.predict(x, name), held_out.cate).statistic) for name in LEARNER_NAMES]


def ate_in_errors(model: ContrastModel, held_out: Simulated, e: float) -> float:
    """Compute the error of the AIPW estimate of the ATE on held-out users, in standard errors."""
    x = held_out.x.astype(np.float32)
    mu0 = model.predict_response(x).astype(np.float64)
    mu1 = mu0 + model.predict(x, "t")
    w, y = held_out.w, held_out.y
    treated, control = w * (y - mu1) / e, (1 - w) * (y - mu0) / (1 - e)
    phi: Doubles = mu1 - mu0 + treated - control
    return float((phi.mean() - held_out.ate) / (phi.std() / np.sqrt(len(phi))))


def marketing(console: Console, seeds: int, *, tuned: bool) -> None:
    """Print the results on the marketing RCT, at even and uneven shares."""
    table = Table(title=f"Spearman with the true CATE, mean of {seeds} seeds ± its standard error")
    for heading in ("treated share", "parameters", *LEARNER_NAMES):
        table.add_column(heading, justify="right")
    errors = []
    for e in (0.5, 0.85):
        rows: dict[str, list[list[float]]] = {"default": [], "tuned": []}
        for seed in track(range(max(seeds, ATE_SEEDS)), f"marketing, e = {e}", console=console):
            train, held_out = halves(next(marketing_rct(USERS, seed, treated_share=e)), HOLDOUT)
            cells = cells_of(train, seed, propensity=e, binary=True)
            model = fit_contrast(cells, LearnerParameters())
            if seed < ATE_SEEDS:
                errors.append(ate_in_errors(model, held_out, e))
            if seed < seeds:
                rows["default"].append(correlations(model, held_out))
            if seed < seeds and tuned:
                chosen, _ = tune(cells, LearnerParameters())
                rows["tuned"].append(correlations(fit_contrast(cells, chosen), held_out))
        for name, by_seed in rows.items():
            if by_seed:
                mean = np.mean(by_seed, 0)
                error = np.std(by_seed, 0, ddof=1) / np.sqrt(len(by_seed))
                cells_ = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, error, strict=True)]
                table.add_row(str(e), name, *cells_)
    console.print(table)
    within = int(np.sum(np.abs(errors) <= 2))  # noqa: PLR2004 - two standard errors
    console.print(f"ATE (AIPW, held-out): within 2 standard errors in {within} of {len(errors)} runs")


def nie_wager(console: Console) -> None:
    """Print the results on Nie & Wager's setups, randomized, beside the paper's boosting."""
    table = Table(
        title=f"Mean squared error of the CATE, n = {PAPER_N}, d = 6, sigma = 1, {PAPER_RUNS} runs: "
        "ours (paper's)",
        caption="Randomized treatment, default parameters. The paper's A, C and D are confounded.",
    )
    for heading in ("setup", *LEARNER_NAMES):
        table.add_column(heading, justify="right")
    for setup in track(PAPER, "Nie & Wager", console=console):
        errors = []
        for seed in range(PAPER_RUNS):
            train, held_out = halves(next(nie_wager_rct(setup, 2 * PAPER_N, seed)), 0.5)
            model = fit_contrast(
                cells_of(train, seed, propensity=0.5, binary=False), LearnerParameters()
            )
            x = held_out.x.astype(np.float32)
            errors.append([np.mean((model.predict(x, k) - held_out.cate) ** 2) for k in LEARNER_NAMES])
        ours = np.mean(errors, 0)
        paper = [f" ({PAPER[setup][k]:.2f})" if k in PAPER[setup] else "" for k in LEARNER_NAMES]
        table.add_row(setup, *(f"{a:.2f}{b}" for a, b in zip(ours, paper, strict=True)))
    console.print(table)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tuned", action="store_true", help="also tune on every run; takes minutes")
    arguments = parser.parse_args()
    console = Console(width=120)
    marketing(console, arguments.seeds, tuned=arguments.tuned)
    nie_wager(console)


if __name__ == "__main__":
    main()
