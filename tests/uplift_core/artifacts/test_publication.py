"""The pointer to what is published."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from uplift_core.artifacts.publication import (
    POINTER,
    NothingPublishedError,
    Pointer,
    PublishedExperiment,
    read_pointer,
    write_pointer,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ENTRY = PublishedExperiment(
    model_version="toy-0123456789ab", bundle_sha256="ab" * 32, arm="a", learner="r", published_at=NOW
)
CURRENT = Pointer(
    snapshot_id="s1", file="s1.duckdb", sha256="cd" * 32, published_at=NOW, experiments={"toy": ENTRY}
)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    write_pointer(tmp_path / "published", CURRENT)
    assert read_pointer(tmp_path / "published") == CURRENT
    assert [p.name for p in (tmp_path / "published").iterdir()] == [POINTER]


def test_before_the_first_run_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        NothingPublishedError, match=r"CURRENT\.json: nothing is published yet.*make run"
    ):
        read_pointer(tmp_path)


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"sha256": None}, {"surprise": 1}, {"published_at": "yesterday"}]
)
def test_a_pointer_of_another_format_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    text = json.dumps(CURRENT.model_dump(mode="json") | change)
    (tmp_path / POINTER).write_text(text)
    with pytest.raises(NothingPublishedError, match=f"(?s)unreadable pointer.*{next(iter(change))}"):
        read_pointer(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_pointer_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / POINTER).write_bytes(content)
    with pytest.raises(NothingPublishedError, match="unreadable pointer"):
        read_pointer(tmp_path)
