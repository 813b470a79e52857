"""The assets export, delivered and published: files for tools, and the snapshot that others read."""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from dagster_project.assets.common import NIGHTLY, Results, asset_options
from dagster_project.assets.layer import LayerWrite
from dagster_project.decisions.nights import campaigns
from dagster_project.decisions.treat_list import refuse_other_files
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.delivery.deliver import Delivered, Deliveries
from dagster_project.delivery.export import CSV_OF_TREAT, EVERY_FORMAT, UserIds, export_treat_list
from dagster_project.delivery.publish import publish
from dagster_project.delivery.retention import Pruning, as_metadata, prune
from dagster_project.reporting.markdown import markdown_table
from dagster_project.resources import Engine
from uplift_core.artifacts.publication import read_pin
from uplift_core.command_words import LIFT


class ExportConfig(dg.Config):
    """Which files an export has."""

    full_csv: bool = Field(
        default=False,
        description="write the sheets of all users as CSV, too, where [retention] full_csv = false",
    )


class RetentionConfig(dg.Config):
    """Whether anything is removed."""

    only_tell: bool = Field(default=False, description="say what would be removed, and remove nothing")


def export_asset(experiment: BatchExperiment, nights: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Define the asset that exports a date's lists as files for a campaign tool."""
    id_column = experiment.declaration.id_column
    ids = UserIds(id_column, experiment.target_users.raw) if id_column else None

    @dg.asset(
        **asset_options(experiment, "export", ["treat_list"], ("parquet", "csv"), nights),
        **NIGHTLY,
        description="Files for campaign tools, as Parquet and CSV, with a manifest: the users to treat, "
        "the decision about every user, the changes since the previous list, and the holdout group. One "
        "row per user.",
    )
    def export(context: dg.AssetExecutionContext, config: ExportConfig, engine: Engine) -> Results:
        manifest = ""
        every_format = config.full_csv or experiment.declaration.retention.full_csv
        formats = EVERY_FORMAT if every_format else CSV_OF_TREAT
        write = LayerWrite(context, engine, experiment, "export")
        for date in context.partition_keys:
            with write.transaction() as db:
                for key in campaigns(db, experiment.name, date):
                    if ids:
                        refuse_other_files(db, experiment, key)
                    manifest = export_treat_list(
                        db,
                        engine.store,
                        key,
                        write_sheet=engine.compute.export,
                        ids=ids,
                        formats=formats,
                    )
                    context.log.info(f"{experiment.name}/export: {manifest}")
        yield from write.results({"manifest": dg.MetadataValue.path(manifest)})

    return export


def delivered_asset(experiment: BatchExperiment, nights: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Define the asset that delivers a date's lists to the declared targets."""

    @dg.asset(
        **asset_options(experiment, "delivered", ["export"], ("parquet",), nights),
        **NIGHTLY,
        description="A date's lists where [[delivery]] of the declaration says: tables, folders, tools "
        "that are told. Each list is delivered once; one that is there already is left.",
    )
    def delivered(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, experiment, "delivered")
        done: list[Delivered] = []
        failures: list[str] = []
        for date in context.partition_keys:
            with write.transaction() as db:
                deliveries = Deliveries(db, experiment, engine.store, engine.paths)
                of_date, failed = deliveries.deliver(date)
            for each in of_date:
                context.log.info(f"{experiment.name}/delivered: {each}")
            done, failures = done + of_date, failures + failed
        if failures:
            raise dg.Failure("\n".join(failures))
        rows = [(d.key.decision_date, d.key.campaign, d.delivery, d.users) for d in done]
        told = markdown_table(["date", "campaign", "delivery", "rows (none: were there)"], rows)
        yield from write.results({"deliveries": dg.MetadataValue.md(told)})

    return delivered


def published_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of the snapshot that the service, the UI and analysts read."""
    before = [
        "raw",
        "features",
        "assignment",
        "models",
        "model_card",
        "crosscheck",
        "export",
        "realised",
    ]
    if experiment.declaration.arrivals:
        before += ["outcomes"]
    if len(experiment.declaration.treatments) > 1:
        before += ["multi_arm", "multi_arm_list"]

    @dg.asset(
        **asset_options(experiment, "published", before, kinds=("duckdb",)),
        description="An immutable copy of all tables; replacing one pointer file makes it current.",
    )
    def published(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, experiment, "published")
        with write.transaction() as db:
            pointer = publish(db, engine.paths, experiment)
        path = engine.paths.published / pointer.file
        context.log.info(f"{experiment.name}/published: {path}")
        pin = read_pin(engine.paths.published)
        if pin:
            context.log.warning(f"{experiment.name}/published: waits, {pin.told}; {LIFT}")
        yield from write.results(
            {
                "snapshot": dg.MetadataValue.path(str(path)),
                "sha256": dg.MetadataValue.text(pointer.sha256),
                **({"waits": dg.MetadataValue.text(pin.told)} if pin else {}),
            }
        )

    return published


def retention_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset that removes what is older than the experiment's ``[retention]`` says."""

    @dg.asset(
        **asset_options(experiment, "retention", ["published"]),
        description="Removes lists, exports, models and runs older than declared, and says which.",
    )
    def retention(context: dg.AssetExecutionContext, config: RetentionConfig, engine: Engine) -> Results:
        write = LayerWrite(context, engine, experiment, "retention")
        with write.transaction() as db:
            today = datetime.now(UTC).date()
            places = db, engine.paths, engine.store, experiment, today
            removed = prune(Pruning(*places, context.instance, only_told=config.only_tell))
        told = as_metadata(removed, only_told=config.only_tell)
        for kind, what in told.items():
            context.log.info(f"{experiment.name}/retention: {kind}: {what}")
        yield from write.results(told)

    return retention
