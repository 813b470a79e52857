"""A decision about a known user obeys holdout, suppression and exploration, and meets the list."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from serve import known_users
from serve.release import load_release
from serve.routes.batch import ARROW
from serve.settings import Settings
from tests.serve.support import api_of, copy_home, manifest_of, publish_again, query
from tests.support import SMALL, folder_of, made_once, run_job, small_simulation, with_experiment
from uplift_core.errors import UpliftError
from uplift_core.experiment.decision_rules import ContactCap, Decisions
from uplift_core.learner_names import LEARNER_NAMES
from uplift_core.targeting.budget import list_size

N = 64_000
BUDGET = 0.3
NIGHT = ("treat_list", "export", "published")
TODAY = datetime.now(UTC).date()
LEDGER = """
from decisions.treat_list
where experiment = $experiment and campaign = $campaign
    and decision_date = (select max(decision_date) from decisions.nights where campaign = $campaign)
order by user_id
"""


@dataclass(frozen=True)
class Served:
    """A home, the application on it, and how its lists are cut."""

    home: Path
    api: TestClient
    cut: str


@pytest.fixture(scope="module")
def threshold_home(hillstrom_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with tonight's list cut by the threshold."""

    def make(home: Path) -> None:
        shutil.copytree(hillstrom_home, home, dirs_exist_ok=True)
        folder = with_experiment(folder_of("hillstrom"), decisions=Decisions(cut="threshold"))
        run_job(folder, home, only=NIGHT)

    return made_once(tmp_path_factory, "hillstrom-by-threshold", make)


@pytest.fixture(scope="module", params=["size", "threshold"])
def served(
    request: pytest.FixtureRequest, hillstrom_served: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    home = hillstrom_served
    if request.param == "threshold":
        finished = request.getfixturevalue("threshold_home")
        home = copy_home(finished, tmp_path_factory.mktemp("serve") / "home")
    with api_of(home) as api:
        yield Served(home, api, request.param)


def ledger(home: Path, experiment: str = "hillstrom", campaign: str = "womens") -> dict[int, dict]:
    rows = query(home, LEDGER, experiment=experiment, campaign=campaign)
    return {row["user_id"]: row for row in rows}


def ask(api: TestClient, **body: object) -> dict:
    answer = api.post("/score", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask_many(api: TestClient, users: list[int], **target: object) -> dict:
    answer = api.post("/score/batch", json=target | {"user_ids": users})
    assert answer.status_code == 200, answer.text[:500]
    return answer.json()


def expected(row: dict, cut: str) -> bool:
    """Whom the service treats: whom the list does, but for ranked users of a list of exact size."""
    if cut == "size" and row["decision"] in {"treat", "no_treat"}:
        return bool(row["score"] >= row["threshold"])
    return row["treated"]


def role_of(row: dict) -> str:
    return "ranked" if row["decision"] in {"treat", "no_treat"} else row["decision"]


def test_all_customers_are_decided_about_as_the_list_does(served: Served) -> None:
    rows = ledger(served.home)
    users = list(rows)
    assert len(users) == N
    answer = ask_many(served.api, users, experiment="hillstrom", budget=BUDGET)
    treated = dict(zip(users, answer["treat"], strict=True))
    assert treated == {user: expected(row, served.cut) for user, row in rows.items()}
    assert answer["roles"] == [role_of(row) for row in rows.values()]
    held_out = [user for user, row in rows.items() if row["decision"] == "holdout"]
    tempting = [user for user in held_out if rows[user]["score"] >= rows[user]["threshold"]]
    assert len(held_out) > 3_000 < len(tempting) * 4
    assert not any(treated[user] for user in held_out)
    explorers = [user for user, row in rows.items() if row["decision"] == "explore"]
    assert any(treated[user] != (rows[user]["score"] >= rows[user]["threshold"]) for user in explorers)
    parted = [user for user, row in rows.items() if treated[user] != row["treated"]]
    assert bool(parted) == (served.cut == "size")
    assert {role_of(rows[user]) for user in parted} <= {"ranked"}
    by_score = [row["score"] >= row["threshold"] for row in rows.values()]
    assert answer["score_treat"] == by_score
    at = [user for user, row in rows.items() if row["score"] == row["threshold"]]
    assert len(at) > 1, "no tie at the threshold: this shows less than it should"


def test_what_a_batch_says_of_the_list_is_the_lists_own_row(served: Served) -> None:
    rows = ledger(served.home)
    answer = ask_many(served.api, list(rows), experiment="hillstrom", budget=BUDGET)
    (first, *_) = rows.values()
    assert answer["listed_in"] == {
        "decision_date": str(first["decision_date"]),
        "campaign": "womens",
        "cut": served.cut,
        **{name: first[name] for name in ("arm", "learner", "model_version", "budget")},
    }
    for plural, name in (
        ("listed_decisions", "decision"),
        ("listed_treated", "treated"),
        ("listed_ranks", "rank"),
        ("listed_reasons", "reason"),
    ):
        assert answer[plural] == [row[name] for row in rows.values()]
    reasons = dict(zip(rows, answer["reasons"], strict=True))
    above = {True: "above_threshold", False: "below_threshold"}
    assert reasons == {
        user: above[row["score"] >= row["threshold"]] if role_of(row) == "ranked" else role_of(row)
        for user, row in rows.items()
    }


def test_arrow_says_the_same(served: Served) -> None:
    users = list(ledger(served.home))
    body = {"experiment": "hillstrom", "budget": BUDGET, "user_ids": users}
    in_json = served.api.post("/score/batch", json=body).json()
    answer = served.api.post("/score/batch", json=body, headers={"accept": ARROW})
    with pa.ipc.open_stream(answer.content) as reader:
        table = reader.read_all()
    rest = json.loads(answer.headers["x-decision"])
    names = {
        "score": "scores", "response": "responses", "treat": "treat", "score_treat": "score_treat",
        "role": "roles", "reason": "reasons", "listed_decision": "listed_decisions",
        "listed_treated": "listed_treated", "listed_rank": "listed_ranks",
        "listed_reason": "listed_reasons",
    }  # fmt: skip
    assert table.column_names == list(names)
    for column, name in names.items():
        if column in {"score", "response"}:
            assert np.array_equal(table.column(column).to_numpy(), np.asarray(in_json[name], np.float32))
        else:
            assert table.column(column).to_pylist() == in_json[name]
    of_this_answer = {"request_id", "decision_id"}
    assert in_json["arms"] is None, "a column where several arms are chosen from"
    assert in_json["cate_std_errors"] is None, "a column where the model has bags"
    columns = {*names.values(), "arms", "cate_std_errors"}
    assert {k: v for k, v in rest.items() if k not in of_this_answer} == {
        k: v for k, v in in_json.items() if k not in of_this_answer | columns
    }


def test_by_attributes_the_score_decides_and_nothing_is_known(served: Served) -> None:
    """Ranked users of a list that is cut by the threshold are decided about alike, whoever asks how."""
    rows = ledger(served.home)
    columns = [column.name for column in manifest_of(served.home, "hillstrom").raw_columns]
    listed = ", ".join(columns)
    table = pa.Table.from_pylist(
        query(served.home, f"select {listed} from raw.hillstrom order by user_id")
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = served.api.post(
        "/score/batch",
        params={"experiment": "hillstrom", "budget": BUDGET},
        content=sink.getvalue().to_pybytes(),
        headers={"content-type": ARROW, "accept": ARROW},
    )
    with pa.ipc.open_stream(answer.content) as reader:
        answer = reader.read_all()
    assert answer.column_names == ["score", "response", "treat"]
    treat = answer.column("treat").to_pylist()
    assert treat == [row["score"] >= row["threshold"] for row in rows.values()]
    if served.cut == "threshold":
        ranked = [(t, row["treated"]) for t, row in zip(treat, rows.values(), strict=True)
                  if role_of(row) == "ranked"]  # fmt: skip
        assert all(ours == lists for ours, lists in ranked)
    (one, *_) = table.slice(7, 1).to_pylist()
    single = ask(served.api, experiment="hillstrom", attributes=one, budget=BUDGET)
    assert (single["role"], single["listed"]) == (None, None)
    assert single["decision"] == single["score_decision"]
    assert single["reason"] in {"above_threshold", "below_threshold"}


def test_one_user_is_answered_as_in_a_batch(served: Served) -> None:
    rows = ledger(served.home)
    at = [user for user, row in rows.items() if row["score"] == row["threshold"]]
    by_role = {
        role: [user for user, row in rows.items() if role_of(row) == role]
        for role in ("holdout", "explore", "ranked")
    }
    users = [*at[:100], *by_role["explore"], *by_role["holdout"][:300], *by_role["ranked"][:300]]
    batch = ask_many(served.api, users, experiment="hillstrom", budget=BUDGET)
    for i, user in enumerate(users):
        answer = ask(served.api, experiment="hillstrom", user_id=user, budget=BUDGET)
        row = rows[user]
        assert answer["decision"] == ("treat" if expected(row, served.cut) else "no_treat")
        assert answer["decision"] == ("treat" if batch["treat"][i] else "no_treat")
        assert answer["score_decision"] == ("treat" if batch["score_treat"][i] else "no_treat")
        assert (answer["role"], answer["reason"]) == (batch["roles"][i], batch["reasons"][i])
        assert answer["listed"] == {
            **batch["listed_in"],
            **{name: row[name] for name in ("decision", "treated", "rank", "reason")},
        }


@pytest.mark.parametrize("budget", [0.0, 0.013, 0.1, 0.62, 1.0])
def test_explorers_are_drawn_at_any_budget_as_a_night_would(served: Served, budget: float) -> None:
    """Of every arm: the draw is a user's, not a treatment's."""
    rows = ledger(served.home)
    explorers = [user for user, row in rows.items() if row["decision"] == "explore"]
    size = list_size(budget, N)
    for arm in ("womens", "mens"):
        answer = ask_many(served.api, explorers, experiment="hillstrom", budget=budget, arm=arm)
        assert answer["treat"] == [rows[user]["rank"] <= size for user in explorers]
        assert {*answer["roles"]} == {*answer["reasons"]} == {"explore"}
    assert answer["listed_in"] is None, "there is no list about the other e-mail"
    assert {*answer["listed_decisions"]} == {None}


def test_users_may_be_asked_about_in_any_order_and_twice(served: Served) -> None:
    users = [9, 3, 9, 64_000, 1]
    one_by_one = [ask(served.api, experiment="hillstrom", user_id=user) for user in users]
    batch = ask_many(served.api, users, experiment="hillstrom")
    assert batch["scores"] == [answer["score"] for answer in one_by_one]
    assert batch["listed_ranks"] == [answer["listed"]["rank"] for answer in one_by_one]
    assert batch["roles"] == [answer["role"] for answer in one_by_one]


def suppress(user: int, until: object = None) -> str:
    last = f"date '{until}'" if until else "null"
    return f"insert into decisions.suppressions values ('simulated', {user}, 'unsubscribed', {last})"


def test_the_suppressed_are_not_treated_until_it_ends(home: Path) -> None:
    rows = ledger(home, "simulated", "treated")
    kinds = {
        role: [user for user, row in rows.items() if role_of(row) == role]
        for role in ("ranked", "explore", "holdout")
    }
    ranked, explore, holdout = (kinds[role] for role in kinds)
    today, yesterday = known_users.today(), known_users.today() - timedelta(days=1)
    publish_again(
        home,
        "later",
        *(suppress(user) for user in (ranked[0], explore[0], holdout[0])),
        suppress(ranked[1], today),
        suppress(ranked[2], yesterday),
        suppress(explore[1], yesterday),
    )
    with api_of(home) as api:
        for user in (ranked[0], explore[0], ranked[1]):
            answer = ask(api, user_id=user, budget=1.0)
            assert (answer["decision"], answer["role"]) == ("no_treat", "suppressed")
            assert (answer["reason"], answer["score_decision"]) == ("unsubscribed", "treat")
        assert ask(api, user_id=holdout[0], budget=1.0)["role"] == "holdout"
        assert ask(api, user_id=ranked[2], budget=1.0)["reason"] == "above_threshold"
        assert ask(api, user_id=explore[1], budget=1.0)["role"] == "explore"
        users = [ranked[0], explore[0], ranked[1], ranked[2]]
        batch = ask_many(api, users, budget=1.0)
        assert batch["treat"] == [False, False, False, True]
        assert batch["reasons"] == ["unsubscribed"] * 3 + ["above_threshold"]


def made_by(simulated_home: Path, target: Path, rules: Decisions, first: date) -> Path:
    """A home whose lists from a date until today were made by other rules, and published."""
    shutil.copytree(simulated_home, target)
    run_job(
        with_experiment(small_simulation(), decisions=rules),
        target,
        only=NIGHT,
        decision_date=str(first),
        until=str(TODAY) if first < TODAY else "",
    )
    return target


def test_a_contact_cap_keeps_out_whom_it_keeps_off_the_list(
    simulated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cap = ContactCap(treatments=1, days=7)
    rules = Decisions(contact_cap=cap, gates={"list_change": 1.0})
    home = made_by(simulated_home, tmp_path / "home", rules, TODAY - timedelta(days=1))
    monkeypatch.setattr(known_users, "today", lambda: TODAY)
    rows = ledger(home, "simulated", "treated")
    users = list(rows)
    capped = {user for user, row in rows.items() if row["reason"] == "contact_cap"}
    suppressed = {user for user in capped if rows[user]["decision"] == "suppressed"}
    assert len(suppressed) > 1_000
    with api_of(home) as api:
        tonight = ask_many(api, users, budget=BUDGET)
        assert tonight["roles"] == [role_of(row) for row in rows.values()]
        reasons = dict(zip(users, tonight["reasons"], strict=True))
        assert {user for user, reason in reasons.items() if reason == "contact_cap"} == suppressed
        explorers = [i for i, row in enumerate(rows.values()) if role_of(row) == "explore"]
        assert [tonight["treat"][i] for i in explorers] == [rows[users[i]]["treated"] for i in explorers]
        # The day after, tonight's treatments count, too; a week later none does.
        monkeypatch.setattr(known_users, "today", lambda: TODAY + timedelta(days=1))
        tomorrow = dict(zip(users, ask_many(api, users)["roles"], strict=True))
        treated = {user for user, row in rows.items() if row["treated"]}
        assert {user for user, role in tomorrow.items() if role == "suppressed"} == suppressed | treated
        monkeypatch.setattr(known_users, "today", lambda: TODAY + timedelta(days=7))
        assert "suppressed" not in ask_many(api, users)["roles"]


def test_users_are_drawn_by_the_lists_rules_not_by_those_of_the_training(
    simulated_home: Path, tmp_path: Path
) -> None:
    rules = Decisions(holdout=0.3, explore=0.1, draws="campaign")
    home = made_by(simulated_home, tmp_path / "home", rules, TODAY)
    rows = ledger(home, "simulated", "treated")
    assert manifest_of(home, "simulated").experiment.decisions.holdout == 0.05
    with api_of(home) as api:
        answer = ask_many(api, list(rows), budget=BUDGET)
    assert answer["roles"] == [role_of(row) for row in rows.values()]
    assert answer["roles"].count("holdout") > SMALL / 5
    assert answer["treat"] == [expected(row, "size") for row in rows.values()]


def test_of_several_campaigns_the_one_called_as_the_arm_is_told(
    simulated_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(simulated_home, home)
    config = {"treat_list": {"campaign": "spring", "budget": 0.1}}
    later = TODAY + timedelta(days=0)
    run_job(small_simulation(), home, only=NIGHT, decision_date=str(later), config=config)
    with api_of(home) as api:
        newest = ask_many(api, [1], budget=0.1)["listed_in"]
        assert (newest["campaign"], newest["budget"]) == ("treated", 0.3)
    publish_again(home, "later", "delete from decisions.listed where campaign = 'treated'")
    with api_of(home) as api:
        newest = ask_many(api, [1], budget=0.1)["listed_in"]
        assert (newest["campaign"], newest["budget"]) == ("spring", 0.1)


def test_where_no_list_was_made_explorers_are_drawn_at_the_budgets_rate(home: Path) -> None:
    rows = ledger(home, "simulated", "treated")
    explorers = [user for user, row in rows.items() if row["decision"] == "explore"]
    publish_again(home, "later", "delete from decisions.listed", "delete from decisions.nights")
    with api_of(home) as api:
        treated = {}
        for budget in (0.0, 0.3, 0.6, 1.0):
            treat = ask_many(api, explorers, budget=budget)["treat"]
            treated[budget] = {user for user, t in zip(explorers, treat, strict=True) if t}
        assert ask(api, user_id=explorers[0])["listed"] is None
    assert treated[0.0] == set()
    assert treated[0.3] < treated[0.6] < treated[1.0] == {*explorers}
    assert len(treated[0.6]) == pytest.approx(0.6 * len(explorers), abs=4 * len(explorers) ** 0.5 / 2)


@pytest.mark.parametrize("rule", ["role_of", "excluded_users", "holdout_scores"])
def test_a_snapshot_without_the_rules_is_refused(home: Path, rule: str) -> None:
    kind = "macro" if rule == "role_of" else "macro table"
    publish_again(home, "later", f"drop {kind} decisions.{rule}")
    with pytest.raises(UpliftError, match=rf"earlier version, .*\({rule}\); publish again: make run"):
        load_release(Settings(home=home))


def test_a_changed_rule_is_what_answers(home: Path) -> None:
    """The service has no rule of its own: who is held out is what the snapshot's macro says."""
    publish_again(
        home,
        "later",
        "create or replace macro decisions.role_of(draw, is_excluded, is_worth, holdout_share, "
        "explore_share) as if(draw >= 0.5, 'holdout', 'ranked')",
    )
    with api_of(home) as api:
        roles = ask_many(api, list(range(1, SMALL + 1)))["roles"]
    assert roles.count("holdout") == pytest.approx(SMALL / 2, abs=200)


@pytest.mark.parametrize("arm", ["womens", "mens"])
@pytest.mark.parametrize("learner", [None, *LEARNER_NAMES])
def test_every_answer_carries_the_word_on_the_learner_that_decides(
    hillstrom_api: TestClient,
    hillstrom_served: Path,
    hillstrom_user: dict,
    arm: str,
    learner: str | None,
) -> None:
    (word,) = query(
        hillstrom_served,
        "select gate as evidence, gate_reason as evidence_reason, learner from models.registry "
        "where arm = $arm and is_current and (learner = $learner or ($learner is null and champion))",
        arm=arm,
        learner=learner,
    )
    target = {"experiment": "hillstrom", "arm": arm} | ({"learner": learner} if learner else {})
    records = [
        hillstrom_api.post("/score", json=target | {"user_id": 7}).json(),
        hillstrom_api.post("/score", json=target | {"attributes": hillstrom_user}).json(),
        hillstrom_api.post("/score/batch", json=target | {"user_ids": [7, 8]}).json(),
        hillstrom_api.post("/score/batch", json=target | {"rows": [hillstrom_user]}).json(),
        hillstrom_api.post("/explain", json=target | {"user_id": 7}).json(),
        hillstrom_api.get("/policy", params=target).json(),
        hillstrom_api.get("/policy/sweep", params=target).json(),
    ]
    arrow = hillstrom_api.post(
        "/score/batch", json=target | {"user_ids": [7]}, headers={"accept": ARROW}
    )
    records.append(json.loads(arrow.headers["x-decision"]))
    for answer in records:
        assert {name: answer[name] for name in word} == word
        assert f"'{word['learner']}' " in answer["evidence_reason"]
    gate = hillstrom_api.get("/evidence", params=target).json()["gate"]
    assert (gate["gate"], gate["learner"]) == (word["evidence"], word["learner"])


def test_the_word_is_one_of_three(hillstrom_api: TestClient) -> None:
    schemas = hillstrom_api.get("/openapi.json").json()["components"]["schemas"]
    for name in ("Decision", "Decisions", "Policy", "Explanation"):
        assert schemas[name]["properties"]["evidence"]["enum"] == [
            "passed",
            "inconclusive",
            "contradicted",
        ]
