"""Ten simulated designs with known effects: rare events, few users, steps, noise, one effect for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from uplift_core.arrays import Doubles
from uplift_core.simulation.rct import NieWagerSetup, Simulated, marketing_rct, nie_wager_rct

HALF = 0.5


@dataclass(frozen=True)
class Design:
    """Simulated users; ``n`` of them, of whom 30 % are held out."""

    draw: Callable[[int, int], Simulated]
    n: int
    e: float = 0.5
    binary: bool = True


def _marketing(n: int, seed: int, *, e: float = 0.5, noise: int = 0) -> Simulated:
    users = next(marketing_rct(n, seed, treated_share=e))
    extra = np.random.default_rng([seed, n]).standard_normal((n, noise))
    return Simulated(np.column_stack([users.x, extra]), users.w, users.y, users.mu0, users.mu1)


def _nie_wager(n: int, seed: int, setup: NieWagerSetup) -> Simulated:
    return next(nie_wager_rct(setup, n, seed, chunk=n))


def _binary(rng: np.random.Generator, x: Doubles, p0: Doubles, p1: Doubles) -> Simulated:
    w = rng.integers(0, 2, len(x)).astype(np.float64)
    y = (rng.random(len(x)) < np.where(w == 1, p1, p0)).astype(np.float64)
    return Simulated(x, w, y, p0, p1)


def _rare(n: int, seed: int) -> Simulated:
    """One user in a hundred has the outcome; the treatment multiplies the chance by .7 to 2.7."""
    rng = np.random.default_rng([seed, n, 1])
    x = rng.standard_normal((n, 8))
    p0 = np.minimum(0.007 * np.exp(0.6 * x[:, 0] + 0.4 * x[:, 1]), 0.3)
    return _binary(rng, x, p0, p0 * np.exp(0.3 + 0.7 * np.tanh(x[:, 2])))


def _steps(n: int, seed: int) -> Simulated:
    """Effects are steps of two features together."""
    rng = np.random.default_rng([seed, n, 2])
    x = rng.standard_normal((n, 8))
    p0 = 0.15 + 0.1 * (x[:, 0] > 0) + 0.05 * (x[:, 1] > 1)
    tau = 0.08 * ((x[:, 2] > 0) & (x[:, 3] > 0)) - 0.05 * ((x[:, 4] > HALF) & (x[:, 0] > 0))
    return _binary(rng, x, p0, p0 + tau)


DESIGNS: dict[str, Design] = {
    "marketing, e = .5": Design(_marketing, 40_000),
    "marketing, e = .85": Design(partial(_marketing, e=0.85), 40_000, e=0.85),
    "marketing, n = 2,000": Design(_marketing, 2_000),
    "marketing, 30 noise features": Design(partial(_marketing, noise=30), 20_000),
    "rare events": Design(_rare, 40_000),
    "steps": Design(_steps, 20_000),
    "Nie & Wager A": Design(partial(_nie_wager, setup="A"), 2_000, binary=False),
    "Nie & Wager B": Design(partial(_nie_wager, setup="B"), 2_000, binary=False),
    "Nie & Wager C, one effect": Design(partial(_nie_wager, setup="C"), 2_000, binary=False),
    "Nie & Wager D": Design(partial(_nie_wager, setup="D"), 2_000, binary=False),
}
