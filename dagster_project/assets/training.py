"""cells and models: from features to a model bundle."""

# No postponed annotations here: Dagster reads those of an asset as they stand.
import dagster as dg
import numpy as np
import pyarrow as pa

from dagster_project.assets.common import asset_options
from dagster_project.binning import binned_select
from dagster_project.folders import ExperimentFolder
from dagster_project.metadata import describe_table
from dagster_project.models import read_cells, registry_rows, write_bundle
from dagster_project.resources import Engine
from dagster_project.sqlfiles import Identifier, render
from dagster_project.warehouse import Warehouse
from uplift_core.cells import MAX_BINS, BinEdges
from uplift_core.errors import DataError
from uplift_core.files import replace_file
from uplift_core.learners import fit_contrast


def cells_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """Users added up by binned features, arm, split and fold."""
    experiment, tables = folder.experiment, folder.tables

    @dg.asset(
        **asset_options(folder, "cells", ["features", "assignment"]),
        description="Users added up. One row per combination of binned features, arm, split and fold.",
    )
    def cells(context: dg.AssetExecutionContext, engine: Engine) -> dg.MaterializeResult:
        with engine.warehouse() as db:
            edges = read_edges(db, folder)
            binned = binned_select(edges, tables)
            replace_file(engine.paths.generated_sql / f"{folder.name}_binned.sql", binned.encode())
            db.create(tables.binned, binned)
            names = {"feature_list": Identifier.listed(edges.features)}
            fill = {"binned": tables.binned, "feature_cells": tables.feature_cells} | names
            db.create(tables.feature_cells, render("training/feature_cells.sql", **fill))
            users = db.create(tables.user_cells, render("training/user_cells.sql", **fill))
            if users != db.count(tables.features):
                raise DataError(f"{folder.name}: {users} users have a cell, not all")
            sql = render(
                "training/cells.sql",
                user_cells=tables.user_cells,
                feature_cells=tables.feature_cells,
                assignment=tables.assignment,
                outcomes=folder.outcomes,
            )
            rows = db.create(tables.cells, sql)
            db.rows(f"drop table {tables.binned}")
            context.log.info(f"{experiment.name}/cells: {users:,} users in {rows:,} cells")
            return dg.MaterializeResult(metadata=describe_table(db, tables.cells, sql))

    return cells


def models_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """All learners of all contrasts."""
    experiment = folder.experiment

    @dg.asset(
        **asset_options(folder, "models", ["cells"], kinds=("xgboost", "duckdb")),
        description="The S-, T-, X-, R- and DR-learner of each treatment arm, in one bundle. "
        "models.registry holds one row per model version, arm and learner.",
    )
    def models(context: dg.AssetExecutionContext, engine: Engine) -> dg.MaterializeResult:
        with engine.warehouse() as db:
            edges = read_edges(db, folder)
            fitted = {}
            for arm in experiment.treatments:
                context.log.info(f"{experiment.name}/models: training {arm} against the control")
                fitted[arm] = fit_contrast(
                    read_cells(db, folder, arm, edges), experiment.learners, engine.threads
                )
            version, path = write_bundle(db, engine.paths.bundles, folder, edges, fitted)
            registry = Identifier.of("models", "registry")
            db.rows(
                f"update {registry} set is_current = false where experiment = $experiment",
                {"experiment": experiment.name},
            )
            rows = registry_rows(folder, version, path)
            db.replace_rows(registry, {"model_version": version}, rows)
            context.log.info(f"{experiment.name}/models: {version}")
            return dg.MaterializeResult(
                metadata=describe_table(db, registry)
                | {"model_version": version, "bundle": dg.MetadataValue.path(str(path))}
            )

    return models


def read_edges(db: Warehouse, folder: ExperimentFolder) -> BinEdges:
    """Lower bin edges of every feature, from the train split."""
    tables = folder.tables
    names = features_of(db, folder)
    levels = [k / MAX_BINS for k in range(MAX_BINS)]
    edges = []
    for name in names:
        sql = render(
            "training/edges.sql",
            feature=Identifier.of(name),
            features=tables.features,
            assignment=tables.assignment,
        )
        found: pa.Table = db.arrow(sql, {"max_bins": MAX_BINS, "levels": levels})
        values = found.column("edge").to_numpy().astype(np.float32)
        edges.append(values if len(values) else np.zeros(1, dtype=np.float32))
    return BinEdges(names, tuple(edges))


def features_of(db: Warehouse, folder: ExperimentFolder) -> tuple[str, ...]:
    """Names of the experiment's features, in the models' order."""
    registry = Identifier.of("features", "registry")
    sql = f"select name from {registry} where experiment = $experiment order by position"
    rows = db.rows(sql, {"experiment": folder.name})
    return tuple(row[0] for row in rows)
