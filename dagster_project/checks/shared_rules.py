"""Rules that the expectations of several tables share: keys, finite numbers, bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from great_expectations import expectations as gxe

from dagster_project.checks.great_expectations_duckdb import Batch, Rule
from dagster_project.warehouse.sql import Identifier

CORRECT = "correct the file or the declaration"
LARGEST = 1.7976931348623157e308  # the largest finite double


def known_users() -> Rule:
    """Expect that no user_id is missing."""
    return Rule(
        "keys", gxe.ExpectColumnValuesToNotBeNull(column="user_id"), f"never be missing; {CORRECT}"
    )


def unique(name: str, source: str, key: Sequence[str], remedy: str) -> Batch:
    """Expect that no key has two rows; the batch holds only the keys that have.

    Great Expectations' built-in rules count in three windows over all rows, which takes several times
    as long.
    """
    listed = Identifier.listed(key)
    return Batch(
        f"{name} keys",
        query=f"select {listed}, count(*) as rows_of_key from {source} group by all having count(*) > 1",
        few=True,
        rules=[
            Rule(
                "keys",
                gxe.ExpectColumnValuesToBeBetween(column="rows_of_key", max_value=1),
                f"be 1, as ({', '.join(key)}) is unique; {remedy}",
            )
        ],
    )


def finite(
    column: str, *, low: float | None = None, high: float | None = None, check: str = "values"
) -> Iterator[Rule]:
    """Expect values that are not missing, not NaN, not infinite, and within the bounds."""
    must = f"be {room(low, high)}; {CORRECT}"
    yield Rule(check, gxe.ExpectColumnValuesToNotBeNull(column=column), must)
    yield Rule(check, between(column, low, high), must)


def between(
    column: str, low: float | None, high: float | None, severity: str = "critical"
) -> gxe.Expectation:
    """Expect values between two bounds; without a bound, any number but infinity and NaN."""
    return gxe.ExpectColumnValuesToBeBetween(
        column=column,
        min_value=-LARGEST if low is None else low,
        max_value=LARGEST if high is None else high,
        severity=severity,
    )


def room(low: float | None, high: float | None) -> str:
    """Say which numbers are between two bounds."""
    if low is None and high is None:
        return "a finite number"
    bounds = (f"{word} {bound:g}" for word, bound in (("from", low), ("to", high)) if bound is not None)
    return f"a number {' '.join(bounds)}"
