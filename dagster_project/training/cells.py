"""Make bin edges and cells in the warehouse, and read them for the learners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.binning import binned_select
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.arrays import Doubles
from uplift_core.cells import BinEdges, Cells
from uplift_core.errors import DataError

EDGES = Identifier.of("training", "edges")


def find_edges(db: Warehouse, experiment: BatchExperiment, counts: Identifier | None = None) -> BinEdges:
    """Compute the lower bin edges of every feature from the train split; write ``training.edges``.

    ``counts`` is a table of the number of train users by value, if they have been counted already.
    """
    names = features_of(db, experiment)
    counted = counts or Identifier(f"({value_counts(experiment, names)})")
    sql = render("training/edges.sql", counts=counted)
    rows = db.rows(
        f"select feature, list(edge order by edge) from ({sql}) group by feature",
        {"max_bins": experiment.declaration.learners.max_bins},
    )
    # A feature that is missing for everybody still has one bin; it is empty.
    edges = {name: [0.0] for name in names} | dict(rows)
    bin_edges = BinEdges.from_dict(edges)
    db.replace_rows(EDGES, {"experiment": experiment.name}, _edge_rows(experiment, bin_edges))
    return bin_edges


def value_counts(experiment: BatchExperiment, names: Sequence[str]) -> str:
    """Return the SELECT that counts the train users of every value of the features ``names``."""
    return render(
        "training/value_counts.sql",
        features=experiment.tables.features,
        assignment=experiment.tables.assignment,
        feature_names=[Identifier.of(name) for name in names],
        feature_list=Identifier.listed(names),
    )


def read_edges(db: Warehouse, experiment: BatchExperiment) -> BinEdges:
    """Read the edges by which the experiment's cells were binned."""
    rows = db.rows(
        f"select feature, list(edge order by edge) from {EDGES} where experiment = $experiment "
        "group by position, feature order by position",
        {"experiment": experiment.name},
    )
    return BinEdges.from_dict(dict(rows))


def _edge_rows(experiment: BatchExperiment, edges: BinEdges) -> pa.Table:
    counts = [len(edge) for edge in edges.edges]
    return pa.table(
        {
            "experiment": pa.repeat(experiment.name, sum(counts)),
            "position": pa.array(np.repeat(np.arange(1, len(counts) + 1, dtype=np.int32), counts)),
            "feature": pa.array(np.repeat(np.asarray(edges.features, dtype=object), counts)),
            "edge": pa.array(np.concatenate(edges.edges)),
        }
    )


def make_cells(
    db: Warehouse, experiment: BatchExperiment, edges: BinEdges, *, of_part: bool = False
) -> None:
    """Bin features, number their combinations, and add up users to cells.

    Args:
        db: the warehouse.
        experiment: the experiment.
        edges: lower edges of the features' bins.
        of_part: whether the users are a part of all, so that their cells will be added to others.

    Raises:
        DataError: a user has no cell.
    """
    tables = experiment.tables
    db.create(tables.binned, binned_select(edges, tables))
    names = {"feature_list": Identifier.listed(edges.features)}
    fill = {"binned": tables.binned, "feature_cells": tables.feature_cells} | names
    db.create(tables.feature_cells, render("training/feature_cells.sql", **fill))
    users = db.create(tables.user_cells, render("training/user_cells.sql", **fill))
    if users != db.count(tables.features):
        raise DataError(f"{experiment.name}: {users} users have a cell, not all")
    db.create(tables.cells, cells_select(experiment, of_part=of_part))
    db.drop(tables.binned)


def cells_select(experiment: BatchExperiment, *, of_part: bool = False) -> str:
    """Return the SELECT that adds up users to cells."""
    tables = experiment.tables
    return render(
        "training/cells.sql",
        user_cells=tables.user_cells,
        feature_cells=tables.feature_cells,
        assignment=tables.assignment,
        outcomes=experiment.outcomes,
        of_part=of_part,
        varies=experiment.declaration.propensity_varies,
        weighted=bool(experiment.declaration.weight),
    )


def features_of(db: Warehouse, experiment: BatchExperiment) -> tuple[str, ...]:
    """Read the names of the experiment's features, in the models' order."""
    registry = Identifier.of("features", "registry")
    sql = f"select name from {registry} where experiment = $experiment order by position"
    rows = db.rows(sql, {"experiment": experiment.name})
    return tuple(row[0] for row in rows)


def read_cells(
    db: Warehouse, experiment: BatchExperiment, arm: str, edges: BinEdges, outcome: str | None = None
) -> Cells:
    """Read the train cells of one contrast and outcome (None: the default one), in canonical order."""
    declaration, tables = experiment.declaration, experiment.tables
    contrast = declaration.contrast(arm)
    declared = declaration.outcome(outcome or declaration.defaults.outcome)
    names, varies = experiment.outcome(declared.name), declaration.propensity_varies
    of_user = ", propensity" if varies else ""
    n, some = ("weight as n", "and weight > 0 ") if declaration.weight else ("n", "")
    rows = db.arrow(
        f"select cell, arm = $arm as w, fold, {n}{of_user}, {names.sum} as y_sum, "
        f"{names.events} as events, {names.sum_sq} as squares "
        f"from {tables.cells} where split = 'train' and arm in ($arm, $control) {some}"
        f"order by cell, arm = $arm, fold{of_user}",
        {"arm": contrast.arm, "control": contrast.control},
    )

    def doubles(name: str) -> Doubles:
        return rows.column(name).to_numpy().astype(np.float64)

    return Cells(
        x=read_feature_cells(db, experiment, edges.features),
        cell=rows.column("cell").to_numpy().astype(np.int64),
        w=rows.column("w").to_numpy().astype(np.int8),
        fold=rows.column("fold").to_numpy().astype(np.int8),
        n=doubles("n"),
        y_sum=doubles("y_sum"),
        events=doubles("events"),
        propensity=contrast.propensity,
        binary=declared.kind == "binary",
        max_bin=edges.max_bin,
        propensities=doubles("propensity") if varies else None,
        squares=None if declared.kind == "binary" else doubles("squares"),
    )


def read_feature_cells(
    db: Warehouse, experiment: BatchExperiment, features: tuple[str, ...]
) -> np.ndarray:
    """Read the features of every cell, (n_feature_cells, n_features) float32; row i is cell i."""
    columns = ", ".join(str(Identifier.of(name)) for name in features)
    rows = db.arrow(f"select {columns} from {experiment.tables.feature_cells} order by cell")
    return np.column_stack([rows.column(name).to_numpy() for name in features]).astype(np.float32)


def of_parts(experiment: BatchExperiment, what: str) -> Identifier:
    """Return the name of a view of all workers' parts; cells are numbered within each part."""
    return Identifier.of("training", f"{experiment.name}_part_{what}")
