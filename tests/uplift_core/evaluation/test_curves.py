"""Qini and deciles: equal to scikit-uplift, blind to order, honest about ties."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pytest
from sklift.metrics import qini_auc_score, uplift_at_k
from sklift.metrics import qini_curve as sklift_qini_curve

from dagster_project.scores.predictions import SCORES
from tests.support import Open, Users, random_users, real_criteo
from uplift_core.evaluation.curves import (
    auuc,
    qini_auc,
    qini_curve,
    qini_curve_error,
    uplift_at,
    uplift_at_by_group,
    uplift_by_decile,
)
from uplift_core.evaluation.groups import joint_groups

pytestmark = pytest.mark.filterwarnings("ignore:Function stable_cumsum:FutureWarning")

DATA = {
    "distinct": {"n": 2_000},
    "tied": {"n": 2_000, "levels": 7},
    "imbalanced": {"n": 2_000, "propensity": 0.85},
    "imbalanced and tied": {"n": 2_000, "propensity": 0.85, "levels": 5},
    "few controls": {"n": 300, "propensity": 0.97, "levels": 40},
    "hardly any users": {"n": 7},
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
@pytest.mark.parametrize("seed", range(5))
def test_qini_auc_is_scikit_uplifts(data: dict[str, float], seed: int) -> None:
    users = random_users(seed, **data)
    assert qini_auc(users.groups()).value == pytest.approx(
        qini_auc_score(users.y, users.score, users.w), rel=1e-12, abs=1e-12
    )


def test_the_curve_is_scikit_uplifts_point_by_point() -> None:
    users = random_users(3, 500, levels=20)
    targeted, incremental = sklift_qini_curve(users.y, users.score, users.w)
    curve = qini_curve(users.groups())
    assert curve.targeted.tolist() == targeted.tolist()
    assert curve.incremental == pytest.approx(incremental, abs=1e-9)


@pytest.mark.parametrize("arm", ["womens", "mens"])
@pytest.mark.parametrize("score", SCORES.values())
def test_the_published_qini_of_hillstrom_is_scikit_uplifts(
    hillstrom_home: Path, snapshot: Open, arm: str, score: str
) -> None:
    con = snapshot(hillstrom_home)
    rows = con.execute(
        f"select visit, {score}, (a.arm = $arm)::int as w from scores.hillstrom as s "
        "join assignment.hillstrom as a using (user_id) "
        "where s.arm = $arm and a.split = 'holdout' and a.arm in ($arm, 'none')",
        {"arm": arm},
    ).fetchall()
    y, cate, w = (np.asarray(column) for column in zip(*rows, strict=True))
    (published,) = con.execute(
        "select value from evaluation.metrics where experiment = 'hillstrom' and arm = $arm "
        "and learner = $learner and metric = 'qini_auc'",
        {"arm": arm, "learner": score.removeprefix("cate_")},
    ).fetchone()
    assert published == pytest.approx(qini_auc_score(y, cate, w), rel=1e-12, abs=1e-12)


def test_one_score_for_all_is_exactly_random() -> None:
    for seed in range(20):
        users = random_users(seed, 101, propensity=0.7, levels=1)
        assert qini_auc(users.groups()).value == 0


def test_the_perfect_ranking_has_a_qini_of_one_and_its_reverse_is_below_random() -> None:
    users = random_users(1, 500)
    perfect = users.w * users.y - (1 - users.w) * users.y
    best = Users(perfect, users.w, users.y, users.mu0, users.mu1, users.propensity)
    worst = Users(-perfect, users.w, users.y, users.mu0, users.mu1, users.propensity)
    assert qini_auc(best.groups()).value == pytest.approx(1, abs=1e-12)
    assert qini_auc(worst.groups()).value < 0


def test_curves_and_deciles_do_not_depend_on_row_order() -> None:
    users = random_users(5, levels=9)
    reference = users.groups()
    for seed in range(5):
        shuffled = users.permuted(np.random.default_rng(seed).permutation(len(users.w))).groups()
        assert qini_auc(shuffled) == qini_auc(reference)
        assert uplift_by_decile(shuffled) == uplift_by_decile(reference)


@pytest.mark.parametrize("levels", [0, 1, 3, 13])
def test_deciles_are_tenths_that_add_up_to_all_users(levels: int) -> None:
    users = random_users(8, 437, propensity=0.6, levels=levels)
    deciles = uplift_by_decile(users.groups())
    assert [d.decile for d in deciles] == list(range(1, 11))
    assert [d.n for d in deciles] == pytest.approx([43.7] * 10)
    assert sum(d.n for d in deciles) == pytest.approx(437, abs=1e-9)
    assert sum(d.n_treated for d in deciles) == pytest.approx(users.w.sum(), abs=1e-9)
    treated = sum(d.rate_treated * d.n_treated for d in deciles)
    assert treated == pytest.approx((users.w * users.y).sum())
    assert all(d.score_low <= d.score_high for d in deciles)
    assert all(a.score_low >= b.score_high for a, b in pairwise(deciles))


@pytest.mark.parametrize("binary", [True, False])
def test_a_deciles_uplift_and_error_are_those_of_its_users(binary: bool) -> None:
    users = random_users(2, 1_000, propensity=0.4, binary=binary)
    best_first = np.argsort(-users.score)
    for decile in uplift_by_decile(users.groups()):
        inside = best_first[100 * (decile.decile - 1) : 100 * decile.decile]
        y, w = users.y[inside], users.w[inside]
        assert decile.score_high == users.score[inside[0]]
        assert decile.score_low == users.score[inside[-1]]
        assert decile.uplift == pytest.approx(y[w == 1].mean() - y[w == 0].mean(), abs=1e-12)
        errors = [y[w == arm].var() / (w == arm).sum() for arm in (0, 1)]
        assert decile.std_error == pytest.approx(np.sqrt(sum(errors)), rel=1e-9)


def test_a_decile_without_events_has_no_error_of_zero() -> None:
    users = random_users(2, 1_000, propensity=0.4, binary=True)
    best = np.argsort(-users.score)[:100]
    for arms in ([0], [1], [0, 1]):
        y = users.y.copy()
        y[best[np.isin(users.w[best], arms)]] = 0
        first, *others = uplift_by_decile(replace(users, y=y).groups())
        assert np.isnan(first.std_error)
        assert all(decile.std_error > 0 for decile in others)


def test_deciles_of_distinct_scores_do_not_overlap() -> None:
    # 0.7 * 90 is 62.99999999999999: user 63 is in decile 7 all the same.
    deciles = uplift_by_decile(random_users(9, 90).groups())
    assert all(a.score_low > b.score_high for a, b in pairwise(deciles))


def test_one_score_for_all_gives_every_decile_the_average_effect() -> None:
    users = random_users(4, 300, levels=1)
    average = users.y[users.w == 1].mean() - users.y[users.w == 0].mean()
    assert [d.uplift for d in uplift_by_decile(users.groups())] == pytest.approx([average] * 10)


def test_a_decile_without_an_arm_has_no_uplift() -> None:
    users = random_users(6, 100)
    best = users.score >= np.sort(users.score)[-20]
    one_armed = Users(
        users.score, np.where(best, 1.0, users.w), users.y, users.mu0, users.mu1, users.propensity
    )
    uplifts = [d.uplift for d in uplift_by_decile(one_armed.groups())]
    assert np.isnan(uplifts[:2]).all()
    assert np.isfinite(uplifts[2:]).all()


@pytest.mark.parametrize("k", [0.1, 0.25, 0.3])
@pytest.mark.parametrize("propensity", [0.5, 0.85])
def test_uplift_at_k_is_scikit_uplifts(k: float, propensity: float) -> None:
    users = random_users(7, 2_000, propensity=propensity)
    groups = users.groups()
    data = (users.y, users.score, users.w)
    assert uplift_at(groups, k).value == pytest.approx(uplift_at_k(*data, "overall", k), abs=1e-12)


@pytest.mark.parametrize("k", [0.1, 0.25, 0.5])
def test_uplift_at_k_by_group_is_scikit_uplifts(k: float) -> None:
    """With 1,000 users an arm, so that scikit-uplift's whole users are the share exactly."""
    users = random_users(7, 2_000)
    w = np.tile([0.0, 1.0], 1_000)
    even = Users(users.score, w, users.y, users.mu0, users.mu1, 0.5)
    expected = uplift_at_k(even.y, even.score, w, "by_group", k)
    assert uplift_at_by_group(even.groups(), k).value == pytest.approx(expected, abs=1e-12)


def test_auuc_is_the_mean_of_share_times_uplift() -> None:
    """On distinct scores, user by user: causalml's cumulative gain, before it is normalised."""
    users = random_users(6, 300)
    order = np.argsort(-users.score)
    w, y = users.w[order], users.y[order]
    n_t, n_c = np.cumsum(w), np.cumsum(1 - w)
    ok = (n_t > 0) & (n_c > 0)
    rate_t = np.divide(np.cumsum(w * y), n_t, out=np.zeros(300), where=n_t > 0)
    rate_c = np.divide(np.cumsum((1 - w) * y), n_c, out=np.zeros(300), where=n_c > 0)
    gain = (rate_t - rate_c) * np.arange(1, 301) / 300
    assert ok[5:].all()
    assert auuc(users.groups()).value == pytest.approx(np.trapezoid(np.r_[0, gain], dx=1 / 300))


def test_causalmls_unnormalised_qini_is_our_curve_where_arms_are_even() -> None:
    """causalml's get_qini: Y_t - Y_c * N_t / N_c at each user, in order of the score."""
    users = random_users(16, 400)
    order = np.argsort(-users.score)
    w, y = users.w[order], users.y[order]
    n_t, n_c = np.cumsum(w), np.cumsum(1 - w)
    ratio = np.divide(n_t, n_c, out=np.zeros(400), where=n_c > 0)
    expected = np.cumsum(w * y) - np.cumsum((1 - w) * y) * ratio
    assert qini_curve(users.groups()).incremental[1:] == pytest.approx(expected)


def test_the_curves_band_is_the_spread_of_the_bootstrap() -> None:
    users = random_users(3, 2_000, levels=10)
    rng = np.random.default_rng(0)
    resampled = [
        qini_curve(users.take(rng.integers(0, 2_000, 2_000)).groups()).incremental for _ in range(400)
    ]
    error = qini_curve_error(users.groups())
    assert error[0] == 0
    assert error[1:] == pytest.approx(np.std(resampled, axis=0)[1:], rel=0.15)


def test_qini_auc_converts_to_causalmls_normalised_qini() -> None:
    """causalml's qini_score: mean height over the curve's end, less that of the random line.

    UpliftBench publishes this figure. The ranking of the real users is by one of their features.
    """
    file = str(real_criteo().declaration.source.path)
    sql = "select treatment as w, visit as y, f6 as score from read_csv($file)"
    with duckdb.connect() as con:
        users = con.sql(sql, params={"file": file}).to_arrow_table()
    w, y, score = (users[name].to_numpy().astype(np.float64) for name in ("w", "y", "score"))
    order = np.argsort(score, kind="stable")[::-1]  # causalml's order decides between equal scores
    w, y, n = w[order], y[order], len(w)
    n_t, n_c = np.cumsum(w), np.cumsum(1 - w)
    y_t, y_c = np.cumsum(w * y), np.cumsum((1 - w) * y)
    known = (n_t > 0) & (n_c > 0)
    height = (y_t - y_c * n_t / np.maximum(n_c, 1))[known]
    theirs = np.mean(height / height[-1]) - 0.5

    rank = np.arange(n, 0, -1.0)
    zero = np.zeros(n)
    groups = joint_groups({"s": rank}, w, y, mu0=zero, mu1=zero, propensity=0.85).by("s")[0]
    treated, control, end = y_t[-1], y_c[-1], height[-1]
    best = treated * (n - treated / 2) - control * (treated - end) / 2
    assert abs(theirs) > 0.05
    assert qini_auc(groups).value * (best / (n * end) - 0.5) == pytest.approx(theirs, abs=1e-4)
