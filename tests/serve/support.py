"""Homes that tests of the service may change, and what the batch wrote into them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import duckdb
from fastapi.testclient import TestClient

from serve.app import create_app
from serve.settings import Settings
from uplift_core.artifacts import bundle
from uplift_core.artifacts.bundle import Manifest
from uplift_core.artifacts.files import sha256_file
from uplift_core.artifacts.publication import Pointer, read_pointer, write_pointer

BUDGETS = (0.01, 0.05, 0.1, 0.3, 1.0)


def copy_home(home: Path, target: Path) -> Path:
    """What the service reads of a finished run, to be opened and changed at will."""
    for part in ("bundles", "published"):
        shutil.copytree(home / part, target / part)
    return target


@contextmanager
def api_of(home: Path, **settings: object) -> Iterator[TestClient]:
    """A client of the application on ``home``."""
    options = {"retry_seconds": 0.0, "allowed_hosts": ["testserver"]}
    app = create_app(Settings(home=home, **options | settings))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def manifest_of(home: Path, experiment: str) -> Manifest:
    """The manifest of the published bundle."""
    return _manifest(home, read_pointer(home / "published").experiments[experiment].model_version)


@cache
def _manifest(home: Path, version: str) -> Manifest:
    return bundle.load(home / "bundles" / version).manifest


def query(home: Path, sql: str, **binds: object) -> list[dict[str, object]]:
    """Rows of the published snapshot as dicts; opened in a copy, as tests may hold it open."""
    pointer = read_pointer(home / "published")
    copy = home / "for-queries.duckdb"
    if not copy.exists():
        shutil.copyfile(home / "published" / pointer.file, copy)
    with duckdb.connect(str(copy), read_only=True) as con:
        return con.sql(sql, params=binds).to_arrow_table().to_pylist()


def attributes_of(home: Path, experiment: str, row: dict[str, object]) -> dict[str, object]:
    """The raw columns that the features are computed from."""
    return {c.name: row[c.name] for c in manifest_of(home, experiment).raw_columns}


def publish_again(home: Path, snapshot_id: str, *changes: str) -> Pointer:
    """Publish a copy of the current snapshot under a new id, after SQL statements ``changes``."""
    published = home / "published"
    pointer = read_pointer(published)
    file = f"snapshot-{snapshot_id}.duckdb"
    shutil.copyfile(published / pointer.file, published / file)
    with duckdb.connect(str(published / file)) as con:
        for sql in changes:
            con.execute(sql).fetchall()
    new = pointer.model_copy(
        update={"snapshot_id": snapshot_id, "file": file, "sha256": sha256_file(published / file)}
    )
    write_pointer(published, new)
    return new


def change_entry(home: Path, experiment: str, **changes: str) -> None:
    """Rewrite the pointer with keys of one experiment's entry replaced."""
    pointer = read_pointer(home / "published")
    entry = pointer.experiments[experiment].model_copy(update=changes)
    entries = pointer.experiments | {experiment: entry}
    write_pointer(home / "published", pointer.model_copy(update={"experiments": entries}))


def change_manifest(home: Path, experiment: str, /, **changes: object) -> None:
    """Publish the same models with keys of the manifest replaced, hashes and name in order."""
    entry = read_pointer(home / "published").experiments[experiment]
    loaded = bundle.load(home / "bundles" / entry.model_version)
    data = loaded.manifest.model_dump(mode="json") | changes
    changed = Manifest.model_validate_json(json.dumps(data))
    version, folder = bundle.save(home / "bundles", changed, loaded.models)
    change_entry(home, experiment, model_version=version, bundle_sha256=bundle.manifest_sha256(folder))
