"""What a budget is worth, as the evaluation has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.serve.support import api_of, change_manifest, copy_home, manifest_of, publish_again, query
from uplift_core.artifacts.publication import read_pointer


def test_a_sweep_has_the_evaluations_figures(hillstrom_api: TestClient, hillstrom_served: Path) -> None:
    sweep = hillstrom_api.get("/policy/sweep", params={"arm": "mens", "learner": "x"}).json()
    where = "where arm = 'mens' and learner = $l and outcome = 'visit'"
    for key, learner in (("rows", "x"), ("response_model", "response")):
        sql = f"from evaluation.policy_value {where} and estimator = 'aipw' order by budget"
        expected = query(hillstrom_served, sql, l=learner)
        assert [row["budget"] for row in sweep[key]] == [row["budget"] for row in expected]
        for name in ("value", "gain_over_random", "incremental"):
            assert [row[name] for row in sweep[key]] == [row[name] for row in expected]
    limits = query(
        hillstrom_served,
        "select threshold, treated_share from decisions.thresholds where arm = 'mens' and learner = 'x' "
        "order by budget",
    )
    assert [row["threshold"] for row in sweep["rows"]] == [row["threshold"] for row in limits]
    assert [row["expected_treat_rate"] for row in sweep["rows"]] == pytest.approx(
        [row["treated_share"] for row in limits]
    )


def test_one_budget_says_where_it_was_evaluated(hillstrom_api: TestClient) -> None:
    policy = hillstrom_api.get("/policy", params={"budget": 0.1234}).json()
    (row,) = policy["rows"]
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
        ({"cost": "-1"}, "cost"),
        ({"value": "much"}, "value"),
        ({"value": "nan"}, "value"),
    ],
)
def test_what_is_wrong_is_named(hillstrom_api: TestClient, query_: dict, words: str) -> None:
    answer = hillstrom_api.get("/policy", params=query_)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


MONEY = {"cost": 0.5, "value": 12.0}


def test_profit_has_the_error_of_what_it_is_made_of(hillstrom_api: TestClient) -> None:
    """The cost of a budget is known: profit errs as the incremental outcomes do, times their value."""
    answer = hillstrom_api.get("/policy/sweep", params={"arm": "mens"} | MONEY).json()
    assert (answer["cost"], answer["value"]) == (0.5, 12.0)
    for row in [*answer["rows"], *answer["response_model"]]:
        assert row["net_value"] == pytest.approx(12 * row["incremental"] - 0.5 * row["budget"])
        assert row["net_std_error"] == pytest.approx(12 * row["incremental_std_error"])
        assert row["net_ci_low"] == pytest.approx(row["net_value"] - 1.959964 * row["net_std_error"])
        assert row["net_ci_high"] == pytest.approx(row["net_value"] + 1.959964 * row["net_std_error"])


def test_the_best_budget_and_how_far_the_others_lie_behind(hillstrom_api: TestClient) -> None:
    answer = hillstrom_api.get("/policy/sweep", params={"arm": "mens"} | MONEY).json()
    best = max(answer["rows"], key=lambda row: row["net_value"])
    assert answer["best_budget"] == best["budget"]
    assert (best["net_behind_best"], best["net_behind_best_std_error"]) == (0, 0)
    for row in answer["rows"]:
        assert row["net_behind_best"] == pytest.approx(best["net_value"] - row["net_value"])
        # The two share their users, so the difference is known better than between other users.
        unpaired = (best["net_std_error"] ** 2 + row["net_std_error"] ** 2) ** 0.5
        assert row["net_behind_best_std_error"] <= unpaired
    (at,) = hillstrom_api.get("/policy", params={"arm": "mens", "budget": 0.3} | MONEY).json()["rows"]
    assert at == answer["rows"][29]


def test_without_a_value_there_is_no_profit(hillstrom_api: TestClient) -> None:
    answer = hillstrom_api.get("/policy/sweep", params={"cost": 0.5}).json()
    assert (answer["value"], answer["best_budget"]) == (None, None)
    assert {row["net_value"] for row in answer["rows"]} == {None}
    assert {row["net_std_error"] for row in answer["rows"]} == {None}


def test_what_is_declared_gives_the_batchs_own_profit(hillstrom_served: Path, tmp_path: Path) -> None:
    home = copy_home(hillstrom_served, tmp_path / "home")
    declared = manifest_of(home, "hillstrom").experiment.model_dump(mode="json")
    declared["arms"][2]["cost"], declared["outcomes"][0]["value"] = 0.5, 12.0
    change_manifest(home, "hillstrom", experiment=declared)
    worth = "12.0 * incremental - 0.5 * budget"
    publish_again(
        home,
        "20990101T000000000000Z-hillstrom",
        f"update evaluation.policy_value set net_value = {worth}, net_std_error = "
        "12.0 * incremental_std_error where arm = 'mens' and outcome = 'visit' and estimator = 'aipw'",
        "update models.registry set model_version = "
        f"'{read_pointer(home / 'published').experiments['hillstrom'].model_version}'",
    )
    with api_of(home) as api:
        answer = api.get("/policy/sweep", params={"arm": "mens", "learner": "x"}).json()
    written = query(
        home,
        "from evaluation.policy_value where arm = 'mens' and learner = 'x' and outcome = 'visit' "
        "and estimator = 'aipw' order by budget",
    )
    assert len(answer["rows"]) == len(written) == 100
    for name in ("net_value", "net_std_error"):
        assert [row[name] for row in answer["rows"]] == pytest.approx([row[name] for row in written])
