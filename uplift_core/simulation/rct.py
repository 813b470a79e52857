"""Randomized experiments with known truth, to test learners and evaluators.

Every design yields users in chunks, each with a separate random stream: the users of a chunk do not
depend on the number of later chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.errors import DataError

MARKETING_FEATURES = 10
CHUNK = 250_000

NieWagerSetup = Literal["A", "B", "C", "D"]


@dataclass(frozen=True)
class Simulated:
    """Users of a simulated RCT, with the means of both potential outcomes.

    Attributes:
        x: (n, n_features) features.
        w: (n,) 1 under treatment, 0 under control.
        y: (n,) outcomes.
        mu0: (n,) E[Y | x] under control; a probability if the outcome is binary.
        mu1: (n,) E[Y | x] under treatment.
    """

    x: Doubles
    w: Doubles
    y: Doubles
    mu0: Doubles
    mu1: Doubles

    @property
    def cate(self) -> Doubles:
        """(n,) true effects mu1 - mu0."""
        return self.mu1 - self.mu0

    @property
    def ate(self) -> float:
        """Mean true effect of these users."""
        return float(self.cate.mean())

    def policy_value(self, score: Doubles, budget: float) -> float:
        """Compute the true mean outcome if the best share ``budget`` of users by ``score`` is treated.

        With ``score = cate`` (n,) it is the value of the best policy. A budget that cuts a tie takes the
        tied users in equal shares, so the order does not matter.
        """
        _, place, counts = np.unique(-score, return_inverse=True, return_counts=True)
        before = np.cumsum(counts) - counts
        share = np.clip((budget * len(score) - before) / counts, 0, 1)
        return float(np.mean(self.mu0 + share[place] * self.cate))


def marketing_rct(
    n_users: int, seed: int, *, treated_share: float = 0.5, chunk: int = CHUNK
) -> Iterator[Simulated]:
    """Draw a marketing RCT with sure things, lost causes, persuadables and sleeping dogs, in chunks.

    x ~ N(0, I_10); logit p0 = -1.2 + 0.8 x1 + 0.5 x2 - 0.4 x3 1[x2 > 0];
    logit p1 = logit p0 + 0.5 tanh(1.5 x4) + 0.4 1[x5 > 0] - 0.3 1[x6 > 1] + 0.2 x1.

    Args:
        n_users: total number of users.
        seed: random seed of all streams.
        treated_share: e, the chance of being treated.
        chunk: number of users per chunk.
    """

    def draw(rng: np.random.Generator, n: int) -> Simulated:
        x = rng.standard_normal((n, MARKETING_FEATURES))
        p0, p1 = marketing_means(x)
        w = (rng.random(n) < treated_share).astype(np.float64)
        y = (rng.random(n) < np.where(w == 1, p1, p0)).astype(np.float64)
        return Simulated(x, w, y, p0, p1)

    return _stream(draw, n_users, seed, treated_share, chunk)


def marketing_means(x: Doubles) -> tuple[Doubles, Doubles]:
    """Compute p0 and p1 of ``marketing_rct`` from ``x`` (n, 10): (n,) each."""
    x1, x2, x3, x4, x5, x6 = x.T[:6]
    logit0 = -1.2 + 0.8 * x1 + 0.5 * x2 - 0.4 * x3 * (x2 > 0)
    lift = 0.5 * np.tanh(1.5 * x4) + 0.4 * (x5 > 0) - 0.3 * (x6 > 1) + 0.2 * x1
    return _sigmoid(logit0), _sigmoid(logit0 + lift)


def nie_wager_rct(  # noqa: PLR0913 - the parameters of the paper
    setup: NieWagerSetup,
    n_users: int,
    seed: int,
    *,
    n_features: int = 6,
    noise: float = 1.0,
    treated_share: float = 0.5,
    chunk: int = CHUNK,
) -> Iterator[Simulated]:
    """Draw setups A to D of Nie & Wager (2021, section 6.1), all with *randomized* treatment.

    Y = b(x) + (W - 1/2) tau(x) + noise * N(0, 1). Setup B is randomized in the paper, too. A, C and D
    are confounded there, so their figures are not comparable with the paper's.

    Args:
        setup: A: difficult baseline, easy effect. B: randomized, both mildly complex. C: hard
            baseline, constant effect. D: unrelated response surfaces of the two arms.
        n_users: total number of users.
        seed: random seed of all streams.
        n_features: d, 5 or more.
        noise: sigma.
        treated_share: e, the chance of being treated.
        chunk: number of users per chunk.
    """
    if n_features < 5:  # noqa: PLR2004 - x1 to x5 appear in the surfaces
        raise DataError(f"n_features {n_features}: Nie & Wager's setups read x1 to x5; take 5 or more")

    def draw(rng: np.random.Generator, n: int) -> Simulated:
        shape = (n, n_features)
        x = rng.random(shape) if setup == "A" else rng.standard_normal(shape)
        b, tau = _SURFACES[setup](x)
        w = (rng.random(n) < treated_share).astype(np.float64)
        y = b + (w - 0.5) * tau + noise * rng.standard_normal(n)
        return Simulated(x, w, y, b - 0.5 * tau, b + 0.5 * tau)

    return _stream(draw, n_users, seed, treated_share, chunk)


def _stream(
    draw: Callable[[np.random.Generator, int], Simulated],
    n_users: int,
    seed: int,
    treated_share: float,
    chunk: int,
) -> Iterator[Simulated]:
    if not 0 < treated_share < 1:
        raise DataError(f"treated_share {treated_share!r}: must be between 0 and 1")
    starts = range(0, n_users, chunk)
    streams = np.random.SeedSequence(seed).spawn(len(starts))
    for start, stream in zip(starts, streams, strict=True):
        yield draw(np.random.default_rng(stream), min(chunk, n_users - start))


def _setup_a(x: Doubles) -> tuple[Doubles, Doubles]:
    x1, x2, x3, x4, x5 = x.T[:5]
    b = np.sin(np.pi * x1 * x2) + 2 * (x3 - 0.5) ** 2 + x4 + 0.5 * x5
    return b, (x1 + x2) / 2


def _setup_b(x: Doubles) -> tuple[Doubles, Doubles]:
    x1, x2, x3, x4, x5 = x.T[:5]
    b = np.maximum(np.maximum(x1 + x2, x3), 0) + np.maximum(x4 + x5, 0)
    return b, x1 + np.log1p(np.exp(x2))


def _setup_c(x: Doubles) -> tuple[Doubles, Doubles]:
    x1, x2, x3 = x.T[:3]
    return 2 * np.log1p(np.exp(x1 + x2 + x3)), np.ones(len(x))


def _setup_d(x: Doubles) -> tuple[Doubles, Doubles]:
    x1, x2, x3, x4, x5 = x.T[:5]
    one, other = np.maximum(x1 + x2 + x3, 0), np.maximum(x4 + x5, 0)
    return (one + other) / 2, one - other


_SURFACES: dict[NieWagerSetup, Callable[[Doubles], tuple[Doubles, Doubles]]] = {
    "A": _setup_a,
    "B": _setup_b,
    "C": _setup_c,
    "D": _setup_d,
}


def _sigmoid(z: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-z)), dtype=np.float64)
