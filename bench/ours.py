"""Run our contender: the batch's SQL and learners, from the table of rows to the table of scores.

The steps are those of the Dagster assets features, assignment, cells, models and scores, in one process
and without Dagster; each step opens the warehouse anew.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path

import duckdb
import xgboost

from bench.criteo_like import FEATURES, generate
from bench.setting import FOLDS, LEARNING_RATE, MAX_BIN, MAX_DEPTH, ROUNDS, SEED
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.assignment import assignment_query
from dagster_project.inputs.features import register_features
from dagster_project.scores.predictions import predictions_of, scores_select, write_predictions
from dagster_project.settings import SQL_FOLDER
from dagster_project.training.cells import find_edges, make_cells, read_cells, read_feature_cells
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.opening import open_warehouse
from uplift_core.artifacts.home import Home
from uplift_core.boosting.parameters import BoostingParameters, LearnerParameters
from uplift_core.cells import Cells
from uplift_core.experiment.declaration import load_experiment
from uplift_core.learners import LEARNER_NAMES
from uplift_core.learners.contrast import ContrastModel, fit_contrast

ARM = "treated"


@dataclass
class Clock:
    """Seconds by step, and seconds inside XGBoost, which are a part of ``fit``."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time spent inside to ``name``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def watch(self, owner: object, attribute: str) -> None:
        """Time all calls of ``owner.attribute`` from now on."""
        watched: Callable = getattr(owner, attribute)
        name = f"xgboost.{attribute}"

        @wraps(watched)
        def timed(*args: object, **kwargs: object) -> object:
            with self.step(name):
                return watched(*args, **kwargs)

        setattr(owner, attribute, timed)


def prepare_scored(
    home: Path, rows: int, threads: int, holdout: float, finish: Callable[[Warehouse], object]
) -> None:
    """Prepare a home in which all look-alike users are scored, once; ``finish`` prepares the rest."""
    if (home / "done").is_file():
        return
    shutil.rmtree(home, ignore_errors=True)
    generate(rows, SEED, home / "warehouse.duckdb")
    run(home, threads, "4GB", holdout)
    with open_warehouse(Home(home), memory_limit="4GB", threads=threads) as db:
        finish(db)
    (home / "done").touch()


def run(home: Path, threads: int, memory_limit: str, holdout: float = 0.0) -> dict[str, float]:
    """Fit all learners on ``raw.criteo`` of the warehouse and write ``scores.criteo``.

    Args:
        home: the home.
        threads: number of threads.
        memory_limit: DuckDB's, such as ``2GB``.
        holdout: share of users who are held out.

    Returns:
        Seconds by step.
    """
    experiment, clock, paths = criteo_folder(holdout), Clock(), Home(home)
    for attribute in ("QuantileDMatrix", "train"):
        clock.watch(xgboost, attribute)
    with open_warehouse(paths, memory_limit=memory_limit, threads=threads) as db:
        with clock.step("features"):
            write_features(db, experiment)
        with clock.step("assignment"):
            db.create(experiment.tables.assignment, *assignment_query(experiment))
    with open_warehouse(paths, memory_limit=memory_limit, threads=threads) as db:
        with clock.step("edges"):
            edges = find_edges(db, experiment)
        with clock.step("cells"):
            make_cells(db, experiment, edges)
    with (
        open_warehouse(paths, memory_limit=memory_limit, threads=threads) as db,
        clock.step("read cells"),
    ):
        cells = read_cells(db, experiment, ARM, edges)
    with clock.step("fit"):
        model = fit_contrast(cells, equal_parameters(cells), threads)
    with open_warehouse(paths, memory_limit=memory_limit, threads=threads) as db:
        write_scores(db, experiment, model, clock)
    return clock.seconds


def criteo_folder(holdout: float = 0.0) -> BatchExperiment:
    """Read Criteo's declaration; change the arm's column, the folds and the share held out."""
    folder = SQL_FOLDER / "experiments" / "criteo"
    declared = load_experiment(folder)
    split = declared.split.model_copy(update={"holdout": holdout, "folds": FOLDS})
    learners = declared.learners.model_copy(update={"max_bins": MAX_BIN})
    experiment = declared.model_copy(update={"arm_column": "w", "split": split, "learners": learners})
    return BatchExperiment.read(experiment, folder)


def equal_parameters(cells: Cells) -> LearnerParameters:
    """Return the peers' boosting parameters; a leaf has at least one user, as by XGBoost's default."""
    grown = BoostingParameters(
        rounds=ROUNDS,
        max_depth=MAX_DEPTH,
        learning_rate=LEARNING_RATE,
        min_leaf_events=cells.event_rate * (1 - cells.propensity),
    )
    return LearnerParameters(outcome=grown, effect=grown, seed=SEED, max_bins=MAX_BIN)


def write_features(db: Warehouse, experiment: BatchExperiment) -> None:
    """Write the features table and its rows of the registry."""
    db.create(experiment.tables.features, experiment.features_sql.text)
    register_features(db, experiment)


def write_scores(db: Warehouse, experiment: BatchExperiment, model: ContrastModel, clock: Clock) -> None:
    """Predict each distinct cell once and write its scores for all its users."""
    tables = experiment.tables
    with clock.step("predict"):
        x = read_feature_cells(db, experiment, FEATURES)
        predictions = predictions_of(model, x, ARM, experiment.declaration.defaults.outcome)
    with clock.step("write scores"):
        write_predictions(db, tables, predictions)
        db.create(tables.scores, scores_select(tables))


def mean_scores(home: Path) -> dict[str, float]:
    """Read the mean CATE by learner from the written scores."""
    con = duckdb.connect(str(Home(home).warehouse), read_only=True)
    means = ", ".join(f"avg(cate_{name})" for name in LEARNER_NAMES)
    values = con.execute(f"select {means} from scores.criteo").fetchall()[0]
    con.close()
    return dict(zip(LEARNER_NAMES, values, strict=True))
