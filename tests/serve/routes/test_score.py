from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.serve.support import BUDGETS, attributes_of, manifest_of, query
from uplift_core.artifacts.publication import read_pointer
from uplift_core.learners import LEARNER_NAMES

EXPERIMENTS = ("simulated", "hillstrom")
N_USERS = 200
OWN = {"decision_id", "request_id"}  # of each answer


def ask(api: TestClient, body: object) -> dict:
    answer = api.post("/score", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(api: TestClient, body: object) -> str:
    """The detail of a 422; the body is written by Python's json, which also writes NaN."""
    headers = {"Content-Type": "application/json"}
    content = body if isinstance(body, str) else json.dumps(body)
    answer = api.post("/score", content=content, headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == 422
    return problem["detail"]


@pytest.fixture(params=EXPERIMENTS)
def experiment(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def served(request: pytest.FixtureRequest, experiment: str) -> Path:
    return request.getfixturevalue(f"{experiment}_served")


@pytest.fixture
def api(request: pytest.FixtureRequest, experiment: str) -> TestClient:
    return request.getfixturevalue(f"{experiment}_api")


def thresholds(home: Path, experiment: str) -> dict[tuple[str, str, float], float]:
    rows = query(home, "from decisions.thresholds where experiment = $e", e=experiment)
    return {(r["arm"], r["learner"], r["budget"]): r["threshold"] for r in rows}


def test_users_are_scored_and_decided_as_in_the_batch_to_the_bit(
    served: Path, api: TestClient, experiment: str
) -> None:
    sql = (
        f"from raw.{experiment} join scores.{experiment} using (user_id) "
        f"where arm = $arm order by md5(user_id::varchar) limit {N_USERS}"
    )
    limits = thresholds(served, experiment)
    arms = manifest_of(served, experiment).experiment.treatments
    by_arm = {arm: query(served, sql, arm=arm) for arm in arms}
    treated = 0
    for i in range(N_USERS):
        arm = arms[i % len(arms)]
        row = by_arm[arm][i]
        for j, learner in enumerate(LEARNER_NAMES):
            budget = BUDGETS[(i // len(arms) + j) % len(BUDGETS)]
            answer = ask(
                api,
                {
                    "experiment": experiment,
                    "attributes": attributes_of(served, experiment, row),
                    "arm": arm,
                    "learner": learner,
                    "budget": budget,
                },
            )
            score = np.float32(row[f"cate_{learner}"])
            assert np.float32(answer["score"]).tobytes() == score.tobytes()
            assert np.float32(answer["response"]).tobytes() == np.float32(row["response"]).tobytes()
            assert answer["threshold"] == limits[arm, learner, budget]
            assert (answer["decision"] == "treat") == bool(score >= np.float32(answer["threshold"]))
            treated += answer["decision"] == "treat"
    assert 0 < treated < N_USERS * len(LEARNER_NAMES)


@pytest.mark.parametrize("learner", LEARNER_NAMES)
def test_the_threshold_itself_is_treated_and_the_next_lower_score_is_not(
    served: Path, api: TestClient, experiment: str, learner: str
) -> None:
    arm = manifest_of(served, experiment).experiment.defaults.arm
    limits = thresholds(served, experiment)
    users = f"from raw.{experiment} join scores.{experiment} using (user_id) where arm = $arm"
    score = f"cate_{learner}"
    for budget in BUDGETS:
        limit = limits[arm, learner, budget]
        at = query(served, f"{users} and {score} = $t::float limit 1", arm=arm, t=limit)
        below = query(
            served,
            f"{users} and {score} < $t::float order by {score} desc limit 1",
            arm=arm,
            t=limit,
        )
        for rows, decision in ((at, "treat"), (below, "no_treat")):
            for row in rows:  # below the whole population's threshold there may be nobody
                body = {
                    "experiment": experiment,
                    "attributes": attributes_of(served, experiment, row),
                    "learner": learner,
                    "budget": budget,
                }
                assert ask(api, body)["decision"] == decision
        assert at
        # Of few simulated users a learner may know no better than one score for all.
        assert below or budget == 1 or experiment == "simulated"


def test_what_is_left_out_is_the_published_default(
    hillstrom_api: TestClient, hillstrom_served: Path, hillstrom_user: dict
) -> None:
    pointer = read_pointer(hillstrom_served / "published")
    entry = pointer.experiments["hillstrom"]
    answer = ask(hillstrom_api, {"attributes": hillstrom_user})
    assert answer["experiment"] == "hillstrom"
    assert answer["arm"] == entry.arm
    assert answer["learner"] == entry.learner
    assert answer["budget"] == 0.3
    assert answer["outcome"] == "visit"
    assert answer["model_version"] == entry.model_version
    assert answer["snapshot_id"] == pointer.snapshot_id
    explicit = {k: answer[k] for k in ("experiment", "arm", "learner", "budget")}
    for named in (explicit, dict.fromkeys(explicit)):
        again = ask(hillstrom_api, {"attributes": hillstrom_user, **named})
        assert {k: v for k, v in again.items() if k not in OWN} == {
            k: v for k, v in answer.items() if k not in OWN
        }


def test_no_budget_treats_nobody_and_is_valid_json(
    simulated_api: TestClient, simulated_user: dict
) -> None:
    for budget in (0, 1e-9):
        answer = ask(simulated_api, {"attributes": simulated_user, "budget": budget})
        assert answer["decision"] == "no_treat"
        assert answer["threshold"] is None


def test_the_full_budget_treats_every_held_out_user(
    simulated_api: TestClient, simulated_served: Path
) -> None:
    rows = query(
        simulated_served,
        "from raw.simulated join scores.simulated using (user_id) where split = 'holdout' "
        "order by cate_r limit 5",
    )
    for row in rows:
        body = {"attributes": attributes_of(simulated_served, "simulated", row), "budget": 1}
        assert ask(simulated_api, body)["decision"] == "treat"


def test_any_budget_has_the_score_of_its_last_user_as_threshold(
    hillstrom_api: TestClient, hillstrom_served: Path, hillstrom_user: dict
) -> None:
    sql = "select cate_dr from scores.hillstrom where arm = 'mens' and split = 'holdout'"
    scores = sorted((row["cate_dr"] for row in query(hillstrom_served, sql)), reverse=True)
    for budget in (0.0007, 0.0525, 0.12345, 0.5001, 0.999):
        body = {"attributes": hillstrom_user, "arm": "mens", "learner": "dr", "budget": budget}
        answer = ask(hillstrom_api, body)
        assert answer["budget"] == budget
        assert answer["threshold"] == scores[int(budget * len(scores) + 0.5) - 1]


def test_null_is_a_value_that_is_not_known(simulated_api: TestClient, simulated_user: dict) -> None:
    answer = ask(simulated_api, {"attributes": simulated_user | {"x4": None}})
    assert np.isfinite(answer["score"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"experiment": "nope"}, ["experiment = 'nope'", "hillstrom"]),
        ({"arm": "nope"}, ["arm = 'nope'", "womens", "mens"]),
        ({"arm": "none"}, ["arm = 'none'", "treatment arms"]),
        ({"learner": "nope"}, ["learner = 'nope'", "s, t, x, r, dr"]),
        ({"learner": "response"}, ["learner = 'response'"]),
        ({"budget": -0.01}, ["budget = -0.01", "must be at least 0"]),
        ({"budget": 1.01}, ["budget = 1.01", "must be at most 1"]),
        ({"budget": float("nan")}, ["budget = nan", "finite"]),
        ({"budget": float("inf")}, ["budget = inf"]),
        ({"budget": "0.3"}, ["budget = '0.3'", "number"]),
        ({"budget": True}, ["budget = true", "number"]),
        ({"bugdet": 0.3}, ["bugdet", "unknown"]),
        ({"attributes": [1]}, ["attributes = [1]"]),
        ({"arm": "\ud800"}, ["arm = "]),
        ({"learner": "x" * 10_000}, ["learner = ", "at most 64"]),
    ],
)
def test_a_wrong_field_is_named_with_its_value(
    hillstrom_api: TestClient, hillstrom_user: dict, change: dict, words: list[str]
) -> None:
    detail = refused(hillstrom_api, {"attributes": hillstrom_user} | change)
    assert all(word in detail for word in words), detail
    assert len(detail) < 500


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("recency", 300, "a whole number from 1 to 12"),
        ("recency", -1, "a whole number from 1 to 12"),
        ("recency", 3.5, "a whole number"),
        ("recency", "3", "a whole number"),
        ("recency", True, "a whole number"),
        ("recency", 10**400, "a whole number"),
        ("history", "1", "a finite number"),
        ("history", False, "a finite number"),
        ("history", float("nan"), "a finite number"),
        ("history", float("inf"), "a finite number"),
        ("history", float("-inf"), "a finite number"),
        ("history", 10**400, "a finite number"),
        ("history", {"a": [[1]]}, "a finite number"),
        ("recency", 100, "from 1 to 12"),
        ("recency", 0, "from 1 to 12"),
        ("recency", 13, "from 1 to 12"),
        ("mens", 2, "a whole number from 0 to 1"),
        ("mens", True, "= true: must be a whole number from 0 to 1"),
        ("zip_code", "Mars", "one of the known categories: Rural, Surburban, Urban"),
        ("zip_code", 7, "a text"),
        ("zip_code", ["Urban"], "a text"),
        ("zip_code", "\ud800", "a text"),
    ],
)
def test_a_wrong_attribute_is_named_with_its_value(
    hillstrom_api: TestClient, hillstrom_user: dict, name: str, value: object, words: str
) -> None:
    detail = refused(hillstrom_api, {"attributes": hillstrom_user | {name: value}})
    assert detail.startswith(f"attributes.{name} = ")
    assert words in detail
    assert len(detail) < 300


def test_all_wrong_attributes_are_named(hillstrom_api: TestClient, hillstrom_user: dict) -> None:
    wrong = {"recency": -1, "history": None, "zip_code": "Mars"}
    detail = refused(hillstrom_api, {"attributes": hillstrom_user | wrong})
    assert "attributes.recency = -1: " in detail
    assert "; attributes.zip_code = 'Mars': " in detail
    assert "history" not in detail
    odd = {"recncy": 1, "history": -1}
    detail = refused(hillstrom_api, {"attributes": hillstrom_user | odd})
    assert "'recncy' unknown" in detail
    assert "attributes.history = -1" in detail
    misspelt = {"Recency" if k == "recency" else k: v for k, v in hillstrom_user.items()}
    assert "recency missing, 'Recency' unknown; " in refused(hillstrom_api, {"attributes": misspelt})


def test_every_arm_is_decided_by_its_own_champion(
    hillstrom_api: TestClient, hillstrom_served: Path, hillstrom_user: dict
) -> None:
    champions = query(
        hillstrom_served, "select arm, learner from models.registry where champion and is_current"
    )
    assert len(champions) == 2
    for row in champions:
        body = {"attributes": hillstrom_user, "arm": row["arm"]}
        assert ask(hillstrom_api, body)["learner"] == row["learner"]
        for path in ("/policy", "/evidence"):
            policy = hillstrom_api.get(path, params={"arm": row["arm"]}).json()
            assert policy["learner"] == row["learner"]


def test_a_user_id_may_be_text(hillstrom_api: TestClient) -> None:
    """Numbers of JavaScript hold 53 bits; ids made of texts have 63."""
    number, text = (ask(hillstrom_api, {"user_id": user}) for user in (7, "7"))
    assert number["score"] == text["score"]
    batch = hillstrom_api.post("/score/batch", json={"experiment": "hillstrom", "user_ids": ["7", 8]})
    assert batch.status_code == 200
    for wrong in ("", "-7", "7.0", "seven", "9" * 19, "1" * 5000):
        assert "user_id" in refused(hillstrom_api, {"user_id": wrong})


def test_a_value_that_no_feature_can_hold_is_refused(
    hillstrom_api: TestClient, hillstrom_user: dict
) -> None:
    detail = refused(hillstrom_api, {"attributes": hillstrom_user | {"history": 1e300}})
    assert detail.startswith("attributes.history = 1e+300: must be a finite number from 0 to 10000")


def test_attributes_must_be_those_of_the_experiment(
    hillstrom_api: TestClient, hillstrom_user: dict
) -> None:
    short = {k: v for k, v in hillstrom_user.items() if k not in {"recency", "mens"}}
    assert "mens, recency missing" in refused(hillstrom_api, {"attributes": short})
    for extra in ("visit", "user_id", "\ud800", "RECENCY", "a" * 10_000):
        detail = refused(hillstrom_api, {"attributes": hillstrom_user | {extra: 1}})
        assert " unknown; hillstrom takes exactly" in detail
        assert len(detail) < 300
    assert "send either attributes or user_id" in refused(hillstrom_api, {})


@pytest.mark.parametrize("path", ["/score", "/explain", "/score/batch"])
def test_of_many_errors_twenty_are_told(hillstrom_api: TestClient, path: str) -> None:
    answer = hillstrom_api.post(path, json={f"k{i}": i for i in range(4000)})
    assert answer.status_code == 422
    assert len(answer.content) < 2000
    assert 20 <= answer.json()["detail"].count(": unknown; ") <= 30
    few = hillstrom_api.post(path, json={f"k{i}": i for i in range(20)})
    assert few.json()["detail"].count(": unknown; ") == 20


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"arm": 3, "user_id": 1}, "arm = 3: must be a text"),
        ({"arm": "x" * 65, "user_id": 1}, "must be a text of at most 64 characters"),
        (
            {"arm": "\ud800", "user_id": 1},
            "arm = '\\ud800': must be a text without halves of characters",
        ),
        ({"user_id": 2**63}, "must be less than 9223372036854775808"),
        ({"user_id": 1.5}, "user_id = 1.5: must be a whole number"),
        ({"user_id": 1, "attributes": {}}, "body: send either attributes or user_id"),
        ({"attributes": [1]}, "attributes = [1]: must be an object"),
        ([1], "body = [1]: must be an object"),
        ({"budget": "x", "user_id": 1}, "budget = 'x': must be a number"),
    ],
)
def test_errors_are_in_words_of_our_own(hillstrom_api: TestClient, body: object, detail: str) -> None:
    """None of the validator's, which say 'dictionary', 'after validation' or 'extra inputs'."""
    for path in ("/score", "/explain"):
        content = json.dumps(body)
        answer = hillstrom_api.post(path, content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["detail"].endswith(detail)


@pytest.mark.parametrize("body", ["{", "", "3", "null", "[]"])
def test_a_body_that_is_no_object_is_refused(hillstrom_api: TestClient, body: str) -> None:
    assert "body" in refused(hillstrom_api, body)


def test_a_form_is_told_to_be_json(hillstrom_api: TestClient) -> None:
    answer = hillstrom_api.post("/score", content='{"attributes": {}}')
    assert answer.status_code == 422
    assert "Content-Type: application/json" in answer.json()["detail"]


@pytest.mark.parametrize("body", ["[" * 60_000, '{"budget": ' + "9" * 5000 + "}"])
def test_a_body_that_defies_parsing_is_a_bad_request(hillstrom_api: TestClient, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = hillstrom_api.post("/score", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


BODIES = [
    *(b"", b"{", b"3", b"null", b"[]", b"\xff", b"[" * 60_000, b"[" * 100_000),
    *(
        b'{"budget": "\\ud800"}',
        b'{"user_id": 7.0}',
        b'{"a": NaN}',
        b'{"experiment": "hillstrom", "user_id": 7, "learner": "x"}',
    ),
]
KINDS = ["application/json", "Application/JSON; charset=utf-8", "application/a+json", "text/json", ""]


@pytest.mark.parametrize("kind", KINDS)
def test_score_takes_and_refuses_what_fastapis_own_routes_do(
    hillstrom_api: TestClient, kind: str
) -> None:
    statuses = {
        path: [
            hillstrom_api.post(path, content=body, headers={"Content-Type": kind}).status_code
            for body in BODIES
        ]
        for path in ("/score", "/explain")
    }
    assert statuses["/score"] == statuses["/explain"]
    assert (200 in statuses["/score"]) == kind.lower().startswith("application/")
