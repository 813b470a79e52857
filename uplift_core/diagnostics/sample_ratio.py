"""Whether the arms have the sizes that the design gave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import chisquare

from uplift_core.errors import DataError

SIGNIFICANCE = 0.001  # as is usual for this alarm: Fabijan et al. 2019


@dataclass(frozen=True)
class SampleRatio:
    """How far the arms' shares are from the designed ones, and how likely that is by chance."""

    p_value: float
    deviation: float
    arm: str

    def mismatch(self, limit: float) -> bool:
        """Whether the difference is beyond chance *and* beyond ``limit``.

        With millions of users a difference that does no harm is beyond chance too, so both count.
        """
        return self.p_value < SIGNIFICANCE and self.deviation > limit


def sample_ratio(counts: Mapping[str, int], shares: Mapping[str, float]) -> SampleRatio:
    """Chi-square test of the arms' counts against the designed shares.

    Fabijan et al., Diagnosing Sample Ratio Mismatch in Online Controlled Experiments, KDD 2019.

    Args:
        counts: users by arm.
        shares: designed shares by arm, which add up to 1.

    Returns:
        The test's p-value, and the largest difference in shares with its arm.

    Raises:
        DataError: an arm lacks a share or there are no users.
    """
    if sorted(counts) != sorted(shares) or sum(counts.values()) == 0:
        raise DataError(f"users are counted in arms {sorted(counts)}, shares are of {sorted(shares)}")
    arms = sorted(counts)
    observed = np.asarray([counts[arm] for arm in arms], dtype=np.float64)
    expected = observed.sum() * np.asarray([shares[arm] for arm in arms])
    deviation = np.abs(observed - expected) / observed.sum()
    worst = int(deviation.argmax())
    test = chisquare(observed, expected * (observed.sum() / expected.sum()))
    return SampleRatio(float(test.pvalue), float(deviation[worst]), arms[worst])
