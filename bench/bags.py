"""Do standard errors from bags hold what they say, and what do they not say?

    python -m bench.bags --experiments 40 --users 5000

The same 500 users are scored by the bagged stacks of many simulated marketing experiments. It prints the
share of intervals that hold the smoothed effect, which is the mean score over experiments, and that hold
the true effect; and the standard error over the standard deviation of the score from experiment to
experiment, as quantiles over users.
"""

from __future__ import annotations

import argparse

import numpy as np
from rich.console import Console
from scipy.stats import norm, t

from bench.simulated import cells_of
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.learners.contrast import fit_contrast
from uplift_core.simulation.rct import marketing_rct

SCORED, LEVEL = 500, 0.975


def main() -> None:
    """Fit the experiments and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--experiments", type=int, default=40)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--bags", type=int, default=10)
    given = parser.parse_args()
    scored = next(marketing_rct(SCORED, given.experiments))
    x = scored.x.astype(np.float32)
    scores, errors = [], []
    for seed in range(given.experiments):
        cells = cells_of(next(marketing_rct(given.users, seed)), seed, propensity=0.5, binary=True)
        predicted = fit_contrast(cells, LearnerParameters(bags=given.bags)).predict_all(x)
        scores.append(predicted.cate["stack"].astype(np.float64))
        errors.append(predicted.std_error)
    score, error = np.array(scores), np.array(errors, dtype=np.float64)
    smoothed, spread = score.mean(axis=0), score.std(axis=0, ddof=1)
    console = Console()
    for name, reach in (("normal", norm.ppf(LEVEL)), ("t", t.ppf(LEVEL, given.bags - 1))):
        inside = [np.mean(np.abs(score - of) <= reach * error) for of in (smoothed, scored.cate)]
        console.print(
            f"{name} 95 % intervals hold the smoothed effect {inside[0]:.1%}, the true {inside[1]:.1%}"
        )
    ratio = np.quantile(np.sqrt((error**2).mean(axis=0)) / spread, (0.05, 0.5, 0.95))
    console.print("standard error over the true one, 5 %, median, 95 %:", ratio.round(2))


if __name__ == "__main__":
    main()
