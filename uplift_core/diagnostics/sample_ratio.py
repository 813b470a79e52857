"""Test whether the arms have their designed sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from uplift_core.arrays import Doubles
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


def sample_ratio_within(
    n: Doubles, n_treated: Doubles, *, expected: Doubles, variance: Doubles, arm: str
) -> SampleRatio:
    """Test the treated users of each stratum against their chances: a chi-square, added up over strata.

    A stratum adds (treated - sum of e)^2 / (sum of e (1 - e)) and one degree of freedom: the chi-square
    of its two arms if e is one number there.

    Args:
        n: (n_strata,) users.
        n_treated: (n_strata,) users under treatment.
        expected: (n_strata,) sum of the users' e.
        variance: (n_strata,) sum of the users' e (1 - e), above 0.
        arm: name of the treatment.

    Returns:
        The test's p-value, and the share of all users by which the strata differ.

    Raises:
        DataError: there are no users.
    """
    if n.sum() == 0:
        raise DataError("strata: there are no users; give each stratum users")
    off = n_treated - expected
    p_value = float(chdtrc(len(n), (off**2 / variance).sum()))
    return SampleRatio(p_value, float(np.abs(off).sum() / n.sum()), arm)
