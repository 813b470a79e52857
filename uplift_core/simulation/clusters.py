"""Randomized experiments on clusters, whose users are alike and are treated together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.simulation.rct import MARKETING_FEATURES, Simulated, marketing_means


@dataclass(frozen=True)
class ClusterDesign:
    """An experiment on whole clusters.

    Attributes:
        size: users of each cluster.
        icc: correlation, within a cluster, of each feature, and of outcomes given the features.
        treated_share: chance that a cluster is treated.
        pays: whether the treatment has an effect, that of ``marketing_rct``; otherwise it has none.
    """

    size: int
    icc: float
    treated_share: float = 0.5
    pays: bool = True

    def draw(self, clusters: int, seed: int) -> tuple[Simulated, npt.NDArray[np.int64]]:
        """Draw an experiment, and the number of each user's cluster.

        A single user is one of ``marketing_rct``: a figure that is a mean over users has the same truth.
        """
        rng = np.random.default_rng(seed)
        cluster = np.repeat(np.arange(clusters), self.size)
        n = len(cluster)
        shared = rng.standard_normal((clusters, MARKETING_FEATURES))[cluster]
        x = np.sqrt(self.icc) * shared
        x += np.sqrt(1 - self.icc) * rng.standard_normal((n, MARKETING_FEATURES))
        p0, p1 = marketing_means(x)
        p1 = p1 if self.pays else p0
        treated: Doubles = (rng.random(clusters) < self.treated_share).astype(np.float64)
        w = treated[cluster]
        # Two users with the same chance, who both take the cluster's number, have the same outcome.
        takes = rng.random(n) < np.sqrt(self.icc)
        number = np.where(takes, rng.random(clusters)[cluster], rng.random(n))
        y = (number < np.where(w == 1, p1, p0)).astype(np.float64)
        return Simulated(x, w, y, p0, p1), cluster
