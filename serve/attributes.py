"""A user's raw attributes: JSON values checked against the raw file's column types.

JSON knows fewer types than DuckDB, so every value is checked here rather than cast by the database:
an answer must never come from a number that was wrapped, rounded or read out of a string.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from serve.errors import RequestError, shown
from uplift_core.bundle import RawColumn
from uplift_core.errors import BundleError

USER_ID = "user_id"


@dataclass(frozen=True)
class _Kind:
    """How a DuckDB type is read from JSON: its Arrow type, what is asked for, and a parser.

    The parser returns the value to store, or raises ValueError or OverflowError.
    """

    arrow: pa.DataType
    wanted: str
    parse: Callable[[object], object]


@dataclass(frozen=True)
class RawSchema:
    """The columns that one experiment's features are computed from."""

    experiment: str
    columns: dict[str, _Kind]

    @classmethod
    def of(cls, experiment: str, columns: Sequence[RawColumn]) -> RawSchema:
        """The schema of a bundle's ``raw_columns``.

        Raises:
            BundleError: a column's type has no JSON form here.
        """
        for column in columns:
            if column.type not in KINDS:
                raise BundleError(
                    f"{experiment}: raw column '{column.name}' is {column.type}, which cannot be "
                    f"scored online; cast it in raw.sql to one of {sorted(KINDS)}"
                )
        return cls(experiment, {column.name: KINDS[column.type] for column in columns})

    def row(self, attributes: Mapping[str, object]) -> pa.Table:
        """One user's attributes as an Arrow table of one row; null stays null, ``user_id`` is 0.

        Raises:
            RequestError: an attribute is missing, unknown, of another type or out of range.
        """
        self._same_names(attributes)
        columns = {USER_ID: pa.array([0], pa.int64())}
        for name, kind in self.columns.items():
            value = self._parse(name, kind, attributes[name])
            columns[name] = pa.array([value], kind.arrow)
        return pa.table(columns)

    def empty(self) -> pa.Table:
        """The same table without rows."""
        types = {USER_ID: pa.int64()} | {name: kind.arrow for name, kind in self.columns.items()}
        return pa.table({name: pa.array([], type_) for name, type_ in types.items()})

    def _same_names(self, attributes: Mapping[str, object]) -> None:
        missing = [name for name in self.columns if name not in attributes]
        if missing:
            raise RequestError(
                f"attributes: {', '.join(missing)} missing; {self.experiment} needs all of "
                f"{', '.join(self.columns)} (null where a value is not known)"
            )
        extra = [name for name in attributes if name not in self.columns]
        if extra:
            raise RequestError(
                f"attributes: {shown(extra[0])} is not among those of {self.experiment}; "
                f"remove it or correct its spelling: {', '.join(self.columns)}"
            )

    def _parse(self, name: str, kind: _Kind, value: object) -> object:
        if value is None:
            return None
        try:
            return kind.parse(value)
        except (ValueError, OverflowError) as error:
            raise RequestError(f"attributes.{name} = {shown(value)}: must be {kind.wanted}") from error


def _integer(low: int, high: int) -> Callable[[object], object]:
    def parse(value: object) -> object:
        # A bool is an int to Python; 3.0 is the number 3 to JSON.
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    return parse


def _number(largest: float) -> Callable[[object], object]:
    def parse(value: object) -> object:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError  # noqa: TRY004 - one exception for all that does not parse
        number = float(value)
        if not math.isfinite(number) or abs(number) > largest:
            raise ValueError
        return number

    return parse


def _boolean(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - one exception for all that does not parse
    return value


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - one exception for all that does not parse
    value.encode()  # JSON can spell half a surrogate pair, which is no text
    return value


def _date(value: object) -> object:
    return date.fromisoformat(str(_text(value)))


def _timestamp(value: object) -> object:
    moment = datetime.fromisoformat(str(_text(value)))
    if moment.tzinfo is not None:
        raise ValueError  # TIMESTAMP has no zone; dropping one would shift the moment
    return moment


def _integer_kind(arrow: Any, low: int, high: int) -> _Kind:
    return _Kind(arrow, f"a whole number from {low} to {high}", _integer(low, high))


def _integer_kinds() -> dict[str, _Kind]:
    names = {8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT"}
    kinds = {}
    for bits, name in names.items():
        half = 2 ** (bits - 1)
        kinds[name] = _integer_kind(getattr(pa, f"int{bits}")(), -half, half - 1)
        kinds[f"U{name}"] = _integer_kind(getattr(pa, f"uint{bits}")(), 0, 2 * half - 1)
    return kinds


_FLOAT_MAX = float(np.finfo(np.float32).max)
_DOUBLE_MAX = float(np.finfo(np.float64).max)

# DuckDB type -> how it is read.
KINDS: dict[str, _Kind] = {
    **_integer_kinds(),
    "FLOAT": _Kind(pa.float32(), f"a finite number, at most {_FLOAT_MAX:.4g}", _number(_FLOAT_MAX)),
    "DOUBLE": _Kind(pa.float64(), "a finite number", _number(_DOUBLE_MAX)),
    "BOOLEAN": _Kind(pa.bool_(), "true or false", _boolean),
    "VARCHAR": _Kind(pa.string(), "a text", _text),
    "DATE": _Kind(pa.date32(), "a date as '2026-01-31'", _date),
    "TIMESTAMP": _Kind(
        pa.timestamp("us"), "a date and time as '2026-01-31T12:00:00', without a zone", _timestamp
    ),
}
