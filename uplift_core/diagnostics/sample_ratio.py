"""Test whether the arms have their designed sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from uplift_core.errors import DataError

SIGNIFICANCE = 0.001  # usual for this test: Fabijan et al. 2019


@dataclass(frozen=True)
class SampleRatio:
    """Largest difference between an arm's share and its designed share, with the test's p-value."""

    p_value: float
    deviation: float
    arm: str

    def mismatch(self, limit: float) -> bool:
        """Return true if the difference is beyond chance *and* beyond ``limit``.

        With millions of users even a harmless difference is beyond chance, so both conditions count.
        """
        return self.p_value < SIGNIFICANCE and self.deviation > limit


def sample_ratio(counts: Mapping[str, int], shares: Mapping[str, float]) -> SampleRatio:
    """Test the arms' counts against the designed shares (chi-square).

    Fabijan et al., Diagnosing Sample Ratio Mismatch in Online Controlled Experiments, KDD 2019.

    Args:
        counts: users by arm.
        shares: designed shares by arm, which add up to 1.

    Returns:
        The test's p-value, and the largest difference in shares with its arm.

    Raises:
        DataError: an arm lacks a share, or there are no users.
    """
    if sorted(counts) != sorted(shares) or sum(counts.values()) == 0:
        raise DataError(
            f"arms {sorted(counts)} have users, arms {sorted(shares)} have shares; give each arm both"
        )
    arms = sorted(counts)
    observed = np.asarray([counts[arm] for arm in arms], dtype=np.float64)
    expected = observed.sum() * np.asarray([shares[arm] for arm in arms])
    deviation = np.abs(observed - expected) / observed.sum()
    worst = int(deviation.argmax())
    expected *= observed.sum() / expected.sum()
    chi_square = ((observed - expected) ** 2 / expected).sum()
    p_value = float(chdtrc(len(arms) - 1, chi_square))
    return SampleRatio(p_value, float(deviation[worst]), arms[worst])
