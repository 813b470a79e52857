"""Estimate the average effect without models, as the difference in mean outcome between the arms.

No model is judged by it, so it may use all users, train and holdout.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from uplift_core.evaluation.clusters import LEAST_CLUSTERS, ClusterSquares
from uplift_core.evaluation.estimate import Estimate

UNRELIABLE = 0.1  # share of one user in an arm's variance; above it, 95 % intervals cover 82 to 94 %
LEAST_CAPPED, LEAST_CAPPED_SHARE = 20, 0.001  # users of the smallest arm, share of all, beyond a cap
UNRELIABLE_CLUSTER = 0.2  # of one cluster in the variance; chance gives one of 60 equal clusters .1


@dataclass(frozen=True)
class ArmOutcomes:
    """The outcomes of the users of one arm.

    Attributes:
        n: users.
        y: sum of outcomes.
        yy: sum of squared outcomes.
        smallest: smallest outcome.
        largest: largest outcome.
        users: users, where ``n``, ``y`` and ``yy`` weigh them by the inverse of their chance of the arm;
            None: ``n``.
    """

    n: float
    y: float
    yy: float
    smallest: float
    largest: float
    users: float | None = None

    @property
    def n_users(self) -> float:
        """Number of users."""
        return self.n if self.users is None else self.users

    @property
    def mean(self) -> float:
        """Mean outcome."""
        return self.y / self.n

    @property
    def squares(self) -> float:
        """Sum of squared deviations from the mean."""
        return max(self.yy - self.n * self.mean**2, 0.0)

    @property
    def largest_share(self) -> float:
        """Share of the user with the largest deviation in the sum of squared deviations."""
        most = max(self.largest - self.mean, self.mean - self.smallest) ** 2
        return most / self.squares if self.squares > 0 else 0.0

    def plus(self, other: Self) -> ArmOutcomes:
        """Add the outcomes of other users of the same arm."""
        return ArmOutcomes(
            self.n + other.n,
            self.y + other.y,
            self.yy + other.yy,
            min(self.smallest, other.smallest),
            max(self.largest, other.largest),
            None if self.users is None else self.n_users + other.n_users,
        )


@dataclass(frozen=True)
class AverageEffect:
    """The difference in mean outcome of two arms.

    Attributes:
        treated: outcomes under treatment.
        control: outcomes under control.
        clusters: the influences on the difference by cluster; None if users are independent and equally
            likely to be treated. A treated user's influence is (y - mean) n / n_treated, a control's
            -(y - mean) n / n_control. Where chances differ, means are weighted (Hájek 1971), influences
            too, and without clusters each user is one.
    """

    treated: ArmOutcomes
    control: ArmOutcomes
    clusters: ClusterSquares | None = None

    @property
    def effect(self) -> Estimate:
        """The difference, with Neyman's standard error (1923), or the cluster-robust one.

        The latter is that of a regression of the outcome on the arm, see ``clusters.py``.
        """
        difference = self.treated.mean - self.control.mean
        if self.clusters is not None:
            return Estimate(difference, self.clusters.error)
        variance = sum(arm.squares / arm.n**2 for arm in (self.treated, self.control))
        return Estimate(difference, math.sqrt(variance))

    @property
    def largest_share(self) -> float:
        """The larger of the arms' largest shares; that of a cluster where users are in clusters."""
        if self.clusters is not None:
            return self.clusters.largest_share
        return max(self.treated.largest_share, self.control.largest_share)

    @property
    def unreliable(self) -> bool:
        """Whether 95 % intervals hold the truth less often: one user or cluster weighs too much.

        So do few clusters, whatever their weights.
        """
        if self.clusters is not None:
            few = self.clusters.clusters < LEAST_CLUSTERS
            return few or self.largest_share > UNRELIABLE_CLUSTER
        return self.largest_share > UNRELIABLE


def share_to_cap(averages: Iterable[AverageEffect]) -> float:
    """Compute the share of users whose outcomes are capped, at either end, where a few users decide.

    Outcomes are capped at quantiles of all arms together, so that caps do not depend on who was
    treated. Of the smallest arm at least 20 users are expected beyond a cap: then none of them decides
    an effect. The effect on capped outcomes is another quantity than that on the outcomes.

    Args:
        averages: the effects that are to be computed on capped outcomes, of each split.
    """
    smallest = min(min(a.treated.n_users, a.control.n_users) for a in averages)
    return min(max(LEAST_CAPPED_SHARE, LEAST_CAPPED / smallest), 0.5)
