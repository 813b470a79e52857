"""Back a home up, and restore it: all that no run can make again, and what runs go on from.

A backup is a folder of this machine or an fsspec URL. ``manifest.json`` lists each file with its size
and sha256 and is written last: a folder without it is no backup.
"""

from __future__ import annotations

import json
import posixpath
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fsspec

from dagster_project.turns.home_turn import Worker, home_turn
from dagster_project.turns.waiting import Log
from dagster_project.warehouse.connection import Warehouse
from dagster_project.warehouse.file_copy import copy_file
from dagster_project.warehouse.migrations import ENGINE, version_of
from dagster_project.warehouse.opening import connect
from uplift_core.artifacts.files import sha256_file, sync_file, sync_folder
from uplift_core.artifacts.home import Home
from uplift_core.artifacts.register import Register
from uplift_core.errors import UpliftError

FORMAT = 1
MANIFEST = "manifest.json"
RESTORING = ".restoring"  # a folder of the home, while files arrive


@dataclass(frozen=True)
class File:
    """A file of a backup: its path in the home, its size in bytes and its sha256 in hex."""

    path: str
    bytes: int
    sha256: str


class Target:
    """A folder of backups' files: on this machine, or at an fsspec URL."""

    def __init__(self, address: str) -> None:
        try:
            self.files, root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise UpliftError(
                f"{address}: no file system for this address ({error}); install its fsspec package, "
                "s3fs for s3"
            ) from error
        self.root, self.address = root.rstrip("/"), address

    def path(self, name: str) -> str:
        """Return the path of a file in this file system."""
        return posixpath.join(self.root, name)

    def put(self, local: Path, name: str) -> None:
        """Copy a file of this machine."""
        self.files.makedirs(posixpath.dirname(self.path(name)), exist_ok=True)
        self.files.put_file(str(local), self.path(name))

    def get(self, name: str, local: Path) -> None:
        """Copy a file to this machine, through to the disk."""
        local.parent.mkdir(parents=True, exist_ok=True)
        self.files.get_file(self.path(name), str(local))
        sync_file(local)

    def is_used(self) -> bool:
        """Return true if there are files already."""
        return bool(self.files.exists(self.root) and self.files.find(self.root))


def back_up(home: Home, address: str, log: Log, *, wait: bool = True) -> list[File]:
    """Back ``home`` up while no run works in it; return the files.

    Args:
        home: the home.
        address: an empty or new folder, or an fsspec URL.
        log: logs whom this process waits for.
        wait: if false, do not wait for a run.

    Raises:
        TurnTakenError: a run works in the home, and ``wait`` is false.
        UpliftError: there is no warehouse, or the target holds files.
    """
    if not home.warehouse.is_file():
        raise UpliftError(f"{home.warehouse} is missing; there is nothing to back up")
    target = Target(address)
    if target.is_used():
        raise UpliftError(f"{address} holds files; name a new folder for each backup")
    with home_turn(home.root, Worker.here("backup", ""), log, wait=wait):
        home.scratch.mkdir(exist_ok=True)
        copy = home.scratch / "backup.duckdb"
        register = home.scratch / "backup.sqlite"
        try:
            number = _copy_warehouse(home, copy, log)
            files = [_put(target, copy, home.warehouse.name)]
            if home.register.exists():  # last, so that it lacks nobody whom the warehouse's lists obey
                Register(home.register).copy_to(register)
                files.append(_put(target, register, home.register.name))
        finally:
            for path in (copy, register):
                path.unlink(missing_ok=True)
        files += [_put(target, path, str(path.relative_to(home.root))) for path in _others(home)]
        manifest = {
            "format": FORMAT,
            "engine": f"{ENGINE} {version(ENGINE)}",
            "warehouse_version": number,
            "made_at": datetime.now(UTC).isoformat(),
            "home": str(home.root.absolute()) if _is_bound(home) else None,
            "files": [asdict(file) for file in files],
        }
        content = json.dumps(manifest, indent=2).encode()
        target.files.pipe_file(target.path(MANIFEST), content)
    return files


def _copy_warehouse(home: Home, copy: Path, log: Log) -> int:
    """Copy the warehouse with all that is committed; return its version."""
    with connect(home.warehouse, {}, log) as con:
        db = Warehouse(con)
        db.rows("checkpoint")
        copy_file(home.warehouse, copy)
        return version_of(db)


def _others(home: Home) -> Iterator[Path]:
    """Yield the other files of a backup; hidden ones are left over from processes that were killed."""
    folders = (home.bundles, home.cards, home.published, home.exports, home.partitions)
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.is_file() and not hidden:
                yield path
    yield from sorted(path for path in home.root.iterdir() if path.name in home.remembered)


def _is_bound(home: Home) -> bool:
    """Return true if tables name files by their paths, as a cluster's do: such a home cannot move."""
    return any(home.partitions.rglob("*.parquet"))


def _put(target: Target, local: Path, name: str) -> File:
    target.put(local, name)
    return File(name, local.stat().st_size, sha256_file(local))


def restore(home: Home, address: str) -> list[File]:
    """Restore a backup into an empty home, and check each file; return the files.

    Raises:
        UpliftError: the home is not empty, there is no backup, a file is damaged, or the backup belongs
            to another place.
    """
    left = sorted(path.name for path in home.root.iterdir()) if home.root.is_dir() else []
    if {*left} - {RESTORING}:
        raise UpliftError(
            f"{home.root} holds {left[0]}; a backup is restored into an empty home. Name another one by "
            "UPLIFT_HOME, or empty this one"
        )
    source = Target(address)
    manifest = _read_manifest(source)
    files = [File(**entry) for entry in manifest["files"]]
    place = manifest["home"]
    if place and Path(place) != home.root.absolute():
        raise UpliftError(
            f"{address} holds files of a cluster, which its tables name by their paths: restore it with "
            f"UPLIFT_HOME={place}"
        )
    home.make_private()
    aside = home.root / RESTORING
    shutil.rmtree(aside, ignore_errors=True)
    for file in files:
        path = aside / file.path
        if not path.resolve().is_relative_to(aside.resolve()):
            raise UpliftError(f"{address}: {file.path} leads out of the home")
        source.get(file.path, path)
        if (path.stat().st_size, sha256_file(path)) != (file.bytes, file.sha256):
            raise UpliftError(f"{address}: {file.path} is damaged; nothing was restored")
    warehouse = aside / home.warehouse.name  # it comes last: without it, a home is not complete
    for path in sorted(aside.iterdir(), key=lambda path: path == warehouse):
        path.rename(home.root / path.name)
    aside.rmdir()
    sync_folder(home.root)
    return files


def _read_manifest(source: Target) -> dict[str, Any]:
    path = source.path(MANIFEST)
    if not source.files.isfile(path):
        raise UpliftError(f"{source.address}: there is no {MANIFEST}; that is no backup, or half of one")
    manifest: dict[str, Any] = json.loads(source.files.cat_file(path))
    if manifest.get("format") != FORMAT:
        raise UpliftError(
            f"{source.address}: format {manifest.get('format')} is not {FORMAT}; restore it with the "
            f"engine that made it, {manifest.get('engine')}"
        )
    return manifest
