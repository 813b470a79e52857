"""Encode columns of a table as features: numbers as they are, categories as numbers.

The encoding is that of ``uplift new``: a category of few values gets a feature for each; of more, a
feature with the value's place, the most frequent first. It is written as DuckDB's SQL, too, so that a
saved model computes the same features in the service.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from uplift_core.arrays import Doubles, Floats
from uplift_core.artifacts.bundle import RawColumn
from uplift_core.errors import DataError
from uplift_core.experiment.naming import ONE_HOT, slug
from uplift_core.library.frames import is_number, numbers, refuse, texts

if TYPE_CHECKING:
    import pyarrow as pa

MAX_LEVELS = 1000  # a text column with more values is free text
TEXT = "VARCHAR"
TYPES = {"bool": "BOOLEAN", "float": "FLOAT", "double": "DOUBLE"} | {
    f"{sign}int{bits}": f"{sign.upper()}{name}"
    for sign in ("", "u")
    for bits, name in ((8, "TINYINT"), (16, "SMALLINT"), (32, "INTEGER"), (64, "BIGINT"))
}


@dataclass(frozen=True)
class Feature:
    """One feature of a column: its name, its SQL, and the place from 1 of the level that it flags."""

    name: str
    sql: str
    flags: int | None = None

    def of(self, values: Doubles) -> Doubles:
        """Compute the feature of numbers, or of places of levels; missing is NaN: (n,) each."""
        if self.flags is None:
            return values
        return np.where(np.isnan(values), np.nan, values == self.flags)


@dataclass(frozen=True)
class Encoding:
    """How columns become features.

    Attributes:
        columns: the columns in order; those of texts with their levels, the most frequent first.
    """

    columns: tuple[RawColumn, ...]

    @classmethod
    def learn(cls, table: pa.Table, names: Sequence[str]) -> Encoding:
        """Learn the levels of categories; outcomes and arms are not looked at.

        Raises:
            DataError: a column has a type that cannot be a feature, or too many different texts.
        """
        if not names:
            raise DataError("features: names no column; name the columns known before the treatment")
        if len(set(names)) != len(names):
            raise DataError(f"features: {list(names)} repeat a column; name each once")
        return cls(tuple(_column(table, name) for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features, in the models' order."""
        return tuple(feature.name for _, feature in self._features())

    def encode(self, table: pa.Table) -> Floats:
        """Compute the features of users: (n, n_features) float32; NaN is missing.

        Raises:
            DataError: a column is of another kind, or holds a level that training did not see.
        """
        read = {column.name: _values(table, column) for column in self.columns}
        with np.errstate(over="ignore"):
            x = {
                (column.name, feature.name): feature.of(read[column.name]).astype(np.float32)
                for column, feature in self._features()
            }
        for (name, _), feature_values in x.items():
            refuse(name, np.isinf(feature_values), "is beyond what a float32 holds", "use another unit")
        return np.column_stack([*x.values()])

    def sql(self, experiment: str) -> str:
        """Return the SELECT that computes the features from ``raw.<experiment>``."""
        lines = "".join(f",\n    {feature.sql} as {feature.name}" for _, feature in self._features())
        return (
            "/* Features as the library encoded them.\n"
            f"   Grain: user_id.  Input: raw.{experiment}.  All features are FLOAT. */\n"
            f"select\n    user_id{lines}\nfrom raw.{experiment}\n"
        )

    def _features(self) -> Iterator[tuple[RawColumn, Feature]]:
        taken = {"user_id"}
        for column in self.columns:
            for feature in _of_column(column):
                name, number = feature.name, 2
                while name in taken:
                    name, number = f"{feature.name}_{number}", number + 1
                taken.add(name)
                yield column, replace(feature, name=name)


def _column(table: pa.Table, name: str) -> RawColumn:
    kind = table.column(name).type
    if is_number(kind):
        return RawColumn(name=name, type=TYPES.get(str(kind), "DOUBLE"))
    if not _is_text(kind):
        raise DataError(
            f"{name}: {kind} has no encoding as a feature; turn it into numbers or a text first"
        )
    values = texts(table, name)
    levels, counts = np.unique([value for value in values if value is not None], return_counts=True)
    if not 1 <= len(levels) <= MAX_LEVELS:
        raise DataError(
            f"{name}: has {len(levels):,} different texts, and 1 to {MAX_LEVELS:,} can be a feature; "
            "group them, or leave the column out"
        )
    order = np.lexsort((levels, -counts))
    return RawColumn(name=name, type=TEXT, levels=tuple(str(levels[i]) for i in order))


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as pt  # noqa: PLC0415 - the core does without

    if pt.is_dictionary(kind):
        return _is_text(kind.value_type) or bool(pt.is_integer(kind.value_type))
    return any(is_text(kind) for is_text in (pt.is_string, pt.is_large_string, pt.is_string_view))


def _of_column(column: RawColumn) -> Iterator[Feature]:
    name, quoted = slug(column.name), '"' + column.name.replace('"', '""') + '"'
    levels = tuple(str(level) for level in column.levels or ())
    if column.type != TEXT:
        yield Feature(name, f"{quoted}::float")
    elif len(levels) <= ONE_HOT:
        shown = levels[:1] if len(levels) == 2 else levels  # noqa: PLR2004 - one tells both
        for place, level in enumerate(shown, start=1):
            flag = f"({quoted} = {_literal(level)})::float"
            yield Feature(f"{name}_{slug(level, 'is')}", flag, place)
    else:
        listed = ", ".join(_literal(level) for level in levels)
        yield Feature(name, f"list_position([{listed}], {quoted})::float")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _values(table: pa.Table, column: RawColumn) -> Doubles:
    """Return a column's numbers, or the place of its texts among the levels from 1; missing is NaN."""
    if column.type != TEXT:
        return numbers(table, column.name)
    levels = {str(level): place for place, level in enumerate(column.levels or (), start=1)}
    values = texts(table, column.name)
    place = np.asarray([np.nan if v is None else levels.get(v, 0) for v in values], dtype=np.float64)
    unknown = place == 0
    if unknown.any():
        refuse(
            column.name,
            unknown,
            f"'{values[int(unknown.argmax())]}' did not occur in training; it stands",
            "leave the value missing, or train again with such users",
        )
    return place
