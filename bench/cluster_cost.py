"""Time the evaluation of look-alike users in clusters of about 2 beside that of independent users.

    python -m bench.cluster_cost --rows 5000000 --folder FOLDER

Criteo-like rows are scored first, which is not timed, and 30 % of them are held out. Timed are the three
computations of the step ``evaluation`` that read users: figures of seven rankings, segments and average
effects of one outcome; the whole step, with its plots; and,
for comparison, the SQL that reads held-out users by cluster.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import ours
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.average_effects import average_effect_rows
from dagster_project.evaluation.figures import evaluate
from dagster_project.evaluation.segments import segment_rows
from dagster_project.evaluation.step import write_evaluation
from dagster_project.scores.score_groups import read_cluster_users
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.opening import open_warehouse
from uplift_core.artifacts.home import Home

HOLDOUT, OUTCOME = 0.3, "visit"
# Users of a split and fold in clusters of 1 to 3, two on average.
CLUSTERS = """
create or replace table {assignment} as
select
    * exclude (cluster),
    split || fold || '-' || (place + user_id % 2) // 2 as cluster
from (
    select
        *,
        '' as cluster,
        row_number() over (partition by split, fold order by md5_number_lower('' || user_id)) as place
    from {assignment}
)
"""
STEPS: dict[str, Callable[[Warehouse, BatchExperiment], object]] = {
    "figures": evaluate,
    "segments": segment_rows,
    "average effects": average_effect_rows,
}


def prepare(rows: int, folder: Path, threads: int) -> Path:
    """Prepare a home in which all users are scored and have a cluster; return its path."""
    home = folder / f"clusters-{rows}"
    clusters = CLUSTERS.format(assignment=ours.criteo_folder().tables.assignment)
    ours.prepare_scored(home, rows, threads, HOLDOUT, lambda db: db.rows(clusters))
    return home


def experiments() -> dict[str, BatchExperiment]:
    """Return the experiment of one outcome, with independent users and with clusters."""
    folder = ours.criteo_folder(HOLDOUT)
    outcome = folder.declaration.outcome(OUTCOME)
    declared = folder.declaration.model_copy(
        update={
            "outcomes": (outcome,),
            "defaults": folder.declaration.defaults.model_copy(update={"learner": "stack"}),
        }
    )
    clustered = declared.model_copy(update={"cluster": "household"})
    return {
        "independent": replace(folder, declaration=declared),
        "clusters": replace(folder, declaration=clustered),
    }


def timed(name: str, step: str, call: Callable[[], object]) -> tuple[float, float]:
    """Time the second of two calls and print its seconds: by the clock, and of the processor."""
    call()
    began, used = time.perf_counter(), time.process_time()
    call()
    wall, spent = time.perf_counter() - began, time.process_time() - used
    print(f"{name:12} {step:16} {wall:7.2f} ({spent:.2f})", flush=True)
    return wall, spent


def main() -> None:
    """Time all of it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, required=True, help="for the rows and the scores")
    given = parser.parse_args()
    home = Home(prepare(given.rows, given.folder, given.threads))
    with open_warehouse(home, memory_limit="4GB", threads=given.threads) as db:
        table = experiments()["clusters"].tables.assignment
        users, clusters = db.one(
            f"select count(*), count(distinct cluster) from {table} where split = 'holdout'"
        )
        print(f"{given.rows:,} users; {users:,} held out, in {clusters:,} clusters; seconds (processor)")
        for name, experiment in experiments().items():
            steps = [timed(name, step, partial(call, db, experiment)) for step, call in STEPS.items()]
            wall, spent = map(sum, zip(*steps, strict=True))
            print(f"{name:12} {'these three':16} {wall:7.2f} ({spent:.2f})", flush=True)
            timed(name, "whole step", partial(write_evaluation, db, experiment))
        began = time.perf_counter()
        read_cluster_users(db, experiments()["clusters"], ours.ARM, OUTCOME, by_fold=False)
        print(f"{'':12} {'users, in SQL':16} {time.perf_counter() - began:7.2f}")


if __name__ == "__main__":
    main()
