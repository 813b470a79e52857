import numpy as np
import pytest

from uplift_core.errors import DataError
from uplift_core.simulation.rct import marketing_rct, nie_wager_rct

DESIGNS = [("marketing", marketing_rct)] + [
    (setup, lambda n, seed, *, _setup=setup, **k: nie_wager_rct(_setup, n, seed, **k))
    for setup in "ABCD"
]
EACH = pytest.mark.parametrize("design", [d for _, d in DESIGNS], ids=[name for name, _ in DESIGNS])


@EACH
@pytest.mark.parametrize("share", [0.5, 0.85])
def test_difference_in_means_finds_the_true_effect(design, share):
    users = next(design(100_000, 3, treated_share=share))
    treated = users.w == 1
    difference = users.y[treated].mean() - users.y[~treated].mean()
    error = np.sqrt(users.y[treated].var() / treated.sum() + users.y[~treated].var() / (~treated).sum())
    assert abs(difference - users.ate) < 4 * error
    assert treated.mean() == pytest.approx(share, abs=0.01)


@EACH
def test_outcomes_have_the_means_that_are_said(design):
    users = next(design(200_000, 4))
    expected = np.where(users.w == 1, users.mu1, users.mu0)
    error = users.y - expected
    for column in users.x.T[:5]:
        assert abs(np.mean(error * (column > np.median(column)))) < 4 * error.std() / np.sqrt(len(error))


def test_chunks_do_not_depend_on_how_many_follow():
    short = list(marketing_rct(2500, 7, chunk=1000))
    long = list(marketing_rct(4000, 7, chunk=1000))
    assert [len(part.y) for part in short] == [1000, 1000, 500]
    assert np.array_equal(short[1].x, long[1].x)
    assert not np.array_equal(short[0].x, short[1].x)


def test_marketing_holds_all_four_kinds_of_users():
    users = next(marketing_rct(50_000, 1))
    assert (users.cate > 0.1).mean() > 0.1  # persuadables
    assert (users.cate < -0.02).mean() > 0.05  # sleeping dogs
    assert (users.mu0 > 0.6).mean() > 0.02  # sure things
    assert (users.mu1 < 0.1).mean() > 0.02  # lost causes


def test_the_oracle_is_best_and_random_is_the_mean():
    users = next(marketing_rct(20_000, 2))
    oracle = users.policy_value(users.cate, 0.3)
    assert oracle > users.policy_value(users.mu0, 0.3)
    tied = users.policy_value(np.zeros(20_000), 0.3)
    assert tied == pytest.approx(users.mu0.mean() + 0.3 * users.ate)
    assert users.policy_value(users.cate, 1.0) == pytest.approx(users.mu1.mean())


def test_wrong_parameters_are_refused():
    with pytest.raises(DataError, match="treated_share 1"):
        next(marketing_rct(10, 1, treated_share=1))
    with pytest.raises(DataError, match="n_features 3"):
        nie_wager_rct("A", 10, 1, n_features=3)
