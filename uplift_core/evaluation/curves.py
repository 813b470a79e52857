"""Qini curve, its area, and uplift by decile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uplift_core.boosting import Doubles
from uplift_core.evaluation.groups import ScoreGroups

TINY = 1e-6  # users; less of a group than that is rounding of k / n_bins, not a part of the decile


@dataclass(frozen=True)
class Curve:
    """Points of a curve: users targeted so far, incremental outcomes among them."""

    targeted: Doubles
    incremental: Doubles

    def area(self) -> float:
        """Area under the curve by the trapezoidal rule."""
        return float(np.trapezoid(self.incremental, self.targeted))


def qini_curve(groups: ScoreGroups) -> Curve:
    """Y_t - Y_c * N_t / N_c among the best users (Radcliffe 2007), as scikit-uplift's qini_curve."""
    return _qini(groups.n, groups.n_treated, groups.y_treated, groups.y_control)


def qini_auc(groups: ScoreGroups) -> float:
    """Area between the Qini curve and the random line, over that of the perfect curve.

    Equal to scikit-uplift's ``qini_auc_score``. Binary outcomes only: the perfect curve takes the
    treated who responded first and the controls who responded last.
    """
    curve = qini_curve(groups)
    n, n_t = groups.n.sum(), groups.n_treated.sum()
    y_t, y_c = groups.y_treated.sum(), groups.y_control.sum()
    kinds = np.array([y_t, n - y_t - y_c, y_c])
    present = kinds > 0
    perfect = _qini(
        kinds[present],
        np.array([y_t, n_t - y_t, 0.0])[present],
        np.array([y_t, 0.0, 0.0])[present],
        np.array([0.0, 0.0, y_c])[present],
    )
    baseline = n * perfect.incremental[-1] / 2
    return (curve.area() - float(baseline)) / (perfect.area() - float(baseline))


def _qini(n: Doubles, n_treated: Doubles, y_treated: Doubles, y_control: Doubles) -> Curve:
    targeted, treated = np.cumsum(n), np.cumsum(n_treated)
    control = targeted - treated
    ratio = np.divide(treated, control, out=np.zeros_like(treated), where=control != 0)
    incremental = np.cumsum(y_treated) - np.cumsum(y_control) * ratio
    return Curve(np.r_[0.0, targeted], np.r_[0.0, incremental])


@dataclass(frozen=True)
class Decile:
    """One tenth of the users by score; 1 is the best. Cut groups count by the share inside."""

    decile: int
    n: float
    n_treated: float
    score_low: float
    score_high: float
    rate_treated: float
    rate_control: float
    uplift: float
    std_error: float


def uplift_by_decile(groups: ScoreGroups, n_bins: int = 10) -> list[Decile]:
    """Difference in mean outcome between the arms, within each tenth of users by score.

    The standard error is that of a difference of two independent means. Where a decile lacks an
    arm, its uplift is NaN.
    """
    rows = []
    for k in range(n_bins):
        share = groups.treated_share((k + 1) / n_bins) - groups.treated_share(k / n_bins)
        inside = groups.score[share * groups.n > TINY]
        n, n_t = float(share @ groups.n), float(share @ groups.n_treated)
        rate_t, var_t = _mean_variance(share, groups.y_treated, groups.yy_treated, n_t)
        rate_c, var_c = _mean_variance(share, groups.y_control, groups.yy_control, n - n_t)
        rows.append(
            Decile(
                decile=k + 1,
                n=n,
                n_treated=n_t,
                score_low=float(inside[-1]),
                score_high=float(inside[0]),
                rate_treated=rate_t,
                rate_control=rate_c,
                uplift=rate_t - rate_c,
                std_error=float(np.sqrt(var_t + var_c)),
            )
        )
    return rows


def _mean_variance(share: Doubles, y: Doubles, yy: Doubles, n: float) -> tuple[float, float]:
    if n <= 0:
        return float("nan"), float("nan")
    mean = float(share @ y) / n
    return mean, max(float(share @ yy) / n - mean**2, 0.0) / n
