"""Read the users of one contrast in groups by score, see ``sql/evaluation/joint_groups.sql``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from uplift_core.evaluation.cluster_rows import Rows
from uplift_core.evaluation.clusters import Clusters
from uplift_core.evaluation.estimate import SUMS, WEIGHTED, balance_weights
from uplift_core.evaluation.groups import JointGroups, user_terms

WEIGHT = "weight"  # column of the sampling weights


@dataclass(frozen=True)
class Grouping:
    """How users are grouped.

    Attributes:
        columns: columns that the users of a group have in common.
        scores: ranking -> the column of its scores.
        by_fold: whether groups are of one fold of the train split, or of held-out users.
    """

    columns: Identifier
    scores: Mapping[str, str]
    by_fold: bool

    @classmethod
    def by_scores(cls, scores: Mapping[str, str], *, clustered: bool, by_fold: bool) -> Grouping:
        """Group users by all their scores.

        Clusters refer to groups by cell; a cell has one score of each ranking and one prediction of each
        arm.
        """
        columns = ["cell", *scores.values(), "mu0", "mu1"] if clustered else list(scores.values())
        return cls(Identifier.listed(columns), scores, by_fold)


def _scores_in(db: Warehouse, predictions: Identifier) -> dict[str, str]:
    """Return the rankings that a table of predictions has: an earlier version made fewer."""
    columns = {str(row[0]) for row in db.rows(f"describe {predictions}")}
    return {name: column for name, column in SCORES.items() if column in columns}


def read_holdout(
    db: Warehouse, experiment: BatchExperiment, arm: str, outcome: str, *, with_clusters: bool = True
) -> JointGroups:
    """Read the held-out users of one contrast in groups by their stored scores.

    Clusters are read if the experiment declares them; ``with_clusters`` false leaves them out where no
    standard error is computed.
    """
    scores = _scores_in(db, experiment.tables.predictions)
    return read_joint(db, experiment, arm, scores, outcome=outcome, with_clusters=with_clusters)


def read_joint(  # noqa: PLR0913 - which users, and by what
    db: Warehouse,
    experiment: BatchExperiment,
    arm: str,
    scores: Mapping[str, str],
    *,
    outcome: str = "",
    with_clusters: bool = True,
) -> JointGroups:
    """Read the held-out users of one contrast in groups by some rankings: name -> column of predictions.

    The outcome is the default one if none is named.
    """
    outcome = outcome or experiment.declaration.defaults.outcome
    clustered = with_clusters and experiment.declaration.errors_by_unit
    predictions = experiment.tables.predictions
    grouping = Grouping.by_scores(scores, clustered=clustered, by_fold=False)
    sql = sums_select(experiment, predictions, outcome, grouping)
    rows = db.arrow(sql, sums_binds(experiment, arm, by_fold=False))
    if not rows.num_rows:
        raise DataError(f"{experiment.name}: no held-out user is in '{arm}' or the control")
    users = read_cluster_users(db, experiment, arm, outcome, by_fold=False) if clustered else None
    e = experiment.declaration.contrast(arm).propensity
    return groups_of(rows, e, users, _read_scores(rows, scores))


def read_out_of_fold(
    db: Warehouse, experiment: BatchExperiment, predictions: Identifier, arm: str
) -> list[JointGroups]:
    """Read the train users of one contrast, fold by fold, in groups by out-of-fold predictions.

    ``predictions`` has one row per cell and fold.
    """
    outcome = experiment.declaration.defaults.outcome
    clustered = experiment.declaration.errors_by_unit
    grouping = Grouping.by_scores(SCORES, clustered=clustered, by_fold=True)
    sql = sums_select(experiment, predictions, outcome, grouping)
    rows = db.arrow(sql, sums_binds(experiment, arm, by_fold=True))
    users = read_cluster_users(db, experiment, arm, outcome, by_fold=True) if clustered else None
    e = experiment.declaration.contrast(arm).propensity

    def of_fold(table: pa.Table, fold: int) -> pa.Table:
        return table.filter(pc.field("fold") == fold)

    def groups(fold: int) -> JointGroups:
        of_rows, of_users = of_fold(rows, fold), None if users is None else of_fold(users, fold)
        return groups_of(of_rows, e, of_users, _read_scores(of_rows, SCORES))

    return [groups(k) for k in np.unique(rows.column("fold").to_numpy())]


def read_cell_clusters(
    db: Warehouse, experiment: BatchExperiment, arm: str, outcome: str
) -> tuple[npt.NDArray[np.int64], Clusters]:
    """Read the held-out users of one contrast by cluster and cell, and the cells: (n_groups,).

    Besides the terms of influences there are ``events_treated`` and ``events_control``: the users of
    each arm with an outcome.
    """
    grouping = Grouping.by_scores({}, clustered=True, by_fold=False)
    sql = sums_select(experiment, experiment.tables.predictions, outcome, grouping)
    rows = db.arrow(sql, sums_binds(experiment, arm, by_fold=False))
    users = read_cluster_users(db, experiment, arm, outcome, by_fold=False)
    clusters = _clusters(rows, experiment.declaration.contrast(arm).propensity, users)
    events = {
        f"events_{side}": clusters.sums[side] * (clusters.sums[f"y_{side}"] != 0)
        for side in ("treated", "control")
    }
    of_rows = replace(clusters.rows, sums={**clusters.sums, **events})
    return rows.column("cell").to_numpy(), replace(clusters, rows=of_rows)


def sums_select(
    experiment: BatchExperiment, predictions: Identifier, outcome: str, grouping: Grouping
) -> str:
    """Return the SELECT that adds up the users of one contrast by group."""
    mu0, mu1 = outcome_columns(outcome)
    return render(
        "evaluation/joint_groups.sql",
        cells=experiment.tables.cells,
        predictions=predictions,
        sums=experiment.outcome(outcome),
        score_names=[Identifier.of(column) for column in grouping.scores.values()],
        score_list=grouping.columns,
        mu0=Identifier.of(mu0),
        mu1=Identifier.of(mu1),
        by_fold=grouping.by_fold,
        varies=experiment.declaration.propensity_varies,
        weighted=bool(experiment.declaration.weight),
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
    """Read the users of one contrast, cluster by cluster; without clusters each user is one."""
    sql = render(
        "evaluation/cluster_users.sql",
        assignment=experiment.tables.assignment,
        user_cells=experiment.tables.user_cells,
        outcome=experiment.outcome(outcome).name,
        by_fold=by_fold,
        clustered=bool(experiment.declaration.cluster),
        varies=experiment.declaration.propensity_varies,
        weighted=bool(experiment.declaration.weight),
    )
    binds = sums_binds(experiment, arm, by_fold=by_fold)
    return db.arrow(sql, {name: binds[name] for name in ("arm", "control", "split")})


def first_rows(by_cluster: pa.Table) -> npt.NDArray[np.int64]:
    """Return the row with which each cluster begins; rows are in the order of their clusters."""
    cluster = by_cluster.column("cluster").to_numpy()
    return np.flatnonzero(np.r_[True, cluster[1:] != cluster[:-1]])


def _read_scores(rows: pa.Table, columns: Mapping[str, str]) -> dict[str, Doubles]:
    return {name: doubles(rows, column) for name, column in columns.items()}


def groups_of(
    rows: pa.Table, propensity: float, by_cluster: pa.Table | None, scores: Mapping[str, Doubles]
) -> JointGroups:
    """Make the groups of a table of ``sums_select`` with these scores, each (n_rows,).

    ``by_cluster`` has the users by cluster, see ``read_cluster_users``; each row is then a cell.
    """
    sums: dict[str, Any] = {column: doubles(rows, column) for column in SUMS}
    if WEIGHTED[0] in rows.column_names:
        sums["weighted"] = {column: doubles(rows, column) for column in WEIGHTED}
    if by_cluster is None:
        return JointGroups(**sums, propensity=propensity, scores=scores)
    clusters = _clusters(rows, propensity, by_cluster)
    return JointGroups(**sums, propensity=propensity, scores=scores, clusters=clusters).merged()


def _clusters(rows: pa.Table, propensity: float, by_cluster: pa.Table) -> Clusters:
    """Make the clusters of groups of which each is a cell, in the order of cells."""
    cells, cell = (table.column("cell").to_numpy() for table in (rows, by_cluster))
    place = np.zeros(cells[-1] + 1, dtype=np.int64)
    place[cells] = np.arange(len(cells))
    group = place[cell]
    kind, kinds = _kinds(by_cluster, group)
    group = group[kinds]
    w, y = (doubles(by_cluster, name)[kinds] for name in ("w", "y"))
    mu0, mu1 = (doubles(rows, name)[group] for name in ("mu0", "mu1"))
    if "propensity" in by_cluster.column_names:
        e = doubles(by_cluster, "propensity")[kinds]
        weight = balance_weights(w, propensity, e)
        terms = user_terms(w, y, mu0=mu0, mu1=mu1, propensity=e, weight=weight)
    else:
        terms = user_terms(w, y, mu0=mu0, mu1=mu1, propensity=propensity)
    if WEIGHT in by_cluster.column_names:
        sampled = doubles(by_cluster, WEIGHT)[kinds]
        terms = {name: sampled * term for name, term in terms.items()}
    return Clusters(Rows(first_rows(by_cluster), kind, terms), group, len(cells))


def _kinds(
    by_cluster: pa.Table, group: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find the users that are alike: (n_users,) each user's kind, (n_kinds,) a user of each.

    Users of one cell, arm and outcome of 0 or 1 are. Where outcomes are others, or users have weights,
    each user is a kind. Users of a cell have one propensity.
    """
    users, y = np.arange(len(group)), by_cluster.column("y").to_numpy()
    if WEIGHT in by_cluster.column_names or np.any((y != 0) & (y != 1)):
        return users, users
    code = 4 * group + (2 * by_cluster.column("w").to_numpy() + y).astype(np.int64)
    of_code = np.full(4 * group.max(initial=0) + 4, -1)
    of_code[code] = users
    present = np.flatnonzero(of_code >= 0)
    kinds = of_code[present]
    of_code[present] = np.arange(len(present))
    return of_code[code], kinds


def doubles(rows: pa.Table, column: str) -> Doubles:
    """Return a column as float64."""
    return np.asarray(rows.column(column).to_numpy(), dtype=np.float64)
