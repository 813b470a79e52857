"""Estimate what a campaign realised over its nights, with intervals for one look and for every look.

Users are drawn into the holdout group once for good, so a user's outcomes of several nights go
together: their influences are summed over nights before they are squared. Outcomes that models predict
from features are subtracted, multiplied with the coefficient that makes the error smallest (control
variates; Deng et al. 2013; AIPW where the coefficient is 1). The draws are independent of features, so
that adds no bias, whatever the prediction is worth.

The confidence sequence holds on all nights at once. It is Robbins' normal mixture (1970), which
Waudby-Smith et al. (2021) prove for estimates that are asymptotically normal: here for the added
outcomes, whose variance grows with every night. Both sides take half of the level, each by a half-normal
mixture. docs/numbers.md derives it and says what it assumes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import log_ndtr

from uplift_core.evaluation.estimate import Z95, Estimate

LEVEL = 0.05  # chance that the sequence ever leaves out the truth
# The sequence is narrowest where the variance is this many times that of the first night.
NARROWEST_AT = 10.0
# Of a normal mixture, v / rho where it is narrowest at v (Waudby-Smith et al. 2021, appendix B.2).
NARROWEST = -2 * math.log(LEVEL) + math.log(-2 * math.log(LEVEL)) + 1


@dataclass(frozen=True)
class Squares:
    """Sums over units of products of influences: of the outcome ``y``, and of the expected outcome."""

    yy: float
    y_expected: float
    expected_sq: float

    @property
    def coefficient(self) -> float:
        """What the expected outcome is multiplied with so that the error is smallest; 0 without any."""
        return self.y_expected / self.expected_sq if self.expected_sq > 0 else 0.0

    def adjusted(self, coefficient: float) -> float:
        """Return the sum of squares of the adjusted influences."""
        square = self.yy - 2 * coefficient * self.y_expected + coefficient**2 * self.expected_sq
        return max(square, 0.0)


@dataclass(frozen=True)
class AddedOutcomes:
    """Sums over a campaign's nights.

    Attributes:
        treatments: number of treatments.
        added: outcomes that the treatments added.
        added_expected: the same of expected outcomes, which no treatment changes: noise of the draws.
        by_unit: squares of influences on ``added`` that are summed by user, or by cluster.
        by_night: the same, summed by user and night.
    """

    treatments: int
    added: float
    added_expected: float
    by_unit: Squares
    by_night: Squares

    @property
    def coefficient(self) -> float:
        """What expected outcomes are multiplied with."""
        return self.by_unit.coefficient

    @property
    def unadjusted(self) -> Estimate:
        """Added outcomes per treatment, without adjustment."""
        return Estimate(self.added / self.treatments, math.sqrt(self.by_unit.yy) / self.treatments)

    @property
    def adjusted(self) -> Estimate:
        """Added outcomes per treatment, adjusted by expected outcomes."""
        added = self.added - self.coefficient * self.added_expected
        error = math.sqrt(self.by_unit.adjusted(self.coefficient))
        return Estimate(added / self.treatments, error / self.treatments)

    @property
    def variance(self) -> float:
        """Variance of the added outcomes, adjusted; at least that of independent nights.

        The latter is larger where a user's outcomes of several nights exclude each other. Then the
        sequence is wider than it needs to be.
        """
        return max(s.adjusted(self.coefficient) for s in (self.by_unit, self.by_night))


def sequence_radius(variance: float, first_variance: float) -> float:
    """Compute half of the width of the 95 % confidence sequence of a sum.

    Args:
        variance: variance of the sum now; it must never fall from look to look.
        first_variance: its variance at the first look, which fixes where the sequence is narrowest.

    Returns:
        The largest distance of sum and truth that chance allows at all looks at once; infinite where
        the first look has no variance.
    """
    if first_variance <= 0:
        return math.inf
    rho = NARROWEST_AT * first_variance / NARROWEST
    # Ville: the half-normal mixture 2 sqrt(rho / (v + rho)) exp(u^2 / 2) Phi(u) reaches 2 / level with
    # probability level / 2 at most, where u = sum / sqrt(v + rho).
    log_limit = -math.log(LEVEL) + 0.5 * math.log((variance + rho) / rho)
    u = brentq(lambda u: u * u / 2 + float(log_ndtr(u)) - log_limit, 0.0, 2 + 2 * math.sqrt(log_limit))
    return float(u) * math.sqrt(variance + rho)


def agrees_always(radius: float, difference: float, promised_error: float) -> bool:
    """Return true if measurement and promise differ by no more than chance allows at all looks at once.

    Args:
        radius: half of the width of the measurement's confidence sequence.
        difference: measurement less promise.
        promised_error: standard error of the promise.
    """
    return abs(difference) <= math.hypot(radius, Z95 * promised_error)
