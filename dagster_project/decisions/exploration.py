"""Exploration: who is near the cut, and what it costs that chance decides about some users."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from dagster_project.decisions.facts import ListFacts
from dagster_project.decisions.records import TREAT_LIST
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import render
from uplift_core.errors import DataError
from uplift_core.evaluation.estimate import Estimate, estimate
from uplift_core.experiment.decision_rules import Decisions
from uplift_core.targeting.budget import Budget, Distribution, Lanes, Quota

NOWHERE = (math.inf, math.inf)


def near_band(scores: Distribution, rules: Decisions, budget: Budget, users: int) -> tuple[float, float]:
    """Return the scores between which users are near the cut: the lower one belongs to the band.

    The cut is where a list of this budget ends among the users who are not held out.

    Raises:
        DataError: the budget is in money, which says no share before users are ranked.
    """
    if not rules.explore_near:
        return NOWHERE
    size = budget.size(users)
    if size is None:
        raise DataError(
            "[decisions] explore_near needs a budget that is a share or a number of users, as money "
            "says where a list ends only after users are ranked; ask for one, or remove explore_near"
        )
    share = min(size / max(users, 1) / (1 - rules.holdout), 1.0)
    low, high = min(share + rules.explore_band, 1.0), max(share - rules.explore_band, 0.0)
    return scores.threshold(low), scores.threshold(high)


def near_binds(rules: Decisions, lanes: Lanes, treated: Quota) -> Mapping[str, object]:
    """Return what the SQL of a list takes about users near the cut; nothing without them."""
    if not rules.explore_near:
        return {}
    share = treated.near / lanes.near if lanes.near else 0.0
    return {"near": rules.explore_near, "near_places": treated.near, "near_share": share}


def exploration_loss(
    db: Warehouse, facts: ListFacts, band: tuple[float, float], lanes: Lanes, treated: Quota
) -> Estimate | None:
    """Estimate what a list loses of the default outcome because chance decides about some users.

    It is the difference to the same list if the score decided about them, over all users of the list, by
    the doubly robust scores of held-out users; what is learned from exploration is not in it. None for a
    separate population, as ``promise``.
    """
    groups, rules = facts.held_out_groups, facts.experiment.declaration.decisions
    if groups is None:
        return None
    binds = asdict(facts.key) | {
        "explore": rules.explore,
        "explore_share": treated.explorers / lanes.explorers if lanes.explorers else 0.0,
        "near": rules.explore_near,
        "near_share": treated.near / lanes.near if lanes.near else 0.0,
        "band_low": band[0],
        "band_high": band[1],
    }
    rows = db.arrow(render("decisions/exploration.sql", treat_list=TREAT_LIST), binds)
    scores, shares = (rows.column(name).to_numpy() for name in ("score", "share"))
    place = np.minimum(np.searchsorted(scores, groups.score.astype(np.float32)), len(scores) - 1)
    weight = np.where(scores[place] == groups.score, shares[place], 0.0)
    per_user = float(np.sum(weight * groups.phi)) / groups.n_users
    loss = estimate(groups, per_user, {"phi": weight, "one": np.full(len(weight), -per_user)})
    (users,) = db.one(
        f"select count(*) from {TREAT_LIST} where decision_date = $decision_date::date "
        "and experiment = $experiment and campaign = $campaign",
        asdict(facts.key),
    )
    return Estimate(users * loss.value, users * loss.std_error)
