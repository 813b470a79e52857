"""Cluster-robust errors, against plain numpy by rows, statsmodels, and those of independent users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import digamma, polygamma

from tests.support import Users, random_users
from uplift_core.errors import DataError
from uplift_core.evaluation import calibration, curves, policy, rate
from uplift_core.evaluation.bands import bands
from uplift_core.evaluation.clusters import Clusters
from uplift_core.evaluation.estimate import SUMS, Estimate, difference, spread
from uplift_core.evaluation.groups import JointGroups, ScoreGroups, joint_groups
from uplift_core.evaluation.profit import Prices, profit
from uplift_core.evaluation.sequential import SequentialSums

BUDGET = 0.3
N = 900
Rows = np.ndarray


@pytest.fixture(scope="module", params=[0, 40], ids=["distinct", "tied"])
def users(request: pytest.FixtureRequest) -> Users:
    """Users whose outcomes go together within clusters, see ``cluster_of``."""
    users = random_users(12, N, propensity=0.6, levels=request.param)
    shared = np.random.default_rng(3).normal(size=N)[cluster_of(N)]
    happens = np.random.default_rng(4).random(N) < 1 / (1 + np.exp(-1.5 * shared + 0.4 * users.w))
    return replace(users, y=happens.astype(float))


def cluster_of(n: int) -> Rows:
    """Each user's cluster: sizes from 1 to 9, with members in any places."""
    rng = np.random.default_rng(5)
    return rng.permutation(np.repeat(np.arange(n), rng.integers(1, 10, n))[:n])


def joint_of(users: Users, cluster: Rows | None) -> JointGroups:
    other = np.random.default_rng(2).permutation(users.score)
    return joint_groups(
        {"a": users.score, "b": other},
        users.w,
        users.y,
        mu0=users.mu0,
        mu1=users.mu1,
        propensity=users.propensity,
        cluster=cluster,
    )


def groups_of(users: Users, cluster: Rows | None) -> ScoreGroups:
    return joint_of(users, cluster).by("a")[0]


def error_of(influence: Rows, cluster: Rows) -> float:
    """The cluster-robust error of a mean of rows, added up cluster by cluster."""
    sums = [influence[cluster == c].sum() for c in np.unique(cluster)]
    return float(np.sqrt(len(sums) / (len(sums) - 1) * np.square(sums).sum()) / len(influence))


# The influence of each user, by plain numpy on rows.


def ate_rows(users: Users) -> Rows:
    return users.phi - users.phi.mean()


def mean_effect_at_cut(users: Users, effect: Rows) -> float:
    """The mean effect of users whose groups reach within 5 % of the cut."""
    above = (users.score[None, :] > users.score[:, None]).sum(axis=1)
    reached = (users.score[None, :] >= users.score[:, None]).sum(axis=1)
    n, near = len(users.score), policy.NEAR_CUT
    return float(
        effect[(reached > (BUDGET - near) * n + 1e-6) & (above < (BUDGET + near) * n - 1e-6)].mean()
    )


def gain_rows(users: Users) -> Rows:
    off = users.treated_share(BUDGET) - BUDGET
    terms = off * users.phi
    return terms - terms.mean() - mean_effect_at_cut(users, users.phi) * off


def value_rows(users: Users) -> Rows:
    pi = users.treated_share(BUDGET)
    terms = users.phi0 + pi * users.phi
    return terms - terms.mean() - mean_effect_at_cut(users, users.phi) * (pi - BUDGET)


def value_ipw_rows(users: Users) -> Rows:
    pi, w, y, e = users.treated_share(BUDGET), users.w, users.y, users.propensity
    weighted = w * y / e - (1 - w) * y / (1 - e)
    terms = pi * w * y / e + (1 - pi) * (1 - w) * y / (1 - e)
    return terms - terms.mean() - mean_effect_at_cut(users, weighted) * (pi - BUDGET)


def incremental_rows(users: Users) -> Rows:
    terms = users.treated_share(BUDGET) * users.phi
    return terms - terms.mean()


def positions(users: Users) -> tuple[Rows, Rows, Rows]:
    """(j, k) flags: is k above j, is k tied with j; and how many are above j."""
    above = users.score[None, :] > users.score[:, None]
    tied = users.score[None, :] == users.score[:, None]
    return above, tied, above.sum(axis=1)


def rank_rows(users: Users, weight: Rows, moved: Rows) -> Rows:
    """Influences on mean(weight * phi), where one more user k moves the weight of j by moved[j, k]."""
    terms = weight * users.phi + users.phi @ moved
    return terms - terms.mean()


def qini_rows(users: Users) -> Rows:
    above, tied, before = positions(users)
    n = len(before)
    rank = (before + tied.sum(axis=1) / 2) / n
    return rank_rows(users, 0.5 - rank, rank[:, None] / n - (above + tied / 2) / n)


def autoc_rows(users: Users) -> Rows:
    above, tied, before = positions(users)
    n, size = len(before), tied.sum(axis=1)
    end = before + size

    def total(m: Rows) -> Rows:  # H(0) + ... + H(m - 1)
        return m * (digamma(m + 1.0) + np.euler_gamma) - m

    def slope(m: Rows) -> Rows:
        return digamma(m + 1.0) + np.euler_gamma + m * polygamma(1, m + 1.0) - 1

    inside = (total(end) - total(before)) / size
    weight = digamma(n + 1.0) + np.euler_gamma - inside - 1
    lower, wider = (slope(end) - slope(before)) / size, (slope(end) - inside) / size
    moved = polygamma(1, n + 1.0) - lower[:, None] * above - wider[:, None] * tied
    return rank_rows(users, weight, moved)


def slope_rows(users: Users) -> Rows:
    centred = users.score - users.score.mean()
    slope = centred @ users.phi / (centred @ centred)
    residual = users.phi - users.phi.mean() - slope * centred
    return len(centred) * centred * residual / (centred @ centred)


BY_ROWS: dict[str, tuple[Callable[[ScoreGroups], Estimate], Callable[[Users], Rows]]] = {
    "ate": (policy.average_effect, ate_rows),
    "value": (lambda g: policy.policy_value(g, BUDGET), value_rows),
    "value_ipw": (lambda g: policy.policy_value_ipw(g, BUDGET), value_ipw_rows),
    "gain": (lambda g: policy.gain_over_random(g, BUDGET), gain_rows),
    "incremental": (lambda g: policy.gain_over_none(g, BUDGET), incremental_rows),
    "qini": (rate.qini, qini_rows),
    "autoc": (rate.autoc, autoc_rows),
    "slope": (calibration.calibration_slope, slope_rows),
}
OTHERS: dict[str, Callable[[ScoreGroups], Estimate]] = {
    "qini_auc": curves.qini_auc,
    "auuc": curves.auuc,
    "mean_gain": lambda g: rate.mean_gain(g, BUDGET),
    "uplift_at": lambda g: curves.uplift_at(g, BUDGET),
    "uplift_at_by_group": lambda g: curves.uplift_at_by_group(g, BUDGET),
    "ate_ipw": policy.average_effect_ipw,
}
FIGURES = {name: figure for name, (figure, _) in BY_ROWS.items()} | OTHERS


@pytest.mark.parametrize("name", BY_ROWS)
def test_an_error_is_that_of_rows_added_up_by_cluster(name: str, users: Users) -> None:
    figure, rows = BY_ROWS[name]
    cluster = cluster_of(N)
    found = figure(groups_of(users, cluster))
    assert found.std_error == pytest.approx(error_of(rows(users), cluster), rel=1e-9)
    assert found.value == figure(groups_of(users, None)).value
    plain = figure(groups_of(users, None)).std_error
    assert plain == pytest.approx(rows(users).std() / np.sqrt(N), rel=1e-9)  # the rows are right


@pytest.mark.parametrize("name", OTHERS)
def test_an_error_is_that_of_the_figures_influences_by_user(name: str, users: Users) -> None:
    """Their influences are shown to be derivatives in ``test_influence.py``."""
    cluster = cluster_of(N)
    groups, place = joint_of(users, cluster).by("a")
    found = OTHERS[name](groups)
    w, y = users.w, users.y
    terms = {"one": 1.0, "phi": users.phi, "phi0": users.phi0, "treated": w, "control": 1 - w}
    terms |= {"y_treated": w * y, "y_control": (1 - w) * y}
    influence = sum(c[place] * terms[term] for term, c in found.influence.items())
    assert found.std_error == pytest.approx(error_of(influence, cluster), rel=1e-9)


@pytest.mark.parametrize("name", ["gain", "qini", "autoc", "value"])
def test_a_paired_difference_adds_up_both_rankings_rows(name: str, users: Users) -> None:
    figure, rows = BY_ROWS[name]
    cluster = cluster_of(N)
    joint = joint_of(users, cluster)
    sides, influences = [], []
    for ranking in ("a", "b"):
        groups, place = joint.by(ranking)
        sides.append(spread(figure(groups), place))
        influences.append(rows(replace(users, score=np.asarray(joint.scores[ranking]))))
    gap = difference(joint, *sides)
    expected = error_of(influences[0] - influences[1], cluster)
    assert gap.std_error == pytest.approx(expected, rel=1e-9)
    assert difference(joint, sides[0], sides[0]) == Estimate(0.0, 0.0)


def test_the_average_effects_error_is_statsmodels(users: Users) -> None:
    cluster = cluster_of(N)
    fitted = sm.OLS(users.phi, np.ones(N)).fit(cov_type="cluster", cov_kwds={"groups": cluster})
    found = policy.average_effect(groups_of(users, cluster))
    assert found.value == pytest.approx(fitted.params[0], rel=1e-12)
    # With one parameter, its factor is ours: C / (C - 1) * (n - 1) / (n - 1).
    assert found.std_error == pytest.approx(fitted.bse[0], rel=1e-9)


@pytest.mark.parametrize("name", FIGURES)
def test_clusters_of_one_user_change_only_the_factor(name: str, users: Users) -> None:
    figure = FIGURES[name]
    alone = figure(groups_of(users, np.arange(N))).std_error
    assert alone == pytest.approx(
        figure(groups_of(users, None)).std_error * np.sqrt(N / (N - 1)), rel=1e-9
    )


def test_the_order_and_the_names_of_clusters_do_not_matter(users: Users) -> None:
    cluster = cluster_of(N)
    named = np.array([f"school {c}" for c in cluster])
    order = np.random.default_rng(0).permutation(N)
    expected = rate.autoc(groups_of(users, cluster)).std_error
    assert rate.autoc(groups_of(users, named)).std_error == pytest.approx(expected, rel=1e-12)
    moved = groups_of(users.permuted(order), cluster[order])
    assert rate.autoc(moved).std_error == pytest.approx(expected, rel=1e-9)


def test_a_curve_has_the_errors_of_each_budget_alone(users: Users) -> None:
    groups, budgets = groups_of(users, cluster_of(N)), np.arange(1, 11) / 10
    curve = policy.policy_curve(groups, budgets)
    alone = {
        "value_error": policy.policy_value,
        "value_ipw_error": policy.policy_value_ipw,
        "gain_error": policy.gain_over_random,
        "incremental_error": policy.gain_over_none,
    }
    for column, figure in alone.items():
        expected = [figure(groups, float(b)).std_error for b in budgets]
        assert getattr(curve, column) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert curve.value == pytest.approx(policy.policy_curve(groups_of(users, None), budgets).value)
    for budget, error in zip(budgets, curve.gain_ipw_error, strict=True):
        e, off = users.propensity, users.treated_share(budget) - budget
        weighted = users.w * users.y / e - (1 - users.w) * users.y / (1 - e)
        c = policy.effect_at_cut(groups, groups.y_treated / e - groups.y_control / (1 - e), budget)
        rows = off * (weighted - c) - np.mean(off * (weighted - c))
        assert error == pytest.approx(error_of(rows, cluster_of(N)), rel=1e-6, abs=1e-9)


def test_budgets_are_compared_with_the_covariance_of_clusters(users: Users) -> None:
    budgets, cluster = np.arange(1, 11) / 10, cluster_of(N)
    curve = policy.policy_curve(groups_of(users, cluster), budgets)
    net = profit(
        budgets,
        curve.incremental,
        curve.incremental_error,
        N,
        Prices(3.0, 0.2),
        covariance=curve.incremental_covariance,
    )
    terms = np.array([3 * users.treated_share(b) * users.phi - 0.2 * b for b in budgets])
    expected = [error_of(row - row.mean(), cluster) for row in terms[net.best] - terms]
    assert net.behind_std_error == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert net.behind_std_error[net.best] == 0
    assert policy.policy_curve(groups_of(users, None), budgets).incremental_covariance is None


def test_the_qini_curves_errors_are_those_of_rows(users: Users) -> None:
    cluster = cluster_of(N)
    groups = groups_of(users, cluster)
    errors = curves.qini_curve_error(groups)
    assert errors[0] == 0
    for point in range(0, len(groups.n), 7):
        inside = users.score >= groups.score[point]
        t, c = inside * users.w, inside * (1 - users.w)
        r, s = c @ users.y / max(c.sum(), 1), t.sum() / c.sum() if c.sum() else 0.0
        rows = (t - s * c) * (users.y - r)
        expected = N * error_of(rows - rows.mean(), cluster)
        assert errors[point + 1] == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_tenths_and_fifths_have_the_errors_of_rows(users: Users) -> None:
    cluster = cluster_of(N)
    groups = groups_of(users, cluster)
    shares = np.diff([users.treated_share(k / 10) for k in range(11)], axis=0)
    for decile, share in zip(curves.uplift_by_decile(groups), shares, strict=True):
        t, c = share * users.w, share * (1 - users.w)
        rows = t * (users.y - decile.rate_treated) / t.sum()
        rows -= c * (users.y - decile.rate_control) / c.sum()
        assert decile.std_error == pytest.approx(N * error_of(rows, cluster), rel=1e-9)
    fifths = np.diff([users.treated_share(k / 5) for k in range(6)], axis=0)
    for fifth, share in zip(calibration.group_effects(groups), fifths, strict=True):
        rows = N * share * (users.phi - fifth.effect) / share.sum()
        assert fifth.std_error == pytest.approx(error_of(rows, cluster), rel=1e-9)


def test_a_bands_multipliers_are_those_of_clusters(users: Users) -> None:
    cluster, budgets = cluster_of(N), np.arange(1, 21) / 20
    groups = groups_of(users, cluster)
    found = bands(groups, budgets)["gain_over_random"]
    inside, rows = found.std_error > 0, []
    for budget in found.budget[inside]:
        off = users.treated_share(budget) - budget
        terms = off * (users.phi - policy.effect_at_cut(groups, groups.phi, budget))
        rows.append(terms - terms.mean())
    expected = [error_of(row, cluster) for row in rows]
    assert found.std_error[inside] == pytest.approx(expected, rel=1e-9)
    sums = np.array([[row[cluster == c].sum() for c in np.unique(cluster)] for row in rows])
    draws = np.random.default_rng(1).standard_normal((4_000, sums.shape[1])) @ sums.T
    largest = np.abs(draws / N / expected).max(axis=1)
    assert found.critical == pytest.approx(np.quantile(largest, 0.95), rel=0.05)
    qini = bands(groups, budgets)["qini"]
    assert (qini.std_error[:-1] > 0).all()


def test_the_gates_sums_are_products_and_cubes_of_clusters(users: Users) -> None:
    cluster = cluster_of(N)
    joint = joint_of(users, cluster)
    figures = [spread(rate.mean_gain(g, BUDGET), p) for g, p in (joint.by(name) for name in "ab")]
    sums, paired = SequentialSums(2), SequentialSums(1)
    sums.add(joint, figures, 1.5, less=None)
    paired.add(joint, figures, 1.5, less=1)
    assert joint.clusters is not None
    a, b = (joint.clusters.add_up(figure.influence) for figure in figures)
    factor = len(a) / (len(a) - 1)
    assert sums.products == pytest.approx(1.5**2 * factor * np.array([[a @ a, a @ b], [b @ a, b @ b]]))
    assert sums.cubes == pytest.approx((1.5 * factor**0.5) ** 3 * np.array([(a**3).sum(), (b**3).sum()]))
    assert paired.products[0, 0] == pytest.approx(1.5**2 * factor * (a - b) @ (a - b))
    assert figures[0].std_error == pytest.approx(np.sqrt(factor * a @ a) / N)


def test_one_score_for_all_is_random_targeting_with_clusters_too() -> None:
    users = replace(random_users(2, 400), score=np.zeros(400))
    groups = groups_of(users, cluster_of(400))
    curve = policy.policy_curve(groups, [0.2, 1.0])
    assert (curve.gain_error == 0).all()
    assert (curve.value_error > 0).all()
    assert rate.autoc(groups) == Estimate(0.0, 0.0)


def test_one_cluster_has_no_error() -> None:
    with pytest.raises(DataError, match="in one cluster"):
        groups_of(random_users(2, 50), np.zeros(50))


@pytest.mark.parametrize("sizes", [[2, 1, 3, 1, 4] * 20, [60, 70, 1, 1], [9, 1] * 20], ids=str)
def test_products_are_those_of_each_clusters_sums(sizes: list[int]) -> None:
    """Few rows in a cluster are multiplied in pairs, more as sparse and as dense matrices."""
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    group, terms = rng.integers(0, 7, len(cluster)), {t: rng.normal(size=len(cluster)) for t in "ab"}
    clusters = Clusters.of(cluster, group, terms, 7)
    expected = np.zeros((7, 7))
    for c in range(len(sizes)):
        by_group = [np.bincount(group[cluster == c], terms[t][cluster == c], minlength=7) for t in "ab"]
        expected += np.outer(*by_group)
    assert clusters.products("a", "b") == pytest.approx(expected)
    assert clusters.products("b", "a") == pytest.approx(expected.T)
    merged = clusters.merged(np.array([0, 0, 1, 1, 1, 2, 2]), 3)
    parts = np.add.reduceat(np.add.reduceat(expected, [0, 2, 5], axis=0), [0, 2, 5], axis=1)
    assert merged.products("a", "b") == pytest.approx(parts)
    for some, products in ((clusters, expected), (merged, parts)):
        above = [products[: g + 1, : g + 1].sum() for g in range(some.n_groups)]
        assert some.products_above("a", "b") == pytest.approx(above)


def test_joint_groups_of_equal_scores_are_merged_with_their_clusters(users: Users) -> None:
    joint = joint_of(users, cluster_of(N))
    merged = replace(joint, scores={"a": joint.scores["a"]}).merged()
    groups, merged_groups = joint.by("a")[0], merged.by("a")[0]
    assert len(merged.n) == len(groups.n)
    for column in SUMS:
        assert getattr(merged_groups, column) == pytest.approx(getattr(groups, column))
    for name, figure in FIGURES.items():
        assert figure(merged_groups).std_error == pytest.approx(figure(groups).std_error), name
