"""A check that enough days have passed for the outcomes to be complete."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from dagster_project.checks.findings import Finding
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier


def check_maturity(db: Warehouse, experiment: BatchExperiment) -> Iterator[Finding]:
    """Check that all users were assigned long enough ago; no finding if no dates are declared."""
    declaration = experiment.declaration
    days, name = declaration.quality.outcome_days, declaration.assigned_at
    if not days or not name:
        return
    column = Identifier.of(name)
    now = datetime.now(UTC).replace(tzinfo=None)
    count, last = db.one(
        f"select count(*), max({column})::varchar from {experiment.tables.raw} "
        f"where {column} is null or {column}::timestamp + to_days($days) > $now",
        {"days": days, "now": now},
    )
    yield Finding(
        check="maturity",
        rule=f"assigned {days} days ago",
        column=name,
        value=str(last or ""),
        message=f"{experiment.name}: column '{name}': {count} users were assigned less than {days} days "
        f"ago (last: {last}) or at an unknown time; their outcomes are not complete: leave them out"
        if count
        else "",
        passed=not count,
    )
