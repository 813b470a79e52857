"""The role of each user in one list; sizes, cut and ranks follow from the roles.

A role is one of: ranked (the score decides), explore (treated or not by chance), holdout (in the holdout
group of the list: never treated), suppressed (never treated), no_value (not worth the cost).
``LocalRoles`` stores roles in a table; a cluster stores
them in parts (``compute/cluster/lists.py``). Both use the same SQL files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

from dagster_project.decisions.ledger import write_rows
from dagster_project.decisions.records import ListKey
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.clusters import cluster_column
from dagster_project.scores.predictions import SCORES
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.errors import DataError
from uplift_core.experiment.decision_rules import cap_binds
from uplift_core.targeting.budget import Quota

EXCLUDED = Identifier.of("excluded")
ROLES = Identifier.of("roles")
PLACES = Identifier.of("places")
LAST_TIE = 2**32 - 1  # the largest value of a tie

NOBODY = Quota(0, 0)

Binds = Mapping[str, object]


@dataclass(frozen=True)
class ListRequest:
    """Which list to assign roles for.

    Attributes:
        key: the list's key.
        arm: the arm to treat with.
        learner: the learner that scores and so ranks the users.
        money: true if the budget is an amount of money.
        scores: a table of scores instead of the experiment's, for a list over several arms: its ``arm``
            is no declared one, and users are worth treating whose score is above 0.
    """

    key: ListKey
    arm: str
    learner: str
    money: bool
    scores: Identifier | None = None

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
    score: Fault = Fault()
    cost: Fault = Fault()
    value: Fault = Fault()

    def __add__(self, other: Counts) -> Counts:
        """Combine the counts of two sets of users."""
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__annotations__))


@dataclass(frozen=True)
class Fit:
    """The users who fit into a list.

    Attributes:
        treated: their numbers.
        next_users: numbers of users of the first cluster that does not fit, among ranked clusters and
            among explorers; 0 if all places are filled.
    """

    treated: Quota
    next_users: Quota = NOBODY


class Roles(Protocol):
    """The roles of one night's users."""

    @property
    def counts(self) -> Counts:
        """Numbers of users by role."""
        ...

    def affordable(self, amount: float) -> int:
        """Count the users whom an amount of money treats, in the order of the list."""
        ...

    def reaching(self, score: float) -> int:
        """Count the ranked users with this score or a better one; valid if the score alone ranks."""
        ...

    def fit(self, places: Quota) -> Fit:
        """Return how many users a list of these places treats; fewer if it treats whole clusters."""
        ...

    def cut(self, treated: int) -> Binds:
        """Return the end of the list if ``treated`` ranked users are treated, see ``cut_binds``."""
        ...

    def write_list(self, binds: Binds) -> None:
        """Replace the list in the ledger, see ``sql/decisions/treat_list.sql``."""
        ...


AssignRoles = Callable[[Warehouse, BatchExperiment, ListRequest], Roles]


@dataclass(frozen=True)
class LocalRoles:
    """Roles in a temporary table of the warehouse."""

    db: Warehouse
    key: ListKey
    counts: Counts
    whole_clusters: bool = False

    def affordable(self, amount: float) -> int:
        """See ``Roles.affordable``."""
        self.db.create_temporary(PLACES, self._select, self._places)
        binds = {"amount": amount, "before": 0, "spent_before": 0}
        return int(self.db.one(render("decisions/affordable.sql", ordered_users=PLACES), binds)[0])

    def reaching(self, score: float) -> int:
        """See ``Roles.reaching``."""
        reached = f"select count(*) from {ROLES} where role = 'ranked' and priority >= $score"
        return int(self.db.one(reached, {"score": score})[0])

    def fit(self, places: Quota) -> Fit:
        """See ``Roles.fit``."""
        if not self.whole_clusters:
            return Fit(places)
        self.db.create_temporary(PLACES, self._select, self._places)
        rows = self.db.rows(
            render("decisions/whole_clusters.sql", ordered_users=PLACES),
            {"ranked_places": places.ranked, "explorer_places": places.explorers},
        )
        users = {role: int(count) for role, count, _ in rows}
        following = {role: int(count or 0) for role, _, count in rows}
        treated = Quota(users.get("ranked", 0), users.get("explore", 0))
        return Fit(
            treated,
            Quota(
                following["ranked"] if treated.ranked < places.ranked else 0,
                following["explore"] if treated.explorers < places.explorers else 0,
            ),
        )

    def cut(self, treated: int) -> Binds:
        """See ``Roles.cut``."""
        rows = self.db.rows(render("decisions/cut.sql", roles=ROLES), {"treated": treated})
        return cut_binds(*rows[0]) if rows else cut_binds()

    def write_list(self, binds: Binds) -> None:
        """See ``Roles.write_list``."""
        if self.whole_clusters:  # ``fit`` ordered the users
            write_rows(self.db, self.key, list_select(Identifier(f"from {PLACES}")), binds)
        else:
            sql = list_select(Identifier(self._select))
            write_rows(self.db, self.key, sql, {**binds, **self._places})

    @property
    def _select(self) -> str:
        return places_select(whole_clusters=self.whole_clusters)

    @property
    def _places(self) -> Binds:
        return places_binds(self.counts)


def assign_roles(db: Warehouse, experiment: BatchExperiment, request: ListRequest) -> LocalRoles:
    """Give every user a role.

    Raises:
        DataError: scores that are not finite, costs or values that are invalid.
    """
    score = count_scores(db, experiment, request)
    refuse_faults(experiment, request, score)
    write_excluded(db, experiment, request.key)
    write_roles(db, experiment, request)
    counts = score + count_roles(db, request)
    refuse_faults(experiment, request, counts)
    return LocalRoles(db, request.key, counts, treats_whole_clusters(experiment))


def treats_whole_clusters(experiment: BatchExperiment) -> bool:
    """Return whether a list treats whole clusters."""
    return experiment.declaration.decision_unit == "cluster"


def write_excluded(db: Warehouse, experiment: BatchExperiment, key: ListKey) -> None:
    """Create the temporary table of users who must not be treated, see ``sql/rules``."""
    cap = experiment.declaration.decisions.contact_cap
    binds = asdict(key) | (cap_binds(cap.treatments, cap.days) if cap else cap_binds())
    arguments = "$experiment, $campaign, $decision_date::date, $cap::integer, $cap_days::integer"
    db.create_temporary(EXCLUDED, f"from decisions.excluded_users({arguments})", binds)


def write_roles(db: Warehouse, experiment: BatchExperiment, request: ListRequest) -> None:
    """Create the temporary table of roles from the excluded users, see ``sql/decisions/roles.sql``."""
    rules, declaration = experiment.declaration.decisions, experiment.declaration
    declared_columns = {
        name: Identifier.of(column) if column else None
        for name, column in (("cost_column", rules.cost_column), ("value_column", rules.value_column))
    }
    sql = render(
        "decisions/roles.sql",
        scores=request.scores or experiment.target_users.scores,
        raw=experiment.target_users.raw,
        score=request.column,
        excluded=EXCLUDED,
        cluster=cluster_column(experiment),
        whole_clusters=treats_whole_clusters(experiment),
        all_worth=rules.fill and not request.money,
        **declared_columns,
    )
    binds: dict[str, object] = {
        "arm": request.arm,
        "salt": declaration.list_salt(request.key.campaign),
        "money": request.money,
        "fill": rules.fill,
        "holdout": rules.holdout,
        "explore": rules.explore,
    }
    if request.scores:
        binds |= {"cost": 0.0, "value": None}
    elif not rules.cost_column:
        binds["cost"] = declaration.arm(request.arm).cost
    if not rules.value_column and not request.scores:
        binds["value"] = declaration.outcome(declaration.defaults.outcome).value
    db.create_temporary(ROLES, sql, binds)


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


def count_roles(db: Warehouse, request: ListRequest) -> Counts:
    """Count the users of each role, and the users whose cost or value is invalid."""
    ranked, explorers = db.one(
        f"select count(*) filter (role = 'ranked'), count(*) filter (role = 'explore') from {ROLES}"
    )
    wrong = {}
    for name in ("cost", "value"):
        where = f"{name} is null or not isfinite({name}) or {name} < 0"
        if request.money:
            where += f" or {name} = 0"
        wrong[name] = Fault(*db.one(f"select count(*), min(user_id) from {ROLES} where {where}"))
    return Counts(0, ranked, explorers, **wrong)


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


def places_select(*, whole_clusters: bool = False) -> str:
    """Return the SQL that orders ranked users and explorers, see ``sql/decisions/places.sql``."""
    return render("decisions/places.sql", roles=ROLES, whole_clusters=whole_clusters)


def places_binds(counts: Counts, ranked_before: int = 0, explorers_before: int = 0) -> Binds:
    """Return the binds of ``places_select``, for all roles or for roles from some place on."""
    return {
        "ranked": counts.ranked,
        "explorers": counts.explorers,
        "ranked_before": ranked_before,
        "explorers_before": explorers_before,
    }


def list_select(ordered_users: Identifier) -> str:
    """Return the SQL of the ledger's rows, see ``sql/decisions/treat_list.sql``.

    ``ordered_users`` is a table or a query: users with the ranks of ``places_select``.
    """
    return render("decisions/treat_list.sql", roles=ROLES, ordered_users=ordered_users)


def cut_binds(priority: float = math.inf, tie: int = 0, share: float = 0.0) -> Binds:
    """Return the last treated ranked user, and the treated share of users with that priority.

    The default treats nobody.
    """
    return {"cut_priority": priority, "cut_tie": tie, "cut_share": share}


def threshold_binds(threshold: float) -> Binds:
    """Return the cut that treats all ranked users whose score reaches a threshold."""
    return cut_binds(threshold, LAST_TIE, 1.0)
