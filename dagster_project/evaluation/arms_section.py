"""The model card on several arms: which policy decides, and how their scores were calibrated."""

from __future__ import annotations

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.stored_plots import records
from dagster_project.reporting.markdown import markdown_table, with_error
from dagster_project.training.arm_policies import ARM_CALIBRATION, ARM_POLICIES
from dagster_project.warehouse.connection import Warehouse
from uplift_core.evaluation.tables import Rows


def arms_section(db: Warehouse, experiment: BatchExperiment, version: str) -> list[str]:
    """Write the section; empty if the version's arms were not judged together."""
    binds = {"version": version, "budget": experiment.declaration.defaults.budget}
    policies = records(
        db,
        f"select * from {ARM_POLICIES} where model_version = $version and budget = $budget "
        "order by gain desc, policy",
        binds,
    )
    if not policies:
        return []
    maps = records(
        db,
        f"select * from {ARM_CALIBRATION} where model_version = $version order by arm",
        {"version": version},
    )
    return ["## Several arms", policies[0]["reason"], _gains(policies), _CALIBRATED, _slopes(maps)]


_CALIBRATED = (
    "To compare arms, the scores of each are turned into effects by level + slope * score. Slopes are "
    "those of the regression of doubly robust effects on the score, inside train; 1 is calibrated."
)


def _gains(policies: Rows) -> str:
    rows = [
        (
            "the best arm for each user" if row["policy"] == "multi_arm" else f"'{row['policy']}' alone",
            with_error(row["gain"], row["std_error"], sign=True),
            f"{row['spend']:.4g}",
            "decides" if row["policy"] == row["decider"] else "",
        )
        for row in policies
    ]
    return markdown_table(["policy", "gain over nobody", "cost per user", ""], rows)


def _slopes(maps: Rows) -> str:
    rows = [
        (
            row["arm"],
            row["learner"],
            _slope(row, "before"),
            _slope(row, "after"),
            f"{row['level']:+.4f} {row['slope']:+.3f} * score",
        )
        for row in maps
    ]
    return markdown_table(["arm", "learner", "slope of the scores", "of the effects", "effect"], rows)


def _slope(row: dict[str, float | None], when: str) -> str:
    value, error = row[f"slope_{when}"], row[f"slope_{when}_std_error"]
    if value is None or error is None:
        return "not known"
    return with_error(value, error, digits=2)
