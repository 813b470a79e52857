"""The sample ratio within strata: the chi-square of each stratum's two arms, added up."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from uplift_core.diagnostics.sample_ratio import SIGNIFICANCE, sample_ratio_within
from uplift_core.errors import DataError


def test_it_is_the_sum_of_the_strata_s_chi_squares() -> None:
    n, treated, e = np.array([400.0, 900.0]), np.array([45.0, 700.0]), np.array([0.1, 0.8])
    found = sample_ratio_within(n, treated, expected=n * e, variance=n * e * (1 - e), arm="treated")
    parts = [
        stats.chisquare([t, m - t], [m * p, m * (1 - p)]).statistic
        for m, t, p in zip(n, treated, e, strict=True)
    ]
    assert found.p_value == pytest.approx(stats.chi2.sf(sum(parts), 2), rel=1e-9)
    assert found.deviation == pytest.approx((5 + 20) / 1300)
    assert found.arm == "treated"


def test_strata_that_differ_in_opposite_ways_do_not_cancel() -> None:
    n, e = np.full(2, 1000.0), np.full(2, 0.5)
    off = sample_ratio_within(
        n, n * e + [80, -80], expected=n * e, variance=n * e * (1 - e), arm="treated"
    )
    assert off.p_value < SIGNIFICANCE
    assert off.mismatch(0.01)
    with pytest.raises(DataError, match="there are no users"):
        sample_ratio_within(0 * n, n, expected=n, variance=n, arm="treated")
