"""Save as one bundle all that is needed to score a user."""

from __future__ import annotations

from pathlib import Path

import duckdb

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.raw_contract import contract
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, sql_sha256
from uplift_core.artifacts import bundle
from uplift_core.artifacts.bundle import Manifest
from uplift_core.cells import BinEdges
from uplift_core.experiment.declaration import RAW_SQL
from uplift_core.learners.contrast import ContrastModel


def write_bundle(
    db: Warehouse,
    root: Path,
    experiment: BatchExperiment,
    edges: BinEdges,
    models: dict[str, ContrastModel],
) -> tuple[str, Path]:
    """Save the bundle, which contains all that is needed to score a user from raw attributes."""
    registry = Identifier.of("raw", "registry")
    (data_sha256,) = db.one(
        f"select sha256 from {registry} where experiment = $name", {"name": experiment.name}
    )
    text = experiment.features_sql.text
    manifest = Manifest(
        experiment=experiment.declaration,
        outcome=experiment.declaration.defaults.outcome,
        features=edges.features,
        features_sql=text,
        raw_columns=contract(db, experiment),
        edges=edges.to_dict(),
        data_sha256=data_sha256,
        sql_sha256=sql_sha256((experiment.path / RAW_SQL).read_text(encoding="utf-8"), text),
        libraries=bundle.library_versions() | {"duckdb": duckdb.__version__},
    )
    return bundle.save(root, manifest, models)
