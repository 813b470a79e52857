"""The profile of a file: its columns, their types and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from dagster_project.inputs.own_files import own_file
from dagster_project.inputs.reading import (
    EXACT_IN_FLOATS,
    TEXT,
    read_with_ids,
    reader,
    refuse_other_encodings,
    whole_number,
)
from dagster_project.inputs.signs import SIGNED
from dagster_project.onboarding.number_texts import read_number_texts
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, literal
from uplift_core.errors import DataError

FILE = Identifier.of("file")
MAX_LEVELS = 50  # largest number of values of an arm or a category; with more, it is free text
INTEGERS = frozenset(f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT"))
INTEGERS |= {f"{sign}{size}" for sign in ("", "U") for size in ("INTEGER", "BIGINT")}
OTHER_NUMBERS = frozenset({"HUGEINT", "UHUGEINT", "DECIMAL"})
# Type that DuckDB may infer -> type that raw.sql casts it to, so that the service knows the type.
CASTS = {"HUGEINT": "double", "UHUGEINT": "double", "UUID": "varchar", "ENUM": "varchar"}
CASTS |= {"DECIMAL": "double", "TIMESTAMP_NS": "timestamp", "TIMESTAMP_MS": "timestamp"}
CASTS |= {"TIMESTAMP_S": "timestamp", "TIME": "varchar"} | SIGNED
ZONED = "TIMESTAMP WITH TIME ZONE"


@dataclass(frozen=True)
class Column:
    """A column of a file.

    Attributes:
        name: the name in the file.
        type: the type that raw.sql yields.
        cast: the type that raw.sql casts the file's type to; empty: no cast.
        rows: number of rows of the file.
        missing: number of rows without a value.
        distinct: number of different values.
        levels: the values as texts with their counts, most frequent first, if there are few.
        low: the smallest number; None if the column holds no numbers.
        high: the largest number.
        whole: true if all numbers are whole.
        infinite: the first infinite number, its row, and the count of others; empty: none.
        read_as: the type that raw.sql reads a CSV's column as before the cast, if it is not ``type``.
        gap_words: texts that mean that there is no value, such as NULL, in a column of numbers.
        decimal_comma: true if the numbers are texts with a decimal comma.
        holds_nan: true if some numbers are NaN, which count as missing.
        folded: true if labels that differ by case or blanks at the ends are one label.
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
    read_as: str = ""
    gap_words: tuple[str, ...] = ()
    decimal_comma: bool = False
    holds_nan: bool = False
    folded: bool = False

    @property
    def sql(self) -> str:
        """SQL of the value as raw.sql yields it, from the column of the file."""
        name = Identifier.of(self.name).sql
        if self.cast == ZONED:
            return f"timezone('UTC', {name})"
        value = name
        if self.decimal_comma:
            value = f"replace({value}, ',', '.')"
        if self.gap_words:
            value = f"if({name} in ({', '.join(map(literal, self.gap_words))}), null, {value})"
        if self.holds_nan:
            # As a text: the statistics of a Parquet file leave NaN out, and if they are finite, DuckDB
            # 2.0 takes isnan() for false.
            value = f"if({value}::varchar = 'nan', null, {value})"
        if self.folded:
            value = f"lower(trim({value}))"
        return f"{value}::{self.cast}" if self.cast else value

    @property
    def is_number(self) -> bool:
        """True if the column holds numbers."""
        return self.type in INTEGERS | {"FLOAT", "DOUBLE"}

    @property
    def is_time(self) -> bool:
        """True if the column holds dates or timestamps."""
        return self.type in {"DATE", "TIMESTAMP"}

    @property
    def is_unique(self) -> bool:
        """True if the column could be an id: every row has a different value."""
        return self.distinct == self.rows and not self.missing

    @property
    def values(self) -> tuple[str, ...]:
        """The values, most frequent first."""
        return tuple(value for value, _ in self.levels)


def open_file(
    db: Warehouse, path: Path, id_of: Callable[[Sequence[str]], str] = lambda _: ""
) -> list[Column]:
    """Read a file into the table ``file``, numbered by ``_row``, and profile each of its columns.

    ``id_of`` chooses the column with the users' id. The id stays a text unless every value is unchanged
    after the conversion to a whole number and back: no part of an id may be lost.

    Raises:
        DataError: there is no such file, DuckDB cannot read it, it has no rows, or its ids have already
            lost digits.
    """
    source = own_file(path.name, "FILE", Path.cwd(), path, base="the working directory").path
    try:
        id_ = id_of(_names(db, f"from {reader(path)}", {"source": str(source)}))
        read = read_with_ids(db, source, {id_})
        db.create(FILE, f"select *, row_number() over () as _row from {read}", {"source": str(source)})
    except duckdb.Error as error:
        if reader(path).startswith("read_csv") and source.is_file():
            refuse_other_encodings(source)  # more to the point than what DuckDB says
        raise DataError(
            f"{path.name}: cannot be read: {str(error).partition('LINE 1')[0].strip()}"
        ) from error
    rows = db.count(FILE)
    if rows == 0:
        raise DataError(f"{path.name}: holds no rows")
    described = [row[:2] for row in db.rows(f"describe {FILE}") if row[0] != "_row"]
    in_csv = path.suffix != ".parquet"
    columns: dict[str, Column] = {}
    for name, type_ in described:
        if name != id_:
            numbers = _number_column(db, name, rows) if in_csv and type_ == TEXT else None
            columns[name] = numbers or _column(db, name, type_, rows)
    if id_:
        columns[id_] = _id_column(db, path, id_, dict(described)[id_], rows)
    return [columns[name] for name, _ in described]


def _id_column(db: Warehouse, path: Path, name: str, file_type: str, rows: int) -> Column:
    """Profile the users' id: a text, or a whole number from 0 if that changes no row.

    Raises:
        DataError: the file stores it as floating-point numbers that may have lost digits.
    """
    column, in_csv = Identifier.of(name), path.suffix != ".parquet"
    kind = file_type.partition("(")[0]
    if kind in EXACT_IN_FLOATS:
        _refuse_rounded(db, path, name, file_type)
        test = f"{column} = floor({column}) and {column} >= 0"
    else:
        test = f"{whole_number(str(column))} and not starts_with({column}::varchar, '-')"
    (whole,) = db.one(f"select bool_and({test}) from {FILE} where {column} is not null")
    if kind in EXACT_IN_FLOATS and not whole:
        return _column(db, name, file_type, rows)  # this is no id
    if kind not in {*EXACT_IN_FLOATS, *INTEGERS, *OTHER_NUMBERS, TEXT}:
        return _column(db, name, file_type, rows)
    # A typed file stores which columns are texts.
    number = bool(whole) and (in_csv or file_type != TEXT)
    type_ = file_type if number and kind in INTEGERS else "BIGINT" if number else TEXT
    if file_type != type_:
        db.rows(f"alter table {FILE} alter column {column} type {type_}")
    return replace(
        _column(db, name, type_, rows),
        cast="" if file_type == type_ else type_.lower(),
        read_as=TEXT if in_csv and number else "",
    )


def _number_column(db: Warehouse, name: str, rows: int) -> Column | None:
    """Turn texts of a CSV into numbers if they are numbers and words for a gap; None if they are not."""
    texts = read_number_texts(db, FILE, name)
    if texts is None:
        return None
    column = Identifier.of(name)
    db.rows(f"alter table {FILE} alter column {column} type double using {texts.number}")
    return replace(
        _column(db, name, "DOUBLE", rows),
        cast="double",
        read_as=TEXT,
        gap_words=texts.gap_words,
        decimal_comma=texts.decimal_comma,
    )


def _refuse_rounded(db: Warehouse, path: Path, name: str, file_type: str) -> None:
    column = Identifier.of(name)
    rounded, first = db.one(
        f"select count(*), min({column})::varchar from {FILE} where abs({column}) >= $limit",
        {"limit": EXACT_IN_FLOATS[file_type]},
    )
    if rounded:
        raise DataError(
            f"{path.name}: column '{name}' holds ids as {file_type}, {rounded:,} of them as long as "
            f"{first}; such numbers lose the last digits. Write ids as whole numbers or as texts, or "
            "pass --id with another column or with row_number"
        )


def _names(db: Warehouse, sql: str, binds: Mapping[str, object]) -> list[str]:
    return [str(row[0]) for row in db.rows(f"describe {sql}", binds)]


def _column(db: Warehouse, name: str, file_type: str, rows: int) -> Column:
    column = Identifier.of(name)
    cast, type_ = _cast(file_type)
    number = type_ in INTEGERS | {"FLOAT", "DOUBLE"}
    holds_nan = type_ in {"FLOAT", "DOUBLE"} and _clear_nan(db, column)
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
        holds_nan=holds_nan,
    )


def _clear_nan(db: Warehouse, column: Identifier) -> bool:
    """Turn NaN into a missing value; return true if there was one."""
    (nan,) = db.one(f"select count(*) from {FILE} where isnan({column})")
    if nan:
        db.rows(f"update {FILE} set {column} = null where isnan({column})")
    return bool(nan)


def _infinite(db: Warehouse, column: Identifier) -> str:
    rows, first, value = db.one(
        f"select count(*), min(_row), arg_min(v, _row) from (select _row, {column}::double as v "
        f"from {FILE}) where isinf(v)"
    )
    more = f" and {rows - 1:,} more" if rows > 1 else ""
    return f"{value} in row {first}{more}" if rows else ""


def _cast(file_type: str) -> tuple[str, str]:
    """Return the cast of a type in raw.sql, and the resulting type."""
    if file_type == ZONED:
        return ZONED, "TIMESTAMP"
    cast = CASTS.get(file_type.partition("(")[0], "")
    return cast, cast.upper() or file_type
