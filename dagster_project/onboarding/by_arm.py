"""Compare the arms of a file: gaps of outcomes, outcomes of one arm only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from dagster_project.onboarding.guesses import Guess, OutcomeGuess
from dagster_project.onboarding.profile import FILE, Column
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, literal
from uplift_core.diagnostics.sample_ratio import SIGNIFICANCE
from uplift_core.errors import ExperimentError


@dataclass(frozen=True)
class ArmCounts:
    """Users of one arm, those without a value of the outcome, and those for whom it happened."""

    arm: str
    users: int
    missing: int
    happened: int


def count_by_arm(db: Warehouse, arm: Column, outcome: OutcomeGuess) -> list[ArmCounts]:
    """Count an outcome in each arm; an outcome of numbers happened if it is not 0."""
    column = Identifier.of(outcome.column.name)
    happened = f"{column} = {literal(outcome.yes)}" if outcome.yes else f"{column}::double <> 0"
    rows = db.rows(
        f"select {Identifier.of(arm.name)}::varchar, count(*), count(*) - count({column}), "
        f"count(*) filter ({happened}) from {FILE} group by 1 order by 1"
    )
    return [ArmCounts(*row) for row in rows]


def refuse_gaps(db: Warehouse, guesses: Guess) -> None:
    """Refuse outcomes without a value, and say whether the gaps differ between the arms.

    Raises:
        ExperimentError: names the outcome, its gaps in each arm and the test of their difference.
    """
    for outcome in guesses.outcomes:
        if not outcome.column.missing or outcome.gap_is_no:
            continue
        name = outcome.column.name
        counts = count_by_arm(db, guesses.arm, outcome)
        shares = ", ".join(f"{c.arm} {c.missing / c.users:.1%}" for c in counts)
        p = _difference([(c.missing, c.users - c.missing) for c in counts])
        if outcome.kind != "binary" and (outcome.column.low or 0) > 0:
            raise ExperimentError(
                f"outcome '{name}' has no value in {outcome.column.missing:,} rows ({shares}) and is "
                "above 0 in all others, so no value seems to mean that nothing happened; pass "
                "--missing-is-zero if that is so"
            )
        if p < SIGNIFICANCE:
            raise ExperimentError(
                f"outcome '{name}' has no value in {outcome.column.missing:,} rows, and the gaps differ "
                f"by arm ({shares}; p = {p:.2g}): that is attrition. The users who are left do not "
                "compare, so dropping the others biases the effect. Pass --missing-is-zero only if no "
                "value means that nothing happened; otherwise find the missing values"
            )
        raise ExperimentError(
            f"outcome '{name}' has no value in {outcome.column.missing:,} rows ({shares}; p = {p:.2g} "
            "for a difference between the arms); pass --missing-is-zero if that means that nothing "
            "happened, otherwise drop those users"
        )


def _difference(table: Sequence[tuple[int, int]]) -> float:
    """Return the p-value of Pearson's chi-square test that all rows have the same shares."""
    observed = np.asarray(table, dtype=np.float64)
    expected = observed.sum(axis=1, keepdims=True) * observed.sum(axis=0) / observed.sum()
    return float(chdtrc(len(table) - 1, ((observed - expected) ** 2 / expected).sum()))


def outcomes_of_one_arm(db: Warehouse, guesses: Guess) -> dict[str, str]:
    """Map outcomes that happened in one arm only to that arm: they say nothing about an effect."""
    result = {}
    for outcome in guesses.outcomes:
        counts = count_by_arm(db, guesses.arm, outcome)
        arms = [c.arm for c in counts if c.happened]
        if len(arms) == 1:
            result[outcome.column.name] = arms[0]
    return result


def why_no_feature(db: Warehouse, column: Column) -> str:
    """Return the reason why a column of whole numbers is an id or counts rows; empty if it does not."""
    if not (column.is_number and column.whole and column.is_unique):
        return ""
    (differences,) = db.one(
        f"select count(distinct {Identifier.of(column.name)}::hugeint - _row) from {FILE}"
    )
    return "numbers the rows" if differences == 1 else ""
