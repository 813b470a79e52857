"""Encode columns as features in SQL: numbers unchanged, categories and dates as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dagster_project.declared.feature_sql import RESERVED
from dagster_project.onboarding.profile import MAX_LEVELS, Column
from dagster_project.onboarding.vocabulary import ID, ROW_NUMBERS
from dagster_project.warehouse.sql import Identifier, literal
from uplift_core.experiment.naming import ONE_HOT, slug, split_name

SUMS = ("sum", "sum_sq", "events")


@dataclass(frozen=True)
class FeatureLine:
    """One line of features.sql; ``missing`` is the share of users without a value."""

    sql: str
    name: str
    comment: str
    missing: float = 0.0


def why_no_feature(column: Column) -> str:
    """Return the reason to leave a column out of the features; empty if it is a feature."""
    if column.distinct <= 1:
        return "holds one value only"
    if why := _why_no_feature_by_name(column):
        return why
    if column.type == "VARCHAR" and column.is_unique:
        return "differs for every user"
    if column.type == "VARCHAR" and column.distinct > MAX_LEVELS:
        return f"{column.distinct:,} different texts; group them in features.sql if they matter"
    if not (column.is_number or column.is_time or column.type in {"VARCHAR", "BOOLEAN"}):
        return f"{column.type} has no encoding; write one in features.sql if it matters"
    return ""


def _why_no_feature_by_name(column: Column) -> str:
    words = split_name(column.name)
    if column.distinct > MAX_LEVELS and words and words[-1] in ID:
        return "called like an id"
    return "called like the number of a row" if "_".join(words) in ROW_NUMBERS else ""


def encode(
    columns: Sequence[Column], outcomes: Iterable[str], *, clustered: bool = False
) -> list[FeatureLine]:
    """Return the lines of features.sql for ``columns``, with names that no table reserves."""
    taken = (
        set(RESERVED)
        | ({"cluster"} if clustered else set())
        | {"user_id"}
        | {f"{name}_{what}" for name in outcomes for what in SUMS}
    )
    lines = []
    for column in columns:
        missing = column.missing / column.rows
        for line in _lines(column):
            name, number = line.name, 2
            while name in taken:
                name, number = f"{line.name}_{number}", number + 1
            taken.add(name)
            lines.append(FeatureLine(line.sql, name, " ".join(line.comment.split()), missing))
    return lines


def _lines(column: Column) -> Iterator[FeatureLine]:
    sql, name = Identifier.of(column.name).sql, slug(column.name)
    if column.is_number or column.type == "BOOLEAN":
        yield FeatureLine(f"{sql}::float", name, f"{column.name}, as it is")
    elif column.is_time:
        yield FeatureLine(
            f"(epoch({sql}) / 86400)::float", name + "_days", f"{column.name}: days since 1970"
        )
        for part, what, period in (("month", "month", 12), ("dayofweek", "weekday", 7)):
            for wave in ("sin", "cos"):
                angle = f"{wave}({part}({sql}) * 2 * pi() / {period})::float"
                comment = f"{column.name}: {what} on a circle"
                yield FeatureLine(angle, f"{name}_{what}_{wave}", comment)
    elif column.distinct <= ONE_HOT:
        values = column.values[:1] if column.distinct == 2 else column.values  # noqa: PLR2004 - two
        for value in values:
            comment = f"1: {column.name} is {value}"
            yield FeatureLine(
                f"({sql} = {literal(value)})::float", f"{name}_{slug(value, 'is')}", comment
            )
    else:
        levels = ", ".join(literal(value) for value in column.values)
        comment = f"place of {column.name} among its values, the most frequent first"
        yield FeatureLine(f"list_position([{levels}], {sql})::float", name, comment)
