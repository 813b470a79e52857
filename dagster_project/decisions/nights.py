"""The nightly report of one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from dagster_project.decisions.facts import ListFacts
from dagster_project.decisions.gates import Gate, write_answers
from dagster_project.decisions.records import (
    NIGHTS,
    REALISED,
    REALISED_ARMS,
    THIS_LIST,
    TREAT_LIST,
    ListKey,
    Night,
)
from dagster_project.scores.predictions import SCORES
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.errors import DataError
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.realised import promised_uplift
from uplift_core.targeting.budget import Budget


def describe_night(db: Warehouse, facts: ListFacts, expected_rate: float) -> Night:
    """Report on the list that was just written; ``override`` is None.

    Args:
        db: the warehouse, with the list.
        facts: the facts that the list was made from.
        expected_rate: held-out share of users at or above the threshold.
    """
    key, budget = facts.key, facts.order.budget
    (totals,) = db.arrow(render("decisions/night.sql", treat_list=TREAT_LIST), asdict(key)).to_pylist()
    above = totals.pop("above_threshold")
    promised, reach = promise(db, facts), expected_reach(db, facts)
    entered, exited = _changes(db, facts)
    return Night(
        **asdict(key),
        **totals,
        previous_date=facts.previous_date,
        entered=entered,
        exited=exited,
        budget_kind=budget.kind,
        budget_asked=budget.amount,
        budget_used=_budget_used(budget, totals),
        realised_rate=totals["treated"] / totals["users"],
        expected_rate=expected_rate,
        threshold_rate=above / totals["users"],
        promised=promised.value if promised else None,
        promised_std_error=promised.std_error if promised else None,
        override=None,
        reach=reach.value if reach else None,
        reach_std_error=reach.std_error if reach else None,
    )


def promise(db: Warehouse, facts: ListFacts) -> Estimate | None:
    """Estimate the uplift per user who is treated for their score; None if there is no such user.

    It is None for a separate population, too: a gain of held-out users does not hold for other users.
    """
    groups = facts.held_out_groups
    if groups is None:
        return None
    sql = render("decisions/treated_shares.sql", treat_list=TREAT_LIST)
    treated = db.arrow(sql, asdict(facts.key))
    scores, shares = (treated.column(name).to_numpy() for name in ("score", "share"))
    place = np.searchsorted(scores, groups.score.astype(np.float32))
    place[place == len(scores)] = 0
    return promised_uplift(groups, np.where(scores[place] == groups.score, shares[place], 0.0))


def expected_reach(db: Warehouse, facts: ListFacts) -> Estimate | None:
    """Estimate the share of users treated for their score whom the treatment will reach.

    It is None where the experiment declares no exposure, or where ``promise`` is None.
    """
    declaration, tables = facts.experiment.declaration, facts.experiment.tables
    if not declaration.exposure or declaration.population:
        return None
    sql = render(
        "decisions/expected_reach.sql",
        treated_shares=Identifier(render("decisions/treated_shares.sql", treat_list=TREAT_LIST)),
        assignment=tables.assignment,
        scores=tables.scores,
        score=Identifier.of(SCORES[facts.learner]),
        clustered=bool(declaration.cluster),
        varies=declaration.propensity_varies,
        weighted=bool(declaration.weight),
    )
    rows = db.rows(sql, asdict(facts.key) | {"arm": facts.order.arm})
    return Estimate(*rows[0]) if rows else None


def write_night(db: Warehouse, key: ListKey, night: Night, gates: Sequence[Gate]) -> None:
    """Replace a list's row of ``decisions.nights`` and its gates; what measured an earlier list goes."""
    db.replace_rows(NIGHTS, asdict(key), pa.Table.from_pylist([asdict(night)]))
    write_answers(db, key, gates)
    for measured in (REALISED, REALISED_ARMS):
        db.rows(f"delete from {measured} where {THIS_LIST}", asdict(key))


def _changes(db: Warehouse, facts: ListFacts) -> tuple[int, int]:
    """Count the users who entered the list since the campaign's previous one, and those who left."""
    changes = render("decisions/changes.sql", treat_list=TREAT_LIST, arms=False)
    entered, exited = db.one(
        f"select count(*) filter (change = 'enter'), count(*) filter (change = 'exit') from ({changes})",
        asdict(facts.key) | {"previous_date": facts.previous_date},
    )
    return int(entered), int(exited)


def _budget_used(budget: Budget, counts: dict[str, float]) -> float:
    """Return the used part of the budget, in the budget's unit: money, share of users or users."""
    if budget.kind == "money":
        return counts["spent"]
    return counts["treated"] / (counts["users"] if budget.kind == "share" else 1)


def campaigns(db: Warehouse, experiment: str, date: str) -> list[ListKey]:
    """Return the keys of an experiment's lists of one date, one per campaign.

    Raises:
        DataError: there is none.
    """
    rows = db.rows(
        f"select campaign from {NIGHTS} where experiment = $experiment "
        "and decision_date = $date::date order by all",
        {"experiment": experiment, "date": date},
    )
    if not rows:
        raise DataError(f"{experiment}: there is no treat list of {date}; materialize treat_list first")
    return [ListKey(date, experiment, str(campaign)) for (campaign,) in rows]
