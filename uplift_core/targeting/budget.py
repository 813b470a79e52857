"""From a budget - a share of users, a number of them, or money - to a list's size and threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Floats
from uplift_core.errors import DataError


@dataclass(frozen=True)
class Budget:
    """What may be spent: a share of all users, a number of them, or an amount of money."""

    share: float | None = None
    users: int | None = None
    money: float | None = None

    @property
    def kind(self) -> str:
        """Which of the three is given.

        Raises:
            DataError: none is, or more than one.
        """
        given = [kind for kind in ("share", "users", "money") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise DataError(f"a budget is a share, users or money; given are {given or 'none'}")
        return given[0]

    @property
    def amount(self) -> float:
        """How much of it."""
        return float(getattr(self, self.kind))

    def size(self, n_users: int) -> int | None:
        """How many of ``n_users`` may be treated; None where money decides.

        Raises:
            DataError: the amount cannot be meant.
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
    """How many of a list are treated for their score, and how many explorers are."""

    ranked: int
    explorers: int


def quota(size: int, ranked: int, explorers: int) -> Quota:
    """Divide a list of ``size`` between ranked users and explorers, in proportion to how many there are.

    Explorer k of E comes in place ceil((2k - 1) T / 2E) of all T users, so that a list of any size
    treats the same share of both, and a larger list holds every smaller one.
    """
    total = ranked + explorers
    size = min(size, total)
    treated = (2 * size * explorers + total) // (2 * total) if total else 0
    return Quota(ranked=size - treated, explorers=treated)


def rank_of(place: int, ranked: int, explorers: int) -> int:
    """Place in the whole list of the ranked user in ``place`` among the ranked.

    Explorers stand between them as ``quota`` divides a list, see ``sql/decisions/places.sql``.
    """
    return place + (2 * (place - 1) * explorers + ranked + explorers) // (2 * ranked)


def list_size(budget: float, n_users: int) -> int:
    """round(budget * n_users), halves up: how many users a list of exact size holds."""
    _check(budget)
    return math.floor(budget * n_users + 0.5)


@dataclass(frozen=True)
class Explorers:
    """The explorers of a list, in the order in which they are treated as the budget grows.

    Attributes:
        draw: (E,) float64, ascending; see ``sql/rules/draw_of.sql``.
        user_id: (E,) int64, ascending among equal draws.
        n_users: all users of the list.
        n_ranked: those whom the score decides about.
    """

    draw: npt.NDArray[np.float64]
    user_id: npt.NDArray[np.int64]
    n_users: int
    n_ranked: int

    def treated(
        self, budget: float, draw: npt.NDArray[np.float64], user_id: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Which explorers a list of the share ``budget`` treats; (n,), by their draws and ids.

        One who is not on the list is treated if the draw comes before that of the last one treated.
        """
        size = list_size(budget, self.n_users)
        treated = quota(size, self.n_ranked, len(self.draw)).explorers
        if not treated:
            return np.zeros(len(draw), dtype=np.bool_)
        last, last_user = self.draw[treated - 1], self.user_id[treated - 1]
        return np.asarray((draw < last) | ((draw == last) & (user_id <= last_user)), np.bool_)


class Distribution:
    """How many users have which score: what thresholds are quantiles of."""

    def __init__(self, scores: Floats, counts: npt.NDArray[np.int64]) -> None:
        """Take (n,) distinct float32 scores, descending, and (n,) users of each.

        Raises:
            DataError: there are none, or a score is not finite.
        """
        if len(scores) == 0 or not np.all(np.isfinite(scores)):
            raise DataError("scores: a threshold needs at least one user and finite scores only")
        self._scores = scores
        self._ascending = -scores
        self._reached = np.cumsum(counts)

    @property
    def n_users(self) -> int:
        """All users."""
        return int(self._reached[-1])

    def threshold(self, budget: float) -> float:
        """The (1 - budget) quantile, as a value that occurs.

        Treating all users whose score is at least this value treats the share ``budget`` of them, and
        more where the value is tied.

        Args:
            budget: share of users to treat, from 0 to 1.

        Returns:
            The score of the user in place round(budget * N); infinity where that place is 0.
        """
        place = list_size(budget, self.n_users)
        if place == 0:
            return math.inf
        return float(self._scores[int(np.searchsorted(self._reached, place))])

    def share_from(self, score: float) -> float:
        """Share of users at or above a score."""
        above = int(np.searchsorted(self._ascending, -np.float32(score), side="right"))
        return float(self._reached[above - 1]) / self.n_users if above else 0.0


def _check(budget: float) -> None:
    if not 0 <= budget <= 1:
        raise DataError(f"budget {budget!r}: must be a share from 0 to 1")
