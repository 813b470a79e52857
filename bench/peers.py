"""Run the peers, each called as its documentation shows, on NumPy arrays from the DuckDB table.

All choices favour the peers. Arrays of float32 come straight from Arrow, without pandas. Nobody trains a
propensity model: causalml takes the designed propensity, and econml, which needs a classifier, gets one
that predicts the treated share. The folds of causalml's R-learner run one at a time, each with all
threads; its default would start as many processes as there are cores.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xgboost import XGBRegressor

from bench.criteo_like import FEATURES
from bench.setting import LEARNING_RATE, MAX_BIN, MAX_DEPTH, PROPENSITY, ROUNDS, SEED

Scores = npt.NDArray[np.floating]
MODULES = {
    "causalml": ("causalml.inference.meta",),
    "econml": ("econml.dml", "econml.dr", "econml.metalearners", "sklearn.dummy"),
}


@dataclass(frozen=True)
class Rows:
    """The users in memory: features (n, 12) float32, arm and outcome (n,)."""

    user_id: npt.NDArray[np.int64]
    x: npt.NDArray[np.float32]
    w: npt.NDArray[np.int64]
    y: npt.NDArray[np.float32]


def run(name: str, database: Path, threads: int) -> float:
    """Fit the peer ``name`` on ``raw.criteo`` and write ``scores.criteo``; return the mean score."""
    library, learner = name.split()
    rows = read_rows(database, threads)
    fit = FITS[library]
    scores = np.asarray(fit(learner, rows, threads)).ravel()
    write_scores(database, rows.user_id, scores)
    return float(scores.mean())


def warm(name: str) -> None:
    """Import the peer's library before the clock starts, since that takes seconds."""
    for module in MODULES[name.split(maxsplit=1)[0]]:
        importlib.import_module(module)


def read_rows(database: Path, threads: int) -> Rows:
    """Read the table in the order of user ids."""
    con = duckdb.connect(str(database), read_only=True, config={"threads": threads})
    table = con.sql("select * from raw.criteo order by user_id").to_arrow_table()
    con.close()
    x = np.empty((table.num_rows, len(FEATURES)), dtype=np.float32)
    for position, name in enumerate(FEATURES):
        x[:, position] = table.column(name).to_numpy()
    return Rows(
        user_id=table.column("user_id").to_numpy(),
        x=x,
        w=table.column("w").to_numpy().astype(np.int64),
        y=table.column("visit").to_numpy().astype(np.float32),
    )


def write_scores(database: Path, user_id: npt.NDArray[np.int64], scores: Scores) -> None:
    """Write one score per user."""
    con = duckdb.connect(str(database))
    incoming = pa.table({"user_id": user_id, "cate": scores.astype(np.float32)})
    con.register("incoming", incoming)
    con.execute("create schema scores").fetchall()
    con.execute("create table scores.criteo as select * from incoming").fetchall()
    (written,) = con.execute("select count(*) from scores.criteo").fetchall()[0]
    con.close()
    if written != len(scores):
        raise RuntimeError(f"{len(scores)} scores were to be written, {written} are there")


def regressor(threads: int) -> XGBRegressor:
    """Return the regressor that every peer gets."""
    return XGBRegressor(
        n_estimators=ROUNDS,
        max_depth=MAX_DEPTH,
        learning_rate=LEARNING_RATE,
        max_bin=MAX_BIN,
        tree_method="hist",
        n_jobs=threads,
        random_state=SEED,
    )


def fit_causalml(learner: str, rows: Rows, threads: int) -> Scores:
    """Fit one of causalml's learners and predict all rows."""
    from causalml.inference import meta  # noqa: PLC0415 - one peer's process must not load another

    p = np.full(len(rows.y), PROPENSITY, dtype=np.float32)
    if learner in ("S", "T"):
        model = getattr(meta, f"Base{learner}Regressor")(learner=regressor(threads))
        model.fit(rows.x, rows.w, rows.y)
        return model.predict(rows.x)
    model = getattr(meta, f"Base{learner}Regressor")(learner=regressor(threads))
    if learner == "R":
        model.cv_n_jobs, model.random_state = 1, SEED
    model.fit(rows.x, rows.w, rows.y, p=p)
    return model.predict(rows.x, p=p)


def fit_econml(learner: str, rows: Rows, threads: int) -> Scores:
    """Fit one of econml's learners and predict all rows."""
    from econml.dml import NonParamDML  # noqa: PLC0415 - one peer's process must not load another
    from econml.dr import DRLearner  # noqa: PLC0415
    from econml.metalearners import XLearner  # noqa: PLC0415
    from sklearn.dummy import DummyClassifier  # noqa: PLC0415

    boosted, share = regressor(threads), DummyClassifier(strategy="prior")
    makers: dict[str, Callable] = {
        "XLearner": lambda: XLearner(models=boosted, propensity_model=share),
        "DRLearner": lambda: DRLearner(
            model_regression=boosted,
            model_propensity=share,
            model_final=regressor(threads),
            random_state=SEED,
        ),
        "NonParamDML": lambda: NonParamDML(
            model_y=boosted,
            model_t=share,
            model_final=regressor(threads),
            discrete_treatment=True,
            random_state=SEED,
        ),
    }
    model = makers[learner]()
    model.fit(rows.y, rows.w, X=rows.x)
    return model.effect(rows.x)


FITS: dict[str, Callable[[str, Rows, int], Scores]] = {"causalml": fit_causalml, "econml": fit_econml}
