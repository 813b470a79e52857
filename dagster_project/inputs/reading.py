"""How files are read that users bring: by their endings, and ids as they are written.

DuckDB types the columns of a CSV file by a sample of its rows. Zeros in front that begin later, digits
beyond 64 bits and ids with a decimal point would come out as other ids: ids are read as the texts that
they are, and are numbers only where every one of them is the same again after it was one.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, literal
from uplift_core.errors import DataError

READERS = {
    ".csv": "read_csv($source)",
    ".gz": "read_csv($source)",
    ".tsv": "read_csv($source)",
    ".parquet": "read_parquet($source)",
}
TEXT = "VARCHAR"
EXACT_IN_FLOATS = {"FLOAT": 2**24, "DOUBLE": 2**53}  # type -> below which every whole number is exact


def reader(path: Path) -> str:
    """The DuckDB call that reads a file of this name from ``$source``.

    Raises:
        DataError: its ending is not known.
    """
    if path.suffix not in READERS:
        raise DataError(
            f"{path.name}: ends in '{path.suffix}', which is not read by itself; known are "
            f"{', '.join(sorted(READERS))}. Write raw.sql by hand for anything else DuckDB reads"
        )
    return READERS[path.suffix]


def read_with_ids(db: Warehouse, path: Path, ids: Collection[str]) -> str:
    """The DuckDB call that reads a file of this name from ``$source``, ``ids`` of a CSV as texts.

    Raises:
        DataError: the ending of its name is not known.
        duckdb.Error: it cannot be read.
    """
    call = reader(path)
    if not call.startswith("read_csv"):
        return call  # other files say themselves what type a column has
    columns = [str(row[0]) for row in db.rows(f"describe from {call}", {"source": str(path)})]
    texts = ", ".join(f"{literal(name)}: '{TEXT}'" for name in columns if name in ids)
    return f"read_csv($source, types = {{{texts}}})" if texts else call


def whole_number(column: str) -> str:
    """SQL: whether an id in ``column`` is a whole number of 63 bits that is written as such."""
    return f"coalesce(try_cast({column}::varchar as bigint)::varchar = {column}::varchar, false)"


def refuse_changed(db: Warehouse, table: Identifier, column: str, where: str, remedy: str) -> None:
    """Refuse ids that would be others as numbers.

    Raises:
        DataError: ``where`` it is, the column, the first such id and the ``remedy``.
    """
    name = Identifier.of(column)
    changed, first = db.one(
        f"select count(*), min({name}::varchar) from {table} "
        f"where {name} is not null and not {whole_number(str(name))}"
    )
    if changed:
        raise DataError(
            f"{where}: '{column}' = {first!r} and {changed - 1} more are no whole numbers as they are "
            f"written, as the experiment's ids are; {remedy}"
        )


def refuse_floats(db: Warehouse, table: Identifier, column: str, where: str, remedy: str) -> None:
    """Refuse ids that a file holds as floating-point numbers, which have lost digits of long ones.

    Raises:
        DataError: ``where`` it is, the column, an id and the ``remedy``.
    """
    name = Identifier.of(column)
    types = {str(row[0]): str(row[1]) for row in db.rows(f"describe {table}")}
    if types[column] in EXACT_IN_FLOATS:
        (first,) = db.one(f"select any_value({name})::varchar from {table}")
        raise DataError(
            f"{where}: '{column}' is {types[column]} (such as {first}), and such numbers lose the last "
            f"digits of long ids; {remedy}"
        )
