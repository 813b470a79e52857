"""A user's raw attributes: values that are checked against the raw file's column types.

JSON has fewer types than DuckDB, so this module checks every value instead of letting the database cast
it: an answer must never come from a number that was wrapped, rounded or read from a string.

There are two validators for one contract, because neither can do the other's work. ``RawSchema.rows``
checks JSON value by value in Python: Arrow would convert 2.5 to the whole number 2, and would refuse a
column of mixed types without naming all users whose values are wrong. Besides, arrays do not pay for one
user: to parse, make columns and check these by ``Limit.violations`` takes 0.76 ms of CPU for Hillstrom's
seven attributes, and this way takes 0.12 ms. ``RawSchema.arrow`` checks whole columns, which have types.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serve.errors import RequestError, shown
from serve.raw_types import KINDS, RawType
from uplift_core.artifacts.bundle import RawColumn
from uplift_core.errors import BundleError

USER_ID = "user_id"


# Checked values of some users by column: Python values, or an Arrow array.
Columns = Mapping[str, Sequence[object]]


@dataclass(frozen=True)
class Limit:
    """The values that a column may hold, by its type and the bundle; ``expected`` says it in words."""

    levels: frozenset[str | int | float] | None
    low: float
    high: float
    expected: str

    @classmethod
    def of(cls, column: RawColumn, kind: RawType) -> Limit:
        """Make the limit of a column's contract."""
        levels = None if column.levels is None else frozenset(column.levels)
        low = -math.inf if column.low is None else column.low
        high = math.inf if column.high is None else column.high
        if column.levels is not None:
            first = [
                level if isinstance(level, str) else f"{level:.12g}" for level in column.levels[:20]
            ]
            known = ", ".join(first) + (", ..." if len(column.levels) > len(first) else "")
            expected = f"{kind.noun}, one of the known categories: {known}"
        elif math.isfinite(low) and math.isfinite(high):
            expected = f"{kind.noun} from {low:.12g} to {high:.12g}"
        else:
            expected = kind.noun + kind.range
        return cls(levels, low, high, expected)

    def check(self, value: Any) -> object:
        """Return the value if it is within the limit.

        Raises:
            ValueError: the value is outside.
        """
        if self.levels is not None:
            if value not in self.levels:
                raise ValueError
        elif isinstance(value, int | float) and not self.low <= value <= self.high:
            raise ValueError
        return value

    def violations(self, values: pa.Array) -> pa.Array:
        """Return the positions of the values outside."""
        if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            numbers = values.cast(pa.float64(), safe=False)  # rounds large numbers a little
            if self.levels is None:
                within = pc.and_(pc.greater_equal(numbers, self.low), pc.less_equal(numbers, self.high))
            else:
                within = pc.is_in(numbers, pa.array([*self.levels], pa.float64()))
            sound = pc.and_(pc.is_finite(numbers), within)
        elif self.levels is not None:
            sound = pc.is_in(values, pa.array([*self.levels], values.type))
        else:
            return pa.array([], pa.uint64())
        return pc.indices_nonzero(pc.and_not(pc.is_valid(values), pc.fill_null(sound, fill_value=True)))


@dataclass(frozen=True)
class RawSchema:
    """The raw columns that one experiment's features are computed from."""

    experiment: str
    columns: dict[str, RawType]
    limits: dict[str, Limit]

    @classmethod
    def of(cls, experiment: str, columns: Sequence[RawColumn]) -> RawSchema:
        """Make the schema of a bundle's ``raw_columns``.

        Raises:
            BundleError: a column's type has no JSON form here.
        """
        for column in columns:
            if column.type not in KINDS:
                raise BundleError(
                    f"{experiment}: raw column '{column.attribute}' is {column.type}, which cannot be "
                    f"scored online; cast it in raw.sql to one of {sorted(KINDS)}"
                )
        return cls(
            experiment,
            {column.attribute: KINDS[column.type] for column in columns},
            {column.attribute: Limit.of(column, KINDS[column.type]) for column in columns},
        )

    def rows(self, users: Sequence[Mapping[str, object]], prefix: str = "attributes") -> Columns:
        """Check users' attributes from JSON; return their values by column, in order; null is None.

        Raises:
            RequestError: names the attributes that are missing, unknown or outside of their contract,
                and the first such user if there are several users.
        """
        names = self.columns.keys()
        refusals = []
        for i, user in enumerate(users):
            if user.keys() != names:
                refusals.append(self._wrong_names(user, _place(prefix, i, len(users))))
                break
        columns: dict[str, list[object]] = {}
        for name, kind in self.columns.items():
            parse, limit = kind.parse, self.limits[name]
            values, bad = [], []
            for i, user in enumerate(users):
                value = user.get(name)
                if value is not None:
                    try:
                        value = limit.check(parse(value))
                    except (ValueError, OverflowError):
                        bad.append(i)
                values.append(value)
            columns[name] = values
            if bad:
                where = f"{_place(prefix, bad[0], len(users))}.{name}"
                refusals.append(_refusal(where, values[bad[0]], limit, len(bad)))
        if refusals:
            raise RequestError("; ".join(refusals))
        return columns

    def table(self, parts: Sequence[Columns]) -> pa.Table:
        """Join checked users to one Arrow table, part after part; ``user_id`` counts from 0."""
        size = sum(len(next(iter(part.values()))) for part in parts)
        columns = {USER_ID: pa.array(np.arange(size))}
        for name, kind in self.columns.items():
            values = parts[0][name] if len(parts) == 1 else [v for part in parts for v in part[name]]
            columns[name] = values if isinstance(values, pa.Array) else pa.array(values, kind.arrow)
        return pa.table(columns)

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse columns that are not exactly the experiment's, each once.

        Raises:
            RequestError: names a column that is missing, unknown or repeated.
        """
        for name in names:
            if names.count(name) > 1:
                raise RequestError(
                    f"rows: column {shown(name)} is there {names.count(name)} times; send it once"
                )
        if set(names) != self.columns.keys():
            raise RequestError(self._wrong_names(dict.fromkeys(names), "rows"))

    def arrow(self, table: pa.Table) -> Columns:
        """Check users' attributes from an Arrow table; return arrays of the columns' types.

        The table comes from ``read_stream``, which has validated it: it is flat, and its columns have
        types that may be cast to the contract's.

        Raises:
            RequestError: names the attributes outside of their contract, and the first such user.
        """
        columns = {}
        refusals = []
        for name, kind in self.columns.items():
            limit = self.limits[name]
            column = table.column(name).combine_chunks()
            try:
                values = column.cast(kind.arrow)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                values = column  # numbers that the type cannot hold are outside of the limit, too
                if limit.levels is not None or not len(limit.violations(values)):
                    refusal = f"rows.{name} is {column.type}: must be {limit.expected}"
                    raise RequestError(refusal) from error
            bad = limit.violations(values)
            if len(bad):
                i = bad[0].as_py()
                refusals.append(_refusal(f"rows[{i}].{name}", values[i].as_py(), limit, len(bad)))
            columns[name] = values
        if refusals:
            raise RequestError("; ".join(refusals))
        return columns

    def empty(self) -> pa.Table:
        """Make the table of ``table`` without rows."""
        types = {USER_ID: pa.int64()} | {name: kind.arrow for name, kind in self.columns.items()}
        return pa.table({name: pa.array([], type_) for name, type_ in types.items()})

    def _wrong_names(self, user: Mapping[str, object], where: str) -> str:
        missing = [name for name in self.columns if name not in user]
        extra = [name for name in user if name not in self.columns]
        wrong = [f"{', '.join(missing)} missing"] if missing else []
        wrong += [f"{shown(extra[0])} unknown"] if extra else []
        return (
            f"{where}: {', '.join(wrong)}; {self.experiment} takes exactly "
            f"{', '.join(self.columns)} (null where a value is not known)"
        )


def _refusal(where: str, value: object, limit: Limit, users: int) -> str:
    more = f" (and so of {users - 1} more)" if users > 1 else ""
    return f"{where} = {shown(value)}: must be {limit.expected}{more}"


def _place(prefix: str, i: int, n: int) -> str:
    return prefix if n == 1 and prefix == "attributes" else f"{prefix}[{i}]"
