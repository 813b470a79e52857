"""Lists over several arms with quotas, and the figures by arm of every such list."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.records import TREAT_LIST
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.sql import render
from tests.dagster_project.decisions.lists_of_offers import (
    ARMS,
    DATE,
    USERS,
    column,
    measure_simulated,
    read_list,
    true_lift,
    write,
)
from tests.support import OFFER_COSTS, dicts, with_experiment
from uplift_core.errors import DataError
from uplift_core.experiment.decision_rules import ArmQuota, ContactCap
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.sources import Population
from uplift_core.targeting.budget import Budget

QUOTAS = {"call": ArmQuota(max_users=900), "mail": ArmQuota(max_users=2_000, max_money=600.0)}
NEXT = "2026-03-02"
BY_ARM = "from decisions.night_arms where campaign = 'best' order by decision_date, arm"


def given(rows: list[dict]) -> dict[str, int]:
    arms = column(rows, "arm")[column(rows, "treated")]
    return {arm: int(np.sum(arms == arm)) for arm in ARMS}


def test_no_quota_is_exceeded_and_full_arms_are_full(
    offers_db: Warehouse, offers: BatchExperiment
) -> None:
    """The money of 'mail' pays for 1,200 users; explorers have a share of each quota."""
    treated: list[set[int]] = []
    for share in (0.26, 0.3, 0.45, 0.62):
        night = write(offers_db, offers, share=share, quotas=QUOTAS)
        rows = read_list(offers_db)
        users = given(rows)
        assert users["call"] <= 900
        assert users["mail"] <= 1_200
        assert night.spent == sum(OFFER_COSTS[arm] * n for arm, n in users.items()) <= share * USERS
        explored = column(rows, "treated") & (column(rows, "decision") == "explore")
        assert 0 < np.sum(explored & (column(rows, "arm") == "call")) <= 9  # 1 % of 900
        treated.append(set(column(rows, "user_id")[column(rows, "decision") == "treat"].tolist()))
        (check,) = dicts(offers_db, "from decisions.gates where gate = 'quotas' and campaign = 'best'")
        assert check["passed"]
        assert f"'call' goes to {users['call']} of at most 900 users" in check["message"]
    assert (users["call"], users["mail"]) == (900, 1_200)
    assert all(less <= more for less, more in itertools.pairwise(treated))
    assert len(treated[0]) < len(treated[1]) < len(treated[2])


def test_arms_of_equal_costs_and_quotas_treat_exactly_the_budget(
    offers_db: Warehouse, offers: BatchExperiment
) -> None:
    arms = tuple(arm.model_copy(update={"cost": 0.0}) for arm in offers.declaration.arms)
    alike = with_experiment(offers, arms=arms)
    night = write(offers_db, alike, users=4_001, quotas={"call": ArmQuota(max_users=1_000)})
    assert night.treated == 4_001
    rows = read_list(offers_db)
    assert given(rows)["call"] == 1_000
    full = column(rows, "reason") == "arm_is_full"
    assert 0 < full.sum() < 10
    assert not column(rows, "treated")[full].any()
    assert set(column(rows, "arm")[full]) == {"call"}
    assert set(column(rows, "decision")[full]) == {"explore"}


def test_tied_users_have_the_chance_of_an_arm_that_they_share(
    offers_db: Warehouse, offers: BatchExperiment
) -> None:
    """Summed over ranked users, propensities are the numbers of users who get an arm."""
    write(offers_db, offers, share=0.5, quotas=QUOTAS)
    rows = read_list(offers_db)
    rules = offers.declaration.decisions
    chance, decision = column(rows, "propensity"), column(rows, "decision")
    explorers = decision == "explore"
    by_chance = {
        arm: rules.explore
        * np.sum(explorers & column(rows, "treated") & (column(rows, "arm") == arm))
        / explorers.sum()
        for arm in ARMS
    }
    ranked = decision == "treat"
    by_score = chance[ranked] - [by_chance[arm] for arm in column(rows, "arm")[ranked]]
    most = 1 - rules.holdout - rules.explore
    assert by_score.max() == pytest.approx(most)
    assert np.all(by_score > 0)
    assert np.sum(by_score < most - 1e-9) > 0
    assert set(chance[decision == "suppressed"]) <= {0.0}
    # A group of equal effects with n users and k places has the chance k / n: k of them sum to k²/n.
    groups = offers_db.rows(
        "select count(*) filter (treated) / count(*), avg(propensity) filter (treated) "
        "from decisions.treat_list join raw.offers using (user_id) where campaign = 'best' "
        "and decision in ('treat', 'no_treat') group by score, visits, orders, age having "
        "count(*) filter (treated) between 1 and count(*) - 1"
    )
    for share, mean in groups:
        assert mean == pytest.approx(most * share, abs=0.01)


def test_what_arms_give_and_promise_adds_up(
    offers_db: Warehouse, offers: BatchExperiment, tmp_path: Path
) -> None:
    night = write(offers_db, offers, share=0.5, quotas=QUOTAS)
    arms = {row["arm"]: row for row in dicts(offers_db, BY_ARM)}
    rows = read_list(offers_db)
    assert {arm: row["treated"] for arm, row in arms.items()} == given(rows)
    assert sum(row["explored"] for row in arms.values()) == night.explored
    assert sum(row["spent"] for row in arms.values()) == pytest.approx(night.spent)
    assert (arms["mail"]["max_users"], arms["mail"]["max_money"]) == (2_000, 600.0)
    assert arms["gift"]["max_users"] is None
    lift, ranked = true_lift(rows), column(rows, "decision") == "treat"
    measure_simulated(offers_db, offers, tmp_path, rows, seed=5)
    of_arms = "from decisions.realised_arms where outcome = 'bought' and comparison = "
    realised = {row["arm"]: row for row in dicts(offers_db, f"{of_arms}'list'")}
    assert set(realised) == set(ARMS)
    for arm, row in arms.items():
        truth = lift[ranked & (column(rows, "arm") == arm)].mean()
        assert row["promised"] == pytest.approx(truth, abs=3.5 * row["promised_std_error"])
        assert realised[arm]["uplift"] == pytest.approx(truth, abs=3.5 * realised[arm]["std_error"])
        assert realised[arm]["promised"] == row["promised"]
    explored = dicts(offers_db, f"{of_arms}'explore'")
    assert {row["arm"] for row in explored} == set(ARMS)
    assert all(row["n_control"] == night.holdout for row in explored)


def test_users_who_change_arms_are_told_beside_those_who_enter_and_leave(
    offers_db: Warehouse, offers: BatchExperiment
) -> None:
    first = write(offers_db, offers, share=0.5, quotas=QUOTAS)
    assert first.changed_arm == 0
    before = {row["user_id"]: row["arm"] for row in read_list(offers_db) if row["treated"]}
    night = write(offers_db, offers, NEXT, share=0.5)
    after = {row["user_id"]: row["arm"] for row in read_list(offers_db, NEXT) if row["treated"]}
    changed = {user for user in before.keys() & after.keys() if before[user] != after[user]}
    assert night.changed_arm == len(changed) > 0
    assert (night.entered, night.exited) == (len(after.keys() - before), len(before.keys() - after))
    sql = render("decisions/changes.sql", treat_list=TREAT_LIST, arms=True)
    key = {"experiment": "offers", "campaign": "best", "decision_date": NEXT, "previous_date": DATE}
    told = dicts(offers_db, sql, key)
    of_arm = [row for row in told if row["change"] == "arm"]
    assert {row["user_id"] for row in of_arm} == changed
    assert all(
        before[r["user_id"]] == r["previous_arm"] and after[r["user_id"]] == r["arm"] for r in of_arm
    )
    assert len(told) == night.entered + night.exited + len(changed)


def test_a_night_that_is_made_again_is_the_same_and_loses_what_measured_it(
    offers_db: Warehouse, offers: BatchExperiment, tmp_path: Path
) -> None:
    """A backfill: the earlier date is made after the later one, and compares with nothing before it."""
    write(offers_db, offers, NEXT, share=0.5, quotas=QUOTAS)
    write(offers_db, offers, share=0.5, quotas=QUOTAS)
    rows, arms = read_list(offers_db), dicts(offers_db, BY_ARM)
    measure_simulated(offers_db, offers, tmp_path, rows, seed=6)
    again = write(offers_db, offers, share=0.5, quotas=QUOTAS)
    assert again.previous_date is None
    assert read_list(offers_db) == rows
    assert dicts(offers_db, BY_ARM) == arms
    assert not offers_db.rows("from decisions.realised_arms")
    # One arm alone leaves no figures by arm behind.
    alone = ListOrder(DATE, "gift", Budget(share=0.3), campaign="best")
    write_treat_list(offers_db, offers, alone, assign_roles)
    assert {str(row["decision_date"]) for row in dicts(offers_db, BY_ARM)} == {NEXT}


def test_contact_caps_count_all_arms(offers_db: Warehouse, offers: BatchExperiment) -> None:
    rules = offers.declaration.decisions.model_copy(
        update={"contact_cap": ContactCap(treatments=1, days=7)}
    )
    capped = with_experiment(offers, decisions=rules)
    write(offers_db, capped, share=0.5, quotas=QUOTAS)
    before = {row["user_id"] for row in read_list(offers_db) if row["treated"]}
    night = write(offers_db, capped, NEXT, share=0.3, override="nobody may get two in a week")
    assert not before & {row["user_id"] for row in read_list(offers_db, NEXT) if row["treated"]}
    assert night.suppressed >= len(before)


def test_one_arm_that_decides_alone_keeps_to_its_quota(
    offers_db: Warehouse, offers: BatchExperiment
) -> None:
    night = write(offers_db, offers, share=0.1, quotas={"gift": ArmQuota(max_users=1_234)})
    assert (night.arm, night.treated) == ("gift", 1_234)
    rules = offers.declaration.decisions.model_copy(
        update={"quotas": {"gift": ArmQuota(max_money=25.0)}}
    )
    assert write(offers_db, with_experiment(offers, decisions=rules), share=0.1).treated == 100


def test_a_population_gets_arms_and_no_promise(offers_db: Warehouse, offers: BatchExperiment) -> None:
    population = Population(path="customers.csv", user_id="customer")
    others = with_experiment(offers, population=population)
    for layer in ("raw", "scores"):
        offers_db.rows(
            f"create table {layer}.offers_population as from {layer}.offers where user_id % 4 = 0"
        )
    night = write(offers_db, others, share=0.5, quotas={"call": ArmQuota(max_users=200)})
    arms = {row["arm"]: row for row in dicts(offers_db, BY_ARM)}
    assert 1_900 < night.users < 2_100
    assert (night.promised, night.promised_std_error) == (None, None)
    assert arms["call"]["treated"] == 200
    assert all(row["promised"] is None for row in arms.values())
    assert night.spent <= 0.5 * night.users


def test_quotas_that_cannot_be_meant_are_refused(offers_db: Warehouse, offers: BatchExperiment) -> None:
    with pytest.raises(DataError, match=r"'fax' is no treatment arm; choose one of \['gift', 'mail'"):
        write(offers_db, offers, share=0.5, quotas={"fax": ArmQuota(max_users=1)})
    alone = ListOrder(DATE, "gift", Budget(share=0.3), quotas={"gift": ArmQuota(max_users=1)})
    with pytest.raises(DataError, match="for a list with arm = 'best'; this one gives 'gift' alone"):
        write_treat_list(offers_db, offers, alone, assign_roles)
    data = offers.declaration.model_dump(mode="json")
    data["decisions"]["quotas"] = {"none": {"max_users": 1}, "call": {}}
    with pytest.raises(ValueError, match=r"'none' is no treatment arm.*'call' has neither max_users"):
        Experiment.model_validate(data)
