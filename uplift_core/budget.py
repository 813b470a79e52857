"""From a budget to a threshold, and to the size of a list."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from uplift_core.boosting import Floats
from uplift_core.errors import DataError


def list_size(budget: float, n_users: int) -> int:
    """round(budget * n_users), halves up: how many users a list of exact size holds."""
    _check(budget)
    return math.floor(budget * n_users + 0.5)


def threshold(scores: Floats, counts: npt.NDArray[np.int64], budget: float) -> float:
    """The (1 - budget) quantile of a score distribution, as a value that occurs in it.

    Treating all users whose score is at least this value treats the share ``budget`` of them, and
    more where the value is tied.

    Args:
        scores: (n,) distinct float32 scores, descending.
        counts: (n,) users of each score.
        budget: share of users to treat, from 0 to 1.

    Returns:
        The score of the user in place round(budget * N); infinity where that place is 0.
    """
    if len(scores) == 0 or not np.all(np.isfinite(scores)):
        raise DataError("scores: a threshold needs at least one user and finite scores only")
    reached = np.cumsum(counts)
    place = list_size(budget, int(reached[-1]))
    if place == 0:
        return math.inf
    return float(scores[int(np.searchsorted(reached, place))])


def _check(budget: float) -> None:
    if not 0 <= budget <= 1:
        raise DataError(f"budget {budget!r}: must be a share from 0 to 1")
