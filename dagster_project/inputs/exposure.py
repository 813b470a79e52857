"""Whom the treatment reached, where the experiment declares it: a raw column of 0 and 1."""

from __future__ import annotations

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.reading import odd_rows
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.errors import DataError


def exposure_column(experiment: BatchExperiment) -> Identifier | None:
    """Return the raw column of the exposure; None if the experiment declares none."""
    column = experiment.declaration.exposure
    return Identifier.of(column) if column else None


def refuse_odd_exposures(db: Warehouse, experiment: BatchExperiment) -> None:
    """Refuse exposures other than 0 and 1, or true and false, if the experiment declares them.

    Raises:
        DataError: names the column, a value, the number of rows, the first user and the remedy.
    """
    column = exposure_column(experiment)
    if column is None:
        return
    odd = f"coalesce(try_cast({column} as double), 2) not in (0, 1)"
    rows, first, value = odd_rows(db, experiment.tables.raw, column, odd)
    if rows:
        raise DataError(
            f"{experiment.name}: exposure = '{experiment.declaration.exposure}' must be 1 for users "
            f"whom the treatment reached and 0 for others, and is neither in {rows} rows, the first of "
            f"them user_id {first} ({value}); correct the file, or raw.sql, such as by "
            "coalesce(column, 0) if no value means that it did not"
        )
