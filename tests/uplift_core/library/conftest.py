"""A small experiment in memory, and a model of it, for the tests of the library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import uplift_core as uplift
from uplift_core.library.model import Model
from uplift_core.simulation.rct import marketing_rct

N = 3_000
FEW = {"outcome": {"rounds": 20}, "effect": {"rounds": 20}, "forest": {"trees": 10}}
HOW: dict[str, Any] = {
    "arm": "mail",
    "control": "none",
    "outcome": "bought",
    "features": ["x1", "x4", "age", "vip", "city", "plan"],
    "shares": {"none": "1/2", "offer": "1/2"},
    "folds": 3,
    "parameters": FEW,
    "threads": 1,
}


def made_users(n: int = N, seed: int = 3) -> dict[str, np.ndarray]:
    """Columns of users: numbers, a boolean, texts of few and of many values, and missing values."""
    drawn, rng = next(marketing_rct(n, seed)), np.random.default_rng(seed)
    x4 = drawn.x[:, 3].copy()
    x4[rng.random(n) < 0.1] = np.nan
    city = rng.choice(["Bern", "Genf", "Basel"], n).astype(object)
    city[rng.random(n) < 0.05] = None
    return {
        "customer": np.arange(n) * 7 + 1_000_000,
        "household": np.arange(n) // 2,
        "mail": np.where(drawn.w == 1, "offer", "none"),
        "bought": drawn.y.astype(np.int64),
        "x1": drawn.x[:, 0],
        "x4": x4,
        "age": rng.integers(18, 80, n),
        "vip": drawn.x[:, 4] > 0,
        "city": city,
        "plan": np.asarray([f"plan {k}" for k in rng.integers(0, 20, n)]),
        "chance": np.full(n, 0.5),
    }


@pytest.fixture(scope="session")
def users() -> dict[str, np.ndarray]:
    """Columns of 3,000 users."""
    return made_users()


@pytest.fixture(scope="session")
def model(users: dict[str, np.ndarray]) -> Model:
    """All learners, with few rounds."""
    return uplift.fit(users, **HOW)
