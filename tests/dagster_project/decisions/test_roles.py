"""Properties of any list: exact size, nested, independent of the order of rows, true to its rules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.decisions.exploration import NOWHERE, near_band
from dagster_project.decisions.records import ListKey
from dagster_project.decisions.registered import read_register
from dagster_project.decisions.role_counts import ListRequest
from dagster_project.decisions.roles import AssignRoles, assign_roles
from dagster_project.decisions.treat_list import plan_list, write_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from tests.support import dicts, folder_of, memory_warehouse
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.register import ALL, Register, Wish
from uplift_core.errors import DataError
from uplift_core.experiment.decision_rules import ContactCap, Decisions
from uplift_core.targeting.budget import Budget, Distribution, list_size, quota

BASE = folder_of("hillstrom")
SHARED = memory_warehouse()  # for examples that replace the tables that they read
NIGHT = "2026-01-01"
NO_DRAWS = Decisions(holdout=0, explore=0)
DRAWS = 100  # of explorers and ties, by salts
Rows = list[dict[str, object]]


def experiment(
    rules: Decisions, *, salt: str = "", cost: float = 0.0, value: float | None = None
) -> BatchExperiment:
    arms = tuple(arm.model_copy(update={"cost": cost}) for arm in BASE.declaration.arms)
    outcomes = tuple(o.model_copy(update={"value": value}) for o in BASE.declaration.outcomes)
    split = BASE.declaration.split.model_copy(update={"salt": salt or "s"})
    changes = {"decisions": rules, "arms": arms, "outcomes": outcomes, "split": split}
    # No change touches the features, so their SQL is not parsed again for each of a thousand examples.
    return replace(BASE, declaration=BASE.declaration.model_copy(update=changes))


def score(db: Warehouse, scores: Iterable[float]) -> None:
    """Replace the scores by the given ones of users 1, 2, ..."""
    values = np.asarray(list(scores), np.float32)
    table = pa.table({"user_id": np.arange(1, len(values) + 1), "cate_r": values})
    with db.relation("given", table):
        db.rows("create or replace table scores.hillstrom as select *, 'mens' as arm from given")


def make(  # noqa: PLR0913 - the inputs of one list
    db: Warehouse,
    experiment: BatchExperiment,
    budget: Budget,
    night: str = NIGHT,
    campaign: str = "mens",
    *,
    roles: AssignRoles = assign_roles,
) -> Rows:
    key = ListKey(night, experiment.name, campaign)
    rules, band = experiment.declaration.decisions, NOWHERE
    # Here the threshold comes from all users; a run takes it from the held-out users.
    if rules.cut == "threshold" or rules.explore_near:
        scores, n = np.unique(
            db.arrow("select cate_r from scores.hillstrom").column(0).to_numpy(), return_counts=True
        )
        distribution = Distribution(scores[::-1], n[::-1])
        band = near_band(distribution, rules, budget, distribution.n_users)
    request = ListRequest(key, "mens", "r", money=budget.kind == "money", band=band)
    plan = plan_list(db, experiment, request, budget, roles)
    threshold = 0.0
    if rules.cut == "threshold":
        threshold = distribution.threshold(plan.share)
        plan = plan.cut_at(threshold)
    labels = {
        "arm": "mens",
        "learner": "r",
        "threshold": threshold,
        "model_version": "v",
        "feature_snapshot": "f",
    }
    write_list(db, experiment, key, plan, labels)
    return dicts(
        db,
        "from decisions.treat_list where decision_date = $night::date and campaign = $campaign "
        "order by user_id",
        {"night": night, "campaign": campaign},
    )


def treated(rows: Rows) -> set[object]:
    return {r["user_id"] for r in rows if r["treated"]}


SCORES = st.lists(st.floats(-1, 1, width=32).map(lambda v: round(v, 1)), min_size=1, max_size=60)
SHARES = st.floats(0, 0.3)


@given(SCORES, SHARES, SHARES, st.floats(0, 1), st.floats(0, 1), st.randoms())
def test_any_list_is_exact_nested_and_blind_to_the_order_of_rows(  # noqa: PLR0913, PLR0917
    scores, holdout, explore, one, other, random
) -> None:
    folder = experiment(Decisions(holdout=holdout, explore=explore))
    db = SHARED
    score(db, scores)
    low, high = sorted((one, other))
    small, large = (make(db, folder, Budget(share=share)) for share in (low, high))
    eligible = [r for r in small if r["decision"] != "holdout"]
    for share, rows in ((low, small), (high, large)):
        assert len(treated(rows)) == min(list_size(share, len(scores)), len(eligible))
        assert sorted(r["rank"] for r in rows if r["rank"]) == list(range(1, len(eligible) + 1))
    assert treated(small) <= treated(large)
    assert not treated(make(db, folder, Budget(share=0.0)))
    assert treated(make(db, folder, Budget(share=1.0))) == {r["user_id"] for r in eligible}
    order = list(range(1, len(scores) + 1))
    random.shuffle(order)
    with db.relation("shuffled", pa.table({"user_id": order, "place": range(len(order))})):
        db.rows(
            "create or replace table scores.hillstrom as select scores.* from scores.hillstrom "
            "as scores join shuffled using (user_id) order by place"
        )
    assert make(db, folder, Budget(share=low)) == small


@given(SCORES, SHARES, SHARES, st.floats(0, 1))
def test_a_list_cut_by_the_threshold_treats_whoever_reaches_it(scores, holdout, explore, share) -> None:
    rules = Decisions(holdout=holdout, explore=explore)
    db = SHARED
    score(db, scores)
    by_size = {r["user_id"]: r for r in make(db, experiment(rules), Budget(share=share))}
    by_threshold = rules.model_copy(update={"cut": "threshold"})
    rows = make(db, experiment(by_threshold), Budget(share=share))
    for r in rows:
        same, reaches = by_size[r["user_id"]], bool(r["score"] >= r["threshold"])
        assert r["rank"] == same["rank"]
        if r["decision"] in {"treat", "no_treat"}:
            assert r["treated"] == r["selected"] == reaches
            assert r["decision"] == ("treat" if reaches else "no_treat")
            assert r["reason"] == ("above_threshold" if reaches else "below_threshold")
        else:
            compared = ("decision", "treated", "reason")
            assert [r[name] for name in compared] == [same[name] for name in compared]
            assert r["selected"] == reaches
    roles = [r["decision"] for r in rows]
    explorers, ranked = roles.count("explore"), roles.count("treat") + roles.count("no_treat")
    drawn = quota(list_size(share, len(rows)), ranked, explorers).explorers
    assert sum(r["treated"] for r in rows if r["decision"] == "explore") == drawn


@given(
    costs=st.lists(st.decimals(Decimal("0.01"), 50, places=2), min_size=1, max_size=40),
    money=st.decimals(0, 400, places=2),
    more=st.decimals(0, 100, places=2),
    explore=SHARES,
)
def test_money_is_never_overspent_and_more_of_it_treats_more(costs, money, more, explore) -> None:
    db = SHARED
    rng = np.random.default_rng(len(costs))
    score(db, rng.normal(size=len(costs)))
    postage_table = pa.table({"user_id": range(1, len(costs) + 1), "postage": [float(c) for c in costs]})
    with db.relation("postage_table", postage_table):
        db.rows("create or replace table raw.hillstrom as from postage_table")
    folder = experiment(
        Decisions(holdout=0.1, explore=explore, cost_column="postage"), value=20.0, cost=1.0
    )
    rows = make(db, folder, Budget(money=float(money)))
    spent = sum(costs[r["user_id"] - 1] for r in rows if r["treated"])
    assert spent <= money
    assert all(20.0 * r["score"] > r["cost"] for r in rows if r["decision"] == "treat")
    assert treated(rows) <= treated(make(db, folder, Budget(money=float(money + more))))
    unaffordable = [r for r in rows if r["rank"] and not r["treated"]]
    if unaffordable:
        next_one = min(unaffordable, key=lambda r: r["rank"])
        assert spent + costs[next_one["user_id"] - 1] > money


def test_the_best_return_on_money_comes_first(db) -> None:
    score(db, [0.5, 0.4, 0.3])
    with db.relation("postage_table", pa.table({"user_id": [1, 2, 3], "postage": [10.0, 1.0, 2.0]})):
        db.rows("create or replace table raw.hillstrom as from postage_table")
    folder = experiment(NO_DRAWS.model_copy(update={"cost_column": "postage"}), value=30.0)
    assert [r["rank"] for r in make(db, folder, Budget(money=3.0))] == [3, 1, 2]
    assert [r["rank"] for r in make(db, folder, Budget(users=2))] == [
        3,
        1,
        2,
    ]  # 15 - 10 < 9 - 2 < 12 - 1


@pytest.mark.parametrize(("postage", "budget"), [(None, 0.5), (-1.0, 0.5), (math.nan, 0.5), (0.0, 5.0)])
def test_costs_that_cannot_be_meant_are_refused(db, postage, budget) -> None:
    score(db, [0.5, 0.4])
    postage_table = pa.table({"user_id": [1, 2], "postage": pa.array([1.0, postage], pa.float64())})
    with db.relation("postage_table", postage_table):
        db.rows("create or replace table raw.hillstrom as from postage_table")
    folder = experiment(NO_DRAWS.model_copy(update={"cost_column": "postage"}), value=30.0)
    requested = Budget(money=budget) if budget > 1 else Budget(share=budget)
    with pytest.raises(DataError, match=r"column 'postage', the cost .* at user_id 2"):
        make(db, folder, requested)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_are_refused(db, odd) -> None:
    score(db, [0.5, odd, 0.1])
    with pytest.raises(DataError, match="column 'cate_r' of 1 users, the first of them user_id 2"):
        make(db, experiment(NO_DRAWS), Budget(share=0.5))
    assert db.rows("from decisions.treat_list") == []


def test_ties_go_by_salted_md5(db) -> None:
    score(db, [1.0] * 5 + [0.0] * 15)
    rows = make(db, experiment(NO_DRAWS), Budget(users=8))
    assert {1, 2, 3, 4, 5} <= treated(rows)
    other = make(db, experiment(NO_DRAWS, salt="another salt"), Budget(users=8))
    assert treated(other) != treated(rows)


def many(db: Warehouse, n: int) -> None:
    score(db, (np.arange(n) * 7919) % 101)


def test_the_holdout_is_never_treated_and_the_same_every_night_and_for_every_model(db) -> None:
    many(db, 5000)
    folder = experiment(Decisions(holdout=0.1, explore=0))
    rows = make(db, folder, Budget(users=4000))
    holdout = {r["user_id"] for r in rows if r["decision"] == "holdout"}
    assert len(holdout) == pytest.approx(500, abs=70)
    assert not holdout & treated(rows)
    db.rows("update scores.hillstrom set cate_r = -cate_r")
    other = make(db, folder, Budget(users=100), night="2026-03-01")
    assert {r["user_id"] for r in other if r["decision"] == "holdout"} == holdout


def test_campaigns_share_their_draw_or_each_has_an_independent_one(db) -> None:
    many(db, 5000)

    def drawn(draws: str, campaign: str) -> dict[str, set[object]]:
        folder = experiment(Decisions(holdout=0.2, explore=0.2, draws=draws))
        rows = make(db, folder, Budget(share=0.3), campaign=campaign)
        return {
            role: {r["user_id"] for r in rows if r["decision"] == role}
            for role in ("holdout", "explore")
        }

    assert drawn("experiment", "spring") == drawn("experiment", "autumn")
    spring, autumn = drawn("campaign", "spring"), drawn("campaign", "autumn")
    assert spring == drawn("campaign", "spring"), "the same every night"
    for role in ("holdout", "explore"):
        # Independent draws of a fifth share a fifth of their users, within four standard errors.
        both = len(spring[role] & autumn[role]) / len(spring[role])
        assert both == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / len(spring[role])))


def test_explorers_are_treated_whatever_their_score(db) -> None:
    many(db, 20_000)
    rows = make(db, experiment(Decisions(holdout=0, explore=0.2)), Budget(users=6000))
    explorers = [r for r in rows if r["decision"] == "explore"]
    assert len(explorers) == pytest.approx(4000, abs=200)
    assert len(treated(explorers)) == pytest.approx(0.3 * len(explorers), abs=0.51)
    by_score = [
        np.mean([r["treated"] for r in explorers if (r["score"] > 50) == high]) for high in (0, 1)
    ]
    assert by_score[0] == pytest.approx(by_score[1], abs=0.05)


def test_propensities_are_how_often_users_are_treated_over_draws(db) -> None:
    many(db, 300)
    rules = Decisions(holdout=0.1, explore=0.2)
    counts, promised = np.zeros(300), np.zeros(300)
    for salt in range(DRAWS):
        for r in make(db, experiment(rules, salt=f"salt {salt}"), Budget(users=90)):
            counts[r["user_id"] - 1] += r["treated"]
            promised[r["user_id"] - 1] += r["propensity"]
    assert counts.sum() == 90 * DRAWS
    assert promised.sum() == pytest.approx(counts.sum(), rel=0.02)
    # Tied users share one chance; over many draws a user's count is within four standard errors of it.
    error = np.sqrt(DRAWS * 0.25)
    assert np.abs(counts - promised).max() < 4 * error
    assert np.abs(counts - promised).mean() < error


def test_the_suppressed_are_never_treated(db) -> None:
    many(db, 100)
    folder = experiment(NO_DRAWS)
    best = sorted(make(db, folder, Budget(users=3)), key=lambda r: r["rank"])[:4]
    ids = [r["user_id"] for r in best]
    for user, until in ((ids[0], None), (ids[1], NIGHT), (ids[2], "2025-12-31")):
        db.rows(
            "insert into decisions.suppressions values ('hillstrom', $user, 'unsubscribed', $until)",
            {"user": user, "until": until},
        )
    rows = {r["user_id"]: r for r in make(db, folder, Budget(users=3))}
    for i in ids[:2]:
        row = rows[i]
        assert (row["decision"], row["reason"]) == ("suppressed", "unsubscribed")
        assert (row["propensity"], row["selected"], row["rank"]) == (0.0, False, None)
    assert len(treated(rows.values())) == 3
    assert {ids[2], ids[3]} <= treated(rows.values())


def test_the_list_obeys_the_register_and_shows_who_said_so(db, tmp_path) -> None:
    many(db, 100)
    folder, home = experiment(NO_DRAWS), Home(tmp_path)
    register, night = Register(home.register), date.fromisoformat(NIGHT)
    best = sorted(make(db, folder, Budget(users=4)), key=lambda r: r["rank"])[:7]
    a, b, c, d, e, f, g = (r["user_id"] for r in best)

    def stop(user: int, scope: str = "hillstrom", until: date | None = None) -> Wish:
        return Wish(user, scope, "suppress", "wrote so", "Ann", until)

    yesterday = night - timedelta(days=1)
    register.enter(
        [stop(a), stop(b, until=night), stop(c, until=yesterday), stop(d, ALL), stop(e, "shop")]
    )
    register.enter([stop(f), Wish(f, "hillstrom", "lift", "came back", "Ben"), stop(7_000_000)])
    for user in (a, g):
        db.rows(
            "insert into decisions.suppressions values ('hillstrom', $user, 'unsubscribed', null)",
            {"user": user},
        )
    assert read_register(db, home, folder, NIGHT) == 2
    rows = {r["user_id"]: r for r in make(db, folder, Budget(users=4))}
    reasons = {user: row["reason"] for user, row in rows.items() if row["decision"] == "suppressed"}
    assert reasons == {a: "unsubscribed", b: "wrote so", g: "unsubscribed"}
    assert {c, d, e, f} == treated(rows.values())  # a row's number says nothing for all experiments
    call = "decisions.excluded_users('hillstrom', 'mens', $night::date, null, null)"
    said = db.rows(f"select user_id, said_by from {call}", {"night": NIGHT})
    assert dict(said) == {a: "suppressions, register", b: "register", g: "suppressions"}
    # Users with ids of their own are kept out by an entry for all; each list reads the register anew.
    own = replace(folder, declaration=folder.declaration.model_copy(update={"user_id": "customer"}))
    register.enter(
        [Wish(b, "hillstrom", "lift", "came back", "Ben"), stop(e, until=yesterday), stop(e, ALL)]
    )
    assert read_register(db, home, own, NIGHT) == 3
    kept_out = db.rows("select user_id, for_all, made_by from decisions.registered")
    assert set(kept_out) == {(a, False, "Ann"), (d, True, "Ann"), (e, True, "Ann")}
    assert {a, d, e, g} & treated(make(db, own, Budget(users=4))) == set()


def test_a_threshold_keeps_to_no_number_and_no_sum(db) -> None:
    many(db, 100)
    folder = experiment(NO_DRAWS.model_copy(update={"cut": "threshold"}), cost=1.0, value=1.0)
    for budget, kind in ((Budget(users=30), "users"), (Budget(money=30.0), "money")):
        with pytest.raises(DataError, match=f"30 in {kind}: cut = 'threshold' takes a share"):
            make(db, folder, budget)
    assert db.rows("from decisions.treat_list") == []


def test_propensities_of_a_threshold_are_how_often_users_are_treated_over_draws(db) -> None:
    many(db, 300)
    rules = Decisions(holdout=0.1, explore=0.2, cut="threshold")
    counts, promised = np.zeros(300), np.zeros(300)
    for salt in range(DRAWS):
        for r in make(db, experiment(rules, salt=f"salt {salt}"), Budget(share=0.3)):
            counts[r["user_id"] - 1] += r["treated"]
            promised[r["user_id"] - 1] += r["propensity"]
    assert promised.sum() == pytest.approx(counts.sum(), rel=0.02)
    assert np.abs(counts - promised).max() < 4 * np.sqrt(DRAWS * 0.25)


def test_effects_that_are_not_worth_their_cost_are_not_bought(db) -> None:
    many(db, 500)
    folder = experiment(Decisions(holdout=0, explore=0.1), cost=2.5, value=2.5 / 60)
    rows = make(db, folder, Budget(money=1000.0))
    assert min(r["score"] for r in rows if r["decision"] == "treat") > 60
    refused = [r for r in rows if r["reason"] == "not_worth_its_cost"]
    assert max(r["score"] for r in refused) <= 60
    assert {r["decision"] for r in refused} == {"no_treat"}
    assert len(treated(rows)) < 400


def test_nobody_is_treated_more_often_than_the_cap_allows_in_all_campaigns_together(db) -> None:
    many(db, 200)
    folder = experiment(
        Decisions(holdout=0.1, explore=0.1, contact_cap=ContactCap(treatments=2, days=7))
    )
    for night in range(1, 31):
        for campaign in ("mens", "again"):
            make(db, folder, Budget(users=30), night=f"2026-01-{night:02d}", campaign=campaign)
    ((most,),) = db.rows(
        "select max(n) from (select count(*) filter (treated) over (partition by user_id "
        "order by decision_date range between interval 6 days preceding and current row) as n "
        "from decisions.treat_list)"
    )
    assert most == 2
    reasons = dict(db.rows("select reason, count(*) from decisions.treat_list group by all"))
    assert reasons["contact_cap"] > 0


def test_the_cap_takes_held_out_users_from_the_comparison_as_it_takes_treated_ones(db) -> None:
    """Otherwise the second night would compare rested users with all of the holdout."""
    many(db, 2000)
    folder = experiment(Decisions(holdout=0.3, explore=0, contact_cap=ContactCap(treatments=1, days=7)))
    chosen: dict[str, set[object]] = {}
    for night in ("2026-01-01", "2026-01-02"):
        rows = make(db, folder, Budget(users=200), night=night)
        chosen[night] = {r["user_id"] for r in rows if r["selected"]}
        lowest = min(r["score"] for r in rows if r["decision"] == "treat")
        holdout = [r["score"] for r in rows if r["selected"] and r["decision"] == "holdout"]
        assert len(holdout) == pytest.approx(200 * 0.3 / 0.7, abs=30)
        assert min(holdout) >= lowest
    assert not chosen["2026-01-01"] & chosen["2026-01-02"]
