"""Whom the treatment reached: the assignment to an arm is one thing, an opened e-mail another."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from uplift_core.experiment.decision_rules import Decisions


def exposure_faults(
    exposure: str,
    decisions: Decisions,
    taken: Collection[str],
    outcomes: Collection[str],
    treatments: Collection[str],
) -> Iterator[str]:
    """Find what is wrong with a declared exposure: each fault names the key and the remedy.

    Args:
        exposure: the raw column; empty if none is declared.
        decisions: the rules of lists.
        taken: raw columns that mean something else: id, arm, outcomes, cluster, chances.
        outcomes: names of the outcomes.
        treatments: names of the arms other than the control.
    """
    if exposure in set(taken) - {""}:
        yield (
            f"exposure = '{exposure}' is declared as something else already; name the column that is 1 "
            "for users whom the treatment reached, or remove it"
        )
    if exposure and "exposure" in outcomes:
        yield "an outcome called 'exposure' is reserved beside exposure; rename the outcome"
    if decisions.cost_per == "exposed" and not exposure:
        yield (
            "decisions.cost_per = 'exposed' needs exposure = '<column>', the column that is 1 for users "
            "whom the treatment reached; declare it, or remove cost_per"
        )
    if decisions.cost_per == "exposed" and len(treatments) > 1:
        yield (
            f"decisions.cost_per = 'exposed' works for one treatment, and this experiment has "
            f"{list(treatments)}; declare each arm's expected cost as its cost, and remove cost_per"
        )
    if decisions.cost_per == "exposed" and decisions.cost_column:
        yield (
            f"decisions.cost_per = 'exposed' prices the arms' cost, and decisions.cost_column = "
            f"'{decisions.cost_column}' replaces it; remove one, or let the column hold expected costs"
        )
