"""Lists where users were assigned in clusters: nobody is torn from the rest of a cluster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.decisions.records import ListKey
from dagster_project.decisions.role_counts import ListRequest
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import plan_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.inputs.assignment import assignment_query
from dagster_project.warehouse.connection import Warehouse
from tests.dagster_project.decisions.test_roles import Rows, experiment, make, treated
from tests.support import memory_warehouse
from uplift_core.experiment.decision_rules import ContactCap, Decisions
from uplift_core.experiment.sources import Population
from uplift_core.targeting.budget import Budget, Quota

SHARED = memory_warehouse()  # for examples that replace the tables that they read
SHARES = st.floats(0, 0.3)
SCORES = st.lists(
    st.tuples(st.integers(0, 12), st.floats(-1, 1, width=32).map(lambda v: round(v, 1))),
    min_size=1,
    max_size=60,
)


def clustered(rules: Decisions, **options: object) -> BatchExperiment:
    """Hillstrom's experiment with households."""
    base = experiment(rules, **options)
    return replace(base, declaration=base.declaration.model_copy(update={"cluster": "home"}))


def users_in(db: Warehouse, homes: Iterable[object], scores: Iterable[float], **columns: object) -> None:
    """Replace raw users and scores by users 1, 2, ... of these homes, with these scores."""
    homes, values = [str(home) for home in homes], np.asarray(list(scores), np.float32)
    ids = np.arange(1, len(homes) + 1)
    zeros = dict.fromkeys(("visit", "conversion", "spend"), np.zeros(len(homes)))
    raw = {"user_id": ids, "home": homes, "segment": ["Mens E-Mail"] * len(homes)} | zeros | columns
    with db.relation("given", pa.table({"user_id": ids, "cate_r": values})):
        db.rows("create or replace table scores.hillstrom as select *, 'mens' as arm from given")
    with db.relation("given", pa.table(raw)):
        db.rows("create or replace table raw.hillstrom as from given")


def by_home(db: Warehouse, rows: Rows) -> dict[str, Rows]:
    homes = dict(db.rows("select user_id, home from raw.hillstrom"))
    together = defaultdict(list)
    for row in rows:
        together[homes[row["user_id"]]].append(row)
    return together


def values_of(rows: Rows, name: str) -> set[object]:
    return {row[name] for row in rows}


@settings(max_examples=40)
@given(SCORES, SHARES, SHARES, st.floats(0, 1), st.floats(0, 1))
def test_any_list_treats_whole_clusters_within_the_budget_and_is_nested(
    users, holdout, explore, one, other
) -> None:
    db = SHARED
    users_in(db, *zip(*users, strict=True))
    folder = clustered(Decisions(holdout=holdout, explore=explore))
    low, high = sorted((one, other))
    small, large = (make(db, folder, Budget(share=share)) for share in (low, high))
    for share, rows in ((low, small), (high, large)):
        assert len(treated(rows)) <= np.floor(share * len(rows) + 0.5)
        for members in by_home(db, rows).values():
            assert len(values_of(members, "treated")) == 1
            assert len(values_of(members, "decision")) == 1
            assert len(values_of(members, "selected")) == 1
            assert len(values_of(members, "propensity")) == 1
    assert treated(small) <= treated(large)
    everybody = make(db, folder, Budget(share=1.0))
    assert treated(everybody) == {r["user_id"] for r in everybody if r["decision"] != "holdout"}


def test_clusters_rank_by_the_mean_of_the_members_who_may_be_treated(db: Warehouse) -> None:
    homes = ["a", "a", "b", "c", "c", "c", "d"]
    scores = [0.9, 0.1, 0.4, 0.6, 0.6, 0.3, 0.2]  # means: a .5, b .4, c .5 (.6 without user 6), d .2
    users_in(db, homes, scores)
    db.rows("insert into decisions.suppressions values ('hillstrom', 6, 'unsubscribed', null)")
    folder = clustered(Decisions(holdout=0, explore=0))
    chosen = {n: treated(make(db, folder, Budget(users=n))) for n in range(8)}
    # The suppressed member stays untreated, and the others are treated without them.
    assert chosen[2] == chosen[3] == {4, 5}
    assert chosen[4] == {4, 5, 1, 2}
    assert chosen[5] == chosen[4] | {3}
    assert chosen[6] == chosen[7] == chosen[5] | {7}
    assert chosen[0] == chosen[1] == set()  # no smaller cluster takes the place of one that does not fit


def test_clusters_of_equal_means_are_ordered_by_chance(db: Warehouse) -> None:
    users_in(db, [f"h{i // 2}" for i in range(40)], [0.5] * 40)
    first, second = (
        treated(make(db, clustered(Decisions(holdout=0, explore=0), salt=salt), Budget(users=20)))
        for salt in ("one", "two")
    )
    assert len(first) == len(second) == 20
    assert first != second


def test_a_list_of_users_draws_clusters_but_ranks_users(db: Warehouse) -> None:
    rng = np.random.default_rng(5)
    homes, scores = np.arange(3000) // 3, rng.normal(size=3000).round(1)
    users_in(db, homes, scores)
    rules = Decisions(holdout=0.1, explore=0.1, unit="user")
    rows = make(db, clustered(rules), Budget(users=900))
    assert len(treated(rows)) == 900
    ranked = [r for r in rows if r["decision"] in {"treat", "no_treat"}]
    assert min(r["score"] for r in ranked if r["treated"]) >= max(
        r["score"] for r in ranked if not r["treated"]
    )
    torn = 0
    for members in by_home(db, rows).values():
        roles = values_of(members, "decision")
        assert roles in ({"holdout"}, {"explore"}) or not roles & {"holdout", "explore"}
        torn += len(values_of(members, "treated")) > 1
    assert torn > 100
    held_out = [r for r in rows if r["decision"] == "holdout"]
    assert len(held_out) == pytest.approx(300, abs=100)


@pytest.mark.parametrize("unit", ["user", "cluster"])
def test_propensities_are_how_often_users_are_treated_over_draws(db: Warehouse, unit: str) -> None:
    n, draws = 150, 100
    rng = np.random.default_rng(11)
    homes = rng.integers(0, 60, n)
    users_in(db, homes, rng.integers(0, 4, n) / 4)
    rules = Decisions(holdout=0.1, explore=0.2, unit=unit)
    counts, promised = np.zeros(n), np.zeros(n)
    for salt in range(draws):
        for r in make(db, clustered(rules, salt=f"salt {salt}"), Budget(users=55)):
            counts[r["user_id"] - 1] += r["treated"]
            promised[r["user_id"] - 1] += r["propensity"]
    assert promised.sum() == pytest.approx(counts.sum(), rel=0.02)
    error = np.sqrt(draws * 0.25)
    assert np.abs(counts - promised).max() < 4 * error
    assert np.abs(counts - promised).mean() < error


@pytest.mark.parametrize("unit", ["user", "cluster"])
def test_no_cluster_is_torn_over_thirty_nights(db: Warehouse, unit: str) -> None:
    """Scores change every night, contacts are capped, members are suppressed by and by."""
    rng = np.random.default_rng(7)
    n = 600
    homes = rng.integers(0, 200, n)
    rules = Decisions(holdout=0.1, explore=0.1, contact_cap=ContactCap(treatments=2, days=7), unit=unit)
    folder = clustered(rules)
    users_in(db, homes, rng.normal(size=n))
    drawn: dict[str, set[object]] = defaultdict(set)
    sql, binds = assignment_query(folder)
    sides = db.rows(
        f"select count(distinct (split, fold)) as sides from ({sql}) group by cluster", binds
    )
    assert {sides for (sides,) in sides} == {1}
    for night in range(1, 31):
        users_in(db, homes, rng.normal(size=n))
        db.rows(
            "insert or ignore into decisions.suppressions values ('hillstrom', $user, 'gone', null)",
            {"user": int(rng.integers(1, n + 1))},
        )
        rows = make(db, folder, Budget(users=60 + 10 * (night % 3)), night=f"2026-01-{night:02d}")
        assert len(treated(rows)) <= 60 + 10 * (night % 3)
        for home, members in by_home(db, rows).items():
            free = [r for r in members if r["decision"] != "suppressed"]
            drawn[home] |= {
                d if d in {"holdout", "explore"} else "" for d in values_of(free, "decision")
            }
            if unit == "cluster":
                assert len(values_of(free, "treated")) <= 1
    assert max(map(len, drawn.values())) == 1
    assert set.union(*drawn.values()) == {"holdout", "explore", ""}


def test_money_buys_whole_clusters_and_is_never_overspent(db: Warehouse) -> None:
    rng = np.random.default_rng(3)
    n = 200
    homes, costs = rng.integers(0, 60, n), rng.uniform(0.5, 3, n).round(2)
    users_in(db, homes, rng.normal(0.3, 1, n), postage=costs)
    rules = Decisions(holdout=0.1, explore=0.1, cost_column="postage")
    folder, before = clustered(rules, value=5.0), set()
    for money in (10.0, 40.0, 41.0, 90.0, 400.0):
        rows = make(db, folder, Budget(money=money))
        assert sum(costs[r["user_id"] - 1] for r in rows if r["treated"]) <= money
        assert before <= treated(rows)
        before = treated(rows)
        for members in by_home(db, rows).values():
            assert len(values_of(members, "treated")) == 1
            gain = sum(5.0 * r["score"] - r["cost"] for r in members)
            assert members[0]["decision"] != "treat" or gain > 0
    assert before


def test_a_list_that_need_not_be_filled_leaves_out_clusters_that_lose_together(db: Warehouse) -> None:
    users_in(db, ["a", "a", "b", "b"], [0.5, -0.2, 0.3, -0.4])
    rows = make(db, clustered(Decisions(holdout=0, explore=0, fill=False)), Budget(share=1.0))
    assert treated(rows) == {1, 2}
    assert {r["reason"] for r in rows if r["user_id"] > 2} == {"not_worth_its_cost"}


def test_the_report_tells_which_cluster_did_not_fit(db: Warehouse) -> None:
    users_in(db, ["a"] * 3 + ["b"] * 4 + ["c"], [0.9] * 3 + [0.5] * 4 + [0.1])
    folder = clustered(Decisions(holdout=0, explore=0))
    request = ListRequest(ListKey("2026-01-01", folder.name, "mens"), "mens", "r", money=False)
    plan = plan_list(db, folder, request, Budget(users=5), assign_roles)
    assert plan.free_places == (
        "whole clusters leave free 2 of the places of ranked users, as the next cluster has 4 users"
    )
    assert (plan.treated, plan.places) == (Quota(3, 0), Quota(5, 0))
    assert not plan_list(db, folder, request, Budget(users=7), assign_roles).free_places


def test_a_population_is_listed_by_its_clusters(db: Warehouse) -> None:
    """Its users and those of the experiment share draws: a household is on one side in both."""
    rng = np.random.default_rng(9)
    homes, scores = rng.integers(0, 60, 200), rng.normal(size=200)
    users_in(db, homes, scores)
    folder = clustered(Decisions(holdout=0.2, explore=0.1))
    before = by_home(db, make(db, folder, Budget(users=0)))
    of_experiment = {home: values_of(rows, "decision") for home, rows in before.items()}
    for layer in ("raw", "scores"):
        moved = "select * replace (user_id + 1000 as user_id)"
        db.rows(f"create table {layer}.hillstrom_population as {moved} from {layer}.hillstrom")
        db.rows(f"delete from {layer}.hillstrom")
    declaration = folder.declaration.model_copy(update={"population": Population(path=Path("crm.csv"))})
    rows = make(db, replace(folder, declaration=declaration), Budget(users=70))
    assert min(values_of(rows, "user_id")) == 1001
    db.rows("insert into raw.hillstrom from raw.hillstrom_population")
    listed = by_home(db, rows)
    assert len(listed) == len(of_experiment)
    for home, members in listed.items():
        assert len(values_of(members, "treated")) == 1
        drawn = values_of(members, "decision") - {"treat", "no_treat"}
        assert drawn == of_experiment[home] - {"treat", "no_treat"}
    assert 60 < len(treated(rows)) <= 70
