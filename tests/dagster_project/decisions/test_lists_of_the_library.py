"""The library chooses whom a run's list treats: ties, prices, clusters and money included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dagster_project.decisions.test_clusters import clustered, users_in
from tests.dagster_project.decisions.test_roles import experiment, make, treated
from tests.support import memory_warehouse
from uplift_core.experiment.decision_rules import Decisions
from uplift_core.experiment.splits import list_hashes
from uplift_core.library.deciding import Candidates, choose
from uplift_core.targeting.budget import Budget

SHARED = memory_warehouse()  # for examples that replace the tables that they read
COST, VALUE = 2.5, 20.0
USERS = st.lists(
    st.tuples(
        st.integers(0, 9),  # the home
        st.integers(-4, 10).map(lambda k: k / 10),  # the score, often of several users
        st.integers(1, 40).map(lambda k: k / 4),  # the cost of the user
        st.integers(1, 400).map(float),  # the value
    ),
    min_size=1,
    max_size=40,
)
BUDGETS = st.one_of(
    st.builds(lambda share: Budget(share=share), st.floats(0, 1)),
    st.builds(lambda money: Budget(money=money), st.integers(0, 400).map(lambda k: k / 4)),
)


@pytest.mark.parametrize("own_prices", [False, True])
@pytest.mark.parametrize("by_cluster", [False, True])
@settings(max_examples=40)
@given(users=USERS, budget=BUDGETS, fill=st.booleans())
def test_the_library_treats_whom_a_list_treats(
    users: list[tuple[int, float, float, float]],
    budget: Budget,
    fill: bool,
    by_cluster: bool,
    own_prices: bool,
) -> None:
    homes, scores, costs, values = zip(*users, strict=True)
    users_in(SHARED, homes, scores, postage=list(costs), worth=list(values))
    columns = {"cost_column": "postage", "value_column": "worth"} if own_prices else {}
    rules = Decisions(holdout=0, explore=0, fill=fill, **columns)
    declared = (clustered if by_cluster else experiment)(rules, cost=COST, value=VALUE)
    listed = treated(make(SHARED, declared, budget))

    ids = np.arange(1, len(users) + 1)
    drawn = [str(home) for home in homes] if by_cluster else ids
    candidates = Candidates(
        np.asarray(scores, np.float32),
        np.asarray(costs) if own_prices else np.full(len(ids), COST),
        np.asarray(values) if own_prices else np.full(len(ids), VALUE),
        user_id=ids,
        hash=list_hashes("s", drawn),
        by_cluster=by_cluster,
        own_prices=own_prices,
    )
    order, size = choose(candidates, budget, fill=fill)
    assert {int(ids[row]) for row in order.users[:size]} == listed
