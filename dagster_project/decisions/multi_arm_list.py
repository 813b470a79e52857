"""Who would get which arm within a budget: rows of ``decisions.multi_arm_list``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from dagster_project.decisions.records import ListKey
from dagster_project.decisions.roles import ROLES, ListRequest, write_excluded, write_roles
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.multi_arm import MULTI_ARM, WORSE, Choice, arm_costs, judge_choice
from dagster_project.scores.predictions import SCORES
from dagster_project.training.registry import current_version, deciding_learner
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from uplift_core.errors import DataError
from uplift_core.targeting.arm_path import NO_ARM, find_path

MULTI_ARM_LIST = Identifier.of("decisions", "multi_arm_list")
USER_EFFECTS = Identifier.of("user_effects")
OFFERS = Identifier.of("offers")
MOVES = Identifier.of("moves")


@dataclass(frozen=True)
class Proposal:
    """How many users get an arm, and what choosing arms does beside one arm for all."""

    treated: int
    choice: Choice

    @property
    def refused(self) -> bool:
        """Whether it is not written, because one arm alone does better."""
        return self.choice.verdict == WORSE

    @property
    def told(self) -> str:
        """What there is to be told of it."""
        sentence, arm = self.choice.sentence, self.choice.best_single
        if self.refused:
            return f"{sentence}. No proposal is written: let treat_list be of arm = '{arm}' instead"
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

    The persistent holdout and suppressed users get nothing; explorers count as everybody else. Where
    held-out users show that one arm alone does better at this budget, there is no proposal: that one is
    not written, and an earlier one goes.

    Args:
        db: the warehouse.
        experiment: an experiment with several treatment arms.
        decision_date: YYYY-MM-DD.
        budget: cost per user over the dearest arm's, the share of users where arms cost the same; the
            declared default unless given.
        money: cost of the whole list instead, in the units of the arms' costs.

    Raises:
        DataError: a budget that cannot be meant.
    """
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
    """Cost of the whole list at most, and the same per user over the dearest arm's."""
    if budget is not None and money is not None:
        raise DataError("a budget is a share or money, not both; leave one out")
    if money is not None:
        if not (np.isfinite(money) and money >= 0):
            raise DataError(f"budget of {money} in money: must be 0 or more")
        return money, money / _most(db, experiment)
    share = experiment.declaration.defaults.budget if budget is None else budget
    if not 0 <= share <= 1:
        raise DataError(f"budget {share}: must be a share from 0 to 1")
    return share * _most(db, experiment), share


def _most(db: Warehouse, experiment: BatchExperiment) -> float:
    """What the dearest arm for all would cost."""
    (users,) = db.one(f"select count(distinct user_id) from {experiment.target_users.scores}")
    return float(users * arm_costs(experiment.declaration).max())


def _find_moves(db: Warehouse, experiment: BatchExperiment) -> tuple[pa.Table, pa.Table]:
    """All distinct effects that users are offered, numbered, and each offer's moves along the path.

    A move has its level, the arm that it leads to with its effect and cost, and its own price.
    """
    arms, costs = experiment.declaration.treatments, arm_costs(experiment.declaration)
    columns = [
        {
            "name": Identifier.of(f"effect_{k}"),
            "score": Identifier.of(SCORES[deciding_learner(db, experiment, arm)]),
            "arm": Identifier(f"$arm_{k}"),
        }
        for k, arm in enumerate(arms)
    ]
    sql = render("decisions/user_effects.sql", scores=experiment.target_users.scores, effects=columns)
    db.create_temporary(USER_EFFECTS, sql, {f"arm_{k}": arm for k, arm in enumerate(arms)})
    found = db.arrow(f"select distinct * exclude (user_id) from {USER_EFFECTS} order by all")
    effects = np.column_stack([column.to_numpy() for column in found.columns])
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
    return found.add_column(0, "offer", pa.array(np.arange(len(effects)))), pa.table(moves)
