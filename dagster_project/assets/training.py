"""cells and models: from features to a model bundle."""

# No postponed annotations here: Dagster reads those of an asset as they stand.
from typing import Literal

import dagster as dg
from pydantic import Field

from dagster_project.assets.common import asset_options
from dagster_project.binning import binned_select
from dagster_project.folders import ExperimentFolder
from dagster_project.metadata import describe_table
from dagster_project.models import find_edges, read_cells, read_edges, registry_rows, write_bundle
from dagster_project.resources import Engine
from dagster_project.sqlfiles import Identifier, render
from dagster_project.tuning import tuned_parameters
from uplift_core.errors import DataError
from uplift_core.files import replace_file
from uplift_core.learners import fit_contrast


class ModelConfig(dg.Config):
    """Which parameters to train with."""

    parameters: Literal["declared", "tuned"] = Field(
        default="declared",
        description="declared: those of experiment.toml; tuned: those that the asset tuning chose",
    )


def cells_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """Users added up by binned features, arm, split and fold."""
    experiment, tables = folder.experiment, folder.tables

    @dg.asset(
        **asset_options(folder, "cells", ["features", "assignment"]),
        description="Users added up. One row per combination of binned features, arm, split and fold.",
    )
    def cells(context: dg.AssetExecutionContext, engine: Engine) -> dg.MaterializeResult:
        with engine.warehouse() as db:
            edges = find_edges(db, folder)
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
    def models(
        context: dg.AssetExecutionContext, config: ModelConfig, engine: Engine
    ) -> dg.MaterializeResult:
        with engine.warehouse() as db:
            edges = read_edges(db, folder)
            fitted, used = {}, {}
            for arm in experiment.treatments:
                context.log.info(f"{experiment.name}/models: training {arm} against the control")
                tuned = config.parameters == "tuned"
                used[arm] = tuned_parameters(db, folder, arm) if tuned else experiment.learners
                cells = read_cells(db, folder, arm, edges)
                fitted[arm] = fit_contrast(cells, used[arm], engine.threads)
            version, path = write_bundle(db, engine.paths.bundles, folder, edges, fitted)
            registry = Identifier.of("models", "registry")
            db.rows(
                f"update {registry} set is_current = false where experiment = $experiment",
                {"experiment": experiment.name},
            )
            rows = registry_rows(folder, version, path, used)
            db.replace_rows(registry, {"model_version": version}, rows)
            context.log.info(f"{experiment.name}/models: {version}")
            return dg.MaterializeResult(
                metadata=describe_table(db, registry)
                | {"model_version": version, "bundle": dg.MetadataValue.path(str(path))}
            )

    return models
