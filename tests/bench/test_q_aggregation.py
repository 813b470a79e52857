"""Weights by Q-aggregation minimise their loss, follow clear data and stay equal without any."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from bench.q_aggregation import MIXTURE, q_weights

N = 400


def made(noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    truth = rng.standard_normal(N)
    near = [truth + 0.3 * rng.standard_normal(N), truth + 0.3 * rng.standard_normal(N)]
    predicted = np.column_stack([*near, rng.standard_normal(N)])
    return predicted, truth + noise * rng.standard_normal(N), rng.uniform(0.5, 1.5, N)


@pytest.mark.parametrize("noise", [0.1, 1.0, 10.0])
def test_they_minimise_the_penalised_loss(noise: float) -> None:
    predicted, label, weight = made(noise)
    weight /= weight.sum()
    penalty = weight @ (label - predicted.mean(axis=1)) ** 2 / N

    def loss(theta: np.ndarray) -> float:
        own = weight @ (label[:, None] - predicted) ** 2
        together = weight @ (label - predicted @ theta) ** 2
        divergence = np.sum(theta * np.log(np.maximum(theta, 1e-12) * 3))
        return float((1 - MIXTURE) * together + MIXTURE * own @ theta + penalty * divergence)

    ours = q_weights(predicted, label, weight, users=N)
    sums = {"type": "eq", "fun": lambda theta: theta.sum() - 1}
    best = minimize(loss, np.full(3, 1 / 3), bounds=[(0, 1)] * 3, constraints=sums, tol=1e-12)
    assert ours.sum() == pytest.approx(1)
    assert loss(ours) <= best.fun + 1e-5 * abs(best.fun)


def test_two_good_models_share_the_weight_and_a_bad_one_gets_none() -> None:
    weights = q_weights(*made(0.1), users=N)
    assert weights[:2].min() > 0.3
    assert weights[2] < 0.01


def test_data_that_say_nothing_leave_the_weights_equal() -> None:
    predicted, _, weight = made(1.0)
    noise = 1_000 * np.random.default_rng(2).standard_normal(N)
    assert q_weights(0.01 * predicted, noise, weight, users=N) == pytest.approx(1 / 3, abs=0.05)
