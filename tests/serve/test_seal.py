"""A snapshot that is damaged where it stands, after it was loaded."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serve import seal as module
from serve.seal import Seal
from tests.serve.support import api_of, publish_again
from uplift_core.artifacts.files import sha256_file
from uplift_core.artifacts.publication import read_pointer, write_pointer


def current_file(home: Path) -> Path:
    return home / "published" / read_pointer(home / "published").file


def flip(path: Path, *, keep_time: bool = False) -> None:
    """Change one byte in the middle of a file, without any change of its size or inode."""
    stat = path.stat()
    with path.open("r+b") as file:
        file.seek(stat.st_size // 2)
        byte = file.read(1)[0]
        file.seek(stat.st_size // 2)
        file.write(bytes([byte ^ 1]))
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def replaced(path: Path) -> None:
    shutil.copyfile(path, path.with_suffix(".new"))
    flip(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


@pytest.mark.parametrize("damage", [flip, replaced, lambda path: os.truncate(path, 8192)])
def test_readiness_notices_a_snapshot_that_is_damaged_in_place(
    home: Path, damage: Callable[[Path], None]
) -> None:
    with api_of(home) as api:
        assert api.get("/readyz").status_code == 200
        assert "uplift_snapshot_damaged 0.0" in api.get("/metrics").text
        damage(current_file(home))
        unready = api.get("/readyz")
        assert unready.status_code == 503
        assert "altered after it was loaded; run `make rollback`" in unready.json()["detail"]
        assert "uplift_snapshot_damaged 1.0" in api.get("/metrics").text
        assert api.get("/healthz").status_code == 200
        (home / "for-queries.duckdb").unlink(missing_ok=True)


def test_another_snapshot_makes_the_service_ready_again(home: Path, simulated_home: Path) -> None:
    with api_of(home) as api:
        path = current_file(home)
        sound = path.read_bytes()
        flip(path)
        assert api.get("/readyz").status_code == 503
        path.write_bytes(sound)  # what is open may have been read while it was damaged
        assert api.get("/readyz").status_code == 503
        publish_again(home, "second")
        assert api.get("/readyz").json()["snapshot_id"] == "second"


def test_a_file_that_was_only_touched_or_removed_is_no_damage(home: Path) -> None:
    with api_of(home) as api:
        path = current_file(home)
        path.touch()
        assert api.get("/readyz").status_code == 200
        path.unlink()
        assert api.get("/readyz").status_code == 200
        assert api.post("/score", json={"user_id": 1}).status_code == 200


def test_an_unchanged_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    seal = Seal(path, sha256_file(path))
    hashed: list[object] = []
    plain = seal._hash
    monkeypatch.setattr(seal, "_hash", lambda stopping: (hashed.append(stopping), plain(stopping)))
    assert not any(seal.check() for _ in range(3))
    assert hashed == []
    path.touch()
    assert not any(seal.check() for _ in range(3))
    assert hashed == [None]


def test_damage_that_leaves_no_trace_is_found_in_the_background(home: Path) -> None:
    with api_of(home, verify_hours=1e-9) as api:
        flip(current_file(home), keep_time=True)
        for _ in range(100):
            if api.get("/readyz").status_code == 503:
                break
            time.sleep(0.1)
        else:
            raise AssertionError("the damage was not noticed")


def test_hashing_in_the_background_keeps_its_pace_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    monkeypatch.setattr(module, "CHUNK", 100)
    monkeypatch.setattr(module, "PACE", 5000)
    started = time.perf_counter()
    assert not Seal(path, sha256_file(path)).verify(threading.Event())
    assert time.perf_counter() - started >= 0.2
    stopping = threading.Event()
    stopping.set()
    assert not Seal(path, "0" * 64).verify(stopping)  # given up, and nothing said
    assert Seal(path, "0" * 64).verify(threading.Event())


def test_a_snapshot_of_the_future_is_stale(home: Path) -> None:
    """Of a clock that was set back since: nobody knows how old it is."""
    pointer = read_pointer(home / "published")
    ahead = datetime.now(UTC) + timedelta(days=400)
    write_pointer(home / "published", pointer.model_copy(update={"published_at": ahead}))
    with api_of(home) as api:
        assert api.get("/readyz").json()["stale"] is True
