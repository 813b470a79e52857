"""What a file holds: its columns, their types and values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from dagster_project.loading import reader
from dagster_project.signs import SIGNED
from dagster_project.sources import own_file
from dagster_project.sqlfiles import Identifier
from dagster_project.warehouse import Warehouse
from uplift_core.errors import DataError

FILE = Identifier.of("file")
MAX_LEVELS = 50  # of an arm or a category; more are free text
INTEGERS = frozenset(f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT"))
INTEGERS |= {f"{sign}{size}" for sign in ("", "U") for size in ("INTEGER", "BIGINT")}
# What DuckDB may find in a file -> how raw.sql casts it, so that the service knows its type.
CASTS = {"HUGEINT": "double", "UHUGEINT": "double", "UUID": "varchar", "ENUM": "varchar"}
CASTS |= {"DECIMAL": "double", "TIMESTAMP_NS": "timestamp", "TIMESTAMP_MS": "timestamp"}
CASTS |= {"TIMESTAMP_S": "timestamp", "TIME": "varchar"} | SIGNED
ZONED = "TIMESTAMP WITH TIME ZONE"


@dataclass(frozen=True)
class Column:
    """A column of a file.

    Attributes:
        name: as in the file.
        type: as raw.sql yields it.
        cast: what raw.sql casts the file's own type to, or empty.
        rows: of the file.
        missing: rows without a value.
        distinct: values that differ.
        levels: the values as texts with their counts, most frequent first, if there are few.
        low: the least number, None of what is no number.
        high: the largest number.
        whole: whether all numbers are whole.
        infinite: the first infinite number and its row, how many more there are; empty: none.
    """

    name: str
    type: str
    cast: str
    rows: int
    missing: int
    distinct: int
    levels: tuple[tuple[str, int], ...]
    low: float | None
    high: float | None
    whole: bool
    infinite: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers."""
        return self.type in INTEGERS | {"FLOAT", "DOUBLE"}

    @property
    def is_time(self) -> bool:
        """Whether it holds days or moments."""
        return self.type in {"DATE", "TIMESTAMP"}

    @property
    def is_unique(self) -> bool:
        """Whether it could be an id."""
        return self.distinct == self.rows and not self.missing

    @property
    def values(self) -> tuple[str, ...]:
        """The values, most frequent first."""
        return tuple(value for value, _ in self.levels)


def open_file(db: Warehouse, path: Path) -> list[Column]:
    """Read a file into the table ``file``, numbered by ``_row``, and look at each of its columns.

    Raises:
        DataError: there is no such file, DuckDB cannot read it, or it has no rows.
    """
    source = own_file(path.name, "FILE", Path.cwd(), path, base="the working directory").path
    try:
        db.create(
            FILE, f"select *, row_number() over () as _row from {reader(path)}", {"source": str(source)}
        )
    except duckdb.Error as error:
        raise DataError(
            f"{path.name}: cannot be read: {str(error).partition('LINE 1')[0].strip()}"
        ) from error
    rows = db.count(FILE)
    if rows == 0:
        raise DataError(f"{path.name}: holds no rows")
    described = [row[:2] for row in db.rows(f"describe {FILE}") if row[0] != "_row"]
    return [_column(db, name, type_, rows) for name, type_ in described]


def _column(db: Warehouse, name: str, file_type: str, rows: int) -> Column:
    column = Identifier.of(name)
    cast, type_ = _cast(file_type)
    number = type_ in INTEGERS | {"FLOAT", "DOUBLE"}
    (present, distinct) = db.one(f"select count({column}), count(distinct {column}) from {FILE}")
    levels: list[tuple] = []
    if 0 < distinct <= MAX_LEVELS:
        levels = db.rows(
            f"select {column}::varchar, count(*) from {FILE} where {column} is not null "
            "group by 1 order by 2 desc, 1"
        )
    low = high = None
    whole, infinite = False, ""
    if number and present:
        low, high, whole = db.one(
            f"select min(v), max(v), bool_and(v = floor(v)) from (select {column}::double as v "
            f"from {FILE}) where isfinite(v)"
        )
        infinite = _infinite(db, column)
    return Column(
        name=name,
        type=type_,
        cast=cast,
        rows=rows,
        missing=rows - present,
        distinct=distinct,
        levels=tuple((str(value), int(count)) for value, count in levels),
        low=low,
        high=high,
        whole=bool(whole),
        infinite=infinite,
    )


def _infinite(db: Warehouse, column: Identifier) -> str:
    rows, first, value = db.one(
        f"select count(*), min(_row), arg_min(v, _row) from (select _row, {column}::double as v "
        f"from {FILE}) where isinf(v)"
    )
    more = f" and {rows - 1:,} more" if rows > 1 else ""
    return f"{value} in row {first}{more}" if rows else ""


def _cast(file_type: str) -> tuple[str, str]:
    """How raw.sql casts a type, and what it then is."""
    if file_type == ZONED:
        return ZONED, "TIMESTAMP"
    cast = CASTS.get(file_type.partition("(")[0], "")
    return cast, cast.upper() or file_type
