"""How many users of a list have each role, and which of their scores, costs and values are invalid."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dagster_project.decisions.records import ListKey
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.scores.predictions import SCORES
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.errors import DataError

ROLES = Identifier.of("roles")


@dataclass(frozen=True)
class ListRequest:
    """Which list to assign roles for.

    Attributes:
        key: the list's key.
        arm: the arm to treat with.
        learner: the learner that scores and so ranks the users.
        money: true if the budget is an amount of money.
        band: the scores between which users are near the cut; the lower one belongs to them.
        scores: a table of scores instead of the experiment's, for a list over several arms: its ``arm``
            is no declared one, and users are worth treating whose score is above 0.
    """

    key: ListKey
    arm: str
    learner: str
    money: bool
    scores: Identifier | None = None
    band: tuple[float, float] = (math.inf, math.inf)

    @property
    def column(self) -> Identifier:
        """The column of the scores."""
        return Identifier.of(f"cate_{self.learner}" if self.scores else SCORES[self.learner])


@dataclass(frozen=True)
class Fault:
    """Users whose value is invalid: their count and the smallest user_id."""

    users: int = 0
    first: int | None = None

    def __add__(self, other: Fault) -> Fault:
        """Combine two counts; keep the smaller first user_id."""
        firsts = [first for first in (self.first, other.first) if first is not None]
        return Fault(self.users + other.users, min(firsts, default=None))


@dataclass(frozen=True)
class Counts:
    """Numbers of users by role, and of users with invalid values."""

    users: int = 0
    ranked: int = 0
    explorers: int = 0
    usual: int = 0
    near: int = 0
    score: Fault = Fault()
    cost: Fault = Fault()
    value: Fault = Fault()
    usual_choice: Fault = Fault()

    def __add__(self, other: Counts) -> Counts:
        """Combine the counts of two sets of users."""
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__annotations__))


def count_users(db: Warehouse, experiment: BatchExperiment) -> int:
    """Count the users to decide about."""
    return int(db.one(f"select count(distinct user_id) from {experiment.target_users.scores}")[0])


def count_scores(db: Warehouse, experiment: BatchExperiment, request: ListRequest) -> Counts:
    """Count the scored users, and the users whose score is not finite."""
    column, scores = request.column, request.scores or experiment.target_users.scores
    users, odd, first = db.one(
        f"select count(*), count(*) filter (not odd.finite), min(user_id) filter (not odd.finite) from ("
        f"select user_id, coalesce(isfinite({column}), false) as finite "
        f"from {scores} where arm = $arm) as odd",
        {"arm": request.arm},
    )
    return Counts(users, score=Fault(odd, first))


def count_roles(db: Warehouse, request: ListRequest, *, usual_given: bool = False) -> Counts:
    """Count the users of each role who can be treated, and the users with an invalid value.

    ``usual_given`` is true if a column holds the old system's choices.
    """
    ranked, explorers, usual, near = db.one(
        "select count(*) filter (role = 'ranked'), count(*) filter (role = 'explore'), "
        f"count(*) filter (role = 'usual' and (usual_choice = 1 or not $given)), "
        f"count(*) filter (role = 'explore_near') from {ROLES}",
        {"given": usual_given},
    )
    wrong = {}
    if usual_given:
        where = "coalesce(usual_choice not in (0, 1), true)"
        wrong["usual_choice"] = Fault(
            *db.one(f"select count(*), min(user_id) from {ROLES} where {where}")
        )
    for name in ("cost", "value"):
        where = f"{name} is null or not isfinite({name}) or {name} < 0"
        if request.money:
            where += f" or {name} = 0"
        wrong[name] = Fault(*db.one(f"select count(*), min(user_id) from {ROLES} where {where}"))
    return Counts(0, ranked, explorers, usual, near, **wrong)


def refuse_faults(experiment: BatchExperiment, request: ListRequest, counts: Counts) -> None:
    """Refuse invalid scores, costs and values; only a budget in money needs every cost and value.

    Raises:
        DataError: names the column and the first user.
    """
    if counts.score.users:
        raise DataError(
            f"{experiment.name}: column '{SCORES[request.learner]}' of {counts.score.users} users, the "
            f"first of them user_id {counts.score.first}, is not finite; correct the features or the "
            "model and materialize scores again"
        )
    rules = experiment.declaration.decisions
    if counts.usual_choice.users:
        fault = counts.usual_choice
        raise DataError(
            f"{experiment.name}: column '{rules.usual_column}', the old system's choice, is missing or "
            f"not 0 or 1 at user_id {fault.first} and {fault.users - 1} more; correct the file, or "
            "[decisions] usual_rule"
        )
    faults = {"cost": (counts.cost, rules.cost_column), "value": (counts.value, rules.value_column)}
    for name, (fault, column) in faults.items():
        if fault.users and column:
            least = "above 0, which money needs" if request.money else "0 or more"
            raise DataError(
                f"{experiment.name}: column '{column}', the {name} of treating a user, is missing or "
                f"not {least} at user_id {fault.first} and {fault.users - 1} more; correct the file "
                "or the declaration"
            )
        if fault.users and request.money:
            raise DataError(
                f"{experiment.name}: a budget in money needs the arm's cost and the outcome's value, "
                "both above 0; declare them in experiment.toml"
            )
