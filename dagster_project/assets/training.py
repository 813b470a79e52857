"""The assets cells, tuning, models and scores: from features to a model bundle and scores."""

# No postponed annotations here: Dagster reads an asset's annotations at run time.
import json
from functools import partial
from typing import Literal

import dagster as dg
import pyarrow as pa
from pydantic import Field
from rich.progress import Progress, TaskID

from dagster_project.assets.common import Results, asset_options
from dagster_project.assets.layer import LayerWrite
from dagster_project.checks.profiles import write_profile
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.stored_plots import distribution_plots, plot_metadata
from dagster_project.reporting.metadata import describe_table
from dagster_project.resources import Engine
from dagster_project.scores.predictions import scores_select
from dagster_project.training.arm_policies import effect_maps, judge_policies, write_arm_verdict
from dagster_project.training.binning import binned_select
from dagster_project.training.cells import cells_select, read_cells, read_edges
from dagster_project.training.model_version import write_models
from dagster_project.training.registry import REGISTRY, current_version
from dagster_project.training.tuning import TUNING, tuned_parameters, tuning_rows
from dagster_project.warehouse.sql import sql_sha256
from uplift_core.artifacts.files import replace_file
from uplift_core.boosting.parameters import LearnerParameters
from uplift_core.errors import DataError
from uplift_core.learners.tuning import tune


class ModelConfig(dg.Config):
    """The parameters to train with."""

    parameters: Literal["declared", "tuned"] = Field(
        default="declared",
        description="declared: the parameters of experiment.toml; tuned: the choice of the asset tuning",
    )
    rounds: int = Field(
        default=0,
        ge=0,
        le=5000,
        description="boosting rounds (trees) of every model; 0: as in the parameters. More rounds fit "
        "the outcome's noise sooner than the effect; the model card shows the result",
    )

    def with_rounds(self, parameters: LearnerParameters) -> LearnerParameters:
        """Return the parameters with the requested number of rounds."""
        return parameters.with_rounds(self.rounds) if self.rounds else parameters


def cells_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of the cells: users aggregated by binned features, arm, split and fold."""
    declaration, tables = experiment.declaration, experiment.tables

    @dg.asset(
        **asset_options(experiment, "cells", ["features", "assignment"]),
        description="Aggregated users. One row per combination of binned features, arm, split and fold.",
    )
    def cells(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, experiment, "cells")
        with write.transaction() as db:
            edges = engine.compute.cells(db, experiment)
            binned = binned_select(edges, tables)
            replace_file(engine.paths.generated_sql / f"{experiment.name}_binned.sql", binned.encode())
            users, rows = db.count(tables.features), db.count(tables.cells)
            context.log.info(f"{declaration.name}/cells: {users:,} users in {rows:,} cells")
            write.besides = {"edges": sql_sha256(json.dumps(edges.to_dict(), sort_keys=True))}
            metadata = describe_table(db, tables.cells, cells_select(experiment)) | engine.where()
        yield from write.results(metadata)

    return cells


def models_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of all learners of all contrasts."""
    declaration = experiment.declaration

    @dg.asset(
        **asset_options(experiment, "models", ["cells"], kinds=("xgboost", "duckdb")),
        description="The S-, T-, X-, R- and DR-learner of each treatment arm, in one bundle. "
        "models.registry holds one row per model version, arm and learner.",
    )
    def models(context: dg.AssetExecutionContext, config: ModelConfig, engine: Engine) -> Results:
        write = LayerWrite(context, engine, experiment, "models")
        with write.transaction() as db:
            edges, tuned = read_edges(db, experiment), config.parameters == "tuned"
            used = {
                arm: config.with_rounds(
                    tuned_parameters(db, experiment, arm) if tuned else declaration.learners
                )
                for arm in declaration.treatments
            }
            log = partial(_log, context, f"{declaration.name}/models")
            trained = engine.compute.train(db, experiment, edges, used, log)
            verdicts = {arm: each.verdict for arm, each in trained.items()}
            for arm, verdict in verdicts.items():
                log(f"{arm}: {verdict.text}")
            of_arms = judge_policies(db, experiment, trained)
            bundles, maps = engine.paths.bundles, effect_maps(of_arms)
            version, path = write_models(
                db, bundles, experiment, edges, trained, used=used, effect_maps=maps
            )
            for at in write_arm_verdict(db, experiment, version, of_arms):
                log(at.reason)
            write_profile(db, experiment, edges)
            log(version)
            metadata = describe_table(db, REGISTRY, experiment=experiment.name) | engine.where()
            metadata |= {f"gate_{arm}": dg.MetadataValue.text(v.text) for arm, v in verdicts.items()}
            metadata |= {
                "model_version": dg.MetadataValue.text(version),
                "bundle": dg.MetadataValue.path(str(path)),
            }
            write.besides = {"model_version": version}
        yield from write.results(metadata)

    return models


def _log(context: dg.AssetExecutionContext, what: str, text: str) -> None:
    context.log.info(f"{what}: {text}")


def scores_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of the scores: predict each distinct cell once for all its users."""
    declaration, tables = experiment.declaration, experiment.tables
    deps = ["models", "cells", *(["learned"] if declaration.learning else [])]

    @dg.asset(
        **asset_options(experiment, "scores", deps, kinds=("duckdb", "xgboost")),
        description="Each user's effect (CATE) under each learner, and the response model's "
        "prediction. One row per user and treatment arm.",
    )
    def scores(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        sql = scores_select(tables, bagged=bool(declaration.learners.bags))
        write = LayerWrite(context, engine, experiment, "scores")
        with write.transaction() as db:
            version = current_version(db, experiment.name)
            rows = engine.compute.score(db, experiment, engine.paths.bundles / version)
            expected = db.count(tables.raw) * len(declaration.treatments)
            if rows != expected:
                raise DataError(f"{experiment.name}: {rows} scores were written, expected {expected}")
            context.log.info(f"{experiment.name}/scores: {rows:,} rows by {version}")
            metadata = plot_metadata(distribution_plots(db, experiment))
            metadata |= describe_table(db, tables.scores, sql) | engine.where()
            metadata |= {"model_version": dg.MetadataValue.text(version)}
        yield from write.results(metadata)

    return scores


def tuning_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of the grid search for every contrast."""
    declaration = experiment.declaration

    @dg.asset(
        **asset_options(experiment, "tuning", ["cells"], kinds=("xgboost", "duckdb")),
        description="Cross-validated losses of a grid of parameters, and the choice. Models use it with "
        "`parameters: tuned`. One row per arm, kind of model and candidate.",
    )
    def tuning(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, experiment, "tuning")
        with write.transaction() as db, Progress() as progress:
            edges = read_edges(db, experiment)
            parts = []
            for arm in declaration.treatments:
                task = progress.add_task(f"{experiment.name}/{arm}: tuning", total=None)
                cells = read_cells(db, experiment, arm, edges)
                _, trials = tune(
                    cells,
                    declaration.learners,
                    threads=engine.threads,
                    report=partial(_show, progress, task),
                )
                parts.append(tuning_rows(experiment, arm, trials))
            rows = pa.concat_tables(parts)
            db.replace_rows(TUNING, {"experiment": experiment.name}, rows)
            context.log.info(f"{experiment.name}/tuning: {rows.num_rows} candidates")
            metadata = describe_table(db, TUNING, experiment=experiment.name)
        yield from write.results(metadata)

    return tuning


def _show(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)
