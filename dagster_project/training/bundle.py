"""Save as one bundle all that is needed to score a user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
from uplift_core.targeting.effect_map import EffectMap


@dataclass(frozen=True)
class Learned:
    """What the training of all arms yields.

    Attributes:
        edges: the bins that the models were trained on.
        models: the model of each treatment arm.
        effect_maps: the maps that make the arms' scores comparable; empty if they were not
            judged together.
    """

    edges: BinEdges
    models: dict[str, ContrastModel]
    effect_maps: Mapping[str, EffectMap] = field(default_factory=dict)


def write_bundle(
    db: Warehouse, root: Path, experiment: BatchExperiment, learned: Learned
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
        features=learned.edges.features,
        features_sql=text,
        raw_columns=contract(db, experiment),
        edges=learned.edges.to_dict(),
        data_sha256=data_sha256,
        sql_sha256=sql_sha256((experiment.path / RAW_SQL).read_text(encoding="utf-8"), text),
        libraries=bundle.library_versions() | {"duckdb": duckdb.__version__},
        effect_maps=dict(learned.effect_maps),
    )
    return bundle.save(root, manifest, learned.models)
