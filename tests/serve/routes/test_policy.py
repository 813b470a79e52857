"""What a budget is worth, as the evaluation has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.serve.support import query


def test_a_sweep_has_the_evaluations_figures(hillstrom_api: TestClient, hillstrom_served: Path) -> None:
    found = hillstrom_api.get("/policy/sweep", params={"arm": "mens", "learner": "x"}).json()
    where = "where arm = 'mens' and learner = $l and outcome = 'visit'"
    for key, learner in (("rows", "x"), ("response_model", "response")):
        sql = f"from evaluation.policy_value {where} and estimator = 'aipw' order by budget"
        expected = query(hillstrom_served, sql, l=learner)
        assert [row["budget"] for row in found[key]] == [row["budget"] for row in expected]
        for name in ("value", "gain_over_random", "incremental"):
            assert [row[name] for row in found[key]] == [row[name] for row in expected]
    limits = query(
        hillstrom_served,
        "select threshold, treated_share from decisions.thresholds where arm = 'mens' and learner = 'x' "
        "order by budget",
    )
    assert [row["threshold"] for row in found["rows"]] == [row["threshold"] for row in limits]
    assert [row["expected_treat_rate"] for row in found["rows"]] == pytest.approx(
        [row["treated_share"] for row in limits]
    )


def test_one_budget_says_where_it_was_evaluated(hillstrom_api: TestClient) -> None:
    found = hillstrom_api.get("/policy", params={"budget": 0.1234}).json()
    (row,) = found["rows"]
    assert (row["budget"], row["evaluated_at"]) == (0.1234, 0.12)
    scored = hillstrom_api.post("/score", json={"user_id": 5, "budget": 0.1234}).json()
    assert scored["threshold"] == row["threshold"]
    assert hillstrom_api.get("/policy").json()["rows"][0]["budget"] == 0.3


@pytest.mark.parametrize("path", ["/models", "/healthz", "/readyz", "/metrics"])
def test_a_path_without_parameters_says_so(hillstrom_api: TestClient, path: str) -> None:
    answer = hillstrom_api.get(path, params={"arm": "mens"})
    assert answer.json()["detail"] == "query: 'arm' is not known; remove it, none is taken here"


@pytest.mark.parametrize(
    ("query_", "words"),
    [
        ({"budget": "2"}, "budget"),
        ({"bugdet": "0.2"}, "query: 'bugdet' is not known; remove it or correct its spelling: "),
        ({"outcome": "nope"}, "outcome = 'nope': is not among"),
        ({"arm": "none"}, "treatment arms"),
    ],
)
def test_what_is_wrong_is_named(hillstrom_api: TestClient, query_: dict, words: str) -> None:
    answer = hillstrom_api.get("/policy", params=query_)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
