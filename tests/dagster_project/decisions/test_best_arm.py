"""Lists over several arms: the judged policy decides, money and arms are those of the path."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.arm_policies import calibrated
from dagster_project.warehouse.connection import Warehouse
from tests.dagster_project.decisions.lists_of_offers import (
    DATE,
    USERS,
    column,
    measure_simulated,
    read_list,
    true_lift,
    write,
)
from tests.support import (
    OFFER_COSTS,
    dicts,
    offered_lift,
    offers_experiment,
    run_job,
    with_experiment,
)
from uplift_core.errors import DataError
from uplift_core.targeting.arm_choice import Offers
from uplift_core.targeting.budget import Budget


def test_no_budget_is_exceeded_and_a_larger_one_treats_all_whom_a_smaller_one_treats(
    offers_db: Warehouse, offers: BatchExperiment
) -> None:
    """Explorers cost, too; what is left over is less than the next level of equal effects costs."""
    treated = []
    for share in (0.26, 0.3, 0.37, 0.5, 0.62):
        night = write(offers_db, offers, share=share)
        assert night.arm == "best"
        assert 0.98 * share * USERS < night.spent <= share * USERS
        rows = read_list(offers_db)
        assert len(rows) == USERS
        assert night.treated == column(rows, "treated").sum()
        assert night.spent == pytest.approx(column(rows, "cost")[column(rows, "treated")].sum())
        assert all(row["cost"] == OFFER_COSTS[row["arm"]] for row in rows)
        assert not column(rows, "treated")[column(rows, "decision") == "holdout"].any()
        ranked = column(rows, "decision") == "treat"
        treated.append(set(column(rows, "user_id")[ranked]))
        explorers = (column(rows, "decision") == "explore").sum()
        assert night.explored == pytest.approx(explorers * night.treated / (USERS - 399), abs=15)
    assert all(less < more for less, more in itertools.pairwise(treated))
    money = write(offers_db, offers, money=0.5 * USERS)
    assert (money.budget_asked, money.spent) == (0.5, pytest.approx(0.5 * USERS, rel=0.02))


def test_ranked_users_get_the_arm_of_their_path_at_one_price(
    offers_db: Warehouse, offers: BatchExperiment
) -> None:
    write(offers_db, offers, share=0.5)
    rows = read_list(offers_db)
    arms = offers.declaration.treatments
    columns = ", ".join(f"max(cate_stack) filter (arm = '{arm}') as {arm}" for arm in arms)
    scores = offers_db.arrow(
        f"select user_id, {columns} from scores.offers group by user_id order by user_id"
    )
    effects = calibrated(
        offers_db, offers, np.column_stack([scores.column(arm).to_numpy().astype(float) for arm in arms])
    )
    path = Offers.of(effects, np.array([OFFER_COSTS[arm] for arm in arms]))
    ranked = np.isin(column(rows, "decision"), ["treat", "no_treat"]) & (path.slope[:, 0] > 0)
    taken = column(rows, "treated") & ranked
    given = np.array([arms.index(row["arm"]) for row in rows])
    # A price that explains all ranked users: taken moves are at least as steep, left moves are less.
    moves = path.arm == given[:, None]
    steps = np.where(taken, moves.argmax(axis=1) + 1, 0)
    slopes = np.column_stack([path.slope, np.full(USERS, -np.inf)])
    last = path.slope[np.arange(USERS), np.maximum(steps - 1, 0)][taken]
    following = slopes[np.arange(USERS), steps][ranked]
    assert last.min() > following.max()
    assert set(given[taken]) == {0, 1, 2}
    ranking = np.maximum(path.slope[:, 0], 0)  # effect per cost of the first arm
    assert np.array_equal(column(rows, "score"), ranking.astype(np.float32))


def test_each_arms_propensity_is_the_chance_of_getting_it(
    offers_db: Warehouse, offers: BatchExperiment
) -> None:
    """Of all ranked and explored users, chance explores 1 % among three arms alike."""
    night, rules = write(offers_db, offers, share=0.5), offers.declaration.decisions
    rows = read_list(offers_db)
    decision, chance = column(rows, "decision"), column(rows, "propensity")
    explorers = decision == "explore"
    share = night.explored / explorers.sum()
    by_chance = rules.explore * share / 3
    by_score = 1 - rules.holdout - rules.explore
    assert chance[decision == "treat"] == pytest.approx(by_score + by_chance)
    assert chance[decision == "no_treat"] == pytest.approx(by_chance)
    near = np.minimum(abs(chance - by_chance), abs(chance - by_chance - by_score))
    assert near[explorers].max() == pytest.approx(0, abs=1e-12)
    counts = [np.sum(column(rows, "arm")[explorers] == arm) for arm in OFFER_COSTS]
    assert min(counts) > explorers.sum() / 3 - 4 * np.sqrt(explorers.sum() * 2 / 9)


def test_promise_realised_and_truth_agree(
    offers_db: Warehouse, offers: BatchExperiment, tmp_path: Path
) -> None:
    night = write(offers_db, offers, share=0.5)
    rows = read_list(offers_db)
    truth = true_lift(rows)[column(rows, "decision") == "treat"].mean()
    assert night.promised == pytest.approx(truth, abs=3 * night.promised_std_error)
    measure_simulated(offers_db, offers, tmp_path, rows, seed=3)
    (found,) = dicts(
        offers_db,
        "from decisions.realised where campaign = 'best' and comparison = 'list' and outcome = 'bought'",
    )
    assert found["uplift"] == pytest.approx(truth, abs=3 * found["std_error"])
    assert found["agrees"]
    (explored,) = dicts(
        offers_db, "from decisions.realised where campaign = 'best' and comparison = 'explore'"
    )
    x = np.column_stack([column(rows, name) for name in ("visits", "orders", "age")])
    of_chance = offered_lift(x)[:, 1:].mean()
    assert explored["promised"] == pytest.approx(of_chance, abs=3 * explored["promised_std_error"])
    assert explored["uplift"] == pytest.approx(of_chance, abs=3 * explored["std_error"])


def test_suppressed_users_get_no_arm(offers_db: Warehouse, offers: BatchExperiment) -> None:
    write(offers_db, offers, share=0.5)
    treated = "select min(user_id) from decisions.treat_list where campaign = 'best' and treated"
    (user,) = offers_db.one(treated)
    offers_db.rows(
        "insert into decisions.suppressions (experiment, user_id, reason) "
        "values ('offers', $user, 'no')",
        {"user": user},
    )
    write(offers_db, offers, share=0.5)
    (row,) = [row for row in read_list(offers_db) if row["user_id"] == user]
    assert (row["treated"], row["decision"], row["propensity"]) == (False, "suppressed", 0.0)


def test_arms_of_equal_costs_treat_exactly_the_budget(
    offers_db: Warehouse, offers: BatchExperiment
) -> None:
    arms = tuple(arm.model_copy(update={"cost": 0.0}) for arm in offers.declaration.arms)
    alike = with_experiment(offers, arms=arms)
    for share in (0.3, 0.5137):
        night = write(offers_db, alike, share=share)
        assert (night.arm, night.treated) == ("best", round(share * USERS))
        assert night.spent == night.treated  # each treatment counts 1
    assert write(offers_db, alike, users=4_001).treated == 4_001


def test_where_one_arm_decides_the_list_is_that_arms(
    offers_db: Warehouse, offers: BatchExperiment
) -> None:
    night = write(offers_db, offers, share=0.1)
    assert (night.arm, night.campaign, night.budget_asked) == ("gift", "best", 0.4)
    alone = write_treat_list(
        offers_db, offers, ListOrder(DATE, "gift", Budget(share=0.4), campaign="alone"), assign_roles
    )
    assert night.treated == alone.treated == round(0.4 * USERS)
    different = offers_db.one(
        "select count(*) from decisions.treat_list as a join decisions.treat_list as b using (user_id) "
        "where a.campaign = 'best' and b.campaign = 'alone' and a.treated <> b.treated"
    )
    assert different == (0,)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"share": 0.5, "learner": "x"}, "leave it out, or name an arm"),
        ({"users": 100}, "a number of users is no budget; give a share"),
        ({"share": 1.2}, "must be a share from 0 to 1"),
    ],
)
def test_an_order_that_cannot_be_meant_is_refused(
    offers_db: Warehouse, offers: BatchExperiment, order: dict[str, object], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        write(offers_db, offers, **order)


def test_what_is_not_carried_is_refused_by_name(offers_db: Warehouse, offers: BatchExperiment) -> None:
    for change, words in (
        ({"cut": "threshold"}, r"cut = 'threshold', as no threshold of one score"),
        ({"cost_column": "visits"}, r"cost_column, as one column cannot hold what each of several arms"),
        ({"value_column": "visits"}, r"value_column, as policies were judged at one value"),
    ):
        rules = offers.declaration.decisions.model_copy(update=change)
        with pytest.raises(DataError, match=words):
            write(offers_db, with_experiment(offers, decisions=rules), share=0.5)
    offers_db.rows("delete from models.arm_policies")
    with pytest.raises(DataError, match="policies over its arms were not judged"):
        write(offers_db, offers, share=0.5)


def test_a_run_makes_and_exports_the_list_by_arm(finished_offers: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_offers, tmp_path / "home", symlinks=True)
    config = {"treat_list": {"arm": "best", "budget": 0.5}}
    offers = offers_experiment(tmp_path / "home")
    only = ["treat_list", "export", "published"]
    assert run_job(offers, tmp_path / "home", only=only, config=config).success
    (treat,) = (tmp_path / "home" / "exports").glob("offers/*/best/*/treat.csv")
    head, *lines = treat.read_text(encoding="utf-8").splitlines()
    place = head.split(",").index("arm")
    assert {line.split(",")[place] for line in lines} == set(OFFER_COSTS)
    (manifest,) = (tmp_path / "home" / "exports").glob("offers/*/best/*.json")
    assert "choosing each user's arm beats every arm alone" in manifest.read_text(encoding="utf-8")
