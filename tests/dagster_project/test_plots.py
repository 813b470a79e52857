"""Titles of plots say no more than their intervals bear."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dagster_project.plots import decile_plot, policy_plot, qini_plot, specification


def title(chart: Any) -> str:
    return str(json.loads(specification(chart))["title"]["text"])


@pytest.mark.parametrize(
    ("std_error", "words"), [(0.001, "above worst tenth"), (0.1, "within chance of worst tenth")]
)
def test_the_best_tenth_is_above_the_worst_by_more_than_chance_only(
    std_error: float, words: str
) -> None:
    rows = [
        {"learner": "x", "decile": i, "uplift": 0.1 - 0.00999 * i, "std_error": std_error}
        for i in range(1, 11)
    ]
    found = title(decile_plot(rows, "x", "visit"))
    assert words in found
    assert f"± {std_error:.2g}" in found
    assert "e-" not in found


def test_tenths_without_events_are_not_compared() -> None:
    rows = [
        {"learner": "x", "decile": i, "uplift": 0.1, "std_error": 0.1 if i < 10 else float("nan")}
        for i in range(1, 11)
    ]
    chart = decile_plot(rows, "x", "visit")
    assert "too few outcomes" in title(chart)
    assert "NaN" not in specification(chart)


@pytest.mark.parametrize(
    ("gain", "words"),
    [(0.01, "above random"), (0.001, "within chance of random"), (-0.01, "below random")],
)
def test_a_gain_over_random_is_told_with_its_error(gain: float, words: str) -> None:
    rows = [
        {"learner": name, "estimator": "aipw", "budget": budget, "gain_over_random": gain * budget / 0.3,
         "gain_std_error": 0.002}
        for name in ("x", "response")
        for budget in (0.3, 0.6)
    ]  # fmt: skip
    found = title(policy_plot(rows, "x", "visit", 0.3))
    assert words in found
    assert "± 0.002" in found


def test_the_qini_plot_gives_the_errors_and_random_beside_it() -> None:
    rows = [
        {"learner": name, "targeted": at, "incremental": added, "std_error": 40.0}
        for name in ("x", "response")
        for at, added in ((0, 0.0), (300, 120.0), (1000, 200.0))
    ]
    found = title(qini_plot(rows, "x", "converted", 0.3))
    assert found == "X-learner: best 30% add 120 ± 40, random targeting 60"
