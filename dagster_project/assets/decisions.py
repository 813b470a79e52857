"""treat_list, export, published: what leaves the warehouse."""

# No postponed annotations here: Dagster reads those of an asset as they stand.
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from dagster_project.assets.common import asset_options
from dagster_project.decisions import Budget, write_treat_list
from dagster_project.export import export_treat_list
from dagster_project.folders import ExperimentFolder
from dagster_project.metadata import describe_table
from dagster_project.publish import publish
from dagster_project.resources import Engine, expected_errors
from dagster_project.sqlfiles import Identifier


class ListConfig(dg.Config):
    """What list to make; empty: the declared defaults, for today (UTC)."""

    decision_date: str = Field(default="", description="YYYY-MM-DD; today (UTC) if empty")
    arm: str = Field(default="", description="the arm to treat with; the declared one if empty")
    budget: float | None = Field(default=None, description="share of users to treat, 0 to 1")
    users: int | None = Field(default=None, description="instead: number of users to treat")
    money: float | None = Field(
        default=None, description="instead: money to spend, by the declared cost and value"
    )

    def asked(self, default: float) -> Budget:
        """The budget that is asked for; the default share if none is."""
        if self.budget is None and self.users is None and self.money is None:
            return Budget(share=default)
        return Budget(share=self.budget, users=self.users, money=self.money)


def treat_list_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """Whom to treat within the budget."""
    defaults = folder.experiment.defaults

    @dg.asset(
        **asset_options(folder, "treat_list", ["scores", "thresholds"]),
        description="Whom to treat: a list of exactly round(budget x users), a random holdout that is "
        "never treated and explorers who are treated whatever their score, with their chances. "
        "One row per decision date, user and arm.",
    )
    def treat_list(
        context: dg.AssetExecutionContext, config: ListConfig, engine: Engine
    ) -> dg.MaterializeResult:
        date = config.decision_date or datetime.now(UTC).date().isoformat()
        with engine.warehouse() as db:
            size = write_treat_list(
                db,
                folder,
                decision_date=date,
                arm=config.arm or defaults.arm,
                budget=config.asked(defaults.budget),
            )
            context.log.info(f"{folder.name}/treat_list: {size:,} users to treat on {date}")
            table = Identifier.of("decisions", "treat_list")
            return dg.MaterializeResult(
                metadata=describe_table(db, table) | {"treated": size, "decision_date": date}
            )

    return treat_list


def export_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """The newest list as files for a campaign tool."""

    @dg.asset(
        **asset_options(folder, "export", ["treat_list"], kinds=("parquet", "csv")),
        description="The newest treat list as Parquet and CSV, with a manifest. One row per user.",
    )
    def export(context: dg.AssetExecutionContext, engine: Engine) -> dg.MaterializeResult:
        with engine.warehouse() as db:
            manifest = export_treat_list(db, engine.paths.exports, folder)
        context.log.info(f"{folder.name}/export: {manifest}")
        return dg.MaterializeResult(metadata={"manifest": dg.MetadataValue.path(str(manifest))})

    return export


def published_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """The snapshot that the service, the UI and analysts read."""
    before = ["raw", "features", "assignment", "models", "model_card", "crosscheck", "export"]

    @dg.asset(
        **asset_options(folder, "published", before, kinds=("duckdb",)),
        description="An immutable copy of all tables, made current by replacing one pointer.",
    )
    def published(context: dg.AssetExecutionContext, engine: Engine) -> dg.MaterializeResult:
        with engine.warehouse() as db, expected_errors():
            pointer = publish(db, engine.paths, folder)
        path = engine.paths.published / pointer.file
        context.log.info(f"{folder.name}/published: {path}")
        return dg.MaterializeResult(
            metadata={"snapshot": dg.MetadataValue.path(str(path)), "sha256": pointer.sha256}
        )

    return published
