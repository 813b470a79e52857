"""Propose an arm for each user within a budget: rows of ``decisions.multi_arm_list``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from dagster_project.decisions.records import ListKey
from dagster_project.decisions.role_counts import ROLES, ListRequest, count_users
from dagster_project.decisions.roles import treats_whole_clusters, write_excluded, write_roles
from dagster_project.decisions.user_effects import USER_EFFECTS, read_offers
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.complier_effects import with_expected_costs
from dagster_project.evaluation.multi_arm import Choice, judge_choice
from dagster_project.training.registry import current_version, deciding_learner
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.errors import DataError
from uplift_core.evaluation.arm_gate import MULTI_ARM
from uplift_core.evaluation.estimate import WORSE
from uplift_core.targeting.arm_choice import arm_costs
from uplift_core.targeting.arm_path import NO_ARM, find_path

MULTI_ARM_LIST = Identifier.of("decisions", "multi_arm_list")
OFFERS = Identifier.of("offers")
MOVES = Identifier.of("moves")


@dataclass(frozen=True)
class Proposal:
    """A proposal: the number of users who get an arm, and the comparison with one arm for all."""

    treated: int
    choice: Choice

    @property
    def refused(self) -> bool:
        """True if the proposal is not written, because one arm alone does better."""
        return self.choice.verdict == WORSE

    @property
    def summary(self) -> str:
        """One sentence that compares the arms, with a remedy if the proposal is refused."""
        sentence, arm = self.choice.sentence, self.choice.best_single
        if self.refused:
            return (
                f"{sentence}. No proposal is written: materialize treat_list with arm = '{arm}' instead"
            )
        return sentence


def write_multi_arm_list(
    db: Warehouse,
    experiment: BatchExperiment,
    *,
    decision_date: str,
    budget: float | None = None,
    money: float | None = None,
) -> Proposal:
    """Replace the experiment's proposal.

    Users of the holdout group and suppressed users get no arm; explorers are treated as all others.
    Where whole clusters are treated, a cluster gets the arm with the best mean effect for its members.
    If held-out users show that one arm alone does better at this budget, no proposal is written and an
    earlier one is deleted.

    Args:
        db: the warehouse.
        experiment: an experiment with several treatment arms.
        decision_date: YYYY-MM-DD.
        budget: cost per user divided by the dearest arm's cost; the share of users if all arms cost the
            same. Default: the declared one.
        money: cost of the whole list instead, in the units of the arms' costs.

    Raises:
        DataError: the budget is invalid.
    """
    experiment = with_expected_costs(db, experiment)
    declaration = experiment.declaration
    limit, share = _limit(db, experiment, budget, money)
    proposal = Proposal(0, judge_choice(db, experiment, share))
    db.rows(f"delete from {MULTI_ARM_LIST} where experiment = $name", {"name": experiment.name})
    if proposal.refused:
        return proposal
    key = ListKey(decision_date, experiment.name, MULTI_ARM)
    arm = declaration.defaults.arm
    write_excluded(db, experiment, key)
    write_roles(
        db, experiment, ListRequest(key, arm, deciding_learner(db, experiment, arm), money=False)
    )
    offers, moves = _find_moves(db, experiment)
    sql = render(
        "decisions/multi_arm_list.sql",
        roles=ROLES,
        user_effects=USER_EFFECTS,
        offers=OFFERS,
        moves=MOVES,
        effect_list=Identifier.listed(offers.column_names[1:]),
        whole_clusters=treats_whole_clusters(experiment),
    )
    binds = {
        "decision_date": decision_date,
        "experiment": experiment.name,
        "budget": limit,
        "model_version": current_version(db, experiment.name),
    }
    with db.relation("offers", offers), db.relation("moves", moves):
        db.rows(f"insert into {MULTI_ARM_LIST} by name {sql}", binds)
    users, treated = db.one(
        f"select count(*), count(arm) from {MULTI_ARM_LIST} where experiment = $name",
        {"name": experiment.name},
    )
    if users != db.count(ROLES):
        raise DataError(f"{experiment.name}: the list holds {users} of {db.count(ROLES)} users")
    return replace(proposal, treated=int(treated))


def _limit(
    db: Warehouse, experiment: BatchExperiment, budget: float | None, money: float | None
) -> tuple[float, float]:
    """Return the largest cost of the whole list, and that cost as a share of the dearest arm for all."""
    if budget is not None and money is not None:
        raise DataError("a budget is a share or money, not both; leave one out")
    if money is not None:
        if not (np.isfinite(money) and money >= 0):
            raise DataError(f"budget of {money} in money: must be 0 or more")
        return money, money / _largest_cost(db, experiment)
    share = experiment.declaration.defaults.budget if budget is None else budget
    if not 0 <= share <= 1:
        raise DataError(f"budget {share}: must be a share from 0 to 1")
    return share * _largest_cost(db, experiment), share


def _largest_cost(db: Warehouse, experiment: BatchExperiment) -> float:
    """Return the cost of giving all users the dearest arm."""
    users = count_users(db, experiment)
    return float(users * arm_costs(experiment.declaration).max())


def _find_moves(db: Warehouse, experiment: BatchExperiment) -> tuple[pa.Table, pa.Table]:
    """Return the numbered offers (distinct sets of effects), and each offer's moves along the path.

    A move has its level, the arm that it leads to, that arm's effect and cost, and the move's price.
    """
    arms, costs = experiment.declaration.treatments, arm_costs(experiment.declaration)
    offers, effects = read_offers(db, experiment)
    path = find_path(effects, costs)
    offer, move = np.nonzero(path.arm != NO_ARM)
    arm = path.arm[offer, move]
    before = np.where(move > 0, costs[path.arm[offer, move - 1]], 0.0)
    moves = {
        "offer": offer,
        "level": path.level[offer, move],
        "arm": np.asarray(arms)[arm],
        "effect": effects[offer, arm],
        "cost": costs[arm],
        "price": costs[arm] - before,
    }
    return offers.add_column(0, "offer", pa.array(np.arange(len(effects)))), pa.table(moves)
