"""Read users' files by their suffix; read ids exactly as they are written.

DuckDB infers the types of a CSV file's columns. It looks at all rows here: from a sample, it would take
a column whose decimals begin late for whole numbers and round them. Leading zeros, numbers beyond 64
bits and ids with a decimal point would still become other ids. So ids are read as texts. They become
numbers only if every id is unchanged after the conversion to a number and back.
"""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Collection
from pathlib import Path

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, literal
from uplift_core.errors import DataError

READERS = {
    ".csv": "read_csv($source, sample_size = -1)",
    ".gz": "read_csv($source, sample_size = -1)",
    ".tsv": "read_csv($source, sample_size = -1)",
    ".parquet": "read_parquet($source)",
}
# Suffix of a file that is not read -> the remedy.
_SHEET = "is a spreadsheet; save its sheet as CSV (UTF-8), with one row of names above one row per user"
_ARROW = (
    "is an Arrow file; write it as Parquet, such as by "
    "pyarrow.parquet.write_table(pyarrow.feather.read_table(file), other_file)"
)
REMEDIES = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), _SHEET),
    **dict.fromkeys((".feather", ".arrow", ".ipc"), _ARROW),
}
NO_UTF8 = (
    "is not encoded in UTF-8; convert it, such as by iconv -f LATIN1 -t UTF-8 (or -f UTF-16), or let "
    "the program that wrote it save it as 'CSV UTF-8'"
)
PIECE = 1 << 20  # bytes
TEXT = "VARCHAR"
EXACT_IN_FLOATS = {"FLOAT": 2**24, "DOUBLE": 2**53}  # type -> bound below which whole numbers are exact


def reader(path: Path) -> str:
    """Return the DuckDB call that reads a file with this suffix from ``$source``.

    Raises:
        DataError: the suffix is unknown.
    """
    if remedy := REMEDIES.get(path.suffix.lower()):
        raise DataError(f"{path.name}: {remedy}")
    if path.suffix not in READERS:
        raise DataError(
            f"{path.name}: the suffix '{path.suffix}' is unknown; known are "
            f"{', '.join(sorted(READERS))}. For any other file that DuckDB reads, write raw.sql by hand"
        )
    return READERS[path.suffix]


def refuse_other_encodings(path: Path) -> None:
    """Refuse a CSV file that is not encoded in UTF-8: as another one, its letters would be guessed.

    Raises:
        DataError: names the file and the remedy.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            while piece := file.read(PIECE):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise DataError(f"{path.name}: {NO_UTF8}") from error


def read_with_ids(db: Warehouse, path: Path, ids: Collection[str]) -> str:
    """Return the DuckDB call that reads a file from ``$source``, with ``ids`` of a CSV as texts.

    Raises:
        DataError: the file's suffix is unknown.
        duckdb.Error: the file cannot be read.
    """
    call = reader(path)
    if not call.startswith("read_csv"):
        return call  # other files store the types of their columns
    columns = [str(row[0]) for row in db.rows(f"describe from {call}", {"source": str(path)})]
    texts = ", ".join(f"{literal(name)}: '{TEXT}'" for name in columns if name in ids)
    return call.replace("$source", f"$source, types = {{{texts}}}") if texts else call


def whole_number(column: str) -> str:
    """Return SQL that is true if the id in ``column`` is a whole number of 63 bits, written as such."""
    return f"coalesce(try_cast({column}::varchar as bigint)::varchar = {column}::varchar, false)"


def refuse_changed(db: Warehouse, table: Identifier, column: str, where: str, remedy: str) -> None:
    """Refuse ids that a conversion to numbers would change.

    Raises:
        DataError: names ``where``, the column, the first such id and the ``remedy``.
    """
    name = Identifier.of(column)
    changed, first = db.one(
        f"select count(*), min({name}::varchar) from {table} "
        f"where {name} is not null and not {whole_number(str(name))}"
    )
    if changed:
        raise DataError(
            f"{where}: '{column}' = {first!r} and {changed - 1} more are not written as whole numbers, "
            f"as the experiment's ids are; {remedy}"
        )


def refuse_floats(db: Warehouse, table: Identifier, column: str, where: str, remedy: str) -> None:
    """Refuse ids that a file stores as floating-point numbers: these lose the last digits of long ids.

    Raises:
        DataError: names ``where``, the column, an id and the ``remedy``.
    """
    name = Identifier.of(column)
    types = {str(row[0]): str(row[1]) for row in db.rows(f"describe {table}")}
    if types[column] in EXACT_IN_FLOATS:
        (first,) = db.one(f"select any_value({name})::varchar from {table}")
        raise DataError(
            f"{where}: '{column}' is {types[column]} (such as {first}), and such numbers lose the last "
            f"digits of long ids; {remedy}"
        )


def odd_rows(db: Warehouse, table: Identifier, column: Identifier, odd: str) -> tuple[int, int, str]:
    """Count a table's rows for which ``odd`` holds; return the first such user and their value, too.

    Args:
        db: the warehouse.
        table: has ``user_id``.
        column: the column of the value.
        odd: a condition in SQL.
    """
    rows, first, value = db.one(
        f"select count(*), min(user_id), min_by(coalesce({column}::varchar, 'no value'), user_id) "
        f"from {table} where {odd}"
    )
    return rows, first, value
