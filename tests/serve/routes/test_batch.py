"""Many users at once."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from bench.streams import crashing_stream, odd_streams, stream_of
from serve.routes import batch
from serve.routes.batch import ARROW
from serve.schemas.answers import Decisions
from tests.serve.equality import assert_batch_equals_table, assert_single_equals_table
from tests.serve.support import api_of, copy_home


def test_batches_of_hillstroms_customers_equal_the_batch_job(
    hillstrom_api: TestClient, hillstrom_served: Path
) -> None:
    assert_batch_equals_table(hillstrom_api, hillstrom_served, "hillstrom", 10_000)


def test_single_requests_side_by_side_equal_the_batch_job(hillstrom_served: Path) -> None:
    assert_single_equals_table(hillstrom_served, "hillstrom", 10_000)


def test_real_criteo_users_equal_the_batch_job_every_way_in(
    criteo_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = copy_home(criteo_home, tmp_path_factory.mktemp("serve") / "criteo")
    with api_of(home) as api:
        assert_batch_equals_table(api, home, "criteo", 10_000)
    assert_single_equals_table(home, "criteo", 10_000)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"recency": 1}], "rows[0]: channel, history"),
        ([], "at least 1"),
        (None, "send either rows or user_ids"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(
    hillstrom_api: TestClient, hillstrom_user: dict, rows: list | None, words: str
) -> None:
    answer = hillstrom_api.post("/score/batch", json={"experiment": "hillstrom", "rows": rows})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_bad_rows_among_many_are_found(hillstrom_api: TestClient, hillstrom_user: dict) -> None:
    lost, early = hillstrom_user | {"zip_code": "Mars"}, hillstrom_user | {"recency": -1}
    rows = [hillstrom_user] * 5 + [lost, early, lost]
    known = "a text, one of the known categories: Rural, Surburban, Urban"
    refusals = [
        f"rows[5].zip_code = 'Mars': must be {known} (and so of 1 more)",
        "rows[6].recency = -1: must be a whole number from 1 to 12",
    ]
    answer = hillstrom_api.post("/score/batch", json={"experiment": "hillstrom", "rows": rows})
    assert answer.status_code == 422
    assert sorted(answer.json()["detail"].split("; ")) == refusals
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = hillstrom_api.post(
        "/score/batch", content=sink.getvalue().to_pybytes(), headers={"content-type": ARROW}
    )
    assert sorted(answer.json()["detail"].split("; ")) == refusals


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"rows": [{}, 1, "x"]}, "rows[1] = 1: must be an object of attributes"),
        ({"rows": [{}] * 5000 + [None]}, "rows[5000] = null: must be an object of attributes"),
        ({"rows": []}, "rows = []: must have at least 1 entry"),
        ({"rows": {"a": 1}}, "rows = {'a': 1}: must be a list"),
        ({"user_ids": [1, "2", -3, "x"]}, "user_ids[2] = -3: must be a whole number from 0 to "),
        ({"user_ids": [7] * 9000 + [True]}, "user_ids[9000] = true: must be a whole number from 0 to "),
        ({"user_ids": [1], "budget": "x"}, "budget = 'x': must be a number"),
        ({"user_ids": [1], "rows": [{}]}, "body: send either rows or user_ids"),
        ({"user_ids": [1], "arms": 1, "a": 2}, "arms: unknown; remove it or correct its spelling; a: "),
        ([], "body: must be a JSON object"),
    ],
)
def test_the_first_wrong_entry_is_named(hillstrom_api: TestClient, body: object, detail: str) -> None:
    answer = hillstrom_api.post("/score/batch", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(detail)


def test_members_may_come_in_any_order_and_only_once(hillstrom_api: TestClient) -> None:
    def status(body: str) -> int:
        headers = {"content-type": "application/json"}
        return hillstrom_api.post("/score/batch", content=body, headers=headers).status_code

    assert status('{"user_ids": [1, "2"], "experiment": "hillstrom"}') == 200
    assert status('{"experiment": "hillstrom", "budget": 0.2, "user_ids": [1], "rows": null}') == 200
    assert status('{"user_ids": [1], "user_ids": [2]}') == 422


def test_an_answer_in_pieces_is_the_whole(hillstrom_api: TestClient, hillstrom_user: dict) -> None:
    ids = [i % 64_000 + 1 for i in range(batch.PIECE + 5)]
    whole = hillstrom_api.post("/score/batch", json={"experiment": "hillstrom", "user_ids": ids}).json()
    parts = [
        hillstrom_api.post("/score/batch", json={"experiment": "hillstrom", "user_ids": part}).json()
        for part in (ids[:5000], ids[5000:])
    ]
    for name in ("scores", "responses", "treat"):
        assert whole[name] == parts[0][name] + parts[1][name]
    shared = {name: value for name, value in whole.items() if not isinstance(value, list)}
    assert Decisions(**shared, scores=[], responses=[], treat=[]).experiment == "hillstrom"


def test_a_wrong_stream_is_a_problem_and_the_service_lives(
    hillstrom_api: TestClient, hillstrom_user: dict
) -> None:
    streams = [*odd_streams(hillstrom_user).values(), crashing_stream(hillstrom_user)]
    for stream in streams:
        answer = hillstrom_api.post("/score/batch", content=stream, headers={"content-type": ARROW})
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
    table = pa.Table.from_pylist([hillstrom_user] * 3)
    huge = table.set_column(0, table.column_names[0], pa.array([2**62] * 3))
    answer = hillstrom_api.post("/score/batch", content=stream_of(huge), headers={"content-type": ARROW})
    assert answer.status_code == 422


def test_other_bodies_are_refused(hillstrom_api: TestClient) -> None:
    answer = hillstrom_api.post("/score/batch", content=b"a,b", headers={"content-type": "text/csv"})
    assert answer.status_code == 415
    answer = hillstrom_api.post("/score/batch", content=b"garbage", headers={"content-type": ARROW})
    assert answer.status_code == 422
    assert "no Arrow stream" in answer.json()["detail"]


def test_unknown_users_are_not_found(hillstrom_api: TestClient) -> None:
    answer = hillstrom_api.post("/score/batch", json={"user_ids": [1, 99_000_000]})
    assert answer.status_code == 404
    assert "user_id = 99000000" in answer.json()["detail"]


def test_a_batch_has_a_largest_size(hillstrom_served: Path) -> None:
    with api_of(hillstrom_served, max_batch_users=2) as api:
        answer = api.post("/score/batch", json={"user_ids": [1, 2, 3]})
    assert answer.status_code == 422
    assert "more than 2 users; send from 1 to 2" in answer.json()["detail"]
