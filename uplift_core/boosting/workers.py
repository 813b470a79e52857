"""Sums over all workers that train one model together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from xgboost import collective

from uplift_core.arrays import Doubles


def trains_alone() -> bool:
    """Return true unless several workers train one model together."""
    return not collective.is_distributed()


def weighted_mean(values: Doubles, weight: Doubles) -> float:
    """Compute the weighted mean over the rows of all workers, see ``sum_over_workers``."""
    sums = sum_over_workers([np.multiply(values, weight).sum(), weight.sum()])
    return float(sums[0] / sums[1])


def sum_over_workers(values: npt.ArrayLike) -> Doubles:
    """Sum values over all workers that train together; a single worker gets its values back.

    Workers that train together have opened XGBoost's communicator. Each has some of the feature cells,
    in all arms and folds, and calls the same functions in the same order.
    """
    local = np.asarray(values, dtype=np.float64)
    if trains_alone():
        return local
    return np.asarray(collective.allreduce(local, collective.Op.SUM))


def max_over_workers(value: int) -> int:
    """Return the largest value of all workers that train together."""
    if trains_alone():
        return value
    return int(collective.allreduce(np.asarray([value], dtype=np.int64), collective.Op.MAX)[0])
