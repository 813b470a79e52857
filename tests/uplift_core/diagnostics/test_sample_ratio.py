"""The arms' sizes against the design."""

from __future__ import annotations

import pytest

from uplift_core.diagnostics.sample_ratio import sample_ratio
from uplift_core.errors import DataError

DESIGN = {"control": 0.15, "treated": 0.85}


def test_the_p_value_is_pearsons() -> None:
    """60 of 100 in an arm of one half: chi-square 4 on one degree of freedom, p = .0455 (tables)."""
    ratio = sample_ratio({"a": 60, "b": 40}, {"a": 0.5, "b": 0.5})
    assert ratio.p_value == pytest.approx(0.0455, abs=5e-5)
    assert ratio.deviation == pytest.approx(0.1)


def test_many_users_do_not_sound_the_alarm_over_nothing() -> None:
    """Criteo's first version: .846 published of .85 in its second; by itself rounding is no mismatch."""
    rounded = sample_ratio({"control": 3_820_000, "treated": 21_489_483}, DESIGN)
    assert rounded.p_value < 1e-10
    assert not rounded.mismatch(0.002)
    assert rounded.mismatch(0.0001)


def test_few_users_do_not_sound_it_by_chance() -> None:
    assert not sample_ratio({"control": 20, "treated": 80}, DESIGN).mismatch(0.002)


def test_a_lost_tenth_of_an_arm_does() -> None:
    ratio = sample_ratio({"control": 15_000, "treated": 76_500}, DESIGN)
    assert ratio.mismatch(0.002)


@pytest.mark.parametrize(
    "counts", [{"control": 3}, {"control": 0, "treated": 0}, {"a": 1, "treated": 2}]
)
def test_arms_without_share_or_users_are_refused(counts: dict[str, int]) -> None:
    with pytest.raises(DataError, match="have users, arms"):
        sample_ratio(counts, DESIGN)
