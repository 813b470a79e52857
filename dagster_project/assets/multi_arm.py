"""multi_arm and multi_arm_list: which of several arms each user gets, and what that is worth."""

# No postponed annotations here: Dagster reads those of an asset as they stand.
import dagster as dg
import pyarrow as pa
from pydantic import Field

from dagster_project.assets.common import asset_options
from dagster_project.assets.decisions import NIGHTLY, scored
from dagster_project.assets.proof import EVALUATOR
from dagster_project.checks.findings import Finding, record
from dagster_project.folders import ExperimentFolder
from dagster_project.metadata import describe_table
from dagster_project.multi_arm import BETTER, multi_arm_rows, summary_markdown
from dagster_project.multi_arm_list import MULTI_ARM_LIST, Proposal, write_multi_arm_list
from dagster_project.resources import Engine
from dagster_project.sqlfiles import Identifier


def multi_arm_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """Policies over all arms beside each arm alone."""

    @dg.asset(
        **asset_options(folder, "multi_arm", ["scores", EVALUATOR], kinds=("duckdb", "python")),
        description="What it gains to choose each user's arm within a budget, beside each arm alone, on "
        "held-out users. One row per outcome, learner, budget and policy.",
    )
    def multi_arm(context: dg.AssetExecutionContext, engine: Engine) -> dg.MaterializeResult:
        table = Identifier.of("evaluation", "multi_arm")
        with engine.warehouse() as db:
            rows = multi_arm_rows(db, folder)
            db.replace_rows(table, {"experiment": folder.name}, pa.Table.from_pylist(rows))
            context.log.info(f"{folder.name}/multi_arm: {len(rows)} policies on held-out users")
            summary = summary_markdown(folder.experiment, rows)
            return dg.MaterializeResult(
                metadata=describe_table(db, table, experiment=folder.name)
                | {"summary": dg.MetadataValue.md(summary)}
            )

    return multi_arm


WORTH = "worth"


class MultiArmConfig(dg.Config):
    """How much may be spent; empty: the declared budget."""

    budget: float | None = Field(
        default=None,
        description="cost per user over the dearest arm's, 0 to 1; users' share if arms cost alike",
    )
    money: float | None = Field(default=None, description="instead: cost of the whole list")


def multi_arm_list_asset(folder: ExperimentFolder) -> dg.AssetsDefinition:
    """Who would get which arm."""

    @dg.asset(
        **asset_options(folder, "multi_arm_list", [*scored(folder), "multi_arm", "treat_list"]),
        **NIGHTLY,
        description="Who would get which arm within the budget: the newest proposal, no campaign, and "
        "not in the ledger; none where one arm alone is shown to do better. One row per user.",
        check_specs=[
            dg.AssetCheckSpec(
                WORTH,
                asset=dg.AssetKey([folder.name, "multi_arm_list"]),
                description="Choosing arms does better than the best one alone (warning).",
                blocking=True,  # a warning stops nothing all the same
            )
        ],
    )
    def multi_arm_list(
        context: dg.AssetExecutionContext, config: MultiArmConfig, engine: Engine
    ) -> dg.MaterializeResult:
        date = context.partition_keys[-1]
        with engine.warehouse() as db:
            proposal = write_multi_arm_list(
                db, folder, decision_date=date, budget=config.budget, money=config.money
            )
            record(db, folder.name, "multi_arm_list", [_worth(proposal)])
            context.log.info(f"{folder.name}/multi_arm_list: {proposal.treated:,} users get an arm")
            return dg.MaterializeResult(
                metadata=describe_table(db, MULTI_ARM_LIST, experiment=folder.name)
                | {"treated": proposal.treated, "verdict": proposal.choice.verdict},
                check_results=[_told(proposal)],
            )

    return multi_arm_list


def _worth(proposal: Proposal) -> Finding:
    choice = proposal.choice
    return Finding(
        check=WORTH,
        rule=f"better than {choice.best_single} alone",
        column="arm",
        value=f"{choice.difference.value:+.6g}",
        message=proposal.told,
        passed=choice.verdict == BETTER,
        warn=True,
    )


def _told(proposal: Proposal) -> dg.AssetCheckResult:
    """What a run says of a proposal that is not shown to be worth its while; it stops nothing."""
    return dg.AssetCheckResult(
        check_name=WORTH,
        passed=proposal.choice.verdict == BETTER,
        severity=dg.AssetCheckSeverity.WARN,
        description=proposal.told,
    )
