"""Qini and uplift curves, their areas, uplift at k and by decile."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from uplift_core.arrays import Doubles
from uplift_core.evaluation.clusters import Clusters
from uplift_core.evaluation.estimate import Estimate, Influence, Sums, estimate
from uplift_core.evaluation.groups import ScoreGroups

TINY = 1e-6  # users; a smaller part of a group is rounding of k / n_bins, not a part of the decile


@dataclass(frozen=True)
class Curve:
    """The points of a curve: the users targeted so far, and the incremental outcomes among them."""

    targeted: Doubles
    incremental: Doubles

    def area(self) -> float:
        """Compute the area under the curve by the trapezoidal rule."""
        return float(np.trapezoid(self.incremental, self.targeted))


def qini_curve(groups: ScoreGroups) -> Curve:
    """Compute Y_t - Y_c * N_t / N_c among the best users (Radcliffe 2007), as scikit-uplift does."""
    n_control = None if groups.weighted is None else groups.n_control
    return _qini(groups.n, groups.n_treated, groups.y_treated, groups.y_control, n_control)


def qini_curve_error(groups: ScoreGroups, points: npt.NDArray[np.int64] | None = None) -> Doubles:
    """Compute the standard error of the Qini curve's height, for a fixed ranking.

    Args:
        groups: users by score.
        points: (n_points,) points of the curve, ascending from 0 to the last; None takes all.
    """
    if groups.clusters is None:
        errors = _curve_errors(groups)
        return errors if points is None else errors[points]
    return _curve_errors(groups if points is None else groups.starting_at(points[:-1]))


def _curve_errors(groups: ScoreGroups) -> Doubles:
    users = groups.n_users
    n_t, n_c = np.cumsum(groups.n_treated), np.cumsum(groups.n_control)
    y_t, y_c = np.cumsum(groups.y_treated), np.cumsum(groups.y_control)
    rate, ratio = _ratio(y_c, n_c), _ratio(n_t, n_c)
    height = y_t - ratio * y_c
    # Influences: y - rate for the treated above the point, -ratio * (y - rate) for the controls.
    if groups.clusters is not None:
        squares = _clustered_squares(groups.clusters, rate, ratio, height / users)
    else:
        squares = (
            np.cumsum(groups.yy_treated)
            - 2 * rate * np.cumsum(groups.ny_treated)
            + rate**2 * np.cumsum(groups.nn_treated)
            + ratio**2
            * (
                np.cumsum(groups.yy_control)
                - 2 * rate * np.cumsum(groups.ny_control)
                + rate**2 * np.cumsum(groups.nn_control)
            )
        )
        squares -= height**2 / users
    return np.asarray(np.r_[0.0, np.sqrt(np.maximum(squares, 0.0))])


def _clustered_squares(clusters: Clusters, rate: Doubles, ratio: Doubles, mean: Doubles) -> Doubles:
    """Sum, at each point, the squares of the clusters' influences on the Qini curve's height."""
    ones = np.ones(len(rate))
    weight = {"y_treated": ones, "treated": -rate, "y_control": -ratio, "control": ratio * rate}
    squares = np.zeros(len(rate))
    for a, b in combinations_with_replacement(weight, 2):
        times = 1.0 if a == b else 2.0
        squares += times * weight[a] * weight[b] * clusters.products_above(a, b)
    size = clusters.size
    crossed = np.zeros(len(rate))
    for term, of_term in weight.items():
        crossed += of_term * np.cumsum(clusters.times_size(term))
    squares += mean**2 * (size @ size) - 2 * mean * crossed
    return np.asarray(clusters.factor * squares)


def qini_auc(groups: ScoreGroups) -> Estimate:
    """Compute the area between the Qini curve and the random line, divided by the perfect curve's.

    It is equal to scikit-uplift's ``qini_auc_score``. The outcome must be binary: the perfect curve
    takes first the treated who responded, and last the controls who responded. Where e differs between
    users, all of these count by their weights.
    """
    by_users, everybody, groups = groups, groups.n_users, groups.by_weight
    curve = qini_curve(groups)
    perfect = _perfect(groups)
    users, end = groups.n_users, float(curve.incremental[-1])
    above, best = curve.area() - users * end / 2, perfect.area() - users * end / 2
    value = above / best
    to_end = _slopes_of_end(groups)
    to_line = {term: users * slope / 2 for term, slope in to_end.items()}
    to_line |= {term: to_line[term] + end / 2 for term in ("treated", "control")}
    to_area, to_perfect = _slopes_of_area(groups, curve), _slopes_of_perfect(groups, to_end)
    influence = {
        term: everybody
        * (to_area[term] - to_line[term] - value * (to_perfect[term] - to_line[term]))
        / best
        for term in to_area
    }
    return estimate(by_users, value, influence)


def auuc(groups: ScoreGroups) -> Estimate:
    """Compute the area under the uplift curve: mean over targeted shares q of q * (mean Y_t - mean Y_c).

    The unit is incremental outcomes per user of the whole population (Gutierrez & Gérardy 2017,
    equation 11, divided by the number of users); the rule is the trapezoidal one. The outcome may be of
    any kind.
    """
    by_users, groups = groups, groups.by_weight
    users, n = groups.n_users, groups.n
    targeted = np.cumsum(n)
    treated, control = np.cumsum(groups.n_treated), np.cumsum(groups.n_control)
    rate_t, per_t = _ratio(np.cumsum(groups.y_treated), treated), _ratio(1.0, treated)
    rate_c, per_c = _ratio(np.cumsum(groups.y_control), control), _ratio(1.0, control)
    uplift = rate_t - rate_c
    height = np.r_[0.0, uplift * targeted / users]
    value = float(np.trapezoid(height, np.r_[0.0, targeted])) / users
    width = _widths(n)
    midpoints = (height[1:] + height[:-1]) / 2
    shared = midpoints + _above(width * uplift) / users - 2 * value
    influence = {
        "y_treated": _above(width * targeted * per_t) / users,
        "y_control": -_above(width * targeted * per_c) / users,
        "treated": shared - _above(width * targeted * rate_t * per_t) / users,
        "control": shared + _above(width * targeted * rate_c * per_c) / users,
    }
    if by_users is not groups:
        influence = {term: c * by_users.n_users / users for term, c in influence.items()}
    return estimate(by_users, value, influence)


def uplift_at(groups: ScoreGroups, k: float) -> Estimate:
    """Compute the difference in mean outcome between the arms among the best ``k`` of all users.

    It is scikit-uplift's ``uplift_at_k`` with strategy 'overall', except that of users with equal
    scores at the cut each counts in part.
    """
    pi = groups.treated_share(k)
    return _difference_of_means(groups, pi, pi)


def uplift_at_by_group(groups: ScoreGroups, k: float) -> Estimate:
    """Compute ``uplift_at`` with the best ``k`` of each arm instead of all users ('by_group')."""
    return _difference_of_means(groups, _share_of(groups.n_treated, k), _share_of(groups.n_control, k))


@dataclass(frozen=True)
class Decile:
    """One tenth of the users by score; ``decile`` 1 has the highest scores.

    A score group that two tenths divide counts in each by its share there.
    """

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
    """Compute the difference in mean outcome between the arms within each tenth of users by score.

    The standard error is that of a difference of two independent means; where users are in clusters, it
    is that of the clusters' influences. Where a decile lacks an arm, its uplift is NaN. Where all
    outcomes of an arm are equal, their variance cannot be estimated, and the standard error is NaN.
    """
    rows, computed = [], _decile_errors(groups, n_bins)
    for k, share in enumerate(groups.slices(n_bins)):
        inside = groups.score[share * groups.n > TINY]
        n, n_t = float(share @ groups.n), float(share @ groups.n_treated)
        n_c = n - n_t if groups.weighted is None else float(share @ groups.n_control)
        rate_t, var_t = _mean_variance(share, groups.y_treated, groups.yy_treated, n_t)
        rate_c, var_c = _mean_variance(share, groups.y_control, groups.yy_control, n_c)
        if groups.weighted is not None:
            treated = (groups.yy_treated, groups.ny_treated, groups.nn_treated)
            control = (groups.yy_control, groups.ny_control, groups.nn_control)
            var_t = _weighted_variance(share, rate_t, n_t, treated)
            var_c = _weighted_variance(share, rate_c, n_c, control)
        error = computed[k] if computed else float(np.sqrt(var_t + var_c))
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
                std_error=error if min(var_t, var_c) > 0 else float("nan"),
            )
        )
    return rows


def _decile_errors(groups: ScoreGroups, n_bins: int) -> list[float]:
    """Compute the error of each decile's uplift by influences: of clusters, or of weighted users.

    It is empty if users are independent and have one e.
    """
    if groups.clusters is None and groups.weighted is None:
        return []
    blocks = groups.between(np.arange(1, n_bins) / n_bins)
    return [_difference_of_means(blocks, share, share).std_error for share in blocks.slices(n_bins)]


def _qini(
    n: Doubles,
    n_treated: Doubles,
    y_treated: Doubles,
    y_control: Doubles,
    n_control: Doubles | None = None,
) -> Curve:
    targeted, treated = np.cumsum(n), np.cumsum(n_treated)
    control = targeted - treated if n_control is None else np.cumsum(n_control)
    incremental = np.cumsum(y_treated) - np.cumsum(y_control) * _ratio(treated, control)
    return Curve(np.r_[0.0, targeted], np.r_[0.0, incremental])


def _perfect(groups: Sums) -> Curve:
    n, n_t = groups.n.sum(), groups.n_treated.sum()
    y_t, y_c = groups.y_treated.sum(), groups.y_control.sum()
    kinds = np.array([y_t, n - y_t - y_c, y_c])
    present = kinds > 0
    return _qini(
        kinds[present],
        np.array([y_t, n_t - y_t, 0.0])[present],
        np.array([y_t, 0.0, 0.0])[present],
        np.array([0.0, 0.0, y_c])[present],
    )


def _slopes_of_area(groups: ScoreGroups, curve: Curve) -> Influence:
    """Return how one more user of a group changes the area under the Qini curve, by the user's terms."""
    treated, control = np.cumsum(groups.n_treated), np.cumsum(groups.n_control)
    y_control, per_control = np.cumsum(groups.y_control), _ratio(1.0, control)
    width, ratio = _widths(groups.n), treated * per_control
    midpoints = (curve.incremental[1:] + curve.incremental[:-1]) / 2
    return {
        "y_treated": _above(width),
        "y_control": -_above(width * ratio),
        "treated": midpoints - _above(width * y_control * per_control),
        "control": midpoints + _above(width * y_control * ratio * per_control),
    }


def _slopes_of_end(groups: Sums) -> Influence:
    """Return how one more user changes the Qini curve's end, which is the same for every ranking."""
    n_t, n_c = groups.n_treated.sum(), groups.n_control.sum()
    y_c, ones = groups.y_control.sum(), np.ones(len(groups.n))
    return {
        "y_treated": ones,
        "y_control": -ones * n_t / n_c,
        "treated": -ones * y_c / n_c,
        "control": ones * y_c * n_t / n_c**2,
    }


def _slopes_of_perfect(groups: Sums, to_end: Influence) -> Influence:
    """Return how one more user changes the area under the perfect curve.

    The perfect curve rises to y_t, stays there, and then falls to its end.
    """
    n, y_t, y_c = groups.n.sum(), groups.y_treated.sum(), groups.y_control.sum()
    end = y_t - y_c * groups.n_treated.sum() / groups.n_control.sum()
    slopes = {term: y_c * slope / 2 for term, slope in to_end.items()}
    slopes["y_treated"] = slopes["y_treated"] + n - y_t - y_c / 2
    slopes["y_control"] = slopes["y_control"] + (end - y_t) / 2
    return slopes | {term: slopes[term] + y_t for term in ("treated", "control")}


def _difference_of_means(groups: ScoreGroups, pi_t: Doubles, pi_c: Doubles) -> Estimate:
    """Compute the mean outcome of the share ``pi_t`` of treated less that of ``pi_c`` of controls."""
    n_t, n_c = float(pi_t @ groups.n_treated), float(pi_c @ groups.n_control)
    if n_t <= 0 or n_c <= 0:
        return Estimate(float("nan"), float("nan"))
    rate_t, rate_c = pi_t @ groups.y_treated / n_t, pi_c @ groups.y_control / n_c
    per_t, per_c = groups.n_users * pi_t / n_t, groups.n_users * pi_c / n_c
    influence = {
        "y_treated": per_t,
        "treated": -per_t * rate_t,
        "y_control": -per_c,
        "control": per_c * rate_c,
    }
    return estimate(groups, float(rate_t - rate_c), influence)


def _share_of(n: Doubles, k: float) -> Doubles:
    """Compute the share of each group's ``n`` users that is among the best ``k`` of all of them."""
    before = np.cumsum(n) - n
    return np.clip(_ratio(k * n.sum() - before, n), 0, 1)


def _mean_variance(share: Doubles, y: Doubles, yy: Doubles, n: float) -> tuple[float, float]:
    if n <= 0:
        return float("nan"), float("nan")
    mean = float(share @ y) / n
    return mean, max(float(share @ yy) / n - mean**2, 0.0) / n


def _weighted_variance(share: Doubles, mean: float, n: float, of_arm: tuple[Doubles, ...]) -> float:
    """Compute the variance of a weighted mean from an arm's squared sums (n_groups,): yy, ny, nn."""
    yy, ny, nn = (float(share @ column) for column in of_arm)
    return max(yy - 2 * mean * ny + mean**2 * nn, 0.0) / n**2 if n > 0 else float("nan")


def _widths(n: Doubles) -> Doubles:
    """Compute what one unit of height at each group's end adds to the area (trapezoidal rule)."""
    return np.asarray((n + np.r_[n[1:], 0.0]) / 2)


def _above(values: Doubles) -> Doubles:
    """Sum over each group and all groups of lower score: these change if the group gets a user more."""
    return np.asarray(np.cumsum(values[::-1])[::-1])


def _ratio(above: Doubles | float, below: Doubles) -> Doubles:
    """Divide; the quotient is 0 where the divisor is 0."""
    return np.divide(above, below, out=np.zeros(len(below)), where=below > 0)
