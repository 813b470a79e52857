"""The pointer to the current snapshot: ``published/CURRENT.json``.

The batch replaces it atomically as its last step; the service follows it. A snapshot file is immutable
and has a unique name, so nobody reads an incomplete or changed one. Snapshots are numbered: the numbers
give their order, not the times, since a clock may be set back.
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
    """The model and the learner of one experiment's tables in the snapshot."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_version: str
    bundle_sha256: str
    arm: str
    learner: str
    published_at: datetime


class Pointer(BaseModel):
    """The current snapshot: its file, its sha256 and its experiments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    number: int = 0  # grows with each snapshot; 0: an earlier version published it without a number
    snapshot_id: str
    file: str
    sha256: str
    published_at: datetime
    experiments: dict[str, PublishedExperiment]

    @property
    def place(self) -> tuple[int, str]:
        """The sort key of snapshots: the number, then the name, which is a time."""
        return self.number, self.file


def read_pointer(published: Path) -> Pointer:
    """Read ``published/CURRENT.json``.

    Raises:
        NothingPublishedError: the file is missing or has another format.
    """
    path = published / POINTER
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise NothingPublishedError(f"{path}: nothing is published yet; run `make run`") from error
    except ValidationError as error:
        raise NothingPublishedError(f"{path}: unreadable pointer: {error}; run `make run`") from error


def write_pointer(published: Path, pointer: Pointer) -> None:
    """Make ``pointer`` the current one, atomically."""
    replace_file(published / POINTER, _json(pointer))


def record_pointer(published: Path, pointer: Pointer) -> None:
    """Write the pointer beside its snapshot, so that it can be made current again."""
    replace_file(_record(published, pointer.file), _json(pointer))


def recorded_pointers(published: Path) -> list[Pointer]:
    """Read the pointers of all stored snapshots, the oldest first; skip unreadable ones."""
    pointers = []
    for path in published.glob("snapshot-*.json"):
        with suppress(ValidationError):
            pointers.append(Pointer.model_validate_json(path.read_bytes()))
    return sorted(pointers, key=lambda pointer: pointer.place)


def forget_pointer(published: Path, file: str) -> None:
    """Remove the pointer of a snapshot that was deleted."""
    _record(published, file).unlink(missing_ok=True)


def _record(published: Path, file: str) -> Path:
    return published / Path(file).with_suffix(".json")


def _json(pointer: Pointer) -> bytes:
    return json.dumps(pointer.model_dump(mode="json"), indent=2).encode()
