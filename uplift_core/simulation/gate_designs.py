"""Simulate experiments for the gate: choosing whom to treat is worth nothing in six, and pays in four.

The features of the six predict the outcome, as real features do. But they say nothing about the
*effect*, or nothing beyond what the outcome under control says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.simulation.rct import NieWagerSetup, Simulated, nie_wager_rct

LARGE = 10_000  # number of users; in larger experiments, effects are smaller


@dataclass(frozen=True)
class Design:
    """One kind of simulated experiment.

    Attributes:
        draw: function from a random stream and a number of users to the experiment.
        pays: whether the best choice of users beats random targeting *and* the response model.
        treated_share: e, the chance of being treated.
        binary: whether outcomes are 0 or 1.
    """

    draw: Callable[[np.random.Generator, int], Simulated]
    pays: bool
    treated_share: float = 0.5
    binary: bool = True


def draw(name: str, n: int, seed: int) -> Simulated:
    """Draw ``n`` users of one of ``DESIGNS``."""
    stream = np.random.default_rng([seed, n, list(DESIGNS).index(name)])
    return DESIGNS[name].draw(stream, n)


def _sigmoid(z: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-z)))


def _binary(rng: np.random.Generator, x: Doubles, p0: Doubles, p1: Doubles, e: float) -> Simulated:
    w = (rng.random(len(x)) < e).astype(np.float64)
    y = (rng.random(len(x)) < np.where(w == 1, p1, p0)).astype(np.float64)
    return Simulated(x, w, y, p0, p1)


def _marketing(
    rng: np.random.Generator, n: int, *, e: float = 0.5, lift: float = 0.0, shift: float = 0.0
) -> Simulated:
    x = rng.standard_normal((n, 6))
    base = -1.2 + 0.8 * x[:, 0] + 0.5 * x[:, 1] - 0.4 * x[:, 2] * (x[:, 1] > 0) + shift
    effect = 0.5 * np.tanh(1.5 * x[:, 3]) + 0.4 * (x[:, 4] > 0) - 0.3 * (x[:, 5] > 1) + 0.2 * x[:, 0]
    return _binary(rng, x, _sigmoid(base), _sigmoid(base + lift * effect), e)


def _response_ranks_as_well(rng: np.random.Generator, n: int) -> Simulated:
    """Draw users whose effect is 40 % of the outcome under control: no ranking beats that outcome's."""
    users = _marketing(rng, n, shift=-0.8)
    return _binary(rng, users.x, users.mu0, np.minimum(1.4 * users.mu0, 0.99), 0.5)


def _discrete(rng: np.random.Generator, n: int) -> Simulated:
    x = np.column_stack([rng.integers(0, 2, (n, 4)), rng.integers(0, 3, n)]).astype(np.float64)
    p = _sigmoid(-1.6 + 0.6 * x[:, 0] - 0.4 * x[:, 1] + 0.3 * x[:, 4])
    return _binary(rng, x, p, p, 0.5)


def _nie_wager(rng: np.random.Generator, n: int, setup: NieWagerSetup, noise: float) -> Simulated:
    seed = int(rng.integers(2**31))
    return next(nie_wager_rct(setup, n, seed, noise=noise, chunk=n))


def _by_size(small: float, large: float) -> Callable[[int], float]:
    return lambda n: large if n > LARGE else small


_WEAK, _STRONG = _by_size(0.9, 0.45), _by_size(1.5, 0.7)
_NOISE_A, _NOISE_D = _by_size(1.2, 3.0), _by_size(5.0, 12.0)

DESIGNS: dict[str, Design] = {
    "no effect": Design(_marketing, pays=False),
    "constant effect": Design(lambda r, n: _nie_wager(r, n, "C", 1.0), pays=False, binary=False),
    "response ranks as well": Design(_response_ranks_as_well, pays=False),
    "e = .85": Design(lambda r, n: _marketing(r, n, e=0.85), pays=False, treated_share=0.85),
    "0.5 % events": Design(lambda r, n: _marketing(r, n, shift=-4.55), pays=False),
    "few discrete features": Design(_discrete, pays=False),
    "marketing, weak": Design(lambda r, n: _marketing(r, n, lift=_WEAK(n)), pays=True),
    "marketing, strong": Design(lambda r, n: _marketing(r, n, lift=_STRONG(n)), pays=True),
    "Nie & Wager A": Design(lambda r, n: _nie_wager(r, n, "A", _NOISE_A(n)), pays=True, binary=False),
    "Nie & Wager D": Design(lambda r, n: _nie_wager(r, n, "D", _NOISE_D(n)), pays=True, binary=False),
}
