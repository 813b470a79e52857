"""Compute ``evaluation.placebo``: what the procedure finds if the arms are permuted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.stored_plots import records
from dagster_project.training.cells import read_edges, read_feature_cells
from dagster_project.training.registry import REGISTRY
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import render
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.cells import BinnedUsers
from uplift_core.errors import DataError
from uplift_core.evaluation.placebo import p_value, placebo_runs
from uplift_core.evaluation.tables import Rows


def placebo_rows(db: Warehouse, experiment: BatchExperiment, runs: int, threads: int) -> Rows:
    """Permute the arms ``runs`` times; return the rows of each arm for the default outcome.

    Parameters are those of the current models. Without runs there are no rows.
    """
    declaration, rows = experiment.declaration, []
    if runs and declaration.weight:
        raise DataError(
            f"{experiment.name}: placebo_runs: arms are not permuted where users have sampling weights "
            f"(weight = '{declaration.weight}'); leave placebo_runs at 0"
        )
    defaults, parameters = declaration.defaults, _parameters(db, experiment)
    for arm in declaration.treatments if runs else ():
        users = read_train_users(db, experiment, arm)
        runs_of_arms = list(
            placebo_runs(
                users, runs, budget=defaults.budget, parameters=parameters[arm], threads=threads
            )
        )
        label = {"experiment": experiment.name, "arm": arm, "outcome": defaults.outcome}
        rows += [
            label
            | {
                "run": number,
                "learner": run.champion,
                "z_over_random": run.z_random,
                "z_over_response": run.z_response,
                "opens": run.opens,
                "p_value": p_value(run, runs_of_arms),
                "n": len(users.y),
            }
            for number, run in enumerate(runs_of_arms)
        ]
    return rows


def read_train_users(db: Warehouse, experiment: BatchExperiment, arm: str) -> BinnedUsers:
    """Read the train users of one contrast with the default outcome, in the order of their ids."""
    declaration, tables = experiment.declaration, experiment.tables
    contrast, outcome = declaration.contrast(arm), declaration.outcome(declaration.defaults.outcome)
    sql = render(
        "evaluation/train_users.sql",
        assignment=tables.assignment,
        user_cells=tables.user_cells,
        outcome=experiment.outcome(outcome.name).name,
        clustered=bool(declaration.cluster),
        varies=declaration.propensity_varies,
    )
    rows = db.arrow(sql, {"arm": arm, "control": contrast.control})
    edges = read_edges(db, experiment)
    return BinnedUsers(
        x=read_feature_cells(db, experiment, edges.features),
        cell=rows.column("cell").to_numpy().astype(np.int64),
        w=rows.column("w").to_numpy().astype(np.int8),
        y=rows.column("y").to_numpy().astype(np.float64),
        fold=rows.column("fold").to_numpy().astype(np.int8),
        propensity=contrast.propensity,
        binary=outcome.kind == "binary",
        max_bin=edges.max_bin,
        cluster=_numbered(rows.column("cluster")) if declaration.cluster else None,
        propensities=rows.column("propensity").to_numpy() if declaration.propensity_varies else None,
    )


def _numbered(cluster: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Number clusters from 0: (n,)."""
    return np.unique(cluster.to_numpy(), return_inverse=True)[1].ravel().astype(np.int64)


def _parameters(db: Warehouse, experiment: BatchExperiment) -> dict[str, LearnerParameters]:
    """Read the parameters of each arm's current models."""
    sql = (
        f"select arm, any_value(parameters) as parameters from {REGISTRY} "
        "where experiment = $experiment and is_current group by arm"
    )
    rows = records(db, sql, {"experiment": experiment.name})
    return {row["arm"]: LearnerParameters.model_validate_json(row["parameters"]) for row in rows}
