"""Rank-weighted average treatment effects: AUTOC and QINI (Yadlowsky et al. 2021), as grf has them.

TOC(q) is the average effect among the best q of users, less the average effect of all. AUTOC is the
mean of TOC(q) over q = 1/n, ..., 1, QINI the mean of q * TOC(q). Users of equal score count with
their group's mean phi, so order does not matter and one score for all gives 0.

Both are means of w(r) * phi over users, where r is the share of users ranked above: w = -log(r) - 1
for AUTOC, 1/2 - r for QINI. A user's influence is w * phi plus, because the ranks are estimated, too,
the change that one more user at that rank makes to the weights of the others.
"""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, polygamma

from uplift_core.arrays import Doubles
from uplift_core.evaluation.estimate import Estimate, estimate
from uplift_core.evaluation.groups import ScoreGroups


def autoc(groups: ScoreGroups) -> Estimate:
    """Estimate AUTOC, the mean of TOC(q); the very best users have most weight in it."""
    if len(groups.n) == 1:
        return Estimate(0.0, 0.0)
    n, users, a = groups.n, groups.n_users, groups.before
    end = a + n
    # The weight of position j is H(users) - H(j - 1) - 1, where H(m) = 1 + 1/2 + ... + 1/m; that of a
    # group is the mean over its positions.
    inside = (_harmonic_sum(end) - _harmonic_sum(a)) / n
    weight = _harmonic(users) - inside - 1
    value = float(weight @ groups.phi) / users
    # One more user above a group moves it down; one more inside widens it; any adds to `users`.
    lower = (_harmonic_sum_slope(end) - _harmonic_sum_slope(a)) / n
    wider = (_harmonic_sum_slope(end) - inside) / n
    ranks = polygamma(1, users + 1) * groups.phi.sum() - wider * groups.phi - _below(lower * groups.phi)
    return _estimate(groups, value, weight, ranks)


def qini(groups: ScoreGroups) -> Estimate:
    """Estimate QINI, the mean of q * TOC(q); all ranks have weight in it."""
    if len(groups.n) == 1:
        return Estimate(0.0, 0.0)
    users = groups.n_users
    rank = (groups.before + groups.n / 2) / users
    weight = 0.5 - rank
    value = float(weight @ groups.phi) / users
    ranks = (rank @ groups.phi - _below(groups.phi) - groups.phi / 2) / users
    return _estimate(groups, value, weight, ranks)


def mean_gain(groups: ScoreGroups, budget: float) -> Estimate:
    """Estimate the gain over random, averaged over budgets from 0 to twice ``budget`` (at most 1).

    It is mean(w * phi), where w is the mean over budgets q of 1[among the best q] - q, averaged over the
    ranks that users of one score share. No budget cuts sharply, so the figure is smooth in the ranks,
    and less noisy than the gain at one budget.
    """
    if len(groups.n) == 1:
        return Estimate(0.0, 0.0)
    users, top = groups.n_users, min(2 * budget, 1.0)
    start, end = groups.before / users, (groups.before + groups.n) / users
    width = end - start

    def budgets_above(rank: Doubles) -> Doubles:
        """Integrate the share of budgets that reach a rank, from the best rank to ``rank``."""
        inside = np.minimum(rank, top)
        return np.asarray(inside - inside**2 / (2 * top))

    weight = (budgets_above(end) - budgets_above(start)) / width - top / 2
    value = float(weight @ groups.phi) / users
    # One more user moves all of lower score down, out of the reach of budgets that cut there, and
    # widens the user's group at its end.
    reached_at_start, reached_at_end = (np.maximum(1 - rank / top, 0.0) for rank in (start, end))
    mean = groups.phi / groups.n
    wider = mean * (reached_at_end - weight - top / 2)
    ranks = wider - _below(mean * (reached_at_start - reached_at_end))
    return _estimate(groups, value, weight, ranks)


def toc(groups: ScoreGroups) -> tuple[Doubles, Doubles]:
    """Compute the targeted share q and TOC(q) at the end of each group: two arrays (n_groups,)."""
    end = np.cumsum(groups.n)
    average = groups.phi.sum() / groups.n_users
    return np.asarray(end / groups.n_users), np.asarray(np.cumsum(groups.phi) / end - average)


def _estimate(groups: ScoreGroups, value: float, weight: Doubles, ranks: Doubles) -> Estimate:
    # The influence through the ranks has mean 0 except for terms of order 1 / n, which are subtracted.
    constant = ranks - value
    constant -= (constant @ groups.n + weight @ groups.phi) / groups.n_users
    return estimate(groups, value, {"phi": weight, "one": constant})


def _below(values: Doubles) -> Doubles:
    """Sum over all groups of lower score: (n_groups,)."""
    return np.asarray(values.sum() - np.cumsum(values))


def _harmonic(m: Doubles | float) -> Doubles:
    """Compute H(m) = 1 + 1/2 + ... + 1/m; H(0) is 0."""
    return np.asarray(digamma(np.asarray(m) + 1.0) + np.euler_gamma)


def _harmonic_sum(m: Doubles) -> Doubles:
    """Compute H(0) + H(1) + ... + H(m - 1) = m * H(m) - m."""
    return np.asarray(m * _harmonic(m) - m)


def _harmonic_sum_slope(m: Doubles) -> Doubles:
    """Compute the derivative of ``_harmonic_sum``; polygamma(1, m + 1) is the derivative of H(m)."""
    return np.asarray(_harmonic(m) + m * polygamma(1, m + 1) - 1)
