"""The pointer to what is published: ``published/CURRENT.json``.

The batch replaces it atomically as its last act; the service and the UI follow it. A snapshot file
is immutable and has a name of its own, so nobody reads a half-written or a changed one. Snapshots are
counted: which came first is told by their numbers, not by their times, since clocks are set back.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from uplift_core.artifacts.files import replace_file
from uplift_core.errors import UpliftError

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
    number: int = 0  # counts up with each snapshot; 0: of a version that did not count
    snapshot_id: str
    file: str
    sha256: str
    published_at: datetime
    experiments: dict[str, PublishedExperiment]

    @property
    def place(self) -> tuple[int, str]:
        """What snapshots are ordered by: those that were not counted by their names, which are times."""
        return self.number, self.file


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
    """The pointers of all snapshots that are kept, the first published first; unreadable ones not."""
    pointers = []
    for path in published.glob("snapshot-*.json"):
        with suppress(ValidationError):
            pointers.append(Pointer.model_validate_json(path.read_bytes()))
    return sorted(pointers, key=lambda pointer: pointer.place)


def forget_pointer(published: Path, file: str) -> None:
    """Remove the record of a snapshot that is gone."""
    _record(published, file).unlink(missing_ok=True)


def _record(published: Path, file: str) -> Path:
    return published / Path(file).with_suffix(".json")


def _json(pointer: Pointer) -> bytes:
    return json.dumps(pointer.model_dump(mode="json"), indent=2).encode()
