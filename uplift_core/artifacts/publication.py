"""The pointer to the current snapshot: ``published/CURRENT.json``.

The batch replaces it atomically as its last step; the service follows it. A snapshot file is immutable
and has a unique name, so nobody reads an incomplete or changed one. Snapshots are numbered: the numbers
give their order, not the times, since a clock may be set back. While ``published/PIN.json`` is there, no
run replaces the pointer: new snapshots wait.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from uplift_core.artifacts.files import replace_file, sync_folder
from uplift_core.command_words import RUN
from uplift_core.errors import UpliftError

POINTER = "CURRENT.json"
PIN = "PIN.json"


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


class Pin(BaseModel):
    """Whoever rolled back wants the current snapshot to stay, until the pin is lifted.

    Attributes:
        pinned_at: when, in UTC.
        made_by: who said so.
        reason: why; may be empty.
        waiting: the number of the newest snapshot that was made since; None: none was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pinned_at: datetime
    made_by: str
    reason: str = ""
    waiting: int | None = None

    @property
    def told(self) -> str:
        """Say who pinned, since when, and why."""
        why = f": {self.reason}" if self.reason else ""
        return f"pinned by {self.made_by} since {self.pinned_at:%Y-%m-%d %H:%M} UTC{why}"


def read_pointer(published: Path) -> Pointer:
    """Read ``published/CURRENT.json``.

    Raises:
        NothingPublishedError: the file is missing or has another format.
    """
    path = published / POINTER
    try:
        return Pointer.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise NothingPublishedError(f"{path}: nothing is published yet; run `{RUN}`") from error
    except ValidationError as error:
        raise NothingPublishedError(f"{path}: unreadable pointer: {error}; run `{RUN}`") from error


def write_pointer(published: Path, pointer: Pointer) -> None:
    """Make ``pointer`` the current one, atomically."""
    replace_file(published / POINTER, _json(pointer))


def read_pin(published: Path) -> Pin | None:
    """Read ``published/PIN.json``; None if nothing is pinned.

    Raises:
        UpliftError: the file cannot be read.
    """
    path = published / PIN
    try:
        return Pin.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise UpliftError(
            f"{path}: unreadable pin: {error}; remove the file if new snapshots may become current"
        ) from error


def write_pin(published: Path, pin: Pin) -> None:
    """Write the pin, atomically."""
    replace_file(published / PIN, json.dumps(pin.model_dump(mode="json"), indent=2).encode())


def remove_pin(published: Path) -> None:
    """Remove the pin."""
    (published / PIN).unlink(missing_ok=True)
    sync_folder(published)


@contextmanager
def changing(published: Path) -> Iterator[None]:
    """Let one process at a time look at the pin and change what is current."""
    descriptor = os.open(published, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_current(published: Path, pointer: Pointer) -> Pin | None:
    """Make a new snapshot current, unless a pin holds: then it waits, and the pin is returned."""
    with changing(published):
        pin = read_pin(published)
        if pin is None:
            write_pointer(published, pointer)
            return None
        waits = pin.model_copy(update={"waiting": pointer.number})
        write_pin(published, waits)
        return waits


def newest_pointer(published: Path) -> Pointer:
    """Read the pointer of what was published last: the current one, or what waits for a pin.

    Raises:
        UpliftError: there is none, or it cannot be read.
    """
    current, pin = read_pointer(published), read_pin(published)
    if pin is None or pin.waiting is None:
        return current
    kept = [pointer for pointer in recorded_pointers(published) if pointer.number == pin.waiting]
    return kept[-1] if kept else current


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
