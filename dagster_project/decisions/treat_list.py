"""The nightly treat list: the users to treat within a budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from dagster_project.decisions.arm_offers import BEST_SCORES, ArmOffers
from dagster_project.decisions.best_arm import (
    give_arms,
    order_of_best,
    promises_of_arms,
    read_best_facts,
)
from dagster_project.decisions.exploration import exploration_loss, near_band, near_binds
from dagster_project.decisions.facts import ListFacts, ListOrder, feature_snapshot, read_facts
from dagster_project.decisions.gates import Gate, judge_night, refuse_failures
from dagster_project.decisions.guardrails import judge_guardrails
from dagster_project.decisions.night_arms import ArmRows, describe_arms, quota_gate, write_arms
from dagster_project.decisions.nights import describe_night, write_night
from dagster_project.decisions.records import LIST_RULES, NIGHTS, THIS_LIST, TREAT_LIST, ListKey, Night
from dagster_project.decisions.role_counts import ListRequest, count_users
from dagster_project.decisions.roles import NOBODY, AssignRoles, Binds, Roles, threshold_binds
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from uplift_core.errors import DataError
from uplift_core.targeting.arm_choice import BEST
from uplift_core.targeting.budget import Budget, Quota


def write_treat_list(
    db: Warehouse, experiment: BatchExperiment, order: ListOrder, assign_roles: AssignRoles
) -> Night:
    """Replace one date's list of a campaign: read the facts, plan, write, judge, report.

    The list has exactly the budget's size. It is smaller only if the holdout, suppressions and, for
    money, effects that are not worth their cost leave fewer users. If the experiment declares
    ``cut = "threshold"``, the list treats all ranked users whose score reaches the budget's held-out
    threshold, however many they are. If the score is not shown to pay off, ``when_not_proven`` may let
    chance draw the users instead, or refuse the list.

    Args:
        db: the warehouse; the caller's transaction makes all of it visible, or nothing.
        experiment: the experiment.
        order: which list to make.
        assign_roles: gives every user a role, on this machine or on a cluster.

    Raises:
        ExperimentError: the experiment has no such treatment arm.
        DataError: the budget is invalid, scores are not finite, costs or values are missing, or a gate
            failed; then nothing is written.
    """
    if order.arm == BEST:
        order = order_of_best(db, experiment, order)
        if order.arm == BEST:
            return _write_best_list(db, experiment, order, assign_roles)
    elif order.quotas:
        raise DataError(
            f"{experiment.name}: quotas of {list(order.quotas)} are for a list with arm = '{BEST}'; "
            f"this one gives '{order.arm}' alone: ask for a number of users or for money instead"
        )
    facts = read_facts(db, experiment, order)
    rules = facts.experiment.declaration.decisions
    users = count_users(db, facts.experiment) if rules.explore_near else 0
    band = near_band(facts.held_out_scores, rules, order.budget, users)
    money = order.budget.kind == "money"
    request = ListRequest(facts.key, order.arm, facts.learner, money=money, band=band)
    plan = plan_list(db, facts.experiment, request, order.budget, assign_roles)
    threshold = facts.held_out_scores.threshold(plan.share)
    if facts.experiment.declaration.decisions.cut == "threshold":
        plan = plan.cut_at(threshold)
    labels = {
        "arm": order.arm,
        "learner": facts.learner,
        "threshold": threshold,
        "model_version": facts.model_version,
        "feature_snapshot": facts.feature_snapshot,
    }
    write_list(db, facts.experiment, facts.key, plan, labels)
    night = describe_night(db, facts, expected_rate=facts.held_out_scores.share_from(threshold))
    loss = exploration_loss(db, facts, band, plan.roles.lanes, plan.treated)
    if loss:
        night = replace(night, exploration_loss=loss.value, exploration_loss_std_error=loss.std_error)
    return _finish(db, facts, plan, night)


def _write_best_list(
    db: Warehouse, experiment: BatchExperiment, order: ListOrder, assign_roles: AssignRoles
) -> Night:
    """Replace one date's list that chooses each user's arm, see ``best_arm``."""
    offers = ArmOffers.write(db, experiment)
    facts = read_best_facts(db, experiment, order)
    request = ListRequest(facts.key, BEST, BEST, money=False, scores=BEST_SCORES)
    roles = assign_roles(db, facts.experiment, request)
    explore = facts.experiment.declaration.decisions.explore
    cut = offers.cut(db, order.budget.amount, roles.counts, order.quotas, explore)
    plan = plan_roles(roles, cut.size)
    threshold = facts.held_out_scores.threshold(plan.share)
    labels = {
        "arm": BEST,
        "learner": BEST,
        "threshold": threshold,
        "model_version": facts.model_version,
        "feature_snapshot": facts.feature_snapshot,
    }
    write_list(db, facts.experiment, facts.key, plan, labels)
    give_arms(db, facts, offers)
    night = describe_night(db, facts, expected_rate=facts.held_out_scores.share_from(threshold))
    promised, by_arm = promises_of_arms(db, facts.experiment, cut, threshold)
    arms = describe_arms(db, facts, by_arm)
    night = replace(
        night,
        arm=BEST,
        promised=promised.value if promised else None,
        promised_std_error=promised.std_error if promised else None,
        changed_arm=sum(row["changed"] for row in arms),
    )
    places = dict(zip(offers.arms, offers.places(order.quotas).tolist(), strict=True))
    quotas = (quota_gate(facts, arms, places),) if order.quotas else ()
    return _finish(db, facts, plan, night, arms=arms, gates=quotas)


def _finish(  # noqa: PLR0913 - the list, and what is known of its arms
    db: Warehouse,
    facts: ListFacts,
    plan: ListPlan,
    night: Night,
    *,
    arms: ArmRows = (),
    gates: tuple[Gate, ...] = (),
) -> Night:
    """Judge a list that was written, and report it; ``gates`` are checks beside those of every list."""
    allowed = plan.allowed_share(facts.experiment, night)
    gates = (*judge_night(facts, night, allowed, plan.free_places), *judge_guardrails(db, facts), *gates)
    night = refuse_failures(facts, night, gates)
    write_rules(db, facts.experiment, facts.key, plan.share)
    write_night(db, facts.key, night, gates)
    write_arms(db, facts.key, arms)
    return night


@dataclass(frozen=True)
class ListPlan:
    """The plan of one list: it follows from a budget and the night's roles.

    Attributes:
        roles: the roles of all users.
        size: the size of the list; a large budget may exceed the ranked users and explorers.
        share: the size as a share of all users; the threshold is looked up for this budget.
        treated: the numbers of ranked users and of explorers to treat.
        places: the numbers of places; whole clusters may not fill all of them.
        next_users: see ``Fit.next_users``.
        threshold: the lowest score of treated ranked users; None if the size cuts the list.
    """

    roles: Roles
    size: int
    share: float
    treated: Quota
    places: Quota = NOBODY
    next_users: Quota = NOBODY
    threshold: float | None = None

    def cut_at(self, threshold: float) -> ListPlan:
        """Return this plan, cut at a score; the number of treated explorers stays."""
        treated = replace(self.treated, ranked=self.roles.reaching(threshold))
        return replace(self, treated=treated, threshold=threshold)

    @property
    def free_places(self) -> str:
        """Tell the places that no whole cluster fills; empty if there are none."""
        lanes = (
            ("ranked users", self.places.ranked - self.treated.ranked, self.next_users.ranked),
            ("explorers", self.places.explorers - self.treated.explorers, self.next_users.explorers),
        )
        told = [
            f"{free} of the places of {who}, as the next cluster has {users} users"
            for who, free, users in lanes
            if users
        ]
        return f"whole clusters leave free {' and '.join(told)}" if told else ""

    def allowed_share(self, experiment: BatchExperiment, night: Night) -> float:
        """Return the share of users that the written list may treat."""
        share = self.share
        if self.threshold is not None:
            # Apply the held-out share to the ranked users only: the score decides about no others.
            by_others = night.explored + (night.usual or 0) + (night.explored_near or 0)
            share = (self.roles.counts.ranked * night.expected_rate + by_others) / night.users
        if not experiment.declaration.decisions.fill:
            # The list holds no more users than are worth treating.
            share = min(share, night.eligible / night.users)
        # Whole clusters may leave places free; if none fits, the list has failed its budget.
        free = self.places.size - self.treated.size if self.next_users != NOBODY else 0
        return share - free / night.users if self.treated.size else share

    def cut(self) -> Binds:
        """Return the end of the list among the ranked users."""
        if self.threshold is None:
            return self.roles.cut(self.treated.ranked)
        return threshold_binds(self.threshold)


def plan_list(
    db: Warehouse,
    experiment: BatchExperiment,
    request: ListRequest,
    budget: Budget,
    assign_roles: AssignRoles,
) -> ListPlan:
    """Give every user a role, and divide the budget among the users.

    Raises:
        DataError: as ``write_treat_list``.
    """
    if experiment.declaration.decisions.cut == "threshold" and budget.kind != "share":
        raise DataError(
            f"{experiment.name}: a budget of {budget.amount:g} in {budget.kind}: cut = 'threshold' "
            "takes a share of users, as no threshold keeps to a number or a sum; ask for a share "
            "(budget), or declare cut = 'size'"
        )
    roles = assign_roles(db, experiment, request)
    counts = roles.counts
    size = budget.size(counts.users)
    if size is None:
        size = roles.affordable(budget.amount)
    return plan_roles(roles, size, budget.share)


def plan_roles(roles: Roles, size: int, share: float | None = None) -> ListPlan:
    """Divide a list's places; ``share`` is its share of all users, if the budget gives it."""
    counts = roles.counts
    share = size / counts.users if share is None else share
    places = roles.lanes.quota(size)
    fit = roles.fit(places)
    return ListPlan(roles, size, share, fit.treated, places, fit.next_users)


def write_list(
    db: Warehouse,
    experiment: BatchExperiment,
    key: ListKey,
    plan: ListPlan,
    labels: Mapping[str, object],
) -> None:
    """Replace a list in the ledger by the planned one.

    Args:
        db: the warehouse, with the roles that ``plan_list`` assigned.
        experiment: the experiment.
        key: which list.
        plan: sizes and cut.
        labels: arm, learner, threshold, model_version and feature_snapshot, equal for all users.
    """
    rules, treated, counts = experiment.declaration.decisions, plan.treated, plan.roles.counts
    binds = {
        **asdict(key),
        **labels,
        **plan.cut(),
        **plan.roles.usual_cut(treated.usual),
        **near_binds(rules, plan.roles.lanes, treated),
        "budget": plan.share,
        "ranked_places": treated.ranked,
        "explorer_places": treated.explorers,
        "by_threshold": plan.threshold is not None,
        "explore_share": treated.explorers / counts.explorers if counts.explorers else 0.0,
        "holdout": rules.holdout,
        "explore": rules.explore,
    }
    plan.roles.write_list(binds)
    written = db.one(
        f"select count(*), count(*) filter (treated) from {TREAT_LIST} where {THIS_LIST}", asdict(key)
    )
    expected = counts.users, treated.size
    if written != expected:
        raise DataError(
            f"{key.experiment}: the list holds {written[0]} of {expected[0]} users and treats "
            f"{written[1]} of {expected[1]}; nothing was written"
        )


def write_rules(db: Warehouse, experiment: BatchExperiment, key: ListKey, share: float) -> None:
    """Record the rules that drew and cut the list; the service answers by the same rules later."""
    rules = experiment.declaration.decisions
    cap = rules.contact_cap
    row = asdict(key) | {
        "cut": rules.cut,
        "budget": share,
        "salt": experiment.declaration.list_salt(key.campaign),
        "holdout": rules.holdout,
        "explore": rules.explore,
        "unit": experiment.declaration.decision_unit,
        "cluster": experiment.declaration.cluster or None,
        "contact_cap": cap.treatments if cap else None,
        "cap_days": cap.days if cap else None,
        "usual_share": rules.usual,
        "usual_rule": rules.usual_rule or None,
        "explore_near": rules.explore_near,
        "explore_band": rules.explore_band if rules.explore_near else None,
    }
    db.replace_rows(LIST_RULES, asdict(key), pa.Table.from_pylist([row]))


def refuse_other_files(db: Warehouse, experiment: BatchExperiment, key: ListKey) -> None:
    """Refuse to translate a list's users to their ids if the list was made from other files.

    Raises:
        DataError: the files changed, so a user number may belong to another person now.
    """
    (listed,) = db.one(f"select feature_snapshot from {NIGHTS} where {THIS_LIST}", asdict(key))
    current = feature_snapshot(db, experiment)
    if listed != current:
        raise DataError(
            f"{experiment.name}: the list of {key.decision_date} ({key.campaign}) was made from other "
            f"files ({listed}) than the current ones ({current}), so the ids of its users are "
            "unknown. Materialize treat_list of that date again"
        )
