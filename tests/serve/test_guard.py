"""Keys, hosts, sizes, request ids, metrics and the log of decisions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from serve.settings import Settings
from tests.serve.support import api_of

KEYS = [hashlib.sha256(key.encode()).hexdigest() for key in ("first", "second")]
PATHS = ["/models", "/features", "/policy", "/policy/sweep", "/metrics", "/openapi.json", "/docs"]


def test_all_but_the_probes_need_a_key(simulated_served: Path) -> None:
    with api_of(simulated_served, api_keys=KEYS) as api:
        for path in PATHS:
            refused = api.get(path)
            assert refused.status_code == 401, path
            assert refused.headers["content-type"] == "application/problem+json"
            assert api.get(path, headers={"x-api-key": "wrong"}).status_code == 401
            for key in ("first", "second"):
                assert api.get(path, headers={"x-api-key": key}).status_code == 200, path
        assert api.get("/healthz").status_code == api.get("/readyz").status_code == 200


def test_other_hosts_are_refused(simulated_served: Path) -> None:
    with api_of(simulated_served) as api:
        refused = api.get("/healthz", headers={"host": "evil.example"})
        assert refused.status_code == 400
        assert "UPLIFT_ALLOWED_HOSTS" in refused.json()["detail"]
    with api_of(simulated_served, allowed_hosts=["*"]) as api:
        assert api.get("/healthz", headers={"host": "any.example"}).status_code == 200


@pytest.mark.parametrize("stated", [True, False])
def test_a_body_has_a_largest_size(simulated_served: Path, *, stated: bool) -> None:
    body = b'{"attributes": {' + b" " * 5000 + b"}}"
    content = body if stated else iter([body[:100], body[100:]])
    headers = {"content-type": "application/json"}
    with api_of(simulated_served, max_body_bytes=1000) as api:
        refused = api.post("/score", content=content, headers=headers)
    assert refused.status_code == 413
    assert "larger than 1000 bytes" in refused.json()["detail"]


def test_one_user_and_a_batch_have_limits_of_their_own(simulated_served: Path) -> None:
    body = b'{"attributes": {' + b" " * 5000 + b"}}"
    headers = {"content-type": "application/json"}
    with api_of(simulated_served, max_score_bytes=1000) as api:
        for path in ("/score", "/explain"):
            refused = api.post(path, content=body, headers=headers)
            assert refused.status_code == 413
            assert "larger than 1000 bytes; send one user's attributes alone" in refused.json()["detail"]
        assert api.post("/score/batch", content=body, headers=headers).status_code == 422
    assert Settings().max_score_bytes == 2**16


def test_a_request_id_is_kept_or_given(simulated_api) -> None:
    given = simulated_api.get("/readyz", headers={"x-request-id": "abc-123"})
    assert given.headers["x-request-id"] == "abc-123"
    for bad in ("a b", "x" * 65, ""):
        generated = simulated_api.get("/readyz", headers={"x-request-id": bad}).headers["x-request-id"]
        assert generated != bad
        assert len(generated) == 32


def test_metrics_count_decisions_beside_what_was_expected(
    simulated_served: Path, simulated_user: dict
) -> None:
    with api_of(simulated_served) as api:
        for _ in range(4):
            api.post("/score", json={"attributes": simulated_user, "budget": 1, "learner": "r"})
        api.post("/score", json={"attributes": {}})
        lines = dict(
            line.rsplit(" ", 1) for line in api.get("/metrics").text.splitlines() if line[0] != "#"
        )
    target = 'arm="treated",experiment="simulated",learner="r"'
    labels = f'arm="treated",decision="treat",{target.partition(",")[2]}'
    assert float(lines[f"uplift_decisions_total{{{labels}}}"]) == 4
    assert float(lines[f"uplift_expected_treated_total{{{target}}}"]) == 4
    assert float(lines['uplift_requests_total{route="/score",status="200"}']) == 4
    assert float(lines['uplift_requests_total{route="/score",status="422"}']) == 1
    assert float(lines["uplift_snapshot_published_timestamp_seconds"]) > 1e9


@pytest.mark.parametrize("with_ids", [True, False])
def test_decisions_are_logged_without_attributes_and_ids(
    simulated_served: Path, simulated_user: dict, tmp_path: Path, *, with_ids: bool
) -> None:
    log = tmp_path / "decisions.jsonl"
    canary = 123.456789
    with api_of(simulated_served, decision_log=log, log_user_ids=with_ids) as api:
        one = api.post("/score", json={"attributes": simulated_user | {"x1": 1.23456789}}).json()
        two = api.post("/score", json={"user_id": 4321}).json()
        api.post("/score/batch", json={"user_ids": [1, 2]})
        api.post("/score", json={"attributes": simulated_user | {"x1": canary}})
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["decision_id"] for line in lines[:2]] == [one["decision_id"], two["decision_id"]]
    assert [line["score"] for line in lines[:2]] == [one["score"], two["score"]]
    assert [line.get("user_id") for line in lines] == ([None, 4321, 1, 2] if with_ids else [None] * 4)
    assert "1.23456789" not in text
    assert "123.456" not in text


def test_old_snapshots_are_called_stale(simulated_served: Path) -> None:
    with api_of(simulated_served, stale_hours=1e-9) as api:
        assert api.post("/score", json={"user_id": 1}).json()["stale"] is True
    with api_of(simulated_served) as api:
        assert api.post("/score", json={"user_id": 1}).json()["stale"] is False
