"""Estimate a list's effect in advance by the experiment's held-out users, and later by the list's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError
from uplift_core.evaluation.clusters import ClusterSquares
from uplift_core.evaluation.estimate import Z95, Estimate, estimate
from uplift_core.evaluation.groups import ScoreGroups


def promised_uplift(groups: ScoreGroups, weight: Doubles) -> Estimate | None:
    """Estimate the doubly robust effect per user of a list, on held-out users of the experiment.

    The estimate is sum(weight * phi) / sum(weight). Held-out users stand for users of the list with the
    same score, whatever else (a cap, a suppression) excludes other users from the list.

    Args:
        groups: held-out users by the score that decides.
        weight: (n_groups,) share of the users of each score whom the list treats.

    Returns:
        The effect with its standard error; None where the weights are all 0.
    """
    total = float(np.sum(weight * groups.n))
    if total == 0:
        return None
    value = float(np.sum(weight * groups.phi)) / total
    scale = groups.n_users / total * weight
    return estimate(groups, value, {"phi": scale, "one": -value * scale})


@dataclass(frozen=True)
class Sample:
    """The outcomes of one side: number of users, mean and sample variance."""

    n: int
    mean: float
    variance: float


def realised_uplift(
    treated: Sample, control: Sample, clusters: ClusterSquares | None = None
) -> Estimate:
    """Compute the difference in means with Neyman's standard error, sqrt(s1²/n1 + s0²/n0).

    It is unbiased where a random draw decided who was treated (Neyman 1923; Imbens & Rubin 2015, chapter
    6). Where whole clusters were drawn, the error is the cluster-robust one.

    Args:
        treated: outcomes of treated users.
        control: outcomes of users of the holdout group.
        clusters: the users' influences on the difference by cluster; None if users are independent.

    Raises:
        DataError: a side has fewer than two users, or all are in one cluster.
    """
    if min(treated.n, control.n) < 2:  # noqa: PLR2004 - a variance needs two
        raise DataError(
            f"{treated.n} treated and {control.n} held-out users have outcomes; two of each are needed"
        )
    error = math.sqrt(treated.variance / treated.n + control.variance / control.n)
    return Estimate(treated.mean - control.mean, clusters.error if clusters else error)


def agree(one: Estimate, other: Estimate) -> bool:
    """Return true if two independent figures differ by no more than chance allows in 95 % of cases."""
    return abs(one.value - other.value) <= Z95 * math.hypot(one.std_error, other.std_error)
