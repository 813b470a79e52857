"""Compute ``evaluation.segments``: the effect by level or fifth of each feature, on held-out users."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product

import numpy as np

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.score_groups import Grouping, read_cell_clusters, sums_binds, sums_select
from dagster_project.training.cells import features_of, read_feature_cells
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.evaluation.segments import BinSums, Segment, segments
from uplift_core.evaluation.tables import Rows


def segment_rows(db: Warehouse, experiment: BatchExperiment) -> Rows:
    """Compute the rows of every arm, outcome and segment."""
    declaration, rows = experiment.declaration, []
    for arm, outcome in product(declaration.treatments, declaration.outcomes):
        label = {"experiment": experiment.name, "arm": arm, "outcome": outcome.name}
        position: dict[str, int] = {}
        for segment in segments(read_bins(db, experiment, arm, outcome.name)):
            position[segment.feature] = position.get(segment.feature, 0) + 1
            rows.append(label | {"position": position[segment.feature]} | _row(segment))
    return rows


def read_bins(db: Warehouse, experiment: BatchExperiment, arm: str, outcome: str) -> dict[str, BinSums]:
    """Read the held-out users of one contrast by the bins of each feature: feature -> sums."""
    names = features_of(db, experiment)
    grouping = Grouping(Identifier.of("cell"), {}, by_fold=False)
    by_cell = sums_select(experiment, experiment.tables.predictions, outcome, grouping)
    sql = render(
        "evaluation/segments.sql",
        sums_by_cell=Identifier(f"({by_cell})"),
        feature_cells=experiment.tables.feature_cells,
        feature_list=Identifier.listed(names),
    )
    rows = db.arrow(sql, sums_binds(experiment, arm, by_fold=False))
    feature = rows.column("feature").to_numpy()
    columns = {
        name: rows.column(name).to_numpy().astype(np.float64)
        for name in (f.name for f in fields(BinSums) if f.name != "clusters")
    }
    bins = {
        name: BinSums(**{column: values[feature == name] for column, values in columns.items()})
        for name in names
    }
    if experiment.declaration.errors_by_unit:
        return _with_clusters(db, experiment, arm, outcome, bins)
    return bins


def _with_clusters(
    db: Warehouse, experiment: BatchExperiment, arm: str, outcome: str, bins: dict[str, BinSums]
) -> dict[str, BinSums]:
    """Add the users by cluster and bin."""
    cells, clusters = read_cell_clusters(db, experiment, arm, outcome)
    x = read_feature_cells(db, experiment, tuple(bins))[cells].astype(np.float64)
    return {
        name: replace(sums, clusters=clusters.merged(np.searchsorted(sums.value, values), len(sums.n)))
        for (name, sums), values in zip(bins.items(), x.T, strict=True)
    }


def _row(segment: Segment) -> dict[str, object]:
    return {
        "feature": segment.feature,
        "segment": segment.label,
        "low": segment.low,
        "high": segment.high,
        "n": round(segment.n),
        "effect": segment.effect.value,
        "std_error": segment.effect.std_error,
        "ci_low": segment.effect.ci_low,
        "ci_high": segment.effect.ci_high,
        "difference": segment.difference.value,
        "difference_std_error": segment.difference.std_error,
        "p_value": segment.p_value,
        "q_value": segment.q_value,
    }
