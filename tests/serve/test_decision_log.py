"""A log of decisions that cannot be written: the service says so, and does what it was set to do."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serve import decision_log as module
from serve.decision_log import DecisionLog
from serve.errors import UnavailableError
from tests.serve.support import api_of

FULL = Path("/dev/full")  # every write fails as on a full disk (Linux)
LINE = "x" * 99 + "\n"


def log_on(path: Path, *, required: bool = True, retry_seconds: float = 0.0) -> DecisionLog:
    return DecisionLog(path, required=required, retry_seconds=retry_seconds)


def metric(api: TestClient, name: str) -> float:
    lines = [line for line in api.get("/metrics").text.splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_decisions_go_on_without_it_and_are_counted(simulated_served: Path) -> None:
    with api_of(simulated_served, decision_log=FULL, retry_seconds=60) as api:
        assert api.get("/readyz").json()["decision_log"] == "written"  # nothing has failed so far
        assert api.post("/score", json={"user_id": 1}).status_code == 200
        assert api.post("/score/batch", json={"user_ids": [1, 2, 3]}).status_code == 200
        assert metric(api, "uplift_decisions_not_logged_total") == 4
        assert metric(api, "uplift_decisions_total") == 4
        ready = api.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["decision_log"] == "failing"


def test_decisions_are_refused_where_they_must_be_logged(simulated_served: Path) -> None:
    settings = {"decision_log": FULL, "decision_log_required": True, "retry_seconds": 60}
    with api_of(simulated_served, **settings) as api:
        for path, body in (("/score", {"user_id": 1}), ("/score/batch", {"user_ids": [1, 2]})):
            refused = api.post(path, json=body)
            assert refused.status_code == 503
            assert refused.headers["content-type"] == "application/problem+json"
            assert "cannot be logged (No space left on device)" in refused.json()["detail"]
            assert "UPLIFT_DECISION_LOG_REQUIRED" in refused.json()["detail"]
        unready = api.get("/readyz")
        assert unready.status_code == 503
        assert "No space left on device" in unready.json()["detail"]
        assert metric(api, "uplift_decisions_not_logged_total") == 3
        assert metric(api, "uplift_decisions_total") == 0  # of refused ones none was made
        assert api.get("/healthz").status_code == 200


def test_a_log_in_a_folder_that_is_not_there_is_seen_before_the_first_decision(
    simulated_served: Path, tmp_path: Path
) -> None:
    settings = {"decision_log": tmp_path / "later" / "log", "decision_log_required": True}
    with api_of(simulated_served, **settings) as api:
        assert api.get("/readyz").status_code == 503
        assert api.post("/score", json={"user_id": 1}).status_code == 503
        (tmp_path / "later").mkdir()
        assert api.get("/readyz").status_code == 200
        assert api.post("/score", json={"user_id": 1}).status_code == 200
        assert len((tmp_path / "later" / "log").read_text().splitlines()) == 1


def test_without_a_log_nothing_is_said_of_one(simulated_api: TestClient) -> None:
    assert simulated_api.get("/readyz").json()["decision_log"] == "off"


def test_it_counts_as_failing_for_a_while_and_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    path = tmp_path / "log"
    path.symlink_to(FULL)
    log = log_on(path, retry_seconds=5)
    with pytest.raises(UnavailableError):
        log.append(LINE)
    path.unlink()
    assert log.trouble() == "No space left on device"
    now[0] += 5.1
    assert log.trouble() is None
    monkeypatch.setattr(module, "MIN_FREE", 2**62)
    assert log.trouble() == "less than 1 MiB is free"
    assert log.append(LINE)


def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_on(tmp_path / "log", required=False)
    assert log.append(LINE)
    write, room = os.write, [150]

    def limited(descriptor: int, content: memoryview) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        room[0] -= (written := write(descriptor, content[: room[0]]))
        return written

    monkeypatch.setattr(module.os, "write", limited)
    assert not log.append(LINE * 2)
    monkeypatch.undo()
    assert log.append(LINE)
    assert (tmp_path / "log").read_text() == LINE * 2


def test_writers_side_by_side_do_not_mix_their_lines(tmp_path: Path) -> None:
    logs = [log_on(tmp_path / "log") for _ in range(4)]

    def write(i: int) -> None:
        logs[i % 4].append((f"{i:04}" * 500 + "\n") * 20)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 4000
    assert all(line == line[:4] * 500 for line in lines)


def test_a_pipe_that_nobody_reads_does_not_stop_the_service(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    assert not log_on(tmp_path / "log", required=False).append(LINE)


@contextmanager
def slowest_probe(api: TestClient) -> Iterator[list[float]]:
    """Seconds of every ``/healthz`` that another thread asks meanwhile."""
    stopping, seconds = threading.Event(), []

    def ask() -> None:
        while not stopping.is_set():
            started = time.perf_counter()
            assert api.get("/healthz").status_code == 200
            seconds.append(time.perf_counter() - started)

    thread = threading.Thread(target=ask)
    thread.start()
    yield seconds
    stopping.set()
    thread.join()


@pytest.mark.timed
def test_a_large_batch_is_logged_while_others_are_answered(
    simulated_served: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    ids = [i % 5000 + 1 for i in range(100_000)]
    with api_of(simulated_served, decision_log=log) as api:
        with slowest_probe(api) as seconds:
            answer = api.post("/score/batch", json={"user_ids": ids})
        assert answer.status_code == 200
        assert max(seconds) < 0.4
        assert len(seconds) > 10
    lines = log.read_text().splitlines()
    assert len(lines) == 100_000
    logged = [json.loads(line)["score"] for line in (lines[0], lines[-1])]
    assert logged == [answer.json()["scores"][place] for place in (0, -1)]


def test_a_log_that_was_renamed_is_begun_anew(tmp_path: Path) -> None:
    """As logrotate does it."""
    log = log_on(tmp_path / "log")
    assert log.append(LINE)
    (tmp_path / "log").rename(tmp_path / "log.1")
    assert log.append(2 * LINE)
    assert (tmp_path / "log.1").read_text() == LINE
    assert (tmp_path / "log").read_text() == 2 * LINE
