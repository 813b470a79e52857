"""The pointer to what is published: ``published/CURRENT.json``.

The batch replaces it atomically as its last act; the service and the UI follow it. A snapshot file
is immutable and has a name of its own, so nobody reads a half-written or a changed one.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from uplift_core.errors import UpliftError
from uplift_core.files import replace_file

POINTER = "CURRENT.json"


class NothingPublishedError(UpliftError):
    """There is no published snapshot yet, or its pointer cannot be read."""


class PublishedExperiment(BaseModel):
    """What one experiment's tables in the snapshot were made by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_version: str
    bundle_sha256: str
    arm: str
    learner: str
    published_at: datetime


class Pointer(BaseModel):
    """Which snapshot is current, what is in it, and how to verify it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    snapshot_id: str
    file: str
    sha256: str
    published_at: datetime
    experiments: dict[str, PublishedExperiment]


def read_pointer(published: Path) -> Pointer:
    """Read ``published/CURRENT.json``.

    Raises:
        NothingPublishedError: it is missing or of another format.
    """
    path = published / POINTER
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise NothingPublishedError(f"{path}: nothing is published yet; run `make run`") from error
    except ValidationError as error:
        raise NothingPublishedError(f"{path}: unreadable pointer: {error}") from error


def write_pointer(published: Path, pointer: Pointer) -> None:
    """Make ``pointer`` the current one, atomically."""
    replace_file(published / POINTER, _json(pointer))


def record_pointer(published: Path, pointer: Pointer) -> None:
    """Keep the pointer beside its snapshot, so that it can be made current again."""
    replace_file(_record(published, pointer.file), _json(pointer))


def recorded_pointers(published: Path) -> list[Pointer]:
    """The pointers of all snapshots that are kept, oldest first."""
    paths = sorted(published.glob("snapshot-*.json"))
    return [Pointer.model_validate_json(path.read_bytes()) for path in paths]


def forget_pointer(published: Path, file: str) -> None:
    """Remove the record of a snapshot that is gone."""
    _record(published, file).unlink(missing_ok=True)


def _record(published: Path, file: str) -> Path:
    return published / Path(file).with_suffix(".json")


def _json(pointer: Pointer) -> bytes:
    return json.dumps(pointer.model_dump(mode="json"), indent=2).encode()
