"""Sums over all workers that train together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from xgboost import collective

from uplift_core.arrays import Doubles


def weighted_mean(values: Doubles, weight: Doubles) -> float:
    """Weighted mean over the rows of everybody who trains together, see ``sum_over_workers``."""
    sums = sum_over_workers([np.multiply(values, weight).sum(), weight.sum()])
    return float(sums[0] / sums[1])


def sum_over_workers(values: npt.ArrayLike) -> Doubles:
    """Sums over all workers that train together; of one that trains alone, the values themselves.

    Workers that train together have opened XGBoost's communicator. Each holds some of the feature cells,
    all arms and folds of them, and calls the same functions in the same order.
    """
    own = np.asarray(values, dtype=np.float64)
    if not collective.is_distributed():
        return own
    return np.asarray(collective.allreduce(own, collective.Op.SUM))


def max_over_workers(value: int) -> int:
    """The largest value of all workers that train together."""
    if not collective.is_distributed():
        return value
    return int(collective.allreduce(np.asarray([value], dtype=np.int64), collective.Op.MAX)[0])
