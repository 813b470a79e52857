"""Histograms of the features at the last training, and their drift since then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from dagster_project.checks.findings import Finding
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.cells import features_of
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.cells import BinEdges
from uplift_core.diagnostics.statistics import stability_index

PROFILES = Identifier.of("quality", "profiles")
BINS = 10

Histogram = dict[float, int]  # upper end of a bin -> users; NaN -> users without a value


def write_profile(db: Warehouse, experiment: BatchExperiment, edges: BinEdges) -> None:
    """Write the features' histograms; each bin holds an equal share of train users."""
    bounds = {
        name: [float(v) for v in edge[:: math.ceil(len(edge) / BINS)]]
        for name, edge in zip(edges.features, edges.edges, strict=True)
    }
    rows = [
        {"experiment": experiment.name, "feature": name, "bound": bound, "n": n}
        for name, histogram in _histograms(db, experiment.tables.features, bounds).items()
        for bound, n in histogram.items()
    ]
    db.replace_rows(PROFILES, {"experiment": experiment.name}, pa.Table.from_pylist(rows))


def check_feature_drift(
    db: Warehouse, experiment: BatchExperiment, features: Identifier | None = None
) -> Iterator[Finding]:
    """Compare the features with those of the previous training; no finding if there was none.

    ``features`` is another table of features, such as the population's; it is compared with the current
    training.
    """
    drift = "differs from the training's" if features else "has moved since the previous training"
    limit = experiment.declaration.quality.drift
    before = _profile(db, experiment)
    names = [name for name in features_of(db, experiment) if name in before]
    bounds = {name: [bound for bound in before[name] if math.isfinite(bound)] for name in names}
    now = _histograms(db, features or experiment.tables.features, bounds) if names else {}
    for name in names:
        ends = sorted(before[name].keys() | now[name].keys(), key=str)
        index = stability_index(_at(before[name], ends), _at(now[name], ends))
        yield Finding(
            check="drift",
            rule="stability index",
            column=name,
            value=f"{index:.4f}",
            message=f"{experiment.name}: column '{name}' {drift} (stability "
            f"index {index:.3f}, {limit} is a lot); look for a change at its source"
            if index > limit
            else "",
            passed=index <= limit,
            warn=True,
        )


def _profile(db: Warehouse, experiment: BatchExperiment) -> dict[str, Histogram]:
    histograms: dict[str, Histogram] = {}
    rows = db.rows(
        f"select feature, bound, n from {PROFILES} where experiment = $name order by feature, bound",
        {"name": experiment.name},
    )
    for feature, bound, n in rows:
        histograms.setdefault(feature, {})[_one_nan(bound)] = n
    return histograms


def _histograms(
    db: Warehouse, features: Identifier, bounds: Mapping[str, list[float]]
) -> dict[str, Histogram]:
    sql = render(
        "quality/histograms.sql",
        features=features,
        feature_names=[Identifier.of(name) for name in bounds],
        numbers=[Identifier(str(i)) for i, _ in enumerate(bounds, 1)],
        bounds=[Identifier(f"$bounds_{i}") for i, _ in enumerate(bounds, 1)],
    )
    rows = db.rows(sql, {f"bounds_{i}": ends for i, ends in enumerate(bounds.values(), 1)})
    return {
        name: {**{_one_nan(end): n for end, n in (bins or {}).items()}, math.nan: missing}
        for name, (_, bins, missing) in zip(bounds, rows, strict=True)
    }


def _one_nan(bound: float) -> float:
    """Return the one NaN object, as a dict finds NaN only by identity."""
    return math.nan if math.isnan(bound) else bound


def _at(histogram: Histogram, ends: list[float]) -> np.ndarray:
    return np.asarray([histogram.get(end, 0) for end in ends], dtype=np.float64)
