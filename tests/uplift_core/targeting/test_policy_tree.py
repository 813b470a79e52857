"""The rules are the best of their depth: compared with every tree that there is."""

from __future__ import annotations

import json

import duckdb
import numpy as np
import pytest
import sqlglot

from uplift_core.cells import BinEdges
from uplift_core.errors import DataError
from uplift_core.targeting.policy_tree import PolicyTree, policy_tree
from uplift_core.targeting.rule_texts import (
    conditions_in_words,
    decide,
    in_words,
    json_conditions,
    sql_case,
)
from uplift_core.targeting.tree_search import MOST_BINS, ScoredCells

NAMES = ("recency", "spend", "web")


def users(seed: int, n: int = 60, *, missing: float = 0.1) -> ScoredCells:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, (n, len(NAMES))).astype(np.float32)
    x[rng.random(x.shape) < missing] = np.nan
    edges = BinEdges.of(NAMES, x)
    return ScoredCells(edges, edges.bin(x), rng.integers(1, 4, n).astype(float), rng.normal(size=n))


def best_reward(cells: ScoredCells, rows: np.ndarray, reward: np.ndarray, depth: int) -> float:
    """Return the largest reward of any tree, tried one by one; missing values are below all others."""
    best = max(float(reward[rows].sum()), 0.0)
    for column in np.nan_to_num(cells.x, nan=-np.inf).T if depth else ():
        for value in np.unique(column[rows])[1:]:
            below, above = rows & (column < value), rows & (column >= value)
            both = [best_reward(cells, side, reward, depth - 1) for side in (below, above)]
            best = max(best, sum(both))
    return best


def treated_share(tree: PolicyTree) -> float:
    return sum(leaf.share * leaf.treated for _, leaf in tree.leaves())


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_no_tree_is_worth_more_at_a_price(seed: int, depth: int) -> None:
    cells, price = users(seed), 0.05
    tree = policy_tree(cells, depth, price=price)
    n = cells.n.sum()
    everybody = np.ones(len(cells.n), dtype=bool)
    best = best_reward(cells, everybody, cells.phi - price * cells.n, depth)
    assert n * (tree.gain - price * treated_share(tree)) == pytest.approx(best, abs=1e-9)
    treated = np.array([leaf.treated for _, leaf in tree.leaves()])[tree.leaf_of(cells.x)]
    assert float(treated @ cells.phi) == pytest.approx(n * tree.gain)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_budget_is_spent_and_the_shortfall_bounds_every_other_tree(depth: int) -> None:
    cells, budget = users(7), 0.3
    tree = policy_tree(cells, depth, budget=budget)
    assert treated_share(tree) == pytest.approx(budget)
    # For any price, the best reward plus the budget's worth bounds every tree within the budget.
    n, everybody = cells.n.sum(), np.ones(len(cells.n), dtype=bool)
    bounds = [
        best_reward(cells, everybody, cells.phi - price * cells.n, depth) / n + price * budget
        for price in np.linspace(-0.5, 1.5, 41)
    ]
    assert tree.gain <= min(bounds) + 1e-9
    assert tree.gain + tree.shortfall == pytest.approx(min(bounds), abs=0.02)
    assert tree.gain + tree.shortfall <= min(bounds) + 1e-9


def test_a_rule_is_equal_in_sql_json_python_and_in_the_engine_also_where_values_are_missing() -> None:
    cells = users(3, 400, missing=0.2)
    tree = policy_tree(cells, 3, budget=0.4)
    chance = np.array([leaf.treated for _, leaf in tree.leaves()])[tree.leaf_of(cells.x)]
    rows = [
        {name: None if np.isnan(value) else float(value) for name, value in zip(NAMES, row, strict=True)}
        for row in cells.x
    ]
    conditions = json.loads(json.dumps(json_conditions(tree)))
    assert [decide(conditions, row) for row in rows] == chance.tolist()
    with duckdb.connect() as db:
        db.execute("create table users (place integer, recency float, spend float, web float)")
        db.executemany(
            "insert into users values (?, ?, ?, ?)", [(i, *r.values()) for i, r in enumerate(rows)]
        )
        sql = db.execute(f"select {sql_case(tree)} from users order by place").fetchall()
    assert [float(value) for (value,) in sql] == pytest.approx(chance.tolist(), abs=1e-12)
    assert PolicyTree.from_dict(json.loads(json.dumps(tree.to_dict()))) == tree


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "bigquery", "snowflake"])
def test_the_sql_is_read_by_other_databases(dialect: str) -> None:
    sql = sql_case(policy_tree(users(3), 2, budget=0.4))
    written = sqlglot.transpile(sql, read="duckdb", write=dialect)[0]
    assert sqlglot.parse_one(written, read=dialect).sql("duckdb") == sqlglot.parse_one(sql).sql("duckdb")


def test_the_words_say_who_is_treated() -> None:
    x = np.array([[recency, web, 0] for recency in range(10) for web in range(2)], dtype=np.float32)
    edges = BinEdges.of(("recency", "web", "same"), x)
    worth = (x[:, 0] < 5) & (x[:, 1] == 1)
    cells = ScoredCells(edges, x, np.full(len(x), 10.0), np.where(worth, 8.0, -1.0))
    tree = policy_tree(cells, 2, budget=0.25)
    assert in_words(tree) == "Treat users with recency below 5 and web from 1."
    described = {"recency": "months since", "web": "1: bought on the web"}
    words = "Treat users with recency below 5 (months since) and web = yes (bought on the web)."
    assert in_words(tree, described) == words
    off_web = next(path for path, _ in tree.leaves() if path[-1].feature == "web" and path[-1].below)
    assert "web = no (bought on the web)" in conditions_in_words(off_web, described)
    some = policy_tree(cells, 2, budget=0.125)
    assert in_words(some).startswith("Treat 50%, drawn by chance, of users with recency below 5")
    assert in_words(policy_tree(cells, 1, price=100.0)) == "Treat nobody."


def test_a_known_tree_is_learned_from_an_experiment() -> None:
    """40,000 users; who answers is decided by two questions."""
    hits = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(40_000, 5)).astype(np.float32)
        worth = (x[:, 0] >= 0) & (x[:, 3] < 0.5)
        w, y = rng.random(len(x)) < 0.5, rng.random(len(x))
        happened = y < 0.1 + 0.15 * worth * w
        phi = np.where(w, 1, -1) * 2 * (happened - 0.1)
        edges = BinEdges.of("abcde", x, 64)
        tree = policy_tree(
            ScoredCells(edges, edges.bin(x), np.ones(len(x)), phi), 2, budget=float(worth.mean())
        )
        best = max(tree.leaves(), key=lambda each: each[1].effect)[0]
        hits += {condition.feature for condition in best} == {"a", "d"}
    assert hits >= 19


@pytest.mark.parametrize("depth", [2, 3])
def test_no_leaf_is_empty_where_fewer_questions_do_as_well(depth: int) -> None:
    x = np.repeat(np.array([[0.0, 1.0], [1.0, 1.0]], dtype=np.float32), 5, axis=0)
    edges = BinEdges.of(("asked", "same"), x)
    cells = ScoredCells(edges, x, np.ones(10), np.where(x[:, 0] == 1, 0.5, -0.5))
    tree = policy_tree(cells, depth, budget=0.5)
    assert [(leaf.share, leaf.treated) for _, leaf in tree.leaves()] == [(0.5, 0), (0.5, 1)]


def test_of_many_features_those_that_tell_most_are_asked_about_and_of_many_values_a_few() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, (3000, 20)).astype(np.float32)
    x[:, 17] = rng.normal(size=len(x))
    edges = BinEdges.of([f"x{i}" for i in range(20)], x)
    assert len(edges.edges[17]) > MOST_BINS[3]
    cells = ScoredCells(edges, edges.bin(x), np.ones(len(x)), (x[:, 17] > 1) + 0.0)
    path, _ = max(policy_tree(cells, 3, budget=0.2).leaves(), key=lambda each: each[1].effect)
    assert [c.value for c in path if c.feature == "x17"] == [pytest.approx(1, abs=0.2)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"depth": 4}, "depth = 4"),
        ({"depth": 1, "budget": 1.0}, "budget = 1.0"),
        ({"depth": 1, "n": 0}, "no users"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict, words: str) -> None:
    cells = users(0)
    empty = ScoredCells(cells.edges, cells.x, cells.n * given.pop("n", 1), cells.phi)
    with pytest.raises(DataError, match=words):
        policy_tree(empty, given.pop("depth"), **given)
