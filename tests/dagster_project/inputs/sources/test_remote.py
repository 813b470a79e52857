"""Users' files behind a URL."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from dagster_project.inputs.own_files import parts_of
from dagster_project.inputs.sources import SearchPlaces, find_source
from dagster_project.inputs.sources.remote import url_of
from tests.support import folder_of, with_experiment
from uplift_core.errors import DataError
from uplift_core.experiment.sources import OwnFile


@pytest.fixture
def store():
    memory = fsspec.filesystem("memory")
    for number in (2, 1):
        memory.pipe(f"/bucket/part-{number}.csv", f"a\n{number}\n".encode())
    memory.pipe("/bucket/other.csv", b"a\n9\n")
    yield memory
    memory.rm("/bucket", recursive=True)


def find(home: Path, path: str):
    source = OwnFile(kind="own_file", path=Path(path))
    experiment = with_experiment(folder_of("hillstrom"), source=source).declaration
    return find_source(experiment, SearchPlaces(home / "sources"), folder=home, log=lambda _: None)


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("s3://bucket/part-*.csv", "s3://bucket/part-*.csv"),
        ("file:///data/a.csv", "file:///data/a.csv"),
        ("data/a.csv", ""),
        ("/data/a.csv", ""),
    ],
)
def test_a_url_is_told_from_a_path(path, url):
    assert url_of(Path(path)) == url


def test_the_files_of_a_pattern_are_copied_anew_each_time(store, tmp_path):
    first = find(tmp_path, "memory://bucket/part-*.csv")
    assert [p.read_text() for p in parts_of(first.path)] == ["a\n1\n", "a\n2\n"]
    store.pipe("/bucket/part-1.csv", b"a\n7\n")
    store.rm("/bucket/part-2.csv")
    second = find(tmp_path, "memory://bucket/part-*.csv")
    assert [p.read_text() for p in parts_of(second.path)] == ["a\n7\n"]
    assert second.sha256 != first.sha256


@pytest.mark.parametrize(
    ("url", "why"),
    [("memory://bucket/none-*.csv", "names no file"), ("nosuchstore://b/a.csv", "cannot be read")],
)
def test_what_cannot_be_copied_is_refused_with_its_url(store, tmp_path, url, why):
    with pytest.raises(DataError, match=why) as error:
        find(tmp_path, url)
    assert url in str(error.value)
