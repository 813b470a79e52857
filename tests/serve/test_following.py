from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serve import following
from serve.errors import UnavailableError
from serve.following import Follower
from serve.release import Release, load_release
from serve.settings import Settings
from serve.telemetry import Telemetry
from tests.serve.support import api_of, change_entry, publish_again
from uplift_core.artifacts.publication import Pin, read_pointer, write_pin

# All but the users whom a release is tried on, who must come out as the models have them.
RAISED = "update scores.simulated set cate_r = cate_r + 1 where user_id > 8"


def follower_on(home: Path, retry_seconds: float = 0.0) -> Follower:
    telemetry = Telemetry(None, log_user_ids=False)
    return Follower(Settings(home=home, retry_seconds=retry_seconds), telemetry)


def test_a_new_snapshot_is_followed_with_its_own_thresholds(home: Path, simulated_user: dict) -> None:
    with api_of(home) as api:
        before = api.post("/score", json={"attributes": simulated_user, "learner": "r"}).json()
        publish_again(home, "second", RAISED)
        after = api.post("/score", json={"attributes": simulated_user, "learner": "r"}).json()
    assert after["snapshot_id"] == "second"
    assert after["threshold"] == pytest.approx(before["threshold"] + 1, abs=0.01)
    assert after["score"] == before["score"]


def test_an_unchanged_pointer_keeps_the_release(home: Path) -> None:
    follower = follower_on(home)
    assert follower.current() is follower.current()


def test_a_release_in_use_outlives_the_swap_and_its_file(home: Path, simulated_user: dict) -> None:
    follower = follower_on(home)
    old = follower.current()
    file = home / "published" / read_pointer(home / "published").file
    publish_again(home, "second", RAISED)
    file.unlink()
    new = follower.current()
    assert new.snapshot.snapshot_id == "second"
    limits = [r.snapshot.threshold("simulated", "treated", "r", 0.3) for r in (old, new)]
    assert limits[1] == pytest.approx(limits[0] + 1, abs=0.01)


def test_a_rollback_that_holds_is_told(home: Path) -> None:
    pin = Pin(pinned_at=datetime(2026, 5, 1, 3, tzinfo=UTC), made_by="Ann", reason="odd scores")
    with api_of(home) as api:
        assert api.get("/readyz").json()["pinned"] is None
        write_pin(home / "published", pin.model_copy(update={"waiting": 9}))
        told = api.get("/readyz").json()["pinned"]
        assert told == {
            "pinned_at": "2026-05-01T03:00:00Z",
            "made_by": "Ann",
            "reason": "odd scores",
            "newer_waits": True,
        }
        (model,) = api.get("/models").json()
        details = api.get(f"/models/{model['model_version']}").json()
        assert model["pinned"] == details["pinned"] == told
        (home / "published" / "PIN.json").write_text("{")
        assert api.get("/readyz").json()["pinned"] is None  # the log has it; answers go on


def break_pointer(home: Path) -> None:
    (home / "published" / "CURRENT.json").write_text('{"format": 1')


def remove_pointer(home: Path) -> None:
    (home / "published" / "CURRENT.json").unlink()


def alter_snapshot(home: Path) -> None:
    pointer = publish_again(home, "second")
    with (home / "published" / pointer.file).open("ab") as file:
        file.write(b"\0")


def lose_snapshot(home: Path) -> None:
    pointer = publish_again(home, "second")
    (home / "published" / pointer.file).unlink()


def lose_bundle(home: Path) -> None:
    change_entry(home, "simulated", model_version="simulated-000000000000")


@pytest.mark.parametrize(
    "damage", [break_pointer, remove_pointer, alter_snapshot, lose_snapshot, lose_bundle]
)
def test_what_is_broken_is_logged_and_the_old_kept(
    home: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    follower = follower_on(home)
    old = follower.current()
    intact = (home / "published" / "CURRENT.json").read_bytes()
    with caplog.at_level(logging.WARNING):
        damage(home)
        assert follower.current() is old
    assert f"still on {old.snapshot.snapshot_id}" in caplog.text
    (home / "published" / "CURRENT.json").write_bytes(intact)
    assert follower.current().snapshot.snapshot_id == old.snapshot.snapshot_id


@pytest.mark.parametrize("damage", [break_pointer, alter_snapshot, lose_snapshot, lose_bundle])
def test_broken_from_the_start_is_unavailable_until_it_is_mended(home: Path, damage: object) -> None:
    damage(home)
    follower = follower_on(home)
    with pytest.raises(UnavailableError, match=r"log says why.*make run"):
        follower.current()


def test_what_is_broken_is_tried_again_after_a_while_only(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def counted(settings: Settings) -> Release:
        attempts.append(1)
        return load_release(settings)

    now = [100.0]
    monkeypatch.setattr(following, "load_release", counted)
    monkeypatch.setattr(following.time, "monotonic", lambda: now[0])
    follower = follower_on(home, retry_seconds=5)
    old = follower.current()
    pointer = publish_again(home, "second")
    file = home / "published" / pointer.file
    file.rename(home / "elsewhere")
    assert [follower.current() for _ in range(3)] == [old] * 3
    assert len(attempts) == 2
    (home / "elsewhere").rename(file)
    now[0] += 4.9
    assert follower.current() is old
    now[0] += 0.1
    assert follower.current().snapshot.snapshot_id == "second"
    assert len(attempts) == 3


def test_others_are_answered_from_the_old_while_one_loads(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = follower_on(home)
    old = follower.current()
    started, go_on = threading.Event(), threading.Event()

    def slow(settings: Settings) -> Release:
        started.set()
        assert go_on.wait(10)
        return load_release(settings)

    monkeypatch.setattr(following, "load_release", slow)
    publish_again(home, "second")
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(follower.current)
        assert started.wait(10)
        assert follower.current() is old
        go_on.set()
        assert loading.result(10).snapshot.snapshot_id == "second"


def test_first_requests_wait_for_one_load(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def counted(settings: Settings) -> Release:
        attempts.append(1)
        return load_release(settings)

    monkeypatch.setattr(following, "load_release", counted)
    follower = follower_on(home)
    with ThreadPoolExecutor(8) as pool:
        releases = list(pool.map(lambda _: follower.current(), range(8)))
    assert len(attempts) == 1
    assert all(release is releases[0] for release in releases)
