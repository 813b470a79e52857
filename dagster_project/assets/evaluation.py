"""evaluation and thresholds: what acting on the scores is worth on held-out users."""

# No postponed annotations here: Dagster reads those of an asset as they stand.
from datetime import UTC, datetime

import dagster as dg
import pyarrow as pa

from dagster_project.assets.common import Results, asset_options
from dagster_project.assets.layer import LayerWrite
from dagster_project.assets.proof import EVALUATOR
from dagster_project.decisions.thresholds import threshold_rows
from dagster_project.declared.experiment import ExperimentFolder
from dagster_project.evaluation.crosscheck import crosscheck, read_rows
from dagster_project.evaluation.figures import evaluate, summary_markdown
from dagster_project.evaluation.model_card import (
    evaluation_plots,
    make_plots,
    plot_metadata,
    plot_rows,
    write_card,
)
from dagster_project.evaluation.plots import png_markdown, svg
from dagster_project.reporting.metadata import describe_table
from dagster_project.resources import Engine
from dagster_project.training.registry import current_version
from dagster_project.warehouse.sql import Identifier
from uplift_core.files import replace_file

PLOTS = Identifier.of("evaluation", "plots")
CARDS = Identifier.of("models", "cards")


def evaluation_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """Figures, curves and deciles of every learner."""

    @dg.asset(
        **asset_options(folder, "evaluation", ["scores", EVALUATOR], kinds=("duckdb", "python")),
        description="Policy value, Qini and uplift by decile on held-out users, with standard "
        "errors. One row per arm, learner and figure.",
    )
    def evaluation(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, folder, "evaluation")
        with write.transaction() as db:
            result = evaluate(db, folder, lambda what: context.log.info(f"{folder.name}: {what}"))
            for name, rows in result.items():
                table = Identifier.of("evaluation", name)
                db.replace_rows(table, {"experiment": folder.name}, pa.Table.from_pylist(rows))
            context.log.info(
                f"{folder.name}/evaluation: {len(result['metrics'])} figures on held-out users"
            )
            metrics = describe_table(db, Identifier.of("evaluation", "metrics"), experiment=folder.name)
            summary = {"summary": dg.MetadataValue.md(summary_markdown(folder, result))}
            metadata = summary | plot_metadata(evaluation_plots(db, folder)) | metrics
        yield from write.results(metadata)

    return evaluation


def model_card_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """The model card and its plots."""

    @dg.asset(
        **asset_options(folder, "model_card", ["evaluation"], kinds=("markdown", "altair")),
        description="What the current model version is, on what evidence it decides and how far to "
        "believe it, with plots. One row per model version in models.cards.",
    )
    def model_card(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, folder, "model_card")
        with write.transaction() as db:
            version = current_version(db, folder.name)
            found = make_plots(db, folder)
            rows = pa.Table.from_pylist(plot_rows(folder, found))
            db.replace_rows(PLOTS, {"experiment": folder.name}, rows)
            home = engine.paths.cards / version
            files = {(p.arm, p.name): f"{p.arm}-{p.name}.svg" for p in found}
            for plot in found:
                drawn = svg(plot.specification).encode()
                replace_file(home / files[plot.arm, plot.name], drawn)
            images = {(p.arm, p.name): f"![{p.title}]({files[p.arm, p.name]})" for p in found}
            card = write_card(db, folder, images)
            replace_file(home / "card.md", card.encode())
            entry = {"model_version": version, "experiment": folder.name, "card": card}
            now = datetime.now(UTC).replace(tzinfo=None)
            row = pa.Table.from_pylist([entry | {"written_at": now}])
            db.replace_rows(CARDS, {"model_version": version}, row)
            within = {(p.arm, p.name): png_markdown(p.specification, p.title) for p in found}
            context.log.info(f"{folder.name}/model_card: {home / 'card.md'}")
            metadata = {
                "model_version": dg.MetadataValue.text(version),
                "card": dg.MetadataValue.md(write_card(db, folder, within)),
                "file": dg.MetadataValue.path(str(home / "card.md")),
            }
        yield from write.results(metadata)

    return model_card


def crosscheck_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """Agreement with econml."""

    @dg.asset(
        **asset_options(folder, "crosscheck", ["features", "assignment"], kinds=("python", "duckdb")),
        description="How far the learners agree with econml's: with equal folds and models the "
        "largest difference, with folds of its own the rank correlation. "
        "One row per arm, learner and tier.",
    )
    def econml_crosscheck(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        table = Identifier.of("evaluation", "crosscheck")
        arm = folder.experiment.defaults.arm
        write = LayerWrite(context, engine, folder, "crosscheck")
        with write.transaction() as db:
            rows = crosscheck(folder, arm, *read_rows(db, folder, arm))
            db.replace_rows(table, {"experiment": folder.name}, pa.Table.from_pylist(rows))
            context.log.info(f"{folder.name}/crosscheck: {len(rows)} comparisons")
            metadata = describe_table(db, table, experiment=folder.name)
        yield from write.results(metadata)

    return econml_crosscheck


def thresholds_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """The held-out thresholds that the list and the service share."""

    @dg.asset(
        **asset_options(folder, "thresholds", ["scores"]),
        description="The score from which on a user is treated, by budget, from held-out users. "
        "One row per model version, arm, learner and budget.",
    )
    def thresholds(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        table = Identifier.of("decisions", "thresholds")
        write = LayerWrite(context, engine, folder, "thresholds")
        with write.transaction() as db:
            rows = pa.Table.from_pylist(threshold_rows(db, folder))
            rows = rows.set_column(
                rows.column_names.index("threshold"),
                "threshold",
                rows.column("threshold").cast(pa.float32()),
            )
            db.replace_rows(table, {"experiment": folder.name}, rows)
            context.log.info(f"{folder.name}/thresholds: {rows.num_rows} thresholds")
            metadata = describe_table(db, table, experiment=folder.name)
        yield from write.results(metadata)

    return thresholds
