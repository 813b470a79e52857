"""One list of a campaign over several arms: the policy that was judged decides who gets which arm.

Where one arm decides alone, the list is that arm's. Where each user's arm is chosen, ``arm_offers`` cuts
the list and gives the arms. Explorers get any arm by chance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa

from dagster_project.decisions.arm_offers import ArmCut, ArmOffers, explorers_places
from dagster_project.decisions.evidence import GainsOverNobody, ListEvidence
from dagster_project.decisions.facts import ListFacts, ListOrder, read_facts
from dagster_project.decisions.records import TREAT_LIST
from dagster_project.decisions.role_counts import ROLES, count_users
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.multi_arm import DECIDING, read_held_out
from dagster_project.training.arm_policies import ARM_POLICIES
from dagster_project.training.registry import current_version
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import render
from dagster_project.warehouse.table_names import VIEW
from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.arm_gate import MULTI_ARM, NOBODY
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.gate import EvidenceStatus
from uplift_core.experiment.decision_rules import ArmQuota, quota_faults
from uplift_core.targeting.arm_choice import BEST, Offers, arm_costs, least_price, share_of_users
from uplift_core.targeting.budget import Budget, Distribution


@dataclass(frozen=True)
class Judged:
    """The policy that decides at a budget, see ``models.arm_policies``."""

    decider: str
    word: EvidenceStatus
    reason: str


def read_policy(db: Warehouse, experiment: BatchExperiment, budget: float) -> Judged:
    """Read which policy decides, at the nearest judged budget.

    Raises:
        DataError: the experiment's arms were not judged together.
    """
    rows = db.rows(
        f"select decider, word, reason from {ARM_POLICIES} where model_version = $version "
        "order by abs(budget - $budget), policy limit 1",
        {"version": current_version(db, experiment.name), "budget": budget},
    )
    if not rows:
        raise DataError(
            f"{experiment.name}: arm = '{BEST}': policies over its arms were not judged, as users are "
            "in clusters, costs fall on exposure, or an earlier version trained the models; name one of "
            f"{list(experiment.declaration.treatments)}, or materialize models again"
        )
    return Judged(*rows[0])


def order_of_best(db: Warehouse, experiment: BatchExperiment, order: ListOrder) -> ListOrder:
    """Return the order of the list that the judged policy makes; its arm is 'best' if arms are chosen.

    Its budget is a share: cost per user of all users over the cost of the dearest arm; of one arm that
    decides alone, the share of users whom this money treats.

    Raises:
        DataError: the order has something that lists over several arms do not carry, or nobody decides.
    """
    declaration, campaign = experiment.declaration, order.campaign or BEST
    arms = declaration.treatments
    order = replace(order, quotas=_quotas(experiment, order))
    if len(arms) == 1:
        budget = _within_quota(db, experiment, order, arms[0], order.budget)
        return replace(order, arm=arms[0], campaign=campaign, budget=budget)
    if order.learner:
        raise DataError(
            f"{experiment.name}: learner '{order.learner}': with arm = '{BEST}' each arm's deciding "
            "learner decides; leave it out, or name an arm"
        )
    share = _share(db, experiment, order.budget)
    policy, costs = read_policy(db, experiment, share), arm_costs(declaration)
    if policy.decider == NOBODY:
        raise DataError(f"{experiment.name}: arm = '{BEST}': nobody is to be treated. {policy.reason}")
    if policy.decider == MULTI_ARM:
        _refuse_what_is_not_carried(db, experiment)
        return replace(order, campaign=campaign, budget=Budget(share=share))
    budget = Budget(share=share_of_users(costs, arms.index(policy.decider), share))
    budget = _within_quota(db, experiment, order, policy.decider, budget)
    return replace(order, arm=policy.decider, campaign=campaign, budget=budget)


def _quotas(experiment: BatchExperiment, order: ListOrder) -> Mapping[str, ArmQuota]:
    """Return the quotas of a list: the ordered ones, and of other arms those that are declared."""
    declaration = experiment.declaration
    costs = {arm: declaration.arm(arm).cost for arm in declaration.treatments}
    faults = list(quota_faults(order.quotas, costs))
    if faults:
        raise DataError(f"{experiment.name}: quotas: {'; '.join(faults)}")
    return {**declaration.decisions.quotas, **order.quotas}


def _within_quota(
    db: Warehouse, experiment: BatchExperiment, order: ListOrder, arm: str, budget: Budget
) -> Budget:
    """Return the budget of a list about one arm: at most its quota of users."""
    declaration = experiment.declaration
    cost = float(arm_costs(declaration)[declaration.treatments.index(arm)])
    places = order.quotas.get(arm, ArmQuota()).places(cost)
    if math.isinf(places):
        return budget
    size = budget.size(count_users(db, experiment))
    if size is None:
        size = math.floor(budget.amount / cost)
    return Budget(users=int(places)) if places < size else budget


def _share(db: Warehouse, experiment: BatchExperiment, budget: Budget) -> float:
    """Return a budget as cost per user of all users over the cost of the dearest arm."""
    users, costs = count_users(db, experiment), arm_costs(experiment.declaration)
    if budget.kind == "users" and np.ptp(costs) > 0:
        raise DataError(
            f"{experiment.name}: a budget of {budget.amount:g} users: with arm = '{BEST}' and arms of "
            "different costs, a number of users is no budget; give a share (budget) or money"
        )
    size = budget.size(users)
    if size is None:
        return min(budget.amount / (users * float(costs.max())), 1.0)
    return budget.amount if budget.kind == "share" else size / users


def _refuse_what_is_not_carried(db: Warehouse, experiment: BatchExperiment) -> None:
    rules = experiment.declaration.decisions
    faults = {
        "[decisions] cost_column, as one column cannot hold what each of several arms costs a user, and "
        "policies were judged at the arms' declared costs": rules.cost_column,
        "[decisions] value_column, as policies were judged at one value for all users": (
            rules.value_column
        ),
        "[decisions] cut = 'threshold', as no threshold of one score says which arm a user gets": (
            rules.cut == "threshold"
        ),
        "[decisions] usual, as an old rule says of one arm alone whom it treats": rules.usual > 0,
        "[decisions] explore_near, as no threshold of one score is the cut": rules.explore_near > 0,
        "a ledger on Dask's workers": db.kind(TREAT_LIST) == VIEW,
    }
    refused = [what for what, declared in faults.items() if declared]
    if refused:
        raise DataError(
            f"{experiment.name}: a list with arm = '{BEST}' does not carry {'; nor '.join(refused)}. "
            "Remove it, or name an arm"
        )


def read_best_facts(db: Warehouse, experiment: BatchExperiment, order: ListOrder) -> ListFacts:
    """Read the facts of a list that chooses each user's arm; ``BEST_SCORES`` is written."""
    declaration = experiment.declaration
    policy = read_policy(db, experiment, order.budget.amount)
    base = read_facts(db, experiment, replace(order, arm=declaration.defaults.arm))
    rules = declaration.decisions.model_copy(update={"fill": False})
    of_list = declaration.model_copy(update={"decisions": rules})
    return replace(
        base,
        order=order,
        experiment=replace(experiment, declaration=of_list),
        learner=BEST,
        evidence=ListEvidence(BEST, policy.word, policy.reason, rules.when_not_proven),
        held_out_scores=_held_out_scores(db, experiment),
        held_out_groups=None,
        gains_over_nobody=_gains(db, experiment),
    )


def _held_out_scores(db: Warehouse, experiment: BatchExperiment) -> Distribution:
    """Return the held-out users' effects per cost of their first arm; 0 where none is worth its cost."""
    users, declaration = read_held_out(db, experiment), experiment.declaration
    first = Offers.of(users.effects[DECIDING], arm_costs(declaration)).slope[:, 0]
    score = np.where(first > least_price(declaration), first, 0.0).astype(np.float32)
    different, place = np.unique(-score, return_inverse=True)
    return Distribution(-different, np.bincount(place.ravel(), weights=users.n).astype(np.int64))


def _gains(db: Warehouse, experiment: BatchExperiment) -> GainsOverNobody:
    """Read what choosing each user's arm gains over nobody, by share of treated users."""
    outcome = experiment.declaration.defaults.outcome
    rows = db.rows(
        "select treated, gain, std_error from evaluation.multi_arm where experiment = $experiment "
        "and outcome = $outcome and learner = $learner and policy = $policy order by budget",
        {
            "experiment": experiment.name,
            "outcome": outcome,
            "learner": DECIDING,
            "policy": MULTI_ARM,
        },
    )
    judged = db.rows(
        f"select arm_shares, gain, std_error from {ARM_POLICIES} where model_version = $version "
        "and policy = $policy",
        {"version": current_version(db, experiment.name), "policy": MULTI_ARM},
    )
    return GainsOverNobody(
        f"'{outcome}'",
        {treated: Estimate(gain, error) for treated, gain, error in rows},
        {sum(json.loads(shares).values()): Estimate(gain, error) for shares, gain, error in judged},
    )


def give_arms(db: Warehouse, facts: ListFacts, offers: ArmOffers) -> None:
    """Give each row of the list its arm, that arm's cost, and the chance of getting this very arm."""
    rules, quotas = facts.experiment.declaration.decisions, facts.order.quotas
    places = [explorers_places(float(each), rules.explore) for each in offers.places(quotas)]
    chances = {
        "place": np.arange(len(offers.arms)),
        "chance_arm": list(offers.arms),
        "chance_cost": offers.costs,
    }
    binds = asdict(facts.key) | {"explore": rules.explore, "arm_count": len(offers.arms)}
    if quotas:
        chances["most_explorers"] = places
        binds["holdout"] = rules.holdout
    file = "decisions/give_quota_arms.sql" if quotas else "decisions/give_arms.sql"
    with db.relation("chance_arms", pa.table(chances)):
        db.rows(render(file, treat_list=TREAT_LIST, roles=ROLES), binds)


def promises_of_arms(
    db: Warehouse, experiment: BatchExperiment, cut: ArmCut, threshold: float
) -> tuple[Estimate | None, dict[str, Estimate]]:
    """Estimate the uplift per user who is treated for their effects: of all, and by arm.

    It is None where nobody is, and no arm is in the answer that nobody gets. Nothing is promised of a
    separate population: a gain of held-out users does not hold for other users.
    """
    declaration = experiment.declaration
    if declaration.population:
        return None, {}
    users, arms = read_held_out(db, experiment), declaration.treatments
    chosen = cut.arms_of(users.effects[DECIDING], threshold)
    shares = (chosen[:, None] == np.arange(len(arms))).astype(np.float64)
    scores, n = users.scores[declaration.defaults.outcome], users.n

    def promise(of_arms: Doubles) -> Estimate | None:
        treated = float(n @ of_arms.sum(axis=1)) / float(n.sum())
        if not treated:
            return None
        gain = scores.gain(of_arms)
        return Estimate(gain.value / treated, gain.std_error / treated)

    by_arm = {arm: promise(shares * (np.arange(len(arms)) == a)) for a, arm in enumerate(arms)}
    return promise(shares), {arm: each for arm, each in by_arm.items() if each is not None}
