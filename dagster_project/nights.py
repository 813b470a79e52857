"""What a night's list promised and did, and the gates that it must pass before it leaves the house."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from dagster_project.declared.experiment import ExperimentFolder
from dagster_project.scores.score_groups import read_holdout
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.budget import Budget
from uplift_core.errors import DataError
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.realised import promised_uplift
from uplift_core.evaluation.sample_ratio import sample_ratio

TREAT_LIST = Identifier.of("decisions", "treat_list")
NIGHTS = Identifier.of("decisions", "nights")
GATES = Identifier.of("decisions", "gates")
REALISED = Identifier.of("decisions", "realised")
THIS_LIST = "decision_date = $decision_date::date and experiment = $experiment and campaign = $campaign"


@dataclass(frozen=True)
class ListKey:
    """Which list: a campaign's of one date.  ``decision_date`` is YYYY-MM-DD."""

    decision_date: str
    experiment: str
    campaign: str


@dataclass(frozen=True)
class Gate:
    """One gate's word; ``value`` is None where there is nothing to compare with."""

    gate: str
    value: float | None
    limit: float
    message: str
    passed: bool


class GateError(DataError):
    """A list is too odd to leave the house; ``answers`` are what its gates said."""

    def __init__(self, message: str, key: ListKey, answers: Sequence[Gate]) -> None:
        super().__init__(message)
        self.key, self.answers = key, answers


@dataclass(frozen=True)
class Night:
    """One row of ``decisions.nights``, where its columns are explained."""

    decision_date: str
    experiment: str
    campaign: str
    arm: str
    learner: str
    model_version: str
    feature_snapshot: str
    budget_kind: str
    budget_asked: float
    budget_used: float
    users: int
    eligible: int
    treated: int
    explored: int
    holdout: int
    suppressed: int
    spent: float
    realised_rate: float
    threshold: float
    expected_rate: float
    threshold_rate: float
    promised: float | None
    promised_std_error: float | None
    previous_date: str | None
    entered: int
    exited: int
    override: str | None


def write_night(  # noqa: PLR0913 - the list, what was asked and expected of it
    db: Warehouse,
    folder: ExperimentFolder,
    key: ListKey,
    *,
    budget: Budget,
    expected_rate: float,
    override: str,
) -> Night:
    """Report on the list that was just written, and judge it.

    Args:
        db: the warehouse, with the list.
        folder: the experiment.
        key: which list.
        budget: what was asked for.
        expected_rate: held-out share of users at or above the threshold.
        override: why the list is to stand even if a gate fails; recorded if one does.

    Raises:
        GateError: a gate failed and nobody overrides it.
    """
    (found,) = db.arrow(render("decisions/night.sql", treat_list=TREAT_LIST), asdict(key)).to_pylist()
    share, above, ranked = (found.pop(name) for name in ("budget", "above_threshold", "ranked"))
    promised = promise(db, folder, key, found["arm"], found["learner"])
    night = Night(
        **asdict(key),
        **found,
        **_changes(db, key),
        budget_kind=budget.kind,
        budget_asked=budget.amount,
        budget_used=_used(budget, found),
        realised_rate=found["treated"] / found["users"],
        expected_rate=expected_rate,
        threshold_rate=above / found["users"],
        promised=promised.value if promised else None,
        promised_std_error=promised.std_error if promised else None,
        override=None,
    )
    if folder.experiment.decisions.cut == "threshold":
        # What that share of held-out users comes to among those whom the score decides about.
        share = (ranked * expected_rate + night.explored) / night.users
    gates = tuple(_judge(db, folder, night, share))
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
    _write_answers(db, key, gates)
    db.rows(f"delete from {REALISED} where {THIS_LIST}", asdict(key))  # it measured another list
    return night


def record_refusal(db: Warehouse, refusal: GateError) -> None:
    """Keep the gates' answers about a list that was not written, unless one of the same date stands."""
    key = refusal.key
    (standing,) = db.one(f"select count(*) from {NIGHTS} where {THIS_LIST}", asdict(key))
    if not standing:
        _write_answers(db, key, refusal.answers)


def _write_answers(db: Warehouse, key: ListKey, answers: Sequence[Gate]) -> None:
    rows = [asdict(key) | asdict(gate) for gate in answers]
    db.replace_rows(GATES, asdict(key), pa.Table.from_pylist(rows))


def promise(
    db: Warehouse, folder: ExperimentFolder, night: ListKey, arm: str, learner: str
) -> Estimate | None:
    """What the list will do per user treated for their score; None where nobody is.

    None, too, for a population of its own: what held-out users gain is not promised to other users.
    """
    if folder.experiment.population:
        return None
    groups, _ = read_holdout(db, folder, arm, folder.experiment.defaults.outcome).by(learner)
    found = db.arrow(render("decisions/treated_shares.sql", treat_list=TREAT_LIST), asdict(night))
    scores, shares = (found.column(name).to_numpy() for name in ("score", "share"))
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


def _used(budget: Budget, counts: dict[str, float]) -> float:
    if budget.kind == "money":
        return counts["spent"]
    return counts["treated"] / (counts["users"] if budget.kind == "share" else 1)


def _judge(db: Warehouse, folder: ExperimentFolder, night: Night, share: float) -> Iterator[Gate]:
    limits = folder.experiment.decisions.gates
    counts = dict(db.rows(f"select arm, count(*) from {folder.tables.assignment} group by arm"))
    found = sample_ratio(counts, {arm.name: arm.share for arm in folder.experiment.arms})
    yield Gate(
        "sample_ratio",
        found.deviation,
        limits.sample_ratio,
        f"arm '{found.arm}' differs from its designed share of users by {found.deviation:.4f} "
        f"(p = {found.p_value:.2g}, at most {limits.sample_ratio} is accepted)",
        passed=not found.mismatch(limits.sample_ratio),
    )
    yield _change_gate(night, limits.list_change)
    off = abs(night.realised_rate - share) / share if share else 0.0
    by_size = folder.experiment.decisions.cut == "size"
    target = "the budget is" if by_size else "the threshold promises"
    yield Gate(
        "realised_rate",
        off,
        limits.realised_rate,
        f"{night.realised_rate:.4f} of users are treated where {target} {share:.4f} "
        f"(off by {off:.1%}, at most {limits.realised_rate:.1%} is accepted)",
        passed=off <= limits.realised_rate,
    )
    apart = abs(night.threshold_rate - night.expected_rate)
    yield Gate(
        "threshold_rate",
        apart,
        limits.threshold_rate,
        f"{night.threshold_rate:.4f} of users are at or above the held-out threshold, "
        f"{night.expected_rate:.4f} were expected (at most {limits.threshold_rate} apart is accepted)",
        passed=apart <= limits.threshold_rate,
    )


def _change_gate(night: Night, limit: float) -> Gate:
    if night.previous_date is None:
        return Gate("list_change", None, limit, "there is no earlier list to compare with", passed=True)
    both = night.treated + (night.treated - night.entered + night.exited)
    change = (night.entered + night.exited) / both if both else 0.0
    return Gate(
        "list_change",
        change,
        limit,
        f"the list differs from that of {night.previous_date} in {change:.1%} of its users: "
        f"{night.entered} entered, {night.exited} left (at most {limit:.1%} is accepted)",
        passed=change <= limit,
    )
