"""Where users were assigned in clusters, the service draws and decides by cluster, as the batch does."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from serve.answering import COLUMNS
from serve.routes.batch import ARROW
from tests.serve.support import api_of, copy_home, query
from tests.serve.test_known_users import ask, ask_many, ledger, role_of
from tests.support import drafted_households, few_rounds, run_job, with_experiment
from uplift_core.targeting.budget import list_size, quota

UNITS = ("user", "cluster")
NAME, MAIL = "households", "mail"


@pytest.fixture(scope="module", params=UNITS)
def served(
    request: pytest.FixtureRequest, households_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path, TestClient]]:
    """A list of households, or one of users in households; the home, and the application on it."""
    root, finished = tmp_path_factory.mktemp("serve"), households_home
    if request.param == "user":
        finished = root / "by-user"
        shutil.copytree(households_home, finished)
        folder = few_rounds(drafted_households(finished))
        rules = folder.declaration.decisions.model_copy(update={"unit": "user"})
        by_user = with_experiment(folder, decisions=rules)
        run_job(by_user, finished, only=("treat_list", "export", "published"))
    home = copy_home(finished, root / "home")
    with api_of(home) as api:
        yield request.param, home, api


def households(home: Path) -> dict[int, str]:
    sql = "select user_id, household_id::varchar as household from raw.households"
    return {row["user_id"]: row["household"] for row in query(home, sql)}


def test_every_user_has_the_role_of_the_list_and_explorers_its_decision(served) -> None:
    unit, home, api = served
    rows = ledger(home, NAME, MAIL)
    answer = ask_many(api, list(rows))
    assert answer["roles"] == [role_of(row) for row in rows.values()]
    assert {role_of(row) for row in rows.values()} == {"ranked", "explore", "holdout"}
    treated = dict(zip(rows, answer["treat"], strict=True))
    explorers = {user for user, row in rows.items() if row["decision"] == "explore"}
    assert {u for u in explorers if treated[u]} == {u for u in explorers if rows[u]["treated"]}
    if unit == "cluster":
        assert treated == {user: row["treated"] for user, row in rows.items()}
        assert set(answer["reasons"]) == {"within_budget", "beyond_budget", "explore", "holdout"}
    else:
        assert set(answer["reasons"]) == {"above_threshold", "below_threshold", "explore", "holdout"}


def test_households_stay_whole_in_every_list_and_answer(served) -> None:
    unit, home, api = served
    rows, home_of = ledger(home, NAME, MAIL), households(home)
    answer = ask_many(api, list(rows))
    sides = defaultdict(set)
    for user, role, treat in zip(rows, answer["roles"], answer["treat"], strict=True):
        sides[home_of[user]].add((role, treat if unit == "cluster" or role == "explore" else None))
    torn = [side for side in sides.values() if len(side) > 1]
    # With unit = "user", the explorers' last household may be cut by the budget.
    assert len(torn) <= (unit == "user")
    splits = (
        "select max(n) as most from (select count(distinct (split, fold)) as n from {} group by cluster)"
    )
    assert query(home, splits.format("assignment.households")) == [{"most": 1}]


def test_an_explorers_budget_treats_whole_households(served) -> None:
    unit, home, api = served
    rows, home_of = ledger(home, NAME, MAIL), households(home)
    explorers = [user for user, row in rows.items() if row["decision"] == "explore"]
    ranked = sum(role_of(row) == "ranked" for row in rows.values())
    before: set[int] = set()
    for budget in (0.05, 0.2, 0.5, 1.0):
        answer = ask_many(api, explorers, budget=budget)
        treated = {user for user, treat in zip(explorers, answer["treat"], strict=True) if treat}
        assert before <= treated
        before = treated
        places = quota(list_size(budget, len(rows)), ranked, len(explorers)).explorers
        assert places - 10 < len(treated) <= places
        parted = {home_of[u] for u in treated} & {home_of[u] for u in explorers if u not in treated}
        assert len(parted) <= (unit == "user")
    assert before == set(explorers)


def test_a_new_member_has_the_role_of_the_household(served) -> None:
    _, home, api = served
    rows, home_of = ledger(home, NAME, MAIL), households(home)
    attributes = {"age": 40.0, "past_orders": 2.0}
    for role in ("holdout", "explore", "ranked"):
        user = next(u for u, row in rows.items() if role_of(row) == role)
        answer = ask(api, attributes=attributes, cluster=home_of[user])
        assert answer["role"] == role
        assert answer["listed"] is None
        if role == "holdout":
            assert (answer["decision"], answer["reason"]) == ("no_treat", "holdout")
        if role == "ranked":
            assert answer["decision"] == answer["score_decision"]
    without = ask(api, attributes=attributes)
    assert (without["role"], without["decision"]) == (None, without["score_decision"])


def test_new_members_in_a_batch_are_decided_about_as_one_by_one_and_drawn_as_on_the_list(served) -> None:
    _, home, api = served
    rows, home_of = ledger(home, NAME, MAIL), households(home)
    users = [*sorted(rows)[:150], None]
    clusters = [None if user is None else home_of[user] for user in users]
    attributes = [{"age": 20.0 + i % 50, "past_orders": float(i % 4)} for i in range(len(users))]
    answer = api.post("/score/batch", json={"rows": attributes, "clusters": clusters}).json()
    assert answer["roles"] == [None if user is None else role_of(rows[user]) for user in users]
    assert {"ranked", "explore", "holdout", None} == set(answer["roles"])
    assert answer["listed_decisions"] == [None] * len(users)
    for i in (*range(0, len(users), 10), -1):
        one = ask(api, attributes=attributes[i], cluster=clusters[i])
        assert one["role"] == answer["roles"][i]
        assert one["reason"] == answer["reasons"][i]
        assert (one["decision"] == "treat") == answer["treat"][i]
        assert (one["score_decision"] == "treat") == answer["score_treat"][i]
    table = pa.Table.from_pylist(attributes).append_column("cluster", pa.array(clusters))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    headers = {"Content-Type": ARROW, "Accept": ARROW}
    sent = api.post("/score/batch", content=sink.getvalue().to_pybytes(), headers=headers)
    with pa.ipc.open_stream(sent.content) as reader:
        in_arrow = reader.read_all()
    for name in ("role", "reason", "treat", "score_treat"):
        assert in_arrow.column(name).to_pylist() == answer[COLUMNS[name]]


def test_clusters_that_fit_no_row_are_refused(served) -> None:
    *_, api = served
    row = {"age": 40.0, "past_orders": 2.0}
    for body, words in (
        ({"rows": [row], "clusters": ["h1", "h2"]}, "clusters: 2 for 1 rows; send one for each"),
        ({"rows": [row, row], "clusters": ["h1", 7]}, "clusters[1] = 7: must be a text of 1 to 512"),
        ({"user_ids": [1], "clusters": ["h1"]}, "clusters go with rows"),
    ):
        answer = api.post("/score/batch", json=body)
        assert answer.status_code == 422
        assert words in answer.json()["detail"]


def test_a_cluster_that_says_nothing_is_refused(served) -> None:
    *_, api = served
    answer = api.post("/score", json={"user_id": 1, "cluster": "h1"})
    assert answer.status_code == 422
    assert "cluster goes with attributes" in answer.text
