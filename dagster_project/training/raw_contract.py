"""Derive what a request may contain: a raw column's declared values, or those it had in training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.artifacts.bundle import RawColumn
from uplift_core.experiment.quality_limits import ColumnRule

MAX_LEVELS = 1000  # a text column with more values is free text
NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE")


def contract(db: Warehouse, experiment: BatchExperiment) -> tuple[RawColumn, ...]:
    """Return the contract of all columns that features are computed from.

    Columns of the raw table come first, then those of history tables. The values that ``[columns]``
    declares for a column of the raw table replace those that occurred.
    """
    sql, tables = experiment.features_sql, experiment.tables
    rules = experiment.declaration.columns
    contracts = tuple(
        _as_declared(column, rules.get(column.name))
        for column in raw_columns(db, tables.raw, sql.raw_columns)
    )
    for name, columns in sql.history_columns.items():
        of_table = raw_columns(db, tables.histories[name], columns)
        contracts += tuple(column.model_copy(update={"table": name}) for column in of_table)
    return contracts


def raw_columns(db: Warehouse, raw: Identifier, names: Sequence[str]) -> tuple[RawColumn, ...]:
    """Return the contract of the columns ``names`` of a raw table, by the values that occurred.

    A text has the categories that occurred. A number lies between the extremes that occurred, widened on
    either side by their distance, but not below 0 if no value was. A flag, which has one value or two,
    is not widened.
    """
    types = dict(row[:2] for row in db.rows(f"describe {raw}"))
    # A name that is no column of the table is a feature that another feature reads.
    return tuple(_column(db, raw, name, types[name]) for name in names if name in types)


def _column(db: Warehouse, raw: Identifier, name: str, type_: str) -> RawColumn:
    column = Identifier.of(name)
    if type_ == "VARCHAR":
        rows = db.rows(
            f"select distinct {column} from {raw} where {column} is not null "
            f"order by 1 limit {MAX_LEVELS + 1}"
        )
        levels = tuple(str(value) for (value,) in rows)
        return RawColumn(name=name, type=type_, levels=levels if len(levels) <= MAX_LEVELS else None)
    if type_.removeprefix("U") not in NUMBERS:
        return RawColumn(name=name, type=type_)
    low, high, distinct = db.one(
        f"select min({column})::double, max({column})::double, approx_count_distinct({column}) "
        f"from {raw} where isfinite({column}::double)"
    )
    if low is None:
        return RawColumn(name=name, type=type_)
    room = 0.0 if distinct <= 2 else high - low  # noqa: PLR2004 - a flag
    least = low - room if low < 0 else max(low - room, 0.0)
    return RawColumn(name=name, type=type_, low=least, high=high + room)


def _as_declared(column: RawColumn, rule: ColumnRule | None) -> RawColumn:
    """Replace a column's limits by the declared ones; limits that are not declared stay."""
    if rule is None:
        return column
    if rule.levels is None:
        low = column.low if rule.low is None else rule.low
        high = column.high if rule.high is None else rule.high
        return column.model_copy(update={"low": low, "high": high})
    if column.type == "VARCHAR":
        return column.model_copy(update={"levels": tuple(str(level) for level in rule.levels)})
    numbers = sorted(float(level) for level in rule.levels)
    if all(above - below == 1 for below, above in pairwise(numbers)) and numbers[0].is_integer():
        # The levels have no gap.
        return column.model_copy(update={"low": numbers[0], "high": numbers[-1]})
    levels = tuple(int(number) if number.is_integer() else number for number in numbers)
    return column.model_copy(update={"levels": levels, "low": None, "high": None})
