"""Read columns of any table in memory: pandas, Polars, Arrow, a DuckDB relation, or a Parquet file.

All of them hand over their columns by Arrow's PyCapsule interface (``__arrow_c_stream__``), so none of
these libraries is imported here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError, UpliftError
from uplift_core.experiment.strata import WHOLE

if TYPE_CHECKING:
    import pyarrow as pa

Frame = Any  # a table with __arrow_c_stream__, columns by name, or the path of a Parquet file or folder
KINDS = (
    "give a pandas, Polars or Arrow table, a DuckDB relation, columns by name, or the path of a "
    "Parquet file"
)


def read_frame(frame: Frame, names: Iterable[str], optional: Iterable[str] = ()) -> pa.Table:
    """Return the columns ``names`` of a table, each once, and those of ``optional`` that it has.

    Raises:
        DataError: the table has no such column, has no rows, or is no table.
        UpliftError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - the core does without
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise UpliftError("tables need pyarrow: install the package with its extra 'library'") from error
    needed, optional = list(dict.fromkeys(names)), list(optional)
    if isinstance(frame, (str, os.PathLike)):
        if not Path(frame).exists():
            raise DataError(f"frame: there is no file {frame}; {KINDS}")
        dataset = pq.ParquetDataset(frame)
        there = dataset.schema.names
        _refuse_missing(needed, there)
        table = dataset.read(columns=_with(needed, optional, there))
    elif isinstance(frame, Mapping) or hasattr(frame, "__arrow_c_stream__"):
        try:
            table = pa.table(frame if hasattr(frame, "__arrow_c_stream__") else dict(frame))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise DataError(f"frame: {str(error).splitlines()[0]}; {KINDS}") from error
        _refuse_missing(needed, table.column_names)
        table = table.select(_with(needed, optional, table.column_names))
    else:
        raise DataError(f"frame: a {type(frame).__name__} is no table; {KINDS}")
    if not table.num_rows:
        raise DataError("frame: has no rows; give one row per user")
    return table.unify_dictionaries()


def _with(needed: Iterable[str], optional: Iterable[str], there: Iterable[str]) -> list[str]:
    known = list(there)
    return list(dict.fromkeys([*needed, *(name for name in optional if name in known)]))


def _refuse_missing(wanted: Iterable[str], there: Iterable[str]) -> None:
    known = list(there)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise DataError(f"frame: has no column '{missing[0]}'; its columns are {known}")


def numbers(table: pa.Table, name: str) -> Doubles:
    """Return a column as (n,) float64; missing is NaN.

    Raises:
        DataError: the column does not hold numbers, or a number is infinite.
    """
    column = table.column(name)
    if not is_number(column.type):
        raise DataError(f"{name}: holds {column.type}, and numbers are needed; convert the column")
    values = to_doubles(column)
    refuse(name, np.isinf(values), "is infinite", "correct these users, or leave their value missing")
    return values


def complete(table: pa.Table, name: str) -> Doubles:
    """Return a column of numbers that may not be missing, as (n,) float64."""
    values = numbers(table, name)
    refuse(name, np.isnan(values), "is missing", "give every user a value, or leave the user out")
    return values


def texts(table: pa.Table, name: str) -> npt.NDArray[np.object_]:
    """Return a column as (n,) texts, as DuckDB writes them; missing is None.

    Raises:
        DataError: the column has another type than text, number, date or boolean.
    """
    import pyarrow as pa  # noqa: PLC0415 - the core does without
    import pyarrow.compute as pc  # noqa: PLC0415

    column = table.column(name)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        column = column.cast(pa.large_string())
    except pa.ArrowException as error:
        raise DataError(f"{name}: {str(error).splitlines()[0]}; convert the column to text") from error
    return np.asarray(column.to_numpy(), dtype=object)


def units(table: pa.Table, name: str) -> npt.NDArray[np.object_]:
    """Return a column of texts that may not be missing or empty: (n,)."""
    values = texts(table, name)
    empty = np.asarray([value is None or not value.strip() for value in values])
    refuse(name, empty, "is missing", "give every user a value, or leave the user out")
    return values


def is_number(kind: pa.DataType) -> bool:
    """Whether a column's type can be read as numbers; booleans are 0 and 1."""
    import pyarrow.types as pt  # noqa: PLC0415 - the core does without

    return bool(
        pt.is_integer(kind)
        or pt.is_floating(kind)
        or pt.is_boolean(kind)
        or pt.is_decimal(kind)
        or pt.is_null(kind)
    )


def to_doubles(column: pa.ChunkedArray) -> Doubles:
    """Convert a column of numbers: (n,) float64; missing is NaN."""
    import pyarrow as pa  # noqa: PLC0415 - the core does without

    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    values = column.cast(pa.float64(), safe=False).to_numpy()
    return np.asarray(values, dtype=np.float64)


def text_of(value: object) -> str:
    """Return a value of the caller as the text that the table's column gives it."""
    if isinstance(value, (bool, np.bool_)):
        return str(value).lower()
    return WHOLE.sub(r"\1", str(value))


def refuse(name: str, wrong: npt.NDArray[np.bool_], what: str, remedy: str) -> None:
    """Refuse a column of which some rows are wrong.

    Raises:
        DataError: names the column, the first row (from 0), the number of rows and the remedy.
    """
    if wrong.any():
        raise DataError(
            f"{name}: {what} in {int(wrong.sum())} rows, the first of them row {int(wrong.argmax())}; "
            f"{remedy}"
        )
