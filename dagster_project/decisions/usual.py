"""Users who are treated as usual: by the old rule instead of the score, so that the gain is measured."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dagster_project.decisions.records import ListKey
from dagster_project.decisions.role_counts import Counts
from dagster_project.warehouse.sql import Identifier
from uplift_core.errors import DataError
from uplift_core.experiment.decision_rules import RESPONSE, Decisions

LAST_TIE = 2**32 - 1  # the largest value of a tie


def usual_names(rules: Decisions | None) -> dict[str, Identifier | bool | None]:
    """Return what SQL files know of the old rule, and whether users near the cut explore."""
    usual = rules if rules and rules.usual else Decisions()
    column = Identifier.of(usual.usual_column) if usual.usual_column else None
    by_response = usual.usual_rule == RESPONSE
    choice = f"raw.{column}" if column else "scores.response" if by_response else "null"
    return {
        "near": bool(rules and rules.explore_near),
        "usual": bool(usual.usual),
        "usual_column": column,
        "usual_response": by_response,
        "usual_value": Identifier(choice),
    }


def usual_binds(rules: Decisions, treated: int, **cut: object) -> Mapping[str, object]:
    """Return what the SQL of a list takes about users who are treated as usual; nothing without them.

    Args:
        rules: the rules of the list.
        treated: how many of these users are treated.
        cut: which of them: values of ``cut_by_choice``, or ``usual_share``, where chance decides.
    """
    return {"usual": rules.usual, "usual_places": treated, **cut} if rules.usual else {}


def cut_by_choice(choice: float = math.inf, tie: int = 0, share: float = 0.0) -> Mapping[str, object]:
    """Return the last user whom the old rule treats, and the treated share of users with that choice.

    The default treats nobody.
    """
    return {"usual_cut": choice, "usual_cut_tie": tie, "usual_cut_share": share}


def cut_by_column(key: ListKey, rules: Decisions, counts: Counts, treated: int) -> Mapping[str, object]:
    """Return the cut at the old system's choices: it treats all whom the system chooses.

    Raises:
        DataError: the list is too small for them.
    """
    if treated < counts.usual:
        raise DataError(
            f"{key.experiment}: of the users who are treated as usual, column '{rules.usual_column}' "
            f"chooses {counts.usual}, but the list treats {treated} users; raise the budget, or lower "
            "[decisions] usual"
        )
    return cut_by_choice(1.0, LAST_TIE, 1.0)
