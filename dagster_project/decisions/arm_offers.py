"""The arms that a list which chooses each user's arm offers: its scores, its size and its arms.

A user's score is the effect per cost of the first arm on their path, so that the same code ranks, cuts
and reports the list; then each user gets the arm of their path at the price of the list, or, where arms
have quotas, the one that the best assignment gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from dagster_project.decisions.role_counts import ROLES, Counts
from dagster_project.decisions.user_effects import USER_EFFECTS, read_offers
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier
from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.experiment.decision_rules import ArmQuota
from uplift_core.targeting.arm_choice import (
    BEST,
    DRAW_BITS,
    Offers,
    arm_costs,
    least_price,
)
from uplift_core.targeting.arm_path import NO_ARM, Places, find_path
from uplift_core.targeting.arm_quotas import ROUNDING, ArmPrices, Assigned, assign, without_ties
from uplift_core.targeting.budget import list_size, rank_of

BEST_SCORES = Identifier.of("best_scores")
BEST_ARMS = Identifier.of("best_arms")
OFFER_SHARES = Identifier.of("offer_shares")
MIDDLE = 2**31  # a tie in the middle of all ties


class ArmCut(Protocol):
    """The end of a list that chooses each user's arm."""

    @property
    def size(self) -> int:
        """Number of users whom the list treats, explorers included."""
        ...

    def arms_of(self, effects: Doubles, threshold: float) -> Places:
        """Return the arms that the list gives users of these effects: (n,) places, or NO_ARM."""
        ...


@dataclass(frozen=True)
class PathCut:
    """A cut at one price of money.

    Attributes:
        size: see ``ArmCut``.
        price: effect per cost that a move must reach; 0 where the size alone cuts, as costs are equal.
        costs: (n_arms,) costs of the arms.
    """

    size: int
    price: float
    costs: Doubles

    def arms_of(self, effects: Doubles, threshold: float) -> Places:
        """See ``ArmCut``; ``threshold`` is the list's, in place of a price of 0."""
        return Offers.of(effects, self.costs).at(self.price or threshold)


@dataclass(frozen=True)
class QuotaCut:
    """A cut where arms have quotas; users' arms are ``BEST_ARMS``, and the roles are in its order."""

    size: int
    prices: ArmPrices
    costs: Doubles

    def arms_of(self, effects: Doubles, threshold: float) -> Places:  # noqa: ARG002 - of the protocol
        """See ``ArmCut``; of users who tie at a quota, the whole group is on one side."""
        tie = np.full(len(effects), MIDDLE, dtype=np.uint32)
        return self.prices.choose(without_ties(effects, tie), self.costs)


@dataclass(frozen=True)
class ArmOffers:
    """All distinct sets of effects among tonight's users, numbered as in ``BEST_SCORES``."""

    arms: tuple[str, ...]
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
        return cls(declaration.treatments, offers, effects, costs, least_price(declaration))

    @property
    def equal_costs(self) -> bool:
        """Whether all arms cost the same, so that each user has one move at most."""
        return not np.ptp(self.costs)

    def cut(
        self, db: Warehouse, share: float, roles: Counts, quotas: Mapping[str, ArmQuota], explore: float
    ) -> ArmCut:
        """Create ``BEST_ARMS``, each user's arm, and return the cut, which spends at most the budget.

        Arms of equal costs treat the exact share of users. Otherwise the list ends before the level of
        effect per cost whose moves would spend more; with quotas, before the user who would.

        Args:
            db: the warehouse, with the night's roles.
            share: cost per user of all users over the cost of the dearest arm.
            roles: the numbers of the night's roles.
            quotas: limits by arm.
            explore: the declared share of explorers among users.
        """
        if quotas:
            return _QuotaList.read(db, self, roles, self.places(quotas), explore).cut(db, share)
        cut = self._cut_on_path(db, share, roles)
        self._write_arms(db, cut.price)
        return cut

    def places(self, quotas: Mapping[str, ArmQuota]) -> Doubles:
        """Return the largest number of users of each arm: (n_arms,), infinite without a quota."""
        each = zip(self.arms, self.costs, strict=True)
        return np.asarray([quotas.get(arm, ArmQuota()).places(cost) for arm, cost in each])

    def _cut_on_path(self, db: Warehouse, share: float, roles: Counts) -> PathCut:
        if self.equal_costs:
            return PathCut(list_size(share, roles.users), 0.0, self.costs)
        nobody = PathCut(0, np.inf, self.costs)
        rows = db.arrow(
            f"select offer, count(*)::double as n from {BEST_SCORES} join {ROLES} using (user_id) "
            "where role = 'ranked' group by offer order by offer"
        )
        on, n = (rows.column(name).to_numpy() for name in ("offer", "n"))
        if not len(on):
            return nobody
        path = find_path(self.effects[on], self.costs, n)
        by_chance = np.append(0.0, np.cumsum(self.costs[explorers_arms(db, len(self.arms))]))
        limit = share * float(self.costs.max()) * roles.users
        steep = path.slope > self.least
        spent = np.append(0.0, path.spend[steep]) * float(n.sum())
        for level in range(int(np.searchsorted(spent, limit * (1 + ROUNDING), "right")) - 1, 0, -1):
            price = float(path.slope[level - 1])
            ranked = int(n[self.offers.slope[on, 0] >= price].sum())
            size = rank_of(ranked, roles.ranked, roles.explorers)
            explored = float(by_chance[min(size - ranked, len(by_chance) - 1)])
            if spent[level] + explored <= limit * (1 + ROUNDING):
                return PathCut(size, price, self.costs)
        return nobody

    def _write_arms(self, db: Warehouse, price: float) -> None:
        """Create ``BEST_ARMS``: each user's arm at the price, or the one that comes first."""
        chosen = self.or_first(np.arange(len(self.effects)), self.offers.at(price))
        table = pa.table(
            {"offer": np.arange(len(chosen)), "arm": self.names(chosen), "cost": self.costs[chosen]}
        )
        with db.relation("arms_of_offers", table):
            db.create_temporary(
                BEST_ARMS,
                f"select user_id, offer, arms_of_offers.arm, cost from {BEST_SCORES} "
                "join arms_of_offers using (offer)",
            )

    def or_first(self, offer: Places, arm: Places) -> Places:
        """Return users' arms, in place of NO_ARM the first one on their path, or the best effect's."""
        first = self.offers.arm[:, 0]
        instead = np.where(first != NO_ARM, first, self.effects.argmax(axis=1))
        return np.where(arm == NO_ARM, instead[offer], arm)

    def names(self, arm: Places) -> pa.Array:
        """Return the arms' names."""
        return pa.array(np.asarray(self.arms, object)[arm])


def explorers_arms(db: Warehouse, n_arms: int) -> Places:
    """Return the places of the explorers' arms, in the order in which explorers are treated."""
    rows = db.arrow(
        f"select (floor(draw * {2**DRAW_BITS})::bigint % {n_arms}) as place from {ROLES} "
        "where role = 'explore' order by draw, user_id"
    )
    return rows.column("place").to_numpy().astype(np.int64)


def explorers_places(places: float, explore: float) -> float:
    """Return how many explorers may get an arm of so many places: their share of users, rounded up."""
    return places if np.isinf(places) else float(np.ceil(explore * places))


@dataclass(frozen=True)
class _QuotaList:
    """Tonight's users, and the places of the arms."""

    offers: ArmOffers
    roles: Counts
    places: Doubles
    user: Places
    offer: Places
    ranked: np.ndarray
    effects: Doubles
    by_chance: Places

    @classmethod
    def read(
        cls, db: Warehouse, offers: ArmOffers, roles: Counts, places: Doubles, explore: float
    ) -> _QuotaList:
        rows = db.arrow(
            f"select user_id, offer, tie, role = 'ranked' as ranked from {BEST_SCORES} "
            f"join {ROLES} using (user_id) order by user_id"
        )
        user, offer, tie, ranked = (rows.column(k).to_numpy() for k in rows.column_names)
        arms = explorers_arms(db, len(offers.arms))
        # How many explorers before had the same arm: chance gives it until their share of it is full.
        earlier = np.zeros(len(arms), dtype=np.int64)
        for a in range(len(offers.arms)):
            earlier[arms == a] = np.arange(np.sum(arms == a))
        most = np.asarray([explorers_places(float(each), explore) for each in places])
        by_chance = np.where(earlier < most[arms], arms, NO_ARM)
        effects = without_ties(offers.effects[offer], tie)
        return cls(offers, roles, places, user, offer, ranked, effects, by_chance)

    def cut(self, db: Warehouse, share: float) -> QuotaCut:
        """Assign arms, write ``BEST_ARMS``, and order the roles: who gets an arm comes first."""
        costs = self.offers.costs
        explorers = self._explorers_of(self._assigned(share, 0).arm)
        assigned = self._assigned(share, explorers)
        # A shorter list has fewer explorers, who may leave places for one more step.
        fewer = self._explorers_of(assigned.arm)
        once_more = self._assigned(share, fewer) if fewer < explorers else assigned
        if self._explorers_of(once_more.arm) <= fewer:
            assigned = once_more
        arm = assigned.prices.choose(self.effects, costs)
        arm[self.ranked] = assigned.arm
        self._write(db, arm)
        ranked = int(np.sum(assigned.arm != NO_ARM))
        return QuotaCut(ranked + self._explorers_of(assigned.arm), assigned.prices, costs)

    def _assigned(self, share: float, explorers: int) -> Assigned:
        """Assign arms to ranked users, beside so many treated explorers."""
        costs, users = self.offers.costs, self.roles.users
        treated = self.by_chance[:explorers]
        taken = np.bincount(treated[treated != NO_ARM], minlength=len(costs)).astype(np.float64)
        amount = share * float(costs.max()) * users
        if self.offers.equal_costs:
            amount = list_size(share, users) * float(costs.max())
        left = max(amount - float(taken @ costs), 0.0)
        effects = self.effects[self.ranked]
        return assign(effects, costs, np.maximum(self.places - taken, 0), left, self.offers.least)

    def _explorers_of(self, arm: Places) -> int:
        """Return how many explorers a list treats beside these ranked users."""
        ranked = int(np.sum(arm != NO_ARM))
        return rank_of(ranked, self.roles.ranked, self.roles.explorers) - ranked if ranked else 0

    def _write(self, db: Warehouse, arm: Places) -> None:
        """Create ``BEST_ARMS`` and ``OFFER_SHARES``, and put those first who get an arm."""
        offers, chosen = self.offers, arm != NO_ARM
        shown = offers.or_first(self.offer, arm)
        table = pa.table(
            {
                "user_id": self.user,
                "offer": self.offer,
                "arm": offers.names(shown),
                "cost": offers.costs[shown],
                "chosen": chosen,
            }
        )
        with db.relation("arms_of_users", table):
            db.create_temporary(BEST_ARMS, "from arms_of_users")
        with db.relation("shares_of_offers", self._shares(arm)):
            db.create_temporary(OFFER_SHARES, "from shares_of_offers")
        # A score is above 0 where an arm helps; those without an arm keep their order.
        db.rows(
            f"update {ROLES} as roles set priority = if(score > 0, -1 / score, '-infinity'::double) "
            f"from {BEST_ARMS} as arms where arms.user_id = roles.user_id and not arms.chosen"
        )

    def _shares(self, arm: Places) -> pa.Table:
        """Return by offer the share of its users who get each arm: of ranked ones, if there are."""
        n_offers, n_arms = self.offers.effects.shape
        users = np.bincount(self.offer[self.ranked], minlength=n_offers)
        counted = self.ranked | (users[self.offer] == 0)
        users = np.bincount(self.offer[counted], minlength=n_offers)
        given = counted & (arm != NO_ARM)
        cell = self.offer[given] * n_arms + arm[given]
        offer, place = np.divmod(np.unique(cell), n_arms)
        n = np.unique(cell, return_counts=True)[1]
        return pa.table({"offer": offer, "arm": self.offers.names(place), "share": n / users[offer]})
