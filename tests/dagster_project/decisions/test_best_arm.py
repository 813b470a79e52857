"""Lists over several arms: the judged policy decides, money and arms are those of the path."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dagster_project.decisions.facts import ListOrder
from dagster_project.decisions.realised import measure
from dagster_project.decisions.records import Night
from dagster_project.decisions.roles import assign_roles
from dagster_project.decisions.treat_list import write_treat_list
from dagster_project.declared.experiment import BatchExperiment
from dagster_project.training.arm_policies import calibrated
from dagster_project.warehouse.connection import Warehouse
from tests.support import (
    OFFER_COSTS,
    dicts,
    offered_lift,
    offers_experiment,
    opened,
    run_job,
    with_experiment,
)
from uplift_core.artifacts.home import Home
from uplift_core.errors import DataError
from uplift_core.targeting.arm_choice import Offers
from uplift_core.targeting.budget import Budget

USERS, DATE = 8_000, "2026-03-01"
LIST = (
    "select list.*, visits, orders, age "
    "from decisions.treat_list as list join raw.offers using (user_id) "
    "where decision_date = '2026-03-01' and campaign = 'best' order by user_id"
)


@pytest.fixture(scope="module")
def home(offers_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("best") / "home"
    shutil.copytree(offers_home, home, symlinks=True)
    return home


@pytest.fixture
def db(home: Path) -> Iterator[Warehouse]:
    """The warehouse of a finished run; what a test writes is not kept."""
    with opened(Home(home)) as db:
        yield db
        db.rows("rollback")
        db.rows("begin")


@pytest.fixture
def offers(home: Path) -> BatchExperiment:
    return offers_experiment(home)


def write(db: Warehouse, offers: BatchExperiment, **order: object) -> Night:
    budget = Budget(**{k: order.pop(k) for k in ("share", "users", "money") if k in order})
    return write_treat_list(db, offers, ListOrder(DATE, "best", budget, **order), assign_roles)


def column(rows: list[dict], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows])


def test_no_budget_is_exceeded_and_a_larger_one_treats_all_whom_a_smaller_one_treats(
    db: Warehouse, offers: BatchExperiment
) -> None:
    """Explorers cost, too; what is left over is less than the next level of equal effects costs."""
    treated = []
    for share in (0.26, 0.3, 0.37, 0.5, 0.62):
        night = write(db, offers, share=share)
        assert night.arm == "best"
        assert 0.98 * share * USERS < night.spent <= share * USERS
        rows = dicts(db, LIST)
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
    money = write(db, offers, money=0.5 * USERS)
    assert (money.budget_asked, money.spent) == (0.5, pytest.approx(0.5 * USERS, rel=0.02))


def test_ranked_users_get_the_arm_of_their_path_at_one_price(
    db: Warehouse, offers: BatchExperiment
) -> None:
    write(db, offers, share=0.5)
    rows = dicts(db, LIST)
    arms = offers.declaration.treatments
    columns = ", ".join(f"max(cate_stack) filter (arm = '{arm}') as {arm}" for arm in arms)
    scores = db.arrow(f"select user_id, {columns} from scores.offers group by user_id order by user_id")
    effects = calibrated(
        db, offers, np.column_stack([scores.column(arm).to_numpy().astype(float) for arm in arms])
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
    db: Warehouse, offers: BatchExperiment
) -> None:
    """Of all ranked and explored users, chance explores 1 % among three arms alike."""
    night, rules = write(db, offers, share=0.5), offers.declaration.decisions
    rows = dicts(db, LIST)
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
    db: Warehouse, offers: BatchExperiment, tmp_path: Path
) -> None:
    night = write(db, offers, share=0.5)
    rows = dicts(db, LIST)
    x = np.column_stack([column(rows, name) for name in ("visits", "orders", "age")])
    arm = np.array([1 + list(OFFER_COSTS).index(row["arm"]) for row in rows])
    lift = offered_lift(x)[np.arange(USERS), arm]
    truth = lift[column(rows, "decision") == "treat"].mean()
    assert night.promised == pytest.approx(truth, abs=3 * night.promised_std_error)
    p = 0.15 + 0.01 * x[:, 0] + np.where(column(rows, "treated"), lift, 0.0)
    bought = np.random.default_rng(3).random(USERS) < p
    file = tmp_path / "outcomes.csv"
    ids = column(rows, "user_id")
    file.write_text(
        "user_id,bought\n" + "".join(f"{u},{int(y)}\n" for u, y in zip(ids, bought, strict=True)),
        encoding="ascii",
    )
    measure(db, offers, decision_date=DATE, file=file, absent_is_zero=False)
    (found,) = dicts(
        db,
        "from decisions.realised where campaign = 'best' and comparison = 'list' and outcome = 'bought'",
    )
    assert found["uplift"] == pytest.approx(truth, abs=3 * found["std_error"])
    assert found["agrees"]
    (explored,) = dicts(db, "from decisions.realised where campaign = 'best' and comparison = 'explore'")
    of_chance = offered_lift(x)[:, 1:].mean()
    assert explored["promised"] == pytest.approx(of_chance, abs=3 * explored["promised_std_error"])
    assert explored["uplift"] == pytest.approx(of_chance, abs=3 * explored["std_error"])


def test_suppressed_users_get_no_arm(db: Warehouse, offers: BatchExperiment) -> None:
    write(db, offers, share=0.5)
    treated = "select min(user_id) from decisions.treat_list where campaign = 'best' and treated"
    (user,) = db.one(treated)
    db.rows(
        "insert into decisions.suppressions (experiment, user_id, reason) "
        "values ('offers', $user, 'no')",
        {"user": user},
    )
    write(db, offers, share=0.5)
    (row,) = [row for row in dicts(db, LIST) if row["user_id"] == user]
    assert (row["treated"], row["decision"], row["propensity"]) == (False, "suppressed", 0.0)


def test_arms_of_equal_costs_treat_exactly_the_budget(db: Warehouse, offers: BatchExperiment) -> None:
    arms = tuple(arm.model_copy(update={"cost": 0.0}) for arm in offers.declaration.arms)
    alike = with_experiment(offers, arms=arms)
    for share in (0.3, 0.5137):
        night = write(db, alike, share=share)
        assert (night.arm, night.treated) == ("best", round(share * USERS))
        assert night.spent == night.treated  # each treatment counts 1
    assert write(db, alike, users=4_001).treated == 4_001


def test_where_one_arm_decides_the_list_is_that_arms(db: Warehouse, offers: BatchExperiment) -> None:
    night = write(db, offers, share=0.1)
    assert (night.arm, night.campaign, night.budget_asked) == ("gift", "best", 0.4)
    alone = write_treat_list(
        db, offers, ListOrder(DATE, "gift", Budget(share=0.4), campaign="alone"), assign_roles
    )
    assert night.treated == alone.treated == round(0.4 * USERS)
    different = db.one(
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
    db: Warehouse, offers: BatchExperiment, order: dict[str, object], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        write(db, offers, **order)


def test_what_is_not_carried_is_refused_by_name(db: Warehouse, offers: BatchExperiment) -> None:
    rules = offers.declaration.decisions.model_copy(update={"cut": "threshold"})
    with pytest.raises(
        DataError, match=r"does not carry \[decisions\] cut = 'threshold' yet; name an arm"
    ):
        write(db, with_experiment(offers, decisions=rules), share=0.5)
    db.rows("delete from models.arm_policies")
    with pytest.raises(DataError, match="policies over its arms were not judged"):
        write(db, offers, share=0.5)


def test_a_run_makes_and_exports_the_list_by_arm(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home", symlinks=True)
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
