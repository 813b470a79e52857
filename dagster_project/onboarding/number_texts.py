"""Recognize numbers that a CSV writes as texts: with words for a gap, or with a decimal comma."""

from __future__ import annotations

from dataclasses import dataclass

from dagster_project.onboarding.vocabulary import GAPS
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier

# 1,234 may be a thousand and more; another number of digits shows that the comma is a decimal one.
DECIMALS = "',([0-9]{1,2}|[0-9]{4,})$'"
ZERO_IN_FRONT = "'^-?0[0-9]'"  # as postal codes have; a number would lose it


@dataclass(frozen=True)
class NumberTexts:
    """How texts become numbers.

    Attributes:
        number: SQL of the number; null for a gap.
        gap_words: the texts that mean a gap.
        decimal_comma: true if a comma separates the decimals.
    """

    number: str
    gap_words: tuple[str, ...]
    decimal_comma: bool


def read_number_texts(db: Warehouse, table: Identifier, name: str) -> NumberTexts | None:
    """Return how a column's texts become numbers; None if some are neither numbers nor a gap's word."""
    column = Identifier.of(name)
    point, comma = (f"try_cast({text} as double)" for text in (column, f"replace({column}, ',', '.')"))
    numbers, with_commas, zeros, points, decimals = db.one(
        f"select count({point}), count({comma}), "
        f"count(*) filter (regexp_matches({column}, {ZERO_IN_FRONT})), "
        f"count(*) filter (contains({column}, '.')), "
        f"count(*) filter (regexp_matches({column}, {DECIMALS})) from {table}"
    )
    decimal_comma = bool(decimals) and not points
    number = comma if decimal_comma else point
    if zeros or not (with_commas if decimal_comma else numbers):
        return None
    rows = db.rows(
        f"select distinct {column} from {table} where {column} is not null and {number} is null "
        "order by 1 limit $limit",
        {"limit": len(GAPS) + 1},
    )
    words = tuple(str(word) for (word,) in rows)
    if any(word.strip().lower() not in GAPS for word in words):
        return None
    return NumberTexts(number, words, decimal_comma) if words or decimal_comma else None
