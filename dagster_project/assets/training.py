"""cells and models: from features to a model bundle."""

# No postponed annotations here: Dagster reads those of an asset as they stand.
from typing import Literal

import dagster as dg
from pydantic import Field

from dagster_project.assets.common import asset_options
from dagster_project.binning import binned_select
from dagster_project.cells import find_edges, read_edges
from dagster_project.champion import REGISTRY
from dagster_project.checks.profiles import write_profile
from dagster_project.folders import ExperimentFolder
from dagster_project.metadata import describe_table
from dagster_project.models import registry_rows, train_arm, write_bundle, write_registry
from dagster_project.resources import Engine
from dagster_project.sqlfiles import Identifier, render
from dagster_project.tuning import tuned_parameters
from uplift_core.boosting import LearnerParameters
from uplift_core.errors import DataError
from uplift_core.files import replace_file


class ModelConfig(dg.Config):
    """Which parameters to train with."""

    parameters: Literal["declared", "tuned"] = Field(
        default="declared",
        description="declared: those of experiment.toml; tuned: those that the asset tuning chose",
    )
    rounds: int = Field(
        default=0,
        ge=0,
        le=5000,
        description="boosting rounds (trees) of every model; 0: as in the parameters. More of them fit "
        "the outcome's noise sooner than the effect; the model card tells what came of it",
    )

    def grown(self, parameters: LearnerParameters) -> LearnerParameters:
        """The parameters with the rounds that are asked for."""
        return parameters.with_rounds(self.rounds) if self.rounds else parameters


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
            edges, fitted, used, verdicts = read_edges(db, folder), {}, {}, {}
            for arm in experiment.treatments:
                context.log.info(f"{experiment.name}/models: training {arm} against the control")
                tuned = config.parameters == "tuned"
                found = tuned_parameters(db, folder, arm) if tuned else experiment.learners
                used[arm] = config.grown(found)
                fitted[arm], verdicts[arm] = train_arm(
                    db, folder, arm, edges, used[arm], threads=engine.threads
                )
                context.log.info(f"{experiment.name}/models: {arm}: {verdicts[arm].text}")
            version, path = write_bundle(db, engine.paths.bundles, folder, edges, fitted)
            write_registry(db, folder, version, registry_rows(folder, version, path, used, verdicts))
            write_profile(db, folder, edges)
            context.log.info(f"{experiment.name}/models: {version}")
            metadata = describe_table(db, REGISTRY)
            metadata |= {f"gate_{arm}": dg.MetadataValue.text(v.text) for arm, v in verdicts.items()}
            return dg.MaterializeResult(
                metadata=metadata
                | {"model_version": version, "bundle": dg.MetadataValue.path(str(path))}
            )

    return models
