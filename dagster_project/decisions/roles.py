"""The role of each user in one list; sizes, cut and ranks follow from the roles.

A role is one of: ranked (the score decides), explore (treated or not by chance), holdout (in the holdout
group of the list: never treated), usual (treated or not by the old rule), suppressed (never treated),
no_value (not worth the cost).
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
from dagster_project.decisions.role_counts import (
    ROLES,
    Counts,
    ListRequest,
    count_roles,
    count_scores,
    refuse_faults,
)
from dagster_project.decisions.usual import (
    LAST_TIE,
    cut_by_choice,
    cut_by_column,
    usual_binds,
    usual_names,
)
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.clusters import cluster_column
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.experiment.decision_rules import RESPONSE, Decisions, cap_binds
from uplift_core.targeting.budget import Lanes, Quota

EXCLUDED = Identifier.of("excluded")
PLACES = Identifier.of("places")

NOBODY = Quota(0, 0)

NO_RULES = Decisions()

Binds = Mapping[str, object]


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

    def usual_cut(self, treated: int) -> Binds:
        """Return whom the old rule treats if that are ``treated`` users, see ``usual_binds``."""
        ...

    @property
    def lanes(self) -> Lanes:
        """The users who can be treated, by what decides about them."""
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
    rules: Decisions = NO_RULES

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
        return cut_binds(*self._last("ranked", "priority", treated))

    @property
    def lanes(self) -> Lanes:
        """See ``Roles.lanes``."""
        return lanes_of(self.counts, self.rules)

    def usual_cut(self, treated: int) -> Binds:
        """See ``Roles.usual_cut``."""
        if self.rules.usual_column:
            cut = cut_by_column(self.key, self.rules, self.counts, treated)
        elif self.rules.usual_rule == RESPONSE:
            cut = cut_by_choice(*self._last("usual", "usual_choice", treated))
        else:
            cut = {"usual_share": treated / self.counts.usual if self.counts.usual else 0.0}
        return usual_binds(self.rules, treated, **cut)

    def _last(self, lane: str, priority: str, treated: int) -> tuple[float, int, float] | tuple[()]:
        """Return the end of the treated users of a lane; empty if none is treated."""
        sql = render("decisions/cut.sql", roles=ROLES, priority=Identifier.of(priority))
        rows = self.db.rows(sql, {"treated": treated, "lane": lane})
        return rows[0] if rows else ()

    def write_list(self, binds: Binds) -> None:
        """See ``Roles.write_list``."""
        if self.whole_clusters:  # ``fit`` ordered the users
            write_rows(self.db, self.key, list_select(Identifier(f"from {PLACES}")), binds)
        else:
            sql = list_select(Identifier(self._select), self.rules)
            write_rows(self.db, self.key, sql, {**binds, **self._places})

    @property
    def _select(self) -> str:
        return places_select(self.rules, whole_clusters=self.whole_clusters)

    @property
    def _places(self) -> Binds:
        usual = {"usual_users": self.counts.usual} if self.rules.usual else {}
        near = {"near_treated": self.lanes.near_half, "before_near": self.lanes.before_other_half}
        return {**places_binds(self.counts), **usual, **(near if self.rules.explore_near else {})}


def assign_roles(db: Warehouse, experiment: BatchExperiment, request: ListRequest) -> LocalRoles:
    """Give every user a role.

    Raises:
        DataError: scores that are not finite, costs or values that are invalid.
    """
    score = count_scores(db, experiment, request)
    refuse_faults(experiment, request, score)
    write_excluded(db, experiment, request.key)
    write_roles(db, experiment, request)
    rules = experiment.declaration.decisions
    counts = score + count_roles(db, request, usual_given=bool(rules.usual_column))
    refuse_faults(experiment, request, counts)
    return LocalRoles(db, request.key, counts, treats_whole_clusters(experiment), rules)


def lanes_of(counts: Counts, rules: Decisions) -> Lanes:
    """Return the users who can be treated, by what decides about them."""
    given = bool(rules.usual_column)
    return Lanes(counts.ranked, counts.explorers, counts.usual, counts.near, given)


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
        **usual_names(rules),
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
    if rules.usual or rules.explore_near:
        binds["usual"] = rules.usual
    if rules.explore_near:
        binds |= {"near": rules.explore_near, "band_low": request.band[0], "band_high": request.band[1]}
    if request.scores:
        binds |= {"cost": 0.0, "value": None}
    elif not rules.cost_column:
        binds["cost"] = declaration.arm(request.arm).cost
    if not rules.value_column and not request.scores:
        binds["value"] = declaration.outcome(declaration.defaults.outcome).value
    db.create_temporary(ROLES, sql, binds)


def places_select(rules: Decisions | None = None, *, whole_clusters: bool = False) -> str:
    """Return the SQL that orders users who can be treated, see ``sql/decisions/places.sql``."""
    return render(
        "decisions/places.sql", roles=ROLES, whole_clusters=whole_clusters, **usual_names(rules)
    )


def places_binds(counts: Counts, ranked_before: int = 0, explorers_before: int = 0) -> Binds:
    """Return the binds of ``places_select``, for all roles or for roles from some place on."""
    return {
        "ranked": counts.ranked,
        "explorers": counts.explorers,
        "ranked_before": ranked_before,
        "explorers_before": explorers_before,
    }


def list_select(ordered_users: Identifier, rules: Decisions | None = None) -> str:
    """Return the SQL of the ledger's rows, see ``sql/decisions/treat_list.sql``.

    ``ordered_users`` is a table or a query: users with the ranks of ``places_select``.
    """
    return render(
        "decisions/treat_list.sql", roles=ROLES, ordered_users=ordered_users, **usual_names(rules)
    )


def cut_binds(priority: float = math.inf, tie: int = 0, share: float = 0.0) -> Binds:
    """Return the last treated ranked user, and the treated share of users with that priority.

    The default treats nobody.
    """
    return {"cut_priority": priority, "cut_tie": tie, "cut_share": share}


def threshold_binds(threshold: float) -> Binds:
    """Return the cut that treats all ranked users whose score reaches a threshold."""
    return cut_binds(threshold, LAST_TIE, 1.0)
