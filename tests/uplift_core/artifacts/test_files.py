"""Files are whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from uplift_core.artifacts import files
from uplift_core.artifacts.files import replace_file, sha256_file, write_synced


@pytest.mark.parametrize("write", [write_synced, replace_file])
def test_the_content_is_there_and_its_sha256_is_returned(tmp_path: Path, write: object) -> None:
    path = tmp_path / "file"
    digest = write(path, b"content")
    assert path.read_bytes() == b"content"
    assert digest == hashlib.sha256(b"content").hexdigest() == sha256_file(path)


def test_replacing_makes_missing_folders_and_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("broken", ["write_synced", "sync_folder"])
def test_a_crash_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")

    def crash(place: Path, *content: bytes) -> str:
        if content:
            place.write_bytes(content[0][:2])  # half of it reaches the disk
        raise OSError("disk full")

    monkeypatch.setattr(files, broken, crash)
    with pytest.raises(OSError, match="disk full"):
        replace_file(path, b"new")
    assert path.read_bytes() == {"write_synced": b"old", "sync_folder": b"new"}[broken]
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_who_has_the_file_open_keeps_reading_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    with path.open("rb") as reader:
        replace_file(path, b"new")
        assert reader.read() == b"old"
