"""The audiences: users divided by hand have the same sizes, effects and shares of the lists."""

from __future__ import annotations

import numpy as np
import pytest

from uplift_core.evaluation.audiences import audience_rows
from uplift_core.evaluation.groups import joint_groups

N, BUDGET = 4000, 0.3


def test_audiences_are_those_of_users_divided_by_hand() -> None:
    rng = np.random.default_rng(0)
    response, score = rng.random(N), rng.normal(size=N)
    w, y = rng.integers(0, 2, N).astype(float), rng.integers(0, 2, N).astype(float)
    joint = joint_groups(
        {"stack": score, "response": response}, w, y, mu0=response, mu1=response, propensity=0.5
    )
    phi = w * (y - response) / 0.5 - (1 - w) * (y - response) / 0.5
    rows = {(r["baseline"], r["predicted_effect"]): r for r in audience_rows(joint, "stack", BUDGET)}
    listed, by_response = (values >= np.quantile(values, 1 - BUDGET) for values in (score, response))
    assert sum(row["n"] for row in rows.values()) == N
    for (baseline, effect), row in rows.items():
        inside = (response > np.median(response)) == (baseline == "high")
        inside &= (score > np.median(score)) == (effect == "high")
        assert row["n"] == pytest.approx(inside.sum(), abs=2)  # the user at the median
        assert row["effect"] == pytest.approx(phi[inside].mean(), abs=0.01)
        assert row["std_error"] == pytest.approx(phi[inside].std() / np.sqrt(inside.sum()), rel=0.01)
        assert row["response"] == pytest.approx(response[inside].mean(), abs=0.002)
        assert row["listed"] == pytest.approx(listed[inside].mean(), abs=0.005)
        assert row["listed_by_response"] == pytest.approx(by_response[inside].mean(), abs=0.005)
        both = (listed & by_response)[inside].mean()
        assert row["listed_by_both"] == pytest.approx(both, abs=0.005)


def test_a_ranking_agrees_with_itself_and_equal_users_are_one_audience() -> None:
    rng = np.random.default_rng(1)
    w, y = rng.integers(0, 2, N).astype(float), rng.integers(0, 2, N).astype(float)
    same, zero = rng.random(N), np.zeros(N)
    joint = joint_groups({"s": same, "response": same}, w, y, mu0=zero, mu1=zero, propensity=0.5)
    rows = list(audience_rows(joint, "s", BUDGET))
    assert {(r["baseline"], r["predicted_effect"]) for r in rows} == {("low", "low"), ("high", "high")}
    assert sum(r["share"] * r["listed_by_both"] for r in rows) == pytest.approx(BUDGET, abs=1e-3)
    tied = joint_groups({"s": zero, "response": zero}, w, y, mu0=zero, mu1=zero, propensity=0.5)
    (row,) = audience_rows(tied, "s", BUDGET)
    assert (row["n"], row["listed"]) == (N, pytest.approx(BUDGET))
    assert row["listed_by_both"] == pytest.approx(BUDGET**2)  # drawn by chance, each by itself
