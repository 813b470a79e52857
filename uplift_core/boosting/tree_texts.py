"""Write a booster's trees for other systems: as SQL, as Python, as JSON.

A split asks whether a feature, rounded to float32, is below a float32 value. ``limit`` writes the value
so that single and double precision both give the booster's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from uplift_core.boosting.tree_arrays import TreeArrays

T = TypeVar("T")


@dataclass(frozen=True)
class Columns:
    """What the features of a booster are in another system.

    Attributes:
        names: the features' names.
        fixed: position of a feature -> its value, where that is known: its splits are not written.
    """

    names: Sequence[str]
    fixed: Mapping[int, float] = field(default_factory=dict)


def limit(value: float) -> float:
    """Return a number that divides float32 numbers as ``value`` does, and float64 ones where it can.

    That is the shortest decimal of the float32 value, unless this is larger than the value: 0.1 for the
    float32 number nearest to 0.1, so that a 0.1 in double precision is not below it.
    """
    exact = np.float32(value)
    shortest = float(str(exact))
    return min(shortest, float(exact))


def number(value: float) -> str:
    """Write a number so that it is read back without a change."""
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def quoted(name: str) -> str:
    """Write a name in standard SQL."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class SqlDialect:
    """What differs between databases in the SQL that is written here.

    Attributes:
        double: the type of numbers in double precision.
        quote: writes the name of a column.
    """

    double: str = "double"
    quote: Callable[[str], str] = quoted

    def cast(self, value: float) -> str:
        """Write a number in double precision."""
        return f"cast({number(value)} as {self.double})"


STANDARD = SqlDialect()


def sql_margin(trees: TreeArrays, columns: Columns, dialect: SqlDialect = STANDARD) -> str:
    """Return the booster's margin as a SQL expression; a missing value is null."""
    leaf = dialect.cast

    def split(feature: int, value: float, missing_left: bool, left: str, right: str) -> str:  # noqa: FBT001
        name = dialect.quote(columns.names[feature])
        missing = f" or {name} is null" if missing_left else ""
        return f"case when {name} < {number(limit(value))}{missing} then {left} else {right} end"

    return _added([leaf(float(trees.base)), *_walk(trees, columns, leaf, split)])


def python_margin(trees: TreeArrays, columns: Columns) -> list[str]:
    """Return terms of the booster's margin as Python expressions; ``x[i]`` is a feature, or NaN."""

    def split(feature: int, value: float, missing_left: bool, left: str, right: str) -> str:  # noqa: FBT001
        below, cut = f"x[{feature}] < ", number(limit(value))
        asked = f"not x[{feature}] >= {cut}" if missing_left else below + cut
        return f"({left} if {asked} else {right})"

    return [number(float(trees.base)), *_walk(trees, columns, number, split)]


def json_trees(trees: TreeArrays, columns: Columns) -> list[Any]:
    """Return the trees as JSON: a leaf is a number, a split has ``feature``, ``below``, ``yes``, ``no``.

    ``missing`` says where a missing value goes: ``yes`` or ``no``.
    """

    def leaf(value: float) -> Any:
        return value

    def split(feature: int, value: float, missing_left: bool, left: Any, right: Any) -> Any:  # noqa: FBT001
        return {
            "feature": columns.names[feature],
            "below": limit(value),
            "missing": "yes" if missing_left else "no",
            "yes": left,
            "no": right,
        }

    return _walk(trees, columns, leaf, split)


def _walk(
    trees: TreeArrays,
    columns: Columns,
    leaf: Callable[[float], T],
    split: Callable[[int, float, bool, T, T], T],
) -> list[T]:
    """Write each tree from its leaves up."""

    def written(node: int) -> T:
        right, left = (int(child) for child in trees.children[node])
        value, feature = float(trees.value[node]), int(trees.feature[node])
        if left == node:
            return leaf(value)
        if feature in columns.fixed:
            return written(left if columns.fixed[feature] < value else right)
        missing_left = bool(trees.missing_left[node])
        return split(feature, value, missing_left, written(left), written(right))

    return [written(int(root)) for root in trees.roots]


def _added(terms: Sequence[str]) -> str:
    """Add terms in pairs: databases limit how deep an expression may be."""
    while len(terms) > 1:
        terms = [
            f"({terms[i]}\n + {terms[i + 1]})" if i + 1 < len(terms) else terms[i]
            for i in range(0, len(terms), 2)
        ]
    return terms[0]
