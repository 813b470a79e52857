"""Check the placebo: are p values uniform where nothing has an effect, and what are real ones?

``null`` simulates experiments without any effect and tests whether their p values are uniform
(Kolmogorov and Smirnov). A p value of B permutations is a multiple of 1 / (B + 1); it is made continuous
by subtracting a uniform share of one step. ``home`` runs the placebo on a finished run's train users.

python -m bench.placebo null --runs 200 --permutations 9
python -m bench.placebo home hillstrom --permutations 99
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import duckdb
import numpy as np
from scipy.stats import kstest

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.placebo import read_train_users
from dagster_project.settings import SQL_FOLDER, Settings
from dagster_project.warehouse.connection import Warehouse
from uplift_core.artifacts.home import Home
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.evaluation.placebo import p_value, placebo_runs
from uplift_core.evaluation.procedure import binned_users
from uplift_core.experiment.declaration import load_experiment
from uplift_core.simulation.gate_designs import draw

BUDGET = 0.3
# Few bins and a tenth of the rounds: a permutation test is valid at any cost, only its power differs.
SMALL = LearnerParameters.model_validate(
    {kind: {"rounds": 30, "learning_rate": 0.15} for kind in ("outcome", "effect")} | {"max_bins": 16}
)


def null_p_value(seed: int, users: int, permutations: int) -> float:
    """Return the p value of a simulated experiment without any effect."""
    experiment = draw("no effect", users, seed)
    train = binned_users(experiment, propensity=0.5, binary=True, max_bins=SMALL.max_bins)
    runs = list(placebo_runs(train, permutations, budget=BUDGET, parameters=SMALL, seed=seed))
    return p_value(runs[0], runs)


def null(given: argparse.Namespace) -> None:
    """Print the distribution of the p values, and the test of its uniformity."""
    one = partial(null_p_value, users=given.users, permutations=given.permutations)
    with ProcessPoolExecutor(given.processes) as pool:
        found = np.array(list(pool.map(one, range(given.runs))))
    step = 1 / (given.permutations + 1)
    smooth = found - step * np.random.default_rng(0).random(len(found))
    test = kstest(smooth, "uniform")
    shares = ", ".join(f"{np.mean(smooth <= level):.3f} below {level}" for level in (0.05, 0.1, 0.5))
    print(
        f"{given.runs} experiments of {given.users} users without effect, {given.permutations} "
        f"permutations each: {shares}; KS distance {test.statistic:.3f}, p = {test.pvalue:.2f}"
    )


def home(given: argparse.Namespace) -> None:
    """Print the p values of a finished experiment's arms."""
    folder = SQL_FOLDER / "experiments" / given.experiment
    experiment = BatchExperiment.read(load_experiment(folder), folder)
    declaration = experiment.declaration
    for arm in declaration.treatments:
        file = str(Home(Settings().home).warehouse)
        with duckdb.connect(file, read_only=True) as con:
            users = read_train_users(Warehouse(con), experiment, arm)
        start = time.perf_counter()
        runs = list(
            placebo_runs(
                users,
                given.permutations,
                budget=declaration.defaults.budget,
                parameters=declaration.learners,
                threads=given.processes,
            )
        )
        z = np.array([run.z_random for run in runs])
        opened, seconds = sum(run.opens for run in runs[1:]), time.perf_counter() - start
        print(
            f"{given.experiment}, {arm}, {declaration.defaults.outcome}, {len(users.y):,} users: "
            f"z {z[0]:.2f} of '{runs[0].champion}', p = {p_value(runs[0], runs):.3f}; permuted z "
            f"{z[1:].mean():.2f} on average, {z[1:].max():.2f} at most, sd {z[1:].std():.2f}, "
            f"the gate opens in {opened}; {seconds / len(runs):.1f} s each",
            flush=True,
        )


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--processes", type=int, default=1)
    which = parser.add_subparsers(required=True)
    simulated = which.add_parser("null")
    simulated.set_defaults(run=null)
    simulated.add_argument("--runs", type=int, default=200)
    simulated.add_argument("--users", type=int, default=500)
    simulated.add_argument("--permutations", type=int, default=9)
    real = which.add_parser("home")
    real.set_defaults(run=home)
    real.add_argument("experiment", choices=["hillstrom", "simulated"])
    real.add_argument("--permutations", type=int, default=99)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
