from __future__ import annotations

from pathlib import Path

from tests.serve.support import api_of, publish_again
from uplift_core.artifacts.publication import read_pointer


def test_it_is_ok_while_nothing_is_published(tmp_path: Path) -> None:
    with api_of(tmp_path) as api:
        answer = api.get("/healthz")
        assert answer.status_code == 200
        assert answer.json() == {"status": "ok", "snapshot_id": None}


def test_it_names_the_snapshot_and_follows(home: Path) -> None:
    first = read_pointer(home / "published").snapshot_id
    with api_of(home) as api:
        assert api.get("/healthz").json() == {"status": "ok", "snapshot_id": first}
        publish_again(home, "second")
        assert api.get("/healthz").json() == {"status": "ok", "snapshot_id": "second"}
