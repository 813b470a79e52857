"""The sampling weight of each user, where the experiment declares it."""

from __future__ import annotations

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.reading import odd_rows
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.errors import DataError


def weight_column(experiment: BatchExperiment) -> Identifier | None:
    """Return the raw column of the sampling weights; None if the experiment declares none."""
    column = experiment.declaration.weight
    return Identifier.of(column) if column else None


def refuse_odd_weights(db: Warehouse, experiment: BatchExperiment) -> None:
    """Refuse weights that are missing, negative or not finite, and an arm whose weights are all 0.

    Raises:
        DataError: names the column, a value, the number of rows, the first user and the remedy.
    """
    column = weight_column(experiment)
    if column is None:
        return
    raw, number = experiment.tables.raw, f"try_cast({column} as double)"
    where = f"{experiment.name}: weight = '{experiment.declaration.weight}'"
    odd = f"not coalesce(isfinite({number}) and {number} >= 0, false)"
    rows, first, value = odd_rows(db, raw, column, odd)
    if rows:
        raise DataError(
            f"{where} must be a finite number of 0 or more, and is not in {rows} rows, the first of "
            f"them user_id {first} ({value}); correct the file, or leave these users out in raw.sql"
        )
    arm = Identifier.of(experiment.declaration.arm_column)
    empty = db.rows(f"select {arm}::varchar from {raw} group by 1 having max({number}) = 0 order by 1")
    if empty:
        raise DataError(
            f"{where} is 0 for all users of {experiment.declaration.arm_column} '{empty[0][0]}'; give "
            "each user how many of the population they stand for"
        )
