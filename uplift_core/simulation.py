"""Randomized experiments with known truth, to prove learners and evaluators on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from uplift_core.boosting import Doubles

MARKETING_FEATURES = 10
CHUNK = 250_000


@dataclass(frozen=True)
class Simulated:
    """Users of a simulated RCT: features, arm, outcome, and the two chances behind the outcome."""

    x: Doubles  # (n, n_features)
    w: Doubles  # (n,) 0 or 1
    y: Doubles  # (n,) 0 or 1
    p0: Doubles  # (n,) P(Y = 1) under control
    p1: Doubles  # (n,) P(Y = 1) under treatment

    @property
    def cate(self) -> Doubles:
        """(n,) the true effect p1 - p0."""
        return self.p1 - self.p0


def marketing_rct(
    n_users: int, seed: int, *, treated_share: float = 0.5, chunk: int = CHUNK
) -> Iterator[Simulated]:
    """A marketing RCT with sure things, lost causes, persuadables and sleeping dogs, in chunks.

    x ~ N(0, I_10); logit p0 = -1.2 + 0.8 x1 + 0.5 x2 - 0.4 x3 1[x2 > 0];
    logit p1 = logit p0 + 0.5 tanh(1.5 x4) + 0.4 1[x5 > 0] - 0.3 1[x6 > 1] + 0.2 x1.

    Each chunk has a random stream of its own, so a chunk's users do not depend on how many follow.

    Args:
        n_users: users in all.
        seed: of all streams.
        treated_share: e, the chance of being treated.
        chunk: users at a time.
    """
    starts = range(0, n_users, chunk)
    streams = np.random.SeedSequence(seed).spawn(len(starts))
    for start, stream in zip(starts, streams, strict=True):
        rng = np.random.default_rng(stream)
        n = min(chunk, n_users - start)
        x = rng.standard_normal((n, MARKETING_FEATURES))
        x1, x2, x3, x4, x5, x6 = x.T[:6]
        logit0 = -1.2 + 0.8 * x1 + 0.5 * x2 - 0.4 * x3 * (x2 > 0)
        lift = 0.5 * np.tanh(1.5 * x4) + 0.4 * (x5 > 0) - 0.3 * (x6 > 1) + 0.2 * x1
        p0, p1 = _sigmoid(logit0), _sigmoid(logit0 + lift)
        w = (rng.random(n) < treated_share).astype(np.float64)
        y = (rng.random(n) < np.where(w == 1, p1, p0)).astype(np.float64)
        yield Simulated(x, w, y, p0, p1)


def _sigmoid(z: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-z)), dtype=np.float64)
