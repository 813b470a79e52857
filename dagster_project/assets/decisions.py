"""The assets treat_list, realised, thresholds and multi_arm_list: decisions and their measurement."""

# No postponed annotations here: Dagster reads an asset's annotations at run time.
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import dagster as dg
import pyarrow as pa
from pydantic import Field

from dagster_project.assets.common import NIGHTLY, Results, asset_options
from dagster_project.assets.layer import LayerWrite
from dagster_project.checks.dagster_checks import WORTH
from dagster_project.checks.findings import Finding
from dagster_project.decisions.arrivals import measure_arrived, read_arrivals
from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.gates import GateError, record_refusal
from dagster_project.decisions.listed_rows import keep_features
from dagster_project.decisions.multi_arm_list import MULTI_ARM_LIST, Proposal, write_multi_arm_list
from dagster_project.decisions.realised import measure
from dagster_project.decisions.records import OUTCOMES, REALISED, TREAT_LIST, Night
from dagster_project.decisions.registered import read_register
from dagster_project.decisions.thresholds import threshold_rows
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.reporting.markdown import markdown_table
from dagster_project.reporting.metadata import describe_table
from dagster_project.resources import Engine
from dagster_project.warehouse.sql import Identifier
from uplift_core.evaluation.estimate import BETTER
from uplift_core.experiment.arrivals import Arrivals
from uplift_core.experiment.decision_rules import ArmQuota
from uplift_core.experiment.design import Defaults
from uplift_core.learner_names import LearnerName
from uplift_core.targeting.budget import Budget


class ListConfig(dg.Config):
    """The list to make; an empty value means the declared default."""

    arm: str = Field(default="", description="the arm to treat with; the declared one if empty")
    campaign: str = Field(default="", description="the purpose of the list; the arm's name if empty")
    budget: float | None = Field(
        default=None, description="share of users to treat, 0 to 1; the declared one if all are empty"
    )
    users: int | None = Field(default=None, description="instead: number of users to treat")
    money: float | None = Field(
        default=None, description="instead: money to spend, by the declared cost and value"
    )
    learner: Literal["declared", LearnerName] = Field(
        default="declared",
        description="learner whose score decides; declared: the champion or the one in experiment.toml",
    )
    override: str = Field(
        default="", description="reason to write the list even if a gate fails; recorded"
    )
    max_users: dict[str, int] = Field(
        default_factory=dict,
        description="with arm = best: largest number of users by arm; the declared quotas if empty",
    )
    max_money: dict[str, float] = Field(
        default_factory=dict, description="with arm = best: largest cost by arm"
    )

    def order(self, date: str, defaults: Defaults) -> ListOrder:
        """Return the order of one date's list; the defaults fill what is empty."""
        return ListOrder(
            decision_date=date,
            arm=self.arm or defaults.arm,
            budget=self.requested_budget(defaults.budget),
            campaign=self.campaign,
            learner="" if self.learner == "declared" else self.learner,
            override=self.override,
            quotas=self.quotas(),
        )

    def quotas(self) -> dict[str, ArmQuota]:
        """Return the requested quotas; they take the place of the arm's declared one."""
        return {
            arm: ArmQuota(max_users=self.max_users.get(arm), max_money=self.max_money.get(arm))
            for arm in {**self.max_users, **self.max_money}
        }

    def requested_budget(self, default: float) -> Budget:
        """Return the requested budget; the default share if none is requested."""
        if self.budget is None and self.users is None and self.money is None:
            return Budget(share=default)
        return Budget(share=self.budget, users=self.users, money=self.money)


def score_layers(experiment: BatchExperiment) -> list[str]:
    """List the layers with the scores of the users to decide about."""
    return ["scores", "population_scores"] if experiment.declaration.population else ["scores"]


def treat_list_asset(
    experiment: BatchExperiment, nights: dg.PartitionsDefinition
) -> dg.AssetsDefinition:
    """Define the asset of the users to treat within the budget."""
    defaults = experiment.declaration.defaults
    deps = [*score_layers(experiment), "thresholds", "evaluation"]
    deps += ["outcomes"] if experiment.declaration.arrivals else []

    @dg.asset(
        **asset_options(experiment, "treat_list", deps, partitions=nights),
        **NIGHTLY,
        description="Users to treat: a list of exactly the budget's size, a random holdout that is "
        "never treated and explorers who are treated whatever their score, with probabilities. Gates "
        "refuse a list that looks wrong. One row per decision date, campaign and user.",
    )
    def treat_list(context: dg.AssetExecutionContext, config: ListConfig, engine: Engine) -> Results:
        written: list[Night] = []
        write = LayerWrite(context, engine, experiment, "treat_list")
        for date in context.partition_keys:  # in order: each list depends on earlier ones
            with _record_refusals(engine), write.transaction([date]) as db:
                order = config.order(date, defaults)
                read_register(db, engine.paths, experiment, date)
                night = write_treat_list(db, experiment, order, engine.compute.roles)
                if experiment.declaration.learning:
                    keep_features(db, experiment)
                metadata = describe_table(db, TREAT_LIST, experiment=experiment.name, decision_date=date)
            if write.refused:
                break
            written.append(night)
            context.log.info(f"{experiment.name}/treat_list: {night.treated:,} users to treat on {date}")
        metadata |= engine.where()
        metadata |= {"treated": dg.MetadataValue.int(night.treated), "nights": _report(written)}
        yield from write.results(metadata)

    return treat_list


@contextmanager
def _record_refusals(engine: Engine) -> Iterator[None]:
    """Record the gates' results of a refused list after the list's transaction was rolled back."""
    try:
        yield
    except dg.Failure as failure:
        if isinstance(failure.__cause__, GateError):
            with engine.warehouse() as db:
                record_refusal(db, failure.__cause__)
        raise


class OutcomesConfig(dg.Config):
    """The file with the outcomes of a list."""

    file: str = Field(
        default="",
        description="CSV or Parquet file with the declared id of users, or user_id, and a column per "
        "outcome; nothing is measured without it",
    )
    absent_is_zero: bool = Field(
        default=False, description="true if users that the file lacks had no outcome"
    )


def realised_asset(experiment: BatchExperiment, nights: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Define the asset of a list's realised uplift."""

    @dg.asset(
        **asset_options(experiment, "realised", ["treat_list"], partitions=nights),
        description="A list measured afterwards: outcomes of treated users and of the holdout, and the "
        "promised uplift. One row per campaign, outcome and comparison.",
    )
    def realised(context: dg.AssetExecutionContext, config: OutcomesConfig, engine: Engine) -> Results:
        write = LayerWrite(context, engine, experiment, "realised")
        with write.transaction() as db:
            if config.file:
                rows = measure(
                    db,
                    experiment,
                    decision_date=context.partition_key,
                    file=Path(config.file),
                    absent_is_zero=config.absent_is_zero,
                )
                context.log.info(f"{experiment.name}/realised: {rows} rows of {context.partition_key}")
            else:
                context.log.warning(
                    f"{experiment.name}/realised: nothing is measured; set the file of outcomes in the "
                    "run configuration, `file`"
                )
            metadata = describe_table(db, REALISED, experiment=experiment.name)
        yield from write.results(metadata)

    return realised


def outcomes_asset(experiment: BatchExperiment, arrivals: Arrivals) -> dg.AssetsDefinition:
    """Define the asset of the outcomes that arrive in the declared files."""

    @dg.asset(
        **asset_options(experiment, "outcomes"),
        description="Outcomes that arrived since the last run, and the nights that they measure. One "
        "row per outcome, user and moment.",
    )
    def outcomes(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        write = LayerWrite(context, engine, experiment, "outcomes")
        with write.transaction() as db:
            arrived = read_arrivals(db, experiment, arrivals)
            nights = measure_arrived(db, experiment, arrivals, arrived.since)
            metadata = describe_table(db, OUTCOMES, experiment=experiment.name)
        context.log.info(
            f"{experiment.name}/outcomes: {arrived.files} files brought {arrived.new:,} outcomes and "
            f"corrected {arrived.corrected:,}; measured nights: {', '.join(nights) or 'none'}"
        )
        counts = {"files": arrived.files, "new": arrived.new, "corrected": arrived.corrected}
        metadata |= {name: dg.MetadataValue.int(count) for name, count in counts.items()}
        yield from write.results(metadata)

    return outcomes


def _report(nights: list[Night]) -> dg.MetadataValue:
    """Format each night's requested, expected and realised figures."""
    shown = (
        *("decision_date", "campaign", "budget_kind", "budget_asked", "budget_used", "treated"),
        *("expected_rate", "threshold_rate", "realised_rate", "promised", "promised_std_error"),
        *("entered", "exited", "override"),
    )
    rows = [tuple(asdict(night)[name] for name in shown) for night in nights]
    return dg.MetadataValue.md(markdown_table(list(shown), rows))


def thresholds_asset(experiment: BatchExperiment) -> dg.AssetsDefinition:
    """Define the asset of the held-out thresholds, which the list and the service share."""

    @dg.asset(
        **asset_options(experiment, "thresholds", ["scores"]),
        description="The lowest score that is treated, by budget, from held-out users. "
        "One row per model version, arm, learner and budget.",
    )
    def thresholds(context: dg.AssetExecutionContext, engine: Engine) -> Results:
        table = Identifier.of("decisions", "thresholds")
        write = LayerWrite(context, engine, experiment, "thresholds")
        with write.transaction() as db:
            rows = pa.Table.from_pylist(threshold_rows(db, experiment))
            rows = rows.set_column(
                rows.column_names.index("threshold"),
                "threshold",
                rows.column("threshold").cast(pa.float32()),
            )
            db.replace_rows(table, {"experiment": experiment.name}, rows)
            context.log.info(f"{experiment.name}/thresholds: {rows.num_rows} thresholds")
            metadata = describe_table(db, table, experiment=experiment.name)
        yield from write.results(metadata)

    return thresholds


class MultiArmConfig(dg.Config):
    """The budget of a proposal; empty: the declared budget."""

    budget: float | None = Field(
        default=None,
        description="cost per user over the dearest arm's, 0 to 1; share of users if all arms cost the "
        "same",
    )
    money: float | None = Field(default=None, description="instead: cost of the whole list")


def multi_arm_list_asset(
    experiment: BatchExperiment, nights: dg.PartitionsDefinition
) -> dg.AssetsDefinition:
    """Define the asset of the proposed arm of each user."""
    deps = [*score_layers(experiment), "multi_arm", "treat_list"]

    @dg.asset(
        **asset_options(experiment, "multi_arm_list", deps, partitions=nights),
        **NIGHTLY,
        description="The proposed arm of each user within the budget: the newest proposal, not a "
        "campaign and not in the ledger; none if one arm alone is shown to do better. One row per user.",
    )
    def multi_arm_list(
        context: dg.AssetExecutionContext, config: MultiArmConfig, engine: Engine
    ) -> Results:
        date = context.partition_keys[-1]
        write = LayerWrite(context, engine, experiment, "multi_arm_list")
        with write.transaction() as db:
            read_register(db, engine.paths, experiment, date)
            proposal = write_multi_arm_list(
                db, experiment, decision_date=date, budget=config.budget, money=config.money
            )
            write.noted.append(_worth(proposal))
            context.log.info(f"{experiment.name}/multi_arm_list: {proposal.treated:,} users get an arm")
            metadata = describe_table(db, MULTI_ARM_LIST, experiment=experiment.name)
            metadata |= {
                "treated": dg.MetadataValue.int(proposal.treated),
                "verdict": dg.MetadataValue.text(proposal.choice.verdict),
            }
        yield from write.results(metadata)

    return multi_arm_list


def _worth(proposal: Proposal) -> Finding:
    choice = proposal.choice
    return Finding(
        check=WORTH,
        rule=f"better than {choice.best_single} alone",
        column="arm",
        value=f"{choice.difference.value:+.6g}",
        message=proposal.summary,
        passed=choice.verdict == BETTER,
        warn=True,
    )
