"""Users who are treated as usual: by the old rule, with exact chances, so that the gain shows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from dagster_project.decisions.over_time import LIST_OUTCOMES, measure_over_time
from dagster_project.decisions.records import TREAT_LIST
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import Identifier, render
from tests.dagster_project.decisions.test_roles import BASE, SHARED, Rows, experiment, make, treated
from tests.support import dicts
from uplift_core.errors import DataError
from uplift_core.experiment.decision_rules import ContactCap, Decisions
from uplift_core.targeting.budget import Budget, Lanes, list_size

RULES = ("random", "response", "old_choice")
USERS = 300


def give(db: Warehouse, n: int, *, seed: int = 1, chosen: float = 0.2, kinds: int | None = None) -> None:
    """Give users scores and responses with ties, and the old system's choices; `kinds` differ."""
    rng, kinds = np.random.default_rng(seed), kinds or n
    kind = np.arange(1, n + 1) % kinds
    users = {
        "user_id": np.arange(1, n + 1),
        "cate_r": (rng.integers(-20, 40, kinds) / 100).astype(np.float32)[kind],
        "response": (rng.integers(0, 30, kinds) / 30).astype(np.float32)[kind],
        "old_choice": (rng.random(kinds) < chosen).astype(np.int8)[kind],
    }
    with db.relation("given", pa.table(users)):
        db.rows("create or replace table scores.hillstrom as select *, 'mens' as arm from given")
        db.rows("create or replace table raw.hillstrom as select user_id, old_choice from given")


def as_usual(rule: str, share: float = 0.2, **rules: object) -> Decisions:
    return Decisions(**{"holdout": 0.1, "explore": 0.1, "usual": share, "usual_rule": rule, **rules})


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("low", "high", "seed"), [(0.4, 0.41, 1), (0.5, 1.0, 2), (0.37, 0.83, 3)])
def test_a_list_with_usual_users_is_exact_and_nested(
    rule: str, low: float, high: float, seed: int
) -> None:
    db = SHARED
    give(db, 60, seed=seed)
    folder = experiment(as_usual(rule))
    small, large = (make(db, folder, Budget(share=share)) for share in (low, high))
    able = [r for r in small if r["rank"]]
    for share, rows in ((low, small), (high, large)):
        size = min(list_size(share, 60), len(able))
        assert len(treated(rows)) == size
        assert sorted(r["rank"] for r in rows if r["rank"]) == list(range(1, len(able) + 1))
        assert treated(rows) == {r["user_id"] for r in able if r["rank"] <= size}
    assert treated(small) <= treated(large)


@pytest.mark.parametrize("rule", RULES)
def test_the_old_rule_decides_about_its_users_and_moves_nobody_else(db: Warehouse, rule: str) -> None:
    give(db, 2_000)
    before = {r["user_id"]: r for r in make(db, experiment(as_usual("", 0.0)), Budget(share=0.3))}
    rows = make(db, experiment(as_usual(rule)), Budget(share=0.3))
    others = {"holdout", "explore"}
    for row in rows:
        was = before[row["user_id"]]["decision"]
        assert row["decision"] == was if was in others else row["decision"] not in others
    group = [r for r in rows if r["decision"] == "usual"]
    assert len(group) == pytest.approx(400, abs=75)
    assert {r["reason"] for r in group} == {"as_usual", "not_as_usual"}
    facts = {r["user_id"]: r for r in dicts(db, "from scores.hillstrom")}
    chosen = [r["user_id"] for r in group if r["treated"]]
    left = [r["user_id"] for r in group if not r["treated"]]
    if rule == "old_choice":
        assert {facts[user]["old_choice"] for user in chosen} == {1}
        assert {facts[user]["old_choice"] for user in left} == {0}
    else:
        ranked = sum(r["decision"] in {"treat", "no_treat"} for r in rows)
        explorers = sum(r["decision"] == "explore" for r in rows)
        places = Lanes(ranked, explorers, len(group)).quota(list_size(0.3, len(rows)))
        assert len(chosen) == places.usual
    if rule == "response":
        lowest = min(facts[user]["response"] for user in chosen)
        assert lowest >= max(facts[user]["response"] for user in left)
    if rule == "random":
        assert {r["usual_selected"] for r in rows} == {None}
    else:
        assert all(r["usual_selected"] == r["treated"] for r in group)


@pytest.mark.parametrize("rule", RULES)
def test_propensities_are_how_often_users_are_treated_over_draws(db: Warehouse, rule: str) -> None:
    """200 users who are alike in all but their id have 200 independent draws."""
    kinds, draws = 100, 200
    give(db, kinds * draws, kinds=kinds)
    rows = make(db, experiment(as_usual(rule)), Budget(share=0.3))
    kind = np.array([r["user_id"] for r in rows]) % kinds
    counts = np.bincount(kind, [r["treated"] for r in rows])
    logged = np.array([r["propensity"] for r in rows])
    chance = np.bincount(kind, logged) / draws
    assert logged == pytest.approx(chance[kind]), "alike users have one chance"
    z = (counts - draws * chance) / np.sqrt(draws * chance * (1 - chance))
    assert np.abs(z).max() < 4.5
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.3


def test_a_list_smaller_than_the_old_systems_choices_is_refused(db: Warehouse) -> None:
    give(db, USERS, chosen=1.0)
    with pytest.raises(DataError, match=r"column 'old_choice' chooses \d+, but the list treats 5"):
        make(db, experiment(as_usual("old_choice")), Budget(users=5))


@pytest.mark.parametrize("odd", ["null", "2"])
def test_choices_that_are_not_0_or_1_are_refused(db: Warehouse, odd: str) -> None:
    give(db, USERS)
    db.rows(f"update raw.hillstrom set old_choice = {odd} where user_id = 7")
    with pytest.raises(DataError, match=r"column 'old_choice'.* at user_id 7 and 0 more"):
        make(db, experiment(as_usual("old_choice")), Budget(share=0.5))


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"usual": 0.1}, "go together"),
        ({"usual_rule": "random"}, "go together"),
        ({"usual": 0.95, "usual_rule": "random"}, "sum is 1 or more"),
        (
            {"usual": 0.1, "usual_rule": "random", "contact_cap": ContactCap(treatments=1, days=7)},
            "beside contact_cap",
        ),
    ],
)
def test_rules_that_contradict_each_other_are_refused(rules: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Decisions(**rules)


def keep_simulated_outcomes(
    db: Warehouse, rows: Rows, rng: np.random.Generator, night: str
) -> tuple[float, float]:
    """Keep outcomes of a list; return what was added to business as usual in truth, and treatments."""
    score = np.array([r["score"] for r in rows])
    was_treated = np.array([r["treated"] for r in rows])
    y = 0.1 * score + 2 * score * was_treated + rng.normal(size=len(rows))
    with db.relation("given", pa.table({"user_id": [r["user_id"] for r in rows], "y": y})):
        db.rows("create or replace temporary table realised_outcomes as from given")
    sql = render(
        "decisions/measured.sql",
        treat_list=TREAT_LIST,
        outcome_rows=LIST_OUTCOMES,
        scores=BASE.tables.scores,
        response=Identifier.of("response"),
    )
    key = {"decision_date": night, "experiment": "hillstrom", "campaign": "mens"}
    db.rows(
        f"insert into decisions.measured by name {sql}", key | {"outcome": "visit", "provisional": False}
    )
    engine = [r for r in rows if r["decision"] in {"treat", "no_treat"}]
    by_score = sum(2 * r["score"] for r in engine if r["selected"])
    by_chance = np.mean([r["treated"] for r in rows if r["decision"] == "usual"])
    by_rule = sum(
        2 * r["score"] * (by_chance if r["usual_selected"] is None else r["usual_selected"])
        for r in engine
    )
    return by_score - by_rule, sum(r["treated"] for r in engine)


@pytest.mark.parametrize("rule", RULES)
def test_the_gain_over_business_as_usual_is_measured_with_an_honest_error(
    db: Warehouse, rule: str
) -> None:
    give(db, 3_000, chosen=0.3)
    rng, z = np.random.default_rng(3), []
    for salt in range(25):
        db.rows("delete from decisions.measured")
        folder = experiment(as_usual(rule, 0.3, holdout=0.2), salt=f"salt {salt}")
        truths = [
            keep_simulated_outcomes(db, make(db, folder, Budget(share=0.3), night=night), rng, night)
            for night in ("2026-01-01", "2026-01-02")
        ]
        measure_over_time(db, folder, "2026-01-01")
        (row,) = dicts(
            db,
            "from decisions.realised_over_time where comparison = 'usual' "
            "and decision_date = date '2026-01-02'",
        )
        added, treatments = (sum(column) for column in zip(*truths, strict=True))
        assert (row["nights"], row["treatments"]) == (2, treatments)
        z.append((row["uplift"] - added / treatments) / row["std_error"])
    assert abs(np.mean(z)) < 4 / np.sqrt(len(z))
    assert 0.6 < np.sqrt(np.mean(np.square(z))) < 1.4
