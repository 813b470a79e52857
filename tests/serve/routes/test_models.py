"""Models, features, explanations."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.serve.support import manifest_of, query
from uplift_core.artifacts.publication import read_pointer
from uplift_core.learner_names import LEARNER_NAMES


def test_the_published_model_is_described(hillstrom_api: TestClient, hillstrom_served: Path) -> None:
    (model,) = hillstrom_api.get("/models").json()
    entry = read_pointer(hillstrom_served / "published").experiments["hillstrom"]
    assert (model["model_version"], model["learner"]) == (entry.model_version, entry.learner)
    assert (model["arms"], model["budget"]) == (["womens", "mens"], 0.3)
    details = hillstrom_api.get(f"/models/{entry.model_version}").json()
    assert details["data_sha256"] == manifest_of(hillstrom_served, "hillstrom").data_sha256
    assert details["card"].startswith("#")
    assert len(details["metrics"]) == len(query(hillstrom_served, "from evaluation.metrics"))
    missing = hillstrom_api.get("/models/nope")
    assert missing.status_code == 404
    assert entry.model_version in missing.json()["detail"]


def test_features_say_what_to_send(hillstrom_api: TestClient) -> None:
    features = hillstrom_api.get("/features").json()
    attributes = {column["name"]: column for column in features["attributes"]}
    assert attributes["zip_code"]["levels"] == ["Rural", "Surburban", "Urban"]
    assert (attributes["mens"]["low"], attributes["mens"]["high"]) == (0, 1)
    assert features["features"][0]["description"]
    answer = hillstrom_api.post("/score", json={"attributes": features["example"]})
    assert answer.status_code == 200


@pytest.mark.parametrize("learner", [None, *LEARNER_NAMES])
def test_contributions_add_up_to_the_score(hillstrom_api: TestClient, learner: str | None) -> None:
    bases = set()
    for user in (1, 17, 4711):
        body = {"user_id": user, "learner": learner, "arm": "mens"}
        explanation = hillstrom_api.post("/explain", json=body).json()
        total = explanation["base"] + sum(part["contribution"] for part in explanation["contributions"])
        assert total == pytest.approx(explanation["score"], abs=1e-6)
        assert explanation["score"] == hillstrom_api.post("/score", json=body).json()["score"]
        bases.add(round(explanation["base"], 6))
        sizes = [abs(part["contribution"]) for part in explanation["contributions"]]
        assert sizes == sorted(sizes, reverse=True)
    assert len(bases) == 1, "before anything is known of a user, all are alike"


def test_a_user_id_knows_the_part_that_the_list_gives(
    hillstrom_api: TestClient, hillstrom_served: Path
) -> None:
    rows = query(
        hillstrom_served,
        "select user_id, decision from decisions.treat_list where decision in ('holdout', 'explore') "
        "and user_id < 400 union all select user_id, 'ranked' from decisions.treat_list "
        "where decision in ('treat', 'no_treat') and user_id < 40",
    )
    assert {row["decision"] for row in rows} == {"holdout", "explore", "ranked"}
    for row in rows:
        answer = hillstrom_api.post("/score", json={"user_id": row["user_id"]}).json()
        assert answer["role"] == row["decision"]


def test_lists_say_whether_acting_on_the_scores_is_shown_to_pay(
    hillstrom_api: TestClient, hillstrom_served: Path
) -> None:
    lists = hillstrom_api.get("/lists").json()
    (word,) = query(
        hillstrom_served,
        "select learner, gate as evidence, gate_reason as evidence_reason, needed_users "
        "from models.registry where arm = 'womens' and champion and is_current",
    )
    assert lists["evidence"] == [{"campaign": "womens", "arm": "womens"} | word]
    for entry in (*lists["nights"], *lists["best"]):
        assert entry["evidence"] == word["evidence"]
        assert entry["evidence_reason"] == word["evidence_reason"]
