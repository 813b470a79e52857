"""The best arm: which policy over several arms decides at a budget, and at which price."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serve.snapshot import Snapshot
from uplift_core.arrays import Doubles, Floats
from uplift_core.artifacts.bundle import Bundle
from uplift_core.evaluation.arm_gate import MULTI_ARM, NOBODY
from uplift_core.evaluation.gate import EvidenceStatus
from uplift_core.learners import LearnerName
from uplift_core.targeting.arm_choice import (
    BEST,
    DRAW_BITS,
    Offers,
    Prices,
    arm_costs,
    least_price,
    share_of_users,
    value_per_cost,
)
from uplift_core.targeting.arm_path import NO_ARM

__all__ = ("BEST", "ArmPolicies", "BestArm", "Choice", "explorers_arm", "known_price", "only_choice")
TABLE = "models.arm_policies"
POLICIES = (
    "select distinct budget, decider, word, reason, best_single from models.arm_policies "
    "where model_version = $version order by budget"
)
HELD_OUT = (
    'select {names}, count(*) as n from (select user_id, {scores} from scores."{experiment}" '
    "where split = 'holdout' group by user_id) group by all order by all"
)


@dataclass(frozen=True)
class BestArm:
    """How a request for the best arm is decided.

    Attributes:
        arms: names of the treatment arms; the columns of all arrays.
        learners: the learner that decides about each arm.
        costs: (n_arms,) cost of treating one user.
        value: value of one unit of the outcome; None if it is not known.
        budget: cost per user of all users over the cost of the dearest arm.
        judged_at: the budget at which policies were judged, the nearest one.
        decider: multi_arm, an arm that decides alone, or nobody.
        word: whether the multi-arm policy is shown to beat every arm alone.
        reason: the evidence in some sentences.
        alone: the arm that decides alone, or gains most alone.
        price_if_chosen: effect per cost that an arm must reach where each user's arm is chosen.
    """

    arms: tuple[str, ...]
    learners: tuple[LearnerName, ...]
    costs: Doubles
    value: float | None
    budget: float
    judged_at: float
    decider: str
    word: EvidenceStatus
    reason: str
    alone: str
    price_if_chosen: float

    @property
    def price(self) -> float | None:
        """Effect per cost that an arm must reach; None unless the multi-arm policy decides."""
        return self.price_if_chosen if self.decider == MULTI_ARM else None

    @property
    def share(self) -> float:
        """Share of users that may be treated by the arm that decides alone; 0 if nobody is."""
        if self.decider == NOBODY:
            return 0.0
        if len(self.arms) == 1:
            return self.budget
        return share_of_users(self.costs, self.arms.index(self.alone), self.budget)


@dataclass(frozen=True)
class Choice:
    """The arms of a job's users.

    Attributes:
        arms: names of the arms.
        score: (n, n_arms) scores by the learner that decides about each arm.
        effect: (n, n_arms) float32 calibrated effects.
        arm: (n,) place of each user's arm at the price, or NO_ARM.
        first: (n,) place of the arm that comes first as the price falls; without one, the best effect's.
        slope: (n,) effect per cost of that first arm; -infinity without one.
        given: (n,) place of the arm that each user gets, by their role, too; or NO_ARM.
    """

    arms: tuple[str, ...]
    score: Floats
    effect: Floats
    arm: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    slope: Doubles
    given: npt.NDArray[np.int64]

    @property
    def shown(self) -> npt.NDArray[np.int64]:
        """(n,) the arm that an answer is about: the user's, or the one that would come first."""
        of_score = np.where(self.arm == NO_ARM, self.first, self.arm)
        return np.where(self.given == NO_ARM, of_score, self.given)

    @property
    def shown_effect(self) -> Floats:
        """(n,) effect of the arm that an answer is about."""
        return self.effect[np.arange(len(self.arm)), self.shown]


class ArmPolicies:
    """The policies of one model version, and the prices of its held-out users."""

    def __init__(
        self,
        snapshot: Snapshot,
        bundle: Bundle,
        learners: Mapping[str, LearnerName],
        rows: Sequence[Mapping[str, Any]],
    ) -> None:
        self._snapshot, self._bundle, self._rows = snapshot, bundle, rows
        self.experiment = bundle.manifest.experiment
        self.arms = self.experiment.treatments
        self.learners = tuple(learners[arm] for arm in self.arms)
        self.costs = arm_costs(self.experiment)
        self._lock = threading.Lock()
        self._prices: Prices | None = None

    @classmethod
    def read(
        cls, snapshot: Snapshot, bundle: Bundle, learners: Mapping[str, LearnerName]
    ) -> ArmPolicies | None:
        """Read the policies; None if the version's arms were not judged together."""
        rows = snapshot.rows_if_published(TABLE, POLICIES, {"version": bundle.version})
        return cls(snapshot, bundle, learners, rows) if rows else None

    def at(self, budget: float) -> BestArm:
        """Return how the best arm is decided at a budget."""
        row = min(self._rows, key=lambda each: abs(each["budget"] - budget))
        return BestArm(
            arms=self.arms,
            learners=self.learners,
            costs=self.costs,
            value=value_per_cost(self.experiment),
            budget=budget,
            judged_at=row["budget"],
            decider=row["decider"],
            word=row["word"],
            reason=row["reason"],
            alone=row["best_single"],
            price_if_chosen=self.prices.price(budget, least_price(self.experiment)),
        )

    @property
    def prices(self) -> Prices:
        """The prices of budgets; held-out users are read once."""
        with self._lock:
            if self._prices is None:
                self._prices = self._read_prices()
            return self._prices

    def effects(self, score: Floats) -> Floats:
        """Return the calibrated effects of scores: (n, n_arms) each."""
        maps = self._bundle.manifest.effect_maps
        return np.column_stack([maps[arm].effects(score[:, a]) for a, arm in enumerate(self.arms)])

    def choose(self, score: Floats, best: BestArm) -> Choice:
        """Choose each user's arm."""
        effect = self.effects(score)
        offers = Offers.of(effect.astype(np.float64), self.costs)
        # One arm that decides alone does so by its own threshold.
        arm = offers.at(math.inf if best.price is None else best.price)
        helped = offers.arm[:, 0] != NO_ARM
        first = np.where(helped, offers.arm[:, 0], effect.argmax(axis=1)).astype(np.int64)
        return Choice(self.arms, score, effect, arm, first, offers.slope[:, 0], arm)

    def _read_prices(self) -> Prices:
        names = [f"score_{a}" for a in range(len(self.arms))]
        scores = ", ".join(
            f"max(cate_{learner}) filter (arm = $arm_{a}) as {names[a]}"
            for a, learner in enumerate(self.learners)
        )
        sql = HELD_OUT.format(names=", ".join(names), scores=scores, experiment=self.experiment.name)
        columns = self._snapshot.columns(sql, {f"arm_{a}": arm for a, arm in enumerate(self.arms)})
        score = np.column_stack([columns[name] for name in names])
        return Prices(
            self.effects(score).astype(np.float64), columns["n"].astype(np.float64), self.costs
        )


def only_choice(score: Floats, best: BestArm) -> Choice:
    """Return the choice among one arm, whose scores (n, 1) are its effects; ``given`` is to be set."""
    none, only = np.full(len(score), NO_ARM), np.zeros(len(score), np.int64)
    return Choice(best.arms, score, score, none, only, np.full(len(score), -math.inf), none)


def explorers_arm(draw: npt.NDArray[np.float64], n_arms: int) -> npt.NDArray[np.int64]:
    """Return the arm by which chance treats each explorer: (n,), every arm equally likely."""
    place = np.floor(draw * 2**DRAW_BITS) % n_arms
    return np.asarray(place, dtype=np.int64)


def known_price(price: float | None) -> float | None:
    """Return a price as JSON has it: without infinity."""
    return None if price is None or not math.isfinite(price) else price
