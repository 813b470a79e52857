"""Read the users of one contrast in groups by score, see ``sql/evaluation/joint_groups.sql``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import SCORES, outcome_columns
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.clusters import Clusters
from uplift_core.evaluation.estimate import SUMS
from uplift_core.evaluation.groups import JointGroups, user_terms

ALL_SCORES = Identifier.listed(SCORES.values())
# Clusters refer to groups by cell; a cell has one score of each ranking, and one prediction of each arm.
CELLS = Identifier.listed(["cell", *SCORES.values(), "mu0", "mu1"])


def read_holdout(
    db: Warehouse, experiment: BatchExperiment, arm: str, outcome: str, *, with_clusters: bool = True
) -> JointGroups:
    """Read the held-out users of one contrast in groups by their stored scores.

    Clusters are read if the experiment declares them; ``with_clusters`` false leaves them out where no
    standard error is computed.
    """
    clustered = with_clusters and bool(experiment.declaration.cluster)
    by = CELLS if clustered else ALL_SCORES
    sql = sums_select(experiment, experiment.tables.predictions, outcome, by=by, by_fold=False)
    rows = db.arrow(sql, sums_binds(experiment, arm, by_fold=False))
    if not rows.num_rows:
        raise DataError(f"{experiment.name}: no held-out user is in '{arm}' or the control")
    users = read_cluster_users(db, experiment, arm, outcome, by_fold=False) if clustered else None
    return _groups(rows, experiment.declaration.contrast(arm).propensity, users)


def read_out_of_fold(
    db: Warehouse, experiment: BatchExperiment, predictions: Identifier, arm: str
) -> list[JointGroups]:
    """Read the train users of one contrast, fold by fold, in groups by out-of-fold predictions.

    ``predictions`` has one row per cell and fold.
    """
    outcome = experiment.declaration.defaults.outcome
    clustered = bool(experiment.declaration.cluster)
    by = CELLS if clustered else ALL_SCORES
    sql = sums_select(experiment, predictions, outcome, by=by, by_fold=True)
    rows = db.arrow(sql, sums_binds(experiment, arm, by_fold=True))
    users = read_cluster_users(db, experiment, arm, outcome, by_fold=True) if clustered else None
    e = experiment.declaration.contrast(arm).propensity

    def of_fold(table: pa.Table, fold: int) -> pa.Table:
        return table.filter(pc.field("fold") == fold)

    return [
        _groups(of_fold(rows, k), e, None if users is None else of_fold(users, k))
        for k in np.unique(rows.column("fold").to_numpy())
    ]


def read_cell_clusters(
    db: Warehouse, experiment: BatchExperiment, arm: str, outcome: str
) -> tuple[npt.NDArray[np.int64], Clusters]:
    """Read the held-out users of one contrast by cluster and cell, and the cells: (n_groups,).

    Besides the terms of influences there are ``events_treated`` and ``events_control``: the users of
    each arm with an outcome.
    """
    sql = sums_select(experiment, experiment.tables.predictions, outcome, by=CELLS, by_fold=False)
    rows = db.arrow(sql, sums_binds(experiment, arm, by_fold=False))
    users = read_cluster_users(db, experiment, arm, outcome, by_fold=False)
    clusters = _clusters(rows, experiment.declaration.contrast(arm).propensity, users)
    happened = (doubles(users, "y") != 0).astype(np.float64)
    events = {f"events_{side}": clusters.sums[side] * happened for side in ("treated", "control")}
    return rows.column("cell").to_numpy(), replace(clusters, sums={**clusters.sums, **events})


def sums_select(
    experiment: BatchExperiment,
    predictions: Identifier,
    outcome: str,
    *,
    by: Identifier,
    by_fold: bool,
) -> str:
    """Return the SELECT that adds up the users of one contrast by the columns ``by``: cell or scores."""
    mu0, mu1 = outcome_columns(outcome)
    return render(
        "evaluation/joint_groups.sql",
        cells=experiment.tables.cells,
        predictions=predictions,
        sums=experiment.outcome(outcome),
        score_names=[Identifier.of(column) for column in SCORES.values()],
        score_list=by,
        mu0=Identifier.of(mu0),
        mu1=Identifier.of(mu1),
        by_fold=by_fold,
    )


def sums_binds(experiment: BatchExperiment, arm: str, *, by_fold: bool) -> dict[str, object]:
    """Return the parameters of ``sums_select``."""
    contrast = experiment.declaration.contrast(arm)
    return {
        "arm": arm,
        "control": contrast.control,
        "split": "train" if by_fold else "holdout",
        "propensity": contrast.propensity,
    }


def read_cluster_users(
    db: Warehouse, experiment: BatchExperiment, arm: str, outcome: str, *, by_fold: bool
) -> pa.Table:
    """Read the users of one contrast, cluster by cluster."""
    sql = render(
        "evaluation/cluster_users.sql",
        assignment=experiment.tables.assignment,
        user_cells=experiment.tables.user_cells,
        outcome=experiment.outcome(outcome).name,
        by_fold=by_fold,
    )
    binds = sums_binds(experiment, arm, by_fold=by_fold)
    return db.arrow(sql, {name: binds[name] for name in ("arm", "control", "split")})


def first_rows(by_cluster: pa.Table) -> npt.NDArray[np.int64]:
    """Return the row with which each cluster begins; rows are in the order of their clusters."""
    cluster = by_cluster.column("cluster").to_numpy()
    return np.flatnonzero(np.r_[True, cluster[1:] != cluster[:-1]])


def _groups(rows: pa.Table, propensity: float, by_cluster: pa.Table | None) -> JointGroups:
    sums: dict[str, Any] = {column: doubles(rows, column) for column in SUMS}
    scores = {name: doubles(rows, column) for name, column in SCORES.items()}
    if by_cluster is None:
        return JointGroups(**sums, propensity=propensity, scores=scores)
    clusters = _clusters(rows, propensity, by_cluster)
    return JointGroups(**sums, propensity=propensity, scores=scores, clusters=clusters).merged()


def _clusters(rows: pa.Table, propensity: float, by_cluster: pa.Table) -> Clusters:
    """Make the clusters of groups of which each is a cell, in the order of cells."""
    cells, cell = (table.column("cell").to_numpy() for table in (rows, by_cluster))
    group = np.searchsorted(cells, cell)
    w, y = (doubles(by_cluster, name) for name in ("w", "y"))
    mu0, mu1 = (doubles(rows, name)[group] for name in ("mu0", "mu1"))
    terms = user_terms(w, y, mu0=mu0, mu1=mu1, propensity=propensity)
    return Clusters.in_order(first_rows(by_cluster), group, terms, len(cells))


def doubles(rows: pa.Table, column: str) -> Doubles:
    """Return a column as float64."""
    return np.asarray(rows.column(column).to_numpy(), dtype=np.float64)
