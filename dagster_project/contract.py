"""What the service may be asked: the values that each raw column had when the models were trained."""

from __future__ import annotations

from collections.abc import Sequence

from dagster_project.folders import ExperimentFolder
from dagster_project.sqlfiles import Identifier
from dagster_project.warehouse import Warehouse
from uplift_core.bundle import RawColumn

MAX_LEVELS = 1000  # a text with more values is free text
NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE")


def contract(db: Warehouse, folder: ExperimentFolder) -> tuple[RawColumn, ...]:
    """The contract of all that features are computed from: the raw table, then history tables."""
    sql, tables = folder.features_sql, folder.tables
    found = raw_columns(db, tables.raw, sql.raw_columns)
    for name, columns in sql.history_columns.items():
        own = raw_columns(db, tables.histories[name], columns)
        found += tuple(column.model_copy(update={"table": name}) for column in own)
    return found


def raw_columns(db: Warehouse, raw: Identifier, names: Sequence[str]) -> tuple[RawColumn, ...]:
    """The contract of the columns that features are computed from.

    Texts have the categories that occurred. Numbers lie between the extremes that occurred, widened by
    their distance on either side but not below 0 if none was; a flag, with two values or one, only
    between them.
    """
    types = dict(row[:2] for row in db.rows(f"describe {raw}"))
    # A name that is no column is a feature that another feature reads.
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
