"""One list of a campaign over several arms: the policy that was judged decides who gets which arm.

Where one arm decides alone, the list is that arm's. Where each user's arm is chosen, a user's score is
the effect per cost of the first arm on their path, so that the same code ranks, cuts and reports the
list; then each user gets the arm of their path at the price of the list. Explorers get any arm by
chance.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa

from dagster_project.decisions.evidence import GainsOverNobody, ListEvidence
from dagster_project.decisions.facts import ListFacts, ListOrder, read_facts
from dagster_project.decisions.records import TREAT_LIST, Night
from dagster_project.decisions.roles import ROLES, Counts
from dagster_project.decisions.user_effects import USER_EFFECTS, read_offers
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.evaluation.multi_arm import DECIDING, read_held_out
from dagster_project.training.arm_policies import ARM_POLICIES
from dagster_project.training.registry import current_version
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from dagster_project.warehouse.table_names import VIEW
from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.arm_gate import MULTI_ARM, NOBODY
from uplift_core.evaluation.estimate import Estimate
from uplift_core.evaluation.gate import EvidenceStatus
from uplift_core.targeting.arm_choice import (
    BEST,
    DRAW_BITS,
    Offers,
    arm_costs,
    least_price,
    share_of_users,
)
from uplift_core.targeting.arm_path import NO_ARM, find_path
from uplift_core.targeting.budget import Budget, Distribution, list_size, rank_of

BEST_SCORES = Identifier.of("best_scores")
ROUNDING = 1e-9  # share of a budget by which sums may be off
BEST_ARMS = Identifier.of("best_arms")


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
    if len(arms) == 1:
        return replace(order, arm=arms[0], campaign=campaign)
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
    share = share_of_users(costs, arms.index(policy.decider), share)
    return replace(order, arm=policy.decider, campaign=campaign, budget=Budget(share=share))


def _share(db: Warehouse, experiment: BatchExperiment, budget: Budget) -> float:
    """Return a budget as cost per user of all users over the cost of the dearest arm."""
    (users,) = db.one(f"select count(distinct user_id) from {experiment.target_users.scores}")
    costs = arm_costs(experiment.declaration)
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
    rules, declaration = experiment.declaration.decisions, experiment.declaration
    faults = {
        "[decisions] cost_column or value_column": rules.cost_column or rules.value_column,
        "[decisions] cut = 'threshold'": rules.cut == "threshold",
        "a separate population": declaration.population,
        "a ledger on Dask's workers": db.kind(TREAT_LIST) == VIEW,
    }
    refused = [what for what, declared in faults.items() if declared]
    if refused:
        raise DataError(
            f"{experiment.name}: a list with arm = '{BEST}' does not carry {' and '.join(refused)} "
            "yet; name an arm, or materialize multi_arm_list, which proposes each user's arm"
        )


@dataclass(frozen=True)
class ArmOffers:
    """All distinct sets of effects among tonight's users, numbered as in ``BEST_SCORES``."""

    offers: Offers
    effects: Doubles
    costs: Doubles
    least: float

    @classmethod
    def write(cls, db: Warehouse, experiment: BatchExperiment) -> ArmOffers:
        """Create ``BEST_SCORES``: each user's offer, and the effect per cost of its first arm."""
        declaration = experiment.declaration
        costs = arm_costs(declaration)
        different, effects = read_offers(db, experiment)
        offers = Offers.of(effects, costs)
        first = offers.slope[:, 0]
        # No arm that helps, or none that is worth its cost: the score is 0, which treats nobody.
        score = np.where(first > least_price(declaration), first, 0.0)
        if np.isinf(score).any():
            raise DataError(
                f"{experiment.name}: arm = '{BEST}': an arm of cost 0 beside arms with costs helps some "
                "users for nothing; declare its cost, however small"
            )
        numbered = different.append_column("offer", pa.array(np.arange(len(effects))))
        numbered = numbered.append_column("cate_best", pa.array(score.astype(np.float32)))
        with db.relation("offers", numbered):
            db.create_temporary(
                BEST_SCORES,
                f"select user_id, '{BEST}' as arm, offer, cate_best from {USER_EFFECTS} "
                f"join offers using ({Identifier.listed(different.column_names)})",
            )
        return cls(offers, effects, costs, least_price(declaration))

    @property
    def equal_costs(self) -> bool:
        """Whether all arms cost the same, so that each user has one move at most."""
        return not np.ptp(self.costs)

    def cut(self, db: Warehouse, share: float, roles: Counts) -> tuple[int, float]:
        """Return the size of the list and its price: never is more spent than the budget.

        Arms of equal costs treat the exact share of users. Otherwise the list ends before the level of
        effect per cost whose moves would spend more.
        """
        if self.equal_costs:
            return list_size(share, roles.users), 0.0
        rows = db.arrow(
            f"select offer, count(*)::double as n from {BEST_SCORES} join {ROLES} using (user_id) "
            "where role = 'ranked' group by offer order by offer"
        )
        on, n = (rows.column(name).to_numpy() for name in ("offer", "n"))
        if not len(on):
            return 0, np.inf
        path, by_chance = find_path(self.effects[on], self.costs, n), self._explorers_costs(db)
        limit = share * float(self.costs.max()) * roles.users
        steep = path.slope > self.least
        spent = np.append(0.0, path.spend[steep]) * float(n.sum())
        for level in range(int(np.searchsorted(spent, limit * (1 + ROUNDING), "right")) - 1, 0, -1):
            price = float(path.slope[level - 1])
            ranked = int(n[self.offers.slope[on, 0] >= price].sum())
            size = rank_of(ranked, roles.ranked, roles.explorers)
            explored = float(by_chance[: size - ranked].sum())
            if spent[level] + explored <= limit * (1 + ROUNDING):
                return size, price
        return 0, np.inf

    def _explorers_costs(self, db: Warehouse) -> Doubles:
        """Return the costs of the explorers' arms, in the order in which explorers are treated."""
        rows = db.rows(
            f"select (floor(draw * {2**DRAW_BITS})::bigint % {len(self.costs)}) from {ROLES} "
            "where role = 'explore' order by draw, user_id"
        )
        return np.asarray([self.costs[place] for (place,) in rows])

    def write_arms(self, db: Warehouse, arms: tuple[str, ...], price: float) -> None:
        """Create ``BEST_ARMS``: the arm of each offer at the price, or the one that comes first."""
        at, first = self.offers.at(price), self.offers.arm[:, 0]
        chosen = np.where(
            at != NO_ARM, at, np.where(first != NO_ARM, first, self.effects.argmax(axis=1))
        )
        names = pa.array(np.asarray(arms, object)[chosen])
        table = pa.table(
            {"offer": np.arange(len(chosen)), "arm": names, "cost": pa.array(self.costs[chosen])}
        )
        with db.relation("arms_of_offers", table):
            db.create_temporary(BEST_ARMS, "from arms_of_offers")


def read_best_facts(db: Warehouse, experiment: BatchExperiment, order: ListOrder) -> ListFacts:
    """Read the facts of a list that chooses each user's arm; ``BEST_SCORES`` is written."""
    declaration = experiment.declaration
    policy = read_policy(db, experiment, order.budget.amount)
    base = read_facts(db, experiment, replace(order, arm=declaration.defaults.arm))
    held_out = db.arrow(
        f"select cate_best as score, count(*) as n from {BEST_SCORES} "
        f"join {experiment.tables.assignment} using (user_id) where split = 'holdout' "
        "group by score order by score desc"
    )
    rules = declaration.decisions.model_copy(update={"fill": False})
    of_list = declaration.model_copy(update={"decisions": rules})
    return replace(
        base,
        order=order,
        experiment=replace(experiment, declaration=of_list),
        learner=BEST,
        evidence=ListEvidence(BEST, policy.word, policy.reason, rules.when_not_proven),
        held_out_scores=Distribution(
            held_out.column("score").to_numpy(), held_out.column("n").to_numpy().astype(np.int64)
        ),
        held_out_groups=None,
        gains_over_nobody=_gains(db, experiment),
    )


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


def give_arms(db: Warehouse, facts: ListFacts) -> None:
    """Give each row of the list its arm, that arm's cost, and the chance of getting this very arm."""
    declaration = facts.experiment.declaration
    arms, costs = declaration.treatments, arm_costs(declaration)
    chances = pa.table(
        {"place": np.arange(len(arms)), "chance_arm": list(arms), "chance_cost": pa.array(costs)}
    )
    sql = render("decisions/give_arms.sql", treat_list=TREAT_LIST, roles=ROLES)
    binds = asdict(facts.key) | {"explore": declaration.decisions.explore, "arm_count": len(arms)}
    with db.relation("chance_arms", chances):
        db.rows(sql, binds)


def promise_of_arms(
    db: Warehouse, experiment: BatchExperiment, night: Night, price: float
) -> Estimate | None:
    """Estimate the uplift per user who is treated for their effects; None if nobody is."""
    declaration = experiment.declaration
    users, costs = read_held_out(db, experiment), arm_costs(declaration)
    arm = Offers.of(users.effects[DECIDING], costs).at(price or night.threshold)
    shares = (arm[:, None] == np.arange(len(costs))).astype(np.float64)
    treated = float(users.n @ shares.sum(axis=1)) / float(users.n.sum())
    if not treated:
        return None
    gain = users.scores[declaration.defaults.outcome].gain(shares)
    return Estimate(gain.value / treated, gain.std_error / treated)
