"""scores: every user's CATE under every learner."""

# No postponed annotations here: Dagster reads those of an asset as they stand.
import dagster as dg
import pyarrow as pa

from dagster_project.assets.common import asset_options
from dagster_project.folders import ExperimentFolder
from dagster_project.metadata import describe_table
from dagster_project.models import current_version, read_feature_cells
from dagster_project.resources import Engine
from dagster_project.sqlfiles import render
from uplift_core import bundle
from uplift_core.boosting import Floats
from uplift_core.errors import DataError
from uplift_core.learners import LEARNER_NAMES


def scores_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """Score each distinct cell once, and hand the scores to its users."""
    experiment, tables = folder.experiment, folder.tables

    @dg.asset(
        **asset_options(folder, "scores", ["models", "cells"], kinds=("duckdb", "xgboost")),
        description="Each user's effect (CATE) under each learner, and the response model's "
        "prediction. One row per user and treatment arm.",
    )
    def scores(context: dg.AssetExecutionContext, engine: Engine) -> dg.MaterializeResult:
        sql = render("scores/scores.sql", user_cells=tables.user_cells, assignment=tables.assignment)
        with engine.warehouse() as db:
            version = current_version(db, folder.name)
            loaded = bundle.load(engine.paths.bundles / version)
            x = read_feature_cells(db, folder, loaded.manifest.features)
            with db.relation("predictions", predict_cells(loaded, x)):
                rows = db.create(tables.scores, sql)
            expected = db.count(tables.raw) * len(experiment.treatments)
            if rows != expected:
                raise DataError(f"{folder.name}: {rows} scores were written, expected {expected}")
            context.log.info(f"{folder.name}/scores: {rows:,} rows by {version}")
            return dg.MaterializeResult(
                metadata=describe_table(db, tables.scores, sql) | {"model_version": version}
            )

    return scores


def predict_cells(loaded: bundle.Bundle, x: Floats) -> pa.Table:
    """Predictions for every cell (row of ``x``) and arm."""
    parts = []
    for arm, model in loaded.models.items():
        columns = {
            "cell": pa.array(range(len(x)), pa.int64()),
            "arm": pa.array([arm] * len(x)),
            "response": pa.array(model.predict_response(x)),
        }
        for learner in LEARNER_NAMES:
            columns[f"cate_{learner}"] = pa.array(model.predict(x, learner))
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)
