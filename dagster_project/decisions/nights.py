"""The nightly report of one list, and the gates that may refuse the list."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa

from dagster_project.decisions.evidence import ListEvidence
from dagster_project.decisions.gates import GateError, judge_night, write_answers
from dagster_project.decisions.records import (
    NIGHTS,
    REALISED,
    THIS_LIST,
    TREAT_LIST,
    ListKey,
    Night,
)
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.score_groups import read_holdout
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import render
from uplift_core.errors import DataError
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.realised import promised_uplift
from uplift_core.targeting.budget import Budget


def write_night(  # noqa: PLR0913 - the list, its budget and its expected rate
    db: Warehouse,
    experiment: BatchExperiment,
    key: ListKey,
    *,
    budget: Budget,
    expected_rate: float,
    evidence: ListEvidence,
    override: str,
) -> Night:
    """Report on the list that was just written, and judge it.

    Args:
        db: the warehouse, with the list.
        experiment: the experiment.
        key: which list.
        budget: the requested budget.
        expected_rate: held-out share of users at or above the threshold.
        evidence: what is known about the scores that rank the list.
        override: the reason to keep the list even if a gate fails; recorded if one does.

    Raises:
        GateError: a gate failed and there is no override.
    """
    (totals,) = db.arrow(render("decisions/night.sql", treat_list=TREAT_LIST), asdict(key)).to_pylist()
    share, above, ranked = (totals.pop(name) for name in ("budget", "above_threshold", "ranked"))
    promised = promise(db, experiment, key, totals["arm"], totals["learner"])
    night = Night(
        **asdict(key),
        **totals,
        **_changes(db, key),
        budget_kind=budget.kind,
        budget_asked=budget.amount,
        budget_used=_budget_used(budget, totals),
        realised_rate=totals["treated"] / totals["users"],
        expected_rate=expected_rate,
        threshold_rate=above / totals["users"],
        promised=promised.value if promised else None,
        promised_std_error=promised.std_error if promised else None,
        override=None,
    )
    if experiment.declaration.decisions.cut == "threshold":
        # Apply the held-out share to the ranked users only: the score decides about no others.
        share = (ranked * expected_rate + night.explored) / night.users
    if not experiment.declaration.decisions.fill:
        # The list holds no more users than are worth treating.
        share = min(share, night.eligible / night.users)
    gates = tuple(judge_night(db, experiment, night, share, evidence))
    failed = [gate.message for gate in gates if not gate.passed]
    if failed and not override:
        raise GateError(
            f"{key.experiment}/{key.campaign} of {key.decision_date} is not written: "
            f"{'; '.join(failed)}. If that is right, run again with `override` and "
            "the reason; it is recorded.",
            key,
            gates,
        )
    if failed:
        night = replace(night, override=override)
    db.replace_rows(NIGHTS, asdict(key), pa.Table.from_pylist([asdict(night)]))
    write_answers(db, key, gates)
    db.rows(f"delete from {REALISED} where {THIS_LIST}", asdict(key))  # measured the replaced list
    return night


def promise(
    db: Warehouse, experiment: BatchExperiment, night: ListKey, arm: str, learner: str
) -> Estimate | None:
    """Estimate the uplift per user who is treated for their score; None if there is no such user.

    It is None for a separate population, too: a gain of held-out users does not hold for other users.
    """
    if experiment.declaration.population:
        return None
    groups, _ = read_holdout(db, experiment, arm, experiment.declaration.defaults.outcome).by(learner)
    treated = db.arrow(render("decisions/treated_shares.sql", treat_list=TREAT_LIST), asdict(night))
    scores, shares = (treated.column(name).to_numpy() for name in ("score", "share"))
    place = np.searchsorted(scores, groups.score.astype(np.float32))
    place[place == len(scores)] = 0
    return promised_uplift(groups, np.where(scores[place] == groups.score, shares[place], 0.0))


def _changes(db: Warehouse, key: ListKey) -> dict[str, Any]:
    (previous,) = db.one(
        f"select max(decision_date)::varchar from {NIGHTS} where experiment = $experiment "
        "and campaign = $campaign and decision_date < $decision_date::date",
        asdict(key),
    )
    changes = render("decisions/changes.sql", treat_list=TREAT_LIST)
    entered, exited = db.one(
        f"select count(*) filter (change = 'enter'), count(*) filter (change = 'exit') from ({changes})",
        asdict(key) | {"previous_date": previous},
    )
    return {"previous_date": previous, "entered": entered, "exited": exited}


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
