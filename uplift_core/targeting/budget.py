"""Turn a budget (a share of users, a number of users, or money) into a list's size and threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Floats
from uplift_core.errors import DataError


@dataclass(frozen=True)
class Budget:
    """The limit of a list: a share of all users, a number of users, or an amount of money."""

    share: float | None = None
    users: int | None = None
    money: float | None = None

    @property
    def kind(self) -> str:
        """The kind of the budget: share, users or money.

        Raises:
            DataError: none of the three is set, or more than one.
        """
        given = [kind for kind in ("share", "users", "money") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise DataError(f"budget: must be one of share, users or money; given are {given or 'none'}")
        return given[0]

    @property
    def amount(self) -> float:
        """The amount, in the unit of ``kind``."""
        return float(getattr(self, self.kind))

    def size(self, n_users: int) -> int | None:
        """Return how many of ``n_users`` may be treated; None for a budget in money.

        Raises:
            DataError: the amount is invalid.
        """
        if self.kind == "money":
            if not (math.isfinite(self.amount) and self.amount >= 0):
                raise DataError(f"budget of {self.amount} in money: must be 0 or more")
            return None
        if self.users is not None:
            if not 0 <= self.users <= n_users:
                raise DataError(f"budget of {self.users} users: must be from 0 to {n_users}")
            return self.users
        return list_size(self.amount, n_users)


@dataclass(frozen=True)
class Quota:
    """The numbers of users that a list treats: ranked ones, explorers, as usual, and near the cut."""

    ranked: int
    explorers: int
    usual: int = 0
    near: int = 0

    @property
    def size(self) -> int:
        """Number of all users whom the list treats."""
        return self.ranked + self.explorers + self.usual + self.near


def quota(size: int, ranked: int, explorers: int) -> Quota:
    """Divide a list of ``size`` between ranked users and explorers, in proportion to their numbers.

    Explorer k of E has place ceil((2k - 1) T / 2E) among all T users. So a list of any size treats the
    same share of both, and a larger list contains every smaller one. For example, with 8 ranked users
    and 2 explorers, explorers have places 3 and 8, so a list of 5 treats 4 ranked users and 1 explorer.
    """
    total = ranked + explorers
    size = min(size, total)
    treated = (2 * size * explorers + total) // (2 * total) if total else 0
    return Quota(ranked=size - treated, explorers=treated)


@dataclass(frozen=True)
class Lanes:
    """The users whom a list can treat, by what decides about them.

    Attributes:
        ranked: users whom the score decides about.
        explorers: users whom chance decides about, whatever their score.
        usual: users whom the old rule can treat.
        near: users near the cut whom chance decides about.
        usual_first: whether the old system's choices are given: then these are treated before others.
    """

    ranked: int
    explorers: int
    usual: int = 0
    near: int = 0
    usual_first: bool = False

    @property
    def near_half(self) -> int:
        """Half of the users near the cut: they are treated before all others."""
        return self.near // 2

    @property
    def before_other_half(self) -> int:
        """Number of users who come before the other half of the users near the cut."""
        return self.near_half + self.ranked + self.explorers + self.usual

    def quota(self, size: int) -> Quota:
        """Divide a list of ``size``; a larger list contains every smaller one.

        One half of the users near the cut comes first, and the other half after everybody else. Users
        who are treated as usual get their part as explorers do, unless they are given.
        """
        near = min(self.near_half, size)
        rest = size - near
        if self.usual_first:
            usual = min(self.usual, rest)
        else:
            usual = quota(rest, self.ranked + self.explorers, self.usual).explorers
        both = quota(rest - usual, self.ranked, self.explorers)
        left = size - near - usual - both.size
        return Quota(both.ranked, both.explorers, usual, near + min(left, self.near - self.near_half))


def rank_of(place: int, ranked: int, explorers: int) -> int:
    """Return the rank in the whole list of the user in ``place`` among the ranked users.

    Explorers have places between them, as ``quota`` divides a list; see ``sql/decisions/places.sql``.
    For example, with 8 ranked users and 2 explorers in places 3 and 8, ranked user 3 has rank 4.
    """
    return place + (2 * (place - 1) * explorers + ranked + explorers) // (2 * ranked)


def list_size(budget: float, n_users: int) -> int:
    """Return the number of users of a list of exact size: budget * n_users, rounded, halves up."""
    _check(budget)
    return math.floor(budget * n_users + 0.5)


@dataclass(frozen=True)
class Explorers:
    """The explorers of a list, in the order in which they are treated as the budget grows.

    Attributes:
        draw: (E,) float64, ascending; see ``sql/rules/draw_of.sql``.
        user_id: (E,) int64, ascending among equal draws.
        n_users: number of all users of the list.
        n_ranked: number of users whom the score decides about.
        whole_clusters: whether users of equal draw, who are a cluster, are treated together.
        usual, near, usual_first: see ``Lanes``.
    """

    draw: npt.NDArray[np.float64]
    user_id: npt.NDArray[np.int64]
    n_users: int
    n_ranked: int
    whole_clusters: bool = False
    usual: int = 0
    near: int = 0
    usual_first: bool = False

    def treated(
        self, budget: float, draw: npt.NDArray[np.float64], user_id: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Decide, by draws and ids (n,), which explorers a list of the share ``budget`` treats; (n,).

        An explorer who is not on the list is treated if the draw is before that of the last one treated.
        """
        size = list_size(budget, self.n_users)
        lanes = Lanes(self.n_ranked, len(self.draw), self.usual, self.near, self.usual_first)
        treated = lanes.quota(size).explorers
        if self.whole_clusters and treated < len(self.draw):
            # The first draw that is not wholly within the places ends the list.
            treated = int(np.searchsorted(self.draw, self.draw[treated]))
        if not treated:
            return np.zeros(len(draw), dtype=np.bool_)
        last, last_user = self.draw[treated - 1], self.user_id[treated - 1]
        if self.whole_clusters:
            return np.asarray(draw <= last, np.bool_)
        return np.asarray((draw < last) | ((draw == last) & (user_id <= last_user)), np.bool_)


class Distribution:
    """The distribution of scores over users, whose quantiles are the thresholds."""

    def __init__(self, scores: Floats, counts: npt.NDArray[np.int64]) -> None:
        """Take (n,) distinct float32 scores, descending, and (n,) users of each.

        Raises:
            DataError: there are no scores, or a score is not finite.
        """
        if len(scores) == 0 or not np.all(np.isfinite(scores)):
            raise DataError("scores: a threshold needs at least one user and finite scores only")
        self._scores = scores
        self._ascending = -scores
        self._reached = np.cumsum(counts)

    @property
    def n_users(self) -> int:
        """Number of users."""
        return int(self._reached[-1])

    def threshold(self, budget: float) -> float:
        """Return the (1 - budget) quantile, as a value that occurs.

        If all users with at least this score are treated, they are the share ``budget`` of all users, or
        more if several users have exactly this score.

        Args:
            budget: share of users to treat, from 0 to 1.

        Returns:
            The score of the user in place round(budget * N); infinity if that place is 0.
        """
        place = list_size(budget, self.n_users)
        if place == 0:
            return math.inf
        return float(self._scores[int(np.searchsorted(self._reached, place))])

    def share_from(self, score: float) -> float:
        """Return the share of users at or above a score."""
        above = int(np.searchsorted(self._ascending, -np.float32(score), side="right"))
        return float(self._reached[above - 1]) / self.n_users if above else 0.0


def _check(budget: float) -> None:
    if not 0 <= budget <= 1:
        raise DataError(f"budget {budget!r}: must be a share from 0 to 1")


def smallest_score_worth(value: float | None, cost: float | None) -> float:
    """Return the smallest float32 score of a user who is worth treating: ``value * score > cost``.

    Without a value or a cost, every positive score is worth it; see ``sql/decisions/roles.sql``.
    """
    if not value or cost is None:
        value, cost = 1.0, 0.0
    score = np.float32(cost / value)
    while value * float(score) > cost:
        score = np.nextafter(score, np.float32(-np.inf))
    while not value * float(score) > cost:
        score = np.nextafter(score, np.float32(np.inf))
    return float(score)
