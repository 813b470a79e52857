"""A model bundle: a folder with the boosters of every contrast as UBJSON and a JSON manifest.

The manifest holds the sha256 of every file, which is verified before anything is loaded. A bundle is
immutable, and its version depends on its content only: equal boosters and equal descriptions give equal
versions. Nothing in it is executable; it holds no pickle.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from uplift_core.artifacts.files import sha256_file, sync_folder, write_synced
from uplift_core.cells import BinEdges
from uplift_core.errors import BundleError
from uplift_core.experiment.declaration import Experiment
from uplift_core.learners.contrast import ContrastModel
from uplift_core.targeting.effect_map import EffectMap

MANIFEST = "manifest.json"
FORMAT = 2


class RawColumn(BaseModel):
    """A column of the raw file that the features are computed from, with its DuckDB type.

    ``levels`` are the categories of a text, or the only valid numbers; ``low`` and ``high`` are the
    smallest and the largest number that a caller may send. None means any value of the type. ``table``
    is the history table that holds the column; empty for the raw table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: str
    levels: tuple[str | int | float, ...] | None = None
    low: float | None = None
    high: float | None = None
    table: str = ""

    @property
    def attribute(self) -> str:
        """The name under which a caller sends the value."""
        return f"{self.table}.{self.name}" if self.table else self.name


class Manifest(BaseModel):
    """The description of a bundle. ``files`` maps each file to its sha256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    experiment: Experiment
    outcome: str
    features: tuple[str, ...]
    features_sql: str
    raw_columns: tuple[RawColumn, ...]
    edges: dict[str, list[float]]
    data_sha256: str
    sql_sha256: str
    libraries: dict[str, str]
    # Of several treatment arms: the maps by which the deciding learners' scores are compared. They are
    # not written where there are none, so that models keep their version.
    effect_maps: dict[str, EffectMap] = Field(default_factory=dict, exclude_if=lambda maps: not maps)
    files: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: its version, its manifest, and the model of each treatment arm."""

    version: str
    manifest: Manifest
    models: dict[str, ContrastModel]

    @property
    def edges(self) -> BinEdges:
        """The bins that the models were trained on, in the order of the features."""
        edges = self.manifest.edges  # whose keys are sorted
        return BinEdges.from_dict({name: edges[name] for name in self.manifest.features})


def save(root: Path, manifest: Manifest, models: dict[str, ContrastModel]) -> tuple[str, Path]:
    """Write a bundle below ``root``, atomically; an equal bundle that exists stays.

    Returns:
        The version, ``<experiment>-<first 12 hex digits of the manifest's sha256>``, and the folder.
    """
    root.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".bundle-", dir=root))
    try:
        files = {}
        for arm, model in models.items():
            for role, booster in model.boosters.items():
                name = f"{arm}-{role}.ubj"
                files[name] = write_synced(temporary / name, bytes(booster.save_raw("ubj")))
        complete = manifest.model_copy(update={"files": files})
        text = json.dumps(complete.model_dump(mode="json"), indent=2, sort_keys=True)
        digest = write_synced(temporary / MANIFEST, text.encode())
        version = f"{manifest.experiment.name}-{digest[:12]}"
        target = root / version
        if target.exists():
            load(target)  # raises if it was altered since
        else:
            temporary.replace(target)
            sync_folder(root)
        return version, target
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load(folder: Path) -> Bundle:
    """Read a bundle after verifying every file against the manifest.

    Raises:
        BundleError: a file is missing, altered or surplus, or the format is not supported.
    """
    manifest, digest = _read_manifest(folder)
    if folder.name != f"{manifest.experiment.name}-{digest[:12]}":
        raise BundleError(
            f"{folder}: the manifest's sha256 {digest[:12]}… is not in the folder's name; train again"
        )
    surplus = {path.name for path in folder.iterdir()} - {MANIFEST, *manifest.files}
    if surplus:
        raise BundleError(f"{folder}: {', '.join(sorted(surplus))} is not in the manifest; remove it")
    by_arm: dict[str, dict[str, xgboost.Booster]] = {}
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{folder}: {name} is missing; restore the bundle or train again")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != expected:
            raise BundleError(f"{path}: altered, its sha256 is not {expected[:12]}…; train again")
        arm, _, role = name.removesuffix(".ubj").partition("-")
        by_arm.setdefault(arm, {})[role] = _booster(content)
    models = {
        arm: ContrastModel.from_boosters(boosters, manifest.experiment.contrast(arm).propensity)
        for arm, boosters in by_arm.items()
    }
    return Bundle(folder.name, manifest, models)


def manifest_sha256(folder: Path) -> str:
    """Return the sha256 of a bundle's manifest, which covers all of the bundle's files."""
    return sha256_file(folder / MANIFEST)


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that the models' numbers depend on."""
    return {"numpy": np.__version__, "xgboost": xgboost.__version__}


def _read_manifest(folder: Path) -> tuple[Manifest, str]:
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{folder}: no {MANIFEST}; not a model bundle, train again")
    content = path.read_bytes()
    try:
        data: dict[str, Any] = dict(json.loads(content))
    except (TypeError, ValueError) as error:
        raise BundleError(f"{path}: not readable as JSON ({error}); train again") from error
    if data.get("format") != FORMAT:
        raise BundleError(
            f"{path}: format {data.get('format')!r}, this version reads {FORMAT}; train again"
        )
    try:
        return Manifest.model_validate(data), hashlib.sha256(content).hexdigest()
    except ValidationError as error:
        raise BundleError(f"{path}: {error}") from error


def _booster(content: bytes) -> xgboost.Booster:
    booster = xgboost.Booster()
    booster.load_model(bytearray(content))
    return booster
