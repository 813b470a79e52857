"""Score groups: what they refuse, and how a budget cuts them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import random_users
from uplift_core.errors import DataError


def with_scores(scores: list[float]) -> None:
    groups = random_users(1, 50, levels=3).groups()
    assert len(groups.score) == 3
    dataclasses.replace(groups, score=np.asarray(scores))


@pytest.mark.parametrize(
    ("scores", "fault"),
    [
        ([0.1, 0.2, 0.3], "distinct and descending"),
        ([0.3, 0.2, 0.2], "distinct and descending"),
        ([0.3, np.nan, 0.1], "not finite"),
        ([np.inf, 0.2, 0.1], "not finite"),
        ([0.3, 0.2], "one length"),
    ],
)
def test_groups_that_are_none_are_refused(scores: list[float], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        with_scores(scores)


def test_without_users_there_are_no_groups() -> None:
    groups = random_users(1, 50, levels=3).groups()
    columns = [f.name for f in dataclasses.fields(groups) if f.name not in ("propensity", "weighted")]
    empty = {name: np.empty(0) for name in columns}
    with pytest.raises(DataError, match="at least 1"):
        dataclasses.replace(groups, **empty)


@given(seed=st.integers(0, 1_000), budget=st.floats(0, 1), levels=st.integers(1, 20))
def test_a_budget_takes_its_share_of_users_best_first_and_cuts_one_group_at_most(
    seed: int, budget: float, levels: int
) -> None:
    groups = random_users(seed, 60, levels=levels).groups()
    share = groups.treated_share(budget)
    assert share @ groups.n == pytest.approx(budget * 60, abs=1e-9)
    assert np.all(np.diff(share) <= 0)
    assert np.sum((share > 0) & (share < 1)) <= 1


def test_a_cut_group_gives_both_arms_in_equal_shares() -> None:
    users = random_users(3, 100, levels=2)
    groups = users.groups()
    share = groups.treated_share(groups.n[0] / 200)  # half of the best group
    assert share.tolist() == pytest.approx([0.5, 0.0])
    assert share @ groups.n_treated == pytest.approx(groups.n_treated[0] / 2)
