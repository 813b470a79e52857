"""What held-out users say against a learner."""

from __future__ import annotations

import numpy as np

from uplift_core.evaluation.contradiction import contradiction
from uplift_core.evaluation.estimate import Estimate


def test_a_gain_that_is_clearly_below_0_contradicts() -> None:
    said = contradiction(Estimate(-0.01, 0.005), None)
    assert said is not None
    assert "-0.01000 per user (standard error 0.00500)" in said
    assert "ends below 0" in said
    assert contradiction(Estimate(-0.01, 0.0052), None) is None


def test_a_gain_below_what_the_procedure_achieved_inside_train_contradicts() -> None:
    inside = Estimate(0.010, 0.003)
    said = contradiction(Estimate(0.001, 0.004), inside)  # z = -1.8
    assert said is not None
    assert "less than the procedure gained inside train (+0.01000 per user" in said
    assert contradiction(Estimate(0.002, 0.004), inside) is None  # z = -1.6
    assert contradiction(Estimate(0.001, 0.004), None) is None


def test_equal_scores_for_all_contradict_nothing() -> None:
    assert contradiction(Estimate(0.0, 0.0), Estimate(0.0, 0.0)) is None


def test_chance_contradicts_in_as_many_cases_as_the_two_looks_have() -> None:
    rng = np.random.default_rng(1)
    held_out, inside = rng.standard_normal((2, 20_000))
    told = [
        contradiction(Estimate(a, 1.0), Estimate(0.6 * b, 0.6))
        for a, b in zip(held_out, inside, strict=True)
    ]
    assert 0.05 < np.mean([said is not None for said in told]) < 0.075
