"""Write files that others read: completely, or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_synced(path: Path, content: bytes) -> str:
    """Write a file through to the disk; return its sha256. Use it in a folder that nobody reads yet."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def replace_file(path: Path, content: bytes) -> str:
    """Write or replace a file atomically: a reader sees the old or the new one. Return its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        digest = write_synced(aside, content)
    sync_folder(path.parent)
    return digest


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path; the file written there replaces ``path`` at the end, or not at all."""
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        yield aside
        sync_file(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def remove_whole(folder: Path, prefix: str, within: Path) -> None:
    """Remove a folder after moving it to a temporary one in ``within``: nobody sees a part of it."""
    aside = Path(tempfile.mkdtemp(prefix=prefix, dir=within))
    folder.rename(aside / "folder")
    shutil.rmtree(aside)


def sync_file(path: Path) -> None:
    """Force a file that a library wrote to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, so that a rename survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
