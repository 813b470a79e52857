"""The assets evaluation, model_card, crosscheck and multi_arm: evidence on held-out users."""

# No postponed annotations here: Dagster reads an asset's annotations at run time.
from datetime import UTC, datetime

import dagster as dg
import pyarrow as pa
from pydantic import Field

from dagster_project.assets.common import Results, asset_options
from dagster_project.assets.layer import LayerWrite
from dagster_project.assets.proof import EVALUATOR
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.crosscheck import MAX_USERS, NO_PEERS, comparable, read_sample
from dagster_project.evaluation.figures import headline, summary_markdown
from dagster_project.evaluation.model_card import write_card
from dagster_project.evaluation.multi_arm import multi_arm_rows, policies_markdown
from dagster_project.evaluation.pictures import png_markdown, svg
from dagster_project.evaluation.step import write_evaluation
from dagster_project.evaluation.stored_crosscheck import stored_or_new_crosscheck
from dagster_project.evaluation.stored_plots import plot_metadata, read_plots
from dagster_project.reporting.metadata import describe_table
from dagster_project.resources import Engine
from dagster_project.training.registry import current_version, deciding_learner
from dagster_project.warehouse.sql import Identifier
from uplift_core.artifacts.files import replace_file

CARDS = Identifier.of("models", "cards")


class EvaluationConfig(dg.Config):
    """What an evaluation does besides computing the figures of held-out users."""

    placebo_runs: int = Field(
        default=0,
        ge=0,
        le=9_999,
        description="how often to permute the arms and compare the learners again, for "
        "evaluation.placebo; each takes about a third of the comparison's time; 0: never",
    )


def evaluation_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of every learner's figures, curves and deciles."""

    @dg.asset(
        **asset_options(experiment, "evaluation", ["scores", EVALUATOR], kinds=("duckdb", "python")),
        description="Policy value, Qini and uplift by decile on held-out users, with standard "
        "errors. One row per arm, learner and figure.",
    )
    def evaluation(
        context: dg.AssetExecutionContext, config: EvaluationConfig, engine: Engine
    ) -> Results:
        write = LayerWrite(context, engine, experiment, "evaluation")
        with write.transaction() as db:
            step = write_evaluation(
                db,
                experiment,
                placebo_runs=config.placebo_runs,
                threads=engine.threads,
                report=lambda what: context.log.info(f"{experiment.name}: {what}"),
            )
            context.log.info(
                f"{experiment.name}/evaluation: {len(step.tables['metrics'])} figures on held-out users"
            )
            for warning in step.warnings:
                context.log.warning(warning)
            metrics = describe_table(
                db, Identifier.of("evaluation", "metrics"), experiment=experiment.name
            )
            deciding = {
                arm: deciding_learner(db, experiment, arm) for arm in experiment.declaration.treatments
            }
            summary = dg.MetadataValue.md(summary_markdown(experiment, step.tables, deciding))
            figures = headline(experiment, step.tables, deciding)
            metadata = {"summary": summary} | plot_metadata(step.plots) | metrics
            metadata |= {name: dg.MetadataValue.float(value) for name, value in figures.items()}
        yield from write.results(metadata)

    return evaluation


def model_card_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of the model card and its plots."""

    @dg.asset(
        **asset_options(experiment, "model_card", ["evaluation"], kinds=("markdown", "altair")),
        description="The current model version: its parameters, its evidence and its limits, with "
        "plots. One row per model version in models.cards.",
    )
    def model_card(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, experiment, "model_card")
        with write.transaction() as db:
            version = current_version(db, experiment.name)
            plots = read_plots(db, experiment)
            home = engine.paths.cards / version
            files = {(p.arm, p.plot): f"{p.arm}-{p.plot}.svg" for p in plots}
            for plot in plots:
                drawn = svg(plot.specification).encode()
                replace_file(home / files[plot.arm, plot.plot], drawn)
            images = {(p.arm, p.plot): f"![{p.title}]({files[p.arm, p.plot]})" for p in plots}
            card = write_card(db, experiment, images)
            replace_file(home / "card.md", card.encode())
            entry = {"model_version": version, "experiment": experiment.name, "card": card}
            now = datetime.now(UTC).replace(tzinfo=None)
            row = pa.Table.from_pylist([entry | {"written_at": now}])
            db.replace_rows(CARDS, {"model_version": version}, row)
            embedded = {(p.arm, p.plot): png_markdown(p.specification, p.title) for p in plots}
            context.log.info(f"{experiment.name}/model_card: {home / 'card.md'}")
            metadata = {
                "model_version": dg.MetadataValue.text(version),
                "card": dg.MetadataValue.md(write_card(db, experiment, embedded)),
                "file": dg.MetadataValue.path(str(home / "card.md")),
            }
        yield from write.results(metadata)

    return model_card


class CrosscheckConfig(dg.Config):
    """The number of users that are compared."""

    users: int = Field(
        default=MAX_USERS,
        ge=0,
        description="users whose effects are compared with econml's, which works on rows; of a larger "
        "experiment a sample by salted md5; 0: all",
    )


def crosscheck_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of the agreement with econml."""

    @dg.asset(
        **asset_options(
            experiment, "crosscheck", ["features", "assignment"], kinds=("python", "duckdb")
        ),
        description="Agreement of the learners with econml's: the largest difference with equal folds "
        "and models, the rank correlation with econml's default folds. "
        "One row per arm, learner and tier.",
    )
    def econml_crosscheck(
        context: dg.AssetExecutionContext, config: CrosscheckConfig, engine: Engine
    ) -> Results:
        table = Identifier.of("evaluation", "crosscheck")
        arm = experiment.declaration.defaults.arm
        write = LayerWrite(context, engine, experiment, "crosscheck")
        with write.transaction() as db:
            rows: list[dict[str, object]] = []
            note = f": {NO_PEERS}"
            if comparable(experiment.declaration):
                sample = read_sample(db, experiment, arm, config.users)
                rows, was_stored = stored_or_new_crosscheck(
                    engine.paths.proofs, experiment, arm, sample, engine.threads
                )
                note = ", as an earlier run with these users and this code showed" if was_stored else ""
            db.replace_rows(table, {"experiment": experiment.name}, pa.Table.from_pylist(rows))
            context.log.info(f"{experiment.name}/crosscheck: {len(rows)} comparisons{note}")
            metadata = describe_table(db, table, experiment=experiment.name)
        yield from write.results(metadata)

    return econml_crosscheck


def multi_arm_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset that compares policies over all arms with each arm alone."""

    @dg.asset(
        **asset_options(experiment, "multi_arm", ["scores", EVALUATOR], kinds=("duckdb", "python")),
        description="The gain of choosing each user's arm within a budget, compared with each arm "
        "alone, on held-out users. One row per outcome, learner, budget and policy.",
    )
    def multi_arm(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        table = Identifier.of("evaluation", "multi_arm")
        write = LayerWrite(context, engine, experiment, "multi_arm")
        with write.transaction() as db:
            rows = multi_arm_rows(db, experiment)
            db.replace_rows(table, {"experiment": experiment.name}, pa.Table.from_pylist(rows))
            context.log.info(f"{experiment.name}/multi_arm: {len(rows)} policies on held-out users")
            metadata = describe_table(db, table, experiment=experiment.name)
            metadata |= {"summary": dg.MetadataValue.md(policies_markdown(experiment.declaration, rows))}
        yield from write.results(metadata)

    return multi_arm
