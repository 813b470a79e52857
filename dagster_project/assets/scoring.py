"""scores: every user's CATE under every learner."""

# No postponed annotations here: Dagster reads those of an asset as they stand.
import dagster as dg

from dagster_project.assets.common import Results, asset_options
from dagster_project.assets.layer import LayerWrite
from dagster_project.declared.experiment import ExperimentFolder
from dagster_project.evaluation.model_card import distribution_plots, plot_metadata
from dagster_project.reporting.metadata import describe_table
from dagster_project.resources import Engine
from dagster_project.scores.predictions import scores_select
from dagster_project.training.registry import current_version
from uplift_core.errors import DataError


def scores_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """Score each distinct cell once, and hand the scores to its users."""
    experiment, tables = folder.experiment, folder.tables

    @dg.asset(
        **asset_options(folder, "scores", ["models", "cells"], kinds=("duckdb", "xgboost")),
        description="Each user's effect (CATE) under each learner, and the response model's "
        "prediction. One row per user and treatment arm.",
    )
    def scores(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        sql = scores_select(tables)
        write = LayerWrite(context, engine, folder, "scores")
        with write.transaction() as db:
            version = current_version(db, folder.name)
            rows = engine.compute.score(db, folder, engine.paths.bundles / version)
            expected = db.count(tables.raw) * len(experiment.treatments)
            if rows != expected:
                raise DataError(f"{folder.name}: {rows} scores were written, expected {expected}")
            context.log.info(f"{folder.name}/scores: {rows:,} rows by {version}")
            metadata = plot_metadata(distribution_plots(db, folder))
            metadata |= describe_table(db, tables.scores, sql) | engine.where()
            metadata |= {"model_version": dg.MetadataValue.text(version)}
        yield from write.results(metadata)

    return scores
