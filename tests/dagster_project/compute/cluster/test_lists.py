"""Lists that workers make in parts equal those of one machine, row by row, for any ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dagster_project.compute.cluster.cluster import Cluster
from dagster_project.compute.cluster.dask_client import Workers
from dagster_project.compute.local import LocalCompute
from dagster_project.decisions.ledger import parts_of
from dagster_project.decisions.records import ListKey
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.partitions import Generation, write_part
from dagster_project.warehouse.sql import Identifier
from tests.dagster_project.decisions.test_clusters import clustered
from tests.dagster_project.decisions.test_roles import NIGHT, experiment, make
from tests.support import dicts, memory_warehouse
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.experiment.decision_rules import ContactCap, Decisions
from uplift_core.targeting.budget import Budget

USERS, PARTS, RANGE = 400, 3, 90
RULES = Decisions(holdout=0.1, explore=0.1)
RAW, SCORES = (Identifier.of(layer, "hillstrom") for layer in ("raw", "scores"))
Values = Callable[[np.random.Generator], np.ndarray]


@dataclass
class Both:
    """Two copies of the users: in tables, and in parts that workers read."""

    here: Warehouse
    there: Warehouse
    cluster: Cluster

    def give(self, scores: np.ndarray, **raw_columns: np.ndarray) -> None:
        """Replace all users, unordered; the first part is small."""
        users = np.random.default_rng(7).permutation(len(scores)) * 3 - 50
        tables = {
            SCORES: pa.table({"user_id": users, "cate_r": scores.astype(np.float32)}),
            RAW: pa.table({"user_id": users, **raw_columns}),
        }
        ends = sorted({0, min(3, len(scores)), *np.linspace(0, len(scores), PARTS).astype(int)})
        for table, rows in tables.items():
            select = "select *, 'mens' as arm from given" if table == SCORES else "from given"
            generation = Generation.new(self.cluster.home, "hillstrom", "given")
            with self.here.relation("given", rows):
                self.here.rows(f"create or replace table {table} as {select}")
            for part, (first, end) in enumerate(pairwise(ends)):
                with self.there.relation("given", rows[first:end]):
                    write_part(self.there, select, {}, generation.path(part))
            self.there.create_view(table, generation.pattern)

    def assert_equal(
        self, experiment: BatchExperiment, budget: Budget, night: str = NIGHT, campaign: str = "mens"
    ) -> list[dict]:
        """Return the list; assert that both make the same one."""
        lists = [
            make(db, experiment, budget, night, campaign, roles=compute.roles)
            for db, compute in ((self.here, LocalCompute()), (self.there, self.cluster))
        ]
        assert lists[0] == lists[1]
        assert len(lists[0]) == self.here.count(SCORES)
        return lists[0]


@pytest.fixture
def both(workers: Workers, tmp_path: Path) -> Both:
    cluster = Cluster(Home(tmp_path), workers.address, "500MB", 1, 1_000, range_users=RANGE)
    return Both(memory_warehouse(), memory_warehouse(), cluster)


@pytest.mark.parametrize("unit", ["user", "cluster"])
def test_clusters_are_drawn_and_treated_as_on_one_machine(both: Both, unit: str) -> None:
    rng = np.random.default_rng(4)
    both.give(rng.integers(0, 40, USERS) / 4, home=rng.integers(0, 200, USERS))
    rows = both.assert_equal(clustered(RULES.model_copy(update={"unit": unit})), Budget(share=0.3))
    assert round(0.3 * USERS) - 10 < sum(r["treated"] for r in rows) <= round(0.3 * USERS)


SHAPES: dict[str, Values] = {
    "all distinct": lambda rng: rng.normal(size=USERS),
    "few values": lambda rng: rng.integers(0, 4, USERS) / 4,
    "one tied group larger than a range": lambda rng: np.where(
        rng.random(USERS) < 0.6, 0.25, rng.normal(size=USERS)
    ),
    "all equal": lambda _: np.full(USERS, -0.5),
    "zeros of both signs": lambda rng: rng.choice([0.0, -0.0, 0.1], USERS),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.37, 1.0])
def test_any_scores_any_share(both: Both, shape: str, share: float) -> None:
    both.give(SHAPES[shape](np.random.default_rng(1)))
    rows = both.assert_equal(experiment(RULES), Budget(share=share))
    assert sum(r["treated"] for r in rows) == min(
        round(share * USERS), sum(r["rank"] is not None for r in rows)
    )
    parts = parts_of(both.there, ListKey(NIGHT, "hillstrom", "mens"))
    assert parts.files == len(parts.paths) > parts.ordered_files >= USERS * 0.8 // RANGE


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.37, 1.0])
def test_any_scores_any_share_cut_by_the_threshold(both: Both, shape: str, share: float) -> None:
    both.give(SHAPES[shape](np.random.default_rng(1)))
    rows = both.assert_equal(
        experiment(RULES.model_copy(update={"cut": "threshold"})), Budget(share=share)
    )
    ranked = [r for r in rows if r["decision"] in {"treat", "no_treat"}]
    assert all(r["treated"] == (r["score"] >= r["threshold"]) for r in ranked)
    assert any(r["treated"] for r in ranked) == (share > 0)


def test_no_range_is_larger_than_it_may_be(both: Both) -> None:
    both.give(SHAPES["few values"](np.random.default_rng(2)))
    both.assert_equal(experiment(RULES), Budget(share=0.5))
    parts = parts_of(both.there, ListKey(NIGHT, "hillstrom", "mens"))
    sizes = [
        both.there.one(
            "select count(*) filter (decision <> 'explore') from read_parquet($f)", {"f": str(path)}
        )[0]
        for path in parts.paths
    ]
    assert max(sizes) <= RANGE
    assert sum(sizes) > 0.8 * USERS


@pytest.mark.parametrize(
    "budget", [Budget(users=0), Budget(users=1), Budget(share=0.5), Budget(money=0.0)]
)
def test_one_user(both: Both, budget: Budget) -> None:
    both.give(np.array([0.3]))
    both.assert_equal(experiment(Decisions(holdout=0, explore=0), cost=0.1, value=1.0), budget)


@pytest.mark.parametrize(("holdout", "explore"), [(0, 0), (0, 0.99), (0.3, 0.6), (0.99, 0)])
def test_any_draws(both: Both, holdout: float, explore: float) -> None:
    both.give(SHAPES["few values"](np.random.default_rng(3)))
    for share in (0.0, 0.5):
        both.assert_equal(experiment(Decisions(holdout=holdout, explore=explore)), Budget(share=share))


@pytest.mark.parametrize("money", [0.0, 0.5, 200.25, 1e9])
@pytest.mark.parametrize("explore", [0.0, 0.15])
def test_money_with_costs_and_values_of_their_own(both: Both, money: float, explore: float) -> None:
    rng = np.random.default_rng(4)
    both.give(
        rng.normal(size=USERS),
        postage=rng.choice([0.25, 1.0, 7.5], USERS),
        basket=rng.gamma(2.0, 10.0, USERS),
    )
    rules = Decisions(holdout=0.1, explore=explore, cost_column="postage", value_column="basket")
    rows = both.assert_equal(experiment(rules), Budget(money=money))
    spent = sum(r["cost"] for r in rows if r["treated"])
    assert spent <= money
    if money == 200.25:
        assert spent > money - 7.5
    assert {r["decision"] for r in rows} >= {"holdout", "no_treat"}
    both.assert_equal(experiment(rules), Budget(users=300))  # ranked by profit instead of return


def test_money_at_one_cost_for_all(both: Both) -> None:
    both.give(SHAPES["few values"](np.random.default_rng(5)))
    folder = experiment(RULES, cost=2.5, value=5.0)
    for money in (0.0, 2.4, 2.5, 500.0, 1e6):
        rows = both.assert_equal(folder, Budget(money=money))
        assert sum(r["treated"] for r in rows) <= money / 2.5
    # Nobody is worth the cost.
    assert both.assert_equal(experiment(RULES, cost=2.5, value=0.01), Budget(money=50.0))


def test_the_contact_cap_the_suppressed_and_other_campaigns(both: Both) -> None:
    both.give(SHAPES["all distinct"](np.random.default_rng(6)))
    folder = experiment(RULES.model_copy(update={"contact_cap": ContactCap(treatments=2, days=7)}))
    for db in (both.here, both.there):
        db.rows("insert into decisions.suppressions select 'hillstrom', user_id, 'left', null "
                "from scores.hillstrom where user_id % 10 = 0")  # fmt: skip
    for night in range(1, 4):
        for campaign in ("mens", "again"):
            rows = both.assert_equal(folder, Budget(users=70), f"2026-01-{night:02d}", campaign)
    reasons = {r["reason"] for r in rows}
    assert reasons >= {"left", "contact_cap", "within_budget", "beyond_budget", "holdout"}


def test_a_night_is_replaced_wherever_it_was_made(both: Both) -> None:
    both.give(SHAPES["few values"](np.random.default_rng(8)))
    folder = experiment(RULES)
    other = both.assert_equal(folder, Budget(share=0.5), "2025-12-31")
    for compute, share in (
        (both.cluster, 0.2),
        (both.cluster, 0.3),
        (LocalCompute(), 0.4),
        (both.cluster, 0.3),
    ):
        rows = make(both.there, folder, Budget(share=share), roles=compute.roles)
        assert sum(r["treated"] for r in rows) == round(share * USERS)
        in_parts = parts_of(both.there, ListKey(NIGHT, "hillstrom", "mens")) is not None
        assert in_parts == (compute is both.cluster)
        assert both.there.one("select count(*) from decisions.treat_list") == (2 * USERS,)
    assert rows == make(both.here, folder, Budget(share=0.3))
    again = dicts(both.there, "from decisions.treat_list where decision_date = '2025-12-31' "
                              "order by user_id")  # fmt: skip
    assert again == other


@pytest.mark.parametrize(
    ("scores", "postage", "budget", "message"),
    [
        (
            [0.1, np.nan, np.inf],
            [1.0, 1.0, 1.0],
            Budget(share=0.5),
            "'cate_r' of 2 users, the first of them",
        ),
        ([0.1, 0.2, 0.3], [1.0, None, -1.0], Budget(share=0.5), "'postage', the cost .* and 1 more"),
        ([0.1, 0.2, 0.3], [0.0, 1.0, 1.0], Budget(money=5.0), "above 0, which money needs"),
    ],
)
def test_invalid_values_are_refused_with_the_same_message(
    both: Both, scores: list[float], postage: list[float | None], budget: Budget, message: str
) -> None:
    both.give(np.array(scores), postage=pa.array(postage, pa.float64()))
    rules = Decisions(holdout=0, explore=0, cost_column="postage")
    words = []
    for db, compute in ((both.here, LocalCompute()), (both.there, both.cluster)):
        with pytest.raises(DataError, match=message) as error:
            make(db, experiment(rules, value=30.0), budget, roles=compute.roles)
        words.append(str(error.value))
    assert words[0] == words[1]


def test_users_in_a_table_are_ranked_here(both: Both) -> None:
    both.give(np.linspace(0, 1, 20))
    expected = both.assert_equal(experiment(RULES), Budget(share=0.5))
    both.there.drop(SCORES)
    with both.there.relation("given", both.here.arrow(f"from {SCORES}")):
        both.there.create(SCORES, "from given")
    assert make(both.there, experiment(RULES), Budget(share=0.5), roles=both.cluster.roles) == expected
    assert parts_of(both.there, ListKey(NIGHT, "hillstrom", "mens")) is None


def test_nothing_but_the_list_is_left(both: Both) -> None:
    both.give(np.linspace(0, 1, 200))
    both.assert_equal(experiment(RULES), Budget(share=0.5))
    layers = {p.name for p in (both.cluster.home.partitions / "hillstrom").iterdir() if any(p.iterdir())}
    assert layers == {"given", "treat_list"}
