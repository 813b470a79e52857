"""Time all figures of all rankings with 95 % intervals, a bare GROUP BY, and the peers' Qini.

    python -m bench.evaluation --rows 14000000 --folder FOLDER

Criteo-like rows are scored by our learners first, which is not timed. Three things are timed on the same
scores. The first is our evaluation of six rankings, from the cells' table to every row of every
evaluation table: over 1,500 figures per ranking, each with its standard error, and paired comparisons of
all rankings. The second is one `select score, sum(y), count(*) group by score` in DuckDB over the table
of scored users. The third is the peers' functions on arrays, for one figure without an interval.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench import ours
from bench.ours import ARM, criteo_folder
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import SCORES
from dagster_project.scores.score_groups import read_holdout
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.opening import open_warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.artifacts.home import Home
from uplift_core.evaluation.tables import evaluate_joint

SCORED = Identifier.of("scores", "scored")
RANKING = "cate_x"


def prepare(rows: int, folder: Path, threads: int) -> Path:
    """Prepare a home in which all users are scored and marked as held out; return its path."""
    home = folder / f"evaluation-{rows}"
    ours.prepare_scored(home, rows, threads, 0.0, _hold_out)
    return home


def _hold_out(db: Warehouse) -> None:
    tables = criteo_folder().tables
    db.rows(f"update {tables.cells} set split = 'holdout'")
    db.create(
        SCORED,
        f"select scores.*, assignment.arm = '{ARM}' as w, assignment.visit "
        f"from {tables.scores} as scores "
        f"inner join {tables.assignment} as assignment using (user_id)",
    )


def evaluate_all(db: Warehouse, experiment: BatchExperiment) -> int:
    """Compute all that the evaluation asset does for one contrast; return the number of rows."""
    joint = read_holdout(db, experiment, ARM, "visit")
    tables = evaluate_joint(joint, experiment.declaration, ARM, "visit")
    return sum(len(rows) for rows in tables.values())


def group_by(db: Warehouse) -> int:
    """Run the bare query; return its number of rows."""
    sql = f"select {RANKING}, sum(visit), count(*) from {SCORED} group by {RANKING}"
    return len(db.rows(f"select count(*) from ({sql})"))


def timed(what: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of several calls."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        what()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def peers(db: Warehouse) -> dict[str, Callable[[], object]]:
    """Return the peers' functions, to be called on the same scores."""
    import pandas as pd  # noqa: PLC0415 - only peers need it
    from causalml.metrics import get_qini  # noqa: PLC0415 - slow to import
    from sklift.metrics import qini_auc_score  # noqa: PLC0415

    users = db.arrow(f"select {RANKING} as score, w, visit as y from {SCORED}")
    score = users.column("score").to_numpy()
    w = users.column("w").to_numpy(zero_copy_only=False).astype(np.int8)
    y = users.column("y").to_numpy()
    frame = pd.DataFrame({"score": score, "w": w, "y": y})
    return {
        "scikit-uplift qini_auc_score": lambda: qini_auc_score(y, score, w),
        "causalml get_qini": lambda: get_qini(frame, outcome_col="y", treatment_col="w"),
    }


def main() -> None:
    """Time all of it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=14_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, required=True, help="for the rows and the scores")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    home, experiment = Home(prepare(given.rows, given.folder, given.threads)), criteo_folder()
    with open_warehouse(home, memory_limit="2GB", threads=given.threads) as db:
        (cells,) = db.one(f"select count(*) from {experiment.tables.cells}")
        (distinct,) = db.one(f"select count(distinct {RANKING}) from {SCORED}")
        group_by(db)  # warm
        began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rows = evaluate_all(db, experiment)
        evaluation = timed(lambda: evaluate_all(db, experiment), given.repeats)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        bare = timed(lambda: group_by(db), given.repeats)
        each = evaluation / len(SCORES)
        print(
            f"{given.rows:,} scored users, {cells:,} cells, {distinct:,} distinct scores of {RANKING}\n"
            f"evaluation of {len(SCORES)} rankings: {evaluation:.2f} s, {rows:,} rows of figures; "
            f"peak memory {peak:.0f} MiB (before: {began / 1024:.0f})\n"
            f"a ranking: {each:.2f} s; bare group by: {bare:.2f} s; ratio {each / bare:.2f}"
        )
        for name, call in peers(db).items():
            print(f"{name}: {timed(call, 1):.2f} s, ratio to the group by {timed(call, 1) / bare:.1f}")


if __name__ == "__main__":
    main()
