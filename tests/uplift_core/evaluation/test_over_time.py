"""The confidence sequence of added outcomes, and the adjustment by expected outcomes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from uplift_core.evaluation.estimate import Z95
from uplift_core.evaluation.over_time import (
    AddedOutcomes,
    Squares,
    agrees_always,
    sequence_radius,
)

NIGHTS = 90
DRAWS = 20_000
NONE = Squares(0.0, 0.0, 0.0)


def leaves_out(paths: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    """Shares of (n, nights) paths that ever leave the sequence, and the fixed 95 % interval."""
    radius = np.array([sequence_radius(v, variance[0]) for v in variance])
    ever = [(np.abs(paths) > limit).any(axis=1).mean() for limit in (radius, Z95 * np.sqrt(variance))]
    return float(ever[0]), float(ever[1])


@pytest.mark.parametrize("persistent", [0.0, 0.1, 0.5, 1.0])
def test_the_sequence_holds_on_all_nights_at_once_however_outcomes_of_nights_go_together(
    persistent: float,
) -> None:
    """``persistent`` is the share of a night's variance that users bring along from night to night."""
    rng = np.random.default_rng(1)
    nights = np.arange(1, NIGHTS + 1)
    fresh = rng.standard_normal((DRAWS, NIGHTS)).cumsum(axis=1)
    lasting = rng.standard_normal((DRAWS, 1)) * nights
    paths = math.sqrt(1 - persistent) * fresh + math.sqrt(persistent) * lasting
    variance = (1 - persistent) * nights + persistent * nights**2
    sequence, fixed = leaves_out(paths, variance)
    error = math.sqrt(0.05 * 0.95 / DRAWS)
    assert sequence <= 0.05 + 2 * error
    if persistent == 0.0:
        assert fixed > 0.3  # an interval for one look is none for ninety


def test_the_sequence_is_close_to_its_level_in_the_long_run() -> None:
    """A sequence that never leaves out the truth would be too wide to be of use."""
    rng = np.random.default_rng(2)
    paths = rng.standard_normal((4_000, 3_000)).cumsum(axis=1)
    sequence, _ = leaves_out(paths, np.arange(1.0, 3_001.0))
    assert 0.01 < sequence < 0.05


def test_the_sequence_grows_slower_than_the_variance_and_is_wider_than_one_look() -> None:
    ratio = [sequence_radius(v, 1.0) / (Z95 * math.sqrt(v)) for v in (1.0, 10.0, 30.0, 90.0)]
    assert ratio == pytest.approx([1.92, 1.55, 1.59, 1.65], abs=0.01)
    assert sequence_radius(0.0, 0.0) == math.inf


def test_the_mixture_is_a_fair_bet_that_reaches_its_limit_at_the_radius() -> None:
    """Half-normal mixture by quadrature: its value at the boundary is 2 / level."""
    from scipy.integrate import quad  # noqa: PLC0415

    variance, first = 7.0, 2.0
    rho = 10 * first / (-2 * math.log(0.05) + math.log(-2 * math.log(0.05)) + 1)
    s = sequence_radius(variance, first)
    value, _ = quad(
        lambda x: (
            2 * math.exp(x * s - x * x * variance / 2 - x * x * rho / 2) * math.sqrt(rho / (2 * math.pi))
        ),
        0,
        20,
    )
    assert value == pytest.approx(2 / 0.05, rel=1e-6)


def test_the_adjustment_is_the_regression_of_influences_and_never_widens() -> None:
    rng = np.random.default_rng(3)
    expected = rng.normal(size=500)
    y = 0.4 * expected + rng.normal(size=500)
    squares = Squares(float(y @ y), float(y @ expected), float(expected @ expected))
    added = AddedOutcomes(100, 12.0, 3.0, squares, squares)
    slope = np.linalg.lstsq(expected[:, None], y, rcond=None)[0][0]
    assert added.coefficient == pytest.approx(slope)
    assert added.adjusted.value == pytest.approx((12.0 - slope * 3.0) / 100)
    assert added.adjusted.std_error == pytest.approx(np.linalg.norm(y - slope * expected) / 100)
    assert added.adjusted.std_error < added.unadjusted.std_error
    assert added.variance == pytest.approx((100 * added.adjusted.std_error) ** 2)


def test_without_expected_outcomes_nothing_is_adjusted() -> None:
    squares = Squares(4.0, 0.0, 0.0)
    added = AddedOutcomes(10, 5.0, 0.0, squares, NONE)
    assert added.coefficient == 0.0
    assert added.adjusted == added.unadjusted


def test_a_promise_agrees_up_to_the_radius_and_its_own_error() -> None:
    assert agrees_always(3.0, 4.9, 4 / Z95)
    assert not agrees_always(3.0, -5.1, 4 / Z95)
